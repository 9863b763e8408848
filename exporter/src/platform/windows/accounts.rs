//! Which account is which, by its security identifier, and whether a file is an account's own.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use kagiban_files::{FileError, may_read};
use kagiban_process::threads::{Unanswered, within};

use super::sys::{self, Process, Token};

/// The account that the package's service runs the exporter as.
pub const EXPORTERS: &[&str] = &[SYSTEM_NAME];

/// Milliseconds, but for a name of a domain.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
const MAX_ASKED: usize = 16;
static QUESTIONS: LazyLock<Questions> = LazyLock::new(Questions::default);

const SYSTEM: &str = "S-1-5-18";
/// In any language.
const SYSTEM_NAME: &str = "SYSTEM";
const ADMINISTRATORS: &str = "S-1-5-32-544";
/// The null identifier, which no process has.
const NOBODY: &str = "S-1-0-0";
/// Of a service, made of its name.
const SERVICES: &str = "S-1-5-80-";
const ALL_SERVICES: &str = "S-1-5-80-0";
/// Of an account or a group of a host or a domain.
const OF_DOMAINS: &str = "S-1-5-21-";
/// Of a group that every host has, as Administrators is one.
const BUILT_IN: &str = "S-1-5-32-";
/// Domain Users, Domain Guests and Domain Computers.
const WHOLE_DOMAINS: [&str; 3] = ["513", "514", "515"];
/// Users, Guests, and Pre-Windows 2000 Compatible Access.
const WHOLE_HOSTS: [&str; 3] = ["545", "546", "554"];

/// An account of this host or of its domain, by its security identifier as Windows writes it down.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccountId {
    sid: String,
    /// Of a process that acts as the account: which services' and groups' rights it has too (`true`), and in which groups it is besides.
    groups: BTreeMap<String, bool>,
}

impl AccountId {
    /// Whether it may do everything anyway.
    pub fn is_administrator(&self) -> bool {
        [SYSTEM, ADMINISTRATORS].contains(&self.sid.as_str()) || self.has_rights_of(ADMINISTRATORS)
    }

    /// Whether it is the account that a configuration names, or a process of the service whose account that is: several services run as
    /// Local Service, each with an identifier of its own besides.
    pub fn acts_as(&self, named: &Self) -> bool {
        self.sid == named.sid || (named.sid.starts_with(SERVICES) && self.has_rights_of(&named.sid))
    }

    /// The account that is written so; one that nobody has where a name has to be looked for.
    #[must_use]
    pub fn as_written(text: &str) -> Self {
        Self::plain(if is_identifier(text) { text } else { NOBODY })
    }

    pub(super) fn system() -> Self {
        Self::plain(SYSTEM)
    }

    /// As a process acts. What a group of everybody may do is no right of anybody's own.
    pub(super) fn of(token: Token) -> Self {
        let groups = token.groups.into_iter();
        let groups = groups.map(|group| (group.is_enabled && is_of_few(&group.sid), group.sid));
        Self { sid: token.account, groups: groups.map(|(has_rights, sid)| (sid, has_rights)).collect() }
    }

    /// As this process acts.
    pub(super) fn own() -> io::Result<Self> {
        Process::open(std::process::id()).and_then(|own| own.token()).map(Self::of)
    }

    fn plain(sid: &str) -> Self {
        Self { sid: sid.to_owned(), groups: BTreeMap::new() }
    }

    fn has_rights_of(&self, group: &str) -> bool {
        self.groups.get(group) == Some(&true)
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sid)
    }
}

fn is_identifier(text: &str) -> bool {
    let parts = text.strip_prefix("S-1-").map(|rest| rest.split('-').collect::<Vec<_>>());
    parts.is_some_and(|parts| parts.len() > 1 && parts.iter().all(|part| part.parse::<u64>().is_ok()))
}

/// Whether a group is one of services, of administrators, or one that somebody has made: not one in which everybody is, or everybody who
/// has come a certain way.
fn is_of_few(group: &str) -> bool {
    let last = |prefix: &str| group.strip_prefix(prefix)?.rsplit('-').next();
    group.starts_with(SERVICES) && group != ALL_SERVICES
        || last(OF_DOMAINS).is_some_and(|number| !WHOLE_DOMAINS.contains(&number))
        || last(BUILT_IN).is_some_and(|number| !WHOLE_HOSTS.contains(&number))
}

/// The account that is written as its security identifier or as its name: `Agent`, `DOMAIN\\Agent`, `NT SERVICE\\Agent`. None where
/// there is no such account. A domain's controller is asked where the name is not of this host, and waited for some seconds.
///
/// # Errors
/// When that cannot be found out now: the domain does not answer, perhaps.
pub fn account_id(name: &str) -> io::Result<Option<AccountId>> {
    if is_identifier(name) {
        return Ok(Some(AccountId::plain(name)));
    }
    let asked = name.to_owned();
    Ok(QUESTIONS.ask(move || sys::account_named(&asked))?.map(|sid| AccountId::plain(&sid)))
}

/// An account by its name where Windows knows one, and by its security identifier where not. It waits as [`account_id`] does.
pub fn account_called(id: &AccountId) -> String {
    if id.sid == SYSTEM {
        return SYSTEM_NAME.to_owned();
    }
    let sid = id.sid.clone();
    QUESTIONS.ask(move || sys::account_name(&sid)).ok().flatten().unwrap_or_else(|| format!("the account {id}"))
}

/// Who knows the accounts may be a domain's controller that does not answer: whoever asks again and again has only so many questions
/// under way.
#[derive(Default)]
struct Questions(Arc<()>);

impl Questions {
    fn ask<T: Send + 'static>(&self, question: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
        let under_way = Arc::clone(&self.0);
        if Arc::strong_count(&under_way) > 1 + MAX_ASKED {
            let why = "earlier questions for an account have no answer yet; see whether the domain can be reached";
            return Err(io::Error::other(why));
        }
        let answered = within("accounts", ANSWERS_WITHIN, move || {
            let answer = question();
            drop(under_way);
            answer
        });
        answered.unwrap_or_else(|why| match why {
            Unanswered::NoThread => Err(io::Error::other("there is no thread for the question")),
            Unanswered::TimedOut => {
                let waited = ANSWERS_WITHIN.as_secs();
                let why = format!("no answer within {waited} s; see whether the domain can be reached");
                Err(io::Error::new(io::ErrorKind::TimedOut, why))
            }
        })
    }
}

/// The account that this process acts as, by its name.
pub fn own_account() -> String {
    let own = AccountId::own().map(|own| account_called(&own));
    own.unwrap_or_else(|_| "an account whose name Windows does not tell".to_owned())
}

/// Whether an account may read a file by a right of its own: as an administrator, as the file's owner, or by an entry of its access
/// control list for the account or a group of few that its process acts as. That everybody may read a file makes it nobody's.
///
/// # Errors
/// When the file cannot be looked at.
pub fn may_read_by_right(path: &Path, account: &AccountId) -> io::Result<bool> {
    let by_right = may_read(path, &account.sid, &account.groups).map_err(|error| match error {
        FileError::NotFound { .. } => io::Error::new(io::ErrorKind::NotFound, error.to_string()),
        error => io::Error::other(error.to_string()),
    })?;
    Ok(by_right || account.is_administrator())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::sys::TokenGroup;
    use super::*;

    const AGENT: &str = "S-1-5-21-1-2-3-1001";
    const SERVICE: &str = "S-1-5-80-1-2-3-4-5";

    fn acting(account: &str, groups: &[(&str, bool)]) -> AccountId {
        let groups =
            groups.iter().map(|(sid, is_enabled)| TokenGroup { sid: (*sid).to_owned(), is_enabled: *is_enabled });
        AccountId::of(Token { account: account.to_owned(), groups: groups.collect() })
    }

    #[test]
    fn an_account_is_known_by_its_identifier_and_a_name_is_not_taken_for_one() {
        for identifier in [SYSTEM, "S-1-5-21-1004336348-1177238915-682003330-512"] {
            assert_eq!(account_id(identifier).expect("known"), Some(AccountId::as_written(identifier)));
        }
        for name in ["no such account", "S-1-", "S-1-5", "S-1-5-x", "0", "", "a\0b", "x".repeat(5000).as_str()] {
            assert_eq!(account_id(name).expect("looked for"), None, "{name}");
            assert_eq!(AccountId::as_written(name).to_string(), NOBODY);
        }
        assert!(AccountId::as_written(SYSTEM).is_administrator());
        assert!(!AccountId::as_written("someone").is_administrator());
    }

    #[test]
    fn this_process_acts_as_an_account_that_is_found_by_its_name_again() {
        let own = AccountId::own().expect("an account");
        let named = account_id(&own_account()).expect("looked for").expect("an account");
        assert!(own.acts_as(&named), "{own:?} {named:?}");
        assert_eq!(account_called(&AccountId::as_written(SYSTEM)), "SYSTEM");
        assert_eq!(account_called(&AccountId::as_written("S-1-5-21-9-9-9-9999")), "the account S-1-5-21-9-9-9-9999");
    }

    #[test]
    fn a_domain_that_does_not_answer_is_waited_for_some_seconds_and_by_so_many() {
        let hangs = || {
            std::thread::sleep(3 * ANSWERS_WITHIN);
            Ok(())
        };
        let (questions, began) = (Questions::default(), std::time::Instant::now());
        let told: Vec<_> = std::thread::scope(|scope| {
            let asking: Vec<_> =
                (0..MAX_ASKED).map(|_| scope.spawn(|| questions.ask(hangs).expect_err("no answer"))).collect();
            asking.into_iter().map(|asking| asking.join().expect("told")).collect()
        });
        assert!(told.iter().all(|error| error.kind() == io::ErrorKind::TimedOut), "{told:?}");
        assert!(began.elapsed() < 2 * ANSWERS_WITHIN);
        let too_many = questions.ask(|| Ok(())).expect_err("they go on");
        assert!(too_many.to_string().contains("no answer yet"), "{too_many}");
    }

    #[test]
    fn a_service_is_known_by_its_own_identifier_beside_those_that_share_its_account() {
        let service = acting("S-1-5-19", &[(SERVICE, true), ("S-1-5-80-9-9-9-9-9", false)]);
        let may_act_as = |sid: &str| service.acts_as(&AccountId::as_written(sid));
        assert!(may_act_as("S-1-5-19") && may_act_as(SERVICE));
        assert!(!may_act_as("S-1-5-80-9-9-9-9-9"), "not enabled");
        // A group that is named makes none of its members the service.
        assert!(
            !acting(AGENT, &[("S-1-5-21-1-2-3-1100", true)]).acts_as(&AccountId::as_written("S-1-5-21-1-2-3-1100"))
        );
    }

    #[test]
    fn an_administrator_is_who_acts_as_one_now() {
        assert!(acting(AGENT, &[(ADMINISTRATORS, true)]).is_administrator());
        // Before the question of User Account Control was answered.
        assert!(!acting(AGENT, &[(ADMINISTRATORS, false)]).is_administrator());
    }

    #[test]
    fn a_group_of_everybody_gives_no_right_of_ones_own() {
        for (group, is_few) in [
            ("S-1-1-0", false),
            ("S-1-2-0", false),
            ("S-1-5-2", false),
            ("S-1-5-4", false),
            ("S-1-5-6", false),
            ("S-1-5-11", false),
            ("S-1-5-15", false),
            ("S-1-5-113", false),
            ("S-1-5-32-545", false),
            ("S-1-5-32-546", false),
            ("S-1-5-21-1-2-3-513", false),
            ("S-1-5-80-0", false),
            ("S-1-16-12288", false),
            ("S-1-5-32-544", true),
            ("S-1-5-32-547", true),
            ("S-1-5-21-1-2-3-1100", true),
            (SERVICE, true),
        ] {
            assert_eq!(is_of_few(group), is_few, "{group}");
        }
    }

    #[test]
    fn a_file_is_its_owners_and_no_strangers() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("key");
        fs::write(&path, b"key").expect("write");
        let may_read = |path: &Path, account: &AccountId| may_read_by_right(path, account).expect("a file");
        for there in [path.as_path(), directory.path()] {
            assert!(may_read(there, &AccountId::own().expect("an account")) && may_read(there, &AccountId::system()));
            assert!(!may_read(there, &AccountId::as_written(AGENT)), "{}", there.display());
        }
        let none = may_read_by_right(&directory.path().join("none"), &AccountId::as_written(AGENT));
        assert_eq!(none.expect_err("nothing there").kind(), io::ErrorKind::NotFound);
    }
}
