//! Words that are text here and something else to `kubectl`: it reads YAML 1.1, and our reader YAML 1.2.

use serde_yaml::Value;

/// The first value that is such a word and is written without quotes, with what to do about it. Where the same word stands in
/// quotes anywhere in the text, it is taken to be that one.
pub(super) fn ambiguous(value: &Value, text: &str) -> Option<String> {
    find(value, text, "")
}

fn find(value: &Value, text: &str, path: &str) -> Option<String> {
    match value {
        Value::String(word) => told(word, text, path),
        Value::Sequence(items) => {
            items.iter().enumerate().find_map(|(at, item)| find(item, text, &format!("{path}[{at}]")))
        }
        Value::Mapping(fields) => fields.iter().find_map(|(key, value)| {
            let name = key.as_str().unwrap_or_default();
            let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            told(name, text, &path).or_else(|| find(value, text, &path))
        }),
        Value::Tagged(tagged) => find(&tagged.value, text, path),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn told(word: &str, text: &str, path: &str) -> Option<String> {
    let what = meaning(word)?;
    let is_quoted = ['"', '\''].iter().any(|quote| text.contains(&format!("{quote}{word}{quote}")));
    (!is_quoted).then(|| format!("{path}: kubectl reads {word} as {what}: put it in quotes, or write what is meant"))
}

/// What YAML 1.1 makes of it, of what 1.2 takes for text.
fn meaning(word: &str) -> Option<&'static str> {
    const BOOLEANS: [&str; 8] = ["y", "n", "yes", "no", "on", "off", "true", "false"];
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
        && (digits.contains('_') || digits.starts_with('0'));
    is_number.then_some("a number")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(text: &str) -> Option<String> {
        ambiguous(&serde_yaml::from_str(text).expect("YAML"), text)
    }

    /// Holds B12: a plan was green for an agent named `on`, which kubectl makes a boolean of, and the API server refuses.
    #[test]
    fn a_word_that_kubectl_reads_otherwise_is_told_unless_it_is_quoted() {
        for (text, path) in [
            ("spec: {agent: {name: on}}", "spec.agent.name: "),
            ("spec: {rotation: {paused: yes}}", "spec.rotation.paused: "),
            ("labels: {a: Off}", "labels.a: "),
            ("labels: {n: x}", "labels.n: "),
            ("names: [a, 010]", "names[1]: "),
            ("size: 2_048", "size: "),
        ] {
            let told = first(text).unwrap_or_default();
            assert!(told.starts_with(path) && told.contains("kubectl"), "{text}: {told:?}");
        }
        for text in [
            "a: 'on'",
            "a: \"010\"",
            "{\"yes\": \"no\"}",
            "a: true",
            "a: 10",
            "a: 0",
            "a: once",
            "a: 192.0.2.1",
            "a: 2160h",
            "a: oN",
        ] {
            assert_eq!(first(text), None, "{text}");
        }
    }
}
