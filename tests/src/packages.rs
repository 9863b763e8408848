//! Our own packages, made as `make packages` makes them, of the programs that were built for the tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result};

use crate::{process, release, scratch, tools};

#[derive(Clone, Debug)]
pub struct Packages {
    pub deb: PathBuf,
    pub rpm: PathBuf,
    pub operator_deb: PathBuf,
    pub operator_rpm: PathBuf,
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
        let mut make = Command::new(tools::workspace().join("tests/tools/packages.sh"));
        make.env("KAGIBAN_BIN_DIR", release::programs()?).env("KAGIBAN_PACKAGES", directory.join("packages"));
        make.env("KAGIBAN_MANUAL_PAGES", tools::manual_pages()?);
        make.env("KAGIBAN_PACKAGE_RELEASE", release).env("SOURCE_DATE_EPOCH", release::EPOCH);
        process::run(&mut make)?;
        let packages = directory.join("packages");
        process::run(Command::new("sha256sum").args(["--check", "--quiet", "SHA256SUMS"]).current_dir(&packages))?;
        let made = |program, extension| of(&packages, program, extension);
        Ok(Self {
            deb: made("kagiban-exporter", "deb")?,
            rpm: made("kagiban-exporter", "rpm")?,
            operator_deb: made("kagiban-operator", "deb")?,
            operator_rpm: made("kagiban-operator", "rpm")?,
        })
    }

    /// What `sha256sum --check` is given to verify all of it.
    pub fn checksums(&self) -> Result<String> {
        Ok(fs::read_to_string(self.deb.with_file_name("SHA256SUMS"))?)
    }
}

fn of(directory: &Path, program: &str, extension: &str) -> Result<PathBuf> {
    let mut files = fs::read_dir(directory)?.flatten().map(|entry| entry.path());
    let is_it = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(program) && path.extension().is_some_and(|it| it == extension)
    };
    files.find(is_it).with_context(|| format!("no .{extension} of {program}"))
}
