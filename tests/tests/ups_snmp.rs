//! SNMP agents as they are: Net-SNMP's, with the trees of UPSes behind it.

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kagiban_tests::exporter::{Exporter, sample};
use kagiban_tests::snmpd::{self, AUTH_PASSWORD, COMMUNITY, From, MD5_USER, PRIVACY_PASSWORD, SHA1_USER, Snmpd, USER};
use kagiban_tests::{promtool, scratch};

const UPS_MIB: &str = ".1.3.6.1.2.1.33.1";
const POWERNET: &str = ".1.3.6.1.4.1.318.1.1.1";
const POWERCHUTE: &str = ".1.3.6.1.4.1.318.1.2.4";
const CRITICAL: &str = "1.3.6.1.4.1.318.0.790";

/// A three-phase UPS, on line, with everything that RFC 1628 has.
fn ups_mib() -> String {
    let rows = [
        "1.1.0 string Example Power",
        "1.2.0 string EX 9000",
        "1.3.0 string 4.2",
        "1.4.0 string agent 1.9",
        "1.5.0 string rack c",
        "2.1.0 integer 2",
        "2.2.0 integer 0",
        "2.3.0 integer 38",
        "2.4.0 gauge 96",
        "2.5.0 integer 2731",
        "2.6.0 integer -14",
        "2.7.0 integer 26",
        "3.1.0 counter 11",
        "3.2.0 integer 3",
        "3.3.1.2.1 integer 499",
        "3.3.1.2.2 integer 500",
        "3.3.1.2.3 integer 501",
        "3.3.1.3.1 integer 229",
        "3.3.1.3.2 integer 230",
        "3.3.1.3.3 integer 231",
        "4.1.0 integer 3",
        "4.2.0 integer 500",
        "4.4.1.4.1 integer 1200",
        "4.4.1.4.2 integer 900",
        "4.4.1.4.3 integer 0",
        "4.4.1.5.1 integer 40",
        "4.4.1.5.2 integer 30",
        "4.4.1.5.3 integer 0",
        "6.1.0 gauge 1",
        "6.2.1.2.22 objectid .1.3.6.1.2.1.33.1.6.3.5",
        "7.3.0 integer 2",
        "8.2.0 integer -1",
        "8.3.0 integer -1",
        "9.1.0 integer 230",
        "9.2.0 integer 500",
        "9.5.0 integer 9000",
        "9.6.0 integer 8100",
        "9.7.0 integer 2",
        "9.9.0 integer 180",
        "9.10.0 integer 270",
    ];
    rows.iter().map(|row| format!("{UPS_MIB}.{row}\n")).collect()
}

/// What a PowerChute agent's own SNMP answers, and its own tree.
fn powerchute(output_status: u8, critical: u8, comms_lost: u8) -> String {
    let powernet = [
        "1.1.1.0 string Smart-UPS 1500",
        "1.2.1.0 string 601.3.D USB FW:1.5",
        "1.2.3.0 string AS0123456789",
        "2.2.1.0 gauge 100",
        "2.2.2.0 gauge 31",
        "2.2.3.0 timeticks 756000",
        "2.2.4.0 integer 1",
        "2.2.8.0 integer 27",
        "3.2.1.0 gauge 102",
        "3.2.4.0 gauge 50",
        &format!("4.1.1.0 integer {output_status}"),
        "4.2.1.0 gauge 101",
        "4.2.2.0 gauge 50",
        "4.2.3.0 gauge 12",
    ]
    .map(|row| format!("{POWERNET}.{row}\n"));
    let own = format!(
        "{POWERCHUTE}.1.2.0 string 10.0.5\n{POWERCHUTE}.6.1.0 integer {critical}\n\
         {POWERCHUTE}.6.2.0 string UPS has been on battery for too long\n{POWERCHUTE}.6.3.0 integer {comms_lost}\n"
    );
    powernet.concat() + &own
}

/// The secrets in files, and entries of the configuration that name them.
struct Entries {
    directory: PathBuf,
    interval: &'static str,
}

impl Entries {
    fn new(directory: &Path, interval: &'static str) -> Result<Self> {
        for (name, secret) in [
            ("community", COMMUNITY),
            ("auth", AUTH_PASSWORD),
            ("privacy", PRIVACY_PASSWORD),
            ("wrong", "not-the-password"),
        ] {
            fs::write(directory.join(name), format!("{secret}\n"))?;
        }
        Ok(Self { directory: directory.to_owned(), interval })
    }

    fn community(&self, name: &str, agent: &Snmpd, version: &str, file: &str) -> String {
        let file = self.directory.join(file);
        let snmp = format!("address: '{}', version: {version}, communityFile: '{}'", agent.address(), file.display());
        self.entry(name, &snmp)
    }

    fn user(&self, name: &str, agent: &Snmpd, auth: &str) -> String {
        let (auth, privacy) = (self.directory.join(auth), self.directory.join("privacy"));
        let snmp = format!(
            "address: '{}', version: v3, user: {USER}, auth: {{protocol: SHA-256, passwordFile: '{}'}}, \
             privacy: {{protocol: AES-128, passwordFile: '{}'}}",
            agent.address(),
            auth.display(),
            privacy.display()
        );
        self.entry(name, &snmp)
    }

    fn entry(&self, name: &str, snmp: &str) -> String {
        format!("  - {{name: {name}, interval: {}, snmp: {{{snmp}}}}}\n", self.interval)
    }
}

/// A UDP port of this machine that is free now.
fn udp_port() -> Result<u16> {
    Ok(UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn status(metrics: &str, ups: &str, status: &str) -> Option<f64> {
    sample(metrics, "ups_status", &[&format!("ups=\"{ups}\""), &format!("status=\"{status}\"")])
}

fn up(metrics: &str, ups: &str) -> Option<f64> {
    sample(metrics, "ups_up", &[&format!("ups=\"{ups}\"")])
}

fn fails_for(metrics: &str, ups: &str, reason: &str) -> bool {
    sample(metrics, "ups_poll_error", &[&format!("ups=\"{ups}\""), &format!("reason=\"{reason}\"")]) == Some(1.0)
}

/// The families that have a sample of that UPS.
fn families<'a>(metrics: &'a str, ups: &str) -> Vec<&'a str> {
    let label = format!("ups=\"{ups}\"");
    let lines = metrics.lines().filter(|line| line.starts_with("ups_") && line.contains(&label));
    let mut families: Vec<_> = lines.filter_map(|line| line.split('{').next()).collect();
    families.dedup();
    families
}

#[test]
fn every_value_is_in_base_units_through_v2c_and_v3() -> Result<()> {
    let directory = scratch::directory("ups-snmp-values")?;
    let large = Snmpd::start(&directory.join("large"), &ups_mib())?;
    let small = Snmpd::start(&directory.join("small"), &powerchute(2, 2, 2))?;
    let entries = Entries::new(&directory, "1s")?;
    let config = format!(
        "ups:\n{}{}{}{}{}",
        entries.user("large", &large, "auth"),
        entries.community("large-v2c", &large, "v2c", "community"),
        entries.user("small", &small, "auth"),
        entries.community("small-v2c", &small, "v2c", "community"),
        entries.community("small-v1", &small, "v1", "community"),
    );
    let exporter = Exporter::start(&directory, &config, &[])?;
    let all_up = |metrics: &str| {
        let upses = ["large", "large-v2c", "small", "small-v2c", "small-v1"];
        upses.iter().all(|ups| up(metrics, ups) == Some(1.0))
    };
    let metrics = exporter.metrics_when("all up", all_up)?;
    promtool::check("exporter", &metrics)?;
    for ups in ["large", "large-v2c"] {
        for (name, phase, expected) in [
            ("ups_battery_charge_ratio", "", 0.96),
            ("ups_battery_runtime_seconds", "", 2280.0),
            ("ups_battery_runtime_low_seconds", "", 120.0),
            ("ups_battery_voltage_volts", "", 273.1),
            ("ups_battery_current_amperes", "", -1.4),
            ("ups_battery_temperature_celsius", "", 26.0),
            ("ups_on_battery_seconds", "", 0.0),
            ("ups_input_line_bads_total", "", 11.0),
            ("ups_input_frequency_hertz", "1", 49.9),
            ("ups_input_voltage_volts", "3", 231.0),
            ("ups_output_frequency_hertz", "", 50.0),
            ("ups_real_power_watts", "2", 900.0),
            ("ups_load_ratio", "1", 0.4),
            ("ups_load_ratio", "3", 0.0),
            ("ups_input_voltage_nominal_volts", "", 230.0),
            ("ups_input_frequency_nominal_hertz", "", 50.0),
            ("ups_apparent_power_nominal_voltamperes", "", 9000.0),
            ("ups_real_power_nominal_watts", "", 8100.0),
            ("ups_input_transfer_low_volts", "", 180.0),
            ("ups_input_transfer_high_volts", "", 270.0),
            ("ups_alarms", "", 1.0),
        ] {
            let mut labels = vec![format!("ups=\"{ups}\"")];
            labels.extend((!phase.is_empty()).then(|| format!("phase=\"{phase}\"")));
            let labels: Vec<_> = labels.iter().map(String::as_str).collect();
            let value =
                sample(&metrics, name, &labels).with_context(|| format!("{ups} has no one {name}:\n{metrics}"))?;
            ensure!((value - expected).abs() < 1e-6, "{ups}: {name} is {value}, not {expected}");
        }
        let of_ups = format!("ups=\"{ups}\"");
        ensure!(status(&metrics, ups, "online") == Some(1.0) && status(&metrics, ups, "on_battery") == Some(0.0));
        ensure!(sample(&metrics, "ups_alarm", &[&of_ups, "alarm=\"temp_bad\""]) == Some(1.0));
        ensure!(sample(&metrics, "ups_self_test_result", &[&of_ups, "result=\"warning\""]) == Some(1.0));
        ensure!(sample(&metrics, "ups_shutdown_timer_seconds", &[&of_ups]).is_none(), "no countdown runs");
        let who = ["manufacturer=\"Example Power\"", "model=\"EX 9000\"", "firmware=\"4.2\""];
        ensure!(sample(&metrics, "ups_info", &[&of_ups, who[0], who[1], who[2]]) == Some(1.0));
    }
    for ups in ["small", "small-v2c", "small-v1"] {
        let value = |name| sample(&metrics, name, &[&format!("ups=\"{ups}\"")]);
        ensure!(value("ups_battery_charge_ratio") == Some(1.0) && value("ups_battery_runtime_seconds") == Some(7560.0));
        ensure!(value("ups_load_ratio") == Some(0.12) && value("ups_output_voltage_volts") == Some(101.0));
        ensure!(status(&metrics, ups, "online") == Some(1.0), "{ups}");
        let unsaid = ["ups_on_battery_seconds", "ups_battery_current_amperes", "ups_self_test_result", "ups_alarms"];
        ensure!(
            families(&metrics, ups).iter().all(|family| !unsaid.contains(family)),
            "{ups} was given what it did not say"
        );
    }
    ensure!(!exporter.program.log_text().contains(COMMUNITY) && !exporter.program.log_text().contains(AUTH_PASSWORD));
    Ok(())
}

/// A three-phase UPS of APC with a bypass: its own tables, and none of RFC 1628's.
fn three_phases() -> String {
    let rows = [
        "1.1.1.0 string Galaxy 5000",
        "4.1.1.0 integer 2",
        "2.2.1.0 gauge 100",
        "9.2.1.0 integer 2",
        "9.2.2.1.2.1 integer 3",
        "9.2.2.1.2.2 integer 3",
        "9.2.2.1.4.1 integer 499",
        "9.2.2.1.5.1 integer 2",
        "9.2.2.1.5.2 integer 3",
        "9.2.3.1.3.1.1.1 integer 399",
        "9.2.3.1.3.1.1.2 integer 400",
        "9.2.3.1.3.1.1.3 integer 401",
        "9.2.3.1.3.2.1.1 integer 390",
        "9.3.3.1.4.1.1.1 integer 440",
        "9.3.3.1.4.1.1.2 integer 430",
        "9.3.3.1.4.1.1.3 integer -1",
        "9.3.3.1.10.1.1.1 integer 21",
        "9.3.3.1.10.1.1.2 integer 22",
        "9.3.3.1.10.1.1.3 integer 23",
        "9.3.3.1.13.1.1.1 integer 9000",
    ];
    rows.iter().map(|row| format!("{POWERNET}.{row}\n")).collect()
}

/// Holds R4: in each version of SNMP.
#[test]
fn the_phases_of_an_apc_ups_are_read_from_its_own_tables() -> Result<()> {
    let directory = scratch::directory("ups-snmp-phases")?;
    let agent = Snmpd::start(&directory.join("agent"), &three_phases())?;
    let entries = Entries::new(&directory, "1s")?;
    let config = format!(
        "ups:\n{}{}{}",
        entries.user("v3", &agent, "auth"),
        entries.community("v2c", &agent, "v2c", "community"),
        entries.community("v1", &agent, "v1", "community"),
    );
    let exporter = Exporter::start(&directory, &config, &[])?;
    let all_up = |metrics: &str| ["v3", "v2c", "v1"].iter().all(|ups| up(metrics, ups) == Some(1.0));
    let metrics = exporter.metrics_when("all up", all_up)?;
    promtool::check("three phases", &metrics)?;
    for ups in ["v3", "v2c", "v1"] {
        let of =
            |name, phase: &str| sample(&metrics, name, &[&format!("ups=\"{ups}\""), &format!("phase=\"{phase}\"")]);
        for (name, expected) in [
            ("ups_input_voltage_volts", [Some(399.0), Some(400.0), Some(401.0)]),
            ("ups_output_current_amperes", [Some(44.0), Some(43.0), None]),
            ("ups_load_ratio", [Some(0.21), Some(0.22), Some(0.23)]),
            ("ups_real_power_watts", [Some(9000.0), None, None]),
        ] {
            let close = |(said, expected): (Option<f64>, Option<f64>)| match (said, expected) {
                (Some(said), Some(expected)) => (said - expected).abs() < 1e-6,
                (said, expected) => said == expected,
            };
            let said = ["1", "2", "3"].map(|phase| of(name, phase));
            ensure!(said.into_iter().zip(expected).all(close), "{ups} {name}: {said:?}");
        }
        let frequency = sample(&metrics, "ups_input_frequency_hertz", &[&format!("ups=\"{ups}\"")]);
        ensure!(frequency.is_some_and(|hertz| (hertz - 49.9).abs() < 1e-6), "{ups}: {frequency:?}");
        let voltages = format!("ups_input_voltage_volts{{ups=\"{ups}\"");
        ensure!(metrics.matches(&voltages).count() == 3, "the bypass is not the input:\n{metrics}");
    }
    Ok(())
}

/// Holds R13: users with MD5, SHA-1 and DES are served where that is allowed, and shown as what they are.
#[test]
fn users_of_older_cards_are_served_where_that_is_allowed_and_fail_the_check() -> Result<()> {
    let directory = scratch::directory("ups-snmp-weak")?;
    let agent = Snmpd::start(&directory.join("agent"), &powerchute(2, 2, 2))?;
    let entries = Entries::new(&directory, "1s")?;
    let weak = |name: &str, user: &str, auth: &str, privacy: &str| {
        let secret = |name: &str| entries.directory.join(name).display().to_string();
        let (auth_file, privacy_file) = (secret("auth"), secret("privacy"));
        entries.entry(
            name,
            &format!(
                "address: \"{}\", version: v3, user: {user}, allowWeak: true, \
                 auth: {{protocol: {auth}, passwordFile: \"{auth_file}\"}}, \
                 privacy: {{protocol: {privacy}, passwordFile: \"{privacy_file}\"}}",
                agent.address()
            ),
        )
    };
    let config = format!(
        "ups:\n{}{}{}{}",
        weak("md5", MD5_USER, "MD5", "DES"),
        weak("sha1", SHA1_USER, "SHA-1", "AES-128"),
        entries.user("strong", &agent, "auth"),
        entries.community("clear", &agent, "v2c", "community"),
    );
    let exporter = Exporter::start(&directory, &config, &[])?;
    let all = [("md5", 0.0), ("sha1", 0.0), ("strong", 1.0), ("clear", 0.0)];
    let metrics =
        exporter.metrics_when("all up", |metrics| all.iter().all(|(ups, _)| up(metrics, ups) == Some(1.0)))?;
    promtool::check("weak users", &metrics)?;
    for (ups, passes) in all {
        let labels = [&*format!("ups=\"{ups}\""), "check=\"snmp_v3_strong\""];
        ensure!(sample(&metrics, "kagiban_ups_check", &labels) == Some(passes), "{ups}:\n{metrics}");
    }
    Ok(())
}

#[test]
fn an_outage_shows_step_by_step_and_a_lost_link_leaves_no_number() -> Result<()> {
    let directory = scratch::directory("ups-snmp-outage")?;
    let agent = Snmpd::start(&directory.join("agent"), &powerchute(2, 2, 2))?;
    let entries = Entries::new(&directory, "1s")?;
    let config = format!("ups:\n{}", entries.user("pc", &agent, "auth"));
    let exporter = Exporter::start(&directory, &config, &[])?;
    agent.hold(&powerchute(3, 2, 2))?;
    exporter.metrics_when("on battery", |metrics| {
        status(metrics, "pc", "on_battery") == Some(1.0) && status(metrics, "pc", "online") == Some(0.0)
    })?;
    agent.hold(&powerchute(3, 1, 2))?;
    let metrics =
        exporter.metrics_when("shutting down", |metrics| status(metrics, "pc", "shutting_down") == Some(1.0))?;
    promtool::check("exporter", &metrics)?;
    agent.hold(&powerchute(2, 2, 1))?;
    let metrics = exporter.metrics_when("comms lost", |metrics| fails_for(metrics, "pc", "comm_lost"))?;
    ensure!(up(&metrics, "pc") == Some(0.0) && status(&metrics, "pc", "comm_lost") == Some(1.0));
    ensure!(sample(&metrics, "ups_battery_charge_ratio", &["ups=\"pc\""]).is_none(), "the numbers are old:\n{metrics}");
    agent.hold(&powerchute(2, 2, 2))?;
    exporter.metrics_when("back", |metrics| status(metrics, "pc", "online") == Some(1.0))?;
    Ok(())
}

#[test]
fn wrong_credentials_are_told_from_silence_and_no_neighbour_suffers() -> Result<()> {
    let directory = scratch::directory("ups-snmp-auth")?;
    let mut agent = Snmpd::start(&directory.join("agent"), &ups_mib())?;
    let neighbour = Snmpd::start(&directory.join("neighbour"), &powerchute(2, 2, 2))?;
    let entries = Entries::new(&directory, "1s")?;
    let config = format!(
        "ups:\n{}{}{}{}",
        entries.user("right", &agent, "auth"),
        entries.user("wrong-v3", &agent, "wrong"),
        entries.community("wrong-v2c", &agent, "v2c", "wrong"),
        entries.user("neighbour", &neighbour, "auth"),
    );
    let exporter = Exporter::start(&directory, &config, &[])?;
    let metrics = exporter.metrics_when("auth", |metrics| {
        fails_for(metrics, "wrong-v3", "auth")
            && fails_for(metrics, "wrong-v2c", "auth")
            && up(metrics, "right") == Some(1.0)
    })?;
    promtool::check("exporter", &metrics)?;

    agent.stop()?;
    let metrics = exporter.metrics_when("gone", |metrics| {
        ["right", "wrong-v3", "wrong-v2c"].iter().all(|ups| fails_for(metrics, ups, "connect"))
    })?;
    let left = families(&metrics, "right");
    // What was counted stays counted.
    let expected = [
        "ups_up",
        "ups_poll_error",
        "ups_last_success_timestamp_seconds",
        "ups_poll_duration_seconds",
        "ups_status_contradictions_total",
    ];
    ensure!(left.iter().all(|family| expected.contains(family)), "{left:?}");
    ensure!(up(&metrics, "right") == Some(0.0) && up(&metrics, "neighbour") == Some(1.0));
    ensure!(status(&metrics, "neighbour", "online") == Some(1.0));

    agent.start_as_another()?;
    exporter.metrics_when("known again", |metrics| up(metrics, "right") == Some(1.0))?;
    // While it is asked every second, so that the session is in use: only the engine changes.
    agent.start_as_another()?;
    sleep(Duration::from_secs(2));
    exporter.metrics_when("known again", |metrics| up(metrics, "right") == Some(1.0))?;

    fs::copy(directory.join("auth"), directory.join("wrong"))?;
    exporter.metrics_when("mended", |metrics| up(metrics, "wrong-v3") == Some(1.0))?;
    let log = exporter.program.log_text();
    for secret in [COMMUNITY, AUTH_PASSWORD, PRIVACY_PASSWORD, "not-the-password"] {
        ensure!(!log.contains(secret) && !metrics.contains(secret), "{secret} got out");
    }
    ensure!(!log.contains("async_snmp"), "the library's own lines are in the log:\n{log}");
    Ok(())
}

#[test]
fn a_trap_changes_the_state_at_once_and_holds_when_the_agent_is_gone() -> Result<()> {
    let directory = scratch::directory("ups-snmp-traps")?;
    let mut community = Snmpd::start(&directory.join("agent-v2c"), &powerchute(2, 2, 2))?;
    let user = Snmpd::start(&directory.join("agent-v3"), &powerchute(2, 2, 2))?;
    // Nothing is asked between the start and the end of this test, but for the traps.
    let entries = Entries::new(&directory, "1h")?;
    let port = udp_port()?;
    let config = format!(
        "snmpTraps: {{listenAddress: '127.0.0.1:{port}'}}\nups:\n{}{}",
        entries.community("by-community", &community, "v2c", "community"),
        entries.user("by-user", &user, "auth"),
    );
    let exporter = Exporter::start(&directory, &config, &[])?;
    exporter.metrics_when("listening", |metrics| sample(metrics, "kagiban_snmp_traps_listening", &[]) == Some(1.0))?;
    let send = |from, trap: &str, bindings: &[&str]| snmpd::trap(&directory, port, from, trap, bindings);
    let count = |metrics: &str, outcome: &str| {
        sample(metrics, "kagiban_snmp_traps_total", &[&format!("outcome=\"{outcome}\"")]).unwrap_or_default()
    };

    // Credentials are looked up while it starts; a trap that came before them would not count.
    for wrong in [From::V2c("public"), From::V3("not-the-password")] {
        send(wrong, CRITICAL, &[])?;
    }
    let metrics = exporter.metrics_when("counted", |metrics| count(metrics, "wrong_credentials") >= 2.0)?;
    ensure!(status(&metrics, "by-community", "shutting_down") == Some(0.0));
    ensure!(status(&metrics, "by-user", "shutting_down") == Some(0.0) && count(&metrics, "accepted") == 0.0);

    // The agent has gone onto its battery, and only the trap says that it is time to look.
    community.hold(&powerchute(3, 2, 2))?;
    let sent = Instant::now();
    send(From::V1(COMMUNITY), "1.3.6.1.4.1.318.0.5", &[])?;
    exporter.metrics_when("on battery", |metrics| status(metrics, "by-community", "on_battery") == Some(1.0))?;
    ensure!(sent.elapsed() < Duration::from_secs(10), "it took {:?}", sent.elapsed());

    // The agent does not say so yet; the trap does.
    send(From::V3(AUTH_PASSWORD), CRITICAL, &["1.3.6.1.4.1.318.2.3.3.0", "s", "Low battery"])?;
    exporter.metrics_when("critical", |metrics| status(metrics, "by-user", "shutting_down") == Some(1.0))?;

    community.stop()?;
    send(From::V2c(COMMUNITY), CRITICAL, &[])?;
    let metrics =
        exporter.metrics_when("critical", |metrics| status(metrics, "by-community", "shutting_down") == Some(1.0))?;
    ensure!(sample(&metrics, "ups_battery_charge_ratio", &["ups=\"by-community\""]).is_none(), "it was not asked");
    // That it is resolved ends no shutdown.
    send(From::V2c(COMMUNITY), "1.3.6.1.4.1.318.0.791", &[])?;
    let metrics = exporter.metrics_when("counted", |metrics| count(metrics, "accepted") == 4.0)?;
    ensure!(status(&metrics, "by-community", "shutting_down") == Some(1.0));
    promtool::check("exporter", &metrics)
}

/// Two hosts that are looked at from outside have a UPS of the name of this host's own, and the trap of one is about that one.
#[test]
fn a_trap_of_an_outside_hosts_ups_counts_for_it_and_for_nothing_of_this_host() -> Result<()> {
    let directory = scratch::directory("ups-snmp-outside")?;
    let (own, outside) = (directory.join("own"), directory.join("outside"));
    let own = Snmpd::start(&own, &powerchute(2, 2, 2))?;
    let outside = Snmpd::start(&outside, &powerchute(3, 2, 2))?;
    let entries = Entries::new(&directory, "1h")?;
    let port = udp_port()?;
    let indented = |entry: String| entry.lines().map(|line| format!("    {line}\n")).collect::<String>();
    let of_outside = indented(entries.user("rack-a", &outside, "auth"));
    let config = format!(
        "host: ups-01.example.com\nshutdown: {{enabled: false}}\nsnmpTraps: {{listenAddress: '127.0.0.1:{port}'}}\nups:\n{}outsideHosts:\n  \
         - host: win-01.example.com\n    ups:\n{of_outside}",
        entries.community("rack-a", &own, "v2c", "community"),
    );
    let exporter = Exporter::start(&directory, &config, &[])?;
    let of = |metrics: &str, host: &str, state: &str| {
        let wanted = ["ups=\"rack-a\"".to_owned(), format!("status=\"{state}\"")];
        let lines = metrics.lines().filter(|line| line.starts_with("ups_status{"));
        let mut lines = lines.filter(|line| wanted.iter().all(|label| line.contains(label)));
        let line = lines.find(|line| if host.is_empty() { !line.contains("host=") } else { line.contains(host) })?;
        line.rsplit_once(' ')?.1.parse::<f64>().ok()
    };
    let win_01 = "host=\"win-01.example.com\"";
    let metrics = exporter.metrics_when("both", |metrics| of(metrics, win_01, "on_battery") == Some(1.0))?;
    ensure!(of(&metrics, "", "on_battery") == Some(0.0), "{metrics}");
    ensure!(sample(&metrics, "host_shutdown_state", &["state=\"none\""]) == Some(1.0), "{metrics}");
    promtool::check("exporter", &metrics)?;

    let accepted = |metrics: &str| sample(metrics, "kagiban_snmp_traps_total", &["outcome=\"accepted\""]);
    exporter.metrics_when("accepted", |metrics| {
        // Credentials are looked up while it starts.
        let sent = snmpd::trap(&directory, port, From::V3(AUTH_PASSWORD), CRITICAL, &[]);
        sent.is_ok() && accepted(metrics) > Some(0.0)
    })?;
    let metrics = exporter.metrics_when("critical", |metrics| of(metrics, win_01, "shutting_down") == Some(1.0))?;
    ensure!(of(&metrics, "", "shutting_down") == Some(0.0), "{metrics}");
    ensure!(sample(&metrics, "host_shutdown_state", &["state=\"none\""]) == Some(1.0), "{metrics}");
    ensure!(sample(&metrics, "host_shutdown_pending", &[]) == Some(0.0), "{metrics}");
    Ok(())
}
