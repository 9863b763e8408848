//! What the directory of manifests of a standalone operator is like: for metrics, for who asks by a command, and for the page.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use crate::foreign::told;
use crate::mends::make_private;
use crate::samples::{Labels, gauge, seconds};

/// Of each kind of remark, those that are told one by one.
const MOST_TOLD: usize = 20;

/// What the follower of the directory writes, and a scrape, a command and the page read.
#[derive(Clone, Debug, Default)]
pub struct ManifestHealth(Arc<Mutex<Option<ManifestSigns>>>);

/// As of the last look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManifestSigns {
    /// When all of the directory was read last.
    pub read: Option<Timestamp>,
    /// What is not taken as it stands: file and line, and what is wrong.
    pub problems: Signs,
    /// Resources that are gone, and are kept until a person confirms: namespace and name.
    pub held: Signs,
    /// Files with Secrets that others may read.
    pub open_secrets: Signs,
}

/// How many there are, and the first of them in a line each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    count: usize,
    first: Vec<String>,
}

impl Signs {
    pub(crate) fn of(all: impl IntoIterator<Item = String>) -> Self {
        let mut signs = Self::default();
        for one in all {
            signs.count += 1;
            if signs.first.len() < MOST_TOLD {
                signs.first.push(told(&one));
            }
        }
        signs
    }

    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    const fn more(&self) -> usize {
        self.count - self.first.len()
    }
}

impl ManifestSigns {
    /// What a person has to see to, a sentence each, with what to do.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.read.is_none() {
            notes.push("the manifests were not read to their end yet: what is shown is as of before".to_owned());
        }
        let refused = |what: &String| format!("{what}: not taken; what stood there before stays until it is corrected");
        notes.extend(self.problems.first.iter().map(refused));
        if self.problems.more() > 0 {
            notes.push(format!(
                "{} more in the manifests are not taken: `kagiban-operator plan --offline -f` and their directory names all",
                self.problems.more()
            ));
        }
        if self.held.count > 0 {
            let more = match self.held.more() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            notes.push(format!(
                "{} gone from the manifests at once and kept: {}{more}: put them back, or have them deleted by `kagiban-operator \
                 confirm-deletions`",
                self.held.count,
                self.held.first.join(", "),
            ));
        }
        let open = |file: &String| {
            format!(
                "{file}: it has a Secret, and others may read the file: {}, or keep the Secret below --secrets",
                make_private()
            )
        };
        notes.extend(self.open_secrets.first.iter().map(open));
        if self.open_secrets.more() > 0 {
            notes.push(format!("{} more files have Secrets that others may read", self.open_secrets.more()));
        }
        notes
    }
}

impl ManifestHealth {
    pub(crate) fn set(&self, signs: ManifestSigns) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(signs);
    }

    /// What a person has to see to, a line each. Nothing where there is no such directory.
    pub(crate) fn notes(&self) -> Vec<String> {
        self.signs().as_ref().map(ManifestSigns::notes).unwrap_or_default()
    }

    fn signs(&self) -> Option<ManifestSigns> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Where there is no such directory there are no samples.
impl Collector for ManifestHealth {
    #[expect(clippy::cast_precision_loss, reason = "counts of files and resources are far below 2^52")]
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(ManifestSigns { read, problems, held, open_secrets }) = self.signs() else { return Ok(()) };
        let one = |signs: &Signs| std::iter::once((Labels::new(), signs.count as f64));
        gauge(
            &mut encoder,
            "kagiban_manifest_problems",
            "Of a standalone operator: what below --manifests is not taken as it stands; `kagiban-operator get` names file and line",
            one(&problems),
        )?;
        gauge(
            &mut encoder,
            "kagiban_manifest_deletions_held",
            "Of a standalone operator: resources that are gone from --manifests, so many at once that a person must confirm",
            one(&held),
        )?;
        gauge(
            &mut encoder,
            "kagiban_manifest_open_secrets",
            "Of a standalone operator: files below --manifests that have Secrets and that others may read",
            one(&open_secrets),
        )?;
        let Some(read) = read else { return Ok(()) };
        gauge(
            &mut encoder,
            "kagiban_manifest_last_read_timestamp_seconds",
            "Of a standalone operator: when all of --manifests was last read",
            std::iter::once((Labels::new(), seconds(read))),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_has_to_see_to_is_told_with_what_to_do_and_never_without_end() {
        let signs =
            |count: usize| Signs::of((0..count).map(|index| format!("file-{index}.yaml:7: {}", "x".repeat(5000))));
        let read = Some(Timestamp::UNIX_EPOCH);
        assert_eq!(ManifestSigns { read, ..ManifestSigns::default() }.notes(), [""; 0]);
        let one = ManifestSigns {
            read,
            problems: Signs::of(["b.yaml:7: fleet/a: spec.x: Unknown field".to_owned()]),
            held: Signs::of(["fleet/b".to_owned(), "fleet/c".to_owned()]),
            open_secrets: Signs::of(["client.yaml".to_owned()]),
        };
        assert_eq!(
            one.notes(),
            [
                "b.yaml:7: fleet/a: spec.x: Unknown field: not taken; what stood there before stays until it is corrected",
                "2 gone from the manifests at once and kept: fleet/b, fleet/c: put them back, or have them deleted by \
                 `kagiban-operator confirm-deletions`",
                &format!(
                    "client.yaml: it has a Secret, and others may read the file: {}, or keep the Secret below --secrets",
                    make_private()
                ),
            ]
        );
        let many = ManifestSigns { read: None, problems: signs(5000), held: signs(5000), open_secrets: signs(5000) };
        let notes = many.notes();
        assert_eq!(notes.len(), 1 + MOST_TOLD + 1 + 1 + MOST_TOLD + 1);
        assert!(notes.iter().map(String::len).sum::<usize>() < 80_000);
        assert!(notes.iter().any(|note| note.starts_with("4980 more in the manifests")), "{notes:?}");
    }
}
