//! A standalone operator is killed on either side of every write to its state, and started again: each asked rotation is done once,
//! the agent is restarted once for it, and hosts hear a higher epoch from each process.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use kagiban_tests::keeper::Keeper;
use kagiban_tests::keystore::StoreType;
use kagiban_tests::operator::Operator;
use kagiban_tests::stage::{RESYNC, Scene, Stage};
use kagiban_tests::standalone::Standalone;
use kagiban_tests::strace::{Fault, Injection};
use kagiban_tests::tools;

/// A commit begins with its first page in the log, and ends when that is on the disk.
const PAGE: &str = "pwrite64";
const SYNC: &str = "fsync";
/// The epoch of the process, the order, the chain that was signed, and what has come of it.
const FEWEST_COMMITS: usize = 4;

#[test]
fn killed_on_either_side_of_each_write_it_rotates_once_and_its_epoch_grows() -> Result<()> {
    let scene = Scene {
        store_type: StoreType::Jks,
        password: "store-password".to_owned(),
        deletes_credentials: false,
        secret_password: None,
    };
    let mut stage = Stage::set_standalone("standalone-crash", &scene)?;
    let Keeper::Standalone(standalone) = &stage.keeper else { bail!("a stage with a cluster") };
    let standalone = standalone.clone();
    stage.apply()?;
    stage.wait_committed(1)?;

    // Which writes there are in the life of one process that rotates.
    let log = stage.directory().join("writes.trace");
    stage.operator.program.terminate(RESYNC * 10)?;
    stage.operator = under_strace(&stage, &standalone, &log, None)?;
    stage.annotate("2")?;
    rotated(&stage, 2, "untouched")?;
    stage.operator.program.terminate(RESYNC * 10)?;
    let kills = commits(&fs::read_to_string(&log)?);
    ensure!(kills.len() >= 2 * FEWEST_COMMITS, "only {kills:?} were seen");

    let (mut epoch, mut killed) = (standalone.epoch()?, 0);
    for (kill, generation) in kills.iter().zip(3..) {
        let (call, nth) = kill;
        let at = format!("killed at {call} {nth} of {kills:?}");
        let started = under_strace(&stage, &standalone, &log, Some(kill));
        let starts = stage.host.agent.starts();
        let asked = match started {
            // Some writes are before it is ready; nobody can ask it then.
            Err(_) => false,
            Ok(operator) => {
                stage.operator = operator;
                // It may be gone before it has answered.
                let asked = stage.annotate(&generation.to_string()).is_ok();
                // Some of the calls come only when a process ends, or now and then.
                stage.died_or_committed(generation).with_context(|| at.clone())?;
                asked
            }
        };
        killed += usize::from(!asked || !stage.operator.program.is_running());
        if stage.operator.program.is_running() {
            stage.operator.program.terminate(RESYNC * 10)?;
        }
        stage.operator = Operator::start_standalone(stage.directory(), &standalone, RESYNC, &[])?;
        let next = standalone.epoch()?;
        ensure!(next > epoch, "{at}: epoch {next} after {epoch}");
        epoch = next;
        if !asked {
            stage.annotate(&generation.to_string())?;
        }
        rotated(&stage, generation, &at)?;
        let restarts = stage.host.agent.starts() - starts;
        ensure!(restarts == 1, "{at}: the agent was restarted {restarts} times");
        stage.operator.program.terminate(RESYNC * 10)?;
    }
    ensure!(killed >= 2 * FEWEST_COMMITS, "only {killed} of {kills:?} were its end");
    Ok(())
}

/// The rotation of that generation is done, and no other; it was asked for by its number.
fn rotated(stage: &Stage, generation: u64, at: &str) -> Result<()> {
    let status = stage.wait_committed(generation).with_context(|| at.to_owned())?;
    let leaf = stage.host.agent.served()?.leaf_sha256();
    ensure!(status["leaf"]["sha256"] == leaf.as_str(), "{at}: {leaf} is served: {status:#}");
    ensure!(status["rotation"]["generation"] == generation, "{at}: a generation was lost: {status:#}");
    ensure!(status["handledRotate"].as_str() == Some(&*generation.to_string()), "{at}: {status:#}");
    Ok(())
}

/// With the number of a call, counted for each thread, at which it is killed before that has an effect.
fn under_strace(
    stage: &Stage,
    standalone: &Standalone,
    log: &Path,
    kill: Option<&(&'static str, usize)>,
) -> Result<Operator> {
    let mut command = Command::new(tools::strace()?);
    command.args(["-D", "-f", "-qqq", "-s", "0", "-e", "signal=none", "-e", &format!("trace={PAGE},{SYNC}"), "-o"]);
    command.arg(log);
    if let Some((call, nth)) = kill {
        let kill = Injection { call: (*call).to_owned(), nth: *nth, fault: Fault::Kill };
        command.args(["-e", &kill.expression()]);
    }
    command.arg("--").arg(tools::ours("kagiban-operator")?);
    Operator::start_standalone_by(command, stage.directory(), standalone, RESYNC, &[])
}

/// For each commit of the thread that writes: its first page, before which nothing of it is there, and the end of it, when all of it is.
fn commits(trace: &str) -> Vec<(&'static str, usize)> {
    let mut of_threads: BTreeMap<&str, Vec<&'static str>> = BTreeMap::new();
    for line in trace.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        for name in [PAGE, SYNC] {
            if call.trim_start().starts_with(&format!("{name}(")) {
                of_threads.entry(thread).or_default().push(name);
            }
        }
    }
    let calls = of_threads.into_values().max_by_key(Vec::len).unwrap_or_default();
    let (mut pages, mut syncs, mut is_within) = (0, 0, false);
    let mut kills = Vec::new();
    for call in calls {
        if call == SYNC {
            syncs += 1;
            kills.push((SYNC, syncs));
            is_within = false;
        } else {
            pages += 1;
            if !std::mem::replace(&mut is_within, true) {
                kills.push((PAGE, pages));
            }
        }
    }
    kills
}

#[test]
fn each_commit_has_a_beginning_and_an_end() {
    let trace = "10 pwrite64(9, \"\"..., 32, 0) = 32\n11 pwrite64(9, \"\"..., 32, 0) = 32\n11 pwrite64(9, \"\"..., 4096, 32 <unfinished ...>\n\
                 11 <... pwrite64 resumed>) = 4096\n11 fsync(9) = 0\n11 pwrite64(9, \"\"..., 24, 0) = 24\n11 fsync(9) = 0\n";
    assert_eq!(commits(trace), [(PAGE, 1), (SYNC, 1), (PAGE, 3), (SYNC, 2)]);
}
