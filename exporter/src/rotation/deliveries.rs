//! A server's certificate being given to its clients, beside the orders that replace it: whichever comes first keeps the other from
//! beginning.
//!
//! ```text
//!   Repairer ──begin──> Delivery, held for as long as its program runs
//!   order ─────take───> refused while there is one; from then on no further one begins
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kagiban_crds::AgentName;
use kagiban_crds::host_api::{Refusal, RefusalReason};
use tokio::time::Instant;

use super::admission::refuse;

/// Whoever was refused for it asks again sooner: an operator after five minutes at most. After that it has thought better of it.
const ORDER_COUNTS: Duration = Duration::from_mins(15);

/// It is looked every two seconds, as long as clients are listed.
const ELSEWHERE_COUNTS: Duration = Duration::from_mins(1);

/// Those of all agents of a host.
#[derive(Clone, Debug, Default)]
pub struct Deliveries(Arc<Mutex<BTreeMap<AgentName, OfAgent>>>);

#[derive(Debug, Default)]
struct OfAgent {
    /// How many clients are being given the certificate.
    running: usize,
    /// The last order that was refused for that.
    waits_since: Option<Instant>,
    /// How many orders are being taken.
    taking: usize,
    /// A rotation is not decided yet.
    is_rotated: bool,
    /// When another exporter was last seen to repair them, of which it is not known what runs.
    elsewhere_at: Option<Instant>,
}

/// A client is being given the certificate.
#[derive(Debug)]
pub struct Delivery {
    of: Deliveries,
    agent: AgentName,
}

/// An order is being taken: no client is begun for as long as this is there, whether or not anything becomes of the order.
#[derive(Debug)]
pub(crate) struct Taking {
    of: Deliveries,
    agent: AgentName,
}

/// Why no further client is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hindrance {
    /// An order waits for those that are being given it.
    Ordered,
    /// A rotation is on its way.
    Rotated,
}

impl Deliveries {
    /// Before a client is begun.
    ///
    /// # Errors
    /// See [`Hindrance`].
    pub fn begin(&self, agent: &AgentName) -> Result<Delivery, Hindrance> {
        let mut all = self.held();
        let of = all.entry(agent.clone()).or_default();
        if of.is_rotated {
            return Err(Hindrance::Rotated);
        }
        if of.taking > 0 || of.waits_since.is_some_and(|since| since.elapsed() < ORDER_COUNTS) {
            return Err(Hindrance::Ordered);
        }
        of.running += 1;
        Ok(Delivery { of: self.clone(), agent: agent.clone() })
    }

    /// Before an order is taken that replaces the certificate, held until it is taken. No further client is begun once one was refused, so that
    /// it is taken when those that run have ended.
    ///
    /// # Errors
    /// A refusal while a client is being given the certificate of now.
    pub(crate) fn check(&self, agent: &AgentName) -> Result<Taking, Refusal> {
        let mut all = self.held();
        let of = all.entry(agent.clone()).or_default();
        if of.elsewhere_at.is_some_and(|seen| seen.elapsed() < ELSEWHERE_COUNTS) {
            let message = format!(
                "another exporter with this state directory repairs the clients of {agent}, and may be giving them its certificate; see that \
                 one alone has clients.repair"
            );
            return Err(refuse(RefusalReason::Busy, message));
        }
        if of.running == 0 {
            of.waits_since = None;
            of.taking += 1;
            return Ok(Taking { of: self.clone(), agent: agent.clone() });
        }
        of.waits_since = Some(Instant::now());
        let message = format!(
            "clients of {agent} are being given its certificate, {} at this moment; no further one is begun, so ask again in some minutes: \
             clients.repair.deadline is the longest that it takes",
            of.running
        );
        Err(refuse(RefusalReason::Busy, message))
    }

    /// Another exporter repairs the agent's clients. It counts for a minute.
    pub fn note_elsewhere(&self, agent: &AgentName) {
        self.held().entry(agent.clone()).or_default().elsewhere_at = Some(Instant::now());
    }

    /// Whether a rotation of the agent is not decided yet. An order that was taken waits no more, and neither does one that has decided it.
    pub(crate) fn note_rotation(&self, agent: &AgentName, is_rotated: bool) {
        let mut all = self.held();
        let of = all.entry(agent.clone()).or_default();
        if is_rotated || of.is_rotated {
            of.waits_since = None;
        }
        of.is_rotated = is_rotated;
    }

    /// A panic elsewhere leaves them as whole as they were.
    fn held(&self) -> MutexGuard<'_, BTreeMap<AgentName, OfAgent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some(of) = self.of.held().get_mut(&self.agent) {
            of.running = of.running.saturating_sub(1);
        }
    }
}

impl Drop for Taking {
    fn drop(&mut self) {
        if let Some(of) = self.of.held().get_mut(&self.agent) {
            of.taking = of.taking.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_order_waits_for_the_clients_that_are_begun_and_no_further_one_is() {
        let (deliveries, agent, other) = (Deliveries::default(), name("av"), name("other"));
        let (first, second) = (deliveries.begin(&agent).expect("begun"), deliveries.begin(&agent).expect("begun"));
        let refused = deliveries.check(&agent).expect_err("two are given it");
        assert!(refused.reason == RefusalReason::Busy && refused.message.contains("2 at this moment"), "{refused:?}");
        drop(first);
        assert_eq!(deliveries.begin(&agent).err(), Some(Hindrance::Ordered));
        assert!(deliveries.begin(&other).is_ok() && deliveries.check(&other).is_ok(), "each agent by itself");
        deliveries.check(&agent).expect_err("one is given it still");
        drop(second);
        deliveries.check(&agent).expect("none is");
        deliveries.note_rotation(&agent, true);
        assert_eq!(deliveries.begin(&agent).err(), Some(Hindrance::Rotated));
        deliveries.note_rotation(&agent, false);
        assert!(deliveries.begin(&agent).is_ok(), "it was taken, and is decided");
        deliveries.note_rotation(&agent, true);
        deliveries.check(&agent).expect("a rotation is given up");
        deliveries.note_rotation(&agent, false);
        assert!(deliveries.begin(&agent).is_ok(), "it is decided");
    }

    #[tokio::test(start_paused = true)]
    async fn an_order_that_is_not_asked_again_holds_up_no_client_for_ever() {
        let (deliveries, agent) = (Deliveries::default(), name("av"));
        let running = deliveries.begin(&agent).expect("begun");
        deliveries.check(&agent).expect_err("one is given it");
        drop(running);
        tokio::time::advance(ORDER_COUNTS - Duration::from_secs(1)).await;
        assert_eq!(deliveries.begin(&agent).err(), Some(Hindrance::Ordered));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(deliveries.begin(&agent).is_ok());
    }

    /// A later refusal, such as for a disk that is full, would hold them up for as long as one that waits.
    #[tokio::test(start_paused = true)]
    async fn an_order_that_may_be_taken_and_is_not_holds_up_no_client() {
        let (deliveries, agent) = (Deliveries::default(), name("av"));
        let running = deliveries.begin(&agent).expect("begun");
        deliveries.check(&agent).expect_err("one is given it");
        drop(running);
        let taking = deliveries.check(&agent).expect("none is");
        assert_eq!(deliveries.begin(&agent).err(), Some(Hindrance::Ordered), "it is being taken");
        drop(taking);
        assert!(deliveries.begin(&agent).is_ok(), "it was not");
    }

    #[tokio::test(start_paused = true)]
    async fn an_order_waits_for_another_exporter_that_repairs_the_clients() {
        let (deliveries, agent) = (Deliveries::default(), name("av"));
        deliveries.note_elsewhere(&agent);
        let refused = deliveries.check(&agent).expect_err("it may be giving them the certificate");
        assert!(refused.reason == RefusalReason::Busy && refused.message.contains("another exporter"), "{refused:?}");
        tokio::time::advance(ELSEWHERE_COUNTS).await;
        deliveries.check(&agent).expect("it was not seen since");
    }

    fn name(name: &str) -> AgentName {
        name.parse().expect("a name")
    }
}
