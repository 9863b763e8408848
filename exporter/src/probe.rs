//! One TLS handshake with an endpoint: which chain is served, and whether it can be trusted.
//!
//! The certificate is reported even when it is expired, untrusted, or when the server wants a client certificate.

use std::time::Duration;

use kagiban_keystore::Certificate;

/// An endpoint to shake hands with.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `host:port`.
    pub address: String,
    /// Sent as SNI and used for the name check; by default the host part of the address.
    pub server_name: Option<String>,
}

/// What was seen.
#[derive(Clone, Debug)]
pub struct Handshake {
    /// The served chain, leaf first; at least one.
    pub chain: Vec<Certificate>,
}

/// Why no certificate was seen. `reason()` is stable.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error("not written yet")]
    Stub,
}

/// Shakes hands within the deadline, DNS included.
///
/// # Errors
/// Only when no certificate was seen at all.
pub async fn probe(_endpoint: &Endpoint, _deadline: Duration) -> Result<Handshake, ProbeError> {
    Err(ProbeError::Stub)
}
