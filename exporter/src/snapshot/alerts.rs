//! What the alerts of a product tell that is looked at through them, and the logs of a product's clients.

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use kagiban_agents::Product;

use super::{ClientName, Label, ReleaseSeen};

/// An agent whose alerts were looked at.
#[derive(Clone, Debug)]
pub struct AlertsSeen {
    /// The configured name.
    pub agent: Label,
    pub product: Product,
    /// One for each component that its configuration names, with what the notice says of it.
    pub releases: Vec<ReleaseSeen>,
    /// When its engine may stop, as far as the notice has seen it; absent where no component is affected, or too little is known.
    pub engine_stop: Option<Timestamp>,
    /// Absent where no file is named.
    pub counts: Option<AlertCounts>,
}

/// An agent whose clients log that they could not authenticate its server.
#[derive(Clone, Debug)]
pub struct ClientLogsSeen {
    /// The configured name.
    pub agent: Label,
    pub product: Product,
    /// Its senders are clients. None of its alerts is about a folder.
    pub counts: AlertCounts,
    /// What clients have logged after it may not have come to the server when the newest file was exported, of several patterns that whose
    /// newest file is the oldest. Absent where not all could be read.
    pub known_until: Option<Timestamp>,
}

/// The alerts of the last 24 hours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertCounts {
    /// The terminals that failed to authenticate themselves, or the clients that could not authenticate their server, the last one first.
    pub senders: Vec<SenderSeen>,
    pub left_out: LeftOutSenders,
    pub folder: FolderAlerts,
    /// Those whose own time is more than an hour ahead of our clock.
    pub ahead: usize,
    /// Not all that lies there could be read, or it is too old to tell of this window: each number is what there is at least, and a zero tells nothing.
    pub is_part: bool,
}

/// Alerts about the folder of logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FolderAlerts {
    /// Of the data server that is named, with somebody logged on, where every condition of the notice holds.
    pub false_ones: usize,
    /// All others.
    pub unexplained: usize,
}

/// A terminal that failed to authenticate itself, or a client that could not authenticate its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderSeen {
    pub sender: Sender,
    /// In the last 24 hours.
    pub failures: usize,
    pub last: Timestamp,
}

/// Terminals that are not told one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOutSenders {
    pub senders: usize,
    pub failures: usize,
}

/// Who sent what was refused, or has refused what was sent: the label `sender` or `client`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sender {
    Address(IpAddr),
    Client(ClientName),
    /// What stands in the place of its address or name is none, or a word that the label has for others.
    Unreadable,
}

impl AlertCounts {
    /// Whether this number of them tells something: a zero may be a guess.
    pub const fn tells(&self, number: usize) -> bool {
        number > 0 || !self.is_part
    }

    /// Of all terminals.
    pub fn failures(&self) -> usize {
        self.left_out.failures + self.senders.iter().map(|it| it.failures).sum::<usize>()
    }
}

impl Sender {
    /// What the label says of all that are not told one by one.
    pub const OTHER: &str = "other";
    /// What it says of [`Sender::Unreadable`].
    const UNREADABLE: &str = "unreadable";

    /// The client that an entry names. Of one that is called as those that have no name, the same series would be there twice.
    pub fn client(name: Option<ClientName>) -> Self {
        let is_ours = |name: &ClientName| {
            [Self::OTHER, Self::UNREADABLE].iter().any(|word| name.as_str().eq_ignore_ascii_case(word))
        };
        name.filter(|name| !is_ours(name)).map_or(Self::Unreadable, Self::Client)
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Client(name) => name.fmt(f),
            Self::Unreadable => f.write_str(Self::UNREADABLE),
        }
    }
}
