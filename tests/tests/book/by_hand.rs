//! The script of docs/host-api.md: a rotation by hand, with `openssl`, `curl` and `jq`, on a real exporter with a PowerChute double.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kagiban_tests::host::Host;
use kagiban_tests::keystore::StoreType;
use kagiban_tests::powerchute::Installation;
use kagiban_tests::process::Program;
use kagiban_tests::quickstart::{Fleet, HOST};
use kagiban_tests::{scratch, wait};
use serde_json::json;

use crate::pages;

const PAGE: &str = "docs/host-api.md";
/// From here on the script speaks with the host, which has the certificates that it has made until then.
const FIRST_REQUEST: &str = "\nreport=$(api GET ";
/// What the reader does until it has passed.
const LOOK: &str = "api GET /v1/agents/web/rotations/$generation | jq '{state, failure}'";
const LONGEST: Duration = Duration::from_secs(300);

#[test]
fn the_script_of_the_host_api_rotates_and_goes_back() -> Result<()> {
    let directory = scratch::directory("by-hand")?;
    let fleet = Fleet::new()?;
    let installation = Installation {
        store_type: StoreType::Jks,
        password: "store-password".to_owned(),
        host_name: HOST.to_owned(),
        deletes_credentials: false,
        usual_ports: false,
    };
    let mut host = Host::install(&directory.join("host"), &installation, &fleet)?;
    host.agent.start()?;
    let before = host.agent.served()?.leaf_sha256();
    host.configure(|config| {
        config["hostApi"]["certificateFile"] = json!(directory.join("ups-01.example.com.crt"));
        config["hostApi"]["keyFile"] = json!(directory.join("ups-01.example.com.key"));
        config["hostApi"]["clientCaFile"] = json!(directory.join("ca.crt"));
        config["hostApi"]["clientNames"] = json!(["operator.example.com"]);
        config["agents"][0]["name"] = json!("web");
        let console = json!({
            "name": "console", "product": "self-renewing-service", "endpoint": {"address": "127.0.0.1:1"},
            "renew": {"command": ["/bin/true"]},
        });
        config["agents"].as_array_mut().expect("agents").push(console);
    })?;

    let (first, rest) = script()?;
    // The name of the page is this machine.
    let address = host.client(None).address;
    fs::write(directory.join(".curlrc"), format!("connect-to = \"{HOST}:9995:{address}\"\n"))?;
    // What is made and what is served is looked at between the parts, which are one shell.
    let (committed, looked) = (directory.join("committed"), directory.join("looked"));
    let pause = |said: &Path, go_on: &Path| {
        format!("touch {}\nuntil [ -e {} ]; do sleep 0.1; done", said.display(), go_on.display())
    };
    let (made, started) = (directory.join("made"), directory.join("started"));
    let patient = format!(
        "until api GET /v1/agents/web/rotations/$generation | jq -e '.state == \"Committed\"'; do sleep 0.5; done\n{}\n{LOOK}",
        pause(&committed, &looked)
    );
    ensure!(rest.contains(LOOK), "the script does not look at its rotation by {LOOK}");
    let whole = format!("{first}\n{}\n{}", pause(&made, &started), rest.replace(LOOK, &patient));
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", &whole]).current_dir(&directory).env("HOME", &directory);
    shell.env("NO_PROXY", HOST).stdin(Stdio::null());
    let mut shell = Program::start("by-hand", &shell, &directory)?;
    let mut reached = |file: &Path| {
        let seen = wait::until(LONGEST, || file.exists() || !shell.is_running());
        seen.with_context(|| format!("{} was not reached", file.display()))?;
        ensure!(file.exists(), "the script ended before {}:\n{}", file.display(), shell.log_text());
        Ok(())
    };
    reached(&made)?;
    host.start_exporter()?;
    fs::write(&started, "")?;
    reached(&committed)?;
    let after = host.agent.served()?.leaf_sha256();
    ensure!(after != before, "the old leaf is served");
    fs::write(&looked, "")?;
    wait::until(LONGEST, || !shell.is_running()).context("the script does not end")?;
    let said = shell.log_text();
    for answer in
        ["\"state\":\"Validated\"", "\"state\": \"Committed\"", "\"state\":\"RollingBack\"", "\"state\":\"Requested\""]
    {
        ensure!(said.contains(answer), "no answer has {answer}:\n{said}");
    }
    wait::until(LONGEST, || host.agent.served().is_ok_and(|served| served.leaf_sha256() == before))
        .with_context(|| format!("the old leaf is not served again:\n{said}"))
}

/// Until its first request, and from there on.
fn script() -> Result<(String, String)> {
    let pages = pages::all()?;
    let page = pages.get(Path::new(PAGE)).with_context(|| format!("no {PAGE}"))?;
    let script = page.blocks.iter().find(|block| block.language == "bash").context("no script")?;
    let (first, rest) = script.text.split_once(FIRST_REQUEST).context("no first request")?;
    Ok((first.to_owned(), format!("{FIRST_REQUEST}{rest}")))
}
