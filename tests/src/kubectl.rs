//! The user's own tool against the API server: what a user sees is what the tests see.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{process, tools};

/// `kubectl` as one user.
#[derive(Clone, Debug)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    namespace: Option<String>,
}

impl Kubectl {
    pub fn new(kubeconfig: &Path) -> Result<Self> {
        Ok(Self { program: tools::kubectl()?, kubeconfig: kubeconfig.to_owned(), namespace: None })
    }

    /// The same user, in this namespace.
    #[must_use]
    pub fn in_namespace(&self, namespace: &str) -> Self {
        Self { namespace: Some(namespace.to_owned()), ..self.clone() }
    }

    /// The command line that a user would type.
    pub fn command_line(&self) -> String {
        let namespace = self.namespace.as_ref().map(|n| format!(" -n {n}")).unwrap_or_default();
        format!("{} --kubeconfig {}{namespace}", self.program.display(), self.kubeconfig.display())
    }

    pub fn run(&self, args: &[&str]) -> Result<String> {
        self.run_with_input(args, "")
    }

    pub fn json(&self, args: &[&str]) -> Result<Value> {
        let text = self.run(&[args, &["-o", "json"]].concat())?;
        serde_json::from_str(&text).with_context(|| format!("kubectl {args:?} printed no JSON"))
    }

    pub fn apply(&self, manifest: &str) -> Result<String> {
        self.run_with_input(&["apply", "-f", "-"], manifest)
    }

    pub fn apply_file(&self, path: &Path) -> Result<String> {
        self.run(&["apply", "-f", &path.to_string_lossy()])
    }

    pub fn create_namespace(&self, name: &str) -> Result<Self> {
        self.run(&["create", "namespace", name])?;
        Ok(self.in_namespace(name))
    }

    /// The program as this user, for whoever has its own idea of its exit code.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .arg("--cache-dir")
            .arg(self.kubeconfig.with_extension("cache"));
        if let Some(namespace) = &self.namespace {
            command.args(["--namespace", namespace]);
        }
        command
    }

    /// With this on its standard input.
    pub fn run_with_input(&self, args: &[&str], input: &str) -> Result<String> {
        let output = process::output_with_input(self.command().args(args), input)?;
        if output.status.success() {
            Ok(String::from_utf8(output.stdout)?)
        } else {
            bail!("kubectl {args:?}: {}", String::from_utf8_lossy(&output.stderr).trim())
        }
    }
}
