//! Whose authorities lie where, by the paths of Debian, Red Hat, SUSE, Arch and Alpine.

use std::path::{Path, PathBuf};

use super::super::SystemTrust;

/// What packages and their tools write, and nobody else.
const SHIPPED: [&str; 12] = [
    "/etc/ca-certificates/extracted",
    "/etc/pki/ca-trust/extracted",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/tls/certs/ca-bundle.trust.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs/ca-bundle.crt",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/certs/java",
    "/usr/share/ca-certificates",
    "/usr/share/pki",
    "/var/lib/ca-certificates",
];

/// Where people put authorities of their own too, and on Red Hat above all the certificates of servers.
const SHARED: [&str; 5] = [
    "/etc/ca-certificates",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/ssl/certs",
    "/usr/local/share/ca-certificates",
];

/// What the operating system makes of a certificate that lies there. Blocks on links, and only where they matter: the shared
/// directories are full of links to what is shipped.
pub fn system_trust(path: &Path) -> SystemTrust {
    through_links(path, |path| path.canonicalize().ok())
}

fn through_links(path: &Path, resolve: impl FnOnce(&Path) -> Option<PathBuf>) -> SystemTrust {
    match by_path(path) {
        SystemTrust::Shared if resolve(path).is_some_and(|target| by_path(&target) == SystemTrust::Shipped) => {
            SystemTrust::Shipped
        }
        trust => trust,
    }
}

fn by_path(path: &Path) -> SystemTrust {
    let lies_in = |places: &[&str]| places.iter().any(|place| path.starts_with(place));
    if lies_in(&SHIPPED) {
        SystemTrust::Shipped
    } else if lies_in(&SHARED) {
        SystemTrust::Shared
    } else {
        SystemTrust::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holds R10.
    #[test]
    fn only_what_packages_write_is_shipped() {
        use SystemTrust::{None, Shared, Shipped};

        for (path, trust) in [
            ("/etc/ssl/certs/ca-certificates.crt", Shipped),
            ("/etc/pki/tls/certs/ca-bundle.crt", Shipped),
            ("/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", Shipped),
            ("/usr/share/ca-certificates/mozilla/Old_Root.crt", Shipped),
            ("/var/lib/ca-certificates/pem/Old_Root.pem", Shipped),
            ("/etc/ssl/certs/no-such-link.pem", Shared),
            ("/etc/pki/tls/certs/server.crt", Shared),
            ("/etc/pki/ca-trust/source/anchors/fleet-ca.pem", Shared),
            ("/usr/local/share/ca-certificates/fleet-ca.crt", Shared),
            ("/etc/ssl/certs.d/Old_Root.pem", None),
            ("/srv/ca-certificates.crt", None),
        ] {
            assert_eq!(system_trust(Path::new(path)), trust, "{path}");
        }
    }

    /// Holds R10: the hashed links of Debian.
    #[test]
    fn a_link_from_a_shared_directory_counts_as_what_it_leads_to() {
        let trust = |path: &str, target: &str| through_links(Path::new(path), |_| Some(PathBuf::from(target)));
        let link = "/etc/ssl/certs/Old_Root.pem";
        assert_eq!(trust(link, "/usr/share/ca-certificates/mozilla/Old_Root.crt"), SystemTrust::Shipped);
        assert_eq!(trust(link, "/usr/local/share/ca-certificates/fleet-ca.crt"), SystemTrust::Shared);
        assert_eq!(trust(link, "/srv/server.pem"), SystemTrust::Shared);
        assert_eq!(trust("/srv/link.pem", "/usr/share/ca-certificates/mozilla/Old_Root.crt"), SystemTrust::None);
    }
}
