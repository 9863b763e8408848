//! What the log says of the power: one line for each change, a warning where it is worse than before.
//!
//! ```text
//!   snapshot ──standing──> how each UPS, each load and the host stand ──journal──> Line ──> the log
//!                                                         allowance ┘ (how many lines are too many)
//! ```
//!
//! Pure but for [`Line::write`]: the snapshot and the time in, lines out.

mod allowance;
mod journal;
mod line;
mod standing;

pub(crate) use journal::PowerLog;
pub(crate) use line::Line;

#[cfg(test)]
mod tests;
