//! Keeps that a shutdown has begun, so that this program, started again in the same boot, still knows it; and takes a person's
//! word that it is over.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::blocking::{self, Work};
use crate::platform::{self, FileLock};
use crate::shutdown::{self, Asked, BootId, LatchFileError, LatchRecord, LoadedLatch, Origin};
use crate::snapshot::Board;

/// A small file, synced; a disk that writes back gigabytes may take seconds.
const FILE_WITHIN: Duration = Duration::from_secs(20);
/// How often a person's request is looked for while a shutdown has begun.
const ASKED_EVERY: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Keeper {
    state_directory: Arc<PathBuf>,
    boot: Option<BootId>,
    /// What is on disk already; none where that is not known.
    kept: Option<LatchRecord>,
    /// Held once there is something to keep.
    lock: Option<FileLock>,
    /// That it is known in memory only was said.
    warned: bool,
}

impl Keeper {
    /// Reads what an earlier run left, `until` then at the latest. What is not ours or not of this boot says nothing of it.
    pub(super) async fn open(state_directory: PathBuf, until: Instant) -> Self {
        let boot = BootId::new(&platform::boot_id());
        if boot.is_none() {
            warn!(
                "the system tells no boot id: that a shutdown has begun is forgotten when this program is started again"
            );
        }
        let state_directory = Arc::new(state_directory);
        let mut keeper = Self { state_directory, boot, kept: Some(LatchRecord::default()), lock: None, warned: false };
        match keeper.on_disk_by(until, shutdown::load).await {
            None | Some(Ok(LoadedLatch::Nothing)) => {}
            Some(Ok(LoadedLatch::Kept(kept))) => keeper.kept = Some(kept),
            Some(Ok(LoadedLatch::EarlierBoot(kept))) => {
                if let Some(latch) = kept.latch {
                    warn!(
                        since = %latch.since(),
                        "the shutdown that had begun has ended with its boot; its record is not used"
                    );
                }
            }
            Some(Err(error)) => {
                warn!(reason = error.reason(), %error, "no record of an earlier shutdown is used");
            }
        }
        keeper
    }

    pub(super) fn resume(&self, board: &Board) {
        board.resume(self.boot.clone(), self.kept.clone().unwrap_or_default());
    }

    /// Writes whatever is new, until told to stop; the last of it then. Nothing is written while no shutdown begins or ends, and what
    /// is on disk is as it should be.
    pub(super) async fn keep(mut self, board: Arc<Board>, stop: CancellationToken) {
        let mut kept = board.kept();
        let mut looks = interval(ASKED_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_minded = self.boot.is_some() && (self.lock.is_some() || self.is_news(&kept.borrow()));
            let is_minded = is_minded || kept.borrow().latch.is_some();
            let goes_on = tokio::select! {
                biased;
                changed = kept.changed() => changed.is_ok(),
                () = stop.cancelled() => false,
                _ = looks.tick(), if is_minded => {
                    self.mind(&board).await;
                    true
                }
            };
            let now = kept.borrow_and_update().clone();
            self.save(now).await;
            if !goes_on {
                return;
            }
        }
    }

    fn is_news(&self, kept: &LatchRecord) -> bool {
        self.kept.as_ref() != Some(kept)
    }

    /// Hears a person, and has the record say what is known: it may have been removed, damaged, or not been written.
    async fn mind(&mut self, board: &Board) {
        self.hold(board).await;
        let asked = self.hear_person(board).await;
        let kept = board.kept().borrow().clone();
        if self.lock.is_some() {
            let meant = kept.clone();
            let is_kept = self.on_disk(move |directory, boot| Ok(shutdown::is_kept(directory, boot, &meant))).await;
            if matches!(is_kept, Some(Ok(false))) {
                self.kept = None;
            }
        }
        // A request that goes before its deed is durable would be lost.
        let is_kept = self.save(kept).await;
        let answered = match asked {
            Asked::Nothing => return,
            Asked::ToClear | Asked::ToKeep if !is_kept => {
                self.on_disk(|directory, _| Ok(shutdown::note_cleared(directory)?)).await
            }
            Asked::ToClear | Asked::ToKeep | Asked::ToClearAnother => {
                self.on_disk(|directory, _| Ok(shutdown::drop_request(directory)?)).await
            }
        };
        if let Some(Err(error)) = answered {
            warn!(reason = error.reason(), %error, "a request to clear a shutdown cannot be answered");
        }
    }

    /// Clears the shutdown that has begun when a person says so.
    async fn hear_person(&mut self, board: &Board) -> Asked {
        let latch = board.kept().borrow().latch.clone();
        let meant = latch.clone();
        let asked = self.on_disk(move |directory, boot| Ok(shutdown::asked(directory, boot, meant.as_ref()))).await;
        let Some(Ok(asked)) = asked else { return Asked::Nothing };
        match (asked, latch) {
            (Asked::ToClear, Some(latch)) => match board.clear_shutdown(Timestamp::now()) {
                Ok(()) => {
                    info!(since = %latch.since(), by = latch.names(), "a person has cleared the shutdown that had begun");
                    asked
                }
                Err(announcing) => {
                    warn!(
                        reason = "still_announced", by = %names(announcing.iter()),
                        "a shutdown is not cleared while a source says that it has begun; end it there, and ask again"
                    );
                    Asked::ToClearAnother
                }
            },
            (Asked::ToClearAnother, _) => {
                warn!(
                    "a request to clear a shutdown meant another than the one that has begun, and is dropped; look with \
                     `kagiban-exporter shutdown show`"
                );
                asked
            }
            (Asked::Nothing | Asked::ToKeep | Asked::ToClear, _) => asked,
        }
    }

    /// Takes the lock. Until it was ours, a person may have cleared the record behind us.
    async fn hold(&mut self, board: &Board) {
        if self.lock.is_some() {
            return;
        }
        let held = self.on_disk(|directory, boot| {
            let lock = shutdown::hold(directory).ok().flatten();
            if lock.is_some() {
                shutdown::drop_nameless_request(directory)?;
            }
            Ok((lock, shutdown::kept(directory, boot).unwrap_or_default()))
        });
        let Some(Ok((Some(lock), on_disk))) = held.await else { return };
        self.lock = Some(lock);
        let is_of_before = self.kept.as_ref().is_some_and(|kept| kept.cleared_at == on_disk.cleared_at);
        if on_disk.latch.is_none()
            && on_disk.cleared_at.is_some()
            && !is_of_before
            && board.clear_shutdown(Timestamp::now()).is_ok()
        {
            info!("a person has cleared the shutdown that had begun");
        }
    }

    /// Whether it is on disk.
    async fn save(&mut self, kept: LatchRecord) -> bool {
        if self.boot.is_none() || !self.is_news(&kept) {
            return true;
        }
        let written = kept.clone();
        match self.on_disk(move |directory, boot| shutdown::save(directory, boot, &written)).await {
            Some(Ok(())) => {
                self.kept = Some(kept);
                if std::mem::take(&mut self.warned) {
                    info!("whether a shutdown has begun is kept on disk again");
                }
                true
            }
            Some(Err(error)) => {
                if !std::mem::replace(&mut self.warned, true) {
                    warn!(
                        reason = error.reason(), %error,
                        "whether a shutdown has begun is known in memory only; it is tried again"
                    );
                }
                false
            }
            None => false,
        }
    }

    async fn on_disk<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&std::path::Path, &BootId) -> Result<T, LatchFileError> + Send + 'static,
    ) -> Option<Result<T, LatchFileError>> {
        self.on_disk_by(Instant::now() + FILE_WITHIN, work).await
    }

    /// Works on the state directory; none when the system tells no boot, or the disk hangs, which is said once.
    async fn on_disk_by<T: Send + 'static>(
        &mut self,
        until: Instant,
        work: impl FnOnce(&std::path::Path, &BootId) -> Result<T, LatchFileError> + Send + 'static,
    ) -> Option<Result<T, LatchFileError>> {
        let (directory, boot) = (Arc::clone(&self.state_directory), self.boot.clone()?);
        let done = blocking::run(Work::State, until, move || work(&directory, &boot)).await;
        if let Err(blocked) = &done
            && !std::mem::replace(&mut self.warned, true)
        {
            warn!(reason = blocked.reason(), error = %blocked, "whether a shutdown has begun is known in memory only");
        }
        done.ok()
    }
}

fn names<'a>(origins: impl Iterator<Item = &'a Origin>) -> String {
    let names: Vec<String> = origins.map(ToString::to_string).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::label::Label;
    use crate::shutdown::{Announced, Cleared, ClearingProgress, Latch};
    use crate::ups::ShutdownTrigger;

    const BEGUN: Timestamp = Timestamp::constant(1_750_000_000, 0);

    /// An exporter that has come up in a boot in which a shutdown had begun, and its keeper, which has written nothing yet.
    async fn begun(state: &Path) -> (Keeper, Arc<Board>) {
        let origin = Origin::Host { source: Label::new("/opt/EventLog") };
        let triggers = [ShutdownTrigger::PowerchuteEvent].into();
        let announced = Announced { since: BEGUN, triggers, cause: None, begun_at: Some(BEGUN) };
        let kept = LatchRecord { latch: Latch::announced([(origin, announced)].into()), ..LatchRecord::default() };
        let board = Arc::new(Board::default());
        let keeper = Keeper::open(state.to_owned(), Instant::now() + FILE_WITHIN).await;
        board.resume(keeper.boot.clone(), kept);
        (keeper, board)
    }

    fn boot() -> BootId {
        BootId::new(&platform::boot_id()).expect("a boot id")
    }

    /// Holds R6: the record and the exporter that runs say the same, whatever becomes of the record.
    #[tokio::test]
    async fn a_record_that_is_removed_or_damaged_is_written_again() {
        let directory = tempfile::tempdir().expect("directory");
        let (state, record) = (directory.path(), directory.path().join("shutdown.json"));
        let (mut keeper, board) = begun(state).await;
        keeper.mind(&board).await;
        let known = board.kept().borrow().clone();
        for damage in [None, Some("{"), Some("")] {
            match damage {
                None => std::fs::remove_file(&record).expect("remove"),
                Some(text) => std::fs::write(&record, text).expect("write"),
            }
            keeper.mind(&board).await;
            assert_eq!(shutdown::kept(state, &boot()).expect("read"), known, "{damage:?}");
        }
    }

    /// Holds R6: cleared in memory and not on disk, it is told so, tried again, and the request outlives a kill.
    #[tokio::test]
    async fn a_clearing_that_cannot_be_kept_is_told_and_tried_until_it_is() {
        let directory = tempfile::tempdir().expect("directory");
        let (state, record) = (directory.path(), directory.path().join("shutdown.json"));
        let (mut keeper, board) = begun(state).await;
        // A directory is in the way of the record.
        std::fs::create_dir_all(record.join("x")).expect("a directory");
        keeper.mind(&board).await;
        assert_eq!(shutdown::clear(state, &boot(), BEGUN).expect("asked"), Cleared::Asked);
        keeper.mind(&board).await;
        assert!(board.kept().borrow().latch.is_none(), "it is cleared");
        assert_eq!(shutdown::waiting(state), ClearingProgress::ClearedNotKept);
        keeper.mind(&board).await;
        assert_eq!(shutdown::waiting(state), ClearingProgress::ClearedNotKept);
        std::fs::remove_dir_all(&record).expect("remove");
        keeper.mind(&board).await;
        assert_eq!(shutdown::waiting(state), ClearingProgress::Answered);
        let kept = shutdown::kept(state, &boot()).expect("read");
        assert_eq!((kept.latch.is_none(), kept.cleared_at.is_some()), (true, true));
    }
}
