//! The TLS side: this host's certificate, the CAs that clients must chain to, and what those have revoked. Read again when a
//! file changes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
};
use tokio_util::sync::CancellationToken;
use x509_parser::num_bigint::BigUint;
use x509_parser::oid_registry::OID_X509_EXT_ISSUER_DISTRIBUTION_POINT;
use x509_parser::prelude::{CertificateRevocationList, FromDer, ParsedExtension};

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
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let bad_ca = |error: VerifierBuilderError| TlsError::ClientCa(error.to_string());
        let (mut crl_next_update, mut sets) = (None, Vec::new());
        if let Some(path) = &self.client_crl {
            let file = platform::read_regular(path, MAX_CRL_BYTES)?;
            identity.push(file.identity);
            let lists = Revocations::parse(&file.bytes)
                .map_err(|problem| TlsError::ClientCrl { path: path.clone(), problem })?;
            crl_next_update = Some(lists.next_update);
            sets = lists.sets();
        }
        // What no list speaks of is refused, and so is everything once a list has expired, as OpenSSL and nginx do.
        let with = |lists| verifier.clone().with_crls(lists).enforce_revocation_expiration().build();
        let mut verifiers = sets.into_iter().map(with).collect::<Result<Vec<_>, _>>().map_err(bad_ca)?;
        let verifier: Arc<dyn ClientCertVerifier> = match verifiers.pop() {
            None => verifier.build().map_err(bad_ca)?,
            Some(last) if verifiers.is_empty() => last,
            Some(last) => Arc::new(EachKey { first: last, others: verifiers }),
        };
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

/// Asks with the lists of each key of a CA that has two under one name, as while it takes a new key: of one name, the first
/// list is taken, whichever key has signed it.
#[derive(Debug)]
struct EachKey {
    first: Arc<dyn ClientCertVerifier>,
    others: Vec<Arc<dyn ClientCertVerifier>>,
}

impl ClientCertVerifier for EachKey {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.first.root_hint_subjects()
    }

    /// A list counts only for the key that has signed it, so one that lets a client in is its CA's; and one that says that the
    /// client was revoked stands against all others.
    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let is_revoked = |verified: &Result<ClientCertVerified, rustls::Error>| {
            matches!(verified, Err(rustls::Error::InvalidCertificate(CertificateError::Revoked)))
        };
        let mut verified = self.first.verify_client_cert(leaf, intermediates, now);
        for other in &self.others {
            let next = other.verify_client_cert(leaf, intermediates, now);
            if is_revoked(&next) || (verified.is_err() && !is_revoked(&verified)) {
                verified = next;
            }
        }
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.first.verify_tls12_signature(message, leaf, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.first.verify_tls13_signature(message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.first.supported_verify_schemes()
    }
}

/// The newest revocation list of each kind, the newest of all first, and when the first of them expires.
struct Revocations {
    lists: Vec<(List, CertificateRevocationListDer<'static>)>,
    next_update: Timestamp,
}

impl Revocations {
    fn parse(pem: &[u8]) -> Result<Self, String> {
        let der: Vec<_> = CertificateRevocationListDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|_| "it is no PEM; convert it with `openssl crl -inform DER -outform PEM`".to_owned())?;
        let mut lists = Vec::with_capacity(der.len());
        for (at, der) in der.into_iter().enumerate() {
            lists.push((List::read(&der, at)?, der));
        }
        // A file to which each new list is appended: only the newest of its kind speaks.
        let is_newest = |list: &List| {
            let rivals = lists.iter().map(|(other, _)| other).filter(|other| other.speaks_for == list.speaks_for);
            rivals.max_by_key(|other| (&other.number, other.this_update, other.at)).is_some_and(|it| it.at == list.at)
        };
        let kept: Vec<_> = lists.iter().map(|(list, _)| is_newest(list)).collect();
        let mut kept = kept.into_iter();
        lists.retain(|_| kept.next() == Some(true));
        // Lists of different scopes have numbers of their own. The first that fits is taken, and one for everything fits always.
        lists.sort_by(|(a, _), (b, _)| b.age_key().cmp(&a.age_key()));
        let next_update = lists.iter().map(|(list, _)| list.next_update).min();
        let next_update = next_update.ok_or_else(|| "it holds no X509 CRL as PEM".to_owned())?;
        Ok(Self { lists, next_update })
    }

    /// One set where each issuer has signed with one key; else as many as the keys of the one with the most. A list that does
    /// not say who has signed it is in all of them.
    fn sets(&self) -> Vec<Vec<CertificateRevocationListDer<'static>>> {
        let mut keys: BTreeMap<&[u8], Vec<&[u8]>> = BTreeMap::new();
        for (list, _) in &self.lists {
            let known = keys.entry(&list.speaks_for.issuer).or_default();
            known.extend(list.speaks_for.key.as_deref().filter(|key| !known.contains(key)));
        }
        let most = keys.values().map(Vec::len).max().unwrap_or_default().max(1);
        let is_in = |set: usize, list: &List| {
            let (of_issuer, key) = (&keys[list.speaks_for.issuer.as_slice()], list.speaks_for.key.as_deref());
            key.is_none_or(|key| of_issuer[set % of_issuer.len()] == key)
        };
        let set = |set| self.lists.iter().filter(|(list, _)| is_in(set, list)).map(|(_, der)| der.clone()).collect();
        (0..most).map(set).collect()
    }
}

/// What decides which of several lists speaks (RFC 5280, section 5).
struct List {
    speaks_for: SpeaksFor,
    /// Its length and its bytes, the highest first: they are in order like the number itself.
    number: (usize, Vec<u8>),
    this_update: i64,
    next_update: Timestamp,
    /// In the file.
    at: usize,
}

#[derive(PartialEq, Eq)]
struct SpeaksFor {
    issuer: Vec<u8>,
    /// The identifier of the issuer's key, where the list tells it.
    key: Option<Vec<u8>>,
    /// The part of the issuer's certificates that the list is for, where it is not for all.
    part: Option<Vec<u8>>,
}

impl List {
    fn read(der: &[u8], at: usize) -> Result<Self, String> {
        let (_, list) = CertificateRevocationList::from_der(der).map_err(|error| error.to_string())?;
        let end = list.next_update().and_then(|end| Timestamp::from_second(end.timestamp()).ok());
        let number = list.crl_number().map(BigUint::to_bytes_be).unwrap_or_default();
        let part = list.extensions().iter().find(|extension| extension.oid == OID_X509_EXT_ISSUER_DISTRIBUTION_POINT);
        let key = list.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(authority) => Some(authority.key_identifier.as_ref()?.0.to_vec()),
            _ => None,
        });
        let part = part.map(|extension| extension.value.to_vec());
        Ok(Self {
            speaks_for: SpeaksFor { issuer: list.issuer().as_raw().to_vec(), key, part },
            number: (number.len(), number),
            this_update: list.last_update().timestamp(),
            next_update: end.ok_or_else(|| "it does not say when the next one is due (nextUpdate)".to_owned())?,
            at,
        })
    }

    const fn age_key(&self) -> (i64, &(usize, Vec<u8>), usize) {
        (self.this_update, &self.number, self.at)
    }
}

fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    read.ok()
        .filter(|certificates| !certificates.is_empty())
        .ok_or_else(|| TlsError::Pem { path: path.to_owned(), what: "certificate" })
}
