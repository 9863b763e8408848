//! `ups_*`: every UPS, answering or not.

use std::collections::BTreeSet;
use std::fmt;

use super::table::{Family, Kind, Samples};
use crate::snapshot::{LINK_LOST, Label, Snapshot, UpsSeen};
use crate::ups::{Quantity, Reading, SelfTest, Status};

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
                Err(trouble) => out.put(&[ups, backend, target, ("reason", trouble.reason)], true),
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
                Err(trouble) if LINK_LOST.contains(&trouble.reason) => {
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
    gauge::<{ Quantity::BatteryCharge as usize }>("ups_battery_charge_ratio", "How full the battery is, from 0 to 1."),
    gauge::<{ Quantity::BatteryChargeLow as usize }>(
        "ups_battery_charge_low_ratio",
        "The charge below which the UPS calls its battery low, from 0 to 1.",
    ),
    gauge::<{ Quantity::BatteryChargeWarning as usize }>(
        "ups_battery_charge_warning_ratio",
        "The charge below which the UPS warns, from 0 to 1.",
    ),
    gauge::<{ Quantity::BatteryRuntime as usize }>(
        "ups_battery_runtime_seconds",
        "How long the battery would last at the present load.",
    ),
    gauge::<{ Quantity::BatteryRuntimeLow as usize }>(
        "ups_battery_runtime_low_seconds",
        "The runtime below which the UPS calls its battery low.",
    ),
    gauge::<{ Quantity::BatteryVoltage as usize }>("ups_battery_voltage_volts", "Voltage of the battery."),
    gauge::<{ Quantity::BatteryVoltageNominal as usize }>(
        "ups_battery_voltage_nominal_volts",
        "Voltage that the battery is made for.",
    ),
    gauge::<{ Quantity::BatteryCurrent as usize }>("ups_battery_current_amperes", "Current of the battery."),
    gauge::<{ Quantity::BatteryTemperature as usize }>(
        "ups_battery_temperature_celsius",
        "Temperature at the battery.",
    ),
    gauge::<{ Quantity::BatteryReplacedAt as usize }>(
        "ups_battery_replaced_timestamp_seconds",
        "When the battery was last replaced, in seconds since 1970.",
    ),
    gauge::<{ Quantity::BatteryManufacturedAt as usize }>(
        "ups_battery_manufactured_timestamp_seconds",
        "When the battery was made, in seconds since 1970.",
    ),
    gauge::<{ Quantity::OnBattery as usize }>(
        "ups_on_battery_seconds",
        "For how long the UPS has been on its battery; 0 when on line.",
    ),
    counter::<{ Quantity::OnBatteryCumulative as usize }>(
        "ups_on_battery_cumulative_seconds",
        "For how long the UPS has been on its battery since whoever counts was started.",
    ),
    counter::<{ Quantity::BatteryTransfers as usize }>(
        "ups_battery_transfers",
        "How often the UPS went onto its battery since whoever counts was started.",
    ),
    gauge::<{ Quantity::Temperature as usize }>("ups_temperature_celsius", "Temperature inside the UPS."),
    gauge::<{ Quantity::Load as usize }>("ups_load_ratio", "Load as a part of what the UPS can carry; 1 is all of it."),
    gauge::<{ Quantity::RealPower as usize }>("ups_real_power_watts", "Real power that is drawn."),
    gauge::<{ Quantity::RealPowerNominal as usize }>(
        "ups_real_power_nominal_watts",
        "Real power that the UPS is made for.",
    ),
    gauge::<{ Quantity::ApparentPower as usize }>("ups_apparent_power_voltamperes", "Apparent power that is drawn."),
    gauge::<{ Quantity::ApparentPowerNominal as usize }>(
        "ups_apparent_power_nominal_voltamperes",
        "Apparent power that the UPS is made for.",
    ),
    gauge::<{ Quantity::InputVoltage as usize }>("ups_input_voltage_volts", "Voltage at the input."),
    gauge::<{ Quantity::InputVoltageNominal as usize }>(
        "ups_input_voltage_nominal_volts",
        "Voltage that the input is made for.",
    ),
    gauge::<{ Quantity::InputFrequency as usize }>("ups_input_frequency_hertz", "Frequency at the input."),
    gauge::<{ Quantity::InputFrequencyNominal as usize }>(
        "ups_input_frequency_nominal_hertz",
        "Frequency that the input is made for.",
    ),
    gauge::<{ Quantity::InputCurrent as usize }>("ups_input_current_amperes", "Current at the input."),
    gauge::<{ Quantity::InputTransferLow as usize }>(
        "ups_input_transfer_low_volts",
        "Input voltage below which the UPS goes onto its battery.",
    ),
    gauge::<{ Quantity::InputTransferHigh as usize }>(
        "ups_input_transfer_high_volts",
        "Input voltage above which the UPS goes onto its battery.",
    ),
    counter::<{ Quantity::InputLineBads as usize }>(
        "ups_input_line_bads",
        "How often the input was out of tolerance since whoever counts was started.",
    ),
    gauge::<{ Quantity::OutputVoltage as usize }>("ups_output_voltage_volts", "Voltage at the output."),
    gauge::<{ Quantity::OutputVoltageNominal as usize }>(
        "ups_output_voltage_nominal_volts",
        "Voltage that the output is made for.",
    ),
    gauge::<{ Quantity::OutputFrequency as usize }>("ups_output_frequency_hertz", "Frequency at the output."),
    gauge::<{ Quantity::OutputFrequencyNominal as usize }>(
        "ups_output_frequency_nominal_hertz",
        "Frequency that the output is made for.",
    ),
    gauge::<{ Quantity::OutputCurrent as usize }>("ups_output_current_amperes", "Current at the output."),
    gauge::<{ Quantity::SelfTestAt as usize }>(
        "ups_self_test_timestamp_seconds",
        "When the UPS last tested itself, in seconds since 1970.",
    ),
    gauge::<{ Quantity::Alarms as usize }>("ups_alarms", "How many alarms stand, by the UPS's own count."),
    gauge::<{ Quantity::ShutdownTimer as usize }>(
        "ups_shutdown_timer_seconds",
        "In how long the UPS takes its power away; absent when no countdown runs.",
    ),
    gauge::<{ Quantity::StartupTimer as usize }>(
        "ups_startup_timer_seconds",
        "In how long the UPS gives power again; absent when no countdown runs.",
    ),
    gauge::<{ Quantity::ShutdownDelay as usize }>(
        "ups_shutdown_delay_seconds",
        "How long the UPS waits, by its settings, before it takes its power away.",
    ),
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
        name: "ups_alarm",
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

const fn gauge<const Q: usize>(name: &'static str, help: &'static str) -> Family<Snapshot> {
    Family { name, help, kind: Kind::Gauge, samples: quantity::<Q> }
}

const fn counter<const Q: usize>(name: &'static str, help: &'static str) -> Family<Snapshot> {
    Family { name, help, kind: Kind::Counter, samples: quantity::<Q> }
}

fn quantity<const Q: usize>(snapshot: &Snapshot, out: &mut Samples<'_, '_>) -> fmt::Result {
    each_reading(snapshot, |[ups, backend, target], reading| {
        reading.values.each(Quantity::ALL[Q]).try_for_each(|(phase, value)| {
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
