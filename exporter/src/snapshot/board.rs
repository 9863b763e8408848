//! Where sources put their passes, and readers find the whole.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, watch};

use super::{AgentRotations, Label, Pass, Snapshot, SourceId, SourceKind, SourceState, to_shutdown};
use crate::config::PowerConfig;
use crate::shutdown::{BootId, HostStateReport, LatchRecord, Load, Machine, Origin};

/// The shared snapshot. Writers replace parts; readers take a copy, which is a handful of reference counts per source.
#[derive(Debug, Default)]
pub struct Board {
    snapshot: Mutex<Snapshot>,
    changed: Notify,
    /// Something that the log tells of the power may have changed.
    power_changed: Notify,
    /// Never locked but under `snapshot`: what it is told is told in the order in which the parts are replaced.
    machine: Mutex<Machine>,
    kept: watch::Sender<LatchRecord>,
}

impl Board {
    /// Makes the board hold exactly these sources, each with the reasons it can fail for. A source that was there
    /// before keeps what it saw and counted; the parts of the others go at once.
    pub fn expect(&self, sources: impl IntoIterator<Item = (SourceId, &'static [&'static str])>) {
        let (own, outside): (Vec<_>, Vec<_>) = sources.into_iter().partition(|(id, _)| id.host.is_none());
        self.write(|snapshot| {
            let before = std::mem::take(&mut snapshot.sources);
            snapshot.sources = own.into_iter().map(|source| kept(&before, source)).collect();
            let before = std::mem::take(&mut snapshot.outside);
            let mut hosts: BTreeMap<Label, Snapshot> = BTreeMap::new();
            for source in outside {
                let Some(host) = source.0.host.clone() else { continue };
                let known = before.get(&host).map(|seen| &seen.sources);
                let (id, state) = kept(known.unwrap_or(&BTreeMap::new()), source);
                hosts.entry(host).or_default().sources.insert(id, state);
            }
            snapshot.outside = hosts.into_iter().map(|(host, seen)| (host, Arc::new(seen))).collect();
            let sources = &snapshot.sources;
            let is_gone = |origin: &_| !sources.keys().any(|id| to_shutdown::speaks_for(id, origin));
            let forget = |machine: &mut Machine| {
                if machine.origins().any(is_gone) {
                    machine.forget(is_gone, Timestamp::now());
                }
            };
            snapshot.shutdown = self.tell(forget).1;
        });
    }

    /// Notes which UPSes feed this host, each with how often it is asked.
    pub fn note_ups_sources(&self, sources: BTreeMap<SourceId, Duration>) {
        self.write(|snapshot| snapshot.ups_sources = sources);
    }

    /// Notes which UPSes share a load of this host.
    pub fn set_loads(&self, loads: Vec<Load>) {
        self.write(|snapshot| {
            snapshot.loads = loads.as_slice().into();
            snapshot.shutdown = self.tell(|machine| machine.set_loads(loads, Timestamp::now())).1;
        });
    }

    /// A configuration was loaded again: UPSes that nobody answers for any more are not waited for.
    pub fn forget_gone(&self) {
        self.write(|snapshot| snapshot.shutdown = self.tell(|machine| machine.forget_gone(Timestamp::now())).1);
        self.power_changed.notify_one();
    }

    /// Notes what the configuration in force says of the host's power.
    pub fn note_power(&self, power: PowerConfig) {
        self.write(|snapshot| snapshot.power = Some(power));
    }

    /// Goes on from what an earlier run has seen in this boot of the host.
    pub fn resume(&self, boot: Option<BootId>, kept: LatchRecord) {
        let resume = |machine: &mut Machine| *machine = Machine::resume(boot, kept.clone());
        self.write(|snapshot| snapshot.shutdown = self.tell(resume).1);
        self.kept.send_replace(kept);
    }

    /// Takes a person's word that the shutdown that had begun is over.
    ///
    /// # Errors
    /// Those that say now that it has begun.
    pub fn clear_shutdown(&self, now: Timestamp) -> Result<(), Vec<Origin>> {
        let mut cleared = Ok(());
        self.write(|snapshot| {
            let clear = |machine: &mut Machine| (machine.clear(now), machine.kept());
            let ((outcome, kept), report) = self.tell(clear);
            (cleared, snapshot.shutdown) = (outcome, report);
            self.kept.send_replace(kept);
        });
        self.power_changed.notify_one();
        cleared
    }

    /// What must be known again of a shutdown, for who keeps it beyond the life of this program.
    pub fn kept(&self) -> watch::Receiver<LatchRecord> {
        self.kept.subscribe()
    }

    /// Replaces one source's part. A pass of a source that is no longer expected is dropped. What is seen of an outside host says
    /// nothing of this one.
    pub fn publish(&self, id: &SourceId, pass: Pass) {
        self.write(|snapshot| {
            let state = match &id.host {
                None => snapshot.sources.get_mut(id),
                Some(host) => snapshot.outside.get_mut(host).and_then(|seen| Arc::make_mut(seen).sources.get_mut(id)),
            };
            let Some(state) = state else { return };
            for (reason, count) in pass.errors() {
                *state.errors.entry(reason).or_default() += count;
            }
            if pass.is_up() {
                state.last_success = Some(pass.ended);
            }
            if id.host.is_none() {
                let feed = |machine: &mut Machine| {
                    to_shutdown::feed(machine, id, &pass);
                    machine.kept()
                };
                let (kept, report) = self.tell(feed);
                snapshot.shutdown = report;
                self.kept.send_if_modified(|known| {
                    let is_new = *known != kept;
                    *known = kept;
                    is_new
                });
            }
            let pass = pass.following(state.pass.as_deref());
            state.pass = Some(Arc::new(pass));
        });
        match id.kind {
            SourceKind::Host | SourceKind::Ups => self.power_changed.notify_one(),
            SourceKind::Agent
            | SourceKind::Alerts
            | SourceKind::Clients
            | SourceKind::File
            | SourceKind::Function
            | SourceKind::Health
            | SourceKind::Inventory
            | SourceKind::Release
            | SourceKind::Tls => {}
        }
    }

    pub fn snapshot(&self) -> Snapshot {
        self.read(Clone::clone)
    }

    /// What a quick look at it tells, of one moment and without a copy of all. Whoever writes to the board waits meanwhile.
    pub fn read<T>(&self, look: impl FnOnce(&Snapshot) -> T) -> T {
        look(&self.snapshot.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a rotation of the agent goes on.
    pub fn is_rotated(&self, agent: &Label) -> bool {
        self.read(|snapshot| snapshot.rotations.get(agent).is_some_and(AgentRotations::is_on_its_way))
    }

    /// How often a rotation of the agent was seen to change; what a list of its clients is told to be of.
    pub fn certificate_changes(&self, agent: &Label) -> u64 {
        self.read(|snapshot| snapshot.rotations.get(agent).map_or(0, |rotations| rotations.changes))
    }

    /// Returns once something has changed since the last call; many changes are one.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The same of the UPSes, the loads and the shutdown state.
    pub async fn power_changed(&self) {
        self.power_changed.notified().await;
    }

    /// Tells the shutdown machine something, and returns what follows from it. Only under `snapshot`.
    fn tell<T>(&self, change: impl FnOnce(&mut Machine) -> T) -> (T, Option<HostStateReport>) {
        let mut machine = self.machine.lock().unwrap_or_else(PoisonError::into_inner);
        (change(&mut machine), machine.report())
    }

    pub(super) fn write(&self, change: impl FnOnce(&mut Snapshot)) {
        change(&mut self.snapshot.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_one();
    }
}

/// A source with what was known of it before.
fn kept(
    before: &BTreeMap<SourceId, SourceState>,
    (id, reasons): (SourceId, &'static [&'static str]),
) -> (SourceId, SourceState) {
    let errors = || reasons.iter().map(|reason| (*reason, 0)).collect();
    let state = before.get(&id).cloned();
    (id, state.unwrap_or_else(|| SourceState { errors: errors(), ..SourceState::default() }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Observation, Trouble};
    use super::*;

    fn id(name: &str) -> SourceId {
        SourceId::own(SourceKind::File, Label::new(name))
    }

    fn pass(trouble: Option<Trouble>) -> Pass {
        let observation = if trouble.is_some() { Observation::Nothing } else { Observation::Files(Vec::new().into()) };
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

    #[test]
    fn an_outside_host_has_a_part_of_its_own_that_goes_with_it_and_is_not_waited_for() {
        let board = Board::default();
        let of = |host: &str| SourceId { host: Some(Label::new(host)), ..id("a") };
        board.expect([(id("a"), &[][..]), (of("win-01"), &[][..]), (of("win-02"), &[][..])]);
        board.publish(&id("a"), pass(None));
        board.publish(&of("win-01"), pass(Some(Trouble::new("timeout", "it hangs"))));
        let snapshot = board.snapshot();
        assert!(snapshot.is_complete() && snapshot.sources.len() == 1);
        let errors = |snapshot: &Snapshot, host: &str| snapshot.outside[host].sources[&of(host)].errors.clone();
        assert_eq!(errors(&snapshot, "win-01"), BTreeMap::from([("timeout", 1)]));
        assert!(snapshot.sources[&id("a")].errors.is_empty() && errors(&snapshot, "win-02").is_empty());
        board.expect([(id("a"), &[][..]), (of("win-01"), &[][..])]);
        board.publish(&of("win-02"), pass(None));
        let snapshot = board.snapshot();
        assert_eq!(snapshot.outside.keys().map(Label::as_str).collect::<Vec<_>>(), ["win-01"]);
        assert_eq!(errors(&snapshot, "win-01").len(), 1, "what was counted stays");
    }
}
