//! Whether the host goes down, as logind tells it over a real bus, and as its file tells it where there is none.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kagiban_exporter::platform::{ShutdownWatch, SystemShutdown};
use kagiban_exporter::shutdown::ShutdownKind;
use kagiban_tests::exporter::{Exporter, sample};
use kagiban_tests::system_bus::{self, Logind, SystemBus};
use kagiban_tests::{promtool, scratch, wait};
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

fn scheduled(said: &SystemShutdown) -> Option<(ShutdownKind, i64, bool)> {
    said.scheduled.map(|it| (it.kind, it.at.as_second(), it.dry_run))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logind_is_asked_for_what_is_scheduled_and_wakes_the_source_when_it_begins() -> Result<()> {
    let directory = scratch::directory("logind")?;
    let bus = SystemBus::start(&directory)?;
    let logind = Logind::start(&bus).await?;
    let (mut watch, wake) = asker(&directory);
    ensure!(said(&mut watch).await? == SystemShutdown::default());

    let at = i64::try_from(AT)?;
    logind.schedule("reboot", MICROSECONDS).await?;
    let reboot = said(&mut watch).await?;
    ensure!(scheduled(&reboot) == Some((ShutdownKind::Reboot, at, false)), "{reboot:?}");
    ensure!(reboot.message.as_ref().is_some_and(|message| message.as_str() == "new kernel"), "{reboot:?}");
    logind.schedule("dry-poweroff", MICROSECONDS).await?;
    ensure!(scheduled(&said(&mut watch).await?) == Some((ShutdownKind::Poweroff, at, true)));
    logind.call_off().await?;
    ensure!(said(&mut watch).await? == SystemShutdown::default());
    logind.schedule("", 0).await?;
    ensure!(said(&mut watch).await? == SystemShutdown::default());

    ensure!(timeout(Duration::from_millis(300), wake.notified()).await.is_err(), "nothing has begun yet");
    logind.prepare().await?;
    timeout(PATIENT, wake.notified()).await.context("the signal did not wake the source")?;
    ensure!(said(&mut watch).await?.under_way);
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
    ensure!(said(&mut watch).await? == SystemShutdown::default(), "the next one answers");
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
    ensure!(said(&mut watch).await? == SystemShutdown::default(), "its end is that of the plan");
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
    let said = exporter.program.log_text().matches("who knows of shutdowns").count();
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
