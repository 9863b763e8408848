//! Our own packages, made as `make packages` makes them, of the program that was built for the tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result};

use crate::{process, scratch, tools};

/// Any time will do, so that it is not the present one.
const EPOCH: &str = "1750000000";

#[derive(Clone, Debug)]
pub struct Packages {
    pub deb: PathBuf,
    pub rpm: PathBuf,
}

impl Packages {
    /// Made once for all tests of a program.
    pub fn shared() -> Result<Self> {
        static MADE: OnceLock<Result<Packages, String>> = OnceLock::new();
        MADE.get_or_init(|| Self::make("1").map_err(|error| format!("{error:#}"))).clone().map_err(anyhow::Error::msg)
    }

    /// Made anew: which package of this version it is.
    pub fn make(release: &str) -> Result<Self> {
        let directory = scratch::directory("packages")?;
        let ours = tools::ours("kagiban-exporter")?;
        // What is in it for debuggers would be compressed at length.
        let program = directory.join("kagiban-exporter");
        process::run(Command::new("strip").arg("-o").arg(&program).arg(ours))?;
        let mut make = Command::new(tools::workspace().join("tests/tools/packages.sh"));
        make.env("KAGIBAN_BIN_DIR", &directory).env("KAGIBAN_PACKAGES", directory.join("packages"));
        make.env("KAGIBAN_MANUAL_PAGES", tools::manual_pages()?);
        make.env("KAGIBAN_PACKAGE_RELEASE", release).env("SOURCE_DATE_EPOCH", EPOCH);
        process::run(&mut make)?;
        let made = |extension| of_extension(&directory.join("packages"), extension);
        Ok(Self { deb: made("deb")?, rpm: made("rpm")? })
    }
}

fn of_extension(directory: &Path, extension: &str) -> Result<PathBuf> {
    let mut files = fs::read_dir(directory)?.flatten().map(|entry| entry.path());
    files.find(|path| path.extension().is_some_and(|it| it == extension)).with_context(|| format!("no .{extension}"))
}
