//! Who speaks of the host's power and of its going down.

use std::fmt;

use crate::label::Label;

/// Who speaks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A source that tells of the host itself.
    Host { source: Label },
    /// A UPS that feeds the host, as one source hears it.
    Ups { source: Label, ups: Label },
}

impl Origin {
    pub(super) const fn is_ups(&self) -> bool {
        match self {
            Self::Ups { .. } => true,
            Self::Host { .. } => false,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host { source } => write!(f, "{source}"),
            Self::Ups { source, ups } if source == ups => write!(f, "{ups}"),
            Self::Ups { source, ups } => write!(f, "{source}/{ups}"),
        }
    }
}
