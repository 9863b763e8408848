//! The Japanese edition of the first pages: each says of which state of the English page it is a translation.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use kagiban_tests::{handshake, tools};

use crate::pages;

const EDITION: &str = "docs/ja";
const STATE: [&str; 2] = ["<!-- state: written by make docs -->\n", "<!-- end of state -->\n"];
/// Enough of a digest to tell two states of a page apart.
const DIGITS: usize = 16;

/// Whoever changes an English page runs `make docs`, and the reader of its translation is told that it is behind. Whoever brings the translation
/// up to date writes the digest of the English page into its first line.
#[test]
fn the_documentation_of_every_translation_says_whether_it_is_behind() -> Result<()> {
    let pages = pages::all()?;
    let edition: Vec<_> = pages.keys().filter(|path| path.starts_with(EDITION)).collect();
    let mut translated = BTreeSet::new();
    for path in edition {
        let file = path.to_str().context("a path in UTF-8")?;
        let text = fs::read_to_string(tools::workspace().join(path))?;
        let first = text.lines().next().unwrap_or_default();
        let said = first.strip_prefix("<!-- translates ").and_then(|rest| rest.strip_suffix(" -->")?.split_once(' '));
        let (english, digest) =
            said.with_context(|| format!("{file} does not begin with <!-- translates PAGE DIGEST -->"))?;
        let current = digest_of(english).with_context(|| format!("{file} translates {english}"))?;
        let depth = path.components().count() - 2;
        let link = format!("{}{}", "../".repeat(depth), english.trim_start_matches("docs/"));
        kagiban_docs::check_part(file, STATE, &state(&link, digest == current))
            .with_context(|| format!("{english} has the digest {current}, and {file} translates {digest}"))?;
        translated.insert(english.to_owned());
    }
    let products = pages.keys().filter(|path| path.starts_with("docs/products")).map(|path| path.display().to_string());
    let first = ["docs/why.md", "docs/install.md", "docs/first-rotation.md", "docs/runbooks/README.md"];
    let wanted: BTreeSet<_> = first.into_iter().map(str::to_owned).chain(products).collect();
    let missing: Vec<_> = wanted.difference(&translated).collect();
    ensure!(missing.is_empty(), "not translated: {missing:?}");
    Ok(())
}

fn digest_of(page: &str) -> Result<String> {
    let text = fs::read(tools::workspace().join(Path::new(page)))?;
    Ok(handshake::sha256(&text)[..DIGITS].to_owned())
}

fn state(link: &str, is_current: bool) -> String {
    if is_current {
        format!("\n[English]({link})\n\n")
    } else {
        format!(
            "\n> **注意**: このページは、[英語版]({link})の以前の版を翻訳したものです。内容が異なる場合は、英語版が優先します。\n\n"
        )
    }
}
