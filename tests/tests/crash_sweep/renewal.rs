//! The same of an agent that renews its own certificate: a backup by its own program, copies of what the renewal writes over, the renewal, and
//! what is put back. The program itself is not killed: it goes on without the exporter.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use kagiban_tests::scratch;
use kagiban_tests::strace::{self, Fault, Injection, Run};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::{Value, json};

use crate::scene::{Rooted, files_below, recover, rotate_once};
use crate::{Point, in_parallel, points, strike, was_killed};

/// What a site has made of the command file; the program has another.
const OURS: &str = "#!/bin/sh\n# ours\n";
const OURS_MODE: u32 = 0o750;

/// As seed 003 has it: `-b` writes an archive, `-c` makes another certificate, `-r` restores it. The archive is the shortest with one entry.
const PROGRAM: &str = r#"#!/bin/sh
home=${0%/*}; certificate=$home/PCCSRV/Pccnt/Common/OfcNTCer.dat
echo >> "$home/ran$1"
case $1 in
-b) [ ! -e "$3" ] || exit 7
    printf 'PK\003\004\012\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0PK\001\002\036\003\012\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0PK\005\006\0\0\0\0\001\0\001\0\056\0\0\0\036\0\0\0\0\0' > "$3"
    cp "$certificate" "$home/saved";;
-c) echo default > "$home/default.sh"; cp "$home/next" "$certificate";;
-r) [ -s "$3" ] || exit 8; cp "$home/saved" "$certificate";;
esac
"#;

struct Server {
    root: PathBuf,
}

impl Rooted for Server {
    fn root(&self) -> &Path {
        &self.root
    }
}

impl Server {
    fn set() -> Result<Self> {
        let root = scratch::directory("sweep-renewal")?;
        let server = Self { root };
        let home = server.home();
        let certificate = server.certificate();
        fs::create_dir_all(certificate.parent().context("it lies in a directory")?)?;
        let [old, next] = certificates()?;
        for (path, bytes) in [
            (certificate, old.as_slice()),
            (home.join("next"), next),
            (home.join("password"), b"of the backup\n"),
            (home.join("default.sh"), OURS.as_bytes()),
            (home.join("program"), PROGRAM.as_bytes()),
        ] {
            fs::write(&path, bytes)?;
            fs::set_permissions(path, fs::Permissions::from_mode(OURS_MODE))?;
        }
        let call = |option: &str| json!([home.join("program"), option, "{password}", "{backup}"]);
        let config = json!({
            "host": "ups-01.example.com",
            "stateDirectory": server.root.join("state"),
            "power": {"assume": "mains", "scheduledShutdownFile": server.root.join("shutdown-scheduled")},
            "agents": [{
                "name": "agent",
                "product": "virus-buster-corp",
                "directory": home,
                "renew": {
                    "command": call("-c"),
                    "back": call("-r"),
                    "backup": {"command": call("-b"), "format": "zip"},
                    "passwordFile": home.join("password"),
                    "keep": [home.join("default.sh")],
                    "timeout": "10s",
                },
                "service": {"minRestartInterval": "0s"},
                "verify": {"deadline": "2s", "holdDown": "0s", "interval": "10ms"},
            }],
        });
        fs::write(server.root.join("exporter.yaml"), serde_yaml::to_string(&config)?)?;
        Ok(server)
    }

    fn renew(&self, injection: Option<&Injection>) -> Result<Run> {
        let mut command = rotate_once(&self.root);
        command.arg("renew");
        strace::run(&command, &self.root.join("renew.trace"), injection)
    }

    /// What holds when all is over, whatever has happened.
    fn is_settled(&self, report: &Value) -> Result<()> {
        let state = report["state"].as_str();
        ensure!(matches!(state, None | Some("Committed" | "RolledBack")), "not decided: {report:#}");
        ensure!(state != Some("RolledBack") || report["failure"]["reason"].is_string(), "no reason: {report:#}");
        let script = self.home().join("default.sh");
        ensure!(fs::read_to_string(&script)? == OURS, "the script is not what it was: {report:#}");
        ensure!(fs::metadata(&script)?.permissions().mode() & 0o7777 == OURS_MODE, "its mode is another");
        let [old, next] = certificates()?;
        let stored = fs::read(self.certificate())?;
        ensure!(
            if state == Some("Committed") { stored == *next } else { stored == *old || stored == *next },
            "{report:#}"
        );
        for option in ["-b", "-c", "-r"] {
            let ran = fs::read(self.home().join(format!("ran{option}"))).map_or(0, |marks| marks.len());
            ensure!(ran <= 1, "{option} was run {ran} times");
        }
        for path in files_below(&self.root)? {
            ensure!(!path.to_string_lossy().contains(".kagiban-"), "{} was left behind", path.display());
        }
        for path in files_below(&self.root.join("state"))?.iter().filter(|path| !path.ends_with("lock")) {
            let (mode, is_of_program) =
                (fs::metadata(path)?.permissions().mode(), path.starts_with(self.root.join("state/product-backups")));
            ensure!(mode & 0o077 == 0 || is_of_program, "{}: mode {mode:o}", path.display());
        }
        ensure!(recover(&self.root)? == *report, "the next start decided otherwise");
        Ok(())
    }

    fn home(&self) -> PathBuf {
        self.root.join("agent")
    }

    fn certificate(&self) -> PathBuf {
        self.home().join("PCCSRV/Pccnt/Common/OfcNTCer.dat")
    }
}

#[test]
fn killed_at_any_call_a_renewal_ends_decided_with_the_users_script_and_a_whole_certificate() -> Result<()> {
    let (trial, run) = untouched()?;
    let points = points(&run.calls, &trial.root, |call| call.name != "openat" || call.creates());
    ensure!(points.len() >= 60, "only {} points: is the trace complete?", points.len());
    in_parallel(&points, |point| {
        let (server, run) = strike(point, Server::set, Server::renew)?;
        was_killed(&run)?;
        server.is_settled(&recover(&server.root)?)
    })
}

#[test]
fn a_full_or_failing_disk_at_any_call_of_a_renewal_leaves_the_users_script_and_a_whole_certificate() -> Result<()> {
    let (trial, run) = untouched()?;
    let mut tried = Vec::new();
    for (name, error) in [
        ("pwrite64", "ENOSPC"),
        ("openat", "ENOSPC"),
        ("mkdirat", "ENOSPC"),
        ("fsync", "EIO"),
        ("renameat", "EIO"),
        ("renameat2", "EIO"),
    ] {
        let of_name = points(&run.calls, &trial.root, |call| call.name == name && (name != "openat" || call.creates()));
        tried.extend(of_name.into_iter().map(|point| Point { fault: Fault::Error(error), ..point }));
    }
    ensure!(tried.len() >= 40, "only {} points: is the trace complete?", tried.len());
    in_parallel(&tried, |point| {
        let (server, run) = strike(point, Server::set, Server::renew)?;
        if run.gave_up() {
            // Nothing begins without a state directory.
            ensure!(run.stderr.starts_with("Error: the state directory"), "{}", run.stderr);
        } else {
            let ended: Value =
                serde_json::from_str(&run.stdout).with_context(|| format!("it ended early: {}", run.stderr))?;
            let is_told = ended["refusal"]["reason"].is_string() || ended["report"]["failure"]["reason"].is_string();
            ensure!(ended["report"]["state"] == "Committed" || is_told, "{ended:#}");
        }
        server.is_settled(&recover(&server.root)?)
    })
}

/// A renewal that nothing happened to.
fn untouched() -> Result<(Server, Run)> {
    let server = Server::set()?;
    let run = server.renew(None)?;
    let ended: Value = serde_json::from_str(&run.stdout).with_context(|| run.stderr.clone())?;
    ensure!(ended["report"]["state"] == "Committed", "{ended:#}");
    server.is_settled(&ended["report"])?;
    Ok((server, run))
}

/// DER: the one before, and one that ends later.
fn certificates() -> Result<&'static [Vec<u8>; 2]> {
    static MADE: OnceLock<std::result::Result<[Vec<u8>; 2], String>> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let made = |ends| -> Result<Vec<u8>> {
            let mut params = CertificateParams::new(vec!["av-01.example.com".to_owned()])?;
            (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(ends, 1, 1));
            Ok(params.self_signed(&KeyPair::generate()?)?.der().to_vec())
        };
        let both = made(2040).and_then(|old| Ok([old, made(2049)?]));
        both.map_err(|error| format!("{error:#}"))
    });
    made.as_ref().map_err(|error| anyhow::anyhow!("{error}"))
}
