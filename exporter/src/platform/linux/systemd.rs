//! systemd: the sockets that it has opened, and what it is told.

use std::env;
use std::net::TcpListener;

use listenfd::ListenFd;
use sd_notify::NotifyState;

use super::super::{HandoverError, Lifecycle};

/// The sockets that systemd has opened for this process; empty when it has opened none. They are taken out of the
/// environment, so it is called once, while the process has one thread.
///
/// # Errors
/// When what was handed over is no TCP listener.
pub fn inherited_sockets() -> Result<Vec<TcpListener>, HandoverError> {
    let said = |name| env::var(name).ok();
    let ours = said("LISTEN_PID").and_then(|pid| pid.parse().ok()) == Some(std::process::id());
    let Some(count) = said("LISTEN_FDS").filter(|_| ours) else { return Ok(Vec::new()) };
    let count: usize = count.parse().map_err(|_| HandoverError::Count)?;
    if !(1..=HandoverError::MOST).contains(&count) {
        return Err(HandoverError::Count);
    }
    let mut handed_over = ListenFd::from_env();
    let taken = (0..handed_over.len()).map(|index| handed_over.take_tcp_listener(index).map_err(HandoverError::Socket));
    taken.filter_map(Result::transpose).collect()
}

/// Tells systemd, if it listens.
///
/// # Errors
/// When it was not reached.
pub fn announce(word: &Lifecycle) -> std::io::Result<()> {
    match word {
        Lifecycle::Ready { status } => sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(status)]),
        Lifecycle::Status { status } => sd_notify::notify(&[NotifyState::Status(status)]),
        Lifecycle::Reloading => sd_notify::notify(&[NotifyState::Reloading, NotifyState::monotonic_usec_now()?]),
        Lifecycle::Stopping => sd_notify::notify(&[NotifyState::Stopping]),
    }
}
