//! What lies on the host of each product before anything is done: the double of the product, with what it is asked about.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use rcgen::{CertificateParams, DnType, KeyPair};
use serde_json::Value;

use super::{AWAY, CLIENTS, OFF, POWERSHELL, Product, SERVER_CERTIFICATE, below, directory_of, path_of, write_private};
use crate::keystore::{self, DAYS_LEFT};
use crate::{handshake, tools};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Of PowerChute Business Edition 7.0, in days, by the vendor's notice.
const VALIDITY: u32 = 3650;
/// The two products of one vendor have one program.
const CERTIFICATE_MANAGER: &str = "PCCSRV/Admin/Utility/CertificateManager/CertificateManager.exe";
const PASSWORD: &str = "double-password";

pub(super) fn install(product: Product, root: &Path, config: &Value) -> Result<()> {
    match product {
        Product::BusinessEdition => business_edition(root, config),
        Product::VirusBuster => server(config),
        Product::ApexOne => {
            server(config)?;
            clients(root, config)
        }
        Product::Skysea => {
            alerts(config)?;
            module(root, config)
        }
    }
}

/// Three terminals fail, of which one was told of twice: by a mail in the encoding of most Japanese mail programs, and by a row of a log.
fn alerts(config: &Value) -> Result<()> {
    let observe = &config["agents"][0]["observe"];
    let folder = directory_of_pattern(&observe["mails"][0])?;
    let now = jiff::Zoned::now().strftime("%Y/%m/%d %H:%M:%S").to_string();
    for (name, sender) in [("1.eml", "192.0.2.7"), ("2.eml", "192.0.2.8")] {
        let body = alert(&now, sender);
        let (text, ..) = encoding_rs::ISO_2022_JP.encode(&body);
        let header = "From: skysea@example.com\r\nSubject: alert\r\nMIME-Version: 1.0\r\n\
                      Content-Type: text/plain; charset=ISO-2022-JP\r\nContent-Transfer-Encoding: 7bit\r\n\r\n";
        fs::write(folder.join(name), [header.as_bytes(), &text].concat())?;
    }
    let exported = directory_of_pattern(&observe["logs"][0])?;
    let row = |sender: &str| format!("{now},0001,PC-0001,認証失敗,送信元端末 [IPアドレス:{sender}]\r\n");
    let log = format!("日時,端末機No.,コンピューター名,ログ種別,ログ詳細\r\n{}{}", row("192.0.2.8"), row("192.0.2.9"));
    let (log, ..) = encoding_rs::SHIFT_JIS.encode(&log);
    Ok(fs::write(exported.join("system.csv"), log)?)
}

/// It is there now.
fn directory_of_pattern(value: &Value) -> Result<PathBuf> {
    let directory = path_of(value)?.parent().context("a pattern without a directory")?.to_owned();
    fs::create_dir_all(&directory)?;
    Ok(directory)
}

/// The vendor's module, which is a site's to bring, and what tells that it was applied.
fn module(root: &Path, config: &Value) -> Result<()> {
    let repair = &config["agents"][0]["repair"];
    place("skysea/skysea-module", &path_of(&repair["command"][0])?)?;
    let asked = &repair["proof"]["command"];
    place("skysea/module-is-there", &path_of(&asked[3])?)?;
    place("powershell", &below(root, POWERSHELL))
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
fn business_edition(root: &Path, config: &Value) -> Result<()> {
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
    place("pbe/reinstall-powerchute", &program)?;
    let beside = program.parent().context("a program without a directory")?;
    let keytool = tools::keytool()?;
    let settings = [("KEYTOOL", keytool.as_path()), ("AGENT", &directory), ("SCRIPT", &script)];
    let settings: String = settings.iter().map(|(name, path)| format!("{name}='{}'\n", path.display())).collect();
    ensure!(!root.to_string_lossy().contains('\''), "a directory without an apostrophe");
    Ok(fs::write(beside.join("settings"), settings)?)
}

/// A server whose certificate ends soon, and whose agents have it.
fn server(config: &Value) -> Result<()> {
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
    let agents: String = CLIENTS.iter().map(|name| format!("{name} {has}\n")).collect();
    fs::write(directory.join("double/agents"), agents)?;
    write_private(&path_of(&config["agents"][0]["renew"]["passwordFile"])?, &format!("{PASSWORD}\n"))
}

/// Some of its clients are away when it renews its certificate, of which all but one can be reached afterwards.
fn clients(root: &Path, config: &Value) -> Result<()> {
    let server = directory_of(config)?;
    fs::write(server.join("double/away"), AWAY.map(|name| format!("{name}\n")).concat())?;
    let programs = server.join("PCCSRV/Admin/Utility/IpXfer");
    fs::create_dir_all(&programs)?;
    fs::copy(tools::ours("ipxfer-double")?, programs.join("Ipxfer_x64.exe"))?;
    let Some(deliver) = config["agents"][0]["clients"]["repair"]["command"].get(3) else { return Ok(()) };
    let deliver = path_of(deliver)?;
    place("apex-one/deliver", &deliver)?;
    place("powershell", &below(root, POWERSHELL))?;
    for name in CLIENTS {
        let client = deliver.with_file_name("clients").join(name);
        fs::create_dir_all(client.join("double"))?;
        fs::write(client.join("double/name"), name)?;
        fs::write(client.join("double/server"), server.display().to_string())?;
    }
    Ok(fs::write(deliver.with_file_name("clients").join(OFF).join("off"), "")?)
}

/// A double that is a script.
fn place(double: &str, at: &Path) -> Result<()> {
    fs::create_dir_all(at.parent().context("a program without a directory")?)?;
    fs::copy(tools::workspace().join("tests/doubles").join(double), at)?;
    Ok(())
}
