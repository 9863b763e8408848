//! Finds the end of a symmetric key of a JCEKS, which is a serialized object whose length nobody says.

use crate::ReadError;
use crate::cursor::Cursor;
use crate::java_stream::{self, Bounds, StreamError};

/// A sealed key has about ten objects, strings and classes in two levels, and about thirty things with null and references.
const BOUNDS: Bounds = Bounds { depth: 16, lineage: 16, handles: 256, contents: 4_096 };

/// Moves `cursor` behind the one object whose stream starts there.
pub(super) fn skip(cursor: &mut Cursor<'_>) -> Result<(), ReadError> {
    let length = java_stream::length_of_object(cursor.rest(), BOUNDS).map_err(|error| match error {
        StreamError::NotAStream => ReadError::Malformed("a secret key is no serialized Java object"),
        StreamError::Opaque | StreamError::Unknown { .. } => {
            ReadError::UnsupportedFormat("what a secret key's serialized object holds")
        }
        StreamError::End | StreamError::BadReference | StreamError::Misplaced(_) => {
            ReadError::Malformed("a secret key's serialized object is damaged")
        }
        StreamError::TooDeep(limit) | StreamError::TooMany(limit) => {
            ReadError::TooLarge { what: "the parts of a serialized secret key", limit }
        }
    })?;
    cursor.take(length).map(drop)
}
