//! Reads JKS and JCEKS; keys stay sealed.

use super::{DIGEST_LENGTH, JCEKS_MAGIC, JKS_MAGIC, TAG_KEY, TAG_SECRET, TAG_TRUSTED, alias, protector, serialized};
use crate::{
    Certificate, Entry, EntryKind, Fault, Format, Limits, PasswordCheck, ReadError, Store, alias::Named, cursor::Cursor,
};
use secrecy::SecretString;

/// A store cut into its entries, each with the bytes it was read from.
pub(crate) struct Body<'a> {
    pub(crate) format: Format,
    pub(crate) version: u32,
    pub(crate) entries: Vec<RawEntry<'a>>,
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

/// Reads what can be read. Where the structure itself breaks, what stands before it is kept, and nothing can be said of the
/// digest.
pub(crate) fn read(bytes: &[u8], password: Option<&SecretString>, limits: &Limits) -> Result<Store, ReadError> {
    let Walk { format, found, faults, end, .. } = Walk::of(bytes, limits)?;
    let opens = |password: &SecretString| {
        end.is_some_and(|(covered, digest)| protector::digest_matches(password, covered, &digest))
    };
    let check = match password {
        None if opens(&SecretString::from("")) => PasswordCheck::Empty,
        None => PasswordCheck::NotGiven,
        Some(password) if opens(password) => PasswordCheck::Verified,
        Some(_) => PasswordCheck::Wrong,
    };
    let entries = found.into_iter().flat_map(WalkedEntry::into_entries).collect();
    Ok(Store { format, profile: None, password: check, entries, faults })
}

/// Cuts the store into entries for who writes it anew: a part that cannot be read is an error, and so is a defect of a
/// certificate. Bytes behind the digest are ignored, as Java ignores them.
pub(crate) fn parse<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Body<'a>, ReadError> {
    let Walk { format, version, found, faults, end, .. } = Walk::of(bytes, limits)?;
    if let Some(fault) = faults.into_iter().next() {
        return Err(fault.cause);
    }
    end.ok_or(ReadError::Malformed("it ends before its digest"))?;
    let mut entries = Vec::with_capacity(found.len());
    for WalkedEntry { alias, kind, raw } in found {
        let kind = match kind {
            WalkedKind::Key { sealed, chain } => RawKind::Key { sealed, chain: chain.into_iter().flatten().collect() },
            WalkedKind::Trusted(certificate) => RawKind::Trusted(certificate),
            WalkedKind::Secret => RawKind::Secret,
        };
        kind.certificates().iter().try_for_each(Certificate::check_whole)?;
        entries.push(RawEntry { alias, kind, raw });
    }
    Ok(Body { format, version, entries })
}

impl RawKind<'_> {
    fn certificates(&self) -> &[Certificate] {
        match self {
            Self::Key { chain, .. } => chain,
            Self::Trusted(certificate) => std::slice::from_ref(certificate),
            Self::Secret => &[],
        }
    }
}

/// A store as far as it can be read.
struct Walk<'a> {
    format: Format,
    version: u32,
    found: Vec<WalkedEntry<'a>>,
    faults: Vec<Fault>,
    /// What the digest covers, and the digest; `None` when it was not reached.
    end: Option<(&'a [u8], [u8; DIGEST_LENGTH])>,
    /// In all chains so far, those that cannot be read among them.
    certificates: usize,
}

struct WalkedEntry<'a> {
    alias: String,
    kind: WalkedKind<'a>,
    raw: &'a [u8],
}

enum WalkedKind<'a> {
    Key {
        sealed: &'a [u8],
        /// `None` stands for a certificate that cannot be read.
        chain: Vec<Option<Certificate>>,
    },
    Trusted(Certificate),
    Secret,
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

impl<'a> Walk<'a> {
    fn of(bytes: &'a [u8], limits: &Limits) -> Result<Self, ReadError> {
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
        let mut walk = Self { format, version, found: Vec::new(), faults: Vec::new(), end: None, certificates: 0 };
        for number in 1..=count {
            if let Err(cause) = walk.entry(&mut cursor, number, limits) {
                let rest = if number < count { " and those behind it" } else { "" };
                walk.faults.push(Fault { place: format!("entry {number} of {count}{rest}"), cause });
                return Ok(walk);
            }
            limits.check_certificates(walk.certificates)?;
        }
        let covered = cursor.since(0);
        match cursor.array() {
            Ok(digest) => walk.end = Some((covered, digest)),
            Err(cause) => walk.faults.push(Fault { place: "the digest at its end".to_owned(), cause }),
        }
        Ok(walk)
    }

    /// Reads one entry. An error is one behind which nothing can be found any more.
    fn entry(&mut self, cursor: &mut Cursor<'a>, number: usize, limits: &Limits) -> Result<(), ReadError> {
        let start = cursor.position();
        let tag = cursor.u32()?;
        let name = cursor.take_u16_long()?;
        let known = limits
            .check_alias(name.len())
            .and_then(|()| alias::decode(name).ok_or(ReadError::Malformed("an alias is no text")));
        let alias = match known {
            Ok(alias) => alias,
            Err(cause) => {
                self.faults.push(Fault { place: format!("the alias of entry {number}"), cause });
                String::new()
            }
        };
        let _created = cursor.u64()?;
        let kind = match tag {
            TAG_KEY => {
                let sealed = cursor.take_u32_long()?;
                let count = usize::try_from(cursor.u32()?).unwrap_or(usize::MAX);
                let mut chain = Vec::new();
                let end = self.chain(cursor, count, &mut chain, limits, &|| format!("entry {number}, {alias:?}"));
                if end.is_err() {
                    // What stands before the break is kept.
                    self.found.push(WalkedEntry {
                        alias,
                        kind: WalkedKind::Key { sealed, chain },
                        raw: cursor.since(start),
                    });
                    return end;
                }
                WalkedKind::Key { sealed, chain }
            }
            TAG_TRUSTED => {
                let place = || format!("the certificate of entry {number}, {alias:?}");
                match self.certificate(cursor, place, limits)? {
                    Some(certificate) => WalkedKind::Trusted(certificate),
                    None => return Ok(()),
                }
            }
            TAG_SECRET if self.format == Format::Jceks => {
                serialized::skip(cursor)?;
                WalkedKind::Secret
            }
            _ => return Err(ReadError::Malformed("an entry has an unknown tag")),
        };
        self.found.push(WalkedEntry { alias, kind, raw: cursor.since(start) });
        Ok(())
    }

    /// Of a chain that is too long the first certificates are read and the rest is passed over: each says how long it is.
    fn chain(
        &mut self,
        cursor: &mut Cursor<'a>,
        count: usize,
        chain: &mut Vec<Option<Certificate>>,
        limits: &Limits,
        entry: &dyn Fn() -> String,
    ) -> Result<(), ReadError> {
        let read = count.min(limits.max_chain);
        if let Err(cause) = limits.check_chain(count) {
            self.faults.push(Fault { place: format!("certificates {} to {count} of {}", read + 1, entry()), cause });
        }
        for position in 1..=read {
            let place = || format!("certificate {position} of {}", entry());
            chain.push(self.certificate(cursor, place, limits)?);
        }
        (read..count).try_for_each(|_| self.certificate_bytes(cursor).map(|_| ()))
    }

    /// Whether it is X.509, and its bytes.
    fn certificate_bytes(&self, cursor: &mut Cursor<'a>) -> Result<(bool, &'a [u8]), ReadError> {
        // Version 1 knew nothing but X.509 and did not say so.
        let is_x509 = self.version == 1 || matches!(cursor.take_u16_long()?, b"X.509" | b"X509");
        Ok((is_x509, cursor.take_u32_long()?))
    }

    fn certificate(
        &mut self,
        cursor: &mut Cursor<'a>,
        place: impl FnOnce() -> String,
        limits: &Limits,
    ) -> Result<Option<Certificate>, ReadError> {
        self.certificates += 1;
        let (is_x509, der) = self.certificate_bytes(cursor)?;
        let read = match is_x509 {
            true => limits.check_certificate(der).and_then(|()| Certificate::observe(der)),
            false => Err(ReadError::UnsupportedFormat("a certificate that is not X.509")),
        };
        match read {
            Ok(certificate) => Ok(Some(certificate)),
            Err(cause) => {
                self.faults.push(Fault { place: place(), cause });
                Ok(None)
            }
        }
    }
}

impl WalkedEntry<'_> {
    /// The entry. A chain ends at a certificate that cannot be read; those behind it are certificates of the same alias, for
    /// nothing says any more what they are to the key.
    fn into_entries(self) -> Vec<Entry> {
        let alias = self.alias;
        let (kind, mut chain) = match self.kind {
            WalkedKind::Key { chain, .. } => (EntryKind::Key, chain.into_iter()),
            WalkedKind::Trusted(certificate) => (EntryKind::Trusted, vec![Some(certificate)].into_iter()),
            WalkedKind::Secret => (EntryKind::Secret, Vec::new().into_iter()),
        };
        let whole: Vec<_> = chain.by_ref().map_while(|certificate| certificate).collect();
        let mut entries = vec![Entry { alias: alias.clone(), kind, chain: whole, nested: false }];
        let behind = chain.flatten();
        entries.extend(behind.map(|one| Entry {
            alias: alias.clone(),
            kind: EntryKind::Certificate,
            chain: vec![one],
            nested: false,
        }));
        entries
    }
}
