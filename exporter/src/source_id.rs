//! Which source: what kind of thing it looks at, and its name in the configuration.

use crate::label::Label;

/// What kind of thing a source looks at: the label `source_kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceKind {
    /// The directory of an agent.
    Agent,
    /// The alerts of a product that is looked at through them, or the logs of a product's clients.
    Alerts,
    /// Which clients of a product do not have its certificate.
    Clients,
    /// Certificate files by path.
    File,
    /// Whether an agent does its work.
    Function,
    /// How an agent is hardened.
    Health,
    /// What the host says of its own going down.
    Host,
    /// The agents of all servers of a product, as the console above them lists them.
    Inventory,
    /// Which release a part of a product is.
    Release,
    /// A TLS endpoint.
    Tls,
    /// One UPS, or every UPS of one server.
    Ups,
}

/// A source, for as long as its configuration names it. Names are unique within one host and kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId {
    /// The outside host that is looked at; absent for the host that this program runs on.
    pub host: Option<Label>,
    pub kind: SourceKind,
    pub name: Label,
}

impl SourceId {
    /// A source of the host that this program runs on.
    pub const fn own(kind: SourceKind, name: Label) -> Self {
        Self { host: None, kind, name }
    }
}

impl SourceKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Agent => "agent",
            Self::Alerts => "alerts",
            Self::Clients => "clients",
            Self::Function => "function",
            Self::Health => "health",
            Self::Host => "host",
            Self::Inventory => "inventory",
            Self::Release => "release",
            Self::Tls => "tls",
            Self::Ups => "ups",
        }
    }
}
