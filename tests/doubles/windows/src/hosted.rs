//! The service, as the service control manager has it.

use std::ffi::OsString;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use windows_service::service::{
    ServiceControl, ServiceControlAccept, ServiceExitCode, ServiceState, ServiceStatus, ServiceType,
};
use windows_service::service_control_handler::{self, ServiceControlHandlerResult, ServiceStatusHandle};
use windows_service::{define_windows_service, service_dispatcher};

use crate::agent::Agent;
use crate::control::Settings;

const WAIT_HINT: Duration = Duration::from_secs(5);
/// What is told of files that cannot be used: a code of its own, as services tell them.
const UNUSABLE_FILES: u32 = 17;

/// The manager calls a function that is given nothing of ours.
static SETTINGS: Mutex<Option<Settings>> = Mutex::new(None);

define_windows_service!(ffi_service_main, service_main);

pub(crate) fn run(settings: Settings) -> Result<()> {
    let name = settings.name.clone();
    *SETTINGS.lock().unwrap_or_else(PoisonError::into_inner) = Some(settings);
    service_dispatcher::start(name, ffi_service_main).context("it is started by the service control manager")
}

fn service_main(_: Vec<OsString>) {
    let settings = SETTINGS.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(settings) = settings {
        // Nobody hears of it: a service has no console.
        let _ = serve(&settings);
    }
}

fn serve(settings: &Settings) -> windows_service::Result<()> {
    let (tell, told) = mpsc::channel();
    let handler = move |control| match control {
        ServiceControl::Interrogate => ServiceControlHandlerResult::NoError,
        ServiceControl::Stop => {
            let _ = tell.send(());
            ServiceControlHandlerResult::NoError
        }
        _ => ServiceControlHandlerResult::NotImplemented,
    };
    let handle = service_control_handler::register(&settings.name, handler)?;
    let switch = |name: &str| settings.directory.join(name);
    set(handle, ServiceState::StartPending, ServiceExitCode::Win32(0))?;
    let Ok(agent) = Agent::start(&settings.directory, settings.listen) else {
        return set(handle, ServiceState::Stopped, ServiceExitCode::ServiceSpecific(UNUSABLE_FILES));
    };
    thread::spawn(|| agent.serve());
    set(handle, ServiceState::Running, ServiceExitCode::Win32(0))?;
    let _ = told.recv();
    set(handle, ServiceState::StopPending, ServiceExitCode::Win32(0))?;
    while switch("hangs-when-stopped").exists() {
        thread::sleep(Duration::from_millis(50));
    }
    set(handle, ServiceState::Stopped, ServiceExitCode::Win32(0))
}

fn set(handle: ServiceStatusHandle, state: ServiceState, exit_code: ServiceExitCode) -> windows_service::Result<()> {
    let is_running = state == ServiceState::Running;
    handle.set_service_status(ServiceStatus {
        service_type: ServiceType::OWN_PROCESS,
        current_state: state,
        controls_accepted: if is_running { ServiceControlAccept::STOP } else { ServiceControlAccept::empty() },
        exit_code,
        checkpoint: 0,
        wait_hint: WAIT_HINT,
        process_id: None,
    })
}
