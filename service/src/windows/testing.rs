//! What tests need of the system.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// For the tests that ask the service control manager: of calls from several threads at once, Wine 8 refuses some with "Invalid handle".
pub(super) fn alone_with_the_manager() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
