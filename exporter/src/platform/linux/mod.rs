//! Linux, from glibc 2.17 on.

mod accounts;
mod clock;
mod executable;
mod host;
mod left;
mod listeners;
mod lock;
mod logind;
mod process;
mod program;
mod scheduled_file;
mod shutdown;
mod sockets;
mod supervise;
mod systemd;
mod trust_store;
mod unit;

pub use accounts::{account_called, account_id, may_read_by_right, own_account};
pub use clock::is_clock_synchronized;
pub use host::{
    boot_id, boot_time, booted_at, default_state_directory, scheduled_shutdown_file, state_directory_of_running_unit,
};
pub use listeners::{ListenersError, listeners, occupants};
pub use lock::{FileLock, lock, open_elsewhere};
pub use process::{Request, Requests, Usage, forbid_dumps, host_name, is_running, is_shortage, started_process, usage};
pub use program::{check_program, exposed_part, run, spawn};
pub use shutdown::ShutdownWatch;
pub use sockets::{Connection, InheritedSocket, Listener};
pub use supervise::{command_process, run_commands_by};
pub use systemd::{announce, inherited_sockets, is_managed_stop, queued_start};
pub use trust_store::system_trust;
pub use unit::{HOST_API_UNIT, UnitWrites, host_api_unit_writes};

/// The system this was built for.
pub const OS: kagiban_agents::Os = kagiban_agents::Os::Linux;
