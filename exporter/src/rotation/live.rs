//! What the agent's endpoint serves: the only proof that counts, by fingerprint.

use std::time::Duration;

use kagiban_crds::LeafSha256;
use kagiban_crds::host_api::{Leaf, Sighting};
use kagiban_keystore::Certificate;
use tokio::time::{Instant, sleep};

use super::agent::Verify;
use super::machine::Cause;
use crate::blocking::Work;
use crate::probe::{self, Endpoint, ProbeError};

/// One handshake with a service on the same host.
const LOOK_DEADLINE: Duration = Duration::from_secs(5);

/// One look.
///
/// # Errors
/// See [`ProbeError`].
pub async fn look(endpoint: &Endpoint) -> Result<Certificate, ProbeError> {
    let seen = probe::probe_for(Work::RotationNames, endpoint, None, LOOK_DEADLINE).await?;
    Ok(seen.chain.into_iter().next().expect("a handshake's chain has a leaf"))
}

/// One look, and another when it failed: a missed handshake must not pass for a service that was broken before.
///
/// # Errors
/// Of the second look.
pub(super) async fn look_twice(endpoint: &Endpoint, pause: Duration) -> Result<Certificate, ProbeError> {
    match look(endpoint).await {
        Ok(leaf) => Ok(leaf),
        Err(_) => {
            sleep(pause).await;
            look(endpoint).await
        }
    }
}

/// Waits until one of `wanted` is served, and then for as long as the hold-down asks, at every look.
///
/// # Errors
/// With what was served instead, when the deadline has passed.
pub(super) async fn verify(endpoint: &Endpoint, wanted: &[LeafSha256], verify: Verify) -> Result<(), Cause> {
    let deadline = Instant::now() + verify.deadline;
    let mut held_since: Option<Instant> = None;
    loop {
        let seen = look(endpoint).await;
        let is_wanted = seen.as_ref().is_ok_and(|leaf| wanted.contains(&LeafSha256::new(leaf.sha256())));
        let now = Instant::now();
        held_since = held_since.filter(|_| is_wanted).or(is_wanted.then_some(now));
        if held_since.is_some_and(|since| now.duration_since(since) >= verify.hold_down) {
            return Ok(());
        }
        // A leaf that is there at the deadline still gets its hold-down; one that comes and goes does not start again.
        if held_since.is_none() && now >= deadline {
            return Err(not_served(&seen, verify.deadline));
        }
        sleep(verify.interval).await;
    }
}

fn not_served(seen: &Result<Certificate, ProbeError>, deadline: Duration) -> Cause {
    let seconds = deadline.as_secs();
    match seen {
        Ok(other) => Cause::new(
            "other_leaf_served",
            format!(
                "after {seconds} s the endpoint still serves {}; was an old process left running?",
                LeafSha256::new(other.sha256())
            ),
        ),
        Err(error) => Cause::new("not_served", format!("after {seconds} s the endpoint shows no certificate: {error}")),
    }
}

pub fn sighting(seen: Result<Certificate, ProbeError>) -> Sighting {
    match seen {
        Ok(certificate) => Sighting::Leaf(leaf(&certificate)),
        Err(error) => Sighting::Unseen { reason: error.reason().to_owned(), message: error.to_string() },
    }
}

/// A certificate as the wire says it.
pub fn leaf(certificate: &Certificate) -> Leaf {
    Leaf {
        sha256: LeafSha256::new(certificate.sha256()),
        serial: certificate.serial().to_owned(),
        subject: certificate.subject().to_owned(),
        issuer: certificate.issuer().to_owned(),
        not_before: certificate.not_before(),
        not_after: certificate.not_after(),
        dns_names: certificate.dns_names().to_vec(),
    }
}
