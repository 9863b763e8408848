//! Keystores against the tools that users have: Java's own code makes and checks them, in one JVM for the whole suite.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod aliases;
mod hostile;
mod java;
mod jvm;
mod merging;
mod observing;
mod openssl;
mod pki;
mod reading;
mod texts;
mod x509;
