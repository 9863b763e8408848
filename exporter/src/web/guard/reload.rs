//! The settings in force: read again when a file behind them has changed, and kept when the new ones are bad.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{error, info};

use super::error::GuardError;
use super::settings::Settings;
use crate::blocking::Work;
use crate::from_files::FromFiles;
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
    settings: FromFiles<Settings, GuardError>,
    look: Mutex<Look>,
}

#[derive(Debug)]
struct Look {
    at: Instant,
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
        Ok(Self(Some(Arc::new(File {
            path: path.to_owned(),
            board: Arc::clone(board),
            settings: FromFiles::starting(Work::WebConfig, settings, watched),
            look: Mutex::new(Look { at: Instant::now(), told: String::new() }),
        }))))
    }

    /// The settings that hold now.
    pub(in crate::web) async fn settings(&self) -> Arc<Settings> {
        let Some(file) = &self.0 else { return Arc::default() };
        if file.is_due() {
            file.look().await;
        }
        file.settings.last().unwrap_or_default()
    }
}

impl File {
    /// One look at a time; nobody waits for one that hangs but who began it.
    fn is_due(&self) -> bool {
        let mut look = self.look.lock().unwrap_or_else(PoisonError::into_inner);
        let due = !self.settings.is_looked_at() && look.at.elapsed() >= LOOK_AGAIN;
        if due {
            look.at = Instant::now();
        }
        due
    }

    async fn look(&self) {
        let (path, board) = (self.path.clone(), Arc::clone(&self.board));
        let load = move || {
            let loaded = Settings::load(&path)?;
            board.note_web_config(true, Timestamp::now());
            info!(file = %path.display(), "the web configuration was read again");
            Ok(loaded)
        };
        let outcome = self.settings.current(Instant::now() + LOOK_DEADLINE, load).await;
        let mut look = self.look.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(_) => look.told.clear(),
            Err(error) => {
                let said = error.to_string();
                if said != look.told {
                    self.board.note_web_config(false, Timestamp::now());
                    let reason = error.reason(GuardError::reason);
                    error!(reason, %error, "the new web configuration is bad, the one before stays in force");
                    look.told = said;
                }
            }
        }
    }
}
