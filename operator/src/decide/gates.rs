//! What may keep a step from being taken, in order: the first gate that is shut is the one that users see.

use std::time::Duration;

use jiff::Timestamp;
use kagiban_crds::host_api::{PowerState, RotationState};
use kagiban_crds::resource::{BlockedBy, Outcome, Procedure};

use super::case::{Case, Verdict};
use super::clock::{self, LARGEST_SKEW};
use super::inputs::{Obstacle, Setback};
use super::pace::{PART_OF_TIME_TAKEN, before_expiry, doubled};
use super::renewal::later;

/// Between tries while a gate is shut by something that changes by itself, such as power.
const GATE_RETRY: Duration = Duration::from_secs(30);
/// After the first try that failed without harm; it doubles up to the resync interval.
const FIRST_SETBACK: Duration = Duration::from_secs(5);
/// Between looks at a Secret that is waited for: whoever creates it is watching what happens next. Resources that wait for
/// the same Secret share one read of it.
pub(crate) const SECRET_WAIT: Duration = Duration::from_secs(5);

/// Between tries while the host says that it is busy: it holds clients back for an order that it has refused, for a quarter of an hour and no
/// longer (`ORDER_COUNTS` there), so whoever comes later finds others that are being given the certificate.
const BUSY_WAIT: Duration = Duration::from_mins(5);

/// Between looks at a host that froze a moment ago.
const FROZEN_LOOK: Duration = Duration::from_secs(15);

type Gate = fn(&Case<'_>) -> Option<(Obstacle, Timestamp)>;

/// Before a rotation is opened.
const OPENING: [Gate; 7] = [paused, frozen, references, permitted, clock, power, setback];
/// Before a chain is pushed to a host that waits for it; a pause does not stop what is on its way.
const DELIVERING: [Gate; 5] = [references, permitted, clock, power, setback];

/// A frozen agent needs a person, whether anything is due or not.
pub(super) fn before_anything_is_due(case: &Case<'_>) -> Option<Verdict> {
    first_shut(case, &[frozen])
}

/// Whatever is on its way there is another installation's.
pub(super) fn not_ours(case: &Case<'_>) -> Option<Verdict> {
    first_shut(case, &[other_lineage])
}

pub(super) fn before_opening(case: &Case<'_>) -> Option<Verdict> {
    first_shut(case, &OPENING)
}

pub(super) fn before_delivering(case: &Case<'_>) -> Option<Verdict> {
    first_shut(case, &DELIVERING)
}

/// Only the memory of what failed a moment ago.
pub(super) fn before_trying_again(case: &Case<'_>) -> Option<Verdict> {
    first_shut(case, &[setback])
}

/// When what failed a moment ago may be tried again, if that is still to come.
pub(super) fn tried_again_at(case: &Case<'_>) -> Option<Timestamp> {
    setback(case).map(|(_, until)| until)
}

fn first_shut(case: &Case<'_>, gates: &[Gate]) -> Option<Verdict> {
    let (obstacle, retry) = gates.iter().find_map(|gate| gate(case))?;
    Some(Case::blocked(obstacle, retry))
}

fn paused(case: &Case<'_>) -> Option<(Obstacle, Timestamp)> {
    let resource = case.inputs.resource;
    resource.spec.rotation.paused.then(|| {
        let why = if resource.paused_by_hand {
            "it is paused by hand: `kagiban-operator resume` ends that"
        } else {
            "spec.rotation.paused is true"
        };
        let obstacle = Obstacle::new(BlockedBy::Paused, why);
        (obstacle, later(case.now(), case.inputs.policy.resync))
    })
}

fn frozen(case: &Case<'_>) -> Option<(Obstacle, Timestamp)> {
    let rotation = case.report()?.rotation.as_ref()?;
    (rotation.state == RotationState::Frozen).then(|| {
        let why = match case.inputs.resource.spec.procedure {
            Procedure::Push(_) => "the agent came to life with neither keystore; bring its service to life, and the freeze ends by \
                                   itself once the service serves what is stored; or end it on the host with `kagiban-exporter \
                                   rotation thaw`"
                .to_owned(),
            Procedure::Trigger { .. } => match case.kept_in() {
                Some(file) => format!(
                    "no certificate that is valid was left in {file}, or a file under renew.keep is not what it was; put right what its last \
                     failure names, from the copy or the backup that it names or by the product's own program, and the freeze ends by itself; \
                     or end it on the host with `kagiban-exporter rotation thaw`"
                ),
                None => "the agent came to life neither with a new certificate nor with what was there before; bring its service to \
                         life, and the freeze ends by itself once a certificate that is valid is served; or end it on the host with \
                         `kagiban-exporter rotation thaw`"
                    .to_owned(),
            },
            Procedure::Repair(_) => "the exporter ended again and again in the middle of a repair; see in its log why, see what the \
                                     repair has done, and end the freeze on the host with `kagiban-exporter rotation thaw`"
                .to_owned(),
        };
        let message = format!("rotation {} froze on the host: {why}", rotation.generation);
        (Obstacle::new(BlockedBy::Frozen, message), later(case.now(), until_thaw_is_seen(case)))
    })
}

/// Whoever ends a freeze watches what happens next, most likely soon after it was told. A fleet that stays frozen is looked at no
/// more often than any.
fn until_thaw_is_seen(case: &Case<'_>) -> Duration {
    let resync = case.inputs.policy.resync;
    let last = case.settled.history.first().filter(|entry| entry.outcome == Outcome::Frozen);
    let frozen_for = last.and_then(|entry| Duration::try_from(case.now().duration_since(entry.finished_at)).ok());
    frozen_for.map_or(resync, |time| (time / PART_OF_TIME_TAKEN).max(FROZEN_LOOK).min(resync))
}

/// The host would refuse every order (`other_lineage`). One that has obeyed nobody yet, or does not tell whom, is given one.
fn other_lineage(case: &Case<'_>) -> Option<(Obstacle, Timestamp)> {
    let (obeyed, ours) = (case.report()?.lineage.as_ref()?, &case.inputs.policy.lineage);
    let retry = later(case.now(), case.inputs.policy.resync);
    if case.inputs.policy.hand_over_to.as_ref() == Some(obeyed) {
        let message = format!(
            "the host was given to the installation {obeyed} (--hand-over-to): once that one shows it as Ready, with nothing \
             under BLOCKED-BY, delete the resource here"
        );
        return Some((Obstacle::new(BlockedBy::HandedOver, message), retry));
    }
    (ours.as_ref() != Some(obeyed)).then(|| {
        let ours = ours.as_ref().map_or_else(|| "has no `--lineage`".to_owned(), |ours| format!("is {ours}"));
        let message = format!(
            "the host obeys the installation {obeyed}, and this one {ours}: delete the resource in one of them, or give the host to \
             this one: start the operator of {obeyed} with `--hand-over-to`, or set `hostApi.lineage` on the host"
        );
        (Obstacle::new(BlockedBy::HostRefused, message), retry)
    })
}

/// A Secret that is missing is found out before the host makes a key.
fn references(case: &Case<'_>) -> Option<(Obstacle, Timestamp)> {
    let obstacle = case.inputs.references.obstacle()?;
    Some((obstacle.clone(), later(case.now(), SECRET_WAIT)))
}

fn permitted(case: &Case<'_>) -> Option<(Obstacle, Timestamp)> {
    match &case.inputs.resource.spec.procedure {
        Procedure::Push(push) => {
            let error = case.inputs.references.issuer()?.permits(&push.certificate).err()?;
            Some((Obstacle::of_issuer(&push.issuer_ref, &error), later(case.now(), case.inputs.policy.resync)))
        }
        Procedure::Trigger { .. } | Procedure::Repair(_) => None,
    }
}

fn clock(case: &Case<'_>) -> Option<(Obstacle, Timestamp)> {
    let skew = case.now().duration_since(case.report()?.time).unsigned_abs();
    (skew > LARGEST_SKEW).then(|| {
        let message = "the host's clock and the operator's differ by more than five minutes: set them right";
        (Obstacle::new(BlockedBy::ClockSkew, message), later(case.now(), GATE_RETRY))
    })
}

fn power(case: &Case<'_>) -> Option<(Obstacle, Timestamp)> {
    let state = case.report()?.power.state;
    let message = match state {
        PowerState::Mains => return None,
        PowerState::OnBattery => "the host runs on battery",
        PowerState::LowBattery => "the host's battery is low",
        PowerState::ShutdownPending => "the host is about to shut down",
        PowerState::Unknown => {
            "the host does not know its power state: configure its UPS under `ups` there, or `power: {assume: mains}`"
        }
        PowerState::Stale => "the host has not heard from its UPS for too long",
    };
    Some((Obstacle::new(by_power(state)?, message), later(case.now(), GATE_RETRY)))
}

/// What a power state keeps from being done, whoever asked for it.
pub(crate) const fn by_power(state: PowerState) -> Option<BlockedBy> {
    match state {
        PowerState::Mains => None,
        PowerState::OnBattery => Some(BlockedBy::OnBattery),
        PowerState::LowBattery => Some(BlockedBy::LowBattery),
        PowerState::ShutdownPending => Some(BlockedBy::ShutdownPending),
        PowerState::Unknown | PowerState::Stale => Some(BlockedBy::PowerUnknown),
    }
}

fn setback(case: &Case<'_>) -> Option<(Obstacle, Timestamp)> {
    let setback = case.inputs.setback?;
    let until = before_expiry(case, setback.at, later(setback.at, wait_after(case, setback)));
    clock::lasts(case.now(), setback.at, until).then(|| (setback.obstacle.clone(), until))
}

/// How long to wait before an unreachable host is tried again.
pub(super) fn retry_of(case: &Case<'_>) -> Timestamp {
    let wait = case.inputs.setback.map_or(FIRST_SETBACK, |setback| wait_after(case, setback));
    before_expiry(case, case.now(), later(case.now(), wait))
}

fn wait_after(case: &Case<'_>, setback: &Setback) -> Duration {
    let resync = case.inputs.policy.resync;
    let longest = match setback.obstacle.by {
        BlockedBy::SecretUnavailable | BlockedBy::IssuerUnavailable | BlockedBy::NotGranted => resync.min(SECRET_WAIT),
        BlockedBy::HostBusy => resync.min(BUSY_WAIT),
        BlockedBy::Paused
        | BlockedBy::HostUnreachable
        | BlockedBy::HostRefused
        | BlockedBy::HostAnswerRefused
        | BlockedBy::SpecInvalid
        | BlockedBy::WrongHost
        | BlockedBy::Frozen
        | BlockedBy::OnBattery
        | BlockedBy::LowBattery
        | BlockedBy::ShutdownPending
        | BlockedBy::PowerUnknown
        | BlockedBy::ClockSkew
        | BlockedBy::IssuerRefused
        | BlockedBy::IssuerEnding
        | BlockedBy::Conflict
        | BlockedBy::BackingOff
        | BlockedBy::DriftRecurs
        | BlockedBy::RotationStuck
        | BlockedBy::HandedOver => resync,
    };
    doubled(FIRST_SETBACK, setback.count, longest)
}

#[cfg(test)]
mod tests {
    use super::super::tests as sample;
    use super::super::{Inputs, Observed, Policy, References, Resource};
    use super::*;

    /// A host that is not seen, and nothing else that matters.
    fn unseen<'a>(
        resource: &'a Resource,
        obstacle: &'a Obstacle,
        setback: Option<&'a Setback>,
        (references, policy): (&'a References, &'a Policy),
    ) -> Case<'a> {
        Case::new(Inputs {
            resource,
            host: Observed::Unseen(obstacle),
            rival: None,
            setback,
            works_for: None,
            ordered: None,
            references,
            policy,
            now: sample::now(),
        })
    }

    #[test]
    fn a_secret_is_looked_for_again_within_seconds_and_an_absent_host_within_the_resync() {
        let wait_of = |by, count, resync| {
            let policy = Policy { resync, ..Policy::default() };
            let (resource, rest) = (sample::resource(), (References::default(), policy));
            let obstacle = Obstacle::new(by, "not there");
            let setback = Setback { obstacle: obstacle.clone(), count, at: sample::now() };
            let case = unseen(&resource, &obstacle, Some(&setback), (&rest.0, &rest.1));
            retry_of(&case).duration_since(sample::now()).as_secs()
        };
        let wait = |by, count| wait_of(by, count, Policy::default().resync);
        assert_eq!([1, 2, 9].map(|count| wait(BlockedBy::SecretUnavailable, count)), [5, 5, 5]);
        assert_eq!([1, 2, 9].map(|count| wait(BlockedBy::IssuerUnavailable, count)), [5, 5, 5]);
        assert_eq!([1, 2, 9].map(|count| wait(BlockedBy::HostUnreachable, count)), [5, 10, 300]);
        let day = Duration::from_hours(24);
        assert_eq!([1, 2, 9, 32].map(|count| wait_of(BlockedBy::HostBusy, count, day)), [5, 10, 300, 300]);
        assert_eq!(wait_of(BlockedBy::HostBusy, 9, Duration::from_secs(60)), 60);
    }

    #[test]
    fn a_pause_says_whether_it_is_by_hand() {
        let why = |by_hand: bool| {
            let (mut resource, rest) = (sample::resource(), (References::default(), Policy::default()));
            resource.spec.rotation.paused = true;
            resource.paused_by_hand = by_hand;
            let obstacle = Obstacle::new(BlockedBy::HostUnreachable, "not there");
            paused(&unseen(&resource, &obstacle, None, (&rest.0, &rest.1))).map(|(obstacle, _)| obstacle.message)
        };
        assert_eq!(why(false).as_deref(), Some("spec.rotation.paused is true"));
        assert!(why(true).is_some_and(|why| why.contains("kagiban-operator resume")));
    }
}
