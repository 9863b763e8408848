//! A program while the service control manager runs it: what it is told, and what it is asked.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use kagiban_process::system::Request;
use tokio::sync::Notify;
use windows_service::service::{
    ServiceControl, ServiceControlAccept, ServiceExitCode, ServiceState, ServiceStatus, ServiceType,
};
use windows_service::service_control_handler::{self, ServiceControlHandlerResult, ServiceStatusHandle};
use windows_service::{Error, define_windows_service, service_dispatcher};
use windows_sys::Win32::Foundation::ERROR_FAILED_SERVICE_CONTROLLER_CONNECT;

use super::sys;
use crate::lifecycle::Lifecycle;
use crate::program::ServiceProgram;
use crate::registration::RegistrationError;

/// For a configuration on a slow disk, and files of agents that an earlier run has left to be made whole: as `TimeoutStartSec` of the
/// units for systemd.
const STARTS_WITHIN: Duration = Duration::from_secs(90);
/// Until the next word of the program that stops: pages that are being read are let end, and then it says every few seconds what it
/// waits for.
const STOPS_WITHIN: Duration = Duration::from_secs(30);

/// The one that this process is.
static PROGRAM: OnceLock<&'static ServiceProgram> = OnceLock::new();
static STATUS: OnceLock<ServiceStatusHandle> = OnceLock::new();
static PHASE: Mutex<HostedPhase> = Mutex::new(HostedPhase::Starting);
static CONTROLS: Controls = Controls::new();
static WORK: Mutex<Option<Work>> = Mutex::new(None);

type Work = Box<dyn FnOnce() -> u8 + Send>;

/// What the manager has asked for.
#[derive(Debug)]
struct Controls {
    stop: Notify,
    reload: Notify,
    system_goes_down: AtomicBool,
    /// Told when it does: of the watch that was made last.
    watch: Mutex<Weak<Notify>>,
}

impl Controls {
    const fn new() -> Self {
        Self {
            stop: Notify::const_new(),
            reload: Notify::const_new(),
            system_goes_down: AtomicBool::new(false),
            watch: Mutex::new(Weak::new()),
        }
    }

    /// Whether it does what it is asked.
    fn ask(&'static self, control: &ServiceControl, told_before_stop: Duration) -> bool {
        match control {
            ServiceControl::Interrogate => {}
            ServiceControl::Stop => self.stop.notify_one(),
            ServiceControl::Preshutdown => self.going_down(told_before_stop),
            ServiceControl::ParamChange => self.reload.notify_one(),
            _ => return false,
        }
        true
    }

    fn going_down(&'static self, told_before_stop: Duration) {
        self.system_goes_down.store(true, Ordering::SeqCst);
        if let Some(watch) = held(&self.watch).upgrade() {
            watch.notify_one();
        }
        if told_before_stop.is_zero() {
            return self.stop.notify_one();
        }
        let later = move || {
            thread::sleep(told_before_stop);
            self.stop.notify_one();
        };
        if thread::Builder::new().name("preshutdown".to_owned()).spawn(later).is_err() {
            self.stop.notify_one();
        }
    }
}

/// Where in its life the service is, as its manager knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HostedPhase {
    Starting,
    Running,
    Stopping {
        /// Grows with each word: a manager that sees it grow waits on.
        checkpoint: u32,
        next_word_within: Duration,
    },
    Ended {
        code: u8,
    },
}

impl HostedPhase {
    fn after(self, word: &Lifecycle) -> Self {
        let stopping = |next_word_within| {
            let checkpoint =
                if let Self::Stopping { checkpoint, .. } = self { checkpoint.saturating_add(1) } else { 1 };
            Self::Stopping { checkpoint, next_word_within }
        };
        match (self, word) {
            (Self::Ended { .. }, _) => self,
            (Self::Starting, Lifecycle::Ready { .. }) => Self::Running,
            (_, Lifecycle::Stopping) => stopping(STOPS_WITHIN),
            (_, Lifecycle::StillStopping { next_word_within, .. }) => stopping(*next_word_within),
            // It has no words for these.
            (_, Lifecycle::Ready { .. } | Lifecycle::Status { .. } | Lifecycle::Reloading) => self,
        }
    }

    fn asked_to_stop(self) -> Self {
        self.after(&Lifecycle::Stopping)
    }

    fn status(self) -> ServiceStatus {
        let accepted =
            ServiceControlAccept::STOP | ServiceControlAccept::PRESHUTDOWN | ServiceControlAccept::PARAM_CHANGE;
        // A host may go down while it starts or stops: it is waited for then, as long as a rotation needs, where the manager asks.
        let pending = ServiceControlAccept::PRESHUTDOWN;
        let (current_state, controls_accepted, checkpoint, wait_hint) = match self {
            Self::Starting => (ServiceState::StartPending, pending, 1, STARTS_WITHIN),
            Self::Running => (ServiceState::Running, accepted, 0, Duration::ZERO),
            Self::Stopping { checkpoint, next_word_within } => {
                (ServiceState::StopPending, pending, checkpoint, next_word_within)
            }
            Self::Ended { .. } => (ServiceState::Stopped, ServiceControlAccept::empty(), 0, Duration::ZERO),
        };
        let exit_code = match self {
            Self::Ended { code: 1.. } => ServiceExitCode::ServiceSpecific(self.code().into()),
            _ => ServiceExitCode::NO_ERROR,
        };
        let service_type = ServiceType::OWN_PROCESS;
        ServiceStatus {
            service_type,
            current_state,
            controls_accepted,
            exit_code,
            checkpoint,
            wait_hint,
            process_id: None,
        }
    }

    const fn code(self) -> u8 {
        match self {
            Self::Ended { code } => code,
            Self::Starting | Self::Running | Self::Stopping { .. } => 0,
        }
    }
}

/// Does `work`, which returns 0 or the code of a failure, as the service. Returns when it has ended.
///
/// # Errors
/// When the service control manager has not started this process.
pub fn run_as_service(
    program: &'static ServiceProgram,
    work: impl FnOnce() -> u8 + Send + 'static,
) -> Result<(), RegistrationError> {
    let _ = PROGRAM.set(program);
    *held(&WORK) = Some(Box::new(work));
    service_dispatcher::start(program.name, service_main).map_err(|error| match error {
        Error::Winapi(source) if sys::is(&source, ERROR_FAILED_SERVICE_CONTROLLER_CONNECT) => {
            RegistrationError::NotStartedByManager(program)
        }
        other => {
            RegistrationError::Failed { tried: "reach the service control manager", source: io::Error::other(other) }
        }
    })
}

define_windows_service!(service_main, serve);

fn serve(_arguments: Vec<std::ffi::OsString>) {
    let Some(program) = PROGRAM.get() else { return };
    // `asked` is a function, not a closure: windows-service frees a closure after the first stop, and the manager may call it again.
    let Ok(status) = service_control_handler::register(program.name, asked) else { return };
    let _ = STATUS.set(status);
    let _ = tell(held(&PHASE).status());
    let work = held(&WORK).take();
    let code = work.map_or(1, |work| work());
    let mut phase = held(&PHASE);
    *phase = HostedPhase::Ended { code };
    let _ = tell(phase.status());
}

fn asked(control: ServiceControl) -> ServiceControlHandlerResult {
    if matches!(control, ServiceControl::Stop | ServiceControl::Preshutdown) {
        // Before this returns: from then on the manager asks for nothing more.
        let _ = step(HostedPhase::asked_to_stop);
    }
    let told_before_stop = PROGRAM.get().map(|program| program.told_before_stop).unwrap_or_default();
    if CONTROLS.ask(&control, told_before_stop) {
        ServiceControlHandlerResult::NoError
    } else {
        ServiceControlHandlerResult::NotImplemented
    }
}

/// Tells the service control manager, if it runs this program.
///
/// # Errors
/// When it does not take it.
pub fn announce(word: &Lifecycle) -> io::Result<()> {
    step(|phase| phase.after(word))
}

fn step(next: impl FnOnce(HostedPhase) -> HostedPhase) -> io::Result<()> {
    let mut phase = held(&PHASE);
    let before = *phase;
    *phase = next(before);
    if *phase == before { Ok(()) } else { tell(phase.status()) }
}

fn tell(status: ServiceStatus) -> io::Result<()> {
    STATUS.get().map_or(Ok(()), |handle| handle.set_service_status(status).map_err(io::Error::other))
}

/// What the service control manager asks for next.
pub async fn asked_by_manager() -> Request {
    tokio::select! {
        () = CONTROLS.stop.notified() => Request::Stop,
        () = CONTROLS.reload.notified() => Request::Reload,
    }
}

/// Whether the manager runs this program.
pub fn is_hosted() -> bool {
    STATUS.get().is_some()
}

/// Whether the system goes down; none where nobody would tell, since this is no service.
pub fn system_goes_down() -> Option<bool> {
    STATUS.get().map(|_| CONTROLS.system_goes_down.load(Ordering::SeqCst))
}

/// Has `watch` told when the system goes down.
pub fn watch_system(watch: &Arc<Notify>) {
    *held(&CONTROLS.watch) = Arc::downgrade(watch);
}

/// What is in there is whole at any time.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn still(seconds: u64) -> Lifecycle {
        Lifecycle::StillStopping { next_word_within: Duration::from_secs(seconds), status: String::new() }
    }

    fn ready() -> Lifecycle {
        Lifecycle::Ready { status: String::new() }
    }

    /// A rotation that is being finished has as much patience of the manager as the program asks for, again and again.
    #[test]
    fn a_stop_that_takes_long_asks_for_patience_with_each_word() {
        let mut phase = HostedPhase::Running.asked_to_stop();
        let mut seen = vec![phase.status()];
        for seconds in [20, 20, 7] {
            phase = phase.after(&still(seconds));
            seen.push(phase.status());
        }
        let told: Vec<_> = seen.iter().map(|it| (it.current_state, it.checkpoint, it.wait_hint.as_secs())).collect();
        assert_eq!(
            told,
            [30, 20, 20, 7].into_iter().zip(1..).map(|(s, n)| (ServiceState::StopPending, n, s)).collect::<Vec<_>>()
        );
        let only_preshutdown = |it: &ServiceStatus| it.controls_accepted == ServiceControlAccept::PRESHUTDOWN;
        assert!(
            seen.iter().all(only_preshutdown),
            "nothing more is asked of it, and a host that goes down waits for it"
        );
    }

    #[test]
    fn a_service_runs_once_it_is_ready_and_never_again_once_it_stops() {
        let starting = HostedPhase::Starting.status();
        assert_eq!(
            (starting.current_state, starting.controls_accepted),
            (ServiceState::StartPending, ServiceControlAccept::PRESHUTDOWN)
        );
        assert!(starting.wait_hint > Duration::ZERO && starting.checkpoint > 0);
        assert_eq!(HostedPhase::Starting.after(&Lifecycle::Status { status: String::new() }), HostedPhase::Starting);
        let running = HostedPhase::Starting.after(&ready());
        let accepted = running.status().controls_accepted;
        assert_eq!(running.status().current_state, ServiceState::Running);
        assert!(accepted.contains(
            ServiceControlAccept::STOP | ServiceControlAccept::PRESHUTDOWN | ServiceControlAccept::PARAM_CHANGE
        ));
        assert_eq!(running.after(&Lifecycle::Reloading), HostedPhase::Running);
        let stopping = running.after(&Lifecycle::Stopping);
        assert_eq!(stopping.after(&ready()), stopping, "it cannot work, and has finished what was left");
        assert_eq!(HostedPhase::Ended { code: 0 }.after(&still(1)), HostedPhase::Ended { code: 0 });
    }

    #[test]
    fn a_failure_is_told_as_a_code_of_the_service_and_a_stop_as_none() {
        assert_eq!(HostedPhase::Ended { code: 0 }.status().exit_code, ServiceExitCode::NO_ERROR);
        assert_eq!(HostedPhase::Ended { code: 1 }.status().exit_code, ServiceExitCode::ServiceSpecific(1));
        assert_eq!(HostedPhase::Ended { code: 1 }.status().current_state, ServiceState::Stopped);
    }

    #[test]
    fn who_is_no_service_knows_nothing_of_the_systems_going_down() {
        assert_eq!(system_goes_down(), None);
        announce(&Lifecycle::Stopping).expect("nobody is told");
    }

    /// Wine sends none: docs/windows.md.
    #[tokio::test]
    async fn a_system_that_goes_down_is_told_at_once_and_the_stop_follows() {
        static ASKED: Controls = Controls::new();
        let watch = Arc::<Notify>::default();
        *held(&ASKED.watch) = Arc::downgrade(&watch);
        let (grace, began) = (Duration::from_millis(300), std::time::Instant::now());
        assert!(ASKED.ask(&ServiceControl::Preshutdown, grace));
        watch.notified().await;
        assert!(ASKED.system_goes_down.load(Ordering::SeqCst) && began.elapsed() < grace);
        ASKED.stop.notified().await;
        assert!(began.elapsed() >= grace);
        // A program that tells nobody of it stops at once.
        assert!(ASKED.ask(&ServiceControl::Preshutdown, Duration::ZERO));
        ASKED.stop.notified().await;
    }

    #[tokio::test]
    async fn a_control_is_heard_though_nobody_waits_for_it_yet() {
        static ASKED: Controls = Controls::new();
        assert!(ASKED.ask(&ServiceControl::ParamChange, Duration::ZERO));
        assert!(ASKED.ask(&ServiceControl::Stop, Duration::ZERO));
        assert!(ASKED.ask(&ServiceControl::Interrogate, Duration::ZERO));
        assert!(!ASKED.ask(&ServiceControl::Pause, Duration::ZERO));
        ASKED.reload.notified().await;
        ASKED.stop.notified().await;
        assert!(!ASKED.system_goes_down.load(Ordering::SeqCst));
    }
}
