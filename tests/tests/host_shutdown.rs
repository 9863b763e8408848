//! Whether the host goes down, as logind tells it over a real bus, and as its file tells it where there is none.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use kagiban_exporter::platform::{ShutdownWatch, SystemShutdown};
use kagiban_exporter::shutdown::ShutdownKind;
use kagiban_tests::exporter::{Exporter, sample};
use kagiban_tests::system_bus::{self, Logind, SystemBus, Timedated};
use kagiban_tests::{promtool, scratch, tools, wait};
use tokio::sync::Notify;
use tokio::time::timeout;

const PATIENT: Duration = Duration::from_secs(60);
const AT: u64 = 1_900_000_000;
const MICROSECONDS: u64 = AT * 1_000_000;
const SYSTEM: &[&str] = &["source_kind=\"host\"", "source_name=\"system\""];

/// Who asks, on a bus that may be there, with a file that is not named in the configuration.
fn asker(directory: &Path) -> (ShutdownWatch, Arc<Notify>) {
    let wake = Arc::<Notify>::default();
    (ShutdownWatch::on_bus(Some(system_bus::address(directory)), None, Arc::clone(&wake)), wake)
}

async fn said(watch: &mut ShutdownWatch) -> Result<SystemShutdown> {
    match watch.ask(PATIENT).await {
        (Some(said), None) => Ok(said),
        (_, Some(error)) => Err(error.into()),
        (None, None) => anyhow::bail!("neither an answer nor an error"),
    }
}

/// What logind says while it neither plans nor shuts down. Where it is not there, nobody knows the latter.
fn nothing() -> SystemShutdown {
    SystemShutdown { under_way: Some(false), ..SystemShutdown::default() }
}

fn scheduled(said: &SystemShutdown) -> Option<(ShutdownKind, i64, bool)> {
    said.scheduled.map(|it| (it.kind, it.at.as_second(), it.dry_run))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logind_is_asked_for_what_is_scheduled_and_wakes_the_source_when_it_begins() -> Result<()> {
    let directory = scratch::directory("logind")?;
    let bus = SystemBus::start(&directory)?;
    let logind = Logind::start(&bus).await?;
    let (mut watch, wake) = asker(&directory);
    ensure!(said(&mut watch).await? == nothing());

    let at = i64::try_from(AT)?;
    logind.schedule("reboot", MICROSECONDS).await?;
    let reboot = said(&mut watch).await?;
    ensure!(scheduled(&reboot) == Some((ShutdownKind::Reboot, at, false)), "{reboot:?}");
    ensure!(reboot.message.as_ref().is_some_and(|message| message.as_str() == "new kernel"), "{reboot:?}");
    logind.schedule("dry-poweroff", MICROSECONDS).await?;
    ensure!(scheduled(&said(&mut watch).await?) == Some((ShutdownKind::Poweroff, at, true)));
    logind.call_off().await?;
    ensure!(said(&mut watch).await? == nothing());
    logind.schedule("", 0).await?;
    ensure!(said(&mut watch).await? == nothing());

    ensure!(timeout(Duration::from_millis(300), wake.notified()).await.is_err(), "nothing has begun yet");
    logind.prepare().await?;
    timeout(PATIENT, wake.notified()).await.context("the signal did not wake the source")?;
    ensure!(said(&mut watch).await?.under_way == Some(true));
    logind.take_back().await?;
    timeout(PATIENT, wake.notified()).await.context("that it is taken back did not wake the source")?;
    ensure!(said(&mut watch).await? == nothing());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logind_that_never_answers_is_waited_for_no_longer_than_the_deadline() -> Result<()> {
    let directory = scratch::directory("mute-logind")?;
    let bus = SystemBus::start(&directory)?;
    let mute = Logind::mute(&bus).await?;
    let (mut watch, _) = asker(&directory);
    let begun = Instant::now();
    let (answer, error) = watch.ask(Duration::from_millis(300)).await;
    ensure!(answer.is_none() && begun.elapsed() < PATIENT);
    ensure!(error.context("it must fail")?.reason() == "timeout");
    mute.stop().await?;
    let _logind = Logind::start(&bus).await?;
    ensure!(said(&mut watch).await? == nothing(), "the next one answers");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_that_comes_late_goes_or_has_no_logind_is_no_failure() -> Result<()> {
    let directory = scratch::directory("bus")?;
    let (mut watch, wake) = asker(&directory);
    ensure!(said(&mut watch).await? == SystemShutdown::default(), "no bus");
    let bus = SystemBus::start(&directory)?;
    ensure!(said(&mut watch).await? == SystemShutdown::default(), "no logind");
    let logind = Logind::start(&bus).await?;
    logind.schedule("halt", MICROSECONDS).await?;
    ensure!(scheduled(&said(&mut watch).await?).is_some());

    let bus = bus.restart()?;
    let logind = Logind::start(&bus).await?;
    logind.schedule("kexec", MICROSECONDS).await?;
    let mut last = None;
    for _ in 0..50 {
        // The end of the old connection may be noticed a moment later; that look fails, the next one connects.
        last = said(&mut watch).await.ok().as_ref().and_then(scheduled);
        if last.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    ensure!(last.is_some_and(|(kind, ..)| kind == ShutdownKind::Kexec), "{last:?}");
    logind.prepare().await?;
    timeout(PATIENT, wake.notified()).await.context("the signal is not heard on the new connection")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_named_counts_besides_logind() -> Result<()> {
    let directory = scratch::directory("file-and-logind")?;
    let file = directory.join("scheduled");
    let bus = SystemBus::start(&directory)?;
    let logind = Logind::start(&bus).await?;
    let mut watch = ShutdownWatch::on_bus(Some(bus.address()), Some(file.clone()), Arc::default());
    fs::write(&file, format!("USEC={MICROSECONDS}\nMODE=reboot\n"))?;
    ensure!(scheduled(&said(&mut watch).await?).is_some());
    fs::remove_file(&file)?;
    ensure!(said(&mut watch).await? == nothing(), "its end is that of the plan");
    logind.schedule("halt", MICROSECONDS).await?;
    ensure!(scheduled(&said(&mut watch).await?).is_some());
    Ok(())
}

fn start(directory: &Path, config: &str, bus: &str) -> Result<Exporter> {
    let config = format!("discovery: {{enabled: false}}\n{config}");
    Exporter::start_with(directory, &config, &["--log.level=debug"], &[("DBUS_SYSTEM_BUS_ADDRESS", bus)])
}

#[test]
fn without_a_bus_the_file_is_read_and_said_to_be_once() -> Result<()> {
    let directory = scratch::directory("scheduled-file")?;
    let (file, log) = (directory.join("scheduled"), directory.join("EventLog.txt"));
    fs::write(&file, format!("USEC={MICROSECONDS}\nWARN_WALL=1\nMODE=reboot\nWALL_MESSAGE=new\\x20kernel\n"))?;
    fs::write(&log, "11/08/2014 19:48:00 Monitoring Started\r\n")?;
    let config = format!(
        "power: {{scheduledShutdownFile: {}}}\nshutdown: {{interval: 1s, eventLogs: [{}]}}\n",
        file.display(),
        log.display()
    );
    let exporter = start(&directory, &config, &system_bus::address(&directory))?;
    let metrics = exporter.metrics()?;
    let name = format!("source_name=\"{}\"", log.display());
    for source in [SYSTEM, &["source_kind=\"host\"", &name]] {
        ensure!(sample(&metrics, "kagiban_source_up", source) == Some(1.0), "{source:?} is not up:\n{metrics}");
    }
    promtool::check("exporter", &metrics)?;

    fs::write(&file, "USEC=soon\n")?;
    let malformed = [SYSTEM, &["reason=\"malformed\""]].concat();
    let metrics = exporter.metrics_when("the file is no longer understood", |metrics| {
        sample(metrics, "kagiban_source_up", SYSTEM) == Some(0.0)
    })?;
    ensure!(sample(&metrics, "kagiban_source_errors_total", &malformed) >= Some(1.0), "{metrics}");
    promtool::check("exporter", &metrics)?;
    fs::remove_file(&file)?;
    exporter.metrics_when("what is called off is no fault", |metrics| {
        sample(metrics, "kagiban_source_up", SYSTEM) == Some(1.0)
    })?;
    let says = || exporter.program.log_text().matches("who knows of shutdowns").count();
    wait::until(Duration::from_secs(10), || says() > 0)?;
    let said = says();
    ensure!(said == 1, "said {said} times:\n{}", exporter.program.log_text());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_signal_has_the_exporter_look_long_before_its_time_and_a_flood_of_them_does_not_drown_it() -> Result<()> {
    let directory = scratch::directory("signal")?;
    let bus = SystemBus::start(&directory)?;
    let logind = Logind::start(&bus).await?;
    let exporter = start(&directory, "shutdown: {interval: 1h}\n", &bus.address())?;
    ensure!(sample(&exporter.metrics()?, "kagiban_source_up", SYSTEM) == Some(1.0));
    let before = logind.times_asked();
    logind.prepare().await?;
    wait::until(PATIENT, || logind.times_asked() > before).context("the signal made nobody look")?;

    let (before, begun) = (logind.times_asked(), Instant::now());
    logind.repeat_signal(2000).await?;
    wait::until(PATIENT, || logind.times_asked() > before).context("the signals made nobody look")?;
    let looks = u128::from(logind.times_asked() - before);
    // Two looks for each tenth of a second, and those around it.
    let most = begun.elapsed().as_millis() / 50 + 4;
    ensure!(looks <= most, "{looks} looks, at most {most} are asked for");
    ensure!(sample(&exporter.metrics()?, "kagiban_source_up", SYSTEM) == Some(1.0));
    Ok(())
}

/// Holds R6: a shutdown that logind takes back is over, for an exporter that runs and for one that comes up in the same boot, as
/// after a soft reboot; and one that nobody can take back is cleared by a person.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_that_was_taken_back_is_over() -> Result<()> {
    let directory = scratch::directory("taken-back")?;
    let bus = SystemBus::start(&directory)?;
    let logind = Logind::start(&bus).await?;
    let state = directory.join("state");
    let config = format!("stateDirectory: {}\nshutdown: {{interval: 1s}}\n", state.display());
    let mut exporter = start(&directory, &config, &bus.address())?;
    let pending = |metrics: &str| sample(metrics, "host_shutdown_pending", &[]);
    exporter.metrics_when("nothing has begun", |metrics| pending(metrics) == Some(0.0))?;
    logind.prepare().await?;
    exporter.metrics_when("it has begun", |metrics| pending(metrics) == Some(1.0))?;
    wait::until(PATIENT, || state.join("shutdown.json").exists())?;
    logind.take_back().await?;
    let metrics = exporter.metrics_when("it is taken back", |metrics| pending(metrics) == Some(0.0))?;
    ensure!(sample(&metrics, "host_shutdown_state", &["state=\"cancelled\""]) == Some(1.0), "{metrics}");
    wait::until(PATIENT, || !state.join("shutdown.json").exists()).context("the record of it stays")?;

    logind.prepare().await?;
    wait::until(PATIENT, || state.join("shutdown.json").exists())?;
    exporter.program.kill()?;
    logind.take_back().await?;
    let exporter = start(&directory, &config, &bus.address())?;
    let metrics = exporter.metrics_when("a soft reboot", |metrics| pending(metrics) == Some(0.0))?;
    ensure!(sample(&metrics, "host_shutdown_cancelled_total", &[]) == Some(0.0), "it was carried out:\n{metrics}");
    Ok(())
}

/// `kagiban-exporter shutdown` with that configuration.
fn shutdown(directory: &Path, word: &str) -> Result<Output> {
    let mut command = Command::new(tools::ours("kagiban-exporter")?);
    command.args(["shutdown", word, "--config.file"]).arg(directory.join("exporter.yaml"));
    Ok(command.output()?)
}

/// Holds R6: what PowerChute's log says of this boot stays there; a person clears it, with an exporter and without one, and what
/// begins later counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_clears_a_shutdown_that_is_over() -> Result<()> {
    let directory = scratch::directory("cleared")?;
    let bus = SystemBus::start(&directory)?;
    let logind = Logind::start(&bus).await?;
    let (state, log) = (directory.join("state"), directory.join("EventLog"));
    let begun = |log: &Path| -> Result<()> { Ok(fs::write(log, shutdown_started(SystemTime::now())?)?) };
    begun(&log)?;
    let config =
        format!("stateDirectory: {}\nshutdown: {{interval: 1s, eventLogs: [{}]}}\n", state.display(), log.display());
    fs::write(directory.join("exporter.yaml"), &config)?;
    let shown = printed(&shutdown(&directory, "show")?)?;
    ensure!(shown.contains("no shutdown has begun") && shown.contains("nothing was ever kept there"), "{shown}");
    let too_early = shutdown(&directory, "clear")?;
    let said = String::from_utf8_lossy(&too_early.stderr);
    ensure!(!too_early.status.success() && said.contains("state_directory"), "nothing is known there: {too_early:?}");
    let mut exporter = start(&directory, &config, &bus.address())?;
    let pending = |metrics: &str| sample(metrics, "host_shutdown_pending", &[]);
    exporter.metrics_when("it has begun", |metrics| pending(metrics) == Some(1.0))?;
    wait::until(PATIENT, || state.join("shutdown.json").exists())?;
    // Its record is written again by who minds it.
    wait::until(PATIENT, || state.join("shutdown.lock").exists())?;
    fs::remove_file(state.join("shutdown.json"))?;
    let shown = printed(&shutdown(&directory, "show")?)?;
    ensure!(shown.contains("powerchute_event") && shown.contains(&log.display().to_string()), "{shown}");

    // While logind says that it shuts down, nobody clears it.
    logind.prepare().await?;
    let by_logind = &["trigger=\"systemd_preparing\""];
    exporter.metrics_when("logind too", |it| sample(it, "host_shutdown_trigger", by_logind) == Some(1.0))?;
    let refused = shutdown(&directory, "clear")?;
    let said = String::from_utf8_lossy(&refused.stderr);
    ensure!(!refused.status.success() && said.contains("still_announced"), "{refused:?}");
    ensure!(pending(&exporter.metrics()?) == Some(1.0));
    logind.take_back().await?;
    exporter.metrics_when("logind no more", |it| sample(it, "host_shutdown_trigger", by_logind) == Some(0.0))?;

    let cleared = printed(&shutdown(&directory, "clear")?)?;
    ensure!(cleared.contains("no shutdown has begun") && cleared.contains("cleared by a person"), "{cleared}");
    exporter.metrics_when("it is cleared", |metrics| pending(metrics) == Some(0.0))?;
    wait::until(Duration::from_secs(10), || exporter.program.log_text().contains("a person has cleared the shutdown"))?;
    ensure!(String::from_utf8_lossy(&shutdown(&directory, "clear")?.stderr).contains("not_begun"));
    exporter.program.kill()?;
    let mut exporter = start(&directory, &config, &bus.address())?;
    ensure!(pending(&exporter.metrics()?) == Some(0.0), "the log still says it:\n{}", exporter.metrics()?);

    begun(&log)?;
    exporter.metrics_when("another has begun", |metrics| pending(metrics) == Some(1.0))?;
    let is_kept = || shutdown(&directory, "show").and_then(|shown| Ok(printed(&shown)?.contains("begun since")));
    wait::until(PATIENT, || is_kept().unwrap_or_default())?;
    exporter.program.kill()?;
    printed(&shutdown(&directory, "clear")?)?;
    let exporter = start(&directory, &config, &bus.address())?;
    ensure!(pending(&exporter.metrics()?) == Some(0.0), "cleared while no exporter ran:\n{}", exporter.metrics()?);
    Ok(())
}

/// An event log as Java writes it, with the one event that tells of a shutdown.
fn shutdown_started(at: SystemTime) -> Result<Vec<u8>> {
    let text = |text: &str| [&[0, text.len().to_le_bytes()[0]], text.as_bytes()].concat();
    // Its name, a serialVersionUID, flags and the number of its fields.
    let class = |name: &str, flags: u8, fields: u8| [&b"\x72"[..], &text(name), &[0; 8], &[flags, 0, fields]].concat();
    let field = |code: &[u8], name: &str, class: &str| [code, &text(name), b"\x74", &text(class)].concat();
    let id = [3_i32, 5, 1, 5, 3, 19].map(i32::to_be_bytes).concat();
    let milliseconds = u64::try_from(at.duration_since(SystemTime::UNIX_EPOCH)?.as_millis())?;
    Ok([
        &b"\xac\xed\x00\x05\x73"[..],
        &class("com.apcc.m11.arch.event.Event", 2, 3),
        &[b"Z", &text("theActiveFlag")[..]].concat(),
        &field(b"L", "theObjectId", "Lcom/apcc/m11/arch/event/ObjectId;"),
        &field(b"L", "theTimestamp", "Ljava/util/Date;"),
        b"\x78\x70\x01\x73",
        &class("com.apcc.m11.arch.event.ObjectId", 2, 1),
        &field(b"[", "theObjectIds", "[I"),
        b"\x78\x70\x75",
        &class("[I", 2, 0),
        b"\x78\x70\x00\x00\x00\x06",
        &id,
        b"\x73",
        &class("java.util.Date", 3, 0),
        b"\x78\x70\x77\x08",
        &milliseconds.to_be_bytes(),
        b"\x78",
    ]
    .concat())
}

fn printed(output: &Output) -> Result<String> {
    ensure!(output.status.success(), "{output:?}");
    Ok(String::from_utf8(output.stdout.clone())?)
}

/// `check` asks timedated, which the system starts for the question.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_tells_whether_the_clock_is_synchronized() -> Result<()> {
    let directory = scratch::directory("clock")?;
    let config = directory.join("config.yaml");
    fs::write(
        &config,
        format!("discovery: {{enabled: false}}\nstateDirectory: {}\n", directory.join("state").display()),
    )?;
    let bus = SystemBus::start(&directory)?;
    for (synchronized, begins) in [
        (Some(true), "ok       Clock: is synchronized"),
        (Some(false), "warning  Clock: is not synchronized"),
        (None, "ok       Clock: says"),
    ] {
        let _timedated = match synchronized {
            Some(synchronized) => Some(Timedated::start(&bus, synchronized).await?),
            None => None,
        };
        let checked = Command::new(tools::ours("kagiban-exporter")?)
            .args(["check", "--web.listen-address=127.0.0.1:0", "--config.file"])
            .arg(&config)
            .env("DBUS_SYSTEM_BUS_ADDRESS", bus.address())
            .output()?;
        let page = String::from_utf8(checked.stdout)?;
        ensure!(page.lines().any(|line| line.starts_with(begins)), "{synchronized:?}: {page}");
    }
    Ok(())
}
