//! The slots of those who are served at the same time. When all are taken, the port says who makes room, if anybody: each knows
//! its own clients.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Slots, each with what the port knows of who has it.
#[derive(Debug)]
pub struct Slots<T> {
    /// Oldest first.
    taken: Mutex<Vec<Arc<TakenSlot<T>>>>,
    freed: Notify,
}

/// A slot that somebody has.
#[derive(Debug)]
pub struct TakenSlot<T> {
    pub client: T,
    evicted: CancellationToken,
    /// A request is being answered: the client waits for us.
    working: AtomicBool,
    last_step: Mutex<Instant>,
}

/// A connection's slot; given back when dropped.
#[derive(Debug)]
pub struct Slot<T> {
    taken: Arc<TakenSlot<T>>,
    slots: Arc<Slots<T>>,
}

/// What a connection's requests keep of its slot.
#[derive(Clone, Debug)]
pub struct SlotHandle<T>(Arc<TakenSlot<T>>);

/// Held while a request is being answered.
#[derive(Debug)]
pub struct Working<T>(Arc<TakenSlot<T>>);

impl<T> Slots<T> {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { taken: Mutex::default(), freed: Notify::new() })
    }

    /// A slot for the client, once the victim that `choose_victim` names of those who have one has lost its slot; none needs to go where there is room.
    ///
    /// # Errors
    /// Those of `choose_victim`: there is no room.
    pub fn take<E>(
        self: &Arc<Self>,
        client: T,
        now: Instant,
        choose_victim: impl FnOnce(&[Arc<TakenSlot<T>>]) -> Result<Option<Arc<TakenSlot<T>>>, E>,
    ) -> Result<Slot<T>, E> {
        let mut taken = self.taken();
        if let Some(victim) = choose_victim(&taken)? {
            victim.evicted.cancel();
            taken.retain(|other| !Arc::ptr_eq(other, &victim));
        }
        let (evicted, working) = (CancellationToken::new(), AtomicBool::new(false));
        let slot = Arc::new(TakenSlot { client, evicted, working, last_step: Mutex::new(now) });
        taken.push(Arc::clone(&slot));
        Ok(Slot { taken: slot, slots: Arc::clone(self) })
    }

    /// Returns once a slot was given back after the call.
    pub fn freed(&self) -> impl Future<Output = ()> {
        self.freed.notified()
    }

    /// A panic elsewhere leaves the list as whole as it was.
    fn taken(&self) -> MutexGuard<'_, Vec<Arc<TakenSlot<T>>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> TakenSlot<T> {
    pub fn is_working(&self) -> bool {
        self.working.load(Ordering::Acquire)
    }

    /// When it came, or last began or ended an answer.
    pub fn last_step(&self) -> Instant {
        *self.last_step.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn step(&self, working: bool) {
        *self.last_step.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.working.store(working, Ordering::Release);
    }
}

impl<T> Slot<T> {
    /// Fires when somebody else needs the slot.
    pub fn evicted(&self) -> CancellationToken {
        self.taken.evicted.clone()
    }

    pub fn handle(&self) -> SlotHandle<T> {
        SlotHandle(Arc::clone(&self.taken))
    }

    pub fn is_working(&self) -> bool {
        self.taken.is_working()
    }
}

impl<T> SlotHandle<T> {
    /// Says that a whole request has come: its connection keeps its slot while it is answered.
    #[must_use]
    pub fn work(&self) -> Working<T> {
        self.0.step(true);
        Working(Arc::clone(&self.0))
    }
}

impl<T> Drop for Working<T> {
    fn drop(&mut self) {
        self.0.step(false);
    }
}

impl<T> Drop for Slot<T> {
    fn drop(&mut self) {
        self.slots.taken().retain(|one| !Arc::ptr_eq(one, &self.taken));
        self.slots.freed.notify_waiters();
    }
}
