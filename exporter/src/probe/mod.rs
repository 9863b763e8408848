//! One TLS handshake with an endpoint: which chain is served, and whether it can be trusted.
//!
//! ```text
//!   Endpoint ──dial──> TCP ──handshake──> Recorder (chain, who signed, was a client certificate wanted)
//!                                             │
//!                      Roots ────────────> TrustVerdict   (asked afterwards: it never ends a handshake)
//! ```
//!
//! `old_tls` asks by hand for what the TLS stack does not speak: where a handshake comes to nothing, the chain is read from
//! the server's `first_flight`, which older versions send in the clear.
//!
//! The certificate is reported even when it is expired, untrusted, or when the server wants a client certificate.

mod authorities;
mod broken;
mod dial;
mod error;
mod first_flight;
mod handshake;
mod old_tls;
mod path;
mod recorder;
mod roots;
mod served;
mod suites;
mod tap;

pub use authorities::Authorities;
pub(crate) use authorities::ReadAuthorities;
pub use broken::Broken;
pub use dial::Endpoint;
pub(crate) use dial::{Dialled, dial, dial_again};
pub use error::ProbeError;
pub(crate) use first_flight::fuzz_first_flight;
pub use handshake::{Handshake, Phases, probe, probe_against};
pub(crate) use handshake::{converse, probe_for, shake_hands};
pub(crate) use old_tls::speaks_only_old_tls;
pub use old_tls::{Greeting, OldTls, OldVersion, greet};
pub use path::trusted_path;
pub(crate) use roots::{Anchors, OwnCertificate};
pub use roots::{Roots, RootsError, TrustVerdict};
pub use served::ServedChain;
pub use tap::Spoke;
