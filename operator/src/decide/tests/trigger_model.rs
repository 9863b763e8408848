//! A model of a host whose agent renews its own certificate, driven by decisions under arbitrary faults: safe at every step, and
//! quiet once faults stop.

use proptest::prelude::*;

use super::super::renewal::later;
use super::trigger::{Made, dark, made, self_renewing, serving};
use super::*;

/// What a host does between two decisions.
#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    /// It cannot be reached.
    Away,
    Power(PowerState),
    /// Requests are lost on the way there.
    Deaf,
    /// It did what it was told, and the operator stopped before it learned so.
    Amnesia,
    /// It restarts: what was not begun is rolled back.
    Restart,
    /// The renewal fails, and what was there before is put back.
    Fail,
    /// It says that it has renewed, and has not.
    Lie,
    /// Its agent does not answer.
    Dark,
    /// Its agent takes ten minutes more for what it does.
    Hang,
    /// Its agent renews by itself.
    OwnRenewal,
    /// Its agent serves an older certificate again.
    OlderLeaf,
    /// Nothing happens until the certificate is due.
    Age,
    /// A person asks for a renewal.
    Ask,
    /// The API server was restored from an older backup.
    Restore,
}

/// Longer than the operator takes what it knew for true: see the model of what is pushed.
const LONGEST_BELIEF: Duration = Duration::from_secs(2 * 120 + 2 * 60);
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

struct World {
    resource: Resource,
    backup: ManagedAgentCertificateStatus,
    report: AgentReport,
    served: Made,
    /// All that the agent has ever served.
    shown: Vec<LeafSha256>,
    at: Timestamp,
    asked: u32,
    writes: u32,
    orders: u32,
    works_since: Option<Timestamp>,
    dark_since: Option<Timestamp>,
}

impl World {
    fn new() -> Self {
        let mut resource = self_renewing();
        resource.held = false;
        let served = made(now(), LIFETIME);
        Self {
            backup: resource.status.clone(),
            resource,
            report: serving(&served, now()),
            shown: vec![served.leaf.sha256],
            served,
            at: now(),
            asked: 0,
            writes: 0,
            orders: 0,
            works_since: None,
            dark_since: None,
        }
    }

    fn serve(&mut self, made: Made) {
        self.report.served = Sighting::Leaf(made.leaf.clone());
        self.report.certificate = Some(made.pem.clone());
        self.shown.push(made.leaf.sha256);
        self.served = made;
    }

    fn round(&mut self, fault: Fault) -> Result<Step, TestCaseError> {
        self.strike(fault);
        self.report.time = self.at;
        let away = Obstacle::new(BlockedBy::HostUnreachable, "away");
        let seen = if matches!(fault, Fault::Dark) { dark(&self.report) } else { self.report.clone() };
        let host = if matches!(fault, Fault::Away) { Observed::Unseen(&away) } else { Observed::Seen(&seen) };
        if let Some(report) = host.report() {
            let works = report.rotation.as_ref().is_some_and(|rotation| !rotation.state.is_decided());
            self.works_since = works.then(|| self.works_since.unwrap_or(self.at));
        }
        let (references, policy) = (References::default(), Policy::default());
        let decision = decide(&Inputs {
            resource: &self.resource,
            host,
            rival: None,
            setback: None,
            works_for: self.works_since.map(|since| self.at.duration_since(since).unsigned_abs()),
            ordered: None,
            references: &references,
            policy: &policy,
            now: self.at,
        });
        self.check(&decision, &seen)?;
        let is_heard = !matches!(fault, Fault::Deaf);
        if decision.step.acts() && is_heard {
            self.works_since = None;
        }
        self.writes += u32::from(decision.status != self.resource.status);
        self.resource.status = decision.status;
        match decision.step {
            Step::EnsureFinalizer => self.resource.held = true,
            Step::ReleaseFinalizer | Step::Gone => return Err(TestCaseError::fail("nobody deleted it")),
            Step::HandOver { .. } => return Err(TestCaseError::fail("nobody gives hosts away")),
            Step::AskPassword { .. } | Step::Deliver { .. } => return Err(TestCaseError::fail("nothing is pushed")),
            Step::Open { generation, .. } if is_heard => self.renew(generation)?,
            Step::Rollback { generation } if is_heard => self.roll_back(generation)?,
            Step::Open { .. } | Step::Rollback { .. } => {}
            Step::Follow { after, .. } => {
                self.work(fault);
                self.at = later(self.at, after);
            }
            Step::Blocked { retry, .. } => self.at = retry.max(self.at),
            Step::Idle { .. } => {}
        }
        if matches!(fault, Fault::Amnesia) {
            self.at = later(self.at, Duration::from_secs(30));
            (self.works_since, self.dark_since) = (None, None);
        }
        self.at = later(self.at, Duration::from_secs(1));
        Ok(decision.step)
    }

    fn check(&mut self, decision: &Decision, seen: &AgentReport) -> Result<(), TestCaseError> {
        let status = &decision.status;
        let used = self.resource.status.rotation.as_ref().map_or(0, |rotation| rotation.generation);
        if let Step::Open { generation, .. } = decision.step {
            prop_assert_eq!(self.report.power.state, PowerState::Mains);
            prop_assert!(generation.0 >= used && generation > self.report.generation, "{} is used", generation);
            let written = status.rotation.as_ref().map(|rotation| rotation.generation);
            prop_assert_eq!(written, Some(generation.0), "the generation is in the status before the host hears of it");
        }
        if let Some(leaf) = &status.leaf {
            prop_assert!(self.shown.contains(&leaf.sha256), "nobody has ever served {:?}", leaf);
        }
        // What is called committed was served, and has gained something over what was known before
        if let Some(entry) = status.history.first().filter(|entry| self.resource.status.history.first() != Some(entry))
            && entry.outcome == Outcome::Committed
        {
            let before = self.resource.status.leaf.as_ref().map(|leaf| leaf.not_after);
            prop_assert!(matches!(&seen.served, Sighting::Leaf(leaf) if Some(leaf.sha256) == entry.sha256));
            prop_assert!(before.is_none_or(|before| self.served.leaf.not_after > before), "it has gained nothing");
        }
        let is_dark = status
            .leaf
            .as_ref()
            .is_some_and(|leaf| !matches!(&seen.served, Sighting::Leaf(served) if served.sha256 == leaf.sha256));
        self.dark_since = is_dark.then(|| self.dark_since.unwrap_or(self.at));
        let is_believed = self.dark_since.is_none_or(|since| self.at < later(since, LONGEST_BELIEF));
        let is_ready = status.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True");
        prop_assert!(is_believed || !is_ready, "dark since {:?} at {}", self.dark_since, self.at);
        Ok(())
    }

    fn strike(&mut self, fault: Fault) {
        self.report.power.state = PowerState::Mains;
        let works = self.report.rotation.as_ref().is_some_and(|rotation| !rotation.state.is_decided());
        match fault {
            Fault::Power(state) => self.report.power.state = state,
            Fault::Restart => {
                if let Some(rotation) = self.report.rotation.as_mut().filter(|r| r.state <= RotationState::BackedUp) {
                    rotation.state = RotationState::RolledBack;
                }
            }
            Fault::OwnRenewal if !works => self.serve(made(self.at, LIFETIME)),
            Fault::OlderLeaf if !works => {
                let before = super::super::renewal::earlier(self.at, Duration::from_secs(3600));
                self.serve(made(before, LIFETIME));
            }
            Fault::Age => self.at = self.resource.status.renewal_time.unwrap_or(self.at).max(self.at),
            Fault::Ask => {
                self.asked += 1;
                self.resource.rotate = Some(format!("asked {}", self.asked));
            }
            Fault::Restore => self.resource.status = self.backup.clone(),
            Fault::None
            | Fault::Away
            | Fault::Deaf
            | Fault::Amnesia
            | Fault::Fail
            | Fault::Lie
            | Fault::Dark
            | Fault::Hang
            | Fault::OwnRenewal
            | Fault::OlderLeaf => {}
        }
    }

    /// As the host does: a number that was used is refused.
    fn renew(&mut self, generation: Generation) -> Result<(), TestCaseError> {
        prop_assert!(generation > self.report.generation, "a host would refuse {}", generation);
        let busy = self.report.rotation.as_ref().is_some_and(|rotation| !rotation.state.is_decided());
        prop_assert!(!busy, "a host would refuse a second rotation");
        self.orders += 1;
        self.report.generation = generation;
        self.report.rotation = Some(RotationReport { csr: None, ..rotation(generation.0, RotationState::Requested) });
        Ok(())
    }

    fn roll_back(&mut self, generation: Generation) -> Result<(), TestCaseError> {
        let rotation = self.report.rotation.as_mut().filter(|r| r.generation == generation);
        let Some(rotation) = rotation else { return Err(TestCaseError::fail("no such rotation")) };
        prop_assert!(rotation.state <= RotationState::BackedUp, "a renewal that has begun is not called off");
        rotation.state = RotationState::RolledBack;
        Ok(())
    }

    fn work(&mut self, fault: Fault) {
        if matches!(fault, Fault::Hang) {
            self.at = later(self.at, Duration::from_secs(600));
            return;
        }
        let Some(state) = self.report.rotation.as_ref().map(|rotation| rotation.state) else { return };
        let next = match state {
            RotationState::Requested => RotationState::BackedUp,
            RotationState::BackedUp => RotationState::Renewing,
            RotationState::Renewing | RotationState::Verifying if matches!(fault, Fault::Fail) => {
                RotationState::RolledBack
            }
            RotationState::Renewing if matches!(fault, Fault::Lie) => RotationState::Committed,
            RotationState::Renewing => RotationState::Verifying,
            RotationState::Verifying => {
                self.serve(made(self.at, LIFETIME));
                RotationState::Committed
            }
            state => state,
        };
        if let Some(rotation) = self.report.rotation.as_mut().filter(|rotation| rotation.state != next) {
            rotation.state = next;
            if next == RotationState::Committed {
                rotation.leaf = Some(self.served.leaf.clone());
            }
        }
    }
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        8 => Just(Fault::None),
        1 => Just(Fault::Away),
        1 => Just(Fault::Power(PowerState::OnBattery)),
        1 => Just(Fault::Power(PowerState::Stale)),
        1 => Just(Fault::Deaf),
        1 => Just(Fault::Amnesia),
        1 => Just(Fault::Restart),
        1 => Just(Fault::Fail),
        2 => Just(Fault::Lie),
        2 => Just(Fault::Dark),
        1 => Just(Fault::Hang),
        1 => Just(Fault::OwnRenewal),
        1 => Just(Fault::OlderLeaf),
        4 => Just(Fault::Age),
        1 => Just(Fault::Ask),
        1 => Just(Fault::Restore),
    ]
}

/// Rounds after the last fault until all is quiet: a pause, a renewal called off, one that is carried out.
const ENOUGH: usize = 60;

proptest! {
    #[test]
    fn from_any_faults_it_converges_and_then_writes_nothing(faults in proptest::collection::vec(fault(), 0..80)) {
        let mut world = World::new();
        for fault in faults {
            world.round(fault)?;
        }
        let mut last = Step::Gone;
        for _ in 0..ENOUGH {
            last = world.round(Fault::None)?;
        }
        prop_assert!(matches!(last, Step::Idle { .. }), "{:?} {:?}", last, world.resource.status);
        let ready = world.resource.status.conditions.iter().find(|c| c.type_ == "Ready").map(|c| c.status.clone());
        prop_assert_eq!(ready.as_deref(), Some("True"));
        prop_assert_eq!(world.resource.status.leaf.as_ref().map(|leaf| leaf.sha256), Some(world.served.leaf.sha256));
        // From there each renewal is one order: two of them are six minutes apart
        for round in 0..3 {
            world.orders = 0;
            world.at = later(world.at, Duration::from_secs(360));
            world.round(Fault::Age)?;
            for _ in 0..10 {
                world.round(Fault::None)?;
            }
            prop_assert_eq!(world.orders, 1, "{}", round);
        }
        (world.writes, world.orders) = (0, 0);
        for _ in 0..10 {
            world.at = later(world.at, Duration::from_secs(60));
            let step = world.round(Fault::None)?;
            prop_assert!(matches!(step, Step::Idle { .. }), "still at rest: {:?} {:?}", step, world.resource.status);
        }
        prop_assert_eq!((world.writes, world.orders), (0, 0), "at rest nothing is written");
    }
}
