//! `ups_*`: every UPS, answering or not.

use std::collections::BTreeSet;
use std::fmt;

use super::table::{Family, Kind, Samples};
use crate::health::Check;
use crate::snapshot::{Label, Snapshot, UpsSeen};
use crate::ups::{ALARM_METRIC, Beeper, Quantity, QuantityFacts, Reading, SelfTest, Status};

pub(super) const FAMILIES: &[Family<Snapshot>] = &[
    Family {
        name: "ups_up",
        help: "Whether the UPS was heard: it answered, and who answered for it had heard it.",
        kind: Kind::Gauge,
        samples: |snapshot, out| each(snapshot, |at, seen| out.put(&at, seen.outcome.is_ok())),
    },
    Family {
        name: "ups_poll_error",
        help: "Why the UPS was not heard, always 1; only the reason that holds is here.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each(snapshot, |[ups, backend, target], seen| match &seen.outcome {
                Ok(_) => Ok(()),
                Err(trouble) => out.put(&[ups, backend, target, ("reason", trouble.reason.as_str())], true),
            })
        },
    },
    Family {
        name: "kagiban_ups_check",
        help: concat!(
            "Whether the UPS is asked as a hardened one is: with SNMP v3, SHA-2 and AES (1), or with less (0) (",
            online!("docs/hardening.md"),
            ")."
        ),
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each(snapshot, |[ups, backend, target], seen| {
                let check = ("check", Check::SnmpV3Strong.id());
                seen.strong_snmp.map_or(Ok(()), |strong| out.put(&[ups, backend, target, check], strong))
            })
        },
    },
    Family {
        name: "ups_last_success_timestamp_seconds",
        help: "When the source last heard all its UPSes, in seconds since 1970.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            let sources =
                snapshot.sources.values().filter_map(|state| Some((state.pass.as_deref()?, state.last_success?)));
            let mut once = Once::default();
            for (pass, at) in sources {
                for seen in pass.upses().iter().filter(|seen| once.is_new(seen)) {
                    out.put(&labels(seen), at.as_second())?;
                }
            }
            Ok(())
        },
    },
    Family {
        name: "ups_poll_duration_seconds",
        help: "How long the last look took.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            let mut once = Once::default();
            for (_, pass) in snapshot.passes() {
                for seen in pass.upses().iter().filter(|seen| once.is_new(seen)) {
                    out.put(&labels(seen), pass.took.as_secs_f64())?;
                }
            }
            Ok(())
        },
    },
    Family {
        name: "ups_info",
        help: "Who the UPS says that it is, always 1.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each_reading(snapshot, |[ups, backend, target], reading| {
                let who = &reading.identity;
                let text = |label: &'_ Option<Label>| label.as_ref().map(Label::to_string).unwrap_or_default();
                let texts = [
                    ("manufacturer", text(&who.manufacturer)),
                    ("model", text(&who.model)),
                    ("serial", text(&who.serial)),
                    ("firmware", text(&who.firmware)),
                    ("driver", text(&who.driver)),
                    ("driver_version", text(&who.driver_version)),
                    ("description", text(&who.description)),
                    ("location", text(&who.location)),
                ];
                let mut all = vec![ups, backend, target];
                all.extend(texts.iter().map(|(name, text)| (*name, text.as_str())));
                out.put(&all, true)
            })
        },
    },
    Family {
        name: "ups_status",
        help: "Whether the state holds; several hold at once. Of a UPS that is not heard only comm_lost is here.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each(snapshot, |[ups, backend, target], seen| match &seen.outcome {
                Ok(reading) => Status::ALL.into_iter().try_for_each(|status| {
                    let holds = reading.statuses.contains(&status);
                    out.put(&[ups, backend, target, ("status", status.as_str())], holds)
                }),
                Err(trouble) if trouble.reason.is_link_lost() => {
                    out.put(&[ups, backend, target, ("status", Status::CommLost.as_str())], true)
                }
                Err(_) => Ok(()),
            })
        },
    },
    Family {
        name: "ups_status_unknown",
        help: "A status word or number that this program does not know, as the UPS gave it, always 1.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each_reading(snapshot, |[ups, backend, target], reading| {
                let words: BTreeSet<_> = reading.unknown.iter().take(Reading::MAX_UNKNOWN).collect();
                words.into_iter().try_for_each(|raw| out.put(&[ups, backend, target, ("raw", raw.as_str())], true))
            })
        },
    },
    Family {
        name: "ups_status_contradictions",
        help: "In how many looks the UPS said states that exclude each other, such as on line and off.",
        kind: Kind::Counter,
        samples: |snapshot, out| each(snapshot, |at, seen| out.put(&at, seen.contradictions)),
    },
    Family {
        name: "ups_battery_info",
        help: "What the battery is made of, in the words of whoever tells it, always 1.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each_reading(snapshot, |[ups, backend, target], reading| match &reading.identity.battery_type {
                None => Ok(()),
                Some(kind) => out.put(&[ups, backend, target, ("type", kind.as_str())], true),
            })
        },
    },
    Family {
        name: "ups_outlet_on",
        help: "Whether an outlet that the UPS switches, or a group of them, is on.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each_reading(snapshot, |[ups, backend, target], reading| {
                let mut outlets = reading.outlets.iter();
                outlets.try_for_each(|(outlet, on)| out.put(&[ups, backend, target, ("outlet", outlet.as_str())], *on))
            })
        },
    },
    Family {
        name: "ups_beeper_status",
        help: "Whether the beeper is enabled, disabled or muted; exactly one of them is 1.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each_reading(snapshot, |[ups, backend, target], reading| match reading.beeper {
                None => Ok(()),
                Some(known) => Beeper::ALL.into_iter().try_for_each(|status| {
                    out.put(&[ups, backend, target, ("status", status.as_str())], status == known)
                }),
            })
        },
    },
    Family {
        name: "ups_readings_refused",
        help: concat!(
            "How many readings of the metric were no sample since the source began: no UPS can have them (",
            online!("docs/ups-metrics.md"),
            ")."
        ),
        kind: Kind::Counter,
        samples: |snapshot, out| {
            each(snapshot, |[ups, backend, target], seen| {
                seen.refused
                    .iter()
                    .try_for_each(|(metric, count)| out.put(&[ups, backend, target, ("metric", metric)], *count))
            })
        },
    },
    Family {
        name: "ups_last_transfer_timestamp_seconds",
        help: "When the UPS last went onto its battery, and off it, in seconds since 1970.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each_reading(snapshot, |[ups, backend, target], reading| {
                reading.transfers.iter().try_for_each(|(direction, at)| {
                    out.put(&[ups, backend, target, ("direction", direction.as_str())], at.as_second())
                })
            })
        },
    },
    Family {
        name: "ups_last_transfer_cause",
        help: "Why the UPS last went onto its battery, in the words of whoever tells it, always 1.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each_reading(snapshot, |[ups, backend, target], reading| match &reading.transfer_cause {
                None => Ok(()),
                Some(cause) => out.put(&[ups, backend, target, ("cause", cause.as_str())], true),
            })
        },
    },
    Family {
        name: "ups_self_test_result",
        help: "Whether the last self-test ended so; exactly one of the results is 1.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each_reading(snapshot, |[ups, backend, target], reading| match reading.self_test {
                None => Ok(()),
                Some(known) => SelfTest::ALL.into_iter().try_for_each(|result| {
                    out.put(&[ups, backend, target, ("result", result.as_str())], result == known)
                }),
            })
        },
    },
    Family {
        name: ALARM_METRIC,
        help: "An alarm that stands, always 1.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each_reading(snapshot, |[ups, backend, target], reading| {
                let alarms = reading.alarms.iter().take(Reading::MAX_ALARMS);
                alarms
                    .into_iter()
                    .try_for_each(|alarm| out.put(&[ups, backend, target, ("alarm", alarm.as_str())], true))
            })
        },
    },
];

/// The numbers, one family for each row of their table.
pub(super) const QUANTITIES: &[Family<Snapshot>] = &{
    let mut families = [const { family(Quantity::ALL[0]) }; Quantity::ALL.len()];
    let mut row = 0;
    while row < families.len() {
        families[row] = family(Quantity::ALL[row]);
        row += 1;
    }
    families
};

const fn family(quantity: Quantity) -> Family<Snapshot> {
    let QuantityFacts { metric: name, help, unit, .. } = quantity.facts();
    let kind = if unit.is_counter() { Kind::Counter } else { Kind::Gauge };
    Family { name, help, kind, samples }
}

fn samples(snapshot: &Snapshot, out: &mut Samples<'_, '_>) -> fmt::Result {
    let Some(quantity) = Quantity::ALL.into_iter().find(|quantity| quantity.facts().metric == out.family()) else {
        return Ok(());
    };
    each_reading(snapshot, |[ups, backend, target], reading| {
        reading.values.each(quantity).try_for_each(|(phase, value)| {
            out.put(&[ups, backend, target, ("phase", phase.map_or("", Label::as_str))], value)
        })
    })
}

type At<'a> = [(&'static str, &'a str); 3];

fn labels(seen: &UpsSeen) -> At<'_> {
    [("ups", seen.ups.as_str()), ("backend", seen.backend.as_str()), ("target", seen.target.as_str())]
}

fn each<'a>(snapshot: &'a Snapshot, mut put: impl FnMut(At<'a>, &'a UpsSeen) -> fmt::Result) -> fmt::Result {
    let mut once = Once::default();
    let upses = snapshot.passes().flat_map(|(_, pass)| pass.upses());
    upses.filter(|seen| once.is_new(seen)).try_for_each(|seen| put(labels(seen), seen))
}

fn each_reading<'a>(snapshot: &'a Snapshot, mut put: impl FnMut(At<'a>, &'a Reading) -> fmt::Result) -> fmt::Result {
    each(snapshot, |at, seen| seen.outcome.as_ref().map_or(Ok(()), |reading| put(at, reading)))
}

/// One UPS may be reached by two sources, one that names it and one that lists all: a series is published once.
#[derive(Default)]
struct Once<'a>(BTreeSet<At<'a>>);

impl<'a> Once<'a> {
    fn is_new(&mut self, seen: &&'a UpsSeen) -> bool {
        self.0.insert(labels(seen))
    }
}
