//! A model of a host, driven by decisions under arbitrary faults: safe at every step, and quiet once faults stop.

use proptest::prelude::*;

use super::*;
use crate::decide::renewal::later;
use crate::decide::standing::{highest_generation, is_out_of_reach};

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
    /// It restarts: what was undeployed is rolled back.
    Restart,
    /// Its rotation fails.
    Fail,
    /// Its agent takes ten minutes more for what it does.
    Hang,
    /// Somebody replaces the leaf.
    Tamper,
    /// The API server was restored from an older backup.
    Restore,
    /// Somebody writes an annotation of the password's Secret.
    Annotate,
    /// Somebody changes the password.
    ChangePassword,
    /// The operator ends while somebody does the former.
    AnnotateUnseen,
    /// The operator ends while somebody does the latter.
    ChangePasswordUnseen,
}

struct World {
    resource: Resource,
    backup: ManagedAgentCertificateStatus,
    report: AgentReport,
    at: Timestamp,
    leaves: u8,
    writes: u32,
    /// As the operator remembers it.
    works_since: Option<Timestamp>,
    /// Since when the leaf in force is not served.
    dark_since: Option<Timestamp>,
    secret: Secret,
    /// Of the password, by its number: what the store has, and what an opened rotation was told.
    stored: u32,
    told: u32,
    /// Rotations that were opened for another password.
    for_password: u32,
}

/// The Secret with the password, and what the operator knows of it.
struct Secret {
    number: u32,
    /// Grows with every write.
    word: u32,
    /// Words that this process has read or was told of, with the password that went by each, or with none that is this one.
    words: Vec<(u32, Option<u32>)>,
}

impl Secret {
    fn write(&mut self, is_other: bool, is_seen: bool) {
        self.word += 1;
        self.number += u32::from(is_other);
        if !is_seen {
            self.words.clear();
        }
        self.words.push((self.word, Some(self.number)));
    }

    fn version(&self) -> PasswordVersion {
        let words = self.words.iter().filter(|(word, _)| *word != self.word);
        let (before, others): (Vec<_>, Vec<_>) = words.partition(|(_, number)| *number == Some(self.number));
        let words = |known: Vec<&(u32, Option<u32>)>| known.into_iter().map(|(word, _)| word.to_string()).collect();
        PasswordVersion { word: self.word.to_string(), before: words(before), others: words(others) }
    }
}

/// Longer than the operator takes what it knew for true: from the drift that a rotation is opened for until the chain is on its
/// way, from then on, and the longest steps of the clock in both.
const LONGEST_BELIEF: Duration = Duration::from_secs(2 * 120 + 2 * 60);

const HANG: Duration = Duration::from_secs(600);
/// In that time; the operator looks at least as often while a host works.
const HANG_LOOKS: u32 = 5;

impl Fault {
    /// Looks while it goes on.
    const fn looks(self) -> u32 {
        if matches!(self, Self::Hang) { HANG_LOOKS } else { 1 }
    }
}

impl World {
    fn new() -> Self {
        let mut resource = resource();
        resource.held = false;
        let backup = resource.status.clone();
        let report = report(0, &leaf(200, now(), QUARTER));
        let secret = Secret { number: 1, word: 1, words: vec![(1, Some(1))] };
        Self {
            resource,
            backup,
            report,
            at: now(),
            leaves: 0,
            writes: 0,
            works_since: None,
            dark_since: None,
            secret,
            stored: 0,
            told: 0,
            for_password: 0,
        }
    }

    fn round(&mut self, fault: Fault) -> Result<Step, TestCaseError> {
        self.strike(fault);
        self.report.time = self.at;
        let away = Obstacle::new(BlockedBy::HostUnreachable, "away");
        let policy = Policy::default();
        let host = if matches!(fault, Fault::Away) { Observed::Unseen(&away) } else { Observed::Seen(&self.report) };
        if let Some(report) = host.report() {
            let works = report.rotation.as_ref().is_some_and(|rotation| !rotation.state.is_decided());
            self.works_since = works.then(|| self.works_since.unwrap_or(self.at));
        }
        let references = References { password: Some(Ok(self.secret.version())), issuer: None };
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
        self.check(&decision)?;
        self.check_ready(&decision.status)?;
        if decision.step.acts() && !matches!(fault, Fault::Deaf) {
            self.works_since = None;
        }
        self.writes += u32::from(decision.status != self.resource.status);
        self.resource.status = decision.status;
        match decision.step {
            Step::EnsureFinalizer => self.resource.held = true,
            Step::ReleaseFinalizer | Step::Gone => return Err(TestCaseError::fail("nobody deleted it")),
            Step::HandOver { .. } => return Err(TestCaseError::fail("nobody gives hosts away")),
            Step::Open { generation, trigger } if !matches!(fault, Fault::Deaf) => {
                self.for_password += u32::from(trigger == RotationTrigger::PasswordChanged);
                self.open(generation)?;
            }
            Step::AskPassword { .. } if !matches!(fault, Fault::Deaf) => self.ask_password()?,
            Step::Deliver { generation } if !matches!(fault, Fault::Deaf) => self.deliver(generation)?,
            Step::Rollback { generation } if !matches!(fault, Fault::Deaf) => self.roll_back(generation)?,
            Step::Open { .. } | Step::AskPassword { .. } | Step::Deliver { .. } | Step::Rollback { .. } => {}
            Step::Follow { .. } => self.work(fault),
            Step::Blocked { retry, .. } => self.at = retry,
            Step::Idle { .. } => {}
        }
        if matches!(fault, Fault::Amnesia) {
            // The status is durable, nothing else is
            self.at = later(self.at, Duration::from_secs(30));
            (self.works_since, self.dark_since) = (None, None);
        }
        self.at = later(self.at, Duration::from_secs(1));
        Ok(decision.step)
    }

    fn check(&self, decision: &Decision) -> Result<(), TestCaseError> {
        let used = self.resource.status.rotation.as_ref().map_or(0, |rotation| rotation.generation);
        match decision.step {
            Step::Open { generation, .. } => {
                prop_assert_eq!(self.report.power.state, PowerState::Mains);
                prop_assert!(!self.resource.spec.rotation.paused);
                prop_assert!(generation.0 >= used && generation > self.report.generation, "{} is used", generation);
                let written = decision.status.rotation.as_ref().map(|rotation| rotation.generation);
                prop_assert_eq!(
                    written,
                    Some(generation.0),
                    "the generation is in the status before the host hears of it"
                );
            }
            Step::Deliver { .. } => prop_assert_eq!(self.report.power.state, PowerState::Mains),
            _ => {}
        }
        let text = serde_json::to_string(&decision.status).expect("plain data");
        prop_assert!(text.len() < 16 * 1024);
        Ok(())
    }

    /// Holds B7: what is not served is not called ready for longer than a rotation usually takes.
    fn check_ready(&mut self, status: &ManagedAgentCertificateStatus) -> Result<(), TestCaseError> {
        let is_dark = status
            .leaf
            .as_ref()
            .is_some_and(|leaf| !matches!(&self.report.served, Sighting::Leaf(served) if served.sha256 == leaf.sha256));
        self.dark_since = is_dark.then(|| self.dark_since.unwrap_or(self.at));
        let is_believed = self.dark_since.is_none_or(|since| self.at < later(since, LONGEST_BELIEF));
        let is_ready = status.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True");
        prop_assert!(is_believed || !is_ready, "dark since {:?} at {}", self.dark_since, self.at);
        Ok(())
    }

    fn strike(&mut self, fault: Fault) {
        self.report.power.state = PowerState::Mains;
        match fault {
            Fault::Power(state) => self.report.power.state = state,
            Fault::Restart => {
                if let Some(rotation) = self.report.rotation.as_mut().filter(|r| r.state <= RotationState::BackedUp) {
                    rotation.state = RotationState::RolledBack;
                }
            }
            Fault::Tamper => {
                let foreign = Sighting::Leaf(leaf(250, self.at, QUARTER));
                (self.report.stored, self.report.served) = (foreign.clone(), foreign);
            }
            Fault::Restore => self.resource.status = self.backup.clone(),
            Fault::Annotate => self.secret.write(false, true),
            Fault::ChangePassword => self.secret.write(true, true),
            Fault::AnnotateUnseen => self.secret.write(false, false),
            Fault::ChangePasswordUnseen => self.secret.write(true, false),
            Fault::None | Fault::Away | Fault::Deaf | Fault::Amnesia | Fault::Fail | Fault::Hang => {}
        }
    }

    /// As the host does, and the operator remembers.
    fn ask_password(&mut self) -> Result<(), TestCaseError> {
        let busy = self.report.rotation.as_ref().is_some_and(|rotation| !rotation.state.is_decided());
        prop_assert!(!busy, "a host would refuse a question in a rotation");
        let leaf = self.resource.status.leaf.as_ref().and_then(|leaf| leaf.password_version.as_deref());
        let word: u32 = leaf.and_then(|word| word.parse().ok()).expect("a question is about a word");
        prop_assert!(self.secret.words.iter().all(|(known, _)| *known != word), "it knows that");
        let is_same = self.stored == self.secret.number;
        self.secret.words.push((word, is_same.then_some(self.secret.number)));
        Ok(())
    }

    /// As the host does: a number that was used is refused.
    fn open(&mut self, generation: Generation) -> Result<(), TestCaseError> {
        prop_assert!(generation > self.report.generation, "a host would refuse {}", generation);
        let busy = self.report.rotation.as_ref().is_some_and(|rotation| !rotation.state.is_decided());
        prop_assert!(!busy, "a host would refuse a second rotation");
        self.report.generation = generation;
        self.report.rotation = Some(rotation(generation.0, RotationState::Keyed));
        self.told = self.secret.number;
        Ok(())
    }

    fn deliver(&mut self, generation: Generation) -> Result<(), TestCaseError> {
        let leaf = leaf(self.leaves % 199 + 1, self.at, QUARTER);
        // What the operator does first; when the host is told in vain, the same is pushed again
        let on_record = self.resource.status.rotation.as_ref().map_or(0, |rotation| rotation.signed.len());
        if on_record < 4 {
            sign(&mut self.resource, &leaf);
        }
        let rotation =
            self.report.rotation.as_mut().filter(|r| r.generation == generation && r.state == RotationState::Keyed);
        let Some(rotation) = rotation else { return Err(TestCaseError::fail("nobody waits for that chain")) };
        self.leaves = self.leaves % 199 + 1;
        rotation.leaf = Some(leaf);
        rotation.state = RotationState::Validated;
        Ok(())
    }

    fn roll_back(&mut self, generation: Generation) -> Result<(), TestCaseError> {
        let rotation = self.report.rotation.as_mut().filter(|r| r.generation == generation);
        let Some(rotation) = rotation else { return Err(TestCaseError::fail("no such rotation")) };
        prop_assert!(rotation.state <= RotationState::BackedUp, "a deployed rotation is not called off");
        rotation.state = RotationState::RolledBack;
        Ok(())
    }

    fn work(&mut self, fault: Fault) {
        if matches!(fault, Fault::Hang) {
            self.at = later(self.at, HANG / HANG_LOOKS);
            return;
        }
        let Some(rotation) = self.report.rotation.as_mut() else { return };
        rotation.state = match rotation.state {
            RotationState::Requested => RotationState::Keyed,
            RotationState::Validated => RotationState::Staged,
            RotationState::Staged => RotationState::BackedUp,
            RotationState::BackedUp => RotationState::Swapped,
            RotationState::Swapped | RotationState::Restarting if matches!(fault, Fault::Fail) => {
                self.report.served = self.report.stored.clone();
                RotationState::RolledBack
            }
            RotationState::Swapped => {
                self.report.served = Sighting::Unseen { reason: "connect".into(), message: "refused".into() };
                RotationState::Restarting
            }
            RotationState::Restarting => RotationState::Verifying,
            RotationState::Verifying => {
                self.stored = self.told;
                if let Some(leaf) = rotation.leaf.clone() {
                    self.report.stored = Sighting::Leaf(leaf.clone());
                    self.report.served = Sighting::Leaf(leaf);
                }
                RotationState::Committed
            }
            // No product of this model renews by itself.
            state @ (RotationState::Renewing
            | RotationState::Keyed
            | RotationState::Committed
            | RotationState::RollingBack
            | RotationState::RolledBack
            | RotationState::Frozen) => state,
        };
    }
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        6 => Just(Fault::None),
        1 => Just(Fault::Away),
        1 => Just(Fault::Power(PowerState::OnBattery)),
        1 => Just(Fault::Power(PowerState::Stale)),
        1 => Just(Fault::Deaf),
        1 => Just(Fault::Amnesia),
        1 => Just(Fault::Restart),
        1 => Just(Fault::Fail),
        3 => Just(Fault::Hang),
        1 => Just(Fault::Tamper),
        1 => Just(Fault::Restore),
        1 => Just(Fault::Annotate),
        1 => Just(Fault::ChangePassword),
        1 => Just(Fault::AnnotateUnseen),
        1 => Just(Fault::ChangePasswordUnseen),
    ]
}

/// Rounds after the last fault until all is quiet: two pauses, a rotation called off, a rotation of ten states, and looks
/// every five minutes for as long as drift is taken for the same drift.
const ENOUGH: usize = 260;

proptest! {
    #[test]
    fn from_any_faults_it_converges_and_then_writes_nothing(faults in proptest::collection::vec(fault(), 0..80)) {
        let mut world = World::new();
        for fault in faults {
            for _ in 0..fault.looks() {
                world.round(fault)?;
            }
        }
        let mut last = Step::Gone;
        for _ in 0..ENOUGH {
            last = world.round(Fault::None)?;
        }
        if matches!(last, Step::Blocked { by: BlockedBy::DriftRecurs, .. }) {
            // A leaf that was replaced again and again, or right after a rotation, is left to a person, who asks anew
            world.resource.rotate = Some("mended".into());
            for _ in 0..ENOUGH {
                last = world.round(Fault::None)?;
            }
        }
        prop_assert!(matches!(last, Step::Idle { .. }), "{:?} {:?}", last, world.resource.status);
        let ready = world.resource.status.conditions.iter().find(|c| c.type_ == "Ready").map(|c| c.status.clone());
        prop_assert_eq!(ready.as_deref(), Some("True"));
        prop_assert_eq!(world.stored, world.secret.number, "the password in force is the one that the Secret holds");
        (world.writes, world.for_password) = (0, 0);
        for fault in [Fault::Annotate, Fault::AnnotateUnseen, Fault::Annotate, Fault::AnnotateUnseen] {
            for fault in [fault, Fault::None, Fault::None] {
                world.round(fault)?;
            }
        }
        prop_assert_eq!((world.for_password, world.writes), (0, 4), "only the word is written anew");
        world.writes = 0;
        for _ in 0..10 {
            world.at = later(world.at, Duration::from_secs(300));
            prop_assert!(matches!(world.round(Fault::None)?, Step::Idle { .. }), "still at rest");
        }
        prop_assert_eq!(world.writes, 0, "at rest nothing is written");
    }

    #[test]
    fn it_is_total(inputs in anything()) {
        let Anything { resource, report, rival, setback, references, at } = inputs;
        let away = Obstacle::new(BlockedBy::HostUnreachable, "away");
        let policy = Policy::default();
        let decision = decide(&Inputs {
            resource: &resource,
            host: report.as_ref().map_or(Observed::Unseen(&away), Observed::Seen),
            rival: rival.then_some(&Rival { namespace: "n".into(), name: "m".into() }),
            setback: setback.as_ref(),
            works_for: None,
            ordered: None,
            references: &references,
            policy: &policy,
            now: at,
        });
        if !matches!(decision.step, Step::EnsureFinalizer | Step::ReleaseFinalizer | Step::Gone) {
            check_conditions(&resource, report.as_ref(), &decision.status, at)?;
        }
        let stands_at = report.as_ref().map_or(0, highest_generation);
        let starts = matches!(decision.step, Step::Open { .. } | Step::Deliver { .. });
        if starts {
            prop_assert!(!rival && resource.deleted_at.is_none() && resource.held);
            prop_assert_eq!(report.map(|r| r.power.state), Some(PowerState::Mains));
        }
        if let Step::Open { generation, .. } = decision.step {
            prop_assert!(!resource.spec.rotation.paused);
            prop_assert!(generation.0 <= i64::MAX.unsigned_abs());
            // One that the host could never take any more is forgotten.
            let is_kept = |own: u64| own <= generation.0 || is_out_of_reach(own, stands_at);
            prop_assert!(resource.status.rotation.is_none_or(|own| is_kept(own.generation)));
        }
        prop_assert!(decision.status.history.len() <= 6);
    }
}

/// Holds B7: what kstatus expects of the conditions, and what Ready promises.
fn check_conditions(
    resource: &Resource,
    report: Option<&AgentReport>,
    status: &ManagedAgentCertificateStatus,
    at: Timestamp,
) -> Result<(), TestCaseError> {
    let find = |kind: &str| status.conditions.iter().find(|c| c.type_ == kind);
    let is_true = |kind: &str| find(kind).is_some_and(|c| c.status == "True");
    for kind in ["Ready", "Verified", "Serving"] {
        prop_assert!(find(kind).is_some(), "{} is always there", kind);
    }
    let is_pushed = matches!(resource.spec.procedure, Procedure::Push(_));
    for kind in ["Issued", "Deployed"] {
        prop_assert_eq!(find(kind).is_some(), is_pushed, "{} is there where something is pushed", kind);
    }
    for kind in ["Reconciling", "Stalled", "Blocked", "IssuerEnding"] {
        prop_assert_eq!(find(kind).is_some(), is_true(kind), "{} is there only when it is true", kind);
    }
    prop_assert!(!(is_true("Reconciling") && is_true("Stalled")), "they exclude each other");
    prop_assert_eq!(status.observed_generation, Some(resource.generation));
    if is_true("Ready") {
        let leaf = status.leaf.as_ref().expect("Ready without a leaf");
        if is_pushed {
            prop_assert_eq!(&leaf.request_digest, &crate::decide::request_digest(&resource.spec));
        }
        prop_assert!(at < leaf.not_after);
        let served = report.map(|report| &report.served);
        prop_assert!(matches!(served, Some(Sighting::Leaf(served)) if served.sha256 == leaf.sha256), "{:?}", served);
        prop_assert!(is_true("Serving"));
    }
    Ok(())
}

#[derive(Debug)]
struct Anything {
    resource: Resource,
    report: Option<AgentReport>,
    rival: bool,
    setback: Option<Setback>,
    references: References,
    at: Timestamp,
}

const POWERS: [PowerState; 6] = [
    PowerState::Mains,
    PowerState::OnBattery,
    PowerState::LowBattery,
    PowerState::ShutdownPending,
    PowerState::Unknown,
    PowerState::Stale,
];

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..4, Just(i64::MAX.unsigned_abs()), Just(u64::MAX), any::<u64>()]
}

fn time() -> impl Strategy<Value = Timestamp> {
    let seconds = prop_oneof![
        Just(Timestamp::MIN.as_second()),
        Just(Timestamp::MAX.as_second()),
        -1_000_000_000i64..20_000_000_000,
        now().as_second() - 400..now().as_second() + 400
    ];
    seconds.prop_map(|second| Timestamp::from_second(second).expect("within range"))
}

fn some_leaf() -> impl Strategy<Value = Leaf> {
    (0u8..4, time(), time())
        .prop_map(|(seed, not_before, not_after)| Leaf { not_after, ..leaf(seed, not_before, QUARTER) })
}

fn some_rotation() -> impl Strategy<Value = RotationReport> {
    (number(), 0..RotationState::ALL.len(), any::<bool>(), proptest::option::of(some_leaf())).prop_map(
        |(n, state, csr, leaf)| RotationReport {
            csr: csr.then(|| "CSR".into()),
            leaf,
            ..rotation(n, RotationState::ALL[state])
        },
    )
}

fn some_report() -> impl Strategy<Value = AgentReport> {
    (number(), 0..POWERS.len(), some_leaf(), some_leaf(), proptest::option::of(some_rotation()), time(), any::<bool>())
        .prop_map(|(generation, power, stored, served, rotation, time, seen)| {
            let mut report = report(generation, &stored);
            report.served = Sighting::Leaf(served);
            if !seen {
                report.stored = Sighting::Unseen { reason: "io".into(), message: "cannot read".into() };
            }
            (report.power.state, report.rotation, report.time) = (POWERS[power], rotation, time);
            report
        })
}

fn some_status() -> impl Strategy<Value = ManagedAgentCertificateStatus> {
    let rotation = (number(), 0..RotationState::ALL.len(), time(), any::<u32>(), any::<bool>());
    let ended = proptest::collection::vec((number(), time(), 0..4usize), 0..5);
    (proptest::option::of(rotation), proptest::option::of(some_leaf()), ended).prop_map(|(rotation, leaf, ended)| {
        let digest = crate::decide::request_digest(&resource().spec);
        ManagedAgentCertificateStatus {
            rotation: rotation.map(|(generation, state, started_at, attempts, same)| {
                kagiban_crds::resource::RotationStatus {
                    generation,
                    trigger: RotationTrigger::Renewal,
                    state: RotationState::ALL[state],
                    started_at,
                    attempts,
                    request_digest: if same { digest.clone() } else { String::new() },
                    rotate: same.then(|| "once".to_owned()),
                    password_version: None,
                    signed: vec![signed(&self::leaf(1, now(), QUARTER))],
                }
            }),
            leaf: leaf.map(|leaf| kagiban_crds::resource::LeafStatus {
                sha256: leaf.sha256,
                serial: leaf.serial,
                issuer: leaf.issuer,
                not_before: leaf.not_before,
                not_after: leaf.not_after,
                // One leaf in four was asked for with another spec
                request_digest: if leaf.sha256.as_bytes()[0] == 3 { String::new() } else { digest.clone() },
                issuer_sha256: Some("ca".into()),
                password_version: None,
                verified_url: None,
                verified_client: None,
            }),
            history: ended
                .into_iter()
                .map(|(generation, finished_at, outcome)| kagiban_crds::resource::HistoryEntry {
                    generation,
                    outcome: [Outcome::Committed, Outcome::RolledBack, Outcome::Frozen, Outcome::Lost][outcome],
                    sha256: None,
                    finished_at,
                    reason: None,
                    serials: Vec::new(),
                })
                .collect(),
            ..ManagedAgentCertificateStatus::default()
        }
    })
}

fn anything() -> impl Strategy<Value = Anything> {
    let flags = (
        any::<bool>(),
        any::<bool>(),
        proptest::option::of(time()),
        proptest::option::of("[a-z]{1,4}"),
        // The class of the product, and whether its certificate is shown
        (any::<bool>(), any::<bool>()),
    );
    let setback = proptest::option::of((any::<u32>(), time()));
    let references = (proptest::option::of(proptest::bool::weighted(0.8)), time());
    (
        some_status(),
        proptest::option::of(some_report()),
        proptest::bool::weighted(0.1),
        setback,
        references,
        time(),
        flags,
    )
        .prop_map(
            |(status, report, rival, setback, (issuer, end), at, (held, paused, deleted_at, rotate, of_class))| {
                let (is_trigger, is_shown) = of_class;
                let of_class = if is_trigger { trigger::self_renewing() } else { resource() };
                let mut resource = Resource { status, held, deleted_at, rotate, ..of_class };
                resource.spec.rotation.paused = paused;
                let setback = setback.map(|(count, at)| Setback {
                    obstacle: Obstacle::new(BlockedBy::HostBusy, "busy"),
                    count,
                    at,
                });
                let missing = || Obstacle::new(BlockedBy::IssuerUnavailable, "no such Secret");
                let issuer =
                    issuer.map(|there| if there { Ok(IssuerFacts::sample("ca", end)) } else { Err(missing()) });
                let issuer = issuer.filter(|_| !is_trigger);
                let report = report.map(|mut report| {
                    if is_trigger {
                        report.product = resource.spec.agent.product.id().to_owned();
                        report.name = resource.spec.agent.name.parse().expect("a name");
                    }
                    if is_shown {
                        let made = trigger::made(now(), QUARTER);
                        (report.served, report.certificate) = (Sighting::Leaf(made.leaf), Some(made.pem));
                    }
                    report
                });
                Anything { resource, report, rival, setback, references: References { issuer, password: None }, at }
            },
        )
}
