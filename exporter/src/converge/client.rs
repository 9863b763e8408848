//! The name of a client, as far as it may be handed to a program.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// RFC 1035, 2.3.4.
const LONGEST: usize = 253;

/// A host name: letters, digits, `-`, `.` and `_`, none of its parts empty or beginning with `-`. Whatever else a list has in that column
/// comes from whoever has named a computer, and reaches no program.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClientHost(String);

/// It is no host name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no host name: letters, digits, '-', '.' and '_' alone, of 253 characters at most")]
pub struct NoHostName;

impl ClientHost {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn is_one(name: &str) -> bool {
        let is_of_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let is_part = |part: &str| !part.is_empty() && !part.starts_with('-') && part.bytes().all(is_of_host);
        name.len() <= LONGEST && name.split('.').all(is_part)
    }
}

impl FromStr for ClientHost {
    type Err = NoHostName;

    fn from_str(name: &str) -> Result<Self, NoHostName> {
        if Self::is_one(name) { Ok(Self(name.to_owned())) } else { Err(NoHostName) }
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
        name.0
    }
}

impl Borrow<str> for ClientHost {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClientHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
