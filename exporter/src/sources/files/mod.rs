//! Certificate files and keystores, found by path or pattern.
//!
//! ```text
//!   FileSource (deadline) ──> Scanner ──walk──> paths ──identity changed?──> keystore::read ──> FileSeen
//!                               └ password                                       what is no certificate ──> aside
//! ```

mod aside;
mod password;
mod scanner;
mod walk;

pub(super) use password::PasswordSource;
pub(super) use scanner::{FileRule, Paths};
pub(super) use walk::{CandidateFile, find};

use std::time::Duration;

use self::scanner::{Scan, Scanner};
use super::blocking::Blocking;
use crate::blocking::Work;
use crate::snapshot::{Observation, Trouble};

/// Every reason that a file, or the look as a whole, can fail for.
pub(super) const REASONS: &[&str] = &[
    "bad_password",
    "busy",
    "malformed",
    "no_certificate",
    "not_found",
    "not_regular",
    "panic",
    "password_needed",
    "password_unreadable",
    "permission_denied",
    "read_failed",
    "symlink_loop",
    "timeout",
    "too_expensive",
    "too_large",
    "too_many_files",
    "unsupported_algorithm",
    "unsupported_format",
];

/// Looks at the files of one rule.
#[derive(Debug)]
pub(super) struct FileSource {
    rule: FileRule,
    scanner: Blocking<Scanner, Scan>,
}

impl FileSource {
    pub(super) const fn new(rule: FileRule, deadline: Duration) -> Self {
        Self { rule, scanner: Blocking::new(Work::Files, deadline) }
    }

    pub(super) async fn look(&mut self) -> (Observation, Option<Trouble>) {
        match self.scanner.run(|| Scanner::new(self.rule.clone()), Scanner::scan).await {
            Ok(scan) => (Observation::Files(scan.seen), scan.trouble),
            Err(trouble) => (Observation::Nothing, Some(trouble)),
        }
    }
}
