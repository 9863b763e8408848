//! The seam to the operating system: files, services, programs, power and boot. One folder per system stands behind it,
//! and nothing else in this crate says `cfg(unix)`, `cfg(windows)` or assumes `/`.

mod boot;
#[cfg(target_os = "linux")]
mod linux;
mod manager;
mod program;
mod shutdown;
mod trust;

pub use boot::BootTime;
#[cfg(target_os = "linux")]
pub use kagiban_files::{
    Attributes, Destination, DirectoryIdentity, FileEnds, FileError, FileIdentity, FileRead, HeldFile, Links, Surveyed,
    SurveyedFile, Swap, WriteError, check_private_directory, check_replaceable, check_room, create_private_directory,
    destination, directory_identity, has_left_over, identify, is_readable_by_others, is_writable_by_others, move_aside,
    narrow, read_ends, read_held, read_listed, read_regular, remove, replace, survey, swap, swap_names, sweep,
    sync_directory_of, temporary_beside, unlink_second_name, write_new, write_unsynced,
};
#[cfg(target_os = "linux")]
pub use linux::{
    Connection, FileLock, HOST_API_UNIT, InheritedSocket, Listener, ListenersError, OS, Request, Requests,
    ShutdownWatch, UnitWrites, Usage, account_called, account_id, announce, boot_id, boot_time, booted_at,
    check_program, command_process, default_state_directory, exposed_part, forbid_dumps, host_api_unit_writes,
    host_name, inherited_sockets, is_clock_synchronized, is_managed_stop, is_running, is_shortage, listeners, lock,
    may_read_by_right, occupants, open_elsewhere, own_account, queued_start, run, run_commands_by,
    scheduled_shutdown_file, spawn, started_process, state_directory_of_running_unit, system_trust, usage,
};
pub use manager::{HandoverError, Lifecycle};
pub use program::{ProgramError, StartedProcess};
pub use shutdown::{Scheduled, ShutdownError, ShutdownKind, SystemShutdown};
pub use trust::SystemTrust;
