//! Linux, from glibc 2.17 on.

mod attributes;
mod destination;
mod directory;
mod durable;
mod guarded;
mod held;
mod mounts;
mod read;
mod survey;
mod swap;
#[cfg(test)]
mod tests;

pub use attributes::Attributes;
pub use destination::{Destination, destination};
pub use directory::StagedDirectory;
pub use durable::{
    check_room, has_left_over, narrow, remove, replace, sweep, sync_directory_of, temporary_beside, write_new,
    write_unsynced,
};
pub use guarded::{check_private_directory, create_private_directory, replace_guarded, write_new_guarded};
pub use held::{HeldFile, read_held};
pub use read::{
    directory_identity, identify, is_readable_by_others, is_writable_by_others, read_ends, read_listed, read_regular,
};
pub use survey::{Surveyed, check_replaceable, survey};
pub use swap::{SurveyedFile, Swap, move_aside, swap, swap_names, unlink_second_name};
