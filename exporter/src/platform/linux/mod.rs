//! Linux, from glibc 2.17 on.

#![forbid(unsafe_code)]

mod accounts;
mod clock;
mod event_log;
mod executable;
mod host;
mod jars;
mod listeners;
mod lock;
mod logind;
mod packages;
mod power_status;
mod process;
mod program;
mod reboot;
mod scheduled_file;
mod services_of;
mod shutdown;
mod sockets;
mod stores;
mod supervise;
mod systemd;
#[cfg(test)]
pub(crate) mod testing;
mod trust_store;
mod unit;

pub use accounts::{AccountId, EXPORTERS, account_called, account_id, may_read_by_right, own_account};
pub use clock::is_clock_synchronized;
pub use event_log::{event_records, has_event_provider};
pub use executable::{check_unexposed, check_unexposed_program};
pub(super) use executable::{check_way, read_unexposed};
pub use host::{
    CA_BUNDLES, JVM_PARENTS, boot_id, boot_time, booted_at, default_state_directory, scheduled_shutdown_file,
    state_directory_of_running_unit,
};
pub use jars::jar_seal;
pub use listeners::{listeners, occupants};
pub use lock::{FileLock, lock, open_elsewhere};
pub use packages::installed_package;
pub use power_status::power_status;
pub use process::{host_name, is_running, is_shortage, started_process, usage};
pub use program::{check_program, exposed_file, exposed_part, refuses_exposed, run, run_while_awaited, spawn};
pub use reboot::pending_reboots;
pub use services_of::services_of;
pub use shutdown::ShutdownWatch;
pub use sockets::{Connection, InheritedSocket, Listener};
pub use stores::{certificate_store, system_authorities};
pub use supervise::{command_process, run_commands_by};
pub use systemd::{inherited_sockets, is_managed_stop, queued_start, run_by_manager};
pub use trust_store::system_trust;
pub use unit::{ServiceWrites, host_api_service_writes, unit_behind};

use super::{Ability, Hints};

/// The system this was built for.
pub const OS: kagiban_agents::Os = kagiban_agents::Os::Linux;

/// What this program does elsewhere and not here.
pub const LACKS: &[Ability] = &[Ability::CertificateStores, Ability::EventLog, Ability::PowerStatus];

/// Whether one name of a file is another in other letters.
pub const NAMES_FOLD_CASE: bool = false;

pub const HINTS: Hints = Hints {
    who_listens: "`ss -ltnp`",
    synchronize_clock: "by `timedatectl set-ntp true` or chrony",
    clock_is_told_by: "no systemd-timedated",
    other_address: "choose an address of this host and a port above 1023, or give the exporter CAP_NET_BIND_SERVICE",
    make_private: "set its mode to 0600",
};
