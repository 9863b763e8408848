//! What people and Prometheus see of this program over HTTP.
//!
//! ```text
//!   listen ──connection (slots: how many; time; header)──> guard/ ──> routes ─┬─ /metrics   the rendered snapshot, by negotiate
//!                                       TLS, users, how often                  ├─ /probe     probe: one handshake, now
//!                                                                              ├─ /-/healthy, /-/ready
//!                                                                              └─ /          landing/
//! ```
//!
//! A request for anything but `/probe` never causes a look at anything: it copies what is there.

mod guard;
mod landing;
mod listen;
mod negotiate;
mod probe;
mod routes;
mod slots;
mod telemetry_path;

pub use guard::{Guard, GuardError};
pub use listen::{ListenAddress, ListenError, Listeners};
pub use probe::Prober;
pub use routes::Site;
pub use telemetry_path::TelemetryPath;
