//! `make bench`: the figures that a release is judged by, as one table. `make bench PARTS='sizes ups'` measures these alone.
//!
//! ```text
//!   fleet (certificate files) ──┐
//!   upsd (a double of NUT's) ───┤
//!   a TLS server ───────────────┴─> exporter under gauge (/proc) ──> table, with the aim and what others need
//!   resources (in a real API server, in a directory) ──> operator under gauge ──┘
//! ```

mod fleet;
mod gauge;
mod outside;
mod resources;
mod table;
mod upsd;

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kagiban_tests::keystore::StoreType;
use kagiban_tests::stage::{Scene, Stage};
use kagiban_tests::{http, scratch, tools};

use self::fleet::Stores;
use self::gauge::{Gauged, Scraped};
use self::table::{Aim, PEERS, Row, megabytes, milliseconds};

/// Past the first pass of every source and whatever the allocator gives back.
const SETTLED: Duration = Duration::from_secs(5);
/// Starts of which the middle one counts, each with a bare loop after it: the first finds cold files, and the clock of a process
/// ticks every 10 ms.
const PAIRS: usize = 9;
const FEW: u32 = 1_000;
const MANY: u32 = 10_000;
const PER_STORE: u32 = 10;

type Part = fn() -> Result<Vec<Row>>;

/// What can be asked for by name; without a name, all of it.
const PARTS: [(&str, Part); 7] = [
    ("sizes", sizes),
    ("certificates", certificates),
    ("ups", one_ups),
    ("outside", outside::rows),
    ("rotation", rotation),
    ("resources", resources::rows),
    ("directory", resources::from_a_directory_and_from_a_cluster),
];

fn main() -> Result<()> {
    // One part takes minutes, and most changes are about one.
    let wanted: Vec<_> = std::env::args().skip(1).collect();
    let unknown = wanted.iter().find(|part| PARTS.iter().all(|(name, _)| name != part));
    ensure!(
        unknown.is_none(),
        "no such part: {}; there are {}",
        wanted.join(" "),
        PARTS.map(|(name, _)| name).join(", ")
    );
    let mut out = io::stdout().lock();
    for (name, rows) in PARTS {
        if wanted.is_empty() || wanted.iter().any(|part| part == name) {
            for row in rows()? {
                writeln!(out, "{row}")?;
            }
        }
    }
    writeln!(out, "\n{PEERS}")?;
    Ok(())
}

fn sizes() -> Result<Vec<Row>> {
    Ok(vec![
        Row::new("exporter", "program on disk", size("kagiban-exporter")?, Aim::Below("10 MB")),
        Row::new("operator", "program on disk", size("kagiban-operator")?, Aim::None),
    ])
}

fn size(program: &str) -> Result<String> {
    Ok(megabytes(fs::metadata(tools::ours(program)?)?.len()))
}

fn certificates() -> Result<Vec<Row>> {
    let mut rows = idle()?;
    for (what, count, stores) in [
        ("1,000 PEM", FEW, Stores::Pem),
        ("10,000 PEM", MANY, Stores::Pem),
        ("1,000 in JKS of 10", FEW, Stores::Jks { entries: PER_STORE }),
        ("10,000 in JKS of 10", MANY, Stores::Jks { entries: PER_STORE }),
    ] {
        rows.extend(fleet_of(what, count, stores)?);
    }
    Ok(rows)
}

/// Nothing to look at.
fn idle() -> Result<Vec<Row>> {
    let directory = scratch::directory("bench-idle")?;
    let exporter = start(&directory, "discovery: {enabled: false}\n")?;
    thread::sleep(SETTLED);
    let resident = exporter.process.memory()?;
    let scraped = exporter.process.scrapes(exporter.address())?;
    let mut rows = vec![
        Row::new("0 certificates", "time to ready", milliseconds(exporter.ready_after), Aim::None),
        Row::new("", "CPU to ready", milliseconds(exporter.cpu_to_ready), Aim::None),
        Row::new("", "resident", resident.shown(), Aim::Below("8 MB")),
    ];
    rows.extend(of_scrapes(&exporter, &scraped, Aim::None, Aim::None, Aim::None)?);
    Ok(rows)
}

fn fleet_of(what: &'static str, count: u32, stores: Stores) -> Result<Vec<Row>> {
    let directory = scratch::directory("bench")?;
    let certificates = directory.join("c");
    fleet::plant(&certificates, count, stores)?;
    let configuration = format!("certificates: [{{name: fleet, paths: [\"{}/**/*\"]}}]\n", certificates.display());
    let exporter = start(&directory, &configuration)?;
    let seen = http::get(exporter.address(), "/metrics")?.body;
    let seen = seen.lines().filter(|line| line.starts_with("x509_cert_not_after_timestamp_seconds{")).count();
    ensure!(seen == count as usize, "{seen} of {count} certificates are in the metrics");
    let resident = exporter.process.memory()?;
    let scraped = exporter.process.scrapes(exporter.address())?;
    let many = count == MANY;
    let aim = |words| if many { Aim::Below(words) } else { Aim::None };
    let mut rows = vec![
        Row::new(what, "time to ready", milliseconds(exporter.ready_after), aim("300 ms")),
        Row::new("", "CPU to ready", milliseconds(exporter.cpu_to_ready), Aim::None),
        Row::new("", "resident when ready", resident.shown(), aim("25 MB")),
    ];
    if matches!(stores, Stores::Pem) {
        let bare = bare_loop(&certificates, count)?;
        let mut ratios = vec![exporter.cpu_to_ready.as_secs_f64() / bare.as_secs_f64()];
        for _ in 1..PAIRS {
            let again = start(&directory, &configuration)?;
            ratios.push(again.cpu_to_ready.as_secs_f64() / bare_loop(&certificates, count)?.as_secs_f64());
        }
        ratios.sort_unstable_by(f64::total_cmp);
        let times = format!("{:.2} times", ratios[PAIRS / 2]);
        rows.insert(2, Row::new("", "CPU of a bare loop", milliseconds(bare), Aim::None));
        rows.insert(3, Row::new("", "of which the exporter takes", times, aim("2 times")));
    }
    rows.extend(of_scrapes(&exporter, &scraped, aim("25 MB"), aim("2 ms"), aim("3 MB"))?);
    drop(exporter);
    fs::remove_dir_all(&directory).with_context(|| directory.display().to_string())?;
    Ok(rows)
}

/// What reading and parsing the same files costs when nothing else is done: `keystore/examples/bare_loop.rs`.
fn bare_loop(certificates: &Path, count: u32) -> Result<Duration> {
    let program = tools::ours("examples/bare_loop")?;
    let output = Command::new(program).arg(certificates).output()?;
    let said = String::from_utf8(output.stdout)?;
    let (found, nanoseconds) = said.trim().split_once(' ').with_context(|| format!("bare_loop said {said:?}"))?;
    ensure!(found == count.to_string(), "the loop found {found} of {count} certificates");
    Ok(Duration::from_nanos(nanoseconds.parse()?))
}

/// One UPS behind a double of NUT's server that tells 24 variables.
fn one_ups() -> Result<Vec<Row>> {
    let directory = scratch::directory("bench-ups")?;
    let server = upsd::Double::start()?;
    let configuration = format!(
        "discovery: {{enabled: false}}\nups:\n  - {{name: rack-a, interval: 1s, nut: {{address: \"{}\", ups: {}}}}}\n",
        server.address(),
        upsd::UPS
    );
    let exporter = start(&directory, &configuration)?;
    ensure!(http::get(exporter.address(), "/metrics")?.body.contains("\nups_up{"), "the UPS is not in the metrics");
    thread::sleep(SETTLED);
    let scraped = exporter.process.scrapes(exporter.address())?;
    let mut rows =
        vec![Row::new("1 UPS, 24 variables", "resident", exporter.process.memory()?.shown(), Aim::Below("8 MB"))];
    rows.extend(of_scrapes(&exporter, &scraped, Aim::Below("8 MB"), Aim::None, Aim::None)?);
    Ok(rows)
}

fn start(directory: &Path, configuration: &str) -> Result<Gauged> {
    let path = directory.join("exporter.yaml");
    fs::write(&path, configuration)?;
    Gauged::start(directory, &path)
}

fn of_scrapes(exporter: &Gauged, scraped: &Scraped, memory: Aim, cpu: Aim, body: Aim) -> Result<[Row; 5]> {
    Ok([
        Row::new("", "resident after scrapes", exporter.process.memory()?.shown(), memory),
        Row::new("", "resident at its peak", exporter.process.memory()?.shown_peak(), Aim::None),
        Row::new("", "CPU per scrape", milliseconds(scraped.cpu), cpu),
        Row::new("", "wall per scrape, median", milliseconds(scraped.wall), Aim::None),
        Row::new("", "body", megabytes(scraped.body), body),
    ])
}

/// One rotation of a JKS keystore, from `kubectl apply` to `Ready`.
fn rotation() -> Result<Vec<Row>> {
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
    thread::sleep(SETTLED);
    let writes = stage.writes()?.to_string();
    Ok(vec![
        Row::new("rotation", "kubectl apply to verified", seconds, Aim::None),
        Row::new("", "API writes", writes, Aim::None),
    ])
}
