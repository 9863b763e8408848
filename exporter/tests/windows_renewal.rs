//! The anti-virus servers of Windows: their own program backs up, renews and brings back, and is broken at each of these. The program is a
//! double (`tests/doubles/windows`) that takes the notices' arguments; the exporter runs it as it would run the vendor's.

#![cfg(windows)]
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use kagiban_crds::host_api::{RotationReport, RotationState};
use kagiban_exporter::platform::run_commands_by;
use kagiban_exporter::rotation::agent::Agent;
use kagiban_exporter::rotation::{Host, PowerGate, Rotator, StateDirectoryLock};
use rcgen::ExtendedKeyUsagePurpose;
use support::pki::Authority;
use support::{AGENT, HOST, host, renewal, rollback};

const PROGRAM: &str = "PCCSRV/Admin/Utility/CertificateManager/CertificateManager.exe";
const CERTIFICATE: &str = "PCCSRV/Pccnt/Common/OfcNTCer.dat";
/// The double makes certificates for three years from now on.
const SOONER: i32 = 2028;

struct Server {
    directory: tempfile::TempDir,
    product: &'static str,
    first: Vec<u8>,
}

impl Server {
    fn new(product: &'static str) -> Self {
        // Whoever renews it in the process of a test, which is not the exporter.
        run_commands_by(Path::new(env!("CARGO_BIN_EXE_kagiban-exporter")));
        let directory = tempfile::tempdir().unwrap();
        let identity = Authority::new("fleet").issue(HOST, ExtendedKeyUsagePurpose::ServerAuth, SOONER);
        let server = Self { directory, product, first: identity.der };
        for path in [server.home().join(PROGRAM), server.certificate(), server.double("server.pem")] {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
        }
        fs::copy(program(), server.home().join(PROGRAM)).unwrap();
        fs::write(server.certificate(), &server.first).unwrap();
        fs::write(server.double("server.pem"), identity.key + &identity.chain).unwrap();
        fs::write(server.home().join("password"), "of the backup\r\n").unwrap();
        server
    }

    /// What the double does, for these options.
    fn switch(&self, what: &str, options: &str) {
        fs::write(self.double(what), options).unwrap();
    }

    fn home(&self) -> PathBuf {
        self.directory.path().join("server")
    }

    fn double(&self, name: &str) -> PathBuf {
        self.home().join("double").join(name)
    }

    fn certificate(&self) -> PathBuf {
        self.home().join(CERTIFICATE)
    }

    fn archive(&self) -> PathBuf {
        self.directory.path().join(format!("state/product-backups/{AGENT}/1.zip"))
    }

    fn ran(&self) -> Vec<String> {
        fs::read_to_string(self.double("ran")).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    async fn rotator(&self) -> (Rotator, StateDirectoryLock) {
        let (state, lock) = support::state_directory(&self.directory.path().join("state")).await;
        let power = PowerGate::new(&serde_yaml::from_str("{assume: mains}").unwrap());
        let home = self.home();
        let agent = serde_yaml::from_str(&format!(
            "name: {AGENT}\nproduct: {}\ndirectory: '{home}'\nrenew: {{passwordFile: '{home}/password', timeout: 10s}}\n\
             service: {{minRestartInterval: 0s}}\nverify: {{deadline: 2s, holdDown: 100ms, interval: 50ms}}\n",
            self.product,
            home = home.display(),
        ))
        .unwrap();
        let agent = Agent::resolve(&agent).unwrap();
        (Rotator::recover(Host::new(host(), state, power), agent).await.unwrap(), lock)
    }

    async fn renewed(&self) -> RotationReport {
        let (mut rotator, _lock) = self.rotator().await;
        rotator.renew(&renewal(1, 1), Ok(())).unwrap();
        rotator.advance(|_| {}).await;
        rotator.report().unwrap()
    }
}

/// Built beside the exporter.
fn program() -> PathBuf {
    let double = Path::new(env!("CARGO_BIN_EXE_kagiban-exporter")).with_file_name("certificate-manager-double.exe");
    assert!(double.exists(), "{} is not built: cargo build -p kagiban-windows-double", double.display());
    double
}

#[tokio::test]
async fn a_server_is_renewed_by_its_own_program_and_taken_back_where_it_has_a_backup() {
    for (product, ran) in [("virus-buster-corp", &["-b", "-c"][..]), ("apex-one", &["-c"])] {
        let server = Server::new(product);
        let report = server.renewed().await;
        assert_eq!(report.state, RotationState::Committed, "{product}: {report:#?}");
        assert_ne!(fs::read(server.certificate()).unwrap(), server.first, "{product}");
        assert_eq!(server.ran(), ran, "{product}");
        let (mut rotator, _lock) = server.rotator().await;
        let ordered = rotator.roll_back(&rollback(1, 1), || true).await;
        assert_eq!(ordered.is_ok(), ran.len() > 1, "{product}: {ordered:?}");
        rotator.advance(|_| {}).await;
        let is_back = fs::read(server.certificate()).unwrap() == server.first;
        assert_eq!(is_back, ran.len() > 1, "{product}: {:#?}", rotator.report());
    }
}

/// Whatever the program does, the certificate is the old one in the end, or the backup is there and the status says where.
#[tokio::test]
async fn a_server_whose_program_is_broken_at_any_step_keeps_its_certificate_or_a_whole_backup_of_it() {
    let half_then = |what: &'static str| [("writes-half", "-c"), (what, "-r")];
    let cases: Vec<(Vec<(&str, &str)>, &[&str], bool)> = vec![
        (vec![("fails", "-b")], &["-b"], true),
        (vec![("does-nothing", "-b")], &["-b"], true),
        (vec![("hangs", "-b")], &["-b"], true),
        (vec![("fails", "-c")], &["-b", "-c"], true),
        (vec![("does-nothing", "-c")], &["-b", "-c"], true),
        (vec![("hangs", "-c")], &["-b", "-c"], true),
        (vec![("writes-half", "-c")], &["-b", "-c", "-r"], true),
        (half_then("fails").to_vec(), &["-b", "-c", "-r"], false),
        (half_then("does-nothing").to_vec(), &["-b", "-c", "-r"], false),
        (half_then("hangs").to_vec(), &["-b", "-c", "-r"], false),
        (vec![("writes-half", "-c -r")], &["-b", "-c", "-r"], false),
    ];
    for (switches, ran, comes_back) in cases {
        let server = Server::new("virus-buster-corp");
        for (what, options) in &switches {
            server.switch(what, options);
        }
        let report = server.renewed().await;
        let told = format!("{switches:?}: {report:#?}");
        assert_eq!(server.ran(), ran, "{told}");
        assert_eq!(report.state == RotationState::RolledBack, comes_back, "{told}");
        assert_eq!(fs::read(server.certificate()).unwrap_or_default() == server.first, comes_back, "{told}");
        assert_eq!(server.archive().exists(), ran.len() > 1, "{told}");
        let failure = report.failure.expect("it says why");
        assert!(!failure.message.contains("of the backup"), "{failure:?}");
        if !comes_back {
            assert_eq!((report.state, failure.reason.as_str()), (RotationState::Frozen, "not_served_after_rollback"));
            assert!(failure.message.contains("1.zip"), "a person is told where the backup is: {failure:?}");
        }
    }
}
