//! Which client certificates end the handshake well.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError, DistinguishedName, RootCertStore};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::proven::JudgeClient;

/// A client may show a certificate, or must. That it holds the certificate's key is checked by `proven`.
#[derive(Debug)]
pub(super) struct ClientPolicy {
    mandatory: bool,
    /// Absent when any certificate will do.
    chain: Option<Arc<dyn ClientCertVerifier>>,
    /// Empty when any name will do.
    allowed_names: Vec<String>,
}

impl ClientPolicy {
    /// Any certificate, from anybody.
    pub(super) const fn any(mandatory: bool) -> Self {
        Self { mandatory, chain: None, allowed_names: Vec::new() }
    }

    /// A certificate that chains to one of `roots`, and holds one of `allowed_names` unless that is empty.
    ///
    /// # Errors
    /// When the roots cannot vouch for anybody.
    pub(super) fn verified(
        mandatory: bool,
        roots: RootCertStore,
        allowed_names: Vec<String>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, String> {
        let chain = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { mandatory, chain: Some(chain), allowed_names })
    }

    fn admits_names_of(&self, leaf: &CertificateDer<'_>) -> bool {
        self.allowed_names.is_empty() || names(leaf).iter().any(|name| self.allowed_names.contains(name))
    }
}

impl JudgeClient for ClientPolicy {
    fn is_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.as_ref().map_or(&[], |chain| chain.root_hint_subjects())
    }

    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        if let Some(chain) = &self.chain {
            chain.verify_client_cert(leaf, intermediates, now)?;
        }
        if self.admits_names_of(leaf) { Ok(()) } else { Err(CertificateError::ApplicationVerificationFailure.into()) }
    }
}

/// The subject's alternative names, as the configuration writes them; the common name is none.
fn names(leaf: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, leaf)) = X509Certificate::from_der(leaf) else { return Vec::new() };
    let Ok(Some(alternatives)) = leaf.subject_alternative_name() else { return Vec::new() };
    let written = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes),
        _ => None,
    };
    alternatives.value.general_names.iter().filter_map(written).collect()
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = || <[u8; 4]>::try_from(bytes).ok().map(std::net::IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(bytes).ok().map(std::net::IpAddr::from);
    v4().or_else(v6).map(|address| address.to_string())
}
