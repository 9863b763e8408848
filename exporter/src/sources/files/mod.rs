//! Certificate files and keystores, found by path or pattern.
//!
//! ```text
//!   FileSource (deadline) ──> Scanner ──walk──> paths ──identity changed?──> keystore::read ──> FileSeen
//!                               └ password
//! ```

mod password;
mod scanner;
mod walk;

pub(super) use password::PasswordSource;
pub(super) use scanner::{FileRule, Paths};

use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout_at};

use self::scanner::{Scan, Scanner};
use super::schedule::{panicked, timed_out};
use crate::snapshot::{Observation, Trouble};

/// Every reason that a file, or the look as a whole, can fail for.
pub(super) const REASONS: &[&str] = &[
    "bad_password",
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
    "unsupported_format",
];

/// Looks at the files of one rule. Reading blocks, so it runs apart from the async threads; a read that hangs in the
/// kernel cannot be ended, so it is waited for again instead of being started a second time.
#[derive(Debug)]
pub(super) struct FileSource {
    rule: FileRule,
    deadline: Duration,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing is known: at the start, and after a panic.
    New,
    Idle(Box<Scanner>),
    /// A scan that outlived its deadline.
    Stuck(JoinHandle<(Box<Scanner>, Scan)>),
}

impl FileSource {
    pub(super) const fn new(rule: FileRule, deadline: Duration) -> Self {
        Self { rule, deadline, state: State::New }
    }

    pub(super) async fn look(&mut self) -> (Observation, Option<Trouble>) {
        let deadline = Instant::now() + self.deadline;
        let Some(mut scanner) = self.scanner(deadline).await else {
            return (Observation::Nothing, Some(timed_out(self.deadline)));
        };
        let mut running = spawn_blocking(move || {
            let scan = scanner.scan();
            (scanner, scan)
        });
        match timeout_at(deadline, &mut running).await {
            Ok(Ok((scanner, scan))) => {
                self.state = State::Idle(scanner);
                (Observation::Files(scan.files), scan.trouble)
            }
            Ok(Err(_)) => (Observation::Nothing, Some(panicked())),
            Err(_) => {
                self.state = State::Stuck(running);
                (Observation::Nothing, Some(timed_out(self.deadline)))
            }
        }
    }

    /// The scanner, when it is free in time. What a stuck scan brings at last is old: only its scanner is of use.
    async fn scanner(&mut self, deadline: Instant) -> Option<Box<Scanner>> {
        let fresh = || Box::new(Scanner::new(self.rule.clone()));
        match std::mem::replace(&mut self.state, State::New) {
            State::New => Some(fresh()),
            State::Idle(scanner) => Some(scanner),
            State::Stuck(mut running) => match timeout_at(deadline, &mut running).await {
                Ok(Ok((scanner, _))) => Some(scanner),
                Ok(Err(_)) => Some(fresh()),
                Err(_) => {
                    self.state = State::Stuck(running);
                    None
                }
            },
        }
    }
}
