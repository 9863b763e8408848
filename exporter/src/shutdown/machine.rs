//! The host's state from the evidence of all its sources: pure, and fed with the time.
//!
//! ```text
//!   none ── testing ── cancelled ── comms_lost ── scheduled ── ups_on_battery ── ups_low_battery ── ups_pending ──┐
//!     └──────────────── of all that counts the most severe holds; forth and back as it is said ────────────────────┤
//!                                                                                                    in_progress <─┘
//!              another boot id, who announced it and can take it back, or a person leads back
//! ```
//!
//! What is said of the host counts, and what is said of a UPS that it hangs on: of UPSes that share a load, of the best of them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::latch::Beginnings;
use super::origin_record::OriginRecord;
use super::plans::Plans;
use super::{
    About, BootId, Evidence, HostState, HostStateReport, Latch, LatchRecord, Load, LoadReport, Origin, OriginStatus,
    Sign,
};
use crate::label::Label;
use crate::ups::Silence;

/// What one origin is heard to say.
#[derive(Clone, Debug)]
pub struct Input {
    pub origin: Origin,
    pub status: OriginStatus,
    pub now: Timestamp,
}

/// Remembers what each origin said last. Of inputs at one time the order does not matter.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    boot: Option<BootId>,
    /// UPSes that share a load; each other one carries a load of its own.
    loads: Vec<Load>,
    origins: BTreeMap<Origin, OriginRecord>,
    /// When a person last cleared a shutdown that had begun, and which beginnings that were.
    cleared_at: Option<Timestamp>,
    cleared: Beginnings,
    now: Timestamp,
    /// What held at `now`, and what had held before.
    current: Held,
    settled: Held,
}

/// What follows from the evidence, and from what held before them.
#[derive(Clone, Debug, Default)]
struct Held {
    /// None while nobody has said anything.
    state: Option<HostState>,
    since: Timestamp,
    entered: [u64; HostState::ALL.len()],
    plans: Plans,
    called_off: Option<Timestamp>,
    cancellations: u64,
    latch: Option<Latch>,
    /// UPSes whose power the host does without now: others that share their load carry it.
    spared: BTreeSet<Origin>,
    loads: Vec<LoadReport>,
}

/// That a planned shutdown was called off.
#[derive(Clone, Copy, Debug)]
struct CallingOff {
    /// While it is told.
    at: Option<Timestamp>,
    /// It is called off just now.
    is_new: bool,
}

/// Origins that are remembered: twice the most UPSes that one upsd is asked about. Only a server that makes up names gets
/// there: those that are gone while on battery stay.
const MAX_ORIGINS: usize = 512;

/// How long it is told that a shutdown was called off: two looks of a slow Prometheus.
const CANCELLED_SHOWN: SignedDuration = SignedDuration::from_mins(5);

impl Machine {
    /// For one boot of the host, and what an earlier run has seen in it.
    pub fn resume(boot: Option<BootId>, kept: LatchRecord) -> Self {
        let LatchRecord { latch, cleared_at, cleared } = kept;
        let now = latch.as_ref().map_or(Timestamp::UNIX_EPOCH, Latch::since);
        let settled = Held { latch, ..Held::default() };
        let mut machine = Self { boot, cleared_at, cleared, now, settled, ..Self::default() };
        machine.derive();
        machine.settled = machine.current.clone();
        machine
    }

    /// Which UPSes share a load, from now on. Nothing is called off by that.
    pub fn set_loads(&mut self, loads: Vec<Load>, now: Timestamp) {
        if loads != self.loads {
            self.loads = loads;
            self.forget_plans(now);
        }
    }

    pub fn step(&mut self, input: Input) {
        self.enter(input.now);
        self.hear(input.origin, input.status);
        self.derive();
    }

    /// Lets time pass: what was called off is not told for ever, and a plan that nobody carried out lapses.
    pub fn pass_time(&mut self, now: Timestamp) {
        self.enter(now);
        self.derive();
    }

    /// Which boot of the host it is. Another one than before is the end of whatever had begun, and of what was said.
    pub fn note_boot(&mut self, boot: BootId, now: Timestamp) {
        let another = self.boot.as_ref().is_some_and(|before| *before != boot);
        self.boot = Some(boot);
        if another {
            self.current.latch = None;
            self.cleared_at = None;
            self.cleared.clear();
            self.origins.clear();
            self.forget_plans(now);
        }
    }

    /// Takes a person's word that the shutdown that had begun is over.
    ///
    /// # Errors
    /// Those that say now that it has begun: they would say so again. Nothing is cleared then.
    pub fn clear(&mut self, now: Timestamp) -> Result<(), Vec<Origin>> {
        let counts = |(origin, _): &(&Origin, &OriginRecord)| !self.current.spared.contains(*origin);
        let announcing = self.origins.iter().filter(counts).filter(|(_, known)| known.announces());
        let announcing: Vec<Origin> = announcing.map(|(origin, _)| origin.clone()).collect();
        if !announcing.is_empty() {
            return Err(announcing);
        }
        self.cleared_at = Some(now);
        self.cleared.extend(self.current.latch.take().iter().flat_map(Latch::beginnings));
        self.origins.values_mut().for_each(OriginRecord::clear);
        self.forget_plans(now);
        Ok(())
    }

    /// Forgets origins that are no longer asked. What has begun goes on; what they had planned was not called off.
    pub fn forget(&mut self, gone: impl Fn(&Origin) -> bool, now: Timestamp) {
        self.origins.retain(|origin, _| !gone(origin));
        self.forget_plans(now);
    }

    /// Forgets the UPSes that nobody answers for any more: a person has loaded the configuration, and they are not there.
    pub fn forget_gone(&mut self, now: Timestamp) {
        let before = self.origins.len();
        self.origins.retain(|_, known| !known.is_gone());
        if self.origins.len() != before {
            self.forget_plans(now);
        }
    }

    /// Whether it counts for what it said last, though nobody answers for it any more.
    pub fn is_gone(&self, origin: &Origin) -> bool {
        self.origins.get(origin).is_some_and(OriginRecord::is_gone)
    }

    pub fn origins(&self) -> impl Iterator<Item = &Origin> {
        self.origins.keys()
    }

    /// What must outlive this program, once there is something.
    pub fn kept(&self) -> LatchRecord {
        LatchRecord { latch: self.current.latch.clone(), cleared_at: self.cleared_at, cleared: self.cleared.clone() }
    }

    pub const fn boot(&self) -> Option<&BootId> {
        self.boot.as_ref()
    }

    /// None while nobody has said anything.
    pub fn report(&self) -> Option<HostStateReport> {
        let Held { state, since, entered, plans, cancellations, latch, loads, .. } = &self.current;
        let now = self.now;
        let worst_named = self
            .origins
            .iter()
            .flat_map(|(origin, known)| {
                let state = known.state(origin.is_ups(), now);
                let gone = known.is_gone() && !self.current.spared.contains(origin);
                let gone = gone.then(|| Label::new(&format!("{origin} is gone, and said so last")));
                let causes = self.counting(origin, known).filter_map(|item| item.cause.clone()).chain(gone);
                causes.map(move |cause| (state, cause))
            })
            .max_by(|(a, one), (b, other)| a.cmp(b).then(other.cmp(one)));
        let shown = self.origins.values().flat_map(OriginRecord::all_evidence).filter_map(|item| item.scheduled);
        Some(HostStateReport {
            state: (*state)?,
            since: *since,
            pending: state.is_some_and(HostState::is_pending) || plans.is_scheduled(),
            triggers: self
                .evidence()
                .flat_map(|item| item.triggers.iter().copied())
                .chain(latch.iter().flat_map(Latch::triggers))
                .collect(),
            expected: self.evidence().filter(|item| item.sign >= Sign::Scheduled).filter_map(Evidence::end).min(),
            scheduled: HostStateReport::earliest(shown.filter(|plan| plan.is_current(now))),
            cause: latch.as_ref().and_then(Latch::cause).cloned().or(worst_named.map(|(_, cause)| cause)),
            cancellations: *cancellations,
            entered: *entered,
            loads: loads.clone(),
            latch: latch.clone(),
        })
    }

    /// What counts for the host.
    fn evidence(&self) -> impl Iterator<Item = &Evidence> {
        self.origins.iter().flat_map(|(origin, known)| self.counting(origin, known))
    }

    fn counting<'a>(&self, origin: &Origin, known: &'a OriginRecord) -> impl Iterator<Item = &'a Evidence> + use<'a> {
        let is_spared = self.current.spared.contains(origin);
        known.evidence(self.now).filter(move |item| item.about == About::Host || !is_spared)
    }

    fn enter(&mut self, now: Timestamp) {
        if now != self.now {
            self.settled = self.current.clone();
            self.now = now;
        }
    }

    fn hear(&mut self, origin: Origin, mut status: OriginStatus) {
        let now = self.now;
        let is_new = !self.origins.contains_key(&origin);
        let forgotten = match &status {
            OriginStatus::Said(_) | OriginStatus::Mute | OriginStatus::Silent(Silence::LinkLost) => false,
            // One that others are needed beside is missed from the start.
            OriginStatus::Silent(Silence::Unreachable) => is_new && !self.loads.iter().any(|load| load.has(&origin)),
            OriginStatus::Gone => {
                let is_in_outage = self.origins.get(&origin).is_some_and(|known| known.is_in_outage(now));
                !is_in_outage && !self.loads.iter().any(|load| load.names(&origin))
            }
        };
        if forgotten {
            self.origins.remove(&origin);
            return;
        }
        if is_new && !self.has_room() {
            return;
        }
        // Not what began before the moment of the clearing: a clock that was ahead then would hide what begins next.
        if let (OriginStatus::Said(evidence), Some(cleared)) = (&mut status, self.cleared.get(&origin)) {
            evidence.retain(|item| item.sign != Sign::InProgress || item.begun_at != Some(*cleared));
        }
        self.origins.entry(origin).or_default().hear(status, is_new, now);
    }

    /// Whether one more origin can be remembered; where there are too many, in the place of one that is gone.
    fn has_room(&mut self) -> bool {
        if self.origins.len() < MAX_ORIGINS {
            return true;
        }
        let gone = self.origins.iter().find(|(_, known)| known.is_gone()).map(|(origin, _)| origin.clone());
        gone.is_some_and(|gone| self.origins.remove(&gone).is_some())
    }

    /// What follows from the evidence, from what the loads hang on to the state; in this order, for each takes what is before it.
    fn derive(&mut self) {
        self.share_loads();
        let before = &self.settled;
        let latch = self.latch_after(before.latch.clone());
        let plans = Plans::of(self.evidence());
        let calling_off = self.calling_off(latch.as_ref(), &plans);
        let state = self.state_with(latch.as_ref(), calling_off);
        let is_entered = |of: HostState| u64::from(state == Some(of) && before.state != state);
        self.current = Held {
            state,
            since: if state == before.state { before.since } else { self.now },
            entered: std::array::from_fn(|index| before.entered[index] + is_entered(HostState::ALL[index])),
            plans,
            called_off: calling_off.at,
            cancellations: before.cancellations + u64::from(calling_off.is_new),
            latch,
            spared: std::mem::take(&mut self.current.spared),
            loads: std::mem::take(&mut self.current.loads),
        };
    }

    /// Which UPSes the loads hang on, and which are spared.
    fn share_loads(&mut self) {
        let now = self.now;
        let carried: Vec<_> = self.loads.iter().map(|load| load.carried(self.origins.iter(), now)).collect();
        let is_carried = |origin: &Origin| carried.iter().any(|carried| carried.by.contains(origin));
        let is_shared = |origin: &Origin| self.loads.iter().any(|load| load.has(origin));
        let spared = self.origins.keys().filter(|origin| is_shared(origin) && !is_carried(origin)).cloned().collect();
        self.current.spared = spared;
        self.current.loads = carried.into_iter().map(|carried| carried.report).collect();
    }

    /// Whether a planned shutdown is called off now, and since when it is told that one was.
    fn calling_off(&self, latch: Option<&Latch>, plans: &Plans) -> CallingOff {
        let (now, before, has_begun) = (self.now, &self.settled, latch.is_some());
        let is_shown = |at: Timestamp| (SignedDuration::ZERO..CANCELLED_SHOWN).contains(&now.duration_since(at));
        let shown_before = before.called_off.filter(|at| is_shown(*at) && plans.is_empty());
        // Who is told of it later than others tells of the same one.
        let is_told = self.origins.values().any(|known| known.called_off() == Some(now))
            && plans.is_empty()
            && shown_before.is_none();
        let is_taken_back = before.latch.is_some() && self.origins.values().any(OriginRecord::takes_back);
        let is_new = !has_begun && (is_told || is_taken_back || before.plans.were_withdrawn(plans, now));
        CallingOff { at: if is_new { Some(now) } else { shown_before }, is_new }
    }

    /// The most severe of all that counts; none while nobody has said anything.
    fn state_with(&self, latch: Option<&Latch>, calling_off: CallingOff) -> Option<HostState> {
        let now = self.now;
        let said = self.origins.iter().map(|(origin, known)| {
            if self.current.spared.contains(origin) { known.host_state(now) } else { known.state(origin.is_ups(), now) }
        });
        let lasting = latch.map(|_| HostState::InProgress);
        // Once nobody is asked there is nobody to say so.
        let told = calling_off.at.filter(|_| !self.origins.is_empty()).map(|_| HostState::Cancelled);
        said.chain(lasting).chain(told).max()
    }

    /// Whether a shutdown has begun, by what is heard now and by what had been announced before.
    fn latch_after(&self, before: Option<Latch>) -> Option<Latch> {
        let denying = self.origins.iter().filter(|(_, known)| known.denies());
        let left = denying.fold(before, |latch, (origin, _)| latch?.without(origin));
        let heard = self.origins.iter().filter(|(_, known)| known.is_heard());
        let evidence = heard.flat_map(|(origin, known)| self.counting(origin, known).map(move |item| (origin, item)));
        evidence
            .filter(|(_, item)| item.sign == Sign::InProgress)
            .fold(left, |latch, (origin, item)| Some(Latch::note(latch, origin, item, self.now)))
    }

    fn forget_plans(&mut self, now: Timestamp) {
        self.enter(now);
        self.settled = self.current.clone();
        self.settled.plans = Plans::default();
        self.derive();
    }
}
