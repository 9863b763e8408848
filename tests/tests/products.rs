//! The products of the vendors' notices, each on a host of its own: what `examples/products` has works as it is, against doubles.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kagiban_tests::operator::Operator;
use kagiban_tests::products::{AWAY, OFF, Product, ProductHost};
use kagiban_tests::quickstart::Fleet;
use kagiban_tests::stage::{RESYNC, condition};
use kagiban_tests::standalone::Standalone;
use kagiban_tests::{scratch, tools, wait};
use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_secs(120);

/// An operator and one host.
struct Stage {
    // Before the host: it must not order while the host goes away
    operator: Operator,
    standalone: Standalone,
    host: ProductHost,
    directory: PathBuf,
}

impl Stage {
    fn set(name: &str, product: Product, change: impl FnOnce(&mut Value)) -> Result<Self> {
        let directory = scratch::directory(name)?;
        let fleet = Fleet::new()?;
        let host = ProductHost::start(&directory, product, &fleet, change)?;
        let standalone = Standalone::new(&directory)?;
        standalone.write_secrets(&fleet.secrets("not-used")?)?;
        let operator = Operator::start_standalone(&directory, &standalone, RESYNC, &[])?;
        Ok(Self { operator, standalone, host, directory })
    }

    fn name(&self) -> Result<&str> {
        self.host.name()
    }

    fn apply(&self) -> Result<()> {
        self.standalone.apply_as(self.name()?, self.host.resource())
    }

    fn wait_status(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let name = self.name()?;
        let look = || self.standalone.status_of(name);
        wait::for_status(DEADLINE, what, look, wanted, [&self.operator.program, &self.host.exporter.program])
    }
}

fn quick(config: &mut Value) {
    let agent = &mut config["agents"][0];
    for (setting, value) in [("deadline", "5s"), ("holdDown", "100ms"), ("interval", "100ms")] {
        agent["verify"][setting] = json!(value);
    }
    agent["service"] = json!({"minRestartInterval": "0s"});
}

#[test]
fn a_product_that_makes_its_own_certificate_is_renewed_as_its_example_says() -> Result<()> {
    for (product, ran) in [
        (Product::BusinessEdition, &["reinstalled"][..]),
        (Product::VirusBuster, &["-b", "-c"]),
        (Product::ApexOne, &["-c"]),
    ] {
        let stage = Stage::set(&format!("products-{}", product.id()), product, |_| ())?;
        let before = stage.host.leaf()?;
        stage.apply()?;
        let status = stage.wait_status(product.id(), |status| {
            status["rotation"]["state"] == "Committed" && condition(status, "Ready")["status"] == "True"
        })?;
        let leaf = stage.host.leaf()?;
        ensure!(leaf != before && status["leaf"]["sha256"] == leaf.as_str(), "{leaf} lies there: {status:#}");
        // The list of agents is asked for besides.
        let renewals: Vec<_> = stage.host.ran()?.into_iter().filter(|word| word != "-l").collect();
        ensure!(renewals == ran, "{}: {renewals:?}", product.id());
        if product == Product::BusinessEdition {
            let kept = stage.host.agent()["renew"]["keep"][0].as_str().context("it keeps a file")?.to_owned();
            ensure!(fs::read_to_string(kept)? == "# a site's own\n", "what the installer writes over is back");
        }
        let _ = fs::remove_dir_all(&stage.directory);
    }
    Ok(())
}

/// The demo fails where a step of its own does: a repair that begins before a person asks, a client that is never given the certificate.
#[test]
fn the_demo_plays_every_product_and_ends_with_a_table_of_what_was_seen() -> Result<()> {
    let demo = Command::new(tools::ours("demo")?).env("PRODUCTS", "1").env("ONCE", "1").output()?;
    let said = String::from_utf8_lossy(&demo.stdout);
    ensure!(demo.status.success(), "{said}\n{}", String::from_utf8_lossy(&demo.stderr));
    ensure!(said.lines().last() == Some("demo: played 5 products"), "{said}");
    let table: Vec<_> = said.lines().rev().skip(1).take(6).collect();
    let named = AWAY.map(|client| format!("{client} is given it by the site's script"));
    ensure!(named.iter().all(|line| said.contains(line)), "each client shows while it happens:\n{said}");
    let stays = format!("left: {OFF} (attempt 1: failed)");
    for (product, seen) in [
        ("product ", &["found", "affected", "repaired", "proof"][..]),
        ("powerchute-serial-shutdown", &["9 days left", "securekey replaced", "is served"]),
        ("powerchute-business-edition", &["9 days left", "console", "reinstalled", "until 20"]),
        ("virus-buster-corp", &["9 days left", "-b, -c", "until 20"]),
        ("apex-one", &["9 days left", "3 clients missed it", "-c; 2 clients given it", &stays]),
        ("skysea", &["3 failures of 3 terminals", "authentication", "applied", "Repaired; affected by nothing"]),
    ] {
        let is_its = |line: &&&str| line.contains(&format!("s  {product}"));
        let row = table.iter().find(is_its).with_context(|| format!("no row of {product}\n{said}"))?;
        for word in seen {
            ensure!(row.contains(word), "{product}: no {word} in {row}\n{said}");
        }
    }
    Ok(())
}

/// Each fault in turn on one host: the old certificate is there in the end, the program of the vendor is run no more than it has to be, and
/// the status names what has failed.
#[test]
fn a_repair_that_fails_at_any_of_its_steps_leaves_the_certificate_from_before_and_says_why() -> Result<()> {
    let stage = Stage::set("products-faults", Product::VirusBuster, |config| {
        quick(config);
        config["agents"][0]["renew"]["timeout"] = json!("3s");
    })?;
    let before = stage.host.leaf()?;
    let faults = [
        ("fails", "-b", "not_backed_up", &["-b"][..]),
        ("does-nothing", "-b", "not_backed_up", &["-b"]),
        ("hangs", "-b", "not_backed_up", &["-b"]),
        ("fails", "-c", "renew_failed", &["-b", "-c"]),
        ("does-nothing", "-c", "not_renewed", &["-b", "-c"]),
        ("hangs", "-c", "renew_failed", &["-b", "-c"]),
        ("writes-half", "-c", "malformed", &["-b", "-c", "-r"]),
    ];
    let (mut asked, mut applied) = (0, false);
    for (what, option, reason, ran) in faults {
        stage.host.switch(what, option)?;
        let had = stage.host.ran()?.len();
        if applied {
            asked += 1;
            stage.standalone.command(&["rotate", stage.name()?, "--as", &format!("again-{asked}")])?;
        } else {
            stage.apply()?;
            applied = true;
        }
        let generation = asked + 1;
        let status = stage.wait_status(&format!("{what} {option}"), |status| {
            status["history"][0]["generation"] == generation && status["history"][0]["outcome"] == "RolledBack"
        })?;
        ensure!(status["history"][0]["reason"] == reason, "{what} {option}: {status:#}");
        let said = stage.standalone.command(&["describe", stage.name()?])?;
        ensure!(said.contains(reason), "{what} {option}: a person is told of it:\n{said}");
        ensure!(stage.host.leaf()? == before, "{what} {option}: the certificate is another one");
        let calls = stage.host.ran()?.split_off(had);
        ensure!(calls == ran, "{what} {option}: {calls:?}");
        stage.host.switch(what, "")?;
    }
    Ok(())
}

/// The server is asked by the double's own program, in each encoding that it may write; each way to fail has a word of its own, and none is
/// an empty list.
#[test]
fn the_agents_that_do_not_have_the_certificate_are_listed_as_the_server_lists_them() -> Result<()> {
    let directory = scratch::directory("products-clients")?;
    let host = ProductHost::start(&directory, Product::ApexOne, &Fleet::new()?, |config| {
        config["agents"][0]["clients"] = json!({"list": {"interval": "1s", "deadline": "2s"}, "most": 2});
    })?;
    let told = |what: &str, sample: &str| {
        host.exporter.metrics_when(what, |metrics| metrics.lines().any(|line| line == sample))
    };
    let counted = |number: usize| {
        format!(r#"kagiban_clients_without_certificate{{agent="apex-one",product="apex-one"}} {number}"#)
    };
    told("every agent has the certificate", &counted(0))?;
    let agents = host.directory()?.join("double/agents");
    let (had, other) = (fs::read_to_string(&agents)?, "00".repeat(32));
    for (number, encoding) in ["utf-8", "utf-8-bom", "utf-16le", "shift_jis"].into_iter().enumerate() {
        host.switch("encoding", encoding)?;
        let names: Vec<_> = (0..=number).map(|at| format!("経理-{number}{at}")).collect();
        fs::write(&agents, names.iter().map(|name| format!("{name} {other}\n")).collect::<String>() + &had)?;
        let metrics = told(encoding, &counted(number + 1))?;
        for name in names.iter().take(2) {
            let sample = format!(r#"kagiban_client_without_certificate{{agent="apex-one",client="{name}"}} 1"#);
            ensure!(metrics.contains(&sample), "{encoding}: {sample}\n{metrics}");
        }
        let left_out = format!(r#"kagiban_clients_left_out{{agent="apex-one"}} {}"#, number.saturating_sub(1));
        ensure!(metrics.contains(&left_out), "{encoding}: {left_out}\n{metrics}");
    }
    for (what, reason) in [("fails", "failed"), ("does-nothing", "not_written"), ("hangs", "timed_out")] {
        host.switch(what, "-l")?;
        let up = r#"kagiban_source_up{source_kind="clients",source_name="apex-one"} 0"#;
        let metrics = host.exporter.metrics_when(what, |metrics| {
            let of_reason = format!(r#"source_name="apex-one",reason="{reason}"}}"#);
            let has_failed = |line: &str| {
                line.contains(r#"source_kind="clients""#) && line.contains(&of_reason) && !line.ends_with(" 0")
            };
            metrics.contains(up) && metrics.lines().any(has_failed)
        })?;
        ensure!(
            !metrics.contains("kagiban_clients_without_certificate{"),
            "{what}: no count is told as new\n{metrics}"
        );
        ensure!(metrics.contains("kagiban_clients_listed_timestamp_seconds{"), "{what}: {metrics}");
        host.switch(what, "")?;
        told("it is listed again", &counted(4))?;
    }
    let kept = fs::read_dir(directory.join("apex-one/state/client-lists/apex-one"))?.flatten();
    let lists = kept.filter(|entry| entry.path().extension().is_some_and(|it| it == "csv")).count();
    ensure!(lists <= 1, "{lists} lists are left");
    Ok(())
}
