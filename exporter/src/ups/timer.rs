//! What stands where a countdown would, before it is known whether it runs.

use super::{Protocol, Quantity, is_idle};

/// What a UPS wrote where a countdown would stand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Timer {
    /// One of the values that stand for none.
    Idle,
    /// Seconds, whether they run or not.
    Left(f64),
}

impl Timer {
    /// A number as it is written, in seconds.
    pub fn read(protocol: Protocol, quantity: Quantity, written: f64) -> Self {
        if is_idle(protocol, quantity, written) { Self::Idle } else { Self::Left(written) }
    }
}
