//! The host's state from the words of all its sources: pure, and fed with the time.
//!
//! ```text
//!   none ── testing ── cancelled ── comms_lost ── scheduled ── ups_on_battery ── ups_low_battery ── ups_pending ──┐
//!     └──────────────── of all that is said the most severe holds; forth and back as it is said ───────────────────┤
//!                                                                                                    in_progress <─┘
//!                    only another boot id leads back                                     silence ──> powered_off
//! ```

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::known::Known;
use super::plans::Plans;
use super::{BootId, Latch, Report, Sign, Silence, State, Word};
use crate::label::Label;

/// Who speaks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A source that tells of the host itself.
    Host { source: Label },
    /// A UPS that feeds the host, as one source hears it.
    Ups { source: Label, ups: Label },
}

/// What one origin is heard to say.
#[derive(Clone, Debug)]
pub struct Input {
    pub origin: Origin,
    pub word: Word,
    pub now: Timestamp,
}

/// Remembers what each origin said last. Of inputs at one time the order does not matter.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    boot: Option<BootId>,
    latch: Option<Latch>,
    origins: BTreeMap<Origin, Known>,
    now: Timestamp,
    /// What held at `now`, and what had held before.
    current: Held,
    settled: Held,
}

/// What follows from the words, and from what held before them.
#[derive(Clone, Debug, Default)]
struct Held {
    /// None while nobody has said anything.
    state: Option<State>,
    since: Timestamp,
    entered: [u64; State::ALL.len()],
    plans: Plans,
    called_off: Option<Timestamp>,
    cancellations: u64,
}

/// How long it is told that a shutdown was called off: two looks of a slow Prometheus.
const CANCELLED_SHOWN: SignedDuration = SignedDuration::from_mins(5);

impl Origin {
    const fn is_ups(&self) -> bool {
        match self {
            Self::Ups { .. } => true,
            Self::Host { .. } => false,
        }
    }
}

impl Machine {
    /// For one boot of the host, and what an earlier run has seen in it.
    pub fn resume(boot: Option<BootId>, latch: Option<Latch>) -> Self {
        let now = latch.as_ref().map_or(Timestamp::UNIX_EPOCH, |latch| latch.since);
        let mut machine = Self { boot, latch, now, ..Self::default() };
        machine.derive();
        machine
    }

    pub fn step(&mut self, input: Input) {
        self.enter(input.now);
        self.hear(input.origin, input.word);
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
            self.latch = None;
            self.origins.clear();
            self.forget_plans(now);
        }
    }

    /// Forgets origins that are no longer asked. What has begun goes on; what they had planned was not called off.
    pub fn forget(&mut self, gone: impl Fn(&Origin) -> bool, now: Timestamp) {
        self.origins.retain(|origin, _| !gone(origin));
        self.forget_plans(now);
    }

    pub fn origins(&self) -> impl Iterator<Item = &Origin> {
        self.origins.keys()
    }

    /// What must outlive this program, once there is something.
    pub fn latch(&self) -> Option<&Latch> {
        self.latch.as_ref()
    }

    pub const fn boot(&self) -> Option<&BootId> {
        self.boot.as_ref()
    }

    /// None while nobody has said anything.
    pub fn report(&self) -> Option<Report> {
        let Held { state, since, entered, plans, cancellations, .. } = &self.current;
        let now = self.now;
        let words = || self.origins.values().flat_map(move |known| known.words(now));
        let worst_named = self
            .origins
            .iter()
            .flat_map(|(origin, known)| {
                let state = known.state(origin.is_ups(), self.latch.is_some(), now);
                known.words(now).filter_map(move |word| Some((state, word.cause.clone()?)))
            })
            .max_by(|(a, one), (b, other)| a.cmp(b).then(other.cmp(one)));
        let begun = self.latch.as_ref();
        let shown = self.origins.values().flat_map(Known::all_words).filter_map(|word| word.scheduled);
        Some(Report {
            state: (*state)?,
            since: *since,
            pending: state.is_some_and(State::is_pending) || plans.is_scheduled(),
            triggers: words()
                .flat_map(|word| &word.triggers)
                .chain(begun.iter().flat_map(|latch| &latch.triggers))
                .copied()
                .collect(),
            expected: words().filter(|word| word.sign >= Sign::Scheduled).filter_map(super::Evidence::end).min(),
            scheduled: Report::earliest(shown.filter(|plan| plan.is_current(now))),
            cause: begun
                .and_then(|latch| Some(latch.cause.as_ref()?.1.clone()))
                .or(worst_named.map(|(_, cause)| cause)),
            cancellations: *cancellations,
            entered: *entered,
        })
    }

    fn enter(&mut self, now: Timestamp) {
        if now != self.now {
            self.settled = self.current.clone();
            self.now = now;
        }
    }

    fn hear(&mut self, origin: Origin, word: Word) {
        let now = self.now;
        let is_new = !self.origins.contains_key(&origin);
        let forgotten = match &word {
            Word::Said(_) | Word::Mute | Word::Silent(Silence::LinkLost) => false,
            Word::Silent(Silence::Unreachable) => is_new,
            Word::Gone => self.origins.get(&origin).is_none_or(|known| !known.is_in_outage(now)),
        };
        if forgotten {
            self.origins.remove(&origin);
            return;
        }
        let begun = match &word {
            Word::Said(words) => words.iter().filter(|word| word.sign == Sign::InProgress).cloned().collect(),
            Word::Mute | Word::Silent(_) | Word::Gone => Vec::new(),
        };
        for evidence in begun {
            self.latch.get_or_insert_with(|| Latch::new(now)).note(&evidence, now);
        }
        self.origins.entry(origin).or_default().hear(word, is_new, now);
    }

    fn derive(&mut self) {
        let (now, before) = (self.now, &self.settled);
        let has_begun = self.latch.is_some();
        let plans = Plans::of(self.origins.values().flat_map(|known| known.words(now)));
        let is_shown = |at: Timestamp| (SignedDuration::ZERO..CANCELLED_SHOWN).contains(&now.duration_since(at));
        let shown_before = before.called_off.filter(|at| is_shown(*at) && plans.is_empty());
        // Who is told of it later than others tells of the same one.
        let is_told = self.origins.values().any(|known| known.called_off() == Some(now))
            && plans.is_empty()
            && shown_before.is_none();
        let is_called_off = !has_begun && (is_told || before.plans.were_withdrawn(&plans, now));
        let called_off = if is_called_off { Some(now) } else { shown_before };

        let said = self.origins.iter().map(|(origin, known)| known.state(origin.is_ups(), has_begun, now));
        let lasting = has_begun.then_some(State::InProgress);
        // Once nobody is asked there is nobody to say so.
        let told = called_off.filter(|_| !self.origins.is_empty()).map(|_| State::Cancelled);
        let state = said.chain(lasting).chain(told).max();
        let is_entered = |of: State| u64::from(state == Some(of) && before.state != state);
        self.current = Held {
            state,
            since: if state == before.state { before.since } else { now },
            entered: std::array::from_fn(|index| before.entered[index] + is_entered(State::ALL[index])),
            plans,
            called_off,
            cancellations: before.cancellations + u64::from(is_called_off),
        };
    }

    fn forget_plans(&mut self, now: Timestamp) {
        self.enter(now);
        self.settled = self.current.clone();
        self.settled.plans = Plans::default();
        self.derive();
    }
}
