//! The page for people: what expires first, what answers, what fails and why. No script, no asset from elsewhere.

use std::fmt::{self, Display, Write};

use jiff::Timestamp;

use super::TelemetryPath;
use crate::snapshot::{FileSeen, Label, Observation, Pass, SeenCertificate, Snapshot, SourceId};

/// A page of thousands of rows helps nobody; the metrics have them all.
const MAX_ROWS: usize = 200;
const SECONDS_PER_DAY: i64 = 86_400;
/// From here a certificate is worth a second look.
const SOON_DAYS: i64 = 28;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#1a1a1a;\
background:#fff}table{border-collapse:collapse;width:100%;margin:.5rem 0 2rem}th,td{text-align:left;padding:.25rem .75rem \
.25rem 0;border-bottom:1px solid #ddd;vertical-align:top;overflow-wrap:anywhere}.bad{color:#b00020}.soon{color:#8a5a00}\
@media(prefers-color-scheme:dark){body{background:#151515;color:#e6e6e6}th,td{border-color:#333}a{color:#8ab4f8}\
.bad{color:#ff8a80}.soon{color:#ffcc66}}";

pub(super) fn page(host: &str, metrics: &TelemetryPath, snapshot: &Snapshot, now: Timestamp) -> String {
    let mut out = String::new();
    write(&mut out, host, metrics, snapshot, now).expect("writing to a String does not fail");
    out
}

fn write(out: &mut String, host: &str, metrics: &TelemetryPath, snapshot: &Snapshot, now: Timestamp) -> fmt::Result {
    let (host, version) = (Escaped(host), env!("CARGO_PKG_VERSION"));
    write!(
        out,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>kagiban-exporter on {host}</title><style>{STYLE}</style></head><body>\
         <h1>kagiban-exporter on {host}</h1><p>Version {version}. <a href=\"{metrics}\">Metrics</a>, \
         <a href=\"/-/healthy\">health</a>, <a href=\"/-/ready\">readiness</a>. With no configuration it looks for \
         PowerChute directories, trust stores of JVMs and the system's CA bundle.</p>"
    )?;
    failures(out, snapshot)?;
    certificates(out, snapshot, now)?;
    endpoints(out, snapshot)?;
    sources(out, snapshot)?;
    out.write_str("</body></html>\n")
}

fn failures(out: &mut String, snapshot: &Snapshot) -> fmt::Result {
    let whole = snapshot.troubles().map(|(id, trouble)| (id, trouble.reason, &trouble.message));
    let inner = snapshot.passes().flat_map(|(id, pass)| {
        let files = pass.files().iter().filter_map(|file: &std::sync::Arc<FileSeen>| file.outcome.as_ref().err());
        let probe = pass.probe().and_then(|probe| probe.outcome.as_ref().err());
        files.chain(probe).map(move |trouble| (id, trouble.reason, &trouble.message))
    });
    let rows: Vec<(&SourceId, &str, &Label)> = whole.chain(inner).collect();
    if rows.is_empty() {
        return Ok(());
    }
    table(out, "What fails", rows.len(), &["Source", "Reason", "What happened"], |out| {
        rows.iter().take(MAX_ROWS).try_for_each(|(id, reason, message)| {
            let (name, message) = (Escaped(id.name.as_str()), Escaped(message.as_str()));
            write!(out, "<tr><td>{name}</td><td class=\"bad\">{reason}</td><td>{message}</td></tr>")
        })
    })
}

fn certificates(out: &mut String, snapshot: &Snapshot, now: Timestamp) -> fmt::Result {
    let mut rows: Vec<(&SourceId, &Label, &SeenCertificate)> = snapshot
        .passes()
        .flat_map(|(id, pass)| seen(pass).map(move |(place, certificate)| (id, place, certificate)))
        .collect();
    rows.sort_by_key(|(_, place, certificate)| (certificate.facts.not_after, *place));
    let heads = ["Expires", "", "Subject", "Role", "Where", "Alias"];
    table(out, "Certificates, the first to expire first", rows.len(), &heads, |out| {
        rows.iter().take(MAX_ROWS).try_for_each(|(_, place, certificate)| {
            let not_after = certificate.facts.not_after;
            let date = Timestamp::from_second(not_after).unwrap_or(Timestamp::MAX).strftime("%Y-%m-%d %H:%M UTC");
            let (class, left) = remaining(not_after, now);
            let subject = Escaped(certificate.facts.subject.as_str());
            let (role, place, alias) =
                (certificate.role.as_str(), Escaped(place.as_str()), Escaped(certificate.alias.as_str()));
            write!(
                out,
                "<tr><td>{date}</td><td class=\"{class}\">{left}</td><td>{subject}</td><td>{role}</td><td>{place}</td>\
                 <td>{alias}</td></tr>"
            )
        })
    })
}

fn remaining(not_after: i64, now: Timestamp) -> (&'static str, String) {
    let days = (not_after - now.as_second()).div_euclid(SECONDS_PER_DAY);
    match days {
        ..0 => ("bad", format!("expired {} days ago", -days)),
        0..SOON_DAYS => ("soon", format!("in {days} days")),
        _ => ("", format!("in {days} days")),
    }
}

fn endpoints(out: &mut String, snapshot: &Snapshot) -> fmt::Result {
    let rows: Vec<_> = snapshot.passes().filter_map(|(_, pass)| pass.probe()).collect();
    if rows.is_empty() {
        return Ok(());
    }
    table(out, "Endpoints", rows.len(), &["Address", "Server name", "Answer", "Trust"], |out| {
        rows.iter().take(MAX_ROWS).try_for_each(|probe| {
            let (target, name) = (Escaped(probe.target.as_str()), Escaped(probe.server_name.as_str()));
            let (answer, trust) = match &probe.outcome {
                Err(trouble) => (trouble.reason, ""),
                Ok(served) => (served.tls_version.unwrap_or("broken off"), served.refused.unwrap_or("trusted")),
            };
            write!(out, "<tr><td>{target}</td><td>{name}</td><td>{answer}</td><td>{trust}</td></tr>")
        })
    })
}

fn sources(out: &mut String, snapshot: &Snapshot) -> fmt::Result {
    let heads = ["Kind", "Source", "State", "Files", "Certificates", "Last success"];
    table(out, "Sources", snapshot.sources.len(), &heads, |out| {
        snapshot.sources.iter().take(MAX_ROWS).try_for_each(|(id, state)| {
            let (kind, name) = (id.kind.as_str(), Escaped(id.name.as_str()));
            let pass = state.pass.as_deref();
            let (class, up) = match pass.map(Pass::is_up) {
                None => ("", "not looked at yet"),
                Some(true) => ("", "up"),
                Some(false) => ("bad", "down"),
            };
            let files = pass.map_or(0, |pass| pass.files().len());
            let certificates = pass.map_or(0, |pass| seen(pass).count());
            let success =
                state.last_success.map_or_else(|| "never".to_owned(), |at| at.strftime("%F %T UTC").to_string());
            write!(
                out,
                "<tr><td>{kind}</td><td>{name}</td><td class=\"{class}\">{up}</td><td>{files}</td>\
                 <td>{certificates}</td><td>{success}</td></tr>"
            )
        })
    })
}

/// A pass's certificates and where each was seen.
fn seen(pass: &Pass) -> Box<dyn Iterator<Item = (&Label, &SeenCertificate)> + '_> {
    match &pass.observation {
        Observation::Nothing | Observation::Upses(_) | Observation::Host(_) | Observation::Health(_) => {
            Box::new(std::iter::empty())
        }
        Observation::Files(files) => Box::new(
            files
                .iter()
                .filter_map(|f| Some((f, f.outcome.as_ref().ok()?)))
                .flat_map(|(file, contents)| contents.certificates.iter().map(|certificate| (&file.path, certificate))),
        ),
        Observation::Endpoint(probe) => {
            let served = probe.outcome.as_ref().ok().map_or(&[][..], |served| &served.certificates);
            Box::new(served.iter().map(|certificate| (&probe.target, certificate)))
        }
    }
}

fn table(
    out: &mut String,
    title: &str,
    rows: usize,
    heads: &[&str],
    body: impl FnOnce(&mut String) -> fmt::Result,
) -> fmt::Result {
    write!(out, "<h2>{title} ({rows})</h2><table><thead><tr>")?;
    heads.iter().try_for_each(|head| write!(out, "<th>{head}</th>"))?;
    out.write_str("</tr></thead><tbody>")?;
    body(out)?;
    out.write_str("</tbody></table>")?;
    if rows > MAX_ROWS { write!(out, "<p>{} more are in the metrics.</p>", rows - MAX_ROWS) } else { Ok(()) }
}

/// Text from outside, in HTML.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Board, SourceKind, Trouble};

    #[test]
    fn what_comes_from_outside_cannot_become_markup() {
        let board = Board::default();
        let id = SourceId { kind: SourceKind::File, name: Label::new("<b>fleet</b>") };
        board.expect([(id.clone(), &[][..])]);
        let trouble = Trouble::new("not_found", "/srv/<script>'\"&: not found");
        let (ended, took) = (Timestamp::UNIX_EPOCH, std::time::Duration::ZERO);
        board.publish(&id, Pass { observation: Observation::Nothing, trouble: Some(trouble), ended, took });
        let path = "/metrics".parse().expect("a path");
        let page = page("<i>host", &path, &board.snapshot(), Timestamp::UNIX_EPOCH);
        for markup in ["<b>", "<script>", "<i>"] {
            assert!(!page.contains(markup), "{markup}");
        }
        assert!(page.contains("/srv/&lt;script&gt;&#39;&quot;&amp;: not found"));
    }

    #[test]
    fn an_expired_certificate_is_said_to_be_expired() {
        let now = Timestamp::constant(1_000_000_000, 0);
        assert_eq!(remaining(999_999_999, now), ("bad", "expired 1 days ago".to_owned()));
        assert_eq!(remaining(1_000_000_000 + 3 * SECONDS_PER_DAY, now).0, "soon");
        assert_eq!(remaining(1_000_000_000 + 300 * SECONDS_PER_DAY, now), ("", "in 300 days".to_owned()));
    }
}
