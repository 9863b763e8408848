//! What comes next in a rotation of an agent that renews its own certificate: pure.
//!
//! ```text
//!   Ordered ─> (BackingUp) ─> Renewing ─> Proving ─> committed
//!      │            │            └───────────┴────────────────────┐ by order
//!      v            v                        v                    v
//!   rolled back <───┘                    Reverting ─> Settling ─> rolled back, or frozen
//! ```
//!
//! No file is replaced: what the product does is its own. What was begun before a crash is not begun again, but looked at: the
//! product may have renewed its certificate, and a second renewal would cost a second restart.

use jiff::Timestamp;
use kagiban_crds::LeafSha256;
use serde::{Deserialize, Serialize};

use crate::rotation::failure::RotationFailure;

/// The service may be in order, and a file that its own program has written over is not what it was.
pub(in crate::rotation) const NOT_PUT_BACK: &str = "not_put_back";

/// Where a renewal stands. It is durable before its effect begins.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Renewal {
    /// Accepted, and nothing done yet.
    Ordered,
    /// The product's program writes a backup of its own, where it has one that does.
    BackingUp { before: Option<ServedLeaf> },
    /// The product's program runs.
    Renewing { before: Option<ServedLeaf> },
    /// The program has ended: another leaf is looked for, which ends later.
    Proving { before: Option<ServedLeaf> },
    /// What was there before is brought back, where the product can.
    Reverting { before: Option<LeafSha256>, failure: RotationFailure, by_order: bool },
    /// A leaf that will do is looked for.
    Settling { before: Option<LeafSha256>, failure: RotationFailure, by_order: bool },
}

/// The leaf before the renewal, which the endpoint served or the agent's file had. None where the endpoint served nothing: then any leaf
/// that is valid is a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServedLeaf {
    pub sha256: LeafSha256,
    pub not_after: Timestamp,
}

/// What follows a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextStep {
    Step(Renewal),
    Committed {
        before: Option<LeafSha256>,
    },
    RolledBack {
        failure: RotationFailure,
    },
    /// `by_order` says that the renewed leaf shall go.
    Frozen {
        failure: RotationFailure,
        by_order: bool,
    },
}

impl Renewal {
    /// Its effect was carried out.
    pub(in crate::rotation) fn done(self) -> NextStep {
        match self {
            // What follows them is told with what is served then.
            Self::Ordered | Self::BackingUp { .. } => NextStep::Step(self),
            Self::Renewing { before } => NextStep::Step(Self::Proving { before }),
            Self::Proving { before } => NextStep::Committed { before: before.map(|leaf| leaf.sha256) },
            Self::Reverting { before, failure, by_order } => {
                NextStep::Step(Self::Settling { before, failure, by_order })
            }
            Self::Settling { failure, .. } => NextStep::RolledBack { failure },
        }
    }

    /// The same, of an agent that did its work before and does not any more.
    pub(in crate::rotation) fn done_without_function(self, then: RotationFailure) -> NextStep {
        match self {
            Self::Settling { failure, .. } => NextStep::RolledBack { failure: failure.and_then_told(then) },
            step => step.done(),
        }
    }

    /// Its effect has failed.
    pub(in crate::rotation) fn failed(self, why: RotationFailure) -> NextStep {
        match self {
            Self::Ordered => NextStep::RolledBack { failure: why },
            // Whatever became of a backup: the certificate is what it was. Its program may have stopped the service.
            Self::BackingUp { before } => NextStep::Step(Self::settling(before, why)),
            // The certificate is none the worse for a file that is not what it was.
            Self::Proving { before } if why.reason == NOT_PUT_BACK => NextStep::Step(Self::settling(before, why)),
            // The program may have done a part of it.
            Self::Renewing { before } | Self::Proving { before } => {
                let before = before.map(|leaf| leaf.sha256);
                NextStep::Step(Self::Reverting { before, failure: why, by_order: false })
            }
            // What counts is what is served in the end.
            Self::Reverting { before, failure, by_order } => {
                let failure = failure.followed_by(why, "revert_failed");
                NextStep::Step(Self::Settling { before, failure, by_order })
            }
            Self::Settling { failure, by_order, .. }
                if failure.reason == NOT_PUT_BACK && why.reason == NOT_PUT_BACK =>
            {
                NextStep::Frozen { failure: why, by_order }
            }
            Self::Settling { failure, by_order, .. } => {
                let reason = if why.reason == NOT_PUT_BACK { NOT_PUT_BACK } else { "not_served_after_rollback" };
                NextStep::Frozen { failure: failure.followed_by(why, reason), by_order }
            }
        }
    }

    /// Nothing is brought back: the service is to be in order, and so are the files that are kept.
    fn settling(before: Option<ServedLeaf>, failure: RotationFailure) -> Self {
        Self::Settling { before: before.map(|leaf| leaf.sha256), failure, by_order: false }
    }

    /// The program is to end, and the effect was not begun.
    pub(in crate::rotation) fn called_off(self, why: RotationFailure) -> NextStep {
        match self {
            Self::Ordered | Self::BackingUp { .. } | Self::Renewing { .. } => NextStep::RolledBack { failure: why },
            Self::Proving { .. } | Self::Reverting { .. } | Self::Settling { .. } => NextStep::Step(self),
        }
    }

    /// The same where an earlier run has begun its program: what brings back is not run a second time either.
    #[must_use]
    pub(in crate::rotation) fn begun_before(self) -> Self {
        match self {
            Self::Reverting { before, failure, by_order } => Self::Settling { before, failure, by_order },
            Self::Ordered
            | Self::BackingUp { .. }
            | Self::Renewing { .. }
            | Self::Proving { .. }
            | Self::Settling { .. } => self,
        }
    }

    /// The step to go on with after a restart, when this one was found: none where nothing was begun. The program of a backup may go on, and
    /// is waited for; nothing is renewed after it.
    pub(in crate::rotation) fn resumed(self) -> Option<Self> {
        match self {
            Self::Ordered => None,
            Self::BackingUp { before } => Some(Self::settling(before, RotationFailure::of_restart_before_renewal())),
            Self::Renewing { before } => Some(Self::Proving { before }),
            Self::Proving { .. } | Self::Reverting { .. } | Self::Settling { .. } => Some(self),
        }
    }

    /// What was served before, as far as it is known.
    pub(in crate::rotation) fn before(&self) -> Option<LeafSha256> {
        match self {
            Self::Ordered => None,
            Self::BackingUp { before } | Self::Renewing { before } | Self::Proving { before } => {
                before.map(|leaf| leaf.sha256)
            }
            Self::Reverting { before, .. } | Self::Settling { before, .. } => *before,
        }
    }

    /// Whether a program may go on in this step that an earlier run has begun.
    pub(in crate::rotation) const fn may_run_program(&self) -> bool {
        match self {
            Self::Ordered => false,
            Self::BackingUp { .. }
            | Self::Renewing { .. }
            | Self::Proving { .. }
            | Self::Reverting { .. }
            | Self::Settling { .. } => true,
        }
    }
}

/// A leaf that was seen, as far as a renewal asks about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::rotation) struct SeenLeaf {
    pub sha256: LeafSha256,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

impl ServedLeaf {
    /// Asked before the program is run.
    ///
    /// # Errors
    /// When no leaf could end later, so that no renewal of it could ever be committed.
    pub(in crate::rotation) fn check_may_be_followed(&self) -> Result<(), RotationFailure> {
        if self.not_after.as_second() < Timestamp::MAX.as_second() {
            return Ok(());
        }
        let message = "the leaf has no well-defined end (the year 9999), and none could end later, so the program of renew.command was \
                       not run; replace that certificate by hand once, or leave it";
        Err(RotationFailure::new("no_end", message))
    }
}

impl SeenLeaf {
    /// # Errors
    /// Why it is no renewed leaf, at this time.
    pub(in crate::rotation) fn check_renewed(
        &self,
        before: Option<&ServedLeaf>,
        now: Timestamp,
    ) -> Result<(), RotationFailure> {
        let sha256 = self.sha256;
        if before.is_some_and(|before| before.sha256 == sha256) {
            let message = "still the leaf from before; see what the program of renew.command did";
            return Err(RotationFailure::new("not_renewed", message));
        }
        if let Some(before) = before.filter(|before| self.not_after <= before.not_after) {
            let message = format!(
                "another leaf, {sha256}, which ends at {} and the one from before at {}: nothing was gained",
                self.not_after, before.not_after
            );
            return Err(RotationFailure::new("not_later", message));
        }
        if !self.is_valid(now) {
            let message = format!(
                "another leaf, {sha256}, which is valid from {} to {}; see the clocks of the host and of whoever signs",
                self.not_before, self.not_after
            );
            return Err(RotationFailure::new("not_valid", message));
        }
        Ok(())
    }

    /// Whether the service is in order with it after a renewal that was given up. `unless` is the leaf that shall go.
    pub(in crate::rotation) fn will_do(
        &self,
        before: Option<LeafSha256>,
        unless: Option<LeafSha256>,
        now: Timestamp,
    ) -> bool {
        before == Some(self.sha256) || self.is_valid(now) && unless != Some(self.sha256)
    }

    fn is_valid(&self, now: Timestamp) -> bool {
        self.not_before <= now && now < self.not_after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("time")
    }

    fn leaf(byte: u8, not_before: i64, not_after: i64) -> SeenLeaf {
        SeenLeaf { sha256: LeafSha256::new([byte; 32]), not_before: at(not_before), not_after: at(not_after) }
    }

    /// RFC 5280, 4.1.2.5: 99991231235959Z says that there is no well-defined end.
    #[test]
    fn a_leaf_that_no_other_could_outlast_is_not_renewed() {
        let ends = |not_after| ServedLeaf { sha256: LeafSha256::new([1; 32]), not_after }.check_may_be_followed();
        let last = at(Timestamp::MAX.as_second());
        assert_eq!(ends(last).map_err(|failure| failure.reason), Err("no_end".into()));
        assert!(ends(at(Timestamp::MAX.as_second() - 1)).is_ok());
    }

    #[test]
    fn only_another_leaf_that_is_valid_and_ends_later_is_a_renewed_one() {
        let before = ServedLeaf { sha256: LeafSha256::new([1; 32]), not_after: at(200) };
        for (seen, renewed) in [
            (leaf(1, 0, 200), Err("not_renewed")),
            (leaf(2, 0, 200), Err("not_later")),
            (leaf(2, 0, 199), Err("not_later")),
            (leaf(2, 101, 300), Err("not_valid")),
            (leaf(2, 100, 201), Ok(())),
        ] {
            let judged = seen.check_renewed(Some(&before), at(100)).map_err(|failure| failure.reason);
            assert_eq!(judged, renewed.map_err(str::to_owned), "{seen:?}");
        }
        // Where nothing was served, every valid leaf is a gain; one that has ended is none.
        assert!(leaf(2, 0, 101).check_renewed(None, at(100)).is_ok());
        assert!(leaf(2, 0, 100).check_renewed(None, at(100)).is_err());
    }

    #[test]
    fn after_a_renewal_that_was_given_up_the_old_leaf_will_do_and_so_will_any_that_is_valid() {
        let (old, new) = (leaf(1, 0, 50), leaf(2, 0, 300));
        assert!(old.will_do(Some(old.sha256), None, at(100)), "it had ended before");
        assert!(!old.will_do(None, None, at(100)));
        assert!(new.will_do(Some(old.sha256), None, at(100)), "a slow renewal");
        assert!(!new.will_do(Some(old.sha256), Some(new.sha256), at(100)), "it shall go");
    }

    /// Nothing is run twice: a crash in the renewal is followed by a look, and a program is run again only to bring back.
    #[test]
    fn a_renewal_that_a_crash_has_cut_off_is_looked_at_and_not_begun_again() {
        let before = Some(ServedLeaf { sha256: LeafSha256::new([1; 32]), not_after: at(200) });
        assert_eq!(Renewal::Ordered.resumed(), None);
        let failure = RotationFailure::of_restart_before_renewal();
        let settling = Renewal::Settling { before: before.map(|leaf| leaf.sha256), failure, by_order: false };
        assert_eq!(Renewal::BackingUp { before }.resumed(), Some(settling));
        assert_eq!(Renewal::Renewing { before }.resumed(), Some(Renewal::Proving { before }));
        let (before, failure) = (None, RotationFailure::new("any", ""));
        let settling = Renewal::Settling { before, failure: failure.clone(), by_order: true };
        assert_eq!(Renewal::Reverting { before, failure, by_order: true }.begun_before(), settling);
    }
}
