//! What is to be done with each file, by what lies there now.

use std::path::PathBuf;

use kagiban_agents::{Ini, PasswordIni};
use kagiban_crds::LeafSha256;
use kagiban_keystore::{self as keystore, Format, KeyMaterial, Limits, Merge, OnUnreadable, ReadError, Store};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::super::backup;
use super::super::coherence;
use super::super::survey::{is_locked, known_passwords, leaf_of, open};
use super::Restoration;
use super::error::{RestoreError, changed_since};
use super::replacement::{ReplacementFile, lies_at, present, replacement_at};
use crate::platform::{Attributes, HeldFile};
use crate::rotation::digest::Digest;
use crate::rotation::journal::{FileRole, FileSwap, OldFile};

/// What is to be done with one file.
pub(super) enum RestoreStep {
    /// The old file is there.
    Keep,
    /// There was none.
    Remove,
    Restore,
    /// It was changed since: these bytes hold the changes and the old value or entry.
    Rewrite(Zeroizing<Vec<u8>>),
    /// It cannot be understood; a copy is kept.
    Overwrite,
    /// What was written for this when the rollback was ordered.
    Take(ReplacementFile),
}

/// A step, and what lies there now.
pub(super) struct Planned {
    pub(super) step: RestoreStep,
    pub(super) present: Option<HeldFile>,
}

impl Planned {
    /// What `file` will hold.
    pub(super) fn contents(&self, file: &FileSwap) -> Result<Option<Zeroizing<Vec<u8>>>, RestoreError> {
        Ok(match (&self.step, &file.old) {
            (RestoreStep::Keep, _) => self.present.as_ref().map(|present| present.bytes.clone()),
            (RestoreStep::Rewrite(bytes), _) => Some(bytes.clone()),
            (RestoreStep::Take(replacement), _) => Some(coherence::on_disk(&replacement.path)?),
            (RestoreStep::Restore | RestoreStep::Overwrite, Some(old)) => Some(backup::read(old)?),
            (RestoreStep::Remove, _) | (RestoreStep::Restore | RestoreStep::Overwrite, None) => None,
        })
    }

    /// What comes back has the rights that the old file had, less what the file there has not now.
    ///
    /// # Errors
    /// What differs, where neither is the narrower.
    pub(super) fn narrowed(&self, attributes: &Attributes) -> Result<Attributes, Vec<String>> {
        match (&self.step, &self.present) {
            (
                RestoreStep::Restore | RestoreStep::Rewrite(_) | RestoreStep::Take(_) | RestoreStep::Overwrite,
                Some(present),
            ) => attributes.narrowed_to(&present.attributes),
            (RestoreStep::Restore | RestoreStep::Rewrite(_) | RestoreStep::Take(_) | RestoreStep::Overwrite, None)
            | (RestoreStep::Keep | RestoreStep::Remove, _) => Ok(attributes.clone()),
        }
    }
}

impl Restoration<'_> {
    pub(super) fn plan(&self) -> Result<Vec<Planned>, RestoreError> {
        let planned = |file| {
            let present = present(file)?;
            let step = match self.careful_step(file, present.as_ref()) {
                Err(RestoreError::ChangedSince { .. }) if self.may_overwrite(file, present.as_ref()) => {
                    RestoreStep::Restore
                }
                step => step?,
            };
            Ok(Planned { step, present })
        };
        self.files.iter().map(planned).collect()
    }

    fn may_overwrite(&self, file: &FileSwap, present: Option<&HeldFile>) -> bool {
        file.old.is_some() && present.is_some_and(|present| self.copied.contains(&Digest::of(&present.bytes)))
    }

    fn careful_step(&self, file: &FileSwap, present: Option<&HeldFile>) -> Result<RestoreStep, RestoreError> {
        let digest = present.map(|present| Digest::of(&present.bytes));
        // What waits to take its place waits still: this file was never replaced, or was restored. It is the agent's, or whoever's
        // wrote it since, and keeps no other from being restored.
        if let Some(digest) = digest
            && digest != file.new
            && !self.copied.contains(&digest)
            && lies_at(&file.staged, file.new)
        {
            return Ok(RestoreStep::Keep);
        }
        let Some(old) = &file.old else {
            return match digest {
                None => Ok(RestoreStep::Keep),
                Some(digest) if digest == file.new => Ok(RestoreStep::Remove),
                Some(_) => Err(changed_since(file)),
            };
        };
        if let Some(ready) = &file.ready {
            if digest == Some(ready.contents) {
                return Ok(RestoreStep::Keep);
            }
            if digest == ready.instead_of
                && let Some(replacement) = replacement_at(&file.staged, ready.contents, &file.attributes)
            {
                return Ok(RestoreStep::Take(replacement));
            }
        }
        let (Some(present), Some(digest)) = (present, digest) else { return Ok(RestoreStep::Restore) };
        // Where restoring takes more than the old bytes, they may be what the agent made of the new ones.
        let is_untouched = || digest == old.digest && lies_at(&file.staged, file.new);
        if digest == old.backup_digest || is_untouched() {
            return Ok(RestoreStep::Keep);
        }
        if digest == file.new || digest == old.digest {
            return Ok(RestoreStep::Restore);
        }
        match &file.holds {
            FileRole::PasswordIni => self.ini_step(file, old, present),
            FileRole::Store { alias } => self.store_step(file, old, alias, present),
            FileRole::Chain | FileRole::Key => match keystore::sniff(&present.bytes) {
                Some(_) => Err(changed_since(file)),
                None => Ok(RestoreStep::Overwrite),
            },
        }
    }

    /// The agent may have removed its password, and somebody may have changed a setting. A password that is neither the old nor
    /// the new one is somebody's, who may have given it to the store too.
    fn ini_step(&self, file: &FileSwap, old: &OldFile, present: &HeldFile) -> Result<RestoreStep, RestoreError> {
        let before = Ini::parse(&backup::read(old)?).ok();
        let now = Ini::parse(&present.bytes).ok();
        let (Some((_, place)), Some(before), Some(now)) = (self.password_ini(), before, now) else {
            return Ok(RestoreStep::Overwrite);
        };
        let value = match before.value(place.section, place.key) {
            Ok(Some(value)) => value,
            Ok(None) => return Ok(RestoreStep::Keep),
            Err(_) => return Ok(RestoreStep::Overwrite),
        };
        // A value that is not UTF-8 is no password that is known here: the file is copied before it is overwritten.
        let Ok(told) = now.values(place.section, place.key) else { return Ok(RestoreStep::Overwrite) };
        let is_theirs = |told: &SecretString| {
            told.expose_secret() != value.expose_secret() && !is_told(&before, place, told, file.new)
        };
        if told.iter().any(is_theirs) && !self.copied.contains(&Digest::of(&present.bytes)) {
            return Err(changed_since(file));
        }
        Ok(match now.with_value(place.section, place.key, &value) {
            Ok(merged) if merged.bytes() == now.bytes() => RestoreStep::Keep,
            Ok(merged) => RestoreStep::Rewrite(Zeroizing::new(merged.bytes().to_vec())),
            Err(_) => RestoreStep::Overwrite,
        })
    }

    /// The old key is restored under its alias, and the other entries stay as they are now.
    fn store_step(
        &self,
        file: &FileSwap,
        old: &OldFile,
        alias: &str,
        present: &HeldFile,
    ) -> Result<RestoreStep, RestoreError> {
        let passwords = self.passwords();
        let (store, opens) = match open(&present.bytes, &passwords) {
            Ok((store, opens)) if !is_locked(&store) => (store, opens.and_then(|opens| passwords.get(opens))),
            Ok(_) | Err(ReadError::BadPassword | ReadError::PasswordNeeded) => return Err(changed_since(file)),
            Err(_) => return Ok(RestoreStep::Overwrite),
        };
        let stored = stored_in(&store, alias);
        let backup = backup::read(old)?;
        let before = open(&backup, &passwords).ok().and_then(|(store, _)| stored_in(&store, alias));
        if stored.is_none() || (stored != self.new_leaf && stored != before) {
            return Err(changed_since(file));
        }
        let Some((password, key)) = old_key(&backup, alias, &passwords) else {
            // An agent that is told the password of the store that is there could not open the old one.
            return Err(RestoreError::Locked { path: file.path.clone(), backup: old.backup.clone() });
        };
        // Where the file with the agent's password is restored too, the store gets the password in it. Another store
        // keeps its own, which the agent knows.
        let password = match opens {
            Some(opens) if self.tells_password() => {
                if opens.expose_secret() != password.expose_secret() && !self.has_told(opens) {
                    return Err(changed_since(file));
                }
                password
            }
            Some(opens) => opens,
            None => password,
        };
        let limits = Limits::default();
        if stored == before && keystore::open_key(&present.bytes, Some(password), alias, &limits).is_ok() {
            return Ok(RestoreStep::Keep);
        }
        let merge = Merge {
            old: Some(&present.bytes),
            old_passwords: &passwords,
            new_password: Some(password),
            alias,
            key: &key,
            trusted: None,
            format: None,
            profile: None,
            on_unreadable: OnUnreadable::Refuse,
            now: jiff::Timestamp::now(),
        };
        match keystore::merge(&merge, &limits) {
            Ok(merged) => Ok(RestoreStep::Rewrite(merged.bytes)),
            Err(_) => Err(changed_since(file)),
        }
    }

    pub(super) fn password_ini(&self) -> Option<&(PathBuf, PasswordIni)> {
        self.push?.password_ini.as_ref()
    }

    /// Whether the file with the agent's password is one of the set. The agent's copy of it may be one without it.
    pub(super) fn tells_password(&self) -> bool {
        self.password_file().is_some()
    }

    fn password_file(&self) -> Option<&FileSwap> {
        let copy = self.push.and_then(|push| push.ini_backup.as_ref());
        self.files.iter().find(|file| file.holds == FileRole::PasswordIni && copy != Some(&file.path))
    }

    /// Whether this rotation has told the agent `password`.
    fn has_told(&self, password: &SecretString) -> bool {
        let before = || {
            let (_, place) = self.password_ini()?;
            let file = self.password_file()?;
            Some((Ini::parse(&backup::read(file.old.as_ref()?).ok()?).ok()?, place, file.new))
        };
        before().is_some_and(|(before, place, new)| is_told(&before, place, password, new))
    }

    /// Whatever may open the old store or the new one. A file with passwords that cannot be read only leaves fewer.
    fn passwords(&self) -> Vec<SecretString> {
        let told_before = || {
            let (_, place) = self.password_ini()?;
            let ini = Ini::parse(&backup::read(self.password_file()?.old.as_ref()?).ok()?).ok()?;
            ini.value(place.section, place.key).ok()?
        };
        let known = self.push.and_then(|push| known_passwords(push).ok()).unwrap_or_default();
        self.new_password.cloned().into_iter().chain(known).chain(told_before()).collect()
    }
}

fn stored_in(store: &Store, alias: &str) -> Option<LeafSha256> {
    let alias = (store.format != Format::Pem).then_some(alias);
    leaf_of(store, alias).map(|leaf| LeafSha256::new(leaf.sha256()))
}

/// Whether a file was `new` that told `password` instead of what `before` tells. The journal keeps no password, only what
/// became of the file.
fn is_told(before: &Ini, place: &PasswordIni, password: &SecretString, new: Digest) -> bool {
    before.with_value(place.section, place.key, password).is_ok_and(|told| Digest::of(told.bytes()) == new)
}

fn old_key<'a>(backup: &[u8], alias: &str, passwords: &'a [SecretString]) -> Option<(&'a SecretString, KeyMaterial)> {
    passwords.iter().find_map(|password| {
        let key = keystore::extract_key(backup, Some(password), alias, &Limits::default()).ok()?;
        Some((password, key))
    })
}
