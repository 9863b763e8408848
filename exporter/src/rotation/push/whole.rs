//! The files as one set, old or new: what a crash, or a journal that was lost, has left of them.

use super::coherence::{self, Coherence};
use super::overwritten;
use crate::rotation::digest::Digest;
use crate::rotation::failure::RotationFailure;
use crate::rotation::journal::FileSwap;
use crate::rotation::resume::{Mend, Mended};
use crate::rotation::rotator::Rotator;

impl Rotator {
    /// Whether some files were restored and others were not, so that the agent cannot start: the journal's entries of a
    /// rollback were never written. What somebody has put there since is no such thing.
    pub(in crate::rotation) fn is_mixture(&self) -> bool {
        let is_restored = |file: &FileSwap| {
            let present = coherence::on_disk(&file.path).ok().map(|bytes| Digest::of(&bytes));
            file.old.as_ref().is_some_and(|old| present != Some(file.new) && present == Some(old.backup_digest))
        };
        let restored = self.files().iter().filter(|file| is_restored(file)).count();
        let is_broken = || matches!(coherence::judge(&self.agent), Coherence::Broken { .. });
        (1..self.files().len()).contains(&restored) && is_broken()
    }

    pub(in crate::rotation) fn make_files_one_set(&mut self, mend: Mend) -> Result<Mended, RotationFailure> {
        let told = match mend {
            Mend::Keep => return Ok(Mended::AsTold),
            Mend::Restore => Mended::AsTold,
            Mend::Judge => match self.check_files() {
                Ok(()) => return Ok(Mended::AsTold),
                Err(why) => Mended::Restored(why),
            },
        };
        if let Err(error) = self.restoration().check_places() {
            return Ok(Mended::Elsewhere(RotationFailure::new(error.reason(), error.to_string())));
        }
        self.restore_files().map(|()| told)
    }

    /// Puts the old files back. Where the journal was lost, nobody knows who wrote what lies there: what was not copied yet
    /// is copied first, and stays when it goes together.
    pub(in crate::rotation) fn restore_files(&mut self) -> Result<(), RotationFailure> {
        if self.is_without_journal_and_theirs() {
            let message =
                "the journal was lost, and other files were put there since, which are not known to be bad: they stay";
            return Err(RotationFailure::new("changed_since", message));
        }
        if self.copied().is_some() && !self.restoration().is_all_copied() {
            self.copy_what_lies_there()?;
        }
        self.restoration().restore().map_err(|error| {
            let stays = if self.restoration().is_all_new() { "; the new files stay, all of them" } else { "" };
            RotationFailure::new(error.reason(), format!("{error}{stays}"))
        })
    }

    /// Whether the journal was lost, and somebody has put other files there since that do not need the backup.
    pub(in crate::rotation) fn is_without_journal_and_theirs(&self) -> bool {
        self.copied().is_some()
            && !self.restoration().is_all_copied()
            && !matches!(coherence::judge(&self.agent), Coherence::Broken { .. })
    }

    fn copied(&self) -> Option<&[Digest]> {
        self.record.rotation.as_ref()?.copied.as_deref()
    }

    fn copy_what_lies_there(&mut self) -> Result<(), RotationFailure> {
        let before = self.copied().unwrap_or_default();
        let kept = overwritten::keep(&self.host.state_directory, &self.agent.name, self.files(), before)
            .map_err(|e| RotationFailure::new(e.reason(), e.to_string()))?;
        let copy = kept.directory.display();
        tracing::warn!(agent = %self.agent.name, %copy, "the files that the backup replaces were copied");
        if let Some(copied) = self.record.rotation.as_mut().and_then(|rotation| rotation.copied.as_mut()) {
            copied.extend(kept.digests);
            self.save_record();
        }
        Ok(())
    }
}
