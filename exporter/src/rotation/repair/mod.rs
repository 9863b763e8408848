//! The procedure of products that can only be looked at: one order, one command of the host's own configuration, and what proves that it
//! has done something.
//!
//! ```text
//!   order ──> the steps of a renewal (trigger/renewal.rs), without a leaf: nothing is brought back
//!                │
//!             Renewing   the vendor's module, or a restart of the system: it may end this program and this host
//!             Proving    another start of the system, a command that says so, or nothing
//! ```
//!
//! What was begun before a crash is not begun again: a module that was applied twice, or a second restart, is worse than a person who
//! asks once more.

mod effects;
mod record;

pub(in crate::rotation) use effects::noted;
pub(in crate::rotation) use record::RepairRecord;
