//! The exchange of names: what takes space is done before it, and all names change or none.

use std::path::Path;

use super::super::backup;
use super::super::survey::MAX_STORE_BYTES;
use super::error::RestoreError;
use super::replacement::{ReplacementFile, lies_at, present, replacement_at, write_beside};
use super::steps::{Planned, RestoreStep};
use crate::platform::{self, HeldFile, Links, SurveyedFile, Swap, WriteError};
use crate::rotation::digest::Digest;
use crate::rotation::journal::{FileSwap, OldFile};

/// A step of which only names are left to change, which takes no space. It holds what was judged: nothing else goes.
pub(super) enum Move {
    Keep,
    Remove(HeldFile),
    Rename(ReplacementFile, Option<HeldFile>),
}

/// Does all that takes space, before the first name changes: files that belong together are not parted by a full disk, nor by
/// one that cannot be replaced.
pub(super) fn prepare(files: &[FileSwap], plan: Vec<Planned>) -> Result<Vec<Move>, RestoreError> {
    for (file, planned) in files.iter().zip(&plan) {
        match planned.step {
            RestoreStep::Keep => {}
            RestoreStep::Remove
            | RestoreStep::Restore
            | RestoreStep::Rewrite(_)
            | RestoreStep::Overwrite
            | RestoreStep::Take(_) => {
                platform::check_replaceable(&file.path)?;
            }
        }
    }
    let mut moves = Vec::new();
    for (file, planned) in files.iter().zip(plan) {
        match prepared(file, planned) {
            Ok(step) => moves.push(step),
            Err(error) => {
                give_up(&moves);
                return Err(error);
            }
        }
    }
    Ok(moves)
}

/// Removes what was written for moves that do not come; where one was cut off half-way, another file lies there, and stays.
/// What stays is swept at the next start.
pub(super) fn give_up(moves: &[Move]) {
    for step in moves {
        if let Move::Rename(ReplacementFile { path, is_new: true, contents, .. }, _) = step
            && lies_at(path, *contents)
        {
            let _ = platform::remove(path);
        }
    }
}

fn prepared(file: &FileSwap, Planned { step, present }: Planned) -> Result<Move, RestoreError> {
    let beside = |old: &OldFile| {
        let places = [&old.beside, &file.staged];
        places.into_iter().find_map(|path| replacement_at(path, old.backup_digest, &file.attributes))
    };
    let restored = |old: &OldFile| match beside(old) {
        Some(replacement) => Ok(replacement),
        None => write_beside(file, &backup::read(old)?),
    };
    let mut replacement = match (step, &file.old) {
        (RestoreStep::Keep, _) | (RestoreStep::Restore | RestoreStep::Overwrite, None) => return Ok(Move::Keep),
        (RestoreStep::Remove, _) => return Ok(present.map_or(Move::Keep, Move::Remove)),
        (RestoreStep::Take(replacement), _) => replacement,
        (RestoreStep::Rewrite(bytes), _) => write_beside(file, &bytes)?,
        (RestoreStep::Restore, Some(old)) => restored(old)?,
        (RestoreStep::Overwrite, Some(old)) => {
            if let Some(changed) = &present {
                backup::keep_changed(&old.backup, &changed.bytes)?;
            }
            restored(old)?
        }
    };
    if !replacement.attributes.is_same_access(&file.attributes) {
        platform::narrow(&replacement.path, &file.attributes)?;
        replacement.attributes = file.attributes.clone();
    }
    Ok(Move::Rename(replacement, present))
}

/// Changes the names, and makes that durable with `sync` when all have changed: a directory that cannot be synced does not part
/// files that belong together.
pub(super) fn carry_out(
    files: &[FileSwap],
    moves: &[Move],
    sync: impl Fn(&Path) -> Result<(), WriteError>,
) -> Result<(), RestoreError> {
    let moved = change_names(files, moves);
    // Also of a file that was in its place already: the rename that put it there may have been cut off before.
    let synced: Vec<_> = files.iter().map(|file| sync(&file.path)).collect();
    let synced = synced.into_iter().collect::<Result<(), _>>();
    moved.inspect_err(|_| give_up(moves))?;
    if synced.is_ok() {
        // What cannot be removed now is removed with all else beside the file, or swept at the next start.
        let displaced = files.iter().zip(moves).filter_map(|(file, step)| step.displaced(file));
        displaced.for_each(|displaced| _ = platform::remove(displaced));
    }
    Ok(synced?)
}

/// All names, or none: what was done is taken back when a later one cannot be changed. Of what lies there only what was judged
/// goes; what was written since keeps its name.
pub(super) fn change_names(files: &[FileSwap], moves: &[Move]) -> Result<(), WriteError> {
    let mut done = Vec::new();
    let moved = files.iter().zip(moves).try_for_each(|(file, step)| {
        step.carry_out(file)?;
        done.push((file, step));
        Ok(())
    });
    if moved.is_err() {
        for (file, step) in done.into_iter().rev() {
            if let Err(error) = step.undo(file) {
                tracing::error!(%error, "some files are new and some are old: one cannot be exchanged, nor another taken back");
            }
        }
    }
    moved
}

impl Move {
    pub(super) fn carry_out(&self, file: &FileSwap) -> Result<(), WriteError> {
        match self {
            Self::Keep => Ok(()),
            Self::Remove(judged) => {
                platform::move_aside(&file.path, &file.staged, surveyed(judged, &Digest::of(&judged.bytes)))
            }
            Self::Rename(replacement, judged) => {
                let sha256 = judged.as_ref().map(|judged| Digest::of(&judged.bytes));
                platform::swap_names(&Swap {
                    path: &file.path,
                    staged: &replacement.path,
                    beside: None,
                    sha256: replacement.contents.as_bytes(),
                    attributes: &replacement.attributes,
                    old: judged.as_ref().zip(sha256.as_ref()).map(|(judged, sha256)| surveyed(judged, sha256)),
                })
            }
        }
    }

    /// What was judged gets its name again, and what had taken it waits beside it again.
    fn undo(&self, file: &FileSwap) -> Result<(), WriteError> {
        let back = |judged: &HeldFile, staged: &Path, instead_of: Option<SurveyedFile<'_>>| {
            platform::swap_names(&Swap {
                path: &file.path,
                staged,
                beside: None,
                sha256: Digest::of(&judged.bytes).as_bytes(),
                attributes: &judged.attributes,
                old: instead_of,
            })
        };
        let put_there = || platform::read_held(&file.path, MAX_STORE_BYTES, Links::Refuse);
        match self {
            Self::Keep => Ok(()),
            Self::Remove(judged) => back(judged, &file.staged, None),
            Self::Rename(replacement, None) => {
                platform::move_aside(&file.path, &replacement.path, surveyed(&put_there()?, &replacement.contents))
            }
            Self::Rename(replacement, Some(judged)) => {
                let put_there = put_there()?;
                // Where names cannot be exchanged, it is beside its place no more.
                if !lies_at(&replacement.path, Digest::of(&judged.bytes)) {
                    platform::write_unsynced(&replacement.path, &judged.bytes, Some(&judged.attributes))?;
                }
                back(judged, &replacement.path, Some(surveyed(&put_there, &replacement.contents)))
            }
        }
    }

    /// Where what was judged lies after the exchange.
    fn displaced<'a>(&'a self, file: &'a FileSwap) -> Option<&'a Path> {
        match self {
            Self::Keep => None,
            Self::Remove(_) => Some(&file.staged),
            Self::Rename(replacement, _) => Some(&replacement.path),
        }
    }
}

/// What puts the new file in its place. None where something else lies there than what is restored, or the new file is gone.
pub(super) fn forward(file: &FileSwap) -> Option<Move> {
    let present = present(file).ok()?;
    let digest = present.as_ref().map(|present| Digest::of(&present.bytes));
    if digest == Some(file.new) {
        return Some(Move::Keep);
    }
    let ready = file.ready.as_ref().map(|ready| ready.contents);
    let old = file.old.as_ref().map(|old| old.backup_digest);
    if digest != old && (ready.is_none() || digest != ready) {
        return None;
    }
    Some(Move::Rename(replacement_at(&file.staged, file.new, &file.attributes)?, present))
}

fn surveyed<'a>(held: &'a HeldFile, sha256: &'a Digest) -> SurveyedFile<'a> {
    SurveyedFile { identity: &held.identity, sha256: sha256.as_bytes(), attributes: &held.attributes }
}
