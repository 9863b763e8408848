//! Who speaks: the names in a client's certificate, and whether they are authorised here. Its chain was verified in the
//! handshake; that alone authorises nobody.

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::audit::printable;

/// A client whose certificate is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Client {
    /// For the audit log: the authorised name, or else what it calls itself.
    pub(super) name: String,
    pub(super) authorised: bool,
}

impl Client {
    /// DNS and URI names are compared exactly, byte for byte: no wildcard, no case folding, no common name.
    pub(super) fn of(leaf: Option<&CertificateDer<'_>>, allowed: &[String]) -> Self {
        let names = leaf.map(names).unwrap_or_default();
        match names.iter().find(|name| allowed.contains(name)) {
            Some(name) => Self { name: printable(name), authorised: true },
            None => Self { name: printable(&names.join(",")), authorised: false },
        }
    }
}

fn names(leaf: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(leaf) else { return Vec::new() };
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
        _ => None,
    };
    extension.value.general_names.iter().filter_map(name).collect()
}
