//! Hosts with the products of the vendors' notices, as `examples/products` has them, and what they tell of besides: the log of clients, clients that
//! miss the certificate of their server, and an Apex Central.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use kagiban_tests::ports::on_ports;
use kagiban_tests::process::Program;
use kagiban_tests::products::{AWAY, OFF, Product, ProductHost};
use kagiban_tests::quickstart::Fleet;
use kagiban_tests::{scratch, tools};
use serde_json::{Value, json};

use super::day::schedule_shutdown;

const DEADLINE: Duration = Duration::from_secs(60);
/// It has no name that leads to a host, and so no repair.
const UNNAMED: &str = "経理-01";
/// Who of the clients that miss the certificate is left once the others have been given it.
pub(super) const LEFT: usize = 2;

/// It makes a certificate of its own when it is told to.
pub(super) const RENEWED: Product = Product::VirusBuster;

pub(super) struct Products {
    hosts: Vec<ProductHost>,
    /// Keeps clients from being repaired while it is there.
    scheduled: PathBuf,
    _central: Program,
}

impl Products {
    /// No client is repaired yet.
    pub(super) fn start(fleet: &Fleet) -> Result<Self> {
        let directory = scratch::directory("dashboards-products")?;
        let (central, address) = central(&directory)?;
        let scheduled = directory.join("scheduled");
        schedule_shutdown(&scheduled)?;
        let start = |product| {
            ProductHost::start(&directory, product, fleet, |config| match product {
                Product::VirusBuster => look_at_clients(config, &directory),
                Product::ApexOne => {
                    config["power"]["scheduledShutdownFile"] = json!(scheduled);
                    config["agents"][0]["clients"]["list"]["interval"] = json!("2s");
                    config["apexCentral"] = json!({
                        "url": format!("https://{address}"), "applicationId": "A-1",
                        "apiKeyFile": directory.join("key"), "caFile": directory.join("central.crt"),
                    });
                }
                Product::BusinessEdition | Product::Skysea => {}
            })
        };
        fs::write(directory.join("key"), "an-api-key\n")?;
        log_of_clients(&directory.join("clients.csv"))?;
        let hosts = Product::ALL.into_iter().map(start).collect::<Result<Vec<_>>>()?;
        let apex = hosts.iter().find(|host| host.product == Product::ApexOne).context("no such host")?;
        let agents: String =
            AWAY.iter().chain([&UNNAMED]).map(|name| format!("{name} {}\n", "00".repeat(32))).collect();
        fs::write(apex.directory()?.join("double/agents"), agents)?;
        Ok(Self { hosts, scheduled, _central: central })
    }

    /// Each by the name of its host.
    pub(super) fn exporters(&self) -> Result<Vec<(&str, SocketAddr)>> {
        self.hosts.iter().map(|host| Ok((host.host()?, host.exporter.address()))).collect()
    }

    pub(super) fn let_clients_be_repaired(&self) -> Result<()> {
        Ok(fs::remove_file(&self.scheduled)?)
    }

    /// What has it renew its certificate.
    pub(super) fn resource(&self) -> Result<&Value> {
        let host = self.hosts.iter().find(|host| host.product == RENEWED);
        Ok(host.context("no such host")?.resource())
    }

    pub(super) fn pages(&self) -> Result<String> {
        self.hosts.iter().map(|host| host.exporter.metrics()).collect()
    }
}

/// Whether the server works, and what its clients have logged.
fn look_at_clients(config: &mut Value, directory: &Path) {
    let agent = &mut config["agents"][0];
    agent["verify"]["function"] = json!({"command": ["/bin/true"], "interval": "1s"});
    agent["clientLogs"] = json!({"files": [directory.join("clients.csv")], "failureWords": ["サーバ認証に失敗"]});
}

/// An export that was made now has what clients have logged until an hour ago.
fn log_of_clients(file: &Path) -> Result<()> {
    let mut log = "日時,コンピュータ名,内容\r\n".to_owned();
    for (minutes, client) in [(90, "PC-0007"), (150, "PC-0007"), (200, "PC-0009")] {
        let at = jiff::Zoned::now().checked_sub(jiff::SignedDuration::from_mins(minutes))?;
        let _ = write!(log, "{},{client},サーバ認証に失敗しました\r\n", at.strftime("%Y/%m/%d %H:%M:%S"));
    }
    Ok(fs::write(file, log)?)
}

/// OpenSSL's server in the place of Apex Central: it gives both lists to everybody.
fn central(directory: &Path) -> Result<(Program, SocketAddr)> {
    let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    fs::write(directory.join("central.crt"), certified.cert.pem())?;
    fs::write(directory.join("central.key"), certified.signing_key.serialize_pem())?;
    let product = "SLF_PRODUCT_OFFICESCAN_CE";
    let server = |name: &str| json!({"entity_id": format!("id-{name}"), "product": product, "host_name": name});
    let agent = |(name, isolation): (&str, &str)| json!({"entity_id": format!("id-{name}"), "product": product, "managing_server_id": "id-av-02", "host_name": name, "isolation_status": isolation});
    // Two computers have one name.
    let agents = [("PC-0001", "normal"), ("PC-0002", "normal"), (OFF, "isolated"), (OFF, "normal")].map(agent);
    for (path, content) in [
        ("ServerResource/ProductServers", json!([server("av-02"), server("av-03")])),
        ("AgentResource/ProductAgents", json!(agents)),
    ] {
        let file = directory.join("WebApp/API").join(path);
        fs::create_dir_all(file.parent().context("a file without a directory")?)?;
        let body = json!({"result_code": 1, "result_description": "", "result_content": content}).to_string();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}", body.len());
        fs::write(file, format!("{head}\r\n\r\n{body}"))?;
    }
    let openssl = tools::openssl()?;
    on_ports(|[port]| {
        let mut command = Command::new(&openssl);
        command.args(["s_server", "-quiet", "-HTTP", "-cert", "central.crt", "-key", "central.key", "-accept"]);
        command.arg(port.address().to_string()).current_dir(directory);
        let mut program = Program::start("central", &command, directory)?;
        program.wait_ready_on(port.number(), DEADLINE, || true)?;
        Ok((program, port.address()))
    })
}
