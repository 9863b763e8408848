//! What kagiban-exporter and kagiban-operator are to the service manager of their system: programs that it starts, stops and is told
//! of, and that log where nobody reads stderr.
//!
//! ```text
//!   a person, an installer ──install, start, stop──> commands ──> registration ─────┐
//!                                                                                   ├── service control manager (Windows)
//!   the program at work <──run_as_service, asked_by_manager── hosted <──────────────┘   systemd (Linux: units, announce alone)
//!            ├──announce──> lifecycle ──> the manager
//!            └──> logging ──> log_file, system_log
//! ```
//!
//! One side per system stands behind it. Where a program does not register itself, whoever asks for it is told how it is run there.

#![cfg_attr(not(windows), forbid(unsafe_code))]

#[cfg(any(windows, test))]
mod command_line;
pub mod commands;
mod given;
mod lifecycle;
#[cfg(target_os = "linux")]
mod linux;
mod log_file;
mod logging;
mod own_log;
mod program;
mod registration;
mod severity;
#[cfg(any(windows, test))]
mod stopping;
mod system_log;
#[cfg(windows)]
mod windows;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(windows)]
use windows as system;

pub use given::{Given, refused_option};
pub use lifecycle::Lifecycle;
pub use logging::{LogFilter, LogFormat, log_as_service, log_to};
pub use own_log::log_panics;
pub use program::ServiceProgram;
pub use registration::{
    Registered, RegisteredService, Registration, RegistrationError, ServiceAccount, ServiceState, Started, Unregistered,
};
pub use system::{
    REGISTERS_ITSELF, announce, asked_by_manager, check_unexposed, check_unexposed_program, check_way, is_hosted,
    read_unexposed, register_service, registered_service, reload_service, run_as_service, service_directory,
    start_service, state_directory, stop_service, trust_account_of, unregister_service,
};
pub use system_log::Taken;
/// What the service control manager tells beside requests, and where sources of events are registered.
#[cfg(windows)]
pub use windows::{EVENT_SOURCES, system_goes_down, watch_system};
