//! The table of the chart's values, written from `values.yaml`: each value with its default and the comment above it.

use std::fmt::Write as _;

/// `values.yaml` is written in blocks, two spaces a level, one comment above each value; a default that is a map or a list stands on its line
/// or in the lines below it.
pub fn reference(values: &str) -> String {
    let mut written = String::new();
    let mut path: Vec<String> = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    let mut lines = values.lines().peekable();
    while let Some(line) = lines.next() {
        let text = line.trim_start();
        if text.is_empty() {
            begin_section(&mut written, &comment);
            comment.clear();
            continue;
        }
        if let Some(said) = text.strip_prefix('#') {
            comment.push(said.trim());
            continue;
        }
        let Some((key, default)) = text.split_once(':') else { continue };
        let depth = (line.len() - text.len()) / 2;
        path.truncate(depth);
        path.push(key.to_owned());
        let heads = comment.first().is_some_and(|it| it.starts_with("## "));
        if heads {
            begin_section(&mut written, &comment);
            comment.clear();
        }
        let mut default = default.trim().to_owned();
        // A value of several lines whose members have no comments is one value.
        let has_described_members = lines.peek().is_some_and(|next| next.trim_start().starts_with('#'));
        if default.is_empty() && !comment.is_empty() && !has_described_members {
            let inner = " ".repeat((depth + 1) * 2);
            let mut members = Vec::new();
            while let Some(member) = lines.next_if(|next| next.starts_with(&inner)) {
                members.push(member.trim());
            }
            default = format!("{{{}}}", members.join(", "));
        }
        if !default.is_empty() {
            let _ = writeln!(written, "| `{}` | `{default}` | {} |", path.join("."), comment.join(" "));
        }
        comment.clear();
    }
    written
}

fn begin_section(written: &mut String, comment: &[&str]) {
    let (title, said) = match comment.split_first() {
        Some((first, said)) if first.starts_with("## ") => (*first, said),
        Some(_) => ("## General", &[][..]),
        None => return,
    };
    let _ = writeln!(written, "\n#{title}\n");
    if !said.is_empty() {
        let _ = writeln!(written, "{}\n", said.join(" "));
    }
    written.push_str("| value | default | what it is |\n|---|---|---|\n");
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::tools;

    /// Begins and ends what is generated in the chart's README.
    const TABLES: [&str; 2] =
        ["<!-- values: written by `make docs` from values.yaml -->\n", "<!-- end of values -->\n"];

    #[test]
    fn a_value_is_told_with_its_path_its_default_and_its_comment() {
        let values = "# About the file.\n\n# One.\na: 1\n# ## The second\n# More of it.\nb:\n  # Two,\n  # and more.\n  c: {}\n  d:\n    # Three.\n    e: \"\"\n  # Four.\n  f:\n    g: 1\n    h: {i: 2}\n";
        let expected = "\n### General\n\n| value | default | what it is |\n|---|---|---|\n| `a` | `1` | One. |\n\n### The second\n\nMore of it.\n\n\
            | value | default | what it is |\n|---|---|---|\n| `b.c` | `{}` | Two, and more. |\n| `b.d.e` | `\"\"` | Three. |\n\
            | `b.f` | `{g: 1, h: {i: 2}}` | Four. |\n";
        assert_eq!(reference(values), expected);
    }

    #[test]
    fn the_documentation_of_every_chart_value_is_what_values_yaml_says() {
        let values = tools::workspace().join("charts/kagiban/values.yaml");
        let tables = reference(&fs::read_to_string(values).expect("the chart has values"));
        kagiban_docs::check_part("charts/kagiban/README.md", TABLES, &tables).expect("the table");
        for line in tables.lines().filter(|line| line.starts_with("| `")) {
            assert!(!line.ends_with("|  |"), "a value without a comment in values.yaml: {line}");
        }
    }
}
