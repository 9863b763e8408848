//! Puts a key and its chain under an alias and keeps every other entry; refuses what it cannot prove to have kept.

use crate::{
    Certificate, Diff, Entry, EntryKind, Format, KeyMaterial, Limits, Merge, MergeError, OnUnreadable, PasswordCheck,
    ReadError, Store, Summary, TrustedPlace, alias, diff, jks, key_pair,
    key_pair::Encoded,
    open_key::{extract_key, open_key},
    pem,
    pkcs12::{self, Opened},
    put::{Content, Put},
    read_whole, sniff, text, trusted,
};
use secrecy::{ExposeSecret as _, SecretString};
use std::{collections::HashSet, fmt};
use zeroize::Zeroizing;

/// What keytool asks for at least, of JKS, JCEKS and PKCS#12.
const MINIMUM_PASSWORD: usize = 6;

/// The merged store, read back and compared with the old one.
pub struct Merged {
    pub bytes: Zeroizing<Vec<u8>>,
    pub format: Format,
    /// Against the old store, or against nothing where that was absent or replaced.
    pub diff: Diff,
    /// Where there was a certificate to be trusted, and the format has such entries.
    pub trusted: Option<TrustedPlace>,
}

impl fmt::Debug for Merged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Merged").field("format", &self.format).field("diff", &self.diff).finish_non_exhaustive()
    }
}

/// The old store, opened.
enum Old<'a> {
    Jks(jks::Body<'a>),
    Pkcs12(Opened),
    Pem(std::borrow::Cow<'a, [u8]>),
}

/// Merges. The result was read again and holds our key under our alias, opened by the new password, and every other
/// entry as it was; otherwise it is an error and nothing has changed.
///
/// JKS and JCEKS entries are sealed one by one and kept as they are, even when no known password opens the store. A
/// PKCS#12 has to be opened. Where the format changes, other keys have to be opened too.
pub fn merge(merge: &Merge<'_>, limits: &Limits) -> Result<Merged, MergeError> {
    check_key(merge.key, limits)?;
    let old = match merge.old.map(|bytes| open_old(bytes, merge, limits)) {
        None => None,
        Some(Ok(old)) => Some(old),
        Some(Err(_)) if merge.on_unreadable == OnUnreadable::Replace => None,
        Some(Err(error)) => return Err(MergeError::StoreUnreadable(error)),
    };
    let found = merge.old.and_then(sniff);
    let format = merge.format.or(found).unwrap_or(Format::Pkcs12);
    check_format(format, old.as_ref().map(|(old, _)| old), merge)?;

    let before = old.as_ref().map(|(_, store)| store);
    match before {
        _ if format == Format::Pem => {}
        Some(before) => before.check_alias(merge.alias)?,
        None => alias::check(merge.alias)?,
    }
    let wanted = merge.trusted.filter(|_| format != Format::Pem);
    let place = wanted.map(|wanted| trusted::place(&wanted, before, merge.alias));
    let ours =
        Ours { merge, trusted: wanted.and_then(|wanted| Some((put_alias(place.as_ref()?)?, wanted.certificate))) };
    let bytes = match (&old, format) {
        (Some((old, _)), _) if old.format() == format => write(Some(old), format, &ours.puts(), merge, limits)?,
        (None, _) => write(None, format, &ours.puts(), merge, limits)?,
        (Some((_, store)), _) => convert(store, format, &ours, limits)?,
    };
    let after = check_result(&bytes, before, format, &ours, limits)?;
    let nothing = Store { entries: Vec::new(), ..after.clone() };
    Ok(Merged { bytes, format, diff: diff(before.unwrap_or(&nothing), &after), trusted: place })
}

/// What goes into the store.
struct Ours<'a> {
    merge: &'a Merge<'a>,
    /// Under its alias, where it is not there yet.
    trusted: Option<(&'a str, &'a Certificate)>,
}

impl Ours<'_> {
    fn puts(&self) -> Vec<Put<'_>> {
        let key = Put { alias: self.merge.alias, content: Content::Key(self.merge.key) };
        let trusted = self.trusted.map(|(alias, one)| Put { alias, content: Content::Trusted(one) });
        [key].into_iter().chain(trusted).collect()
    }

    fn trusted_entry(&self) -> Option<Entry> {
        let (alias, one) = self.trusted?;
        Some(Entry { alias: alias.to_owned(), kind: EntryKind::Trusted, chain: vec![one.clone()], nested: false })
    }
}

fn put_alias(place: &TrustedPlace) -> Option<&str> {
    match place {
        TrustedPlace::Put { alias } => Some(alias),
        TrustedPlace::There { .. } | TrustedPlace::Taken => None,
    }
}

fn check_key(key: &KeyMaterial, limits: &Limits) -> Result<(), MergeError> {
    let leaf = key.chain.first().ok_or(MergeError::BadKey(ReadError::NoCertificate))?;
    limits.check_chain(key.chain.len()).map_err(MergeError::BadKey)?;
    key_pair::check(Encoded::Pkcs8(&key.pkcs8), leaf).map_err(MergeError::BadKey)
}

fn check_format(format: Format, old: Option<&Old<'_>>, merge: &Merge<'_>) -> Result<(), MergeError> {
    match format {
        Format::Der | Format::Pkcs7 => return Err(MergeError::UnsupportedFormat(format.as_str())),
        Format::Pem => return Ok(()),
        Format::Jks | Format::Jceks | Format::Pkcs12 => {}
    }
    let keeps = merge.new_password.filter(|new| matches!(old, Some(Old::Pkcs12(opened)) if opened.is_opened_by(new)));
    check_password(format, merge.new_password, keeps.is_some())
}

/// Whether a new store can have this password, so that a caller can ask before a key is made for it. `is_kept` says that
/// the old store is a PKCS#12 that it opens already.
///
/// # Errors
/// [`MergeError::PasswordNeeded`], [`MergeError::PasswordTooShort`], [`MergeError::PasswordNotAscii`].
pub fn check_password(format: Format, password: Option<&SecretString>, is_kept: bool) -> Result<(), MergeError> {
    match format {
        Format::Jks | Format::Jceks | Format::Pkcs12 => {}
        Format::Pem | Format::Der | Format::Pkcs7 => return Ok(()),
    }
    let password = password.ok_or(MergeError::PasswordNeeded)?;
    if password.expose_secret().chars().count() < MINIMUM_PASSWORD {
        return Err(MergeError::PasswordTooShort { minimum: MINIMUM_PASSWORD });
    }
    // Java encrypts with printable ASCII only. A PKCS#12 that already has such a password is evidently not Java's.
    let is_ascii = password.expose_secret().bytes().all(|byte| (0x20..=0x7E).contains(&byte));
    match format {
        Format::Jceks if !is_ascii => Err(MergeError::PasswordNotAscii),
        Format::Pkcs12 if !is_ascii && !is_kept => Err(MergeError::PasswordNotAscii),
        _ => Ok(()),
    }
}

fn open_old<'a>(bytes: &'a [u8], merge: &Merge<'_>, limits: &Limits) -> Result<(Old<'a>, Store), ReadError> {
    limits.check_bytes(bytes.len())?;
    match sniff(bytes) {
        Some(Format::Jks | Format::Jceks) => {
            Ok((Old::Jks(jks::parse(bytes, limits)?), read_whole(bytes, None, limits)?))
        }
        Some(Format::Pkcs12) => {
            let (opened, password) = open_pkcs12(bytes, merge, limits)?;
            let store = opened.store(password, limits, &mut limits.budget())?;
            Ok((Old::Pkcs12(opened), store))
        }
        // A file with nothing but a key is a PEM file to merge into as well.
        Some(Format::Pem) => {
            let text = text::to_utf8(bytes);
            let entries = match pem::read(&text, limits) {
                Err(ReadError::NoCertificate) => Vec::new(),
                entries => entries?,
            };
            let (profile, password, faults) = (None, PasswordCheck::NoneNeeded, Vec::new());
            let store = Store { format: Format::Pem, profile, password, entries, faults };
            Ok((Old::Pem(text), store))
        }
        Some(Format::Der | Format::Pkcs7) => Err(ReadError::UnsupportedFormat("a merge into DER or PKCS#7")),
        None => Err(ReadError::UnsupportedFormat("what is neither JKS, JCEKS, PKCS#12 nor PEM")),
    }
}

/// Opens with the first password that is the store's.
fn open_pkcs12<'a>(
    bytes: &[u8],
    merge: &Merge<'a>,
    limits: &Limits,
) -> Result<(Opened, Option<&'a SecretString>), ReadError> {
    let mut failure = ReadError::PasswordNeeded;
    for password in merge.known_passwords().map(Some).chain([None]) {
        match pkcs12::open(bytes, password, limits, &mut limits.budget()) {
            Ok(opened) if opened.is_proven() => return Ok((opened, password)),
            Ok(_) if password.is_some() => failure = ReadError::BadPassword,
            Err(error) if password.is_some() => failure = error,
            // Without a password there is no news, unless no password was tried.
            Ok(_) | Err(ReadError::PasswordNeeded) => {}
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

impl<'a> Merge<'a> {
    /// The new password, then the old ones.
    pub(crate) fn known_passwords(&self) -> impl Iterator<Item = &'a SecretString> + use<'a> {
        self.new_password.into_iter().chain(self.old_passwords)
    }
}

impl Old<'_> {
    fn format(&self) -> Format {
        match self {
            Self::Jks(body) => body.format,
            Self::Pkcs12(_) => Format::Pkcs12,
            Self::Pem(_) => Format::Pem,
        }
    }
}

fn write(
    old: Option<&Old<'_>>,
    format: Format,
    puts: &[Put<'_>],
    merge: &Merge<'_>,
    limits: &Limits,
) -> Result<Zeroizing<Vec<u8>>, MergeError> {
    match format {
        Format::Jks | Format::Jceks => {
            let body = match old {
                Some(Old::Jks(body)) => Some(body),
                _ => None,
            };
            let password = merge.new_password.ok_or(MergeError::PasswordNeeded)?;
            jks::merge::write(body, format, puts, password, merge.now)
        }
        Format::Pkcs12 => {
            let opened = match old {
                Some(Old::Pkcs12(opened)) => Some(opened),
                _ => None,
            };
            let passwords = pkcs12::merge::Passwords {
                new: merge.new_password.ok_or(MergeError::PasswordNeeded)?,
                old: merge.old_passwords,
            };
            pkcs12::merge::write(opened, puts, &passwords, merge.profile, merge.now, limits)
        }
        Format::Pem => {
            let text = match old {
                Some(Old::Pem(text)) => Some(text.as_ref()),
                _ => None,
            };
            pem::merge::write(text, merge, limits)
        }
        Format::Der | Format::Pkcs7 => Err(MergeError::UnsupportedFormat(format.as_str())),
    }
}

/// Carries the other entries over into a new store of another format, keys opened and sealed again.
fn convert(before: &Store, format: Format, ours: &Ours<'_>, limits: &Limits) -> Result<Zeroizing<Vec<u8>>, MergeError> {
    let merge = ours.merge;
    if before.format == Format::Pem || format == Format::Pem {
        return Err(MergeError::UnsupportedFormat("a store that is turned from or into PEM"));
    }
    let replaced = alias::find_key(before.format, &before.entries, merge.alias);
    let spelled = replaced.and_then(|place| before.entries.get(place)).map(|entry| entry.alias.as_str());
    let others =
        || before.entries.iter().enumerate().filter(|(place, _)| Some(*place) != replaced).map(|(_, entry)| entry);
    // Every format finds its entries by their aliases in one case.
    let mut taken = HashSet::from([spelled.unwrap_or(merge.alias).to_lowercase()]);
    if let Some(twin) = others().find(|entry| !entry.alias.is_empty() && !taken.insert(entry.alias.to_lowercase())) {
        return Err(lost(&twin.alias, "another entry has the same alias, and one would take the other's place"));
    }
    let mut keys = Vec::new();
    for entry in others() {
        match entry.kind {
            EntryKind::Key if !entry.alias.is_empty() => {
                keys.push((&entry.alias, open_other(entry, merge, limits)?));
            }
            EntryKind::Trusted if !entry.alias.is_empty() => {}
            EntryKind::Key | EntryKind::Trusted | EntryKind::Secret | EntryKind::Certificate => {
                return Err(lost(&entry.alias, "it cannot be carried into another format"));
            }
        }
    }
    let keys = keys.iter().map(|(alias, key)| Put { alias, content: Content::Key(key) });
    let trusted = others()
        .filter(|entry| entry.kind == EntryKind::Trusted)
        .filter_map(|entry| Some(Put { alias: &entry.alias, content: Content::Trusted(entry.leaf()?) }));
    let puts: Vec<Put<'_>> = ours.puts().into_iter().chain(keys).chain(trusted).collect();
    write(None, format, &puts, merge, limits)
}

fn open_other(entry: &Entry, merge: &Merge<'_>, limits: &Limits) -> Result<KeyMaterial, MergeError> {
    let bytes = merge.old.unwrap_or_default();
    merge
        .known_passwords()
        .find_map(|password| extract_key(bytes, Some(password), &entry.alias, limits).ok())
        .filter(|key| key.chain == entry.chain)
        .ok_or_else(|| lost(&entry.alias, "no known password opens its key"))
}

/// Reads the result as its users will, and holds it against the old store.
fn check_result(
    bytes: &[u8],
    before: Option<&Store>,
    format: Format,
    ours: &Ours<'_>,
    limits: &Limits,
) -> Result<Store, MergeError> {
    let merge = ours.merge;
    let after = read_whole(bytes, merge.new_password, limits).map_err(|error| match error {
        ReadError::TooLarge { what, .. } => MergeError::TooLarge(what),
        _ => MergeError::CheckFailed("it cannot be read"),
    })?;
    if after.format != format {
        return Err(MergeError::CheckFailed("it has another format than intended"));
    }
    let leaf = open_key(bytes, merge.new_password, merge.alias, limits)
        .map_err(|_| MergeError::CheckFailed("the new key does not open"))?;
    if Some(&leaf) != merge.key.chain.first() {
        return Err(MergeError::CheckFailed("the new key has another certificate"));
    }
    if format == Format::Pem {
        return Ok(after);
    }
    if after.password == PasswordCheck::Wrong {
        return Err(MergeError::CheckFailed("the new password does not open it"));
    }
    match after.key(merge.alias) {
        Some(entry) if entry.chain == merge.key.chain => {}
        Some(_) => return Err(MergeError::CheckFailed("the chain comes out otherwise than it went in")),
        None => return Err(MergeError::CheckFailed("the alias does not stand for the new key")),
    }
    let is_there = |entry: &Entry| after.entries.iter().any(|one| one.kind == entry.kind && one.chain == entry.chain);
    if ours.trusted_entry().is_some_and(|entry| !is_there(&entry)) {
        return Err(MergeError::CheckFailed("the certificate to be trusted is not there"));
    }
    let Some(before) = before else { return Ok(after) };
    let changes = diff(&expected(before, ours), &after);
    // A certificate that stood by itself may be a part of the new chain.
    let is_in_chain = |summary: &Summary| {
        summary.kind == EntryKind::Certificate
            && merge.key.chain.iter().any(|one| Some(one.sha256()) == summary.leaf_sha256)
    };
    let removed = changes.removed.iter().filter(|summary| !is_in_chain(summary));
    let mut others = changes.changed.iter().map(|change| &change.before).chain(removed).chain(&changes.added);
    match others.next() {
        Some(summary) => Err(lost(&summary.alias, "the new chain would change what it means")),
        None => Ok(after),
    }
}

/// The old store with the new key in the place of the one that the alias stands for, and with what is to be trusted.
fn expected(before: &Store, ours: &Ours<'_>) -> Store {
    let merge = ours.merge;
    let mut expected = before.clone();
    let new = |alias: &str| Entry {
        alias: alias.to_owned(),
        kind: EntryKind::Key,
        chain: merge.key.chain.clone(),
        nested: false,
    };
    match alias::find_key(before.format, &before.entries, merge.alias).and_then(|at| expected.entries.get_mut(at)) {
        Some(old) if old.alias.is_empty() => *old = new(merge.alias),
        Some(old) => *old = new(&old.alias),
        None => expected.entries.push(new(merge.alias)),
    }
    expected.entries.extend(ours.trusted_entry());
    expected
}

fn lost(alias: &str, why: &'static str) -> MergeError {
    MergeError::WouldLoseEntry { alias: alias.to_owned(), why }
}
