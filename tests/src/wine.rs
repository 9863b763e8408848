//! Windows under Wine (docs/windows.md): a prefix of its own, and our programs, which `tests/tools/windows-programs.sh` has built.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::tools;

/// Beside the programs of Linux.
const PROGRAMS: &str = "windows/x86_64-pc-windows-gnu/debug";

/// A Windows that ends with this.
#[derive(Debug)]
pub struct Wine {
    directory: PathBuf,
    programs: PathBuf,
}

impl Wine {
    /// In this directory, which nobody else uses. Nothing runs yet.
    pub fn new(directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory)?;
        let own = env::current_exe()?;
        let target = own.ancestors().nth(2).context("this program is in no target directory")?;
        let programs = target.join(PROGRAMS);
        for name in ["agent-double.exe", "kagiban-exporter.exe"] {
            ensure!(programs.join(name).is_file(), "missing {name}: tests/tools/windows-programs.sh");
        }
        Ok(Self { directory: directory.to_owned(), programs })
    }

    /// What runs this program of ours: it becomes Wine.
    pub fn command(&self, program: &str) -> Command {
        let mut command = self.script();
        command.arg(self.programs.join(program));
        command
    }

    /// Runs a program of ours until it ends.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<()> {
        // To a file: the services that it starts would hold a pipe open.
        let log = self.directory.join("log");
        let out = File::create(&log)?;
        let status = self.command(program).args(arguments).stdout(out.try_clone()?).stderr(out).status()?;
        ensure!(status.success(), "{program} {arguments:?}: {status}\n{}", fs::read_to_string(&log)?);
        Ok(())
    }

    fn script(&self) -> Command {
        let mut command = Command::new(tools::workspace().join("tests/tools/in-wine.sh"));
        command.arg(&self.directory);
        command
    }
}

impl Drop for Wine {
    fn drop(&mut self) {
        let _ = self.script().arg("--end").status();
    }
}

/// The path of a file as Windows has it: `/` is its drive `Z:`.
pub fn seen_there(path: &Path) -> String {
    format!("Z:{}", path.display())
}

/// The same of every path in a configuration.
pub fn paths_seen_there(config: &mut Value) {
    match config {
        Value::String(text) if text.starts_with('/') => *text = seen_there(Path::new(text)),
        Value::Array(values) => values.iter_mut().for_each(paths_seen_there),
        Value::Object(fields) => fields.values_mut().for_each(paths_seen_there),
        _ => {}
    }
}
