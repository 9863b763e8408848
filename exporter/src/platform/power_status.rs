//! What the seam says of the power that the system itself sees.

use std::io;

use super::NotOnThisSystem;

/// The system's own account of mains and batteries, as it stands in it.
///
/// Source: the Windows API, `SYSTEM_POWER_STATUS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PowerStatus {
    /// 0: off line, 1: on line, 255: unknown.
    pub line: u8,
    /// Bits: 1 high, 2 low, 4 critical, 8 charging, 128 no battery; 255: unknown.
    pub battery: u8,
    /// 0 to 100; 255: unknown.
    pub percent: u8,
    /// Until the battery is empty, in seconds; `u32::MAX`: unknown, or on line.
    pub seconds: u32,
}

/// Why it was not told.
#[derive(Debug, thiserror::Error)]
pub enum PowerStatusError {
    #[error("Windows does not tell of its power: {0}")]
    Read(io::Error),
    #[error(transparent)]
    NotOnThisSystem(#[from] NotOnThisSystem),
}
