//! What is put into a store: as it is asked for, and entry by entry.

use crate::{Certificate, Format, KeyMaterial, Pkcs12Profile};
use jiff::Timestamp;
use secrecy::SecretString;
use std::fmt;

/// What is to be merged into what.
#[derive(Clone, Copy)]
pub struct Merge<'a> {
    /// The store as it lies on the host; `None` makes a new one.
    pub old: Option<&'a [u8]>,
    /// Passwords the old store may have. The new one is always tried first.
    pub old_passwords: &'a [SecretString],
    /// The password the merged store gets. Only a PEM file can do without.
    pub new_password: Option<&'a SecretString>,
    /// Compared without regard to case, as Java does; ignored for PEM.
    pub alias: &'a str,
    pub key: &'a KeyMaterial,
    /// A certificate that the store is to trust besides, as `keytool -import -trustcacerts` has it; ignored for PEM.
    pub trusted: Option<Trusted<'a>>,
    /// `None` keeps what is found, and makes a PKCS#12 where nothing is.
    pub format: Option<Format>,
    /// `None` keeps what is found, and is [`Pkcs12Profile::Modern`] where nothing is.
    pub profile: Option<Pkcs12Profile>,
    pub on_unreadable: OnUnreadable,
    /// Becomes the entry's creation date.
    pub now: Timestamp,
}

/// A certificate to be trusted, and the alias that it is to have.
#[derive(Clone, Copy, Debug)]
pub struct Trusted<'a> {
    pub alias: &'a str,
    pub certificate: &'a Certificate,
}

/// What became of a [`Trusted`]. No other entry ever gives way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustedPlace {
    /// It was put there. Where another entry has the alias that was asked for, this one ends in the beginning of its SHA-256.
    Put { alias: String },
    /// An entry trusted it before.
    There { alias: String },
    /// Other entries have either alias.
    Taken,
}

/// What happens to an old store that cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUnreadable {
    /// It is left alone and the merge refused.
    Refuse,
    /// The new store holds nothing but the new key. The old one is the caller's to back up.
    Replace,
}

/// One entry that a writer puts into a store, in the place of the one with the same alias.
pub(crate) struct Put<'a> {
    pub(crate) alias: &'a str,
    pub(crate) content: Content<'a>,
}

pub(crate) enum Content<'a> {
    Key(&'a KeyMaterial),
    Trusted(&'a Certificate),
}

impl fmt::Debug for Merge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Merge").field("alias", &self.alias).field("format", &self.format).finish_non_exhaustive()
    }
}
