//! What one pass of one source brought.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kagiban_keystore::{Certificate, Fault};

use super::{
    AlertsSeen, ClientLogsSeen, ClientsSeen, FunctionSeen, InventorySeen, Label, ReleaseSeen, SeenCertificate,
};
use crate::health::CheckSeen;
use crate::platform::{RebootReason, SystemTrust};
use crate::probe::{Endpoint, Handshake, Phases, ProbeError, ServedChain, TrustVerdict};
use crate::shutdown::{Evidence, OriginStatus};
use crate::trouble::Trouble;
use crate::ups::{Reading, RefusedReadings, UpsFault};

/// Parts of one file that are named in a message; a file can have thousands.
const MAX_PLACES: usize = 3;

/// Why a server is not trusted whose chain is: anybody can show a chain that he has seen.
pub const KEY_NOT_PROVEN: &str = "key_not_proven";

/// One look of one source.
#[derive(Clone, Debug)]
pub struct Pass {
    pub observation: Observation,
    /// Why the look was not a whole one; what was seen nevertheless is in `observation`.
    pub trouble: Option<Trouble>,
    pub ended: Timestamp,
    pub took: Duration,
}

/// What was seen.
#[derive(Clone, Debug)]
pub enum Observation {
    /// Nothing, because the look failed.
    Nothing,
    Files(FilesSeen),
    Endpoint(ProbeSeen),
    /// Every UPS of the source, answering or not.
    Upses(Vec<UpsSeen>),
    Host(Vec<Evidence>),
    /// Whether a reboot is pending, for each reason that this host tells of.
    Reboots(BTreeMap<RebootReason, bool>),
    Health(HealthSeen),
    Function(FunctionSeen),
    Release(ReleaseSeen),
    Alerts(AlertsSeen),
    Clients(ClientsSeen),
    ClientLogs(ClientLogsSeen),
    Inventory(InventorySeen),
}

/// How an agent that was looked at is hardened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthSeen {
    /// The configured name; absent where the agent was discovered.
    pub agent: Option<Label>,
    pub directory: Label,
    /// Every check once.
    pub checks: Vec<CheckSeen>,
}

/// A UPS that was asked.
#[derive(Clone, Debug)]
pub struct UpsSeen {
    /// The configured name, or the one that the server gives it.
    pub ups: Label,
    pub backend: Backend,
    /// `host:port`.
    pub target: Label,
    /// Whether it feeds the host that this program runs on.
    pub feeds_host: bool,
    /// In how many looks it said states that exclude each other, since this program was started.
    pub contradictions: u64,
    /// Boxed: a reading has some hundred numbers and texts.
    pub outcome: Result<Box<Reading>, UpsTrouble>,
    /// What it has given that no UPS can have.
    pub refused: RefusedReadings,
    /// By SNMP: whether it is asked so that nobody on the way can read along or answer for it.
    pub strong_snmp: Option<bool>,
}

/// What a UPS is asked through: the label `backend`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Backend {
    Apcupsd,
    Nut,
    PowerchuteWeb,
    Snmp,
    /// What the system itself sees.
    WindowsPower,
}

/// Why a UPS was not heard.
pub type UpsTrouble = Trouble<UpsFault>;

/// The files of one source.
#[derive(Clone, Debug, Default)]
pub struct FilesSeen {
    pub files: Vec<Arc<FileSeen>>,
    /// What patterns led to and is no certificate, by its kind; every kind is there where a pattern may lead to one.
    pub skipped: BTreeMap<&'static str, SkippedFiles>,
}

/// Files of one kind that were passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SkippedFiles {
    pub count: usize,
    /// The first of them, for the log.
    pub first: Vec<Label>,
}

/// A file that was looked at.
#[derive(Clone, Debug)]
pub struct FileSeen {
    pub path: Label,
    /// Seconds since 1970; absent where there is no file.
    pub modified: Option<f64>,
    pub outcome: Result<Contents, Trouble>,
}

/// What a file holds.
#[derive(Clone, Debug)]
pub struct Contents {
    /// `pem`, `jks` and so on.
    pub format: &'static str,
    /// Whether the password that we have is the store's; absent where the format has no password.
    pub password_verified: Option<bool>,
    /// No password is configured, and the empty one opens it.
    pub password_empty: bool,
    pub certificates: Vec<SeenCertificate>,
    pub system_trust: SystemTrust,
    /// What is wrong with it; thousands of files have nothing.
    pub flaws: Option<Box<Flaws>>,
}

/// What of a file, or of a served chain, could not be read.
#[derive(Clone, Debug, Default)]
pub struct Flaws {
    /// Why parts of it could not be read, one for each reason.
    pub unread: Vec<Trouble>,
    /// What of its certificates is not as it should be and was left out; nobody has to act on it.
    pub left_out: Option<Label>,
}

/// An endpoint that was knocked at.
#[derive(Clone, Debug)]
pub struct ProbeSeen {
    /// `host:port`.
    pub target: Label,
    pub server_name: Label,
    /// What can be read of the chain, whatever came of the handshake; the leaf may be missing.
    pub certificates: Vec<SeenCertificate>,
    /// What is wrong with the chain.
    pub flaws: Option<Box<Flaws>>,
    pub outcome: Result<Served, Trouble>,
}

/// What an endpoint showed.
#[derive(Clone, Debug)]
pub struct Served {
    /// Why the handshake did not come to its end, although a certificate was seen; the reason is one of
    /// [`crate::probe::Broken::REASONS`].
    pub broken: Option<Trouble>,
    /// Why the server cannot be trusted, from a closed set; `None` when its chain can and its key was proven.
    pub refused: Option<&'static str>,
    pub phases: Phases,
    pub tls_version: Option<&'static str>,
    pub cipher: Option<Label>,
}

impl Backend {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Apcupsd => "apcupsd",
            Self::Nut => "nut",
            Self::PowerchuteWeb => "powerchute_web",
            Self::Snmp => "snmp",
            Self::WindowsPower => "windows_power",
        }
    }
}

impl UpsSeen {
    /// What is known of the UPS after a look that ended at `now`: the one judgement that the shutdown machine, the power gate and the
    /// log go by.
    pub fn origin_status(&self, now: Timestamp) -> OriginStatus {
        match &self.outcome {
            Ok(reading) => OriginStatus::of(reading, now),
            Err(trouble) => trouble.reason.silence().map_or(OriginStatus::Gone, OriginStatus::Silent),
        }
    }
}

impl Contents {
    /// A file all of which could be read.
    pub const fn whole(
        format: &'static str,
        password_verified: Option<bool>,
        certificates: Vec<SeenCertificate>,
    ) -> Self {
        Self {
            format,
            password_verified,
            password_empty: false,
            certificates,
            system_trust: SystemTrust::None,
            flaws: None,
        }
    }
}

impl From<Vec<Arc<FileSeen>>> for FilesSeen {
    fn from(files: Vec<Arc<FileSeen>>) -> Self {
        Self { files, ..Self::default() }
    }
}

impl SkippedFiles {
    pub(crate) fn take(&mut self, path: &Path) {
        self.count += 1;
        if self.first.len() < MAX_PLACES {
            self.first.push(Label::from_path(path));
        }
    }
}

impl FileSeen {
    /// Why the file, or parts of it, could not be read.
    pub fn troubles(&self) -> &[Trouble] {
        match &self.outcome {
            Ok(contents) => contents.flaws.as_ref().map_or(&[][..], |flaws| &flaws.unread),
            Err(trouble) => std::slice::from_ref(trouble),
        }
    }

    /// Whether all of it could be read.
    pub fn is_whole(&self) -> bool {
        self.troubles().is_empty()
    }
}

impl Flaws {
    /// None where nothing is wrong.
    pub fn of<'a>(faults: &[Fault], certificates: impl Iterator<Item = &'a Certificate>) -> Option<Box<Self>> {
        let flaws = Self { unread: unread(faults), left_out: left_out(certificates) };
        (!flaws.unread.is_empty() || flaws.left_out.is_some()).then(|| Box::new(flaws))
    }
}

/// Why parts could not be read, by reason; the first places of each are named.
fn unread(faults: &[Fault]) -> Vec<Trouble> {
    let mut by_reason: BTreeMap<&'static str, Vec<&Fault>> = BTreeMap::new();
    for fault in faults {
        by_reason.entry(fault.cause.reason()).or_default().push(fault);
    }
    let said = by_reason.into_iter().map(|(reason, faults)| {
        let mut places: Vec<_> = faults.iter().take(MAX_PLACES).map(ToString::to_string).collect();
        places.extend((faults.len() > MAX_PLACES).then(|| format!("and {} more", faults.len() - MAX_PLACES)));
        let message = format!("{}; the other certificates are read, replace these", places.join("; "));
        Trouble::new(reason, message)
    });
    said.collect()
}

/// What of the certificates is not as it should be.
fn left_out<'a>(certificates: impl Iterator<Item = &'a Certificate>) -> Option<Label> {
    let mut flawed = certificates.filter(|certificate| !certificate.defects().is_empty());
    let first = flawed.next()?;
    let defects: Vec<_> = first.defects().iter().map(|defect| defect.as_str()).collect();
    let more = flawed.count();
    let more = if more == 0 { String::new() } else { format!(", and of {more} more") };
    Some(Label::new(&format!("{}: {}{more}", first.subject(), defects.join(", "))))
}

impl ProbeSeen {
    pub fn of(endpoint: &Endpoint, outcome: &Result<Handshake, ProbeError>) -> Self {
        let chain = match outcome {
            Ok(handshake) => Some(&handshake.served),
            Err(ProbeError::Malformed { served, .. }) => Some(&**served),
            Err(_) => None,
        };
        let certificates = chain.iter().flat_map(|chain| chain.certificates()).map(|(_, certificate)| certificate);
        let faults = chain.map(ServedChain::faults).unwrap_or_default();
        Self {
            target: Label::new(&endpoint.address),
            server_name: Label::new(endpoint.shown_name()),
            flaws: Flaws::of(&faults, certificates),
            certificates: chain.map(SeenCertificate::served).unwrap_or_default(),
            outcome: outcome.as_ref().map(Served::of).map_err(|error| Trouble::new(error.reason(), error)),
        }
    }

    /// Why certificates of the chain could not be read, one for each reason.
    pub fn unread(&self) -> &[Trouble] {
        self.flaws.as_ref().map_or(&[][..], |flaws| &flaws.unread)
    }
}

impl Served {
    pub fn of(handshake: &Handshake) -> Self {
        Self {
            broken: handshake.failure.as_ref().map(|broken| Trouble::new(broken.reason, &broken.message)),
            refused: match &handshake.verdict {
                Some(TrustVerdict::Trusted) if !handshake.key_proven => Some(KEY_NOT_PROVEN),
                Some(TrustVerdict::Trusted) => None,
                Some(TrustVerdict::Refused { reason, .. }) => Some(reason),
                None => Some("no_roots"),
            },
            phases: handshake.phases,
            tls_version: handshake.tls_version,
            cipher: handshake.cipher.as_deref().map(Label::new),
        }
    }
}

impl Pass {
    /// When the look was begun.
    pub fn begun(&self) -> Timestamp {
        self.ended - SignedDuration::try_from(self.took).unwrap_or(SignedDuration::ZERO)
    }

    /// The same, with what outlives a look: when the agent was last seen to work, and its clients were last listed.
    pub(super) fn following(mut self, before: Option<&Self>) -> Self {
        // The later look counts, by whatever clock.
        if let Observation::Function(seen) = &mut self.observation {
            let known = before.and_then(Self::function).and_then(|known| known.worked_at);
            seen.worked_at = seen.worked_at.or(known);
        }
        if let Observation::Clients(seen) = &mut self.observation {
            let known = before.and_then(Self::clients).and_then(|known| known.listed_at);
            seen.listed_at = seen.listed_at.or(known);
        }
        self
    }

    /// How often each reason occurred.
    pub fn errors(&self) -> BTreeMap<&'static str, u64> {
        let inner: Vec<&'static str> = match &self.observation {
            Observation::Nothing
            | Observation::Host(_)
            | Observation::Reboots(_)
            | Observation::Health(_)
            | Observation::Function(_)
            | Observation::Release(_)
            | Observation::Alerts(_)
            | Observation::Clients(_)
            | Observation::ClientLogs(_)
            | Observation::Inventory(_) => Vec::new(),
            Observation::Files(FilesSeen { files, .. }) => {
                files.iter().flat_map(|f| f.troubles()).map(|trouble| trouble.reason).collect()
            }
            Observation::Endpoint(probe) => probe.outcome.as_ref().err().map(|t| t.reason).into_iter().collect(),
            Observation::Upses(upses) => {
                upses.iter().filter_map(|u| Some(u.outcome.as_ref().err()?.reason.as_str())).collect()
            }
        };
        let mut errors = BTreeMap::new();
        for reason in self.trouble.iter().map(|t| t.reason).chain(inner) {
            *errors.entry(reason).or_default() += 1;
        }
        errors
    }

    const fn files_seen(&self) -> Option<&FilesSeen> {
        if let Observation::Files(seen) = &self.observation { Some(seen) } else { None }
    }

    pub fn files(&self) -> &[Arc<FileSeen>] {
        self.files_seen().map_or(&[], |seen| &seen.files)
    }

    /// What patterns led to and is no certificate.
    pub fn skipped(&self) -> impl Iterator<Item = (&'static str, &SkippedFiles)> {
        let seen = self.files_seen().into_iter();
        seen.flat_map(|seen| seen.skipped.iter().map(|(kind, skipped)| (*kind, skipped)))
    }

    pub const fn probe(&self) -> Option<&ProbeSeen> {
        if let Observation::Endpoint(probe) = &self.observation { Some(probe) } else { None }
    }

    pub fn upses(&self) -> &[UpsSeen] {
        if let Observation::Upses(upses) = &self.observation { upses } else { &[] }
    }

    /// What the pass says of the host's own going down, without that of its UPSes.
    pub fn host(&self) -> &[Evidence] {
        if let Observation::Host(evidence) = &self.observation { evidence } else { &[] }
    }

    /// Whether a reboot is pending, by reason.
    pub const fn reboots(&self) -> Option<&BTreeMap<RebootReason, bool>> {
        if let Observation::Reboots(reboots) = &self.observation { Some(reboots) } else { None }
    }

    pub const fn health(&self) -> Option<&HealthSeen> {
        if let Observation::Health(health) = &self.observation { Some(health) } else { None }
    }

    pub const fn function(&self) -> Option<&FunctionSeen> {
        if let Observation::Function(function) = &self.observation { Some(function) } else { None }
    }

    /// The parts of products whose release is told.
    pub fn releases(&self) -> &[ReleaseSeen] {
        match &self.observation {
            Observation::Release(release) => std::slice::from_ref(release),
            Observation::Alerts(alerts) => &alerts.releases,
            Observation::Nothing
            | Observation::Files(_)
            | Observation::Endpoint(_)
            | Observation::Upses(_)
            | Observation::Host(_)
            | Observation::Reboots(_)
            | Observation::Health(_)
            | Observation::Function(_)
            | Observation::Clients(_)
            | Observation::ClientLogs(_)
            | Observation::Inventory(_) => &[],
        }
    }

    pub const fn alerts(&self) -> Option<&AlertsSeen> {
        if let Observation::Alerts(alerts) = &self.observation { Some(alerts) } else { None }
    }

    pub const fn client_logs(&self) -> Option<&ClientLogsSeen> {
        if let Observation::ClientLogs(logs) = &self.observation { Some(logs) } else { None }
    }

    pub const fn clients(&self) -> Option<&ClientsSeen> {
        if let Observation::Clients(clients) = &self.observation { Some(clients) } else { None }
    }

    pub const fn inventory(&self) -> Option<&InventorySeen> {
        if let Observation::Inventory(inventory) = &self.observation { Some(inventory) } else { None }
    }

    /// Whether the source as a whole could be looked at: an endpoint that showed no certificate could not, nor could a UPS
    /// that did not answer.
    pub fn is_up(&self) -> bool {
        self.trouble.is_none()
            && self.probe().is_none_or(|probe| probe.outcome.is_ok())
            && self.upses().iter().all(|ups| ups.outcome.is_ok())
    }
}
