//! What Grafana makes of a query before it asks: variables are replaced by what is chosen.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use kagiban_tests::dashboards::{Dashboard, Variable};

use super::day::Day;

/// What a person has chosen: one text for each variable, as it stands in a regular expression.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    values: BTreeMap<&'static str, Chosen>,
}

#[derive(Clone, Debug)]
enum Chosen {
    All,
    One { value: String, many: bool },
}

/// Everything at once, and the first value of each variable alone. Fails when a variable has none.
pub(super) fn choices(dashboard: &Dashboard, day: &Day) -> Result<[Choice; 2]> {
    let mut all = Choice { values: BTreeMap::new() };
    let mut first = all.clone();
    for variable in &dashboard.variables {
        let named = || format!("{}: ${}", dashboard.name, variable.name);
        let value = values(variable, &all, day)?.into_iter().next().with_context(named)?;
        let narrow = values(variable, &first, day)?;
        ensure!(narrow.contains(&value), "{}: {narrow:?}", named());
        let one = Chosen::One { value, many: variable.many };
        all.values.insert(variable.name, if variable.many { Chosen::All } else { one.clone() });
        first.values.insert(variable.name, one);
    }
    Ok([all, first])
}

fn values(variable: &Variable, choice: &Choice, day: &Day) -> Result<Vec<String>> {
    let asked = variable.query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
    let (selector, label) = asked.and_then(|asked| asked.rsplit_once(", ")).context("label_values(SELECTOR, LABEL)")?;
    let found = day.prometheus.label_values(label, &choice.put_into(selector, day))?;
    // The one expression that variables have: an address without its port.
    let without_port = |text: String| match text.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host.to_owned(),
        _ => text,
    };
    Ok(if variable.regex.is_empty() { found } else { found.into_iter().map(without_port).collect() })
}

impl Choice {
    /// As Grafana's data source for Prometheus does it: a value of several is escaped for a regular expression in quotation marks, one that stands
    /// alone is not, and `:regex` is escaped for one in backticks.
    pub(super) fn put_into(&self, query: &str, day: &Day) -> String {
        let seconds = (day.ended - day.began).ceil();
        let mut text = query
            .replace("$__rate_interval", "30s")
            .replace("$__range_s", &format!("{seconds}"))
            .replace("$__range", &format!("{seconds}s"));
        for (name, chosen) in &self.values {
            let (quoted, raw) = match chosen {
                Chosen::All => (".*".to_owned(), ".*".to_owned()),
                Chosen::One { value, many: true } => (escaped(value).replace('\\', "\\\\"), escaped(value)),
                Chosen::One { value, many: false } => (value.clone(), escaped(value)),
            };
            text = text.replace(&format!("${{{name}:regex}}"), &raw).replace(&format!("${name}"), &quoted);
        }
        text
    }
}

fn escaped(value: &str) -> String {
    let escape = |c: char| if r"\^$*+?.()|[]{}/".contains(c) { format!("\\{c}") } else { c.to_string() };
    value.chars().map(escape).collect()
}
