//! Helm and the chart: what a user renders, installs and removes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{process, scratch, tools, yaml};

/// The release of the tests: with this name and namespace, the operator's account is the one of the control plane's tokens.
pub const RELEASE: &str = "kagiban";

/// Helm with a home of its own, and perhaps a cluster.
#[derive(Debug)]
pub struct Helm {
    program: PathBuf,
    home: PathBuf,
    kubeconfig: PathBuf,
}

impl Helm {
    /// Without any cluster.
    pub fn new() -> Result<Self> {
        let home = scratch::directory("helm")?;
        Ok(Self { program: tools::helm()?, kubeconfig: home.join("no-cluster"), home })
    }

    /// Against this cluster.
    pub fn against(kubeconfig: &Path) -> Result<Self> {
        Ok(Self { kubeconfig: kubeconfig.to_owned(), ..Self::new()? })
    }

    /// What Helm has printed, or an error with all that it has said.
    pub fn run(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.program);
        for (name, directory) in
            [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")]
        {
            command.env(name, self.home.join(directory));
        }
        process::run(command.args(args).env("KUBECONFIG", &self.kubeconfig).env("NO_PROXY", "127.0.0.1"))
    }
}

/// A directory with a chart.
#[derive(Debug)]
pub struct Chart {
    directory: PathBuf,
}

impl Chart {
    /// The one in `charts/`.
    pub fn ours() -> Self {
        Self { directory: tools::workspace().join("charts/kagiban") }
    }

    /// A copy of it that a test may change.
    pub fn copied() -> Result<Self> {
        let directory = scratch::directory("chart")?.join("kagiban");
        copy_tree(&Self::ours().directory, &directory)?;
        Ok(Self { directory })
    }

    pub fn path(&self) -> &str {
        self.directory.to_str().unwrap_or_default()
    }

    pub fn read(&self, file: &str) -> Result<String> {
        fs::read_to_string(self.directory.join(file)).with_context(|| format!("cannot read {file} of the chart"))
    }

    pub fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.directory.join(file);
        fs::create_dir_all(path.parent().context("a file of the chart")?)?;
        Ok(fs::write(path, text)?)
    }

    /// Replaces what must be there.
    pub fn replace(&self, file: &str, from: &str, to: &str) -> Result<()> {
        let text = self.read(file)?;
        ensure!(text.contains(from), "{file} has no {from:?}");
        self.write(file, &text.replace(from, to))
    }

    /// The manifests of a release with these values, as one text.
    pub fn template(&self, namespace: &str, values: &Value) -> Result<String> {
        let file = values_file(values)?;
        Helm::new()?.run(&["template", RELEASE, self.path(), "--namespace", namespace, "--values", &file])
    }

    /// The same, one by one.
    pub fn render(&self, namespace: &str, values: &Value) -> Result<Vec<Value>> {
        yaml::documents(&self.template(namespace, values)?)
    }

    /// The chart as an archive, as a repository has it.
    pub fn packaged(&self) -> Result<PathBuf> {
        let directory = scratch::directory("packaged")?;
        Helm::new()?.run(&["package", self.path(), "--destination", directory.to_str().unwrap_or_default()])?;
        let entry = fs::read_dir(&directory)?.next().context("helm package has written nothing")??;
        Ok(entry.path())
    }
}

/// Values in a file. JSON is YAML, and needs no quoting rules of ours.
pub fn values_file(values: &Value) -> Result<String> {
    let path = scratch::directory("values")?.join("values.json");
    fs::write(&path, values.to_string())?;
    Ok(path.to_str().context("a path in UTF-8")?.to_owned())
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
