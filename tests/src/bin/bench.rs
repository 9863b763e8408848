//! `make bench`: the figures that a release is judged by, as one table.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kagiban_tests::keystore::StoreType;
use kagiban_tests::ports::Port;
use kagiban_tests::process::Program;
use kagiban_tests::stage::{Scene, Stage};
use kagiban_tests::{http, scratch, tools};

const READY_DEADLINE: Duration = Duration::from_secs(30);
/// Past the first pass of every source and whatever the allocator gives back.
const SETTLED: Duration = Duration::from_secs(5);

fn main() -> Result<()> {
    let mut table = Vec::new();
    for program in ["kagiban-exporter", "kagiban-operator"] {
        let size = fs::metadata(tools::ours(program)?)?.len();
        table.push((format!("{program}, size on disk"), format!("{:.1} MB", megabytes(size / 1024))));
    }
    table.extend(idle_memory()?);
    table.extend(rotation()?);
    let mut out = io::stdout().lock();
    for (what, figure) in table {
        writeln!(out, "{what:48} {figure:>12}")?;
    }
    Ok(())
}

/// The exporter with nothing configured but what it discovers.
fn idle_memory() -> Result<Vec<(String, String)>> {
    let directory = scratch::directory("bench-idle")?;
    let port = Port::any()?;
    let mut command = Command::new(tools::ours("kagiban-exporter")?);
    command.arg(format!("--web.listen-address={}", port.address()));
    let mut exporter = Program::start("exporter", &command, &directory)?;
    exporter.wait_ready(READY_DEADLINE, || http::get(port.address(), "/-/ready").is_ok_and(|r| r.status == 200))?;
    std::thread::sleep(SETTLED);
    let status = fs::read_to_string(Path::new("/proc").join(exporter.id().to_string()).join("status"))?;
    let kibibytes = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field)).context("no such field")?;
        Ok::<u64, anyhow::Error>(line.trim_end_matches("kB").trim().parse()?)
    };
    let now = format!("{:.1} MB", megabytes(kibibytes("VmRSS:")?));
    let peak = format!("{:.1} MB", megabytes(kibibytes("VmHWM:")?));
    Ok(vec![("exporter, resident, nothing configured".into(), now), ("exporter, resident, peak".into(), peak)])
}

/// One rotation of a JKS keystore, from `kubectl apply` to `Ready`.
fn rotation() -> Result<Vec<(String, String)>> {
    let scene = Scene {
        store_type: StoreType::Jks,
        password: "store-password".to_owned(),
        deletes_credentials: false,
        secret_password: None,
    };
    let stage = Stage::set("bench-rotation", &scene)?;
    let applied = Instant::now();
    stage.apply()?;
    stage.wait_committed(1)?;
    let seconds = format!("{:.1} s", applied.elapsed().as_secs_f64());
    std::thread::sleep(SETTLED);
    let writes = stage.writes()?.len().to_string();
    Ok(vec![("kubectl apply to verified".into(), seconds), ("API writes of one rotation".into(), writes)])
}

fn megabytes(kibibytes: u64) -> f64 {
    // Sizes of programs and processes: far below where an f64 loses whole numbers.
    u32::try_from(kibibytes).map_or(f64::INFINITY, f64::from) / 1024.0
}
