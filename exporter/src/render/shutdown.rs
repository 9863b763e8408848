//! `host_shutdown_*`: whether this host goes down, why, and when.

use std::fmt;

use super::table::{Family, Kind};
use crate::shutdown::{Report, State};
use crate::snapshot::Snapshot;
use crate::ups::Trigger;

pub(super) const FAMILIES: &[Family<Snapshot>] = &[
    Family {
        name: "host_shutdown_state",
        help: "The most severe state of the host by all that is heard of it; exactly one is 1. What has begun stays in_progress until the next boot.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each(snapshot, |report| {
                let state = |state: State| out.put(&[("state", state.as_str())], state == report.state());
                State::ALL.into_iter().try_for_each(state)
            })
        },
    },
    Family {
        name: "host_shutdown_pending",
        help: "Whether the host goes down unless somebody or something stops it; dry runs do not count.",
        kind: Kind::Gauge,
        samples: |snapshot, out| each(snapshot, |report| out.put(&[], report.is_pending())),
    },
    Family {
        name: "host_shutdown_trigger",
        help: "Whether this has set a shutdown off, or is about to.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each(snapshot, |report| {
                let holds = |trigger: Trigger| report.triggers().contains(&trigger);
                let put = |trigger: Trigger| out.put(&[("trigger", trigger.as_str())], holds(trigger));
                Trigger::ALL.into_iter().try_for_each(put)
            })
        },
    },
    Family {
        name: "host_shutdown_expected_timestamp_seconds",
        help: "When the host or its power is expected to go, in seconds since 1970; absent while nobody knows.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each(snapshot, |report| report.expected().map_or(Ok(()), |at| out.put(&[], at.as_second())))
        },
    },
    Family {
        name: "host_shutdown_scheduled_timestamp_seconds",
        help: "When somebody has the system go down, in seconds since 1970; absent when nothing is scheduled.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each(snapshot, |report| {
                report.scheduled().try_for_each(|plan| {
                    let dry_run = if plan.dry_run { "true" } else { "false" };
                    out.put(&[("type", plan.kind.as_str()), ("dry_run", dry_run)], plan.at.as_second())
                })
            })
        },
    },
    Family {
        name: "host_shutdown_cause",
        help: "Why, in the words of whoever set it off, always 1; absent when nobody named a cause.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each(snapshot, |report| report.cause().map_or(Ok(()), |cause| out.put(&[("cause", cause.as_str())], true)))
        },
    },
    Family {
        name: "host_shutdown_state_since_timestamp_seconds",
        help: "When the state was entered, in seconds since 1970.",
        kind: Kind::Gauge,
        samples: |snapshot, out| each(snapshot, |report| out.put(&[], report.since().as_second())),
    },
    Family {
        name: "host_shutdown_state_entered",
        help: "How often the state was entered since this program was started: what comes and goes between two scrapes is seen.",
        kind: Kind::Counter,
        samples: |snapshot, out| {
            each(snapshot, |report| {
                report.entered().try_for_each(|(state, count)| out.put(&[("state", state.as_str())], count))
            })
        },
    },
    Family {
        name: "host_shutdown_cancelled",
        help: "How many planned shutdowns were called off since this program was started.",
        kind: Kind::Counter,
        samples: |snapshot, out| each(snapshot, |report| out.put(&[], report.cancellations())),
    },
];

/// Nothing while nobody has said anything.
fn each(snapshot: &Snapshot, put: impl FnOnce(&Report) -> fmt::Result) -> fmt::Result {
    snapshot.shutdown.as_deref().map_or(Ok(()), put)
}
