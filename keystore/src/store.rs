//! What a store holds once it is read, whatever its format.

use crate::{Certificate, ReadError, content::Content};
use std::fmt;
use zeroize::Zeroizing;

/// The kinds of file that are understood, told apart by content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    Jks,
    Jceks,
    Pkcs12,
    Pem,
    Der,
    Pkcs7,
}

impl Format {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jks => "jks",
            Self::Jceks => "jceks",
            Self::Pkcs12 => "pkcs12",
            Self::Pem => "pem",
            Self::Der => "der",
            Self::Pkcs7 => "pkcs7",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the password that came along was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PasswordCheck {
    /// It opens the store: the store's digest, MAC or encryption agrees with it.
    Verified,
    /// It does not, or the store was tampered with. The certificates could be read all the same.
    Wrong,
    /// None came along, and the store has something that one could be checked against.
    NotGiven,
    /// None came along, and the empty one opens the store: whoever can read the file can read its keys.
    Empty,
    /// The store has nothing that a password could be checked against.
    NoneNeeded,
}

impl PasswordCheck {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Wrong => "wrong",
            Self::NotGiven => "not-given",
            Self::Empty => "empty",
            Self::NoneNeeded => "none-needed",
        }
    }
}

/// What an entry is to its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EntryKind {
    /// A private key and the chain that belongs to it, leaf first.
    Key,
    /// A certificate that is trusted by being here.
    Trusted,
    /// A symmetric key; it has no certificate.
    Secret,
    /// A certificate of which the format does not say what it is for.
    Certificate,
}

impl EntryKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Trusted => "trusted",
            Self::Secret => "secret",
            Self::Certificate => "certificate",
        }
    }
}

/// The algorithms a PKCS#12 is written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pkcs12Profile {
    /// Triple DES and HMAC-SHA-1: what Java before 8u301 and Windows before Server 2019 read.
    Legacy,
    /// PBES2 with AES-256 and HMAC-SHA-256: what Java writes from 17 on.
    Modern,
}

impl Pkcs12Profile {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Modern => "modern",
        }
    }
}

/// A store that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    pub format: Format,
    /// Which algorithms a PKCS#12 was written with; `None` for other formats and where nothing is encrypted or sealed.
    pub profile: Option<Pkcs12Profile>,
    pub password: PasswordCheck,
    /// In the order of the file.
    pub entries: Vec<Entry>,
    /// What stands in the file beside the entries and could not be read, in its order.
    pub faults: Vec<Fault>,
}

/// A part of a store that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where it stands, as a person finds it: `the certificate at line 21`. It may hold an alias, hostile until shown otherwise.
    pub place: String,
    pub cause: ReadError,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.cause.of_part())
    }
}

impl Store {
    /// Every certificate, in the order of the file.
    pub fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        self.entries.iter().flat_map(|entry| &entry.chain)
    }

    /// Fails for a store without a certificate, and says what it holds instead: the same for every format.
    ///
    /// # Errors
    /// [`ReadError::Holds`], or the first fault.
    pub fn check_has_certificate(&self) -> Result<(), ReadError> {
        match (self.certificates().next(), self.faults.first()) {
            (Some(_), _) => Ok(()),
            (None, Some(fault)) => Err(fault.cause.clone()),
            (None, None) if self.entries.is_empty() => Err(ReadError::Holds(Content::EmptyStore)),
            (None, None) => Err(ReadError::Holds(Content::KeysAlone)),
        }
    }
}

/// One entry of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As it is spelled in the store; empty where the format has none.
    pub alias: String,
    pub kind: EntryKind,
    /// Leaf first; empty for secrets.
    pub chain: Vec<Certificate>,
    /// It stands in a safe within a PKCS#12's safe: Java does not load it, and a merge keeps that safe as it is.
    pub nested: bool,
}

impl Entry {
    /// The certificate that names this entry: the first of its chain.
    pub fn leaf(&self) -> Option<&Certificate> {
        self.chain.first()
    }
}

/// A private key in the clear and the chain that was issued for it.
pub struct KeyMaterial {
    /// PKCS#8 (`PrivateKeyInfo`), DER.
    pub pkcs8: Zeroizing<Vec<u8>>,
    /// Leaf first.
    pub chain: Vec<Certificate>,
}

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyMaterial").field("chain", &self.chain).finish_non_exhaustive()
    }
}
