//! The power gate: whether the service may be stopped now. Stopping a UPS agent leaves its host unguarded.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kagiban_crds::AgentName;
use kagiban_crds::host_api::{ClientsReport, FunctionReport, PowerReport, PowerState, Refusal, RefusalReason};
use tokio::time::Instant;

use super::admission::refuse;
use super::failure::RotationFailure;
use super::power_state;
use crate::blocking::{self, Work};
use crate::config::PowerConfig;
use crate::platform;
use crate::snapshot::{Board, Label};

/// Of the look for the file of a scheduled shutdown. Whoever reports a rotation waits no longer.
const FILE_WITHIN: Duration = Duration::from_secs(2);

/// What is known of the host's power.
#[derive(Clone, Debug)]
pub struct PowerGate {
    /// Where no board tells a newer one.
    settings: Settings,
    /// What the UPSes say, and whether the host goes down.
    board: Option<Arc<Board>>,
}

/// Why the service may not be stopped now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PowerUnsafe {
    /// Never mains.
    pub state: PowerState,
    /// What it is, and what to do.
    pub message: &'static str,
}

/// What the file of a scheduled shutdown says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Schedule {
    None,
    Shutdown,
    /// It could not be looked for.
    Unseen,
}

/// The section `power`.
#[derive(Clone, Debug)]
struct Settings {
    assumes_mains: bool,
    /// None where the system tells nobody of a shutdown at a chosen time. One that begins is told by the service manager.
    scheduled_shutdown_file: Option<PathBuf>,
}

impl Settings {
    fn of(config: &PowerConfig) -> Self {
        let file = config.scheduled_shutdown_file.clone();
        Self {
            assumes_mains: config.assumes_mains(),
            scheduled_shutdown_file: file.or_else(platform::scheduled_shutdown_file),
        }
    }

    /// The file may lie where somebody has configured it: on a file system that hangs, for example. No agent's file takes the
    /// threads of this look.
    async fn schedule(&self) -> Schedule {
        let Some(file) = self.scheduled_shutdown_file.clone() else { return Schedule::None };
        let looked = blocking::run(Work::Power, Instant::now() + FILE_WITHIN, move || file.try_exists()).await;
        match looked {
            Ok(Ok(false)) => Schedule::None,
            Ok(Ok(true)) => Schedule::Shutdown,
            Ok(Err(_)) | Err(_) => Schedule::Unseen,
        }
    }
}

impl PowerGate {
    /// A gate that knows no UPS.
    pub fn new(config: &PowerConfig) -> Self {
        Self { settings: Settings::of(config), board: None }
    }

    /// The same, asking what the sources have last seen, by the section `power` of the configuration that is in force then.
    #[must_use]
    pub fn watching(self, board: Arc<Board>) -> Self {
        Self { board: Some(board), ..self }
    }

    /// A file that cannot be looked for is treated as one that is there: a shutdown is scheduled.
    pub async fn report(&self) -> PowerReport {
        self.look().await.0
    }

    async fn look(&self) -> (PowerReport, Schedule) {
        let snapshot = self.board.as_ref().map(|board| board.snapshot());
        let newer = snapshot.as_ref().and_then(|snapshot| snapshot.power.as_ref()).map(Settings::of);
        let settings = newer.as_ref().unwrap_or(&self.settings);
        // It is looked for by this gate itself: the sources looked some seconds ago.
        let schedule = settings.schedule().await;
        let now = Timestamp::now();
        let report = match (schedule, snapshot.as_ref().and_then(|snapshot| power_state::judge(snapshot, now))) {
            (Schedule::Shutdown | Schedule::Unseen, _) => {
                PowerReport { state: PowerState::ShutdownPending, observed_at: Some(now) }
            }
            (Schedule::None, Some(report)) => report,
            (Schedule::None, None) if settings.assumes_mains => {
                PowerReport { state: PowerState::Mains, observed_at: Some(now) }
            }
            (Schedule::None, None) => PowerReport { state: PowerState::Unknown, observed_at: None },
        };
        (report, schedule)
    }

    /// What the sources and the rotations have last seen of the agent's work.
    pub fn function(&self, agent: &AgentName) -> Option<FunctionReport> {
        Some(self.board.as_ref()?.snapshot().function(&Label::new(agent.as_str()))?.report)
    }

    /// What the sources have last seen of the agent's clients, and what became of their repairs.
    pub fn clients(&self, agent: &AgentName) -> Option<ClientsReport> {
        self.board.as_ref()?.snapshot().clients_report(&Label::new(agent.as_str()))
    }

    /// # Errors
    /// Every state but mains.
    pub async fn check(&self) -> Result<(), PowerUnsafe> {
        let (PowerReport { state, .. }, schedule) = self.look().await;
        let message = match state {
            PowerState::Mains => return Ok(()),
            PowerState::OnBattery => "the host is on battery, or its UPS tests one; wait for mains",
            PowerState::LowBattery => "the battery is low; wait until it is charged",
            PowerState::ShutdownPending if schedule == Schedule::Unseen => {
                "whether a shutdown is scheduled cannot be seen; see that the file power.scheduledShutdownFile can be looked for, and \
                 that its file system answers"
            }
            PowerState::ShutdownPending => {
                "a shutdown is scheduled or has begun; cancel it, or wait until it is over and the host has booted; one that had \
                 begun and is known to be over is cleared on the host with `kagiban-exporter shutdown clear`"
            }
            PowerState::Unknown => {
                "the power state is unknown; see that every UPS under `ups` answers and says that it is on line, or, if none can \
                 be asked and somebody vouches for the power, set `power: {assume: mains}` in this host's configuration"
            }
            PowerState::Stale => "a UPS has not been heard of for too long; restore its connection",
        };
        Err(PowerUnsafe { state, message })
    }
}

impl From<PowerUnsafe> for RotationFailure {
    fn from(power: PowerUnsafe) -> Self {
        Self::new("power_unsafe", power.message)
    }
}

impl From<PowerUnsafe> for Refusal {
    fn from(PowerUnsafe { state, message }: PowerUnsafe) -> Self {
        Self { power: Some(state), ..refuse(RefusalReason::PowerUnsafe, message) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_mains_that_somebody_vouches_for_and_no_scheduled_shutdown_pass() {
        let directory = tempfile::tempdir().expect("directory");
        let file = directory.path().join("scheduled");
        let gate = |assumes_mains| PowerGate {
            settings: Settings { assumes_mains, scheduled_shutdown_file: Some(file.clone()) },
            board: Some(Arc::default()),
        };
        assert!(gate(true).check().await.is_ok());
        assert!(gate(false).check().await.is_err_and(|power| power.message.contains("assume: mains")));
        std::fs::write(&file, b"USEC=1\n").expect("write");
        assert_eq!(gate(true).report().await.state, PowerState::ShutdownPending);
        assert!(gate(true).check().await.is_err_and(|power| power.state == PowerState::ShutdownPending));
    }

    /// Without a schedule to ask for, the power counts alone.
    #[tokio::test]
    async fn a_system_that_tells_no_schedule_of_shutdowns_is_judged_by_its_power() {
        for (assumes_mains, state) in [(true, PowerState::Mains), (false, PowerState::Unknown)] {
            let settings = Settings { assumes_mains, scheduled_shutdown_file: None };
            let gate = PowerGate { settings, board: Some(Arc::default()) };
            assert_eq!(gate.report().await.state, state);
            assert_eq!(gate.check().await.is_ok(), assumes_mains);
        }
    }

    /// Holds A18: a configuration that is loaded again changes `power` for the gate too, not only its UPSes.
    #[tokio::test]
    async fn the_section_power_that_was_loaded_last_counts() {
        let directory = tempfile::tempdir().expect("directory");
        let config = |assume: &str, file: &str| -> PowerConfig {
            let file = directory.path().join(file);
            serde_yaml::from_str(&format!("{{assume: {assume}, scheduledShutdownFile: {}}}", file.display()))
                .expect("a section")
        };
        std::fs::write(directory.path().join("there"), b"USEC=1\n").expect("write");
        let board = Arc::<Board>::default();
        let gate = PowerGate::new(&config("mains", "none")).watching(Arc::clone(&board));
        for (assume, file, state) in [
            ("mains", "none", PowerState::Mains),
            ("unknown", "none", PowerState::Unknown),
            ("mains", "there", PowerState::ShutdownPending),
        ] {
            board.note_power(config(assume, file));
            assert_eq!(gate.report().await.state, state, "{assume} {file}");
        }
    }
}
