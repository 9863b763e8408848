//! Something that went wrong, for metrics and for people.

use crate::label::Label;

/// Something that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble<R = &'static str> {
    /// From a closed set: a label value.
    pub reason: R,
    /// For people.
    pub message: Label,
}

impl<R> Trouble<R> {
    pub fn new(reason: R, message: impl std::fmt::Display) -> Self {
        Self { reason, message: Label::new(&message.to_string()) }
    }
}
