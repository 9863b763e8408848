//! TCP ports on loopback that stay ours while a service behind them is stopped and started.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;

use anyhow::{Context, Result};

use crate::scratch;

/// Below the range that the kernel gives to outgoing connections, which would otherwise take a port while its service
/// restarts.
const RANGE: RangeInclusive<u16> = 20_000..=29_999;

/// A port; no other test takes it while this lives.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// Locked; the lock goes with the file.
    _lock: File,
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

    fn take(number: u16) -> Option<Self> {
        let directory = scratch::base().ok()?.join("ports");
        fs::create_dir_all(&directory).ok()?;
        let lock = File::create(directory.join(number.to_string())).ok()?;
        lock.try_lock().ok()?;
        TcpListener::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
        Some(Self { number, _lock: lock })
    }
}
