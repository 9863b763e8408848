//! What every HTTP port of ours has, whatever it answers: kagiban-exporter's metrics and host API, kagiban-operator's metrics.
//!
//! ```text
//!   Acceptor ──> Arrivals ──> tls ──> Slots ──> converse ──> the port's own answers
//!   (pauses)     (shares)   (deadline) (places)  (limits)      (Pieces)
//! ```

mod acceptor;
mod arrivals;
mod conversation;
mod pieces;
mod slots;
pub mod tls;

pub use acceptor::Acceptor;
pub use arrivals::{Arrival, Arrivals, Peer};
pub use conversation::{Limits, Parting, converse};
pub use pieces::Pieces;
pub use slots::{Seat, Slot, Slots, Taken, Working};
