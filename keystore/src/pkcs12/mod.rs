//! PKCS#12: a list of safes, clear or encrypted, that hold bags (keys, certificates, secrets and what else there may be).
//!
//! ```text
//! bytes --pfx--> safes --open (mac, scheme, kdf)--> bags --read--> entries
//!                                                     \--merge--> bags, ours among them --write--> bytes
//! ```
//! The container is walked here, bag by bag, so that a merge keeps what it does not understand byte for byte; ciphers,
//! digests and PBKDF2 are libraries.

mod algorithm;
mod bag;
mod java_names;
mod kdf;
mod mac;
pub(crate) mod merge;
mod oid;
mod open;
mod pfx;
mod read;
mod scheme;

pub(crate) use bag::{Bag, BagKind};
use java_names::JavaNames;
pub(crate) use kdf::Password;
pub(crate) use open::{Opened, open};
pub(crate) use read::{placed_entries, read, read_whole};
pub(crate) use scheme::{open_sealed, seal};
