//! apcupsd, through its network information server.
//!
//! ```text
//!   client (TCP, frames, deadline) ──records──> report ──keys──> mapping ──> Reading
//! ```
//!
//! `report` and `mapping` are pure.

mod client;
mod error;
mod mapping;
mod report;

pub(super) use client::Client;
#[cfg(test)]
pub(super) use mapping::documented;
pub(super) use mapping::keys_of;

use report::StatusReport;

/// Takes bytes for what apcupsd sends, as far as they go: for the fuzzer.
pub(super) fn read_bytes(mut bytes: &[u8]) {
    let mut report = StatusReport::default();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let Some((record, rest)) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length))) else { break };
        if report.take(record).is_err() {
            break;
        }
        bytes = rest;
    }
    let _ = mapping::reading(&report);
}
