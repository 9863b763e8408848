//! The host API's wire types, version `v1`: JSON over mTLS, both sides refuse unknown keys in requests.
//!
//! ```text
//!   GET  /v1/host                                              HostReport
//!   GET  /v1/agents/{agent}                                    AgentReport
//!   POST /v1/agents/{agent}/password                           PasswordQuestion -> PasswordReport
//!   POST /v1/agents/{agent}/rotations                          RotationOpen   -> RotationReport (with the CSR)
//!   POST /v1/agents/{agent}/renewals                           RenewalOrder   -> RotationReport
//!   PUT  /v1/agents/{agent}/rotations/{generation}/chain       ChainDelivery  -> RotationReport
//!   GET  /v1/agents/{agent}/rotations/{generation}             RotationReport
//!   POST /v1/agents/{agent}/rotations/{generation}/rollback    RollbackOrder  -> RotationReport
//!   POST /v1/agents/{agent}/handover                           HandOver       -> HandOverReport
//! ```
//!
//! A refusal is a 4xx or 5xx answer whose body is a [`Refusal`]. A request carries whom it is for, so that one sent to
//! the wrong host changes nothing there.

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::marker::PhantomData;

use crate::{AgentName, CertificateSubject, Epoch, Generation, HostName, LeafSha256, Lineage, OrderMark};

/// The path prefix, and the only version spoken.
pub const VERSION: &str = "v1";
/// A request body's cap, in bytes: a chain of six RSA-4096 certificates is under 16 KiB.
pub const MAX_REQUEST_BYTES: usize = 64 * 1024;
/// The cap of what an operator takes as an agent's report, in bytes: three leaves with the longest names, a request and the step
/// log are under 128 KiB. An operator waits for hundreds of hosts at a time.
pub const MAX_REPLY_BYTES: usize = 192 * 1024;
/// DNS names of one leaf that are told; only what stands there beside the certificates of ours has more.
pub const MAX_TOLD_NAMES: usize = 128;
/// Clients of a server that are named: enough to begin with, and few enough for a status.
pub const MAX_TOLD_CLIENTS: usize = 10;
/// Triggers of a shutdown that are read.
const MAX_TRIGGERS: usize = 64;
/// Certificates in a delivered chain; rustls-webpki follows six intermediates at most.
pub const MAX_CHAIN_CERTIFICATES: usize = 8;
/// DNS names plus IP addresses in one request.
pub const MAX_SUBJECT_NAMES: usize = 64;

/// How far ahead of its own clock a host follows an epoch, in seconds: a year. Operators believe hosts for half of that, so
/// that no host can talk an operator into an epoch which the others refuse.
pub const MAX_EPOCH_AHEAD: u64 = 365 * 24 * 3600;
/// How far above the highest it has accepted a host follows an epoch that is ahead of its clock: as many changes of leader.
pub const MAX_EPOCH_STEP: u64 = 1024;
/// How far above the highest it has accepted a host follows a generation: a host that was set up anew catches up with a
/// resource of many years, and nobody can take a number that no later rotation could ever pass.
pub const MAX_GENERATION_STEP: u64 = 1 << 20;

/// What a host says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostReport {
    pub host: HostName,
    /// Changes with every boot of the host.
    pub boot_id: String,
    /// The host's own clock, so that a skew can be seen.
    pub time: Timestamp,
    /// The highest epoch accepted of the lineage that the host obeys; 0 where none of it was accepted, as right after a
    /// hand-over.
    pub epoch: Epoch,
    /// The installation of the operator that it obeys; absent while it was given to none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lineage: Option<Lineage>,
    pub power: PowerReport,
    /// Whether it is going down; absent while nobody has said anything of it, and from hosts that do not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shutdown: Option<ShutdownReport>,
    pub agents: Vec<AgentReport>,
}

/// Whether a host is going down, why, and when: the words are those of its metrics `host_shutdown_*`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShutdownReport {
    pub state: ShutdownState,
    /// When the state was entered.
    pub since: Timestamp,
    /// Whether it goes down unless somebody or something stops it.
    pub pending: bool,
    /// What has set it off, or is about to, such as `nut_fsd`; hosts may name more than are known here.
    #[serde(default, deserialize_with = "first::<_, _, MAX_TRIGGERS>")]
    pub triggers: Vec<String>,
    /// When the power or the host goes, as far as is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_at: Option<Timestamp>,
    #[serde(default)]
    pub scheduled: Vec<ScheduledShutdown>,
    /// In the words of whoever set it off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

/// A shutdown at a chosen time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScheduledShutdown {
    /// Such as `poweroff` or `reboot`.
    #[serde(rename = "type")]
    pub kind: String,
    pub at: Timestamp,
    /// Announced, but nothing will happen.
    pub dry_run: bool,
}

/// The state of a host on its way down, from the mildest to the most severe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShutdownState {
    None,
    Testing,
    Cancelled,
    CommsLost,
    Scheduled,
    UpsOnBattery,
    UpsLowBattery,
    UpsPending,
    InProgress,
}

/// What a host knows of one of its agents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentReport {
    pub host: HostName,
    pub name: AgentName,
    /// The product's id, such as `powerchute-serial-shutdown`.
    pub product: String,
    /// The host's own clock.
    pub time: Timestamp,
    /// The highest epoch accepted of the lineage that the host obeys; 0 where none of it was accepted, as right after a
    /// hand-over.
    pub epoch: Epoch,
    /// The installation of the operator that the host obeys; absent while it was given to none, and from hosts that do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lineage: Option<Lineage>,
    /// The highest generation ever accepted for this agent, committed or not.
    pub generation: Generation,
    pub power: PowerReport,
    /// The leaf in the keystore file, under the agent's alias.
    pub stored: Sighting,
    /// The leaf on the live TLS endpoint, or in the file of `kept_in`.
    pub served: Sighting,
    /// The file that the agent's own leaf is looked for in, of an agent that serves none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_in: Option<String>,
    /// The leaf of `served` as PEM, so that whoever asks can check who signed it. Absent from hosts that do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// The newest rotation, if there was one.
    pub rotation: Option<RotationReport>,
    /// The newest rotation that was committed and not undone, which is an earlier one where the newest was undone. Absent while
    /// there is none, and from hosts that do not keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed: Option<CommittedRotation>,
    /// Whether the agent does its work. Absent where nothing is asked about it, or nothing was yet, and from hosts that do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<FunctionReport>,
    /// Which of its own clients do not have its certificate. Absent where nobody lists them, and from hosts that do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clients: Option<ClientsReport>,
}

/// The reason of [`ClientsReport::failure`] while no list counts that was begun since a renewal of the server. The next one was asked for.
pub const RENEWED: &str = "renewed";

/// The reason of [`ClientsReport::held`] while the newest list has come and its repairs do not go by it yet: those that run are to end first.
pub const UNHEEDED: &str = "unheeded";

/// The clients of a server that do not have its certificate, as its newest list has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientsReport {
    /// How many do not have it. Absent where the newest list could not be made, before the first since the exporter was started, while a
    /// rotation of the server is on its way, and after it until the next list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed: Option<u64>,
    /// When the list was made that says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed_at: Option<Timestamp>,
    /// How many stay without it: every attempt to repair them was made, or none can be, as of those whom the list does not name. Absent where
    /// none is repaired, and while the repairs do not go by the newest list yet, or the host has not read which attempts were made: then `held`
    /// says why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_repaired: Option<u64>,
    /// The first [`MAX_TOLD_CLIENTS`] of those, in order.
    #[serde(default, deserialize_with = "first::<_, _, MAX_TOLD_CLIENTS>")]
    pub names: Vec<String>,
    /// How many of those no attempt was ever made on, since none can be: the list does not name them, or by what leads to no other host.
    /// Absent from hosts that do not tell them apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub never_tried: Option<u64>,
    /// What keeps further clients from being repaired now. Absent while nothing does, and where none is repaired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Failure>,
    /// Why the newest list could not be made, or does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// Whether an agent does its work, as it was seen last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionReport {
    pub latest: FunctionSighting,
    /// When it was last seen to work; absent while it was not since the exporter was started, nor in a rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worked_at: Option<Timestamp>,
}

/// What came of one question whether an agent does its work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionSighting {
    pub state: FunctionState,
    pub at: Timestamp,
    /// Why it does not work, or why that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FunctionState {
    Works,
    DoesNotWork,
    Unknown,
}

impl FunctionSighting {
    pub fn works(&self) -> bool {
        self.state == FunctionState::Works
    }
}

/// What is kept of a rotation that was committed when others have followed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommittedRotation {
    pub generation: Generation,
    /// The leaf that was seen live.
    pub leaf: LeafSha256,
    /// Of the order that opened it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<OrderMark>,
}

/// Whether a leaf was seen, and which.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Sighting {
    Leaf(Leaf),
    /// Looked, and could not see one: a stable reason in snake_case, and a message without secrets.
    Unseen {
        reason: String,
        message: String,
    },
}

/// A certificate's identity and validity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Leaf {
    pub sha256: LeafSha256,
    /// Hexadecimal, lower case, without leading zeros, as `keytool` prints it.
    pub serial: String,
    /// RFC 4514.
    pub subject: String,
    /// RFC 4514.
    pub issuer: String,
    pub not_before: Timestamp,
    /// At most 9999-12-30T22:00:00Z, the last second that a [`Timestamp`] reaches: RFC 5280's "no well-defined expiration", a day
    /// later, is told as that. Another type here would not help: an operator that reads a `Timestamp` refuses the whole
    /// report for the sake of a later time.
    pub not_after: Timestamp,
    /// The first [`MAX_TOLD_NAMES`] subject alternative names of type dNSName.
    #[serde(deserialize_with = "first::<_, _, MAX_TOLD_NAMES>")]
    pub dns_names: Vec<String>,
}

/// The power state and when it was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PowerReport {
    pub state: PowerState,
    pub observed_at: Option<Timestamp>,
}

/// What the UPS and the host say about power now. Only `Mains` is safe to rotate under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PowerState {
    Mains,
    OnBattery,
    LowBattery,
    ShutdownPending,
    /// No source has ever said anything.
    Unknown,
    /// A source spoke, but too long ago to be believed.
    Stale,
}

/// Opens a rotation: the host makes a key and answers with a CSR.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RotationOpen {
    #[serde(flatten)]
    pub target: Target,
    pub certificate: CertificateRequest,
    #[serde(default)]
    pub keystore: KeystoreOrder,
    /// Shown again in the rotation's report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<OrderMark>,
}

/// Whom a request is for and who speaks; a host checks all of it before it reads the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Absent where the operator was given none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lineage: Option<Lineage>,
    pub epoch: Epoch,
    pub generation: Generation,
    pub host: HostName,
    pub agent: AgentName,
}

/// What the certificate shall say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateRequest {
    pub dns_names: Vec<String>,
    #[serde(default)]
    pub ip_addresses: Vec<std::net::IpAddr>,
    /// Beside the common name, which is the first DNS name that fits. An exporter from before there was this refuses it as
    /// [`RefusalReason::Malformed`].
    #[serde(default, skip_serializing_if = "CertificateSubject::is_empty")]
    pub subject: CertificateSubject,
    pub key: KeyRequest,
}

/// The key to be made on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyRequest {
    #[serde(rename = "RSA-2048")]
    Rsa2048,
    #[serde(rename = "RSA-3072")]
    Rsa3072,
    #[serde(rename = "RSA-4096")]
    Rsa4096,
    #[serde(rename = "ECDSA-P256")]
    EcdsaP256,
    #[serde(rename = "ECDSA-P384")]
    EcdsaP384,
}

/// How the keystore shall be written.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeystoreOrder {
    #[serde(default)]
    pub format: StoreFormat,
    /// The alias; left out, the host's configuration or the product decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    #[serde(default)]
    pub on_unreadable: OnUnreadable,
    /// The store's password from now on; left out, the host's own password file decides.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "expose")]
    pub store_password: Option<SecretString>,
}

/// The keystore's format; `Auto` keeps the one that is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "resource", derive(schemars::JsonSchema))]
pub enum StoreFormat {
    #[default]
    Auto,
    #[serde(rename = "JKS")]
    Jks,
    #[serde(rename = "JCEKS")]
    Jceks,
    #[serde(rename = "PKCS12")]
    Pkcs12,
    #[serde(rename = "PEM")]
    Pem,
}

/// What to do with an old store that no known password opens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "resource", derive(schemars::JsonSchema))]
pub enum OnUnreadable {
    /// Leave it alone and refuse the rotation.
    #[default]
    Refuse,
    /// As the handbook of PowerChute has it for a lost password: a new store in its place, the old file in the backup.
    Replace,
}

/// Delivers the issued chain and starts the deployment.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChainDelivery {
    #[serde(flatten)]
    pub target: Target,
    /// PEM, leaf first, at most [`MAX_CHAIN_CERTIFICATES`].
    pub chain: String,
}

/// Puts the previous keystore back.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RollbackOrder {
    #[serde(flatten)]
    pub target: Target,
}

/// Gives the host, and not this agent alone, to another installation of the operator.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HandOver {
    #[serde(flatten)]
    pub target: Target,
    /// Whom the host obeys from then on.
    pub to: Lineage,
}

/// What became of a [`HandOver`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HandOverReport {
    /// Whom the host obeys now.
    pub lineage: Lineage,
}

/// Has an agent renew its own certificate. For agents that take no key and chain from outside: this order is the whole of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RenewalOrder {
    #[serde(flatten)]
    pub target: Target,
    /// Shown again in the rotation's report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<OrderMark>,
}

/// Asks whether the agent works with this password. Nothing is changed, and neither number counts as accepted.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PasswordQuestion {
    #[serde(flatten)]
    pub target: Target,
    /// As in [`KeystoreOrder`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    #[serde(serialize_with = "expose_one")]
    pub store_password: SecretString,
}

/// Whether the password that was asked about is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "camelCase")]
pub enum PasswordReport {
    /// It opens the store and the key, and the agent is told no other.
    Same,
    Different,
    /// The files were looked at and do not tell: a stable reason in snake_case, and a message without secrets.
    NotKnown {
        reason: String,
        message: String,
    },
}

impl PasswordReport {
    /// In `snake_case`, for logs.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Different => "different",
            Self::NotKnown { .. } => "not_known",
        }
    }
}

/// Where a rotation stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RotationReport {
    pub epoch: Epoch,
    pub generation: Generation,
    pub state: RotationState,
    /// PEM; there while the host waits for a chain.
    pub csr: Option<String>,
    /// The leaf to be served; known once a chain was delivered, or once an agent that renews its own was seen to serve it.
    pub leaf: Option<Leaf>,
    /// The leaf that was in the store before.
    pub previous: Option<LeafSha256>,
    /// Of the order that opened it. Absent from hosts that do not keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<OrderMark>,
    /// Why it was rolled back or froze: a stable reason in snake_case, and a message that says what to do.
    pub failure: Option<Failure>,
    /// Whether the agent did its work before and after. Absent where nothing is asked about it, before it was asked, and from hosts
    /// that do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<RotationFunction>,
    /// What proves a repair that was committed. Absent of a rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<RepairProof>,
    pub steps: Vec<Step>,
}

/// What proves that an agent was repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RepairProof {
    /// The system was started anew since the repair was begun.
    Restart,
    /// A command of the host's own configuration says so: after the repair, or before it, and then nothing was run, as the steps tell.
    Command,
    /// Nothing does: the command of the repair ended with status 0, and nobody was asked what came of it.
    Nothing,
}

/// Whether an agent did its work before a rotation and does it after that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RotationFunction {
    /// Before anything was stopped or run.
    pub before: FunctionSighting,
    /// The newest after that: with the new leaf, or after the rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<FunctionSighting>,
}

/// The states of a rotation on the host, in the order in which a keystore passes them; [`Self::Renewing`] stands for all of what an
/// agent does that renews its own certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "resource", derive(schemars::JsonSchema))]
pub enum RotationState {
    Requested,
    /// The key is made, in memory only; the CSR is out.
    Keyed,
    Validated,
    Staged,
    BackedUp,
    /// The agent renews its own certificate, or is repaired.
    Renewing,
    Swapped,
    Restarting,
    Verifying,
    /// The new leaf was seen live, for as long as the hold-down asks.
    Committed,
    RollingBack,
    /// The previous store is in place; nothing of the new one is left.
    RolledBack,
    /// Neither store could be brought to life; nothing more is tried until a person looks.
    Frozen,
}

impl RotationState {
    pub const ALL: [Self; 13] = [
        Self::Requested,
        Self::Keyed,
        Self::Validated,
        Self::Staged,
        Self::BackedUp,
        Self::Renewing,
        Self::Swapped,
        Self::Restarting,
        Self::Verifying,
        Self::Committed,
        Self::RollingBack,
        Self::RolledBack,
        Self::Frozen,
    ];

    /// In `snake_case`, for metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Keyed => "keyed",
            Self::Validated => "validated",
            Self::Staged => "staged",
            Self::BackedUp => "backed_up",
            Self::Renewing => "renewing",
            Self::Swapped => "swapped",
            Self::Restarting => "restarting",
            Self::Verifying => "verifying",
            Self::Committed => "committed",
            Self::RollingBack => "rolling_back",
            Self::RolledBack => "rolled_back",
            Self::Frozen => "frozen",
        }
    }

    /// Whether nothing more happens by itself.
    pub const fn is_decided(self) -> bool {
        matches!(self, Self::Committed | Self::RolledBack | Self::Frozen)
    }
}

/// Why a rotation did not commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    pub reason: String,
    pub message: String,
}

/// One line of the step log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    pub at: Timestamp,
    pub state: RotationState,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// The body of every answer that is not a success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    pub reason: RefusalReason,
    /// What was refused, why, and what to do; never a secret.
    pub message: String,
    /// With `StaleEpoch` and `EpochTooFar`: the epoch the host stands at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// With `StaleGeneration` and `RotationInProgress`: the generation the host stands at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
    /// With `PowerUnsafe`: the state that forbids it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power: Option<PowerState>,
}

/// Why a request was refused. The status code follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalReason {
    /// 400: the body is not what the route takes.
    Malformed,
    /// 403: the client certificate is trusted, its names are not authorised here.
    ClientNotAuthorised,
    /// 404: no such route, agent or rotation.
    NotFound,
    /// 405
    MethodNotAllowed,
    /// 408: the request took longer than the deadline.
    TooSlow,
    /// 409: the host obeys another installation of the operator.
    OtherLineage,
    /// 409: the host's configuration says whom it obeys, and it is given to nobody else.
    LineageConfigured,
    /// 409: whoever it is to be given to has given the host away again and again of late.
    HandedBack,
    /// 409: a lower epoch than the highest accepted of the lineage that the host obeys.
    StaleEpoch,
    /// 409: an epoch too far above the highest accepted of the lineage that the host obeys and the host's clock.
    EpochTooFar,
    /// 409: a lower generation than the highest accepted, or one that is used up.
    StaleGeneration,
    /// 409: this generation was opened by another order, or with other contents.
    GenerationConflict,
    /// 409: another generation of this agent is not decided yet.
    RotationInProgress,
    /// 409: the rotation is not in a state that takes this request.
    WrongState,
    /// 409: the agent's product is of another class: it takes no key and chain, or renews nothing by itself.
    WrongClass,
    /// 409: the agent is frozen; a person must look.
    Frozen,
    /// 413
    BodyTooLarge,
    /// 415: `Content-Encoding` is not taken.
    UnsupportedEncoding,
    /// 421: meant for another host or agent.
    WrongTarget,
    /// 422: the chain does not fit the key, the names, the clock or the policy.
    ChainRefused,
    /// 422: the keystore cannot be rewritten without losing something.
    KeystoreRefused,
    /// 423: the power state forbids it.
    PowerUnsafe,
    /// 429: more requests than the host takes, at once or in a minute; or clients of the agent are being given the certificate that the order
    /// would replace.
    Busy,
    /// 500
    Internal,
    /// 503: the exporter is being stopped and begins nothing new; ask again when it has been started.
    Stopping,
    /// 503: the agent takes no request yet: what an earlier run left is not known, or its configuration is refused.
    Unavailable,
    /// 507: no space for stage, backup or journal.
    InsufficientStorage,
}

impl RefusalReason {
    /// The HTTP status code.
    pub const fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::ClientNotAuthorised => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::TooSlow => 408,
            Self::OtherLineage
            | Self::LineageConfigured
            | Self::HandedBack
            | Self::StaleEpoch
            | Self::EpochTooFar
            | Self::StaleGeneration
            | Self::GenerationConflict
            | Self::RotationInProgress
            | Self::WrongState
            | Self::WrongClass
            | Self::Frozen => 409,
            Self::BodyTooLarge => 413,
            Self::UnsupportedEncoding => 415,
            Self::WrongTarget => 421,
            Self::ChainRefused | Self::KeystoreRefused => 422,
            Self::PowerUnsafe => 423,
            Self::Busy => 429,
            Self::Internal => 500,
            Self::Stopping | Self::Unavailable => 503,
            Self::InsufficientStorage => 507,
        }
    }
}

/// The first `N` of a list, and nothing of the rest: three bytes of JSON make an empty `String` of 24.
fn first<'de, D: Deserializer<'de>, T: Deserialize<'de>, const N: usize>(deserializer: D) -> Result<Vec<T>, D::Error> {
    struct First<T, const N: usize>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for First<T, N> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut kept = Vec::new();
            while kept.len() < N {
                let Some(element) = list.next_element()? else { return Ok(kept) };
                kept.push(element);
            }
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(kept)
        }
    }
    deserializer.deserialize_seq(First::<T, N>(PhantomData))
}

/// A password is written out here and in [`expose_one`] only: into the body of a request that goes over mTLS.
fn expose<S: Serializer>(secret: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(ExposeSecret::expose_secret).serialize(serializer)
}

fn expose_one<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    secret.expose_secret().serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(extra: &str) -> Result<RotationOpen, serde_json::Error> {
        serde_json::from_str(&format!(
            r#"{{"epoch":1,"generation":2,"host":"a.example","agent":"powerchute",
                "certificate":{{"dnsNames":["a.example"],"key":"RSA-2048"}}{extra}}}"#
        ))
    }

    #[test]
    fn a_request_with_only_what_is_needed_is_taken() {
        let request = open("").expect("minimal request");
        assert_eq!(request.target.generation, Generation(2));
        assert_eq!(request.keystore.format, StoreFormat::Auto);
        assert_eq!(request.keystore.on_unreadable, OnUnreadable::Refuse);
    }

    #[test]
    fn a_host_that_does_not_tell_whether_it_goes_down_is_understood_and_so_is_one_that_does() {
        let bare = r#"{"host":"a.example","bootId":"","time":"2026-01-01T00:00:00Z","epoch":1,
            "power":{"state":"Mains","observedAt":null},"agents":[]}"#;
        let report: HostReport = serde_json::from_str(bare).expect("a host of before");
        assert_eq!(report.shutdown, None);
        assert!(!serde_json::to_string(&report).expect("json").contains("shutdown"));
        let telling = bare.replace(
            r#""agents""#,
            r#""shutdown":{"state":"ups_pending","since":"2026-01-01T00:00:00Z","pending":true,"triggers":["news"],
               "scheduled":[{"type":"reboot","at":"2026-01-01T00:00:00Z","dryRun":false}]},"agents""#,
        );
        let report: HostReport = serde_json::from_str(&telling).expect("a host of today");
        let shutdown = report.shutdown.expect("told");
        assert_eq!((shutdown.state, shutdown.scheduled[0].kind.as_str()), (ShutdownState::UpsPending, "reboot"));
    }

    #[test]
    fn a_host_that_does_not_tell_whom_it_obeys_is_understood_and_so_is_one_that_does() {
        let unseen = r#"{"unseen":{"reason":"connect","message":"refused"}}"#;
        let bare = format!(
            r#"{{"host":"a.example","name":"web","product":"tls-service","time":"2026-01-01T00:00:00Z","epoch":1,"generation":0,
                "power":{{"state":"Mains","observedAt":null}},"stored":{unseen},"served":{unseen},"rotation":null}}"#
        );
        let report: AgentReport = serde_json::from_str(&bare).expect("a host of before");
        assert_eq!(report.lineage, None);
        assert!(
            !serde_json::to_string(&report).expect("json").contains("lineage"),
            "an operator of before sees nothing new"
        );
        let telling = bare.replace(r#""generation""#, r#""lineage":"tokyo","generation""#);
        let report: AgentReport = serde_json::from_str(&telling).expect("a host of today");
        assert_eq!(report.lineage.map(|lineage| lineage.to_string()).as_deref(), Some("tokyo"));
    }

    /// Holds B14: a host that lies told an operator names without an end, and had it run out of memory.
    #[test]
    fn of_a_list_that_does_not_end_the_first_are_kept() {
        let leaf = |names: &str| {
            serde_json::from_str::<Leaf>(&format!(
                r#"{{"sha256":"{}","serial":"1","subject":"","issuer":"","notBefore":"2026-01-01T00:00:00Z",
                    "notAfter":"2026-01-01T00:00:00Z","dnsNames":[{names}]}}"#,
                "0".repeat(64)
            ))
        };
        let kept = |count: usize| leaf(&vec![r#""a""#; count].join(",")).expect("a leaf").dns_names.len();
        assert_eq!([0, 1, MAX_TOLD_NAMES, 60_000].map(kept), [0, 1, MAX_TOLD_NAMES, MAX_TOLD_NAMES]);
        assert!(leaf("1").is_err() && leaf(r#""a",]"#).is_err());
    }

    /// A server may have thousands of clients, and a host that lies has more.
    #[test]
    fn of_the_clients_that_stay_few_are_named_and_a_host_that_tells_of_none_is_understood() {
        let names = vec![r#""pc""#; 60_000].join(",");
        let told =
            format!(r#"{{"listed":60000,"listedAt":"2026-01-01T00:00:00Z","notRepaired":60000,"names":[{names}]}}"#);
        let report: ClientsReport = serde_json::from_str(&told).expect("a report");
        assert_eq!(
            (report.listed, report.not_repaired, report.names.len()),
            (Some(60_000), Some(60_000), MAX_TOLD_CLIENTS)
        );
        assert_eq!(serde_json::from_str::<ClientsReport>("{}").expect("nothing yet"), ClientsReport::default());
    }

    #[test]
    fn an_unknown_key_is_refused_at_every_level() {
        for extra in [r#","path":"/etc/shadow""#, r#","keystore":{"path":"/etc/shadow"}"#] {
            assert!(open(extra).is_err(), "{extra}");
        }
    }

    /// An operator that names none asks as before, of exporters too that know no subject; one that does is refused by those.
    #[test]
    fn a_subject_is_sent_only_where_there_is_one_and_nothing_unknown_is_taken_in_it() {
        let bare = open("").expect("a request");
        assert!(!serde_json::to_string(&bare).expect("json").contains("subject"));
        let request = |subject: &str| {
            let json = serde_json::to_string(&bare).expect("json");
            json.replace(r#""key""#, &format!(r#""subject":{subject},"key""#))
        };
        let named: RotationOpen =
            serde_json::from_str(&request(r#"{"organizations":["Example"]}"#)).expect("a subject");
        assert_eq!(named.certificate.subject.organizations, ["Example"]);
        assert!(serde_json::from_str::<RotationOpen>(&request(r#"{"streetAddresses":["1"]}"#)).is_err());
    }

    #[test]
    fn a_password_is_sent_but_never_printed() {
        let request = open(r#","keystore":{"storePassword":"canary-4711"}"#).expect("request with password");
        assert!(!format!("{request:?}").contains("canary"));
        assert!(serde_json::to_string(&request).expect("json").contains("canary-4711"));
    }

    /// Holds B11.
    #[test]
    fn a_question_for_a_password_holds_it_and_nothing_unknown_and_an_answer_is_an_object() {
        let json =
            r#"{"epoch":1,"generation":2,"host":"a.example","agent":"powerchute","storePassword":"canary-4711"}"#;
        let question: PasswordQuestion = serde_json::from_str(json).expect("a question");
        assert!(!format!("{question:?}").contains("canary"));
        assert_eq!(serde_json::to_string(&question).expect("json"), json);
        let more = json.replace("storePassword", r#"path":"/etc/shadow","storePassword"#);
        assert!(serde_json::from_str::<PasswordQuestion>(&more).is_err());
        for (report, json) in [
            (PasswordReport::Same, r#"{"answer":"same"}"#),
            (PasswordReport::Different, r#"{"answer":"different"}"#),
            (
                PasswordReport::NotKnown { reason: "io".into(), message: "m".into() },
                r#"{"answer":"notKnown","reason":"io","message":"m"}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&report).expect("json"), json);
            assert_eq!(serde_json::from_str::<PasswordReport>(json).expect("a report"), report);
        }
    }
}
