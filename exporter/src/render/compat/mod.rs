//! The names under which other exporters publish the same facts, so that their dashboards and alert rules go on working.
//!
//! What such an exporter gets wrong is not repeated: a value that is not known is no sample here either, where some of them
//! publish a zero. `docs/compat.md` lists every name.

mod apcupsd;
mod enix;
mod hon95;
mod nut;
mod nut_exporter;
mod ssl_exporter;

use std::collections::BTreeSet;
use std::fmt;

pub(super) use self::ssl_exporter::Described;
use super::table::{Family, Samples, Value};
use crate::config::CompatSet;
use crate::snapshot::Snapshot;

/// What a set publishes beside our own names; what belongs to one probe is on `/probe` alone.
pub(super) const fn families(set: CompatSet) -> &'static [Family<Snapshot>] {
    match set {
        CompatSet::Enix => enix::FAMILIES,
        CompatSet::SslExporter => ssl_exporter::FAMILIES,
        CompatSet::ApcupsdExporter => apcupsd::FAMILIES,
        CompatSet::NutExporter => nut_exporter::FAMILIES,
        CompatSet::Hon95 => hon95::FAMILIES,
        CompatSet::Blackbox => &[],
    }
}

/// Puts a series once: the labels of those exporters do not always tell two places apart, and Prometheus refuses a whole
/// scrape for one series that is there twice. The first stands.
#[derive(Default)]
pub(super) struct Unique(BTreeSet<Vec<String>>);

impl Unique {
    pub(super) fn put(
        &mut self,
        out: &mut Samples<'_, '_>,
        labels: &[(&str, &str)],
        value: impl Into<Value>,
    ) -> fmt::Result {
        let texts = labels.iter().map(|(_, text)| (*text).to_owned()).collect();
        if self.0.insert(texts) { out.put(labels, value) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
