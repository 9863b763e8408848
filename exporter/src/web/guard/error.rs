//! Why a web configuration cannot be used.

use crate::config::ConfigError;
use crate::platform::FileError;

/// Why a web configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("the web configuration: {0}")]
    File(#[from] FileError),
    #[error("{place}: holds no {what} as PEM")]
    Pem { place: String, what: &'static str },
    #[error("the web configuration: certificate and key do not make a server ({0})")]
    Server(rustls::Error),
    #[error("the web configuration: the client CAs cannot be used ({0})")]
    ClientCa(String),
    #[error("the system gives no random bytes")]
    Random,
}

impl GuardError {
    /// Stable, for logs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Config(error) => error.reason(),
            Self::File(error) => error.reason(),
            Self::Pem { .. } => "bad_pem",
            Self::Server(_) => "bad_certificate",
            Self::ClientCa(_) => "bad_client_ca",
            Self::Random => "no_random",
        }
    }
}
