//! Which clients of a product do not have its certificate.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use kagiban_agents::Product;

use super::{AgentRotations, Label, Snapshot};

/// An agent whose server was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientsSeen {
    /// The configured name.
    pub agent: Label,
    pub product: Product,
    /// Absent where this look brought no list.
    pub lacking: Option<LackingClients>,
    /// When a list last came, in this look or in one before it.
    pub listed_at: Option<Timestamp>,
    /// `AgentRotations::changes` when the look was begun.
    pub changes: u64,
    /// Whether the configuration that the look was made for has these clients repaired.
    pub is_for_repair: bool,
}

impl Snapshot {
    /// What a list says of the certificate that the server has now: nothing while a rotation of the agent is on its way, and nothing where
    /// one has begun or ended since the list was begun.
    pub fn lacking<'a>(&self, seen: &'a ClientsSeen) -> Option<&'a LackingClients> {
        let counts = |rotations: &AgentRotations| !rotations.is_on_its_way() && rotations.changes == seen.changes;
        seen.lacking.as_ref().filter(|_| self.rotations.get(&seen.agent).is_none_or(counts))
    }
}

/// Those whose certificate is not the server's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LackingClients {
    /// All of them.
    pub count: usize,
    /// In the order of the list, each once.
    pub named: Vec<ClientName>,
    /// The names after those, of an agent whose clients are repaired: they are told nowhere one by one.
    pub others: Vec<ClientName>,
    /// How many of them the list does not name, or by what no host is called.
    pub nameless: usize,
    /// Nothing tells which column of the list has the names: all are nameless.
    pub is_column_unknown: bool,
    /// Whether a host that is neither among `named` nor among `others` is not listed. False where names were left out, and where it is by
    /// guess that they are names.
    pub is_complete: bool,
}

impl LackingClients {
    /// The same, of which no more are told one by one.
    #[must_use]
    pub fn telling(mut self, most: usize) -> Self {
        self.others = self.named.split_off(most.min(self.named.len()));
        self
    }

    /// How many are counted and not named: beyond as many as may be, of a name that another one has, or of none.
    pub const fn left_out(&self) -> usize {
        self.count.saturating_sub(self.named.len())
    }
}

/// What a client is called: a host name, of whatever letters, or an address. It is fit for a label; what a program is told is narrower
/// still ([`crate::converge::ClientHost`]). Capital letters make no other one (RFC 4343).
#[derive(Clone)]
pub struct ClientName(Arc<str>);

impl ClientName {
    /// As long as a domain name may be.
    const LONGEST: usize = 253;

    /// None of what no host is called. No name begins with a mark, as an option of a program does.
    pub fn parse(text: &str) -> Option<Self> {
        let may_be = |c: char| c.is_alphanumeric() || "-_.".contains(c);
        let is_name = text.starts_with(|c: char| c.is_alphanumeric() || c == '_') && text.chars().all(may_be);
        let fits = text.chars().count() <= Self::LONGEST && (is_name || text.parse::<IpAddr>().is_ok());
        fits.then(|| Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// By which it is compared, thousands of times for each list.
    fn folded(&self) -> impl Iterator<Item = u8> {
        self.0.bytes().map(|byte| byte.to_ascii_lowercase())
    }
}

impl PartialEq for ClientName {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for ClientName {}

impl PartialOrd for ClientName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ClientName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.folded().cmp(other.folded())
    }
}

impl Hash for ClientName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.folded().for_each(|byte| state.write_u8(byte));
    }
}

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capital_letters_make_no_other_client_and_letters_of_other_alphabets_do() {
        let name = |text: &str| ClientName::parse(text).expect("a name");
        for (one, other, is_same) in [("PC-01", "pc-01", true), ("PC-01", "PC-02", false), ("É", "é", false)] {
            assert_eq!(name(one) == name(other), is_same, "{one} {other}");
            assert_eq!(name(one).cmp(&name(other)).is_eq(), is_same, "{one} {other}");
            let both = std::collections::HashSet::from([name(one), name(other)]);
            assert_eq!(both.len() == 1, is_same, "{one} {other}");
        }
    }

    #[test]
    fn a_name_is_one_that_a_host_can_have() {
        for name in ["PC-01", "経理-01", "pc_01.example.com", "192.0.2.1", "2001:db8::1", "_a", &"x".repeat(253)] {
            assert_eq!(ClientName::parse(name).as_ref().map(ClientName::as_str), Some(name), "{name}");
        }
        for other in
            ["", "-e", "/e", ".", "a b", "a\nb", "a\"b", "a\\b", "a;b", "a\u{202e}b", "a\u{fffd}", &"x".repeat(254)]
        {
            assert_eq!(ClientName::parse(other), None, "{other}");
        }
    }
}
