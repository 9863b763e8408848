//! All UPSes: what they say now, how their batteries are, and when they were needed.

use super::{
    Column, Dashboard, GOOD_AT_ZERO, HOSTS, Panel, Row, SHUTDOWN, Steps, UPS, Variable, WARN_ABOVE_ZERO, WITHOUT_PORT,
    Words, exporters, shutdown_rank, ups_rank, with_host,
};

const OF: &str = r#"job=~"$job",instance=~"$host(:[0-9]+)?",ups=~"$ups""#;
/// One UPS may be asked by several hosts, and a host that is looked at from outside may have one of the same name.
const EACH: &str = "instance, host, ups";
/// With none of these, and heard, a UPS has nothing to tell over time.
const NOT_ON_LINE: &str = "testing|calibrating|bypass|on_battery|low_battery|off|forced_shutdown|shutting_down";
const CHARGE: Steps = &[("red", None), ("orange", Some(0.3)), ("green", Some(0.6))];
const RUNTIME: Steps = &[("red", None), ("orange", Some(300.0)), ("green", Some(900.0))];
const LOAD: Steps = &[("green", None), ("orange", Some(0.7)), ("red", Some(0.9))];

const SELF_TEST: Words =
    &[("passed", "passed", "green"), ("failed", "failed", "red"), ("warning", "warning", "orange")];

pub(super) fn dashboard() -> Dashboard {
    let variable = |name, label, query, regex| Variable { name, label, query, regex, many: true };
    Dashboard {
        name: "power",
        title: "Kagiban / Power",
        about: "Every UPS: its battery, its runtime, when it was on battery, and what that meant for the hosts.",
        from: "now-7d",
        variables: vec![
            variable("job", "Job", "label_values(ups_up, job)".to_owned(), ""),
            variable("host", "Host", exporters(",job=~\"$job\""), WITHOUT_PORT),
            variable("ups", "UPS", format!("label_values(ups_up{{{HOSTS}}}, ups)"), ""),
        ],
        annotations: Vec::new(),
        rows: vec![
            Row { title: "Now", panels: now() },
            Row { title: "Batteries", panels: batteries() },
            Row { title: "On battery", panels: on_battery() },
            Row { title: "Hosts", panels: hosts() },
        ],
    }
}

fn each(metric: &str) -> String {
    format!("max by ({EACH}) ({metric}{{{OF}}})")
}

fn status(words: &str) -> String {
    format!("max by ({EACH}) (ups_status{{{OF},status=~{words:?}}})")
}

fn now() -> Vec<Panel> {
    vec![
        Panel::stat("UPSes", "How many UPSes are asked?", "none").query(format!("count({})", each("ups_up")), ""),
        Panel::stat("Not heard", "How many do not answer?", "none")
            .query(format!("sum(1 - {})", each("ups_up")), "")
            .steps(GOOD_AT_ZERO),
        Panel::stat("On battery", "How many are on battery, tests included?", "none")
            .query(format!("sum({})", status("on_battery")), "")
            .steps(WARN_ABOVE_ZERO),
        Panel::stat("Low battery", "How many have a low battery?", "none")
            .query(format!("sum({})", status("low_battery")), "")
            .steps(GOOD_AT_ZERO),
        Panel::stat("Replace battery", "How many ask for a new battery?", "none")
            .query(format!("sum({})", status("replace_battery")), "")
            .steps(WARN_ABOVE_ZERO),
        Panel::stat("Shortest runtime", "How long does the weakest UPS carry its load?", "s")
            .query(format!("min({})", each("ups_battery_runtime_seconds")), "")
            .steps(RUNTIME),
        Panel::table(
            "Every UPS",
            "What is each UPS, what does it say, when was it last heard, and how is its battery?",
            ("State", true),
            vec![
                Column::new("host", "Host").leads_to_host(),
                Column::new("ups", "UPS"),
                Column::new("model", "Model"),
                Column::new("Value #A", "State").words(UPS),
                Column::new("Value #B", "Charge").unit("percentunit").steps(CHARGE),
                Column::new("Value #C", "Runtime").unit("s").steps(RUNTIME),
                Column::new("Value #D", "Load").unit("percentunit").steps(LOAD),
                Column::new("Value #E", "Last heard").unit("s"),
                Column::new("Value #F", "Battery age").unit("s"),
                Column::new("result", "Last self-test").words(SELF_TEST),
                Column::hidden("Value #G"),
                Column::hidden("Value #H"),
            ],
        )
        .query(with_host(&ups_rank(EACH, OF)), "")
        .query(with_host(&each("ups_battery_charge_ratio")), "")
        .query(with_host(&each("ups_battery_runtime_seconds")), "")
        .query(with_host(&each("ups_load_ratio")), "")
        .query(with_host(&format!("time() - {}", each("ups_last_success_timestamp_seconds"))), "")
        .query(with_host(&format!("time() - {}", each("ups_battery_replaced_timestamp_seconds"))), "")
        .query(with_host(&format!("max by ({EACH}, result) (ups_self_test_result{{{OF}}}) == 1")), "")
        .query(with_host(&format!("max by ({EACH}, model) (ups_info{{{OF}}})")), ""),
    ]
}

fn batteries() -> Vec<Panel> {
    let (legend, each) = ("{{ups}} ({{host}})", |metric: &str| with_host(&each(metric)));
    vec![
        Panel::lines("Charge", "How full are the batteries, and how fast do they fill again?", "percentunit")
            .query(each("ups_battery_charge_ratio"), legend),
        Panel::lines("Runtime", "How long would each UPS carry its load?", "s")
            .query(each("ups_battery_runtime_seconds"), legend),
        Panel::lines("Load", "How much of what it can carry does each UPS carry?", "percentunit")
            .query(each("ups_load_ratio"), legend),
        Panel::lines("Input voltage", "Was the mains voltage steady?", "volt")
            .query(each("ups_input_voltage_volts"), legend),
        Panel::lines("Battery temperature", "Does heat age a battery?", "celsius")
            .query(each("ups_battery_temperature_celsius"), legend),
        Panel::lines("Answers", "How long does a UPS take to answer?", "s")
            .query(each("ups_poll_duration_seconds"), legend),
    ]
}

fn on_battery() -> Vec<Panel> {
    let of = r#"ups_status{OF,status="on_battery"}"#.replace("OF", OF);
    vec![
        Panel::states("UPSes that were not on line", "Of UPSes that were on battery, low, off or not heard: when?", UPS).query(
            with_host(&format!(
                "{} and on ({EACH}) ((max by ({EACH}) (max_over_time(ups_status{{{OF},status=~{NOT_ON_LINE:?}}}[$__range] @ end())) == 1) \
                 or (min by ({EACH}) (min_over_time(ups_up{{{OF}}}[$__range] @ end())) == 0))",
                ups_rank(EACH, OF)
            )),
            "{{ups}} ({{host}})",
        ),
        Panel::table(
            "On battery in this time",
            "How often and how long was each UPS on battery, and how far did it discharge?",
            ("Time", true),
            vec![
                Column::new("host", "Host").leads_to_host(),
                Column::new("ups", "UPS"),
                Column::new("Value #A", "Times"),
                Column::new("Value #B", "Time").unit("s"),
                Column::new("Value #C", "Lowest charge").unit("percentunit").steps(CHARGE),
                Column::new("Value #D", "Shortest runtime").unit("s").steps(RUNTIME),
            ],
        )
        .query(with_host(&format!("max by ({EACH}) (ceil(changes({of}[$__range]) / 2))")), "")
        .query(with_host(&format!("max by ({EACH}) (avg_over_time({of}[$__range])) * $__range_s")), "")
        .query(with_host(&format!("min by ({EACH}) (min_over_time(ups_battery_charge_ratio{{{OF}}}[$__range]))")), "")
        .query(
            with_host(&format!("min by ({EACH}) (min_over_time(ups_battery_runtime_seconds{{{OF}}}[$__range]))")),
            "",
        ),
    ]
}

fn hosts() -> Vec<Panel> {
    vec![
        Panel::stacked("Hosts by shutdown state", "How many hosts were in which state but `none`?", "none").query(
            format!(r#"sum by (state) (max by (instance, state) (host_shutdown_state{{{HOSTS},state!="none"}})) > 0"#),
            "{{state}}",
        )
        .size(8, 8),
        Panel::lines("Redundancy", "How many of the UPSes that share a load can it lose? Below zero it has too few.", "none")
            .query(
                format!(
                    "min by (instance, load) (host_feeds_healthy{{{HOSTS}}}) - min by (instance, load) (host_feeds_min_healthy{{{HOSTS}}})"
                ),
                "{{load}} ({{instance}})",
            )
            .size(8, 8),
        Panel::stacked("Shutdowns called off", "How many shutdowns were announced and then called off?", "none")
            .query(format!("sum(increase(host_shutdown_cancelled_total{{{HOSTS}}}[$__rate_interval]))"), "called off")
            .size(8, 8),
        Panel::states("Hosts that were to go down", "Of hosts that were in any state but `none`: in which, and when?", SHUTDOWN)
            .query(
                format!(
                    r#"{} and on (instance) (max by (instance) (max_over_time(host_shutdown_state{{{HOSTS},state!="none"}}[$__range] @ end())) == 1)"#,
                    shutdown_rank("instance", HOSTS)
                ),
                "{{instance}}",
            ),
    ]
}
