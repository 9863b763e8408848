//! Whether a request is taken: pure, in the order in which its parts are looked at.

use jiff::Timestamp;
use kagiban_crds::host_api::{
    MAX_EPOCH_AHEAD, MAX_EPOCH_STEP, MAX_GENERATION_STEP, Refusal, RefusalReason, RotationReport, Target,
};
use kagiban_crds::{AgentName, Epoch, Generation, HostName, Lineage};

use super::agent::LeafPlace;
use super::digest::Digest;
use super::journal::{Record, Rotation};
use super::machine::{FrozenFiles, Phase};

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    Proceed,
    /// The same was asked before; the answer is what became of it.
    Replay(Box<RotationReport>),
    Refused(Refusal),
}

/// Whom a request speaks to: this agent on this host, at the highest epoch that was accepted here.
#[derive(Clone, Debug)]
pub struct AdmissionContext<'a> {
    pub host: &'a HostName,
    pub agent: &'a AgentName,
    /// The installation of the operator that the host obeys; none while it was given to none.
    pub lineage: Option<Lineage>,
    pub epoch: Epoch,
    pub record: &'a Record,
    /// Where the agent's certificate is seen, which ends a freeze by itself; nowhere of one that is repaired.
    pub leaf_place: &'a LeafPlace,
    /// The host's own clock.
    pub now: Timestamp,
}

impl AdmissionContext<'_> {
    /// A request to open a rotation; `digest` and `is_same` compare its contents to the newest rotation's.
    pub fn open(&self, target: &Target, digest: Digest, is_same: impl FnOnce() -> bool) -> Admission {
        if let Err(refusal) = self.check(target) {
            return Admission::Refused(refusal);
        }
        let stands_at = self.record.generation;
        // A number that was accepted once and has no rotation is used up: its journal was lost, or its backup remains.
        let opened = self.record.rotation.as_ref().map(|newest| newest.generation);
        let is_used_up = target.generation == stands_at && opened != Some(stands_at);
        if target.generation < stands_at || is_used_up || target.generation == Generation(0) {
            return Admission::Refused(self.stale_generation(target.generation));
        }
        if target.generation.0 > stands_at.0.saturating_add(MAX_GENERATION_STEP) {
            let message = format!(
                "generation {} is further ahead than this host follows: the agent stands at {stands_at}; take a number that is \
                 higher by {MAX_GENERATION_STEP} at most",
                target.generation
            );
            let refusal = refuse(RefusalReason::Malformed, message);
            return Admission::Refused(Refusal { generation: Some(stands_at), ..refusal });
        }
        let Some(newest) = &self.record.rotation else { return Admission::Proceed };
        if target.generation == newest.generation {
            return if newest.open_digest == digest && is_same() {
                Admission::Replay(Box::new(newest.report()))
            } else {
                Admission::Refused(refuse(
                    RefusalReason::GenerationConflict,
                    format!(
                        "generation {stands_at} was opened by another order, or with other contents; take the next generation"
                    ),
                ))
            };
        }
        if let Phase::Frozen { failure, .. } = &newest.state {
            let message = format!("the agent is frozen ({}); {}", failure.text(), self.what_ends_a_freeze());
            return Admission::Refused(refuse(RefusalReason::Frozen, message));
        }
        in_progress(self.record).map_or(Admission::Proceed, Admission::Refused)
    }

    fn what_ends_a_freeze(&self) -> String {
        let thaw = format!("on the host with `kagiban-exporter rotation thaw {}`", self.agent);
        match self.leaf_place {
            LeafPlace::File(file) => format!(
                "put right what that names, and the freeze ends by itself once {} holds a certificate that is valid and each file of \
                 renew.keep is what it was; or end it {thaw}",
                file.path.display()
            ),
            LeafPlace::Endpoint(_) => format!(
                "bring its service to life, and the freeze ends by itself once the service serves what is stored; or end it {thaw}"
            ),
            // Nothing tells how an agent stands that is only looked at
            LeafPlace::Nowhere => format!("see what the repair has done, and end the freeze {thaw}"),
        }
    }

    /// A question that changes nothing: it is not answered while the files change, nor for whoever has missed a rotation.
    ///
    /// # Errors
    /// A refusal.
    pub fn question(&self, target: &Target) -> Result<(), Refusal> {
        self.check(target)?;
        if target.generation < self.record.generation {
            return Err(self.stale_generation(target.generation));
        }
        in_progress(self.record).map_or(Ok(()), Err)
    }

    /// A chain for an open rotation.
    pub fn deliver(&self, target: &Target, digest: Digest) -> Admission {
        let rotation = match self.addressed(target) {
            Ok(rotation) => rotation,
            Err(refusal) => return Admission::Refused(refusal),
        };
        match rotation.chain_digest {
            Some(accepted) if accepted == digest => Admission::Replay(Box::new(rotation.report())),
            Some(_) => Admission::Refused(refuse(
                RefusalReason::GenerationConflict,
                format!("generation {} was given another chain; take the next generation", rotation.generation),
            )),
            None if rotation.state == Phase::Keyed => Admission::Proceed,
            None => Admission::Refused(refuse(
                RefusalReason::WrongState,
                format!("generation {} takes no chain: {}", rotation.generation, standing(rotation)),
            )),
        }
    }

    /// An order to put the previous keystore back.
    pub fn roll_back(&self, target: &Target) -> Admission {
        let rotation = match self.addressed(target) {
            Ok(rotation) => rotation,
            Err(refusal) => return Admission::Refused(refusal),
        };
        match &rotation.state {
            Phase::Keyed | Phase::Committed { .. } => Admission::Proceed,
            Phase::RolledBack { .. } => Admission::Replay(Box::new(rotation.report())),
            Phase::Frozen { standing, .. } => {
                let stands = match standing {
                    FrozenFiles::Whole => "its files are one set, and its service was not seen to live on them",
                    FrozenFiles::NewMustGo => {
                        "its former certificate was asked for, and the renewed one is there still"
                    }
                    FrozenFiles::NotRestored { .. } => "the rollback has failed, and is tried again every few minutes",
                    FrozenFiles::NewStands { .. } => {
                        "the exporter has ended again and again in this rotation, which was given up with the new files in place"
                    }
                };
                let message = format!(
                    "the agent is frozen: {stands}; no order is taken before the freeze has ended: see `kagiban-exporter rotation \
                     show {}` on the host",
                    self.agent
                );
                Admission::Refused(refuse(RefusalReason::Frozen, message))
            }
            _ => Admission::Refused(refuse(
                RefusalReason::WrongState,
                format!("generation {} is on its way; wait until it is decided", rotation.generation),
            )),
        }
    }

    /// An order to obey another installation. Whether that is so already: whoever gave it may not have heard the answer.
    ///
    /// # Errors
    /// A refusal.
    pub fn hand_over(&self, target: &Target, to: &Lineage) -> Result<bool, Refusal> {
        self.check_addressee(target)?;
        if self.lineage.as_ref() == Some(to) {
            return Ok(true);
        }
        self.check(target)?;
        // The epoch is the whole host's, and no operator follows one that is as far ahead
        if target.epoch.0 > self.clock().saturating_add(MAX_EPOCH_AHEAD / 2) {
            let message = format!(
                "epoch {} is so far ahead of this host's clock, which reads {}, that no other operator would follow it: set the clocks of both \
                 sides right, and the operator's epoch to one near the time in seconds",
                target.epoch, self.now
            );
            return Err(refuse(RefusalReason::EpochTooFar, message));
        }
        in_progress(self.record).map_or(Ok(false), Err)
    }

    fn clock(&self) -> u64 {
        u64::try_from(self.now.as_second()).unwrap_or(0)
    }

    /// The rotation that a request is about: only the newest can be worked on.
    fn addressed(&self, target: &Target) -> Result<&Rotation, Refusal> {
        self.check(target)?;
        if target.generation < self.record.generation {
            return Err(self.stale_generation(target.generation));
        }
        self.record.rotation.as_ref().filter(|rotation| rotation.generation == target.generation).ok_or_else(|| {
            refuse(RefusalReason::NotFound, format!("there is no rotation of generation {}", target.generation))
        })
    }

    /// Whether the request is meant for this agent and comes from who may speak.
    pub(super) fn check(&self, target: &Target) -> Result<(), Refusal> {
        self.check_addressee(target)?;
        if let Some(obeyed) = self.lineage.as_ref().filter(|obeyed| target.lineage.as_ref() != Some(*obeyed)) {
            let asked = target.lineage.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
            let message = format!(
                "this host obeys the operator of lineage {obeyed}, and this order names {asked} (--lineage); to give the host to \
                 another operator, start the one of {obeyed} with --hand-over-to, or set hostApi.lineage in the host's configuration and \
                 restart kagiban-exporter"
            );
            return Err(refuse(RefusalReason::OtherLineage, message));
        }
        if target.epoch < self.epoch {
            let message = format!("epoch {} speaks no more, {} does", target.epoch, self.epoch);
            let refusal = refuse(RefusalReason::StaleEpoch, message);
            return Err(Refusal { epoch: Some(self.epoch), ..refusal });
        }
        if target.epoch > self.furthest_epoch() {
            let message = format!(
                "epoch {} is further ahead than this host follows: it has accepted {} and its clock reads {}; set the clocks \
                 of both sides right, and the operator's Lease to an epoch near the time in seconds",
                target.epoch, self.epoch, self.now
            );
            let refusal = refuse(RefusalReason::EpochTooFar, message);
            return Err(Refusal { epoch: Some(self.epoch), ..refusal });
        }
        Ok(())
    }

    fn check_addressee(&self, target: &Target) -> Result<(), Refusal> {
        if (&target.host, &target.agent) == (self.host, self.agent) {
            return Ok(());
        }
        let message = format!("meant for {} on {}, this is {} on {}", target.agent, target.host, self.agent, self.host);
        Err(refuse(RefusalReason::WrongTarget, message))
    }

    /// Operators take the time as their first epoch and count on from there. So an operator that returns after years is
    /// followed, and nobody can take an epoch that no successor could ever pass.
    fn furthest_epoch(&self) -> Epoch {
        Epoch(self.clock().saturating_add(MAX_EPOCH_AHEAD).max(self.epoch.0.saturating_add(MAX_EPOCH_STEP)))
    }

    fn stale_generation(&self, asked: Generation) -> Refusal {
        let stands_at = self.record.generation;
        let message = format!("generation {asked} is over, the agent stands at {stands_at}; take a higher one");
        Refusal { generation: Some(stands_at), ..refuse(RefusalReason::StaleGeneration, message) }
    }
}

pub fn refuse(reason: RefusalReason, message: impl Into<String>) -> Refusal {
    Refusal { reason, message: message.into(), epoch: None, generation: None, power: None }
}

/// What is said while a rotation is under way.
pub fn in_progress(record: &Record) -> Option<Refusal> {
    let newest = record.rotation.as_ref().filter(|newest| !newest.state.is_decided())?;
    let message = format!(
        "generation {} of {} is not decided yet; wait for it (one that waits for its chain can be rolled back)",
        newest.generation, record.agent
    );
    let refusal = refuse(RefusalReason::RotationInProgress, message);
    Some(Refusal { generation: Some(newest.generation), ..refusal })
}

fn standing(rotation: &Rotation) -> String {
    match rotation.state.failure() {
        Some(failure) => failure.message,
        None => "it is on its way".to_owned(),
    }
}

/// What is said to whoever asks for something new after the stop was ordered.
pub(super) fn stopping() -> Refusal {
    let message = "kagiban-exporter is being stopped on this host; ask again when it has been started";
    refuse(RefusalReason::Stopping, message)
}

#[cfg(test)]
mod tests {
    use kagiban_crds::host_api::RenewalOrder;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn asked(record: &Record, epoch: Epoch, asked: Epoch, generation: u64) -> Result<(), RefusalReason> {
        let (host, agent) = ("ups-01.example.com".parse().expect("host"), "powerchute".parse().expect("agent"));
        let now = Timestamp::from_second(NOW).expect("time");
        let door = AdmissionContext {
            host: &host,
            agent: &agent,
            lineage: None,
            epoch,
            record,
            leaf_place: &LeafPlace::Nowhere,
            now,
        };
        let target = Target {
            lineage: None,
            epoch: asked,
            generation: Generation(generation),
            host: host.clone(),
            agent: agent.clone(),
        };
        match door.open(&target, Digest::of(b""), || true) {
            Admission::Proceed | Admission::Replay(_) => Ok(()),
            Admission::Refused(refusal) => Err(refusal.reason),
        }
    }

    fn record(generation: u64) -> Record {
        let record = Record::new("ups-01.example.com".parse().expect("host"), "powerchute".parse().expect("agent"));
        Record { generation: Generation(generation), ..record }
    }

    /// Holds A18: an epoch only grows by a bounded step.
    #[test]
    fn no_operator_takes_an_epoch_that_shuts_all_others_out() {
        let now = u64::try_from(NOW).expect("positive");
        for (accepted, asked_for, answer) in [
            // The first ever, and one after ten years of silence.
            (0, now, Ok(())),
            (now - 10 * MAX_EPOCH_AHEAD, now, Ok(())),
            // Clocks differ; the next leaders count on from where the one before stood.
            (now, now + MAX_EPOCH_AHEAD, Ok(())),
            (now + 5 * MAX_EPOCH_AHEAD, now + 5 * MAX_EPOCH_AHEAD + 1, Ok(())),
            (now, u64::MAX, Err(RefusalReason::EpochTooFar)),
            (now, now + MAX_EPOCH_AHEAD + 1, Err(RefusalReason::EpochTooFar)),
            (now, now - 1, Err(RefusalReason::StaleEpoch)),
            // Nor by many steps: the clock bounds them all.
            (now + MAX_EPOCH_AHEAD, now + 2 * MAX_EPOCH_AHEAD, Err(RefusalReason::EpochTooFar)),
        ] {
            assert_eq!(asked(&record(0), Epoch(accepted), Epoch(asked_for), 1), answer, "{accepted} -> {asked_for}");
        }
    }

    /// The next operator could not speak below it, and would not follow it.
    #[test]
    fn a_host_is_not_given_away_at_an_epoch_that_no_operator_follows() {
        let (host, agent) = ("ups-01.example.com".parse().expect("host"), "powerchute".parse().expect("agent"));
        let (now, clock) = (Timestamp::from_second(NOW).expect("time"), u64::try_from(NOW).expect("positive"));
        let (record, to) = (record(3), "osaka".parse().expect("lineage"));
        for (asked, expected) in [
            (clock, Ok(false)),
            (clock + MAX_EPOCH_AHEAD / 2, Ok(false)),
            (clock + MAX_EPOCH_AHEAD / 2 + 1, Err(RefusalReason::EpochTooFar)),
        ] {
            let (host, agent) = (&host, &agent);
            let door = AdmissionContext {
                host,
                agent,
                lineage: None,
                epoch: Epoch(1),
                record: &record,
                leaf_place: &LeafPlace::Nowhere,
                now,
            };
            let target = Target {
                lineage: None,
                epoch: Epoch(asked),
                generation: Generation(3),
                host: host.clone(),
                agent: agent.clone(),
            };
            assert_eq!(door.hand_over(&target, &to).map_err(|refusal| refusal.reason), expected, "{asked}");
        }
    }

    /// Holds A18: a generation only grows by a bounded step.
    #[test]
    fn no_operator_takes_a_generation_that_no_rotation_can_pass() {
        let epoch = Epoch(1);
        for (accepted, asked_for, answer) in [
            (0, MAX_GENERATION_STEP, Ok(())),
            (7, 7 + MAX_GENERATION_STEP, Ok(())),
            (7, 8 + MAX_GENERATION_STEP, Err(RefusalReason::Malformed)),
            (0, u64::MAX, Err(RefusalReason::Malformed)),
            (u64::MAX - 1, u64::MAX, Ok(())),
        ] {
            assert_eq!(asked(&record(accepted), epoch, epoch, asked_for), answer, "{accepted} -> {asked_for}");
        }
    }

    #[test]
    fn who_is_of_another_lineage_is_refused_whatever_its_epoch_and_not_told_to_rise_above_it() {
        let (host, agent): (HostName, AgentName) =
            ("ups-01.example.com".parse().expect("host"), "powerchute".parse().expect("agent"));
        let lineage = |name: &str| Some(name.parse::<Lineage>().expect("a lineage"));
        let (record, now) = (record(0), Timestamp::from_second(NOW).expect("time"));
        let answer = |obeyed: Option<Lineage>, asked: Option<Lineage>, epoch| {
            let epochs = AdmissionContext {
                host: &host,
                agent: &agent,
                lineage: obeyed,
                epoch: Epoch(5),
                record: &record,
                leaf_place: &LeafPlace::Nowhere,
                now,
            };
            let (host, agent) = (host.clone(), agent.clone());
            epochs.check(&Target { lineage: asked, epoch: Epoch(epoch), generation: Generation(1), host, agent })
        };
        let reason = |answer: Result<(), Refusal>| answer.map_err(|refusal| (refusal.reason, refusal.epoch));
        let other = Err((RefusalReason::OtherLineage, None));
        for epoch in [1, 5, 9] {
            assert_eq!(reason(answer(lineage("tokyo"), lineage("osaka"), epoch)), other);
            assert_eq!(reason(answer(lineage("tokyo"), None, epoch)), other);
        }
        assert_eq!(reason(answer(lineage("tokyo"), lineage("tokyo"), 5)), Ok(()));
        let stale = Err((RefusalReason::StaleEpoch, Some(Epoch(5))));
        assert_eq!(reason(answer(lineage("tokyo"), lineage("tokyo"), 4)), stale);
        // It was given to nobody yet.
        assert_eq!(reason(answer(None, lineage("osaka"), 5)), Ok(()));
        assert_eq!(reason(answer(None, None, 5)), Ok(()));
    }

    /// Holds A14: what the fence tells and no journal is used up.
    #[test]
    fn a_generation_whose_journal_is_gone_is_not_opened_again() {
        let epoch = Epoch(1);
        assert_eq!(asked(&record(4), epoch, epoch, 4), Err(RefusalReason::StaleGeneration));
        assert_eq!(asked(&record(4), epoch, epoch, 5), Ok(()));
    }

    /// Nothing but a thaw ends it: there is no certificate that could be seen again.
    #[test]
    fn who_asks_for_another_repair_of_a_frozen_agent_is_told_what_ends_the_freeze() {
        use super::super::failure::RotationFailure;
        use super::super::machine::Before;
        use super::super::scene::{open, repaired};

        let root = tempfile::tempdir().expect("directory");
        let (mut rotator, _lock) = repaired(root.path(), "true", "");
        let (failure, standing) =
            (RotationFailure::new("any", "any"), FrozenFiles::NewStands { before: Before::NotServed });
        let agent = rotator.agent.name.clone();
        let order = |generation| RenewalOrder {
            target: Target { agent: agent.clone(), generation: Generation(generation), ..open().target },
            mark: None,
        };
        rotator.renew(&order(1), Ok(())).expect("ordered");
        rotator.record.rotation.as_mut().expect("a repair").state = Phase::Frozen { failure, standing };
        let refused = rotator.renew(&order(2), Ok(())).expect_err("it is frozen");
        assert_eq!(refused.reason, RefusalReason::Frozen);
        let told = ["see what the repair has done", "rotation thaw skysea"].map(|told| refused.message.contains(told));
        assert_eq!((told, refused.message.contains("by itself")), ([true; 2], false), "{}", refused.message);
    }

    /// The operator shows it to a person, who acts on it.
    #[test]
    fn a_rollback_that_is_refused_says_how_the_frozen_agent_stands() {
        use super::super::failure::RotationFailure;
        use super::super::machine::Before;
        use super::super::scene::{TRUE, put_into, rotator};

        let before = Before::NotServed;
        for (standing, said) in [
            (FrozenFiles::Whole, "one set"),
            (FrozenFiles::NotRestored { before, by_order: false }, "the rollback has failed"),
            (FrozenFiles::NewMustGo, "asked for"),
            (FrozenFiles::NewStands { before }, "given up with the new files in place"),
        ] {
            let root = tempfile::tempdir().expect("directory");
            let (mut rotator, _lock) = rotator(root.path(), TRUE);
            put_into(&mut rotator, Phase::Frozen { failure: RotationFailure::new("any", "any"), standing }, None);
            let (host, agent, record) = (&rotator.host.name, &rotator.agent.name, &rotator.record);
            let (epoch, now) = (record.epoch, Timestamp::from_second(NOW).expect("time"));
            let context =
                AdmissionContext { host, agent, lineage: None, epoch, record, leaf_place: &LeafPlace::Nowhere, now };
            let (generation, host, agent) = (record.generation, host.clone(), agent.clone());
            let target = Target { lineage: None, epoch, generation, host, agent };
            let Admission::Refused(refusal) = context.roll_back(&target) else { panic!("{standing:?} is frozen") };
            assert_eq!(refusal.reason, RefusalReason::Frozen);
            assert!(refusal.message.contains(said), "{standing:?}: {}", refusal.message);
        }
    }
}
