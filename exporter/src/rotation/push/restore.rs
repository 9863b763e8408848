//! The old files get their names again. What somebody has changed since in a file of ours is not lost: the
//! value or the entry that was ours is put back into it. A file that holds neither what was there nor what was put there
//! belongs to whoever wrote it.
//!
//! ```text
//!   Restoration ──steps──> what is to be done with each file ──moves──> all names change, or none
//!                    └──────── replacement: files beside the ones they replace ────────┘
//! ```

mod error;
mod moves;
mod replacement;
mod steps;

use std::path::Path;

use kagiban_crds::LeafSha256;
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::backup;
use super::coherence;
use super::survey::MAX_STORE_BYTES;
use crate::platform::{self, Attributes, FileError, HeldFile, Links};
use crate::rotation::agent::Push;
use crate::rotation::digest::Digest;
use crate::rotation::journal::{FileRole, FileSwap, Ready};
pub(in crate::rotation) use error::RestoreError;
use error::changed_since;
use moves::{Move, carry_out, change_names, forward, give_up, prepare};
use replacement::{ReplacementFile, lies_at, present};
use steps::{Planned, RestoreStep};

/// Of one rollback: what somebody writes in the moment of an exchange is judged anew, and a disk's error may be over.
const ATTEMPTS: usize = 3;

/// What the old files are restored with.
#[derive(Clone, Copy)]
pub(in crate::rotation) struct Restoration<'a> {
    /// None where the agent is configured as one whose files are not replaced.
    pub push: Option<&'a Push>,
    pub files: &'a [FileSwap],
    pub new_leaf: Option<LeafSha256>,
    /// What was copied before may be overwritten where it lies, whoever wrote it.
    pub copied: &'a [Digest],
    /// The new store's, while it is known.
    pub new_password: Option<&'a SecretString>,
}

impl Restoration<'_> {
    /// Writes beside the files what will take their places, and changes nothing yet: a rollback that does not fit on the
    /// disk, or that would lose what was written since, is found while the service runs.
    ///
    /// What comes back has the rights that the old file had, less what the file there has not now.
    ///
    /// # Errors
    /// See [`RestoreError`]; nothing of it is left then.
    pub(in crate::rotation) fn make_ready(&self) -> Result<Vec<FileSwap>, RestoreError> {
        self.check_places()?;
        let plan = self.plan()?;
        let mut files = self.files.to_vec();
        for (file, planned) in files.iter_mut().zip(&plan) {
            if matches!(planned.step, RestoreStep::Overwrite) {
                return Err(changed_since(file));
            }
            let narrowed = planned.narrowed(&file.attributes);
            file.attributes =
                narrowed.map_err(|differences| RestoreError::OtherAccess { path: file.path.clone(), differences })?;
        }
        self.check_set(&plan)?;
        let present: Vec<_> =
            plan.iter().map(|planned| planned.present.as_ref().map(|present| Digest::of(&present.bytes))).collect();
        let moves = prepare(&files, plan)?;
        // Durable before the journal tells of it. A rollback that begins at once is not kept by a directory that cannot be synced.
        let synced = files.iter().try_for_each(|file| platform::sync_directory_of(&file.path));
        synced.inspect_err(|_| give_up(&moves))?;
        for ((file, step), instead_of) in files.iter_mut().zip(moves).zip(present) {
            if let Move::Rename(ReplacementFile { path, contents, .. }, _) = step {
                file.staged = path;
                file.ready = Some(Ready { instead_of, contents });
            }
        }
        Ok(files)
    }

    /// Whether an agent that serves now can start on what is planned. Where the whole set is what it was, it could before.
    fn check_set(&self, plan: &[Planned]) -> Result<(), RestoreError> {
        let contents: Vec<_> =
            self.files.iter().zip(plan).map(|(file, planned)| planned.contents(file)).collect::<Result<_, _>>()?;
        let is_old = |(file, contents): (&FileSwap, &Option<Zeroizing<Vec<u8>>>)| {
            contents.as_ref().map(|bytes| Digest::of(bytes)) == file.old.as_ref().map(|old| old.backup_digest)
        };
        let as_before = self.files.iter().zip(&contents).all(is_old);
        // All that the agent reads is as it was.
        if as_before && self.tells_password() {
            return Ok(());
        }
        let read = |path: &Path| match self.files.iter().position(|file| file.path == path) {
            Some(n) => contents[n].clone().ok_or_else(|| FileError::NotFound { path: path.to_owned() }),
            None => coherence::on_disk(path),
        };
        let alias = self.files.iter().find_map(|file| match &file.holds {
            FileRole::Store { alias } => Some(alias.as_str()),
            FileRole::Chain | FileRole::Key | FileRole::PasswordIni => None,
        });
        let misfit = self.push.and_then(|push| coherence::misfit(push, alias, read, as_before));
        misfit.map_or(Ok(()), |why| Err(RestoreError::Parted(why)))
    }

    /// Puts the old files back, all or none. It can be tried again.
    ///
    /// # Errors
    /// See [`RestoreError`]. Where an earlier attempt was cut off between two names, the set is the new one again then, as
    /// far as the new files are there still.
    pub(in crate::rotation) fn restore(&self) -> Result<(), RestoreError> {
        self.check_places()?;
        self.try_to_restore().inspect_err(|_| self.go_forward())
    }

    fn try_to_restore(&self) -> Result<(), RestoreError> {
        for _ in 1..ATTEMPTS {
            match self.restore_once() {
                // Changed meanwhile, or an error of the disk that may be over: a service is down.
                Err(RestoreError::Write(_)) => {}
                restored => return restored,
            }
        }
        self.restore_once()
    }

    fn restore_once(&self) -> Result<(), RestoreError> {
        let (files, moves) = self.prepare()?;
        carry_out(&files, &moves, platform::sync_directory_of)
    }

    /// A set of which some files are new and the others cannot follow the old ones back: an agent cannot start on both. What
    /// went back, or was not replaced yet, makes room for the new file that waits beside it, when that makes the set whole.
    fn go_forward(&self) {
        let Some(moves) = self.files.iter().map(forward).collect::<Option<Vec<_>>>() else { return };
        if !moves.iter().any(|step| matches!(step, Move::Keep)) || !moves.iter().any(|step| !matches!(step, Move::Keep))
        {
            return;
        }
        let replaceable = self.files.iter().zip(&moves).all(|(file, step)| match step {
            Move::Keep => true,
            Move::Remove(_) | Move::Rename(..) => platform::check_replaceable(&file.path).is_ok(),
        });
        if !replaceable {
            return;
        }
        match change_names(self.files, &moves) {
            Ok(()) => {
                let failed = self.files.iter().filter_map(|file| platform::sync_directory_of(&file.path).err());
                failed.for_each(
                    |error| tracing::warn!(%error, "the new files are together again, and that is not durable"),
                );
            }
            Err(error) => {
                tracing::error!(%error, "some files are new and some are old, and neither can follow the others");
            }
        }
    }

    /// Whether every file is the one that this rotation put there.
    pub(in crate::rotation) fn is_all_new(&self) -> bool {
        self.files.iter().all(|file| lies_at(&file.path, file.new))
    }

    /// Whether the files would come back to the agent: neither its configuration nor a late mount has them elsewhere now.
    ///
    /// # Errors
    /// [`RestoreError::NotConfigured`] or [`RestoreError::Elsewhere`].
    pub(in crate::rotation) fn check_places(&self) -> Result<(), RestoreError> {
        self.check_configured()?;
        self.check_mounted()
    }

    /// What is put back elsewhere changes nothing of what the agent serves. A directory may be named in several ways.
    pub(in crate::rotation) fn check_configured(&self) -> Result<(), RestoreError> {
        let configured = self.push.map(Push::files).unwrap_or_default();
        let is_configured = |file: &FileSwap| configured.iter().any(|path| is_same_place(path, &file.path));
        let elsewhere = self.files.iter().find(|file| !is_configured(file));
        elsewhere.map_or(Ok(()), |file| Err(RestoreError::NotConfigured { path: file.path.clone() }))
    }

    /// A mount point is not where the files were, whether it is empty or has an older copy of them: what is put there would be
    /// hidden by the files themselves. One such directory is enough: the files of a set may lie on several file systems.
    ///
    /// # Errors
    /// [`RestoreError::Elsewhere`] or [`RestoreError::FirstElsewhere`].
    pub(in crate::rotation) fn check_mounted(&self) -> Result<(), RestoreError> {
        let is_elsewhere =
            |file: &&FileSwap| self.files.iter().filter(|it| it.path.parent() == file.path.parent()).all(is_hidden);
        let elsewhere = self.files.iter().find(is_elsewhere);
        elsewhere.map_or(Ok(()), |FileSwap { path, old, .. }| {
            let path = path.clone();
            Err(if old.is_some() { RestoreError::Elsewhere { path } } else { RestoreError::FirstElsewhere { path } })
        })
    }

    /// The files as they come back, and what is left to do for it.
    fn prepare(&self) -> Result<(Vec<FileSwap>, Vec<Move>), RestoreError> {
        for file in self.files {
            for second in file.old.iter().map(|old| &old.beside).chain([&file.staged]) {
                platform::unlink_second_name(second, &file.path)?;
            }
        }
        let plan = self.plan()?;
        let mut files = self.files.to_vec();
        for (file, planned) in files.iter_mut().zip(&plan) {
            // Where neither is the narrower, a service that may be down gets its file as it was, unless the old file was given to
            // another account together with the present one.
            let narrowed = planned.narrowed(&file.attributes).ok();
            if let Some(attributes) = narrowed.or_else(|| given_with(file, planned.present.as_ref()?)) {
                file.attributes = attributes;
            }
        }
        let moves = prepare(&files, plan)?;
        Ok((files, moves))
    }

    /// Whether all that lies there was copied, or is what is restored.
    pub(in crate::rotation) fn is_all_copied(&self) -> bool {
        self.files.iter().all(|file| match present(file) {
            Ok(None) => true,
            Ok(Some(present)) => {
                let digest = Digest::of(&present.bytes);
                self.copied.contains(&digest) || file.old.as_ref().is_some_and(|old| old.backup_digest == digest)
            }
            Err(_) => false,
        })
    }
}

/// Whether neither the new file nor what waits beside it is in the directory that its path leads to, and that is another one.
fn is_hidden(file: &FileSwap) -> bool {
    let beside = file.old.iter().map(|old| old.beside.as_path());
    backup::is_directory_another(file)
        && beside.chain([file.staged.as_path()]).all(backup::is_absent)
        && !lies_at(&file.path, file.new)
}

/// What the old file beside its place has, less what the `present` file has not, where an administrator has given both to another
/// account.
fn given_with(file: &FileSwap, present: &HeldFile) -> Option<Attributes> {
    let old = file.old.as_ref()?;
    let contents = [Some(old.backup_digest), file.ready.as_ref().map(|ready| ready.contents)];
    [&old.beside, &file.staged].into_iter().find_map(|path| {
        let held = platform::read_held(path, MAX_STORE_BYTES, Links::Refuse).ok()?;
        let is_old = contents.contains(&Some(Digest::of(&held.bytes)));
        held.attributes.narrowed_to(&present.attributes).ok().filter(|_| is_old)
    })
}

/// Whether two paths lead to one name in one directory.
fn is_same_place(a: &Path, b: &Path) -> bool {
    let directory = |path: &Path| path.parent().and_then(|parent| platform::directory_identity(parent).ok());
    a == b || (a.file_name() == b.file_name() && directory(a).is_some_and(|it| directory(b) == Some(it)))
}

impl std::fmt::Debug for Restoration<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WayBack").field("files", &self.files).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
