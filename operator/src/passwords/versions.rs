//! Under which word a password is known: a version that follows the password and not what else is written to its Secret.
//!
//! The API server's record of who wrote which field has the time of a writer's last change of any of his fields: whoever adds
//! a host to an annotation by `kubectl apply` moves the time of the values too. So this process remembers a digest of each
//! password that it reads, with a key of its own that nobody sees, and never tells it. Of a word from before it began it cannot
//! say whose that was: then the host is asked, whose store has the password.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;

use crate::decide::PasswordVersion;
use crate::recent::Recent;
use crate::secret_cache::SecretKey;

/// For how long a password that no resource asks for is known: many resyncs.
const KNOWN_FOR: Duration = Duration::from_secs(24 * 3600);
/// Words under one name that are remembered, for resources that this process has not looked at yet: of those that it has, it
/// remembers the words apart.
const MAX_WORDS: usize = 32;
/// Resources of which it does. A fleet has ten thousand.
const MAX_RESOURCES: usize = 16 * 1024;

/// The namespace and the uid of a resource.
pub(super) type ResourceKey<'a> = (&'a str, &'a str);

/// The passwords that this process has read.
#[derive(Debug)]
pub(crate) struct PasswordVersions {
    hash: RandomState,
    known: Mutex<Recent<PasswordHistory>>,
    /// By the resource's uid: of the words in its status.
    said: Mutex<Recent<Vec<VersionComparison>>>,
}

/// A password that was read, without the password.
#[derive(Clone, Debug)]
pub(crate) struct ReadPassword {
    pub(crate) version: PasswordVersion,
    digest: u64,
}

impl ReadPassword {
    /// Of the password.
    pub(crate) const fn digest(&self) -> u64 {
        self.digest
    }
}

#[derive(Clone, Debug)]
struct PasswordHistory {
    digest: u64,
    /// By the record, when it was read last.
    written: String,
    /// When that read began.
    began: Instant,
    /// Other passwords before this one in the same second of the record.
    same_second: u32,
    /// Every word, with the digest of the password that went by it, the newest last.
    words: VecDeque<(String, u64)>,
}

/// Whether a password went by a word in a resource's status: by what this process has read while the word stood there, however
/// many others were given since, or by what the resource's host has answered. That speaks for its own agent: a host that lies
/// keeps no other from its next password.
#[derive(Clone, Debug, PartialEq, Eq)]
struct VersionComparison {
    word: String,
    digest: u64,
    is_same: bool,
}

impl PasswordVersions {
    /// Of at most so many.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            hash: RandomState::new(),
            known: Mutex::new(Recent::new(most, KNOWN_FOR)),
            said: Mutex::new(Recent::new(MAX_RESOURCES, KNOWN_FOR)),
        }
    }

    /// By which a password is known here.
    pub(crate) fn digest(&self, password: &SecretString) -> u64 {
        self.hash.hash_one(password.expose_secret())
    }

    /// The version of a password that was read. `written` is when it was written, by the API server's record. Where a read that
    /// began later is known, it is what that has found.
    pub(crate) fn of(&self, key: &SecretKey, digest: u64, written: &str, began: Instant) -> ReadPassword {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = PasswordHistory::next(all.get(&key.0, &key.1), digest, written, began);
        let (version, digest) = (known.version(), known.digest);
        all.put(&key.0, &key.1, known);
        ReadPassword { version, digest }
    }

    /// The resource's host has said whether the password that went by the word `then` is the one that was read.
    pub(crate) fn heard(&self, (namespace, uid): ResourceKey<'_>, then: &str, read: &ReadPassword, is_same: bool) {
        let said = VersionComparison { word: then.to_owned(), digest: read.digest, is_same };
        let mut all = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let others = all.get(namespace, uid).into_iter().flatten().filter(|other| other.word != then).cloned();
        let all_said = others.chain([said]).collect();
        all.put(namespace, uid, all_said);
    }

    /// The version as the resource is to see it, in whose status these words stand.
    pub(crate) fn as_heard(
        &self,
        (namespace, uid): ResourceKey<'_>,
        in_status: &[&str],
        read: &ReadPassword,
    ) -> PasswordVersion {
        let mut version = read.version.clone();
        let mut all = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let before = all.get(namespace, uid).cloned().unwrap_or_default();
        for said in before.iter().filter(|said| said.digest == read.digest) {
            let words = if said.is_same { &mut version.before } else { &mut version.others };
            words.push(said.word.clone());
        }
        let now: Vec<_> = in_status
            .iter()
            .filter_map(|word| {
                let of_this = || VersionComparison { word: (*word).to_owned(), digest: read.digest, is_same: true };
                let known = before.iter().find(|said| said.word == *word);
                version.was(word).then(of_this).or_else(|| known.cloned())
            })
            .collect();
        if now != before {
            all.put(namespace, uid, now);
        }
        version
    }

    pub(crate) fn forget(&self, (namespace, uid): ResourceKey<'_>) {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).remove(namespace, uid);
    }
}

impl PasswordHistory {
    fn next(before: Option<&Self>, digest: u64, written: &str, began: Instant) -> Self {
        let Some(before) = before else {
            let words = VecDeque::from([(written.to_owned(), digest)]);
            return Self { digest, written: written.to_owned(), began, same_second: 0, words };
        };
        if began < before.began {
            return before.clone();
        }
        let is_same_second = before.written == written;
        if is_same_second && before.digest == digest {
            return Self { began, ..before.clone() };
        }
        let same_second = if is_same_second { before.same_second.saturating_add(1) } else { 0 };
        let word = if is_same_second { format!("{written}+{same_second}") } else { written.to_owned() };
        let mut words = before.words.clone();
        words.retain(|(known, _)| *known != word);
        words.push_back((word, digest));
        if words.len() > MAX_WORDS {
            // Of another password a host that is asked says what it is; of this one, an agent may be restarted for nothing
            let other = words.iter().position(|(_, other)| *other != digest);
            words.remove(other.unwrap_or_default());
        }
        Self { digest, written: written.to_owned(), began, same_second, words }
    }

    fn version(&self) -> PasswordVersion {
        let mut words = self.words.iter().rev();
        let word = words.next().map(|(word, _)| word.clone()).unwrap_or_default();
        let (before, others): (Vec<_>, Vec<_>) = words.partition(|(_, digest)| *digest == self.digest);
        let words = |known: Vec<&(String, u64)>| known.into_iter().map(|(word, _)| word.clone()).collect();
        PasswordVersion { word, before: words(before), others: words(others) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(versions: &PasswordVersions, password: &str, written: &str) -> PasswordVersion {
        read_at(versions, password, written).version
    }

    fn read_at(versions: &PasswordVersions, password: &str, written: &str) -> ReadPassword {
        versions.of(
            &("fleet".into(), "store/password".into()),
            versions.digest(&password.into()),
            written,
            Instant::now(),
        )
    }

    /// Holds B11: a host that is added to an annotation is no other password.
    #[tokio::test]
    async fn a_password_that_stays_goes_by_every_word_that_it_had() {
        let versions = PasswordVersions::new(10);
        let first = read(&versions, "a", "10:00");
        assert!(first.was("10:00") && !first.was("11:00"));
        let moved = read(&versions, "a", "11:00");
        assert_eq!(moved.word, "11:00", "after a restart this is all that is known");
        assert!(moved.was("10:00") && moved.was("11:00"));
        for hour in 12..99 {
            let version = read(&versions, "a", &format!("{hour}:00"));
            assert!(version.before.len() < MAX_WORDS && version.others.is_empty());
        }
    }

    /// Holds B11: two passwords in one second are two, and one that comes back is what it was.
    #[tokio::test]
    async fn another_password_is_another_version_even_in_the_same_second() {
        let versions = PasswordVersions::new(10);
        let first = read(&versions, "a", "10:00");
        let second = read(&versions, "b", "10:00");
        assert!(!second.was(&first.word) && second.is_another(&first.word));
        let third = read(&versions, "a", "10:00");
        assert!(third.was(&first.word) && !third.was(&second.word) && third.is_another(&second.word));
        assert_eq!(read(&versions, "a", "10:00"), third);
        let later = read(&versions, "b", "11:00");
        assert_eq!((later.word.as_str(), later.was(&third.word)), ("11:00", false));
        assert!(!read(&versions, "c", "12:00").was("11:00"));
    }

    /// A Secret is read once for all its keys and judged for each later: what was read meanwhile to be sent is newer.
    #[tokio::test(start_paused = true)]
    async fn what_a_later_read_has_found_is_not_replaced_by_an_earlier_one() {
        let versions = PasswordVersions::new(10);
        let first = Instant::now();
        tokio::time::advance(Duration::from_secs(1)).await;
        let later = read_at(&versions, "b", "10:00");
        let earlier =
            versions.of(&("fleet".into(), "store/password".into()), versions.digest(&"a".into()), "10:00", first);
        assert_eq!((earlier.digest, earlier.version), (later.digest, later.version));
    }

    /// Holds B11: a word from before a restart is neither the same nor another before somebody has said so.
    #[tokio::test]
    async fn a_word_that_was_never_read_is_what_the_host_of_the_resource_says() {
        let versions = PasswordVersions::new(10);
        let unheard = |version: &PasswordVersion, word: &str| !version.was(word) && !version.is_another(word);
        let heard = |uid: &str, read: &ReadPassword| versions.as_heard(("fleet", uid), &["10:00"], read);
        let first = read_at(&versions, "a", "11:00");
        assert!(unheard(&first.version, "10:00"));
        versions.heard(("fleet", "same"), "10:00", &first, true);
        versions.heard(("fleet", "other"), "10:00", &first, false);
        assert!(heard("same", &first).was("10:00"));
        assert!(heard("other", &first).is_another("10:00"));
        assert!(unheard(&heard("third", &first), "10:00"), "a host speaks for its own agent");
        let moved = read_at(&versions, "a", "12:00");
        assert!(heard("same", &moved).was("10:00"), "it is the password that was asked about");
        let changed = read_at(&versions, "b", "13:00");
        assert!(unheard(&heard("same", &changed), "10:00"), "and this is another");
        assert!(unheard(&heard("other", &changed), "10:00"), "which the store may have");
        versions.forget(("fleet", "same"));
        assert!(unheard(&heard("same", &first), "10:00"));
    }

    /// Holds B11: hosts that were added to an annotation one by one, between two looks at a resource, restarted its agent.
    #[tokio::test]
    async fn the_word_in_a_status_is_known_however_many_the_password_was_given_since() {
        let versions = PasswordVersions::new(1);
        let first = read_at(&versions, "a", "10:00");
        assert!(versions.as_heard(("fleet", "u"), &["10:00"], &first).was("10:00"));
        for minute in 0..500 {
            read(&versions, "a", &format!("11:{minute}"));
        }
        let last = read_at(&versions, "a", "12:00");
        assert!(!last.version.was("10:00"), "nobody remembers all of them");
        assert!(versions.as_heard(("fleet", "u"), &["10:00"], &last).was("10:00"));
        // Another's password takes the only place that there is
        versions.of(&("other".into(), "x/y".into()), versions.digest(&"z".into()), "12:30", Instant::now());
        let again = read_at(&versions, "a", "13:00");
        let version = versions.as_heard(("fleet", "u"), &["10:00"], &again);
        assert!(version.was("10:00"));
        assert!(versions.as_heard(("fleet", "u"), &["13:00"], &again).was("13:00"), "as the status says now");
        let changed = read_at(&versions, "b", "14:00");
        assert!(versions.as_heard(("fleet", "u"), &["13:00"], &changed).is_another("13:00"));
    }

    /// Holds B11: for a resource that is looked at for the first time.
    #[tokio::test]
    async fn words_of_other_passwords_are_forgotten_before_those_of_the_present_one() {
        let versions = PasswordVersions::new(1);
        read(&versions, "a", "10:00");
        for minute in 10..20 {
            read(&versions, "b", &format!("11:{minute}"));
        }
        for minute in 10..(MAX_WORDS + 5) {
            read(&versions, "a", &format!("12:{minute}"));
        }
        assert!(read(&versions, "a", "13:00").was("10:00"));
    }

    #[tokio::test]
    async fn a_digest_in_one_process_says_nothing_in_another() {
        let (one, other) = (PasswordVersions::new(1), PasswordVersions::new(1));
        assert_ne!(one.hash.hash_one("changeit"), other.hash.hash_one("changeit"));
    }
}
