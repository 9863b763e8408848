//! Waiting with a deadline.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

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
