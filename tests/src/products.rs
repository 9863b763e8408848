//! The products of the vendors' notices, each on a host of its own on this machine: its configuration and its resource are those of
//! `examples/products`, and its programs are doubles, which do what the notices document and no more.

mod install;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::exporter::Exporter;
use crate::ports::Port;
use crate::quickstart::Fleet;
use crate::{handshake, keystore, tools};

const SERVER_CERTIFICATE: &str = "PCCSRV/Pccnt/Common/OfcNTCer.dat";
/// Of the examples that have a script of a site's.
const POWERSHELL: &str = r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe";
/// What a server calls its clients.
const CLIENTS: [&str; 5] = ["PC-0001", "PC-0002", "PC-0003", "PC-0004", "PC-0005"];
/// Of Apex One, those that are away when the server renews its certificate.
pub const AWAY: [&str; 3] = ["PC-0003", "PC-0004", "PC-0005"];
/// One of them, which stays off.
pub const OFF: &str = "PC-0005";

/// A product that has a host configuration and a double.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    BusinessEdition,
    VirusBuster,
    ApexOne,
    Skysea,
}

impl Product {
    pub const ALL: [Self; 4] = [Self::BusinessEdition, Self::VirusBuster, Self::ApexOne, Self::Skysea];

    pub const fn id(self) -> &'static str {
        match self {
            Self::BusinessEdition => "powerchute-business-edition",
            Self::VirusBuster => "virus-buster-corp",
            Self::ApexOne => "apex-one",
            Self::Skysea => "skysea",
        }
    }
}

/// A host with one product.
#[derive(Debug)]
pub struct ProductHost {
    pub product: Product,
    pub exporter: Exporter,
    /// What stands for the root of its file systems: `C:\Program Files` is `Program Files` there.
    root: PathBuf,
    /// Of its exporter: the configuration, and the state.
    home: PathBuf,
    config: Value,
    resource: Value,
    /// It is nobody else's while this lives.
    _host_api: Port,
}

impl ProductHost {
    /// Lays out the double and starts the exporter, with the configuration of the example, whose paths begin at the host's root, changed as
    /// the test wants it.
    pub fn start(directory: &Path, product: Product, fleet: &Fleet, change: impl FnOnce(&mut Value)) -> Result<Self> {
        let home = directory.join(product.id());
        let root = home.join("root");
        fs::create_dir_all(&root)?;
        let mut config = example(product, "exporter.yaml")?;
        begin_at(&root, &mut config);
        change(&mut config);
        let host = config["host"].as_str().context("the example names its host")?.to_owned();
        let host_api = Port::any()?;
        let identity = fleet.server_identity(&host)?;
        for (setting, text) in [
            ("certificateFile", &identity.certificate),
            ("keyFile", &identity.key),
            ("clientCaFile", &fleet.transport.identity.certificate),
        ] {
            write_private(&path_of(&config["hostApi"][setting])?, text)?;
        }
        config["hostApi"]["listenAddress"] = json!(host_api.address().to_string());
        let mut resource = example(product, "resource.yaml")?;
        resource["spec"]["api"]["hostApi"]["url"] = json!(format!("https://{}", host_api.address()));
        resource["metadata"].as_object_mut().context("no metadata")?.remove("namespace");
        install::install(product, &root, &config)?;
        let path = format!("{}:{}", tools::workspace().join("tests/doubles/pbe").display(), env_path());
        let text = serde_yaml::to_string(&config)?;
        let exporter = Exporter::start_with(&home, &text, &[], &[("PATH", &path)])?;
        Ok(Self { product, exporter, root, home, config, resource, _host_api: host_api })
    }

    /// What a person applies.
    pub const fn resource(&self) -> &Value {
        &self.resource
    }

    pub fn name(&self) -> Result<&str> {
        self.resource["metadata"]["name"].as_str().context("the example names its resource")
    }

    /// As its configuration calls it.
    pub fn host(&self) -> Result<&str> {
        self.config["host"].as_str().context("the example names its host")
    }

    pub fn agent(&self) -> &Value {
        &self.config["agents"][0]
    }

    /// The SHA-256 of the certificate that lies on the host.
    pub fn leaf(&self) -> Result<String> {
        match self.product {
            Product::BusinessEdition => {
                let listing = keystore::list(&self.commkey()?, "double-store")?;
                let entry = listing.entries.get("securekey").context("no securekey")?;
                entry.chain.first().cloned().context("no leaf")
            }
            Product::VirusBuster | Product::ApexOne => {
                Ok(handshake::sha256(&fs::read(directory_of(&self.config)?.join(SERVER_CERTIFICATE))?))
            }
            Product::Skysea => anyhow::bail!("it has no certificate that is looked at"),
        }
    }

    /// Where `directory` of its agent lies.
    pub fn directory(&self) -> Result<PathBuf> {
        directory_of(&self.config)
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A path of the example, on this machine.
    pub fn at(&self, path: &str) -> PathBuf {
        below(&self.root, path)
    }

    /// What the program of its vendor was asked for, a line each.
    pub fn ran(&self) -> Result<Vec<String>> {
        let log = match self.product {
            Product::BusinessEdition => self.at("/usr/local/sbin/ran"),
            Product::VirusBuster | Product::ApexOne => self.directory()?.join("double/ran"),
            Product::Skysea => self.at(r"C:\ProgramData\kagiban\ran"),
        };
        Ok(fs::read_to_string(log).unwrap_or_default().lines().map(str::to_owned).collect())
    }

    /// What is durable of the attempts on the clients of its server, by their names; null where there are none.
    pub fn tried(&self) -> Value {
        let record = self.home.join("state/client-repairs").join(format!("{}.json", self.product.id()));
        let record: Option<Value> = fs::read(record).ok().and_then(|text| serde_json::from_slice(&text).ok());
        record.map(|mut record| record["clients"].take()).unwrap_or_default()
    }

    /// Changes the configuration and has it loaded, as a person would.
    pub fn reconfigure(&mut self, change: impl FnOnce(&mut Value)) -> Result<()> {
        change(&mut self.config);
        self.exporter.reload(&self.home, &serde_yaml::to_string(&self.config)?)
    }

    /// Has the vendor's program fail: see the double.
    pub fn switch(&self, what: &str, text: &str) -> Result<()> {
        Ok(fs::write(self.directory()?.join("double").join(what), text)?)
    }

    fn commkey(&self) -> Result<PathBuf> {
        Ok(self.directory()?.join("commkey"))
    }
}

/// A file of the example, with nothing changed.
pub fn example(product: Product, file: &str) -> Result<Value> {
    let path = tools::workspace().join("examples/products").join(product.id()).join(file);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Ok(serde_yaml::from_str(&text)?)
}

fn directory_of(config: &Value) -> Result<PathBuf> {
    path_of(&config["agents"][0]["directory"])
}

fn path_of(value: &Value) -> Result<PathBuf> {
    value.as_str().map(PathBuf::from).context("the example names a path there")
}

/// Every path of a configuration, on Linux and on Windows.
fn begin_at(root: &Path, config: &mut Value) {
    match config {
        Value::String(text) if text.starts_with('/') || text.get(1..3) == Some(r":\") => {
            *text = below(root, text).to_string_lossy().into_owned();
        }
        Value::Array(values) => values.iter_mut().for_each(|value| begin_at(root, value)),
        Value::Object(fields) => fields.values_mut().for_each(|value| begin_at(root, value)),
        _ => {}
    }
}

fn below(root: &Path, path: &str) -> PathBuf {
    let without_drive = if path.get(1..3) == Some(r":\") { &path[3..] } else { path };
    root.join(without_drive.replace('\\', "/").trim_start_matches('/'))
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    fs::create_dir_all(path.parent().context("a file without a directory")?)?;
    fs::write(path, text)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o600))?)
}

fn env_path() -> String {
    std::env::var("PATH").unwrap_or_default()
}
