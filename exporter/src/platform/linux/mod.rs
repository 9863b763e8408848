//! Linux, from glibc 2.17 on.

mod durable;
mod host;
mod logind;
mod process;
mod program;
mod read;
mod scheduled_file;
mod shutdown;
mod systemd;

pub use durable::{
    Attributes, attributes, create_private_directory, promote, remove, replace, sweep, temporary_beside, write_new,
};
pub use host::{boot_id, booted_at, default_state_directory, scheduled_shutdown_file};
pub use process::{Request, Requests, Usage, host_name, usage};
pub use program::run;
pub use read::{identify, is_readable_by_others, is_writable_by_others, read_ends, read_regular};
pub use shutdown::ShutdownWatch;
pub use systemd::{announce, inherited_sockets, queued_start};

/// The system this was built for.
pub const OS: kagiban_agents::Os = kagiban_agents::Os::Linux;
