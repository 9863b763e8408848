//! Whom a server that is asked something over TLS is trusted by: authorities, or its own certificate.
//!
//! Agents sign for themselves, often for no name and as a CA, which no verifier takes. A leaf that lies in the CA file
//! itself is therefore trusted as that one certificate, as far as [`OwnCertificate`] says; any other has to be for the name.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use crate::probe::{Anchors, OwnCertificate, ReadAuthorities};
use crate::proven::{JudgeServer, Proven};

/// How to speak TLS with a server that these vouch for. `own` is what is asked of its certificate where that is among them.
pub(super) fn client_config(authorities: ReadAuthorities, own: OwnCertificate) -> ClientConfig {
    let anchors = authorities.anchors;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let trust = Proven::new(Trust { anchors, own }, provider.signature_verification_algorithms);
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .expect("the provider's suites serve the versions that rustls itself lists")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(trust))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config
}

#[derive(Debug)]
struct Trust {
    anchors: Anchors,
    own: OwnCertificate,
}

impl JudgeServer for Trust {
    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        self.anchors.judge(leaf, intermediates, name, now, self.own)
    }
}
