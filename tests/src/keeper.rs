//! Who keeps the resources: a namespace of a cluster, or the directories of an operator without one.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::kubectl::Kubectl;
use crate::quickstart::{RESOURCE, Secret};
use crate::standalone::{NAMESPACE, Standalone};
use crate::wait;

/// What a person does with either.
#[derive(Clone, Debug)]
pub enum Keeper {
    Cluster(Kubectl),
    Standalone(Standalone),
}

impl Keeper {
    /// Secrets that a person makes by hand.
    pub fn add_secrets(&self, secrets: &[Secret]) -> Result<()> {
        match self {
            Self::Cluster(kubectl) => secrets.iter().try_for_each(|secret| secret.create(kubectl)),
            Self::Standalone(standalone) => standalone.write_secrets(secrets),
        }
    }

    /// A file of manifests with values of Secrets in it.
    pub fn add_file(&self, path: &Path) -> Result<()> {
        match self {
            Self::Cluster(kubectl) => kubectl.run(&["create", "-f", &path.to_string_lossy()]).map(drop),
            Self::Standalone(standalone) => {
                let name = path.file_name().context("a path without a name")?;
                Ok(fs::copy(path, standalone.manifests.join(name)).map(drop)?)
            }
        }
    }

    pub fn apply(&self, resource: &Value) -> Result<()> {
        match self {
            Self::Cluster(kubectl) => kubectl.apply(&resource.to_string()).map(drop),
            Self::Standalone(standalone) => standalone.apply(resource),
        }
    }

    /// Asks for a rotation of what is applied.
    pub fn rotate(&self, value: &str) -> Result<()> {
        match self {
            Self::Cluster(kubectl) => {
                let annotation = format!("kagiban.dev/rotate={value}");
                kubectl.run(&["annotate", "--overwrite", "mac", RESOURCE, &annotation]).map(drop)
            }
            Self::Standalone(standalone) => standalone.command(&["rotate", RESOURCE, "--as", value]).map(drop),
        }
    }

    /// What the operator has said of the resource; null before it has said anything.
    pub fn status(&self) -> Result<Value> {
        let mut resource = match self {
            Self::Cluster(kubectl) => kubectl.json(&["get", "mac", RESOURCE])?,
            Self::Standalone(standalone) => standalone.resource()?,
        };
        Ok(resource["status"].take())
    }

    /// The table of resources that a person asks for.
    pub fn table(&self) -> Result<String> {
        match self {
            Self::Cluster(kubectl) => kubectl.run(&["get", "mac"]),
            Self::Standalone(standalone) => standalone.command(&["get", "--namespace", NAMESPACE]),
        }
    }

    /// All that is said of the resource, with its events.
    pub fn description(&self) -> Result<String> {
        match self {
            Self::Cluster(kubectl) => kubectl.run(&["describe", "mac", RESOURCE]),
            Self::Standalone(standalone) => standalone.command(&["describe", RESOURCE]),
        }
    }

    /// Waits until the status is as wanted; it.
    pub fn wait_status(&self, deadline: Duration, mut wanted: impl FnMut(&Value) -> bool) -> Result<Value> {
        let mut last = Value::Null;
        let seen = wait::for_some(deadline, || {
            last = self.status().ok()?;
            wanted(&last).then(|| last.clone())
        });
        seen.with_context(|| format!("the status is another: {last:#}"))
    }
}
