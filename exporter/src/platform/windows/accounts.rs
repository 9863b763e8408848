//! Which account is which, by its security identifier.

use std::fmt;
use std::io;
use std::path::Path;

use super::super::{Ability, NotOnThisSystem};
use super::sys;

/// An account of this host or of its domain, by its security identifier as Windows writes it down.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccountId(String);

/// The system itself, and the group of administrators.
const ADMINISTRATORS: [&str; 2] = ["S-1-5-18", "S-1-5-32-544"];
/// The null identifier, which no process has.
const NOBODY: &str = "S-1-0-0";

impl AccountId {
    /// Whether it may do everything anyway.
    pub fn is_administrator(&self) -> bool {
        ADMINISTRATORS.contains(&self.0.as_str())
    }

    /// The account that is written so; one that nobody has where a name has to be looked for.
    #[must_use]
    pub fn as_written(text: &str) -> Self {
        Self(if is_identifier(text) { text } else { NOBODY }.to_owned())
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_identifier(text: &str) -> bool {
    let parts = text.strip_prefix("S-1-").map(|rest| rest.split('-').collect::<Vec<_>>());
    parts.is_some_and(|parts| parts.len() > 1 && parts.iter().all(|part| part.parse::<u64>().is_ok()))
}

/// The account that is written as its security identifier.
///
/// # Errors
/// For a name, which is not looked for yet.
pub fn account_id(name: &str) -> io::Result<Option<AccountId>> {
    if is_identifier(name) { Ok(Some(AccountId(name.to_owned()))) } else { Err(refused()) }
}

/// An account by its security identifier.
pub fn account_called(id: &AccountId) -> String {
    id.to_string()
}

/// The account that this process acts as, by its name.
pub fn own_account() -> String {
    sys::user_name().unwrap_or_else(|_| "an account whose name Windows does not tell".to_owned())
}

/// Whether an account may read a file by a right of its own.
///
/// # Errors
/// Always: rotations ask, and there are none.
pub fn may_read_by_right(_: &Path, _: &AccountId) -> io::Result<bool> {
    Err(refused())
}

fn refused() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, NotOnThisSystem(Ability::Rotations))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_known_by_its_identifier_and_a_name_is_not_taken_for_one() {
        for identifier in ["S-1-5-18", "S-1-5-21-1004336348-1177238915-682003330-512"] {
            assert_eq!(account_id(identifier).expect("known"), Some(AccountId::as_written(identifier)));
        }
        for name in ["Administrator", "S-1-", "S-1-5", "S-1-5-x", "0"] {
            assert_eq!(account_id(name).expect_err(name).kind(), io::ErrorKind::Unsupported);
            assert_eq!(AccountId::as_written(name).to_string(), NOBODY);
        }
        assert!(AccountId::as_written("S-1-5-18").is_administrator());
        assert!(!AccountId::as_written("someone").is_administrator());
    }

    #[test]
    fn this_process_acts_as_somebody() {
        assert!(!own_account().is_empty() && !own_account().contains("does not tell"));
    }
}
