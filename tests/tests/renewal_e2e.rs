//! A resource is applied and a real program of the host has a service renew its own certificate: API server, operator and exporter
//! are real, the program is openssl, and the service serves whatever lies in its file.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use kagiban_tests::control_plane::{ControlPlane, OPERATOR_ACCOUNT};
use kagiban_tests::exporter::Exporter;
use kagiban_tests::kubectl::Kubectl;
use kagiban_tests::operator::Operator;
use kagiban_tests::ports::Port;
use kagiban_tests::quickstart::{self, Fleet, HOST, ISSUER_SECRET, OPERATOR_NAME, PASSWORD_SECRET};
use kagiban_tests::stage::{RESYNC, condition};
use kagiban_tests::{audit, handshake, scratch, tools, wait};
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_secs(120);
const DAY: Duration = Duration::from_secs(24 * 3600);
const RESOURCE: &str = "ups-01.example.com-console";

/// A service whose certificate and key lie in one file, which it reads for every connection.
struct Service {
    port: Port,
    home: PathBuf,
}

impl Service {
    /// It serves a certificate that lives for 90 days, and ends in ten.
    fn start(home: &Path) -> Result<Self> {
        fs::create_dir_all(home)?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![HOST.to_owned()])?;
        params.not_before = (SystemTime::now() - 80 * DAY).into();
        params.not_after = (SystemTime::now() + 10 * DAY).into();
        let first = params.self_signed(&key)?.pem() + &key.serialize_pem();
        fs::write(home.join("tls.pem"), first)?;
        let port = Port::any()?;
        let listener = port.listen()?;
        let file = home.join("tls.pem");
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let file = file.clone();
                // Whoever breaks off a handshake breaks off nothing else
                thread::spawn(move || drop(serve(stream, &file)));
            }
        });
        let service = Self { port, home: home.to_owned() };
        service.program("renew", &service.renewal())?;
        service.program("back", "mv \"$home/old.pem\" \"$home/tls.pem\"")?;
        Ok(service)
    }

    fn renewal(&self) -> String {
        format!(
            "cp \"$home/tls.pem\" \"$home/old.pem\"\n\
             '{openssl}' req -x509 -newkey rsa:2048 -nodes -days 90 -subj /CN={HOST} -addext subjectAltName=DNS:{HOST} \
             -keyout \"$home/new.key\" -out \"$home/new.crt\"\n\
             cat \"$home/new.crt\" \"$home/new.key\" >\"$home/new.pem\"\nmv \"$home/new.pem\" \"$home/tls.pem\"",
            openssl = tools::openssl().map(|path| path.display().to_string()).unwrap_or_default(),
        )
    }

    /// Writes the program, which counts its runs.
    fn program(&self, name: &str, script: &str) -> Result<()> {
        let path = self.home.join(name);
        let text =
            format!("#!/bin/sh\nset -e\nhome='{}'\necho >>\"$home/ran-{name}\"\n{script}\n", self.home.display());
        fs::write(&path, text)?;
        Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
    }

    fn ran(&self, name: &str) -> usize {
        fs::read(self.home.join(format!("ran-{name}"))).map_or(0, |marks| marks.len())
    }

    fn leaf(&self) -> Result<String> {
        Ok(handshake::served(self.port.address(), HOST)?.leaf_sha256())
    }
}

fn serve(stream: TcpStream, file: &Path) -> Result<()> {
    let pem = fs::read(file)?;
    let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>()?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_slice(&pem)?)?;
    handshake::answer(stream, &Arc::new(config))
}

struct Stage {
    kubectl: Kubectl,
    service: Service,
    // Before the host: it must not order while the host goes away
    operator: Operator,
    exporter: Exporter,
    resource: Value,
}

impl Stage {
    fn set(name: &str) -> Result<Self> {
        let plane = ControlPlane::shared()?;
        let admin = plane.admin()?;
        let kubectl = admin.create_namespace(name)?;
        quickstart::install_rbac(&admin, name)?;
        let directory = scratch::directory(name)?;
        let service = Service::start(&directory.join("service"))?;
        let fleet = Fleet::new()?;
        let host_api = Port::any()?;
        fleet.server_identity(HOST)?.write(&directory, "host-api")?;
        fs::write(directory.join("client-ca.crt"), &fleet.transport.identity.certificate)?;
        let file = |name: &str| directory.join(name);
        let config = json!({
            "host": HOST,
            "stateDirectory": file("state"),
            "power": {"assume": "mains"},
            "hostApi": {
                "listenAddress": host_api.address().to_string(),
                "certificateFile": file("host-api.crt"),
                "keyFile": file("host-api.key"),
                "clientCaFile": file("client-ca.crt"),
                "clientNames": [OPERATOR_NAME],
            },
            "agents": [{
                "name": "console",
                "product": "self-renewing-service",
                "endpoint": {
                    "address": service.port.address().to_string(),
                    "serverName": HOST,
                    "accounts": [rustix::process::getuid().as_raw()],
                },
                "renew": {
                    "command": [service.home.join("renew")],
                    "back": [service.home.join("back")],
                    "timeout": "60s",
                },
                "service": {"minRestartInterval": "0s"},
                "verify": {"deadline": "10s", "holdDown": "1s", "interval": "100ms"},
            }],
        });
        let exporter = Exporter::start(&directory, &serde_yaml::to_string(&config)?, &[])?;
        let operator = Operator::start(&directory, plane.operator_kubeconfig(), name, RESYNC)?;
        fleet.apply_secrets(&kubectl, "not-used")?;
        // Nothing but the client Secret is needed
        kubectl.run(&["delete", "secret", ISSUER_SECRET, PASSWORD_SECRET])?;
        let text = fs::read_to_string(tools::workspace().join("examples/self-renewing-service.yaml"))?;
        let mut resource: Value = serde_yaml::from_str(&text)?;
        resource["spec"]["api"]["hostApi"]["url"] = json!(format!("https://{}", host_api.address()));
        resource["metadata"]["namespace"] = json!(name);
        Ok(Self { kubectl, service, operator, exporter, resource })
    }

    fn status(&self) -> Result<Value> {
        Ok(self.kubectl.json(&["get", "mac", RESOURCE])?["status"].take())
    }

    fn wait_status(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        wait::for_status(DEADLINE, what, || self.status(), wanted, [&self.operator.program, &self.exporter.program])
    }

    fn wait_committed(&self, generation: u64) -> Result<Value> {
        self.wait_status(&format!("generation {generation} committed"), |status| {
            status["rotation"]["generation"] == generation
                && status["rotation"]["state"] == "Committed"
                && condition(status, "Ready")["status"] == "True"
        })
    }

    fn annotate(&self, value: &str) -> Result<()> {
        self.kubectl.run(&["annotate", "--overwrite", "mac", RESOURCE, &format!("kagiban.dev/rotate={value}")])?;
        Ok(())
    }
}

#[test]
fn a_service_that_is_due_renews_its_own_certificate_when_it_is_told_to() -> Result<()> {
    let name = "e2e-renewal";
    let stage = Stage::set(name)?;
    let first = stage.service.leaf()?;
    stage.kubectl.apply(&stage.resource.to_string())?;
    let status = stage.wait_committed(1)?;
    let leaf = stage.service.leaf()?;
    ensure!(leaf != first && status["leaf"]["sha256"] == leaf.as_str(), "{leaf} is served: {status:#}");
    ensure!(status["rotation"]["trigger"] == "Renewal", "it was known before it was renewed: {status:#}");
    let kinds: Vec<_> = status["conditions"].as_array().into_iter().flatten().map(|c| &c["type"]).collect();
    ensure!(kinds == ["Ready", "Verified", "Serving"], "{kinds:?}");
    ensure!((stage.service.ran("renew"), stage.service.ran("back")) == (1, 0), "it was run once");

    let told = || -> Result<Vec<String>> {
        let events = stage.kubectl.json(&["get", "events.events.k8s.io", "--sort-by=.metadata.creationTimestamp"])?;
        let reasons = events["items"].as_array().into_iter().flatten().map(|event| event["reason"].as_str());
        Ok(reasons.flatten().map(str::to_owned).collect())
    };
    let all = ["Adopted", "RotationStarted", "Verified"];
    // The last one may be on its way when the status already says Ready
    wait::until(DEADLINE, || told().is_ok_and(|told| all.iter().all(|reason| told.iter().any(|it| it == reason))))
        .with_context(|| format!("{:?}", told()))?;
    let metrics = stage.operator.metrics()?;
    let ordered = "kagiban_host_requests_total{call=\"renew\",outcome=\"ok\"} 1";
    ensure!(metrics.lines().any(|line| line == ordered), "{metrics}");

    let audit_log = ControlPlane::shared()?.audit_log();
    let writes = || audit::writes(&audit_log, OPERATOR_ACCOUNT, name);
    let at_rest = writes()?.len();
    thread::sleep(RESYNC * 3);
    let later = writes()?;
    ensure!(later.len() == at_rest, "written at rest: {:#?}", &later[at_rest..]);

    // A person asks, and is answered once
    stage.annotate("once-more")?;
    let status = stage.wait_committed(2)?;
    ensure!(status["handledRotate"] == "once-more", "{status:#}");
    ensure!(status["leaf"]["sha256"] == stage.service.leaf()?.as_str(), "{status:#}");

    // A status that is lost has nothing renewed
    stage.kubectl.run(&[
        "patch",
        "mac",
        RESOURCE,
        "--subresource=status",
        "--type=merge",
        "-p",
        r#"{"status":null}"#,
    ])?;
    let again = stage.wait_status("it is Ready again", |status| condition(status, "Ready")["status"] == "True")?;
    ensure!(again["rotation"].is_null() && again["handledRotate"] == "once-more", "{again:#}");
    ensure!(stage.service.ran("renew") == 2, "{} runs", stage.service.ran("renew"));
    stage.kubectl.run(&["delete", "mac", RESOURCE, "--timeout=60s"])?;
    Ok(())
}

#[test]
fn a_renewal_that_fails_or_gains_nothing_is_told_and_what_was_served_is_ready() -> Result<()> {
    let stage = Stage::set("e2e-renewal-undone")?;
    stage.service.program("renew", &format!("{}\nexit 3", stage.service.renewal()))?;
    let first = stage.service.leaf()?;
    stage.kubectl.apply(&stage.resource.to_string())?;
    let undone = |reason: &'static str| {
        stage.wait_status(reason, move |status| {
            status["history"][0]["outcome"] == "RolledBack" && status["history"][0]["reason"] == reason
        })
    };
    let status = undone("renew_failed")?;
    ensure!(stage.service.leaf()? == first && status["leaf"]["sha256"] == first.as_str(), "{status:#}");
    ensure!(condition(&status, "Ready")["status"] == "True" && status["blockedBy"] == "BackingOff", "{status:#}");

    // Whoever has mended it asks again; a program that makes no other certificate has renewed nothing
    stage.service.program("renew", "cp \"$home/tls.pem\" \"$home/old.pem\"")?;
    stage.annotate("mended")?;
    let status = undone("not_renewed")?;
    ensure!(condition(&status, "Ready")["status"] == "True", "{status:#}");
    ensure!(status["handledRotate"].is_null(), "it is owed: {status:#}");
    stage.service.program("renew", &stage.service.renewal())?;
    stage.annotate("really-mended")?;
    let status = stage.wait_status("committed", |status| status["rotation"]["state"] == "Committed")?;
    ensure!(status["leaf"]["sha256"] == stage.service.leaf()?.as_str(), "{status:#}");
    ensure!(
        (stage.service.ran("renew"), stage.service.ran("back")) == (3, 1),
        "nothing is brought back where nothing was changed"
    );
    Ok(())
}
