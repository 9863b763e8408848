//! The products of the vendors' notices besides PowerChute Serial Shutdown: each is found, told what its notice says of it, renewed or
//! repaired, and proven.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use kagiban_tests::operator::Operator;
use kagiban_tests::products::{Product, ProductHost};
use kagiban_tests::quickstart::Fleet;
use kagiban_tests::stage::condition;
use kagiban_tests::standalone::Standalone;
use kagiban_tests::wait;
use serde_json::{Value, json};

use crate::clients::Clients;
use crate::outcome::{Outcome, table};
use crate::progress::Progress;
use crate::{RESYNC, seen};

const DEADLINE: Duration = Duration::from_secs(180);

pub(crate) fn play_products(say: &Progress, directory: &Path, first: Outcome) -> Result<()> {
    let fleet = Fleet::new()?;
    let own = directory.join("products");
    std::fs::create_dir(&own)?;
    let standalone = Standalone::new(&own)?;
    standalone.write_secrets(&fleet.secrets("not-used")?)?;
    let operator = Operator::start_standalone(&own, &standalone, RESYNC, &[])?;
    let mut outcomes = vec![first];
    for product in Product::ALL {
        say.line(&format!("{}: a double, configured by examples/products/{0}/exporter.yaml", product.id()));
        let mut host = ProductHost::start(directory, product, &fleet, |_| ())?;
        let (root, metrics) = (host.root().display(), host.exporter.address());
        say.line(&format!("  its files are below {root}; kagiban-exporter: metrics on http://{metrics}/metrics"));
        let played = match product {
            Product::BusinessEdition | Product::VirusBuster | Product::ApexOne => renew(say, &host, &standalone),
            Product::Skysea => repair(say, &mut host, &standalone),
        };
        let logs = || format!("{}\n{}", operator.program.log_text(), host.exporter.program.log_text());
        outcomes.push(played.with_context(logs)?);
    }
    for line in table(&outcomes) {
        say.line(&line);
    }
    say.last(&format!("played {} products", outcomes.len()));
    Ok(())
}

/// Applies its resource and follows it until the certificate that lies on the host is another one, and its clients have it that can be
/// given it.
fn renew(say: &Progress, host: &ProductHost, standalone: &Standalone) -> Result<Outcome> {
    let before = host.leaf()?;
    let metrics = host.exporter.metrics_when("what is found", |metrics| seen::days_left(metrics).is_some())?;
    let found = found(&metrics)?;
    say.line(&format!("  found: {found}, leaf {before:.12}"));
    let affected = seen::affected(&metrics);
    say.line(&format!("  affected: {affected}"));
    let is_new = |leaf: &String, status: &Value| *leaf != before && status["leaf"]["sha256"] == leaf.as_str();
    let mut clients = host.agent()["clients"]["repair"].is_object().then(|| Clients::of(host));
    let applied = apply(say, host, standalone)?;
    let status = follow(say, host, standalone, &mut String::new(), |status| {
        if let Some(clients) = &mut clients {
            clients.look(say);
        }
        condition(status, "Ready")["status"] == "True"
            && status["rotation"]["state"] == "Committed"
            && host.leaf().is_ok_and(|leaf| is_new(&leaf, status))
    })?;
    let leaf = host.leaf()?;
    say.line(&format!("  Ready {:.1} s after it was applied; leaf {leaf:.12}", applied.elapsed().as_secs_f64()));
    if let Some(clients) = &mut clients {
        wait::until(DEADLINE, || clients.look(say)).context("its clients were not repaired")?;
        say.line(&format!("  {}; {}; whoever is left is tried again in an hour", clients.repaired(), clients.left()));
    }
    // The list of clients is asked for besides.
    let ran: Vec<_> = host.ran()?.into_iter().filter(|word| word != "-l").collect();
    let until = status["leaf"]["notAfter"].as_str().and_then(|end| end.split('T').next()).context("its end")?;
    let repaired = format!("its program ran: {}", ran.join(", "));
    let proof = format!("{}: leaf {leaf:.12}, until {until}", reason(&status, "Ready"));
    let (affected, repaired, proof) = match &clients {
        Some(clients) => {
            (clients.affected(), format!("{repaired}; {}", clients.repaired()), format!("{proof}; {}", clients.left()))
        }
        None => (affected, repaired, proof),
    };
    Ok(Outcome { product: host.product.id(), found, affected, repaired, proof })
}

/// What can only be looked at is repaired when a person asks, and not before.
fn repair(say: &Progress, host: &mut ProductHost, standalone: &Standalone) -> Result<Outcome> {
    let metrics = host.exporter.metrics_when("failures", |metrics| seen::failures(metrics).is_some())?;
    let (count, terminals) = seen::failures(&metrics).context("failures")?;
    let found = format!("{count} failures of {terminals} terminals");
    say.line(&format!("  found: {found} in alert mails and exported logs"));
    let affected = seen::affected(&metrics);
    say.line(&format!("  affected: {affected}"));
    apply(say, host, standalone)?;
    let mut shown = String::new();
    follow(say, host, standalone, &mut shown, |status| condition(status, "Repaired")["reason"] == "NotAsked")?;
    ensure!(host.ran()?.is_empty(), "nobody has asked, and {:?} ran", host.ran()?);
    let name = host.name()?;
    standalone.command(&["rotate", name])?;
    say.line(&format!("  a person asks: kagiban-operator rotate {name}"));
    let status = follow(say, host, standalone, &mut shown, |status| !status["history"][0]["outcome"].is_null())?;
    ensure!(condition(&status, "Repaired")["status"] == "True", "it was not repaired: {status:#}");
    let ran = host.ran()?;
    host.reconfigure(|config| config["agents"][0]["observe"]["moduleApplied"] = json!(true))?;
    say.line("  the module is there: a person writes observe.moduleApplied: true into exporter.yaml, and has it loaded again");
    let is_other = |metrics: &str| seen::affected(metrics) != affected;
    let after = seen::affected(&host.exporter.metrics_when("what is affected now", is_other)?);
    say.line(&format!("  affected: {after}"));
    Ok(Outcome {
        product: host.product.id(),
        found,
        affected,
        repaired: format!("its module ran: {}", ran.join(", ")),
        proof: format!("{}; affected {after}", reason(&status, "Repaired")),
    })
}

/// As the table says it.
pub(crate) fn found(metrics: &str) -> Result<String> {
    Ok(format!("certificate, {:.0} days left", seen::days_left(metrics).context("no certificate is found")?))
}

fn apply(say: &Progress, host: &ProductHost, standalone: &Standalone) -> Result<Instant> {
    standalone.apply_as(host.name()?, host.resource())?;
    say.line(&format!("  applied examples/products/{}/resource.yaml", host.product.id()));
    Ok(Instant::now())
}

/// Prints what its resource says, once it is another thing than was shown last, until that is as wanted.
fn follow(
    say: &Progress,
    host: &ProductHost,
    standalone: &Standalone,
    shown: &mut String,
    mut wanted: impl FnMut(&Value) -> bool,
) -> Result<Value> {
    let (name, root) = (host.name()?, host.root().display().to_string());
    let seen = wait::for_some(DEADLINE, || {
        let status = standalone.status_of(name).ok()?;
        let told = brief(&crate::story(&status).replace(&root, ""));
        if told != *shown && !told.is_empty() {
            say.line(&format!("  {told}"));
            *shown = told;
        }
        wanted(&status).then_some(status)
    });
    seen.with_context(|| format!("{name}: {shown}"))
}

fn reason<'a>(status: &'a Value, kind: &str) -> &'a str {
    condition(status, kind)["reason"].as_str().unwrap_or_default()
}

/// What is longer than a line ends where a part of it does.
fn brief(told: &str) -> String {
    const LONGEST: usize = 140;
    let Some((end, _)) = told.char_indices().nth(LONGEST) else { return told.to_owned() };
    let end = told[..end].rfind([',', ':', ';']).unwrap_or(end);
    format!("{} ...", &told[..end])
}
