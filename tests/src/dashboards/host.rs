//! One host: what happened to its power, its shutdowns, its agent and its certificates, one below the other on one time axis.

use super::{
    Annotation, Column, Dashboard, LIFETIME_LEFT, Panel, ROTATION, Row, SHUTDOWN, Steps, TIME_LEFT, UPS, Variable,
    WITHOUT_PORT, Words, exporters, rotation_rank, shutdown_rank, ups_rank,
};

/// The exporter on the host that is chosen, and not what it sees of others from outside. The name is quoted, because it may be an address
/// with brackets.
const HERE: &str = r#"job=~"$job",instance=~`${host:regex}(:[0-9]+)?`,host=~`|${host:regex}`"#;
/// What the operator says of that host.
const THERE: &str = r#"host="$host""#;
const READY: Words = &[("0", "ready", "green"), ("1", "unknown", "orange"), ("2", "not ready", "red")];
const UP: Words = &[("0", "not heard", "red"), ("1", "heard", "green")];
const CHARGE: Steps = &[("red", None), ("orange", Some(0.3)), ("green", Some(0.6))];

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        name: "host",
        title: "Kagiban / One host",
        about: "One host on one time axis: its shutdown state, its UPSes, its rotations, its certificates.",
        from: "now-24h",
        variables: vec![
            Variable {
                name: "job",
                label: "Job",
                query: exporters("").replace("instance", "job"),
                regex: "",
                many: true,
            },
            Variable {
                name: "host",
                label: "Host",
                query: exporters(",job=~\"$job\""),
                regex: WITHOUT_PORT,
                many: false,
            },
        ],
        annotations: vec![
            Annotation {
                name: "Rotations",
                query: format!("kagiban_rotation_last_decided_timestamp_seconds{{{HERE}}} * 1000"),
                text: "A rotation of {{agent}} came to its end",
                colour: "blue",
            },
            Annotation {
                name: "Shutdown state",
                query: format!("host_shutdown_state_since_timestamp_seconds{{{HERE}}} * 1000"),
                text: "The shutdown state changed",
                colour: "orange",
            },
        ],
        rows: vec![
            Row { title: "Now", panels: now() },
            Row { title: "On one time axis", panels: axis() },
            Row { title: "In detail", panels: detail() },
        ],
    }
}

fn leaf_left(by: &str) -> String {
    format!(
        r#"min by ({by}) (x509_cert_not_after_timestamp_seconds{{{HERE},role="leaf",source!~"system|jvm"}} - time())"#
    )
}

fn ready(by: &str) -> String {
    let status = |rank: u8, status: &str| format!("{rank} * kagiban_certificate_ready{{{THERE},status={status:?}}}");
    format!("max by ({by}) ({} or {} or {})", status(0, "True"), status(1, "Unknown"), status(2, "False"))
}

fn now() -> Vec<Panel> {
    vec![
        Panel::stat("Exporter", "Is the exporter on this host heard?", "none")
            .query(format!("min(up{{{HERE}}})"), "")
            .words(UP),
        Panel::stat("Shutdown", "Does this host go down?", "none")
            .query(shutdown_rank("job", HERE), "")
            .words(SHUTDOWN),
        Panel::stat("Power", "What is the worst that a UPS of this host says?", "none")
            .query(ups_rank("job", HERE), "")
            .words(UPS),
        Panel::stat("Certificate", "Is what is served what the resource asks for?", "none")
            .query(ready("host"), "")
            .words(READY),
        Panel::stat("Rotation", "How did the newest rotation end?", "none")
            .query(rotation_rank("job", HERE), "")
            .words(ROTATION),
        Panel::stat("First to end", "How long until the first certificate on this host ends?", "s")
            .query(leaf_left("job"), "")
            .steps(TIME_LEFT),
    ]
}

fn axis() -> Vec<Panel> {
    let per_ups = |metric: &str| format!("max by (ups) ({metric}{{{HERE}}})");
    vec![
        Panel::states("Shutdown state", "When was a shutdown near, announced, or on its way?", SHUTDOWN)
            .query(shutdown_rank("instance", HERE), "{{instance}}")
            .size(24, 4),
        Panel::states("UPSes", "When was which UPS on battery, low, or not heard?", UPS)
            .query(ups_rank("ups", HERE), "{{ups}}")
            .size(24, 5),
        Panel::states("Rotations", "When was the agent rotated, and how did that end?", ROTATION)
            .query(rotation_rank("agent", HERE), "{{agent}}")
            .size(24, 4),
        Panel::states("Readiness", "When was what is served not what the resource asks for?", READY)
            .query(ready("name"), "{{name}}")
            .size(24, 4),
        Panel::lines(
            "Certificates: time left",
            "When was a certificate replaced, and how long did the one before have left?",
            "s",
        )
        .query(leaf_left("source, alias"), "{{source}} {{alias}}")
        .size(24, 7),
        Panel::lines("Battery charge", "How far was the battery discharged?", "percentunit")
            .query(per_ups("ups_battery_charge_ratio"), "{{ups}}")
            .steps(CHARGE)
            .size(24, 6),
        Panel::lines("Battery runtime", "How long would the UPS have carried its load?", "s")
            .query(per_ups("ups_battery_runtime_seconds"), "{{ups}}")
            .size(24, 6),
    ]
}

fn detail() -> Vec<Panel> {
    let leaves = format!(r#"x509_cert_not_after_timestamp_seconds{{{HERE},source!~"system|jvm"}}"#);
    let before = format!(r#"x509_cert_not_before_timestamp_seconds{{{HERE},source!~"system|jvm"}}"#);
    let by = "source, path, target, alias, role, subject_cn, issuer_cn, serial";
    let each = |expression: String| format!("min by ({by}) ({expression})");
    vec![
        Panel::table(
            "Certificates",
            "Which certificates are on this host, trust anchors of its agents included?",
            ("Ends in", false),
            vec![
                Column::new("source", "Source"),
                Column::new("path", "File"),
                Column::new("target", "Endpoint"),
                Column::new("alias", "Alias"),
                Column::new("role", "Role"),
                Column::new("subject_cn", "Subject"),
                Column::new("issuer_cn", "Issuer"),
                Column::new("serial", "Serial number"),
                Column::new("Value #A", "Ends in").unit("s"),
                Column::new("Value #B", "Lifetime left").unit("percentunit").steps(LIFETIME_LEFT),
            ],
        )
        .query(each(format!("{leaves} - time()")), "")
        .query(each(format!("({leaves} - time()) / ({leaves} - {before})")), ""),
        Panel::table(
            "Shutdown times",
            "When is it expected, who asked for it, and why?",
            ("What", false),
            vec![
                Column::new("what", "What"),
                Column::new("type", "Type"),
                Column::new("Value", "At").unit("dateTimeAsIso"),
            ],
        )
        .query(shutdown_times(), "")
        .size(8, 7),
        Panel::table(
            "What cannot be looked at",
            "Which UPS, file, endpoint or source of this host fails, and why?",
            ("What", false),
            vec![
                Column::new("kind", "Kind"),
                Column::new("what", "What"),
                Column::new("reason", "Reason"),
                Column::hidden("Value"),
            ],
        )
        .query(failing(), "")
        .size(8, 7),
        Panel::table(
            "Hardening checks that fail",
            "What does the vendor's security handbook ask for that is not so?",
            ("Check", false),
            vec![
                Column::new("agent", "Agent"),
                Column::new("ups", "UPS"),
                Column::new("check", "Check"),
                Column::new("Value", "State").words(CHECK),
            ],
        )
        .query(
            format!(
                "max by (agent, check) (kagiban_powerchute_check{{{HERE}}}) == 0 or max by (ups, check) (kagiban_ups_check{{{HERE}}}) == 0"
            ),
            "",
        )
        .size(8, 7),
    ]
}

const CHECK: Words = &[("0", "fails", "orange")];

/// Each with what it is, its name, and the reason where one is told.
fn failing() -> String {
    let named = |selector: &str, kind: &str, label: &str| {
        let what = format!("label_replace({selector}, \"what\", \"$1\", {label:?}, \"(.*)\")");
        format!("label_replace({what}, \"kind\", {kind:?}, \"\", \"\")")
    };
    let of = |metric: &str| format!("{metric}{{{HERE}}}");
    let all = [
        named(&of("ups_poll_error"), "UPS", "ups"),
        named(&of("x509_file_error"), "file", "path"),
        named(&of("tls_probe_error"), "endpoint", "target"),
        named(&format!("(kagiban_source_up{{{HERE}}} == 0)"), "source", "source_name"),
    ];
    format!("max by (kind, what, reason) ({})", all.join(" or "))
}

/// In milliseconds, each with a word for what it is.
fn shutdown_times() -> String {
    let named =
        |metric: &str, what: &str| format!("label_replace({metric}{{{HERE}}} * 1000, \"what\", {what:?}, \"\", \"\")");
    let times = [
        named("host_shutdown_scheduled_timestamp_seconds", "scheduled"),
        named("host_shutdown_expected_timestamp_seconds", "expected"),
        named("host_shutdown_state_since_timestamp_seconds", "in this state since"),
    ];
    format!("max by (what, type) ({})", times.join(" or "))
}
