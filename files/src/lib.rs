//! Files that hold keys, for both programs: how they are read and the only way in which they are written.
//!
//! ```text
//!   path ──held──> a directory that is held open, and a name ──read──> bytes, attributes, identity: all of one descriptor
//!                        │
//!                        ├──durable──> a new file, private from its first byte, synced and read back; then its name
//!                        ├──swap─────> two names exchanged, where what lies there is still what was surveyed
//!                        ├──guarded──> the same where a person says, if only an administrator can change what a name leads to there
//!                        ├──append───> a file that is written at its end, and given another name
//!                        └──directory> files that belong together, under one name whole or not at all
//! ```
//!
//! One folder per system stands behind it: what is done with a path, a name, a descriptor. It knows no product and no format.

#![cfg_attr(not(windows), forbid(unsafe_code))]

mod append;
mod directory;
mod durable;
mod file;
mod guarded;
mod held;
#[cfg(target_os = "linux")]
mod linux;
mod read;
mod survey;
mod swap;
#[cfg(test)]
mod tests;
#[cfg(windows)]
mod windows;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(windows)]
use windows as system;

pub use append::AppendedFile;
pub use directory::StagedDirectory;
pub use durable::{
    check_room, has_left_over, narrow, remove, replace, replace_in_directory_of, sweep, sweep_directory,
    sync_directory_of, sync_file, temporary_beside, write_new, write_unsynced,
};
pub use file::{
    DirectoryIdentity, DirectoryOwner, Exposure, FileEnds, FileError, FileIdentity, FileRead, Links, WriteError,
};
pub use guarded::{check_private_directory, create_private_directory, replace_guarded, write_new_guarded};
pub use held::{HeldFile, read_held};
#[cfg(windows)]
pub use read::read_unexposed;
pub use read::{read_ends, read_listed, read_regular};
pub use survey::{Surveyed, check_replaceable, survey};
pub use swap::{SurveyedFile, Swap, move_aside, swap, swap_names, unlink_second_name};
pub use system::{
    Attributes, Destination, destination, directory_identity, identify, is_readable_by_others, is_writable_by_others,
};
/// Who owns a file, or a pipe, and its access control list say which accounts it belongs to.
#[cfg(windows)]
pub use windows::{
    ObjectSecurity, check_unexposed, check_unexposed_program, check_way, may_read, strangers_in, trust_service_account,
};
