//! Reads JKS and JCEKS; keys stay sealed.

use super::{DIGEST_LENGTH, JCEKS_MAGIC, JKS_MAGIC, TAG_KEY, TAG_SECRET, TAG_TRUSTED, alias, protector, serialized};
use crate::{
    Certificate, Entry, EntryKind, Format, Limits, PasswordCheck, ReadError, Store, alias::Named, cursor::Cursor,
};
use secrecy::SecretString;

/// A store cut into its entries, each with the bytes it was read from.
pub(crate) struct Body<'a> {
    pub(crate) format: Format,
    pub(crate) version: u32,
    pub(crate) entries: Vec<RawEntry<'a>>,
    /// What the digest covers.
    covered: &'a [u8],
    digest: [u8; DIGEST_LENGTH],
}

pub(crate) struct RawEntry<'a> {
    pub(crate) alias: String,
    pub(crate) kind: RawKind<'a>,
    /// The whole entry, tag included.
    pub(crate) raw: &'a [u8],
}

pub(crate) enum RawKind<'a> {
    /// An `EncryptedPrivateKeyInfo`, and the certificates.
    Key {
        sealed: &'a [u8],
        chain: Vec<Certificate>,
    },
    Trusted(Certificate),
    Secret,
}

impl Body<'_> {
    /// Whether this is the store's password, as far as its digest can say.
    pub(crate) fn is_opened_by(&self, password: &SecretString) -> bool {
        protector::digest_matches(password, self.covered, &self.digest)
    }
}

pub(crate) fn read(bytes: &[u8], password: Option<&SecretString>, limits: &Limits) -> Result<Store, ReadError> {
    let body = parse(bytes, limits)?;
    let check = match password {
        None => PasswordCheck::NotGiven,
        Some(password) if body.is_opened_by(password) => PasswordCheck::Verified,
        Some(_) => PasswordCheck::Wrong,
    };
    let entries = body.entries.into_iter().map(Entry::from).collect();
    Ok(Store { format: body.format, profile: None, password: check, entries })
}

/// Cuts the store into entries. Bytes behind the digest are ignored, as Java ignores them.
pub(crate) fn parse<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Body<'a>, ReadError> {
    let mut cursor = Cursor::new(bytes);
    let format = match cursor.array()? {
        JKS_MAGIC => Format::Jks,
        JCEKS_MAGIC => Format::Jceks,
        _ => return Err(ReadError::UnsupportedFormat("a file without the magic number of JKS or JCEKS")),
    };
    let version = cursor.u32()?;
    if !(1..=2).contains(&version) {
        return Err(ReadError::UnsupportedFormat("this version of JKS"));
    }
    let count = usize::try_from(cursor.u32()?).unwrap_or(usize::MAX);
    limits.check_entries(count)?;
    let mut entries = Vec::new();
    let mut certificates = 0;
    for _ in 0..count {
        let entry = entry(&mut cursor, format, version, limits)?;
        certificates += entry.certificates();
        limits.check_certificates(certificates)?;
        entries.push(entry);
    }
    let covered = cursor.since(0);
    let digest = cursor.array()?;
    Ok(Body { format, version, entries, covered, digest })
}

fn entry<'a>(
    cursor: &mut Cursor<'a>,
    format: Format,
    version: u32,
    limits: &Limits,
) -> Result<RawEntry<'a>, ReadError> {
    let start = cursor.position();
    let tag = cursor.u32()?;
    let alias = cursor.take_u16_long()?;
    limits.check_alias(alias.len())?;
    let alias = alias::decode(alias).ok_or(ReadError::Malformed("an alias is no text"))?;
    let _created = cursor.u64()?;
    let kind = match tag {
        TAG_KEY => {
            let sealed = cursor.take_u32_long()?;
            let count = usize::try_from(cursor.u32()?).unwrap_or(usize::MAX);
            limits.check_chain(count)?;
            let mut chain = Vec::new();
            for _ in 0..count {
                chain.push(certificate(cursor, version, limits)?);
            }
            RawKind::Key { sealed, chain }
        }
        TAG_TRUSTED => RawKind::Trusted(certificate(cursor, version, limits)?),
        TAG_SECRET if format == Format::Jceks => {
            serialized::skip(cursor)?;
            RawKind::Secret
        }
        _ => return Err(ReadError::Malformed("an entry has an unknown tag")),
    };
    Ok(RawEntry { alias, kind, raw: cursor.since(start) })
}

fn certificate(cursor: &mut Cursor<'_>, version: u32, limits: &Limits) -> Result<Certificate, ReadError> {
    // Version 1 knew nothing but X.509 and did not say so.
    if version > 1 && !matches!(cursor.take_u16_long()?, b"X.509" | b"X509") {
        return Err(ReadError::UnsupportedFormat("a certificate that is not X.509"));
    }
    let der = cursor.take_u32_long()?;
    limits.check_certificate(der.len())?;
    Certificate::from_der(der.to_vec())
}

impl RawEntry<'_> {
    fn certificates(&self) -> usize {
        match &self.kind {
            RawKind::Key { chain, .. } => chain.len(),
            RawKind::Trusted(_) => 1,
            RawKind::Secret => 0,
        }
    }
}

impl Named for RawEntry<'_> {
    fn alias(&self) -> &str {
        &self.alias
    }

    fn kind(&self) -> EntryKind {
        match self.kind {
            RawKind::Key { .. } => EntryKind::Key,
            RawKind::Trusted(_) => EntryKind::Trusted,
            RawKind::Secret => EntryKind::Secret,
        }
    }
}

impl From<RawEntry<'_>> for Entry {
    fn from(raw: RawEntry<'_>) -> Self {
        let (kind, chain) = match raw.kind {
            RawKind::Key { chain, .. } => (EntryKind::Key, chain),
            RawKind::Trusted(certificate) => (EntryKind::Trusted, vec![certificate]),
            RawKind::Secret => (EntryKind::Secret, Vec::new()),
        };
        Self { alias: raw.alias, kind, chain }
    }
}
