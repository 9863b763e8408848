//! Links of every Markdown file of the repository.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use anyhow::{Result, ensure};
use kagiban_tests::tools;

use crate::pages::{self, Page};

/// What pages link to elsewhere. It is not fetched, since a test needs no network: whoever adds one looks whether it is there.
const SITES: [&str; 8] = [
    "cert-manager.io",
    "github.com/DRuggeri/nut_exporter",
    "github.com/HON95/prometheus-nut-exporter",
    "github.com/enix/x509-certificate-exporter",
    "github.com/mdlayher/apcupsd_exporter",
    "github.com/prometheus/blackbox_exporter",
    "github.com/prometheus/snmp_exporter",
    "github.com/ribbybibby/ssl_exporter",
];

#[test]
fn every_link_leads_to_a_file_and_every_anchor_to_a_heading() -> Result<()> {
    let pages = pages::all()?;
    ensure!(pages.len() > 40, "{} pages only", pages.len());
    let wrong: Vec<_> = pages.values().flat_map(|page| wrong_links(page, &pages)).collect();
    ensure!(wrong.is_empty(), "links that lead nowhere:\n{}", wrong.join("\n"));
    let links = pages.values().flat_map(|page| &page.links).map(|link| link.destination.as_str());
    let sites: BTreeSet<_> = links.filter(|link| is_address(link)).map(|address| site(address).to_owned()).collect();
    ensure!(sites == SITES.map(str::to_owned).into(), "other sites are linked to than those of SITES: {sites:?}");
    Ok(())
}

/// The host of an address, with the owner and the repository where that is a place of repositories.
fn site(address: &str) -> &str {
    let rest = address.trim_start_matches("https://");
    let depth = if rest.starts_with("github.com/") { 3 } else { 1 };
    let end = rest.match_indices(['/', '?', '#']).nth(depth - 1).map_or(rest.len(), |(at, _)| at);
    &rest[..end]
}

fn wrong_links(page: &Page, pages: &BTreeMap<PathBuf, Page>) -> Vec<String> {
    let said = page.links.iter().filter_map(|link| {
        let why = wrong(&page.path, &link.destination, pages)?;
        Some(format!("{}:{}: {}: {why}", page.path.display(), link.line, link.destination))
    });
    said.collect()
}

fn is_address(destination: &str) -> bool {
    destination.contains("://")
}

fn wrong(page: &Path, destination: &str, pages: &BTreeMap<PathBuf, Page>) -> Option<&'static str> {
    if is_address(destination) {
        return wrong_address(destination);
    }
    let (path, anchor) = destination.split_once('#').map_or((destination, None), |(path, anchor)| (path, Some(anchor)));
    let Some(target) = resolved(page, path) else { return Some("leads out of the repository") };
    if !tools::workspace().join(&target).exists() {
        return Some("no such file");
    }
    match (anchor, pages.get(&target)) {
        (None, _) => None,
        (Some(_), None) => Some("only a Markdown file has headings"),
        (Some(anchor), Some(page)) => (!page.anchors.contains(anchor)).then_some("no such heading"),
    }
}

fn wrong_address(address: &str) -> Option<&'static str> {
    let Some(rest) = address.strip_prefix("https://") else { return Some("not https") };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let is_name = host.contains('.')
        && host
            .split('.')
            .all(|label| !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'));
    let is_whole = !rest.contains(|c: char| c.is_whitespace() || c.is_control());
    (!is_name || !is_whole).then_some("not well formed")
}

/// From the page's directory. An empty path is the page itself.
fn resolved(page: &Path, path: &str) -> Option<PathBuf> {
    if path.is_empty() {
        return Some(page.to_owned());
    }
    let mut target = page.parent()?.to_owned();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => target.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !target.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(target)
}

#[test]
fn links_that_lead_nowhere_are_told_apart() -> Result<()> {
    let pages = pages::all()?;
    let page = Path::new("docs/operator.md");
    for (destination, expected) in [
        ("security.md", None),
        ("../README.md#licence", None),
        ("#conditions", None),
        ("#no-such-heading", Some("no such heading")),
        ("no-such-page.md", Some("no such file")),
        ("../../README.md", Some("leads out of the repository")),
        ("/docs/operator.md", Some("leads out of the repository")),
        ("../examples/exporter.yaml#hosts", Some("only a Markdown file has headings")),
        ("https://example.com/a", None),
        ("http://example.com/a", Some("not https")),
        ("https://example", Some("not well formed")),
        ("https://example.com/a b", Some("not well formed")),
        ("[undefined]", Some("no such file")),
    ] {
        assert_eq!(wrong(page, destination, &pages), expected, "{destination}");
    }
    Ok(())
}
