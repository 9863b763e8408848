//! The seam to the operating system: files, services, programs, power and boot. One folder per system stands behind it,
//! and nothing else in this crate says `cfg(unix)`, `cfg(windows)` or assumes `/`.

mod boot;
mod files;
#[cfg(target_os = "linux")]
mod linux;
mod manager;
mod program;
mod shutdown;

pub use boot::BootTime;
pub use files::{
    DirectoryIdentity, FileEnds, FileError, FileIdentity, FileRead, HeldFile, Links, SystemTrust, WriteError,
};
#[cfg(target_os = "linux")]
pub use linux::{
    Attributes, Connection, Destination, FileLock, InheritedSocket, Listener, ListenersError, OS, Request, Requests,
    ShutdownWatch, Surveyed, SurveyedFile, Swap, Usage, account_id, announce, boot_id, boot_time, booted_at,
    check_program, check_replaceable, check_room, command_process, create_private_directory, default_state_directory,
    destination, directory_identity, exposed_part, forbid_dumps, host_name, identify, inherited_sockets,
    is_clock_synchronized, is_managed_stop, is_readable_by_others, is_running, is_writable_by_others, listeners, lock,
    may_read_by_right, move_aside, narrow, open_elsewhere, own_account, queued_start, read_ends, read_held,
    read_listed, read_regular, remove, replace, run, run_commands_by, scheduled_shutdown_file, spawn, started_process,
    survey, swap, swap_names, sweep, sync_directory_of, system_trust, temporary_beside, unlink_second_name, usage,
    write_new, write_unsynced,
};
pub use manager::{HandoverError, Lifecycle};
pub use program::{ProgramError, StartedProcess};
pub use shutdown::{Scheduled, ShutdownError, ShutdownKind, SystemShutdown};
