//! Resources: read, written where their version is the one that was read, and taken away as an API server does it.

use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Row, params};
use serde_json::{Value, json};

use super::{Change, Session, StoreError};
use crate::cluster::key_of;
use crate::decide::whole_seconds;

/// A resource, and the file that it comes from.
#[derive(Clone, Debug)]
pub(in crate::cluster::standalone) struct Stored {
    pub(in crate::cluster::standalone) object: Value,
    pub(in crate::cluster::standalone) source: String,
}

/// What became of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cluster::standalone) enum Applied {
    Created,
    Changed,
    Unchanged,
    /// The one of before is still being deleted. It is created when that is gone.
    Deleting,
}

impl Stored {
    pub(in crate::cluster::standalone) fn is_being_deleted(&self) -> bool {
        is_being_deleted(&self.object)
    }

    fn of_row(row: &Row<'_>) -> rusqlite::Result<(String, String)> {
        Ok((row.get(0)?, row.get(1)?))
    }
}

fn is_being_deleted(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some()
}

impl Session<'_> {
    /// Of the store: grows with each write.
    pub(in crate::cluster::standalone) fn version(&self) -> Result<u64, StoreError> {
        self.number("version")
    }

    /// All of them, or those of a namespace.
    pub(in crate::cluster::standalone) fn list(&self, namespace: Option<&str>) -> Result<Vec<Stored>, StoreError> {
        let mut rows = self.connection.prepare(
            "SELECT object, source FROM resources WHERE ?1 IS NULL OR namespace = ?1 ORDER BY namespace, name",
        )?;
        let rows = rows.query_map(params![namespace], Stored::of_row)?;
        rows.map(|row| {
            let (object, source) = row?;
            Ok(Stored { object: serde_json::from_str(&object)?, source })
        })
        .collect()
    }

    pub(in crate::cluster::standalone) fn get(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Stored>, StoreError> {
        let mut row =
            self.connection.prepare("SELECT object, source FROM resources WHERE namespace = ?1 AND name = ?2")?;
        let found = row.query_row(params![namespace, name], Stored::of_row).optional()?;
        found.map(|(object, source)| Ok(Stored { object: serde_json::from_str(&object)?, source })).transpose()
    }

    /// Makes a resource of a manifest, as it was admitted, or changes the one that is there. Its generation grows with its spec.
    pub(in crate::cluster::standalone) fn apply(
        &mut self,
        admitted: &Value,
        source: &str,
        now: Timestamp,
    ) -> Result<Applied, StoreError> {
        let admitted = &*self.with_by_hand(admitted)?;
        let (namespace, name) = key_of(admitted);
        let Some(stored) = self.get(&namespace, &name)? else {
            let mut object = admitted.clone();
            let metadata = &mut object["metadata"];
            metadata["uid"] = json!(new_uid()?);
            metadata["generation"] = json!(1);
            metadata["creationTimestamp"] = json!(whole_seconds(now));
            self.put(object, source)?;
            return Ok(Applied::Created);
        };
        if stored.is_being_deleted() {
            return Ok(Applied::Deleting);
        }
        let mut object = stored.object.clone();
        for part in ["labels", "annotations"] {
            match admitted["metadata"].get(part) {
                Some(said) => object["metadata"][part] = said.clone(),
                None => drop(object["metadata"].as_object_mut().and_then(|metadata| metadata.remove(part))),
            }
        }
        if object["spec"] != admitted["spec"] {
            object["spec"] = admitted["spec"].clone();
            grow(&mut object);
        }
        if object == stored.object && source == stored.source {
            return Ok(Applied::Unchanged);
        }
        self.put(object, source)?;
        Ok(Applied::Changed)
    }

    /// Has it deleted: it is gone at once where nobody holds it, and else when the last finalizer is taken off.
    pub(in crate::cluster::standalone) fn delete(
        &mut self,
        namespace: &str,
        name: &str,
        uid: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let stored = self.get(namespace, name)?.filter(|stored| stored.object["metadata"]["uid"] == uid);
        let Some(Stored { mut object, source }) = stored else { return Ok(()) };
        if is_being_deleted(&object) {
            return Ok(());
        }
        object["metadata"]["deletionTimestamp"] = json!(whole_seconds(now));
        object["metadata"]["deletionGracePeriodSeconds"] = json!(0);
        grow(&mut object);
        self.put_or_remove(object, &source)
    }

    /// Changes the very object of this uid, if it has this version: any will do where none is given. A change that changes nothing
    /// is not written. The object as it is then.
    pub(in crate::cluster::standalone) fn change(
        &mut self,
        (namespace, name): (&str, &str),
        uid: Option<&str>,
        version: Option<&str>,
        change: impl FnOnce(&mut Value) -> Result<(), StoreError>,
    ) -> Result<Value, StoreError> {
        let Stored { object, source } = self.get(namespace, name)?.ok_or(StoreError::NotFound)?;
        if uid.is_some_and(|uid| object["metadata"]["uid"] != uid) {
            return Err(StoreError::NotFound);
        }
        if version.is_some_and(|version| object["metadata"]["resourceVersion"] != version) {
            return Err(StoreError::Conflict);
        }
        let mut changed = object.clone();
        change(&mut changed)?;
        if changed == object {
            return Ok(object);
        }
        self.put_or_remove(changed, &source)?;
        Ok(self.changes.last().map(|change| Value::clone(&change.object)).unwrap_or_default())
    }

    fn put_or_remove(&mut self, object: Value, source: &str) -> Result<(), StoreError> {
        let is_held = object["metadata"]["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty());
        if is_being_deleted(&object) && !is_held { self.remove(object) } else { self.put(object, source) }
    }

    pub(super) fn put(&mut self, mut object: Value, source: &str) -> Result<(), StoreError> {
        let version = self.next("version")?;
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        let (namespace, name) = key_of(&object);
        let mut row = self.connection.prepare("INSERT OR REPLACE INTO resources VALUES (?1, ?2, ?3, ?4, ?5)")?;
        row.execute(params![namespace, name, version.cast_signed(), source, object.to_string()])?;
        drop(row);
        self.changes.push(Change { version, object: Arc::new(object), gone: false });
        Ok(())
    }

    fn remove(&mut self, mut object: Value) -> Result<(), StoreError> {
        let version = self.next("version")?;
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        let (namespace, name) = key_of(&object);
        self.connection
            .prepare("DELETE FROM resources WHERE namespace = ?1 AND name = ?2")?
            .execute(params![namespace, name])?;
        self.forget_by_hand(&namespace, &name)?;
        self.changes.push(Change { version, object: Arc::new(object), gone: true });
        Ok(())
    }
}

pub(super) fn grow(object: &mut Value) {
    let generation = object["metadata"]["generation"].as_i64().unwrap_or_default();
    object["metadata"]["generation"] = json!(generation.saturating_add(1));
}

/// A random UUID, as an API server gives them.
fn new_uid() -> Result<String, StoreError> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| StoreError::Refused("the system gives no random numbers for a uid".to_owned()))?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex::encode(bytes);
    Ok([&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-"))
}
