//! docs/SUMMARY.md: every page of the book has its place.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::pages;

#[test]
fn the_summary_lists_every_page_once_and_every_page_has_a_title() -> Result<()> {
    let pages = pages::all()?;
    let summary = Path::new("docs/SUMMARY.md");
    let listed = &pages.get(summary).context("no docs/SUMMARY.md")?.links;
    let listed: Vec<_> = listed.iter().map(|link| Path::new("docs").join(&link.destination)).collect();
    let unique: BTreeSet<_> = listed.iter().cloned().collect();
    ensure!(unique.len() == listed.len(), "a page is listed twice: {listed:?}");
    let of_the_book = pages.values().filter(|page| page.path.starts_with("docs") && page.path != summary);
    let there: BTreeSet<PathBuf> = of_the_book.clone().map(|page| page.path.clone()).collect();
    let left_out: Vec<_> = there.difference(&unique).collect();
    let missing: Vec<_> = unique.difference(&there).collect();
    ensure!(there == unique, "not listed: {left_out:?}; listed and not there: {missing:?}");
    for page in of_the_book {
        ensure!(page.titles.len() == 1, "{} has {} titles", page.path.display(), page.titles.len());
    }
    Ok(())
}
