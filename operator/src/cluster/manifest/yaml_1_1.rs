//! Words that are text here and something else to `kubectl`: it reads YAML 1.1, and our reader YAML 1.2.

/// What YAML 1.1 makes of a word without quotes, where 1.2 takes it for text.
pub(super) fn meaning(word: &str) -> Option<&'static str> {
    const BOOLEANS: [&str; 6] = ["y", "n", "yes", "no", "on", "off"];
    let is_cased = |known: &str| {
        let capitalized = known[..1].to_uppercase() + &known[1..];
        word == known || word == capitalized || word == known.to_uppercase()
    };
    if BOOLEANS.into_iter().any(is_cased) {
        return Some("a boolean");
    }
    let digits = word.strip_prefix(['-', '+']).unwrap_or(word);
    // With `_` between its digits, or octal by a leading zero.
    let plain = digits.replace('_', "");
    let is_based = |base: &str, is_digit: fn(char) -> bool| {
        plain.strip_prefix(base).is_some_and(|rest| !rest.is_empty() && rest.chars().all(is_digit))
    };
    let is_number = plain.parse::<f64>().is_ok()
        || is_based("0x", |c| c.is_ascii_hexdigit())
        || is_based("0b", |c| matches!(c, '0' | '1'))
        || is_based("0o", |c| matches!(c, '0'..='7'));
    let is_whole = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let starts = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let other_than_1_2 = digits.contains('_') || (is_whole && digits.len() > 1 && digits.starts_with('0'));
    (starts && is_number && other_than_1_2).then_some("a number")
}
