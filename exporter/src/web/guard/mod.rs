//! Over what a page is shown, and to whom: what the web configuration file asks for.
//!
//! ```text
//!   web file, certificates ──reload──> Settings ─┬─ tls ── clients    the handshake, the client's certificate
//!   (read again when they change)                ├─ rate              how often
//!                                                ├─ users             who
//!                                                └─ headers           what is added to every answer
//! ```

mod clients;
mod error;
mod rate;
mod reload;
mod settings;
mod tls;
mod users;

pub use error::GuardError;
pub use reload::Guard;
pub(super) use settings::Refusal;
