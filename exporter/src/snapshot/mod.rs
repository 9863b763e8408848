//! What all sources have last seen, as one value.
//!
//! ```text
//!   source ──Pass──> Board ──Snapshot──> render, the power gate
//!                      ├ counts what outlives a pass: errors by reason, the last success
//!                      └ feed ──> shutdown: whether the host goes down, from all that is said of it
//! ```
//!
//! A pass replaces its source's part whole: what a source did not see this time is not there. A host that is looked at from outside
//! has a snapshot of its own within that of this host.

mod alerts;
mod board;
mod clients;
mod facts;
mod function;
mod inventory;
mod loads;
mod pass;
mod program;
mod release;
mod repairs;
mod rotation;
mod to_shutdown;

pub use crate::label::{Label, is_deceptive};
pub use crate::source_id::{SourceId, SourceKind};
pub use crate::trouble::Trouble;
pub use alerts::{AlertCounts, AlertsSeen, ClientLogsSeen, FolderAlerts, LeftOutSenders, Sender, SenderSeen};
pub use board::Board;
pub use clients::{ClientName, ClientsSeen, LackingClients};
pub(crate) use facts::split_key_algorithm;
pub use facts::{CertificateFacts, Role, SeenCertificate, number_chain};
pub use function::{AgentFunction, FunctionSeen};
pub use inventory::{InventorySeen, IsolatedAgent, Named, RepeatedName, ServerAgents, UNKNOWN_ISOLATION};
pub use loads::Unlisted;
pub use pass::{
    Backend, Contents, FileSeen, FilesSeen, Flaws, HealthSeen, KEY_NOT_PROVEN, Observation, Pass, ProbeSeen, Served,
    SkippedFiles, UpsSeen, UpsTrouble,
};
pub use release::{CertificateEnd, ReleaseSeen};
pub use repairs::{HELD_FOR, RepairsSeen};
pub use rotation::{AgentRotations, FailureSeen, READING, RotationSeen};

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::config::PowerConfig;
use crate::shutdown::{HostStateReport, Load};

/// What is known of one source.
#[derive(Clone, Debug, Default)]
pub struct SourceState {
    /// Absent until the first pass has ended.
    pub pass: Option<Arc<Pass>>,
    /// How often something went wrong, by reason; every reason of the kind is there from the start.
    pub errors: BTreeMap<&'static str, u64>,
    pub last_success: Option<Timestamp>,
}

/// What all sources have last seen.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub sources: BTreeMap<SourceId, SourceState>,
    pub reload: Option<Reload>,
    /// Of the web configuration; absent where there is none.
    pub web_config: Option<Reload>,
    /// Whether the host API works; absent where none is configured.
    pub host_api_up: Option<bool>,
    /// Absent where the host API does not work.
    pub host_api_tls: Option<HostApiTls>,
    /// Absent where no SNMP traps are to be received.
    pub traps: Option<TrapCounts>,
    /// Whether the host goes down; absent while nobody has said anything of it.
    pub shutdown: Option<HostStateReport>,
    /// Which UPSes share a load, by the configuration in force.
    pub loads: Arc<[Load]>,
    /// The UPSes that feed this host, each with how often it is asked.
    pub ups_sources: BTreeMap<SourceId, Duration>,
    /// What the configuration in force says of the host's power.
    pub power: Option<PowerConfig>,
    /// The files with secrets that could be looked at.
    pub secret_files: Vec<SecretFileSeen>,
    /// The agents that may be rotated, and those that an earlier run has left something of. A name that is none of an agent,
    /// from a configuration that is refused, is shown as it is.
    pub rotations: BTreeMap<Label, AgentRotations>,
    /// The agents whose clients are repaired.
    pub repairs: BTreeMap<Label, RepairsSeen>,
    /// The longest that a stop of this program may take; absent where nothing is rotated.
    pub stop_timeout: Option<Duration>,
    /// What is seen of other hosts from here, by their names. Of each there are sources and nothing else, and none of them is
    /// among those above: whoever asks about this host cannot be told of another one.
    pub outside: BTreeMap<Label, Arc<Snapshot>>,
}

/// A file with a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFileSeen {
    /// Where the configuration names it.
    pub setting: String,
    pub path: String,
    /// Others may read it.
    pub exposed: bool,
}

/// The host API's TLS files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostApiTls {
    pub reload: Reload,
    /// When the certificate that clients are shown ends; absent where it has no well-defined end.
    pub certificate_not_after: Option<Timestamp>,
    /// When the first of its revocation lists expires; absent where none is configured.
    pub crl_next_update: Option<Timestamp>,
}

/// The SNMP traps that came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrapCounts {
    /// Whether they can be received now.
    pub listening: bool,
    /// What became of them, from a closed set that is there from the start.
    pub outcomes: BTreeMap<&'static str, u64>,
}

/// How the last attempt to load a configuration went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reload {
    pub successful: bool,
    /// Of the last attempt that succeeded.
    pub last_success: Timestamp,
}

impl Reload {
    fn after(before: Option<Self>, successful: bool, now: Timestamp) -> Self {
        let last_success = if successful { now } else { before.map_or(now, |before| before.last_success) };
        Self { successful, last_success }
    }
}

impl Snapshot {
    /// Whether every source of this host has been looked at once. Outside hosts are not waited for.
    pub fn is_complete(&self) -> bool {
        self.sources.values().all(|state| state.pass.is_some())
    }

    /// The sources whose last pass failed as a whole, and why.
    pub fn troubles(&self) -> impl Iterator<Item = (&SourceId, &Trouble)> {
        self.passes().filter_map(|(id, pass)| Some((id, pass.trouble.as_ref()?)))
    }

    /// What was last seen, source by source.
    pub fn passes(&self) -> impl Iterator<Item = (&SourceId, &Pass)> {
        self.sources.iter().filter_map(|(id, state)| Some((id, state.pass.as_deref()?)))
    }
}
