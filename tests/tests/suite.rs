//! What holds when a suite has ended: nothing of it runs any more. `tests/tools/suite.sh`, which `make test` runs in.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use kagiban_tests::{scratch, tools};

/// Runs a script as a suite, whose directories are below `directory`.
fn suite(directory: &Path, script: &str) -> Result<Output> {
    let mut command = Command::new(tools::workspace().join("tests/tools/suite.sh"));
    command.args(["sh", "-c", script]).env("TMPDIR", directory).env("KAGIBAN_SUITE_PATIENCE", "2");
    command.output().context("suite.sh")
}

fn kept(directory: &Path) -> Result<Vec<PathBuf>> {
    Ok(std::fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?)
}

#[test]
fn a_suite_that_leaves_a_process_fails_and_the_process_is_ended() -> Result<()> {
    let leaves = [
        // By its environment, by its arguments, by where it is.
        "setsid sleep 1000 >/dev/null 2>&1 & echo $!",
        "env -i setsid sh -c 'while :; do sleep 1; done' \"$TMPDIR/control\" >/dev/null 2>&1 & echo $!",
        "cd \"$TMPDIR\"; env -i setsid sleep 1000 >/dev/null 2>&1 & echo $!",
    ];
    for script in leaves {
        let output = suite(&scratch::directory("leftover")?, script)?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.code() == Some(1) && said.contains("left running: "), "{script}: {said}");
        let pid = said.lines().next().context("its pid")?;
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        ensure!(state.is_empty() || state.contains(") Z "), "{script}: {pid} still runs");
    }
    Ok(())
}

#[test]
fn a_suite_that_leaves_nothing_ends_as_its_tests_do() -> Result<()> {
    let directory = scratch::directory("no-leftover")?;
    // Ends within the time that is given to what watches its test.
    let good = suite(&directory, "touch \"$TMPDIR/a\"; setsid sleep 1 >/dev/null 2>&1 &")?;
    ensure!(good.status.success() && kept(&directory)?.is_empty(), "{good:?}");
    let bad = suite(&directory, "touch \"$TMPDIR/log\"; exit 3")?;
    ensure!(bad.status.code() == Some(3), "{bad:?}");
    ensure!(kept(&directory)?.iter().any(|it| it.join("log").exists()), "the logs of a failure are kept");
    suite(&directory, "true")?;
    ensure!(kept(&directory)?.is_empty(), "until the next run");
    Ok(())
}

#[test]
fn two_suites_side_by_side_see_nothing_of_each_other() -> Result<()> {
    let directory = scratch::directory("side-by-side")?;
    let script = "sleep 2; ls -A \"$TMPDIR\"";
    std::thread::scope(|scope| {
        let both = [(), ()].map(|()| scope.spawn(|| suite(&directory, script)));
        for one in both {
            let output = one.join().ok().context("it panicked")??;
            ensure!(output.status.success() && output.stdout.is_empty(), "{output:?}");
        }
        Ok(())
    })
}

/// Has `run-tests.sh` run these programs as if they were tests.
fn run_tests(programs: &[(&str, &str)]) -> Result<Output> {
    let artifact = |(name, program): &(&str, &str)| {
        serde_json::json!({
            "reason": "compiler-artifact",
            "manifest_path": tools::workspace().join("tests/Cargo.toml"),
            "target": {"kind": ["test"], "name": name},
            "profile": {"test": true},
            "executable": program,
        })
        .to_string()
    };
    let mut command = Command::new(tools::workspace().join("tests/tools/run-tests.sh"));
    command.env("CARGO", tools::workspace().join("tests/doubles/cargo"));
    command.env("BUILT", programs.iter().map(artifact).collect::<Vec<_>>().join("\n"));
    command.env("TMPDIR", scratch::directory("run-tests")?).output().context("run-tests.sh")
}

#[test]
fn one_program_that_fails_makes_the_whole_fail_and_is_named() -> Result<()> {
    let good = run_tests(&[("one", "/bin/true"), ("two", "/bin/true"), ("three", "/bin/true")])?;
    let said = String::from_utf8_lossy(&good.stdout);
    ensure!(good.status.success() && said.contains("in 3 programs"), "{good:?}");

    let bad = run_tests(&[("one", "/bin/true"), ("two", "/bin/false"), ("three", "/bin/true")])?;
    let said = String::from_utf8_lossy(&bad.stdout);
    ensure!(bad.status.code() == Some(1) && said.contains("red: two (tests test)"), "{bad:?}");
    ensure!(said.contains("in 3 programs"), "the others run all the same: {said}");

    let none = run_tests(&[])?;
    ensure!(!none.status.success(), "nothing was tested: {none:?}");
    Ok(())
}
