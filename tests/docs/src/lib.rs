//! Documentation, and parts of it, that are written from what they document. Only tests depend on this.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// Fails where a file does not hold `part` between the two marks; with `KAGIBAN_WRITE_DOCS`, as `make docs` sets it, writes it there
/// instead.
pub fn check_part(file: &str, marks: [&str; 2], part: &str) -> Result<()> {
    let text = read(file)?;
    let current = with_part(&text, marks, part).with_context(|| format!("{file} has no place for it"))?;
    check(file, &text, &current)
}

/// The same of a whole file.
pub fn check_file(file: &str, current: &str) -> Result<()> {
    // It may be a new one.
    let text = if is_to_be_written() { String::new() } else { read(file)? };
    check(file, &text, current)
}

fn check(file: &str, text: &str, current: &str) -> Result<()> {
    if is_to_be_written() {
        return fs::write(path(file), current).with_context(|| format!("{file} cannot be written"));
    }
    ensure!(text == current, "{file} is not current: run `make docs`");
    Ok(())
}

/// `text` with `part` between the first of each mark.
fn with_part(text: &str, [begin, end]: [&str; 2], part: &str) -> Result<String> {
    let (head, rest) = text.split_once(begin).with_context(|| format!("there is no {begin}"))?;
    let (_, tail) = rest.split_once(end).with_context(|| format!("there is no {end}"))?;
    Ok(format!("{head}{begin}{part}{end}{tail}"))
}

fn is_to_be_written() -> bool {
    env::var_os("KAGIBAN_WRITE_DOCS").is_some()
}

fn read(file: &str) -> Result<String> {
    fs::read_to_string(path(file)).with_context(|| format!("{file} cannot be read"))
}

/// Of a file of the repository.
fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_between_the_marks_is_replaced_and_nothing_else() {
        let marks = ["<a>", "<b>"];
        assert_eq!(with_part("1<a>old<b>2<b>", marks, "new").expect("both are there"), "1<a>new<b>2<b>");
        let missing = ["<b>1<a>", "1<a>2", ""].map(|text| with_part(text, marks, "new").is_err());
        assert_eq!(missing, [true; 3]);
    }
}
