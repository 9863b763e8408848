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

use crate::decide::PasswordVersion;
use crate::kept::SecretKey;
use crate::recent::Recent;

/// For how long a password that no resource asks for is known: many resyncs.
const KNOWN_FOR: Duration = Duration::from_secs(24 * 3600);
/// Words under one name that are remembered, the latest: a resource is looked at more often than so many are given. One that is
/// forgotten is one to ask the host about.
const MAX_WORDS: usize = 8;

/// The passwords that this process has read.
#[derive(Debug)]
pub(crate) struct PasswordVersions {
    hash: RandomState,
    known: Mutex<Recent<SecretKey, Known>>,
    /// By the resource's uid.
    said: Mutex<Recent<String, Said>>,
}

#[derive(Clone, Debug)]
struct Known {
    digest: u64,
    /// By the record, when it was read last.
    written: String,
    /// Other passwords before this one in the same second of the record.
    same_second: u32,
    /// Every word, with the digest of the password that went by it, the newest last.
    words: VecDeque<(String, u64)>,
}

/// What a host has answered of two words. It speaks for its own agent: a host that lies keeps no other from its next password.
#[derive(Clone, Debug)]
struct Said {
    then: String,
    now: String,
    is_same: bool,
}

impl PasswordVersions {
    /// Of at most so many, and of what was said of as many resources.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            hash: RandomState::new(),
            known: Mutex::new(Recent::new(most, KNOWN_FOR)),
            said: Mutex::new(Recent::new(most, KNOWN_FOR)),
        }
    }

    /// The version of a password that was read just now. `written` is when it was written, by the API server's record.
    pub(crate) fn of(&self, key: &SecretKey, password: &SecretString, written: &str) -> PasswordVersion {
        let digest = self.hash.hash_one(password.expose_secret());
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = Known::next(all.get(key), digest, written);
        let version = known.version();
        all.put(key.clone(), known);
        version
    }

    /// The resource's host has said whether the password that went by the word `then` is the one that goes by `now`.
    pub(crate) fn heard(&self, uid: &str, then: &str, now: &str, is_same: bool) {
        let said = Said { then: then.to_owned(), now: now.to_owned(), is_same };
        self.said.lock().unwrap_or_else(PoisonError::into_inner).put(uid.to_owned(), said);
    }

    /// The version, with what the resource's host has said of it.
    pub(crate) fn as_heard(&self, uid: &str, mut version: PasswordVersion) -> PasswordVersion {
        let mut all = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(said) = all.get(&uid.to_owned()).filter(|said| version.was(&said.now)) {
            let words = if said.is_same { &mut version.before } else { &mut version.others };
            words.push(said.then.clone());
        }
        version
    }

    pub(crate) fn forget(&self, uid: &str) {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).remove(&uid.to_owned());
    }
}

impl Known {
    fn next(before: Option<&Self>, digest: u64, written: &str) -> Self {
        let Some(before) = before else {
            let words = VecDeque::from([(written.to_owned(), digest)]);
            return Self { digest, written: written.to_owned(), same_second: 0, words };
        };
        let is_same_second = before.written == written;
        if is_same_second && before.digest == digest {
            return before.clone();
        }
        let same_second = if is_same_second { before.same_second.saturating_add(1) } else { 0 };
        let word = if is_same_second { format!("{written}+{same_second}") } else { written.to_owned() };
        let mut words = before.words.clone();
        words.retain(|(known, _)| *known != word);
        words.push_back((word, digest));
        if words.len() > MAX_WORDS {
            words.pop_front();
        }
        Self { digest, written: written.to_owned(), same_second, words }
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
        versions.of(&("fleet".into(), "store/password".into()), &SecretString::from(password), written)
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

    /// Holds B11: a word from before a restart is neither the same nor another before somebody has said so.
    #[tokio::test]
    async fn a_word_that_was_never_read_is_what_the_host_of_the_resource_says() {
        let versions = PasswordVersions::new(10);
        let unheard = |version: &PasswordVersion, word: &str| !version.was(word) && !version.is_another(word);
        let first = read(&versions, "a", "11:00");
        assert!(unheard(&first, "10:00"));
        versions.heard("same", "10:00", "11:00", true);
        versions.heard("other", "10:00", "11:00", false);
        assert!(versions.as_heard("same", first.clone()).was("10:00"));
        assert!(versions.as_heard("other", first.clone()).is_another("10:00"));
        assert!(unheard(&versions.as_heard("third", first.clone()), "10:00"), "a host speaks for its own agent");
        let moved = read(&versions, "a", "12:00");
        assert!(versions.as_heard("same", moved).was("10:00"), "it is the password that was asked about");
        let changed = read(&versions, "b", "13:00");
        assert!(unheard(&versions.as_heard("same", changed.clone()), "10:00"), "and this is another");
        assert!(unheard(&versions.as_heard("other", changed), "10:00"), "which the store may have");
        versions.forget("same");
        assert!(unheard(&versions.as_heard("same", first), "10:00"));
    }

    #[tokio::test]
    async fn a_digest_in_one_process_says_nothing_in_another() {
        let (one, other) = (PasswordVersions::new(1), PasswordVersions::new(1));
        assert_ne!(one.hash.hash_one("changeit"), other.hash.hash_one("changeit"));
    }
}
