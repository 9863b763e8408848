//! A start of the service that was begun, and for how long it may go on without the program that began it. Pure.
//!
//! ```text
//!   begun, in the journal ──its command runs──> its process, in the journal ──> ended, forgotten
//!     after a crash:  that process has ended ──> nothing is waited for
//!                     it runs, or nobody can tell ──> waited for, until `startTimeout` has passed since the start was begun
//! ```
//!
//! Two starts at once get in each other's way, and the failure of the second would undo a rotation that is in order.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::drain::passed_since;
use super::machine::{Phase, Rollback};
use super::trigger::renewal::Renewal;
use crate::platform::{self, BootTime, StartedProcess};

/// Of the service, while its command may run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BegunStart {
    at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    boot: Option<BootTime>,
    /// Its command's; absent before it runs, and where the system does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    process: Option<StartedProcess>,
}

impl BegunStart {
    pub(super) fn now() -> Self {
        Self { at: Timestamp::now(), boot: platform::boot_time(), process: None }
    }

    /// As earlier programs wrote it: with the time of the journal's entry alone.
    pub(super) const fn at(at: Timestamp) -> Self {
        Self { at, boot: None, process: None }
    }

    /// Whether its command was begun, and not only about to be.
    pub(super) const fn has_process(&self) -> bool {
        self.process.is_some()
    }

    pub(super) fn run_by(self, process: Option<StartedProcess>) -> Self {
        Self { process, ..self }
    }

    /// For how much longer it may go on.
    pub(super) fn may_go_on_for(&self, start_timeout: Duration) -> Duration {
        self.may_go_on_for_at(start_timeout, Timestamp::now(), platform::boot_time().as_ref(), self.is_running())
    }

    /// Whether its process runs; none where nobody can tell.
    pub(super) fn is_running(&self) -> Option<bool> {
        self.process.as_ref().and_then(platform::is_running)
    }

    fn may_go_on_for_at(
        &self,
        start_timeout: Duration,
        now: Timestamp,
        boot: Option<&BootTime>,
        is_running: Option<bool>,
    ) -> Duration {
        match (passed_since(self.at, self.boot.as_ref(), now, boot), is_running) {
            (None, _) | (_, Some(false)) => Duration::ZERO,
            (Some(passed), _) => start_timeout.saturating_sub(passed),
        }
    }
}

/// The start that may go on once a rotation is in `state`; `before` says the same of the state before.
pub(super) fn start_begun<T>(before: Option<T>, state: &Phase, now: impl FnOnce() -> T) -> Option<T> {
    let begins = matches!(
        state,
        Phase::Restarting { .. }
            | Phase::Renewal { step: Renewal::BackingUp { .. } | Renewal::Renewing { .. } | Renewal::Reverting { .. } }
            | Phase::RollingBack {
                step: Rollback::Start | Rollback::StartAnyway | Rollback::LastStart | Rollback::LastStartOnNew,
                ..
            }
    );
    if begins { before.or_else(|| Some(now())) } else { before.filter(|_| !state.is_settled()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot(id: &str, milliseconds: u64) -> Option<BootTime> {
        Some(BootTime { boot_id: id.to_owned(), milliseconds })
    }

    /// Holds A7: a start that a crash has left is waited for until its timeout, not past a boot, and not when nobody runs it.
    #[test]
    fn a_start_that_a_crash_has_left_may_go_on_until_its_timeout_and_not_past_its_process() {
        let at = |second| Timestamp::from_second(second).expect("time");
        let left = |begun: &BegunStart, now, boot: Option<BootTime>, is_running| {
            begun.may_go_on_for_at(Duration::from_secs(90), at(now), boot.as_ref(), is_running).as_secs()
        };
        let begun = BegunStart { at: at(1000), boot: boot("a", 50_000), process: None };
        for is_running in [None, Some(true)] {
            assert_eq!(left(&begun, 1003, boot("a", 53_000), is_running), 87);
            assert_eq!(left(&begun, 5000, boot("a", 53_000), is_running), 87, "the clock was set");
            assert_eq!(left(&begun, 1003, boot("a", 500_000), is_running), 0);
            assert_eq!(left(&begun, 1003, boot("b", 53_000), is_running), 0, "the boot has ended it");
        }
        assert_eq!(left(&begun, 1003, boot("a", 53_000), Some(false)), 0, "nobody runs it");
        let earlier = BegunStart::at(at(1000));
        assert_eq!(left(&earlier, 1003, boot("a", 53_000), None), 87);
        assert_eq!(left(&earlier, 900, boot("a", 53_000), None), 90, "the clock was put back");
    }
}
