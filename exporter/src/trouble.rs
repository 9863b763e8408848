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

/// The word of a closed set for a reason that may be from a larger one, and `otherwise` for what does not occur.
pub(crate) fn one_of(set: &[&'static str], reason: &str, otherwise: &'static str) -> &'static str {
    set.iter().copied().find(|known| *known == reason).unwrap_or(otherwise)
}

impl<R> Trouble<R> {
    pub fn new(reason: R, message: impl std::fmt::Display) -> Self {
        Self { reason, message: Label::new(&message.to_string()) }
    }
}
