//! `check`: one page of what works on this host, what is missing, and what to do about each.

use std::io::{self, Write};

use serde::Serialize;

use super::Output;
use super::listing::{Printable, pretty_json};
use crate::overview::{Count, Item, Severity};
use crate::service::Inspected;

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
        let item = |Item { topic, severity, about, said, fix }: &'a Item| ItemJson {
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
    let mut topic = None;
    for item in &page.items {
        if topic != Some(item.topic) {
            writeln!(out)?;
            topic = Some(item.topic);
        }
        writeln!(out, "{:<9}{}: {}", word(item.severity), Printable(&item.about), Printable(&item.said))?;
        if let Some(fix) = &item.fix {
            writeln!(out, "         -> {}", Printable(fix))?;
        }
    }
    let count = |severity| page.items.iter().filter(|item| item.severity == severity).count();
    let (critical, warnings, works) = (count(Severity::Critical), count(Severity::Warning), count(Severity::Fine));
    writeln!(out, "\n{critical} critical, {}, {works} ok", Count(warnings, "warning"))
}
