//! The alerts of a product that is looked at through them: mails in folders and boxes, and logs that were exported.
//!
//! ```text
//!   AlertSource (deadline) ──> Reader ──walk──> files, those that changed ──mailbox──> mail ──text──> entry ──> Ledger ──> AlertCounts
//!                                                                        └──────────> log ────────────┘
//! ```
//!
//! What is told is what lies there, each alert once: a mail that is moved from `new` to `cur`, a box that is written again and a second
//! export of a log change nothing, nor does a start of this program. A file that has changed is read again; of a large one, its end.

mod entry;
mod ledger;
mod log;
mod mail;
mod mailbox;
mod reader;
mod source;

use jiff::Timestamp;
use jiff::tz::TimeZone;

pub(super) use self::source::AlertSource;
use crate::snapshot::AlertCounts;

/// Every reason that a look can fail for.
pub(super) const REASONS: &[&str] = &[
    "busy",
    "not_found",
    "not_regular",
    "panic",
    "permission_denied",
    "read_failed",
    "symlink_loop",
    "timeout",
    "too_many_files",
    "unfinished",
];

/// Any bytes as what a mail file may hold.
#[doc(hidden)]
pub fn fuzz_alert_mail(bytes: &[u8]) {
    let _ = fuzz(bytes, reader::Holds::Mails);
}

/// Any bytes as an exported log.
#[doc(hidden)]
pub fn fuzz_alert_log(bytes: &[u8]) {
    let _ = fuzz(bytes, reader::Holds::Log);
}

/// What a look would count.
fn fuzz(bytes: &[u8], holds: reader::Holds) -> Option<AlertCounts> {
    let facts = kagiban_agents::Product::ALL.iter().find_map(|product| product.facts().alerts)?;
    let reading = entry::Reading { facts, zone: TimeZone::UTC, false_on: None };
    // The day of the notice, whose words the seeds are made of.
    let (mut ledger, now) = (ledger::Ledger::default(), Timestamp::constant(1_497_348_000, 0));
    for is_whole in [true, false] {
        for (digest, entry) in reader::alerts(bytes, is_whole, holds, &reading) {
            ledger.note(&entry, digest, now, now);
        }
    }
    let counts = ledger.counts(now);
    assert!(counts.senders.len() <= ledger::MAX_SENDERS);
    Some(counts)
}

#[cfg(test)]
mod tests;
