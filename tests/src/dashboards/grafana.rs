//! A dashboard as Grafana 10 and later reads it.

use serde_json::{Map, Value, json};

use super::{Annotation, Column, Dashboard, Panel, Query, Row, Steps, Variable, View, Words};

/// Of Grafana 10.0; later ones bring it up to their own.
const SCHEMA: u32 = 38;
const PLUGINS: &str = "10.0.0";
const COLUMNS: u32 = 24;
/// Pixels: room for the name of a UPS or an agent.
const AXIS_WIDTH: u32 = 140;
/// What every dashboard of ours has, so that each has a list of the others.
const TAG: &str = "kagiban";

/// The text of a dashboard's file.
pub fn text(dashboard: &Dashboard) -> String {
    format!("{:#}\n", of(dashboard))
}

/// How Grafana knows it.
pub fn uid(dashboard: &Dashboard) -> String {
    format!("kagiban-{}", dashboard.name)
}

/// The query as it is sent, with Grafana's variables in it.
pub fn expression(query: &Query) -> String {
    let zero = if query.or_zero { " or vector(0)" } else { "" };
    format!("{}{zero}", query.expression)
}

fn of(dashboard: &Dashboard) -> Value {
    let others = json!({
        "asDropdown": true, "icon": "external link", "includeVars": false, "keepTime": true, "tags": [TAG], "targetBlank": false,
        "title": "Kagiban", "tooltip": "", "type": "dashboards", "url": "",
    });
    json!({
        "annotations": {"list": dashboard.annotations.iter().map(annotation).collect::<Vec<_>>()},
        "description": dashboard.about,
        "editable": true,
        "fiscalYearStartMonth": 0,
        "graphTooltip": 1,
        "links": [others],
        "liveNow": false,
        "panels": panels(&dashboard.rows),
        "refresh": "1m",
        "schemaVersion": SCHEMA,
        "tags": [TAG],
        "templating": {"list": variables(&dashboard.variables)},
        "time": {"from": dashboard.from, "to": "now"},
        "timepicker": {},
        "timezone": "",
        "title": dashboard.title,
        "uid": uid(dashboard),
        "version": 1,
        "weekStart": "",
    })
}

fn source() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

fn variables(variables: &[Variable]) -> Vec<Value> {
    let first = json!({
        "current": {}, "hide": 0, "includeAll": false, "label": "Data source", "multi": false, "name": "datasource", "options": [],
        "query": "prometheus", "refresh": 1, "regex": "", "skipUrlSync": false, "type": "datasource",
    });
    let of = |it: &Variable| {
        let current = if it.many { json!({"selected": true, "text": ["All"], "value": ["$__all"]}) } else { json!({}) };
        json!({
            "allValue": if it.many { json!(".*") } else { Value::Null },
            "current": current,
            "datasource": source(),
            "definition": it.query,
            "hide": 0,
            "includeAll": it.many,
            "label": it.label,
            "multi": it.many,
            "name": it.name,
            "options": [],
            "query": {"query": it.query, "refId": "StandardVariableQuery"},
            // Whenever the time range changes: hosts come and go.
            "refresh": 2,
            "regex": it.regex,
            "skipUrlSync": false,
            "sort": 1,
            "type": "query",
        })
    };
    std::iter::once(first).chain(variables.iter().map(of)).collect()
}

fn annotation(it: &Annotation) -> Value {
    json!({
        "datasource": source(), "enable": true, "expr": it.query, "hide": false, "iconColor": it.colour, "name": it.name,
        "step": "60s", "textFormat": "", "titleFormat": it.text, "useValueForTime": true,
    })
}

/// The rows from top to bottom, and in each its panels from left to right.
fn panels(rows: &[Row]) -> Vec<Value> {
    let mut out = Vec::new();
    let mut y = 0;
    for row in rows {
        let at = json!({"h": 1, "w": COLUMNS, "x": 0, "y": y});
        let id = out.len() + 1;
        out.push(json!({"collapsed": false, "gridPos": at, "id": id, "panels": [], "title": row.title, "type": "row"}));
        y += 1;
        let (mut x, mut tallest) = (0, 0);
        for panel in &row.panels {
            let [width, height] = panel.size;
            if x + width > COLUMNS {
                (x, y, tallest) = (0, y + tallest, 0);
            }
            let at = json!({"h": height, "w": width, "x": x, "y": y});
            out.push(one(panel, out.len() + 1, &at));
            (x, tallest) = (x + width, tallest.max(height));
        }
        y += tallest;
    }
    out
}

fn one(panel: &Panel, id: usize, at: &Value) -> Value {
    let mut json = json!({
        "datasource": source(),
        "description": panel.answers,
        "fieldConfig": {"defaults": defaults(panel), "overrides": overrides(panel)},
        "gridPos": at,
        "id": id,
        "options": options(panel),
        "pluginVersion": PLUGINS,
        "targets": targets(panel),
        "title": panel.title,
        "type": kind(&panel.view),
    });
    if let View::Table { .. } | View::Dates(_) = panel.view {
        json["transformations"] = transformations(panel);
    }
    json
}

const fn kind(view: &View) -> &'static str {
    match view {
        View::Stat => "stat",
        View::Gauge => "bargauge",
        View::Lines | View::Stacked => "timeseries",
        View::States => "state-timeline",
        View::Dates(_) => "barchart",
        View::Table { .. } => "table",
    }
}

/// Whether the panel is about now, not about a range.
pub const fn is_instant(view: &View) -> bool {
    match view {
        View::Stat | View::Gauge | View::Dates(_) | View::Table { .. } => true,
        View::Lines | View::Stacked | View::States => false,
    }
}

fn targets(panel: &Panel) -> Vec<Value> {
    let instant = is_instant(&panel.view);
    let is_table = matches!(panel.view, View::Table { .. } | View::Dates(_));
    let one = |(query, letter): (&Query, char)| {
        json!({
            "datasource": source(),
            "editorMode": "code",
            "expr": expression(query),
            "format": if is_table { "table" } else { "time_series" },
            "instant": instant,
            "legendFormat": query.legend,
            "range": !instant,
            "refId": letter.to_string(),
        })
    };
    panel.queries.iter().zip('A'..).map(one).collect()
}

fn thresholds(steps: Steps) -> Value {
    let steps: Vec<_> = steps.iter().map(|(colour, from)| json!({"color": colour, "value": from})).collect();
    json!({"mode": "absolute", "steps": steps})
}

fn mappings(words: Words) -> Value {
    if words.is_empty() {
        return json!([]);
    }
    let options: Map<_, _> = words
        .iter()
        .enumerate()
        .map(|(index, (value, text, colour))| {
            ((*value).to_owned(), json!({"color": colour, "index": index, "text": text}))
        })
        .collect();
    json!([{"options": options, "type": "value"}])
}

fn defaults(panel: &Panel) -> Value {
    let by_steps = json!({"mode": "thresholds"});
    let (colour, custom) = match &panel.view {
        View::Stat | View::Gauge => (by_steps, json!({})),
        View::Lines => (json!({"mode": "palette-classic"}), lines("linear", 0, "none")),
        View::Stacked => (json!({"mode": "palette-classic"}), lines("stepAfter", 40, "normal")),
        View::States => (by_steps, json!({"fillOpacity": 80, "lineWidth": 0})),
        View::Dates(_) => (
            json!({"mode": "palette-classic"}),
            json!({"axisPlacement": "auto", "fillOpacity": 80, "gradientMode": "none", "lineWidth": 0}),
        ),
        View::Table { .. } => (by_steps, json!({"align": "auto", "cellOptions": {"type": "auto"}, "inspect": false})),
    };
    let mut json = json!({
        "color": colour, "custom": custom, "mappings": mappings(panel.words), "thresholds": thresholds(panel.steps), "unit": panel.unit,
    });
    let over_time = matches!(panel.view, View::Lines | View::Stacked | View::States);
    if over_time && panel.size[0] == COLUMNS {
        // Panels one below the other have one time axis only when their left edges are one. For states, Grafana 10 does not know it yet, and ignores it.
        json["custom"]["axisWidth"] = json!(AXIS_WIDTH);
    }
    if panel.unit == "percentunit" {
        json["max"] = json!(1);
        json["min"] = json!(0);
    }
    json
}

fn lines(shape: &str, fill: u32, stacking: &str) -> Value {
    json!({
        "axisPlacement": "auto", "drawStyle": "line", "fillOpacity": fill, "lineInterpolation": shape, "lineWidth": 1,
        "showPoints": "auto", "spanNulls": false, "stacking": {"group": "A", "mode": stacking},
    })
}

fn overrides(panel: &Panel) -> Vec<Value> {
    let View::Table { columns, .. } = &panel.view else { return Vec::new() };
    columns.iter().filter_map(column).collect()
}

fn column(it: &Column) -> Option<Value> {
    let mut properties = Vec::new();
    if it.unit != "none" {
        properties.push(json!({"id": "unit", "value": it.unit}));
    }
    if !it.steps.is_empty() {
        properties.push(json!({"id": "thresholds", "value": thresholds(it.steps)}));
    }
    if !it.words.is_empty() {
        properties.push(json!({"id": "mappings", "value": mappings(it.words)}));
    }
    if !it.steps.is_empty() || !it.words.is_empty() {
        properties.push(json!({"id": "custom.cellOptions", "value": {"type": "color-text"}}));
    }
    if it.leads_to_host {
        let url = "/d/kagiban-host?var-datasource=${datasource}&var-host=${__value.raw}&${__url_time_range}";
        properties.push(json!({"id": "links", "value": [{"targetBlank": false, "title": "This host", "url": url}]}));
    }
    let matcher = json!({"id": "byName", "options": it.title});
    (!properties.is_empty()).then(|| json!({"matcher": matcher, "properties": properties}))
}

fn options(panel: &Panel) -> Value {
    let now = json!({"calcs": ["lastNotNull"], "fields": "", "values": false});
    let legend = |calcs: &[&str], shown: bool| json!({"calcs": calcs, "displayMode": "list", "placement": "bottom", "showLegend": shown});
    match &panel.view {
        View::Stat => json!({
            "colorMode": "value", "graphMode": "none", "justifyMode": "auto", "orientation": "auto", "reduceOptions": now, "textMode": "auto",
        }),
        View::Gauge => json!({
            "displayMode": "basic", "minVizHeight": 16, "minVizWidth": 8, "orientation": "horizontal", "reduceOptions": now,
            "showUnfilled": true, "valueMode": "color",
        }),
        View::Lines | View::Stacked => {
            json!({"legend": legend(&["lastNotNull"], true), "tooltip": {"mode": "multi", "sort": "desc"}})
        }
        View::States => json!({
            "alignValue": "left", "legend": legend(&[], false), "mergeValues": true, "rowHeight": 0.8, "showValue": "auto",
            "tooltip": {"mode": "single", "sort": "none"},
        }),
        View::Dates(label) => json!({
            "barRadius": 0, "barWidth": 0.9, "fullHighlight": false, "groupWidth": 0.7, "legend": legend(&[], false),
            "orientation": "vertical", "showValue": "auto", "stacking": "none", "tooltip": {"mode": "single", "sort": "none"},
            "xField": label, "xTickLabelRotation": -45, "xTickLabelSpacing": 100,
        }),
        View::Table { first: (title, descending), .. } => json!({
            "cellHeight": "sm", "footer": {"countRows": false, "fields": [], "reducer": ["sum"], "show": false}, "showHeader": true,
            "sortBy": [{"desc": descending, "displayName": title}],
        }),
    }
}

fn transformations(panel: &Panel) -> Value {
    match &panel.view {
        View::Table { columns, .. } => json!([{"id": "merge", "options": {}}, organize(columns)]),
        View::Dates(label) => {
            // A label is a text: Grafana makes a time of a number only.
            let into = |kind: &str| {
                let conversions = json!([{"destinationType": kind, "targetField": label}]);
                json!({"id": "convertFieldType", "options": {"conversions": conversions, "fields": {}}})
            };
            let sort = json!({"id": "sortBy", "options": {"fields": {}, "sort": [{"field": label}]}});
            json!([
                into("number"),
                into("time"),
                sort,
                organize(&[Column::new(label, label), Column::new("Value", "certificates")])
            ])
        }
        _ => json!([]),
    }
}

/// The columns in their order, each with its title.
fn organize(columns: &[Column]) -> Value {
    let map = |value: &dyn Fn(usize, &Column) -> Option<Value>| -> Map<_, _> {
        let member = |(index, it): (usize, &Column)| Some((it.field.to_owned(), value(index, it)?));
        columns.iter().enumerate().filter_map(member).collect()
    };
    let mut hidden = map(&|_, it| it.hidden.then_some(json!(true)));
    // The time is now, and where it matters `instance` is shown as `host`.
    hidden.extend(["Time", "instance"].map(|name| (name.to_owned(), json!(true))));
    let options = json!({
        "excludeByName": hidden,
        "indexByName": map(&|index, _| Some(json!(index))),
        "renameByName": map(&|_, it| (!it.hidden).then_some(json!(it.title))),
    });
    json!({"id": "organize", "options": options})
}
