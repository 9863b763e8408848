//! What a push does in each state, on files: stage, back up, swap, inspect, and back again.

use super::backup::{self, BackupError};
use super::restore::Restoration;
use super::staging::Staging;
use super::survey::MAX_STORE_BYTES;
use crate::platform::{self, FileError, Links, SurveyedFile, Swap, WriteError};
use crate::rotation::digest::Digest;
use crate::rotation::failure::RotationFailure;
use crate::rotation::journal::{FileSwap, OldFile};
use crate::rotation::rotator::Rotator;

impl Rotator {
    pub(in crate::rotation) fn stage(&mut self) -> Result<(), RotationFailure> {
        self.staging()?.write().map_err(|e| RotationFailure::new(e.reason(), e.to_string()))
    }

    pub(in crate::rotation) fn back_up(&mut self) -> Result<(), RotationFailure> {
        let directory = self.host.state_directory.backup(&self.agent.name, self.record.generation);
        let staging = self.staging()?;
        backup::make(&directory, staging.previous, &staging.files)
            .map_err(|e| RotationFailure::new(e.reason(), e.to_string()))?;
        // The service is stopped next, and every step of the rollback is written down too.
        self.record
            .check_room(&self.host.state_directory.journal(&self.agent.name))
            .map_err(|e| RotationFailure::new(e.reason(), e.to_string()))
    }

    /// The agent may write a file while it stops. What it wrote is not ours to lose: nothing is replaced then.
    pub(in crate::rotation) async fn stop_for_swap(&mut self) -> Result<(), RotationFailure> {
        self.stop("stop_failed").await?;
        self.files().iter().try_for_each(unchanged)
    }

    pub(in crate::rotation) fn swap(&mut self) -> Result<(), RotationFailure> {
        for file in self.files() {
            let swap = Swap {
                path: &file.path,
                staged: &file.staged,
                beside: file.old.as_ref().filter(|old| old.backup_digest == old.digest).map(|old| old.beside.as_path()),
                sha256: file.new.as_bytes(),
                attributes: &file.attributes,
                old: file.old.as_ref().map(|old| SurveyedFile {
                    identity: &old.identity,
                    sha256: old.digest.as_bytes(),
                    attributes: &file.attributes,
                }),
            };
            platform::swap(&swap).map_err(|e| RotationFailure::new(e.reason(), e.to_string()))?;
        }
        Ok(())
    }

    pub(in crate::rotation) async fn inspect(&mut self) -> Result<(), RotationFailure> {
        self.staging()?.check(|swap| &swap.path).map_err(|e| RotationFailure::new(e.reason(), e.to_string()))?;
        self.see_whether_down().await;
        Ok(())
    }

    pub(in crate::rotation) async fn restore(&mut self) -> Result<(), RotationFailure> {
        self.restore_files()?;
        self.see_whether_down().await;
        Ok(())
    }

    /// Whether a file was restored, or is gone. That the agent has changed one since is no matter: it removes the
    /// password from its INI file once it has read it, and the served leaf is looked at next.
    pub(in crate::rotation) fn check_files(&self) -> Result<(), RotationFailure> {
        for file in self.files() {
            let present = platform::read_held(&file.path, MAX_STORE_BYTES, Links::Refuse).ok();
            let present = present.map(|present| Digest::of(&present.bytes));
            // An INI file whose password the agent has removed may be what it was, and was not restored.
            let went_back = |old: &OldFile| present == Some(old.backup_digest);
            if present.is_none() || file.old.as_ref().is_some_and(went_back) {
                let message = format!("{} is not what this rotation put there; open a new one", file.path.display());
                return Err(RotationFailure::new("went_back_meanwhile", message));
            }
        }
        Ok(())
    }

    /// One file that cannot be removed keeps no other.
    pub(in crate::rotation) fn discard(&mut self) -> Result<(), RotationFailure> {
        let failed: Vec<_> = self.files().iter().flat_map(backup::discard).collect();
        all_of(&failed)
    }

    /// The same of files that are known to have been replaced, also where their directory is away.
    pub(in crate::rotation) fn discard_all(&mut self) -> Result<(), RotationFailure> {
        let failed: Vec<_> = self.files().iter().flat_map(backup::discard_all).collect();
        all_of(&failed)
    }

    /// What rotations before this one have left, wherever its directory is. What is gone is not looked for any more.
    pub(in crate::rotation) fn discard_earlier(&mut self) -> Result<(), RotationFailure> {
        let Some(rotation) = &mut self.record.rotation else { return Ok(()) };
        let mut failed = Vec::new();
        let before = rotation.left_by_earlier.len();
        rotation.left_by_earlier.retain(|file| {
            let errors = backup::discard_all(file);
            let is_left = !errors.is_empty();
            failed.extend(errors);
            is_left
        });
        if rotation.left_by_earlier.len() != before {
            self.save_record();
        }
        all_of(&failed)
    }

    fn staging(&self) -> Result<&Staging, RotationFailure> {
        let staging = self.pending.as_ref().and_then(|pending| pending.staging.as_ref());
        staging.ok_or_else(|| RotationFailure::new("stage_lost", "what was to be written is gone; open a new rotation"))
    }

    /// How the old files come back.
    pub(in crate::rotation) fn restoration(&self) -> Restoration<'_> {
        let staging = self.pending.as_ref().and_then(|pending| pending.staging.as_ref());
        Restoration {
            push: self.agent.push(),
            files: self.files(),
            new_leaf: self.new_leaf(),
            copied: self.record.rotation.as_ref().and_then(|rotation| rotation.copied.as_deref()).unwrap_or_default(),
            new_password: staging.and_then(|staging| staging.password.as_ref()),
        }
    }
}

fn all_of(failed: &[BackupError]) -> Result<(), RotationFailure> {
    let Some(first) = failed.first() else { return Ok(()) };
    let all: Vec<_> = failed.iter().map(ToString::to_string).collect();
    Err(RotationFailure::new(first.reason(), all.join("; ")))
}

/// Whether what was surveyed lies there still: the same file, with the same bytes, owner and permissions.
fn unchanged(file: &FileSwap) -> Result<(), RotationFailure> {
    let same = match (platform::read_held(&file.path, MAX_STORE_BYTES, Links::Refuse), &file.old) {
        (Ok(present), Some(old)) => {
            Digest::of(&present.bytes) == old.digest
                && present.identity.is_same_file(&old.identity)
                && present.attributes.is_same_access(&file.attributes)
        }
        (Err(FileError::NotFound { .. }), None) => true,
        (Ok(_), None) => false,
        (Err(error), _) => return Err(RotationFailure::new(error.reason(), error.to_string())),
    };
    if same {
        return Ok(());
    }
    let error = WriteError::Changed { path: file.path.clone() };
    Err(RotationFailure::new(error.reason(), error.to_string()))
}
