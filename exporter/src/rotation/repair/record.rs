//! What of a repair is durable, and what that tells of its proof: pure.

use std::time::Duration;

use jiff::Timestamp;
use kagiban_crds::host_api::RepairProof;
use serde::{Deserialize, Serialize};

/// What the journal keeps of a repair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RepairRecord {
    /// Of the start of the system that the repair was begun in; empty where the system does not tell it.
    pub boot: String,
    /// When its command ended with status 0; none where nobody has seen that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// What has proven it, once it is proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<RepairProof>,
}

impl RepairRecord {
    /// Whether the system was started anew since. Where it does not tell its start, nobody knows.
    pub(super) fn is_restarted(&self, boot: &str) -> bool {
        !boot.is_empty() && !self.boot.is_empty() && boot != self.boot
    }

    /// What is left of `deadline`, which counts from the end of the command, whichever run of this program has seen that.
    pub(super) fn left_of(&self, deadline: Duration, now: Timestamp) -> Duration {
        let passed = self.ended_at.map_or(Duration::ZERO, |ended| {
            // A clock that was set back must not let it wait for ever.
            Duration::try_from(now.duration_since(ended)).unwrap_or_default()
        });
        deadline.saturating_sub(passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_start_that_is_known_proves_a_restart_and_its_deadline_outlives_this_program() {
        let at = |second| Timestamp::from_second(second).expect("time");
        let record = |boot: &str| RepairRecord { boot: boot.to_owned(), ended_at: Some(at(100)), proof: None };
        for (then, now, expected) in [("a", "b", true), ("a", "a", false), ("", "b", false), ("a", "", false)] {
            assert_eq!(record(then).is_restarted(now), expected, "{then:?} {now:?}");
        }
        let left = |now| record("a").left_of(Duration::from_secs(60), at(now)).as_secs();
        assert_eq!([100, 130, 160, 1000, 50].map(left), [60, 30, 0, 0, 60]);
    }
}
