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
use crate::shutdown::{self, Asked, BootId, Found, Kept, LatchFileError, Origin};
use crate::snapshot::Board;

/// A small file, synced; a disk that writes back gigabytes may take seconds.
const FILE_WITHIN: Duration = Duration::from_secs(20);
/// How often a person's request is looked for while a shutdown has begun.
const ASKED_EVERY: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Keeper {
    state_directory: Arc<PathBuf>,
    boot: Option<BootId>,
    /// What is on disk already.
    kept: Kept,
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
        let mut keeper = Self { state_directory, boot, kept: Kept::default(), lock: None, warned: false };
        match keeper.on_disk_by(until, shutdown::load).await {
            None | Some(Ok(Found::Nothing)) => {}
            Some(Ok(Found::Kept(kept))) => keeper.kept = kept,
            Some(Ok(Found::EarlierBoot(kept))) => {
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
        board.resume(self.boot.clone(), self.kept.clone());
    }

    /// Writes whatever is new, until told to stop; the last of it then. Nothing is written while no shutdown begins or ends.
    pub(super) async fn keep(mut self, board: Arc<Board>, stop: CancellationToken) {
        let mut kept = board.kept();
        let mut looks = interval(ASKED_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let has_begun = kept.borrow().latch.is_some();
            let goes_on = tokio::select! {
                biased;
                changed = kept.changed() => changed.is_ok(),
                () = stop.cancelled() => false,
                _ = looks.tick(), if has_begun => {
                    self.hear_person(&board).await;
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

    /// Clears the shutdown that has begun when a person says so.
    async fn hear_person(&mut self, board: &Board) {
        self.hold(board).await;
        let Some(latch) = board.kept().borrow().latch.clone() else { return };
        let meant = latch.clone();
        let asked = self.on_disk(move |directory, boot| Ok(shutdown::asked(directory, boot, &meant))).await;
        match asked {
            None | Some(Err(_) | Ok(Asked::Nothing)) => return,
            Some(Ok(Asked::ToClearAnother)) => {
                warn!(
                    "a request to clear a shutdown meant another than the one that has begun, and is dropped; look with \
                     `kagiban-exporter shutdown show`"
                );
            }
            Some(Ok(Asked::ToClear)) => match board.clear_shutdown(Timestamp::now()) {
                Ok(()) => {
                    info!(since = %latch.since(), by = latch.names(), "a person has cleared the shutdown that had begun");
                    // A request that goes before its deed is durable would be lost.
                    let kept = board.kept().borrow().clone();
                    self.save(kept).await;
                }
                Err(announcing) => warn!(
                    reason = "still_announced", by = %names(announcing.iter()),
                    "a shutdown is not cleared while a source says that it has begun; end it there, and ask again"
                ),
            },
        }
        if let Some(Err(error)) = self.on_disk(|directory, _| Ok(shutdown::drop_request(directory)?)).await {
            warn!(reason = error.reason(), %error, "a request that is answered cannot be removed");
        }
    }

    /// Takes the lock. Until it was ours, a person may have cleared the record behind us.
    async fn hold(&mut self, board: &Board) {
        if self.lock.is_some() || self.kept.latch.is_none() {
            return;
        }
        let held = self.on_disk(|directory, boot| {
            let lock = shutdown::hold(directory).ok().flatten();
            Ok((lock, shutdown::kept(directory, boot)?))
        });
        let Some(Ok((Some(lock), on_disk))) = held.await else { return };
        self.lock = Some(lock);
        if on_disk.latch.is_none() && on_disk.cleared_at.is_some() && board.clear_shutdown(Timestamp::now()).is_ok() {
            info!("a person has cleared the shutdown that had begun");
        }
    }

    async fn save(&mut self, kept: Kept) {
        if self.boot.is_none() || self.kept == kept {
            return;
        }
        let written = kept.clone();
        match self.on_disk(move |directory, boot| shutdown::save(directory, boot, &written)).await {
            Some(Ok(())) => self.kept = kept,
            Some(Err(error)) if !self.warned => {
                self.warned = true;
                warn!(reason = error.reason(), %error, "whether a shutdown has begun is known in memory only");
            }
            None | Some(Err(_)) => {}
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
