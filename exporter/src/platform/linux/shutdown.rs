//! Whether the system is going down: asked of systemd-logind, or read from its file.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use super::host::SCHEDULED_SHUTDOWN;
use super::logind::{Logind, LogindReply, LogindSilence};
use super::scheduled_file;
use crate::blocking::{self, Blocked, Started, Work};
use crate::label::Label;
use crate::platform::shutdown::{ShutdownError, SystemShutdown};

/// Who knows whether the system is going down.
#[derive(Debug)]
pub struct ShutdownWatch {
    logind: Logind,
    file: PathBuf,
    /// The file was named in the configuration: it counts besides what logind says, which may be another system's.
    file_counts: bool,
    reading: Option<Started<Result<SystemShutdown, ShutdownError>>>,
    /// What the log knows already.
    said: Option<Asked>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Logind,
    File,
}

impl ShutdownWatch {
    /// Whether anybody tells this program: logind, or its file.
    pub const fn is_told() -> bool {
        true
    }

    /// `file` is the scheduled shutdown's, by default the system's; `wake` is told when a shutdown begins.
    pub fn new(file: Option<PathBuf>, wake: Arc<Notify>) -> Self {
        Self::on_bus(None, file, wake)
    }

    /// The same on a bus of one's own.
    pub fn on_bus(address: Option<String>, file: Option<PathBuf>, wake: Arc<Notify>) -> Self {
        let file_counts = file.is_some();
        let file = file.unwrap_or_else(|| PathBuf::from(SCHEDULED_SHUTDOWN));
        Self { logind: Logind::new(address, wake), file, file_counts, reading: None, said: None }
    }

    /// Asks, with the deadline for logind and for the file each. What the file says stands beside the error when logind
    /// fails.
    pub async fn ask(&mut self, deadline: Duration) -> (Option<SystemShutdown>, Option<ShutdownError>) {
        let answer = match timeout(deadline, self.logind.ask()).await {
            Ok(Ok(answer)) => Ok(Some(answer)),
            Ok(Err(LogindSilence::Absent)) => Ok(None),
            Ok(Err(LogindSilence::Failed(detail))) => Err(ShutdownError::Bus { detail }),
            Err(_) => Err(ShutdownError::NoAnswer { deadline }),
        };
        if let Ok(said) = &answer {
            self.say(if said.is_some() { Asked::Logind } else { Asked::File });
        }
        match answer {
            Ok(Some(LogindReply { shutdown, tells_schedule: true })) if !self.file_counts => (Some(shutdown), None),
            Ok(answer) => match (answer.map(|answer| answer.shutdown), self.read_file(deadline).await) {
                (said, Ok(file)) => (Some(said.unwrap_or_default().or(file)), None),
                (said, Err(error)) => (said, Some(error)),
            },
            Err(error) => (self.read_file(deadline).await.ok().filter(|file| file.scheduled.is_some()), Some(error)),
        }
    }

    fn say(&mut self, asked: Asked) {
        if self.said.replace(asked) != Some(asked) {
            debug!(?asked, file = %self.file.display(), "who knows of shutdowns");
        }
    }

    /// A read that hangs in the kernel cannot be ended: it is waited for again instead of being started a second time.
    async fn read_file(&mut self, deadline: Duration) -> Result<SystemShutdown, ShutdownError> {
        let until = Instant::now() + deadline;
        let blocked = |blocked| ShutdownError::FileBlocked { path: Label::from_path(&self.file), blocked };
        let reading = match &mut self.reading {
            Some(reading) => reading,
            None => {
                let path = self.file.clone();
                let started = blocking::start(Work::Host, until, move || scheduled_file::read(&path)).await;
                self.reading.insert(started.map_err(blocked)?)
            }
        };
        let read = timeout_at(until, reading).await.map_err(|_| blocked(Blocked::Timeout))?;
        self.reading = None;
        read.map_err(|_| blocked(Blocked::Panic))?
    }
}
