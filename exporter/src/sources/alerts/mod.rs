//! The alerts of a product that is looked at through them: mails in folders and boxes, and logs that were exported. So are the logs of a
//! product's clients.
//!
//! ```text
//!   AlertSource ───────┬─ WatchedFiles (deadline) ──> Reader ──walk──> files, those that changed ──mailbox──> mail ──text──> entry ──> Ledger ──> AlertCounts
//!   ClientLogSource ───┘                                                                        ├──────────> log ────────────┤
//!                                                                                               └──────────> client_log ─────┘
//! ```
//!
//! What is told is what lies there, each alert once: a mail that is moved from `new` to `cur`, a box that is written again and a second
//! export of a log change nothing, nor does a start of this program. A file that has changed is read again; of a large one, its end.

mod client_log;
mod client_source;
mod entry;
mod files;
mod ledger;
mod log;
mod mail;
mod mailbox;
mod reader;
mod source;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use self::client_log::ClientLogReading;
pub(super) use self::client_source::ClientLogSource;
use self::entry::AlertReading;
use self::reader::{Holds, Reading};
pub(super) use self::source::AlertSource;
use crate::config::{ListColumn, LogColumns};
use crate::snapshot::AlertCounts;

/// Every reason that a look can fail for.
pub(super) const REASONS: &[&str] = &[
    "busy",
    "cut_short",
    "not_found",
    "not_regular",
    "panic",
    "permission_denied",
    "read_failed",
    "symlink_loop",
    "timeout",
    "too_large",
    "too_many_files",
    "unfinished",
    "unknown_format",
];

/// Any bytes as what a mail file may hold.
#[doc(hidden)]
pub fn fuzz_alert_mail(bytes: &[u8]) {
    let _ = alerts(bytes, Holds::Mails);
}

/// Any bytes as an exported log, of alerts and of clients.
#[doc(hidden)]
pub fn fuzz_alert_log(bytes: &[u8]) {
    let _ = alerts(bytes, Holds::Log);
    let number = |number| Some(ListColumn::Number(number));
    let numbers = LogColumns { client: number(2), time: number(1), failure: None };
    for columns in [LogColumns::default(), numbers] {
        let words = ["認証失敗", "認証に失敗", "authentication failed"].map(str::to_owned);
        let reading = ClientLogReading::of(&words, columns, TimeZone::UTC);
        let _ = counted(bytes, Holds::Log, &Reading::ClientLog(reading));
    }
}

fn alerts(bytes: &[u8], holds: Holds) -> Option<AlertCounts> {
    let facts = kagiban_agents::Product::ALL.iter().find_map(|product| product.facts().alerts)?;
    let reading = AlertReading { facts, zone: TimeZone::UTC, false_on: None };
    Some(counted(bytes, holds, &Reading::Alerts(reading)))
}

/// What a look would count.
fn counted(bytes: &[u8], holds: Holds, reading: &Reading) -> AlertCounts {
    // The day of the notice, whose words the seeds are made of.
    let (mut ledger, now) = (ledger::Ledger::default(), Timestamp::constant(1_497_348_000, 0));
    for is_whole in [true, false] {
        for (digest, entry) in reader::taken(bytes, is_whole, holds, reading).entries {
            ledger.note(&entry, digest, now, now);
        }
    }
    let counts = ledger.counts(now);
    assert!(counts.senders.len() <= ledger::MAX_SENDERS);
    counts
}

#[cfg(test)]
mod tests;
