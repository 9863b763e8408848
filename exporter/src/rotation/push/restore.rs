//! Going back: the old files get their names again. What somebody has changed since in a file of ours is not lost: the
//! value or the entry that was ours is put back into it. A file that holds neither what was there nor what was put there
//! belongs to whoever wrote it.

use std::path::{Path, PathBuf};

use kagiban_agents::{Ini, PasswordIni};
use kagiban_crds::LeafSha256;
use kagiban_keystore::{self as keystore, Format, KeyMaterial, Limits, Merge, OnUnreadable, ReadError, Store};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::backup::{self, BackupError};
use super::coherence;
use super::staging::StagingError;
use super::survey::{MAX_STORE_BYTES, is_locked, known_passwords, leaf_of, open};
use crate::platform::{self, Attributes, FileError, HeldFile, Links, SurveyedFile, Swap, WriteError};
use crate::rotation::agent::Push;
use crate::rotation::digest::Digest;
use crate::rotation::journal::{FileSwap, Holds, OldFile, Ready};

/// Of one way back: what somebody writes in the moment of an exchange is judged anew, and a disk's error may be over.
const ATTEMPTS: usize = 3;

/// What going back is done with.
#[derive(Clone, Copy)]
pub(in crate::rotation) struct WayBack<'a> {
    /// None where the agent is configured as one whose files are not replaced.
    pub push: Option<&'a Push>,
    pub files: &'a [FileSwap],
    pub new_leaf: Option<LeafSha256>,
    /// What was copied before may be overwritten where it lies, whoever wrote it.
    pub copied: &'a [Digest],
    /// The new store's, while it is known.
    pub new_password: Option<&'a SecretString>,
}

/// Why the old files do not come back.
#[derive(Debug, thiserror::Error)]
pub(in crate::rotation) enum RestoreError {
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
    ChangedSince { path: PathBuf },
    #[error(
        "{}: has another {} than the file that would come back, and neither is the narrower; undo that, or open a new rotation",
        path.display(), differences.join(", ")
    )]
    OtherAccess { path: PathBuf, differences: Vec<String> },
    #[error(
        "the old files would not go together with what was changed since ({0}), and nothing was stopped for them; open a new rotation"
    )]
    Parted(StagingError),
    #[error(
        "{}: was changed since and opens with a password that is known here, and the old store {} with none, so it was left as it \
         is; open a new rotation",
        path.display(), backup.display()
    )]
    Locked { path: PathBuf, backup: PathBuf },
    #[error("{}: this rotation has replaced it, and the configuration has the agent's files elsewhere now, so nothing is put back there", path.display())]
    NotConfigured { path: PathBuf },
    #[error(
        "{}: is not there, and its directory is another one than when the rotation replaced it; mount what belongs there, and the \
         old files are put back; if the directory was made anew, end the freeze with `kagiban-exporter rotation thaw AGENT`",
        path.display()
    )]
    Elsewhere { path: PathBuf },
    #[error(
        "{}: this rotation put the first file there, and its directory is another one now; if a file system was mounted over it, the new \
         key lies below: unmount it, and the key is removed; if the directory was made anew, end the freeze with `kagiban-exporter \
         rotation thaw AGENT`",
        path.display()
    )]
    FirstElsewhere { path: PathBuf },
}

impl RestoreError {
    pub(in crate::rotation) const fn reason(&self) -> &'static str {
        match self {
            Self::Write(error) => error.reason(),
            Self::Read(error) => error.reason(),
            Self::Backup(error) => error.reason(),
            Self::ChangedSince { .. } => "changed_since",
            Self::OtherAccess { .. } => "other_access",
            Self::Parted(_) => "split_set",
            Self::Locked { .. } => "backup_locked",
            Self::NotConfigured { .. } => "not_configured",
            Self::Elsewhere { .. } | Self::FirstElsewhere { .. } => "not_mounted",
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
    Overwrite,
    /// What was written for this when the way back was ordered.
    Take(Waiting),
}

/// A step, and what lies there now.
struct Planned {
    step: Step,
    present: Option<HeldFile>,
}

/// A step of which only names are left to change, which takes no space. It holds what was judged: nothing else goes.
enum Move {
    Keep,
    Remove(HeldFile),
    Rename(Waiting, Option<HeldFile>),
}

/// A file beside the one whose place it is to take.
struct Waiting {
    path: PathBuf,
    attributes: Attributes,
    contents: Digest,
    /// It was written just now.
    is_new: bool,
}

impl Planned {
    /// What `file` will hold.
    fn contents(&self, file: &FileSwap) -> Result<Option<Zeroizing<Vec<u8>>>, RestoreError> {
        Ok(match (&self.step, &file.old) {
            (Step::Keep, _) => self.present.as_ref().map(|present| present.bytes.clone()),
            (Step::Rewrite(bytes), _) => Some(bytes.clone()),
            (Step::Take(waiting), _) => Some(coherence::on_disk(&waiting.path)?),
            (Step::PutBack | Step::Overwrite, Some(old)) => Some(backup::read(old)?),
            (Step::Remove, _) | (Step::PutBack | Step::Overwrite, None) => None,
        })
    }

    /// What comes back has the rights that the old file had, less what the file there has not now.
    ///
    /// # Errors
    /// What differs, where neither is the narrower.
    fn narrowed(&self, attributes: &Attributes) -> Result<Attributes, Vec<String>> {
        match (&self.step, &self.present) {
            (Step::PutBack | Step::Rewrite(_) | Step::Take(_) | Step::Overwrite, Some(present)) => {
                attributes.narrowed_to(&present.attributes)
            }
            (Step::PutBack | Step::Rewrite(_) | Step::Take(_) | Step::Overwrite, None)
            | (Step::Keep | Step::Remove, _) => Ok(attributes.clone()),
        }
    }
}

impl WayBack<'_> {
    /// Writes beside the files what will take their places, and changes nothing yet: a way back that does not fit on the
    /// disk, or that would lose what was written since, is found while the service runs.
    ///
    /// What comes back has the rights that the old file had, less what the file there has not now.
    ///
    /// # Errors
    /// See [`RestoreError`]; nothing of it is left then.
    pub(in crate::rotation) fn make_ready(&self) -> Result<Vec<FileSwap>, RestoreError> {
        self.check_configured()?;
        let plan = self.plan()?;
        let mut files = self.files.to_vec();
        for (file, planned) in files.iter_mut().zip(&plan) {
            if matches!(planned.step, Step::Overwrite) {
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
        // Durable before the journal tells of it. A way back that begins at once is not kept by a directory that cannot be synced.
        let synced = files.iter().try_for_each(|file| platform::sync_directory_of(&file.path));
        synced.inspect_err(|_| give_up(&moves))?;
        for ((file, step), instead_of) in files.iter_mut().zip(moves).zip(present) {
            if let Move::Rename(Waiting { path, contents, .. }, _) = step {
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
            Holds::Store { alias } => Some(alias.as_str()),
            Holds::Chain | Holds::Key | Holds::PasswordIni => None,
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
    /// hidden by the files themselves. One such file is enough: those of a set may lie on several file systems.
    fn check_mounted(&self) -> Result<(), RestoreError> {
        let elsewhere = self.files.iter().find(|file| is_hidden(file));
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
            // Where neither is the narrower, a service that may be down gets its file as it was.
            if let Ok(narrowed) = planned.narrowed(&file.attributes) {
                file.attributes = narrowed;
            }
        }
        let moves = prepare(&files, plan)?;
        Ok((files, moves))
    }

    /// Whether all that lies there was copied, or is what goes back.
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

    fn plan(&self) -> Result<Vec<Planned>, RestoreError> {
        let planned = |file| {
            let present = present(file)?;
            let step = match self.careful_step(file, present.as_ref()) {
                Err(RestoreError::ChangedSince { .. }) if self.may_overwrite(file, present.as_ref()) => Step::PutBack,
                step => step?,
            };
            Ok(Planned { step, present })
        };
        self.files.iter().map(planned).collect()
    }

    fn may_overwrite(&self, file: &FileSwap, present: Option<&HeldFile>) -> bool {
        file.old.is_some() && present.is_some_and(|present| self.copied.contains(&Digest::of(&present.bytes)))
    }

    fn careful_step(&self, file: &FileSwap, present: Option<&HeldFile>) -> Result<Step, RestoreError> {
        let digest = present.map(|present| Digest::of(&present.bytes));
        // What waits to take its place waits still: this file was never replaced, or went back. It is the agent's, or whoever's
        // wrote it since, and keeps no other from going back.
        if let Some(digest) = digest
            && digest != file.new
            && !self.copied.contains(&digest)
            && lies_at(&file.staged, file.new)
        {
            return Ok(Step::Keep);
        }
        let Some(old) = &file.old else {
            return match digest {
                None => Ok(Step::Keep),
                Some(digest) if digest == file.new => Ok(Step::Remove),
                Some(_) => Err(changed_since(file)),
            };
        };
        if let Some(ready) = &file.ready {
            if digest == Some(ready.contents) {
                return Ok(Step::Keep);
            }
            if digest == ready.instead_of
                && let Some(waiting) = waiting_at(&file.staged, ready.contents, &file.attributes)
            {
                return Ok(Step::Take(waiting));
            }
        }
        let (Some(present), Some(digest)) = (present, digest) else { return Ok(Step::PutBack) };
        // Where going back takes more than the old bytes, they may be what the agent made of the new ones.
        let is_untouched = || digest == old.digest && lies_at(&file.staged, file.new);
        if digest == old.backup_digest || is_untouched() {
            return Ok(Step::Keep);
        }
        if digest == file.new || digest == old.digest {
            return Ok(Step::PutBack);
        }
        match &file.holds {
            Holds::PasswordIni => self.ini_step(file, old, present),
            Holds::Store { alias } => self.store_step(file, old, alias, present),
            Holds::Chain | Holds::Key => match keystore::sniff(&present.bytes) {
                Some(_) => Err(changed_since(file)),
                None => Ok(Step::Overwrite),
            },
        }
    }

    /// The agent may have removed its password, and somebody may have changed a setting. A password that is neither the old nor
    /// the new one is somebody's, who may have given it to the store too.
    fn ini_step(&self, file: &FileSwap, old: &OldFile, present: &HeldFile) -> Result<Step, RestoreError> {
        let before = Ini::parse(&backup::read(old)?).ok();
        let now = Ini::parse(&present.bytes).ok();
        let (Some((_, place)), Some(before), Some(now)) = (self.password_ini(), before, now) else {
            return Ok(Step::Overwrite);
        };
        let value = match before.value(place.section, place.key) {
            Ok(Some(value)) => value,
            Ok(None) => return Ok(Step::Keep),
            Err(_) => return Ok(Step::Overwrite),
        };
        let told = now.value(place.section, place.key).ok().flatten();
        let is_theirs = |told: &SecretString| {
            told.expose_secret() != value.expose_secret() && !is_told(&before, place, told, file.new)
        };
        if told.as_ref().is_some_and(is_theirs) && !self.copied.contains(&Digest::of(&present.bytes)) {
            return Err(changed_since(file));
        }
        Ok(match now.with_value(place.section, place.key, &value) {
            Ok(merged) if merged.bytes() == now.bytes() => Step::Keep,
            Ok(merged) => Step::Rewrite(Zeroizing::new(merged.bytes().to_vec())),
            Err(_) => Step::Overwrite,
        })
    }

    /// The old key goes back under its alias, and the other entries stay as they are now.
    fn store_step(
        &self,
        file: &FileSwap,
        old: &OldFile,
        alias: &str,
        present: &HeldFile,
    ) -> Result<Step, RestoreError> {
        let passwords = self.passwords();
        let (store, opens) = match open(&present.bytes, &passwords) {
            Ok((store, opens)) if !is_locked(&store) => (store, opens.and_then(|opens| passwords.get(opens))),
            Ok(_) | Err(ReadError::BadPassword | ReadError::PasswordNeeded) => return Err(changed_since(file)),
            Err(_) => return Ok(Step::Overwrite),
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
        // Where the file with the agent's password goes back too, the store goes back to the password in it. Another store
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
            Err(_) => Err(changed_since(file)),
        }
    }

    fn password_ini(&self) -> Option<&(PathBuf, PasswordIni)> {
        self.push?.password_ini.as_ref()
    }

    /// Whether the file with the agent's password is one of the set.
    fn tells_password(&self) -> bool {
        self.password_file().is_some()
    }

    fn password_file(&self) -> Option<&FileSwap> {
        self.files.iter().find(|file| file.holds == Holds::PasswordIni)
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

/// Does all that takes space, before the first name changes: files that belong together are not parted by a full disk, nor by
/// one that cannot be replaced.
fn prepare(files: &[FileSwap], plan: Vec<Planned>) -> Result<Vec<Move>, RestoreError> {
    for (file, planned) in files.iter().zip(&plan) {
        match planned.step {
            Step::Keep => {}
            Step::Remove | Step::PutBack | Step::Rewrite(_) | Step::Overwrite | Step::Take(_) => {
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
fn give_up(moves: &[Move]) {
    for step in moves {
        if let Move::Rename(Waiting { path, is_new: true, contents, .. }, _) = step
            && lies_at(path, *contents)
        {
            let _ = platform::remove(path);
        }
    }
}

fn prepared(file: &FileSwap, Planned { step, present }: Planned) -> Result<Move, RestoreError> {
    let beside = |old: &OldFile| {
        let places = [&old.beside, &file.staged];
        places.into_iter().find_map(|path| waiting_at(path, old.backup_digest, &file.attributes))
    };
    let put_back = |old: &OldFile| match beside(old) {
        Some(waiting) => Ok(waiting),
        None => write_beside(file, &backup::read(old)?),
    };
    let mut waiting = match (step, &file.old) {
        (Step::Keep, _) | (Step::PutBack | Step::Overwrite, None) => return Ok(Move::Keep),
        (Step::Remove, _) => return Ok(present.map_or(Move::Keep, Move::Remove)),
        (Step::Take(waiting), _) => waiting,
        (Step::Rewrite(bytes), _) => write_beside(file, &bytes)?,
        (Step::PutBack, Some(old)) => put_back(old)?,
        (Step::Overwrite, Some(old)) => {
            if let Some(changed) = &present {
                backup::keep_changed(old, &changed.bytes)?;
            }
            put_back(old)?
        }
    };
    if !waiting.attributes.is_same_access(&file.attributes) {
        platform::narrow(&waiting.path, &file.attributes)?;
        waiting.attributes = file.attributes.clone();
    }
    Ok(Move::Rename(waiting, present))
}

/// Changes the names, and makes that durable with `sync` when all have changed: a directory that cannot be synced does not part
/// files that belong together.
fn carry_out(
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
fn change_names(files: &[FileSwap], moves: &[Move]) -> Result<(), WriteError> {
    let mut done = Vec::new();
    let moved = files.iter().zip(moves).try_for_each(|(file, step)| {
        step.carry_out(file)?;
        done.push((file, step));
        Ok(())
    });
    if moved.is_err() {
        for (file, step) in done.into_iter().rev() {
            if let Err(error) = step.take_back(file) {
                tracing::error!(%error, "some files are new and some are old: one cannot be exchanged, nor another taken back");
            }
        }
    }
    moved
}

impl Move {
    fn carry_out(&self, file: &FileSwap) -> Result<(), WriteError> {
        match self {
            Self::Keep => Ok(()),
            Self::Remove(judged) => {
                platform::move_aside(&file.path, &file.staged, surveyed(judged, &Digest::of(&judged.bytes)))
            }
            Self::Rename(waiting, judged) => {
                let sha256 = judged.as_ref().map(|judged| Digest::of(&judged.bytes));
                platform::swap_names(&Swap {
                    path: &file.path,
                    staged: &waiting.path,
                    beside: None,
                    sha256: waiting.contents.as_bytes(),
                    attributes: &waiting.attributes,
                    old: judged.as_ref().zip(sha256.as_ref()).map(|(judged, sha256)| surveyed(judged, sha256)),
                })
            }
        }
    }

    /// What was judged gets its name again, and what had taken it waits beside it again.
    fn take_back(&self, file: &FileSwap) -> Result<(), WriteError> {
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
            Self::Rename(waiting, None) => {
                platform::move_aside(&file.path, &waiting.path, surveyed(&put_there()?, &waiting.contents))
            }
            Self::Rename(waiting, Some(judged)) => {
                let put_there = put_there()?;
                // Where names cannot be exchanged, it is beside its place no more.
                if !lies_at(&waiting.path, Digest::of(&judged.bytes)) {
                    platform::write_unsynced(&waiting.path, &judged.bytes, Some(&judged.attributes))?;
                }
                back(judged, &waiting.path, Some(surveyed(&put_there, &waiting.contents)))
            }
        }
    }

    /// Where what was judged lies after the exchange.
    fn displaced<'a>(&'a self, file: &'a FileSwap) -> Option<&'a Path> {
        match self {
            Self::Keep => None,
            Self::Remove(_) => Some(&file.staged),
            Self::Rename(waiting, _) => Some(&waiting.path),
        }
    }
}

/// What puts the new file in its place. None where something else lies there than what goes back, or the new file is gone.
fn forward(file: &FileSwap) -> Option<Move> {
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
    Some(Move::Rename(waiting_at(&file.staged, file.new, &file.attributes)?, present))
}

/// Whether neither the new file nor what waits beside it is in the directory that its path leads to, and that is another one.
fn is_hidden(file: &FileSwap) -> bool {
    let beside = file.old.iter().map(|old| old.beside.as_path());
    backup::is_directory_another(file)
        && beside.chain([file.staged.as_path()]).all(backup::is_absent)
        && !lies_at(&file.path, file.new)
}

/// Whether two paths lead to one name in one directory.
fn is_same_place(a: &Path, b: &Path) -> bool {
    let directory = |path: &Path| path.parent().and_then(|parent| platform::directory_identity(parent).ok());
    a == b || (a.file_name() == b.file_name() && directory(a).is_some_and(|it| directory(b) == Some(it)))
}

fn surveyed<'a>(held: &'a HeldFile, sha256: &'a Digest) -> SurveyedFile<'a> {
    SurveyedFile { identity: &held.identity, sha256: sha256.as_bytes(), attributes: &held.attributes }
}

fn write_beside(file: &FileSwap, bytes: &[u8]) -> Result<Waiting, RestoreError> {
    let path = platform::temporary_beside(&file.path)?;
    let attributes = file.attributes.clone();
    platform::write_unsynced(&path, bytes, Some(&attributes))?;
    Ok(Waiting { path, attributes, contents: Digest::of(bytes), is_new: true })
}

/// A file beside its place with these contents, open to the same accounts, or to more until its permission bits are narrowed.
fn waiting_at(path: &Path, contents: Digest, attributes: &Attributes) -> Option<Waiting> {
    let held = platform::read_held(path, MAX_STORE_BYTES, Links::Refuse).ok()?;
    let is_it = Digest::of(&held.bytes) == contents && held.attributes.narrows_to(attributes);
    is_it.then(|| Waiting { path: path.to_owned(), attributes: held.attributes, contents, is_new: false })
}

fn present(file: &FileSwap) -> Result<Option<HeldFile>, FileError> {
    match platform::read_held(&file.path, MAX_STORE_BYTES, Links::Refuse) {
        Ok(present) => Ok(Some(present)),
        Err(FileError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn lies_at(path: &Path, digest: Digest) -> bool {
    platform::read_held(path, MAX_STORE_BYTES, Links::Refuse).is_ok_and(|held| Digest::of(&held.bytes) == digest)
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

fn changed_since(file: &FileSwap) -> RestoreError {
    RestoreError::ChangedSince { path: file.path.clone() }
}

impl std::fmt::Debug for WayBack<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WayBack").field("files", &self.files).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
