//! Windows, from version 10 and Server 2016 on.

mod access;
mod attributes;
mod beside;
mod destination;
mod exposure;
mod held;
mod look;
pub(crate) mod names;
mod object;
mod read;
mod service_account;
mod survey;
mod sys;
#[cfg(test)]
mod tests;
mod way;

pub(crate) use access::is_administrators;
pub use attributes::Attributes;
pub use beside::check_unexposed_program;
pub use destination::{Destination, destination};
pub use exposure::{check_unexposed, check_way};
pub(crate) use exposure::{made_private, open_unexposed_alone};
pub(crate) use held::{HeldEntry, is_ours, is_private, walk_to_directory};
pub use look::{directory_identity, identify, is_readable_by_others, is_writable_by_others, may_read};
pub(crate) use look::{open_listed, open_regular};
pub use object::{ObjectSecurity, strangers_in};
pub(crate) use read::{Metadata, identity, links};
pub use service_account::trust_service_account;
