//! The state, in SQLite: what an API server keeps of resources, with its versions, and the epoch.
//!
//! ```text
//!   calls ──bounded queue──> one thread ──> one transaction each ──> what changed ──> watches
//! ```
//!
//! SQLite blocks, and a disk may hang: who asks waits no longer than a call's deadline. Nothing is written where nothing changes.

mod by_hand;
mod closed;
mod database;
mod events;
mod leases;
mod resources;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use kagiban_process::threads::own_thread;
use rusqlite::Connection;
use serde_json::Value;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::timeout;

use crate::cluster::ClusterError;
use crate::cluster::error::CALL_DEADLINE;

pub(super) use by_hand::Pausing;
pub(crate) use closed::StateClosed;
pub(crate) use database::OpenError;
pub(super) use events::{StoredEvent, WrittenEvent};
pub(super) use resources::{Applied, Stored};

/// Calls that wait for the thread. Passes have one each at a time.
const QUEUE: usize = 256;
/// Changes that a watch may be behind; it lists all again after more.
const BEHIND: usize = 1024;

/// A resource as it has become.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) version: u64,
    pub(super) object: Arc<Value>,
    /// It is not there any more.
    pub(super) gone: bool,
}

/// How a call failed, before it is known which call it was.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    #[error("somebody else wrote in between")]
    Conflict,
    #[error("not found")]
    NotFound,
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
    #[error("what is stored cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    #[error("{0}")]
    Refused(String),
}

impl StoreError {
    fn of_call(self, verb: &'static str, resource: &'static str) -> ClusterError {
        match self {
            Self::Conflict => ClusterError::Conflict { verb, resource },
            Self::NotFound => ClusterError::NotFound { verb, resource },
            Self::Sql(error) => ClusterError::Transport { verb, resource, message: format!("the state: {error}") },
            Self::Json(_) => ClusterError::Unreadable { verb, resource, message: self.to_string() },
            Self::Refused(message) => ClusterError::Status { verb, resource, code: 422, message },
        }
    }
}

/// What a call works on.
pub(super) struct Session<'a> {
    connection: &'a mut Connection,
    changes: Vec<Change>,
}

type Job = Box<dyn FnOnce(&mut Connection, &broadcast::Sender<Change>) + Send>;

/// The way to the thread that has the file.
#[derive(Clone)]
pub(super) struct Store {
    jobs: mpsc::Sender<Job>,
    changes: broadcast::Sender<Change>,
    closed: StateClosed,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the state in a directory, which is made where there is none. Nobody else has it while this lives.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub(super) fn open(directory: &Path) -> Result<Self, OpenError> {
        let (connection, lock) = database::open(directory)?;
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (changes, _) = broadcast::channel(BEHIND);
        let tell = changes.clone();
        let closed = StateClosed::default();
        let open = closed.open();
        let work = move || {
            // The next process may have it once all is written, and that is told once it may
            let (_open, _lock) = (open, lock);
            serve(connection, queue, &tell);
        };
        own_thread::begin("state", work).map_err(|(error, _)| OpenError::Thread(error))?;
        Ok(Self { jobs, changes, closed })
    }

    /// What tells when the last clone of this is gone and all is let go of.
    pub(super) fn closed(&self) -> StateClosed {
        self.closed.clone()
    }

    /// What changes from now on.
    pub(super) fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// One transaction. What whoever gave up had asked for is not begun.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        verb: &'static str,
        resource: &'static str,
        work: impl FnOnce(&mut Session<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ClusterError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection, tell| {
            if answer.is_closed() {
                return;
            }
            let (result, changes) = within_transaction(connection, work);
            for change in changes {
                // Nobody may watch just now
                let _ = tell.send(change);
            }
            let _ = answer.send(result);
        });
        let ended = || ClusterError::Transport { verb, resource, message: "the state's thread has ended".to_owned() };
        let call = async {
            self.jobs.send(job).await.map_err(|_| ended())?;
            answered.await.map_err(|_| ended())?.map_err(|error| error.of_call(verb, resource))
        };
        timeout(CALL_DEADLINE, call).await.unwrap_or(Err(ClusterError::Timeout { verb, resource }))
    }
}

fn serve(mut connection: Connection, mut queue: mpsc::Receiver<Job>, tell: &broadcast::Sender<Change>) {
    while let Some(job) = queue.blocking_recv() {
        job(&mut connection, tell);
    }
}

/// Nothing of what fails is kept.
fn within_transaction<T>(
    connection: &mut Connection,
    work: impl FnOnce(&mut Session<'_>) -> Result<T, StoreError>,
) -> (Result<T, StoreError>, Vec<Change>) {
    if let Err(error) = connection.execute_batch("BEGIN IMMEDIATE") {
        return (Err(error.into()), Vec::new());
    }
    let mut session = Session { connection, changes: Vec::new() };
    let done = work(&mut session);
    let changes = session.changes;
    let done = done.and_then(|value| {
        connection.execute_batch("COMMIT")?;
        Ok(value)
    });
    match done {
        Ok(value) => (Ok(value), changes),
        Err(error) => {
            if !connection.is_autocommit()
                && let Err(error) = connection.execute_batch("ROLLBACK")
            {
                tracing::error!(%error, "what was begun in the state cannot be taken back");
            }
            (Err(error), Vec::new())
        }
    }
}

#[cfg(test)]
mod tests;
