//! The dashboards that are shipped, as what they ask and how it is shown. `grafana` makes of each what Grafana reads; the files in `charts/kagiban/dashboards`
//! are written from here by `make docs`.

mod fleet;
pub mod grafana;
mod host;
mod operator;
mod panel;
mod power;
mod products;

pub use panel::{Annotation, Column, Dashboard, Panel, Query, Row, Rows, Steps, Variable, View, Words};
pub use products::REASONS;

/// Every dashboard, in the order in which a person meets them.
pub fn all() -> Vec<Dashboard> {
    vec![fleet::dashboard(), host::dashboard(), power::dashboard(), products::dashboard(), operator::dashboard()]
}

/// Up to here nothing is wrong, and from there on it is.
const GOOD_AT_ZERO: Steps = &[("green", None), ("red", Some(1.0))];
const WARN_ABOVE_ZERO: Steps = &[("green", None), ("orange", Some(1.0))];
/// Where a number says nothing by itself.
const PLAIN: Steps = &[("text", None)];
const DAY: f64 = 86_400.0;
/// As the alerts for certificates of which only the end is known.
const TIME_LEFT: Steps = &[("red", None), ("orange", Some(7.0 * DAY)), ("green", Some(21.0 * DAY))];
/// As the alerts for certificates of which the lifetime is known, too.
const LIFETIME_LEFT: Steps = &[("red", None), ("orange", Some(0.1)), ("green", Some(0.25))];

const READY: Words = &[("True", "True", "green"), ("False", "False", "red"), ("Unknown", "Unknown", "orange")];
/// The states of a host, each worse than those before it.
const SHUTDOWN: Words = &[
    ("0", "none", "green"),
    ("1", "testing", "blue"),
    ("2", "cancelled", "super-light-blue"),
    ("3", "UPS not heard", "purple"),
    ("4", "scheduled", "yellow"),
    ("5", "on battery", "orange"),
    ("6", "low battery", "red"),
    ("7", "UPS shuts down", "semi-dark-red"),
    ("8", "in progress", "dark-red"),
];
const SHUTDOWN_STATES: [&str; 9] = [
    "none",
    "testing",
    "cancelled",
    "comms_lost",
    "scheduled",
    "ups_on_battery",
    "ups_low_battery",
    "ups_pending",
    "in_progress",
];
const UPS: Words = &[
    ("0", "on line", "green"),
    ("1", "test", "blue"),
    ("2", "bypass", "yellow"),
    ("3", "on battery", "orange"),
    ("4", "low battery", "red"),
    ("5", "off", "semi-dark-red"),
    ("6", "shuts down", "dark-red"),
    ("7", "not heard", "purple"),
];

/// How far the newest rotation, renewal or repair of an agent is.
const ROTATION: Words = &[
    ("0", "none or committed", "green"),
    ("1", "under way", "blue"),
    ("2", "rolled back", "orange"),
    ("3", "frozen", "red"),
    ("4", "unknown", "purple"),
];
/// The hosts that are chosen, with whatever port they are asked at.
const HOSTS: &str = r#"job=~"$job",instance=~"$host(:[0-9]+)?""#;

/// The rank of the state that holds, one line for each of `by`.
fn shutdown_rank(by: &str, of: &str) -> String {
    let state = |(rank, state): (usize, &&str)| format!("{rank} * host_shutdown_state{{{of},state=\"{state}\"}}");
    let states: Vec<_> = SHUTDOWN_STATES.iter().enumerate().map(state).collect();
    format!("max by ({by}) ({})", states.join(" or "))
}

/// The rank of the worst that a UPS says, or of its silence.
fn ups_rank(by: &str, of: &str) -> String {
    let status = |(rank, words): (usize, &str)| format!("{rank} * ups_status{{{of},status=~\"{words}\"}}");
    let words = [
        "online",
        "testing|calibrating",
        "bypass",
        "on_battery",
        "low_battery",
        "off",
        "forced_shutdown|shutting_down",
    ];
    let mut ranks: Vec<_> = words.into_iter().enumerate().map(status).collect();
    ranks.push(format!("7 * (1 - ups_up{{{of}}})"));
    format!("max by ({by}) ({})", ranks.join(" or "))
}

/// The rank of the newest rotation's state, of whatever class the agent is.
fn rotation_rank(by: &str, of: &str) -> String {
    let state = |rank: u8, state: &str| format!("{rank} * kagiban_rotation_state{{{of},{state}}}");
    let states = [
        state(0, r#"state=~"none|committed""#),
        state(1, r#"state!~"none|committed|rolled_back|frozen|unknown""#),
        state(2, r#"state="rolled_back""#),
        state(3, r#"state="frozen""#),
        state(4, r#"state="unknown""#),
    ];
    format!("max by ({by}) ({})", states.join(" or "))
}

/// The expression with the label `host`: of what an exporter sees of its own host, the target's address without its port. What it sees
/// of others from outside has that label, and keeps it.
fn with_host(expression: &str) -> String {
    let both = format!("label_join({expression}, \"instance\", \";\", \"host\", \"instance\")");
    format!("label_replace({both}, \"host\", \"$1\", \"instance\", \";?(.+?)(?:;.*|:[0-9]+)?\")")
}

/// The exporters, by the names of their hosts.
fn exporters(job: &str) -> String {
    format!("label_values(kagiban_build_info{{program=\"kagiban-exporter\"{job}}}, instance)")
}

/// An address without its port, however it is written.
const WITHOUT_PORT: &str = "/^(.+?)(?::[0-9]+)?$/";
