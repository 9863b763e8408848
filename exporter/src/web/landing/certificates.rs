//! The certificates, the first to expire first.

use std::fmt;

use jiff::{SignedDuration, Timestamp, civil};

use super::Severity;
use super::html::{Cell, Span, table};
use crate::platform::SystemTrust;
use crate::snapshot::{Label, Observation, Pass, Role, SeenCertificate, Snapshot};

/// From here a certificate is worth a second look.
const SOON_SECONDS: i64 = 28 * 86_400;

/// What trust stores hold stands by itself: there are hundreds of them, and old ones expire there without harm.
pub(super) fn section(out: &mut String, snapshot: &Snapshot, now: Timestamp) -> fmt::Result {
    let (authorities, own): (Vec<_>, Vec<_>) = by_expiry(snapshot).into_iter().partition(Placed::is_authority);
    certificates(out, "Certificates, the first to expire first", own, now)?;
    certificates(out, "Trusted authorities, the first to expire first", authorities, now)
}

/// A certificate, where it was seen, and what the operating system makes of what lies there.
#[derive(Clone, Copy)]
pub(super) struct Placed<'a> {
    pub(super) place: &'a Label,
    pub(super) certificate: &'a SeenCertificate,
    system_trust: SystemTrust,
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

impl<'a> Placed<'a> {
    /// Whether the certificate is trusted by lying where it does: in a trust store, or as a CA among those that the operating
    /// system is shipped with, whose bundles do not say what their certificates are for.
    pub(super) fn is_authority(&self) -> bool {
        match self.certificate.role {
            Role::Trusted => true,
            Role::Root | Role::Intermediate => self.system_trust == SystemTrust::Shipped,
            Role::Leaf => false,
        }
    }

    /// How bad it is, and why. A CA in a directory that people share with the system may be an authority that is needed no
    /// more, or the certificate of a server that signed for itself, as `openssl req -x509` makes it: that is worth a look.
    pub(super) fn left(&self, now: Timestamp) -> (Severity, String) {
        let (severity, left) = left(self.certificate.facts.not_after, now);
        let is_ca = matches!(self.certificate.role, Role::Root | Role::Intermediate);
        let mildest = match self.system_trust {
            _ if self.is_authority() => Severity::Fine,
            SystemTrust::Shared if is_ca => Severity::Warning,
            SystemTrust::None | SystemTrust::Shared | SystemTrust::Shipped => Severity::Critical,
        };
        (severity.max(mildest), left)
    }

    fn expires_at(&self) -> (i64, &'a Label) {
        (self.certificate.facts.not_after, self.place)
    }
}

pub(super) fn by_expiry(snapshot: &Snapshot) -> Vec<Placed<'_>> {
    let mut rows: Vec<_> = snapshot.passes().flat_map(|(_, pass)| seen(pass)).collect();
    rows.sort_by_key(Placed::expires_at);
    rows
}

fn left(not_after: i64, now: Timestamp) -> (Severity, String) {
    match not_after - now.as_second() {
        left @ ..0 => (Severity::Critical, format!("expired {} ago", Span(-left))),
        left @ ..SOON_SECONDS => (Severity::Warning, format!("expires in {}", Span(left))),
        left => (Severity::Fine, format!("expires in {}", Span(left))),
    }
}

/// A pass's certificates and where each was seen.
pub(super) fn seen(pass: &Pass) -> Box<dyn Iterator<Item = Placed<'_>> + '_> {
    match &pass.observation {
        Observation::Nothing | Observation::Upses(_) | Observation::Host(_) | Observation::Health(_) => {
            Box::new(std::iter::empty())
        }
        Observation::Files(seen) => Box::new(
            seen.files.iter().filter_map(|f| Some((f, f.outcome.as_ref().ok()?))).flat_map(|(file, contents)| {
                let (place, system_trust) = (&file.path, contents.system_trust);
                contents.certificates.iter().map(move |certificate| Placed { place, certificate, system_trust })
            }),
        ),
        Observation::Endpoint(probe) => {
            let (place, system_trust) = (&probe.target, SystemTrust::None);
            Box::new(probe.certificates.iter().map(move |certificate| Placed { place, certificate, system_trust }))
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

    /// Holds R10: Debian's own bundle has expired authorities, and nobody has to act on them. A server's own certificate that
    /// calls itself a CA lies among links to them, and somebody has to.
    #[test]
    fn only_an_authority_that_the_system_is_shipped_with_expires_without_a_word() {
        use Severity::{Critical, Fine, Warning};
        use SystemTrust::{None, Shared, Shipped};

        let place = Label::new("/etc/ssl/certs/one.pem");
        for (system_trust, role, days, severity) in [
            (Shipped, Role::Root, -3, Fine),
            (Shipped, Role::Intermediate, -3, Fine),
            (Shipped, Role::Leaf, -3, Critical),
            (Shared, Role::Root, -3, Warning),
            (Shared, Role::Intermediate, 3, Warning),
            (Shared, Role::Root, 300, Fine),
            (Shared, Role::Leaf, -3, Critical),
            (None, Role::Root, -3, Critical),
            (None, Role::Trusted, -3, Fine),
        ] {
            let certificate = &super::super::tests::certificate("Old Root", role, days);
            let placed = Placed { place: &place, certificate, system_trust };
            let said = placed.left(super::super::tests::NOW).0;
            assert_eq!(said, severity, "{system_trust:?} {role:?} {days}");
            assert_eq!(placed.is_authority(), severity == Fine && days < 0);
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
