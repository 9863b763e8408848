//! Where sources put their passes, and readers find the whole.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::Notify;

use super::{Pass, Reload, Snapshot, SourceId, SourceState, TrapCounts, words};
use crate::shutdown::{BootId, Input, Latch, Machine, Origin};

/// The shared snapshot. Writers replace parts; readers take a copy, which is a handful of reference counts per source.
#[derive(Debug, Default)]
pub struct Board {
    kept: Mutex<Kept>,
    changed: Notify,
    latched: Notify,
}

/// What is seen, and what follows from it for the host.
#[derive(Debug, Default)]
struct Kept {
    snapshot: Snapshot,
    machine: Machine,
}

impl Board {
    /// Begins with what an earlier run has seen in this boot of the host.
    pub fn resume(&self, boot: Option<BootId>, latch: Option<Latch>) {
        self.write(|kept| {
            kept.machine = Machine::resume(boot, latch);
            kept.derive();
        });
    }

    /// Makes the board hold exactly these sources, each with the reasons it can fail for. A source that was there
    /// before keeps what it saw and counted; the parts of the others go at once.
    pub fn expect(&self, sources: impl IntoIterator<Item = (SourceId, &'static [&'static str])>) {
        self.write(|kept| {
            let mut before = std::mem::take(&mut kept.snapshot.sources);
            let keep = |(id, reasons): (SourceId, &'static [&'static str])| {
                let state = before.remove(&id).unwrap_or_else(|| SourceState {
                    errors: reasons.iter().map(|reason| (*reason, 0)).collect(),
                    ..SourceState::default()
                });
                (id, state)
            };
            let sources: BTreeMap<_, _> = sources.into_iter().map(keep).collect();
            let is_gone = |origin: &Origin| !sources.keys().any(|id| words::is_of(origin, id));
            kept.machine.forget(is_gone, Timestamp::now());
            kept.snapshot.sources = sources;
            kept.derive();
        });
    }

    /// Replaces one source's part. A pass of a source that is no longer expected is dropped.
    pub fn publish(&self, id: &SourceId, pass: Pass) {
        self.write(|kept| {
            let Some(state) = kept.snapshot.sources.get_mut(id) else { return };
            for (reason, count) in pass.errors() {
                *state.errors.entry(reason).or_default() += count;
            }
            if pass.is_up() {
                state.last_success = Some(pass.ended);
            }
            for (origin, word) in words::of(id, &pass, kept.machine.origins()) {
                kept.machine.step(Input { origin, word, now: pass.ended });
            }
            kept.machine.pass_time(pass.ended);
            state.pass = Some(Arc::new(pass));
            kept.derive();
        });
    }

    /// What must outlive this program: that a shutdown has begun, and in which boot.
    pub fn latch(&self) -> Option<(BootId, Latch)> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        Some((kept.machine.boot()?.clone(), kept.machine.latch()?.clone()))
    }

    /// Returns once [`Board::latch`] has changed since the last call.
    pub async fn latched(&self) {
        self.latched.notified().await;
    }

    /// Notes how loading the configuration went.
    pub fn note_reload(&self, successful: bool, now: Timestamp) {
        self.write(|kept| kept.snapshot.reload = Some(Reload::after(kept.snapshot.reload, successful, now)));
    }

    /// Notes how reading the web configuration went.
    pub fn note_web_config(&self, successful: bool, now: Timestamp) {
        self.write(|kept| kept.snapshot.web_config = Some(Reload::after(kept.snapshot.web_config, successful, now)));
    }

    /// Notes whether the host API works.
    pub fn note_host_api(&self, up: bool) {
        self.write(|kept| kept.snapshot.host_api_up = Some(up));
    }

    /// Notes which SNMP traps have come so far.
    pub fn note_traps(&self, listening: bool, outcomes: &BTreeMap<&'static str, u64>) {
        self.write(|kept| kept.snapshot.traps = Some(TrapCounts { listening, outcomes: outcomes.clone() }));
    }

    /// Notes that none are received any more.
    pub fn forget_traps(&self) {
        self.write(|kept| kept.snapshot.traps = None);
    }

    pub fn snapshot(&self) -> Snapshot {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).snapshot.clone()
    }

    /// Returns once something has changed since the last call; many changes are one.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn write(&self, change: impl FnOnce(&mut Kept)) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let before = kept.machine.latch().cloned();
        change(&mut kept);
        let is_latched_anew = kept.machine.latch() != before.as_ref();
        drop(kept);
        if is_latched_anew {
            self.latched.notify_one();
        }
        self.changed.notify_one();
    }
}

impl Kept {
    fn derive(&mut self) {
        self.snapshot.shutdown = self.machine.report().map(Arc::new);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Label, Observation, SourceKind, Trouble};
    use super::*;

    fn id(name: &str) -> SourceId {
        SourceId { kind: SourceKind::File, name: Label::new(name) }
    }

    fn pass(trouble: Option<Trouble>) -> Pass {
        let observation = if trouble.is_some() { Observation::Nothing } else { Observation::Files(Vec::new()) };
        Pass { observation, trouble, ended: Timestamp::UNIX_EPOCH, took: Duration::ZERO }
    }

    #[test]
    fn a_failed_pass_removes_what_was_seen_and_is_counted() {
        let board = Board::default();
        board.expect([(id("a"), &["timeout", "not_found"][..])]);
        board.publish(&id("a"), pass(None));
        board.publish(&id("a"), pass(Some(Trouble::new("timeout", "it hangs"))));
        let state = &board.snapshot().sources[&id("a")];
        assert_eq!(state.errors, BTreeMap::from([("timeout", 1), ("not_found", 0)]));
        assert_eq!(state.last_success, Some(Timestamp::UNIX_EPOCH));
        assert!(matches!(state.pass.as_ref().map(|p| &p.observation), Some(Observation::Nothing)));
    }

    #[test]
    fn a_reload_keeps_the_sources_that_stay_and_drops_the_others() {
        let board = Board::default();
        board.expect([(id("stays"), &[][..]), (id("goes"), &[][..])]);
        board.publish(&id("stays"), pass(None));
        board.expect([(id("stays"), &[][..]), (id("comes"), &[][..])]);
        board.publish(&id("goes"), pass(None));
        let snapshot = board.snapshot();
        assert_eq!(snapshot.sources.keys().map(|id| id.name.as_str()).collect::<Vec<_>>(), ["comes", "stays"]);
        assert!(!snapshot.is_complete() && snapshot.sources[&id("stays")].pass.is_some());
    }
}
