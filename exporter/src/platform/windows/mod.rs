//! Windows, from version 10 and Server 2016 on. What it has no side for yet stands in [`LACKS`].

mod accounts;
mod arguments;
mod event_log;
mod host;
mod jars;
mod listeners;
mod lock;
mod packages;
mod power_status;
mod process;
mod program;
mod reboot;
mod service;
mod service_control;
mod services_of;
mod shutdown;
mod sockets;
mod stores;
mod sys;
#[cfg(test)]
pub(crate) mod testing;

pub use accounts::{AccountId, EXPORTERS, account_called, account_id, may_read_by_right, own_account};
pub use event_log::{event_records, has_event_provider};
pub use host::{
    CA_BUNDLES, JVM_PARENTS, boot_id, boot_time, booted_at, default_state_directory, host_name, is_clock_synchronized,
    scheduled_shutdown_file, state_directory_of_running_unit, system_trust,
};
pub use jars::jar_seal;
pub use kagiban_files::{check_unexposed, check_unexposed_program};
pub(super) use kagiban_files::{check_way, read_unexposed};
pub use listeners::{listeners, occupants};
pub use lock::{FileLock, lock, open_elsewhere};
pub use packages::installed_package;
pub use power_status::power_status;
pub use process::{is_running, is_shortage, started_process, usage};
pub use program::{
    check_program, command_process, exposed_file, exposed_part, refuses_exposed, run, run_commands_by,
    run_while_awaited, spawn,
};
pub use reboot::pending_reboots;
pub use service::{
    ServiceWrites, host_api_service_writes, inherited_sockets, is_managed_stop, queued_start, run_by_manager,
    unit_behind,
};
pub use services_of::services_of;
pub use shutdown::ShutdownWatch;
pub use sockets::{Connection, InheritedSocket, Listener};
pub use stores::{certificate_store, system_authorities};

use super::{Ability, Hints};

/// The system this was built for.
pub const OS: kagiban_agents::Os = kagiban_agents::Os::Windows;

/// What this program does elsewhere and not here.
pub const LACKS: &[Ability] = &[Ability::ShutdownSchedule, Ability::HandedOverSockets, Ability::JarSignatures];

/// Whether one name of a file is another in other letters.
pub const NAMES_FOLD_CASE: bool = true;

pub const HINTS: Hints = Hints {
    who_listens: "`netstat -abno`",
    synchronize_clock: "by `w32tm /resync` and the service Windows Time",
    clock_is_told_by: "Windows Time is not asked",
    other_address: "choose an address of this host, and a port that no program has and Windows does not reserve (`netsh int ipv4 show \
                    excludedportrange tcp`)",
    make_private: "take it from its access control list (`icacls FILE /inheritance:r`, and grant its owner alone)",
};
