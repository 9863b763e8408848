//! What `make release` leaves, of the programs that were built for the tests.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::Result;

use crate::{process, scratch, tools};

/// Any time but the present one, so that a build that takes the clock's is seen.
pub const EPOCH: &str = "1750000000";
pub const PROGRAMS: [&str; 2] = ["kagiban-exporter", "kagiban-operator"];

/// A directory with both programs and their SBOMs; made once for all tests of a program.
pub fn programs() -> Result<PathBuf> {
    static MADE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    MADE.get_or_init(|| make().map_err(|error| format!("{error:#}"))).clone().map_err(anyhow::Error::msg)
}

fn make() -> Result<PathBuf> {
    let directory = scratch::directory("programs")?;
    for name in PROGRAMS {
        // What is in it for debuggers would be compressed at length.
        process::run(Command::new("strip").arg("-o").arg(directory.join(name)).arg(tools::ours(name)?))?;
        let mut write = Command::new(tools::workspace().join("tests/tools/sbom.py"));
        write.arg(name).arg(directory.join(format!("{name}.cdx.json"))).env("SOURCE_DATE_EPOCH", EPOCH);
        process::run(&mut write)?;
    }
    Ok(directory)
}
