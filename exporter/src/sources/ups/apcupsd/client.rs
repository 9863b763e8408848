//! One conversation with apcupsd's network information server: its status report.

use std::time::Duration;

use tokio::time::Instant;

use super::error::ApcupsdError;
use super::mapping;
use super::report::StatusReport;
use crate::blocking::Work;
use crate::config::ApcupsdConfig;
use crate::probe::Endpoint;
use crate::snapshot::UpsTrouble;
use crate::sources::ups::wire::{self, Limits, Wire};
use crate::ups::Reading;

/// `status` in a frame of its own.
const STATUS: &[u8] = b"\0\x06status";

const LIMITS: Limits = Limits {
    // apcupsd makes each record in a buffer of 256 bytes.
    record: 1024,
    // The largest report of a real device is 3 kilobytes.
    total: 64 * 1024,
};

#[derive(Debug)]
pub(in crate::sources::ups) struct Client {
    endpoint: Endpoint,
    names: Work,
    deadline: Duration,
}

impl Client {
    /// A look takes no longer than `deadline`; `names` is whose threads the server's name is looked up on.
    pub(in crate::sources::ups) fn new(config: &ApcupsdConfig, names: Work, deadline: Duration) -> Self {
        Self { endpoint: Endpoint { address: config.address.clone(), server_name: None }, names, deadline }
    }

    pub(in crate::sources::ups) async fn read(&mut self) -> Result<Reading, UpsTrouble> {
        self.converse(Instant::now() + self.deadline).await.map_err(|error| UpsTrouble::from(&error))
    }

    async fn converse(&self, until: Instant) -> Result<Reading, ApcupsdError> {
        let address = &self.endpoint.address;
        let stream = wire::connect(&self.endpoint, self.names, until).await?;
        let mut wire = Wire::new(stream, address, LIMITS, until);
        wire.ask("status", STATUS).await?;
        let mut report = StatusReport::default();
        loop {
            let record = wire.frame().await?;
            if record.is_empty() {
                break;
            }
            report.take(&record).map_err(|error| ApcupsdError::Record { address: address.clone(), error })?;
        }
        mapping::reading(&report).map_err(|problem| ApcupsdError::Report { address: address.clone(), problem })
    }
}

#[cfg(test)]
mod tests;
