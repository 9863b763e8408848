//! How bad it is, where a system's log tells that apart.

/// What is less is not written to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogSeverity {
    Error,
    Warning,
}
