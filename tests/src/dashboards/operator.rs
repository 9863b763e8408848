//! The operator: whether it leads and keeps up, what became of the rotations, and what it asks of the API server and of the hosts.

use super::{Column, Dashboard, GOOD_AT_ZERO, PLAIN, Panel, Row, Steps, Variable, WARN_ABOVE_ZERO, Words, with_host};

/// The operators that are chosen.
const OF: &str = r#"job=~"$job""#;
const LEADER: Words = &[("0", "follows", "super-light-blue"), ("1", "leads", "green")];
const ONE_LEADS: Steps = &[("red", None), ("green", Some(1.0))];
const LIST_AGE: Steps = &[("green", None), ("orange", Some(900.0)), ("red", Some(1800.0))];
const FROZEN: Words = &[("0", "no", "green"), ("1", "frozen", "red")];

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        name: "operator",
        title: "Kagiban / Operator",
        about: "The operator and the rotations of the whole fleet: whether it leads and keeps up, what failed and why, and what it writes.",
        from: "now-24h",
        variables: vec![Variable {
            name: "job",
            label: "Operator's job",
            query: "label_values(kagiban_operator_leader, job)".to_owned(),
            regex: "",
            many: true,
        }],
        annotations: Vec::new(),
        rows: vec![
            Row { title: "Now", panels: now() },
            Row { title: "Rotations", panels: rotations() },
            Row { title: "Failures", panels: failures() },
            Row { title: "Kubernetes API", panels: api() },
            Row { title: "Work", panels: work() },
        ],
    }
}

fn now() -> Vec<Panel> {
    let number = |title, answers, metric: &str| {
        Panel::stat(title, answers, "none").query(format!("max({metric}{{{OF}}})"), "").steps(GOOD_AT_ZERO)
    };
    vec![
        Panel::stat("Leaders", "Does an operator lead? With one for each namespace, one for each.", "none")
            .query(format!("sum(kagiban_operator_leader{{{OF}}})"), "")
            .steps(ONE_LEADS),
        number(
            "Overdue looks",
            "How many resources were not looked at for three resyncs?",
            "kagiban_operator_resources_overdue",
        ),
        number("Left out", "How many resources is there no room for?", "kagiban_operator_resources_left_out"),
        number("Unreadable", "How many resources can this version not read?", "kagiban_resources_unreadable"),
        Panel::stat("Frozen agents", "How many agents wait for a person?", "none")
            .query("sum(kagiban_rotation_frozen)", "")
            .steps(GOOD_AT_ZERO),
        Panel::stat("Last list", "How long ago were all resources last listed?", "s")
            .query(format!("min(time() - kagiban_operator_last_list_timestamp_seconds{{{OF}}})"), "")
            .steps(LIST_AGE),
    ]
}

fn rotations() -> Vec<Panel> {
    let each = "instance, agent";
    vec![
        Panel::stacked(
            "Rotations that ended",
            "How many rotations were committed, rolled back or frozen on the hosts?",
            "none",
        )
        .query("sum by (outcome) (increase(kagiban_rotations_decided_total[$__rate_interval]))", "{{outcome}}"),
        Panel::stacked("Rotations under way", "In which state are the rotations that have not ended?", "none").query(
            r#"sum by (state) (kagiban_rotation_state{state!~"none|committed|rolled_back|frozen|unknown"}) > 0"#,
            "{{state}}",
        ),
        Panel::gauge(
            "As the operator counts them",
            "What became of the rotations since the operator's start, lost ones and foreign leaves included?",
            "none",
        )
        .query(format!("sum by (outcome) (kagiban_rotations_total{{{OF}}})"), "{{outcome}}")
        .steps(PLAIN),
        Panel::table(
            "Failed and frozen",
            "Whose newest rotation did not commit, why, and when was that?",
            ("Ago", false),
            vec![
                Column::new("host", "Host").leads_to_host(),
                Column::new("agent", "Agent"),
                Column::new("reason", "Reason"),
                Column::hidden("Value #A"),
                Column::new("Value #B", "Frozen").words(FROZEN),
                Column::new("Value #C", "Ago").unit("s"),
            ],
        )
        .query(with_host(&format!("max by ({each}, reason) (kagiban_rotation_failure_info)")), "")
        .query(with_host(&of_failed(&format!("max by ({each}) (kagiban_rotation_frozen)"))), "")
        .query(
            with_host(&of_failed(&format!(
                "time() - max by ({each}) (kagiban_rotation_last_decided_timestamp_seconds)"
            ))),
            "",
        )
        .size(16, 8),
    ]
}

fn of_failed(expression: &str) -> String {
    format!("({expression}) and on (instance, agent) kagiban_rotation_failure_info")
}

fn failures() -> Vec<Panel> {
    let rate = |metric: &str, by: &str, which: &str| {
        format!("sum by ({by}) (rate({metric}{{{OF}{which}}}[$__rate_interval]))")
    };
    vec![
        Panel::stacked("Failed requests to hosts", "Which calls to hosts fail, and how?", "reqps")
            .query(rate("kagiban_host_requests_total", "call, outcome", r#",outcome!="ok""#), "{{call}}: {{outcome}}"),
        Panel::stacked("Requests to hosts", "How many calls to hosts are there?", "reqps")
            .query(rate("kagiban_host_requests_total", "call", ""), "{{call}}"),
        Panel::stacked("Reasons of failed rotations", "Why did the newest rotation of how many agents fail?", "none")
            .query("count by (reason) (kagiban_rotation_failure_info)", "{{reason}}"),
        Panel::lines("Agents that take no rotations", "How many agents do hosts take no rotation for?", "none")
            .query("count(kagiban_rotation_agent_up) - sum(kagiban_rotation_agent_up)", "agents")
            .steps(WARN_ABOVE_ZERO),
    ]
}

fn api() -> Vec<Panel> {
    let rate = |by: &str, which: &str| {
        format!("sum by ({by}) (rate(kagiban_api_requests_total{{{OF},{which}}}[$__rate_interval]))")
    };
    vec![
        Panel::stacked("Writes", "What does the operator write? At rest nothing but its Lease.", "reqps")
            .query(rate("verb, resource", r#"verb!~"get|list|watch""#), "{{verb}} {{resource}}"),
        Panel::stacked("Reads", "What does the operator read?", "reqps")
            .query(rate("verb, resource", r#"verb=~"get|list|watch""#), "{{verb}} {{resource}}"),
        Panel::stacked("Answers but success", "What does the API server refuse, or not answer?", "reqps")
            .query(rate("verb, resource, code", r#"code!="2xx""#), "{{verb}} {{resource}}: {{code}}"),
        Panel::lines("Age of what is known", "How long ago did a list end, and a watch show something?", "s")
            .query(
                format!("time() - max by (instance) (kagiban_operator_last_list_timestamp_seconds{{{OF}}})"),
                "list {{instance}}",
            )
            .query(
                format!("time() - max by (instance) (kagiban_operator_last_watch_timestamp_seconds{{{OF}}})"),
                "watch {{instance}}",
            ),
    ]
}

fn work() -> Vec<Panel> {
    let took = |part: &str| {
        format!(
            "histogram_quantile({part}, sum by (le) (rate(kagiban_reconcile_duration_seconds_bucket{{{OF}}}[$__rate_interval])))"
        )
    };
    let queue = |metric: &str| format!("max({metric}{{{OF}}})");
    vec![
        Panel::states("Leadership", "Which replica led when?", LEADER)
            .query(format!("max by (instance) (kagiban_operator_leader{{{OF}}})"), "{{instance}}")
            .size(24, 4),
        Panel::lines("Queue", "Does the operator keep up?", "none")
            .query(queue("kagiban_operator_resources_due"), "due")
            .query(queue("kagiban_operator_passes_running"), "being looked at")
            .query(queue("kagiban_operator_resources_overdue"), "overdue")
            .size(8, 8),
        Panel::lines("Duration of a look", "How long does one look at one resource take?", "s")
            .query(took("0.5"), "half of them")
            .query(took("0.99"), "99 of 100")
            .size(8, 8),
        Panel::lines("Log lines dropped", "Does whoever reads the log keep up?", "none")
            .query(
                format!("sum by (instance) (increase(kagiban_log_lines_dropped_total{{{OF}}}[$__rate_interval]))"),
                "{{instance}}",
            )
            .size(8, 8),
    ]
}
