//! What one origin has said, and what its silence means.

use jiff::Timestamp;

use super::{About, Evidence, HostState, Sign};
use crate::ups::Silence;

/// What is heard of an origin at one time.
#[derive(Clone, Debug, PartialEq)]
pub enum OriginStatus {
    /// All that it says now.
    Said(Vec<Evidence>),
    /// It answers, and says nothing of the power: a driver that has just started.
    Mute,
    Silent(Silence),
    /// Who answers for it has it no longer.
    Gone,
}

impl OriginStatus {
    /// The most severe of what it says now, if it says anything.
    pub fn worst(&self) -> Option<Sign> {
        match self {
            Self::Said(evidence) => evidence.iter().map(|item| item.sign).max(),
            Self::Mute | Self::Silent(_) | Self::Gone => None,
        }
    }

    /// Whether a UPS says that it is on line, and nothing stands where a countdown would.
    pub fn gives_mains(&self) -> bool {
        matches!(self, Self::Said(evidence) if evidence.iter().any(|item| item.gives_mains))
    }
}

/// What one origin said last.
#[derive(Clone, Debug, Default)]
pub(super) struct OriginRecord {
    /// While it is silent, what it said before.
    evidence: Vec<Evidence>,
    silence: Option<Silence>,
    /// It answers and says nothing of the power.
    is_mute: bool,
    /// Who answered for it has it no longer, and it has not been heard since.
    is_gone: bool,
    /// Whether this program has heard it say that a shutdown has begun.
    began: bool,
    /// When it turned to saying that a shutdown was called off.
    called_off: Option<Timestamp>,
}

/// A source tells of a handful of things; of more, the worst are kept.
const MAX_EVIDENCE: usize = 64;

impl OriginRecord {
    /// Takes what is heard. What an origin says first of a shutdown that was called off is old news.
    pub(super) fn hear(&mut self, status: OriginStatus, is_new: bool, now: Timestamp) {
        match status {
            OriginStatus::Said(_) | OriginStatus::Mute | OriginStatus::Silent(Silence::LinkLost) => {
                self.is_gone = false;
            }
            OriginStatus::Silent(Silence::Unreachable) => {}
            OriginStatus::Gone => self.is_gone = true,
        }
        match status {
            OriginStatus::Said(mut evidence) => {
                evidence.sort_by_key(|item| std::cmp::Reverse(item.sign));
                evidence.truncate(MAX_EVIDENCE);
                self.is_mute = false;
                match evidence.first().map(|item| item.sign) {
                    Some(Sign::CommsLost) => {
                        // What it says at all is said anew; only what it can no longer know stays.
                        self.evidence.retain(|item| item.sign > Sign::Scheduled);
                        self.fall_silent(Silence::LinkLost);
                    }
                    worst => self.say(evidence, worst, is_new, now),
                }
            }
            OriginStatus::Mute => {
                // Nothing of a countdown or a schedule either, so there is none; but nothing of the power's return.
                self.evidence.retain(|item| matches!(item.sign, Sign::OnBattery | Sign::LowBattery));
                self.silence = None;
                self.is_mute = true;
            }
            OriginStatus::Silent(silence) => self.fall_silent(silence),
            OriginStatus::Gone => self.fall_silent(Silence::Unreachable),
        }
    }

    fn say(&mut self, evidence: Vec<Evidence>, worst: Option<Sign>, is_new: bool, now: Timestamp) {
        let said_before = self.evidence.first().map(|item| item.sign);
        if worst == Some(Sign::Cancelled) && said_before != worst && !is_new {
            self.called_off = Some(now);
        }
        self.began |= evidence.iter().any(|item| item.sign == Sign::InProgress);
        self.evidence = evidence;
        self.silence = None;
    }

    /// A lost link stays lost when the server that told of it is not heard any more.
    fn fall_silent(&mut self, silence: Silence) {
        if self.silence != Some(Silence::LinkLost) {
            self.silence = Some(silence);
        }
    }

    /// What it says that takes part in the state.
    pub(super) fn evidence(&self, now: Timestamp) -> impl Iterator<Item = &Evidence> {
        self.evidence.iter().filter(move |item| item.counts(now))
    }

    /// All that it says, plans that nobody will carry out among it.
    pub(super) fn all_evidence(&self) -> &[Evidence] {
        &self.evidence
    }

    pub(super) fn called_off(&self) -> Option<Timestamp> {
        self.called_off
    }

    /// It is remembered for what it said last, and nobody answers for it any more.
    pub(super) const fn is_gone(&self) -> bool {
        self.is_gone
    }

    pub(super) const fn is_heard(&self) -> bool {
        self.silence.is_none()
    }

    /// It is heard, and says that no shutdown has begun. What it said before it fell silent or mute denies nothing now.
    pub(super) fn denies(&self) -> bool {
        let announces = self.evidence.iter().any(|item| item.sign == Sign::InProgress);
        self.silence.is_none() && !self.is_mute && !announces && self.evidence.iter().any(|item| item.denies)
    }

    /// Whether what it denies now is what this program has heard it announce.
    pub(super) fn takes_back(&self) -> bool {
        self.denies() && self.began
    }

    /// Whether it says now, and not of a time before, that a shutdown has begun.
    pub(super) fn announces(&self) -> bool {
        let is_of_now = |item: &Evidence| item.sign == Sign::InProgress && item.begun_at.is_none();
        self.silence.is_none() && self.evidence.iter().any(is_of_now)
    }

    /// Forgets that a shutdown has begun.
    pub(super) fn clear(&mut self) {
        self.evidence.retain(|item| item.sign != Sign::InProgress);
        self.began = false;
    }

    /// The state that follows from it alone, a cancelled shutdown left aside.
    pub(super) fn state(&self, is_ups: bool, now: Timestamp) -> HostState {
        self.with_silence(self.worst(now, |_| true), is_ups)
    }

    /// The same of the power that it gives alone.
    pub(super) fn feed_state(&self, now: Timestamp) -> HostState {
        self.with_silence(self.worst(now, |item| item.about == About::Feed), true)
    }

    /// The same of what it says of the host alone: its silence says nothing of that.
    pub(super) fn host_state(&self, now: Timestamp) -> HostState {
        self.worst(now, |item| item.about == About::Host)
    }

    /// Whether it is heard, and says that it gives power.
    pub(super) fn gives_power(&self) -> bool {
        let is_off = self.evidence.iter().any(|item| item.about == About::Feed && item.sign == Sign::Off);
        self.silence.is_none() && !self.is_mute && !is_off && !self.evidence.is_empty()
    }

    /// When its power ends, as far as it says.
    pub(super) fn end(&self, now: Timestamp) -> Option<Timestamp> {
        self.evidence(now).filter(|item| item.sign >= Sign::Scheduled).filter_map(Evidence::end).min()
    }

    fn worst(&self, now: Timestamp, which: impl Fn(&Evidence) -> bool) -> HostState {
        self.evidence(now)
            .filter(|item| which(item))
            .map(|item| HostState::from(item.sign))
            .max()
            .unwrap_or(HostState::None)
    }

    fn with_silence(&self, said: HostState, is_ups: bool) -> HostState {
        match self.silence {
            None => said,
            Some(Silence::LinkLost) => said.max(HostState::CommsLost),
            Some(Silence::Unreachable) if is_ups => said.max(HostState::CommsLost),
            // That nothing is heard from the host's own system says nothing of a UPS.
            Some(Silence::Unreachable) => said,
        }
    }

    /// Whether there is reason to remember it when nothing more is heard of it.
    pub(super) fn is_in_outage(&self, now: Timestamp) -> bool {
        self.evidence(now).any(|item| item.sign >= Sign::Scheduled)
    }
}
