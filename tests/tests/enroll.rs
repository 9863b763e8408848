//! `kagiban-operator enroll`: from its command line to a host API that answers the operator and nobody else.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use kagiban_tests::control_plane::ControlPlane;
use kagiban_tests::enroll::{FILES, attempt, client, enroll};
use kagiban_tests::exporter::{Exporter, sample};
use kagiban_tests::http::HostClient;
use kagiban_tests::pki::Identity;
use kagiban_tests::ports::{Port, on_ports};
use kagiban_tests::strace::{Fault, Injection};
use kagiban_tests::{handshake, scratch, strace, tools, wait};
use serde_json::{Value, json};

const HOST: &str = "ups-01.example.com";
const CA: [&str; 4] = ["--ca-cert", "ca/ca.crt", "--ca-key", "ca/ca.key"];
/// The exporter looks at its files every few seconds.
const RELOADED: Duration = Duration::from_secs(60);

/// A host whose exporter runs with what `enroll` has written for it, word for word.
struct Enrolled {
    directory: PathBuf,
    port: Port,
    exporter: Exporter,
}

impl Enrolled {
    fn start(name: &str) -> Result<Self> {
        let directory = scratch::directory(name)?;
        on_ports(|[port]| {
            // A port that was lost is no reason to keep what was made for it.
            for made in ["ca", HOST] {
                let _ = fs::remove_dir_all(directory.join(made));
            }
            let _ = fs::remove_file(directory.join("fleet-client.yaml"));
            let (on_host, address) = (directory.join(HOST), port.address().to_string());
            let words = [HOST, "--new-ca", "ca", "--allowed-hosts", "*.example.com", "--listen-address", &address];
            enroll(&directory, &[&words[..], &["--on-host", &on_host.to_string_lossy()]].concat())?;
            let settings = fs::read_to_string(on_host.join("host-api.yaml"))?;
            let exporter = Exporter::start(&directory, &format!("{settings}discovery: {{enabled: false}}\n"), &[])?;
            Ok(Self { directory: directory.clone(), port, exporter })
        })
    }

    /// By the Secret in this file of the directory.
    fn client(&self, secret: &str) -> Result<HostClient> {
        let (identity, server_ca) = client(&fs::read_to_string(self.directory.join(secret))?)?;
        Ok(self.with(identity, server_ca))
    }

    fn with(&self, identity: Identity, server_ca: String) -> HostClient {
        HostClient { address: self.port.address(), server_name: HOST.to_owned(), server_ca, identity: Some(identity) }
    }
}

fn asked(client: &HostClient) -> Result<u16> {
    Ok(client.send("GET", "/v1/host", None)?.status)
}

#[test]
fn an_enrolled_host_answers_the_operators_certificate_and_no_strangers() -> Result<()> {
    let host = Enrolled::start("enrolled")?;
    let operator = host.client("fleet-client.yaml")?;
    let answer = operator.send("GET", "/v1/host", None)?;
    ensure!(answer.status == 200 && answer.json()?["host"] == HOST, "{answer:?}");

    // Another fleet's operator has the same name and the same program.
    let elsewhere = scratch::directory("stranger")?;
    enroll(&elsewhere, &["--client", "--new-ca", "ca", "--allowed-hosts", "*.example.com"])?;
    let (stranger, their_ca) = client(&fs::read_to_string(elsewhere.join("fleet-client.yaml"))?)?;
    let refused = asked(&host.with(stranger, operator.server_ca.clone()));
    ensure!(refused.is_err(), "a stranger's certificate: {refused:?}");
    // It does not take this host for one of its own, either.
    let refused = asked(&host.with(operator.identity.clone().context("an identity")?, their_ca));
    ensure!(refused.is_err(), "a stranger's CA: {refused:?}");
    // The host's own certificate is for servers.
    let read = |name: &str| fs::read_to_string(host.directory.join(HOST).join(name));
    let own = Identity { certificate: read("host-api.crt")?, key: read("host-api.key")? };
    let refused = asked(&host.with(own, operator.server_ca.clone()));
    ensure!(refused.is_err(), "the host's own certificate: {refused:?}");
    // The fleet's own CA, but not the name.
    let others = ["--client", "--client-name", "somebody-else", "--client-secret", "else", "--allowed-hosts", HOST];
    enroll(&host.directory, &[&others[..], &CA].concat())?;
    let refused = asked(&host.client("else.yaml")?);
    ensure!(refused.as_ref().is_ok_and(|status| *status == 403), "another name: {refused:?}");
    ensure!(asked(&operator)? == 200, "and the operator still is answered");
    Ok(())
}

#[test]
fn a_renewed_host_serves_its_new_certificate_without_a_restart() -> Result<()> {
    let host = Enrolled::start("renewed")?;
    let served = || handshake::served(host.port.address(), HOST).map(|served| served.leaf_sha256());
    let before = served()?;
    let left = || -> Option<f64> {
        let metrics = host.exporter.metrics().ok()?;
        let end = sample(&metrics, "kagiban_host_api_certificate_not_after_timestamp_seconds", &[])?;
        Some(end - SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs_f64())
    };
    let days = |left: f64| left / 86400.0;
    // It is told a moment after the exporter is ready.
    let told = wait::for_some(RELOADED, left).context("its end is not told")?;
    ensure!((364.0..=365.0).contains(&days(told)), "{told}");
    let (address, on_host) = (host.port.address().to_string(), host.directory.join(HOST));
    let words =
        [HOST, "--renew", "--duration", "48h", "--listen-address", &address, "--on-host", &on_host.to_string_lossy()];
    enroll(&host.directory, &[&words[..], &CA].concat())?;
    wait::until(RELOADED, || served().is_ok_and(|now| now != before)).context("the old leaf is served on")?;
    wait::until(RELOADED, || left().is_some_and(|left| days(left) <= 2.0)).context("its end is not told")?;
    // Its key came with it, and the operator's certificate is the one from before.
    ensure!(asked(&host.client("fleet-client.yaml")?)? == 200, "the operator is refused");
    enroll(&host.directory, &[&["--client", "--renew", "--allowed-hosts", "*.example.com"][..], &CA].concat())?;
    ensure!(asked(&host.client("fleet-client.yaml")?)? == 200, "the operator with a new certificate is refused");
    Ok(())
}

/// Every file below a directory with its mode and its bytes, and every directory with its mode.
fn tree(directory: &Path) -> Result<Vec<(PathBuf, u32, Vec<u8>)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let metadata = fs::symlink_metadata(&path)?;
        let bytes = if metadata.is_dir() {
            found.extend(tree(&path)?);
            Vec::new()
        } else {
            fs::read(&path)?
        };
        found.push((path, metadata.permissions().mode() & 0o7777, bytes));
    }
    found.sort();
    Ok(found)
}

#[test]
fn what_is_written_is_for_its_owner_alone_and_what_is_there_is_kept_unless_it_is_renewed() -> Result<()> {
    let directory = scratch::directory("enroll-files")?;
    let said = enroll(&directory, &[HOST, "--new-ca", "ca"])?;
    for told in [
        "ca/ca.crt",
        "scp ups-01.example.com/host-api.crt",
        "kagiban-exporter discover --host ups-01.example.com -o config",
        "kagiban-exporter-host-api",
        "create -f fleet-client.yaml",
        "below the --manifests of kagiban-operator standalone",
    ] {
        ensure!(said.contains(told), "{told}: {said}");
    }
    ensure!(!said.contains("PRIVATE KEY"), "{said}");
    let written = tree(&directory)?;
    let names: Vec<_> = written.iter().filter_map(|(path, ..)| path.strip_prefix(&directory).ok()?.to_str()).collect();
    let expected = [
        &["ca", "ca/ca.crt", "ca/ca.key", "fleet-client.yaml", HOST].map(str::to_owned)[..],
        &FILES.map(|file| format!("{HOST}/{file}")),
    ]
    .concat();
    ensure!(names == expected, "{names:?}");
    for (path, mode, _) in &written {
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        ensure!(*mode == expected, "{}: {mode:o}", path.display());
    }

    let all = |words: &[&'static str]| [words, &CA].concat();
    for (words, told) in [
        (all(&[HOST]), "--renew"),
        (all(&["--client", "--allowed-hosts", HOST]), "--renew"),
        (vec!["ups-02.example.com", "--new-ca", "ca"], "--ca-cert ca/ca.crt --ca-key ca/ca.key"),
        (vec!["ups-02.example.com", "--ca-cert", "none.crt", "--ca-key", "ca/ca.key"], "none.crt: not found"),
        (
            vec!["ups-02.example.com", "--ca-cert", "ca/ca.crt", "--ca-key", "ups-01.example.com/host-api.key"],
            "does not belong",
        ),
        (
            vec!["ups-02.example.com", "--ca-cert", "ups-01.example.com/host-api.crt", "--ca-key", "ca/ca.key"],
            "cannot sign",
        ),
    ] {
        let output = attempt(&directory, &words)?;
        let said = String::from_utf8(output.stderr)?;
        ensure!(output.status.code() == Some(1) && said.contains(told), "{words:?}: {said}");
        ensure!(tree(&directory)? == written, "{words:?} has changed something");
    }
    // A key that others may read is told of.
    fs::set_permissions(directory.join("ca/ca.key"), fs::Permissions::from_mode(0o644))?;
    let said = enroll(&directory, &all(&["ups-03.example.com"]))?;
    ensure!(said.contains("warning: others may read the key of the CA: chmod 600 ca/ca.key"), "{said}");
    // What would be lost is not replaced.
    fs::write(directory.join(HOST).join("notes"), "theirs")?;
    let with_notes = tree(&directory)?;
    let output = attempt(&directory, &all(&[HOST, "--renew"]))?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(!output.status.success() && said.contains("notes") && tree(&directory)? == with_notes, "{said}");
    Ok(())
}

/// It lost the key of the agents' CA, which stood in the file that a renewal of the client's certificate is put over.
#[test]
fn no_renewal_and_no_second_run_touches_the_key_of_the_agents_ca() -> Result<()> {
    let directory = scratch::directory("enroll-issuer")?;
    let said = enroll(&directory, &[HOST, "--new-ca", "ca", "--new-issuer", "fleet-ca"])?;
    for told in
        ["create -f fleet-client.yaml -f fleet-ca.yaml", "move both below", "rm fleet-client.yaml fleet-ca.yaml"]
    {
        ensure!(said.contains(told), "{told}: {said}");
    }
    let read = |name: &str| fs::read_to_string(directory.join(name));
    let (client_before, issuer) = (read("fleet-client.yaml")?, read("fleet-ca.yaml")?);
    ensure!(!client_before.contains("issuer") && issuer.contains("kagiban.dev/purpose: issuer"), "each has its file");
    let mode = fs::metadata(directory.join("fleet-ca.yaml"))?.permissions().mode() & 0o7777;
    ensure!(mode == 0o600, "{mode:o}");
    enroll(&directory, &[&["--client", "--renew", "--allowed-hosts", HOST][..], &CA].concat())?;
    ensure!(read("fleet-client.yaml")? != client_before && read("fleet-ca.yaml")? == issuer, "the client alone is new");

    let before = tree(&directory)?;
    for (words, told) in [
        (&["--client-secret", "fleet/other", "--new-issuer", "fleet-ca"][..], "fleet-ca.yaml is there already"),
        (&["--client-secret", "fleet/other", "--new-issuer", "other"], "both Secrets"),
        (&["--new-issuer", "other"], "fleet-client.yaml is there already"),
    ] {
        let output = attempt(&directory, &[&["--client", "--allowed-hosts", HOST][..], words, &CA].concat())?;
        let said = String::from_utf8(output.stderr)?;
        ensure!(output.status.code() == Some(1) && said.contains(told), "{words:?}: {said}");
        ensure!(tree(&directory)? == before, "{words:?} has changed something");
    }
    let words = ["--client", "--allowed-hosts", HOST, "--client-output", "-", "--new-issuer", "fleet-ca"];
    let output = attempt(&directory, &[&words[..], &CA].concat())?;
    let printed = kagiban_tests::yaml::documents(&String::from_utf8(output.stdout)?)?;
    let names: Vec<_> = printed.iter().map(|it| it["metadata"]["name"].as_str().unwrap_or_default()).collect();
    ensure!(names == ["fleet-client", "fleet-ca"] && tree(&directory)? == before, "{names:?}");
    Ok(())
}

/// Whatever fails: all is new, or all is as it was. The last failure of all lost the Secret's file, and removed the CA of the new one.
#[test]
fn a_renewal_that_fails_at_any_call_loses_nothing() -> Result<()> {
    let directory = scratch::directory("enroll-faults")?;
    let (below, log) = (directory.join("out"), directory.join("trace"));
    fs::create_dir(&below)?;
    let new_ca = below.join("new-ca");
    enroll(&below, &[HOST, "--new-ca", "ca", "--allowed-hosts", "*.example.com"])?;
    let mut renew = Command::new(tools::ours("kagiban-operator")?);
    renew.args(["enroll", HOST, "--renew", "--allowed-hosts", "*.example.com", "--output"]).arg(&below);
    renew.arg("--new-ca").arg(&new_ca);
    let is_of_files = |name: &str| ["fsync", "fchmod", "mkdirat", "renameat", "renameat2", "unlinkat"].contains(&name);
    let whole = strace::run(&renew, &log, None)?;
    ensure!(whole.succeeded(), "{}", whole.stderr);
    let faults: Vec<_> = whole.calls.into_iter().filter(|call| call.creates() || is_of_files(&call.name)).collect();
    ensure!(faults.len() > 20, "{faults:?}");
    for call in faults {
        let _ = fs::remove_dir_all(&new_ca);
        // What was replaced and could not be removed is told, and the next one would sweep it
        for left in fs::read_dir(&below)?.flatten().filter(|it| it.file_name().as_encoded_bytes().starts_with(b".")) {
            fs::remove_dir_all(left.path())?;
        }
        let before = tree(&below)?;
        let injection = Injection { call: call.name.clone(), nth: call.nth, fault: Fault::Error("EIO") };
        let run = strace::run(&renew, &log, Some(&injection))?;
        ensure!(run.succeeded() || run.gave_up(), "{injection:?}: {}", run.stderr);
        if run.gave_up() {
            ensure!(tree(&below)? == before, "{injection:?}: {}", run.stderr);
            continue;
        }
        let read = |path: PathBuf| fs::read_to_string(&path).with_context(|| format!("{injection:?}"));
        let trusted = read(below.join(HOST).join("client-ca.crt"))?;
        let (_, server_ca) = client(&read(below.join("fleet-client.yaml"))?)?;
        let made = read(new_ca.join("ca.crt"))?;
        ensure!(trusted == made && server_ca == made, "{injection:?}: all of it is new");
    }
    Ok(())
}

#[test]
fn the_secret_goes_to_the_standard_output_when_it_is_asked_for_and_nothing_else_does() -> Result<()> {
    let directory = scratch::directory("enroll-stdout")?;
    enroll(&directory, &[HOST, "--new-ca", "ca"])?;
    let before = tree(&directory)?;
    let words = ["--client", "--client-output", "-", "--allowed-hosts", HOST, "--client-secret", "fleet/other"];
    let output = attempt(&directory, &[&words[..], &CA].concat())?;
    let manifest = String::from_utf8(output.stdout)?;
    client(&manifest)?;
    ensure!(manifest.contains("namespace: fleet\n"), "{manifest}");
    ensure!(String::from_utf8_lossy(&output.stderr).contains("fleet/other"), "the report is on stderr");
    ensure!(tree(&directory)? == before, "something was written");
    Ok(())
}

/// In a file system of its own, of so many pages, perhaps read-only; what it said, and whether `ls` finds the same as before.
fn on_a_small_disk(directory: &Path, options: &str, before: &str, words: &str) -> Result<(bool, String)> {
    let program = tools::ours("kagiban-operator")?;
    let script = format!(
        "set -e; mount -t tmpfs -o size=64k tmpfs disk; cd disk; {before}\nfind . -type f | sort | xargs -r sha256sum >../before; \
         find . | sort >>../before; mount -o remount,{options} \"$PWD\"; \
         if {} enroll {words} --ca-cert ../ca/ca.crt --ca-key ../ca/ca.key >../said 2>&1; then echo succeeded >>../said; fi; \
         find . -type f | sort | xargs -r sha256sum >../after; find . | sort >>../after; cmp ../before ../after",
        program.display()
    );
    fs::create_dir_all(directory.join("disk"))?;
    let output = Command::new("unshare").args(["--mount", "sh", "-c", &script]).current_dir(directory).output()?;
    let said = fs::read_to_string(directory.join("said")).with_context(|| format!("this test mounts: {output:?}"))?;
    Ok((output.status.success(), said))
}

#[test]
fn a_disk_that_takes_nothing_is_told_and_left_as_it_was() -> Result<()> {
    let directory = scratch::directory("enroll-disk")?;
    enroll(&directory, &["--client", "--new-ca", "ca", "--allowed-hosts", HOST])?;
    let program = tools::ours("kagiban-operator")?;
    let enrolled =
        format!("{} enroll {HOST} --ca-cert ../ca/ca.crt --ca-key ../ca/ca.key >/dev/null", program.display());
    // Of so many pages the first files find room, and the last one does not: a file of the set, or the Secret when the set has its
    // name already.
    for (options, before, words, told) in [
        ("size=12k", "", format!("{HOST} --client"), "no space left"),
        ("ro", "", HOST.to_owned(), "read-only"),
        ("size=28k", &*enrolled, format!("{HOST} --renew"), "no space left"),
        ("size=32k", &*enrolled, format!("{HOST} --renew --client"), "no space left"),
        // The issuer's Secret has its file already, and the client's finds no room
        ("size=20k", "", format!("{HOST} --client --new-issuer fleet-ca"), "no space left"),
    ] {
        let (same, said) = on_a_small_disk(&directory, options, before, &words)?;
        ensure!(said.contains(told) && said.contains("everything is as it was"), "{options} {words}: {said}");
        ensure!(same, "{options} {words}: something was left or is gone");
    }
    Ok(())
}

#[test]
fn a_ca_that_lies_in_the_cluster_signs_what_its_secret_says() -> Result<()> {
    let plane = ControlPlane::shared()?;
    let kubectl = plane.admin()?.create_namespace("enroll")?;
    let directory = scratch::directory("enroll-cluster")?;
    let words = ["--client", "--new-ca", "ca", "--new-issuer", "agents", "--allowed-hosts", HOST];
    enroll(&directory, &[&words[..], &["--client-secret", "fleet-client"]].concat())?;
    let at = |name: &str| format!("{}", directory.join("ca").join(name).display());
    kubectl.run(&["create", "secret", "tls", "host-api-ca", "--cert", &at("ca.crt"), "--key", &at("ca.key")])?;
    let kubeconfig = plane.admin_kubeconfig().to_string_lossy().into_owned();
    let of_cluster =
        |host: &str| attempt(&directory, &[host, "--ca-secret", "enroll/host-api-ca", "--kubeconfig", &kubeconfig]);
    let output = of_cluster(HOST)?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let same = fs::read_to_string(directory.join(HOST).join("client-ca.crt"))?
        == fs::read_to_string(directory.join("ca/ca.crt"))?;
    ensure!(same, "another CA");
    // One that the operator issues by says which names it is for.
    kubectl.run(&["label", "secret", "host-api-ca", "kagiban.dev/purpose=issuer"])?;
    kubectl.run(&["annotate", "secret", "host-api-ca", "kagiban.dev/allowed-hosts=*.example.com"])?;
    ensure!(of_cluster("ups-02.example.com")?.status.success(), "a name that it is for");
    for (host, told) in [("ups-02.example.org", "is not for ups-02.example.org"), ("none", "is not for none")] {
        let output = of_cluster(host)?;
        let said = String::from_utf8(output.stderr)?;
        ensure!(!output.status.success() && said.contains(told) && !directory.join(host).exists(), "{said}");
    }
    // The manifests are some that the API server takes, for what the operator asks.
    let file = |name: &str| directory.join(name).to_string_lossy().into_owned();
    kubectl.run(&["create", "-f", &file("fleet-client.yaml"), "-f", &file("agents.yaml")])?;
    let secret: Value = kubectl.json(&["get", "secret", "fleet-client"])?;
    ensure!(secret["metadata"]["labels"] == json!({"kagiban.dev/purpose": "client-tls"}), "{}", secret["metadata"]);
    ensure!(secret["type"] == "kubernetes.io/tls" && secret["data"]["ca.crt"].is_string(), "another kind");
    let issuer: Value = kubectl.json(&["get", "secret", "agents"])?;
    ensure!(issuer["metadata"]["labels"] == json!({"kagiban.dev/purpose": "issuer"}), "{}", issuer["metadata"]);
    let clients = &issuer["metadata"]["annotations"]["kagiban.dev/allowed-clients"];
    ensure!(clients == "fleet-client" && issuer["type"] == "kubernetes.io/tls", "{}", issuer["metadata"]);
    Ok(())
}

/// The pages that say how a host is enrolled, and how many commands each has.
const PAGES: [(&str, usize); 4] =
    [("README.md", 1), ("docs/first-rotation.md", 1), ("docs/host-api.md", 2), ("examples/quickstart/README.md", 1)];

#[test]
fn the_commands_and_the_settings_in_the_documents_are_those_of_the_program() -> Result<()> {
    let program = tools::ours("kagiban-operator")?;
    let path = format!("{}:/usr/bin:/bin", program.parent().context("a directory")?.display());
    for (page, count) in PAGES {
        let text = fs::read_to_string(tools::workspace().join(page))?;
        let directory = scratch::directory("enroll-documents")?;
        let run = |command: &str| -> Result<()> {
            let output =
                Command::new("sh").args(["-ec", command]).env("PATH", &path).current_dir(&directory).output()?;
            ensure!(output.status.success(), "{page}: {command}: {}", String::from_utf8_lossy(&output.stderr));
            Ok(())
        };
        // The CA of the agents is one that may sign.
        for command in text.lines().filter_map(|line| line.trim().strip_prefix("$ openssl req ")) {
            run(&format!("openssl req {command}"))?;
            enroll(&directory, &["other", "--ca-cert", "fleet-ca.crt", "--ca-key", "fleet-ca.key"])?;
        }
        let lines = text.lines().map(|line| line.trim().trim_start_matches("$ "));
        let commands: Vec<_> = lines.filter(|line| line.starts_with("kagiban-operator enroll ")).collect();
        ensure!(commands.len() == count, "{page}: {commands:?}");
        if !commands[0].contains("--new-ca") {
            enroll(&directory, &[HOST, "--new-ca", "host-api-ca", "--allowed-hosts", "*.example.com"])?;
        }
        commands.into_iter().try_for_each(run)?;
        // Where the page has the configuration of the host, it is the one that was written.
        if text.contains("certificateFile:") && !page.ends_with("host-api.md") {
            let settings = fs::read_to_string(directory.join(HOST).join("host-api.yaml"))?;
            let shown: Vec<_> =
                text.lines().map(|line| line.split(" #").next().unwrap_or_default().trim_end()).collect();
            for line in settings.lines() {
                ensure!(shown.contains(&line), "{page} has no line `{line}`");
            }
        }
    }
    Ok(())
}
