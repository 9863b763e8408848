//! Keeps that a shutdown has begun, so that this program, started again in the same boot, still knows it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::blocking::{self, Work};
use crate::platform;
use crate::shutdown::{self, BootId, Found, Latch};
use crate::snapshot::Board;

/// A small file, synced; a disk that writes back gigabytes may take seconds.
const FILE_WITHIN: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(super) struct Keeper {
    state_directory: Arc<PathBuf>,
    boot: Option<BootId>,
    /// What is on disk already.
    kept: Option<Latch>,
}

impl Keeper {
    /// Reads what an earlier run left. What is not ours or not of this boot says nothing of it.
    pub(super) async fn open(state_directory: PathBuf) -> Self {
        let boot = BootId::new(&platform::boot_id());
        let state_directory = Arc::new(state_directory);
        let Some(known_boot) = boot.clone() else {
            warn!(
                "the system tells no boot id: that a shutdown has begun is forgotten when this program is started again"
            );
            return Self { state_directory, boot, kept: None };
        };
        let directory = Arc::clone(&state_directory);
        let load = move || shutdown::load(&directory, &known_boot);
        let found = match blocking::run(Work::State, Instant::now() + FILE_WITHIN, load).await {
            Ok(found) => found,
            Err(blocked) => {
                warn!(reason = blocked.reason(), error = %blocked, "no record of an earlier shutdown is used");
                return Self { state_directory, boot, kept: None };
            }
        };
        let kept = match found {
            Ok(Found::Nothing) => None,
            Ok(Found::Latch(latch)) => {
                warn!(since = %latch.since, "a shutdown has begun in this boot, and goes on");
                Some(latch)
            }
            Ok(Found::EarlierBoot(latch)) => {
                warn!(since = %latch.since, "the shutdown that had begun has ended with its boot; its record is not used");
                None
            }
            Err(error) => {
                warn!(reason = error.reason(), %error, "no record of an earlier shutdown is used");
                None
            }
        };
        Self { state_directory, boot, kept }
    }

    pub(super) fn resume(&self, board: &Board) {
        board.resume(self.boot.clone(), self.kept.clone());
    }

    /// Writes whatever is new, until told to stop; the last of it then. Nothing is written while no shutdown begins.
    pub(super) async fn keep(mut self, mut latch: watch::Receiver<Option<Latch>>, stop: CancellationToken) {
        let mut warned = false;
        loop {
            let goes_on = tokio::select! {
                biased;
                changed = latch.changed() => changed.is_ok(),
                () = stop.cancelled() => false,
            };
            let now = latch.borrow_and_update().clone();
            self.save(now, &mut warned).await;
            if !goes_on {
                return;
            }
        }
    }

    async fn save(&mut self, latch: Option<Latch>, warned: &mut bool) {
        let (Some(latch), Some(boot)) = (latch, self.boot.clone()) else { return };
        if self.kept.as_ref() == Some(&latch) {
            return;
        }
        let (directory, written) = (Arc::clone(&self.state_directory), latch.clone());
        let save = move || shutdown::save(&directory, &boot, &written);
        match blocking::run(Work::State, Instant::now() + FILE_WITHIN, save).await {
            Ok(Ok(())) => {
                info!(since = %latch.since, "a shutdown has begun; that is kept until the next boot");
                self.kept = Some(latch);
            }
            Ok(Err(error)) if !*warned => {
                *warned = true;
                warn!(reason = error.reason(), %error, "that a shutdown has begun is known in memory only");
            }
            Err(blocked) if !*warned => {
                *warned = true;
                warn!(reason = blocked.reason(), error = %blocked, "that a shutdown has begun is known in memory only");
            }
            Ok(Err(_)) | Err(_) => {}
        }
    }
}
