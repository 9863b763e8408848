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
    let is_number = digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.bytes().all(|b| b.is_ascii_digit() || b == b'_')
        && (digits.contains('_') || (digits.len() > 1 && digits.starts_with('0')));
    is_number.then_some("a number")
}
