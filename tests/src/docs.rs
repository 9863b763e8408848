//! Parts of the documentation, and files, that are written from what they document.

use std::env;
use std::fs;

use anyhow::{Context, Result, ensure};

use crate::tools;

/// Fails where a file does not hold `part` between the two marks; with `KAGIBAN_WRITE_DOCS`, as `make docs` sets it, writes it there
/// first.
pub fn check_part(file: &str, [begin, end]: [&str; 2], part: &str) -> Result<()> {
    let path = tools::workspace().join(file);
    let text = fs::read_to_string(&path).with_context(|| format!("{file} cannot be read"))?;
    let (head, rest) = text.split_once(begin).with_context(|| format!("{file} has no {begin}"))?;
    let (_, tail) = rest.split_once(end).with_context(|| format!("{file} has no {end}"))?;
    let current = format!("{head}{begin}{part}{end}{tail}");
    if env::var_os("KAGIBAN_WRITE_DOCS").is_some() {
        fs::write(&path, &current)?;
        return Ok(());
    }
    ensure!(text == current, "{file} is not current: run `make docs`");
    Ok(())
}

/// The same of a whole file.
pub fn check_file(file: &str, current: &str) -> Result<()> {
    let path = tools::workspace().join(file);
    if env::var_os("KAGIBAN_WRITE_DOCS").is_some() {
        return Ok(fs::write(&path, current)?);
    }
    let text = fs::read_to_string(&path).with_context(|| format!("{file} cannot be read"))?;
    ensure!(text == current, "{file} is not current: run `make docs`");
    Ok(())
}
