//! What people are told of a host: each thing that is seen, how bad it is, and what to do about it.
//!
//! ```text
//!   Snapshot ──> attention   what needs a person      ──> web (landing page), cli (`check`)
//!           └──> working     what is as it should be  ──> cli (`check`)
//! ```
//!
//! Pure. Metrics tell the same of the same snapshot; here are words.

pub(crate) mod alerts;
pub(crate) mod attention;
pub(crate) mod certificates;
pub(crate) mod client_logs;
pub(crate) mod clients;
pub(crate) mod fix;
mod inventory;
pub(crate) mod products;
#[cfg(test)]
pub(crate) mod samples;
pub(crate) mod shutdown;
mod text;
pub(crate) mod upses;
pub(crate) mod working;

pub(crate) use text::{Count, Moment, Span};

use std::borrow::Cow;

use crate::snapshot::{Label, SourceId, SourceKind};

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Critical,
    Warning,
    Fine,
}

/// What something is about, in the order in which a page of all tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    Configuration,
    Exporter,
    Agent,
    File,
    Endpoint,
    Certificate,
    Hardening,
    Ups,
    Power,
    Shutdown,
    Clock,
}

/// One thing that people are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The outside host that it is of; absent for the host that this program runs on.
    pub host: Option<Label>,
    pub topic: Topic,
    pub severity: Severity,
    /// What it is about, such as `UPS rack-a`.
    pub about: String,
    pub said: String,
    /// What to do, where what is said does not say it.
    pub fix: Option<String>,
    /// The source that it was seen by, where one source may have any number of them.
    pub source: Option<String>,
}

pub(crate) fn item(topic: Topic, severity: Severity, about: impl Into<String>, said: impl Into<String>) -> Item {
    Item { topic, severity, about: about.into(), said: said.into(), fix: None, source: None, host: None }
}

impl Item {
    pub(crate) fn fix_by(self, fix: Option<impl Into<String>>) -> Self {
        Self { fix: fix.map(Into::into), ..self }
    }

    pub(crate) fn seen_by(self, id: &SourceId) -> Self {
        Self { source: Some(format!("{} {}", id.kind.as_str(), id.name)), ..self }
    }

    pub(crate) fn of_host(self, host: &Label) -> Self {
        Self { host: Some(host.clone()), ..self }
    }

    /// What it is about, with the outside host that it is of.
    pub(crate) fn subject(&self) -> Cow<'_, str> {
        match &self.host {
            None => Cow::Borrowed(&self.about),
            Some(host) => Cow::Owned(format!("{host}: {}", self.about)),
        }
    }
}

impl Topic {
    /// Stable, for scripts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Exporter => "exporter",
            Self::Agent => "agent",
            Self::File => "file",
            Self::Endpoint => "endpoint",
            Self::Certificate => "certificate",
            Self::Hardening => "hardening",
            Self::Ups => "ups",
            Self::Power => "power",
            Self::Shutdown => "shutdown",
            Self::Clock => "clock",
        }
    }

    pub(crate) const fn of(kind: SourceKind) -> Self {
        match kind {
            SourceKind::Agent
            | SourceKind::Alerts
            | SourceKind::Clients
            | SourceKind::Function
            | SourceKind::Inventory
            | SourceKind::Release => Self::Agent,
            SourceKind::File => Self::File,
            SourceKind::Health => Self::Hardening,
            SourceKind::Host => Self::Shutdown,
            SourceKind::Tls => Self::Endpoint,
            SourceKind::Ups => Self::Ups,
        }
    }
}
