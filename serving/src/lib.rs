//! What every HTTP port of ours has, whatever it answers: kagiban-exporter's metrics and host API, kagiban-operator's metrics.
//!
//! ```text
//!   Acceptor ──> Arrivals ──> tls ──> Slots ──> serve_connection ──> the port's own answers
//!   (pauses)     (shares)   (deadline) (slots)  (limits)      (query, respond, Pieces)
//! ```

#![forbid(unsafe_code)]

mod acceptor;
mod answer;
mod arrivals;
mod budget;
mod connection;
mod pieces;
pub mod query;
mod slots;
pub mod tls;
mod watched;

pub use acceptor::Acceptor;
pub use answer::{page, plain, respond};
pub use arrivals::{Arrival, Arrivals, Peer};
pub use budget::{BudgetSpent, Budgeted, ByteBudget};
pub use connection::{Close, ConnectionLimits, serve_connection};
pub use pieces::Pieces;
pub use slots::{Slot, SlotHandle, Slots, TakenSlot, Working};
pub use watched::{Watch, Watched};
