//! The settings in force: read again when a file behind them has changed, and kept when the new ones are bad.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{error, info};

use super::settings::{GuardError, Settings, Watched};
use crate::platform;
use crate::snapshot::Board;

/// Asking a few files for their identity takes microseconds; a flood of connections need not repeat it.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// A file system that hangs must not keep clients waiting: the settings in force serve.
const LOOK_DEADLINE: Duration = Duration::from_secs(1);

/// Stands before every connection and every request.
#[derive(Debug)]
pub struct Guard(Option<Arc<File>>);

#[derive(Debug)]
struct File {
    path: PathBuf,
    board: Arc<Board>,
    settings: ArcSwap<Settings>,
    look: Mutex<Look>,
}

#[derive(Debug)]
struct Look {
    at: Instant,
    /// One look at a time; one that hangs is not joined by more.
    under_way: bool,
    /// Empty after a failure: everything is tried again.
    watched: Watched,
    /// The last error, so that it is said once.
    told: String,
}

impl Guard {
    /// Reads the web configuration; without one, everybody is answered over plain HTTP. Blocks on files.
    ///
    /// # Errors
    /// When the file, or one that it names, cannot be used.
    pub fn open(path: Option<&Path>, board: &Arc<Board>) -> Result<Self, GuardError> {
        let Some(path) = path else { return Ok(Self(None)) };
        let (settings, watched) = Settings::load(path)?;
        board.note_web_config(true, Timestamp::now());
        let look = Look { at: Instant::now(), under_way: false, watched, told: String::new() };
        Ok(Self(Some(Arc::new(File {
            path: path.to_owned(),
            board: Arc::clone(board),
            settings: ArcSwap::from_pointee(settings),
            look: Mutex::new(look),
        }))))
    }

    /// The settings that hold now.
    pub(in crate::web) async fn settings(&self) -> Arc<Settings> {
        let Some(file) = &self.0 else { return Arc::default() };
        if file.is_due() {
            let looking = Arc::clone(file);
            let _ = timeout(LOOK_DEADLINE, spawn_blocking(move || looking.look())).await;
        }
        file.settings.load_full()
    }
}

impl File {
    fn is_due(&self) -> bool {
        let mut look = self.look.lock().unwrap_or_else(PoisonError::into_inner);
        let due = !look.under_way && look.at.elapsed() >= LOOK_AGAIN;
        look.under_way |= due;
        due
    }

    fn look(&self) {
        let watched = self.look.lock().unwrap_or_else(PoisonError::into_inner).watched.clone();
        let unchanged = |(path, identity): &(PathBuf, _)| platform::identify(path).is_ok_and(|now| now == *identity);
        let outcome = if !watched.is_empty() && watched.iter().all(unchanged) {
            Ok(watched)
        } else {
            Settings::load(&self.path).map(|(settings, watched)| {
                self.settings.store(Arc::new(settings));
                self.board.note_web_config(true, Timestamp::now());
                info!(file = %self.path.display(), "the web configuration was read again");
                watched
            })
        };
        let mut look = self.look.lock().unwrap_or_else(PoisonError::into_inner);
        (look.at, look.under_way) = (Instant::now(), false);
        match outcome {
            Ok(watched) => {
                look.watched = watched;
                look.told.clear();
            }
            Err(error) => {
                look.watched.clear();
                let said = error.to_string();
                if said != look.told {
                    self.board.note_web_config(false, Timestamp::now());
                    error!(reason = error.reason(), %error, "the new web configuration is bad, the one before stays in force");
                    look.told = said;
                }
            }
        }
    }
}
