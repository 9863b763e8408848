//! The certificates that were seen, where each lies, and how near its end it is.

use jiff::Timestamp;

use super::{Severity, Span};
use crate::platform::SystemTrust;
use crate::snapshot::{Label, Observation, Pass, Role, SeenCertificate, Snapshot, SourceId};

/// From here a certificate is worth a second look.
const SOON_SECONDS: i64 = 28 * 86_400;

/// A certificate, where it was seen, and what the operating system makes of what lies there.
#[derive(Clone, Copy)]
pub(crate) struct Placed<'a> {
    pub(crate) place: &'a Label,
    pub(crate) certificate: &'a SeenCertificate,
    system_trust: SystemTrust,
}

impl<'a> Placed<'a> {
    /// Whether the certificate is trusted by lying where it does: in a trust store, or as a CA among those that the operating
    /// system is shipped with, whose bundles do not say what their certificates are for.
    pub(crate) fn is_authority(&self) -> bool {
        match self.certificate.role {
            Role::Trusted => true,
            Role::Root | Role::Intermediate => self.system_trust == SystemTrust::Shipped,
            Role::Leaf => false,
        }
    }

    /// How bad it is, and why. A CA in a directory that people share with the system may be an authority that is needed no
    /// more, or the certificate of a server that signed for itself, as `openssl req -x509` makes it: that is worth a look.
    pub(crate) fn left(&self, now: Timestamp) -> (Severity, String) {
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

pub(crate) fn by_expiry(snapshot: &Snapshot) -> Vec<Placed<'_>> {
    with_sources(snapshot).into_iter().map(|(_, placed)| placed).collect()
}

/// The same, with the source that has seen each.
pub(super) fn with_sources(snapshot: &Snapshot) -> Vec<(&SourceId, Placed<'_>)> {
    let mut rows: Vec<_> =
        snapshot.passes().flat_map(|(id, pass)| seen(pass).map(move |placed| (id, placed))).collect();
    rows.sort_by_key(|(_, placed)| placed.expires_at());
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
pub(crate) fn seen(pass: &Pass) -> Box<dyn Iterator<Item = Placed<'_>> + '_> {
    match &pass.observation {
        Observation::Nothing
        | Observation::Upses(_)
        | Observation::Host(_)
        | Observation::Reboots(_)
        | Observation::Health(_)
        | Observation::Function(_)
        | Observation::Release(_)
        | Observation::Alerts(_)
        | Observation::Clients(_)
        | Observation::ClientLogs(_)
        | Observation::Inventory(_) => Box::new(std::iter::empty()),
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
            let certificate = &super::super::samples::certificate("Old Root", role, days);
            let placed = Placed { place: &place, certificate, system_trust };
            let said = placed.left(super::super::samples::NOW).0;
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
