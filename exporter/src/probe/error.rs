//! Why a probe saw no certificate.

use std::io;

use super::{ServedChain, Spoke};

/// The phase in which no answer is the name servers'.
pub(crate) const DNS: &str = "dns";

/// Why no certificate was seen. [`ProbeError::reason`] is stable.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error("{address}: not an address; write host:port, or [v6]:port")]
    Address { address: String },
    #[error("{name}: not a name that can be sent as SNI; set serverName to a DNS name or an IP address")]
    ServerName { name: String },
    #[error("{host}: no address found ({detail}); check the name and this host's resolver")]
    Dns { host: String, detail: String },
    #[error(
        "{host}: not looked up, because {limit} lookups hang already; see whether this host's name servers answer \
         (kagiban_blocking_stuck)"
    )]
    Busy { host: String, limit: usize },
    #[error("{address}: cannot connect ({source}); check that the service runs and that no firewall stands between")]
    Connect { address: String, source: io::Error },
    #[error("{address}: no answer within the deadline, while in {phase}")]
    Timeout { address: String, phase: &'static str },
    #[error("{address}: the server ended the handshake with the alert {alert}, before it sent a certificate")]
    TlsAlert { address: String, alert: String },
    #[error("{address}: the peer {spoke}; check the port")]
    NotTls { address: String, spoke: Spoke },
    #[error("{address}: the peer closed the connection {}", closed(*spoke))]
    Closed { address: String, spoke: Spoke },
    #[error("{address}: the handshake failed before a certificate was sent ({detail})")]
    Protocol { address: String, detail: String },
    #[error("{address}: the server sent no certificate")]
    NoCertificate { address: String },
    #[error("{address}: the served certificate cannot be parsed ({})", served.detail())]
    Malformed { address: String, served: Box<ServedChain> },
}

/// What a `Timeout` says of a peer that took the connection and a greeting of TLS.
pub(super) const GREETED: &str = "handshake: it took the connection and a greeting of TLS, and sent nothing; it may speak another protocol, check the port";

const fn closed(spoke: Spoke) -> &'static str {
    match spoke {
        Spoke::Nothing => "without answering a greeting of TLS; it may speak another protocol, check the port",
        _ => "before it sent a certificate",
    }
}

impl ProbeError {
    /// Every value that [`ProbeError::reason`] can have: the closed set of a metric label.
    pub const REASONS: [&'static str; 12] = [
        "bad_address",
        "bad_server_name",
        "busy",
        "closed",
        "connect",
        "dns",
        "malformed",
        "no_certificate",
        "not_tls",
        "protocol",
        "timeout",
        "tls_alert",
    ];

    /// Whether the endpoint itself has answered so, or has not answered: not a name server, nor this host's own want of something,
    /// which say nothing of the service.
    pub(crate) fn is_the_endpoints(&self) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, TimedOut};
        match self {
            Self::Connect { source, .. } => {
                matches!(source.kind(), BrokenPipe | ConnectionAborted | ConnectionRefused | ConnectionReset | TimedOut)
            }
            Self::Timeout { phase, .. } => *phase != DNS,
            Self::TlsAlert { .. }
            | Self::NotTls { .. }
            | Self::Closed { .. }
            | Self::Protocol { .. }
            | Self::NoCertificate { .. }
            | Self::Malformed { .. } => true,
            Self::Address { .. } | Self::ServerName { .. } | Self::Dns { .. } | Self::Busy { .. } => false,
        }
    }

    /// Stable, for metric labels and conditions.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Address { .. } => "bad_address",
            Self::ServerName { .. } => "bad_server_name",
            Self::Dns { .. } => "dns",
            Self::Busy { .. } => "busy",
            Self::Connect { .. } => "connect",
            Self::Timeout { .. } => "timeout",
            Self::TlsAlert { .. } => "tls_alert",
            Self::NotTls { .. } => "not_tls",
            Self::Closed { .. } => "closed",
            Self::Protocol { .. } => "protocol",
            Self::NoCertificate { .. } => "no_certificate",
            Self::Malformed { .. } => "malformed",
        }
    }
}
