//! Linux, from glibc 2.17 on.

mod attributes;
mod destination;
mod held;
mod mounts;
pub(crate) mod names;
mod read;
mod survey;
#[cfg(test)]
mod tests;

pub use attributes::Attributes;
pub use destination::{Destination, destination};
pub(crate) use held::{HeldEntry, is_ours, is_private, made_private, walk_to_directory};
pub use read::{directory_identity, identify, is_readable_by_others, is_writable_by_others};
pub(crate) use read::{identity, links, open_listed, open_regular};
pub(crate) use std::fs::Metadata;
pub(crate) use survey::is_administrators;
