//! The clients of a server that lack its certificate are given it: the exporter is real, CertificateManager, IpXfer and the clients are
//! doubles, and the program between them is what a site would write.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kagiban_tests::exporter::{Exporter, sample};
use kagiban_tests::{handshake, scratch, tools, wait};
use serde_json::Value;

/// It starts programs, and two cores may be busy.
const DEADLINE: Duration = Duration::from_secs(120);
const CLIENTS: [&str; 3] = ["PC-01", "PC-02", "PC-03"];
/// Of no certificate.
const NONE: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A server with three clients, none of which has its certificate.
struct Site {
    root: PathBuf,
    /// The server's certificate, as it is written down.
    leaf: String,
}

impl Site {
    fn new(name: &str) -> Result<Self> {
        let certificate = rcgen::generate_simple_self_signed(["apex-01.example.com".to_owned()])?.cert;
        let leaf = handshake::sha256(certificate.der());
        let site = Self { root: scratch::directory(name)?, leaf };
        let below = |path: &str| site.server().join(path);
        for path in
            ["PCCSRV/Admin/Utility/CertificateManager", "PCCSRV/Admin/Utility/IpXfer", "PCCSRV/Pccnt/Common", "double"]
        {
            fs::create_dir_all(below(path))?;
        }
        fs::copy(
            tools::ours("certificate-manager-double")?,
            below("PCCSRV/Admin/Utility/CertificateManager/CertificateManager.exe"),
        )?;
        fs::copy(tools::ours("ipxfer-double")?, below("PCCSRV/Admin/Utility/IpXfer/Ipxfer_x64.exe"))?;
        fs::write(below("PCCSRV/Pccnt/Common/OfcNTCer.dat"), certificate.der())?;
        let agents: String = CLIENTS.iter().map(|name| format!("{name} {NONE}\n")).collect();
        fs::write(below("double/agents"), agents)?;
        for name in CLIENTS {
            let own = site.client(name).join("double");
            fs::create_dir_all(&own)?;
            fs::write(own.join("name"), name)?;
            fs::write(own.join("server"), site.server().display().to_string())?;
        }
        fs::copy(tools::workspace().join("tests/doubles/apex-one/deliver"), site.root.join("deliver"))?;
        Ok(site)
    }

    fn server(&self) -> PathBuf {
        self.root.join("apex")
    }

    fn client(&self, name: &str) -> PathBuf {
        self.root.join("clients").join(name)
    }

    /// Has a client behave so.
    fn tell(&self, name: &str, what: &str) -> Result<()> {
        Ok(fs::write(self.client(name).join(what), "")?)
    }

    fn start(&self, repair: &str) -> Result<Exporter> {
        let (root, server) = (self.root.display(), self.server());
        let list = server.join("PCCSRV/Admin/Utility/CertificateManager/CertificateManager.exe");
        let config = format!(
            "discovery: {{enabled: false}}\nshutdown: {{enabled: false}}\n\
             power: {{assume: mains, scheduledShutdownFile: '{root}/scheduled'}}\n\
             agents:\n  - name: apex-one\n    product: apex-one\n    directory: '{}'\n    renew: {{command: [/bin/true]}}\n    \
             clients:\n      list: {{command: ['{}', -l, '{{list}}'], interval: 1h}}\n      \
             repair: {{command: ['{root}/deliver', '{{client}}', '{{certificate}}', '{{files}}'], {repair}}}\n",
            server.display(),
            list.display(),
        );
        Exporter::start(&self.root, &config, &[])
    }

    /// How often the server was asked for the list.
    fn lists(&self) -> usize {
        fs::read_to_string(self.server().join("double/ran")).unwrap_or_default().lines().count()
    }

    /// How often IpXfer was run there.
    fn runs(&self, name: &str) -> usize {
        fs::read_to_string(self.client(name).join("double/ran")).unwrap_or_default().lines().count()
    }

    /// What is durable of the attempts on a client.
    fn tried(&self, name: &str) -> Option<Value> {
        let record = fs::read(self.root.join("state/client-repairs/apex-one.json")).ok()?;
        let record: Value = serde_json::from_slice(&record).ok()?;
        record["clients"].get(name).cloned()
    }

    /// Has an earlier exporter have tried these clients, when the server had this certificate.
    fn write_record(&self, leaf: &str, clients: &str) -> Result<()> {
        let state = self.root.join("state");
        let directory = state.join("client-repairs");
        for path in [&state, &directory] {
            fs::create_dir_all(path)?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
        }
        let file = directory.join("apex-one.json");
        fs::write(&file, format!(r#"{{"leaf":"{leaf}","clients":{clients}}}"#))?;
        Ok(fs::set_permissions(file, fs::Permissions::from_mode(0o600))?)
    }

    /// A list that was made after its attempt leaves it out.
    fn is_thought_repaired(&self, name: &str) -> bool {
        self.tried(name).is_some_and(|tried| tried["absentSince"].is_string())
    }

    /// Whether IpXfer still runs there.
    fn goes_on(&self, name: &str) -> bool {
        let programs = fs::read_dir("/proc").into_iter().flatten().flatten();
        let files = programs.filter_map(|process| fs::read_link(process.path().join("exe")).ok());
        files.into_iter().any(|file| file.starts_with(self.client(name)))
    }

    fn wait_tried(&self, name: &str, how: &str) -> Result<()> {
        let ended = || self.tried(name).is_some_and(|tried| tried["ended"]["how"] == how);
        wait::until(DEADLINE, ended).with_context(|| format!("{name}: {how}, and not {:?}", self.tried(name)))
    }
}

fn without_certificate(metrics: &str) -> Option<f64> {
    sample(metrics, "kagiban_clients_without_certificate", &[r#"agent="apex-one""#])
}

fn held(metrics: &str, reason: &str) -> Option<f64> {
    sample(metrics, "kagiban_clients_repair_held", &[&format!("reason={reason:?}")])
}

fn repaired(metrics: &str, result: &str) -> Option<f64> {
    sample(metrics, "kagiban_client_repairs_total", &[&format!("result={result:?}")])
}

#[test]
fn clients_are_repaired_until_only_those_stay_that_cannot_be() -> Result<()> {
    let site = Site::new("clients")?;
    site.tell("PC-02", "off")?;
    let exporter = site.start("")?;
    let metrics = exporter.metrics_when("one stays", |metrics| without_certificate(metrics) == Some(1.0))?;
    assert_eq!(repaired(&metrics, "failed"), Some(0.0), "it may be late");
    assert_eq!(sample(&metrics, "kagiban_clients_not_repaired", &[]), Some(0.0), "it has attempts left");
    let tried = site.tried("PC-02").context("it was tried")?;
    assert_eq!((&tried["attempts"], &tried["ended"]["how"]), (&1.into(), &"failed".into()));
    let are_thought_repaired = || site.is_thought_repaired("PC-01") && site.is_thought_repaired("PC-03");
    wait::until(DEADLINE, are_thought_repaired)?;
    assert_eq!(repaired(&exporter.metrics()?, "repaired"), Some(0.0), "one list may be wrong");
    assert!(!site.is_thought_repaired("PC-02"));
    assert_eq!(site.lists(), 2, "once at the start, and once after the round");
    Ok(())
}

/// The first one left it out an hour ago.
#[test]
fn a_client_that_a_second_list_leaves_out_is_repaired_and_its_attempts_are_remembered() -> Result<()> {
    let site = Site::new("clients-twice")?;
    fs::write(site.server().join("double/agents"), format!("PC-02 {NONE}\n"))?;
    site.tell("PC-02", "off")?;
    let at = |hours| jiff::Timestamp::now() - jiff::SignedDuration::from_hours(hours);
    let tried = format!(
        r#"{{"attempts":1,"begun":"{0}","ended":{{"at":"{0}","how":"done"}},"counted":false,"absentSince":"{1}"}}"#,
        at(2),
        at(1)
    );
    site.write_record(&site.leaf, &format!(r#"{{"PC-01":{tried}}}"#))?;
    let exporter = site.start("")?;
    exporter.metrics_when("it is repaired", |metrics| repaired(metrics, "repaired") == Some(1.0))?;
    wait::until(DEADLINE, || site.tried("PC-01").is_some_and(|tried| tried["counted"] == true))?;
    assert_eq!(site.tried("PC-01").context("it is remembered")?["attempts"], 1);
    Ok(())
}

/// What a program ends with proves nothing.
#[test]
fn a_client_whose_program_ends_well_and_does_nothing_is_not_taken_for_repaired() -> Result<()> {
    let site = Site::new("clients-nothing")?;
    site.tell("PC-02", "double/does-nothing")?;
    let exporter = site.start("")?;
    exporter.metrics_when("one stays", |metrics| without_certificate(metrics) == Some(1.0))?;
    let tried = site.tried("PC-02").context("it was tried")?;
    assert_eq!((&tried["ended"]["how"], &tried["counted"]), (&"done".into(), &false.into()));
    assert_eq!(site.runs("PC-02"), 1, "it is not tried again at once");
    Ok(())
}

#[test]
fn a_client_whose_program_hangs_holds_up_the_others_for_no_longer_than_its_deadline() -> Result<()> {
    let site = Site::new("clients-hang")?;
    site.tell("PC-01", "double/hangs")?;
    let exporter = site.start("deadline: 2s")?;
    exporter.metrics_when("one stays", |metrics| without_certificate(metrics) == Some(1.0))?;
    site.wait_tried("PC-01", "timedOut")
}

/// Two that hang are two, and the third waits for one of them.
#[test]
fn no_more_are_repaired_at_once_than_the_configuration_says() -> Result<()> {
    let site = Site::new("clients-at-once")?;
    site.tell("PC-01", "double/hangs")?;
    site.tell("PC-02", "double/hangs")?;
    let exporter = site.start("deadline: 3s, concurrent: 2")?;
    let both = || site.runs("PC-01") == 1 && site.runs("PC-02") == 1;
    wait::until(DEADLINE, || both() || site.runs("PC-03") > 0)?;
    ensure!(both() && site.tried("PC-03").is_none(), "the third was begun beside two");
    exporter.metrics_when("two stay", |metrics| without_certificate(metrics) == Some(2.0))?;
    Ok(())
}

#[test]
fn when_the_power_becomes_unsafe_no_further_client_is_begun_until_it_is_safe() -> Result<()> {
    let site = Site::new("clients-power")?;
    site.tell("PC-01", "schedules")?;
    let exporter = site.start("")?;
    exporter.metrics_when("the first is repaired", |metrics| without_certificate(metrics) == Some(2.0))?;
    wait::until(DEADLINE, || exporter.program.log_text().contains("power_unsafe"))?;
    assert_eq!((site.tried("PC-02"), site.tried("PC-03")), (None, None));
    fs::remove_file(site.root.join("scheduled"))?;
    exporter.metrics_when("all are repaired", |metrics| without_certificate(metrics) == Some(0.0))?;
    Ok(())
}

/// What was begun was written down before it.
#[test]
fn an_exporter_that_is_killed_in_the_middle_goes_on_with_the_others_and_begins_none_anew() -> Result<()> {
    let site = Site::new("clients-killed")?;
    site.tell("PC-01", "double/hangs")?;
    let mut exporter = site.start("deadline: 1m")?;
    wait::until(DEADLINE, || site.runs("PC-01") == 1 && site.goes_on("PC-01"))?;
    exporter.program.kill()?;
    drop(exporter);
    wait::until(DEADLINE / 4, || !site.goes_on("PC-01")).context("its program goes on")?;
    let tried = site.tried("PC-01").context("it was written down")?;
    assert_eq!((&tried["attempts"], tried.get("ended")), (&1.into(), None));

    let exporter = site.start("deadline: 1m")?;
    exporter.metrics_when("one stays", |metrics| without_certificate(metrics) == Some(1.0))?;
    assert_eq!((site.runs("PC-01"), site.tried("PC-01")), (1, Some(tried)), "its pause is not over");
    Ok(())
}

/// It would go on beside those that the next one begins.
#[test]
fn an_exporter_that_is_stopped_leaves_no_program_of_a_repair_behind_and_its_client_is_cut_off() -> Result<()> {
    let site = Site::new("clients-stopped")?;
    site.tell("PC-01", "double/hangs")?;
    let mut exporter = site.start("deadline: 30m")?;
    wait::until(DEADLINE, || site.runs("PC-01") == 1 && site.goes_on("PC-01"))?;
    exporter.program.terminate(DEADLINE)?;
    ensure!(!site.goes_on("PC-01"), "its program goes on");
    let tried = site.tried("PC-01").context("it was written down")?;
    assert_eq!((&tried["attempts"], tried.get("ended")), (&1.into(), None));
    Ok(())
}

#[test]
fn of_two_exporters_with_one_state_directory_one_repairs_and_the_other_says_why_it_does_not() -> Result<()> {
    let site = Site::new("clients-two")?;
    site.tell("PC-01", "double/hangs")?;
    let mut first = site.start("deadline: 30m")?;
    wait::until(DEADLINE, || site.runs("PC-01") == 1)?;
    let second = site.start("deadline: 30m")?;
    second.metrics_when("it is held", |metrics| held(metrics, "in_use") == Some(1.0))?;
    assert_eq!((site.tried("PC-02"), site.tried("PC-03")), (None, None));
    first.program.terminate(DEADLINE)?;
    second.metrics_when("it repairs the others", |metrics| without_certificate(metrics) == Some(1.0))?;
    assert_eq!(held(&second.metrics()?, "in_use"), Some(0.0));
    assert_eq!(site.runs("PC-01"), 1, "its pause is not over");
    Ok(())
}

/// The last attempt was eight hours ago, and the client is listed still.
#[test]
fn a_client_whose_attempts_are_used_up_stays_and_is_told() -> Result<()> {
    let site = Site::new("clients-stay")?;
    site.tell("PC-02", "off")?;
    site.write_record(&site.leaf, &all_attempts_on("PC-02"))?;
    let exporter = site.start("")?;
    let metrics = exporter.metrics_when("one stays", |metrics| without_certificate(metrics) == Some(1.0))?;
    assert_eq!(sample(&metrics, "kagiban_clients_not_repaired", &[]), Some(1.0), "{metrics}");
    assert_eq!(repaired(&metrics, "failed"), Some(1.0), "{metrics}");
    let tried = site.tried("PC-02").context("it is remembered")?;
    assert_eq!(tried["attempts"], 3, "the next is a day after the last");
    Ok(())
}

/// Of an earlier one the client has had all attempts.
#[test]
fn where_the_server_has_another_certificate_than_at_the_attempts_its_clients_are_begun_anew() -> Result<()> {
    let site = Site::new("clients-renewed")?;
    site.tell("PC-02", "off")?;
    site.write_record(NONE, &all_attempts_on("PC-02").replace("false", "true"))?;
    let exporter = site.start("")?;
    let begun_anew = || site.tried("PC-02").is_some_and(|tried| tried["attempts"] == 1);
    wait::until(DEADLINE, begun_anew)?;
    exporter
        .metrics_when("nobody stays", |metrics| sample(metrics, "kagiban_clients_not_repaired", &[]) == Some(0.0))?;
    Ok(())
}

/// The last was eight hours ago.
fn all_attempts_on(client: &str) -> String {
    let at = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(8);
    format!(r#"{{"{client}":{{"attempts":3,"begun":"{at}","ended":{{"at":"{at}","how":"failed"}},"counted":false}}}}"#)
}
