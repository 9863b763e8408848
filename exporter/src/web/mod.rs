//! What people and Prometheus see of this program over HTTP.
//!
//! ```text
//!   listen ──connection (bounded in number, time, header)──> routes ─┬─ /metrics      the rendered snapshot, by negotiate
//!                                                                    ├─ /-/healthy, /-/ready
//!                                                                    └─ /             landing
//! ```
//!
//! A request never causes a look at anything: it copies what is there.

mod body;
mod landing;
mod listen;
mod negotiate;
mod routes;

pub use listen::{ListenAddress, ListenError, Listeners};
pub use routes::{Site, TelemetryPath};
