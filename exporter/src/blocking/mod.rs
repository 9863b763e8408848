//! Work that blocks a thread: files, name resolution, password hashes.
//!
//! ```text
//!   Work (a kind) ──> Lane (so many threads, and no more) ──> kagiban_process::threads
//!                       │ permit, held by the work itself
//!   Flights ────────────┤ one at a time for each key; who asks meanwhile shares the result
//!   Turns ──────────────┤ one at a time for each key; who asks meanwhile waits, and does it anew
//!   resolve (names) ────┘
//! ```
//!
//! A thread that hangs in the kernel cannot be ended. Its kind of work has fewer threads until it comes back, and no other
//! kind notices: the lanes together are as many as there are threads. `clippy.toml` forbids every other way to them.

mod flights;
mod lanes;
mod names;
mod turns;

pub(crate) use flights::Flights;
pub(crate) use kagiban_process::threads::Started;
#[allow(unused_imports, reason = "of the systems one alone waits again for what it has started")]
pub(crate) use lanes::start;
pub use lanes::{Blocked, MAX_THREADS, Work};
pub use lanes::{LaneUsage, usage, wait_for_the_end};
pub(crate) use lanes::{reserve, run};
pub(crate) use names::{ResolveError, resolve};
pub(crate) use turns::Turns;
