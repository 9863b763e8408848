//! A program as a service: registered, changed, removed and asked through the service control manager.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::windows::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use kagiban_process::threads::{Unanswered, within as answered_within};
use windows_service::Error;
use windows_service::service::{
    Service, ServiceAccess, ServiceAction, ServiceActionType, ServiceErrorControl, ServiceExitCode,
    ServiceFailureActions, ServiceFailureResetPeriod, ServiceInfo, ServiceSidType, ServiceStartType,
    ServiceState as State, ServiceStatus, ServiceType,
};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};
use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_INVALID_LEVEL, ERROR_SERVICE_ALREADY_RUNNING, ERROR_SERVICE_DISABLED,
    ERROR_SERVICE_DOES_NOT_EXIST, ERROR_SERVICE_MARKED_FOR_DELETE, ERROR_SERVICE_NEVER_STARTED,
    ERROR_SERVICE_NOT_ACTIVE, NO_ERROR,
};

use super::{state_directory, sys, system_log};
use crate::command_line::parted;
use crate::program::ServiceProgram;
use crate::registration::{
    Registered, RegisteredService, Registration, RegistrationError, ServiceAccount, ServiceState, Started, Unregistered,
};
use crate::stopping::{Next, Seen, Stopping};

/// Whether a program of ours registers itself as a service here.
pub const REGISTERS_ITSELF: bool = true;

/// As the manager calls it.
const SYSTEM: &str = "LocalSystem";
/// The longer a failure lasts, the less often it is tried again.
const RESTARTS_AFTER: [Duration; 3] = [Duration::from_secs(5), Duration::from_secs(30), Duration::from_secs(60)];
/// A service that has run for so long counts its failures anew.
const FAILURES_FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
const POLL: Duration = Duration::from_millis(200);
/// How late the manager may be with a start that it has put off, on a host that is busy.
const STARTS_LATE: Duration = Duration::from_secs(5);
/// Of the manager, beside what it waits for.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// Where what the service needs lies, and its log: nobody but administrators may enter it.
///
/// # Errors
/// None here.
#[expect(clippy::unnecessary_wraps, reason = "elsewhere a program is no service by itself")]
pub fn service_directory(program: &'static ServiceProgram) -> Result<PathBuf, RegistrationError> {
    Ok(state_directory(program.directory))
}

/// Registers a program as its service, or gives the one that is there these settings. It starts with the system, after what starts at
/// once, and again when it fails. Returns what was done, and the settings that this system does not know.
///
/// # Errors
/// When the service control manager refuses, or does not answer.
pub fn register_service(
    program: &'static ServiceProgram,
    registration: &Registration,
    deadline: Duration,
) -> Result<(Registered, Vec<&'static str>), RegistrationError> {
    let registration = registration.clone();
    within(deadline, "register the service", move || register(program, registration))
}

fn register(
    of: &'static ServiceProgram,
    registration: Registration,
) -> Result<(Registered, Vec<&'static str>), RegistrationError> {
    const TRIED: &str = "register the service";
    let failed = |error| failed(of, TRIED, error);
    let Registration { program, arguments, keeps_start, account } = registration;
    let program = program.map_or_else(std::env::current_exe, Ok);
    let program = program.map_err(|source| RegistrationError::Failed { tried: TRIED, source })?;
    let info = ServiceInfo {
        name: of.name.into(),
        display_name: of.display_name.into(),
        service_type: ServiceType::OWN_PROCESS,
        start_type: ServiceStartType::AutoStart,
        error_control: ServiceErrorControl::Normal,
        executable_path: program,
        launch_arguments: arguments,
        // None where it is made. One that is there keeps those that somebody has given it, and its account where none is named.
        dependencies: Vec::new(),
        account_name: match account {
            ServiceAccount::AsItIs => None,
            ServiceAccount::System => Some(SYSTEM.into()),
            ServiceAccount::OfItsOwn => Some(of.account().into()),
        },
        account_password: None,
    };
    let access =
        ServiceAccess::QUERY_CONFIG | ServiceAccess::CHANGE_CONFIG | ServiceAccess::START | ServiceAccess::DELETE;
    let manager = manager(of, ServiceManagerAccess::CONNECT | ServiceManagerAccess::CREATE_SERVICE, TRIED)?;
    let (service, registered, start_stays) = match open(of, &manager, access, TRIED) {
        Err(RegistrationError::NotThere(_)) => {
            (manager.create_service(&info, access).map_err(failed)?, Registered::Created, false)
        }
        there => {
            let service = there?;
            let registered = change(&service, info, keeps_start).map_err(failed)?;
            (service, registered, keeps_start)
        }
    };
    let settled = settle(of, &service, start_stays);
    if settled.is_err() && registered == Registered::Created {
        // Half of a service would start without what keeps it up.
        let _ = service.delete();
    }
    Ok((registered, settled?))
}

fn change(service: &Service, mut info: ServiceInfo, keeps_start: bool) -> windows_service::Result<Registered> {
    let before = service.query_config()?;
    if keeps_start {
        info.start_type = before.start_type;
    }
    service.change_config(&info)?;
    let after = service.query_config()?;
    let is_same = before.executable_path == after.executable_path && before.account_name == after.account_name;
    Ok(if is_same { Registered::AsBefore } else { Registered::Changed })
}

/// What can only be said of a service that is there. Returns what this system has no word for.
fn settle(
    of: &'static ServiceProgram,
    service: &Service,
    start_stays: bool,
) -> Result<Vec<&'static str>, RegistrationError> {
    let actions = RESTARTS_AFTER.map(|delay| ServiceAction { action_type: ServiceActionType::Restart, delay });
    let recovery = ServiceFailureActions {
        reset_period: ServiceFailureResetPeriod::After(FAILURES_FORGOTTEN_AFTER),
        reboot_msg: None,
        command: None,
        actions: Some(actions.into()),
    };
    let settings = [
        ("the description", service.set_description(of.description)),
        ("the delayed start", if start_stays { Ok(()) } else { service.set_delayed_auto_start(true) }),
        ("the time that a shutdown waits for it", wait_at_shutdown(service, of.preshutdown_within)),
        // So that access can be given to this service alone, as `NT SERVICE\kagiban-exporter`.
        ("the security identifier of its own", service.set_config_service_sid_info(ServiceSidType::Unrestricted)),
        ("the recovery after failures", service.update_failure_actions(recovery)),
        ("the recovery after an end with an exit code", service.set_failure_actions_on_non_crash_failures(true)),
    ];
    let mut unknown = Vec::new();
    for (setting, done) in settings {
        match done {
            Err(Error::Winapi(source)) if sys::is(&source, ERROR_INVALID_LEVEL) => unknown.push(setting),
            done => done.map_err(|error| failed(of, "register the service", error))?,
        }
    }
    let no_source = |source| RegistrationError::Failed { tried: "register the event log's source", source };
    system_log::register_source(of).map_err(no_source)?;
    Ok(unknown)
}

fn wait_at_shutdown(service: &Service, within: Duration) -> windows_service::Result<()> {
    let is_longer = |set: Duration| set >= within;
    // A system that does not tell it says the same of what is set.
    if sys::preshutdown_timeout(service).is_ok_and(is_longer) {
        return Ok(());
    }
    service.set_preshutdown_timeout(within)
}

/// Has the service manager start the service, which is not waited for.
///
/// # Errors
/// When it is not there, or the service control manager refuses or does not answer.
pub fn start_service(program: &'static ServiceProgram, deadline: Duration) -> Result<Started, RegistrationError> {
    const TRIED: &str = "start the service";
    within(deadline, TRIED, move || {
        let manager = manager(program, ServiceManagerAccess::CONNECT, TRIED)?;
        match open(program, &manager, ServiceAccess::START, TRIED)?.start::<&OsStr>(&[]) {
            Err(Error::Winapi(source)) if sys::is(&source, ERROR_SERVICE_ALREADY_RUNNING) => Ok(Started::Asked),
            Err(Error::Winapi(source)) if sys::is(&source, ERROR_SERVICE_DISABLED) => Ok(Started::IsDisabled),
            asked => asked.map(|()| Started::Asked).map_err(|error| failed(program, TRIED, error)),
        }
    })
}

/// Stops the service.
///
/// # Errors
/// When it is not there, or does not stop in time: then it is left as it is. When the service control manager refuses, or does not answer.
pub fn stop_service(program: &'static ServiceProgram, stops_within: Duration) -> Result<(), RegistrationError> {
    const TRIED: &str = "stop the service";
    let patience = stops_within.saturating_add(ANSWERS_WITHIN);
    within(patience, TRIED, move || {
        let manager = manager(program, ServiceManagerAccess::CONNECT, TRIED)?;
        let access = ServiceAccess::QUERY_CONFIG | ServiceAccess::QUERY_STATUS | ServiceAccess::STOP;
        let service = open(program, &manager, access, TRIED)?;
        let restarted_within = restarted_within(&service).map_err(|error| failed(program, TRIED, error))?;
        stop(program, &service, stops_within, restarted_within)
    })
}

/// Stops the service and removes it, with its source of events. What it has written stays.
///
/// # Errors
/// When it does not stop in time: then it is left as it is. When the service control manager refuses, or does not answer.
pub fn unregister_service(
    program: &'static ServiceProgram,
    stops_within: Duration,
) -> Result<Unregistered, RegistrationError> {
    let patience = stops_within.saturating_add(ANSWERS_WITHIN);
    within(patience, "remove the service", move || unregister(program, stops_within))
}

fn unregister(program: &'static ServiceProgram, stops_within: Duration) -> Result<Unregistered, RegistrationError> {
    const TRIED: &str = "remove the service";
    let manager = manager(program, ServiceManagerAccess::CONNECT, TRIED)?;
    let access = ServiceAccess::QUERY_STATUS | ServiceAccess::STOP | ServiceAccess::DELETE;
    let unregistered = match open(program, &manager, access, TRIED) {
        Err(RegistrationError::NotThere(_)) => Unregistered::WasNotThere,
        there => {
            let service = there?;
            // One that is removed is started by nobody.
            stop(program, &service, stops_within, None)?;
            service.delete().map_err(|error| failed(program, TRIED, error))?;
            Unregistered::Removed
        }
    };
    system_log::unregister_source(program)
        .map_err(|source| RegistrationError::Failed { tried: "remove the event log's source", source })?;
    Ok(unregistered)
}

/// One that is starting takes no stop: it is asked again until the deadline.
fn stop(
    program: &'static ServiceProgram,
    service: &Service,
    deadline: Duration,
    restarted_within: Option<Duration>,
) -> Result<(), RegistrationError> {
    const TRIED: &str = "stop the service";
    let (began, mut stopping) = (Instant::now(), Stopping::new(deadline, restarted_within));
    loop {
        let status = service.query_status().map_err(|error| failed(program, TRIED, error))?;
        match stopping.next(seen(&status), began.elapsed()) {
            Next::Stopped => return Ok(()),
            Next::Late => return Err(RegistrationError::DoesNotStop { program, deadline }),
            Next::MayStartAgain => {
                let restarted_within = restarted_within.unwrap_or_default();
                return Err(RegistrationError::MayStartAgain { program, restarted_within });
            }
            Next::Ask => match service.stop() {
                Err(Error::Winapi(source)) if sys::is(&source, ERROR_ACCESS_DENIED) => {
                    return Err(RegistrationError::Denied { tried: TRIED });
                }
                // It may have ended, or begun to, meanwhile.
                Ok(_) | Err(_) => {}
            },
            Next::Look => {}
        }
        thread::sleep(POLL);
    }
}

fn seen(status: &ServiceStatus) -> Seen {
    match status.current_state {
        State::Running | State::Paused => Seen::Up,
        State::StartPending | State::StopPending | State::ContinuePending | State::PausePending => Seen::Between,
        State::Stopped => Seen::Down {
            failed: match status.exit_code {
                // The second is what Windows says of a service that nobody has started in this boot.
                ServiceExitCode::Win32(code) => ![NO_ERROR, ERROR_SERVICE_NEVER_STARTED].contains(&code),
                ServiceExitCode::ServiceSpecific(_) => true,
            },
        },
    }
}

/// How long after a failure the manager starts the service at the latest. None where it does not, or does not tell.
fn restarted_within(service: &Service) -> windows_service::Result<Option<Duration>> {
    if service.query_config()?.start_type == ServiceStartType::Disabled {
        return Ok(None);
    }
    Ok(restarts(service)?.and_then(|after| after.into_iter().max()).map(|longest| longest + STARTS_LATE))
}

/// How long after each failure in a row it does. None where it does not tell.
fn restarts(service: &Service) -> windows_service::Result<Option<Vec<Duration>>> {
    match service.get_failure_actions() {
        Err(Error::Winapi(source)) if sys::is(&source, ERROR_INVALID_LEVEL) => Ok(None),
        told => {
            let actions = told?.actions.unwrap_or_default();
            let restarts = actions.iter().filter(|action| action.action_type == ServiceActionType::Restart);
            Ok(Some(restarts.map(|action| action.delay).collect()))
        }
    }
}

/// Has the service load its configuration.
///
/// # Errors
/// When it is not there, or does not run.
pub fn reload_service(program: &'static ServiceProgram, deadline: Duration) -> Result<(), RegistrationError> {
    const TRIED: &str = "ask the service to load its configuration";
    within(deadline, TRIED, move || {
        let manager = manager(program, ServiceManagerAccess::CONNECT, TRIED)?;
        // The right to pause is the one that this control asks for.
        let service = open(program, &manager, ServiceAccess::PAUSE_CONTINUE, TRIED)?;
        sys::tell_parameters_changed(&service).map_err(|source| failed(program, TRIED, Error::Winapi(source)))
    })
}

/// What the service control manager tells of the service; none where it is not there.
///
/// # Errors
/// When it refuses, or does not answer.
pub fn registered_service(
    program: &'static ServiceProgram,
    deadline: Duration,
) -> Result<Option<RegisteredService>, RegistrationError> {
    within(deadline, "look at the service", move || look(program))
}

fn look(program: &'static ServiceProgram) -> Result<Option<RegisteredService>, RegistrationError> {
    const TRIED: &str = "look at the service";
    let failed = |error| failed(program, TRIED, error);
    let manager = manager(program, ServiceManagerAccess::CONNECT, TRIED)?;
    let service = match open(program, &manager, ServiceAccess::QUERY_CONFIG | ServiceAccess::QUERY_STATUS, TRIED) {
        Err(RegistrationError::NotThere(_)) => return Ok(None),
        there => there?,
    };
    let config = service.query_config().map_err(failed)?;
    let restarts_after = restarts(&service).map_err(failed)?;
    let state = match service.query_status().map_err(failed)?.current_state {
        State::Stopped => ServiceState::Stopped,
        State::Running => ServiceState::Running,
        State::Paused => ServiceState::Paused,
        State::StartPending | State::StopPending | State::ContinuePending | State::PausePending => {
            ServiceState::Pending
        }
    };
    let command_line = config.executable_path.into_os_string();
    let units: Vec<u16> = command_line.encode_wide().collect();
    Ok(Some(RegisteredService {
        arguments: parted(&units).iter().skip(1).map(|word| OsString::from_wide(word)).collect(),
        command_line,
        starts_by_itself: config.start_type == ServiceStartType::AutoStart,
        account: config.account_name,
        state,
        restarts_after,
    }))
}

fn manager(
    program: &'static ServiceProgram,
    access: ServiceManagerAccess,
    tried: &'static str,
) -> Result<ServiceManager, RegistrationError> {
    ServiceManager::local_computer(None::<&OsStr>, access).map_err(|error| failed(program, tried, error))
}

fn open(
    program: &'static ServiceProgram,
    manager: &ServiceManager,
    access: ServiceAccess,
    tried: &'static str,
) -> Result<Service, RegistrationError> {
    manager.open_service(program.name, access).map_err(|error| failed(program, tried, error))
}

fn failed(program: &'static ServiceProgram, tried: &'static str, error: Error) -> RegistrationError {
    match error {
        Error::Winapi(source) if sys::is(&source, ERROR_ACCESS_DENIED) => RegistrationError::Denied { tried },
        Error::Winapi(source) if sys::is(&source, ERROR_SERVICE_MARKED_FOR_DELETE) => {
            RegistrationError::MarkedForDeletion { tried }
        }
        Error::Winapi(source) if sys::is(&source, ERROR_SERVICE_DOES_NOT_EXIST) => RegistrationError::NotThere(program),
        Error::Winapi(source) if sys::is(&source, ERROR_SERVICE_NOT_ACTIVE) => RegistrationError::NotRunning(program),
        Error::Winapi(source) => RegistrationError::Failed { tried, source },
        other => RegistrationError::Failed { tried, source: io::Error::other(other) },
    }
}

/// A manager that hangs is left to a thread.
fn within<T: Send + 'static>(
    deadline: Duration,
    tried: &'static str,
    work: impl FnOnce() -> Result<T, RegistrationError> + Send + 'static,
) -> Result<T, RegistrationError> {
    answered_within("services", deadline, work).unwrap_or_else(|why| match why {
        Unanswered::NoThread => {
            Err(RegistrationError::Failed { tried, source: io::Error::other("there is no thread for it") })
        }
        Unanswered::TimedOut => Err(RegistrationError::NoAnswer { tried, deadline }),
    })
}

#[cfg(test)]
mod tests {
    use windows_service::service::{ServiceControlAccept, ServiceDependency};

    use super::super::testing::alone_with_the_manager;
    use super::*;
    use crate::program::TESTED;

    #[test]
    fn what_the_manager_refuses_is_told_with_what_to_do() {
        for (code, reason, told) in [
            (5, "denied", "Run as administrator"),
            (1060, "not_there", "service install"),
            (1062, "not_running", "sc start"),
            (1072, "marked_for_deletion", "Services console"),
            (1058, "service_manager", "cannot try"),
        ] {
            let error = failed(&TESTED, "try", Error::Winapi(io::Error::from_raw_os_error(code)));
            assert_eq!(error.reason(), reason, "{code}");
            assert!(error.to_string().contains(told), "{error}");
        }
    }

    #[test]
    fn a_longer_wait_at_a_shutdown_is_left_as_somebody_has_set_it() {
        let _alone = alone_with_the_manager();
        let service = created(&info("kagiban-waits"));
        let hour = Duration::from_secs(3600);
        let told = [Duration::from_secs(10), hour].map(|set| {
            service.set_preshutdown_timeout(set).expect("set");
            wait_at_shutdown(&service, TESTED.preshutdown_within).expect("set");
            sys::preshutdown_timeout(&service).expect("told")
        });
        service.delete().expect("deleted");
        assert_eq!(told, [TESTED.preshutdown_within, hour]);
    }

    fn info(what: &str) -> ServiceInfo {
        let name = OsString::from(format!("{what}-{}", std::process::id()));
        ServiceInfo {
            name: name.clone(),
            display_name: name,
            service_type: ServiceType::OWN_PROCESS,
            start_type: ServiceStartType::OnDemand,
            error_control: ServiceErrorControl::Normal,
            executable_path: std::env::current_exe().expect("this program"),
            launch_arguments: Vec::new(),
            dependencies: Vec::new(),
            account_name: None,
            account_password: None,
        }
    }

    fn created(info: &ServiceInfo) -> Service {
        let rights = ServiceManagerAccess::CONNECT | ServiceManagerAccess::CREATE_SERVICE;
        let manager = manager(&TESTED, rights, "try").expect("the manager");
        manager.create_service(info, ServiceAccess::ALL_ACCESS).expect("created")
    }

    #[test]
    fn an_upgrade_leaves_the_start_the_account_and_the_dependencies_as_an_administrator_has_set_them() {
        let _alone = alone_with_the_manager();
        let of_administrator = ServiceInfo {
            start_type: ServiceStartType::Disabled,
            dependencies: vec![ServiceDependency::Service("RpcSs".into())],
            account_name: Some(r"NT AUTHORITY\LocalService".into()),
            ..info("kagiban-kept")
        };
        let service = created(&of_administrator);
        // Wine 8 tells no dependencies: docs/windows.md.
        let before = service.query_config().expect("told");
        let ours = ServiceInfo {
            start_type: ServiceStartType::AutoStart,
            launch_arguments: vec!["service".into(), "run".into()],
            ..info("kagiban-kept")
        };
        let mut told = Vec::new();
        for keeps_start in [true, true, false] {
            let registered = change(&service, ours.clone(), keeps_start).expect("changed");
            let config = service.query_config().expect("told");
            assert_eq!(config.dependencies, before.dependencies, "{keeps_start}");
            assert_eq!(config.account_name, before.account_name, "{keeps_start}");
            told.push((registered, config.start_type));
        }
        service.delete().expect("deleted");
        let (same, disabled) = (Registered::AsBefore, ServiceStartType::Disabled);
        let expected = [(Registered::Changed, disabled), (same, disabled), (same, ServiceStartType::AutoStart)];
        assert_eq!(told, expected);
    }

    /// As administrators and Windows Installer register it: what is parted is what the program is given.
    #[test]
    fn what_is_registered_is_parted_into_what_was_given() {
        let _alone = alone_with_the_manager();
        let given = ["service", "run", "--config.file", r"C:\Program Data\a.yaml", r"C:\d e\", r#"a"b"#, ""];
        let launch_arguments = given.map(OsString::from).to_vec();
        let service = created(&ServiceInfo { launch_arguments, ..info("kagiban-parted") });
        let line: Vec<u16> = service.query_config().expect("told").executable_path.as_os_str().encode_wide().collect();
        service.delete().expect("deleted");
        let parts: Vec<_> = parted(&line).iter().map(|word| OsString::from_wide(word)).collect();
        assert_eq!(parts[0], std::env::current_exe().expect("this program"));
        assert_eq!(parts[1..], given);
    }

    #[test]
    fn a_service_that_has_failed_is_told_from_one_that_was_stopped_or_never_begun() {
        use ServiceExitCode::{ServiceSpecific, Win32};
        let of = |current_state, exit_code| ServiceStatus {
            service_type: ServiceType::OWN_PROCESS,
            current_state,
            controls_accepted: ServiceControlAccept::empty(),
            exit_code,
            checkpoint: 0,
            wait_hint: Duration::ZERO,
            process_id: None,
        };
        for (state, code, expected) in [
            (State::Stopped, Win32(NO_ERROR), Seen::Down { failed: false }),
            (State::Stopped, Win32(ERROR_SERVICE_NEVER_STARTED), Seen::Down { failed: false }),
            (State::Stopped, Win32(1067), Seen::Down { failed: true }),
            (State::Stopped, ServiceSpecific(1), Seen::Down { failed: true }),
            (State::StopPending, ServiceSpecific(1), Seen::Between),
            (State::Running, Win32(NO_ERROR), Seen::Up),
        ] {
            assert_eq!(seen(&of(state, code)), expected, "{state:?} {code:?}");
        }
    }

    #[test]
    fn a_manager_that_does_not_answer_is_not_waited_for() {
        let hung = || {
            thread::sleep(Duration::from_secs(3));
            Ok(())
        };
        let error = within(Duration::from_millis(20), "try", hung).expect_err("no answer");
        assert_eq!(error.reason(), "timeout");
    }
}
