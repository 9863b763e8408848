//! The products that make their own certificate, and the one that is only looked at: each is found, told whom its notice concerns, repaired
//! where it can be, and proven.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use kagiban_tests::operator::Operator;
use kagiban_tests::products::{Product, ProductHost};
use kagiban_tests::quickstart::Fleet;
use kagiban_tests::stage::condition;
use kagiban_tests::standalone::Standalone;
use kagiban_tests::wait;

use crate::RESYNC;
use crate::progress::Progress;

const DEADLINE: Duration = Duration::from_secs(180);

/// What the demo shows of a product in the end.
pub(crate) struct Outcome {
    pub(crate) product: &'static str,
    pub(crate) found: String,
    pub(crate) affected: String,
    pub(crate) repaired: String,
    pub(crate) proof: String,
}

pub(crate) fn play_products(say: &Progress, directory: &Path, first: Outcome) -> Result<()> {
    let fleet = Fleet::new()?;
    let own = directory.join("products");
    std::fs::create_dir(&own)?;
    let standalone = Standalone::new(&own)?;
    standalone.write_secrets(&fleet.secrets("not-used")?)?;
    let _operator = Operator::start_standalone(&own, &standalone, RESYNC, &[])?;
    let mut outcomes = vec![first];
    for product in Product::ALL {
        say.line(&format!("{}: a double, configured by examples/products/{0}/exporter.yaml", product.id()));
        let host = ProductHost::start(directory, product, &fleet, |_| ())?;
        say.line(&format!("  kagiban-exporter: metrics on http://{}/metrics", host.exporter.address()));
        let outcome = match host.resource() {
            Some(_) => renew(say, &host, &standalone)?,
            None => look(say, &host)?,
        };
        outcomes.push(outcome);
    }
    for line in table(&outcomes) {
        say.line(&line);
    }
    say.last(&format!("played {} products", outcomes.len()));
    Ok(())
}

/// Applies its resource and follows it until the certificate that lies on the host is another one.
fn renew(say: &Progress, host: &ProductHost, standalone: &Standalone) -> Result<Outcome> {
    let product = host.product;
    let resource = host.resource().context("its example has a resource")?;
    let name = resource["metadata"]["name"].as_str().context("its resource has a name")?;
    let before = host.leaf()?;
    let metrics = host.exporter.metrics_when("what is found", |metrics| ends(metrics).is_some())?;
    let days = ends(&metrics).map_or(0.0, days_from_now);
    say.line(&format!("  leaf {before:.12}, {days:.0} days left"));
    let affected = affected(&metrics);
    say.line(&format!("  affected: {affected}"));
    standalone.apply_as(name, resource)?;
    let (applied, mut shown) = (Instant::now(), String::new());
    wait::until(DEADLINE, || {
        let Ok(status) = standalone.status_of(name) else { return false };
        let told = crate::story(&status);
        if told != shown && !told.is_empty() {
            say.line(&format!("  {told}"));
            shown = told;
        }
        let is_new = |leaf: &String| *leaf != before && status["leaf"]["sha256"] == leaf.as_str();
        condition(&status, "Ready")["status"] == "True"
            && status["rotation"]["state"] == "Committed"
            && host.leaf().is_ok_and(|leaf| is_new(&leaf))
    })
    .with_context(|| format!("{name} is not Ready\n{}", host.exporter.program.log_text()))?;
    let leaf = host.leaf()?;
    say.line(&format!("  Ready {:.1} s after it was applied; leaf {leaf:.12}", applied.elapsed().as_secs_f64()));
    Ok(Outcome {
        product: product.id(),
        found: format!("a certificate that ends in {days:.0} days{}", clients(&metrics)),
        affected,
        // The list of clients is asked for besides.
        repaired: host.ran()?.into_iter().filter(|word| word != "-l").collect::<Vec<_>>().join(", "),
        proof: format!("{leaf:.12} lies there, and ends later"),
    })
}

/// When the first certificate ends that the exporter has found in an agent's directory.
fn ends(metrics: &str) -> Option<f64> {
    let family = "x509_cert_not_after_timestamp_seconds{";
    let is_the_agents = |line: &&str| ["/commkey\"", "/OfcNTCer.dat\""].iter().any(|name| line.contains(name));
    let samples = metrics.lines().filter(|line| line.starts_with(family)).filter(is_the_agents);
    samples.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).reduce(f64::min)
}

/// How many clients do not have the certificate, where the server lists them.
fn clients(metrics: &str) -> String {
    let sample = metrics.lines().find(|line| line.starts_with("kagiban_clients_without_certificate{"));
    let count = sample.and_then(|sample| sample.rsplit(' ').next());
    count.map_or_else(String::new, |count| format!(", {count} clients without it"))
}

fn days_from_now(end: f64) -> f64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    (end - now.as_secs_f64()) / 86_400.0
}

/// What stops, by the notice; the notices of anti-virus servers tell no releases apart.
fn affected(metrics: &str) -> String {
    let family = "kagiban_product_affected{";
    let samples = metrics.lines().filter(|line| line.starts_with(family) && line.ends_with(" 1"));
    let reasons = samples.filter_map(|line| Some(line.split_once("reason=\"")?.1.split_once('"')?.0));
    let reasons: BTreeSet<_> = reasons.collect();
    if reasons.is_empty() {
        return "every release: clients take nothing".to_owned();
    }
    reasons.into_iter().collect::<Vec<_>>().join(", ")
}

/// With a column for each heading, as wide as it has to be.
fn table(outcomes: &[Outcome]) -> Vec<String> {
    let heading = ["product", "found", "affected", "repaired", "proof"].map(str::to_owned);
    let row = |it: &Outcome| {
        [it.product.to_owned(), it.found.clone(), it.affected.clone(), it.repaired.clone(), it.proof.clone()]
    };
    let rows: Vec<_> = std::iter::once(heading).chain(outcomes.iter().map(row)).collect();
    let widths: [usize; 5] =
        std::array::from_fn(|n| rows.iter().map(|row| row[n].chars().count()).max().unwrap_or_default());
    let line = |row: &[String; 5]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// What cannot be repaired by a program of ours is told: by whom, and what a person does.
fn look(say: &Progress, host: &ProductHost) -> Result<Outcome> {
    let failures = "kagiban_skysea_authentication_failures";
    let metrics = host.exporter.metrics_when("failures", |metrics| metrics.contains(&format!("{failures}{{")))?;
    // What is beyond the senders that are named.
    let is_named = |line: &&str| line.starts_with(&format!("{failures}{{")) && !line.contains("sender=\"other\"");
    let samples: Vec<_> = metrics.lines().filter(is_named).collect();
    let count: f64 = samples.iter().filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum();
    let found = format!("{count} failed authentications of {} terminals", samples.len());
    say.line(&format!("  {found}"));
    let affected = affected(&metrics);
    say.line(&format!("  affected: {affected}"));
    Ok(Outcome {
        product: host.product.id(),
        found,
        affected,
        repaired: "not by Kagiban: a person applies the module".to_owned(),
        proof: "none until then".to_owned(),
    })
}
