//! The seam to the operating system: files, services, programs, power and boot. One folder per system stands behind it,
//! and nothing else in this crate says `cfg(unix)`, `cfg(windows)` or assumes `/`.
//!
//! What a system has no side for yet it lists in `LACKS`: a configuration that asks for it is refused when it is loaded. Whoever
//! calls it all the same is told [`NotOnThisSystem`].

mod ability;
mod boot;
mod command;
mod event_log;
mod hints;
mod jar;
mod left;
#[cfg(target_os = "linux")]
mod linux;
mod listeners;
mod manager;
mod output;
mod package;
mod ports;
mod power_status;
mod process;
mod program;
mod reboot;
mod registration;
mod service;
mod shutdown;
mod stores;
mod trust;
mod trusted;
#[cfg(windows)]
mod windows;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(windows)]
use windows as system;

pub use ability::{Ability, NotOnThisSystem};
pub use boot::BootTime;
pub use command::{Command, NoProgram, ServiceVerb};
pub use event_log::{EventLogError, EventRecord};
pub use hints::Hints;
pub use jar::{JarError, JarSeal};
pub use kagiban_files::{
    AppendedFile, Attributes, Destination, DirectoryIdentity, DirectoryOwner, FileEnds, FileError, FileIdentity,
    FileRead, HeldFile, Links, Surveyed, SurveyedFile, Swap, WriteError, check_private_directory, check_replaceable,
    check_room, create_private_directory, destination, directory_identity, has_left_over, identify,
    is_readable_by_others, is_writable_by_others, move_aside, narrow, read_ends, read_held, read_listed, read_regular,
    remove, replace, replace_in_directory_of, survey, swap, swap_names, sweep, sweep_directory, sync_directory_of,
    sync_file, temporary_beside, unlink_second_name, write_new, write_unsynced,
};
pub use kagiban_process::system::{Request, Requests, forbid_dumps, receive_at};
pub use kagiban_service::{Lifecycle, REGISTERS_ITSELF, announce, asked_by_manager};
pub use left::is_gone;
#[cfg(test)]
pub use left::left;
pub use listeners::ListenersError;
pub use manager::HandoverError;
pub use output::decoded;
pub use package::{InstalledPackage, PackageError};
pub use ports::{bind_both_families, bind_to};
pub use power_status::{PowerStatus, PowerStatusError};
pub use process::Usage;
pub use program::{Answer, ProgramError, StartedProcess};
pub use reboot::{PendingReboots, RebootError, RebootReason};
pub use registration::SERVICE;
pub use service::ServiceControlError;
pub use shutdown::{Scheduled, ShutdownError, ShutdownKind, SystemShutdown};
pub use stores::{StoreError, StoreLimits, StoreUse, StoredCertificate, store_path};
pub use system::{
    AccountId, CA_BUNDLES, Connection, EXPORTERS, FileLock, HINTS, InheritedSocket, JVM_PARENTS, LACKS, Listener,
    NAMES_FOLD_CASE, OS, ServiceWrites, ShutdownWatch, account_called, account_id, boot_id, boot_time, booted_at,
    certificate_store, check_program, check_unexposed, check_unexposed_program, command_process,
    default_state_directory, event_records, exposed_file, exposed_part, has_event_provider, host_api_service_writes,
    host_name, inherited_sockets, installed_package, is_clock_synchronized, is_managed_stop, is_running, is_shortage,
    jar_seal, listeners, lock, may_read_by_right, occupants, open_elsewhere, own_account, pending_reboots,
    power_status, queued_start, refuses_exposed, run, run_by_manager, run_commands_by, run_while_awaited,
    scheduled_shutdown_file, services_of, spawn, started_process, state_directory_of_running_unit, system_authorities,
    system_trust, unit_behind, usage,
};
pub use trust::SystemTrust;
pub use trusted::{check_trusted_way, check_way, read_trusted};

#[cfg(test)]
pub(crate) use system::testing;
