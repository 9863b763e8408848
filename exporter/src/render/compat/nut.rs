//! What the two exporters for NUT have in common: variables as upsd gives them.

use std::fmt;

use super::super::table::Samples;
use super::Unique;
use crate::snapshot::{Backend, Snapshot, UpsSeen};
use crate::ups::Reading;

/// Every UPS that upsd was heard of.
pub(super) fn each<'a>(
    snapshot: &'a Snapshot,
    mut put: impl FnMut(&'a UpsSeen, &'a Reading) -> fmt::Result,
) -> fmt::Result {
    let upses = snapshot.passes().flat_map(|(_, pass)| pass.upses()).filter(|seen| seen.backend == Backend::Nut);
    upses
        .filter_map(|seen| Some((seen, seen.outcome.as_deref().ok()?)))
        .try_for_each(|(seen, reading)| put(seen, reading))
}

/// A numeric variable of every UPS that has it, times `scale`.
pub(super) fn variable(snapshot: &Snapshot, out: &mut Samples<'_, '_>, name: &str, scale: f64) -> fmt::Result {
    let mut unique = Unique::default();
    each(snapshot, |seen, reading| match number(reading, name) {
        None => Ok(()),
        Some(value) => unique.put(out, &[("ups", seen.ups.as_str())], value * scale),
    })
}

/// The words of `ups.status`.
pub(super) fn words(reading: &Reading) -> Vec<&str> {
    text(reading, "ups.status").unwrap_or_default().split_whitespace().collect()
}

pub(super) fn text<'a>(reading: &'a Reading, name: &str) -> Option<&'a str> {
    reading.raw.get(name).map(|text| &**text)
}

fn number(reading: &Reading, name: &str) -> Option<f64> {
    text(reading, name)?.trim().parse().ok().filter(|number: &f64| number.is_finite())
}
