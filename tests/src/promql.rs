//! Expressions, as far as tests read them apart.

/// Each selector of our metrics in an expression, with what stands in its braces.
pub fn selectors_of(expression: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(start) = rest.find(|c: char| is_of_name(c) || is_quote(c)) {
        rest = &rest[start..];
        let Some(quote) = rest.chars().next().filter(|c| is_quote(*c)) else {
            let end = rest.find(|c| !is_of_name(c)).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            let braces = if after.starts_with('{') { end_of_braces(after) } else { 0 };
            if is_metric(name) {
                found.push(rest[..end + braces].to_owned());
            }
            rest = &after[braces..];
            continue;
        };
        rest = &rest[end_of_text(rest, quote)..];
    }
    found
}

/// The metrics of an expression, each once.
pub fn metrics_of(expression: &str) -> Vec<String> {
    let name = |selector: String| selector.split('{').next().unwrap_or_default().to_owned();
    let mut found: Vec<_> = selectors_of(expression).into_iter().map(name).collect();
    found.sort();
    found.dedup();
    found
}

/// Whether this is the name of a metric of ours, or of Prometheus about a target.
fn is_metric(word: &str) -> bool {
    word == "up" || ["kagiban_", "host_", "ups_", "x509_", "tls_", "process_"].iter().any(|p| word.starts_with(p))
}

const fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

const fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\'' | '`')
}

/// Of a text that begins with a quotation mark; a backslash has no meaning between backticks.
fn end_of_text(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped && quote != '`';
    }
    text.len()
}

fn end_of_braces(text: &str) -> usize {
    let mut at = 1;
    while let Some(c) = text[at..].chars().next() {
        if c == '}' {
            return at + 1;
        }
        at += if is_quote(c) { end_of_text(&text[at..], c) } else { c.len_utf8() };
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_ends_where_its_braces_do() {
        let expression =
            r#"sum by (ups_x, host) (up{a=~"}\"b",c=`\`} - ups_y) + label_replace(host_z, "host_w", "$1", "up", "")"#;
        // A label that is named like a metric is taken for one: ours are not.
        assert_eq!(selectors_of(expression), ["ups_x", "up{a=~\"}\\\"b\",c=`\\`}", "ups_y", "host_z"]);
    }
}
