//! What is kept of all passwords of a Secret: a digest of each, by a digest of its key. One read answers for every key, however many
//! resources name one, and neither the passwords nor the keys are kept.

use std::hash::{BuildHasher as _, RandomState};

use secrecy::SecretString;

use crate::cluster::SecretData;

/// Sorted by the digests of the keys.
#[derive(Debug)]
pub(super) struct Digests {
    keys: RandomState,
    all: Box<[(u64, u64)]>,
}

impl Digests {
    /// Of those that can be passwords.
    pub(super) fn of_all(secret: &SecretData, digest: impl Fn(&SecretString) -> u64) -> Self {
        let keys = RandomState::new();
        let passwords = secret.keys().filter_map(|key| Some((keys.hash_one(key), digest(&secret.password(key)?))));
        let mut all: Vec<_> = passwords.collect();
        all.sort_unstable();
        Self { keys, all: all.into() }
    }

    /// Of the password under this key, if it is one.
    pub(super) fn of(&self, key: &str) -> Option<u64> {
        let found = self.all.binary_search_by_key(&self.keys.hash_one(key), |(key, _)| *key).ok()?;
        self.all.get(found).map(|(_, digest)| *digest)
    }

    /// In bytes.
    pub(super) fn size(&self) -> usize {
        size_of_val(&*self.all)
    }
}
