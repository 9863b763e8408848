//! The name of a client, as far as it may be handed to a program.

use std::fmt;
use std::str::FromStr;

use kagiban_crds::HostName;
use serde::{Deserialize, Serialize};

use crate::snapshot::ClientName;

/// RFC 1035, 2.3.4.
const LONGEST: usize = 253;
/// What a host calls itself, with a domain or without.
const LOCAL: [&str; 6] = ["localhost", "localhost4", "localhost6", "ip6-localhost", "ip6-loopback", "loopback"];

/// A host name: letters, digits, `-`, `.` and `_`, none of its parts empty or beginning with `-`. Whatever else a list has in that column
/// comes from whoever has named a computer, and reaches no program. It is told as it was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClientHost(ClientName);

/// It is no host name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no host name: letters, digits, '-', '.' and '_' alone, of 253 characters at most")]
pub struct NoHostName;

impl ClientHost {
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether it leads to the host that this program runs on: a program that is given it would repair the server itself. A name without a
    /// domain is this host's where its own begins so.
    pub fn is_here(&self, own: &HostName) -> bool {
        let (name, own) = (self.as_str().to_ascii_lowercase(), own.as_str().to_ascii_lowercase());
        let first = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
        let is_own = if name.contains('.') && own.contains('.') { name == own } else { first(&name) == first(&own) };
        let is_called_local = LOCAL.contains(&first(&name).as_str()) || name.ends_with(".localhost");
        is_own || is_called_local || name.starts_with("127.") || numbered(&name).is_some_and(is_local)
    }

    fn is_one(name: &str) -> bool {
        let is_of_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let is_part = |part: &str| !part.is_empty() && !part.starts_with('-') && part.bytes().all(is_of_host);
        name.len() <= LONGEST && name.split('.').all(is_part)
    }
}

impl TryFrom<ClientName> for ClientHost {
    type Error = NoHostName;

    fn try_from(name: ClientName) -> Result<Self, NoHostName> {
        if Self::is_one(name.as_str()) { Ok(Self(name)) } else { Err(NoHostName) }
    }
}

impl FromStr for ClientHost {
    type Err = NoHostName;

    fn from_str(name: &str) -> Result<Self, NoHostName> {
        ClientName::parse(name).ok_or(NoHostName)?.try_into()
    }
}

impl TryFrom<String> for ClientHost {
    type Error = NoHostName;

    fn try_from(name: String) -> Result<Self, NoHostName> {
        name.parse()
    }
}

impl From<ClientHost> for String {
    fn from(name: ClientHost) -> Self {
        name.as_str().to_owned()
    }
}

impl fmt::Display for ClientHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The address that a program takes a name of numbers for, as `inet_aton` does: `127.1` and `0x7f000001` are `127.0.0.1`.
fn numbered(name: &str) -> Option<u32> {
    let number = |part: &str| match part.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None if part.len() > 1 && part.starts_with('0') => u32::from_str_radix(part, 8).ok(),
        None => part.parse().ok(),
    };
    let parts: Vec<u32> = name.split('.').map(number).collect::<Option<_>>()?;
    let (last, before) = parts.split_last().filter(|(_, before)| before.len() < 4)?;
    // The last one fills what the others leave.
    let of_others = before.iter().zip([24, 16, 8]).map(|(part, shift)| part.checked_mul(1 << shift));
    of_others.chain([Some(*last)]).try_fold(0_u32, |sum, part| sum.checked_add(part?))
}

/// Loopback, and the address of no host, which many systems take for their own.
const fn is_local(address: u32) -> bool {
    address >> 24 == 127 || address == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two rows of a list, of which one is written in capital letters, are one host.
    #[test]
    fn names_that_differ_in_capital_letters_are_one_host_and_are_told_as_they_were_written() {
        let [upper, lower, other]: [ClientHost; 3] =
            ["PC-01.Example.com", "pc-01.example.COM", "pc-02.example.com"].map(|name| name.parse().expect("a name"));
        assert_eq!(upper, lower);
        assert!(upper < other && lower < other && upper != other);
        assert_eq!(std::collections::HashSet::from([upper.clone(), lower]).len(), 1);
        assert_eq!(upper.to_string(), "PC-01.Example.com");
    }

    #[test]
    fn a_name_that_leads_to_this_host_is_known_however_it_is_written() {
        let own = "apex-01.example.com".parse().expect("a host name");
        let is_here = |name: &str| name.parse::<ClientHost>().expect("a host name").is_here(&own);
        for name in [
            "localhost",
            "LocalHost",
            "localhost.localdomain",
            "a.localhost",
            "ip6-localhost",
            "127.0.0.1",
            "127.1",
            "127.example",
            "2130706433",
            "0x7f000001",
            "0x7F.1",
            "0177.0.0.1",
            "0",
            "0.0.0.0",
            "APEX-01",
            "apex-01.example.com",
            "Apex-01.Example.COM",
        ] {
            assert!(is_here(name), "{name}");
        }
        for name in
            ["10.0.0.7", "192.0.2.127", "PC-127", "apex-01.example.org", "apex-010", "localhosts", "1.2.3.4.5", "0x7g"]
        {
            assert!(!is_here(name), "{name}");
        }
        let short = "apex-01".parse().expect("a host name");
        assert!("apex-01.example.com".parse::<ClientHost>().expect("a host name").is_here(&short));
    }

    /// Whoever names a computer writes into the list.
    #[test]
    fn only_a_host_name_is_one_and_nothing_that_a_program_or_a_shell_could_take_for_more() {
        let longest = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".");
        for name in ["PC-01", "pc_01.example.com", "10.0.0.7", "_x", "0", &longest] {
            assert_eq!(name.parse().map(|host: ClientHost| host.to_string()).as_deref(), Ok(name), "{name}");
        }
        for name in [
            "",
            "-e",
            "--help",
            ".",
            "..",
            "a..b",
            ".a",
            "a.",
            "a.-b",
            "a b",
            "a;b",
            "a&b",
            "a|b",
            "$(a)",
            "`a`",
            "a\"b",
            "a'b",
            "a\\b",
            "\\\\a",
            "a/b",
            "../a",
            "a%PATH%",
            "a^b",
            "a\nb",
            "a\0b",
            "a,b",
            "{client}",
            "a:1",
            "@a",
            "営業-01",
            "ａ",
            &format!("{longest}e"),
        ] {
            assert_eq!(name.parse::<ClientHost>(), Err(NoHostName), "{name:?}");
        }
    }
}
