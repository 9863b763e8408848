//! The certificates, the first to expire first.

use std::fmt;
use std::path::Path;

use jiff::{SignedDuration, Timestamp, civil};

use super::Severity;
use super::html::{Cell, Span, table};
use crate::platform;
use crate::snapshot::{Label, Observation, Pass, Role, SeenCertificate, Snapshot};

/// From here a certificate is worth a second look.
const SOON_SECONDS: i64 = 28 * 86_400;

/// What trust stores hold stands by itself: there are hundreds of them, and old ones expire there without harm.
pub(super) fn section(out: &mut String, snapshot: &Snapshot, now: Timestamp) -> fmt::Result {
    let (authorities, own): (Vec<_>, Vec<_>) =
        by_expiry(snapshot).into_iter().partition(|(place, one)| is_authority(place, one));
    certificates(out, "Certificates, the first to expire first", own, now)?;
    certificates(out, "Trusted authorities, the first to expire first", authorities, now)
}

type Found<'a> = (&'a Label, &'a SeenCertificate);

fn certificates(out: &mut String, title: &str, found: Vec<Found<'_>>, now: Timestamp) -> fmt::Result {
    let rows = found.into_iter().map(|(place, certificate)| {
        let facts = &certificate.facts;
        let (severity, left) = left(facts.not_after, now);
        let severity = if is_authority(place, certificate) { Severity::Fine } else { severity };
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

/// Whether the certificate is trusted by lying where it does: in a trust store, or as a CA among those of the operating
/// system, whose bundles do not say what their certificates are for.
pub(super) fn is_authority(place: &Label, certificate: &SeenCertificate) -> bool {
    match certificate.role {
        Role::Trusted => true,
        Role::Root | Role::Intermediate => platform::is_in_trust_store(Path::new(place.as_str())),
        Role::Leaf => false,
    }
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

    /// Holds R9.
    #[test]
    fn an_expiry_that_is_never_is_the_last_minute_of_the_calendar() {
        assert_eq!(to_the_minute(253_402_300_799).to_string(), "9999-12-31 23:59 UTC");
        assert_eq!(to_the_minute(1_906_545_600).to_string(), "2030-06-01 12:00 UTC");
    }

    /// Holds R10: Debian's own bundle has expired authorities, and nobody has to act on them.
    #[test]
    fn an_authority_of_the_operating_system_is_no_certificate_of_this_host() {
        let certificate =
            |role| SeenCertificate { role, ..super::super::tests::certificate("Old Root", Role::Root, -3) };
        for (path, role, is_authority) in [
            ("/etc/ssl/certs/ca-certificates.crt", Role::Root, true),
            ("/etc/ssl/certs/Old_Root.pem", Role::Intermediate, true),
            ("/usr/share/ca-certificates/mozilla/Old_Root.crt", Role::Root, true),
            ("/etc/ssl/certs/server.pem", Role::Leaf, false),
            ("/etc/ssl/certs.d/Old_Root.pem", Role::Root, false),
            ("/srv/ca.pem", Role::Root, false),
            ("/srv/store", Role::Trusted, true),
        ] {
            assert_eq!(super::is_authority(&Label::new(path), &certificate(role)), is_authority, "{path}");
        }
    }

    #[test]
    fn an_expired_certificate_is_said_to_be_expired() {
        let now = Timestamp::constant(1_000_000_000, 0);
        assert_eq!(left(999_999_999, now), (Severity::Critical, "expired 1 s ago".to_owned()));
        assert_eq!(left(1_000_000_000 + SOON_SECONDS - 1, now).0, Severity::Warning);
        assert_eq!(left(1_000_000_000 + 300 * 86_400, now), (Severity::Fine, "expires in 300 days".to_owned()));
    }
}
