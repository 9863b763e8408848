//! What this program tells of itself: its configurations, its files, its ports and what it rotates.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::{Board, HostApiTls, Label, Reload, RepairsSeen, RotationSeen, SecretFileSeen, TrapCounts, Trouble};

impl Board {
    /// Notes which files with secrets others may read.
    pub fn note_secret_files(&self, files: Vec<SecretFileSeen>) {
        self.write(|snapshot| snapshot.secret_files = files);
    }

    /// Notes how loading the configuration went.
    pub fn note_reload(&self, successful: bool, now: Timestamp) {
        self.write(|snapshot| snapshot.reload = Some(Reload::after(snapshot.reload, successful, now)));
    }

    /// Notes how reading the web configuration went.
    pub fn note_web_config(&self, successful: bool, now: Timestamp) {
        self.write(|snapshot| snapshot.web_config = Some(Reload::after(snapshot.web_config, successful, now)));
    }

    /// Notes whether the host API works.
    pub fn note_host_api(&self, up: bool) {
        self.write(|snapshot| {
            snapshot.host_api_up = Some(up);
            snapshot.host_api_tls = snapshot.host_api_tls.filter(|_| up);
        });
    }

    /// Notes how reading the host API's TLS files went, and when the certificate and the revocation list that are in force end.
    pub fn note_host_api_tls(
        &self,
        successful: bool,
        certificate_not_after: Option<Timestamp>,
        crl_next_update: Option<Timestamp>,
        now: Timestamp,
    ) {
        self.write(|snapshot| {
            let before = snapshot.host_api_tls.map(|tls| tls.reload);
            let reload = Reload::after(before, successful, now);
            snapshot.host_api_tls = Some(HostApiTls { reload, certificate_not_after, crl_next_update });
        });
    }

    /// Notes how an agent's rotations stand: why none is taken, and what is known of the newest.
    pub fn note_rotation(&self, agent: &Label, trouble: Option<Trouble>, known: Option<RotationSeen>) {
        self.write(|snapshot| snapshot.rotations.entry(agent.clone()).or_default().note(trouble, known));
    }

    /// Notes what has become of the repairs of an agent's clients.
    pub fn note_repairs(&self, agent: &Label, seen: RepairsSeen) {
        self.write(|snapshot| _ = snapshot.repairs.insert(agent.clone(), seen));
    }

    /// Notes that they are repaired no more.
    pub fn forget_repairs(&self, agent: &Label) {
        self.write(|snapshot| _ = snapshot.repairs.remove(agent));
    }

    /// Notes how long a stop of this program may take.
    pub fn note_stop_timeout(&self, longest: Duration) {
        self.write(|snapshot| snapshot.stop_timeout = Some(longest));
    }

    /// Notes which SNMP traps have come so far.
    pub fn note_traps(&self, listening: bool, outcomes: &BTreeMap<&'static str, u64>) {
        self.write(|snapshot| snapshot.traps = Some(TrapCounts { listening, outcomes: outcomes.clone() }));
    }

    /// Notes that none are received any more.
    pub fn forget_traps(&self) {
        self.write(|snapshot| snapshot.traps = None);
    }
}
