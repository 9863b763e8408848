//! What may be set: no text breaks out of its place in a manifest, and no `null` takes away a default that matters.

use anyhow::{Context, Result, ensure};
use kagiban_tests::helm::Chart;
use serde_json::{Map, Value, json};

/// A text that goes on as members of its own, where it is not quoted.
const BREAKS_OUT: &str = "x\n          lifecycle: {postStart: {exec: {command: [id]}}}";

/// The defaults, and what the schema says of them.
fn defaults(chart: &Chart) -> Result<(Value, Value)> {
    Ok((serde_yaml::from_str(&chart.read("values.yaml")?)?, serde_json::from_str(&chart.read("values.schema.json")?)?))
}

/// Calls `see` with each value that the schema knows by name, and the schema of the object that has it.
fn walk(path: &str, value: &Value, schema: &Value, see: &mut impl FnMut(&str, &str, &Value, &Value)) {
    let Some((members, known)) = value.as_object().zip(schema["properties"].as_object()) else { return };
    for (name, member) in members {
        see(path, name, member, schema);
        walk(&format!("{path}/{name}"), member, &known[name], see);
    }
}

/// Values with one of them set.
fn set(values: &mut Value, path: &str, value: &Value) {
    let mut place = values;
    for name in path.split('/').skip(1) {
        place = place.as_object_mut().expect("an object").entry(name).or_insert_with(|| Value::Object(Map::new()));
    }
    *place = value.clone();
}

/// Whose members are Kubernetes' or the exporter's own.
const FREE: [&str; 3] = ["/operator/resources", "/exporter/resources", "/exporter/config"];

/// Helm takes a default away by `null`, before the schema is asked: without ports, a rule of a NetworkPolicy lets everything through.
#[test]
fn a_null_takes_no_default_away_but_in_what_is_kubernetes_or_the_exporters_own() -> Result<()> {
    let chart = Chart::ours();
    let (values, schema) = defaults(&chart)?;
    let (mut nulls, mut empty, mut wrong) = (json!({}), Vec::new(), Vec::new());
    walk("", &values, &schema, &mut |path, name, value, schema| {
        let is_required = schema["required"].as_array().is_some_and(|names| names.contains(&json!(name)));
        if *value == json!({}) || *value == json!([]) {
            empty.push(format!("{path}/{name}"));
        } else if !is_required && !FREE.contains(&path) {
            wrong.push(format!("{path}/{name}"));
        }
    });
    ensure!(wrong.is_empty(), "a null would take these away: {wrong:?}");
    for path in ["/operator/networkPolicy/apiServerPorts", "/operator/networkPolicy/hostPorts", "/operator/namespace"] {
        set(&mut nulls, path, &Value::Null);
    }
    let said = refused(&chart, &nulls)?;
    for name in ["'apiServerPorts'", "'hostPorts'", "'namespace'"] {
        ensure!(said.contains(name), "{name} is not refused: {said}");
    }
    let all_of_a_namespace = json!({"operator": {"secrets": [{"namespace": "fleet", "names": null}]}});
    ensure!(refused(&chart, &all_of_a_namespace)?.contains("/operator/secrets/0/names"));

    // An empty one that is written as null is still empty.
    ensure!(empty.len() > 20, "{empty:?}");
    let mut with = json!({
        "exporter": {"enabled": true},
        "monitoring": {
            "serviceMonitor": {"enabled": true},
            "scrapeConfig": {"enabled": true, "operator": true},
            "prometheusRule": {"enabled": true},
            "dashboards": {"enabled": true},
        },
    });
    let without = chart.render("kagiban-system", &with)?;
    for path in &empty {
        set(&mut with, path, &Value::Null);
    }
    ensure!(chart.render("kagiban-system", &with)? == without, "a null is not the same as nothing: {with}");
    Ok(())
}

#[test]
fn a_text_with_a_line_end_is_refused_wherever_one_is_taken() -> Result<()> {
    let chart = Chart::ours();
    let (values, schema) = defaults(&chart)?;
    let lists = json!({
        "operator": {
            "secrets": [{"namespace": BREAKS_OUT, "names": [BREAKS_OUT]}],
            "allowHosts": [BREAKS_OUT],
            "statusPolicy": {"alsoAllow": [BREAKS_OUT]},
        },
        "imagePullSecrets": [{"name": BREAKS_OUT}],
        "exporter": {
            "secrets": [BREAKS_OUT],
            "certificateVolumes": [{"name": BREAKS_OUT, "mountPath": format!("/{BREAKS_OUT}"), "source": {"secret": {}}}],
        },
        "monitoring": {"scrapeConfig": {
            "static": [{"targets": [BREAKS_OUT]}],
            "files": [BREAKS_OUT],
            "http": [format!("http://{BREAKS_OUT}")],
        }},
        "fleet": {"hosts": [
            {"host": BREAKS_OUT, "name": BREAKS_OUT, "url": format!("https://{BREAKS_OUT}"), "dnsNames": [BREAKS_OUT]},
        ]},
    });
    let mut paths = Vec::new();
    strings("", &lists, &mut paths);
    let mut set_to = lists;
    walk("", &values, &schema, &mut |path, name, value, _| {
        if value.is_string() && !FREE.contains(&path) {
            let path = format!("{path}/{name}");
            set(&mut set_to, &path, &json!(format!("{}{BREAKS_OUT}", value.as_str().unwrap_or_default())));
            paths.push(path);
        }
    });
    ensure!(paths.len() > 40, "{paths:?}");
    let said = refused(&chart, &set_to)?;
    let taken: Vec<_> = paths.iter().filter(|path| !said.contains(&format!("'{path}'"))).collect();
    ensure!(taken.is_empty(), "taken: {taken:?}\n{said}");
    Ok(())
}

/// The paths of all texts in a value.
fn strings(path: &str, value: &Value, paths: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| strings(&format!("{path}/{name}"), value, paths));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, value)| strings(&format!("{path}/{at}"), value, paths));
        }
        Value::String(_) => paths.push(path.to_owned()),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Without the schema, which `--skip-schema-validation` does not ask.
#[test]
fn a_text_stays_a_text_of_its_manifest_whatever_it_says() -> Result<()> {
    let chart = Chart::copied()?;
    chart.write("values.schema.json", "{}")?;
    let with = |text: &dyn Fn(&str) -> String| {
        json!({
            "imageRegistry": text("registry"),
            "operator": {
                "image": {"repository": text("operator")},
                "logLevel": text("info"),
                "lineage": text("tokyo"),
                "handOverTo": text("osaka"),
                "listenAddress": text("0.0.0.0"),
                "page": text("local"),
                "resync": text("5m"),
                "allowHosts": [text("a")],
                "namespace": text("fleet"),
                "serviceAccount": {"create": false, "name": text("account")},
                "priorityClassName": text("class"),
            },
            "exporter": {
                "enabled": true,
                "image": {"repository": text("exporter")},
                "secrets": [text("secret")],
                "web": {"configSecret": text("web")},
                "maxUnavailable": text("10%"),
                "priorityClassName": text("class"),
            },
            "monitoring": {"interval": text("1m"), "podMonitor": {"enabled": true}, "dashboards": {"enabled": true, "namespace": text("a")}},
            "fleet": {"namespace": text("fleet"), "hosts": [{"host": "ups-01", "clientSecret": text("client"), "name": text("name")}]},
        })
    };
    let shape = |values: &Value| -> Result<Vec<Vec<String>>> {
        let objects = chart.render("kagiban-system", values)?;
        let paths = |object| {
            let mut paths = Vec::new();
            strings("", object, &mut paths);
            paths
        };
        Ok(objects.iter().map(paths).collect())
    };
    let plain = shape(&with(&str::to_owned))?;
    ensure!(plain.len() > 10, "{plain:?}");
    for text in [BREAKS_OUT, "x # y", "x: y", "'\"", "{{ .Values }}", "123", "on", "null"] {
        let set_to = with(&|plain| if text.starts_with('x') { format!("{plain}{text}") } else { text.to_owned() });
        let broken = shape(&set_to).with_context(|| format!("{text:?}"))?;
        ensure!(broken == plain, "{text:?} makes of\n{plain:#?}\n{broken:#?}");
    }
    Ok(())
}

fn refused(chart: &Chart, values: &Value) -> Result<String> {
    let refused = chart.template("default", values).err();
    Ok(format!("{:#}", refused.with_context(|| format!("taken: {values}"))?))
}
