//! A dashboard drawn from what its queries return, each panel where Grafana puts it: what a person can look at where there is no Grafana. It shows what is asked
//! and how it is laid out, not how Grafana draws.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use kagiban_tests::dashboards::{Column, Dashboard, Panel, Steps, View, Words, grafana};
use kagiban_tests::prometheus::Series;
use serde_json::Value;

use super::asked::Choice;
use super::day::{Day, now};

/// Pixels of one of Grafana's 24 columns, and of one unit of height.
const COLUMN: f64 = 60.0;
const UNIT: f64 = 38.0;
const STYLE: &str = "body{background:#111217;color:#ccccdc;font:12px sans-serif;margin:8px;position:relative}\
    .p{position:absolute;box-sizing:border-box;background:#181b1f;border:1px solid #2c3235;overflow:hidden;padding:4px}\
    .p b{display:block;margin-bottom:4px}.r{position:absolute;font-size:15px;font-weight:bold;padding-top:10px}\
    .n{font-size:26px;text-align:center;padding-top:22px}td,th{text-align:left;padding:1px 8px;white-space:nowrap}\
    .l{font-size:10px;color:#9fa7b3}";
const PALETTE: [&str; 8] = ["#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#8ab8ff", "#ffa6b0"];

/// Writes the sheet of one dashboard.
pub(super) fn draw(dashboard: &Dashboard, choice: &Choice, day: &Day, directory: &Path) -> Result<()> {
    let json: Value = serde_json::from_str(&grafana::text(dashboard))?;
    let mut out =
        format!("<!doctype html><meta charset=utf-8><title>{0}</title><style>{STYLE}</style>", dashboard.title);
    let mut panels = dashboard.panels();
    for placed in json["panels"].as_array().context("no panels")? {
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| placed["gridPos"][side].as_f64().unwrap_or_default());
        let place = format!(
            "left:{}px;top:{}px;width:{}px;height:{}px",
            x * COLUMN,
            y * UNIT,
            w * COLUMN - 6.0,
            h * UNIT - 6.0
        );
        let title = escaped(placed["title"].as_str().unwrap_or_default());
        if placed["type"] == "row" {
            write!(out, "<div class=r style='{place}'>{title}</div>")?;
            continue;
        }
        let panel = panels.next().context("more panels than there are")?;
        let answers = panel.queries.iter().map(|query| day.over_the_day(&choice.put_into(&query.expression, day)));
        let answers = answers.collect::<Result<Vec<_>>>()?;
        let drawn = view(panel, &answers, day, [w * COLUMN - 20.0, h * UNIT - 66.0]);
        write!(out, "<div class=p style='{place}'><b>{title}</b>{drawn}</div>")?;
    }
    fs::create_dir_all(directory)?;
    Ok(fs::write(directory.join(format!("{}.html", dashboard.name)), out)?)
}

fn view(panel: &Panel, answers: &[Vec<Series>], day: &Day, size: [f64; 2]) -> String {
    let named: Vec<_> = panel
        .queries
        .iter()
        .zip(answers)
        .flat_map(|(query, all)| all.iter().map(|it| (legend(query.legend, it), it)))
        .collect();
    match &panel.view {
        View::Stat => {
            let value = named
                .iter()
                .filter_map(|(_, it)| it.samples.last())
                .map(|(_, value)| *value)
                .next_back()
                .unwrap_or_default();
            let colour = colour(value, panel.steps, panel.words);
            format!("<div class=n style='color:{colour}'>{}</div>", escaped(&text(value, panel.unit, panel.words)))
        }
        View::Gauge | View::Dates(_) => bars(&named, panel, size),
        View::Lines | View::Stacked => lines(&named, panel, day, size),
        View::States => bands(&named, panel, day, size),
        View::Table { columns, .. } => table(columns, answers),
    }
}

fn legend(pattern: &str, series: &Series) -> String {
    let mut out = pattern.to_owned();
    while let Some((start, end)) = out.find("{{").zip(out.find("}}")) {
        let value = series.labels[&out[start + 2..end]].as_str().unwrap_or_default().to_owned();
        out.replace_range(start..end + 2, &value);
    }
    out
}

fn bars(named: &[(String, &Series)], panel: &Panel, [width, _]: [f64; 2]) -> String {
    let last = |it: &Series| it.samples.last().map_or(0.0, |(_, value)| *value);
    let most = named.iter().map(|(_, it)| last(it)).fold(1.0, f64::max);
    let bar = |(name, it): &(String, &Series)| {
        let name = match &panel.view {
            View::Dates(label) => {
                text(it.labels[label].as_str().and_then(|at| at.parse().ok()).unwrap_or_default(), "dateTimeAsIso", &[])
            }
            _ => name.clone(),
        };
        let long = last(it) / most * (width - 200.0);
        format!(
            "<div>{}<span style='display:inline-block;background:#5794f2;height:10px;margin:0 6px;width:{long}px'></span>{}</div>",
            escaped(&name),
            last(it)
        )
    };
    named.iter().map(bar).collect()
}

fn lines(named: &[(String, &Series)], panel: &Panel, day: &Day, [width, height]: [f64; 2]) -> String {
    let values = || named.iter().flat_map(|(_, it)| &it.samples).map(|(_, value)| *value);
    let (low, high) = (values().fold(f64::INFINITY, f64::min).min(0.0), values().fold(f64::NEG_INFINITY, f64::max));
    let high = if high > low { high } else { low + 1.0 };
    let at = |&(time, value): &(f64, f64)| {
        let x = (time - day.began) / (day.ended - day.began) * (width - 70.0) + 70.0;
        format!("{x:.1},{:.1} ", height - (value - low) / (high - low) * (height - 8.0) - 4.0)
    };
    let line = |(index, (_, it)): (usize, &(String, &Series))| {
        let points: String = it.samples.iter().map(at).collect();
        format!("<polyline fill=none stroke='{}' points='{points}'/>", PALETTE[index % PALETTE.len()])
    };
    let axis = [(high, 12.0), (low, height - 2.0)].map(|(value, y)| {
        format!("<text x=2 y={y} fill='#9fa7b3' font-size=10>{}</text>", text(value, panel.unit, panel.words))
    });
    let drawn: String = named.iter().enumerate().map(line).collect();
    let names: Vec<_> = named
        .iter()
        .enumerate()
        .map(|(index, (name, _))| {
            format!("<span style='color:{}'>{}</span>", PALETTE[index % PALETTE.len()], escaped(name))
        })
        .collect();
    format!("<svg width={width} height={height}>{drawn}{}</svg><div class=l>{}</div>", axis.concat(), names.join(" · "))
}

fn bands(named: &[(String, &Series)], panel: &Panel, day: &Day, [width, height]: [f64; 2]) -> String {
    let band = (height + 30.0) / named.len().max(1) as f64;
    let scale = (width - 200.0) / (day.ended - day.began);
    let mut out = format!("<svg width={width} height={}>", height + 30.0);
    for (index, (name, it)) in named.iter().enumerate() {
        let y = band * index as f64;
        let _ =
            write!(out, "<text x=2 y={} fill='#ccccdc' font-size=11>{}</text>", y + band / 2.0 + 4.0, escaped(name));
        let mut shown = f64::NAN;
        for (time, value) in &it.samples {
            let x = 200.0 + (time - day.began) * scale;
            let fill = colour(*value, panel.steps, panel.words);
            let _ = write!(
                out,
                "<rect x={x:.1} y={:.1} width={:.1} height={:.1} fill='{fill}'/>",
                y + 2.0,
                scale + 0.5,
                band - 4.0
            );
            if (shown - value).abs() > 0.01 || shown.is_nan() {
                let word = escaped(&text(*value, "none", panel.words));
                let _ = write!(
                    out,
                    "<text x={:.1} y={} fill='#000' font-size=9>{word}</text>",
                    x + 1.0,
                    y + band / 2.0 + 3.0
                );
                shown = *value;
            }
        }
    }
    out + "</svg>"
}

/// The rows as Grafana's `merge` makes them of the newest samples: lines join where none of their fields differ.
fn table(columns: &[Column], answers: &[Vec<Series>]) -> String {
    let mut rows: Vec<BTreeMap<String, String>> = Vec::new();
    let newest = answers.iter().flatten().filter_map(|it| it.samples.last()).map(|(at, _)| *at).fold(0.0, f64::max);
    for (letter, answer) in ('A'..).zip(answers) {
        for it in answer.iter().filter(|it| it.samples.last().is_some_and(|(at, _)| *at >= newest)) {
            let labels = it.labels.as_object().into_iter().flatten();
            let mut row: BTreeMap<_, _> =
                labels.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect();
            let value = if answers.len() == 1 { "Value".to_owned() } else { format!("Value #{letter}") };
            row.insert(value, it.samples.last().map_or_else(String::new, |(_, value)| value.to_string()));
            let fits = |other: &&mut BTreeMap<String, String>| {
                row.iter().all(|(name, value)| other.get(name).is_none_or(|it| it == value))
            };
            match rows.iter_mut().find(fits) {
                Some(other) => other.extend(row),
                None => rows.push(row),
            }
        }
    }
    let shown: Vec<_> = columns.iter().filter(|column| !column.hidden).collect();
    let head: String = shown.iter().map(|column| format!("<th>{}", escaped(column.title))).collect();
    let cell = |row: &BTreeMap<String, String>, column: &Column| {
        let raw = row.get(column.field).cloned().unwrap_or_default();
        let (said, colour) = match raw.parse::<f64>() {
            Ok(value) if column.field.starts_with("Value") => {
                (text(value, column.unit, column.words), colour(value, column.steps, column.words))
            }
            _ => match column.words.iter().find(|(said, ..)| *said == raw) {
                Some((_, word, named)) => ((*word).to_owned(), shade(named)),
                None => (raw.chars().take(40).collect(), "inherit".to_owned()),
            },
        };
        format!("<td style='color:{colour}'>{}", escaped(&said))
    };
    let body: String = rows
        .iter()
        .map(|row| format!("<tr>{}", shown.iter().map(|column| cell(row, column)).collect::<String>()))
        .collect();
    format!("<table><tr>{head}{body}</table>")
}

fn colour(value: f64, steps: Steps, words: Words) -> String {
    let word = words.iter().find(|(said, ..)| said.parse() == Ok(value)).map(|(_, _, colour)| *colour);
    let step = steps.iter().rev().find(|(_, from)| from.is_none_or(|from| value >= from)).map(|(colour, _)| *colour);
    shade(word.or(step).unwrap_or("text"))
}

fn shade(named: &str) -> String {
    let shade = match named.rsplit('-').next().unwrap_or_default() {
        "green" => "#73bf69",
        "orange" => "#ff9830",
        "red" => "#f2495c",
        "yellow" => "#fade2a",
        "purple" => "#b877d9",
        "blue" => "#8ab8ff",
        _ => "#ccccdc",
    };
    if named.contains("dark") { "#c4162a".to_owned() } else { shade.to_owned() }
}

fn text(value: f64, unit: &str, words: Words) -> String {
    if let Some((_, word, _)) = words.iter().find(|(said, ..)| said.parse() == Ok(value)) {
        return (*word).to_owned();
    }
    match unit {
        "percentunit" => format!("{:.0}%", value * 100.0),
        "s" if value.abs() >= 86_400.0 => format!("{:.1} days", value / 86_400.0),
        "s" if value.abs() >= 60.0 => format!("{:.1} min", value / 60.0),
        "s" => format!("{value:.3} s"),
        // A sheet is looked at when it is made: how far away a time is says as much.
        "dateTimeAsIso" => format!("in {:.1} days", (value / 1000.0 - now().unwrap_or_default()) / 86_400.0),
        "volt" => format!("{value} V"),
        "celsius" => format!("{value} °C"),
        "reqps" => format!("{value:.2} req/s"),
        _ => format!("{value}"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('\'', "&#39;")
}
