//! What kagiban-exporter and kagiban-operator need as processes, whatever they do.

#![cfg_attr(not(windows), forbid(unsafe_code))]

use std::panic;

pub mod completion;
pub mod errors;
pub mod log_lines;
pub mod system;
pub mod threads;

/// As a program ends that panics.
const PANICKED: i32 = 101;

/// Makes what the process cannot go on without, and ends it where that panics. A runtime does so where the system gives it no thread,
/// and what unwinds would wait for threads that never were: whoever starts the program again would see one that lives.
///
/// To be called while there is no other thread whose panics matter.
pub fn made_or_ended<T>(make: impl FnOnce() -> T) -> T {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        tell(panic);
        std::process::exit(PANICKED);
    }));
    let made = make();
    // Back to the one that everybody has.
    drop(panic::take_hook());
    made
}
