//! A real Prometheus that scrapes what a test points it at.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::ports::{Port, on_ports};
use crate::process::Program;
use crate::{http, tools, wait};

/// It starts in a second or two, and scrapes every second from then on.
const DEADLINE: Duration = Duration::from_secs(90);

/// A series over a time.
#[derive(Clone, Debug)]
pub struct Series {
    pub labels: Value,
    /// Seconds since 1970, and the value then.
    pub samples: Vec<(f64, f64)>,
}

#[derive(Debug)]
pub struct Prometheus {
    pub program: Program,
    port: Port,
}

impl Prometheus {
    /// Scrapes `/metrics` of each address every second, and keeps the rules of `rules`, a rule file.
    pub fn start(directory: &Path, targets: &[SocketAddr], rules: &Path) -> Result<Self> {
        let targets: Vec<_> = targets.iter().map(ToString::to_string).collect();
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{rules:?}]\nscrape_configs:\n  \
             - {{job_name: kagiban, static_configs: [{{targets: {targets:?}}}]}}\n"
        );
        Self::start_with(directory, &config)
    }

    /// The same with a configuration of the test's own.
    pub fn start_with(directory: &Path, config: &str) -> Result<Self> {
        let file = directory.join("prometheus.yaml");
        fs::write(&file, config)?;
        let prometheus = tools::prometheus()?;
        on_ports(|[port]| {
            let mut command = Command::new(&prometheus);
            command.arg(format!("--config.file={}", file.display()));
            command.arg(format!("--storage.tsdb.path={}", directory.join("tsdb").display()));
            command.arg(format!("--web.listen-address={}", port.address()));
            let mut program = Program::start("prometheus", &command, directory)?;
            let ready = || http::get(port.address(), "/-/ready").is_ok_and(|answer| answer.status == 200);
            program.wait_ready_on(port.number(), DEADLINE, ready)?;
            Ok(Self { program, port })
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Every result of an instant query: its labels and its value.
    pub fn query(&self, expression: &str) -> Result<Vec<(Value, f64)>> {
        let path = format!("/api/v1/query?query={}", percent_encoded(expression));
        let answer = http::get(self.port.address(), &path)?;
        ensure!(answer.status == 200, "{expression}: {} {}", answer.status, answer.body);
        let answer = answer.json()?;
        let results = answer["data"]["result"].as_array().with_context(|| format!("{expression}: {answer}"))?;
        let one = |result: &Value| Some((result["metric"].clone(), result["value"][1].as_str()?.parse().ok()?));
        Ok(results.iter().filter_map(one).collect())
    }

    /// Every result of a query over a time: its labels, and its samples at each of the steps, of a second.
    pub fn query_range(&self, expression: &str, from: f64, to: f64) -> Result<Vec<Series>> {
        let query = percent_encoded(expression);
        let answer = self.data(&format!("query_range?query={query}&start={from:.3}&end={to:.3}&step=1"))?;
        let results = answer["result"].as_array().with_context(|| format!("{expression}: {answer}"))?;
        let sample = |pair: &Value| Some((pair[0].as_f64()?, pair[1].as_str()?.parse().ok()?));
        let one = |result: &Value| {
            let samples = result["values"].as_array().into_iter().flatten().filter_map(sample).collect();
            Series { labels: result["metric"].clone(), samples }
        };
        Ok(results.iter().map(one).collect())
    }

    /// What a label of the series of this selector says, each text once.
    pub fn label_values(&self, label: &str, selector: &str) -> Result<Vec<String>> {
        let answer = self.data(&format!("label/{label}/values?match[]={}", percent_encoded(selector)))?;
        serde_json::from_value(answer.clone()).with_context(|| format!("{label} of {selector}: {answer}"))
    }

    /// What is scraped: each with the labels that it was discovered with, and its health.
    pub fn targets(&self) -> Result<Vec<Value>> {
        let targets = self.data("targets?state=active")?;
        targets["activeTargets"].as_array().cloned().with_context(|| format!("{targets}"))
    }

    /// Its own metrics.
    pub fn own_metrics(&self) -> Result<String> {
        Ok(http::get(self.port.address(), "/metrics")?.body)
    }

    fn data(&self, call: &str) -> Result<Value> {
        let answer = http::get(self.port.address(), &format!("/api/v1/{call}"))?;
        ensure!(answer.status == 200, "{call}: {} {}", answer.status, answer.body);
        Ok(answer.json()?["data"].take())
    }

    /// Waits until the query has as many results as wanted.
    pub fn wait_for(&self, expression: &str, results: usize) -> Result<()> {
        let mut last = String::new();
        wait::until(DEADLINE, || {
            let found = self.query(expression);
            last = format!("{found:?}");
            found.is_ok_and(|found| found.len() == results)
        })
        .with_context(|| format!("{expression}: {results} results are wanted, there is {last}"))
    }
}

fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}
