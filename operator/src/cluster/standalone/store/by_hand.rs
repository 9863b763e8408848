//! What a person has asked of a resource by a command, beside what its manifest says: one more rotation, a pause.
//!
//! It stands in the object too, where everything looks for it. Here is what has to be known besides, so that reading the manifest again
//! does not undo it, and a later word of the manifest goes before it.

use std::borrow::Cow;

use kagiban_crds::resource::{PAUSED_BY_HAND_ANNOTATION, ROTATE_ANNOTATION};
use rusqlite::{OptionalExtension as _, params};
use serde_json::{Value, json};

use super::resources::{Stored, grow};
use super::{Session, StoreError};
use crate::cluster::key_of;

/// What becomes of a pause, or of its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cluster::standalone) enum Pausing {
    Done,
    /// It was so before.
    Already,
    /// Its manifest pauses it, whatever was asked for by hand.
    ByManifest,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ByHand {
    /// The value of the annotation that was asked for.
    rotate: Option<String>,
    /// What the manifest said then: another value there is a later word.
    declared_rotate: Option<String>,
    paused: bool,
    /// What the manifest says of it.
    declared_paused: bool,
}

impl Session<'_> {
    /// Asks for a rotation; whether it was not asked for by this value before.
    pub(in crate::cluster::standalone) fn rotate_by_hand(
        &mut self,
        namespace: &str,
        name: &str,
        value: &str,
    ) -> Result<bool, StoreError> {
        let Stored { mut object, source } = self.present(namespace, name)?;
        if rotate(&object).as_deref() == Some(value) {
            return Ok(false);
        }
        let mut by_hand = self.by_hand(namespace, name)?.unwrap_or_default();
        if by_hand.rotate.is_none() {
            by_hand.declared_rotate = rotate(&object);
        }
        by_hand.rotate = Some(value.to_owned());
        self.put_by_hand(namespace, name, &by_hand)?;
        object["metadata"]["annotations"][ROTATE_ANNOTATION] = json!(value);
        self.put(object, &source)?;
        Ok(true)
    }

    /// Pauses its rotations, or ends the pause that was asked for by hand.
    pub(in crate::cluster::standalone) fn pause_by_hand(
        &mut self,
        namespace: &str,
        name: &str,
        pause: bool,
    ) -> Result<Pausing, StoreError> {
        let Stored { mut object, source } = self.present(namespace, name)?;
        let mut by_hand = self.by_hand(namespace, name)?.unwrap_or_default();
        if by_hand.paused == pause {
            return Ok(if !pause && is_paused(&object) { Pausing::ByManifest } else { Pausing::Already });
        }
        if pause {
            by_hand.declared_paused = is_paused(&object);
        }
        by_hand.paused = pause;
        self.put_by_hand(namespace, name, &by_hand)?;
        let is = pause || by_hand.declared_paused;
        mark(&mut object, pause);
        if is != is_paused(&object) {
            object["spec"]["rotation"]["paused"] = json!(is);
            grow(&mut object);
        }
        self.put(object, &source)?;
        Ok(if by_hand.declared_paused { Pausing::ByManifest } else { Pausing::Done })
    }

    /// What a manifest says, with what was asked for by hand.
    pub(super) fn with_by_hand<'a>(&mut self, declared: &'a Value) -> Result<Cow<'a, Value>, StoreError> {
        let (namespace, name) = key_of(declared);
        let before = self.by_hand(&namespace, &name)?;
        if before.is_none() && !is_marked(declared) {
            return Ok(Cow::Borrowed(declared));
        }
        let mut declared = declared.clone();
        // It may be a copy of what was printed of one that was paused by hand
        mark(&mut declared, false);
        let Some(before) = before else { return Ok(Cow::Owned(declared)) };
        let mut now = before.clone();
        // That the annotation is gone from the manifest is no word
        let word = rotate(&declared);
        if now.rotate.is_some() && word.is_some() && word != now.declared_rotate {
            (now.rotate, now.declared_rotate) = (None, None);
        }
        if let Some(value) = &now.rotate {
            declared["metadata"]["annotations"][ROTATE_ANNOTATION] = json!(value);
        }
        if now.paused {
            now.declared_paused = is_paused(&declared);
            declared["spec"]["rotation"]["paused"] = json!(true);
            mark(&mut declared, true);
        }
        if now != before {
            self.put_by_hand(&namespace, &name, &now)?;
        }
        Ok(Cow::Owned(declared))
    }

    /// Of one that is gone. A pause stays: its file may be away for a while, as when another branch is checked out.
    pub(super) fn forget_by_hand(&mut self, namespace: &str, name: &str) -> Result<(), StoreError> {
        let Some(before) = self.by_hand(namespace, name)? else { return Ok(()) };
        self.put_by_hand(namespace, name, &ByHand { paused: before.paused, ..ByHand::default() })
    }

    fn present(&self, namespace: &str, name: &str) -> Result<Stored, StoreError> {
        let stored = self.get(namespace, name)?.ok_or(StoreError::NotFound)?;
        if stored.is_being_deleted() {
            return Err(StoreError::Refused("it is being deleted".to_owned()));
        }
        Ok(stored)
    }

    fn by_hand(&self, namespace: &str, name: &str) -> Result<Option<ByHand>, StoreError> {
        let row = self
            .connection
            .prepare("SELECT rotate, declared_rotate, paused, declared_paused FROM by_hand WHERE namespace = ?1 AND name = ?2")?
            .query_row(params![namespace, name], |row| {
                Ok(ByHand {
                    rotate: row.get(0)?,
                    declared_rotate: row.get(1)?,
                    paused: row.get(2)?,
                    declared_paused: row.get(3)?,
                })
            })
            .optional()?;
        Ok(row)
    }

    /// One that asks for nothing is none.
    fn put_by_hand(&mut self, namespace: &str, name: &str, by_hand: &ByHand) -> Result<(), StoreError> {
        let ByHand { rotate, declared_rotate, paused, declared_paused } = by_hand;
        if rotate.is_none() && !paused {
            let mut row = self.connection.prepare("DELETE FROM by_hand WHERE namespace = ?1 AND name = ?2")?;
            row.execute(params![namespace, name])?;
        } else {
            let mut row = self.connection.prepare("INSERT OR REPLACE INTO by_hand VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
            row.execute(params![namespace, name, rotate, declared_rotate, paused, declared_paused])?;
        }
        Ok(())
    }
}

fn rotate(object: &Value) -> Option<String> {
    object["metadata"]["annotations"][ROTATE_ANNOTATION].as_str().map(str::to_owned)
}

/// So that its status can say who has paused it.
fn mark(object: &mut Value, is_paused_by_hand: bool) {
    let Some(metadata) = object["metadata"].as_object_mut() else { return };
    if is_paused_by_hand {
        let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
        annotations[PAUSED_BY_HAND_ANNOTATION] = json!("true");
    } else if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        let was_marked = annotations.remove(PAUSED_BY_HAND_ANNOTATION).is_some();
        if was_marked && annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
}

fn is_marked(object: &Value) -> bool {
    !object["metadata"]["annotations"][PAUSED_BY_HAND_ANNOTATION].is_null()
}

fn is_paused(object: &Value) -> bool {
    object["spec"]["rotation"]["paused"].as_bool().unwrap_or_default()
}
