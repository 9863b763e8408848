//! Agents whose programs are scripts of a shell.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use rcgen::ExtendedKeyUsagePurpose;

use super::pki::{Authority, fingerprint};
use super::service::{Service, Store};
use super::{AGENT, HOST, World, renewal};

impl World {
    /// A service whose program `renew` gives it the certificate that waits in `next.crt` and `next.key`, and whose program
    /// `back` the one before. The first ends in 2040, the next in `next_ends`.
    pub async fn self_renewing(next_ends: i32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("agent");
        std::fs::create_dir(&home).unwrap();
        let issuer = Authority::new("fleet");
        let [first, next] = [2040, next_ends].map(|ends| issuer.issue(HOST, ExtendedKeyUsagePurpose::ServerAuth, ends));
        for (name, identity) in [("tls", &first), ("old", &first), ("next", &next)] {
            std::fs::write(home.join(format!("{name}.crt")), &identity.chain).unwrap();
            std::fs::write(home.join(format!("{name}.key")), &identity.key).unwrap();
        }
        let store = Store::PemPair { certificate: home.join("tls.crt"), key: home.join("tls.key") };
        let service = Service::start(store, directory.path().join("control")).await;
        let [stop, start] = [service.stop_argv(), service.start_argv()].map(|argv| {
            let quoted: Vec<_> = argv.iter().map(|argument| format!("'{argument}'")).collect();
            quoted.join(" ")
        });
        for (name, take) in [("renew", "next"), ("back", "old")] {
            let (home, hook) = (home.display(), home.join(format!("before-{name}")));
            let script = format!(
                "#!/bin/sh\necho >> {home}/ran-{name}\n[ ! -e {hook} ] || . {hook}\n{stop} && cp {home}/{take}.crt {home}/tls.crt && \
                 cp {home}/{take}.key {home}/tls.key && {start}\n",
                hook = hook.display()
            );
            std::fs::write(directory.path().join("agent").join(name), script).unwrap();
            std::fs::set_permissions(directory.path().join("agent").join(name), Permissions::from_mode(0o755)).unwrap();
        }
        let agent_yaml = format!(
            "name: {AGENT}\nproduct: self-renewing-service\nendpoint: {{address: '{}'}}\n\
             renew: {{command: ['{home}/renew'], back: ['{home}/back'], timeout: 20s}}\n\
             service: {{minRestartInterval: 0s}}\nverify: {{deadline: 1s, holdDown: 100ms, interval: 20ms}}\n",
            service.address,
            home = home.display()
        );
        let agent = serde_yaml::from_str(&agent_yaml).unwrap();
        let first = fingerprint(&first.der);
        Self { directory, service, issuer, agent, agent_yaml, first }
    }

    /// What is to run before the program `name`, in its shell.
    pub fn before(&self, name: &str, script: &str) {
        std::fs::write(self.home().join(format!("before-{name}")), script).unwrap();
    }

    /// Orders a renewal, and ends its exporter after a while, in the middle of that program.
    pub async fn crash_in(&self, program: &str, after: Duration) {
        let (mut rotator, _lock) = self.rotator().await;
        rotator.renew(&renewal(1, 1), Ok(())).unwrap();
        let cut_off = tokio::time::timeout(after, rotator.advance(|_| {})).await;
        assert!(cut_off.is_err() && self.ran(program) == 1, "the crash is not in the middle");
    }

    /// How often the program was run.
    pub fn ran(&self, name: &str) -> usize {
        std::fs::read(self.home().join(format!("ran-{name}"))).map_or(0, |marks| marks.len())
    }
}
