//! That a shutdown has begun, in which boot, and by whose word.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;

use super::{Evidence, Origin};
use crate::label::Label;
use crate::ups::{ShutdownTrigger, ShutdownTriggers};

/// Which boot of the host: the kernel's random id.
#[derive(Clone, PartialEq, Eq)]
pub struct BootId(String);

/// A shutdown has begun. It goes on when power returns, when the one who said so is silent, and when this program is started
/// again. It ends with the next boot, by a person, or when everyone who announced it and can take it back has done so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latch {
    /// Never empty.
    by: BTreeMap<Origin, Announced>,
}

/// What one source announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// When it was first heard.
    pub since: Timestamp,
    pub triggers: ShutdownTriggers,
    /// The first one that was named, and when.
    pub cause: Option<(Timestamp, Label)>,
    /// When it had begun last, by the source's own clock, where the source tells.
    pub begun_at: Option<Timestamp>,
}

/// The last beginning of each source that a person has cleared, by the source's own clock.
pub type Beginnings = BTreeMap<Origin, Timestamp>;

/// What must be known again when this program is started again in one boot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LatchRecord {
    pub latch: Option<Latch>,
    /// When a person last cleared it, for people: clocks are set.
    pub cleared_at: Option<Timestamp>,
    /// Which beginning of each source's that was: a log tells of it until the next boot.
    pub cleared: Beginnings,
}

/// A boot id is a UUID; a file that names a longer one is not ours.
const MAX_BOOT_ID: usize = 64;

impl BootId {
    /// None for a text that cannot tell boots apart.
    pub fn new(text: &str) -> Option<Self> {
        let plain = text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        (!text.is_empty() && text.len() <= MAX_BOOT_ID && plain).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Latch {
    /// None when nobody announced it.
    pub fn announced(by: BTreeMap<Origin, Announced>) -> Option<Self> {
        (!by.is_empty()).then_some(Self { by })
    }

    /// Who announced it, and what.
    pub fn by(&self) -> impl Iterator<Item = (&Origin, &Announced)> {
        self.by.iter()
    }

    /// When it was first heard.
    pub fn since(&self) -> Timestamp {
        self.by.values().map(|announced| announced.since).min().unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Which beginnings its sources told of, where they tell.
    pub fn beginnings(&self) -> impl Iterator<Item = (Origin, Timestamp)> {
        self.by.iter().filter_map(|(origin, announced)| Some((origin.clone(), announced.begun_at?)))
    }

    pub fn triggers(&self) -> impl Iterator<Item = ShutdownTrigger> {
        self.by.values().flat_map(|announced| &announced.triggers).copied()
    }

    /// Who announced it, for people.
    pub fn names(&self) -> String {
        let names: Vec<String> = self.by.keys().map(ToString::to_string).collect();
        names.join(", ")
    }

    /// How it was announced, for people.
    pub fn trigger_names(&self) -> String {
        let names: BTreeSet<&str> = self.triggers().map(ShutdownTrigger::as_str).collect();
        names.into_iter().collect::<Vec<_>>().join(", ")
    }

    /// Whether somebody announced it who takes nothing back: then it ends with the boot, or by a person.
    pub fn is_lasting(&self) -> bool {
        !self.by.values().all(Announced::can_be_taken_back)
    }

    /// The first one that was named.
    pub fn cause(&self) -> Option<&Label> {
        self.by.values().filter_map(|announced| announced.cause.as_ref()).min().map(|(_, cause)| cause)
    }

    /// Takes more of what set it off; in whatever order it comes at one time.
    pub(super) fn note(latch: Option<Self>, origin: &Origin, begun: &Evidence, now: Timestamp) -> Self {
        let mut by = latch.map(|latch| latch.by).unwrap_or_default();
        let announced = by.entry(origin.clone()).or_insert_with(|| Announced {
            since: now,
            triggers: ShutdownTriggers::new(),
            cause: None,
            begun_at: None,
        });
        announced.begun_at = begun.begun_at.or(announced.begun_at);
        announced.triggers.extend(&begun.triggers);
        let named = begun.cause.clone().map(|cause| (now, cause));
        announced.cause = announced.cause.take().into_iter().chain(named).min();
        Self { by }
    }

    /// What is left when one source says that nothing has begun: its own announcement goes, if it is one that is taken back.
    pub(super) fn without(mut self, origin: &Origin) -> Option<Self> {
        if self.by.get(origin).is_some_and(Announced::can_be_taken_back) {
            self.by.remove(origin);
        }
        Self::announced(self.by)
    }
}

impl Announced {
    /// Whether all that it was announced by ends when it is no longer said.
    fn can_be_taken_back(&self) -> bool {
        let ends: Vec<_> = self.triggers.iter().filter_map(|trigger| ends_with_its_word(*trigger)).collect();
        !ends.is_empty() && ends.into_iter().all(|ends| ends)
    }
}

/// Whether a shutdown that is announced so ends when its source says it no more; none of what begins no shutdown. logind calls one
/// off when its job is cancelled or fails, and begins a soft reboot in the same boot. A UPS's own is of its power alone: where the
/// host went down for it, somebody else said so. PowerChute, apcupsd and upsmon go on when power returns, and Windows takes no shutdown back
/// once it has told services.
const fn ends_with_its_word(trigger: ShutdownTrigger) -> Option<bool> {
    match trigger {
        ShutdownTrigger::SystemdPreparing | ShutdownTrigger::SnmpAlarm => Some(true),
        ShutdownTrigger::WindowsPreshutdown
        | ShutdownTrigger::NutFsd
        | ShutdownTrigger::ApcupsdShutdown
        | ShutdownTrigger::PowerchuteCritical
        | ShutdownTrigger::PowerchuteEvent => Some(false),
        ShutdownTrigger::SystemdSchedule
        | ShutdownTrigger::NutTimer
        | ShutdownTrigger::ApcupsdLoad
        | ShutdownTrigger::ApcupsdTimeOnBattery
        | ShutdownTrigger::ApcupsdRuntime
        | ShutdownTrigger::ApcupsdEmergency
        | ShutdownTrigger::ApcupsdRemote
        | ShutdownTrigger::SnmpShutdownDelay => None,
    }
}

impl fmt::Debug for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
