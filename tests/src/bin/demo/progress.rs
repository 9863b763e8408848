//! What the visitor sees.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

/// Lines with the time since the beginning.
pub(crate) struct Progress {
    pub(crate) started: Instant,
}

impl Progress {
    pub(crate) fn line(&self, text: &str) {
        print(&format!("demo: {:6.1} s  {text}", self.started.elapsed().as_secs_f64()));
    }

    /// The line that scripts read.
    pub(crate) fn last(&self, text: &str) {
        print(&format!("demo: {text}"));
    }

    pub(crate) fn failed(&self, error: &anyhow::Error, logs: Option<&Path>) -> ExitCode {
        let logs = logs.map(|directory| format!("; logs: {}", directory.display())).unwrap_or_default();
        let seconds = self.started.elapsed().as_secs_f64();
        let _ = writeln!(io::stderr(), "demo: failed after {seconds:.1} s: {error:#}{logs}");
        ExitCode::FAILURE
    }
}

fn print(line: &str) {
    // A closed pipe (`make demo | head`) is no failure of the demo.
    let _ = writeln!(io::stdout(), "{line}");
}
