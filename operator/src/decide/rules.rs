//! The rules, in order. The first that speaks decides.

use std::time::Duration;

use kagiban_crds::Generation;
use kagiban_crds::host_api::{RENEWED, RotationState};
use kagiban_crds::resource::{BlockedBy, ManagedAgentCertificateStatus, Procedure, RotationStatus, RotationTrigger};

use super::case::{Case, Verdict, is_deployed};
use super::due::{self, differ};
use super::following::{QUICK_LOOK, follow, follow_until_seen, roll_back, time_taken, trying};
use super::inputs::{Inputs, Observed, Obstacle};
use super::renewal::later;
use super::settle::{bounded, whole_seconds};
use super::standing::{highest_generation, is_wrong_host};
use super::{Decision, Step, conditions, deletion, events, gates, pace};

type Rule = fn(&Case<'_>) -> Option<Verdict>;

const RULES: [Rule; 13] = [
    deletion::deleting,
    conflict,
    unreachable,
    wrong_host,
    gates::not_ours,
    in_flight,
    unproven,
    hand_over,
    resume,
    gates::before_anything_is_due,
    ask_password,
    rotate,
    unreadable_request,
];

/// Decides about one resource. Total: it never panics, whatever the inputs say.
///
/// A Secret that could not be read just now is perhaps as it was: nothing is begun for which it is needed, all else goes on, and what
/// the status says stands. Where it says nothing yet, it says that.
pub fn decide(inputs: &Inputs<'_>) -> Decision {
    let Some(unread) = inputs.references.unread().filter(|_| has_said(inputs)) else { return ruled(inputs) };
    let known = inputs.references.without(|obstacle| obstacle.is_unread);
    let decision = ruled(&Inputs { references: &known, ..*inputs });
    match decision.step {
        Step::EnsureFinalizer | Step::Open { .. } | Step::AskPassword { .. } | Step::Deliver { .. } => {
            unchanged(inputs, Step::Blocked { by: unread.by, retry: later(inputs.now, gates::SECRET_WAIT) })
        }
        Step::ReleaseFinalizer
        | Step::Follow { .. }
        | Step::Rollback { .. }
        | Step::HandOver { .. }
        | Step::Blocked { .. }
        | Step::Idle { .. }
        | Step::Gone => decision,
    }
}

fn has_said(inputs: &Inputs<'_>) -> bool {
    !inputs.resource.status.conditions.is_empty()
}

fn unchanged(inputs: &Inputs<'_>, step: Step) -> Decision {
    Decision { step, status: inputs.resource.status.clone(), events: Vec::new() }
}

fn ruled(inputs: &Inputs<'_>) -> Decision {
    let case = Case::new(*inputs);
    let verdict = RULES.iter().find_map(|rule| rule(&case)).unwrap_or_else(|| idle(&case));
    let verdict = not_past_expiry(&case, verdict);
    if matches!(verdict.step, Step::Blocked { .. })
        && verdict.obstacle.as_ref().is_some_and(|obstacle| obstacle.is_unread)
        && has_said(inputs)
    {
        return unchanged(inputs, verdict.step);
    }
    let status = match verdict.step {
        // The resource itself changes first; the decision after that writes the status
        Step::EnsureFinalizer | Step::ReleaseFinalizer | Step::Gone => inputs.resource.status.clone(),
        Step::Open { .. }
        | Step::AskPassword { .. }
        | Step::Deliver { .. }
        | Step::Follow { .. }
        | Step::Rollback { .. }
        | Step::HandOver { .. }
        | Step::Blocked { .. }
        | Step::Idle { .. } => written(&case, &verdict),
    };
    let events = events::events(&case, &verdict, &status);
    Decision { step: verdict.step, status, events }
}

/// Another resource owns the agent; two owners would rotate each other's leaf for ever.
fn conflict(case: &Case<'_>) -> Option<Verdict> {
    let rival = case.inputs.rival?;
    // What there is in other namespaces is not told to whoever may only name a host
    let owner = if rival.namespace == case.inputs.resource.namespace {
        format!("{}/{}", rival.namespace, rival.name)
    } else {
        "another resource in another namespace".to_owned()
    };
    let message = format!("the same agent of the same host belongs to {owner}");
    Some(Case::blocked(Obstacle::new(BlockedBy::Conflict, message), later(case.now(), case.inputs.policy.resync)))
}

fn unreachable(case: &Case<'_>) -> Option<Verdict> {
    match case.inputs.host {
        Observed::Seen(_) => None,
        Observed::Unseen(obstacle) => Some(Case::blocked(obstacle.clone(), gates::retry_of(case))),
    }
}

fn wrong_host(case: &Case<'_>) -> Option<Verdict> {
    let spec = &case.inputs.resource.spec;
    let report = case.report().filter(|report| is_wrong_host(spec, report))?;
    let message = if report.host.as_str() == spec.host && report.name.as_str() == spec.agent.name {
        format!(
            "agent {} is {} in the configuration of host {}, and {} in this resource; change the one that is wrong",
            report.name,
            bounded(&report.product, 64),
            report.host,
            spec.agent.product.id()
        )
    } else {
        format!("agent {} of host {} answers at that address", report.name, report.host)
    };
    Some(Case::blocked(Obstacle::new(BlockedBy::WrongHost, message), later(case.now(), case.inputs.policy.resync)))
}

/// The host works on a rotation: it is brought to its end, and called off if it is not what we want any more and has
/// not touched the keystore.
fn in_flight(case: &Case<'_>) -> Option<Verdict> {
    let rotation = case.host_rotation()?;
    if is_deployed(rotation.state) || rotation.state == RotationState::Requested {
        return Some(follow(case, rotation));
    }
    let Some(own) = case.open_rotation().filter(|own| own.generation == rotation.generation.0) else {
        return Some(roll_back(case, rotation));
    };
    if rotation.state != RotationState::Keyed {
        return Some(follow(case, rotation));
    }
    match case.inputs.resource.spec.procedure {
        Procedure::Push(_) => {}
        // There is no chain to give it
        Procedure::Trigger { .. } | Procedure::Repair(_) => return Some(roll_back(case, rotation)),
    }
    let deadline = case.inputs.policy.delivery_deadline;
    // By what is on record, and by what this process has seen where a clock was ahead then
    let in_time = case.now() < later(own.started_at, deadline) && time_taken(case) < deadline;
    // The host was told a password that is not the one any more: another rotation would follow this one
    let other_password = differ(own.password_version.as_deref(), case.inputs.references.password_version());
    let is_other = own.request_digest != case.digest || other_password;
    // A person who asks anew has changed something that this rotation was opened with
    if is_other || case.is_asked_anew() || rotation.csr.is_none() || !in_time {
        return Some(roll_back(case, rotation));
    }
    let deliver = Step::Deliver { generation: rotation.generation };
    Some(gates::before_delivering(case).unwrap_or_else(|| trying(case, deliver)))
}

/// The host says that the rotation is over, and the agent does not show yet what has come of it.
fn unproven(case: &Case<'_>) -> Option<Verdict> {
    let own = case.open_rotation()?;
    let rotation = case.report()?.rotation.as_ref().filter(|rotation| rotation.state.is_decided())?;
    (rotation.generation.0 == own.generation).then(|| follow_until_seen(case, own))
}

/// What is on its way is at its end, and nothing new is begun: not even a rotation that is due, which is the other installation's.
fn hand_over(case: &Case<'_>) -> Option<Verdict> {
    case.inputs.policy.hand_over_to.as_ref()?;
    let report = case.report()?;
    let step = Step::HandOver { generation: Generation(highest_generation(report)) };
    Some(gates::before_trying_again(case).unwrap_or_else(|| trying(case, step)))
}

/// The status names a generation that the host has not heard of: the operator stopped between the two.
fn resume(case: &Case<'_>) -> Option<Verdict> {
    let own = case.open_rotation()?;
    let open = Step::Open { generation: Generation(own.generation), trigger: own.trigger };
    let shut = gates::before_opening(case).or_else(|| pace::before_the_same(case));
    Some(shut.unwrap_or_else(|| hold_first(case, open)))
}

/// Before an agent is restarted for a password that may be the one that it has. What a person asks for, or the spec or the
/// issuer does, is rotated with the present password anyway. Whatever else is due waits for one try and no longer; while it is
/// not going to be opened, the host is asked as if nothing were due.
fn ask_password(case: &Case<'_>) -> Option<Verdict> {
    let report = case.report()?;
    case.leaf().filter(|leaf| due::is_password_unheard(&case.inputs, leaf))?;
    let question = Step::AskPassword { generation: Generation(highest_generation(report)) };
    let Some(trigger) = case.due else {
        return Some(gates::before_trying_again(case).unwrap_or_else(|| trying(case, question)));
    };
    let shut = match kind(trigger) {
        TriggerKind::Wish => return None,
        TriggerKind::Drift | TriggerKind::Age => before_rotating(case, trigger),
    };
    if let Some(Verdict { step: Step::Blocked { by, retry }, obstacle }) = shut {
        // What is told is what is in the way of the rotation
        let until = gates::tried_again_at(case);
        let step = until.map_or(question, |until| Step::Blocked { by, retry: retry.min(until) });
        return Some(Verdict { step, obstacle });
    }
    case.inputs.setback.is_none().then(|| trying(case, question))
}

fn rotate(case: &Case<'_>) -> Option<Verdict> {
    let trigger = case.due?;
    match &case.inputs.resource.spec.procedure {
        Procedure::Push(push) => {
            push.certificate.private_key.request()?;
        }
        Procedure::Trigger { .. } | Procedure::Repair(_) => {}
    }
    let shut = before_rotating(case, trigger);
    if shut.is_some() {
        return shut;
    }
    let Some(generation) = case.next_generation() else {
        let message = "the host reports the last generation there is: see what it keeps of this agent's rotations";
        let obstacle = Obstacle::new(BlockedBy::HostAnswerRefused, message);
        return Some(Case::blocked(obstacle, later(case.now(), case.inputs.policy.resync)));
    };
    Some(hold_first(case, Step::Open { generation, trigger }))
}

/// What keeps the rotation that is due from being opened now. A block is only told where the rotation would be opened without it.
fn before_rotating(case: &Case<'_>, trigger: RotationTrigger) -> Option<Verdict> {
    match kind(trigger) {
        TriggerKind::Age => pace::before_another(case, trigger).or_else(|| gates::before_opening(case)),
        TriggerKind::Wish | TriggerKind::Drift => {
            gates::before_opening(case).or_else(|| pace::before_another(case, trigger))
        }
    }
}

/// Triggers, as far as the rules tell them apart.
enum TriggerKind {
    /// The leaf is not what is asked for.
    Wish,
    /// Somebody else has changed what the host has.
    Drift,
    /// The leaf comes to its end.
    Age,
}

const fn kind(trigger: RotationTrigger) -> TriggerKind {
    match trigger {
        RotationTrigger::FirstIssue
        | RotationTrigger::Requested
        | RotationTrigger::SpecChanged
        | RotationTrigger::IssuerChanged
        | RotationTrigger::PasswordChanged => TriggerKind::Wish,
        RotationTrigger::StoredDrift | RotationTrigger::ServedDrift => TriggerKind::Drift,
        RotationTrigger::Renewal => TriggerKind::Age,
    }
}

/// A spec that the schema should not have let in.
fn unreadable_request(case: &Case<'_>) -> Option<Verdict> {
    case.due?;
    let obstacle = Obstacle::new(BlockedBy::SpecInvalid, "spec.certificate.privateKey names a key that no host makes");
    Some(Case::blocked(obstacle, later(case.now(), case.inputs.policy.resync)))
}

/// After a renewal of a server its host has its clients listed anew, which takes a minute or some.
const LIST_WAIT: Duration = Duration::from_mins(1);

fn idle(case: &Case<'_>) -> Verdict {
    let clients = case.report().and_then(|report| report.clients.as_ref());
    let is_listed_anew = clients.and_then(|clients| clients.failure.as_ref()).is_some_and(|why| why.reason == RENEWED);
    let longest = case.inputs.policy.resync;
    let resync = later(case.now(), if is_listed_anew { longest.min(LIST_WAIT) } else { longest });
    let until = case.settled.renewal_time.map_or(resync, |renewal| renewal.min(resync));
    Verdict::clear(Step::Idle { until })
}

/// Whatever is waited for, the next look is at the end of the leaf in force: what says that it is served is not true any more.
fn not_past_expiry(case: &Case<'_>, verdict: Verdict) -> Verdict {
    let Some(end) = case.leaf().map(|leaf| leaf.not_after).filter(|end| *end > case.now()) else { return verdict };
    let step = match verdict.step {
        Step::Idle { until } => Step::Idle { until: until.min(end) },
        Step::Blocked { by, retry } => Step::Blocked { by, retry: retry.min(end) },
        Step::Follow { generation, after } => {
            let left = Duration::try_from(end.duration_since(case.now())).unwrap_or_default();
            Step::Follow { generation, after: after.min(left.max(QUICK_LOOK)) }
        }
        step @ (Step::EnsureFinalizer
        | Step::ReleaseFinalizer
        | Step::Open { .. }
        | Step::AskPassword { .. }
        | Step::Deliver { .. }
        | Step::Rollback { .. }
        | Step::HandOver { .. }
        | Step::Gone) => step,
    };
    Verdict { step, ..verdict }
}

/// The finalizer goes on before the host is asked for anything.
fn hold_first(case: &Case<'_>, step: Step) -> Verdict {
    if case.inputs.resource.held { trying(case, step) } else { Verdict::clear(Step::EnsureFinalizer) }
}

/// The status as it shall read before the step is taken.
fn written(case: &Case<'_>, verdict: &Verdict) -> ManagedAgentCertificateStatus {
    let mut status = case.settled.clone();
    if let Step::Open { generation, trigger } = verdict.step {
        begin(case, &mut status, generation.0, trigger);
    }
    status.observed_generation = Some(case.inputs.resource.generation);
    status.blocked_by = verdict.obstacle.as_ref().map(|obstacle| obstacle.by);
    status.conditions = conditions::conditions(case, verdict, &status);
    status
}

/// When the same generation is opened again, only the password is another: the host, which has not heard of it, is told the
/// present one.
fn begin(case: &Case<'_>, status: &mut ManagedAgentCertificateStatus, generation: u64, trigger: RotationTrigger) {
    let password_version = case.inputs.references.password_version().map(str::to_owned);
    if case.open_rotation().is_some_and(|own| own.generation == generation) {
        if let Some(own) = status.rotation.as_mut().filter(|_| password_version.is_some()) {
            own.password_version = password_version;
        }
        return;
    }
    status.rotation = Some(RotationStatus {
        generation,
        trigger,
        state: RotationState::Requested,
        started_at: whole_seconds(case.now()),
        attempts: pace::attempts(case).saturating_add(1),
        request_digest: case.digest.clone(),
        rotate: case.owed_rotate().map(str::to_owned),
        password_version,
        signed: Vec::new(),
    });
}
