//! kubeconform, with the schemas that the API server itself publishes: no network, and no second opinion on what Kubernetes is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::{fs, mem};

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};

use crate::kubectl::Kubectl;
use crate::{process, scratch, tools, yaml};

const REFERENCE: &str = "#/definitions/";

/// A directory of JSON schemas, one for each kind.
#[derive(Debug)]
pub struct Schemas {
    directory: PathBuf,
    definitions: Map<String, Value>,
    /// The name of each kind's file, and its definition.
    kinds: BTreeMap<String, String>,
}

impl Schemas {
    /// What this API server publishes now.
    pub fn published(kubectl: &Kubectl) -> Result<Self> {
        let mut openapi: Value = serde_json::from_str(&kubectl.run(&["get", "--raw", "/openapi/v2"])?)?;
        let Value::Object(mut definitions) = openapi["definitions"].take() else {
            anyhow::bail!("the API server publishes no definitions")
        };
        definitions.values_mut().for_each(refuse_unknown_members);
        let mut kinds = BTreeMap::new();
        for (name, definition) in &definitions {
            for kind in definition["x-kubernetes-group-version-kind"].as_array().into_iter().flatten() {
                let of = |member: &str| kind[member].as_str().unwrap_or_default();
                let group = if of("group").is_empty() { String::new() } else { format!("{}/", of("group")) };
                kinds.insert(file_name(of("kind"), &format!("{group}{}", of("version"))), name.clone());
            }
        }
        Ok(Self { directory: scratch::directory("schemas")?, definitions, kinds })
    }

    pub fn knows(&self, kind: &str, api_version: &str) -> bool {
        self.kinds.contains_key(&file_name(kind, api_version))
    }

    /// Fails with kubeconform's words when a manifest is not of its schema, or when there is none for it.
    pub fn check(&self, manifests: &str) -> Result<()> {
        for object in yaml::documents(manifests)? {
            let of = |member: &str| object[member].as_str().unwrap_or_default();
            self.write(&file_name(of("kind"), of("apiVersion")))?;
        }
        let location = self.directory.join("{{.ResourceKind}}{{.KindSuffix}}.json");
        let mut kubeconform = Command::new(tools::kubeconform()?);
        kubeconform.args(["-strict", "-summary", "-schema-location"]).arg(location).arg("-");
        let output = process::output_with_input(&mut kubeconform, manifests)?;
        let said = [output.stdout, output.stderr].concat();
        ensure!(output.status.success(), "kubeconform: {}", String::from_utf8_lossy(&said));
        Ok(())
    }

    /// A kind's schema with all that it refers to. What is not published is not written, and kubeconform says so.
    fn write(&self, file: &str) -> Result<()> {
        let Some(root) = self.kinds.get(file) else { return Ok(()) };
        let mut definitions = Map::new();
        let mut open = BTreeSet::from([root.clone()]);
        while !open.is_empty() {
            for name in mem::take(&mut open) {
                let definition = self.definitions.get(&name).with_context(|| format!("no definition {name}"))?;
                references(definition, &mut open);
                definitions.insert(name, definition.clone());
            }
            open.retain(|name| !definitions.contains_key(name));
        }
        let schema = json!({"$ref": format!("{REFERENCE}{root}"), "definitions": definitions});
        Ok(fs::write(self.directory.join(file), schema.to_string())?)
    }
}

/// As kubeconform makes it of a manifest: of the group its first label only.
fn file_name(kind: &str, api_version: &str) -> String {
    let (group, version) = api_version.split_once('/').map_or((api_version, None), |(group, v)| (group, Some(v)));
    let group = group.split('.').next().unwrap_or_default();
    let version = version.map(|version| format!("-{version}")).unwrap_or_default();
    format!("{}-{group}{version}.json", kind.to_lowercase())
}

/// An object with members takes no others, and what is a number or a string is either.
fn refuse_unknown_members(schema: &mut Value) {
    let Value::Object(schema) = schema else { return };
    if schema.get("format").is_some_and(|format| format == "int-or-string") {
        schema.remove("format");
        schema.insert("type".to_owned(), json!(["integer", "string"]));
    }
    let is_open = schema.contains_key("additionalProperties")
        || schema.get("x-kubernetes-preserve-unknown-fields").is_some_and(|it| it == true);
    if schema.contains_key("properties") && !is_open {
        schema.insert("additionalProperties".to_owned(), json!(false));
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.values_mut().for_each(refuse_unknown_members);
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get_mut(inner) {
            refuse_unknown_members(inner);
        }
    }
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            if let Some(name) =
                members.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix(REFERENCE))
            {
                found.insert(name.to_owned());
            }
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}
