//! A fleet whose certificates live for an hour, over two days of virtual time: what the pauses, the gains and the gates come to
//! when they act together.

use super::super::renewal::later;
use super::*;

const HOUR: Duration = Duration::from_secs(3600);
/// What a pass waits at most, whatever the decision says.
const RESYNC: Duration = Duration::from_secs(300);
/// How long a host takes for each of the states between a delivered chain and its end.
const STEP: Duration = Duration::from_secs(5);

/// What is wrong with a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ailment {
    None,
    /// So many of ten rotations are rolled back.
    Fails(u64),
    /// It cannot be reached for the first ten minutes of every hour.
    Away,
    /// It runs on battery for the first ten minutes of every hour.
    OnBattery,
    /// It says that another leaf is stored, whatever was written.
    Lies,
}

/// One host with one agent and its resource, as operator and host see each other.
struct Pair {
    resource: Resource,
    report: AgentReport,
    ailment: Ailment,
    away: Option<Setback>,
    /// When the host goes a step further.
    moves_at: Timestamp,
    next: Timestamp,
    random: u64,
    opens: u32,
    leaves: u64,
    expired_for: Duration,
    writes: u32,
}

impl Pair {
    fn new(number: u64, ailment: Ailment) -> Self {
        let mut resource = resource();
        resource.uid = format!("uid-{number}");
        push(&mut resource.spec).certificate = certificate("1h", None, None);
        let report = report(0, &leaf(255, now(), HOUR));
        let (moves_at, next) = (now(), at(number));
        Self {
            resource,
            report,
            ailment,
            away: None,
            moves_at,
            next,
            random: number + 1,
            opens: 0,
            leaves: 0,
            expired_for: Duration::ZERO,
            writes: 0,
        }
    }

    /// One look, and the time of the next.
    fn look(&mut self, references: &References) {
        let time = self.next;
        self.progress(time);
        self.report.time = time;
        let is_first_sixth = (time.as_second() - now().as_second()).rem_euclid(3600) < 600;
        self.report.power.state = match self.ailment {
            Ailment::OnBattery if is_first_sixth => PowerState::OnBattery,
            _ => PowerState::Mains,
        };
        let unreachable = Obstacle::new(BlockedBy::HostUnreachable, "away");
        let is_away = self.ailment == Ailment::Away && is_first_sixth;
        self.away = is_away.then(|| Setback {
            obstacle: unreachable.clone(),
            count: self.away.as_ref().map_or(1, |setback| setback.count + 1),
            at: time,
        });
        let policy = Policy { resync: RESYNC, ..Policy::default() };
        let decision = decide(&Inputs {
            resource: &self.resource,
            host: if is_away { Observed::Unseen(&unreachable) } else { Observed::Seen(&self.report) },
            rival: None,
            setback: self.away.as_ref(),
            works_for: None,
            ordered: None,
            references,
            policy: &policy,
            now: time,
        });
        self.writes += u32::from(decision.status != self.resource.status);
        self.resource.status = decision.status;
        let wait = self.act(decision.step, time);
        self.next = later(time, wait.clamp(Duration::from_secs(1), RESYNC));
        self.count_expiry(time);
    }

    fn act(&mut self, step: Step, time: Timestamp) -> Duration {
        let until = |until: Timestamp| Duration::try_from(until.duration_since(time)).unwrap_or_default();
        match step {
            Step::Open { generation, .. } => {
                self.opens += 1;
                self.report.generation = generation;
                self.report.rotation = Some(rotation(generation.0, RotationState::Keyed));
                Duration::ZERO
            }
            Step::Deliver { .. } => {
                self.leaves += 1;
                let new = Leaf {
                    sha256: LeafSha256::new([u8::try_from(self.leaves % 200).expect("small"); 32]),
                    ..leaf(1, time, HOUR)
                };
                sign(&mut self.resource, &new);
                let rotation = self.report.rotation.as_mut().expect("it is delivered to a rotation");
                (rotation.leaf, rotation.state) = (Some(new), RotationState::Validated);
                self.moves_at = later(time, STEP);
                Duration::ZERO
            }
            Step::Follow { after, .. } => after,
            Step::Blocked { retry, .. } => until(retry),
            Step::Idle { until: time } => until(time),
            other => panic!("{other:?}"),
        }
    }

    /// The host works while nobody looks.
    fn progress(&mut self, time: Timestamp) {
        let fails = self.is_unlucky();
        let Some(rotation) = self.report.rotation.as_mut() else { return };
        while time >= self.moves_at {
            self.moves_at = later(self.moves_at, STEP);
            rotation.state = match rotation.state {
                RotationState::Validated => RotationState::Restarting,
                RotationState::Restarting if fails => RotationState::RolledBack,
                RotationState::Restarting => {
                    let seen = Sighting::Leaf(rotation.leaf.clone().expect("it was delivered"));
                    self.report.served = seen.clone();
                    if self.ailment != Ailment::Lies {
                        self.report.stored = seen;
                    }
                    RotationState::Committed
                }
                _ => return,
            };
        }
    }

    fn is_unlucky(&mut self) -> bool {
        // Knuth's MMIX generator: the run is the same every time
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        matches!(self.ailment, Ailment::Fails(of_ten) if (self.random >> 33) % 10 < of_ten)
    }

    fn count_expiry(&mut self, time: Timestamp) {
        let expiry = self.resource.status.leaf.as_ref().map(|leaf| leaf.not_after);
        if let Some(expiry) = expiry.filter(|expiry| *expiry < self.next) {
            let from = expiry.max(time);
            self.expired_for += Duration::try_from(self.next.duration_since(from)).unwrap_or_default();
        }
    }
}

fn run(pairs: &mut [Pair], hours: u64, references: impl Fn(Timestamp) -> References) {
    let end = at(hours * 3600);
    for pair in pairs {
        while pair.next < end {
            let references = references(pair.next);
            pair.look(&references);
        }
    }
}

fn fleet(ailment: Ailment) -> Vec<Pair> {
    (0..20).map(|number| Pair::new(number * 61, ailment)).collect()
}

fn good_issuer(_: Timestamp) -> References {
    issuer("ca", at(1_000_000_000))
}

const HOURS: u64 = 48;

/// Holds B5: of a certificate that lives for an hour, 76 % of the time was spent expired.
#[test]
fn a_fleet_with_certificates_of_an_hour_is_never_expired_and_rotates_no_more_than_it_must() {
    // One renewal every two thirds of an hour, less a jitter of up to 2 minutes
    let most = u32::try_from(HOURS * 60 / 38).expect("small") + 1;
    for ailment in [Ailment::None, Ailment::Away, Ailment::OnBattery] {
        let mut pairs = fleet(ailment);
        run(&mut pairs, HOURS, good_issuer);
        for pair in pairs {
            assert_eq!(pair.expired_for, Duration::ZERO, "{ailment:?}");
            assert!((48..=most).contains(&pair.opens), "{ailment:?}: {} rotations", pair.opens);
        }
    }
}

/// Holds B5: failures make the next try wait, and the waits end before the leaf does.
#[test]
fn a_fleet_whose_rotations_often_fail_is_hardly_ever_expired_and_is_not_hammered() {
    let mut pairs = fleet(Ailment::Fails(5));
    run(&mut pairs, HOURS, good_issuer);
    let expired: Duration = pairs.iter().map(|pair| pair.expired_for).sum();
    let all = HOUR * u32::try_from(HOURS).expect("small") * 20;
    assert!(expired < all / 200, "{} of {} s", expired.as_secs(), all.as_secs());
    for pair in &pairs {
        assert!(pair.opens < 300, "{} rotations", pair.opens);
    }

    let mut pairs = fleet(Ailment::Fails(10));
    run(&mut pairs, HOURS, good_issuer);
    for pair in &pairs {
        // A quarter of the lifetime between two tries, once the pauses have grown
        assert!((150..=210).contains(&pair.opens), "{} rotations that all failed", pair.opens);
    }
}

/// Holds B6: fifteen rotations for the last hours of a CA, fourteen of them with the same end.
#[test]
fn a_fleet_whose_issuer_ends_rotates_once_more_at_most_and_then_waits() {
    let last_hour = HOURS - 1;
    let mut pairs = fleet(Ailment::None);
    let end = at(last_hour * 3600);
    run(&mut pairs, HOURS - 2, |_| issuer("ca", end));
    let before: Vec<_> = pairs.iter().map(|pair| pair.opens).collect();
    run(&mut pairs, last_hour, |_| issuer("ca", end));
    for (pair, before) in pairs.iter().zip(before) {
        assert!(pair.opens <= before + 2, "{} rotations in the last hour", pair.opens - before);
    }
}

/// Holds B17: a host that always shows another leaf restarts its agent for it twice, and then a person is asked.
#[test]
fn a_host_that_lies_about_its_keystore_is_rotated_as_often_as_it_renews_and_little_more() {
    let mut pairs = fleet(Ailment::Lies);
    run(&mut pairs, HOURS, good_issuer);
    for pair in &pairs {
        assert!(pair.opens <= 3 + 80, "{} rotations", pair.opens);
        assert_eq!(pair.resource.status.blocked_by, Some(BlockedBy::DriftRecurs));
    }
}
