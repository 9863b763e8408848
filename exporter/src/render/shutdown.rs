//! `host_shutdown_*`: whether this host is going down, why, and when; whether a reboot is pending. Nothing is here while nobody has said
//! anything of it.

use std::fmt;

use super::table::{Family, Kind, Samples};
use crate::shutdown::{HostState, HostStateReport, LoadReport};
use crate::snapshot::{Label, Snapshot};
use crate::ups::ShutdownTrigger;

pub(super) const FAMILIES: &[Family<Snapshot>] = &[
    Family {
        name: "host_shutdown_state",
        help: "Whether the host is in this state; exactly one is 1, the most severe of all that counts.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            told(snapshot, |report| {
                HostState::ALL
                    .into_iter()
                    .try_for_each(|state| out.put(&[("state", state.as_str())], state == report.state()))
            })
        },
    },
    Family {
        name: "host_shutdown_state_since_timestamp_seconds",
        help: "When the host entered its state, in seconds since 1970.",
        kind: Kind::Gauge,
        samples: |snapshot, out| told(snapshot, |report| out.put(&[], report.since().as_second())),
    },
    Family {
        name: "host_shutdown_state_entered",
        help: "How often the state was entered: what comes and goes between two scrapes is counted too.",
        kind: Kind::Counter,
        samples: |snapshot, out| {
            told(snapshot, |report| {
                report.entered().try_for_each(|(state, times)| out.put(&[("state", state.as_str())], times))
            })
        },
    },
    Family {
        name: "host_shutdown_pending",
        help: "Whether a shutdown was announced: scheduled, counted down to, or begun. A low battery announces none.",
        kind: Kind::Gauge,
        samples: |snapshot, out| told(snapshot, |report| out.put(&[], report.is_pending())),
    },
    Family {
        name: "host_shutdown_scheduled_timestamp_seconds",
        help: "The time that the system is to go down at, in seconds since 1970; absent when none is chosen.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            told(snapshot, |report| {
                report.scheduled().try_for_each(|plan| {
                    let dry_run = if plan.dry_run { "true" } else { "false" };
                    out.put(&[("type", plan.kind.as_str()), ("dry_run", dry_run)], plan.at.as_second())
                })
            })
        },
    },
    Family {
        name: "host_shutdown_expected_timestamp_seconds",
        help: "When the power or the host goes, as far as is known, in seconds since 1970; in the past when overdue.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            told(snapshot, |report| report.expected().map_or(Ok(()), |at| out.put(&[], at.as_second())))
        },
    },
    Family {
        name: "host_shutdown_trigger",
        help: "Whether this has set a shutdown off, or is about to.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            told(snapshot, |report| {
                let holds = |trigger| report.triggers().contains(&trigger);
                ShutdownTrigger::ALL
                    .into_iter()
                    .try_for_each(|trigger| out.put(&[("trigger", trigger.as_str())], holds(trigger)))
            })
        },
    },
    Family {
        name: "host_shutdown_cause_info",
        help: "What set it off, in the words of whoever did, always 1; absent when nobody said.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            told(snapshot, |report| {
                report.cause().map(Label::as_str).map_or(Ok(()), |cause| out.put(&[("cause", cause)], true))
            })
        },
    },
    Family {
        name: "host_shutdown_cancelled",
        help: "How many planned shutdowns were called off before their time.",
        kind: Kind::Counter,
        samples: |snapshot, out| told(snapshot, |report| out.put(&[], report.cancellations())),
    },
    Family {
        name: "host_reboot_pending",
        help: "Whether a reboot is pending, by who has asked for it; absent where nothing on the host tells.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            let told = snapshot.passes().filter_map(|(_, pass)| pass.reboots());
            told.flatten().try_for_each(|(reason, holds)| out.put(&[("reason", reason.as_str())], *holds))
        },
    },
    Family {
        name: "host_feeds",
        help: "How many UPSes share this load, by the configuration.",
        kind: Kind::Gauge,
        samples: |snapshot, out| each_load(snapshot, out, |load| load.members),
    },
    Family {
        name: "host_feeds_healthy",
        help: "How many of them are heard, and give power that no outage, low battery or countdown threatens.",
        kind: Kind::Gauge,
        samples: |snapshot, out| each_load(snapshot, out, |load| load.healthy),
    },
    Family {
        name: "host_feeds_min_healthy",
        help: "How many of them the load needs, by the configuration.",
        kind: Kind::Gauge,
        samples: |snapshot, out| each_load(snapshot, out, |load| load.min_healthy),
    },
    Family {
        name: "host_feeds_unlisted",
        help: "How many UPSes are named for this load that their server does not list: a name that is mistyped, or a UPS that was taken away.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            let unlisted: Vec<_> = snapshot.unlisted().collect();
            each_load(snapshot, out, |load| unlisted.iter().filter(|it| it.load == load.name).count())
        },
    },
];

fn each_load(snapshot: &Snapshot, out: &mut Samples<'_, '_>, count: impl Fn(&LoadReport) -> usize) -> fmt::Result {
    told(snapshot, |report| {
        report.loads().iter().try_for_each(|load| out.put(&[("load", load.name.as_str())], count(load)))
    })
}

fn told(snapshot: &Snapshot, put: impl FnOnce(&HostStateReport) -> fmt::Result) -> fmt::Result {
    snapshot.shutdown.as_ref().map_or(Ok(()), put)
}
