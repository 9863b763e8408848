//! The pages of the repository, read as Markdown.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kagiban_tests::tools;
use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, LinkType, Options, Parser, Tag, TagEnd};

/// What is built, and what no reader sees.
const PASSED_OVER: [&str; 2] = ["target", ".git"];

/// One Markdown file.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// From the root of the repository, as `docs/install.md`.
    pub(crate) path: PathBuf,
    pub(crate) links: Vec<Link>,
    /// The text of the headings of the first level.
    pub(crate) titles: Vec<String>,
    /// As GitHub names the headings.
    pub(crate) anchors: BTreeSet<String>,
    pub(crate) blocks: Vec<Block>,
    /// Code in running text.
    pub(crate) codes: Vec<Code>,
}

#[derive(Clone, Debug)]
pub(crate) struct Code {
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// A link or an image.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) line: usize,
    pub(crate) destination: String,
}

/// A fenced block of code.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// Of its first line of text.
    pub(crate) line: usize,
    pub(crate) language: String,
    pub(crate) text: String,
}

/// Every Markdown file of the repository.
pub(crate) fn all() -> Result<BTreeMap<PathBuf, Page>> {
    let mut found = BTreeMap::new();
    collect(tools::workspace(), Path::new(""), &mut found)?;
    Ok(found)
}

fn collect(root: &Path, directory: &Path, found: &mut BTreeMap<PathBuf, Page>) -> Result<()> {
    for entry in fs::read_dir(root.join(directory))? {
        let entry = entry?;
        let path = directory.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            if !PASSED_OVER.iter().any(|name| path == Path::new(name)) {
                collect(root, &path, found)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "md") {
            let text = fs::read_to_string(root.join(&path)).with_context(|| format!("{}", path.display()))?;
            found.insert(path.clone(), read(path, &text));
        }
    }
    Ok(())
}

fn read(path: PathBuf, text: &str) -> Page {
    let mut page = Page { path, ..Page::default() };
    let line = |at: usize| text[..at].matches('\n').count() + 1;
    // A reference that nothing defines is no link to the parser; it is one to the reader.
    let mut missing = Vec::new();
    let mut undefined = |link: pulldown_cmark::BrokenLink<'_>| {
        if matches!(link.link_type, LinkType::Reference | LinkType::Collapsed) {
            missing.push(Link { line: line(link.span.start), destination: format!("[{}]", link.reference) });
        }
        None
    };
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_FOOTNOTES;
    let parser = Parser::new_with_broken_link_callback(text, options, Some(&mut undefined));
    let mut heading: Option<(HeadingLevel, String)> = None;
    let mut block: Option<Block> = None;
    for (event, span) in parser.into_offset_iter() {
        match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                page.links.push(Link { line: line(span.start), destination: dest_url.into_string() });
            }
            Event::Start(Tag::Heading { level, .. }) => heading = Some((level, String::new())),
            Event::End(TagEnd::Heading(_)) => {
                if let Some((level, text)) = heading.take() {
                    let anchor = unused(&page.anchors, &anchor(&text));
                    page.anchors.insert(anchor);
                    page.titles.extend((level == HeadingLevel::H1).then_some(text));
                }
            }
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) => {
                let language = language.into_string();
                block = Some(Block { line: line(span.start) + 1, language, text: String::new() });
            }
            Event::End(TagEnd::CodeBlock) => page.blocks.extend(block.take()),
            Event::Code(text) if heading.is_none() => {
                page.codes.push(Code { line: line(span.start), text: text.into_string() });
            }
            Event::Text(text) | Event::Code(text) => match (&mut heading, &mut block) {
                (Some((_, heading)), _) => heading.push_str(&text),
                (None, Some(block)) => block.text.push_str(&text),
                (None, None) => {}
            },
            _ => {}
        }
    }
    page.links.extend(missing);
    page
}

/// The name that GitHub gives a heading.
fn anchor(heading: &str) -> String {
    let lower = heading.to_lowercase();
    let kept = lower.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The second heading of one text has `-1` behind its name.
fn unused(taken: &BTreeSet<String>, anchor: &str) -> String {
    let numbered = (1..).map(|number| format!("{anchor}-{number}"));
    std::iter::once(anchor.to_owned()).chain(numbered).find(|name| !taken.contains(name)).unwrap_or_default()
}

#[test]
fn headings_are_named_as_github_names_them() {
    let text = "# What `blockedBy` says, and what to do\n\n## spec.conditions[]\n\n## 製品 (一覧)\n\n## 製品 (一覧)\n";
    let page = read(PathBuf::new(), text);
    let expected = ["specconditions", "what-blockedby-says-and-what-to-do", "製品-一覧", "製品-一覧-1"];
    assert_eq!(page.anchors.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    assert_eq!(page.titles, ["What blockedBy says, and what to do"]);
}
