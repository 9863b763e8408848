//! Whether the system is going down. Nobody is asked yet.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::super::{Ability, NotOnThisSystem, ShutdownError, SystemShutdown};

/// Who knows whether the system is going down.
#[derive(Debug)]
pub struct ShutdownWatch;

impl ShutdownWatch {
    pub fn new(_file: Option<PathBuf>, _wake: Arc<Notify>) -> Self {
        Self
    }

    /// Nothing, and why.
    #[expect(clippy::unused_async, reason = "another system waits for an answer")]
    pub async fn ask(&mut self, _deadline: Duration) -> (Option<SystemShutdown>, Option<ShutdownError>) {
        (None, Some(NotOnThisSystem(Ability::ShutdownSchedule).into()))
    }
}
