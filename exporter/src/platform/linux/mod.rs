//! Linux, from glibc 2.17 on.

mod accounts;
mod attributes;
mod clock;
mod destination;
mod durable;
mod executable;
mod held;
mod host;
mod left;
mod listeners;
mod lock;
mod logind;
mod mounts;
mod process;
mod program;
mod read;
mod scheduled_file;
mod shutdown;
mod sockets;
mod supervise;
mod survey;
mod swap;
mod systemd;
mod trust_store;

pub use accounts::{account_id, may_read_by_right, own_account};
pub use attributes::Attributes;
pub use clock::is_clock_synchronized;
pub use destination::{Destination, destination};
pub use durable::{
    check_room, create_private_directory, narrow, remove, replace, sweep, sync_directory_of, temporary_beside,
    write_new, write_unsynced,
};
pub use held::read_held;
pub use host::{boot_id, boot_time, booted_at, default_state_directory, scheduled_shutdown_file};
pub use listeners::{ListenersError, listeners};
pub use lock::{FileLock, lock, open_elsewhere};
pub use process::{Request, Requests, Usage, forbid_dumps, host_name, is_running, started_process, usage};
pub use program::{check_program, exposed_part, run, spawn};
pub use read::{
    directory_identity, identify, is_readable_by_others, is_writable_by_others, read_ends, read_listed, read_regular,
};
pub use shutdown::ShutdownWatch;
pub use sockets::{Connection, InheritedSocket, Listener};
pub use supervise::{command_process, run_commands_by};
pub use survey::{Surveyed, check_replaceable, survey};
pub use swap::{SurveyedFile, Swap, move_aside, swap, swap_names, unlink_second_name};
pub use systemd::{announce, inherited_sockets, is_managed_stop, queued_start};
pub use trust_store::system_trust;

#[cfg(test)]
mod tests;

/// The system this was built for.
pub const OS: kagiban_agents::Os = kagiban_agents::Os::Linux;
