//! `kagiban_rotation_*`: how the rotations of this host's agents stand. Nothing is here on a host that rotates none.

use std::fmt;

use jiff::Timestamp;
use kagiban_crds::host_api::RotationState;

use super::table::{Family, Kind, Samples};
use crate::snapshot::{AgentRotations, RotationSeen, Snapshot};

/// Besides the states that the host API tells: no rotation was ever opened.
const NONE: &str = "none";
/// The journal has not been read, or cannot be.
const UNKNOWN: &str = "unknown";
/// The ends of a rotation, in the order in which they are shown.
const ENDS: [RotationState; 3] = [RotationState::Committed, RotationState::RolledBack, RotationState::Frozen];

pub(super) const FAMILIES: &[Family<Snapshot>] = &[
    Family {
        name: "kagiban_rotation_agent_up",
        help: "Whether rotations of this agent are taken: 0 when its configuration or its journal is bad, or it is not configured any more.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each(snapshot, |agent, rotations| out.put(&[("agent", agent)], rotations.trouble.is_none()))
        },
    },
    Family {
        name: "kagiban_rotation_agent_error_info",
        help: "Why rotations of this agent are not taken, always 1; absent when they are.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each(snapshot, |agent, rotations| {
                let reason = rotations.trouble.as_ref().map(|trouble| trouble.reason);
                reason.map_or(Ok(()), |reason| out.put(&[("agent", agent), ("reason", reason)], true))
            })
        },
    },
    Family {
        name: "kagiban_rotation_state",
        help: "Whether the agent's newest rotation is in this state; exactly one is 1.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each(snapshot, |agent, rotations| {
                let is =
                    rotations.known.as_ref().map_or(UNKNOWN, |seen| seen.state.map_or(NONE, RotationState::as_str));
                let states = [UNKNOWN, NONE].into_iter().chain(RotationState::ALL.map(RotationState::as_str));
                states.into_iter().try_for_each(|state| out.put(&[("agent", agent), ("state", state)], state == is))
            })
        },
    },
    Family {
        name: "kagiban_rotation_frozen",
        help: "Whether the agent is frozen: neither its new nor its old keystore could be brought to life, and a person must look.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            known(snapshot, out, |seen| Some(i64::from(seen.state == Some(RotationState::Frozen))))
        },
    },
    Family {
        name: "kagiban_rotation_failure_info",
        help: "Why the agent's newest rotation did not commit, always 1; absent when it did, or may yet.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each(snapshot, |agent, rotations| {
                let failure = rotations.known.as_ref().and_then(|seen| seen.failure.as_ref());
                let reason = failure.map(|failure| failure.reason.as_str());
                reason.map_or(Ok(()), |reason| out.put(&[("agent", agent), ("reason", reason)], true))
            })
        },
    },
    Family {
        name: "kagiban_rotation_generation",
        help: "The highest generation that was accepted for the agent; 0 before the first.",
        kind: Kind::Gauge,
        samples: |snapshot, out| known(snapshot, out, |seen| i64::try_from(seen.generation).ok()),
    },
    Family {
        name: "kagiban_rotation_last_decided_timestamp_seconds",
        help: "When the agent's newest rotation was decided, in seconds since 1970; absent while it is not.",
        kind: Kind::Gauge,
        samples: |snapshot, out| known(snapshot, out, |seen| seen.decided_at.map(Timestamp::as_second)),
    },
    Family {
        name: "kagiban_rotations_decided",
        help: "How many times a rotation of the agent came to this end since the program was started; one that was frozen, or \
               is rolled back by order, comes to another end after that.",
        kind: Kind::Counter,
        samples: |snapshot, out| {
            each(snapshot, |agent, rotations| {
                ENDS.into_iter().try_for_each(|end| {
                    let times = rotations.decided.get(&end).copied().unwrap_or_default();
                    out.put(&[("agent", agent), ("outcome", end.as_str())], times)
                })
            })
        },
    },
    Family {
        name: "kagiban_rotation_stop_timeout_seconds",
        help: "The longest that a stop of this program may take, to leave no agent's service down: TimeoutStopSec of its unit.",
        kind: Kind::Gauge,
        samples: |snapshot, out| snapshot.stop_timeout.map_or(Ok(()), |longest| out.put(&[], longest.as_secs())),
    },
];

fn each(snapshot: &Snapshot, mut put: impl FnMut(&str, &AgentRotations) -> fmt::Result) -> fmt::Result {
    snapshot.rotations.iter().try_for_each(|(agent, rotations)| put(agent.as_str(), rotations))
}

fn known(snapshot: &Snapshot, out: &mut Samples<'_, '_>, value: impl Fn(&RotationSeen) -> Option<i64>) -> fmt::Result {
    each(snapshot, |agent, rotations| {
        let value = rotations.known.as_ref().and_then(&value);
        value.map_or(Ok(()), |value| out.put(&[("agent", agent)], value))
    })
}
