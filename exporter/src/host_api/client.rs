//! Who speaks: the names in a client's certificate, and whether they are authorised here. Its chain was verified in the
//! handshake; that alone authorises nobody.

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::config::ClientName;

/// A client whose certificate is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Client {
    /// The authorised name, or else what it calls itself, in its own characters.
    pub(super) name: String,
    pub(super) authorised: bool,
}

impl Client {
    /// Names are compared exactly, with names of the same kind: no wildcard, no case folding, no common name.
    pub(super) fn of(leaf: Option<&CertificateDer<'_>>, allowed: &[ClientName]) -> Self {
        let names = leaf.map(names).unwrap_or_default();
        match names.iter().find(|name| allowed.contains(name)) {
            Some(name) => Self { name: text(name).to_owned(), authorised: true },
            None => {
                let texts: Vec<_> = names.iter().map(text).collect();
                Self { name: texts.join(","), authorised: false }
            }
        }
    }
}

fn text(name: &ClientName) -> &str {
    let (ClientName::Dns(text) | ClientName::Uri(text)) = name;
    text
}

fn names(leaf: &CertificateDer<'_>) -> Vec<ClientName> {
    let Ok((_, certificate)) = X509Certificate::from_der(leaf) else { return Vec::new() };
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(ClientName::Dns((*name).to_owned())),
        GeneralName::URI(name) => Some(ClientName::Uri((*name).to_owned())),
        _ => None,
    };
    extension.value.general_names.iter().filter_map(name).collect()
}
