//! The seam to the operating system of what both programs need as processes. One side per system, as in kagiban-exporter's `platform`.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(windows)]
mod windows;

#[cfg(target_os = "linux")]
use linux as side;
#[cfg(windows)]
use windows as side;

pub use side::{Requests, StandardOutput, forbid_dumps};

/// What somebody asks of the process from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    Reload,
    Stop,
}

/// Why what is written to the standard output would be read by nobody.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    #[error("the standard output is closed, or goes to {0}")]
    Nowhere(&'static str),
    #[error("the standard output cannot be written to")]
    Unusable(#[source] std::io::Error),
}
