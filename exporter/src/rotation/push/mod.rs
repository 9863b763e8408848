//! The procedure of products that take a key and a chain: a set of files is replaced together, and the service is stopped for it.
//!
//! ```text
//!   order ──> survey   what lies there, and whether it can be replaced and come back
//!   chain ──> validate does it fit (pure) ──> staging   the old store merged with the new key (pure)
//!                                               │
//!                  backup (copies) <────────────┴──> swapped, by platform ──> restore   the old files again
//!                                                         coherence: do the files go together, whoever put them there
//! ```

pub(super) mod backup;
pub(super) mod coherence;
mod effects;
pub(super) mod key;
pub(super) mod overwritten;
mod question;
mod requests;
pub(super) mod restore;
pub(super) mod staging;
pub(super) mod survey;
mod validate;
mod whole;
