//! Going back: the old files get their names again. What somebody has changed since in a file of ours is not lost: the
//! value or the entry that was ours is put back into it. A file that holds neither what was there nor what was put there
//! belongs to whoever wrote it.

use kagiban_agents::Ini;
use kagiban_crds::LeafSha256;
use kagiban_keystore::{self as keystore, Format, KeyMaterial, Limits, Merge, OnUnreadable, ReadError, Store};
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::agent::Agent;
use super::backup::{self, BackupError};
use super::digest::Digest;
use super::journal::{FileSwap, Holds, OldFile};
use super::survey::{MAX_STORE_BYTES, is_locked, known_passwords, leaf_of, open};
use crate::platform::{self, FileError, HeldFile, Links, WriteError};

/// What going back is done with.
pub(super) struct WayBack<'a> {
    pub agent: &'a Agent,
    pub files: &'a [FileSwap],
    pub new_leaf: Option<LeafSha256>,
    /// What lies there was copied before: it may be overwritten, whoever wrote it.
    pub is_copied: bool,
    /// The new store's, while it is known.
    pub new_password: Option<&'a SecretString>,
}

/// Why the old files do not come back.
#[derive(Debug, thiserror::Error)]
pub(super) enum RestoreError {
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Read(#[from] FileError),
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error(
        "{}: holds neither what this rotation put there nor what was there before, so it was left as it is; see who wrote it",
        path.display()
    )]
    ChangedSince { path: std::path::PathBuf },
}

impl RestoreError {
    pub(super) const fn reason(&self) -> &'static str {
        match self {
            Self::Write(error) => error.reason(),
            Self::Read(error) => error.reason(),
            Self::Backup(error) => error.reason(),
            Self::ChangedSince { .. } => "changed_since",
        }
    }
}

/// What is to be done with one file.
enum Step {
    /// The old file is there.
    Keep,
    /// There was none.
    Remove,
    PutBack,
    /// It was changed since: these bytes hold the changes and the old value or entry.
    Rewrite(Zeroizing<Vec<u8>>),
    /// It cannot be understood; a copy is kept.
    Overwrite(HeldFile),
}

impl WayBack<'_> {
    /// Whether going back loses nothing that was written since.
    ///
    /// # Errors
    /// See [`RestoreError`].
    pub(super) fn check(&self) -> Result<(), RestoreError> {
        self.files.iter().try_for_each(|file| match self.step(file)? {
            Step::Keep | Step::Remove | Step::PutBack | Step::Rewrite(_) => Ok(()),
            Step::Overwrite(_) => Err(changed_since(file)),
        })
    }

    /// Puts the old files back, all or none as far as can be told before. It can be tried again.
    ///
    /// # Errors
    /// See [`RestoreError`].
    pub(super) fn restore(&self) -> Result<(), RestoreError> {
        for file in self.files {
            for second in file.old.iter().map(|old| &old.beside).chain([&file.staged]) {
                platform::unlink_second_name(second, &file.path)?;
            }
        }
        let steps: Vec<_> = self.files.iter().map(|file| self.step(file)).collect::<Result<_, _>>()?;
        for (file, step) in self.files.iter().zip(steps) {
            match (step, &file.old) {
                // The rename that put it there may have been cut off before it was durable.
                (Step::Keep, _) => platform::sync_directory_of(&file.path)?,
                (Step::Remove, _) => platform::remove(&file.path)?,
                (Step::Rewrite(bytes), _) => platform::replace(&file.path, &bytes, Some(&file.attributes))?,
                (Step::PutBack, Some(old)) => put_back(file, old)?,
                (Step::Overwrite(changed), Some(old)) => {
                    backup::keep_changed(old, &changed.bytes)?;
                    put_back(file, old)?;
                }
                (Step::PutBack | Step::Overwrite(_), None) => {}
            }
        }
        Ok(())
    }

    fn step(&self, file: &FileSwap) -> Result<Step, RestoreError> {
        match self.careful_step(file) {
            Err(RestoreError::ChangedSince { .. }) if self.is_copied && file.old.is_some() => Ok(Step::PutBack),
            step => step,
        }
    }

    fn careful_step(&self, file: &FileSwap) -> Result<Step, RestoreError> {
        let present = match platform::read_held(&file.path, MAX_STORE_BYTES, Links::Refuse) {
            Ok(present) => Some(present),
            Err(FileError::NotFound { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let Some(old) = &file.old else {
            return match present {
                None => Ok(Step::Keep),
                Some(present) if Digest::of(&present.bytes) == file.new => Ok(Step::Remove),
                Some(_) => Err(changed_since(file)),
            };
        };
        let Some(present) = present else { return Ok(Step::PutBack) };
        let digest = Digest::of(&present.bytes);
        // Where going back takes more than the old bytes, they may be what the agent made of the new ones.
        let is_untouched = || digest == old.digest && lies_at(&file.staged, file.new);
        if digest == old.backup_digest || is_untouched() {
            return Ok(Step::Keep);
        }
        if digest == file.new || digest == old.digest {
            return Ok(Step::PutBack);
        }
        match &file.holds {
            Holds::PasswordIni => self.ini_step(old, present),
            Holds::Store { alias } => self.store_step(file, old, alias, present),
            Holds::Chain | Holds::Key => match keystore::sniff(&present.bytes) {
                Some(_) => Err(changed_since(file)),
                None => Ok(Step::Overwrite(present)),
            },
        }
    }

    /// The agent may have removed its password, and somebody may have changed a setting.
    fn ini_step(&self, old: &OldFile, present: HeldFile) -> Result<Step, RestoreError> {
        let before = Ini::parse(&backup::read(old)?).ok();
        let now = Ini::parse(&present.bytes).ok();
        let (Some((_, place)), Some(before), Some(now)) = (&self.agent.password_ini, before, now) else {
            return Ok(Step::Overwrite(present));
        };
        let value = match before.value(place.section, place.key) {
            Ok(Some(value)) => value,
            Ok(None) => return Ok(Step::Keep),
            Err(_) => return Ok(Step::Overwrite(present)),
        };
        Ok(match now.with_value(place.section, place.key, &value) {
            Ok(merged) if merged.bytes() == now.bytes() => Step::Keep,
            Ok(merged) => Step::Rewrite(Zeroizing::new(merged.bytes().to_vec())),
            Err(_) => Step::Overwrite(present),
        })
    }

    /// The old key goes back under its alias, and the other entries stay as they are now.
    fn store_step(&self, file: &FileSwap, old: &OldFile, alias: &str, present: HeldFile) -> Result<Step, RestoreError> {
        let passwords = self.passwords();
        let store = match open(&present.bytes, &passwords) {
            Ok((store, _)) if !is_locked(&store) => store,
            Ok(_) | Err(ReadError::BadPassword | ReadError::PasswordNeeded) => return Err(changed_since(file)),
            Err(_) => return Ok(Step::Overwrite(present)),
        };
        let stored = stored_in(&store, alias);
        let backup = backup::read(old)?;
        let before = open(&backup, &passwords).ok().and_then(|(store, _)| stored_in(&store, alias));
        if stored.is_none() || (stored != self.new_leaf && stored != before) {
            return Err(changed_since(file));
        }
        let Some((password, key)) = old_key(&backup, alias, &passwords) else {
            return Ok(Step::Overwrite(present));
        };
        let limits = Limits::default();
        if stored == before && keystore::open_key(&present.bytes, Some(password), alias, &limits).is_ok() {
            return Ok(Step::Keep);
        }
        let merge = Merge {
            old: Some(&present.bytes),
            old_passwords: &passwords,
            new_password: Some(password),
            alias,
            key: &key,
            format: None,
            profile: None,
            on_unreadable: OnUnreadable::Refuse,
            now: jiff::Timestamp::now(),
        };
        match keystore::merge(&merge, &limits) {
            Ok(merged) => Ok(Step::Rewrite(merged.bytes)),
            Err(_) => Ok(Step::Overwrite(present)),
        }
    }

    /// Whatever may open the old store or the new one. A file with passwords that cannot be read only leaves fewer.
    fn passwords(&self) -> Vec<SecretString> {
        let told_before = || {
            let (_, place) = self.agent.password_ini.as_ref()?;
            let file = self.files.iter().find(|file| file.holds == Holds::PasswordIni)?;
            let ini = Ini::parse(&backup::read(file.old.as_ref()?).ok()?).ok()?;
            ini.value(place.section, place.key).ok()?
        };
        let known = known_passwords(self.agent).unwrap_or_default();
        self.new_password.cloned().into_iter().chain(known).chain(told_before()).collect()
    }
}

/// By a rename where the file lies beside, which needs no space; else from the backup.
fn put_back(file: &FileSwap, old: &OldFile) -> Result<(), RestoreError> {
    for beside in [&old.beside, &file.staged] {
        let Ok(held) = platform::read_held(beside, MAX_STORE_BYTES, Links::Refuse) else { continue };
        if Digest::of(&held.bytes) == old.backup_digest && held.attributes.is_same_access(&file.attributes) {
            return Ok(platform::rename_over(beside, &held.identity, &file.path)?);
        }
    }
    Ok(platform::replace(&file.path, &backup::read(old)?, Some(&file.attributes))?)
}

fn lies_at(path: &std::path::Path, digest: Digest) -> bool {
    platform::read_held(path, MAX_STORE_BYTES, Links::Refuse).is_ok_and(|held| Digest::of(&held.bytes) == digest)
}

fn stored_in(store: &Store, alias: &str) -> Option<LeafSha256> {
    let alias = (store.format != Format::Pem).then_some(alias);
    leaf_of(store, alias).map(|leaf| LeafSha256::new(leaf.sha256()))
}

fn old_key<'a>(backup: &[u8], alias: &str, passwords: &'a [SecretString]) -> Option<(&'a SecretString, KeyMaterial)> {
    passwords.iter().find_map(|password| {
        let key = keystore::extract_key(backup, Some(password), alias, &Limits::default()).ok()?;
        Some((password, key))
    })
}

fn changed_since(file: &FileSwap) -> RestoreError {
    RestoreError::ChangedSince { path: file.path.clone() }
}

impl std::fmt::Debug for WayBack<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WayBack").field("files", &self.files).finish_non_exhaustive()
    }
}
