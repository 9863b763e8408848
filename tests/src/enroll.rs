//! Certificates of the host API as a person gets them: by `kagiban-operator enroll`.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::pki::Identity;
use crate::{tools, yaml};

/// What it writes for a host, in the directory of the host's name.
pub const FILES: [&str; 4] = ["client-ca.crt", "host-api.crt", "host-api.key", "host-api.yaml"];

/// Runs it with these words in `directory`.
pub fn attempt(directory: &Path, words: &[&str]) -> Result<Output> {
    let mut command = Command::new(tools::ours("kagiban-operator")?);
    Ok(command.arg("enroll").args(words).current_dir(directory).output()?)
}

/// The same, which must succeed; what it printed.
pub fn enroll(directory: &Path, words: &[&str]) -> Result<String> {
    let output = attempt(directory, words)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "enroll {words:?}: {said}");
    Ok(String::from_utf8(output.stdout)?)
}

/// The client certificate in the manifest of a Secret, and the CA that hosts chain to.
pub fn client(manifest: &str) -> Result<(Identity, String)> {
    let secret: Value = yaml::documents(manifest)?.pop().context("no manifest")?;
    let value = |key: &str| secret["stringData"][key].as_str().map(str::to_owned).with_context(|| format!("no {key}"));
    Ok((Identity { certificate: value("tls.crt")?, key: value("tls.key")? }, value("ca.crt")?))
}
