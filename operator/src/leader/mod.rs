//! Which process may act: a Lease, and an epoch that grows with every change of leader.
//!
//! A Lease alone is no lock: a process that was stopped and goes on still thinks that it leads. So every request to a
//! host carries the epoch, and hosts refuse a lower one than they have seen. Renewing the Lease is the only write at rest.

mod claim;
mod election;

pub use claim::{LeaseClaim, ObservedLease, claim};
pub use election::{Election, Leadership};
