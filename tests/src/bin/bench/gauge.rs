//! A program, and what `/proc` says of it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use kagiban_tests::ports::Port;
use kagiban_tests::process::Program;
use kagiban_tests::{http, tools};

use super::table::megabytes;

const READY_DEADLINE: Duration = Duration::from_secs(60);
/// Short beside the shortest start that is told apart, long beside what being asked costs the exporter.
const ASK_EVERY: Duration = Duration::from_millis(5);
const SCRAPES: usize = 50;
/// As a Prometheus does that is not in a hurry: the exporter's threads are asleep when the next one comes.
const BETWEEN_SCRAPES: Duration = Duration::from_millis(10);
/// `USER_HZ`.
const TICK: Duration = Duration::from_millis(10);

/// An exporter that runs.
#[derive(Debug)]
pub(crate) struct Gauged {
    port: Port,
    pub(crate) process: Process,
    pub(crate) ready_after: Duration,
    /// To 10 ms: threads that have ended are in it too.
    pub(crate) cpu_to_ready: Duration,
    _program: Program,
}

/// A process that runs, as `/proc` shows it.
#[derive(Debug)]
pub(crate) struct Process(PathBuf);

/// One scrape of many.
#[derive(Debug)]
pub(crate) struct Scraped {
    /// The mean, of the whole process.
    pub(crate) cpu: Duration,
    /// The median, as the client sees it.
    pub(crate) wall: Duration,
    pub(crate) body: u64,
}

/// In bytes.
#[derive(Debug)]
pub(crate) struct Memory {
    resident: u64,
    /// The part that is not pages of files, which are the program itself and shared with others.
    own: u64,
    peak: u64,
}

impl Gauged {
    pub(crate) fn start(directory: &Path, configuration: &Path) -> Result<Self> {
        let port = Port::any()?;
        let mut command = Command::new(tools::ours("kagiban-exporter")?);
        command.arg(format!("--web.listen-address={}", port.address())).arg("--config.file").arg(configuration);
        let started = Instant::now();
        let mut program = Program::start("exporter", &command, directory)?;
        loop {
            let ready = || http::get(port.address(), "/-/ready").is_ok_and(|response| response.status == 200);
            if program.has_port(port.number()) && ready() {
                break;
            }
            if !program.is_running() || started.elapsed() > READY_DEADLINE {
                bail!("the exporter did not become ready:\n{}", program.log_text());
            }
            thread::sleep(ASK_EVERY);
        }
        let ready_after = started.elapsed();
        let process = Process::of(program.id());
        let cpu_to_ready = process.cpu()?;
        Ok(Self { port, process, ready_after, cpu_to_ready, _program: program })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address()
    }
}

impl Process {
    pub(crate) fn of(pid: u32) -> Self {
        Self(Path::new("/proc").join(pid.to_string()))
    }

    pub(crate) fn memory(&self) -> Result<Memory> {
        let status = fs::read_to_string(self.0.join("status"))?;
        let bytes = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field)).context("no such field")?;
            Ok::<u64, anyhow::Error>(line.trim_end_matches("kB").trim().parse::<u64>()? * 1024)
        };
        Ok(Memory { resident: bytes("VmRSS:")?, own: bytes("RssAnon:")?, peak: bytes("VmHWM:")? })
    }

    /// What it has taken since its start, to 10 ms.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        cpu_by_ticks(&self.0)
    }

    /// Scrapes it many times, one after another.
    pub(crate) fn scrapes(&self, address: SocketAddr) -> Result<Scraped> {
        // The first one finds cold pages.
        let body = http::get(address, "/metrics")?.body.len() as u64;
        let before = cpu_of_threads(&self.0)?;
        let mut walls = Vec::with_capacity(SCRAPES);
        for _ in 0..SCRAPES {
            let asked = Instant::now();
            http::get(address, "/metrics")?;
            walls.push(asked.elapsed());
            thread::sleep(BETWEEN_SCRAPES);
        }
        let used = cpu_of_threads(&self.0)?.saturating_sub(before);
        walls.sort_unstable();
        Ok(Scraped { cpu: used / u32::try_from(SCRAPES)?, wall: walls[SCRAPES / 2], body })
    }
}

impl Memory {
    pub(crate) fn shown(&self) -> String {
        format!("{} ({} its own)", megabytes(self.resident), megabytes(self.own))
    }

    pub(crate) fn shown_peak(&self) -> String {
        megabytes(self.peak)
    }
}

/// What the scheduler counted, in nanoseconds, for the threads that are there.
fn cpu_of_threads(process: &Path) -> Result<Duration> {
    let mut total = 0;
    for thread in fs::read_dir(process.join("task"))? {
        // A thread may end while we look.
        let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        total += text.split_whitespace().next().context("an empty schedstat")?.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(total))
}

fn cpu_by_ticks(process: &Path) -> Result<Duration> {
    let stat = fs::read_to_string(process.join("stat"))?;
    // The program's name stands in parentheses and may hold anything.
    let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>).sum::<Result<u32, _>>()?;
    Ok(TICK * ticks)
}
