//! A host is given to another operator on a disk that fails, or by an exporter that is killed meanwhile.

use std::fs;

use anyhow::{Context, Result, ensure};
use kagiban_tests::process;
use kagiban_tests::strace::{self, Call, Fault, Injection, Run};
use serde_json::Value;

use crate::scene::{Layout, Rooted as _, Scene, files_below, rotate_once};
use crate::{Point, in_parallel, points, strike, was_killed};

const FROM: &str = "tokyo";
const TO: &str = "osaka";

#[test]
fn a_host_whose_disk_fails_while_it_is_given_away_says_so_and_obeys_one_of_both_as_its_file_says() -> Result<()> {
    let (trial, run) = untouched()?;
    let mut tried = Vec::new();
    for (name, error) in [("pwrite64", "ENOSPC"), ("pwrite64", "EIO"), ("fsync", "EIO"), ("renameat", "EROFS")] {
        let of_name = points(&run.calls, trial.root(), |call| call.name == name);
        ensure!(!of_name.is_empty(), "there is no {name}");
        tried.extend(of_name.into_iter().map(|point| Point { fault: Fault::Error(error), ..point }));
    }
    in_parallel(&tried, |point| {
        let (scene, run) = strike(point, set, hand_over)?;
        if run.gave_up() {
            // Nothing begins without a state directory.
            ensure!(run.stderr.starts_with("Error: the state directory"), "{}", run.stderr);
            ensure!(lineage(&scene)? == FROM);
            return is_given_away_at_last(&scene);
        }
        let ended: Value = serde_json::from_str(&run.stdout).with_context(|| run.stderr.clone())?;
        let reason = ended["refusal"]["reason"].as_str().context("it was not refused")?;
        ensure!(["insufficient_storage", "internal"].contains(&reason), "{ended:#}");
        let obeyed = lineage(&scene)?;
        ensure!(ended["obeyed"] == obeyed.as_str(), "{ended:#}, and the file says {obeyed}");
        // What a rename has put there stays, though it may not be durable: the same order is answered with what is so.
        let was_renamed = run.calls.iter().any(|call| call.name == "renameat" && call.succeeded());
        ensure!(obeyed == if was_renamed { TO } else { FROM }, "{obeyed} is obeyed");
        is_given_away_at_last(&scene)
    })
}

#[test]
fn killed_at_any_call_while_it_is_given_away_a_host_obeys_one_of_both() -> Result<()> {
    let (trial, run) = untouched()?;
    let points = points(&run.calls, trial.root(), |call| call.name != "openat" || call.creates());
    in_parallel(&points, |point| {
        let (scene, run) = strike(point, set, hand_over)?;
        was_killed(&run)?;
        let obeyed = lineage(&scene)?;
        ensure!([FROM, TO].contains(&obeyed.as_str()), "{obeyed} is obeyed");
        is_given_away_at_last(&scene)
    })
}

/// A host that obeys the one.
fn set() -> Result<Scene> {
    let scene = Scene::set(Layout::Store)?;
    let ended = process::run(rotate_once(scene.root()).args(["hand-over", FROM, FROM]))?;
    ensure!(serde_json::from_str::<Value>(&ended)?["obeyed"] == FROM, "{ended}");
    Ok(scene)
}

/// To the other, under `strace`.
fn hand_over(scene: &Scene, injection: Option<&Injection>) -> Result<Run> {
    let mut command = rotate_once(scene.root());
    command.args(["hand-over", FROM, TO]);
    strace::run(&command, &scene.root().join("hand-over.trace"), injection)
}

fn untouched() -> Result<(Scene, Run)> {
    let scene = set()?;
    let run = hand_over(&scene, None)?;
    ensure!(lineage(&scene)? == TO, "{}{}", run.stdout, run.stderr);
    let renames = run.calls.iter().filter(|call: &&Call| call.name == "renameat").count();
    ensure!(renames == 1, "one file is replaced, and not {renames}");
    Ok((scene, run))
}

fn is_given_away_at_last(scene: &Scene) -> Result<()> {
    let ended = process::run(rotate_once(scene.root()).args(["hand-over", FROM, TO]))?;
    let ended: Value = serde_json::from_str(&ended)?;
    ensure!(ended["refusal"].is_null() && ended["obeyed"] == TO, "{ended:#}");
    let state = files_below(&scene.root().join("state"))?;
    let left = state.iter().find(|path| path.to_string_lossy().contains(".kagiban-"));
    ensure!(left.is_none(), "{left:?} was left behind");
    Ok(())
}

/// As its file says.
fn lineage(scene: &Scene) -> Result<String> {
    let file: Value = serde_json::from_slice(&fs::read(scene.root().join("state/lineage.json"))?)?;
    Ok(file["lineage"].as_str().context("no lineage")?.to_owned())
}
