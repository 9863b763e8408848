//! What one origin has said, and what its silence means.

use jiff::Timestamp;

use super::{Evidence, Sign, State};

/// What is heard of an origin at one time.
#[derive(Clone, Debug, PartialEq)]
pub enum Word {
    /// All that it says now.
    Said(Vec<Evidence>),
    /// It answers, and says nothing of the power: a driver that has just started.
    Mute,
    Silent(Silence),
    /// Who answers for it has it no longer.
    Gone,
}

/// Why nothing is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// Who answers for the UPS no longer hears it.
    LinkLost,
    /// Who would answer for it is not there.
    Unreachable,
}

/// The last word of one origin.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// While it is silent, what it said before.
    words: Vec<Evidence>,
    silence: Option<Silence>,
    /// Whether it has said, since the host was booted, that the shutdown has begun.
    began: bool,
    /// When it turned to saying that a shutdown was called off.
    called_off: Option<Timestamp>,
}

/// A source tells of a handful of things; of more, the worst are kept.
const MAX_WORDS: usize = 64;

impl Known {
    /// Takes what is heard. What an origin says first of a shutdown that was called off is old news.
    pub(super) fn hear(&mut self, word: Word, is_new: bool, now: Timestamp) {
        match word {
            Word::Said(mut words) => {
                words.sort_by_key(|word| std::cmp::Reverse(word.sign));
                words.truncate(MAX_WORDS);
                match words.first().map(|word| word.sign) {
                    Some(Sign::CommsLost) => {
                        // What it says at all is said anew; only what it can no longer know stays.
                        self.words.retain(|word| word.sign > Sign::Scheduled);
                        self.fall_silent(Silence::LinkLost);
                    }
                    worst => self.say(words, worst, is_new, now),
                }
            }
            Word::Mute => {
                // Nothing of a countdown or a schedule either, so there is none; but nothing of the power's return.
                self.words.retain(|word| matches!(word.sign, Sign::OnBattery | Sign::LowBattery));
                self.silence = None;
            }
            Word::Silent(silence) => self.fall_silent(silence),
            Word::Gone => self.fall_silent(Silence::Unreachable),
        }
    }

    fn say(&mut self, words: Vec<Evidence>, worst: Option<Sign>, is_new: bool, now: Timestamp) {
        let said_before = self.words.first().map(|word| word.sign);
        if worst == Some(Sign::Cancelled) && said_before != worst && !is_new {
            self.called_off = Some(now);
        }
        self.began |= words.iter().any(|word| word.sign == Sign::InProgress);
        self.words = words;
        self.silence = None;
    }

    /// A link that was lost is not found again by losing the one who said so.
    fn fall_silent(&mut self, silence: Silence) {
        if self.silence != Some(Silence::LinkLost) {
            self.silence = Some(silence);
        }
    }

    /// What it says that takes part in the state.
    pub(super) fn words(&self, now: Timestamp) -> impl Iterator<Item = &Evidence> {
        self.words.iter().filter(move |word| word.counts(now))
    }

    /// All that it says, plans that nobody will carry out among it.
    pub(super) fn all_words(&self) -> &[Evidence] {
        &self.words
    }

    pub(super) fn called_off(&self) -> Option<Timestamp> {
        self.called_off
    }

    /// The state that it would have alone, but that of a shutdown called off.
    pub(super) fn state(&self, is_ups: bool, begun: bool, now: Timestamp) -> State {
        let said = self.words(now).map(|word| State::from(word.sign)).max().unwrap_or(State::None);
        match self.silence {
            None => said,
            Some(_) if is_ups && self.has_gone_off(said, begun, now) => State::PoweredOff,
            Some(Silence::LinkLost) => said.max(State::CommsLost),
            Some(Silence::Unreachable) if is_ups => said.max(State::CommsLost),
            // That nothing is heard from the host's own system says nothing of a UPS.
            Some(Silence::Unreachable) => said,
        }
    }

    /// A UPS that falls silent when its power was about to go has gone off: after it, or the shutdown that it was heard in,
    /// had begun, and while it counted down to a known time.
    fn has_gone_off(&self, said: State, begun: bool, now: Timestamp) -> bool {
        let counted_down = self.words(now).any(|word| word.sign == Sign::Pending && word.deadline.is_some());
        self.began || counted_down || (begun && said >= State::OnBattery)
    }

    /// Whether there is reason to remember it when nothing more is heard of it.
    pub(super) fn is_in_outage(&self, now: Timestamp) -> bool {
        self.words(now).any(|word| word.sign >= Sign::Scheduled)
    }
}
