//! Letting go of a resource without harm to its host.

use kagiban_crds::host_api::RotationState;
use kagiban_crds::resource::BlockedBy;

use super::case::{Case, Verdict, is_deployed};
use super::following::{follow, roll_back};
use super::inputs::{Observed, Obstacle};
use super::renewal::later;
use super::standing::is_wrong_host;
use super::{Step, clock, gates};

/// While deleting: nothing new is started, what is undeployed is rolled back, what is deployed is waited for, and no
/// host can hold the resource for longer than the policy says.
pub(super) fn deleting(case: &Case<'_>) -> Option<Verdict> {
    let asked = case.inputs.resource.deleted_at?;
    if !case.inputs.resource.held {
        return Some(Verdict::clear(Step::Gone));
    }
    let bound = later(asked, case.inputs.policy.release_after);
    if !clock::lasts(case.now(), asked, bound) || case.inputs.rival.is_some() {
        return Some(Verdict::clear(Step::ReleaseFinalizer));
    }
    Some(match case.inputs.host {
        Observed::Seen(report) if is_wrong_host(&case.inputs.resource.spec, report) => {
            Verdict::clear(Step::ReleaseFinalizer)
        }
        // What is on its way there is not ours to call off
        Observed::Seen(_) if gates::not_ours(case).is_some() => Verdict::clear(Step::ReleaseFinalizer),
        Observed::Seen(_) => call_off(case),
        Observed::Unseen(_) if case.open_rotation().is_none() => Verdict::clear(Step::ReleaseFinalizer),
        Observed::Unseen(obstacle) => {
            let message = format!(
                "a rotation may be in flight, and deletion waits for the host until {bound}: {}",
                obstacle.message
            );
            Case::blocked(Obstacle::new(BlockedBy::HostUnreachable, message), gates::retry_of(case).min(bound))
        }
    })
}

fn call_off(case: &Case<'_>) -> Verdict {
    match case.host_rotation() {
        None => Verdict::clear(Step::ReleaseFinalizer),
        Some(rotation) if is_deployed(rotation.state) || rotation.state == RotationState::Requested => {
            follow(case, rotation)
        }
        Some(rotation) => roll_back(case, rotation),
    }
}
