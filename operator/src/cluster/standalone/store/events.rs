//! Events of resources. The same one again is counted, and the oldest go: nobody reads back for months.

use rusqlite::params;

use super::{Session, StoreError};

/// Of one resource.
const MOST: i64 = 64;
/// Of all.
const MOST_OF_ALL: i64 = 100_000;
/// Of those that are asked for at once.
const MOST_SHOWN: i64 = 2000;
/// After which one is gone, with the next that is written. Months lie between two rotations of an agent.
const KEPT_SECONDS: i64 = 400 * 24 * 3600;

/// One to write.
#[derive(Clone, Debug)]
pub(in crate::cluster::standalone) struct WrittenEvent {
    pub(in crate::cluster::standalone) namespace: String,
    pub(in crate::cluster::standalone) name: String,
    pub(in crate::cluster::standalone) uid: String,
    /// `Normal` or `Warning`.
    pub(in crate::cluster::standalone) kind: &'static str,
    pub(in crate::cluster::standalone) reason: String,
    pub(in crate::cluster::standalone) note: String,
    /// In seconds.
    pub(in crate::cluster::standalone) at: i64,
}

/// One that was written, perhaps several times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cluster::standalone) struct StoredEvent {
    pub(in crate::cluster::standalone) namespace: String,
    pub(in crate::cluster::standalone) name: String,
    pub(in crate::cluster::standalone) kind: String,
    pub(in crate::cluster::standalone) reason: String,
    pub(in crate::cluster::standalone) note: String,
    pub(in crate::cluster::standalone) first: i64,
    pub(in crate::cluster::standalone) last: i64,
    pub(in crate::cluster::standalone) count: i64,
}

impl Session<'_> {
    pub(in crate::cluster::standalone) fn tell(&mut self, event: &WrittenEvent) -> Result<(), StoreError> {
        let WrittenEvent { namespace, name, uid, kind, reason, note, at } = event;
        let counted = self
            .connection
            .prepare(
                "UPDATE events SET last = max(last, ?7), count = count + 1
                 WHERE namespace = ?1 AND name = ?2 AND uid = ?3 AND kind = ?4 AND reason = ?5 AND note = ?6",
            )?
            .execute(params![namespace, name, uid, kind, reason, note, at])?;
        if counted > 0 {
            return Ok(());
        }
        self.connection
            .prepare(
                "INSERT INTO events (namespace, name, uid, kind, reason, note, first, last, count)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, 1)",
            )?
            .execute(params![namespace, name, uid, kind, reason, note, at])?;
        self.connection
            .prepare(
                "DELETE FROM events WHERE namespace = ?1 AND name = ?2 AND id NOT IN
                 (SELECT id FROM events WHERE namespace = ?1 AND name = ?2 ORDER BY last DESC, id DESC LIMIT ?3)",
            )?
            .execute(params![namespace, name, MOST])?;
        self.connection
            .prepare("DELETE FROM events WHERE last < ?1 OR id <= (SELECT max(id) FROM events) - ?2")?
            .execute(params![at.saturating_sub(KEPT_SECONDS), MOST_OF_ALL])?;
        Ok(())
    }

    /// Those of one resource, of a namespace, or all: the last of them, the oldest first.
    pub(in crate::cluster::standalone) fn events(
        &self,
        namespace: Option<&str>,
        name: Option<&str>,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        // A condition that may be none would have each call go through all of them
        let which = match (namespace, name) {
            (Some(_), Some(_)) => "WHERE namespace = ?1 AND name = ?2",
            (Some(_), None) => "WHERE namespace = ?1 AND ?2 IS NULL",
            (None, _) => "WHERE ?1 IS NULL AND ?2 IS NULL",
        };
        let mut rows = self.connection.prepare(&format!(
            "SELECT namespace, name, kind, reason, note, first, last, count FROM
             (SELECT * FROM events {which} ORDER BY last DESC, id DESC LIMIT ?3) ORDER BY last, id",
        ))?;
        let rows = rows.query_map(params![namespace, name, MOST_SHOWN], |row| {
            Ok(StoredEvent {
                namespace: row.get(0)?,
                name: row.get(1)?,
                kind: row.get(2)?,
                reason: row.get(3)?,
                note: row.get(4)?,
                first: row.get(5)?,
                last: row.get(6)?,
                count: row.get(7)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
