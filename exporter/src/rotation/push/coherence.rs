//! Whether the files of an agent go together, judged by what they hold: for when no journal tells, and for what is about to
//! take their places.

use std::path::Path;

use kagiban_crds::LeafSha256;
use kagiban_keystore::{self as keystore, Certificate, Limits, PasswordCheck, ReadError};
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::staging::StagingError;
use super::survey::{self, MAX_STORE_BYTES, same_secret};
use crate::platform::{self, FileError, Links};
use crate::rotation::agent::{Agent, Keystore, Push};

/// What the files say of themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rotation) enum Coherence {
    /// The host's own passwords open the store, the key is the leaf's, and the agent is told the right password.
    Whole(LeafSha256),
    /// No password that the host knows opens the store, which the agent may know; or the agent keeps its files by itself.
    Unknown { why: String },
    /// The agent cannot start on them.
    Broken { why: String },
}

/// Reads what is on disk; nothing is changed.
pub(in crate::rotation) fn judge(agent: &Agent) -> Coherence {
    let Some(push) = agent.push() else {
        return Coherence::Unknown { why: "the agent keeps its key and its certificate by itself".to_owned() };
    };
    match leaf(push, push.alias.as_deref(), on_disk) {
        Ok(leaf) => Coherence::Whole(LeafSha256::new(leaf.sha256())),
        Err(Doubt::Locked(error)) => Coherence::Unknown { why: error.to_string() },
        Err(Doubt::Broken(error) | Doubt::Told(error)) => Coherence::Broken { why: error.to_string() },
    }
}

/// Why an agent cannot start once its files hold what `read` tells of them. None where it can, or where nobody can tell. When
/// all of them are `as_before`, it could start on them then, and only what it is told may have changed since. The key is
/// under `alias`.
pub(in crate::rotation) fn misfit(
    push: &Push,
    alias: Option<&str>,
    read: impl Fn(&Path) -> Result<Zeroizing<Vec<u8>>, FileError>,
    as_before: bool,
) -> Option<StagingError> {
    match leaf(push, alias.or(push.alias.as_deref()), read) {
        Err(Doubt::Told(error)) => Some(error),
        Err(Doubt::Broken(error)) if !as_before => Some(error),
        Ok(_) | Err(Doubt::Locked(_) | Doubt::Broken(_)) => None,
    }
}

/// Whether the agent works with this password: it opens the store and the key under `alias`, and where a file tells the agent
/// its password, that is the same or was removed. None where the key lies in what no password protects.
///
/// # Errors
/// Why the files do not tell. See [`StagingError`].
pub(in crate::rotation) fn is_in_force(
    push: &Push,
    alias: Option<&str>,
    password: &SecretString,
) -> Result<Option<bool>, StagingError> {
    let Keystore::OneFile { path, .. } = &push.keystore else { return Ok(None) };
    let bytes = on_disk(path)?;
    if let Some(told) = told(push, |path| on_disk(path).map_err(StagingError::File))?
        && !same_secret(Some(&told), Some(password))
    {
        return Ok(Some(false));
    }
    let candidates = [password.clone()];
    let store = match survey::open(&bytes, &candidates) {
        Ok((store, Some(_))) => store,
        Ok((store, None)) => return Ok((store.password == PasswordCheck::Wrong).then_some(false)),
        Err(ReadError::BadPassword | ReadError::PasswordNeeded) => return Ok(Some(false)),
        Err(error) => return Err(StagingError::Old(error)),
    };
    let alias = alias.or(push.alias.as_deref()).or_else(|| survey::only_key(&store)).ok_or(StagingError::NoAlias)?;
    match keystore::open_key(&bytes, Some(password), alias, &Limits::default()) {
        Ok(_) => Ok(Some(true)),
        Err(ReadError::BadPassword | ReadError::PasswordNeeded) => Ok(Some(false)),
        Err(error) => Err(StagingError::Old(error)),
    }
}

/// The contents of a file of an agent's, as they are.
///
/// # Errors
/// See [`FileError`].
pub(in crate::rotation) fn on_disk(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    platform::read_held(path, MAX_STORE_BYTES, Links::Refuse).map(|held| held.bytes)
}

/// Why the leaf was not found to go with its key.
enum Doubt {
    Locked(StagingError),
    Broken(StagingError),
    /// The password that the agent is told does not open the store.
    Told(StagingError),
}

impl From<StagingError> for Doubt {
    fn from(error: StagingError) -> Self {
        match error {
            // A password of ours that cannot be read says nothing of the agent's files.
            StagingError::PasswordFile(_) | StagingError::NoAlias => Self::Locked(error),
            StagingError::Old(ReadError::BadPassword | ReadError::PasswordNeeded) => Self::Locked(error),
            // Java may read what we do not.
            StagingError::Old(ReadError::TooExpensive { .. } | ReadError::TooLarge { .. }) => Self::Locked(error),
            error => Self::Broken(error),
        }
    }
}

fn leaf(
    push: &Push,
    alias: Option<&str>,
    read: impl Fn(&Path) -> Result<Zeroizing<Vec<u8>>, FileError>,
) -> Result<Certificate, Doubt> {
    let read = |path: &Path| read(path).map_err(StagingError::File);
    match &push.keystore {
        Keystore::OneFile { path, .. } => {
            let bytes = read(path)?;
            let passwords = survey::password_file(push)?.into_iter().collect();
            open(&bytes, alias, passwords, told(push, read)?)
        }
        Keystore::PemPair { certificate, key } => {
            let mut both = read(certificate)?;
            let key = read(key)?;
            let mut text = Zeroizing::new(Vec::with_capacity(both.len() + key.len() + 1));
            text.append(&mut both);
            text.push(b'\n');
            text.extend_from_slice(&key);
            let opened = keystore::open_key(&text, None, "", &Limits::default());
            opened.map_err(|error| Doubt::Broken(StagingError::Old(error)))
        }
    }
}

/// The password in the file that the agent reads, if there is such a file and it has not removed it.
fn told(
    push: &Push,
    read: impl Fn(&Path) -> Result<Zeroizing<Vec<u8>>, StagingError>,
) -> Result<Option<SecretString>, StagingError> {
    let Some((path, place)) = &push.password_ini else { return Ok(None) };
    match read(path) {
        Err(StagingError::File(FileError::NotFound { .. })) => Err(StagingError::IniMissing { file: place.file }),
        ini => Ok(survey::read_ini(&ini?, place)?.1),
    }
}

/// `told` is the password in the file that the agent reads: when there is one, no other counts.
fn open(
    bytes: &[u8],
    alias: Option<&str>,
    passwords: Vec<SecretString>,
    told: Option<SecretString>,
) -> Result<Certificate, Doubt> {
    let is_told = told.is_some();
    let candidates = told.map_or(passwords, |told| vec![told]);
    let alias = match alias {
        Some(alias) => alias.to_owned(),
        None => survey::only_alias(bytes, &candidates)?,
    };
    let mut last = ReadError::BadPassword;
    let mut attempts: Vec<_> = candidates.iter().map(Some).collect();
    if attempts.is_empty() {
        attempts.push(None);
    }
    for password in attempts {
        match keystore::open_key(bytes, password, &alias, &Limits::default()) {
            Ok(leaf) => return Ok(leaf),
            Err(error) => last = error,
        }
    }
    // A file tells the agent a password, and it is not the store's: one of the two is the other's leftover.
    if is_told && last == ReadError::BadPassword {
        return Err(Doubt::Told(StagingError::Old(last)));
    }
    Err(StagingError::Old(last).into())
}
