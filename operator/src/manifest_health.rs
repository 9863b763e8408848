//! What the directory of manifests of a standalone operator is like, for metrics.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use crate::samples::{Labels, gauge, seconds};

/// What the follower of the directory writes, and a scrape reads.
#[derive(Clone, Debug, Default)]
pub struct ManifestHealth(Arc<Mutex<Option<ManifestSigns>>>);

/// As of the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestSigns {
    /// When all of the directory was read last.
    pub read: Option<Timestamp>,
    /// What is not taken as it stands.
    pub problems: usize,
    /// Resources that are gone, and are kept until a person confirms.
    pub held: usize,
}

impl ManifestHealth {
    pub(crate) fn set(&self, signs: ManifestSigns) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(signs);
    }
}

/// Where there is no such directory there are no samples.
impl Collector for ManifestHealth {
    #[expect(clippy::cast_precision_loss, reason = "counts of files and resources are far below 2^52")]
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let signs = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(ManifestSigns { read, problems, held }) = signs else { return Ok(()) };
        let one = |value: f64| std::iter::once((Labels::new(), value));
        gauge(
            &mut encoder,
            "kagiban_manifest_problems",
            "Of a standalone operator: what below --manifests is not taken as it stands; the log names file and line",
            one(problems as f64),
        )?;
        gauge(
            &mut encoder,
            "kagiban_manifest_deletions_held",
            "Of a standalone operator: resources that are gone from --manifests, so many at once that a person must confirm",
            one(held as f64),
        )?;
        let Some(read) = read else { return Ok(()) };
        gauge(
            &mut encoder,
            "kagiban_manifest_last_read_timestamp_seconds",
            "Of a standalone operator: when all of --manifests was last read",
            one(seconds(read)),
        )
    }
}
