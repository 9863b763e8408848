//! What is told of the host.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{HostState, Latch, LoadReport, Scheduled, ShutdownKind};
use crate::label::Label;
use crate::ups::ShutdownTriggers;

/// Whether the host is going down, why, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct HostStateReport {
    pub(super) state: HostState,
    pub(super) since: Timestamp,
    pub(super) pending: bool,
    pub(super) triggers: ShutdownTriggers,
    pub(super) expected: Option<Timestamp>,
    pub(super) scheduled: BTreeMap<(ShutdownKind, bool), Timestamp>,
    pub(super) cause: Option<Label>,
    pub(super) cancellations: u64,
    pub(super) entered: [u64; HostState::ALL.len()],
    pub(super) loads: Vec<LoadReport>,
    pub(super) latch: Option<Latch>,
}

impl HostStateReport {
    /// The most severe of all that is said.
    pub const fn state(&self) -> HostState {
        self.state
    }

    /// When the state was entered.
    pub const fn since(&self) -> Timestamp {
        self.since
    }

    /// Whether a shutdown was announced: it is scheduled, counted down to, or has begun; a schedule counts behind a worse state too.
    /// A low battery announces none: who shuts the host down decides.
    pub const fn is_pending(&self) -> bool {
        self.pending
    }

    /// What has set the shutdown off, or is about to.
    pub const fn triggers(&self) -> &ShutdownTriggers {
        &self.triggers
    }

    /// When the power or the host goes, as far as is known. It lies in the past only when it is overdue.
    pub const fn expected(&self) -> Option<Timestamp> {
        self.expected
    }

    /// Schedules, dry runs among them: the earliest of each kind.
    pub fn scheduled(&self) -> impl Iterator<Item = Scheduled> {
        self.scheduled.iter().map(|((kind, dry_run), at)| Scheduled { kind: *kind, at: *at, dry_run: *dry_run })
    }

    /// In the words of whoever set it off.
    pub const fn cause(&self) -> Option<&Label> {
        self.cause.as_ref()
    }

    /// How many planned shutdowns were called off, since this program was started.
    pub const fn cancellations(&self) -> u64 {
        self.cancellations
    }

    /// How often each state was entered, since this program was started: what comes and goes between two scrapes is seen.
    pub fn entered(&self) -> impl Iterator<Item = (HostState, u64)> {
        HostState::ALL.into_iter().zip(self.entered)
    }

    /// That a shutdown has begun, and by whose word.
    pub const fn latch(&self) -> Option<&Latch> {
        self.latch.as_ref()
    }

    /// How UPSes stand that share a load.
    pub fn loads(&self) -> &[LoadReport] {
        &self.loads
    }

    pub(super) fn earliest(plans: impl Iterator<Item = Scheduled>) -> BTreeMap<(ShutdownKind, bool), Timestamp> {
        let mut earliest = BTreeMap::new();
        for plan in plans {
            let at = earliest.entry((plan.kind, plan.dry_run)).or_insert(plan.at);
            *at = plan.at.min(*at);
        }
        earliest
    }
}
