//! A server's certificate being given to its clients, beside the orders that replace it: whichever comes first keeps the other from
//! beginning.
//!
//! ```text
//!   Repairer ──begin──> Delivery, held for as long as its program runs
//!   order ─────take───> refused while there is one; from then on no further one begins
//! ```
//!
//! Of several exporters with one state directory it is the same: one of them has the lock of the agent's clients, which whoever gives them the
//! certificate holds, and whoever replaces it until that is decided.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use kagiban_crds::AgentName;
use kagiban_crds::host_api::{Refusal, RefusalReason};
use tokio::time::Instant;
use tracing::warn;

use super::admission::refuse;
use crate::platform::{self, FileLock};

/// Whoever was refused for it asks again sooner: an operator after five minutes at most. After that it has thought better of it.
const ORDER_COUNTS: Duration = Duration::from_mins(15);

/// Below the state directory: what is remembered of clients, with the locks beside it.
pub const CLIENT_REPAIRS: &str = "client-repairs";

/// Those of all agents of a host.
#[derive(Clone, Debug, Default)]
pub struct Deliveries {
    agents: Arc<Mutex<BTreeMap<AgentName, OfAgent>>>,
    /// Where the locks are; none in tests of what is no exporter.
    directory: Option<PathBuf>,
    /// Held while one is taken: what another thread is taking is this program's.
    locking: Arc<Mutex<()>>,
}

#[derive(Debug, Default)]
struct OfAgent {
    /// How many clients are being given the certificate.
    running: usize,
    /// How many programs that were to do so were killed and do not end.
    left: usize,
    /// The last order that was refused for that.
    waits_since: Option<Instant>,
    /// How many orders are being taken.
    taking: usize,
    /// A rotation is not decided yet.
    is_rotated: bool,
    /// Whoever in this program has it.
    lock: Weak<FileLock>,
    /// The same, for an order that is being taken, and until its rotation is decided.
    of_order: Option<Arc<FileLock>>,
}

/// A client is being given the certificate.
#[derive(Debug)]
pub struct Delivery {
    of: Deliveries,
    agent: AgentName,
    /// Its program was killed and does not end.
    is_left: bool,
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
    pub fn in_state(directory: &Path) -> Self {
        Self { directory: Some(directory.join(CLIENT_REPAIRS)), ..Self::default() }
    }

    /// The lock of the agent's clients, which this program has for as long as anything of it holds that; none while another program has it.
    /// It blocks.
    ///
    /// # Errors
    /// When it cannot be made, in its directory or at all.
    pub fn lock(&self, agent: &AgentName) -> io::Result<Option<Arc<FileLock>>> {
        let _locking = self.locking.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = self.all().entry(agent.clone()).or_default().lock.upgrade() {
            return Ok(Some(lock));
        }
        let directory = self.directory.as_ref().ok_or_else(|| io::Error::other("there is no state directory"))?;
        platform::create_private_directory(directory).map_err(io::Error::other)?;
        // A name of an agent has no dot.
        let Some(lock) = platform::lock(&directory.join(format!("{agent}.lock")))?.map(Arc::new) else {
            return Ok(None);
        };
        self.all().entry(agent.clone()).or_default().lock = Arc::downgrade(&lock);
        Ok(Some(lock))
    }

    /// The same for an order. Where there is no directory nobody has ever repaired clients.
    fn lock_for_order(&self, agent: &AgentName) -> Result<Option<Arc<FileLock>>, Refusal> {
        if self.directory.as_ref().is_none_or(|directory| !directory.is_dir()) {
            return Ok(None);
        }
        let why = match self.lock(agent) {
            Ok(Some(lock)) => return Ok(Some(lock)),
            Ok(None) => format!(
                "another exporter with this state directory repairs the clients of {agent}, and may be giving them its certificate; the one \
                 that takes orders has to be the one with clients.repair: stop the other, or take that out of its configuration"
            ),
            Err(error) => format!(
                "whether another exporter gives the clients of {agent} its certificate is not known: {CLIENT_REPAIRS}/{agent}.lock in the state \
                 directory: {error}"
            ),
        };
        Err(refuse(RefusalReason::Busy, why))
    }

    /// Before a client is begun.
    ///
    /// # Errors
    /// See [`Hindrance`].
    pub fn begin(&self, agent: &AgentName) -> Result<Delivery, Hindrance> {
        let mut all = self.all();
        let of = all.entry(agent.clone()).or_default();
        if of.is_rotated {
            return Err(Hindrance::Rotated);
        }
        if of.taking > 0 || of.waits_since.is_some_and(|since| since.elapsed() < ORDER_COUNTS) {
            return Err(Hindrance::Ordered);
        }
        of.running += 1;
        Ok(Delivery { of: self.clone(), agent: agent.clone(), is_left: false })
    }

    /// Before an order is taken that replaces the certificate, held until it is taken. No further client is begun once one was refused, so that
    /// it is taken when those that run have ended.
    ///
    /// # Errors
    /// A refusal while a client is being given the certificate of now.
    pub(crate) fn check(&self, agent: &AgentName) -> Result<Taking, Refusal> {
        let lock = self.lock_for_order(agent)?;
        let mut all = self.all();
        let of = all.entry(agent.clone()).or_default();
        if of.left > 0 {
            let message = format!(
                "programs that give clients of {agent} its certificate were killed and do not end, such as in a file system that hangs, {} of \
                 them: they may do it still, and no order is taken before they have ended; end them, or start this host anew",
                of.left
            );
            return Err(refuse(RefusalReason::Busy, message));
        }
        if of.running == 0 {
            of.waits_since = None;
            of.taking += 1;
            of.of_order = lock;
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

    /// Whether a rotation of the agent is not decided yet. An order that was taken waits no more, and neither does one that has decided it.
    pub(crate) fn note_rotation(&self, agent: &AgentName, is_rotated: bool) {
        // One that an earlier program has begun goes on, whoever has the lock.
        let is_held = || self.all().get(agent).is_some_and(|of| of.of_order.is_some());
        let lock = if is_rotated && !is_held() { self.lock_for_order(agent) } else { Ok(None) };
        let lock = lock.unwrap_or_else(|refused| {
            warn!(%agent, "a rotation goes on that was begun before: {}", refused.message);
            None
        });
        let mut all = self.all();
        let of = all.entry(agent.clone()).or_default();
        if is_rotated || of.is_rotated {
            of.waits_since = None;
        }
        of.is_rotated = is_rotated;
        of.of_order = of.of_order.take().or(lock).filter(|_| of.is_rotated || of.taking > 0);
    }

    /// A panic elsewhere leaves them as whole as they were.
    fn all(&self) -> MutexGuard<'_, BTreeMap<AgentName, OfAgent>> {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Delivery {
    /// Nobody waits for its end any more: further clients are begun, and no order is taken for as long as this is there.
    pub fn note_left(&mut self) {
        if let Some(of) = self.of.all().get_mut(&self.agent).filter(|_| !self.is_left) {
            of.running = of.running.saturating_sub(1);
            of.left += 1;
        }
        self.is_left = true;
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some(of) = self.of.all().get_mut(&self.agent) {
            let count = if self.is_left { &mut of.left } else { &mut of.running };
            *count = count.saturating_sub(1);
        }
    }
}

impl Drop for Taking {
    fn drop(&mut self) {
        if let Some(of) = self.of.all().get_mut(&self.agent) {
            of.taking = of.taking.saturating_sub(1);
            of.of_order = of.of_order.take().filter(|_| of.is_rotated || of.taking > 0);
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
    async fn a_program_that_does_not_end_keeps_orders_waiting_and_no_client() {
        let (deliveries, agent) = (Deliveries::default(), name("av"));
        let mut left = deliveries.begin(&agent).expect("begun");
        left.note_left();
        left.note_left();
        for _ in 0..2 {
            let refused = deliveries.check(&agent).expect_err("it may be there for ever");
            assert!(refused.reason == RefusalReason::Busy && refused.message.contains("1 of them"), "{refused:?}");
            deliveries.begin(&agent).expect("others go on");
        }
        drop(left);
        deliveries.check(&agent).expect("it has ended");
    }

    /// One that repairs and takes no orders, and one that takes orders and repairs nobody.
    #[test]
    fn of_two_exporters_one_gives_clients_the_certificate_or_replaces_it() {
        let state = tempfile::tempdir().expect("directory");
        let [repairs, rotates] = [Deliveries::in_state(state.path()), Deliveries::in_state(state.path())];
        let (agent, other) = (name("av"), name("other"));
        drop(rotates.check(&agent).expect("nobody has ever repaired"));
        assert!(!state.path().join(CLIENT_REPAIRS).exists());
        let lock = repairs.lock(&agent).expect("a lock").expect("nobody has it");
        let refused = rotates.check(&agent).expect_err("it may be giving them the certificate");
        assert!(refused.reason == RefusalReason::Busy && refused.message.contains("another exporter"), "{refused:?}");
        drop(rotates.check(&other).expect("each agent by itself"));
        drop(repairs.check(&agent).expect("its own"));
        drop(lock);
        let is_free = || repairs.lock(&agent).expect("a lock").is_some();
        let taking = rotates.check(&agent).expect("nobody repairs");
        assert!(!is_free(), "an order is being taken");
        rotates.note_rotation(&agent, true);
        drop(taking);
        assert!(!is_free(), "until it is decided");
        rotates.note_rotation(&agent, false);
        assert!(is_free());
        drop(rotates.check(&agent).expect("nobody repairs"));
        assert!(is_free(), "nothing became of that order");
        // By an earlier run.
        rotates.note_rotation(&agent, true);
        assert!(!is_free());
    }

    fn name(name: &str) -> AgentName {
        name.parse().expect("a name")
    }
}
