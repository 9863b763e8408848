//! Real upsd, real drivers: what each UPS says is right, and what one does not say takes nothing from its neighbours.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use kagiban_tests::exporter::{Exporter, sample};
use kagiban_tests::nut::{Device, Nut};
use kagiban_tests::pki::{Authority, Purpose, Validity};
use kagiban_tests::{process, promtool, scratch, tools};

const ONE: Device<'_> = Device {
    name: "one",
    description: "rack A",
    variables: "ups.status: OL CHRG\n\
        battery.charge: 87.5\nbattery.charge.low: 20\nbattery.runtime: 1200\nbattery.runtime.low: 120\n\
        battery.voltage: 27.3\nbattery.voltage.nominal: 24\nbattery.date: 2024/09/25\n\
        ups.load: 41\nups.realpower: 410\nups.power: 500\nups.temperature: 31.5\nups.delay.shutdown: 20\n\
        ups.timer.shutdown: -1\nups.test.result: Done and passed\nups.serial: SN-1\n\
        input.voltage: 230.5\ninput.voltage.nominal: 0\ninput.frequency: 50.1\ninput.transfer.reason: input voltage out of range\n\
        output.voltage: 229.9\ndevice.location: cellar\n",
};
const TWO: Device<'_> = Device {
    name: "two",
    description: "rack B",
    variables: "ups.status: OB LB DISCHRG TURBO\nbattery.charge: 12\nups.alarm: Replace battery! Fan failure!\n\
        ups.timer.shutdown: 95\ninput.L1-N.voltage: 229\ninput.L2-N.voltage: 231\n",
};

/// What `one` says, in base units.
const ONE_SAYS: &[(&str, &[&str], f64)] = &[
    ("ups_up", &[], 1.0),
    ("ups_status", &["status=\"online\""], 1.0),
    ("ups_status", &["status=\"charging\""], 1.0),
    ("ups_status", &["status=\"on_battery\""], 0.0),
    ("ups_battery_charge_ratio", &[], 0.875),
    ("ups_battery_charge_low_ratio", &[], 0.2),
    ("ups_battery_runtime_seconds", &[], 1200.0),
    ("ups_battery_runtime_low_seconds", &[], 120.0),
    ("ups_battery_voltage_volts", &[], 27.3),
    ("ups_battery_voltage_nominal_volts", &[], 24.0),
    ("ups_battery_replaced_timestamp_seconds", &[], 1_727_222_400.0),
    ("ups_load_ratio", &[], 0.41),
    ("ups_real_power_watts", &[], 410.0),
    ("ups_apparent_power_voltamperes", &[], 500.0),
    ("ups_temperature_celsius", &[], 31.5),
    ("ups_shutdown_delay_seconds", &[], 20.0),
    ("ups_input_voltage_volts", &[], 230.5),
    ("ups_input_frequency_hertz", &[], 50.1),
    ("ups_output_voltage_volts", &[], 229.9),
    ("ups_self_test_result", &["result=\"passed\""], 1.0),
    ("ups_info", &["driver=\"dummy-ups\"", "serial=\"SN-1\"", "location=\"cellar\""], 1.0),
];

#[test]
fn a_dead_driver_takes_down_its_own_ups_and_nothing_else() -> Result<()> {
    let directory = scratch::directory("nut-two")?;
    let mut nut = Nut::start(&directory, &[ONE, TWO], None)?;
    let exporter = Exporter::start(&directory, &asking(&nut, ""), &[])?;

    let metrics = exporter.metrics_when("both UPSes", |metrics| {
        ["one", "two"].iter().all(|ups| sample(metrics, "ups_up", &[&label("ups", ups)]) == Some(1.0))
    })?;
    promtool::check("two UPSes", &metrics)?;
    ensure_says(&metrics, "one", ONE_SAYS)?;
    ensure_says(&metrics, "one", &[("ups_info", &["description=\"rack A\""], 1.0)])?;
    let two_says: &[(&str, &[&str], f64)] = &[
        ("ups_status", &["status=\"on_battery\""], 1.0),
        ("ups_status", &["status=\"low_battery\""], 1.0),
        ("ups_status", &["status=\"discharging\""], 1.0),
        ("ups_status", &["status=\"online\""], 0.0),
        ("ups_status_unknown", &["raw=\"TURBO\""], 1.0),
        ("ups_battery_charge_ratio", &[], 0.12),
        ("ups_alarm", &["alarm=\"Replace battery!\""], 1.0),
        ("ups_alarm", &["alarm=\"Fan failure!\""], 1.0),
        ("ups_input_voltage_volts", &["phase=\"L1-N\""], 229.0),
        ("ups_input_voltage_volts", &["phase=\"L2-N\""], 231.0),
    ];
    ensure_says(&metrics, "two", two_says)?;
    ensure!(sample(&metrics, "ups_shutdown_timer_seconds", &[&label("ups", "two")]).is_none(), "it did not move yet");
    nut.set("two", &TWO.variables.replace("shutdown: 95", "shutdown: 85"))?;
    let counts = |metrics: &str| sample(metrics, "ups_shutdown_timer_seconds", &[&label("ups", "two")]) == Some(85.0);
    let metrics = exporter.metrics_when("two counts down", counts)?;
    // Neither a countdown that does not run, nor a voltage that nobody was made for, nor what was never said.
    for absent in ["ups_shutdown_timer_seconds", "ups_input_voltage_nominal_volts", "ups_battery_current_amperes"] {
        ensure!(sample(&metrics, absent, &[&label("ups", "one")]).is_none(), "{absent} was invented:\n{metrics}");
    }

    nut.kill_driver("two")?;
    let metrics = exporter
        .metrics_when("two is down", |metrics| sample(metrics, "ups_up", &[&label("ups", "two")]) == Some(0.0))?;
    promtool::check("a dead driver", &metrics)?;
    ensure_says(&metrics, "two", &[("ups_poll_error", &["reason=\"driver_not_connected\""], 1.0)])?;
    let about_two: Vec<_> = metrics.lines().filter(|line| line.contains("ups=\"two\"")).collect();
    // What was counted stays counted.
    let known = [
        "ups_up",
        "ups_poll_error",
        "ups_poll_duration_seconds",
        "ups_last_success_timestamp_seconds",
        "ups_status_contradictions_total",
    ];
    let plain = |line: &&&str| !known.iter().any(|name| line.starts_with(name)) && !line.contains("comm_lost");
    ensure!(!about_two.iter().any(|line| plain(&line)), "of a UPS that is not heard: {about_two:#?}");
    ensure_says(&metrics, "one", ONE_SAYS)
}

/// Holds R3 and R14: what drivers write for what they do not know is no sample and counted, with every look; what else a dashboard
/// wants is there.
#[test]
fn a_reading_that_no_ups_can_have_is_no_sample_and_a_counter_says_so() -> Result<()> {
    let directory = scratch::directory("nut-refused")?;
    let variables = "ups.status: OL CHRG\nbattery.charge: 101\nbattery.runtime: 0\nups.temperature: 255.0\n\
        input.voltage: 65535.0\ninput.transfer.low: 0\nups.realpower.nominal: 0\nups.load: 255\nups.alarm: (null)\n\
        input.voltage.minimum: 221.4\ninput.voltage.maximum: 240.9\nbattery.voltage.low: 20.8\nbattery.voltage.high: 27.4\n\
        ambient.temperature: 23.5\nambient.humidity: 41\nbattery.packs: 2\ninput.current.nominal: 10\nups.delay.start: 30\n\
        ups.beeper.status: muted\nbattery.type: PbAc\noutlet.1.status: on\noutlet.2.status: off\n";
    let nut = Nut::start(&directory, &[Device { variables, ..ONE }], None)?;
    let exporter = Exporter::start(&directory, &asking(&nut, ""), &[])?;
    let refused = |metrics: &str, metric: &str| {
        sample(metrics, "ups_readings_refused_total", &[&label("ups", "one"), &label("metric", metric)])
    };
    let metrics = exporter.metrics_when("the second look", |metrics| {
        refused(metrics, "ups_temperature_celsius").is_some_and(|count| count >= 2.0)
    })?;
    promtool::check("refused readings", &metrics)?;
    for metric in [
        "ups_battery_runtime_seconds",
        "ups_temperature_celsius",
        "ups_input_voltage_volts",
        "ups_input_transfer_low_volts",
        "ups_real_power_nominal_watts",
        "ups_load_ratio",
        "ups_alarm",
    ] {
        ensure!(sample(&metrics, metric, &[&label("ups", "one")]).is_none(), "{metric}:\n{metrics}");
        ensure!(refused(&metrics, metric).is_some(), "{metric} is not counted:\n{metrics}");
    }
    let says: &[(&str, &[&str], f64)] = &[
        ("ups_battery_charge_ratio", &[], 1.0),
        ("ups_input_voltage_minimum_volts", &[], 221.4),
        ("ups_input_voltage_maximum_volts", &[], 240.9),
        ("ups_battery_voltage_low_volts", &[], 20.8),
        ("ups_battery_voltage_high_volts", &[], 27.4),
        ("ups_ambient_temperature_celsius", &[], 23.5),
        ("ups_ambient_humidity_ratio", &[], 0.41),
        ("ups_battery_packs", &[], 2.0),
        ("ups_input_current_nominal_amperes", &[], 10.0),
        ("ups_start_delay_seconds", &[], 30.0),
        ("ups_beeper_status", &["status=\"muted\""], 1.0),
        ("ups_beeper_status", &["status=\"enabled\""], 0.0),
        ("ups_battery_info", &["type=\"PbAc\""], 1.0),
        ("ups_outlet_on", &["outlet=\"1\""], 1.0),
        ("ups_outlet_on", &["outlet=\"2\""], 0.0),
    ];
    ensure_says(&metrics, "one", says)
}

#[test]
fn a_forced_shutdown_shows_with_every_other_word_of_the_status() -> Result<()> {
    let directory = scratch::directory("nut-fsd")?;
    let nut = Nut::start(&directory, &[Device { variables: "ups.status: OL\n", ..ONE }], None)?;
    let exporter = Exporter::start(&directory, &asking(&nut, ", ups: one"), &[])?;
    nut.set("one", "ups.status: FSD OB LB DISCHRG\n")?;
    let forced = &[label("ups", "rack"), "status=\"forced_shutdown\"".to_owned()];
    let metrics = exporter.metrics_when("the forced shutdown", |metrics| {
        sample(metrics, "ups_status", &[&forced[0], &forced[1]]) == Some(1.0)
    })?;
    for (status, holds) in [("on_battery", 1.0), ("low_battery", 1.0), ("discharging", 1.0), ("online", 0.0)] {
        ensure_says(&metrics, "rack", &[("ups_status", &[&label("status", status)], holds)])?;
    }
    promtool::check("a forced shutdown", &metrics)
}

#[test]
fn what_a_device_calls_itself_is_a_label_and_nothing_more() -> Result<()> {
    let directory = scratch::directory("nut-labels")?;
    let variables = "ups.status: OL\nups.serial: \"x\\\"} 1 ups_up{} 0 \\\\\"\n";
    let nut = Nut::start(&directory, &[Device { variables, ..ONE }], None)?;
    let exporter = Exporter::start(&directory, &asking(&nut, ""), &[])?;
    // What NUT's own client shows, as Prometheus writes it.
    let serial = process::run(tools::nut("bin/upsc")?.args([&format!("one@{}", nut.address()), "device.serial"]))?;
    let escaped = serial.trim_end().replace('\\', r"\\").replace('"', r#"\""#);
    ensure!(escaped.contains(r#"\"} 1 ups_up{} 0"#), "the driver tells something else: {serial}");
    let metrics = exporter.metrics_when("the UPS", |metrics| metrics.contains("ups_info{ups=\"one\""))?;
    ensure!(metrics.contains(&format!("serial=\"{escaped}\"")), "{metrics}");
    promtool::check("a hostile name", &metrics)
}

#[test]
fn with_start_tls_upsd_is_read_when_it_is_who_it_should_be_and_not_at_all_otherwise() -> Result<()> {
    let directory = scratch::directory("nut-tls")?;
    let (ours, other) = (Authority::new("UPS CA")?, Authority::new("Other CA")?);
    let identity = ours.issue(&["ups-01.example.com"], Purpose::Server, Validity::Now)?;
    let nut = Nut::start(&directory, &[ONE], Some(&identity))?;
    let path = |name: &str| directory.join(name);
    fs::write(path("ours.crt"), &ours.identity.certificate)?;
    fs::write(path("other.crt"), &other.identity.certificate)?;
    fs::write(path("password"), "canary-4711 with \"quotes\" and \\ and blanks\n")?;
    let entry = |name: &str, ca: &Path, server_name: &str| {
        format!(
            "  - {{name: {name}, interval: 1s, nut: {{address: \"{}\", ups: one, username: monitor, passwordFile: {:?}, \
             startTls: {{caFile: {ca:?}, serverName: {server_name}}}}}}}\n",
            nut.address(),
            path("password")
        )
    };
    let config = format!(
        "discovery: {{enabled: false}}\nups:\n{}{}{}",
        entry("good", &path("ours.crt"), "ups-01.example.com"),
        entry("other-ca", &path("other.crt"), "ups-01.example.com"),
        entry("other-name", &path("ours.crt"), "ups-02.example.com"),
    );
    let exporter = Exporter::start(&directory, &config, &["--log.level=debug"])?;
    let metrics = exporter.metrics_when("the protected UPS", |metrics| {
        sample(metrics, "ups_up", &[&label("ups", "good")]) == Some(1.0)
    })?;
    ensure_says(&metrics, "good", ONE_SAYS)?;
    for ups in ["other-ca", "other-name"] {
        ensure_says(&metrics, ups, &[("ups_up", &[], 0.0), ("ups_poll_error", &["reason=\"tls\""], 1.0)])?;
    }
    for said in [metrics, exporter.program.log_text()] {
        ensure!(!said.contains("canary-4711"), "the password was told: {said}");
    }
    Ok(())
}

fn asking(nut: &Nut, more: &str) -> String {
    let address = nut.address();
    format!(
        "discovery: {{enabled: false}}\nups:\n  - {{name: rack, interval: 1s, nut: {{address: \"{address}\"{more}}}}}\n"
    )
}

fn label(name: &str, value: &str) -> String {
    format!("{name}=\"{value}\"")
}

fn ensure_says(metrics: &str, ups: &str, expected: &[(&str, &[&str], f64)]) -> Result<()> {
    let ups = label("ups", ups);
    for (name, labels, value) in expected {
        let labels: Vec<&str> = labels.iter().copied().chain([ups.as_str()]).collect();
        let found = sample(metrics, name, &labels).with_context(|| format!("no {name}{labels:?}:\n{metrics}"))?;
        ensure!((found - value).abs() < 1e-9, "{name}{labels:?} is {found}, not {value}");
    }
    Ok(())
}
