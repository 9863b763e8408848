//! The products of the vendors' notices, each on a host of its own on this machine: its configuration and its resource are those of
//! `examples/products`, and its programs are doubles, which do what the notices document and no more.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use rcgen::{CertificateParams, DnType, KeyPair};
use serde_json::{Value, json};

use crate::exporter::Exporter;
use crate::keystore::{self, DAYS_LEFT};
use crate::ports::Port;
use crate::quickstart::Fleet;
use crate::{handshake, tools};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Of PowerChute Business Edition 7.0, in days, by the vendor's notice.
const VALIDITY: u32 = 3650;
/// The two products of one vendor have one program.
const CERTIFICATE_MANAGER: &str = "PCCSRV/Admin/Utility/CertificateManager/CertificateManager.exe";
const SERVER_CERTIFICATE: &str = "PCCSRV/Pccnt/Common/OfcNTCer.dat";
const PASSWORD: &str = "double-password";

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
    config: Value,
    resource: Option<Value>,
    /// Of its host API: it is nobody else's while this lives.
    _host_api: Option<Port>,
}

impl ProductHost {
    /// Lays out the double and starts the exporter, with the configuration of the example, whose paths begin at the host's root, changed as
    /// the test wants it.
    pub fn start(directory: &Path, product: Product, fleet: &Fleet, change: impl FnOnce(&mut Value)) -> Result<Self> {
        let directory = directory.join(product.id());
        let root = directory.join("root");
        fs::create_dir_all(&root)?;
        let mut config = example(product, "exporter.yaml")?;
        begin_at(&root, &mut config);
        change(&mut config);
        let host = config["host"].as_str().context("the example names its host")?.to_owned();
        let (mut resource, mut host_api) = (None, None);
        if !config["hostApi"].is_null() {
            let port = Port::any()?;
            let identity = fleet.server_identity(&host)?;
            for (setting, text) in [
                ("certificateFile", &identity.certificate),
                ("keyFile", &identity.key),
                ("clientCaFile", &fleet.transport.identity.certificate),
            ] {
                write_private(&path_of(&config["hostApi"][setting])?, text)?;
            }
            config["hostApi"]["listenAddress"] = json!(port.address().to_string());
            let mut object = example(product, "resource.yaml")?;
            object["spec"]["api"]["hostApi"]["url"] = json!(format!("https://{}", port.address()));
            object["metadata"].as_object_mut().context("no metadata")?.remove("namespace");
            resource = Some(object);
            host_api = Some(port);
        }
        install(product, &root, &config)?;
        let path = format!("{}:{}", tools::workspace().join("tests/doubles/pbe").display(), env_path());
        let text = serde_yaml::to_string(&config)?;
        let exporter = Exporter::start_with(&directory, &text, &[], &[("PATH", &path)])?;
        Ok(Self { product, exporter, root, config, resource, _host_api: host_api })
    }

    /// What a person applies; none of a product that is only looked at.
    pub fn resource(&self) -> Option<&Value> {
        self.resource.as_ref()
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

    /// A path of the example, on this machine.
    pub fn at(&self, path: &str) -> PathBuf {
        below(&self.root, path)
    }

    /// What the program of its vendor was asked for, a line each.
    pub fn ran(&self) -> Result<Vec<String>> {
        let log = match self.product {
            Product::BusinessEdition => self.at("/usr/local/sbin/ran"),
            _ => self.directory()?.join("double/ran"),
        };
        Ok(fs::read_to_string(log).unwrap_or_default().lines().map(str::to_owned).collect())
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

fn install(product: Product, root: &Path, config: &Value) -> Result<()> {
    match product {
        Product::BusinessEdition => install_business_edition(root, config),
        Product::VirusBuster | Product::ApexOne => install_server(config),
        Product::Skysea => install_alerts(config),
    }
}

/// Three terminals fail, of which one was told of twice: by a mail in the encoding of most Japanese mail programs, and by a row of a log.
fn install_alerts(config: &Value) -> Result<()> {
    let observe = &config["agents"][0]["observe"];
    let folder = path_of(&observe["mails"][0])?;
    for part in ["new", "cur", "tmp"] {
        fs::create_dir_all(folder.join(part))?;
    }
    let now = jiff::Zoned::now().strftime("%Y/%m/%d %H:%M:%S").to_string();
    for (name, sender) in [("1.mail", "192.0.2.7"), ("2.mail", "192.0.2.8")] {
        let body = alert(&now, sender);
        let (text, ..) = encoding_rs::ISO_2022_JP.encode(&body);
        let header = "From: skysea@example.com\r\nSubject: alert\r\nMIME-Version: 1.0\r\n\
                      Content-Type: text/plain; charset=ISO-2022-JP\r\nContent-Transfer-Encoding: 7bit\r\n\r\n";
        fs::write(folder.join("new").join(name), [header.as_bytes(), &text].concat())?;
    }
    let pattern = path_of(&observe["logs"][0])?;
    let exported = pattern.parent().context("a pattern without a directory")?;
    fs::create_dir_all(exported)?;
    let row = |sender: &str| format!("{now},0001,PC-0001,認証失敗,送信元端末 [IPアドレス:{sender}]\r\n");
    let log = format!("日時,端末機No.,コンピューター名,ログ種別,ログ詳細\r\n{}{}", row("192.0.2.8"), row("192.0.2.9"));
    let (log, ..) = encoding_rs::SHIFT_JIS.encode(&log);
    Ok(fs::write(exported.join("system.csv"), log)?)
}

/// As the vendor's notice has it.
fn alert(time: &str, sender: &str) -> String {
    [
        ("日時", time),
        ("端末機No.", "0001"),
        ("コンピューター名", "PC-0001"),
        ("ログオンアカウント", "user"),
        ("ログオンユーザー名", "user"),
        ("ログカテゴリ", "システム"),
        ("ログ種別", "認証失敗"),
        ("ログ詳細", &format!("送信元端末 [IPアドレス:{sender}]")),
        ("アラート項目", "SKYSEAセキュリティ通知/認証失敗"),
        ("アラート条件", ""),
        ("アラート処理", "メール"),
    ]
    .map(|(field, value)| format!("{field}:{value}\r\n"))
    .concat()
}

/// Release 7.0 on Linux, whose agent's certificate ends soon.
fn install_business_edition(root: &Path, config: &Value) -> Result<()> {
    let directory = directory_of(config)?;
    fs::create_dir_all(&directory)?;
    let store = directory.join("commkey");
    let name = "PCBE SmartSecure Communications Key";
    keystore::generate_days_ago(
        VALIDITY - DAYS_LEFT,
        VALIDITY,
        &store,
        keystore::StoreType::Jks,
        "double-store",
        "securekey",
        name,
    )?;
    let script = path_of(&config["agents"][0]["renew"]["keep"][0])?;
    write_private(&script, "# a site's own\n")?;
    let program = path_of(&config["agents"][0]["renew"]["command"][0])?;
    let beside = program.parent().context("a program without a directory")?;
    fs::create_dir_all(beside)?;
    fs::copy(tools::workspace().join("tests/doubles/pbe/reinstall-powerchute"), &program)?;
    let keytool = tools::keytool()?;
    let settings = [("KEYTOOL", keytool.as_path()), ("AGENT", &directory), ("SCRIPT", &script)];
    let settings: String = settings.iter().map(|(name, path)| format!("{name}='{}'\n", path.display())).collect();
    ensure!(!root.to_string_lossy().contains('\''), "a directory without an apostrophe");
    Ok(fs::write(beside.join("settings"), settings)?)
}

/// A server whose certificate ends soon, with three agents that have it.
fn install_server(config: &Value) -> Result<()> {
    let directory = directory_of(config)?;
    let program = directory.join(CERTIFICATE_MANAGER);
    fs::create_dir_all(program.parent().context("a program without a directory")?)?;
    fs::copy(tools::ours("certificate-manager-double")?, &program)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "OfficeScan Server NTSG");
    params.not_before = (SystemTime::now() - 3 * 365 * DAY).into();
    params.not_after = (SystemTime::now() + DAYS_LEFT * DAY).into();
    let certificate = params.self_signed(&key)?;
    let file = directory.join(SERVER_CERTIFICATE);
    fs::create_dir_all(file.parent().context("a file without a directory")?)?;
    fs::write(file, certificate.der())?;
    fs::create_dir(directory.join("double"))?;
    write_private(&directory.join("double/server.pem"), &(key.serialize_pem() + &certificate.pem()))?;
    let has = handshake::sha256(certificate.der());
    let agents: String = ["PC-0001", "PC-0002", "PC-0003"].iter().map(|name| format!("{name} {has}\n")).collect();
    fs::write(directory.join("double/agents"), agents)?;
    write_private(&path_of(&config["agents"][0]["renew"]["passwordFile"])?, &format!("{PASSWORD}\n"))
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
