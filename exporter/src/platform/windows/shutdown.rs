//! Whether the system is going down: the service control manager says so to a service, before it stops any.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kagiban_service::{system_goes_down, watch_system};
use tokio::sync::Notify;

use super::super::{Ability, NotOnThisSystem, ShutdownError, SystemShutdown};

/// Who knows whether the system is going down.
#[derive(Debug)]
pub struct ShutdownWatch {
    /// The service control manager's word is told through it.
    _wake: Arc<Notify>,
}

impl ShutdownWatch {
    /// Whether anybody tells this program: nobody does who runs it in a console.
    pub fn is_told() -> bool {
        system_goes_down().is_some()
    }

    /// `wake` is told when a shutdown begins.
    pub fn new(_file: Option<PathBuf>, wake: Arc<Notify>) -> Self {
        watch_system(&wake);
        Self { _wake: wake }
    }

    /// Of a shutdown at a chosen time Windows tells nobody.
    #[expect(clippy::unused_async, reason = "another system waits for an answer")]
    pub async fn ask(&mut self, _deadline: Duration) -> (Option<SystemShutdown>, Option<ShutdownError>) {
        match system_goes_down() {
            Some(goes_down) => (Some(SystemShutdown { under_way: Some(goes_down), ..SystemShutdown::default() }), None),
            None => (None, Some(NotOnThisSystem(Ability::ShutdownSchedule).into())),
        }
    }
}
