//! What the queue knows of a resource and of a host, and in which lane that puts them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::fleet::{HostKey, ResourceName};

/// Passes at once that ask the same host, whatever the number of its agents.
pub(super) const PER_HOST: usize = 2;
/// The same for a host that was silent or slow: one is enough to see whether it still is.
pub(super) const PER_SLOW_HOST: usize = 1;
/// Among the slow ones, each further failure lets those of one resync later go first, up to so many. Nobody waits for ever.
pub(super) const MOST_RESYNCS_BEHIND: u32 = 4;

/// In which order, and among how many, a resource is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lane {
    pub(super) pool: LanePool,
    pub(super) urgent: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LanePool {
    Main,
    /// Its host was silent or slow at the last look.
    Slow,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) host: HostKey,
    /// A rotation is in flight, or the resource waits for its deletion.
    pub(super) urgent: bool,
    /// Looks in a row that met with silence; a slow answer counts as one.
    pub(super) failures: u32,
    pub(super) state: EntryState,
    /// When the last pass started.
    pub(super) started: Option<Instant>,
    /// When the last pass ended that was no failure; before the first one, when the resource was first seen.
    pub(super) looked: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryState {
    /// `until` is later than `due` while its host has as many passes as it may have.
    Waiting { due: Instant, until: Instant },
    /// In its lane.
    Ready { due: Instant },
    /// `again`: something changed meanwhile. `gone`: the resource was deleted meanwhile.
    Running { again: bool, gone: bool },
}

#[derive(Debug, Default)]
pub(super) struct ScheduledHost {
    pub(super) running: usize,
    pub(super) slow: bool,
    /// Those that are called when a pass over this host ends.
    pub(super) held: BTreeSet<(Instant, ResourceName)>,
    pub(super) resources: usize,
}

#[derive(Clone, Debug)]
pub(super) struct RunningPass {
    pub(super) host: HostKey,
    pub(super) lane: Lane,
    pub(super) since: Instant,
}

impl Lane {
    /// In the order in which they are served.
    pub(super) const ALL: [Self; 4] = [
        Self { pool: LanePool::Main, urgent: true },
        Self { pool: LanePool::Main, urgent: false },
        Self { pool: LanePool::Slow, urgent: true },
        Self { pool: LanePool::Slow, urgent: false },
    ];

    pub(super) const fn index(self) -> usize {
        self.pool.index() * 2 + if self.urgent { 0 } else { 1 }
    }
}

impl LanePool {
    pub(super) const fn index(self) -> usize {
        match self {
            Self::Main => 0,
            Self::Slow => 1,
        }
    }
}

impl Entry {
    pub(super) const fn due(&self) -> Option<Instant> {
        match self.state {
            EntryState::Waiting { due, .. } | EntryState::Ready { due } => Some(due),
            EntryState::Running { .. } => None,
        }
    }

    pub(super) const fn lane(&self) -> Lane {
        Lane { pool: if self.failures == 0 { LanePool::Main } else { LanePool::Slow }, urgent: self.urgent }
    }

    /// Its position in its lane: who is due first, and of the slow ones rather who has failed less.
    pub(super) fn rank(&self, due: Instant, resync: Duration) -> Instant {
        let behind = self.failures.saturating_sub(1).min(MOST_RESYNCS_BEHIND);
        due.checked_add(resync.saturating_mul(behind)).unwrap_or(due)
    }
}

impl ScheduledHost {
    pub(super) const fn most(&self) -> usize {
        if self.slow { PER_SLOW_HOST } else { PER_HOST }
    }
}
