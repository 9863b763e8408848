//! All certificates that are looked after: when they end, what is due next, and what stands in the way.

use super::{
    Column, Dashboard, GOOD_AT_ZERO, LIFETIME_LEFT, Panel, READY, Row, Steps, TIME_LEFT, Variable, WARN_ABOVE_ZERO,
    with_host,
};

/// What the operator says of the resources that are chosen.
const OF: &str = r#"namespace=~"$namespace",product=~"$product",host=~"$host""#;
/// Of trust anchors nobody is told.
const LEAVES: &str = r#"role="leaf",source!~"system|jvm""#;
/// Half of the time between the renewal's due time and the end is left: from there on the alert for blocked renewals holds.
const RENEWAL_LEFT: Steps = &[("red", None), ("orange", Some(0.5)), ("green", Some(1.0))];
/// Below zero it is overdue.
const DUE_IN: Steps = &[("orange", None), ("green", Some(0.0))];

pub(super) fn dashboard() -> Dashboard {
    let of = |label| format!("label_values(kagiban_certificate_ready, {label})");
    let variable = |name, label| Variable { name, label, query: of(name), regex: "", many: true };
    Dashboard {
        name: "fleet",
        title: "Kagiban / Fleet certificates",
        about: "Every certificate of the fleet: when it ends, when it is renewed next, and what keeps that from being done.",
        from: "now-7d",
        variables: vec![variable("namespace", "Namespace"), variable("product", "Product"), variable("host", "Host")],
        annotations: Vec::new(),
        rows: vec![
            Row { title: "Now", panels: now() },
            Row { title: "When they end", panels: ends() },
            Row { title: "Next rotations", panels: next() },
            Row { title: "Blocked by", panels: blocked() },
            Row { title: "What the hosts see", panels: seen() },
        ],
    }
}

fn left(labels: &str) -> String {
    format!("max by ({labels}) (kagiban_certificate_not_after_timestamp_seconds{{{OF}}}) - time()")
}

fn due_in(labels: &str) -> String {
    format!("max by ({labels}) (kagiban_certificate_renewal_timestamp_seconds{{{OF}}}) - time()")
}

fn blocked_by(labels: &str) -> String {
    format!("max by ({labels}) (kagiban_certificate_blocked{{{OF}}})")
}

fn now() -> Vec<Panel> {
    let ready = |status: &str| format!("sum(max by (namespace, name) (kagiban_certificate_ready{{{OF},{status}}}))");
    vec![
        Panel::stat("Ready", "How many certificates are stored and served as their resources ask for?", "none")
            .query(ready(r#"status="True""#), ""),
        Panel::stat("Not ready", "How many are not, or are not known to be?", "none")
            .query(ready(r#"status=~"False|Unknown""#), "")
            .steps(GOOD_AT_ZERO),
        Panel::stat("Blocked", "How many rotations or looks are kept from being done?", "none")
            .count(format!("count({})", blocked_by("namespace, name")), "")
            .steps(WARN_ABOVE_ZERO),
        Panel::stat("Overdue", "How many renewals are due and not done?", "none")
            .count(format!("count({} < 0)", due_in("namespace, name")), "")
            .steps(WARN_ABOVE_ZERO),
        Panel::stat("First to end", "How long until the first certificate ends?", "s")
            .query(format!("min({})", left("namespace, name")), "")
            .steps(TIME_LEFT),
        Panel::stat("Next rotation", "How long until the next renewal is due?", "s")
            .query(format!("min({})", due_in("namespace, name")), "")
            .steps(DUE_IN),
    ]
}

fn ends() -> Vec<Panel> {
    let week = |metric: &str| {
        format!("count_values(\"week\", floor(max by (namespace, name) ({metric}) / 604800) * 604800000)")
    };
    vec![
        Panel::dates(
            "Timeline of expiries",
            "In which week do how many certificates end, if nothing renews them?",
            "week",
        )
        .query(week(&format!("kagiban_certificate_not_after_timestamp_seconds{{{OF}}}")), ""),
        Panel::lines("Time left", "How did the time until the end go down, and when did a rotation lift it?", "s")
            .query(left("host, name"), "{{host}} {{name}}"),
        Panel::table(
            "Certificates",
            "Which certificate is in what state, when does it end, and how much of the time for its renewal is left?",
            ("Ends in", false),
            vec![
                Column::new("namespace", "Namespace"),
                Column::new("name", "Name"),
                Column::new("host", "Host").leads_to_host(),
                Column::new("product", "Product"),
                Column::new("status", "Ready").words(READY),
                Column::new("reason", "Blocked by"),
                Column::new("Value #A", "Ends in").unit("s").steps(TIME_LEFT),
                Column::new("Value #B", "Ends at").unit("dateTimeAsIso"),
                Column::new("Value #C", "Renewal due in").unit("s").steps(DUE_IN),
                Column::new("Value #D", "Renewal time left").unit("percentunit").steps(RENEWAL_LEFT),
                Column::hidden("Value #E"),
                Column::hidden("Value #F"),
            ],
        )
        .query(left(EACH), "")
        .query(format!("max by ({EACH}) (kagiban_certificate_not_after_timestamp_seconds{{{OF}}}) * 1000"), "")
        .query(due_in(EACH), "")
        .query(renewal_left(), "")
        .query(format!("max by ({EACH}, status) (kagiban_certificate_ready{{{OF}}}) == 1"), "")
        .query(blocked_by(&format!("{EACH}, reason")), ""),
    ]
}

const EACH: &str = "namespace, name, host, product";

/// 1 until the renewal is due, 0 at the certificate's end.
fn renewal_left() -> String {
    let not_after = format!("max by ({EACH}) (kagiban_certificate_not_after_timestamp_seconds{{{OF}}})");
    let renewal = format!("max by ({EACH}) (kagiban_certificate_renewal_timestamp_seconds{{{OF}}})");
    format!("clamp(({not_after} - time()) / ({not_after} - {renewal}), 0, 1)")
}

fn next() -> Vec<Panel> {
    let day = format!(
        "count_values(\"day\", floor(max by (namespace, name) (kagiban_certificate_renewal_timestamp_seconds{{{OF}}}) / 86400) * 86400000)"
    );
    vec![
        Panel::dates("Rotations ahead", "On which day are how many renewals due?", "day").query(day, ""),
        Panel::table(
            "Next rotations",
            "Which hosts are rotated next? Below zero the renewal is overdue.",
            ("Due in", false),
            vec![
                Column::new("host", "Host").leads_to_host(),
                Column::new("name", "Name"),
                Column::new("Value", "Due in").unit("s").steps(DUE_IN),
            ],
        )
        .query(format!("bottomk(25, {})", due_in("host, name")), "")
        .size(12, 8),
    ]
}

fn blocked() -> Vec<Panel> {
    vec![
        Panel::stacked("Blocked by", "What kept rotations from being done, and on how many hosts?", "none")
            .query(format!("count by (reason) ({})", blocked_by("namespace, name, reason")), "{{reason}}"),
        Panel::stacked("Not ready over time", "How many were not ready, or not known to be?", "none").query(
            format!(r#"sum by (status) (max by (namespace, name, status) (kagiban_certificate_ready{{{OF},status!="True"}}))"#),
            "{{status}}",
        ),
        Panel::states("Who was blocked", "Which host was blocked by what, and how long?", BLOCKED)
            .query(blocked_by("host, name, reason"), "{{host}} {{name}}: {{reason}}"),
    ]
}

const BLOCKED: super::Words = &[("1", "blocked", "orange")];

fn seen() -> Vec<Panel> {
    let left = "x509_cert_not_after_timestamp_seconds{LEAVES} - time()";
    let lifetime = "x509_cert_not_after_timestamp_seconds{LEAVES} - x509_cert_not_before_timestamp_seconds{LEAVES}";
    let by = "instance, host, source, path, target, alias, subject_cn, issuer_cn";
    let of = |expression: &str| with_host(&format!("min by ({by}) ({})", expression.replace("LEAVES", LEAVES)));
    let credential = |which: &str| {
        format!("min by (namespace, name) (kagiban_operator_{which}_not_after_timestamp_seconds) - time()")
    };
    vec![
        Panel::table(
            "Leaves on hosts",
            "Which certificates end first among all that exporters see, whether anybody looks after them or not?",
            ("Ends in", false),
            vec![
                Column::new("host", "Host").leads_to_host(),
                Column::new("source", "Source"),
                Column::new("path", "File"),
                Column::new("target", "Endpoint"),
                Column::new("alias", "Alias"),
                Column::new("subject_cn", "Subject"),
                Column::new("issuer_cn", "Issuer"),
                Column::new("Value #A", "Ends in").unit("s").steps(TIME_LEFT),
                Column::new("Value #B", "Lifetime left").unit("percentunit").steps(LIFETIME_LEFT),
            ],
        )
        .query(format!("bottomk(100, {})", of(left)), "")
        .query(of(&format!("({left}) / ({lifetime})")), ""),
        Panel::table(
            "The fleet's own credentials",
            "When do the CA that issues and the operator's client certificate end?",
            ("CA ends in", false),
            vec![
                Column::new("namespace", "Namespace"),
                Column::new("name", "Secret"),
                Column::new("Value #A", "CA ends in").unit("s").steps(TIME_LEFT),
                Column::new("Value #B", "Client certificate ends in").unit("s").steps(TIME_LEFT),
            ],
        )
        .query(credential("issuer"), "")
        .query(credential("client_certificate"), "")
        .size(24, 6),
    ]
}
