//! What a fuzzer feeds: each parser of input from outside, behind one function of bytes that returns nothing.

use crate::sources;

/// `EventLog` of PowerChute, a Java serialization stream.
pub fn event_log(bytes: &[u8]) {
    sources::fuzz_event_log(bytes);
}

/// `EventLog.txt` of PowerChute Network Shutdown.
pub fn event_log_text(bytes: &[u8]) {
    sources::fuzz_event_log_text(bytes);
}
