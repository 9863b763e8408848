//! upsd, the server of the Network UPS Tools: one of its UPSes, or all.
//!
//! ```text
//!   client (TCP, STARTTLS, deadline) ──lines──> protocol ──variables──> mapping ──> Reading
//! ```
//!
//! `protocol` and `mapping` are pure.

mod client;
mod error;
mod mapping;
mod protocol;

pub(super) use client::Client;
#[cfg(test)]
pub(super) use mapping::documented;
pub(super) use mapping::names_of;

use protocol::List;

/// Takes bytes for what upsd sends, as far as they go: for the fuzzer.
pub(super) fn read_bytes(bytes: &[u8]) {
    let mut lists = [List::upses(), List::variables("smart1500")];
    for line in bytes.split(|&byte| byte == b'\n') {
        for list in &mut lists {
            let _ = list.take(line);
        }
    }
    for list in lists {
        mapping::reading(&list.rows().into_iter().collect(), Some("fuzzed"));
    }
}
