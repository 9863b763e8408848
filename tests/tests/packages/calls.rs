//! The system calls that the units allow, and those that the exporter makes. Without systemd nothing refuses one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kagiban_tests::debian_root::DebianRoot;
use kagiban_tests::ports::on_ports;
use kagiban_tests::process::Program;
use kagiban_tests::{http, scratch, tools};

const DEADLINE: Duration = Duration::from_secs(90);
/// What is allowed in any case.
const ALWAYS: &str = "@default";

#[test]
fn the_unit_for_metrics_alone_refuses_no_system_call_of_the_exporter() -> Result<()> {
    let unit = fs::read_to_string(tools::workspace().join("examples/systemd/kagiban-exporter.service"))?;
    let directory = scratch::directory("calls")?;
    let (calls, config) = (directory.join("calls"), directory.join("exporter.yaml"));
    fs::write(&config, format!("stateDirectory: {}\n", directory.join("state").display()))?;
    on_ports(|[port]| {
        let words = tracing(&calls)?;
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg(tools::ours("kagiban-exporter")?);
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--web.listen-address={}", port.address()));
        let mut program = Program::start("exporter", &command, &directory)?;
        let ready = || http::get(port.address(), "/metrics").is_ok_and(|answer| answer.status == 200);
        program.wait_ready_on(port.number(), DEADLINE, ready)?;
        program.terminate(DEADLINE)?;
        Ok(())
    })?;
    ensure_allowed(&unit, &calls)
}

/// What traces a program and everything that it starts into a file, and becomes that program.
pub(crate) fn tracing(calls: &Path) -> Result<Vec<String>> {
    let calls = calls.to_str().context("a path in UTF-8")?;
    let strace = tools::strace()?.display().to_string();
    let words = ["--daemonize=grandchild", "--follow-forks", "--quiet=all", "--output", calls, "--"];
    Ok([strace].into_iter().chain(words.map(str::to_owned)).collect())
}

/// Fails with the calls that `SystemCallFilter=` of the unit refuses.
pub(crate) fn ensure_allowed(unit: &str, calls: &Path) -> Result<()> {
    let root = DebianRoot::unpack("filters")?;
    let mut allowed = BTreeSet::new();
    add_members(&root, ALWAYS, &mut allowed)?;
    let filters: Vec<_> = unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")).collect();
    ensure!(!filters.is_empty(), "the unit filters no calls");
    for filter in filters {
        let (refuses, groups) = filter.strip_prefix('~').map_or((false, filter), |groups| (true, groups));
        let mut members = BTreeSet::new();
        groups.split(' ').try_for_each(|group| add_members(&root, group, &mut members))?;
        if refuses { allowed.retain(|call| !members.contains(call)) } else { allowed.extend(members) }
    }
    // `1234 openat(AT_FDCWD, …`
    let text = fs::read_to_string(calls)?;
    let name = |line: &str| Some(line.split_once(' ')?.1.trim_start().split_once('(')?.0.to_owned());
    let made = text
        .lines()
        .filter_map(name)
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
    let made: BTreeSet<_> = made.collect();
    ensure!(made.contains("listen") && made.len() > 40, "few calls were seen: {made:?}");
    let refused: Vec<_> = made.difference(&allowed).collect();
    ensure!(refused.is_empty(), "the unit refuses {refused:?}");
    Ok(())
}

/// The calls of a group, and of the groups in it.
fn add_members(root: &DebianRoot, group: &str, members: &mut BTreeSet<String>) -> Result<()> {
    let told = root.run("systemd-analyze", &["--no-pager", "syscall-filter", group])?;
    for member in told.lines().skip(1).map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if member.starts_with('@') {
            add_members(root, member, members)?;
        } else {
            members.insert(member.to_owned());
        }
    }
    Ok(())
}
