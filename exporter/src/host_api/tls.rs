//! The TLS side: this host's certificate, the CAs that clients must chain to, and what those have revoked. Read again when a
//! file changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio_util::sync::CancellationToken;
use x509_parser::num_bigint::BigUint;
use x509_parser::oid_registry::OID_X509_EXT_ISSUER_DISTRIBUTION_POINT;
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use crate::blocking::Blocked;
use crate::config::HostApiConfig;
use crate::platform::{self, FileError, FileIdentity};

/// A CA bundle with a hundred certificates is under 300 KiB.
const MAX_BYTES: u64 = 1024 * 1024;
/// A list with a hundred thousand entries is under 4 MiB; a client CA that has revoked more serves more than a fleet's operators.
const MAX_CRL_BYTES: u64 = 4 * 1024 * 1024;

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
    /// When the first of the revocation lists expires. From then on no client is let in until there is a new one: an old list
    /// says nothing of what was revoked since.
    pub(super) crl_next_update: Option<Timestamp>,
    /// Cancelled when another configuration has taken its place: who was let in under it is asked again who he is.
    pub(super) replaced: CancellationToken,
    identity: Vec<FileIdentity>,
}

/// Why the files do not make a TLS server.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("certificate, key, client CA and revocation list were not read: {0}")]
    Blocked(#[from] Blocked),
    #[error("{}: holds no {what} as PEM", path.display())]
    Pem { path: PathBuf, what: &'static str },
    #[error("certificate and key do not make a server: {0}")]
    Server(rustls::Error),
    #[error("the client CA bundle: {0}")]
    ClientCa(String),
    #[error("{}: not a revocation list that clients can be checked against: {problem}", path.display())]
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
        let certificate = platform::read_regular(&self.certificate, MAX_BYTES)?;
        let key = platform::read_regular(&self.key, MAX_BYTES)?;
        let client_ca = platform::read_regular(&self.client_ca, MAX_BYTES)?;
        let chain = certificates(&certificate.bytes, &self.certificate)?;
        let private = PrivateKeyDer::from_pem_slice(&key.bytes)
            .map_err(|_| TlsError::Pem { path: self.key.clone(), what: "private key" })?;
        let mut roots = RootCertStore::empty();
        for root in certificates(&client_ca.bytes, &self.client_ca)? {
            roots.add(root).map_err(|e| TlsError::ClientCa(e.to_string()))?;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut identity = vec![certificate.identity, key.identity, client_ca.identity];
        let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let mut crl_next_update = None;
        if let Some(path) = &self.client_crl {
            let file = platform::read_regular(path, MAX_CRL_BYTES)?;
            identity.push(file.identity);
            let lists = Revocations::parse(&file.bytes)
                .map_err(|problem| TlsError::ClientCrl { path: path.clone(), problem })?;
            crl_next_update = Some(lists.next_update);
            // What no list speaks of is refused, and so is everything once a list has expired, as OpenSSL and nginx do.
            verifier = verifier.with_crls(lists.der).enforce_revocation_expiration();
        }
        let verifier = verifier.build().map_err(|e| TlsError::ClientCa(e.to_string()))?;
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
        let paths = [&self.certificate, &self.key, &self.client_ca].into_iter().chain(&self.client_crl);
        let now: Vec<_> = paths.map(|path| platform::identify(path)).collect::<Result<_, _>>()?;
        if now == served.identity { Ok(None) } else { self.load().map(Some) }
    }
}

/// The newest revocation list of each issuer, and when the first of them expires.
struct Revocations {
    der: Vec<CertificateRevocationListDer<'static>>,
    next_update: Timestamp,
}

impl Revocations {
    fn parse(pem: &[u8]) -> Result<Self, String> {
        let der: Vec<_> = CertificateRevocationListDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|_| "it is no PEM; convert it with `openssl crl -inform DER -outform PEM`".to_owned())?;
        let lists: Vec<_> = der.iter().map(|list| List::read(list)).collect::<Result<_, _>>()?;
        // A file to which each new list is appended: only the newest speaks. The first that fits would be taken otherwise.
        let is_newest = |at: usize| {
            let list = &lists[at];
            let rivals = lists.iter().enumerate().filter(|(_, other)| other.speaks_for == list.speaks_for);
            rivals.max_by_key(|(index, other)| (&other.number, other.this_update, *index)).map(|(index, _)| index)
                == Some(at)
        };
        let kept: Vec<_> = (0..lists.len()).filter(|at| is_newest(*at)).collect();
        let next_update = kept.iter().map(|at| lists[*at].next_update).min();
        let next_update = next_update.ok_or_else(|| "it holds no X509 CRL as PEM".to_owned())?;
        Ok(Self { der: kept.into_iter().map(|at| der[at].clone()).collect(), next_update })
    }
}

/// What decides which of several lists speaks (RFC 5280, section 5).
struct List {
    /// The issuer, and the part of its certificates that the list is for where it is not for all.
    speaks_for: (Vec<u8>, Option<Vec<u8>>),
    /// Its length and its bytes, the highest first: they are in order like the number itself.
    number: (usize, Vec<u8>),
    this_update: i64,
    next_update: Timestamp,
}

impl List {
    fn read(der: &[u8]) -> Result<Self, String> {
        let (_, list) = CertificateRevocationList::from_der(der).map_err(|error| error.to_string())?;
        let end = list.next_update().and_then(|end| Timestamp::from_second(end.timestamp()).ok());
        let number = list.crl_number().map(BigUint::to_bytes_be).unwrap_or_default();
        let part = list.extensions().iter().find(|extension| extension.oid == OID_X509_EXT_ISSUER_DISTRIBUTION_POINT);
        Ok(Self {
            speaks_for: (list.issuer().as_raw().to_vec(), part.map(|extension| extension.value.to_vec())),
            number: (number.len(), number),
            this_update: list.last_update().timestamp(),
            next_update: end.ok_or_else(|| "it does not say when the next one is due (nextUpdate)".to_owned())?,
        })
    }
}

fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    read.ok()
        .filter(|certificates| !certificates.is_empty())
        .ok_or_else(|| TlsError::Pem { path: path.to_owned(), what: "certificate" })
}
