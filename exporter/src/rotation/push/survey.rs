//! What lies there before a rotation: every file of the set, read once, with whatever would keep it from being replaced
//! or from coming back. Nothing is written here.

use std::path::{Path, PathBuf};

use kagiban_agents::{Ini, MAX_INI_BYTES, PasswordIni};
use kagiban_crds::LeafSha256;
use kagiban_crds::host_api::{KeystoreOrder, OnUnreadable, StoreFormat};
use kagiban_keystore::{
    self as keystore, Certificate, EntryKind, Format, Limits, MergeError, PasswordCheck, ReadError, Store,
};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use super::staging::StagingError;
use crate::password_file;
use crate::platform::{self, FileError, Links, Surveyed};
use crate::rotation::agent::{Keystore, Push};

/// Real stores have a few KiB; the largest trust stores under 2 MiB.
pub(in crate::rotation) const MAX_STORE_BYTES: u64 = 8 * 1024 * 1024;

/// What there is now, as far as it can be opened.
pub(in crate::rotation) struct Survey {
    pub files: Files,
    /// The likeliest first; the first is the new store's.
    pub passwords: Vec<SecretString>,
    /// The one that the old store was found to open with.
    pub opens: Option<usize>,
    pub ini: Option<IniFile>,
    /// What becomes of the agent's copy of it, where that tells a password which will not be the store's; or why it stays as it is.
    pub ini_copy: Option<Result<IniCopy, String>>,
    pub alias: String,
    pub format: StoreFormat,
    pub previous: Option<LeafSha256>,
}

/// As [`Keystore`] says where they lie.
pub(in crate::rotation) enum Files {
    Store(Box<Surveyed>),
    PemPair { certificate: Box<Surveyed>, key: Box<Surveyed> },
}

pub(in crate::rotation) struct IniFile {
    pub file: Surveyed,
    pub contents: Ini,
    pub password: Option<SecretString>,
}

pub(in crate::rotation) struct IniCopy {
    pub path: PathBuf,
    pub file: Surveyed,
    pub next: Ini,
}

/// Looks at what there is, so that a rotation that cannot end well is refused before a certificate is issued for it.
///
/// # Errors
/// See [`StagingError`].
pub(in crate::rotation) fn survey(push: &Push, order: &KeystoreOrder) -> Result<Survey, StagingError> {
    match &push.keystore {
        Keystore::OneFile { path, format } => survey_store(push, order, path, *format),
        Keystore::PemPair { certificate, key } => survey_pair(order, certificate, key),
    }
}

/// The leaf in the keystore file, under the agent's alias, read with the host's own passwords.
///
/// # Errors
/// See [`StagingError`]; an absent file is one.
pub fn stored_leaf(push: &Push) -> Result<Certificate, StagingError> {
    let (path, alias) = match &push.keystore {
        Keystore::OneFile { path, .. } => (path, push.alias.as_deref()),
        Keystore::PemPair { certificate, .. } => (certificate, None),
    };
    let bytes = platform::read_held(path, MAX_STORE_BYTES, Links::Refuse)?.bytes;
    let (store, _) = open(&bytes, &known_passwords(push)?).map_err(StagingError::Old)?;
    leaf_of(&store, alias).cloned().ok_or(StagingError::Old(ReadError::NoCertificate))
}

/// The passwords that this host knows by itself.
///
/// # Errors
/// See [`StagingError`].
pub(in crate::rotation) fn known_passwords(push: &Push) -> Result<Vec<SecretString>, StagingError> {
    let mut passwords: Vec<_> = password_file(push)?.into_iter().collect();
    if let Some((path, place)) = &push.password_ini {
        let (_, password) = read_ini(&held_ini(path, place)?.bytes, place)?;
        passwords.extend(password);
    }
    Ok(passwords)
}

/// The alias of the only key in a store; PEM has none.
///
/// # Errors
/// See [`StagingError`]; several keys are one.
pub(in crate::rotation) fn only_alias(bytes: &[u8], passwords: &[SecretString]) -> Result<String, StagingError> {
    let (store, _) = open(bytes, passwords).map_err(StagingError::Old)?;
    if store.format == Format::Pem {
        return Ok(String::new());
    }
    only_key(&store).map(str::to_owned).ok_or(StagingError::NoAlias)
}

fn survey_store(
    push: &Push,
    order: &KeystoreOrder,
    path: &Path,
    configured: StoreFormat,
) -> Result<Survey, StagingError> {
    let file = platform::survey(path, MAX_STORE_BYTES)?;
    let ini = survey_ini(push)?;
    // In the order in which they shall seal the store: the request's, the host's own, the one the agent is told.
    let mut passwords: Vec<SecretString> = order.store_password.clone().into_iter().collect();
    passwords.extend(password_file(push)?);
    passwords.extend(ini.iter().filter_map(|ini| ini.password.clone()));
    let asked = order.alias.as_deref().or(push.alias.as_deref());
    let opened = file.file.as_ref().map(|old| open(&old.bytes, &passwords));
    let (store, opens) = match opened {
        None => (None, None),
        Some(Ok((store, None))) if is_locked(&store) && order.on_unreadable == OnUnreadable::Refuse => {
            return Err(StagingError::Merge(MergeError::StoreUnreadable(ReadError::BadPassword)));
        }
        Some(Ok((store, opens))) => (Some(store), opens),
        Some(Err(_)) if order.on_unreadable == OnUnreadable::Replace => (None, None),
        Some(Err(error)) => return Err(StagingError::Merge(MergeError::StoreUnreadable(error))),
    };
    let previous = store.as_ref().and_then(|store| leaf_of(store, asked)).map(|leaf| LeafSha256::new(leaf.sha256()));
    let format = if order.format == StoreFormat::Auto { configured } else { order.format };
    let is_pem = store.as_ref().map_or(format == StoreFormat::Pem, |store| store.format == Format::Pem);
    let alias = match (asked, &store) {
        (Some(alias), _) => alias.to_owned(),
        // PEM has no aliases.
        (None, _) if is_pem => String::new(),
        (None, Some(store)) => {
            only_key(store).filter(|alias| !alias.is_empty()).map(str::to_owned).ok_or(StagingError::NoAlias)?
        }
        (None, None) => return Err(StagingError::NoAlias),
    };
    // Here already, before a certificate is issued that could not be put in.
    if let Some(store) = store.as_ref().filter(|store| store.format != Format::Pem) {
        store.check_alias(&alias)?;
    }
    let files = Files::Store(Box::new(file));
    let mut survey = Survey { files, passwords, opens, ini, ini_copy: None, alias, format, previous };
    survey.check_passwords(push)?;
    survey.ini_copy = survey.stale_copy(push);
    Ok(survey)
}

fn survey_pair(order: &KeystoreOrder, certificate: &Path, key: &Path) -> Result<Survey, StagingError> {
    let plain = matches!(order.format, StoreFormat::Auto | StoreFormat::Pem);
    if !plain || order.alias.is_some() || order.store_password.is_some() {
        return Err(StagingError::PairOrder);
    }
    let certificate = platform::survey(certificate, MAX_STORE_BYTES)?;
    let key = platform::survey(key, MAX_STORE_BYTES)?;
    let (certificate, key) = (Box::new(certificate), Box::new(key));
    let store = certificate.file.as_ref().and_then(|file| open(&file.bytes, &[]).ok());
    let leaf = store.as_ref().and_then(|(store, _)| leaf_of(store, None));
    Ok(Survey {
        previous: leaf.map(|leaf| LeafSha256::new(leaf.sha256())),
        files: Files::PemPair { certificate, key },
        passwords: Vec::new(),
        opens: None,
        ini: None,
        ini_copy: None,
        alias: String::new(),
        format: StoreFormat::Pem,
    })
}

impl Survey {
    /// Here already, because a rotation that waits for its chain keeps the password it was opened with.
    fn check_passwords(&self, push: &Push) -> Result<(), StagingError> {
        let old = self.old_store();
        let found = old.and_then(keystore::sniff);
        let next = format(self.format).or(found).unwrap_or(Format::Pkcs12);
        let is_kept = found == Some(Format::Pkcs12) && self.opens == Some(0);
        keystore::check_password(next, self.passwords.first(), is_kept)?;
        let tells_new_password = self.next_ini(push)?.is_some();
        // The agent remembers what it was told last: with the old store back it would hold a password that does not open it.
        if tells_new_password && old.is_some() && self.opens.is_none() {
            return Err(StagingError::NotRestorable);
        }
        Ok(())
    }

    /// An agent that falls back on its copy of the INI file would be told another password than the store's and could not start,
    /// whether or not the file itself changes. A copy that tells none, as after the agent has removed what it has read, is left as it is.
    /// So is one that cannot be read or written, which is told: for the sake of a copy no agent goes without its certificate.
    fn stale_copy(&self, push: &Push) -> Option<Result<IniCopy, String>> {
        let (path, (_, place)) = (push.ini_backup.as_ref()?, push.password_ini.as_ref()?);
        let (new, place) = (self.passwords.first()?, PasswordIni { file: place.backup?, ..*place });
        let file = match platform::survey(path, max_ini_bytes()) {
            Ok(file) => file,
            Err(error) => return Some(Err(error.to_string())),
        };
        let next = stale_copy_of(&file.file.as_ref()?.bytes, new, &place).transpose()?;
        Some(next.map(|next| IniCopy { path: path.clone(), file, next }).map_err(|error| error.to_string()))
    }

    pub(in crate::rotation) fn old_store(&self) -> Option<&[u8]> {
        match &self.files {
            Files::Store(surveyed) => surveyed.file.as_ref().map(|file| file.bytes.as_slice()),
            Files::PemPair { .. } => None,
        }
    }

    /// What the INI file must say when the old store comes back. The agent reads a password once and remembers it: after
    /// it was told the new one, an INI file without any would leave it with a password that opens the old store no more.
    pub(in crate::rotation) fn ini_for_rollback(&self, push: &Push, ini: &IniFile) -> Result<Ini, StagingError> {
        let opens = self.opens.and_then(|opens| self.passwords.get(opens));
        match (&push.password_ini, &ini.password, opens) {
            (Some((_, place)), None, Some(old)) => {
                let contents = ini.contents.with_value(place.section, place.key, old);
                contents.map_err(|source| StagingError::Ini { file: place.file, source })
            }
            _ => Ok(ini.contents.clone()),
        }
    }

    /// The INI file with the new store's password, unless the agent knows that password already: the store opened with
    /// it and the INI says nothing else. The agent may remove its section once it has read it.
    pub(in crate::rotation) fn next_ini<'a>(
        &'a self,
        push: &'a Push,
    ) -> Result<Option<(&'a Path, &'a IniFile, Ini)>, StagingError> {
        let (Some((path, place)), Some(ini), Some(new)) = (&push.password_ini, &self.ini, self.passwords.first())
        else {
            return Ok(None);
        };
        let known = match &ini.password {
            Some(written) => written.expose_secret() == new.expose_secret(),
            None => self.opens == Some(0),
        };
        if known {
            return Ok(None);
        }
        Ok(Some((path, ini, tell(&ini.contents, new, place)?)))
    }
}

/// What a copy of the INI file is to hold; none where it says nothing that is not so.
fn stale_copy_of(bytes: &[u8], new: &SecretString, place: &PasswordIni) -> Result<Option<Ini>, StagingError> {
    let (contents, password) = read_ini(bytes, place)?;
    let is_stale = password.is_some() && !same_secret(password.as_ref(), Some(new));
    is_stale.then(|| tell(&contents, new, place)).transpose()
}

/// The INI file with a password that the agent takes.
fn tell(contents: &Ini, new: &SecretString, place: &PasswordIni) -> Result<Ini, StagingError> {
    if new.expose_secret().chars().count() < place.min_password {
        return Err(StagingError::PasswordTooShort { min: place.min_password });
    }
    if !new.expose_secret().bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(StagingError::PasswordNotAscii { file: place.file });
    }
    let contents = contents.with_value(place.section, place.key, new);
    contents.map_err(|source| StagingError::Ini { file: place.file, source })
}

/// The store, all of it understood, and which password it was found to open with. A JKS opens without any.
pub(in crate::rotation) fn open(bytes: &[u8], passwords: &[SecretString]) -> Result<(Store, Option<usize>), ReadError> {
    let limits = Limits::default();
    let mut last = None;
    for (n, password) in passwords.iter().enumerate() {
        match keystore::read_whole(bytes, Some(password), &limits) {
            Ok(store) if store.password == PasswordCheck::Verified => return Ok((store, Some(n))),
            Ok(store) => last = Some(Ok(store)),
            Err(error) => last = last.filter(Result::is_ok).or(Some(Err(error))),
        }
    }
    match last {
        Some(Ok(store)) => Ok((store, None)),
        Some(Err(error)) => Err(error),
        None => keystore::read_whole(bytes, None, &limits).map(|store| (store, None)),
    }
}

/// A JKS is kept entry by entry even when nothing opens it; a PKCS#12 has to be opened.
pub(in crate::rotation) fn is_locked(store: &Store) -> bool {
    store.format == Format::Pkcs12 && matches!(store.password, PasswordCheck::Wrong | PasswordCheck::NotGiven)
}

/// The certificate of the key that Java loads under `alias`; with none, of the only key, or else the first certificate
/// there is.
pub(in crate::rotation) fn leaf_of<'a>(store: &'a Store, alias: Option<&str>) -> Option<&'a Certificate> {
    let with_certificate = || store.entries.iter().filter(|entry| !entry.chain.is_empty());
    let entry = match alias {
        Some(alias) if store.format != Format::Pem => store.key(alias),
        Some(_) | None => with_certificate().find(|e| e.kind == EntryKind::Key).or_else(|| with_certificate().next()),
    };
    entry.and_then(|entry| entry.chain.first())
}

pub(in crate::rotation) fn only_key(store: &Store) -> Option<&str> {
    let mut keys = store.entries.iter().filter(|entry| entry.kind == EntryKind::Key);
    match (keys.next(), keys.next()) {
        (Some(key), None) => Some(&key.alias),
        _ => None,
    }
}

/// The first line of the agent's password file, which may lie in the agent's own directory, and be a link of whoever owns that.
///
/// # Errors
/// See [`StagingError`].
pub(in crate::rotation) fn password_file(push: &Push) -> Result<Option<SecretString>, StagingError> {
    let Some(path) = &push.password_file else { return Ok(None) };
    let password = password_file::read_held(path)?;
    if password.expose_secret().is_empty() {
        return Err(StagingError::PasswordEmpty { path: path.clone() });
    }
    Ok(Some(password))
}

fn survey_ini(push: &Push) -> Result<Option<IniFile>, StagingError> {
    let Some((path, place)) = &push.password_ini else { return Ok(None) };
    let file = platform::survey(path, max_ini_bytes())?;
    let Some(held) = &file.file else { return Err(StagingError::IniMissing { file: place.file }) };
    let (contents, password) = read_ini(&held.bytes, place)?;
    Ok(Some(IniFile { file, contents, password }))
}

fn held_ini(path: &Path, place: &PasswordIni) -> Result<platform::HeldFile, StagingError> {
    match platform::read_held(path, max_ini_bytes(), Links::Refuse) {
        Err(FileError::NotFound { .. }) => Err(StagingError::IniMissing { file: place.file }),
        read => Ok(read?),
    }
}

/// # Errors
/// See [`StagingError`].
pub(in crate::rotation) fn read_ini(
    bytes: &[u8],
    place: &PasswordIni,
) -> Result<(Ini, Option<SecretString>), StagingError> {
    let failed = |source| StagingError::Ini { file: place.file, source };
    let contents = Ini::parse(bytes).map_err(failed)?;
    let password = contents.value(place.section, place.key).map_err(failed)?;
    Ok((contents, password))
}

fn max_ini_bytes() -> u64 {
    u64::try_from(MAX_INI_BYTES).unwrap_or(u64::MAX)
}

impl std::fmt::Debug for Survey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Survey").field("alias", &self.alias).field("previous", &self.previous).finish_non_exhaustive()
    }
}

pub(in crate::rotation) const fn format(format: StoreFormat) -> Option<Format> {
    match format {
        StoreFormat::Auto => None,
        StoreFormat::Jks => Some(Format::Jks),
        StoreFormat::Jceks => Some(Format::Jceks),
        StoreFormat::Pkcs12 => Some(Format::Pkcs12),
        StoreFormat::Pem => Some(Format::Pem),
    }
}

/// Compared in constant time.
pub(in crate::rotation) fn same_secret(a: Option<&SecretString>, b: Option<&SecretString>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.expose_secret().as_bytes().ct_eq(b.expose_secret().as_bytes()).into(),
        (None, None) => true,
        _ => false,
    }
}
