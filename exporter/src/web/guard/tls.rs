//! From the file's TLS section to a server's configuration.

use std::path::PathBuf;
use std::sync::Arc;

use kagiban_serving::tls::{self, MAX_PEM_BYTES, ServerIdentity};
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoClientAuth;
use rustls::server::danger::ClientCertVerifier;
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use super::clients::ClientPolicy;
use super::error::GuardError;
use crate::config::{CipherSuite, ClientAuthType, Curve, TlsServerConfig};
use crate::from_files::FileOrigin;
use crate::platform;
use crate::proven::Proven;

/// Reads the files, and notes each in `watched`.
pub(super) fn server(config: &TlsServerConfig, watched: &mut FileOrigin) -> Result<Arc<ServerConfig>, GuardError> {
    let chain = Pem::read("certificate", config.cert.as_deref(), config.cert_file.as_ref(), watched)?.certificates()?;
    let key = config.key.as_ref().map(ExposeSecret::expose_secret);
    let key = Pem::read("private key", key, config.key_file.as_ref(), watched)?.key()?;
    let provider = Arc::new(provider(config));
    let clients = clients(config, &provider, watched)?;
    let server = tls::server(provider, &config.versions(), clients, ServerIdentity { chain, key });
    let mut server = server.map_err(GuardError::Server)?;
    server.ignore_client_order = config.prefer_server_cipher_suites.unwrap_or(true);
    Ok(Arc::new(server))
}

/// As in Go, the list is of TLS 1.2; the suites of TLS 1.3 stay.
fn provider(config: &TlsServerConfig) -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    if let Some(wanted) = &config.cipher_suites {
        let of_tls13 = provider.cipher_suites.iter().copied().filter(|suite| suite.tls13().is_some());
        let of_tls12 = wanted.iter().filter_map(CipherSuite::spoken).filter(|suite| suite.tls13().is_none());
        provider.cipher_suites = of_tls13.chain(of_tls12).collect();
    }
    if let Some(wanted) = &config.curve_preferences {
        provider.kx_groups = wanted.iter().filter_map(Curve::spoken).collect();
    }
    provider
}

fn clients(
    config: &TlsServerConfig,
    provider: &Arc<CryptoProvider>,
    watched: &mut FileOrigin,
) -> Result<Arc<dyn ClientCertVerifier>, GuardError> {
    let proven = |policy| Proven::new(policy, provider.signature_verification_algorithms);
    let mut verified = |mandatory| {
        let file = config.client_ca_file.as_ref();
        let authorities = Pem::read("CA certificate", config.client_ca.as_deref(), file, watched)?.certificates()?;
        let roots = tls::roots(authorities).map_err(|error| GuardError::ClientCa(error.to_string()))?;
        let names = config.client_allowed_sans.clone();
        ClientPolicy::verified(mandatory, roots, names, Arc::clone(provider)).map(proven).map_err(GuardError::ClientCa)
    };
    Ok(match config.client_auth_type {
        ClientAuthType::NoClientCert => Arc::new(NoClientAuth),
        ClientAuthType::RequestClientCert => Arc::new(proven(ClientPolicy::any(false))),
        ClientAuthType::RequireAnyClientCert => Arc::new(proven(ClientPolicy::any(true))),
        ClientAuthType::VerifyClientCertIfGiven => Arc::new(verified(false)?),
        ClientAuthType::RequireAndVerifyClientCert => Arc::new(verified(true)?),
    })
}

/// A text that stands in the file itself, or in one of its own.
struct Pem {
    what: &'static str,
    place: String,
    bytes: Zeroizing<Vec<u8>>,
}

impl Pem {
    fn read(
        what: &'static str,
        inline: Option<&str>,
        file: Option<&PathBuf>,
        watched: &mut FileOrigin,
    ) -> Result<Self, GuardError> {
        let Some(path) = file else {
            let bytes = Zeroizing::new(inline.unwrap_or_default().as_bytes().to_vec());
            return Ok(Self { what, place: "the web configuration file".to_owned(), bytes });
        };
        let read = platform::read_trusted(path, MAX_PEM_BYTES)?;
        watched.push((path.clone(), read.identity));
        Ok(Self { what, place: path.display().to_string(), bytes: read.bytes })
    }

    fn certificates(self) -> Result<Vec<CertificateDer<'static>>, GuardError> {
        tls::certificates(&self.bytes).ok_or_else(|| self.none())
    }

    fn key(self) -> Result<PrivateKeyDer<'static>, GuardError> {
        tls::private_key(&self.bytes).ok_or_else(|| self.none())
    }

    fn none(&self) -> GuardError {
        GuardError::Pem { place: self.place.clone(), what: self.what }
    }
}
