//! Services, stopped and started through the service control manager (SCM).
//!
//! ```text
//!   stop:   RUNNING ──asked──> STOP_PENDING ──> STOPPED
//!   start:  STOPPED ──asked──> START_PENDING ──> RUNNING
//!           └ STOPPED again: the service has ended, with the code that it gave
//! ```
//!
//! The state is looked at until it is the one that was asked for. What a service says of its progress (checkpoint, wait hint) moves no
//! deadline: that is the configuration's. Every call blocks, and may hang with the manager: all of this runs on threads of which an
//! agent has only so many.

use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use windows_service::service::{
    Service, ServiceAccess, ServiceControlAccept, ServiceExitCode, ServiceStartType, ServiceState, ServiceStatus,
};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};
use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_DEPENDENT_SERVICES_RUNNING, ERROR_INVALID_NAME, ERROR_INVALID_SERVICE_CONTROL,
    ERROR_SERVICE_ALREADY_RUNNING, ERROR_SERVICE_CANNOT_ACCEPT_CTRL, ERROR_SERVICE_DISABLED,
    ERROR_SERVICE_DOES_NOT_EXIST, ERROR_SERVICE_NOT_ACTIVE, ERROR_SERVICE_REQUEST_TIMEOUT, ERROR_SHUTDOWN_IN_PROGRESS,
};
use windows_sys::Win32::System::Services::SERVICE_ENUMERATE_DEPENDENTS;

use super::super::{SERVICE, ServiceControlError, ServiceVerb};
use super::sys;

/// Between two looks at its state.
const POLL: Duration = Duration::from_millis(50);

/// Whether the service could be stopped or started, as far as can be told without doing it: it is there, this program may do it, it is not
/// disabled, and nothing that runs depends on it.
///
/// # Errors
/// Why it could not.
pub(super) fn check(name: &str, verb: ServiceVerb) -> Result<(), ServiceControlError> {
    let asked = Asked { name, verb };
    let service = asked.open()?;
    match verb {
        ServiceVerb::Stop => asked.check_dependents(&service),
        ServiceVerb::Start => {
            let config = service.query_config().map_err(|error| asked.failed(error))?;
            if config.start_type == ServiceStartType::Disabled { Err(asked.disabled()) } else { Ok(()) }
        }
    }
}

/// Stops or starts it, and waits until it is. One that is so already is left alone, and one that nobody waits for any more (`is_wanted`) is
/// not asked.
///
/// # Errors
/// See [`ServiceControlError`].
pub(super) fn carry_out(
    name: &str,
    verb: ServiceVerb,
    deadline: Duration,
    is_wanted: impl Fn() -> bool,
) -> Result<(), ServiceControlError> {
    let (asked, until) = (Asked { name, verb }, Instant::now() + deadline);
    let service = asked.open()?;
    let mut was_asked = false;
    loop {
        let status = service.query_status().map_err(|error| asked.failed(error))?;
        match next(verb, status.current_state, was_asked) {
            Next::Done => return Ok(()),
            Next::Ended => {
                return Err(ServiceControlError::Ended { name: name.to_owned(), code: code(status.exit_code) });
            }
            // Where it only had to be asked, nobody has.
            Next::Ask if Instant::now() >= until || !is_wanted() => {
                return Err(ServiceControlError::NotAsked { name: name.to_owned(), verb });
            }
            Next::Wait if Instant::now() >= until || !is_wanted() => {
                let state = shown(status.current_state);
                return Err(ServiceControlError::Pending { name: name.to_owned(), verb, state, deadline });
            }
            Next::Ask => was_asked = asked.ask(&service, &status)?,
            Next::Wait => {}
        }
        sleep(POLL);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Done,
    Ask,
    Wait,
    /// It was started, and does not run any more.
    Ended,
}

/// What is done next about a service in this state. A service that is paused serves as it likes: it runs.
const fn next(verb: ServiceVerb, state: ServiceState, was_asked: bool) -> Next {
    match (verb, state) {
        (ServiceVerb::Stop, ServiceState::Stopped)
        | (ServiceVerb::Start, ServiceState::Running | ServiceState::Paused) => Next::Done,
        (ServiceVerb::Stop, ServiceState::Running | ServiceState::Paused) if !was_asked => Next::Ask,
        (ServiceVerb::Start, ServiceState::Stopped) if was_asked => Next::Ended,
        (ServiceVerb::Start, ServiceState::Stopped) => Next::Ask,
        (ServiceVerb::Stop, ServiceState::Running | ServiceState::Paused)
        | (
            _,
            ServiceState::StartPending
            | ServiceState::StopPending
            | ServiceState::PausePending
            | ServiceState::ContinuePending,
        ) => Next::Wait,
    }
}

/// What is asked of the manager, for messages.
#[derive(Clone, Copy)]
struct Asked<'a> {
    name: &'a str,
    verb: ServiceVerb,
}

impl Asked<'_> {
    /// With no more rights than it takes.
    fn open(self) -> Result<Service, ServiceControlError> {
        // To the manager names have no case.
        if self.name.to_lowercase() == SERVICE.name {
            return Err(ServiceControlError::IsOwn { name: self.name.to_owned() });
        }
        let access = match self.verb {
            ServiceVerb::Stop => {
                ServiceAccess::STOP
                    | ServiceAccess::QUERY_STATUS
                    | ServiceAccess::from_bits_retain(SERVICE_ENUMERATE_DEPENDENTS)
            }
            ServiceVerb::Start => ServiceAccess::START | ServiceAccess::QUERY_STATUS | ServiceAccess::QUERY_CONFIG,
        };
        ServiceManager::local_computer(None::<&str>, ServiceManagerAccess::CONNECT)
            .and_then(|manager| manager.open_service(self.name, access))
            .map_err(|error| self.failed(error))
    }

    /// Whether the manager took it. A service may not be ready yet for what it is asked, or have done it already.
    fn ask(self, service: &Service, status: &ServiceStatus) -> Result<bool, ServiceControlError> {
        let asked = match self.verb {
            ServiceVerb::Start => service.start::<&str>(&[]),
            ServiceVerb::Stop => {
                self.check_dependents(service)?;
                if !status.controls_accepted.contains(ServiceControlAccept::STOP) {
                    return Err(ServiceControlError::AcceptsNoStop { name: self.name.to_owned() });
                }
                service.stop().map(drop)
            }
        };
        let Err(error) = asked else { return Ok(true) };
        match u32::try_from(source(error).raw_os_error().unwrap_or_default()).unwrap_or_default() {
            // Its next state tells.
            ERROR_SERVICE_NOT_ACTIVE | ERROR_SERVICE_ALREADY_RUNNING | ERROR_SERVICE_CANNOT_ACCEPT_CTRL => Ok(false),
            // The service was told, and has not answered yet.
            ERROR_SERVICE_REQUEST_TIMEOUT if self.verb == ServiceVerb::Stop => Ok(true),
            ERROR_INVALID_SERVICE_CONTROL => Err(ServiceControlError::AcceptsNoStop { name: self.name.to_owned() }),
            ERROR_DEPENDENT_SERVICES_RUNNING => Err(self.dependents_running(service)),
            code => Err(self.told(io::Error::from_raw_os_error(code.cast_signed()))),
        }
    }

    /// The manager stops no service while one that depends on it runs, and this program stops none that it was not told of.
    fn check_dependents(self, service: &Service) -> Result<(), ServiceControlError> {
        self.refuse_of(sys::running_dependents(service).map_err(|error| self.told(error))?)
    }

    fn refuse_of(self, dependents: Vec<String>) -> Result<(), ServiceControlError> {
        if dependents.is_empty() {
            return Ok(());
        }
        Err(ServiceControlError::DependentsRunning { name: self.name.to_owned(), dependents })
    }

    /// One that has been started since they were looked for.
    fn dependents_running(self, service: &Service) -> ServiceControlError {
        let dependents = sys::running_dependents(service).unwrap_or_default();
        ServiceControlError::DependentsRunning { name: self.name.to_owned(), dependents }
    }

    fn disabled(self) -> ServiceControlError {
        ServiceControlError::Disabled { name: self.name.to_owned() }
    }

    fn failed(self, error: windows_service::Error) -> ServiceControlError {
        self.told(source(error))
    }

    fn told(self, source: io::Error) -> ServiceControlError {
        let (name, verb) = (self.name.to_owned(), self.verb);
        match source.raw_os_error().map(i32::cast_unsigned) {
            Some(ERROR_SERVICE_DOES_NOT_EXIST | ERROR_INVALID_NAME) => ServiceControlError::NotFound { name },
            Some(ERROR_ACCESS_DENIED) => ServiceControlError::Denied { name, verb },
            Some(ERROR_SERVICE_DISABLED) => self.disabled(),
            Some(ERROR_SHUTDOWN_IN_PROGRESS) => ServiceControlError::HostGoesDown { name, verb },
            _ => ServiceControlError::Refused { name, verb, source },
        }
    }
}

fn source(error: windows_service::Error) -> io::Error {
    match error {
        windows_service::Error::Winapi(source) => source,
        other => io::Error::other(other),
    }
}

fn code(code: ServiceExitCode) -> String {
    match code {
        ServiceExitCode::Win32(0) => "no error (code 0)".to_owned(),
        ServiceExitCode::Win32(code) => {
            let meaning = io::Error::from_raw_os_error(code.cast_signed());
            format!("code {code}: {meaning}")
        }
        ServiceExitCode::ServiceSpecific(code) => format!("code {code} of its own"),
    }
}

/// As the console of services and `sc.exe query` write it.
const fn shown(state: ServiceState) -> &'static str {
    match state {
        ServiceState::Stopped => "STOPPED",
        ServiceState::StartPending => "START_PENDING",
        ServiceState::StopPending => "STOP_PENDING",
        ServiceState::Running => "RUNNING",
        ServiceState::ContinuePending => "CONTINUE_PENDING",
        ServiceState::PausePending => "PAUSE_PENDING",
        ServiceState::Paused => "PAUSED",
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::sync::mpsc;

    use windows_service::service::{ServiceControl, ServiceErrorControl, ServiceInfo, ServiceType};
    use windows_service::service_control_handler::{self, ServiceControlHandlerResult};
    use windows_service::{define_windows_service, service_dispatcher};

    use super::super::testing::alone_with_the_manager;
    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    /// How long a service that hangs does so.
    const HANG: Duration = Duration::from_secs(20);
    /// The code of its own that one ends with.
    const CODE: u32 = 77;

    #[test]
    fn what_is_done_next_follows_from_the_state() {
        use ServiceState::{Paused, Running, StartPending, StopPending, Stopped};
        for (verb, state, was_asked, expected) in [
            (ServiceVerb::Stop, Running, false, Next::Ask),
            (ServiceVerb::Stop, Running, true, Next::Wait),
            (ServiceVerb::Stop, Paused, false, Next::Ask),
            (ServiceVerb::Stop, StartPending, false, Next::Wait),
            (ServiceVerb::Stop, StopPending, false, Next::Wait),
            (ServiceVerb::Stop, Stopped, false, Next::Done),
            (ServiceVerb::Stop, Stopped, true, Next::Done),
            (ServiceVerb::Start, Stopped, false, Next::Ask),
            (ServiceVerb::Start, Stopped, true, Next::Ended),
            (ServiceVerb::Start, StopPending, false, Next::Wait),
            (ServiceVerb::Start, StartPending, true, Next::Wait),
            (ServiceVerb::Start, Running, false, Next::Done),
            (ServiceVerb::Start, Paused, true, Next::Done),
        ] {
            assert_eq!(next(verb, state, was_asked), expected, "{verb:?} {state:?} {was_asked}");
        }
    }

    /// A service whose program is this test's: a double. What it does its last argument says.
    struct Installed {
        name: String,
        service: Service,
    }

    impl Installed {
        fn new(what: &str, start_type: ServiceStartType) -> Self {
            let name = format!("kagiban-double-{what}-{}", std::process::id());
            let rights = ServiceManagerAccess::CONNECT | ServiceManagerAccess::CREATE_SERVICE;
            let manager = ServiceManager::local_computer(None::<&str>, rights).expect("the manager");
            let of_double =
                format!("{}::a_service_does_what_it_is_told", module_path!().split_once("::").expect("a crate").1);
            let arguments =
                [of_double.as_str(), "--exact", "--nocapture", "--test-threads=1", &format!("double={what}")];
            let info = ServiceInfo {
                name: OsString::from(&name),
                display_name: OsString::from(&name),
                service_type: ServiceType::OWN_PROCESS,
                start_type,
                error_control: ServiceErrorControl::Normal,
                executable_path: std::env::current_exe().expect("this program"),
                launch_arguments: arguments.map(OsString::from).into(),
                dependencies: Vec::new(),
                account_name: None,
                account_password: None,
            };
            let service = manager.create_service(&info, ServiceAccess::ALL_ACCESS).expect("created");
            Self { name, service }
        }

        fn carry_out(&self, verb: ServiceVerb, deadline: Duration) -> Result<(), ServiceControlError> {
            carry_out(&self.name, verb, deadline, || true)
        }

        fn state(&self) -> ServiceState {
            self.service.query_status().expect("a status").current_state
        }
    }

    impl Drop for Installed {
        fn drop(&mut self) {
            let _ = self.service.stop();
            let _ = self.service.delete();
        }
    }

    #[test]
    fn a_service_is_started_and_stopped_and_left_alone_where_it_is_so_already() {
        let _alone = alone_with_the_manager();
        let double = Installed::new("serves", ServiceStartType::OnDemand);
        for verb in [ServiceVerb::Stop, ServiceVerb::Start] {
            check(&double.name, verb).expect("it may be");
        }
        double.carry_out(ServiceVerb::Stop, LONG).expect("it is");
        for _ in 0..2 {
            double.carry_out(ServiceVerb::Start, LONG).expect("started");
            assert_eq!(double.state(), ServiceState::Running);
            double.carry_out(ServiceVerb::Start, LONG).expect("it is");
            // Its name has no case.
            carry_out(&double.name.to_uppercase(), ServiceVerb::Stop, LONG, || true).expect("stopped");
            assert_eq!(double.state(), ServiceState::Stopped);
        }
        let unwanted = carry_out(&double.name, ServiceVerb::Start, LONG, || false).expect_err("nobody waits for it");
        assert_eq!((unwanted.reason(), double.state()), ("not_started", ServiceState::Stopped));
        assert!(unwanted.to_string().contains("was not asked to start"), "{unwanted}");
    }

    #[test]
    fn a_service_that_does_not_end_is_told_with_its_state_and_started_once_it_has_ended() {
        let _alone = alone_with_the_manager();
        let double = Installed::new("hangs", ServiceStartType::OnDemand);
        double.carry_out(ServiceVerb::Start, LONG).expect("started");
        let began = Instant::now();
        let hung = double.carry_out(ServiceVerb::Stop, Duration::from_secs(1)).expect_err("it hangs");
        assert!(began.elapsed() < HANG / 2, "{:?}", began.elapsed());
        assert_eq!(hung.reason(), "stop_pending");
        assert!(hung.to_string().contains("hangs in STOP_PENDING, 1 s after its stop"), "{hung}");
        let hung = double.carry_out(ServiceVerb::Start, Duration::from_secs(1)).expect_err("it hangs still");
        assert_eq!(hung.reason(), "start_pending");
        double.carry_out(ServiceVerb::Start, LONG).expect("it has ended, and is started");
    }

    #[test]
    fn a_service_that_ends_at_once_is_told_with_its_code() {
        let _alone = alone_with_the_manager();
        let double = Installed::new("ends", ServiceStartType::OnDemand);
        let ended = double.carry_out(ServiceVerb::Start, LONG).expect_err("it ends");
        assert_eq!(ended.reason(), "failed");
        assert!(ended.to_string().contains(&format!("code {CODE} of its own")), "{ended}");
    }

    /// Wine goes down without a word: docs/windows.md.
    #[test]
    fn what_the_manager_refuses_is_told_apart() {
        let asked = Asked { name: "web", verb: ServiceVerb::Start };
        for (code, reason, told) in [
            (1115, "host_goes_down", "goes down"),
            (1060, "not_runnable", "getkeyname"),
            (1058, "not_runnable", "start= demand"),
            (5, "not_runnable", "sdset"),
            (1069, "not_started", "could not be asked to start"),
        ] {
            let error = asked.told(io::Error::from_raw_os_error(code));
            assert!(error.reason() == reason && error.to_string().contains(told), "{code}: {error}");
        }
    }

    /// Wine lists none: docs/windows.md.
    #[test]
    fn a_service_is_not_stopped_while_one_that_depends_on_it_runs() {
        let asked = Asked { name: "db", verb: ServiceVerb::Stop };
        asked.refuse_of(Vec::new()).expect("nobody needs it");
        let error = asked.refuse_of(vec!["web".to_owned()]).expect_err("it is needed");
        assert!(error.reason() == "dependents_running" && error.to_string().contains("run: web;"), "{error}");
    }

    #[test]
    fn a_service_that_is_not_there_or_disabled_is_known_beforehand() {
        let _alone = alone_with_the_manager();
        for verb in [ServiceVerb::Stop, ServiceVerb::Start] {
            let error = check("kagiban-no-such-service", verb).expect_err("it is not there");
            assert_eq!(error.reason(), "not_runnable");
            assert!(error.to_string().contains("getkeyname"), "{error}");
        }
        let double = Installed::new("disabled", ServiceStartType::Disabled);
        let error = check(&double.name, ServiceVerb::Start).expect_err("it is disabled");
        assert!(error.to_string().contains("start= demand"), "{error}");
        check(&double.name, ServiceVerb::Stop).expect("it can be stopped");
    }

    define_windows_service!(begin_double, double);

    /// The double, where a service of these tests runs it; else nothing.
    #[test]
    fn a_service_does_what_it_is_told() {
        if what().is_some() {
            service_dispatcher::start("", begin_double).expect("run by the manager");
        }
    }

    fn what() -> Option<String> {
        std::env::args().find_map(|argument| Some(argument.strip_prefix("double=")?.to_owned()))
    }

    fn double(_: Vec<OsString>) {
        let what = what().unwrap_or_default();
        let (tell, told) = mpsc::channel();
        let handler = move |control| match control {
            ServiceControl::Stop => {
                let _ = tell.send(());
                ServiceControlHandlerResult::NoError
            }
            ServiceControl::Interrogate => ServiceControlHandlerResult::NoError,
            _ => ServiceControlHandlerResult::NotImplemented,
        };
        let manager = service_control_handler::register("", handler).expect("a handler");
        let say = |current_state, exit_code| {
            let controls_accepted = if current_state == ServiceState::Running {
                ServiceControlAccept::STOP
            } else {
                ServiceControlAccept::empty()
            };
            let service_type = ServiceType::OWN_PROCESS;
            let (checkpoint, wait_hint, process_id) = (0, Duration::ZERO, None);
            let status = ServiceStatus {
                service_type,
                current_state,
                controls_accepted,
                exit_code,
                checkpoint,
                wait_hint,
                process_id,
            };
            manager.set_service_status(status).expect("told");
        };
        let none = ServiceExitCode::NO_ERROR;
        say(ServiceState::StartPending, none);
        if what == "ends" {
            return say(ServiceState::Stopped, ServiceExitCode::ServiceSpecific(CODE));
        }
        say(ServiceState::Running, none);
        let _ = told.recv();
        say(ServiceState::StopPending, none);
        if what == "hangs" {
            sleep(HANG);
        }
        say(ServiceState::Stopped, none);
    }
}
