//! `check`: one page of what works on this host, what is missing, and what to do about each.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use super::Output;
use super::listing::{Printable, pretty_json};
use crate::overview::{Count, Item, Severity};
use crate::service::Inspected;
use crate::snapshot::Label;

/// The JSON that scripts count on: keys are only ever added.
#[derive(Serialize)]
struct PageJson<'a> {
    host: &'a str,
    account: &'a str,
    at: String,
    works: bool,
    items: Vec<ItemJson<'a>>,
}

#[derive(Serialize)]
struct ItemJson<'a> {
    /// An outside host; left out for the one that the page is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    topic: &'static str,
    verdict: &'static str,
    about: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<&'a str>,
}

/// Prints what was found.
///
/// # Errors
/// When it cannot be written.
pub fn print(page: &Inspected, output: Output, out: &mut dyn Write) -> io::Result<()> {
    match output {
        Output::Json => pretty_json(&PageJson::from(page), out)?,
        Output::Text => text(page, out)?,
    }
    out.flush()
}

impl<'a> From<&'a Inspected> for PageJson<'a> {
    fn from(page: &'a Inspected) -> Self {
        let item = |Item { host, topic, severity, about, said, fix, .. }: &'a Item| ItemJson {
            host: host.as_ref().map(Label::as_str),
            topic: topic.as_str(),
            verdict: word(*severity),
            about,
            message: said,
            fix: fix.as_deref(),
        };
        Self {
            host: &page.host,
            account: &page.account,
            at: format!("{:.0}", page.at),
            works: page.works(),
            items: page.items.iter().map(item).collect(),
        }
    }
}

const fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::Warning => "warning",
        Severity::Fine => "ok",
    }
}

fn text(page: &Inspected, out: &mut dyn Write) -> io::Result<()> {
    let (host, account) = (Printable(&page.host), Printable(&page.account));
    writeln!(out, "{host}, looked at by {account}, {:.0}, kagiban-exporter {}", page.at, env!("CARGO_PKG_VERSION"))?;
    let (mut host, mut topic) = (None, None);
    let mut told = Told::default();
    let mut items = page.items.iter().peekable();
    while let Some(item) = items.next() {
        if let Some(outside) = item.host.as_ref().filter(|_| host != item.host.as_ref()) {
            writeln!(out, "\n{outside}, looked at from here")?;
            topic = None;
        }
        host = item.host.as_ref();
        if topic != Some(item.topic) {
            writeln!(out)?;
            topic = Some(item.topic);
        }
        if told.has_room_for(item) {
            writeln!(out, "{:<9}{}: {}", word(item.severity), Printable(&item.about), Printable(&item.said))?;
            if let Some(fix) = &item.fix {
                writeln!(out, "         -> {}", Printable(fix))?;
            }
        }
        if items
            .peek()
            .is_none_or(|next| (&next.host, next.topic, next.severity) != (&item.host, item.topic, item.severity))
        {
            for (source, more) in told.more() {
                let source = Printable(source);
                writeln!(out, "{:<9}{source}: and {more} more; `-o json` has all", word(item.severity))?;
            }
            told = Told::default();
        }
    }
    let count = |severity| page.items.iter().filter(|item| item.severity == severity).count();
    let (critical, warnings, works) = (count(Severity::Critical), count(Severity::Warning), count(Severity::Fine));
    writeln!(out, "\n{critical} critical, {}, {works} ok", Count(warnings, "warning"))
}

/// Of what one source has of one topic and one verdict: whoever may write where it looks shall not bury what others have.
const MAX_OF_SOURCE: usize = 10;

/// How many items of each source there were, of one topic and one verdict.
#[derive(Debug, Default)]
struct Told<'a>(BTreeMap<&'a str, usize>);

impl<'a> Told<'a> {
    fn has_room_for(&mut self, item: &'a Item) -> bool {
        let Some(source) = &item.source else { return true };
        let told = self.0.entry(source).or_default();
        *told += 1;
        *told <= MAX_OF_SOURCE
    }

    /// The sources that had more than a page tells, and how many more.
    fn more(&self) -> impl Iterator<Item = (&'a str, usize)> {
        let beyond = self.0.iter().map(|(source, count)| (*source, count.saturating_sub(MAX_OF_SOURCE)));
        beyond.filter(|(_, more)| *more > 0)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::overview::{Topic, item};
    use crate::snapshot::{SourceId, SourceKind};

    /// An account filled a directory that a pattern names, and other lines were buried below ten thousand.
    #[test]
    fn a_source_with_very_many_lines_leaves_those_of_others_to_be_seen() {
        let of = |name: &str, severity, number: usize| {
            let id = SourceId::own(SourceKind::File, Label::new(name));
            (0..number).map(move |at| item(Topic::File, severity, "Certificate", format!("{at}.")).seen_by(&id))
        };
        let mut items: Vec<_> = of("junk", Severity::Critical, 2_000)
            .chain(of("fleet", Severity::Critical, 10))
            .chain(of("junk", Severity::Warning, 11))
            .collect();
        items.extend((0..20).map(|at| item(Topic::Exporter, Severity::Warning, format!("Setting {at}"), "is odd")));
        items.sort_by_key(|item| (item.topic, item.severity));
        let page =
            Inspected { host: "ups-01".to_owned(), account: "root".to_owned(), at: Timestamp::UNIX_EPOCH, items };
        let mut out = Vec::new();
        print(&page, Output::Text, &mut out).expect("printed");
        let text = String::from_utf8(out).expect("text");
        let lines = |start: &str| text.lines().filter(|line| line.starts_with(start)).count();
        assert_eq!((lines("critical Certificate: "), lines("warning  Certificate: ")), (20, 10), "{text}");
        assert_eq!(lines("warning  Setting "), 20, "what no source has stays whole: {text}");
        for more in ["critical file junk: and 1990 more", "warning  file junk: and 1 more"] {
            assert_eq!(lines(more), 1, "{more}: {text}");
        }
        assert!(!text.contains("file fleet: and") && text.ends_with("2010 critical, 31 warnings, 0 ok\n"), "{text}");
        let mut json = Vec::new();
        print(&page, Output::Json, &mut json).expect("printed");
        let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
        assert_eq!(json["items"].as_array().map(Vec::len), Some(2_041));
    }
}
