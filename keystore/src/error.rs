//! Why a store could not be read or merged: closed sets that become metric labels and condition reasons.

use crate::content::{Content, Foreign};

/// Why bytes could not be read as a keystore, or a key not be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    #[error("the store cannot be read: {0}; the file is damaged or cut short, restore it from a backup")]
    Malformed(&'static str),
    #[error("the password does not open the store, or the store was tampered with; the format cannot tell which")]
    BadPassword,
    #[error("the store's content is encrypted; give the store's password")]
    PasswordNeeded,
    #[error(
        "the store cannot be read: {0} is not supported; export its certificates as PEM or PKCS#12, or take the file out of the paths"
    )]
    UnsupportedFormat(&'static str),
    #[error(
        "the store is protected with {0}, which is not read here; write it anew with AES and SHA-256, as openssl 3 and Java 17 do \
         by default"
    )]
    UnsupportedAlgorithm(String),
    #[error("the file holds no certificate")]
    NoCertificate,
    #[error("{0}")]
    Holds(Content),
    #[error("{0}")]
    Foreign(Foreign),
    #[error("the store is refused: {what} exceed the limit of {limit}")]
    TooLarge { what: &'static str, limit: usize },
    #[error(
        "the store is refused: it asks for {iterations} key derivation rounds, the limit is {limit}; write it anew with fewer"
    )]
    TooExpensive { iterations: u64, limit: u64 },
    #[error("no private key is stored under the alias")]
    NoKey,
    #[error("the private key under the alias does not belong to its certificate")]
    KeyMismatch,
}

impl ReadError {
    /// The cause alone, for a part of a file whose other parts could be read.
    pub fn of_part(&self) -> String {
        match self {
            Self::Malformed(what) => (*what).to_owned(),
            Self::UnsupportedFormat(what) => format!("{what} is not supported"),
            Self::UnsupportedAlgorithm(name) => format!("it is protected with {name}, which is not read here"),
            Self::TooLarge { what, limit } => format!("{what} exceed the limit of {limit}"),
            Self::Holds(content) => format!("it holds {}", content.what()),
            Self::Foreign(foreign) => format!("it is {}", foreign.what()),
            other => other.to_string(),
        }
    }

    /// The stable name of this error, fit for a metric label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::BadPassword => "bad_password",
            Self::PasswordNeeded => "password_needed",
            Self::UnsupportedFormat(_) | Self::Foreign(_) => "unsupported_format",
            Self::UnsupportedAlgorithm(_) => "unsupported_algorithm",
            Self::NoCertificate | Self::Holds(_) => "no_certificate",
            Self::TooLarge { .. } => "too_large",
            Self::TooExpensive { .. } => "too_expensive",
            Self::NoKey => "no_key",
            Self::KeyMismatch => "key_mismatch",
        }
    }
}

/// Why a key and chain could not be put into a store. Nothing has been written then: the caller keeps the old bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    #[error(
        "the old store cannot be opened ({0}), so its entries cannot be kept; give its password, or allow it to be replaced"
    )]
    StoreUnreadable(#[source] ReadError),
    #[error("the merge is refused: entry {alias:?} would be lost or changed ({why})")]
    WouldLoseEntry { alias: String, why: &'static str },
    #[error("{0} cannot hold a private key; choose JKS, JCEKS, PKCS#12 or PEM")]
    UnsupportedFormat(&'static str),
    #[error("the store's password has fewer than {minimum} characters, which Java's tools refuse; choose a longer one")]
    PasswordTooShort { minimum: usize },
    #[error("a store of this format needs a password to seal the private key; none was given")]
    PasswordNeeded,
    #[error(
        "the password holds characters that Java cannot use with JCEKS and PKCS#12 (printable ASCII works); choose another"
    )]
    PasswordNotAscii,
    #[error("the alias cannot be stored: {0}")]
    BadAlias(&'static str),
    #[error("the new key is refused: {0}")]
    BadKey(#[source] ReadError),
    #[error("the store is refused: {0} exceed the limit")]
    TooLarge(&'static str),
    #[error(
        "the merged store did not pass its check: {0}; the old store stays. This is a fault of this program: report it with what \
         `kagiban-exporter keystore list` says of the store, and until it is mended rotate into a store that keytool has made anew"
    )]
    CheckFailed(&'static str),
}

impl MergeError {
    /// The stable name of this error, fit for a metric label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::StoreUnreadable(_) => "store_unreadable",
            Self::WouldLoseEntry { .. } => "would_lose_entry",
            Self::UnsupportedFormat(_) => "unsupported_format",
            Self::PasswordTooShort { .. } => "password_too_short",
            Self::PasswordNeeded => "password_needed",
            Self::PasswordNotAscii => "password_not_ascii",
            Self::BadAlias(_) => "bad_alias",
            Self::BadKey(_) => "bad_key",
            Self::TooLarge(_) => "too_large",
            Self::CheckFailed(_) => "check_failed",
        }
    }
}
