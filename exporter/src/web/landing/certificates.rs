//! The certificates, the first to expire first.

use std::fmt;

use jiff::Timestamp;

use super::Severity;
use super::html::{Cell, Moment, Span, table};
use crate::snapshot::{Label, Observation, Pass, Role, SeenCertificate, Snapshot};

/// From here a certificate is worth a second look.
const SOON_SECONDS: i64 = 28 * 86_400;

/// What trust stores hold stands by itself: there are hundreds of them, and old ones expire there without harm.
pub(super) fn section(out: &mut String, snapshot: &Snapshot, now: Timestamp) -> fmt::Result {
    let (authorities, own): (Vec<_>, Vec<_>) = by_expiry(snapshot).into_iter().partition(|(_, one)| is_authority(one));
    certificates(out, "Certificates, the first to expire first", own, now)?;
    certificates(out, "Trusted authorities, the first to expire first", authorities, now)
}

type Found<'a> = (&'a Label, &'a SeenCertificate);

fn certificates(out: &mut String, title: &str, found: Vec<Found<'_>>, now: Timestamp) -> fmt::Result {
    let rows = found.into_iter().map(|(place, certificate)| {
        let facts = &certificate.facts;
        let (severity, left) = left(facts.not_after, now);
        let severity = if is_authority(certificate) { Severity::Fine } else { severity };
        [
            Cell::of(&facts.subject),
            Cell::of(Moment(Timestamp::from_second(facts.not_after).unwrap_or(Timestamp::MAX))),
            Cell::marked(severity, left),
            Cell::of(certificate.role.as_str()),
            Cell::of(place),
            Cell::of(&certificate.alias),
        ]
    });
    table(out, title, ["Subject", "Expires", "Left", "Role", "Where", "Alias"], rows)
}

pub(super) fn is_authority(certificate: &SeenCertificate) -> bool {
    certificate.role == Role::Trusted
}

pub(super) fn by_expiry(snapshot: &Snapshot) -> Vec<Found<'_>> {
    let mut rows: Vec<_> = snapshot.passes().flat_map(|(_, pass)| seen(pass)).collect();
    rows.sort_by_key(|(place, certificate)| (certificate.facts.not_after, *place));
    rows
}

pub(super) fn left(not_after: i64, now: Timestamp) -> (Severity, String) {
    match not_after - now.as_second() {
        left @ ..0 => (Severity::Critical, format!("expired {} ago", Span(-left))),
        left @ ..SOON_SECONDS => (Severity::Warning, format!("expires in {}", Span(left))),
        left => (Severity::Fine, format!("expires in {}", Span(left))),
    }
}

/// A pass's certificates and where each was seen.
pub(super) fn seen(pass: &Pass) -> Box<dyn Iterator<Item = (&Label, &SeenCertificate)> + '_> {
    match &pass.observation {
        Observation::Nothing | Observation::Upses(_) | Observation::Host(_) | Observation::Health(_) => {
            Box::new(std::iter::empty())
        }
        Observation::Files(files) => Box::new(
            files
                .iter()
                .filter_map(|f| Some((f, f.outcome.as_ref().ok()?)))
                .flat_map(|(file, contents)| contents.certificates.iter().map(|certificate| (&file.path, certificate))),
        ),
        Observation::Endpoint(probe) => {
            let served = probe.outcome.as_ref().ok().map_or(&[][..], |served| &served.certificates);
            Box::new(served.iter().map(|certificate| (&probe.target, certificate)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expired_certificate_is_said_to_be_expired() {
        let now = Timestamp::constant(1_000_000_000, 0);
        assert_eq!(left(999_999_999, now), (Severity::Critical, "expired 1 s ago".to_owned()));
        assert_eq!(left(1_000_000_000 + SOON_SECONDS - 1, now).0, Severity::Warning);
        assert_eq!(left(1_000_000_000 + 300 * 86_400, now), (Severity::Fine, "expires in 300 days".to_owned()));
    }
}
