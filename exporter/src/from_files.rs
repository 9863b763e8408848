//! What files say, read again when one of them changes.
//!
//! ```text
//!   FromFiles (async: a lane, one look at a time) ──> Kept (identities, and what was made) ──> platform
//! ```

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use crate::blocking::{Blocked, Flights, Work};
use crate::platform::{self, FileError, FileIdentity};

/// The files that something was made of, as they were when they were read.
pub(crate) type FileOrigin = Vec<(PathBuf, FileIdentity)>;

/// What was made of files. Its methods block.
#[derive(Debug)]
pub(crate) struct CachedFile<T> {
    made: Option<T>,
    /// Empty before the first time and after a failure: then it is made in any case.
    origin: FileOrigin,
}

impl<T> Default for CachedFile<T> {
    fn default() -> Self {
        Self { made: None, origin: FileOrigin::new() }
    }
}

impl<T> CachedFile<T> {
    pub(crate) const fn of(made: T, origin: FileOrigin) -> Self {
        Self { made: Some(made), origin }
    }

    /// Makes it again unless every file is the one that it was made of. Whether it was made.
    ///
    /// # Errors
    /// Of `make`; what was made before then stays in [`CachedFile::last`].
    pub(crate) fn refresh<E>(&mut self, make: impl FnOnce() -> Result<(T, FileOrigin), E>) -> Result<bool, E> {
        let origin = std::mem::take(&mut self.origin);
        let is_same = |(path, identity): &(PathBuf, _)| platform::identify(path).is_ok_and(|now| now == *identity);
        if !origin.is_empty() && origin.iter().all(is_same) {
            self.origin = origin;
            return Ok(false);
        }
        let (made, origin) = make()?;
        (self.made, self.origin) = (Some(made), origin);
        Ok(true)
    }

    /// What was made last, however old.
    pub(crate) const fn last(&self) -> Option<&T> {
        self.made.as_ref()
    }
}

/// Has `make` read one file. The identity is asked first: a file that changes between the two is seen as changed the next
/// time.
///
/// # Errors
/// Of the file or of `make`.
pub(crate) fn of_file<T, E: From<FileError>>(
    path: &Path,
    make: impl FnOnce(&Path) -> Result<T, E>,
) -> Result<(T, FileOrigin), E> {
    let identity = platform::identify(path)?;
    Ok((make(path)?, vec![(path.to_owned(), identity)]))
}

/// The same for async callers, who may be many: one looks at the files, on a thread of its kind of work, and the others
/// wait for what it finds. A look that hangs is joined and not started a second time.
#[derive(Debug)]
pub(crate) struct FromFiles<T, E> {
    work: Work,
    kept: Arc<Mutex<CachedFile<Arc<T>>>>,
    looks: Flights<(), Result<Arc<T>, Arc<E>>>,
    /// What was made stays after a failure, for who goes on with it; else it is forgotten, as a password that was lost must be.
    keeps_last: bool,
}

/// Why nothing is known of what the files say now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FilesUnavailable<E> {
    #[error("{0}")]
    Blocked(#[from] Blocked),
    #[error("{0}")]
    Failed(Arc<E>),
}

impl<E> FilesUnavailable<E> {
    /// Stable, for metric labels.
    pub(crate) fn reason(&self, of: impl FnOnce(&E) -> &'static str) -> &'static str {
        match self {
            Self::Blocked(blocked) => blocked.reason(),
            Self::Failed(error) => of(error),
        }
    }
}

impl<T, E> FromFiles<T, E>
where
    T: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    pub(crate) fn new(work: Work) -> Self {
        Self { work, kept: Arc::default(), looks: Flights::new(), keeps_last: false }
    }

    /// Starts with what was made already. A failure leaves it in force.
    pub(crate) fn starting(work: Work, made: T, origin: FileOrigin) -> Self {
        let kept = Arc::new(Mutex::new(CachedFile::of(Arc::new(made), origin)));
        Self { work, kept, looks: Flights::new(), keeps_last: true }
    }

    /// What the files say now, made by `make` where they have changed.
    ///
    /// # Errors
    /// See [`FilesUnavailable`].
    pub(crate) async fn current(
        &self,
        until: Instant,
        make: impl FnOnce() -> Result<(T, FileOrigin), E> + Send + 'static,
    ) -> Result<Arc<T>, FilesUnavailable<E>> {
        let (kept, keeps_last) = (Arc::clone(&self.kept), self.keeps_last);
        let look = move || {
            // Taken out for the look: `last` must not wait for a file system that hangs.
            let mut now = {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                CachedFile { made: kept.made.clone(), origin: std::mem::take(&mut kept.origin) }
            };
            let refreshed = now.refresh(|| make().map(|(made, origin)| (Arc::new(made), origin)));
            if refreshed.is_err() && !keeps_last {
                now.made = None;
            }
            let found = refreshed.map_err(Arc::new).map(|_| now.made.clone());
            *kept.lock().unwrap_or_else(PoisonError::into_inner) = now;
            // Made just now, or before: then it is there.
            found.map(|made| made.expect("what was refreshed was made"))
        };
        self.looks.join(self.work, (), until, look).await?.map_err(FilesUnavailable::Failed)
    }

    /// What was made last, however old.
    pub(crate) fn last(&self) -> Option<Arc<T>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).last().cloned()
    }

    /// Whether somebody looks at the files now.
    pub(crate) fn is_looked_at(&self) -> bool {
        self.looks.is_under_way(&())
    }
}

impl<T, E> Clone for FromFiles<T, E> {
    fn clone(&self) -> Self {
        Self { kept: Arc::clone(&self.kept), looks: self.looks.clone(), ..*self }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    fn read(path: &Path) -> Result<(String, FileOrigin), FileError> {
        of_file(path, |path| fs::read_to_string(path).map_err(|error| FileError::from_io(path, error)))
    }

    #[tokio::test]
    async fn a_file_is_read_again_when_it_changes_and_only_then() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("file");
        fs::write(&path, "one").expect("it can be written");
        let file = FromFiles::<String, FileError>::new(Work::Trust);
        let look = |times: Arc<Mutex<u32>>| {
            let path = path.clone();
            file.current(later(), move || {
                *times.lock().expect("whole") += 1;
                read(&path)
            })
        };
        let times = Arc::new(Mutex::new(0));
        assert_eq!(*look(Arc::clone(&times)).await.expect("it is there"), "one");
        assert_eq!(*look(Arc::clone(&times)).await.expect("it is there"), "one");
        assert_eq!(*times.lock().expect("whole"), 1);
        fs::write(&path, "three").expect("it can be written");
        assert_eq!(*look(Arc::clone(&times)).await.expect("it is there"), "three");
        fs::remove_file(&path).expect("it was there");
        let gone = look(Arc::clone(&times)).await.expect_err("it is gone");
        assert_eq!(gone.reason(FileError::reason), "not_found");
        assert_eq!(file.last(), None, "what was lost is forgotten");
        fs::write(&path, "three").expect("it can be written");
        assert_eq!(*look(Arc::clone(&times)).await.expect("it is there again"), "three");
        assert_eq!(*times.lock().expect("whole"), 4);
    }

    /// Holds A17: a file on a file system that hangs costs one thread, however many ask for it and how often.
    #[tokio::test]
    async fn a_look_that_hangs_is_joined_and_the_last_value_stays_at_hand() {
        let file = FromFiles::<u8, FileError>::starting(Work::Trust, 1, FileOrigin::new());
        let (release, hanging) = mpsc::channel::<()>();
        let hang = move || {
            let _ = hanging.recv();
            Ok((2, FileOrigin::new()))
        };
        let soon = || Instant::now() + Duration::from_millis(50);
        let hung = file.current(soon(), hang).await.expect_err("it hangs");
        assert_eq!(hung.reason(FileError::reason), "timeout");
        for _ in 0..5 {
            let joined = file.current(soon(), || panic!("the first is not over")).await.expect_err("it hangs");
            assert_eq!(joined.reason(FileError::reason), "timeout", "and not busy: it waits for the same thread");
        }
        assert!(file.is_looked_at());
        assert_eq!(file.last().as_deref(), Some(&1));
        drop(release);
        let found = *file.current(later(), || Ok((3, FileOrigin::new()))).await.expect("the thread came back");
        assert!([2, 3].contains(&found), "of the look that hung, or of a new one: {found}");
        let failed = file.current(later(), || Err(FileError::NotFound { path: "/a".into() })).await;
        assert_eq!(failed.map_err(|error| error.reason(FileError::reason)), Err("not_found"));
        assert_eq!(file.last().as_deref(), Some(&found), "for who goes on with it");
    }
}
