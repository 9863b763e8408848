//! What a decision is made from.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use kagiban_crds::host_api::AgentReport;
use kagiban_crds::resource::{BlockedBy, IssuerRef, ManagedAgentCertificateSpec, ManagedAgentCertificateStatus};
use kagiban_crds::{Generation, Lineage};

use crate::certificate::{IssuerError, IssuerFacts};
use crate::foreign::is_seen;

/// Everything a decision may depend on.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    pub resource: &'a Resource,
    pub host: Observed<'a>,
    /// Another resource for the same agent of the same host, which owns it.
    pub rival: Option<&'a Rival>,
    /// The last step that failed without harm, if the one before it did not succeed since.
    pub setback: Option<&'a Setback>,
    /// For how long this process has seen the host work on a rotation without a break, since a step of ours that began it anew.
    pub works_for: Option<Duration>,
    /// The order of this process to begin a rotation that the host last took.
    pub ordered: Option<TakenOrder>,
    pub references: &'a References,
    pub policy: &'a Policy,
    pub now: Timestamp,
}

/// An order to begin a rotation, which its host has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakenOrder {
    pub generation: Generation,
    pub at: Timestamp,
}

/// What was read of the Secrets that the resource names, as far as a decision depends on it; never what is secret in them.
///
/// `None` means that it was not read, and nothing is concluded from that.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct References {
    pub issuer: Option<Result<IssuerFacts, Obstacle>>,
    pub password: Option<Result<PasswordVersion, Obstacle>>,
}

/// Which password the keystore is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordVersion {
    /// The word for it.
    pub word: String,
    /// Earlier versions of the Secret that held the same password, as far as this process has seen or the resource's host has said.
    pub before: Vec<String>,
    /// Versions that held another one, likewise. One that is in neither list is not known: the host is to be asked.
    pub others: Vec<String>,
}

/// The word for a password that went to the host with an order of this generation, of which the status says no version of the
/// Secret. No version reads so (it is a time, or `files-` and a digest), and no password that was read goes by this word: the host is
/// asked whether it is the one in the Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordOfGeneration(pub Generation);

impl fmt::Display for PasswordOfGeneration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "generation-{}", self.0)
    }
}

/// A `ManagedAgentCertificate` without Kubernetes around it.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// The generation of the *spec*, as the API server counts it.
    pub generation: i64,
    /// When deletion was asked for.
    pub deleted_at: Option<Timestamp>,
    /// Whether our finalizer is on it.
    pub held: bool,
    /// The value of the rotate annotation.
    pub rotate: Option<String>,
    /// Whether a person has paused it with a command, beside what its manifest says. The spec says then too that it is paused.
    pub paused_by_hand: bool,
    pub spec: ManagedAgentCertificateSpec,
    pub status: ManagedAgentCertificateStatus,
}

/// What was seen of the agent.
#[derive(Clone, Copy, Debug)]
pub enum Observed<'a> {
    Seen(&'a AgentReport),
    Unseen(&'a Obstacle),
}

/// Another resource that owns the same agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rival {
    pub namespace: String,
    pub name: String,
}

/// Why something cannot be done now. The message must not change from try to try: it goes into the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    pub by: BlockedBy,
    pub message: String,
    /// The host lets this client do nothing, whatever it asks for. Who was verified there is not any more; a host that does
    /// not know an agent just now, or has no room, says nothing of who asks.
    pub refuses_client: bool,
    /// Whoever was asked of it could not tell just now, and is asked again soon. It says nothing of what it speaks of: what was
    /// known of that stands.
    pub is_unread: bool,
}

/// Failed tries in a row of the same object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setback {
    pub obstacle: Obstacle,
    /// At least one.
    pub count: u32,
    /// When the last one failed.
    pub at: Timestamp,
}

/// The operator's flags, as far as decisions depend on them.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The longest time between two looks at a host.
    pub resync: Duration,
    /// How long deletion waits for a host, or for a rotation on it.
    pub release_after: Duration,
    /// How long a rotation may take until the chain is on the host; then it is undone.
    pub delivery_deadline: Duration,
    /// The installation in whose name hosts are given orders.
    pub lineage: Option<Lineage>,
    /// The installation to which all hosts are given; nothing new is begun on them.
    pub hand_over_to: Option<Lineage>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            resync: Duration::from_secs(300),
            // Longer than a restart of a slow agent with its rollback, short enough for a namespace to go
            release_after: Duration::from_secs(900),
            // Long enough to mend an issuer without losing the key that the host has made
            delivery_deadline: Duration::from_secs(3600),
            lineage: None,
            hand_over_to: None,
        }
    }
}

impl References {
    /// The same, without the failures for which this is true: as if those had not been read.
    pub(crate) fn without(&self, is_left_out: impl Fn(&Obstacle) -> bool) -> Self {
        let stays = |obstacle: Option<&Obstacle>| !obstacle.is_some_and(&is_left_out);
        Self {
            issuer: self.issuer.clone().filter(|issuer| stays(issuer.as_ref().err())),
            password: self.password.clone().filter(|password| stays(password.as_ref().err())),
        }
    }

    pub(crate) fn issuer(&self) -> Option<&IssuerFacts> {
        self.issuer.as_ref()?.as_ref().ok()
    }

    pub(crate) fn password(&self) -> Option<&PasswordVersion> {
        self.password.as_ref()?.as_ref().ok()
    }

    pub(crate) fn password_version(&self) -> Option<&str> {
        self.password().map(|version| version.word.as_str())
    }

    /// The first Secret that is not there, or is not what it must be.
    pub(crate) fn obstacle(&self) -> Option<&Obstacle> {
        self.obstacles().next()
    }

    /// The first that is perhaps as it was: it could not be read just now.
    pub(crate) fn unread(&self) -> Option<&Obstacle> {
        self.obstacles().find(|obstacle| obstacle.is_unread)
    }

    fn obstacles(&self) -> impl Iterator<Item = &Obstacle> {
        let issuer = self.issuer.as_ref().and_then(|issuer| issuer.as_ref().err());
        issuer.into_iter().chain(self.password.as_ref().and_then(|password| password.as_ref().err()))
    }
}

impl PasswordVersion {
    /// Whether this password went by that word.
    pub(crate) fn was(&self, word: &str) -> bool {
        self.word == word || self.before.iter().any(|before| before == word)
    }

    /// Whether another password went by that word.
    pub(crate) fn is_another(&self, word: &str) -> bool {
        !self.was(word) && self.others.iter().any(|other| other == word)
    }
}

impl From<&str> for PasswordVersion {
    fn from(word: &str) -> Self {
        Self { word: word.to_owned(), before: Vec::new(), others: Vec::new() }
    }
}

impl Observed<'_> {
    pub(crate) const fn report(&self) -> Option<&AgentReport> {
        match self {
            Self::Seen(report) => Some(report),
            Self::Unseen(_) => None,
        }
    }
}

impl Obstacle {
    /// The message goes into logs and terminals, and may quote what anybody has written: control characters are left out.
    pub fn new(by: BlockedBy, message: impl Into<String>) -> Self {
        let mut message = message.into();
        message.retain(is_seen);
        Self { by, message, refuses_client: false, is_unread: false }
    }

    #[must_use]
    pub fn refusing_client(self, refuses_client: bool) -> Self {
        Self { refuses_client, ..self }
    }

    #[must_use]
    pub(crate) fn unread(self, is_unread: bool) -> Self {
        Self { is_unread, ..self }
    }

    /// What an issuer's certificates or a CSR are that they must not be.
    pub(crate) fn of_issuer(issuer: &IssuerRef, error: &IssuerError) -> Self {
        Self::new(error.blocked_by(), format!("issuer {}/{}: {error}", issuer.kind.as_str(), issuer.name))
    }

    /// A member of the spec that cannot be used. The schema lets nearly all of these not in.
    pub(crate) fn of_spec(member: &str) -> Self {
        Self::new(BlockedBy::SpecInvalid, format!("spec.{member} is not what it must be"))
    }
}
