//! Who may ask, by name and password.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

use crate::blocking::{self, Blocked, Work};
use crate::config::PasswordHash;

/// A few Prometheus servers and a few people; who falls out pays for one hash more.
const MAX_REMEMBERED: usize = 64;
/// A flood of wrong passwords takes one processor, not all of them.
const HASHES_AT_ONCE: usize = 1;
/// For waiting until others' passwords were checked, and for one's own.
const PATIENCE: Duration = Duration::from_secs(10);

/// The users of one web configuration. A password that was right is remembered as a keyed digest, so that a scrape does
/// not cost a hash; nothing that was wrong is remembered.
#[derive(Debug)]
pub(super) struct Users {
    hashes: BTreeMap<String, SecretString>,
    /// Of this load alone: digests mean nothing elsewhere.
    salt: [u8; 32],
    /// The oldest first.
    right: Mutex<VecDeque<[u8; 32]>>,
    hashing: Arc<Semaphore>,
}

/// What is said to somebody who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AccessDecision {
    Granted,
    Denied,
    /// Too many passwords are being checked.
    Busy,
}

struct Credentials {
    user: String,
    password: Zeroizing<Vec<u8>>,
}

impl Users {
    /// None when there are no users: then nobody is asked.
    pub(super) fn new(hashes: &BTreeMap<String, PasswordHash>, salt: [u8; 32]) -> Option<Self> {
        let hashes: BTreeMap<_, _> = hashes.iter().map(|(user, hash)| (user.clone(), hash.expose().clone())).collect();
        let hashing = Arc::new(Semaphore::new(HASHES_AT_ONCE));
        (!hashes.is_empty()).then(|| Self { hashes, salt, right: Mutex::default(), hashing })
    }

    pub(super) async fn admit(&self, authorization: Option<&HeaderValue>) -> AccessDecision {
        let Some(given) = authorization.and_then(Credentials::of) else { return AccessDecision::Denied };
        let digest = self.digest(&given);
        if self.remembers(&digest) {
            return AccessDecision::Granted;
        }
        match timeout(PATIENCE, self.check(given)).await {
            Err(_) | Ok(Err(_)) => AccessDecision::Busy,
            Ok(Ok(false)) => AccessDecision::Denied,
            Ok(Ok(true)) => {
                self.remember(digest);
                AccessDecision::Granted
            }
        }
    }

    /// Whoever is unknown is checked against the hash of somebody who is known, always the same for one name: the time
    /// that passes then tells neither who exists nor what a password costs.
    async fn check(&self, given: Credentials) -> Result<bool, Blocked> {
        let known = self.hashes.get(&given.user);
        let Some(hash) = known.or_else(|| self.stand_in(&given.user)).cloned() else { return Ok(false) };
        let exists = known.is_some();
        let Ok(permit) = Arc::clone(&self.hashing).acquire_owned().await else { return Ok(false) };
        let checked = blocking::run(Work::PasswordHashes, Instant::now() + PATIENCE, move || {
            // Held until the work is done, also when the client has gone.
            let _permit = permit;
            bcrypt::verify(&*given.password, hash.expose_secret()).unwrap_or(false)
        });
        Ok(checked.await? & exists)
    }

    fn stand_in(&self, user: &str) -> Option<&SecretString> {
        let digest = Sha256::new().chain_update(self.salt).chain_update(user).finalize();
        let index = u64::from_le_bytes(digest[..8].try_into().ok()?) % self.hashes.len() as u64;
        self.hashes.values().nth(usize::try_from(index).ok()?)
    }

    fn digest(&self, given: &Credentials) -> [u8; 32] {
        let length = (given.user.len() as u64).to_le_bytes();
        let digest = Sha256::new().chain_update(self.salt).chain_update(length).chain_update(&given.user);
        digest.chain_update(&*given.password).finalize().into()
    }

    fn remembers(&self, digest: &[u8; 32]) -> bool {
        let right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        right.iter().fold(Choice::from(0), |found, known| found | known.ct_eq(digest)).into()
    }

    fn remember(&self, digest: [u8; 32]) {
        let mut right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        if right.contains(&digest) {
            return;
        }
        if right.len() == MAX_REMEMBERED {
            right.pop_front();
        }
        right.push_back(digest);
    }
}

impl Credentials {
    fn of(header: &HeaderValue) -> Option<Self> {
        let (scheme, words) = header.to_str().ok()?.split_once(' ')?;
        let decoded =
            Zeroizing::new(scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(words.trim()))?.ok()?);
        let colon = decoded.iter().position(|byte| *byte == b':')?;
        let user = std::str::from_utf8(&decoded[..colon]).ok()?.to_owned();
        Some(Self { user, password: Zeroizing::new(decoded[colon + 1..].to_vec()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cost at which a hash takes long enough to be told from none.
    const COST: u32 = 9;

    fn users(names: &[(&str, &str)]) -> Users {
        let hash = |password: &str| serde_yaml::from_str(&bcrypt::hash(password, COST).expect("a hash")).expect("one");
        let hashes = names.iter().map(|(user, password)| ((*user).to_owned(), hash(password))).collect();
        Users::new(&hashes, [7; 32]).expect("there are some")
    }

    fn header(text: &str) -> HeaderValue {
        format!("Basic {}", STANDARD.encode(text)).parse().expect("a header")
    }

    async fn said(users: &Users, text: &str) -> AccessDecision {
        users.admit(Some(&header(text))).await
    }

    #[tokio::test]
    async fn only_the_right_password_of_a_known_user_is_let_in() {
        let users = users(&[("alice", "one:two"), ("bob", "three")]);
        assert_eq!(said(&users, "alice:one:two").await, AccessDecision::Granted);
        for wrong in ["alice:three", "bob:one:two", "carol:three", "carol:one:two", "alice", ":", "alice:", ""] {
            assert_eq!(said(&users, wrong).await, AccessDecision::Denied, "{wrong}");
        }
        for wrong in ["", "Basic", "Basic !!", "Bearer YTpi", "basic"] {
            assert_eq!(users.admit(Some(&wrong.parse().expect("a header"))).await, AccessDecision::Denied, "{wrong}");
        }
        assert_eq!(users.admit(None).await, AccessDecision::Denied);
    }

    #[tokio::test]
    async fn what_was_right_is_not_hashed_again_and_what_was_wrong_is() {
        let users = users(&[("alice", "right")]);
        assert_eq!(said(&users, "alice:right").await, AccessDecision::Granted);
        assert_eq!(said(&users, "alice:wrong").await, AccessDecision::Denied);
        let _busy = users.hashing.acquire().await.expect("it is never closed");
        assert_eq!(said(&users, "alice:right").await, AccessDecision::Granted);
        let again = timeout(Duration::from_millis(100), said(&users, "alice:wrong"));
        assert!(again.await.is_err(), "it waits for its turn to be hashed");
    }

    #[tokio::test]
    async fn only_so_many_are_remembered() {
        let users = users(&[("alice", "right")]);
        for number in 0..=MAX_REMEMBERED {
            let mut digest = [0; 32];
            digest[0] = u8::try_from(number).expect("a small number");
            users.remember(digest);
        }
        assert_eq!(users.right.lock().expect("whole").len(), MAX_REMEMBERED);
        assert!(!users.remembers(&[0; 32]));
    }

    #[tokio::test]
    async fn an_unknown_user_costs_what_a_known_one_costs() {
        let users = users(&[("alice", "right")]);
        let mut took = [Duration::MAX; 2];
        let is_alike = |[known, unknown]: [Duration; 2]| unknown > known / 2 && known > unknown / 2;
        // On a busy machine the least of a few is not yet what it costs.
        for round in 0..50 {
            for (took, user) in took.iter_mut().zip(["alice:wrong", "mallory:wrong"]) {
                let started = Instant::now();
                assert_eq!(said(&users, user).await, AccessDecision::Denied);
                *took = started.elapsed().min(*took);
            }
            if round >= 4 && is_alike(took) {
                return;
            }
        }
        panic!("{took:?}");
    }

    #[test]
    fn no_secret_is_shown_for_debugging() {
        assert!(!format!("{:?}", users(&[("alice", "right")])).contains("$2"));
    }
}
