//! A rotation that a host works on: followed to its end, or undone before it touches the keystore.

use std::time::Duration;

use kagiban_crds::Generation;
use kagiban_crds::host_api::RotationReport;
use kagiban_crds::resource::{BlockedBy, RotationStatus};

use super::case::{Case, Verdict};
use super::inputs::Obstacle;
use super::pace::PART_OF_TIME_TAKEN;
use super::renewal::later;
use super::{Step, gates};

/// Between looks at a host that works; a rotation takes seconds to a few minutes.
pub(super) const QUICK_LOOK: Duration = Duration::from_secs(1);
/// Until then a rotation is as quick as usual.
const USUAL_ROTATION: Duration = Duration::from_secs(120);
/// A host that has not gone a step further in this time hangs: a slow agent needs minutes for a restart.
const STUCK_AFTER: Duration = Duration::from_secs(1800);

/// Undoes what has not touched the keystore.
pub(super) fn roll_back(case: &Case<'_>, rotation: &RotationReport) -> Verdict {
    let step = Step::Rollback { generation: rotation.generation };
    gates::before_trying_again(case).unwrap_or_else(|| trying(case, step))
}

pub(super) fn follow(case: &Case<'_>, rotation: &RotationReport) -> Verdict {
    let generation = rotation.generation;
    if is_stuck(case, rotation) {
        let message = format!(
            "the host has worked on rotation {generation} for far longer than any takes, and says {:?}: see kagiban-exporter and \
             the agent's service there",
            rotation.state
        );
        let step = Step::Follow { generation, after: case.inputs.policy.resync };
        return Verdict { step, obstacle: Some(Obstacle::new(BlockedBy::RotationStuck, message)) };
    }
    let after = until_next_look(time_taken(case), case.inputs.policy.resync);
    Verdict::clear(Step::Follow { generation, after })
}

/// The host is done, and what the agent serves is not seen: `settle` ends that in time.
pub(super) fn follow_until_seen(case: &Case<'_>, own: &RotationStatus) -> Verdict {
    let taken = Duration::try_from(case.now().duration_since(own.started_at)).unwrap_or_default();
    let after = until_next_look(taken, case.inputs.policy.resync);
    Verdict::clear(Step::Follow { generation: Generation(own.generation), after })
}

/// While a step that failed is tried again, the status goes on saying what was in its way: it would be written twice
/// for each try otherwise.
pub(super) fn trying(case: &Case<'_>, step: Step) -> Verdict {
    Verdict { step, obstacle: case.inputs.setback.map(|setback| setback.obstacle.clone()) }
}

/// Whether the host has worked on the rotation for longer than any usually takes.
pub(super) fn is_slow(case: &Case<'_>) -> bool {
    time_taken(case) >= USUAL_ROTATION
}

/// By our own clock, whatever the host says of its steps, and whoever opened the rotation.
pub(super) fn time_taken(case: &Case<'_>) -> Duration {
    case.inputs.works_for.unwrap_or_default()
}

fn until_next_look(taken: Duration, resync: Duration) -> Duration {
    if taken < USUAL_ROTATION { QUICK_LOOK } else { (taken / PART_OF_TIME_TAKEN).min(resync.max(QUICK_LOOK)) }
}

/// By the host's own step log, and by our own clock, should that log say nothing or lie.
fn is_stuck(case: &Case<'_>, rotation: &RotationReport) -> bool {
    let last_step = rotation.steps.iter().map(|step| step.at).max();
    let stands = last_step.zip(case.report()).is_some_and(|(at, report)| report.time >= later(at, STUCK_AFTER));
    let longest = case.inputs.policy.delivery_deadline.saturating_add(STUCK_AFTER);
    stands
        || time_taken(case) >= longest
        || case.open_rotation().is_some_and(|own| case.now() >= later(own.started_at, longest))
}
