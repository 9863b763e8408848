//! The exporter is killed at every system call of a rotation that changes a file or starts a program, and in the recovery
//! from that; or the call fails. The store is old or new at every moment, and the rotation ends decided.

mod boot;
mod durability;
mod given_away;
mod java;
mod renewal;
mod scene;
mod service;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use kagiban_tests::strace::{Call, Fault, Injection, Run};
use serde_json::Value;

use scene::{Layout, Rooted, Scene};

/// A run mostly waits for a service to stop and to start.
const WORKERS: usize = 4;
/// Two are often needed on a busy machine. Of threads the runtime starts more or fewer in each run, by how long the run takes.
const MAX_STRIKES: usize = 60;
/// After as many, the aim is taken from around the trial's, so many calls to each side.
const MAX_CORRECTIONS: usize = 12;
const SPREAD: usize = 3;

#[test]
fn killed_at_any_call_a_store_is_old_or_new_and_the_rotation_ends_decided() -> Result<()> {
    sweep_kills(Layout::Store)
}

#[test]
fn killed_at_any_call_a_store_and_its_password_file_end_together() -> Result<()> {
    sweep_kills(Layout::StoreAndIni)
}

/// Holds A8: the stop command has returned, and the service serves the old leaf on and ends later, whatever was started, and
/// whether or not anybody is left to see it.
#[test]
fn killed_at_any_call_while_the_service_still_drains_it_ends_up_on_what_is_stored() -> Result<()> {
    let run = untouched(Layout::Draining)?;
    let stop = run.calls.iter().position(Call::starts_a_program).context("the service was not stopped")?;
    let after: Vec<_> = run.calls[stop..].iter().map(|call| (call.name.clone(), call.nth)).collect();
    // A file that was written is synced in any case: a kill before the one leaves what a kill before the other leaves.
    let is_chosen = |call: &Call| call.name != "pwrite64" && after.contains(&(call.name.clone(), call.nth));
    let points = points(&run.calls, &run.root, |call| is_chosen(call) && (call.name != "openat" || call.creates()));
    ensure!(points.len() >= 30, "only {} points: is the trace complete?", points.len());
    in_parallel(&points, |point| {
        let (scene, run) = strike(point, || Scene::set(Layout::Draining), Scene::rotate)?;
        was_killed(&run)?;
        scene.is_sound()?;
        scene.is_settled(&scene.recover()?)
    })
}

/// Holds A8, A11: the same of the stop of a way back, which is not run a second time beside the first.
#[test]
fn killed_at_any_call_of_a_way_back_while_the_service_still_drains_it_is_not_stopped_again_and_ends_up_on_what_is_stored()
-> Result<()> {
    let scene = Scene::set_and_rotated(Layout::Draining)?;
    let run = scene.undo(None)?;
    let ended: Value = serde_json::from_str(&run.stdout)?;
    ensure!(ended["report"]["state"] == "RolledBack", "{ended:#}");
    scene.is_settled(&ended["report"])?;
    let is_chosen = |call: &Call| call.name != "pwrite64" && (call.name != "openat" || call.creates());
    let points = points(&run.calls, scene.root(), is_chosen);
    ensure!(points.len() >= 20, "only {} points: is the trace complete?", points.len());
    in_parallel(&points, |point| {
        let (scene, run) = strike(point, || Scene::set_and_rotated(Layout::Draining), Scene::undo)?;
        was_killed(&run)?;
        scene.is_sound()?;
        scene.is_settled(&scene.recover()?)?;
        ensure!(scene.service().stops() <= 1, "it was stopped {} times", scene.service().stops());
        Ok(())
    })
}

/// Holds A11: old kernels and network file systems do not exchange names; there the old file gets a second name first.
#[test]
fn killed_around_a_swap_without_exchange_the_old_file_comes_back_or_the_new_one_stays() -> Result<()> {
    let run = untouched_by(Layout::StoreAndIni, Scene::rotate_without_exchange)?;
    let names_store = |call: &Call| call.names().any(|name| name.ends_with("keystore") || name.contains(".keystore."));
    let linked = run.calls.iter().position(|call| call.name == "linkat").context("no link was made")?;
    let after = run.calls[linked..].iter().filter(|call| names_store(call) || call.starts_a_program());
    let wanted: Vec<_> = after.map(|call| (call.name.clone(), call.nth)).collect();
    let is_chosen = |call: &Call| wanted.contains(&(call.name.clone(), call.nth)) && call.name != "renameat2";
    let points = points(&run.calls, &run.root, |call| is_chosen(call) && (call.name != "openat" || call.creates()));
    ensure!(points.iter().any(|point| point.name == "linkat"), "{points:?}");
    ensure!(points.iter().any(|point| point.name == "renameat"), "{points:?}");
    in_parallel(&points, |point| {
        let (scene, run) = strike(point, || Scene::set(Layout::StoreAndIni), Scene::rotate_without_exchange)?;
        was_killed(&run)?;
        scene.is_sound()?;
        scene.is_settled(&scene.recover()?)
    })
}

/// Holds A18: what an earlier recovery renamed back is synced by the one that finds it there.
#[test]
fn a_recovery_that_finds_the_old_file_in_place_makes_that_durable_before_it_says_so() -> Result<()> {
    let scene = Scene::set(Layout::StoreAndIni)?;
    was_killed(&scene.rotate(Some(&swapped_store(&untouched(Layout::StoreAndIni)?)?))?)?;
    let home = scene.root().join("agent");
    let home = home.to_string_lossy();
    let trial = scene.recover_traced(None)?;
    let back = trial.calls.iter().position(|call| call.name == "renameat2" && call.names().last() == Some("keystore"));
    let back = back.context("the store was not renamed back")?;
    let is_sync = |call: &&Call| call.name == "fsync" && call.descriptors().next() == Some(&*home);
    let sync = trial.calls[back..].iter().find(is_sync).context("the rename was not synced")?;

    let point = points(&trial.calls, scene.root(), |call| call.name == sync.name && call.nth == sync.nth);
    let half_swapped = || -> Result<Scene> {
        let scene = Scene::set(Layout::StoreAndIni)?;
        was_killed(&scene.rotate(Some(&swapped_store(&untouched(Layout::StoreAndIni)?)?))?)?;
        Ok(scene)
    };
    let (scene, run) = strike(point.first().context("no point")?, half_swapped, Scene::recover_traced)?;
    was_killed(&run)?;
    let again = scene.recover_traced(None)?;
    let home = scene.root().join("agent");
    let home = home.to_string_lossy();
    let synced = again.calls.iter().position(|call| call.name == "fsync" && call.descriptors().next() == Some(&*home));
    let removed = again.calls.iter().position(|call| call.name == "unlinkat");
    let synced = synced.context("the directory was not synced")?;
    ensure!(removed.is_none_or(|removed| synced < removed), "it was synced only because something else was done");
    scene.is_settled(&scene.recover()?)
}

#[test]
fn killed_at_any_journal_edge_of_a_recovery_the_next_one_finishes_it() -> Result<()> {
    let between_two_renames = swapped_store(&untouched(Layout::StoreAndIni)?)?;
    let half_swapped = || -> Result<Scene> {
        let scene = Scene::set(Layout::StoreAndIni)?;
        was_killed(&scene.rotate(Some(&between_two_renames))?)?;
        Ok(scene)
    };
    let scene = half_swapped()?;
    let recovery = scene.recover_traced(None)?;
    ensure!(recovery.succeeded(), "{}", recovery.stderr);
    // Before an entry or a file has its name, and just after.
    let is_rename = |call: &Call| ["renameat", "renameat2"].contains(&call.name.as_str());
    let is_edge = |call: &Call| is_rename(call) || (call.name == "fsync" && is_directory(call));
    let points = points(&recovery.calls, scene.root(), is_edge);
    ensure!(points.len() >= 10, "{points:?}");
    in_parallel(&points, |point| {
        let (scene, run) = strike(point, half_swapped, Scene::recover_traced)?;
        was_killed(&run)?;
        scene.is_sound()?;
        let report = scene.recover()?;
        ensure!(report["state"] == "RolledBack", "{report:#}");
        scene.is_settled(&report)
    })
}

/// Holds A7: four short boots in the middle of a swap end with a whole pair and a started service, and only then Frozen.
#[test]
fn a_recovery_that_is_killed_again_and_again_puts_the_pair_back_starts_the_service_and_then_freezes() -> Result<()> {
    let swap = swapped_store(&untouched(Layout::StoreAndIni)?)?;
    let scene = Scene::set(Layout::StoreAndIni)?;
    was_killed(&scene.rotate(Some(&swap))?)?;
    // The first rename puts down the count of recoveries; the second would put the first file back.
    let point = Injection { call: "renameat".to_owned(), nth: 2, fault: Fault::Kill };
    for recovery in 1..=3 {
        was_killed(&scene.recover_traced(Some(&point))?).with_context(|| format!("recovery {recovery}"))?;
        scene.is_sound()?;
    }
    let report = scene.recover()?;
    ensure!(report["state"] == "Frozen" && report["failure"]["reason"] == "recovery_failed", "{report:#}");
    scene.is_sound()?;
    scene.is_as_before()?;
    // The next start sees that the service lives on what is stored.
    let report = scene.recover()?;
    ensure!(report["state"] == "RolledBack" && report["failure"]["reason"] == "recovery_failed", "{report:#}");
    scene.is_settled(&report)
}

#[test]
fn a_full_disk_a_failing_disk_or_a_mount_in_the_way_leaves_the_old_store_in_use() -> Result<()> {
    let run = untouched(Layout::StoreAndIni)?;
    let mut tried = Vec::new();
    for (name, error) in [("pwrite64", "ENOSPC"), ("fsync", "EIO"), ("renameat", "EXDEV"), ("renameat2", "EBUSY")] {
        let of_name = points(&run.calls, &run.root, |call| call.name == name);
        tried.extend(of_name.into_iter().map(|point| Point { fault: Fault::Error(error), ..point }));
    }
    in_parallel(&tried, |point| {
        let (scene, run) = strike(point, || Scene::set(Layout::StoreAndIni), Scene::rotate)?;
        scene.is_sound()?;
        is_classed(&run)?;
        scene.is_settled(&scene.recover()?)
    })
}

#[test]
fn every_file_is_durable_before_anything_relies_on_it() -> Result<()> {
    for layout in [Layout::Store, Layout::StoreAndIni] {
        let run = untouched(layout)?;
        let relied_on = durability::check(&run.calls, &run.root, &run.journal)?;
        // Ten journal entries, the backups with their manifest, the swap, and the two commands.
        ensure!(relied_on >= 15, "only {relied_on} reliances were seen in the trace");
    }
    Ok(())
}

fn sweep_kills(layout: Layout) -> Result<()> {
    let run = untouched(layout)?;
    let points = points(&run.calls, &run.root, |call| call.name != "openat" || call.creates());
    ensure!(points.len() >= 100, "only {} points: is the trace complete?", points.len());
    let ends = Mutex::new(Vec::new());
    in_parallel(&points, |point| {
        let (scene, run) = strike(point, || Scene::set(layout), Scene::rotate)?;
        was_killed(&run)?;
        scene.is_sound()?;
        let report = scene.recover()?;
        scene.is_settled(&report)?;
        ends.lock().map_err(|_| anyhow::anyhow!("a worker died"))?.push(report["state"].to_string());
        Ok(())
    })?;
    let ends = ends.into_inner()?;
    for expected in ["null", "\"RolledBack\"", "\"Committed\""] {
        ensure!(ends.iter().any(|end| end == expected), "no kill ended as {expected}: {ends:?}");
    }
    Ok(())
}

fn was_killed(run: &Run) -> Result<()> {
    ensure!(run.was_killed(), "it was not killed:\n{}{}", run.stdout, run.stderr);
    Ok(())
}

/// What is told of a failed call.
fn is_classed(run: &Run) -> Result<()> {
    if run.gave_up() {
        // Nothing begins without a state directory.
        ensure!(run.stderr.starts_with("Error: the state directory"), "{}", run.stderr);
        return Ok(());
    }
    let ended: Value = serde_json::from_str(&run.stdout).with_context(|| format!("it ended early: {}", run.stderr))?;
    if ended["report"]["state"] != "Committed" {
        let reason = ended["refusal"]["reason"].as_str().or(ended["report"]["failure"]["reason"].as_str());
        let known = ["no_space", "io", "mount_point", "journal_failed", "internal", "insufficient_storage"];
        ensure!(reason.is_some_and(|reason| known.contains(&reason)), "{ended:#}");
    }
    Ok(())
}

/// A rotation that nothing happened to.
struct Untouched {
    calls: Vec<Call>,
    root: std::path::PathBuf,
    journal: std::path::PathBuf,
}

fn untouched(layout: Layout) -> Result<Untouched> {
    untouched_by(layout, Scene::rotate)
}

fn untouched_by(layout: Layout, rotate: impl Fn(&Scene, Option<&Injection>) -> Result<Run>) -> Result<Untouched> {
    let scene = Scene::set(layout)?;
    let run = rotate(&scene, None)?;
    let ended: Value = serde_json::from_str(&run.stdout)?;
    ensure!(ended["report"]["state"] == "Committed", "{ended:#}");
    scene.is_settled(&ended["report"])?;
    // By `write` the runtime wakes itself, as often as it happens to: no fault can be aimed at one of many among those.
    let aimless = run.calls.iter().find(|call| call.name == "write" && concerns(call, scene.root()));
    ensure!(aimless.is_none(), "a file is written by what the runtime calls too: {aimless:?}");
    Ok(Untouched { calls: run.calls, root: scene.root().to_owned(), journal: scene.journal() })
}

/// A call that a fault shall come upon.
#[derive(Clone, Debug)]
struct Point {
    name: String,
    /// Among the calls of its name that concern the host, from one.
    number: usize,
    /// Among all of its name, in the run that was counted.
    nth: usize,
    fault: Fault,
}

/// A kill at each of the chosen calls that concerns the host laid out in `root`.
fn points(calls: &[Call], root: &Path, is_chosen: impl Fn(&Call) -> bool) -> Vec<Point> {
    let ours: Vec<_> = calls.iter().filter(|call| concerns(call, root)).collect();
    let point = |(n, call): (usize, &&Call)| Point {
        name: call.name.clone(),
        number: ours[..=n].iter().filter(|other| other.name == call.name).count(),
        nth: call.nth,
        fault: Fault::Kill,
    };
    ours.iter().enumerate().filter(|(_, call)| is_chosen(call)).map(point).collect()
}

/// Sets a scene, and lets the fault come upon the call that is meant. The runtime starts threads by the call that starts a
/// program, more or less of them as the machine is busy: a run where that was hit is done again.
fn strike<S: Rooted>(
    point: &Point,
    set: impl Fn() -> Result<S>,
    run: impl Fn(&S, Option<&Injection>) -> Result<Run>,
) -> Result<(S, Run)> {
    let mut nth = point.nth;
    for strike in 0..MAX_STRIKES {
        if strike >= MAX_CORRECTIONS {
            // What is corrected by one run may be wrong for the next, again and again: then all that it can be is tried in turn.
            nth = (point.nth + strike % (2 * SPREAD + 1)).saturating_sub(SPREAD).max(1);
        }
        let scene = set()?;
        let run = run(&scene, Some(&Injection { call: point.name.clone(), nth, fault: point.fault }))?;
        let Some(hit) = run.faulted() else {
            nth = nth.saturating_sub(1).max(1);
            continue;
        };
        let earlier = |call: &&Call| call.name == point.name && call.nth < hit.nth && concerns(call, scene.root());
        let before = run.calls.iter().filter(earlier).count();
        let hit_ours = concerns(hit, scene.root());
        if hit_ours && before + 1 == point.number {
            return Ok((scene, run));
        }
        // Forward by as many as were missing, and a call of the runtime's own is one to pass over.
        let passed = before + usize::from(hit_ours || before >= point.number);
        nth = (nth + point.number).saturating_sub(passed).max(1);
    }
    bail!("the call that is meant was not hit in {MAX_STRIKES} runs")
}

fn concerns(call: &Call, root: &Path) -> bool {
    call.starts_a_program() || call.arguments.contains(&*root.to_string_lossy())
}

/// A kill when the store has been renamed and its password file has not.
fn swapped_store(run: &Untouched) -> Result<Injection> {
    let ini = |call: &&Call| call.name == "renameat2" && call.names().last() == Some("pcssconfig.ini");
    let call = run.calls.iter().find(ini).context("the INI file was not exchanged")?;
    Ok(Injection { call: call.name.clone(), nth: call.nth, fault: Fault::Kill })
}

fn is_directory(call: &Call) -> bool {
    call.descriptors().next().is_some_and(|path| !path.contains(".kagiban-"))
}

/// Tries every point; each that fails is told with its reason.
fn in_parallel(points: &[Point], attempt: impl Fn(&Point) -> Result<()> + Sync) -> Result<()> {
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let (Err(error), Ok(mut failures)) = (attempt(point), failures.lock()) {
                        failures.push(format!("{point:?}: {error:#}"));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner()?;
    ensure!(failures.is_empty(), "{} of {} points:\n{}", failures.len(), points.len(), failures.join("\n"));
    Ok(())
}
