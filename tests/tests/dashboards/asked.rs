//! What Grafana makes of a query before it asks: variables are replaced by what is chosen.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use kagiban_tests::dashboards::{Dashboard, Variable};
use kagiban_tests::quickstart::HOST;

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

/// What a person may choose of one dashboard.
pub(super) struct Choices {
    /// All values of each variable that can have several, and the first of the others.
    pub(super) all: Choice,
    /// Each value of each variable alone, with each of the others that it leaves.
    pub(super) single: Vec<Choice>,
}

/// Fails when a variable has no value.
pub(super) fn choices(dashboard: &Dashboard, day: &Day) -> Result<Choices> {
    let mut all = Choice { values: BTreeMap::new() };
    let mut single = vec![all.clone()];
    for variable in &dashboard.variables {
        let named = || format!("{}: ${}", dashboard.name, variable.name);
        let first = values(variable, &all, day)?.into_iter().next().with_context(named)?;
        let mut narrower = Vec::new();
        for choice in single {
            let found = values(variable, &choice, day)?;
            narrower.extend(found.into_iter().map(|value| choice.with(variable, value)));
        }
        ensure!(!narrower.is_empty(), "{}", named());
        single = narrower;
        all = if variable.many { all.with_all(variable) } else { all.with(variable, first) };
    }
    Ok(Choices { all, single })
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
    let mut found: Vec<_> =
        if variable.regex.is_empty() { found } else { found.into_iter().map(without_port).collect() };
    // Most of the day is that host's.
    found.sort_by_key(|value| value != HOST);
    Ok(found)
}

impl Choice {
    /// The same with one value of this variable.
    pub(super) fn with(&self, variable: &Variable, value: String) -> Self {
        self.chosen(variable, Chosen::One { value, many: variable.many })
    }

    fn with_all(&self, variable: &Variable) -> Self {
        self.chosen(variable, Chosen::All)
    }

    fn chosen(&self, variable: &Variable, chosen: Chosen) -> Self {
        let mut values = self.values.clone();
        values.insert(variable.name, chosen);
        Self { values }
    }

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
