//! How a PowerChute agent is hardened, measured by the list in its vendor's security handbook.
//!
//! ```text
//!   sources/health ──Facts──> verdicts ──CheckSeen, one per Check──> render   kagiban_powerchute_check
//! ```
//!
//! Pure: no file and no network here. What could not be found out is unknown, with the reason, and never a pass.

mod check;
mod facts;
mod java;
mod verdict;

pub use check::{Check, CheckResult, CheckSeen};
pub use facts::{HardeningFacts, JarAmiss, JarsSeen, LeafMarks, SnmpSeen, StorePassword, Writers};
pub use java::JavaVersion;
pub use verdict::verdicts;
