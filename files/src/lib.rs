//! Files that hold keys, for both programs: how they are read and the only way in which they are written.
//!
//! ```text
//!   path ──held──> a directory that is held open, and a name ──read──> bytes, attributes, identity: all of one descriptor
//!                        │
//!                        ├──durable──> a new file, private from its first byte, synced and read back; then its name
//!                        ├──swap─────> two names exchanged, where what lies there is still what was surveyed
//!                        ├──guarded──> the same where a person says, if only an administrator can change what a name leads to there
//!                        └──directory> files that belong together, under one name whole or not at all
//! ```
//!
//! One folder per system stands behind it. It knows no product and no format.

mod file;
#[cfg(target_os = "linux")]
mod linux;

pub use file::{DirectoryIdentity, FileEnds, FileError, FileIdentity, FileRead, Links, WriteError};
#[cfg(target_os = "linux")]
pub use linux::{
    Attributes, Destination, HeldFile, StagedDirectory, Surveyed, SurveyedFile, Swap, check_private_directory,
    check_replaceable, check_room, create_private_directory, destination, directory_identity, has_left_over, identify,
    is_readable_by_others, is_writable_by_others, move_aside, narrow, read_ends, read_held, read_listed, read_regular,
    remove, replace, replace_guarded, survey, swap, swap_names, sweep, sync_directory_of, temporary_beside,
    unlink_second_name, write_new, write_new_guarded, write_unsynced,
};
