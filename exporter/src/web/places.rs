//! How many connections there are at once. When all places are taken, a newcomer waits a moment; then the connection that
//! has been doing nothing for longest makes room, so that clients that send a byte a second lock nobody out.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Longer than an honest client needs for its next step, a handshake, a request, reading an answer; shorter than a
/// scrape's patience.
const QUIET: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Places {
    max: usize,
    taken: Mutex<Vec<Arc<Taken>>>,
    freed: Notify,
}

#[derive(Debug)]
struct Taken {
    /// Fires when somebody else needs the place.
    evicted: CancellationToken,
    /// A request is being answered: the client waits for us.
    working: AtomicBool,
    last_step: Mutex<Instant>,
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    taken: Arc<Taken>,
    places: Arc<Places>,
}

/// Held while a request is being answered.
#[derive(Debug)]
pub(super) struct Working(Arc<Taken>);

/// What a connection's requests keep of its place.
#[derive(Clone, Debug)]
pub(super) struct Seat(Arc<Taken>);

impl Places {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, taken: Mutex::default(), freed: Notify::new() })
    }

    /// A place, as soon as there is one.
    pub(super) async fn take(self: &Arc<Self>) -> Place {
        loop {
            let freed = self.freed.notified();
            match self.try_take(Instant::now()) {
                Ok(place) => return place,
                Err(wait) => tokio::select! {
                    () = freed => {}
                    () = sleep(wait) => {}
                },
            }
        }
    }

    /// Or after how long to try again.
    fn try_take(self: &Arc<Self>, now: Instant) -> Result<Place, Duration> {
        let mut taken = self.taken();
        if taken.len() >= self.max {
            let idle = taken.iter().filter(|one| !one.working.load(Ordering::Acquire));
            let quietest = idle.min_by_key(|one| one.last_step()).ok_or(QUIET)?.clone();
            let quiet = now.saturating_duration_since(quietest.last_step());
            if quiet < QUIET {
                return Err(QUIET.saturating_sub(quiet));
            }
            quietest.evicted.cancel();
            taken.retain(|one| !Arc::ptr_eq(one, &quietest));
        }
        let place = Arc::new(Taken {
            evicted: CancellationToken::new(),
            working: AtomicBool::new(false),
            last_step: Mutex::new(now),
        });
        taken.push(Arc::clone(&place));
        Ok(Place { taken: place, places: Arc::clone(self) })
    }

    /// A panic elsewhere leaves the list as whole as it was.
    fn taken(&self) -> MutexGuard<'_, Vec<Arc<Taken>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn last_step(&self) -> Instant {
        *self.last_step.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn step(&self) {
        *self.last_step.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

impl Place {
    pub(super) fn evicted(&self) -> CancellationToken {
        self.taken.evicted.clone()
    }

    pub(super) fn seat(&self) -> Seat {
        Seat(Arc::clone(&self.taken))
    }
}

impl Seat {
    pub(super) fn work(&self) -> Working {
        self.0.step();
        self.0.working.store(true, Ordering::Release);
        Working(Arc::clone(&self.0))
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.step();
        self.0.working.store(false, Ordering::Release);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken().retain(|one| !Arc::ptr_eq(one, &self.taken));
        self.places.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quietest_connection_makes_room_after_a_moment_and_a_working_one_never() {
        let places = Places::new(2);
        let (now, later) = (Instant::now(), Instant::now() + 2 * QUIET);
        let first = places.try_take(now).expect("room");
        let second = places.try_take(now).expect("room");
        assert!(places.try_take(now).is_err(), "both may still take their first step");
        let working = first.seat().work();
        let third = places.try_take(later).expect("the second has been quiet for long");
        assert!(second.evicted().is_cancelled() && !first.evicted().is_cancelled());
        let _third_works = third.seat().work();
        assert!(places.try_take(later + QUIET).is_err());
        drop((working, first));
        assert!(places.try_take(later).is_ok());
    }

    #[tokio::test]
    async fn a_place_that_is_given_back_is_taken_at_once() {
        let places = Places::new(1);
        let only = places.take().await;
        let waiting = tokio::spawn({
            let places = Arc::clone(&places);
            async move { places.take().await }
        });
        tokio::task::yield_now().await;
        drop(only);
        tokio::time::timeout(QUIET / 2, waiting).await.expect("in time").expect("no panic");
    }
}
