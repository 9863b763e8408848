//! The certificates, the first to expire first.

use std::fmt;

use jiff::{SignedDuration, Timestamp, civil};

use super::html::{Cell, table};
use crate::overview::certificates::{Placed, by_expiry};
use crate::snapshot::Snapshot;

/// What trust stores hold stands by itself: there are hundreds of them, and old ones expire there without harm.
pub(super) fn section(out: &mut String, snapshot: &Snapshot, now: Timestamp) -> fmt::Result {
    let (authorities, own): (Vec<_>, Vec<_>) = by_expiry(snapshot).into_iter().partition(Placed::is_authority);
    certificates(out, "Certificates, the first to expire first", own, now)?;
    certificates(out, "Trusted authorities, the first to expire first", authorities, now)
}

fn certificates(out: &mut String, title: &str, placed: Vec<Placed<'_>>, now: Timestamp) -> fmt::Result {
    let rows = placed.into_iter().map(|placed| {
        let Placed { place, certificate, .. } = placed;
        let facts = &certificate.facts;
        let (severity, left) = placed.left(now);
        [
            Cell::of(&facts.subject),
            Cell::of(to_the_minute(facts.not_after)),
            Cell::marked(severity, left),
            Cell::of(certificate.role.as_str()),
            Cell::of(place),
            Cell::of(&certificate.alias),
        ]
    });
    table(out, title, ["Subject", "Expires", "Left", "Role", "Where", "Alias"], rows)
}

/// The last day that a certificate can name is beyond what a `Timestamp` has.
fn to_the_minute(not_after: i64) -> impl fmt::Display {
    let start = civil::date(1970, 1, 1).at(0, 0, 0, 0);
    start.saturating_add(SignedDuration::from_secs(not_after)).strftime("%Y-%m-%d %H:%M UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holds R9.
    #[test]
    fn an_expiry_that_is_never_is_the_last_minute_of_the_calendar() {
        assert_eq!(to_the_minute(253_402_300_799).to_string(), "9999-12-31 23:59 UTC");
        assert_eq!(to_the_minute(1_906_545_600).to_string(), "2030-06-01 12:00 UTC");
    }
}
