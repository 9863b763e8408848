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
