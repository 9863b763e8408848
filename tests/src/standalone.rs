//! What a standalone operator works with: manifests, Secrets in files, and its state.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use crate::quickstart::Secret;
use crate::{process, tools};

/// Of a manifest that names none.
pub const NAMESPACE: &str = "default";

/// Three directories.
#[derive(Clone, Debug)]
pub struct Standalone {
    pub manifests: PathBuf,
    pub secrets: PathBuf,
    pub state: PathBuf,
}

impl Standalone {
    /// Below a directory of the test's own.
    pub fn new(directory: &Path) -> Result<Self> {
        let [manifests, secrets, state] = ["manifests", "secrets", "state"].map(|name| directory.join(name));
        fs::create_dir(&manifests)?;
        fs::DirBuilder::new().mode(0o700).create(&secrets)?;
        Ok(Self { manifests, secrets, state })
    }

    /// As files that nobody else may read.
    pub fn write_secrets(&self, secrets: &[Secret]) -> Result<()> {
        for secret in secrets {
            let directory = self.secrets.join(NAMESPACE).join(secret.name);
            fs::DirBuilder::new().mode(0o700).recursive(true).create(&directory)?;
            let manifest = serde_yaml::to_string(&secret.manifest())?;
            let values = secret.values.iter().map(|(key, value)| (*key, value.as_str()));
            for (key, value) in values.chain([(".secret.yaml", manifest.as_str())]) {
                let path = directory.join(key);
                let mut file = fs::File::options().create_new(true).write(true).mode(0o600).open(&path)?;
                file.write_all(value.as_bytes()).with_context(|| path.display().to_string())?;
            }
        }
        Ok(())
    }

    /// In one step, as Git does it.
    pub fn apply(&self, resource: &Value) -> Result<()> {
        self.apply_as("resource", resource)
    }

    /// The same beside others, in a file of this name.
    pub fn apply_as(&self, name: &str, resource: &Value) -> Result<()> {
        let new = self.manifests.join(".new");
        fs::write(&new, serde_yaml::to_string(resource)?)?;
        Ok(fs::rename(new, self.manifests.join(format!("{name}.yaml")))?)
    }

    /// What a command prints that is asked of the operator that runs.
    pub fn command(&self, words: &[&str]) -> Result<String> {
        let mut command = Command::new(tools::ours("kagiban-operator")?);
        process::run(command.args(words).arg("--state").arg(&self.state))
    }

    /// The command line that a person would type.
    pub fn command_line(&self, words: &str) -> Result<String> {
        let program = tools::ours("kagiban-operator")?;
        Ok(format!("{} {words} --state {}", program.display(), self.state.display()))
    }

    /// The resource as it is kept; null where there is none.
    pub fn resource(&self) -> Result<Value> {
        let text: Option<String> = match self.ask("SELECT object FROM resources") {
            Err(rusqlite::Error::QueryReturnedNoRows) => None,
            found => Some(found?),
        };
        Ok(text.map(|text| serde_json::from_str(&text)).transpose()?.unwrap_or_default())
    }

    /// What the operator has said of one of several; null before it has said anything.
    pub fn status_of(&self, name: &str) -> Result<Value> {
        let all: String = self.ask("SELECT coalesce(json_group_array(json(object)), '[]') FROM resources")?;
        let all: Vec<Value> = serde_json::from_str(&all)?;
        let its = all.into_iter().find(|object| object["metadata"]["name"] == name);
        Ok(its.map(|mut object| object["status"].take()).unwrap_or_default())
    }

    /// The reasons of its events, the oldest first.
    pub fn events(&self) -> Result<Vec<String>> {
        let text: String = self.ask("SELECT coalesce(group_concat(reason, ' ' ORDER BY last, id), '') FROM events")?;
        Ok(text.split_whitespace().map(str::to_owned).collect())
    }

    /// How often anything was written: resources and events.
    pub fn writes(&self) -> Result<usize> {
        let writes: i64 = self.ask(
            "SELECT (SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'version') + (SELECT coalesce(sum(count), 0) FROM events)",
        )?;
        Ok(usize::try_from(writes)?)
    }

    /// Of the process that began last.
    pub fn epoch(&self) -> Result<u64> {
        let text: String = self.ask("SELECT value FROM meta WHERE key = 'epoch'")?;
        Ok(text.parse()?)
    }

    /// The name by which hosts know it.
    pub fn lineage(&self) -> Result<String> {
        Ok(self.ask("SELECT value FROM meta WHERE key = 'lineage'")?)
    }

    fn ask<T: rusqlite::types::FromSql>(&self, question: &str) -> rusqlite::Result<T> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let state = Connection::open_with_flags(self.state.join("state.db"), flags)?;
        state.busy_timeout(std::time::Duration::from_secs(5))?;
        state.query_row(question, (), |row| row.get(0))
    }
}
