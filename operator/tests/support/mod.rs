//! An API server and a host in the test's own process: enough of each to see what the operator asks of them.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(unreachable_pub, reason = "shared between test files")]

pub mod cluster;
pub mod context;
pub mod fleet;
pub mod host;
pub mod pki;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub type Shared<T> = Arc<Mutex<T>>;
