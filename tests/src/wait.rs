//! Waiting with a deadline.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process::Program;

/// Short beside what is waited for (a JVM's start, an API server's), long beside what a check costs.
const PAUSE: Duration = Duration::from_millis(50);

/// Until the condition holds.
pub fn until(deadline: Duration, mut condition: impl FnMut() -> bool) -> Result<()> {
    for_some(deadline, || condition().then_some(()))
}

/// Until there is a value.
pub fn for_some<T>(deadline: Duration, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let started = Instant::now();
    loop {
        if let Some(value) = look() {
            return Ok(value);
        }
        if started.elapsed() > deadline {
            bail!("not within {} s", deadline.as_secs());
        }
        thread::sleep(PAUSE);
    }
}

/// Until a status is as wanted; else it fails with the last one, and with what the programs have logged.
pub fn for_status<const N: usize>(
    deadline: Duration,
    what: &str,
    mut look: impl FnMut() -> Result<Value>,
    wanted: impl Fn(&Value) -> bool,
    programs: [&Program; N],
) -> Result<Value> {
    let mut last = Value::Null;
    let seen = for_some(deadline, || {
        last = look().ok()?;
        wanted(&last).then(|| last.clone())
    });
    seen.with_context(|| format!("not seen: {what}: {last:#}\n{}", programs.map(Program::log_text).join("\n")))
}
