//! A double of an agent that is a service of Windows, not the product: it does only what the vendor's notice documents. Its keystore is
//! `keystore` in its directory, with the key under the alias `securekey`; `KS_Access_Data` in the section `[Credentials]` of
//! `pcssconfig.ini` is the store's password, and it does not start without those files. It serves a page over TLS.
//!
//! ```text
//!   agent-double install NAME --directory DIR --listen ADDRESS
//!   agent-double start|stop|remove NAME
//! ```
//!
//! Tests tell it to fail by files in its directory: while `hangs-when-stopped` is there, it stays in `STOP_PENDING`; with the SHA-256 of
//! a leaf in `only`, it starts with no other.
//! `starts` has a line for each start.

#[cfg(windows)]
mod agent;
#[cfg(windows)]
mod control;
#[cfg(windows)]
mod hosted;

#[cfg(windows)]
fn main() -> std::process::ExitCode {
    control::main()
}

#[cfg(not(windows))]
fn main() -> std::process::ExitCode {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "agent-double is a program for Windows: see docs/windows.md");
    std::process::ExitCode::FAILURE
}
