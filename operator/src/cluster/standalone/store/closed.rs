//! Whether the state is let go of: written to its end, its file closed and its lock free.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Tells when it is. That is never before all who ask the state are gone.
#[derive(Clone, Debug, Default)]
pub(crate) struct StateClosed(Arc<(Mutex<bool>, Condvar)>);

/// Held as long as it is not.
#[derive(Debug)]
pub(super) struct StateOpen(StateClosed);

impl StateClosed {
    pub(super) fn open(&self) -> StateOpen {
        StateOpen(self.clone())
    }

    /// Waits until it is, no longer than this. It blocks.
    pub(crate) fn within(&self, deadline: Duration) -> bool {
        let (closed, told) = &*self.0;
        let closed = closed.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = told.wait_timeout_while(closed, deadline, |closed| !*closed);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Drop for StateOpen {
    fn drop(&mut self) {
        let (closed, told) = &*self.0.0;
        *closed.lock().unwrap_or_else(PoisonError::into_inner) = true;
        told.notify_all();
    }
}
