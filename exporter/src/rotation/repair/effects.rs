//! What a repair does in each step: looks whether it is done already, runs the command, and waits for what proves it.

use jiff::Timestamp;
use kagiban_crds::host_api::RepairProof;
use tokio::time::{Instant, sleep};

use super::record::RepairRecord;
use crate::blocking::Work;
use crate::platform;
use crate::rotation::agent::{Procedure, Proof, Repair};
use crate::rotation::failure::RotationFailure;
use crate::rotation::journal::Rotation;
use crate::rotation::machine::{Event, Phase};
use crate::rotation::rotator::Rotator;
use crate::rotation::trigger::renewal::Renewal;
use crate::sources::function::{FunctionAnswer, LONGEST_TIMEOUT, Moment};

impl Rotator {
    /// Whether the agent is configured as one that is repaired: decides what is begun.
    pub(in crate::rotation) const fn is_repaired(&self) -> bool {
        matches!(self.agent.procedure, Procedure::Repair(_))
    }

    /// Whether what was begun is a repair, by its journal. The name may be another agent's in the configuration since: what a renewal has
    /// left is still put back, and what a repair has done is not taken for a renewal.
    pub(in crate::rotation) fn is_of_repair(&self) -> bool {
        self.record.rotation.as_ref().is_some_and(|rotation| rotation.repair.is_some())
    }

    /// Before the power is looked at, which is last of all. What is noted is durable before the command is run, which it is not where the
    /// repair is done already.
    ///
    /// # Errors
    /// When the repair could never be proven.
    pub(in crate::rotation) async fn look_before_repair(&mut self) -> Result<(), RotationFailure> {
        let proven = self.is_done_already().await?.then_some(RepairProof::Command);
        if let Some(rotation) = &mut self.record.rotation {
            rotation.repair = Some(RepairRecord { boot: platform::boot_id(), ended_at: None, proof: proven });
        }
        Ok(())
    }

    async fn is_done_already(&self) -> Result<bool, RotationFailure> {
        match &self.repair()?.proof {
            Proof::Restart if platform::boot_id().is_empty() => {
                let message = "this system does not tell one start from another, so a restart could never be proven; leave \
                               repair.proof out, or name a command there";
                Err(RotationFailure::new("restart_not_told", message))
            }
            Proof::Command(check) => {
                match check.ask(&self.agent.name, Moment::Before, Work::RotationNames, LONGEST_TIMEOUT).await {
                    FunctionAnswer::Works => Ok(true),
                    FunctionAnswer::DoesNotWork(_) => Ok(false),
                    FunctionAnswer::Unknown(trouble) => {
                        let message = format!(
                            "repair.proof: its command could not be asked, so repair.command was not run: {}",
                            trouble.message.as_str()
                        );
                        Err(RotationFailure::new("proof_not_asked", message))
                    }
                }
            }
            Proof::Restart | Proof::Nothing => Ok(false),
        }
    }

    /// Runs the command, which an earlier run of this program has not begun.
    pub(in crate::rotation) async fn run_repair(&mut self) -> Result<(), RotationFailure> {
        let Repair { command, timeout, .. } = self.repair()?.clone();
        let noted = self.record.rotation.as_ref().and_then(|rotation| rotation.repair.as_ref());
        if noted.is_some_and(|noted| noted.proof.is_some()) {
            return Ok(());
        }
        self.record.last_restart = Some(Timestamp::now());
        let ran = self.run_noted(&command, timeout).await;
        ran.map_err(|error| RotationFailure::new("repair_failed", error.to_string()))?;
        if let Some(repair) = self.record.rotation.as_mut().and_then(|rotation| rotation.repair.as_mut()) {
            repair.ended_at = Some(Timestamp::now());
        }
        Ok(())
    }

    /// Waits for what proves it.
    ///
    /// # Errors
    /// When it is not proven in time, or was cut off where nothing would ever prove it.
    pub(in crate::rotation) async fn prove_repair(&mut self) -> Result<(), RotationFailure> {
        let repair = self.repair()?.clone();
        let record = self.record.rotation.as_ref().and_then(|rotation| rotation.repair.clone());
        let Some(record) = record else { return Err(cut_off()) };
        let proven = match repair.proof {
            Proof::Restart => self.prove_restart(&record).await.map(|()| RepairProof::Restart),
            Proof::Command(check) => {
                // The command of a run that has crashed may go on.
                self.await_earlier_start().await;
                let until = Instant::now() + self.agent.verify.deadline;
                loop {
                    let at_most = until.saturating_duration_since(Instant::now()).max(self.agent.verify.interval);
                    let told = match check.ask(&self.agent.name, Moment::Between, Work::RotationNames, at_most).await {
                        FunctionAnswer::Works => break Ok(RepairProof::Command),
                        FunctionAnswer::DoesNotWork(trouble) | FunctionAnswer::Unknown(trouble) => trouble,
                    };
                    if Instant::now() >= until {
                        break Err(RotationFailure::new("not_repaired", not_repaired(told.message.as_str())));
                    }
                    sleep(self.agent.verify.interval).await;
                }
            }
            Proof::Nothing if record.ended_at.is_some() => Ok(RepairProof::Nothing),
            Proof::Nothing => {
                self.await_earlier_start().await;
                Err(cut_off())
            }
        }?;
        if let Some(repair) = self.record.rotation.as_mut().and_then(|rotation| rotation.repair.as_mut()) {
            repair.proof = Some(proven);
        }
        Ok(())
    }

    async fn prove_restart(&self, record: &RepairRecord) -> Result<(), RotationFailure> {
        let until = Instant::now() + record.left_of(self.agent.verify.deadline, Timestamp::now());
        while !record.is_restarted(&platform::boot_id()) {
            if Instant::now() >= until {
                let message = format!(
                    "the system was not started anew within {} s of repair.command; was the restart called off, or does the command not \
                     restart it?",
                    self.agent.verify.deadline.as_secs()
                );
                return Err(RotationFailure::new("not_restarted", message));
            }
            sleep(self.agent.verify.interval).await;
        }
        Ok(())
    }

    /// Nothing is brought back and nothing is started: what is left is that the command ends.
    pub(in crate::rotation) async fn settle_repair(&mut self) {
        self.await_earlier_start().await;
    }

    fn repair(&self) -> Result<&Repair, RotationFailure> {
        match &self.agent.procedure {
            Procedure::Repair(repair) => Ok(repair),
            Procedure::Push(_) | Procedure::Trigger(_) => {
                let message =
                    "the configuration has the agent as one that is rotated now; its repair is not gone on with";
                Err(RotationFailure::new("not_configured", message))
            }
        }
    }
}

fn cut_off() -> RotationFailure {
    let message = "kagiban-exporter ended while repair.command ran, and nothing tells whether that ended well; see on the host what it has \
                   done, and ask again if it has done nothing";
    RotationFailure::new("repair_cut_off", message)
}

fn not_repaired(told: &str) -> String {
    format!("repair.command was run, and the command of repair.proof does not say that it has done anything: {told}")
}

/// What a step of a repair says; of a rotation, what it says anyway.
pub(in crate::rotation) fn noted(note: String, rotation: &Rotation, event: &Event) -> String {
    let Some(RepairRecord { ended_at, proof, .. }) = &rotation.repair else { return note };
    let told = match (&rotation.state, event) {
        // There is no leaf that could have been served.
        (Phase::Renewal { step: Renewal::Ordered }, Event::ClearedToRenew(_)) => "",
        (Phase::Renewal { step: Renewal::Renewing { .. } }, Event::Done) if ended_at.is_some() => {
            "repair.command ended with status 0"
        }
        (Phase::Renewal { step: Renewal::Renewing { .. } }, Event::Done) => {
            "repair.command was not run: the command of repair.proof says that it is repaired already"
        }
        (Phase::Renewal { step: Renewal::Proving { .. } }, Event::Done) => match proof {
            Some(RepairProof::Restart) => "the system was started anew",
            Some(RepairProof::Command) => "the command of repair.proof says that it is repaired",
            Some(RepairProof::Nothing) | None => "done, not proven: nothing tells what repair.command has done",
        },
        _ => return note,
    };
    told.to_owned()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use kagiban_crds::Generation;
    use kagiban_crds::host_api::{
        PowerState, RefusalReason, RenewalOrder, RollbackOrder, RotationReport, RotationState, Target,
    };

    use super::*;
    use crate::rotation::power::PowerUnsafe;
    use crate::rotation::scene::{open, repaired, repaired_anew};

    fn order(generation: u64) -> RenewalOrder {
        let host = "ups-01.example.com".parse().expect("host");
        let agent = "skysea".parse().expect("agent");
        let target = Target { host, agent, generation: Generation(generation), ..open().target };
        RenewalOrder { target, mark: None }
    }

    async fn ended(rotator: &mut Rotator) -> RotationReport {
        rotator.advance(|_| {}).await;
        rotator.report().expect("a repair")
    }

    fn reason(report: &RotationReport) -> &str {
        report.failure.as_ref().map_or("", |failure| failure.reason.as_str())
    }

    fn runs(root: &Path) -> usize {
        std::fs::read_to_string(root.join("ran")).map_or(0, |ran| ran.lines().count())
    }

    const RUN: &str = "echo run >> ran";

    #[tokio::test]
    async fn what_is_repaired_is_committed_with_what_proves_it() {
        for (command, proof, expected, told) in [
            (RUN, "", RepairProof::Nothing, "done, not proven"),
            ("echo run >> ran; touch applied", "test -e applied", RepairProof::Command, "says that it is repaired"),
        ] {
            let root = tempfile::tempdir().expect("directory");
            let (mut rotator, _lock) = repaired(root.path(), command, proof);
            rotator.renew(&order(1), Ok(())).expect("ordered");
            let report = ended(&mut rotator).await;
            assert_eq!((report.state, report.proof, reason(&report)), (RotationState::Committed, Some(expected), ""));
            let states: Vec<_> = report.steps.iter().map(|step| step.state.as_str()).collect();
            assert_eq!(states, ["requested", "renewing", "verifying", "committed"]);
            assert!(report.steps.last().is_some_and(|step| step.note.contains(told)), "{report:?}");
            assert_eq!((report.leaf, report.previous, runs(root.path())), (None, None, 1));
            // A repeat is answered, and runs nothing.
            assert_eq!(rotator.renew(&order(1), Ok(())).expect("answered").state, RotationState::Committed);
            rotator.advance(|_| {}).await;
            assert_eq!(runs(root.path()), 1);
        }
    }

    /// Two people have asked, or an operator that was restored from a backup counts anew.
    #[tokio::test]
    async fn an_order_of_the_same_generation_with_another_mark_is_not_answered_with_the_end_of_the_first() {
        let root = tempfile::tempdir().expect("directory");
        let (mut rotator, _lock) = repaired(root.path(), RUN, "");
        let marked = |mark: &str| RenewalOrder { mark: mark.parse().ok(), ..order(1) };
        rotator.renew(&marked("a.1"), Ok(())).expect("ordered");
        let refused = rotator.renew(&marked("a.2"), Ok(())).expect_err("of another");
        assert_eq!(refused.reason, RefusalReason::GenerationConflict, "while it is on its way");
        assert_eq!(ended(&mut rotator).await.state, RotationState::Committed);
        let refused = rotator.renew(&marked("a.2"), Ok(())).expect_err("of another");
        assert_eq!(refused.reason, RefusalReason::GenerationConflict, "{refused:?}");
        // Whoever was not answered, and an operator of before there were marks.
        for repeated in [marked("a.1"), order(1)] {
            assert_eq!(rotator.renew(&repeated, Ok(())).expect("answered").state, RotationState::Committed);
        }
        assert_eq!(runs(root.path()), 1);
    }

    #[tokio::test]
    async fn what_fails_or_does_nothing_is_told_and_not_tried_again() {
        for (command, proof, why, ran) in [
            ("echo run >> ran; exit 3", "", "repair_failed", 1),
            ("echo run >> ran; sleep 60", "", "repair_failed", 1),
            (RUN, "test -e applied", "not_repaired", 1),
            (RUN, "restart", "not_restarted", 1),
        ] {
            let root = tempfile::tempdir().expect("directory");
            let (mut rotator, _lock) = repaired(root.path(), command, proof);
            rotator.renew(&order(1), Ok(())).expect("ordered");
            let report = ended(&mut rotator).await;
            assert_eq!((report.state, reason(&report)), (RotationState::RolledBack, why), "{report:?}");
            assert_eq!((report.proof, runs(root.path())), (None, ran), "{why}");
        }
    }

    #[tokio::test]
    async fn what_is_repaired_already_is_committed_and_nothing_is_run() {
        let root = tempfile::tempdir().expect("directory");
        let (mut rotator, _lock) = repaired(root.path(), RUN, "true");
        rotator.renew(&order(1), Ok(())).expect("ordered");
        let report = ended(&mut rotator).await;
        assert_eq!((report.state, report.proof), (RotationState::Committed, Some(RepairProof::Command)), "{report:?}");
        assert_eq!(runs(root.path()), 0);
        assert!(report.steps.iter().any(|step| step.note.contains("repaired already")), "{report:?}");
    }

    #[tokio::test]
    async fn nothing_is_run_while_the_power_is_not_safe() {
        let root = tempfile::tempdir().expect("directory");
        let (mut rotator, _lock) = repaired(root.path(), RUN, "");
        let on_battery = PowerUnsafe { state: PowerState::OnBattery, message: "on battery" };
        let refused = rotator.renew(&order(1), Err(on_battery)).expect_err("on battery");
        assert_eq!(refused.reason, RefusalReason::PowerUnsafe);
        rotator.renew(&order(1), Ok(())).expect("ordered");
        // A shutdown is scheduled between the order and the command.
        std::fs::write(root.path().join("none"), "").expect("write");
        let report = ended(&mut rotator).await;
        assert_eq!((report.state, reason(&report), runs(root.path())), (RotationState::RolledBack, "power_unsafe", 0));
    }

    #[tokio::test]
    async fn a_repair_is_not_taken_back_and_takes_no_key() {
        let root = tempfile::tempdir().expect("directory");
        let (mut rotator, _lock) = repaired(root.path(), RUN, "");
        let mut opened = open();
        opened.target = order(1).target;
        assert_eq!(rotator.open(&opened, Ok(())).expect_err("no key").reason, RefusalReason::WrongClass);
        rotator.renew(&order(1), Ok(())).expect("ordered");
        rotator.advance(|_| {}).await;
        let back = RollbackOrder { target: order(1).target };
        let refused = rotator.roll_back(&back, || true).await.expect_err("nothing brings back what a module has done");
        assert_eq!(refused.reason, RefusalReason::KeystoreRefused, "{refused:?}");
    }

    /// The journal as a crash leaves it: in each state, with the command run as often as it says, and no more after the next start.
    #[tokio::test]
    async fn a_repair_that_was_cut_off_is_never_begun_a_second_time() {
        let renewing = Renewal::Renewing { before: None };
        let proving = Renewal::Proving { before: None };
        for (found, proof, has_ended, is_restarted, expected) in [
            (Renewal::Ordered, "", false, false, (RotationState::RolledBack, "restarted_before_renewal")),
            (renewing.clone(), "", false, false, (RotationState::RolledBack, "repair_cut_off")),
            (proving.clone(), "", true, false, (RotationState::Committed, "")),
            // The module has ended this program itself.
            (renewing.clone(), "true", false, false, (RotationState::Committed, "")),
            (renewing.clone(), "false", false, false, (RotationState::RolledBack, "not_repaired")),
            // The host went down before the end of the command was written, or after it.
            (renewing.clone(), "restart", false, true, (RotationState::Committed, "")),
            (proving.clone(), "restart", true, true, (RotationState::Committed, "")),
            (proving.clone(), "restart", true, false, (RotationState::RolledBack, "not_restarted")),
            (renewing, "restart", false, false, (RotationState::RolledBack, "not_restarted")),
        ] {
            let case = format!("{found:?}, {proof}, {has_ended}, {is_restarted}");
            let root = tempfile::tempdir().expect("directory");
            let (mut rotator, lock) = repaired(root.path(), RUN, proof);
            rotator.renew(&order(1), Ok(())).expect("ordered");
            let is_ordered = found == Renewal::Ordered;
            let rotation = rotator.record.rotation.as_mut().expect("a repair");
            rotation.repair = Some(RepairRecord { boot: platform::boot_id(), ended_at: None, proof: None });
            rotation.state = Phase::Renewal { step: found };
            // However often it was: a freeze would be ended by a person, where there is nothing to mend.
            rotation.recoveries = if is_ordered { 0 } else { 9 };
            match &mut rotation.repair {
                repair if is_ordered => *repair = None,
                Some(repair) => {
                    repair.ended_at = has_ended.then(Timestamp::now);
                    if is_restarted {
                        "another start".clone_into(&mut repair.boot);
                    }
                }
                None => panic!("it is noted"),
            }
            rotator.save_record();
            drop(rotator);
            let mut rotator = repaired_anew(root.path(), RUN, proof, &lock);
            rotator.finish(|_| {}).await;
            let report = rotator.report().expect("a repair");
            assert_eq!((report.state, reason(&report)), expected, "{case}: {report:?}");
            assert_eq!(runs(root.path()), 0, "{case}");
        }
    }
}
