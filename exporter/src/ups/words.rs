//! Texts that say nothing: one rule for every backend.

/// What drivers, agents and daemons write where they have no text: nothing, C's way to print none, or a word for it.
const NOTHING: &[&str] = &[
    "",
    "-",
    "(null)",
    "null",
    "n/a",
    "na",
    "none",
    "unknown",
    "unavailable",
    "not available",
    "description unavailable",
];

/// The text without the blanks around it, where it says something.
pub fn meaning(text: &str) -> Option<&str> {
    let text = text.trim();
    (!NOTHING.iter().any(|nothing| text.eq_ignore_ascii_case(nothing))).then_some(text)
}

/// Whether a program has printed a text that it does not have.
pub fn is_printed_null(text: &str) -> bool {
    ["(null)", "null"].iter().any(|null| text.trim().eq_ignore_ascii_case(null))
}
