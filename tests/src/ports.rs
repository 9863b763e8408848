//! TCP ports on loopback that stay ours while a service behind them is stopped and started.

use std::io::{Error, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Below the range that the kernel gives to outgoing connections, which would otherwise take a port while its service
/// restarts.
const RANGE: RangeInclusive<u16> = 20_000..=29_999;
/// How long a program that another thread starts may hold a copy of a listener that was closed: from its fork to its exec. On a busy
/// machine that is seconds.
const FORK_DEADLINE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(5);
/// A port that is lost again and again is no accident.
pub(crate) const MAX_STARTS: usize = 5;

/// A port; no other test takes it while this lives, of whatever suite on this machine.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// A name of its own in the kernel, in the same network namespace as the port: no directory decides who sees it, and
    /// it goes with the process.
    _lock: UnixListener,
}

impl Port {
    /// A free one.
    pub fn any() -> Result<Self> {
        RANGE.into_iter().find_map(Self::take).context("no free TCP port between 20000 and 29999")
    }

    /// This one if it is free, or else another.
    pub fn prefer(number: Option<u16>) -> Result<Self> {
        number.and_then(Self::take).map_or_else(Self::any, Ok)
    }

    pub fn number(&self) -> u16 {
        self.number
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }

    /// A listener on it: as often as its service starts.
    pub fn listen(&self) -> Result<TcpListener, Error> {
        let started = Instant::now();
        loop {
            match TcpListener::bind(self.address()) {
                Err(error) if error.kind() == ErrorKind::AddrInUse && started.elapsed() < FORK_DEADLINE => {}
                listener => return listener,
            }
            thread::sleep(PAUSE);
        }
    }

    fn take(number: u16) -> Option<Self> {
        let name = UnixAddr::from_abstract_name(format!("kagiban-tests/port/{number}")).ok()?;
        let lock = UnixListener::bind_addr(&name).ok()?;
        TcpListener::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
        Some(Self { number, _lock: lock })
    }
}

/// Starts something on ports of its own. When a program that knows nothing of our locks has taken one between the choice
/// and the use, it is started on others.
pub fn on_ports<T, const N: usize>(mut start: impl FnMut([Port; N]) -> Result<T>) -> Result<T> {
    let mut starts = 0;
    loop {
        starts += 1;
        // The lost ones stay locked until others are chosen.
        let mut ports = Vec::with_capacity(N);
        for _ in 0..N {
            ports.push(Port::any()?);
        }
        let ports = ports.try_into().ok().context("as many as were chosen")?;
        match start(ports) {
            Err(error) if starts < MAX_STARTS && is_lost_port(&error) => {}
            started => return started,
        }
    }
}

/// Every program says so in the words of the C library.
pub(crate) fn is_lost_port(error: &anyhow::Error) -> bool {
    format!("{error:#}").to_lowercase().contains("address already in use")
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn a_port_is_taken_once_and_free_again_when_it_is_dropped() {
        let port = Port::any().expect("one is free");
        assert!(Port::take(port.number()).is_none(), "taken, although nothing listens on it");
        let another = Port::prefer(Some(port.number())).expect("another is free");
        assert_ne!(another.number(), port.number());
        let number = another.number();
        drop(another);
        // Another test of this process may be faster.
        assert!(Port::take(number).is_some() || Port::any().is_ok());
    }

    #[test]
    fn a_listener_waits_for_a_copy_of_the_one_before_to_be_closed() {
        let port = Port::any().expect("one is free");
        let copy = TcpListener::bind(port.address()).expect("it is free");
        let closes = thread::spawn(move || {
            thread::sleep(20 * PAUSE);
            drop(copy);
        });
        port.listen().expect("it is free soon");
        closes.join().expect("it has closed it");
    }

    #[test]
    fn a_port_that_is_lost_between_choice_and_use_is_replaced() {
        let mut stranger = None;
        let port = on_ports(|[port]: [Port; 1]| {
            // The first time a stranger is faster.
            if stranger.is_none() {
                stranger = Some(TcpListener::bind(port.address())?);
            }
            let _ours = TcpListener::bind(port.address())?;
            Ok(port)
        });
        let taken = stranger.expect("it was faster").local_addr().expect("an address").port();
        assert_ne!(port.expect("the second is free").number(), taken);
        let failed = on_ports(|_: [Port; 1]| -> Result<()> { bail!("something else") });
        assert_eq!(failed.expect_err("it fails").to_string(), "something else");
    }
}
