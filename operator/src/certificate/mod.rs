//! What certificates and CSRs say, and what may be made of them: after the resource's spec and not after the CSR's wishes.
//!
//! ```text
//!   CSR ──csr──> a key that fits the spec ──authority──> leaf + CA, PEM
//!                                   ^
//!                    spec (names, duration), the CA's certificates and key, now
//!
//!   CA's certificates ──facts──> who it is, until when, what it may sign (constraints)
//!   (root makes a CA where there is none)
//!   leaf of a host ──adopt──> whether it is as good as one that would be signed now
//! ```
//!
//! Pure: it knows neither who asks nor where a CA is kept.

mod adopt;
mod authority;
mod constraints;
mod csr;
mod facts;
mod root;
#[cfg(test)]
mod tests;

pub use adopt::{ShownLeaf, fitting, shown};
pub use authority::{Authority, Issued};
pub use csr::{CsrKey, check};
pub use facts::{IssuerFacts, chain_end, not_after};
pub use root::MadeAuthority;

use std::time::Duration;

use kagiban_crds::host_api::MAX_CHAIN_CERTIFICATES;
use kagiban_crds::resource::{BlockedBy, CertificateSpec};
use kagiban_keystore::pem_block;
use rcgen::KeyPair;
use zeroize::Zeroizing;

/// A certificate starts this long before it is signed, for hosts whose clock is behind.
pub const BACKDATE: Duration = Duration::from_secs(300);
/// Of `tls.crt` and of `tls.key`. A chain of RSA-4096 certificates is half of it; what the host is sent has an end too.
const MAX_PEM_BYTES: usize = 32 * 1024;
/// The leaf takes a place in the chain that is delivered.
const MAX_ISSUER_CERTIFICATES: usize = MAX_CHAIN_CERTIFICATES - 1;
/// X.520's upper bound for a common name.
const LONGEST_COMMON_NAME: usize = 64;

/// A certificate in PEM, of the same bytes on every system: what makes it would end its lines as the system does.
fn certificate_pem(der: &[u8]) -> String {
    pem_block("CERTIFICATE", der).to_string()
}

/// A private key in PEM (PKCS#8), as [`certificate_pem`].
pub(crate) fn private_key_pem(key: &KeyPair) -> Zeroizing<String> {
    pem_block("PRIVATE KEY", &Zeroizing::new(key.serialize_der()))
}

/// Why nothing was signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssuerError {
    #[error("the issuer's Secret has no {0}: it must be of type kubernetes.io/tls")]
    MissingKey(&'static str),
    #[error("the issuer's {0} cannot be read: it must be PEM")]
    Unreadable(&'static str),
    #[error(
        "the issuer's {0} holds more than {MAX_ISSUER_CERTIFICATES} certificates: it is for the CA's and those above it"
    )]
    TooMany(&'static str),
    #[error("the issuer's {0} is larger than {MAX_PEM_BYTES} bytes")]
    TooLarge(&'static str),
    #[error("the issuer's certificate is no CA certificate that may sign others")]
    NotCa,
    #[error(
        "the issuer's tls.crt is no chain: certificate {0} in it is not signed by the one after it; it is for the CA's own, and then \
         for each that signed the one before"
    )]
    NotChain(usize),
    #[error(
        "the issuer's tls.crt holds a CA that may not sign for TLS servers: its extended key usage lacks serverAuth, so clients \
         refuse what it signs"
    )]
    NotForServers,
    #[error(
        "the issuer's tls.crt holds a CA that may not sign for TLS clients: its extended key usage lacks clientAuth, so servers \
         refuse what it signs"
    )]
    NotForClients,
    #[error("the issuer's tls.crt has a critical extension ({0}) that clients do not know: they refuse what it signs")]
    CriticalExtension(String),
    #[error("the issuer's certificate is not valid now: it runs from {not_before} to {not_after}")]
    NotValid { not_before: String, not_after: String },
    #[error("the issuer's key does not belong to its certificate")]
    KeyMismatch,
    #[error(
        "certificate {number} in the issuer's tls.crt has a key ({key}) that is weaker than RSA-2048: clients refuse what it signs"
    )]
    WeakIssuer { number: usize, key: String },
    #[error(
        "certificate {number} in the issuer's tls.crt has a key ({key}) of a kind that this operator cannot use: it takes RSA of 2048 \
         to 8192 bits and ECDSA on P-256 or P-384"
    )]
    UnknownKey { number: usize, key: String },
    #[error(
        "the issuer's tls.key is PEM, but no private key that this operator can sign with: it takes unencrypted RSA and ECDSA keys"
    )]
    UnusableKey,
    #[error(
        "certificate {0} in the issuer's tls.crt says in its authority key identifier that another key has signed it than that of the \
         certificate after it: clients such as OpenSSL find no way from one to the other; have it issued anew by that CA"
    )]
    KeyIdentifier(usize),
    #[error("the issuer's name cannot be copied into a certificate as it is; use a CA with a plain subject")]
    IssuerName,
    #[error("the host's CSR cannot be read")]
    BadCsr,
    #[error("the host's CSR is not signed with its own key")]
    CsrSignature,
    #[error("the key in the host's CSR is not the one that was asked for ({0})")]
    CsrKey(&'static str),
    #[error(
        "the subject in the host's CSR is not the one that was asked for: upgrade its exporter, which may be too old to know a subject"
    )]
    CsrSubject,
    #[error("the spec asks for a name or address that cannot stand in a certificate: {0}")]
    BadName(String),
    #[error(
        "the issuer's name constraints do not allow {0}: take it out of the spec, or name an issuer that may sign it"
    )]
    NameConstraint(String),
    #[error(
        "the issuer's name constraints do not allow the subject {0}, which a leaf has: ask for one that they allow in \
         certificate.subject, or name an issuer without a constraint on directory names"
    )]
    SubjectConstraint(String),
    #[error("signing failed")]
    Signing,
}

impl IssuerError {
    /// Stable, for metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::MissingKey(_) => "missing_key",
            Self::Unreadable(_) => "unreadable",
            Self::TooMany(_) => "too_many_certificates",
            Self::TooLarge(_) => "too_large",
            Self::NotCa => "not_ca",
            Self::NotChain(_) => "not_chain",
            Self::NotForServers => "not_for_servers",
            Self::NotForClients => "not_for_clients",
            Self::CriticalExtension(_) => "critical_extension",
            Self::NotValid { .. } => "not_valid",
            Self::KeyMismatch => "key_mismatch",
            Self::WeakIssuer { .. } => "weak_issuer",
            Self::UnknownKey { .. } => "unknown_key",
            Self::UnusableKey => "unusable_key",
            Self::KeyIdentifier(_) => "key_identifier",
            Self::IssuerName => "issuer_name",
            Self::BadCsr => "bad_csr",
            Self::CsrSignature => "csr_signature",
            Self::CsrKey(_) => "csr_key",
            Self::CsrSubject => "csr_subject",
            Self::BadName(_) => "bad_name",
            Self::NameConstraint(_) => "name_constraint",
            Self::SubjectConstraint(_) => "subject_constraint",
            Self::Signing => "signing",
        }
    }

    /// What it keeps from being done.
    pub const fn blocked_by(&self) -> BlockedBy {
        match self {
            Self::MissingKey(_)
            | Self::Unreadable(_)
            | Self::TooMany(_)
            | Self::TooLarge(_)
            | Self::NotCa
            | Self::NotChain(_)
            | Self::NotForServers
            | Self::NotForClients
            | Self::CriticalExtension(_)
            | Self::NotValid { .. }
            | Self::KeyMismatch
            | Self::WeakIssuer { .. }
            | Self::UnknownKey { .. }
            | Self::UnusableKey
            | Self::KeyIdentifier(_)
            | Self::IssuerName
            | Self::Signing => BlockedBy::IssuerUnavailable,
            Self::NameConstraint(_) | Self::SubjectConstraint(_) => BlockedBy::IssuerRefused,
            Self::BadName(_) => BlockedBy::SpecInvalid,
            Self::BadCsr | Self::CsrSignature | Self::CsrKey(_) | Self::CsrSubject => BlockedBy::HostAnswerRefused,
        }
    }
}

/// What a leaf is shown for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    Server,
    Client,
}

/// RFC 5280, section 4.1.2.2: 20 octets, and one that says that the number is positive.
const LONGEST_SERIAL: usize = 21;

/// What the subject of a leaf has beside what the spec's `subject` asks for, if it fits.
fn common_name(spec: &CertificateSpec) -> Option<&str> {
    spec.dns_names.first().map(String::as_str).filter(|name| name.len() <= LONGEST_COMMON_NAME)
}

/// As `keytool` prints it: lower case, without leading zeros. Of one that is longer than RFC 5280 lets it be, the beginning.
fn serial_text(serial: &[u8]) -> String {
    let (told, more) = serial.split_at(serial.len().min(LONGEST_SERIAL));
    let text = hex::encode(told).trim_start_matches('0').to_owned();
    if more.is_empty() { text } else { format!("{text}...") }
}
