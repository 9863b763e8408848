//! What products tell beyond their certificates: whom a vendor's notice concerns, how renewals and repairs end, which clients lack the certificate of
//! their server, and who fails to authenticate.

use super::{
    Column, Dashboard, GOOD_AT_ZERO, HOSTS, Panel, ROTATION, Row, Steps, TIME_LEFT, Variable, WARN_ABOVE_ZERO,
    WITHOUT_PORT, Words, exporters, rotation_rank, with_host,
};

/// What tells its product.
const OF: &str = r#"job=~"$job",instance=~"$host(:[0-9]+)?",product=~"$product""#;
/// A part or a component of a product.
const PART: &str = "instance, agent, product, component, directory";
/// Of Apex Central, which one exporter asks for all servers.
const ANY: &str = r#"job=~"$job""#;
/// As the alert.
const ENGINE_LEFT: Steps = &[("red", None), ("orange", Some(0.0)), ("green", Some(7.0 * super::DAY))];

/// What stops when the certificate ends, or the problem that the component has.
pub const REASONS: Words = &[
    ("console_login", "console: no login once the certificate ends", "orange"),
    ("notifications", "no e-mail, no broadcast once it ends", "orange"),
    ("authentication", "a terminal may be cut off from its server", "red"),
    ("engine_stop", "the communication engine may stop", "red"),
    ("false_alert", "a false alert about the folder of logs", "orange"),
];
const WORKS: Words = &[("0", "does not work", "red"), ("1", "works", "green")];
const READ: Words = &[("0", "fails", "red"), ("1", "is read", "green")];

pub(super) fn dashboard() -> Dashboard {
    let variable = |name, label, query, regex| Variable { name, label, query, regex, many: true };
    let telling = "kagiban_product_info|kagiban_agent_function_up|kagiban_clients_without_certificate";
    Dashboard {
        name: "products",
        title: "Kagiban / Products",
        about: "What products tell: whom a vendor's notice concerns, how renewals and repairs end, which clients lack the certificate of their server, and who fails to authenticate.",
        from: "now-7d",
        variables: vec![
            variable("job", "Job", exporters("").replace("instance", "job"), ""),
            variable("host", "Host", exporters(",job=~\"$job\""), WITHOUT_PORT),
            variable("product", "Product", format!("label_values({{__name__=~{telling:?},{HOSTS}}}, product)"), ""),
        ],
        annotations: Vec::new(),
        rows: vec![
            Row { title: "Now", panels: now() },
            Row { title: "Who is affected", panels: affected() },
            Row { title: "Renewals and repairs", panels: renewals() },
            Row { title: "Clients of anti-virus servers", panels: clients() },
            Row { title: "Failed authentications", panels: failures() },
            Row { title: "SKYSEA Client View", panels: skysea() },
            Row { title: "Apex Central", panels: central() },
            Row { title: "Sources", panels: sources() },
        ],
    }
}

fn each(by: &str, metric: &str) -> String {
    format!("max by ({by}) ({metric}{{{HOSTS}}})")
}

/// Of what tells its product.
fn of(by: &str, metric: &str) -> String {
    format!("max by ({by}) ({metric}{{{OF}}})")
}

fn since(time: &str) -> String {
    format!("time() - {time}")
}

fn now() -> Vec<Panel> {
    let sum = |each: String| format!("sum({each})");
    vec![
        Panel::stat("Affected", "How many parts and components does their vendor's notice warn of?", "none")
            .query(sum(of(PART, "kagiban_product_affected")), "")
            .steps(WARN_ABOVE_ZERO),
        Panel::stat("Not working", "How many agents were asked whether they do their work, and do not?", "none")
            .query(sum(format!("1 - {}", of("instance, agent", "kagiban_agent_function_up"))), "")
            .steps(GOOD_AT_ZERO),
        Panel::stat("Without certificate", "How many clients lack the certificate of their server?", "none")
            .query(sum(of("instance, agent", "kagiban_clients_without_certificate")), "")
            .steps(WARN_ABOVE_ZERO),
        Panel::stat("Not repaired", "How many of them stay, since no attempt helped or none can be made?", "none")
            .query(sum(each("instance, agent", "kagiban_clients_not_repaired")), "")
            .steps(GOOD_AT_ZERO),
        Panel::stat("Refuse their server", "How many clients could not authenticate their server in 24 hours?", "none")
            .query(sum(format!("{} > bool 0", each("instance, agent, client", REFUSALS))), "")
            .steps(WARN_ABOVE_ZERO),
        Panel::stat(
            "Terminals cut off",
            "How many terminals of SKYSEA failed to authenticate themselves in 24 hours?",
            "none",
        )
        .query(sum(format!("{} > bool 0", each("instance, agent, sender", TERMINALS))), "")
        .steps(GOOD_AT_ZERO),
    ]
}

const REFUSALS: &str = "kagiban_client_server_authentication_failures";
const TERMINALS: &str = "kagiban_skysea_authentication_failures";

fn affected() -> Vec<Panel> {
    let version = of(&format!("{PART}, release, version"), "kagiban_product_info");
    let affected = of(&format!("{PART}, reason"), "kagiban_product_affected");
    let end = of(&format!("{PART}, basis"), "kagiban_product_certificate_not_after_timestamp_seconds");
    let part = || {
        vec![
            Column::new("host", "Host").leads_to_host(),
            Column::new("product", "Product"),
            Column::new("component", "Component"),
            Column::new("agent", "Agent"),
        ]
    };
    let named = || {
        vec![
            Column::new("release", "Release"),
            Column::new("version", "Version"),
            Column::new("directory", "Directory"),
        ]
    };
    let reason = vec![Column::new("reason", "What").words(REASONS)];
    let ends = vec![
        Column::new("Value #B", "Certificate ends in").unit("s").steps(TIME_LEFT),
        Column::new("basis", "Known from"),
        Column::hidden("Value #A"),
    ];
    vec![
        Panel::table(
            "Affected parts and components",
            "Whose product has what problem, or loses what when its certificate ends, by its vendor's notice, and which version is it?",
            ("Product", false),
            [part(), reason, named(), vec![Column::hidden("Value")]].concat(),
        )
        .query(
            with_host(&format!("({affected} == 1) * on ({PART}) group_left (release, version) {version}")),
            "",
        )
        .size(24, 7),
        Panel::table(
            "Versions and certificates",
            "Which version of what is where, and when does its certificate end? Without a release the vendor's notice does not know the version.",
            ("Certificate ends in", false),
            [part(), named(), ends].concat(),
        )
        .query(with_host(&version), "")
        .query(with_host(&format!("{end} - time()")), "")
        .size(24, 7),
    ]
}

fn renewals() -> Vec<Panel> {
    const AGENT: &str = "instance, agent";
    let under_way = "kagiban_rotation_state{HOSTS,state!~\"none|committed\"}[$__range] @ end()".replace("HOSTS", HOSTS);
    let taken = format!("kagiban_rotation_generation{{{HOSTS}}}[$__range] @ end()");
    let by = "instance, agent, product";
    vec![
        Panel::states(
            "Renewed or repaired",
            "Of agents that were renewed, repaired or rotated, or are frozen: when, and how did it end?",
            ROTATION,
        )
        .query(
            with_host(&format!(
                "{} and on ({AGENT}) (max by ({AGENT}) (max_over_time({under_way})) == 1 or max by ({AGENT}) (changes({taken})) > 0)",
                rotation_rank(AGENT, HOSTS)
            )),
            "{{agent}} ({{host}})",
        )
        .size(12, 8),
        Panel::table(
            "Proof of function",
            "Which agent does its work, and when was it last seen to?",
            ("Last seen to work", true),
            vec![
                Column::new("host", "Host").leads_to_host(),
                Column::new("product", "Product"),
                Column::new("agent", "Agent"),
                Column::new("Value #A", "Now").words(WORKS),
                Column::new("Value #B", "Last seen to work").unit("s"),
            ],
        )
        .query(with_host(&of(by, "kagiban_agent_function_up")), "")
        .query(with_host(&since(&of(by, "kagiban_agent_function_verified_timestamp_seconds"))), "")
        .size(12, 8),
    ]
}

fn clients() -> Vec<Panel> {
    const AGENT: &str = "instance, agent";
    let named = each("instance, agent, client", "kagiban_client_without_certificate");
    let isolated = format!("max by (client, status) (kagiban_apex_central_agent_isolated{{{ANY}}})");
    let of_one_name = format!("max by (client) (kagiban_apex_central_host_name_agents{{{ANY}}})");
    let held = format!("max by ({AGENT}, reason) (kagiban_clients_repair_held{{{HOSTS}}}) == 1");
    vec![
        Panel::lines("Clients without the certificate", "Do they become fewer after a renewal?", "none")
            .query(with_host(&of(AGENT, "kagiban_clients_without_certificate")), "{{agent}} ({{host}})")
            .size(6, 8),
        Panel::stacked("Attempts on clients", "What came of the attempts to give clients the certificate?", "none").query(
            format!("sum by (result) (increase(kagiban_client_repairs_total{{{HOSTS}}}[$__rate_interval]))"),
            "{{result}}",
        )
        .size(6, 8),
        Panel::table(
            "Clients by name",
            "Which clients lack the certificate? One that is isolated cannot be given it, and of several agents with one name a repair reaches one.",
            ("Client", false),
            vec![
                Column::new("host", "Host").leads_to_host(),
                Column::new("agent", "Agent"),
                Column::new("client", "Client"),
                Column::new("status", "In Apex Central"),
                Column::new("Value #C", "Agents of this name"),
                Column::hidden("Value #A"),
                Column::hidden("Value #B"),
            ],
        )
        .query(with_host(&named), "")
        // A name that is there in two states would be two.
        .query(with_host(&format!("{named} * on (client) group_left (status) topk by (client) (1, {isolated})")), "")
        .query(with_host(&format!("{named} * on (client) group_left () {of_one_name}")), "")
        .size(12, 8),
        Panel::table(
            "Servers of clients",
            "How many clients of which server lack its certificate, when was that last listed, who stays, and what keeps the others from being repaired?",
            ("Without certificate", true),
            vec![
                Column::new("host", "Host").leads_to_host(),
                Column::new("product", "Product"),
                Column::new("agent", "Agent"),
                Column::new("Value #A", "Without certificate").steps(WARN_ABOVE_ZERO),
                Column::new("Value #B", "Not named"),
                Column::new("Value #C", "Listed ago").unit("s"),
                Column::new("Value #D", "Not repaired").steps(GOOD_AT_ZERO),
                Column::new("Value #E", "Never tried"),
                Column::new("reason", "Held by"),
                Column::hidden("Value #F"),
            ],
        )
        .query(with_host(&of("instance, agent, product", "kagiban_clients_without_certificate")), "")
        .query(with_host(&each(AGENT, "kagiban_clients_left_out")), "")
        .query(with_host(&since(&each(AGENT, "kagiban_clients_listed_timestamp_seconds"))), "")
        .query(with_host(&each(AGENT, "kagiban_clients_not_repaired")), "")
        .query(with_host(&each(AGENT, "kagiban_clients_never_tried")), "")
        .query(with_host(&held), "")
        .size(24, 6),
    ]
}

fn failures() -> Vec<Panel> {
    let total = |metric: &str| with_host(&format!("sum by (instance, agent) ({metric}{{{HOSTS}}})"));
    let table = |title, answers, who: &'static str, name, counts: &str, last: &str| {
        let by = format!("instance, agent, {who}");
        let columns = vec![
            Column::new("host", "Host").leads_to_host(),
            Column::new("agent", "Agent"),
            Column::new(who, name),
            Column::new("Value #A", "In 24 hours"),
            Column::new("Value #B", "Last").unit("s"),
        ];
        Panel::table(title, answers, ("In 24 hours", true), columns)
            .query(with_host(&format!("{} > 0", each(&by, counts))), "")
            .query(with_host(&since(&each(&by, last))), "")
            .size(12, 8)
    };
    vec![
        Panel::lines(
            "Failed authentications in 24 hours",
            "When did clients begin to refuse their server, or terminals to fail, and did a repair end it?",
            "none",
        )
        .query(total(REFUSALS), "clients of {{agent}} ({{host}})")
        .query(total(TERMINALS), "terminals of {{agent}} ({{host}})")
        .size(24, 6),
        table(
            "Clients that refuse their server",
            "Which clients could not authenticate their server, how often, and how long ago, by the logs that are exported?",
            "client",
            "Client",
            REFUSALS,
            "kagiban_client_last_server_authentication_failure_timestamp_seconds",
        ),
        table(
            "Terminals that are cut off",
            "Which terminals of SKYSEA failed to authenticate themselves, how often, and how long ago, by mails and logs?",
            "sender",
            "Terminal",
            TERMINALS,
            "kagiban_skysea_last_authentication_failure_timestamp_seconds",
        ),
    ]
}

fn skysea() -> Vec<Panel> {
    let forecast = each("instance, agent", "kagiban_skysea_engine_stop_forecast_timestamp_seconds");
    vec![
        Panel::table(
            "Communication engine",
            "When may the engine stop, by what its vendor has seen at one site? Below zero it may have stopped: nothing tells that it has.",
            ("May stop in", false),
            vec![
                Column::new("host", "Host").leads_to_host(),
                Column::new("agent", "Agent"),
                Column::new("Value #A", "May stop at").unit("dateTimeAsIso"),
                Column::new("Value #B", "May stop in").unit("s").steps(ENGINE_LEFT),
            ],
        )
        .query(with_host(&format!("{forecast} * 1000")), "")
        .query(with_host(&format!("{forecast} - time()")), "")
        .size(12, 6),
        Panel::stacked(
            "Alerts about the folder of logs in 24 hours",
            "Was the folder of logs touched, or are all alerts of it the false ones that the vendor knows?",
            "none",
        )
        .query(format!("sum by (verdict) (kagiban_skysea_folder_alerts{{{HOSTS}}})"), "{{verdict}}")
        .size(12, 6),
    ]
}

fn central() -> Vec<Panel> {
    let server = "product, server, server_id";
    vec![
        Panel::table(
            "Servers of the inventory",
            "How many agents has each server, and did one lose them in this time?",
            ("Agents", false),
            vec![
                Column::new("server", "Server"),
                Column::new("product", "Its product"),
                Column::new("server_id", "Identity"),
                Column::new("Value #A", "Agents"),
                Column::new("Value #B", "Most in this time"),
            ],
        )
        .query(each(server, "kagiban_apex_central_agents"), "")
        .query(
            format!("max by ({server}) (max_over_time(kagiban_apex_central_agents{{{HOSTS}}}[$__range]))"),
            "",
        )
        .size(12, 7),
        Panel::stacked("Agents by isolation", "How many agents are isolated, and since when?", "none")
            .query(
                format!(
                    "sum by (status) (max by (instance, status) (kagiban_apex_central_agents_by_isolation{{{HOSTS},status!=\"normal\"}}))"
                ),
                "{{status}}",
            )
            .size(6, 7),
        Panel::table(
            "Isolated agents",
            "Which agents are isolated, and so take nothing from their server?",
            ("Agent", false),
            vec![Column::new("client", "Agent"), Column::new("status", "State"), Column::hidden("Value")],
        )
        .query(each("client, status", "kagiban_apex_central_agent_isolated"), "")
        .size(6, 7),
    ]
}

fn sources() -> Vec<Panel> {
    const SOURCE: &str = "instance, source_kind, source_name";
    let of = format!(r#"{HOSTS},source_kind=~"release|clients|alerts|inventory""#);
    let known = since(&each("instance, agent", "kagiban_client_log_known_until_timestamp_seconds"));
    let named = format!(r#"label_replace({known}, "source_name", "$1", "agent", "(.*)")"#);
    let known = format!(r#"max by ({SOURCE}) (label_replace({named}, "source_kind", "alerts", "", ""))"#);
    vec![
        Panel::table(
            "What is read",
            "Is everything read that is shown here, when was it last, and up to when is known what clients have logged?",
            ("State", false),
            vec![
                Column::new("host", "Host").leads_to_host(),
                Column::new("source_kind", "Kind"),
                Column::new("source_name", "Name"),
                Column::new("Value #A", "State").words(READ),
                Column::new("Value #B", "Last read, ago").unit("s"),
                Column::new("Value #C", "Known until, ago").unit("s"),
            ],
        )
        .query(with_host(&format!("min by ({SOURCE}) (kagiban_source_up{{{of}}})")), "")
        .query(
            with_host(&since(&format!("max by ({SOURCE}) (kagiban_source_last_success_timestamp_seconds{{{of}}})"))),
            "",
        )
        .query(with_host(&known), ""),
    ]
}
