//! The logins that all processes of this host have tried: a small JSON file in the state directory. `--once` in a loop, or a
//! program that is started again and again, would otherwise try a wrong password until the UI locks everybody out.
//!
//! An entry is durable before its login is tried. Of a password it tells only whether another one is the same.

use std::collections::BTreeMap;
use std::fs::File;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use aws_lc_rs::pbkdf2;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::ledger::{AgentId, BACK_OFF, MAX_AGENTS};
use crate::platform::{self, FileError, Links, WriteError};

/// The only version written.
const VERSION: u32 = 1;
const NAME: &str = "web-logins.json";
const LOCK: &str = "web-logins.lock";
/// Every entry is under 600 bytes.
const MAX_BYTES: u64 = 128 * 1024;
/// Between two tries of two processes, where the first brought nothing and no password was refused.
const PAUSE: Duration = Duration::from_mins(5);
/// Whoever else has the book reads and writes one small file.
const LOCK_WITHIN: Duration = Duration::from_secs(2);
const LOCK_POLL: Duration = Duration::from_millis(20);
/// Refused logins within [`BACK_OFF`], with whatever passwords: the third locks the UI.
const REFUSED_AT_MOST: usize = 2;
/// Who reads the book must not try words for the password faster than the UI would let them. Some tens of milliseconds, once per
/// login.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(60_000).expect("it is none");
/// Bytes.
const RANDOM: usize = 16;

/// Tells the entries of this process from those of others, which may have its number.
static PROCESS: LazyLock<String> = LazyLock::new(random);

#[derive(Clone, Debug)]
pub(super) struct Book {
    directory: PathBuf,
}

/// What became of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum LoginOutcome {
    /// Nobody has told its end: it may have been refused.
    Tried,
    Succeeded,
    Refused,
    /// It was answered, and not refused.
    Failed,
}

/// Why a login is not tried.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotEntered {
    /// An earlier one came to this; it may be tried after so long.
    Forbidden { last: LoginOutcome, wait: Duration },
    /// Nobody would know of it.
    Unwritten(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Pages {
    version: u32,
    salt: String,
    agents: BTreeMap<AgentId, Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    at: Timestamp,
    /// Of name and password.
    mark: String,
    process: String,
    outcome: LoginOutcome,
    /// The mark of the credentials that a login has succeeded with last, if none was refused since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    good: Option<String>,
    /// The logins that were refused last, or whose end nobody has told, whatever they were tried with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    refused: Vec<Refusal>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Refusal {
    at: Timestamp,
    mark: String,
}

impl Book {
    pub(super) fn in_directory(state_directory: &Path) -> Self {
        Self { directory: state_directory.to_owned() }
    }

    /// Enters a login that is about to be tried, durably, unless what was tried before forbids it. It blocks.
    ///
    /// # Errors
    /// See [`NotEntered`].
    pub(super) fn enter(
        &self,
        agent: &AgentId,
        username: &str,
        password: &SecretString,
        interval: Duration,
        now: Timestamp,
    ) -> Result<(), NotEntered> {
        self.change(|pages| {
            let mark = pages.mark(username, password);
            let (mut good, mut refused) = (None, Vec::new());
            if let Some(last) = pages.agents.get_mut(agent) {
                last.mind_the_clock(now);
                let known_good = last.outcome == LoginOutcome::Tried && last.good.as_ref() == Some(&last.mark);
                refused.clone_from(&last.refused);
                if last.outcome == LoginOutcome::Tried && !known_good {
                    refused.push(Refusal { at: last.at, mark: last.mark.clone() });
                }
                refused.retain(|refusal| !rest(BACK_OFF, refusal.at, now).is_zero());
                let (since, until) = (wait(last, &mark, interval, now), wait_for_refusals(&refused, &mark, now));
                if until > since {
                    let is_untold = last.outcome == LoginOutcome::Tried && last.mark == mark;
                    let told = if is_untold { LoginOutcome::Tried } else { LoginOutcome::Refused };
                    return Err(NotEntered::Forbidden { last: told, wait: until });
                }
                if !since.is_zero() {
                    return Err(NotEntered::Forbidden { last: last.outcome, wait: since });
                }
                good = last.good.take().filter(|_| !known_good);
            }
            let entry = Entry { at: now, mark, process: PROCESS.clone(), outcome: LoginOutcome::Tried, good, refused };
            pages.agents.insert(agent.clone(), entry);
            Ok(())
        })
        .unwrap_or_else(|why| Err(NotEntered::Unwritten(why)))
    }

    /// Notes what the login that this process has entered came to. It blocks.
    ///
    /// # Errors
    /// A message; other processes take it for one without an end then.
    pub(super) fn note(&self, agent: &AgentId, outcome: LoginOutcome) -> Result<(), String> {
        self.change(|pages| {
            let entry = pages.agents.get_mut(agent);
            if let Some(entry) = entry.filter(|entry| entry.process == *PROCESS) {
                entry.outcome = outcome;
                match outcome {
                    LoginOutcome::Succeeded => entry.good = Some(entry.mark.clone()),
                    LoginOutcome::Refused => {
                        entry.good.take_if(|good| *good == entry.mark);
                        entry.refused.push(Refusal { at: entry.at, mark: entry.mark.clone() });
                    }
                    LoginOutcome::Tried | LoginOutcome::Failed => {}
                }
            }
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Pages) -> T) -> Result<T, String> {
        platform::create_private_directory(&self.directory).map_err(|error| error.to_string())?;
        let _lock = self.lock()?;
        let path = self.directory.join(NAME);
        let before = Pages::read(&path)?;
        let mut pages = before.clone();
        let changed = change(&mut pages);
        pages.forget_oldest();
        // A login that is forbidden at every interval is no reason to sync a disk each time.
        if pages != before {
            pages.write(&path).map_err(|error| error.to_string())?;
        }
        Ok(changed)
    }

    fn lock(&self) -> Result<File, String> {
        let path = self.directory.join(LOCK);
        let failed = |error: std::io::Error| format!("{}: {error}", path.display());
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        let began = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(std::fs::TryLockError::WouldBlock) if began.elapsed() < LOCK_WITHIN => sleep(LOCK_POLL),
                Err(error) => return Err(failed(error.into())),
            }
        }
    }
}

impl Entry {
    /// The clock was put back: the pauses begin anew, or they would last for as long as that was.
    fn mind_the_clock(&mut self, now: Timestamp) {
        self.at = self.at.min(now);
        self.refused.iter_mut().for_each(|refusal| refusal.at = refusal.at.min(now));
    }
}

/// What is left of a pause.
fn rest(pause: Duration, since: Timestamp, now: Timestamp) -> Duration {
    pause.saturating_sub(Duration::try_from(now.duration_since(since)).unwrap_or_default())
}

/// How long a login must wait for the sake of those that were refused, whoever tried them: the same once an hour, and all
/// together no more than the UI takes.
fn wait_for_refusals(refused: &[Refusal], mark: &str, now: Timestamp) -> Duration {
    let same = refused.iter().rev().find(|refusal| refusal.mark == mark);
    let one_too_many = refused.iter().rev().nth(REFUSED_AT_MOST - 1);
    same.into_iter().chain(one_too_many).map(|refusal| rest(BACK_OFF, refusal.at, now)).max().unwrap_or_default()
}

/// How long a login must wait for the sake of the last one. Between its own logins a process minds the pauses itself; those of its
/// own without an end count as refusals like any other.
///
/// A process that is stopped in mid-login tells no end of it. Where the same credentials were good before, they still are
/// unless the password was changed on the agent's side, so that it is tried again after an interval; a second end that nobody
/// told counts as a refusal. So a password that has become wrong is tried twice at most, and the third would lock the UI.
fn wait(last: &Entry, mark: &str, interval: Duration, now: Timestamp) -> Duration {
    if last.process == *PROCESS {
        return Duration::ZERO;
    }
    let pause = match last.outcome {
        LoginOutcome::Succeeded => return Duration::ZERO,
        LoginOutcome::Tried | LoginOutcome::Failed if last.mark == mark && last.good.as_deref() == Some(mark) => {
            interval
        }
        LoginOutcome::Refused | LoginOutcome::Tried if last.mark == mark => BACK_OFF,
        LoginOutcome::Refused => return Duration::ZERO,
        LoginOutcome::Tried | LoginOutcome::Failed => interval.max(PAUSE),
    };
    rest(pause, last.at, now)
}

impl Pages {
    fn read(path: &Path) -> Result<Self, String> {
        let file = match platform::read_held(path, MAX_BYTES, Links::Refuse) {
            Ok(file) => file,
            Err(FileError::NotFound { .. }) => {
                return Ok(Self { version: VERSION, salt: random(), agents: BTreeMap::new() });
            }
            Err(error) => return Err(error.to_string()),
        };
        let foreign = |why: String| format!("{}: this is no record of logins: {why}; remove it", path.display());
        let pages: Self = serde_json::from_slice(&file.bytes).map_err(|error| foreign(error.to_string()))?;
        if pages.version != VERSION {
            return Err(foreign(format!("version {}, known is {VERSION}", pages.version)));
        }
        Ok(pages)
    }

    fn write(&self, path: &Path) -> Result<(), WriteError> {
        let bytes = serde_json::to_vec_pretty(self).map_err(|e| WriteError::from_io(path, "encoding it", e.into()))?;
        platform::replace(path, &bytes, None)
    }

    fn forget_oldest(&mut self) {
        while self.agents.len() > MAX_AGENTS {
            let oldest = self.agents.iter().min_by_key(|(_, entry)| entry.at).map(|(agent, _)| agent.clone());
            oldest.map(|oldest| self.agents.remove(&oldest));
        }
    }

    /// Whether name and password are the same, and nothing else: not how long a password is.
    fn mark(&self, username: &str, password: &SecretString) -> String {
        let mut salt = self.salt.clone().into_bytes();
        salt.extend_from_slice(username.as_bytes());
        let mut mark = [0; 32];
        let password = password.expose_secret().as_bytes();
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ITERATIONS, &salt, password, &mut mark);
        hex::encode(mark)
    }
}

/// Without randomness two processes, or two books, look alike: then a login waits longer than it must, or a mark says less.
fn random() -> String {
    let mut bytes = [0; RANDOM];
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        return format!("{}-{}", std::process::id(), Timestamp::now());
    }
    hex::encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGENT: &str = "192.0.2.2:6547";
    const INTERVAL: Duration = Duration::from_secs(1);

    const NAME_OF_ACCOUNT: &str = "monitor";

    fn password(number: u64) -> SecretString {
        format!("password {number}").into()
    }

    /// This host is dialled by addresses of its own, and another by none of them.
    fn agent(peer: &str) -> AgentId {
        let peer: std::net::SocketAddr = peer.parse().expect("an address");
        AgentId::of(peer, peer.ip().is_loopback() || peer.to_string() == AGENT)
    }

    fn enters(book: &Book, peer: &str, number: u64, second: i64) -> Result<(), NotEntered> {
        book.enter(&agent(peer), NAME_OF_ACCOUNT, &password(number), INTERVAL, at(second))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a time")
    }

    /// Another process's login came to this, at second 0.
    fn after(outcome: LoginOutcome) -> (tempfile::TempDir, Book) {
        let directory = tempfile::tempdir().expect("directory");
        let book = Book::in_directory(directory.path());
        enters(&book, AGENT, 1, 0).expect("the first");
        book.note(&agent(AGENT), outcome).expect("noted");
        as_another(&directory);
        (directory, book)
    }

    /// Holds A18: what another process was refused is not tried again.
    #[test]
    fn another_process_tries_at_once_only_after_a_success_or_with_other_credentials() {
        for (outcome, same, other) in [
            (LoginOutcome::Succeeded, 0, 0),
            (LoginOutcome::Refused, 3600, 0),
            (LoginOutcome::Tried, 3600, 300),
            (LoginOutcome::Failed, 300, 300),
        ] {
            for (inode, wait) in [(1, same), (2, other)] {
                for second in [1, wait - 1, wait, wait + 1].map(|second: i64| second.max(1)) {
                    let (_directory, book) = after(outcome);
                    let entered = enters(&book, AGENT, inode, second).is_ok();
                    assert_eq!(entered, second >= wait, "{outcome:?}, {inode}, after {second} s");
                }
            }
        }
    }

    /// What this process has entered is another's from now on.
    fn as_another(directory: &tempfile::TempDir) {
        let path = directory.path().join(NAME);
        let text = std::fs::read_to_string(&path).expect("a book");
        std::fs::write(&path, text.replace(PROCESS.as_str(), "another")).expect("write");
    }

    /// Holds A18: a process that is stopped in mid-login blinds nobody, and locks nobody out.
    #[test]
    fn a_login_of_good_credentials_that_was_cut_off_is_tried_again_once_after_an_interval() {
        let (directory, book) = after(LoginOutcome::Succeeded);
        let enter = |second, inode| {
            let entered = enters(&book, AGENT, inode, second);
            if entered.is_ok() {
                as_another(&directory);
            }
            entered.is_ok()
        };
        assert!(enter(10, 1), "the first that is cut off");
        assert!(!enter(10, 1), "one login per interval");
        assert!(enter(11, 1), "the second that is cut off");
        for (second, enters) in [(12, false), (11 + 3599, false), (11 + 3600, true)] {
            assert_eq!(enter(second, 1), enters, "the password may have become wrong: {second} s");
        }
        // An end that was told makes up for it.
        for (outcome, waits) in [(LoginOutcome::Succeeded, 0), (LoginOutcome::Failed, 1), (LoginOutcome::Refused, 3600)]
        {
            let (directory, book) = after(LoginOutcome::Succeeded);
            enters(&book, AGENT, 1, 10).expect("entered");
            book.note(&agent(AGENT), outcome).expect("noted");
            as_another(&directory);
            let enter = |second| enters(&book, AGENT, 1, second).is_ok();
            assert!(waits == 0 || !enter(10 + waits - 1), "{outcome:?}");
            assert!(enter(10 + waits), "{outcome:?}");
        }
        // Others were never good.
        let (directory, book) = after(LoginOutcome::Succeeded);
        enters(&book, AGENT, 2, 10).expect("entered");
        as_another(&directory);
        assert!(enters(&book, AGENT, 2, 10 + 3599).is_err());
    }

    /// Holds A18: several configurations, each with a wrong password of its own, and one whose password is right.
    #[test]
    fn two_refused_logins_within_the_hour_are_the_last_whoever_tries_and_with_whatever() {
        let directory = tempfile::tempdir().expect("directory");
        let book = Book::in_directory(directory.path());
        let tries = |peer: &str, number, second, outcome| {
            let entered = enters(&book, peer, number, second).is_ok();
            if entered {
                book.note(&agent(peer), outcome).expect("noted");
                as_another(&directory);
            }
            entered
        };
        let names = ["127.0.0.1:6547", AGENT, "[::1]:6547", "127.0.0.2:6547"];
        let refused = |name: usize, number, second| tries(names[name], number, second, LoginOutcome::Refused);
        assert!(refused(0, 1, 0));
        assert!(
            tries(AGENT, 9, 10, LoginOutcome::Succeeded),
            "one that is right is not held up by another that was refused"
        );
        assert!(!refused(1, 1, 20), "by whatever name, and after whatever else");
        assert!(refused(2, 2, 30));
        for (name, number) in [(0, 1), (1, 2), (2, 3), (3, 9)] {
            assert!(!refused(name, number, 40), "{number}: the third would lock the UI");
            assert!(!refused(name, number, 3599), "{number}");
        }
        assert!(tries("192.0.2.1:6547", 1, 40, LoginOutcome::Refused), "of another agent nothing is known");
        assert!(tries(AGENT, 9, 3600, LoginOutcome::Succeeded));
        assert!(!refused(0, 2, 3610), "its own hour is not over");
        assert!(refused(0, 1, 3620));
        assert!(!refused(0, 3, 3629));
        assert!(refused(0, 3, 3630));
    }

    /// Holds A18: a forbidden login is asked for at every interval, and syncs no disk.
    #[test]
    fn a_login_that_is_forbidden_writes_nothing() {
        let (directory, book) = after(LoginOutcome::Refused);
        let file = || platform::identify(&directory.path().join(NAME)).expect("a book");
        let before = file();
        assert!(enters(&book, AGENT, 1, 1).is_err());
        assert_eq!(file(), before);
    }

    #[test]
    fn a_process_minds_the_pauses_between_its_own_logins_itself() {
        let directory = tempfile::tempdir().expect("directory");
        let book = Book::in_directory(directory.path());
        for outcome in [LoginOutcome::Failed, LoginOutcome::Succeeded, LoginOutcome::Tried, LoginOutcome::Failed] {
            assert_eq!(enters(&book, AGENT, 1, 0), Ok(()));
            book.note(&agent(AGENT), outcome).expect("noted");
        }
    }

    /// Holds A18: a UI that takes longer to refuse than it is waited for; one process asks at each interval.
    #[test]
    fn a_login_without_an_answer_counts_as_refused_to_its_own_process_too() {
        let directory = tempfile::tempdir().expect("directory");
        let book = Book::in_directory(directory.path());
        let enter = |number, second| {
            let entered = enters(&book, AGENT, number, second);
            book.note(&agent(AGENT), LoginOutcome::Tried).expect("noted");
            entered.map_err(|no| if let NotEntered::Forbidden { last, .. } = no { last } else { panic!("{no:?}") })
        };
        assert_eq!(enter(1, 0), Ok(()));
        for second in [6, 12, 3599] {
            assert_eq!(enter(1, second), Err(LoginOutcome::Tried), "after {second} s");
        }
        assert_eq!(enter(2, 3599), Ok(()), "another password");
        assert!(enter(3, 3599).is_err(), "the third would lock the UI");
        // What was good is given one more try.
        let (_directory, book) = after(LoginOutcome::Succeeded);
        let entered: Vec<_> = (0..5).map(|look| enters(&book, AGENT, 1, 10 + look).is_ok()).collect();
        assert_eq!(entered, [true, true, false, false, false]);
    }

    #[test]
    fn a_clock_that_was_put_back_makes_no_pause_longer() {
        let (_directory, book) = after(LoginOutcome::Refused);
        let enter = |second| enters(&book, AGENT, 1, second);
        assert!(enter(-1_000_000).is_err());
        assert!(enter(-1_000_000 + 3599).is_err());
        assert_eq!(enter(-1_000_000 + 3600), Ok(()));
    }

    /// Holds A18: a login that nobody would know of is told from one that is forbidden.
    #[test]
    fn what_cannot_be_kept_is_not_entered() {
        let (directory, book) = after(LoginOutcome::Succeeded);
        let enter = || enters(&book, AGENT, 1, 1);
        std::fs::write(directory.path().join(NAME), b"{}").expect("write");
        assert!(matches!(enter(), Err(NotEntered::Unwritten(why)) if why.contains("remove it")));
        std::fs::remove_file(directory.path().join(NAME)).expect("remove");
        let held = book.lock().expect("locked");
        assert!(matches!(enter(), Err(NotEntered::Unwritten(_))));
        drop(held);
        assert_eq!(enter(), Ok(()));
    }

    #[test]
    fn the_book_tells_no_name_no_password_and_no_length_of_one_and_stays_small() {
        let (directory, book) = after(LoginOutcome::Refused);
        let text = std::fs::read_to_string(directory.path().join(NAME)).expect("a book");
        assert!(!text.contains("monitor"), "{text}");
        assert!(!text.contains("password"), "{text}");
        let mark = |salt: &str, word: &str| {
            let pages = Pages { version: 1, salt: salt.to_owned(), agents: BTreeMap::new() };
            pages.mark(NAME_OF_ACCOUNT, &word.into())
        };
        assert_eq!(mark("x", "word").len(), mark("x", "a longer word").len());
        assert_ne!(mark("x", "word"), mark("y", "word"));
        for port in 0..130 {
            enters(&book, &format!("192.0.2.1:{port}"), 1, port).expect("entered");
        }
        let pages = Pages::read(&directory.path().join(NAME)).expect("a book");
        assert!(pages.agents.len() == MAX_AGENTS && pages.agents.contains_key(&agent("192.0.2.1:129")));
    }
}
