//! Under which word a password is known: a version that follows the password and not what else is written to its Secret.
//!
//! The API server's record of who wrote which field has the time of a writer's last change of any of his fields: whoever adds
//! a host to an annotation by `kubectl apply` moves the time of the values too. So this process remembers a digest of each
//! password that it reads, with a key of its own that nobody sees, and never tells it. What it has not read before, it knows
//! by the record alone.

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
/// Words of one password that are remembered, the latest: a resource is looked at more often than so many are given.
const MAX_WORDS: usize = 8;

/// The passwords that this process has read.
#[derive(Debug)]
pub(crate) struct PasswordVersions {
    hash: RandomState,
    known: Mutex<Recent<SecretKey, Known>>,
}

#[derive(Clone, Debug)]
struct Known {
    digest: u64,
    /// By the record, when it was read last.
    written: String,
    /// Other passwords before this one in the same second of the record.
    same_second: u32,
    /// Every word for it, the newest last.
    words: VecDeque<String>,
}

impl PasswordVersions {
    /// Of at most so many.
    pub(crate) fn new(most: usize) -> Self {
        Self { hash: RandomState::new(), known: Mutex::new(Recent::new(most, KNOWN_FOR)) }
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
}

impl Known {
    fn next(before: Option<&Self>, digest: u64, written: &str) -> Self {
        let first = |word: String, same_second| Self {
            digest,
            written: written.to_owned(),
            same_second,
            words: VecDeque::from([word]),
        };
        match before {
            None => first(written.to_owned(), 0),
            Some(before) if before.digest != digest && before.written == written => {
                let count = before.same_second.saturating_add(1);
                first(format!("{written}+{count}"), count)
            }
            Some(before) if before.digest != digest => first(written.to_owned(), 0),
            Some(before) if before.written == written => before.clone(),
            Some(before) => {
                let mut known = Self { written: written.to_owned(), same_second: 0, ..before.clone() };
                known.words.retain(|word| word != written);
                known.words.push_back(written.to_owned());
                if known.words.len() > MAX_WORDS {
                    known.words.pop_front();
                }
                known
            }
        }
    }

    fn version(&self) -> PasswordVersion {
        let mut words = self.words.clone();
        PasswordVersion { word: words.pop_back().unwrap_or_default(), before: words.into() }
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
            assert!(read(&versions, "a", &format!("{hour}:00")).before.len() < MAX_WORDS);
        }
    }

    /// Holds B11: two passwords in one second are two.
    #[tokio::test]
    async fn another_password_is_another_version_even_in_the_same_second() {
        let versions = PasswordVersions::new(10);
        let first = read(&versions, "a", "10:00");
        let second = read(&versions, "b", "10:00");
        assert!(!second.was(&first.word));
        let third = read(&versions, "a", "10:00");
        assert!(!third.was(&first.word) && !third.was(&second.word));
        assert_eq!(read(&versions, "a", "10:00"), third);
        let later = read(&versions, "b", "11:00");
        assert_eq!((later.word.as_str(), later.was(&third.word)), ("11:00", false));
        assert!(!read(&versions, "c", "12:00").was("11:00"));
    }

    #[tokio::test]
    async fn a_digest_in_one_process_says_nothing_in_another() {
        let (one, other) = (PasswordVersions::new(1), PasswordVersions::new(1));
        assert_ne!(one.hash.hash_one("changeit"), other.hash.hash_one("changeit"));
    }
}
