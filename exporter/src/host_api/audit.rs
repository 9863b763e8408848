//! The audit log: one line per request, and per client that never got that far. No bodies, nothing unescaped.

use std::net::SocketAddr;

use super::client::Client;
use super::route::Route;

/// The target of its lines, by which they are told from the rest of the log.
pub const AUDIT_TARGET: &str = "audit";
/// Of a name that somebody else chose.
const MAX_PRINTED: usize = 200;

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
    let client = &client.name;
    let (method, route) = (printable(method), route.map_or("unknown", Route::name));
    tracing::info!(
        target: AUDIT_TARGET, %peer, client, method, route, agent, generation, status, outcome, "host API request"
    );
}

pub(super) fn refused_connection(peer: SocketAddr, reason: &str, detail: &str) {
    let detail = printable(detail);
    tracing::info!(target: AUDIT_TARGET, %peer, outcome = reason, detail, "host API connection refused");
}

/// Control characters would let a name forge lines or colour a terminal.
pub(super) fn printable(text: &str) -> String {
    let cut: String = text.chars().take(MAX_PRINTED).collect();
    cut.chars().flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_forge_a_line_or_fill_the_log() {
        assert_eq!(printable("a\nb\u{1b}[31m\u{202e}"), "a\\nb\\u{1b}[31m\\u{202e}");
        assert_eq!(printable(&"a".repeat(10_000)).len(), MAX_PRINTED);
    }
}
