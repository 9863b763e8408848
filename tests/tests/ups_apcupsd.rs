//! apcupsd, real and replayed: the flags tell what the text hides, and a UPS that it does not hear has no numbers.

use anyhow::{Context, Result, ensure};
use kagiban_tests::apcupsd::{Apcupsd, Feed, Replay};
use kagiban_tests::exporter::{Exporter, sample};
use kagiban_tests::{promtool, scratch};

/// What a Smart-UPS says on line, byte for byte as apcupsd 3.14.14 prints it.
const ON_LINE: &str = "APC      : 001,036,0879
DATE     : 2026-11-23 09:44:40 +0000  
HOSTNAME : ups-01
VERSION  : 3.14.14 (31 May 2016) debian
UPSNAME  : rack-b
CABLE    : USB Cable
DRIVER   : USB UPS Driver
UPSMODE  : Stand Alone
STARTTIME: 2026-11-23 09:44:37 +0000  
MODEL    : Smart-UPS 1500
STATUS   : ONLINE 
LINEV    : 230.4 Volts
LOADPCT  : 12.5 Percent
BCHARGE  : 97.5 Percent
TIMELEFT : 61.5 Minutes
MBATTCHG : 5 Percent
MINTIMEL : 3 Minutes
MAXTIME  : 0 Seconds
LOTRANS  : 208.0 Volts
HITRANS  : 253.0 Volts
BATTV    : 27.4 Volts
LASTXFER : Low line voltage
NUMXFERS : 2
XONBATT  : 2026-11-20 03:04:05 +0100  
TONBATT  : 0 Seconds
CUMONBATT: 13 Seconds
XOFFBATT : 2026-11-20 03:04:18 +0100  
SELFTEST : OK
STATFLAG : 0x05000008
SERIALNO : AS0000000000  
BATTDATE : 2024-09-25
NOMINV   : 230 Volts
NOMBATTV : 24.0 Volts
NOMPOWER : 980 Watts
FIRMWARE : UPS 08.3 / ID=18
END APC  : 2026-11-23 09:44:40 +0000  
";

#[test]
fn a_status_is_published_in_base_units() -> Result<()> {
    let directory = scratch::directory("apcupsd-values")?;
    let replay = Replay::start(ON_LINE)?;
    let exporter = Exporter::start(&directory, &asking(&[("rack-b", replay.address().to_string())]), &[])?;
    let metrics = exporter.metrics()?;
    promtool::check("a status", &metrics)?;
    let expected: &[(&str, &[&str], f64)] = &[
        ("ups_up", &[], 1.0),
        ("ups_status", &["status=\"online\""], 1.0),
        ("ups_status", &["status=\"on_battery\""], 0.0),
        ("ups_battery_charge_ratio", &[], 0.975),
        ("ups_battery_charge_low_ratio", &[], 0.05),
        ("ups_battery_runtime_seconds", &[], 3690.0),
        ("ups_battery_runtime_low_seconds", &[], 180.0),
        ("ups_battery_voltage_volts", &[], 27.4),
        ("ups_battery_voltage_nominal_volts", &[], 24.0),
        ("ups_battery_replaced_timestamp_seconds", &[], 1_727_222_400.0),
        ("ups_battery_transfers_total", &[], 2.0),
        ("ups_on_battery_seconds", &[], 0.0),
        ("ups_on_battery_cumulative_seconds_total", &[], 13.0),
        ("ups_load_ratio", &[], 0.125),
        ("ups_real_power_nominal_watts", &[], 980.0),
        ("ups_input_voltage_volts", &[], 230.4),
        ("ups_input_voltage_nominal_volts", &[], 230.0),
        ("ups_input_transfer_low_volts", &[], 208.0),
        ("ups_input_transfer_high_volts", &[], 253.0),
        ("ups_last_transfer_timestamp_seconds", &["direction=\"on_battery\""], 1_795_140_245.0),
        ("ups_last_transfer_timestamp_seconds", &["direction=\"off_battery\""], 1_795_140_258.0),
        ("ups_last_transfer_cause", &["cause=\"Low line voltage\""], 1.0),
        ("ups_self_test_result", &["result=\"passed\""], 1.0),
        ("ups_info", &["model=\"Smart-UPS 1500\"", "serial=\"AS0000000000\"", "firmware=\"UPS 08.3 / ID=18\""], 1.0),
    ];
    ensure_says(&metrics, "rack-b", expected)?;
    for absent in ["ups_output_voltage_volts", "ups_temperature_celsius", "ups_shutdown_timer_seconds"] {
        ensure!(!metrics.contains(&format!("{absent}{{")), "{absent} was invented:\n{metrics}");
    }

    // While it shuts down, the text says nothing else.
    let down = ON_LINE.replace("STATUS   : ONLINE", "STATUS   : SHUTTING DOWN").replace("0x05000008", "0x05200250");
    replay.say(&down)?;
    let metrics = exporter.metrics_when("the shutdown", |metrics| says(metrics, "status=\"shutting_down\""))?;
    for status in ["status=\"on_battery\"", "status=\"low_battery\""] {
        ensure!(says(&metrics, status), "no {status}:\n{metrics}");
    }
    promtool::check("a shutdown", &metrics)
}

#[test]
fn a_ups_that_a_real_apcupsd_no_longer_hears_has_no_numbers_and_its_neighbour_keeps_its_own() -> Result<()> {
    let directory = scratch::directory("apcupsd-real")?;
    let replay = Replay::start(ON_LINE)?;
    let master = Apcupsd::start(&directory.join("master"), Feed::TestDriver)?;
    let slave = Apcupsd::start(&directory.join("slave"), Feed::Master(replay.address()))?;
    let upses = [("master", master.address().to_string()), ("slave", slave.address().to_string())];
    let exporter = Exporter::start(&directory, &asking(&upses), &[])?;

    let metrics = exporter.metrics_when("what the slave heard", |metrics| {
        sample(metrics, "ups_battery_charge_ratio", &["ups=\"slave\""]) == Some(0.975)
    })?;
    promtool::check("two apcupsds", &metrics)?;
    ensure_says(&metrics, "slave", &[("ups_up", &[], 1.0), ("ups_battery_runtime_seconds", &[], 3690.0)])?;
    let driver_says: &[(&str, &[&str], f64)] = &[
        ("ups_up", &[], 1.0),
        ("ups_status", &["status=\"online\""], 1.0),
        ("ups_status", &["status=\"no_battery\""], 1.0),
        ("ups_battery_charge_ratio", &[], 1.0),
        ("ups_battery_runtime_seconds", &[], 72_000.0),
        ("ups_load_ratio", &[], 0.405),
        ("ups_input_voltage_volts", &[], 229.5),
        ("ups_output_voltage_volts", &[], 228.5),
        ("ups_temperature_celsius", &[], 32.4),
        ("ups_input_frequency_hertz", &[], 50.0),
        ("ups_battery_voltage_volts", &[], 12.5),
        ("ups_shutdown_delay_seconds", &[], 120.0),
    ];
    ensure_says(&metrics, "master", driver_says)?;
    for absent in ["ups_input_voltage_nominal_volts", "ups_real_power_nominal_watts"] {
        let found = sample(&metrics, absent, &["ups=\"master\""]);
        ensure!(found.is_none(), "{absent} is {found:?} where the driver does not know it");
    }

    replay.vanish();
    let metrics =
        exporter.metrics_when("the lost link", |metrics| sample(metrics, "ups_up", &["ups=\"slave\""]) == Some(0.0))?;
    promtool::check("a lost link", &metrics)?;
    let lost: &[(&str, &[&str], f64)] =
        &[("ups_poll_error", &["reason=\"comm_lost\""], 1.0), ("ups_status", &["status=\"comm_lost\""], 1.0)];
    ensure_says(&metrics, "slave", lost)?;
    for absent in ["ups_battery_charge_ratio", "ups_input_voltage_volts", "ups_load_ratio", "ups_info"] {
        let found = sample(&metrics, absent, &["ups=\"slave\""]);
        ensure!(found.is_none(), "{absent} is {found:?} of a UPS that is not heard");
    }
    ensure_says(&metrics, "master", driver_says)
}

fn asking(upses: &[(&str, String)]) -> String {
    let entry = |(name, address): &(&str, String)| {
        format!("  - {{name: {name}, interval: 1s, apcupsd: {{address: \"{address}\"}}}}\n")
    };
    format!("discovery: {{enabled: false}}\nups:\n{}", upses.iter().map(entry).collect::<String>())
}

fn says(metrics: &str, status: &str) -> bool {
    sample(metrics, "ups_status", &[status]) == Some(1.0)
}

fn ensure_says(metrics: &str, ups: &str, expected: &[(&str, &[&str], f64)]) -> Result<()> {
    let ups = format!("ups=\"{ups}\"");
    for (name, labels, value) in expected {
        let labels: Vec<&str> = labels.iter().copied().chain([ups.as_str()]).collect();
        let found = sample(metrics, name, &labels).with_context(|| format!("no {name}{labels:?}:\n{metrics}"))?;
        ensure!((found - value).abs() < 1e-9, "{name}{labels:?} is {found}, not {value}");
    }
    Ok(())
}
