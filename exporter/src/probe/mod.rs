//! One TLS handshake with an endpoint: which chain is served, and whether it can be trusted.
//!
//! ```text
//!   Endpoint ──dial──> TCP ──handshake──> Recorder (chain, who signed, was a client certificate wanted)
//!                                             │
//!                      Roots ────────────> Verdict   (asked afterwards: it never ends a handshake)
//! ```
//!
//! `old_tls` asks by hand for the versions before 1.2, which the TLS stack does not speak.
//!
//! The certificate is reported even when it is expired, untrusted, or when the server wants a client certificate.

mod dial;
mod error;
mod handshake;
mod old_tls;
mod path;
mod recorder;
mod roots;

pub use dial::Endpoint;
pub(crate) use dial::{DNS, dial};
pub use error::ProbeError;
pub use handshake::{Handshake, Phases, probe, probe_against};
pub(crate) use handshake::{probe_for, shake_hands};
pub(crate) use old_tls::speaks_only_old_tls;
pub use old_tls::{Greeting, OldTls, OldVersion, greet};
pub use path::trusted_path;
pub use roots::{Roots, RootsError, Verdict};
