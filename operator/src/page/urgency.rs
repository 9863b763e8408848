//! How much a resource needs somebody.

use kagiban_html::Emphasis;

use crate::fleet::ResourceSummary;

/// The worst is the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    /// Nothing goes on until a person looks.
    Person,
    /// It is not Ready, and what keeps it may pass by itself.
    NotReady,
    /// It is Ready and something keeps the next rotation, or it was not looked at.
    Waits,
    Fine,
}

impl Urgency {
    pub(super) fn of(of: &ResourceSummary) -> Self {
        match &*of.ready {
            _ if of.stalled => Self::Person,
            "False" => Self::NotReady,
            "True" if of.blocked_by.is_none() => Self::Fine,
            _ => Self::Waits,
        }
    }

    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Person => "Needs a person",
            Self::NotReady => "Not ready",
            Self::Waits => "Waiting",
            Self::Fine => "Fine",
        }
    }
}

impl From<Urgency> for Emphasis {
    fn from(urgency: Urgency) -> Self {
        match urgency {
            Urgency::Person | Urgency::NotReady => Self::Bad,
            Urgency::Waits => Self::Soon,
            Urgency::Fine => Self::Plain,
        }
    }
}
