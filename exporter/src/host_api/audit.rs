//! The audit log: one line per request, and per client that never got that far, of which many are told together. No bodies,
//! nothing unescaped.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::client::Client;
use super::route::Route;

/// The target of its lines, by which they are told from the rest of the log.
pub const AUDIT_TARGET: &str = "audit";
/// Of a name that somebody else chose.
const MAX_PRINTED: usize = 200;
/// Refused connections that have a line of their own within [`WINDOW`]: they are refused before anybody is known, and whoever
/// reaches the port could fill the disk.
const OWN_LINES: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);

static REFUSED: Mutex<Refused> = Mutex::new(Refused { window: None, untold: BTreeMap::new() });

/// What of the refused connections was told within a while.
#[derive(Debug)]
struct Refused {
    /// When it began, and the lines in it.
    window: Option<(Instant, u32)>,
    /// How many have no line, by their reason.
    untold: BTreeMap<&'static str, u64>,
}

pub(super) fn request(
    peer: SocketAddr,
    client: &Client,
    method: &str,
    route: Option<&Route>,
    status: u16,
    outcome: &str,
) {
    let agent = route.and_then(Route::agent).map(ToString::to_string).unwrap_or_default();
    let generation = route.and_then(Route::generation).map(|generation| generation.0);
    let (client, method) = (printable(&client.name), printable(method));
    let route = route.map_or("unknown", Route::name);
    tracing::info!(
        target: AUDIT_TARGET, %peer, client, method, route, agent, generation, status, outcome, "host API request"
    );
}

pub(super) fn refused_connection(peer: SocketAddr, reason: &'static str, detail: &str) {
    tell_untold();
    if REFUSED.lock().unwrap_or_else(PoisonError::into_inner).has_line(reason, Instant::now()) {
        let detail = printable(detail);
        tracing::info!(target: AUDIT_TARGET, %peer, outcome = reason, detail, "host API connection refused");
    }
}

/// Tells of the connections that have no line, when their time is over.
pub(super) fn tell_untold() {
    let untold = REFUSED.lock().unwrap_or_else(PoisonError::into_inner).take_untold(Instant::now());
    for (reason, connections) in untold {
        tracing::info!(target: AUDIT_TARGET, outcome = reason, connections, "more host API connections refused");
    }
}

impl Refused {
    fn has_line(&mut self, reason: &'static str, now: Instant) -> bool {
        let (_, lines) = self.window.get_or_insert((now, 0));
        if *lines < OWN_LINES {
            *lines += 1;
            return true;
        }
        *self.untold.entry(reason).or_default() += 1;
        false
    }

    fn take_untold(&mut self, now: Instant) -> BTreeMap<&'static str, u64> {
        let is_over = |(began, _): &(Instant, u32)| now.duration_since(*began) >= WINDOW;
        if self.window.take_if(|window| is_over(window)).is_none() {
            return BTreeMap::new();
        }
        std::mem::take(&mut self.untold)
    }
}

/// Control characters would let a name forge lines or colour a terminal.
pub(super) fn printable(text: &str) -> String {
    let cut: String = text.chars().take(MAX_PRINTED).collect();
    cut.chars().flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holds A17: a flood of connections is told in few lines, and none is lost from the count.
    #[test]
    fn connections_that_are_refused_by_the_thousand_take_some_lines_a_minute() {
        let (mut refused, start) = (Refused { window: None, untold: BTreeMap::new() }, Instant::now());
        let (mut lines, mut counted) = (0, 0);
        for tenth in 0..10 * 600 {
            let now = start + Duration::from_millis(100) * tenth;
            let untold = refused.take_untold(now);
            lines += u64::try_from(untold.len()).expect("few");
            counted += untold.values().sum::<u64>();
            for reason in ["busy", "evicted"] {
                if refused.has_line(reason, now) {
                    lines += 1;
                    counted += 1;
                }
            }
        }
        counted += refused.take_untold(start + Duration::from_secs(660)).values().sum::<u64>();
        assert!(lines <= 10 * u64::from(OWN_LINES + 2), "{lines} lines in ten minutes");
        assert_eq!(counted, 2 * 6000);
    }

    #[test]
    fn a_name_cannot_forge_a_line_or_fill_the_log() {
        assert_eq!(printable("a\nb\u{1b}[31m\u{202e}"), "a\\nb\\u{1b}[31m\\u{202e}");
        assert_eq!(printable(&"a".repeat(10_000)).len(), MAX_PRINTED);
    }
}
