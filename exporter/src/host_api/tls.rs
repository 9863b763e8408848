//! The TLS side: this host's certificate, the CAs that clients must chain to, and what those have revoked (`revocation`). Read
//! again when a file changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio_util::sync::CancellationToken;

use super::revocation::{Revocations, Unrevoked};
use crate::blocking::Blocked;
use crate::config::HostApiConfig;
use crate::platform::{self, FileError, FileIdentity};
use crate::proven::Proven;

/// A CA bundle with a hundred certificates is under 300 KiB.
const MAX_BYTES: u64 = 1024 * 1024;
/// A list with a hundred thousand entries is under 4 MiB; a client CA that has revoked more serves more than a fleet's operators.
const MAX_CRL_BYTES: u64 = 4 * 1024 * 1024;

/// The settings that name the files.
const CERTIFICATE: &str = "certificateFile";
const KEY: &str = "keyFile";
const CLIENT_CA: &str = "clientCaFile";
const CLIENT_CRL: &str = "clientCrlFile";

/// Where they lie.
#[derive(Clone, Debug)]
pub(super) struct Files {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: PathBuf,
    client_crl: Option<PathBuf>,
}

/// A configuration, and the files it was made of.
#[derive(Clone, Debug)]
pub(super) struct Served {
    pub(super) config: Arc<ServerConfig>,
    /// When the first of the revocation lists expires. From then on no client of its CA is let in until there is a new one: an old list
    /// says nothing of what was revoked since.
    pub(super) crl_next_update: Option<Timestamp>,
    /// Cancelled when another configuration has taken its place: who was let in under it is asked again who he is.
    pub(super) replaced: CancellationToken,
    identity: Vec<FileIdentity>,
}

/// Why the files do not make a TLS server.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("hostApi.{setting}: {source}")]
    File { setting: &'static str, source: FileError },
    #[error("hostApi: certificate, key, client CA and revocation list were not read: {0}")]
    Blocked(#[from] Blocked),
    #[error("hostApi.{setting}: {}: holds no {what} as PEM", path.display())]
    Pem { setting: &'static str, path: PathBuf, what: &'static str },
    #[error("hostApi.certificateFile and hostApi.keyFile do not make a server: {0}")]
    Server(rustls::Error),
    #[error("hostApi.clientCaFile: {0}")]
    ClientCa(String),
    #[error("hostApi.clientCrlFile: {}: not a revocation list that clients can be checked against: {problem}", path.display())]
    ClientCrl { path: PathBuf, problem: String },
}

impl Files {
    pub(super) fn of(config: &HostApiConfig) -> Self {
        Self {
            certificate: config.certificate_file.clone(),
            key: config.key_file.clone(),
            client_ca: config.client_ca_file.clone(),
            client_crl: config.client_crl_file.clone(),
        }
    }

    pub(super) fn load(&self) -> Result<Served, TlsError> {
        let read = |setting, path| platform::read_regular(path, MAX_BYTES).map_err(of(setting));
        let certificate = read(CERTIFICATE, &self.certificate)?;
        let key = read(KEY, &self.key)?;
        let client_ca = read(CLIENT_CA, &self.client_ca)?;
        let chain = certificates(&certificate.bytes, CERTIFICATE, &self.certificate)?;
        let private = PrivateKeyDer::from_pem_slice(&key.bytes).map_err(|_| TlsError::Pem {
            setting: KEY,
            path: self.key.clone(),
            what: "private key",
        })?;
        let mut roots = RootCertStore::empty();
        for root in certificates(&client_ca.bytes, CLIENT_CA, &self.client_ca)? {
            roots.add(root).map_err(|e| TlsError::ClientCa(e.to_string()))?;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let mut identity = vec![certificate.identity, key.identity, client_ca.identity];
        let roots = Arc::new(roots);
        let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .build()
            .map_err(|error| TlsError::ClientCa(error.to_string()))?;
        let mut crl_next_update = None;
        if let Some(path) = &self.client_crl {
            let file = platform::read_regular(path, MAX_CRL_BYTES).map_err(of(CLIENT_CRL))?;
            identity.push(file.identity);
            let revocations = Revocations::parse(&file.bytes, &roots, &algorithms)
                .map_err(|problem| TlsError::ClientCrl { path: path.clone(), problem })?;
            crl_next_update = Some(revocations.next_update);
            verifier = Arc::new(Proven::new(Unrevoked::new(verifier, roots, algorithms, revocations), algorithms));
        }
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Server)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, private)
            .map_err(TlsError::Server)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A resumed session would outlive its client's certificate, and the CA that was taken out of the bundle.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Served { config: Arc::new(config), crl_next_update, replaced: CancellationToken::new(), identity })
    }

    /// The new configuration, if a file is another than the ones behind `served`.
    pub(super) fn reload(&self, served: &Served) -> Result<Option<Served>, TlsError> {
        let named = [(CERTIFICATE, &self.certificate), (KEY, &self.key), (CLIENT_CA, &self.client_ca)];
        let named = named.into_iter().chain(self.client_crl.iter().map(|path| (CLIENT_CRL, path)));
        let identify = |(setting, path): (_, &PathBuf)| platform::identify(path).map_err(of(setting));
        let now: Vec<_> = named.map(identify).collect::<Result<_, _>>()?;
        if now == served.identity { Ok(None) } else { self.load().map(Some) }
    }
}

/// Names the setting that a file comes from.
fn of(setting: &'static str) -> impl FnOnce(FileError) -> TlsError {
    move |source| TlsError::File { setting, source }
}

fn certificates(pem: &[u8], setting: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    read.ok().filter(|certificates| !certificates.is_empty()).ok_or_else(|| TlsError::Pem {
        setting,
        path: path.to_owned(),
        what: "certificate",
    })
}
