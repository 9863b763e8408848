//! What the files shall hold next: the old store merged with the new key, and the password file that goes with it. Read
//! and computed in memory; nothing is written here.

use std::path::{Path, PathBuf};

use base64::Engine;
use jiff::Timestamp;
use kagiban_agents::{Ini, IniError, MAX_INI_BYTES, PasswordIni};
use kagiban_crds::host_api::{KeystoreOrder, OnUnreadable, StoreFormat};
use kagiban_crds::{AgentName, Generation, LeafSha256};
use kagiban_keystore::{
    self as keystore, Certificate, EntryKind, Format, KeyMaterial, Limits, Merge, MergeError, PasswordCheck, ReadError,
    Store,
};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::agent::{Agent, Keystore};
use super::digest::Digest;
use super::journal::{FileSwap, OldFile};
use super::vault::Vault;
use crate::password_file::{self, PasswordFileError};
use crate::platform::{self, FileError, WriteError};

/// Real stores have a few KiB; the largest trust stores under 2 MiB.
pub(super) const MAX_STORE_BYTES: u64 = 8 * 1024 * 1024;
/// RFC 7468's line length.
const PEM_LINE: usize = 64;

/// The set of files that is replaced together.
#[derive(Debug)]
pub(super) struct Staging {
    pub files: Vec<StagedFile>,
    pub previous: Option<LeafSha256>,
    /// Opens the new store.
    password: Option<SecretString>,
    alias: String,
    leaf: LeafSha256,
}

/// One file of the set, its contents in memory.
pub(super) struct StagedFile {
    pub swap: FileSwap,
    pub new: Zeroizing<Vec<u8>>,
    /// What going back puts there.
    pub backup: Option<Zeroizing<Vec<u8>>>,
    holds: Holds,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Store,
    Chain,
    Key,
    PasswordIni,
}

/// What there is now, as far as it can be opened.
pub(super) struct Survey {
    old: Option<Zeroizing<Vec<u8>>>,
    /// The likeliest first; the first is the new store's.
    passwords: Vec<SecretString>,
    /// The one that the old store was found to open with.
    opens: Option<usize>,
    ini: Option<IniFile>,
    alias: String,
    format: StoreFormat,
    previous: Option<LeafSha256>,
}

struct IniFile {
    contents: Ini,
    password: Option<SecretString>,
}

/// Why the files cannot be rewritten. `reason()` is stable; no message holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum StagingError {
    #[error("the old store cannot be read: {0}")]
    File(#[from] FileError),
    #[error("the old store cannot be replaced: {0}")]
    Write(#[from] WriteError),
    #[error("the password file: {0}")]
    PasswordFile(#[from] PasswordFileError),
    #[error("{file}: {source}")]
    Ini { file: &'static str, source: IniError },
    #[error("{file} is missing, and the agent does not start without it; repair its installation first")]
    IniMissing { file: &'static str },
    #[error("the store's password has fewer than {min} characters, which the agent refuses; choose a longer one")]
    PasswordTooShort { min: usize },
    // Nobody has documented in which encoding an agent reads its file: it would remember another password than the store's.
    #[error(
        "the store's password holds characters that the agent may not read from {file} as they are meant (printable ASCII works); choose another"
    )]
    PasswordNotAscii { file: &'static str },
    #[error("{}: its first line is empty; write the store's password there", path.display())]
    PasswordEmpty { path: PathBuf },
    #[error("{0}")]
    Merge(#[from] MergeError),
    #[error("the old store: {0}")]
    Old(ReadError),
    #[error("the staged store does not open: {0}; please report this")]
    Staged(ReadError),
    #[error("the store at hand holds another leaf than the one that was staged")]
    OtherLeaf,
    #[error("the alias is not known: name it as keystore.alias in the host's configuration or in the resource")]
    NoAlias,
    #[error("this agent's certificate and key are two PEM files, which have no alias, format or password")]
    PairOrder,
}

impl StagingError {
    pub fn reason(&self) -> &'static str {
        match self {
            Self::File(error) => error.reason(),
            Self::PasswordFile(error) => error.reason(),
            Self::Write(error) => error.reason(),
            Self::Ini { source, .. } => source.reason(),
            Self::IniMissing { .. } => "password_ini_missing",
            Self::PasswordTooShort { .. } => "password_too_short",
            Self::PasswordNotAscii { .. } => "password_not_ascii",
            Self::PasswordEmpty { .. } => "password_empty",
            Self::Merge(error) => error.reason(),
            Self::Old(error) | Self::Staged(error) => error.reason(),
            Self::OtherLeaf => "other_leaf",
            Self::NoAlias => "no_alias",
            Self::PairOrder => "pair_order",
        }
    }
}

/// Looks at what there is, so that a rotation that cannot end well is refused before a certificate is issued for it.
///
/// # Errors
/// See [`StagingError`].
pub(super) fn survey(agent: &Agent, order: &KeystoreOrder) -> Result<Survey, StagingError> {
    match &agent.keystore {
        Keystore::OneFile { path, format } => survey_store(agent, order, path, *format),
        Keystore::PemPair { certificate, key } => survey_pair(agent, order, certificate, key),
    }
}

/// The leaf in the keystore file, under the agent's alias, read with the host's own passwords.
///
/// # Errors
/// See [`StagingError`]; an absent file is one.
pub fn stored_leaf(agent: &Agent) -> Result<Certificate, StagingError> {
    let (path, alias) = match &agent.keystore {
        Keystore::OneFile { path, .. } => (path, agent.alias.as_deref()),
        Keystore::PemPair { certificate, .. } => (certificate, None),
    };
    let bytes = platform::read_regular(path, MAX_STORE_BYTES)?.bytes;
    let (passwords, _) = passwords(agent, None)?;
    let (store, _) = open(&bytes, &passwords).map_err(StagingError::Old)?;
    leaf_of(&store, alias).cloned().ok_or(StagingError::Old(ReadError::NoCertificate))
}

impl Survey {
    /// The next contents of every file in the set.
    ///
    /// # Errors
    /// See [`StagingError`].
    pub(super) fn stage(
        self,
        agent: &Agent,
        order: &KeystoreOrder,
        key: &KeyMaterial,
        place: &BackupPlace<'_>,
        now: Timestamp,
    ) -> Result<Staging, StagingError> {
        let leaf = key.chain.first().map(|leaf| LeafSha256::new(leaf.sha256())).ok_or(StagingError::OtherLeaf)?;
        let mut files = Vec::new();
        match &agent.keystore {
            Keystore::OneFile { path, .. } => {
                let merged = keystore::merge(
                    &Merge {
                        old: self.old.as_ref().map(|old| old.as_slice()),
                        old_passwords: &self.passwords,
                        new_password: self.passwords.first(),
                        alias: &self.alias,
                        key,
                        format: format(self.format).or_else(|| self.old.is_none().then_some(Format::Pkcs12)),
                        profile: None,
                        on_unreadable: match order.on_unreadable {
                            OnUnreadable::Refuse => keystore::OnUnreadable::Refuse,
                            OnUnreadable::Replace => keystore::OnUnreadable::Replace,
                        },
                        now,
                    },
                    &Limits::default(),
                )?;
                files.push(place.file(path, Holds::Store, merged.bytes, self.old.clone(), 0)?);
            }
            Keystore::PemPair { certificate, key: key_file } => {
                let old = read_if_there(certificate)?;
                files.push(place.file(certificate, Holds::Chain, chain_pem(&key.chain), old, 0)?);
                let old = read_if_there(key_file)?;
                files.push(place.file(key_file, Holds::Key, key_pem(&key.pkcs8), old, 1)?);
            }
        }
        if let Some((path, ini, contents)) = self.next_ini(agent)? {
            let bytes = |ini: &Ini| Zeroizing::new(ini.bytes().to_vec());
            let file =
                place.file(path, Holds::PasswordIni, bytes(&contents), Some(bytes(&ini.contents)), files.len())?;
            files.push(file.going_back_to(bytes(&self.ini_on_the_way_back(agent, ini)?)));
        }
        let password = self.passwords.into_iter().next();
        Ok(Staging { files, previous: self.previous, password, alias: self.alias, leaf })
    }

    /// Here already, because a rotation that waits for its chain keeps the password it was opened with.
    fn check_password(&self, agent: &Agent) -> Result<(), StagingError> {
        let found = self.old.as_ref().and_then(|old| keystore::sniff(old));
        let next = format(self.format).or(found).unwrap_or(Format::Pkcs12);
        let is_kept = found == Some(Format::Pkcs12) && self.opens == Some(0);
        keystore::check_password(next, self.passwords.first(), is_kept)?;
        self.next_ini(agent).map(|_| ())
    }

    /// What the INI file must say when the old store comes back. The agent reads a password once and remembers it: after
    /// it was told the new one, an INI file without any would leave it with a password that opens the old store no more.
    fn ini_on_the_way_back(&self, agent: &Agent, ini: &IniFile) -> Result<Ini, StagingError> {
        let opens = self.opens.and_then(|opens| self.passwords.get(opens));
        match (&agent.password_ini, &ini.password, opens) {
            (Some((_, place)), None, Some(old)) => {
                let contents = ini.contents.with_value(place.section, place.key, old);
                contents.map_err(|source| StagingError::Ini { file: place.file, source })
            }
            _ => Ok(ini.contents.clone()),
        }
    }

    /// The INI file with the new store's password, unless the agent knows that password already: the store opened with
    /// it and the INI says nothing else. The agent may remove its section once it has read it.
    fn next_ini<'a>(&'a self, agent: &'a Agent) -> Result<Option<(&'a Path, &'a IniFile, Ini)>, StagingError> {
        let (Some((path, place)), Some(ini), Some(new)) = (&agent.password_ini, &self.ini, self.passwords.first())
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
        if new.expose_secret().chars().count() < place.min_password {
            return Err(StagingError::PasswordTooShort { min: place.min_password });
        }
        if !new.expose_secret().bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(StagingError::PasswordNotAscii { file: place.file });
        }
        let contents = ini.contents.with_value(place.section, place.key, new);
        let contents = contents.map_err(|source| StagingError::Ini { file: place.file, source })?;
        Ok(Some((path, ini, contents)))
    }
}

impl Staging {
    /// Reads the set back, from where it waits or from where it belongs, as the agent would: the new password opens the
    /// key, and the key is the new leaf's.
    ///
    /// # Errors
    /// See [`StagingError`].
    pub(super) fn check(&self, at: impl Fn(&FileSwap) -> &Path) -> Result<(), StagingError> {
        let limits = Limits::default();
        for file in &self.files {
            let bytes = platform::read_regular(at(&file.swap), MAX_STORE_BYTES)?.bytes;
            if Digest::of(&bytes) != file.swap.new {
                return Err(StagingError::OtherLeaf);
            }
            let leaf = match file.holds {
                Holds::Store => keystore::open_key(&bytes, self.password.as_ref(), &self.alias, &limits)
                    .map_err(StagingError::Staged)?,
                Holds::Chain => {
                    let store = keystore::read(&bytes, None, &limits).map_err(StagingError::Staged)?;
                    leaf_of(&store, None).cloned().ok_or(StagingError::OtherLeaf)?
                }
                Holds::Key | Holds::PasswordIni => continue,
            };
            if LeafSha256::new(leaf.sha256()) != self.leaf {
                return Err(StagingError::OtherLeaf);
            }
        }
        Ok(())
    }
}

/// Where the backups of one rotation go.
#[derive(Debug)]
pub(super) struct BackupPlace<'a> {
    pub vault: &'a Vault,
    pub agent: &'a AgentName,
    pub generation: Generation,
}

impl BackupPlace<'_> {
    fn file(
        &self,
        path: &Path,
        holds: Holds,
        new: Zeroizing<Vec<u8>>,
        old: Option<Zeroizing<Vec<u8>>>,
        number: usize,
    ) -> Result<StagedFile, StagingError> {
        let attributes = platform::attributes(path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let backup = self.vault.backup(self.agent, self.generation).join(format!("{number}-{name}"));
        let old_file = match (&old, attributes) {
            (Some(old), Some(attributes)) => {
                let digest = Digest::of(old);
                Some(OldFile { digest, attributes, backup, backup_digest: digest })
            }
            (None, None) => None,
            // It came or went between two looks.
            (Some(_), None) | (None, Some(_)) => return Err(StagingError::OtherLeaf),
        };
        let staged = platform::temporary_beside(path)?;
        let swap = FileSwap { path: path.to_owned(), staged, new: Digest::of(&new), old: old_file };
        Ok(StagedFile { swap, new, backup: old, holds })
    }
}

impl StagedFile {
    fn going_back_to(mut self, bytes: Zeroizing<Vec<u8>>) -> Self {
        if let Some(old) = &mut self.swap.old {
            old.backup_digest = Digest::of(&bytes);
            self.backup = Some(bytes);
        }
        self
    }
}

fn survey_store(
    agent: &Agent,
    order: &KeystoreOrder,
    path: &Path,
    configured: StoreFormat,
) -> Result<Survey, StagingError> {
    platform::attributes(path)?;
    let old = read_if_there(path)?;
    let (passwords, ini) = passwords(agent, order.store_password.as_ref())?;
    let asked = order.alias.as_deref().or(agent.alias.as_deref());
    let opened = old.as_ref().map(|old| open(old, &passwords));
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
        (None, Some(store)) => only_key(store).map(str::to_owned).ok_or(StagingError::NoAlias)?,
        (None, None) => return Err(StagingError::NoAlias),
    };
    let survey = Survey { old, passwords, opens, ini, alias, format, previous };
    survey.check_password(agent)?;
    Ok(survey)
}

fn survey_pair(agent: &Agent, order: &KeystoreOrder, certificate: &Path, key: &Path) -> Result<Survey, StagingError> {
    let plain = matches!(order.format, StoreFormat::Auto | StoreFormat::Pem);
    if !plain || order.alias.is_some() || order.store_password.is_some() {
        return Err(StagingError::PairOrder);
    }
    platform::attributes(certificate)?;
    platform::attributes(key)?;
    let leaf = stored_leaf(agent).ok();
    Ok(Survey {
        old: None,
        passwords: Vec::new(),
        opens: None,
        ini: None,
        alias: String::new(),
        format: StoreFormat::Pem,
        previous: leaf.map(|leaf| LeafSha256::new(leaf.sha256())),
    })
}

/// The passwords that may open the store, in the order in which they shall seal it: the request's, the host's own, the
/// one the agent is told.
fn passwords(
    agent: &Agent,
    ordered: Option<&SecretString>,
) -> Result<(Vec<SecretString>, Option<IniFile>), StagingError> {
    let mut passwords: Vec<SecretString> = ordered.cloned().into_iter().collect();
    if let Some(path) = &agent.password_file {
        let password = password_file::read(path)?;
        if password.expose_secret().is_empty() {
            return Err(StagingError::PasswordEmpty { path: path.clone() });
        }
        passwords.push(password);
    }
    let ini = match &agent.password_ini {
        Some((path, place)) => Some(read_ini(path, place)?),
        None => None,
    };
    passwords.extend(ini.iter().filter_map(|ini| ini.password.clone()));
    Ok((passwords, ini))
}

/// The host's own passwords for the store, and the one among them that the agent is told, if its file holds one.
///
/// # Errors
/// See [`StagingError`].
pub(super) fn known_passwords(agent: &Agent) -> Result<(Vec<SecretString>, Option<SecretString>), StagingError> {
    let (passwords, ini) = passwords(agent, None)?;
    Ok((passwords, ini.and_then(|ini| ini.password)))
}

/// The alias of the only key in a store; PEM has none.
///
/// # Errors
/// See [`StagingError`]; several keys are one.
pub(super) fn only_alias(bytes: &[u8], passwords: &[SecretString]) -> Result<String, StagingError> {
    let (store, _) = open(bytes, passwords).map_err(StagingError::Old)?;
    if store.format == Format::Pem {
        return Ok(String::new());
    }
    only_key(&store).map(str::to_owned).ok_or(StagingError::NoAlias)
}

fn read_ini(path: &Path, place: &PasswordIni) -> Result<IniFile, StagingError> {
    let failed = |source| StagingError::Ini { file: place.file, source };
    let limit = u64::try_from(MAX_INI_BYTES).unwrap_or(u64::MAX);
    let bytes = match platform::read_regular(path, limit) {
        Ok(file) => file.bytes,
        Err(FileError::NotFound { .. }) => return Err(StagingError::IniMissing { file: place.file }),
        Err(error) => return Err(error.into()),
    };
    let contents = Ini::parse(&bytes).map_err(failed)?;
    let password = contents.value(place.section, place.key).map_err(failed)?;
    Ok(IniFile { contents, password })
}

/// The store, and which password it was found to open with. A JKS opens without any.
fn open(bytes: &[u8], passwords: &[SecretString]) -> Result<(Store, Option<usize>), ReadError> {
    let limits = Limits::default();
    let mut last = None;
    for (n, password) in passwords.iter().enumerate() {
        match keystore::read(bytes, Some(password), &limits) {
            Ok(store) if store.password == PasswordCheck::Verified => return Ok((store, Some(n))),
            Ok(store) => last = Some(Ok(store)),
            Err(error) => last = last.filter(Result::is_ok).or(Some(Err(error))),
        }
    }
    match last {
        Some(Ok(store)) => Ok((store, None)),
        Some(Err(error)) => Err(error),
        None => keystore::read(bytes, None, &limits).map(|store| (store, None)),
    }
}

/// A JKS is kept entry by entry even when nothing opens it; a PKCS#12 has to be opened.
fn is_locked(store: &Store) -> bool {
    store.format == Format::Pkcs12 && matches!(store.password, PasswordCheck::Wrong | PasswordCheck::NotGiven)
}

/// The certificate of the key under `alias`; with none, of the only key, or else the first certificate there is. Java
/// compares aliases of these stores without regard to case.
fn leaf_of<'a>(store: &'a Store, alias: Option<&str>) -> Option<&'a Certificate> {
    let with_certificate = || store.entries.iter().filter(|entry| !entry.chain.is_empty());
    let entry = match alias {
        Some(alias) if store.format != Format::Pem => {
            with_certificate().find(|e| e.kind == EntryKind::Key && e.alias.eq_ignore_ascii_case(alias))
        }
        Some(_) | None => with_certificate().find(|e| e.kind == EntryKind::Key).or_else(|| with_certificate().next()),
    };
    entry.and_then(|entry| entry.chain.first())
}

fn only_key(store: &Store) -> Option<&str> {
    let mut keys = store.entries.iter().filter(|entry| entry.kind == EntryKind::Key);
    match (keys.next(), keys.next()) {
        (Some(key), None) => Some(&key.alias),
        _ => None,
    }
}

fn read_if_there(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, FileError> {
    match platform::read_regular(path, MAX_STORE_BYTES) {
        Ok(file) => Ok(Some(file.bytes)),
        Err(FileError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

const fn format(format: StoreFormat) -> Option<Format> {
    match format {
        StoreFormat::Auto => None,
        StoreFormat::Jks => Some(Format::Jks),
        StoreFormat::Jceks => Some(Format::Jceks),
        StoreFormat::Pkcs12 => Some(Format::Pkcs12),
        StoreFormat::Pem => Some(Format::Pem),
    }
}

fn chain_pem(chain: &[Certificate]) -> Zeroizing<Vec<u8>> {
    let mut text = Vec::new();
    for certificate in chain {
        text.extend_from_slice(&pem("CERTIFICATE", certificate.der()));
    }
    Zeroizing::new(text)
}

fn key_pem(pkcs8: &[u8]) -> Zeroizing<Vec<u8>> {
    pem("PRIVATE KEY", pkcs8)
}

fn pem(label: &str, der: &[u8]) -> Zeroizing<Vec<u8>> {
    let body = Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(der));
    // Sized before it is filled: a growing Vec leaves copies of a key behind in freed memory.
    let mut text = Zeroizing::new(Vec::with_capacity(body.len() + body.len() / PEM_LINE + 2 * label.len() + 40));
    text.extend_from_slice(format!("-----BEGIN {label}-----\n").as_bytes());
    for line in body.as_bytes().chunks(PEM_LINE) {
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    text.extend_from_slice(format!("-----END {label}-----\n").as_bytes());
    text
}

impl std::fmt::Debug for StagedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StagedFile").field("swap", &self.swap).field("holds", &self.holds).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Survey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Survey").field("alias", &self.alias).field("previous", &self.previous).finish_non_exhaustive()
    }
}
