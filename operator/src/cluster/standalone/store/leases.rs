//! Who leads: the epoch and the lineage, which the state holds, and Leases for whoever runs for one.

use std::time::Duration;

use jiff::Timestamp;
use kagiban_crds::{Epoch, Lineage};
use rusqlite::{OptionalExtension as _, params};
use serde::{Deserialize, Serialize};

use super::{Session, StoreError};
use crate::cluster::Lease;

/// As it is kept.
#[derive(Deserialize, Serialize)]
struct Kept {
    holder: Option<String>,
    epoch: Option<Epoch>,
    seconds: u64,
    acquired: Option<Timestamp>,
    renewed: Option<Timestamp>,
    transitions: i32,
}

impl Session<'_> {
    /// A number that only grows.
    pub(super) fn number(&self, key: &str) -> Result<u64, StoreError> {
        let text: String =
            self.connection.prepare("SELECT value FROM meta WHERE key = ?1")?.query_row([key], |row| row.get(0))?;
        text.parse().map_err(|_| StoreError::Refused(format!("the state's {key} is no number: {text:?}")))
    }

    pub(super) fn next(&mut self, key: &str) -> Result<u64, StoreError> {
        let next = self.number(key)?.saturating_add(1);
        self.set(key, &next.to_string())?;
        Ok(next)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), StoreError> {
        self.connection.prepare("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")?.execute([key, value])?;
        Ok(())
    }

    /// The epoch of a process that begins: higher than that of each before it. The clock helps where the state was put back from a
    /// copy, and hosts have seen later ones.
    pub(in crate::cluster::standalone) fn take_epoch(&mut self, now: Timestamp) -> Result<Epoch, StoreError> {
        let clock = u64::try_from(now.as_second()).unwrap_or_default();
        let epoch = self.number("epoch")?.saturating_add(1).max(clock);
        self.set("epoch", &epoch.to_string())?;
        Ok(Epoch(epoch))
    }

    /// The name of this installation: as it was said first, and `made` where it was never said.
    ///
    /// # Errors
    /// When another is said now than then: hosts that obey the one would refuse the other.
    pub(in crate::cluster::standalone) fn take_lineage(
        &mut self,
        said: Option<&Lineage>,
        made: &Lineage,
    ) -> Result<Lineage, StoreError> {
        let kept: Option<String> = self
            .connection
            .query_row("SELECT value FROM meta WHERE key = 'lineage'", (), |row| row.get(0))
            .optional()?;
        let unreadable = |text: &str| StoreError::Refused(format!("the state's lineage is none: {text:?}"));
        let kept = kept.map(|text| text.parse::<Lineage>().map_err(|_| unreadable(&text))).transpose()?;
        match (kept, said) {
            (Some(kept), Some(said)) if kept != *said => Err(StoreError::Refused(format!(
                "this state is that of the installation {kept}, whose name its hosts obey, and --lineage says {said}: leave it out, \
                 or give another --state"
            ))),
            (Some(kept), _) => Ok(kept),
            (None, said) => {
                let lineage = said.unwrap_or(made).clone();
                self.set("lineage", &lineage.to_string())?;
                Ok(lineage)
            }
        }
    }

    pub(in crate::cluster::standalone) fn lease(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Lease>, StoreError> {
        let row = self
            .connection
            .prepare("SELECT version, lease FROM leases WHERE namespace = ?1 AND name = ?2")?
            .query_row(params![namespace, name], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))
            .optional()?;
        let Some((version, text)) = row else { return Ok(None) };
        let Kept { holder, epoch, seconds, acquired, renewed, transitions } = serde_json::from_str(&text)?;
        let duration = Duration::from_secs(seconds);
        let version = Some(version.to_string());
        Ok(Some(Lease { holder, epoch, duration, acquired, renewed, transitions, version, ..Lease::default() }))
    }

    /// Creates it, or replaces it if it has a version, which must be the last one.
    pub(in crate::cluster::standalone) fn put_lease(
        &mut self,
        namespace: &str,
        name: &str,
        lease: &Lease,
    ) -> Result<Lease, StoreError> {
        let is = self.lease(namespace, name)?.and_then(|lease| lease.version);
        if is != lease.version {
            return Err(StoreError::Conflict);
        }
        let version = is.and_then(|version| version.parse::<i64>().ok()).unwrap_or_default() + 1;
        let Lease { holder, epoch, duration, acquired, renewed, transitions, .. } = lease.clone();
        let kept = Kept { holder, epoch, seconds: duration.as_secs(), acquired, renewed, transitions };
        self.connection.prepare("INSERT OR REPLACE INTO leases VALUES (?1, ?2, ?3, ?4)")?.execute(params![
            namespace,
            name,
            version,
            serde_json::to_string(&kept)?
        ])?;
        Ok(Lease { version: Some(version.to_string()), ..lease.clone() })
    }
}
