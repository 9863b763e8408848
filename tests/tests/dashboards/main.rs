//! The dashboards: their files are what the source says, Grafana can read them, the documentation has every panel, and every query of every panel and
//! variable returns series from a real Prometheus that has scraped the real exporters and the real operator through a day.

mod asked;
mod day;
mod products;
mod sheet;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use asked::Choice;
use day::Day;
use kagiban_agents::{GUIDES, Product};
use kagiban_tests::dashboards::{self, Dashboard, Panel, Query, View, grafana};
use kagiban_tests::exposition::samples;
use kagiban_tests::prometheus::Series;
use kagiban_tests::quickstart::HOST;
use kagiban_tests::{promql, tools};
use serde_json::Value;

const TABLE: [&str; 2] = ["<!-- dashboards: written by make docs -->\n", "<!-- end of dashboards -->\n"];
/// What Grafana itself knows.
const OF_GRAFANA: [&str; 6] = ["__rate_interval", "__range", "__range_s", "__value", "__url_time_range", "datasource"];

fn directory() -> PathBuf {
    tools::workspace().join("charts/kagiban/dashboards")
}

#[test]
fn the_documentation_has_every_panel_and_the_files_are_current() -> Result<()> {
    let all = dashboards::all();
    kagiban_docs::check_part("docs/dashboards.md", TABLE, &table(&all)?)?;
    for dashboard in &all {
        kagiban_docs::check_file(
            &format!("charts/kagiban/dashboards/{}.json", dashboard.name),
            &grafana::text(dashboard),
        )?;
    }
    let there = fs::read_dir(directory())?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let there = there.collect::<Result<BTreeSet<_>>>()?;
    let ours: BTreeSet<_> = all.iter().map(|it| format!("{}.json", it.name)).collect();
    ensure!(there == ours, "{there:?} are in the chart, and {ours:?} are made");
    Ok(())
}

fn table(all: &[Dashboard]) -> Result<String> {
    let mut out = String::new();
    for dashboard in all {
        let name = dashboard.title.rsplit(" / ").next().unwrap_or_default();
        write!(out, "\n## {name}\n\n{} Its identity is `{}`.\n\n", dashboard.about, grafana::uid(dashboard))?;
        let chosen: Vec<_> = dashboard.variables.iter().map(|it| it.label).collect();
        writeln!(out, "Choose: Data source, {}.\n\n| panel | answers |\n|---|---|", chosen.join(", "))?;
        for row in &dashboard.rows {
            for panel in &row.panels {
                writeln!(out, "| {}: {} | {} |", row.title, panel.title, panel.answers)?;
            }
        }
    }
    out.push('\n');
    Ok(out)
}

/// A word that has none would be shown as it is in the metric.
#[test]
fn every_reason_of_a_notice_has_words() {
    let effects = Product::ALL.iter().filter_map(|product| product.facts().notice.as_ref());
    let effects = effects.flat_map(|notice| notice.when_it_ends).filter_map(|effect| effect.reason);
    let problems = GUIDES.iter().flat_map(|guide| guide.problems).map(|problem| problem.reason);
    let told: BTreeSet<_> = effects.chain(problems).collect();
    let worded: BTreeSet<_> = dashboards::REASONS.iter().map(|(reason, ..)| *reason).collect();
    assert_eq!(told, worded);
}

#[test]
fn grafana_can_read_them() -> Result<()> {
    let (mut known, mut linked) = (BTreeSet::new(), BTreeSet::new());
    for file in fs::read_dir(directory())? {
        let file = file?.path();
        let text = fs::read_to_string(&file)?;
        let json: Value = serde_json::from_str(&text)?;
        sound(&json).with_context(|| format!("{}", file.display()))?;
        let uid = json["uid"].as_str().context("no uid")?.to_owned();
        // Grafana's limit.
        ensure!(uid.len() <= 40 && known.insert(uid), "{}: {}", file.display(), json["uid"]);
        linked.extend(text.split("\"/d/").skip(1).filter_map(|rest| Some(rest.split_once('?')?.0.to_owned())));
    }
    ensure!(!linked.is_empty() && linked.is_subset(&known), "links lead to {linked:?}, and there are {known:?}");
    Ok(())
}

fn sound(json: &Value) -> Result<()> {
    let list = |of: &Value, name: &str| of[name].as_array().cloned().with_context(|| format!("no {name}"));
    let defined: BTreeSet<_> = list(&json["templating"], "list")?.iter().map(|it| it["name"].to_string()).collect();
    let text = json.to_string();
    for name in used(&text) {
        let quoted = format!("\"{name}\"");
        ensure!(defined.contains(&quoted) || OF_GRAFANA.contains(&name.as_str()), "${name} is no variable");
    }
    for name in &defined {
        ensure!(used(&text).contains(name.trim_matches('"')), "the variable {name} is used nowhere");
    }
    let (mut ids, mut titles, mut places) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for panel in list(json, "panels")? {
        let title = panel["title"].as_str().context("no title")?.to_owned();
        ensure!(ids.insert(panel["id"].as_u64()), "{title}: its id is another's");
        let place = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap_or(u64::MAX));
        ensure!(place[0] + place[2] <= 24, "{title} is too wide: {place:?}");
        let other = places.iter().find(|other| overlap(&place, other));
        ensure!(other.is_none(), "{title} lies on another panel: {place:?}, {other:?}");
        places.push(place);
        if panel["type"] == "row" {
            continue;
        }
        ensure!(titles.insert(title.clone()), "two panels are called {title}");
        ensure!(panel["datasource"]["uid"] == "${datasource}", "{title}: {}", panel["datasource"]);
        ensure!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title} has no unit");
        let steps = list(&panel["fieldConfig"]["defaults"]["thresholds"], "steps")?;
        ensure!(steps.first().is_some_and(|step| step["value"].is_null()), "{title}: the first threshold has a value");
        let targets = list(&panel, "targets")?;
        ensure!(!targets.is_empty(), "{title} asks nothing");
        let letters: BTreeSet<_> = targets.iter().map(|target| target["refId"].to_string()).collect();
        ensure!(letters.len() == targets.len(), "{title}: two queries have one letter");
    }
    Ok(())
}

fn overlap(one: &[u64; 4], other: &[u64; 4]) -> bool {
    let apart = |side: usize| one[side] + one[side + 2] <= other[side] || other[side] + other[side + 2] <= one[side];
    !apart(0) && !apart(1)
}

/// The names of variables in a text; `$1` is a group of a regular expression.
fn used(text: &str) -> BTreeSet<String> {
    let name = |rest: &str| -> String {
        let rest = rest.trim_start_matches('{');
        rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
    };
    let names = text.split('$').skip(1).map(name);
    names.filter(|name| name.starts_with(|c: char| !c.is_ascii_digit()) && name != "__all").collect()
}

#[test]
fn every_query_returns_series_from_a_day_of_a_fleet() -> Result<()> {
    let day = Day::lived()?;
    let mut published: BTreeSet<_> = samples(&day.pages).into_iter().map(|sample| sample.name).collect();
    // Prometheus itself makes it.
    published.insert("up".to_owned());
    let mut wrong = Vec::new();
    for dashboard in dashboards::all() {
        let choices = asked::choices(&dashboard, &day)?;
        sheet::draw(&dashboard, &choices.all, &day, &Path::new(env!("CARGO_TARGET_TMPDIR")).join("dashboards"))?;
        // A host or a product need not have everything that a dashboard shows; together they have.
        for among in [&[choices.all][..], &choices.single] {
            for panel in dashboard.panels() {
                let answered = answer(panel, among, &day, &published);
                wrong.extend(answered.err().map(|error| format!("{}: {}: {error:#}", dashboard.name, panel.title)));
            }
            for it in &dashboard.annotations {
                let told = among.iter().map(|choice| day.over_the_day(&choice.put_into(&it.query, &day)));
                let found = told.collect::<Result<Vec<_>>>()?.concat();
                let is_time =
                    |series: &Series| series.samples.iter().all(|(at, value)| (value / 1000.0 - at).abs() < 86_400.0);
                if found.is_empty() || !found.iter().all(is_time) {
                    wrong.push(format!("{}: {}: {found:?}", dashboard.name, it.name));
                }
            }
        }
    }
    ensure!(wrong.is_empty(), "{} faults:\n{}", wrong.len(), wrong.join("\n"));
    what_was_well_all_day_is_not_told(&day)?;
    nothing_is_told_of_a_host_without_products(&day)
}

fn what_was_well_all_day_is_not_told(day: &Day) -> Result<()> {
    let all = dashboards::all();
    let power = all.iter().find(|it| it.name == "power").context("no dashboard of power")?;
    let panel = power.panels().find(|it| it.title == "UPSes that were not on line").context("no such panel")?;
    let everything = asked::choices(power, day)?.all;
    let found = day.over_the_day(&everything.put_into(&panel.queries[0].expression, day))?;
    let named: BTreeSet<_> = found.iter().filter_map(|it| it.labels["ups"].as_str()).collect();
    ensure!(named == BTreeSet::from(["ups-a", "ups-b"]), "{named:?}");
    Ok(())
}

/// It has an agent that is rotated, and nothing else that a product tells.
fn nothing_is_told_of_a_host_without_products(day: &Day) -> Result<()> {
    let all = dashboards::all();
    let products = all.iter().find(|it| it.name == "products").context("no dashboard of products")?;
    let host = products.variables.iter().find(|it| it.name == "host").context("no hosts to choose")?;
    let choice = asked::choices(products, day)?.all.with(host, HOST.to_owned());
    let rows = products.rows.iter().filter(|row| row.title != "Renewals and repairs");
    for panel in rows.flat_map(|row| &row.panels) {
        for query in &panel.queries {
            let found = day.over_the_day(&choice.put_into(&query.expression, day))?;
            ensure!(found.is_empty(), "{}: {found:?}", panel.title);
        }
    }
    Ok(())
}

/// Fails unless each query of a panel, and each selector in it, has found series by one of the choices, with the labels and values that
/// the panel shows.
fn answer(panel: &Panel, among: &[Choice], day: &Day, published: &BTreeSet<String>) -> Result<()> {
    let told = |query: &Query| -> Result<Vec<Series>> {
        let answers =
            among.iter().map(|choice| answer_to(query, choice, day, published)).collect::<Result<Vec<_>>>()?;
        let empty = answers.iter().find_map(|answer| answer.as_ref().err());
        let found: Vec<_> = answers.iter().flatten().flatten().cloned().collect();
        ensure!(!found.is_empty(), "{}", empty.map_or("there is no choice", String::as_str));
        for label in labels_of(query.legend) {
            ensure!(found.iter().any(|it| it.labels[&label].is_string()), "{} has no label {label}", query.expression);
        }
        Ok(found)
    };
    let answers = panel.queries.iter().map(told).collect::<Result<Vec<_>>>()?;
    let words = panel.words.iter().filter_map(|(value, ..)| value.parse::<f64>().ok()).collect::<Vec<_>>();
    if !words.is_empty() {
        let values = answers.iter().flatten().flat_map(|it| &it.samples).map(|(_, value)| *value);
        let unknown: Vec<_> = values.filter(|value| !words.iter().any(|word| (word - value).abs() < 0.01)).collect();
        ensure!(unknown.is_empty(), "there is no word for {unknown:?}");
    }
    match &panel.view {
        View::Table { columns, first } => {
            let letters: BTreeMap<_, _> = ('A'..).zip(&answers).collect();
            for column in columns {
                let is_there = match column.field.strip_prefix("Value") {
                    Some("") => answers.len() == 1,
                    Some(letter) => letter.chars().last().is_some_and(|letter| letters.contains_key(&letter)),
                    None => answers.iter().flatten().any(|it| it.labels[column.field].is_string()),
                };
                ensure!(is_there, "there is no {}", column.field);
            }
            ensure!(columns.iter().any(|it| it.title == first.0), "no column {} to sort by", first.0);
            let shown = |name: &String| columns.iter().any(|column| column.field == name);
            let labels = answers.iter().flatten().filter_map(|it| it.labels.as_object()).flat_map(|it| it.keys());
            let unasked: BTreeSet<_> = labels.filter(|name| !shown(name) && *name != "instance").collect();
            ensure!(unasked.is_empty(), "labels without a column: {unasked:?}");
        }
        View::Dates(label) => {
            let is_date = |it: &Series| {
                it.labels[label].as_str().is_some_and(|at| at.parse::<u64>().is_ok_and(|at| at > 1_700_000_000_000))
            };
            ensure!(answers.iter().flatten().all(is_date), "{label} is no time: {answers:?}");
        }
        View::Stat | View::Gauge | View::Lines | View::Stacked | View::States => {}
    }
    Ok(())
}

/// Of a choice that has nothing of it, why that is so.
fn answer_to(
    query: &Query,
    choice: &Choice,
    day: &Day,
    published: &BTreeSet<String>,
) -> Result<Result<Vec<Series>, String>> {
    let expression = choice.put_into(&query.expression, day);
    for name in promql::metrics_of(&expression) {
        ensure!(published.contains(&name), "nobody publishes {name}");
    }
    let found = day.over_the_day(&expression)?;
    let shown = choice.put_into(&grafana::expression(query), day);
    day.over_the_day(&shown).context("as Grafana asks it")?;
    for selector in promql::selectors_of(&expression) {
        if day.over_the_day(&selector)?.is_empty() {
            return Ok(Err(format!("{choice:?}: no series is {selector}")));
        }
    }
    if found.is_empty() {
        return Ok(Err(format!("{choice:?}: nothing for {expression}")));
    }
    Ok(Ok(found))
}

fn labels_of(legend: &str) -> Vec<String> {
    legend.split("{{").skip(1).filter_map(|rest| Some(rest.split_once("}}")?.0.to_owned())).collect()
}
