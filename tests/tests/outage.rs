//! An outage as a host lives through it, told by real servers in their own protocols: the state is right at every step, the
//! shutdown that has begun goes on whatever comes, and only the next boot is its end.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use kagiban_tests::apcupsd::Replay;
use kagiban_tests::exporter::{Exporter, sample};
use kagiban_tests::nut::{Device, Nut};
use kagiban_tests::snmpd::{COMMUNITY, Snmpd};
use kagiban_tests::{promtool, scratch};

const DAY_IN_MICROSECONDS: i64 = 86_400_000_000;

/// What a source says at one step: upsd's variables, apcupsd's flags, the objects of an SNMP agent.
#[derive(Clone, Copy)]
struct Step {
    nut: &'static str,
    statflag: u32,
    /// `upsBasicOutputStatus`, `upsBasicBatteryStatus`, `pcbeCriticalFlag`.
    snmp: [u8; 3],
}

/// The driver keeps a variable that is not told any more: that no countdown runs has to be said.
const ON_LINE: Step = Step { nut: "ups.status: OL\nups.timer.shutdown: -1\n", statflag: 0x0500_0008, snmp: [2, 2, 2] };
const ON_BATTERY: Step = Step { nut: "ups.status: OB DISCHRG\n", statflag: 0x0500_0010, snmp: [3, 2, 2] };
const LOW: Step = Step { nut: "ups.status: OB LB\n", statflag: 0x0500_0050, snmp: [3, 3, 2] };
const BEGUN: Step = Step { nut: "ups.status: FSD OB LB\n", statflag: 0x0500_0250, snmp: [3, 3, 1] };
/// The SNMP agents of PowerChute have no word for it: they go from low to critical.
const PENDING: Step =
    Step { nut: "ups.status: OB LB\nups.timer.shutdown: 297\n", statflag: 0x0508_0050, snmp: [3, 3, 2] };
/// A countdown is one once its number has fallen.
const PENDING_LATER: Step = Step { nut: "ups.status: OB LB\nups.timer.shutdown: 287\n", ..PENDING };

/// One host with three sources of the same power.
struct Scene {
    directory: PathBuf,
    nut: Nut,
    apcupsd: Replay,
    agent: Snmpd,
}

impl Scene {
    fn set(name: &str) -> Result<Self> {
        let directory = scratch::directory(name)?;
        let nut = Nut::start(&directory, &[Device { name: "a", description: "", variables: ON_LINE.nut }], None)?;
        let apcupsd = Replay::start(&report(ON_LINE.statflag))?;
        let agent = Snmpd::start(&directory.join("agent"), &tree(ON_LINE.snmp))?;
        fs::write(directory.join("community"), COMMUNITY)?;
        Ok(Self { directory, nut, apcupsd, agent })
    }

    /// The exporter, asking these of `nut`, `apcupsd` and `snmp` every second.
    fn exporter(&self, asked: &[&str]) -> Result<Exporter> {
        self.exporter_with(asked, "")
    }

    /// The same with more in its configuration.
    fn exporter_with(&self, asked: &[&str], more: &str) -> Result<Exporter> {
        let here = self.directory.display();
        let backend = |name: &&str| match *name {
            "nut" => format!("nut: {{address: {:?}, ups: a}}", self.nut.address().to_string()),
            "apcupsd" => format!("apcupsd: {{address: {:?}}}", self.apcupsd.address().to_string()),
            _ => {
                format!("snmp: {{address: {:?}, version: v2c, communityFile: {here}/community}}", self.agent.address())
            }
        };
        let upses: String =
            asked.iter().map(|name| format!("  - {{name: {name}, interval: 1s, {}}}\n", backend(name))).collect();
        let config = format!(
            "discovery: {{enabled: false}}\nstateDirectory: {here}/state\npower: {{scheduledShutdownFile: {here}/scheduled}}\n\
             shutdown: {{interval: 1s}}\nups:\n{upses}{more}"
        );
        // No bus of this machine has a say.
        Exporter::start_with(&self.directory, &config, &[], &[("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent")])
    }

    /// Lets the power end in some minutes.
    fn count_down(&self, who: &str, exporter: &Exporter) -> Result<()> {
        self.say(who, PENDING)?;
        looks_later(exporter, &[who])?;
        self.say(who, PENDING_LATER)
    }

    fn say(&self, who: &str, step: Step) -> Result<()> {
        match who {
            "nut" => self.nut.set("a", step.nut),
            "apcupsd" => self.apcupsd.say(&report(step.statflag)),
            _ => self.agent.hold(&tree(step.snmp)),
        }
    }
}

/// The page after each of these was looked at some more times: the driver, the agent and the exporter look once a second each.
fn looks_later(exporter: &Exporter, upses: &[&str]) -> Result<String> {
    let looked = |metrics: &str| {
        let at = |ups: &&str| sample(metrics, "ups_last_success_timestamp_seconds", &[&format!("ups=\"{ups}\"")]);
        upses.iter().map(at).collect::<Option<Vec<_>>>().map(|at| at.into_iter().fold(f64::INFINITY, f64::min))
    };
    let before = looked(&exporter.metrics()?).context("they answer")?;
    exporter.metrics_when("some looks later", |metrics| looked(metrics) > Some(before + 5.0))
}

fn report(statflag: u32) -> String {
    format!("UPSNAME  : b\nSTATUS   : SEE FLAGS\nBCHARGE  : 60.0 Percent\nSTATFLAG : 0x{statflag:08X}\n")
}

fn tree([output, battery, critical]: [u8; 3]) -> String {
    let (powernet, powerchute) = (".1.3.6.1.4.1.318.1.1.1", ".1.3.6.1.4.1.318.1.2.4");
    format!(
        "{powernet}.1.1.1.0 string Smart-UPS 1500\n{powernet}.2.1.1.0 integer {battery}\n{powernet}.2.2.1.0 gauge 60\n\
         {powernet}.4.1.1.0 integer {output}\n{powerchute}.6.1.0 integer {critical}\n{powerchute}.6.3.0 integer 2\n"
    )
}

fn wait_for(exporter: &Exporter, state: &str) -> Result<String> {
    let label = format!("state=\"{state}\"");
    let holds = |metrics: &str| sample(metrics, "host_shutdown_state", &[&label]) == Some(1.0);
    let metrics = exporter.metrics_when(&format!("host_shutdown_state {state}"), holds)?;
    let states = metrics.lines().filter(|line| line.starts_with("host_shutdown_state{") && line.ends_with(" 1"));
    ensure!(states.count() == 1, "exactly one state holds:\n{metrics}");
    promtool::check(state, &metrics)?;
    Ok(metrics)
}

fn trigger(metrics: &str, name: &str) -> Option<f64> {
    sample(metrics, "host_shutdown_trigger", &[&format!("trigger=\"{name}\"")])
}

/// As the file would be after the next boot: its id is another.
fn boot_again(state_directory: &Path) -> Result<()> {
    let file = state_directory.join("shutdown.json");
    let mut latch: serde_json::Value = serde_json::from_str(&fs::read_to_string(&file)?)?;
    latch["bootId"] = "00000000-0000-4000-8000-000000000000".into();
    Ok(fs::write(file, latch.to_string())?)
}

fn each_alone(who: &'static str, has_begun: &str, is_pending: Option<&str>) -> Result<()> {
    let scene = Scene::set(&format!("outage-{who}"))?;
    let mut exporter = scene.exporter(&[who])?;
    wait_for(&exporter, "none")?;
    for (step, state) in [(ON_BATTERY, "ups_on_battery"), (LOW, "ups_low_battery")] {
        scene.say(who, step)?;
        let metrics = wait_for(&exporter, state)?;
        ensure!(sample(&metrics, "host_shutdown_pending", &[]) == Some(0.0), "{metrics}");
    }
    if let Some(named) = is_pending {
        scene.count_down(who, &exporter)?;
        let metrics = wait_for(&exporter, "ups_pending")?;
        ensure!(trigger(&metrics, named) == Some(1.0), "{named}:\n{metrics}");
        ensure!(sample(&metrics, "host_shutdown_pending", &[]) == Some(1.0), "{metrics}");
    }
    scene.say(who, BEGUN)?;
    let metrics = wait_for(&exporter, "in_progress")?;
    ensure!(trigger(&metrics, has_begun) == Some(1.0), "{has_begun}:\n{metrics}");

    scene.say(who, ON_LINE)?;
    let online = |metrics: &str| sample(metrics, "ups_status", &["status=\"online\""]) == Some(1.0);
    exporter.metrics_when("the power is back", online)?;
    let metrics = wait_for(&exporter, "in_progress").context("the mains are back, and the shutdown goes on")?;
    ensure!(sample(&metrics, "host_shutdown_pending", &[]) == Some(1.0), "{metrics}");

    exporter.program.kill()?;
    let mut exporter = scene.exporter(&[who])?;
    wait_for(&exporter, "in_progress").context("the exporter was started again in the same boot")?;
    exporter.program.kill()?;
    boot_again(&scene.directory.join("state"))?;
    wait_for(&scene.exporter(&[who])?, "none").context("the host was booted")?;
    Ok(())
}

#[test]
fn upsd_tells_an_outage() -> Result<()> {
    each_alone("nut", "nut_fsd", Some("nut_timer"))
}

#[test]
fn apcupsd_tells_an_outage() -> Result<()> {
    each_alone("apcupsd", "apcupsd_shutdown", Some("apcupsd_load"))
}

#[test]
fn an_snmp_agent_tells_an_outage() -> Result<()> {
    each_alone("snmp", "powerchute_critical", None)
}

#[test]
fn of_several_sources_the_most_severe_is_believed_and_what_was_called_off_is_told() -> Result<()> {
    let scene = Scene::set("outage-mixed")?;
    let exporter = scene.exporter(&["nut", "apcupsd", "snmp"])?;
    wait_for(&exporter, "none")?;
    let schedule = scene.directory.join("scheduled");
    let tomorrow = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())? + DAY_IN_MICROSECONDS;
    fs::write(&schedule, format!("USEC={tomorrow}\nWARN_WALL=1\nMODE=reboot\n"))?;
    let metrics = wait_for(&exporter, "scheduled")?;
    let at = sample(&metrics, "host_shutdown_scheduled_timestamp_seconds", &["type=\"reboot\""]);
    ensure!(at.is_some_and(|at| (at - tomorrow as f64 / 1e6).abs() <= 1.0), "{metrics}");
    scene.say("snmp", ON_BATTERY)?;
    let metrics = wait_for(&exporter, "ups_on_battery")?;
    ensure!(sample(&metrics, "host_shutdown_pending", &[]) == Some(1.0), "a schedule counts behind it:\n{metrics}");
    scene.say("apcupsd", PENDING)?;
    wait_for(&exporter, "ups_pending")?;
    scene.say("nut", LOW)?;
    scene.say("apcupsd", ON_LINE)?;
    wait_for(&exporter, "ups_low_battery")?;
    scene.say("nut", ON_LINE)?;
    scene.say("snmp", ON_LINE)?;
    wait_for(&exporter, "scheduled")?;
    fs::remove_file(&schedule)?;
    let metrics = wait_for(&exporter, "cancelled")?;
    ensure!(sample(&metrics, "host_shutdown_cancelled_total", &[]).is_some_and(|count| count >= 1.0), "{metrics}");
    scene.apcupsd.vanish();
    wait_for(&exporter, "comms_lost")?;
    scene.say("nut", BEGUN)?;
    let metrics = wait_for(&exporter, "in_progress")?;
    ensure!(trigger(&metrics, "nut_fsd") == Some(1.0), "{metrics}");
    Ok(())
}

/// Holds R1: what UPSes at rest write where a countdown would stand, in the protocols of upsd and of an SNMP agent.
#[test]
fn a_ups_at_rest_counts_nothing_down_whatever_stands_in_its_timer() -> Result<()> {
    let scene = Scene::set("outage-idle")?;
    let upsd = |timer: &str| format!("ups.status: OL CHRG\nups.timer.shutdown: {timer}\nups.delay.shutdown: 20\n");
    let agent = |timer: &str| {
        let ups_mib = ".1.3.6.1.2.1.33.1";
        format!("{ups_mib}.2.1.0 integer 2\n{ups_mib}.4.1.0 integer 3\n{ups_mib}.8.2.0 integer {timer}\n")
    };
    // An agent is asked for what it has had at its first look.
    scene.agent.hold(&agent("0"))?;
    let exporter = scene.exporter(&["nut", "snmp"])?;
    wait_for(&exporter, "none")?;
    let counts_nothing_down = |exporter: &Exporter, of_upsd: &str, of_agent: &str| {
        scene.nut.set("a", &upsd(of_upsd))?;
        scene.agent.hold(&agent(of_agent))?;
        let metrics = looks_later(exporter, &["nut", "snmp"])?;
        ensure!(sample(&metrics, "host_shutdown_pending", &[]) == Some(0.0), "{of_upsd}, {of_agent}:\n{metrics}");
        let entered = |state: &str| {
            sample(&metrics, "host_shutdown_state_entered_total", &[&format!("state=\"{state}\"")]).unwrap_or_default()
        };
        ensure!(entered("ups_pending") + entered("cancelled") < 1.0, "{of_upsd}, {of_agent}:\n{metrics}");
        ensure!(!metrics.contains("ups_shutdown_timer_seconds{"), "{of_upsd}, {of_agent}:\n{metrics}");
        anyhow::Ok(())
    };
    for (of_upsd, of_agent) in [("65535", "65535"), ("15300", "2147483647"), ("0", "-1")] {
        counts_nothing_down(&exporter, of_upsd, of_agent)?;
    }
    drop(exporter);
    // A delay that a driver shows as its timer: it is there from the first look on, stays, and is set higher, and lower again.
    scene.nut.set("a", &upsd("60"))?;
    scene.agent.hold(&agent("60"))?;
    let exporter = scene.exporter(&["nut", "snmp"])?;
    wait_for(&exporter, "none")?;
    for delay in ["60", "120", "60"] {
        counts_nothing_down(&exporter, delay, delay)?;
    }
    Ok(())
}

#[test]
fn a_ups_that_falls_silent_while_it_counts_down_is_still_about_to_go() -> Result<()> {
    let mut scene = Scene::set("outage-gone")?;
    let exporter = scene.exporter(&["nut"])?;
    wait_for(&exporter, "none")?;
    scene.count_down("nut", &exporter)?;
    wait_for(&exporter, "ups_pending")?;
    scene.nut.kill_driver("a")?;
    let down = |metrics: &str| sample(metrics, "ups_up", &["ups=\"nut\""]) == Some(0.0);
    exporter.metrics_when("the driver is gone", down)?;
    let metrics = wait_for(&exporter, "ups_pending")?;
    ensure!(sample(&metrics, "host_shutdown_pending", &[]) == Some(1.0), "{metrics}");
    Ok(())
}

/// Holds R2: the words of real drivers and agents that exclude each other, to a host that is alive.
#[test]
fn a_ups_that_contradicts_itself_is_published_as_it_speaks_and_the_host_lives() -> Result<()> {
    let scene = Scene::set("outage-contradiction")?;
    scene.nut.set("a", "ups.status: OL OFF\nups.load: 12\nbattery.charge: 100\n")?;
    // RFC 1628: upsOutputSource none; PowerNet: upsBasicOutputStatus onLine.
    scene.agent.hold(&format!("{}.1.3.6.1.2.1.33.1.4.1.0 integer 2\n", tree(ON_LINE.snmp)))?;
    let exporter = scene.exporter(&["nut", "snmp"])?;
    let metrics = exporter.metrics_when("both are read", |metrics| {
        ["nut", "snmp"].iter().all(|ups| {
            let ups = format!("ups=\"{ups}\"");
            let holds = |status: &str| sample(metrics, "ups_status", &[&ups, &format!("status=\"{status}\"")]);
            holds("online") == Some(1.0) && holds("off") == Some(1.0)
        })
    })?;
    ensure!(sample(&metrics, "host_shutdown_pending", &[]) == Some(0.0), "{metrics}");
    wait_for(&exporter, "none")?;
    for ups in ["nut", "snmp"] {
        let counted = sample(&metrics, "ups_status_contradictions_total", &[&format!("ups=\"{ups}\"")]);
        ensure!(counted.is_some_and(|count| count >= 1.0), "{ups}:\n{metrics}");
    }
    // RFC 1628's word alone: the host hears it, so it has power.
    scene.nut.set("a", "ups.status: OFF\n")?;
    let off = |metrics: &str| sample(metrics, "ups_status", &["ups=\"nut\"", "status=\"online\""]) == Some(0.0);
    exporter.metrics_when("off alone", off)?;
    let metrics = wait_for(&exporter, "none")?;
    ensure!(sample(&metrics, "host_shutdown_pending", &[]) == Some(0.0), "{metrics}");
    Ok(())
}

/// Holds R5: a host on two UPSes, told by real upsd, keeps running on one of them.
#[test]
fn a_host_with_a_feed_to_spare_is_not_on_battery_until_it_needs_it() -> Result<()> {
    let scene = Scene::set("outage-feeds")?;
    let feeds = "feeds:\n  - {name: server, ups: [nut, apcupsd], minHealthy: 1}\n";
    let exporter = scene.exporter_with(&["nut", "apcupsd"], feeds)?;
    wait_for(&exporter, "none")?;
    let healthy = |metrics: &str| sample(metrics, "host_feeds_healthy", &["load=\"server\""]);
    scene.say("nut", ON_BATTERY)?;
    let metrics = exporter.metrics_when("one is left", |metrics| healthy(metrics) == Some(1.0))?;
    ensure!(sample(&metrics, "ups_status", &["ups=\"nut\"", "status=\"on_battery\""]) == Some(1.0), "{metrics}");
    ensure!(sample(&metrics, "host_feeds_min_healthy", &["load=\"server\""]) == Some(1.0), "{metrics}");
    wait_for(&exporter, "none")?;
    scene.say("nut", BEGUN)?;
    let forced = |metrics: &str| sample(metrics, "ups_status", &["ups=\"nut\"", "status=\"forced_shutdown\""]);
    exporter.metrics_when("a forced shutdown of the one", |metrics| forced(metrics) == Some(1.0))?;
    let metrics = wait_for(&exporter, "none")?;
    ensure!(sample(&metrics, "host_shutdown_pending", &[]) == Some(0.0), "{metrics}");
    scene.say("apcupsd", LOW)?;
    wait_for(&exporter, "ups_low_battery").context("both are needed now, and the better of them counts")?;
    scene.apcupsd.vanish();
    wait_for(&exporter, "in_progress").context("unknown is not healthy")?;
    Ok(())
}
