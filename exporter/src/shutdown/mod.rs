//! Whether this host is going down, why, and when.

mod evidence;

pub use evidence::{Evidence, Scheduled, ShutdownKind, Sign};
