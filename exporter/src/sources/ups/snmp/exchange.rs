//! One request to an agent, and what came of it: an answer, or why there is none, as far as the datagrams tell that arrived.
//!
//! The library takes only what answers a request in every respect and says of the rest that time is up. Its counters tell the
//! rest apart.

use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

use async_snmp::{Error, UdpClient, Version};
use tokio::time::sleep;

/// How often it is seen whether something has arrived that is no answer.
const LOOKS_EVERY: Duration = Duration::from_millis(20);
/// How long after it the answer itself may still arrive.
const GRACE: Duration = Duration::from_millis(60);
/// The least that an answer is waited for once the agent's pace is known: it may be busy with its UPS.
const LEAST: Duration = Duration::from_millis(100);

/// Why a request has no answer.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// What the library says: the agent refuses the request, or it cannot be sent.
    Failed(Box<Error>),
    Silent,
    /// Something came for it that cannot be read, or that fails its check.
    Unreadable,
}

/// What arrived and was taken for no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Strays {
    /// For a request that waits, or for none that can be made out.
    unreadable: u64,
    /// Too late, for a request that nobody sent, or from elsewhere.
    astray: u64,
}

/// How fast the agent has answered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    slowest: Duration,
    /// The most objects that it has answered at once.
    most: usize,
}

impl Strays {
    /// With version 3 one request may take several answers, of which the library uses all but the last for itself: what comes for
    /// it is no sign there.
    pub(super) fn of(client: &UdpClient) -> Self {
        let stats = client.stats();
        let for_it = if client.version() == Version::V3 { 0 } else { stats.correlated_datagrams };
        Self { unreadable: for_it + stats.malformed_datagrams, astray: stats.discarded_datagrams }
    }

    /// Whether something came since `before` that cannot be read. An answer that was taken is among what is counted: this is for
    /// a request that has none.
    pub(super) const fn are_unreadable_since(self, before: Self) -> bool {
        self.unreadable > before.unreadable
    }

    pub(super) const fn are_late(self) -> bool {
        self.astray > 0
    }
}

impl Pace {
    /// Takes the time of an answer for so many objects.
    pub(super) fn note(&mut self, took: Duration, objects: usize) {
        self.slowest = self.slowest.max(took);
        self.most = self.most.max(objects);
    }

    /// Whether the agent has answered anything.
    pub(super) const fn is_known(self) -> bool {
        self.most > 0
    }

    /// For how long an answer for so many objects is worth waiting for.
    pub(super) fn wait(self, objects: usize) -> Duration {
        let times = u32::try_from(objects.div_ceil(self.most.max(1))).unwrap_or(u32::MAX);
        LEAST + self.slowest.saturating_mul(2).saturating_mul(times)
    }
}

/// Waits for the answer to a request: no longer than `wait`, where that is known, and no longer than a moment once
/// something came for it that cannot be read.
pub(super) async fn answered<T>(
    client: &UdpClient,
    wait: Option<Duration>,
    request: impl Future<Output = async_snmp::Result<T>>,
) -> Result<T, Unanswered> {
    let (before, started) = (Strays::of(client), Instant::now());
    let is_unreadable = || Strays::of(client).are_unreadable_since(before);
    let mut request = pin!(request);
    let mut unreadable_since: Option<Instant> = None;
    loop {
        tokio::select! {
            biased;
            answer = &mut request => {
                return answer.map_err(|error| match error.exchange_source() {
                    Error::Timeout { .. } if is_unreadable() => Unanswered::Unreadable,
                    Error::Timeout { .. } => Unanswered::Silent,
                    _ => Unanswered::Failed(error),
                });
            }
            () = sleep(LOOKS_EVERY) => {
                if is_unreadable() && unreadable_since.get_or_insert_with(Instant::now).elapsed() >= GRACE {
                    return Err(Unanswered::Unreadable);
                }
                if wait.is_some_and(|wait| started.elapsed() >= wait) {
                    return Err(if is_unreadable() { Unanswered::Unreadable } else { Unanswered::Silent });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_waited_for_at_its_own_pace() {
        let mut pace = Pace::default();
        assert!(!pace.is_known());
        pace.note(Duration::from_millis(30), 1);
        assert_eq!(pace.wait(10), LEAST + Duration::from_millis(600), "one after the other");
        pace.note(Duration::from_millis(200), 20);
        assert_eq!(pace.wait(1), LEAST + Duration::from_millis(400), "no faster than it was");
    }
}
