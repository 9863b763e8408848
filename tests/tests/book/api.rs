//! docs/api.md, written from the CRD.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result, ensure};
use kagiban_tests::{tools, yaml};
use serde_json::{Map, Value};

const CRD: &str = "crds/managedagentcertificates.kagiban.dev.yaml";

const HEAD: &str = "\
# ManagedAgentCertificate

Every field of the resource, with its type, its default and what it may be. Written from the CRD by `make docs`; `kubectl explain mac.spec` tells the same. What the
conditions and the words of `blockedBy` mean: [operator.md](operator.md). A resource that can be applied as it is: [the quickstart](../examples/quickstart/README.md).

The API server refuses a spec that breaks a rule, and says the rule's message. The operator applies the same rules.
";

#[test]
fn the_documentation_of_every_field_is_what_the_crd_says() -> Result<()> {
    kagiban_docs::check_file("docs/api.md", &document()?)
}

fn document() -> Result<String> {
    let crd = fs::read_to_string(tools::workspace().join(CRD))?;
    let crd = yaml::documents(&crd)?.into_iter().next().context("no CRD")?;
    let (spec, version) = (&crd["spec"], &crd["spec"]["versions"][0]);
    let names = &spec["names"];
    let mut out = HEAD.to_owned();
    writeln!(out, "\n| | |\n|---|---|")?;
    writeln!(out, "| apiVersion | `{}/{}` |", text(&spec["group"]), text(&version["name"]))?;
    writeln!(out, "| kind | `{}`, short name `{}` |", text(&names["kind"]), text(&names["shortNames"][0]))?;
    writeln!(out, "| scope | {} |", text(&spec["scope"]))?;
    let selectable = version["selectableFields"].as_array().into_iter().flatten();
    let selectable: Vec<_> =
        selectable.map(|field| format!("`{}`", text(&field["jsonPath"]).trim_start_matches('.'))).collect();
    writeln!(out, "| `--field-selector` | {} |", selectable.join(", "))?;
    let schema = &version["schema"]["openAPIV3Schema"];
    rules(&mut out, schema)?;
    object(&mut out, "spec", &schema["properties"]["spec"])?;
    object(&mut out, "status", &schema["properties"]["status"])?;
    Ok(out)
}

/// One table for an object, then one for each object in it.
fn object(out: &mut String, path: &str, schema: &Value) -> Result<()> {
    writeln!(out, "\n## {path}\n\n{}\n", prose(schema))?;
    writeln!(out, "| field | type | default | may be | meaning |\n|---|---|---|---|---|")?;
    let required: Vec<_> = schema["required"].as_array().into_iter().flatten().map(text).collect();
    let none = Map::new();
    let fields = schema["properties"].as_object().unwrap_or(&none);
    ensure!(!fields.is_empty(), "{path} has no fields");
    for (name, field) in fields {
        let meaning = prose(field);
        ensure!(
            !meaning.is_empty(),
            "{path}.{name} has no description: say it in crds/src/resource, and run `make crds`"
        );
        let default = match &field["default"] {
            Value::Null if required.contains(&name.as_str()) => "required".to_owned(),
            Value::Null => String::new(),
            default => format!("`{}`", serde_json::to_string(default)?.trim_matches('"')),
        };
        let meaning = cell(&meaning);
        writeln!(out, "| `{name}` | {} | {default} | {} | {meaning} |", kind(field), cell(&limits(field)))?;
    }
    rules(out, schema)?;
    for (name, field) in fields {
        let (suffix, inner) = if field["type"] == "array" { ("[]", &field["items"]) } else { ("", field) };
        if inner["properties"].is_object() {
            object(out, &format!("{path}.{name}{suffix}"), inner)?;
        }
    }
    Ok(())
}

fn rules(out: &mut String, schema: &Value) -> Result<()> {
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    for (number, rule) in rules.enumerate() {
        let (head, message) = (if number == 0 { "\nRules:\n\n" } else { "" }, text(&rule["message"]));
        let field = text(&rule["fieldPath"]).trim_start_matches('.');
        let of = if message.starts_with(field) { String::new() } else { format!("{field}: ") };
        writeln!(out, "{head}- {of}{message}")?;
    }
    Ok(())
}

fn kind(field: &Value) -> String {
    match (text(&field["type"]), text(&field["format"])) {
        ("array", _) => format!("list of {}", kind(&field["items"])),
        ("string", "date-time") => "time".to_owned(),
        (kind, _) => kind.to_owned(),
    }
}

/// What the schema says beside the rules.
fn limits(field: &Value) -> String {
    let items = &field["items"];
    let mut said: Vec<String> = Vec::new();
    let all = field["enum"].as_array().or_else(|| items["enum"].as_array());
    said.extend(all.map(|all| all.iter().map(|word| format!("`{}`", text(word))).collect::<Vec<_>>().join(", ")));
    for (least, most, unit) in
        [("minLength", "maxLength", "characters"), ("minItems", "maxItems", "entries"), ("minimum", "maximum", "")]
    {
        said.extend(range(field, least, most, unit));
        if items.is_object() {
            said.extend(range(items, least, most, unit).map(|range| format!("each {range}")));
        }
    }
    for (of, each) in [(field, ""), (items, "each ")] {
        said.extend(of["pattern"].as_str().map(|pattern| format!("{each}`{pattern}`")));
        said.extend(
            of["x-kubernetes-validations"]
                .as_array()
                .filter(|_| !of["properties"].is_object())
                .map(|rules| rules.iter().map(|rule| text(&rule["message"]).to_owned()).collect::<Vec<_>>().join("; ")),
        );
    }
    said.join("; ")
}

fn range(of: &Value, least: &str, most: &str, unit: &str) -> Option<String> {
    let number = |name: &str| of[name].as_f64().map(|number| format!("{number}"));
    let range = match (number(least), number(most)) {
        (Some(least), Some(most)) => format!("{least} to {most} {unit}"),
        (None, Some(most)) => format!("at most {most} {unit}"),
        (Some(least), None) => format!("at least {least} {unit}"),
        (None, None) => return None,
    };
    Some(range.trim_end().to_owned())
}

/// A description on one line.
fn prose(schema: &Value) -> String {
    text(&schema["description"]).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A bar would end the cell, in code too.
fn cell(said: &str) -> String {
    said.replace('|', "\\|")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
