//! A checksum in a JSON file that a later start acts upon: after one flipped bit it may still be JSON, and name another file or
//! another epoch.
//!
//! It is the last member, over all before it, so that one rename brings both. What earlier programs wrote has none; they refuse
//! a member that they do not know.

use std::borrow::Cow;
use std::path::Path;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::platform::WriteError;

/// Between the record's last member and the digest, as serde writes a member.
const BEFORE: &[u8] = b",\n  \"sha256\": \"";
const AFTER: &[u8] = b"\"\n}";
/// How a record ends without it.
const END: &[u8] = b"\n}";
/// In hexadecimal digits.
const DIGEST: usize = 64;

/// The file is not what was written.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("its checksum is wrong: it was damaged, or changed by hand")]
pub(crate) struct Mismatch;

/// `record`, which has members, with its checksum.
///
/// # Errors
/// When it cannot be written as JSON.
pub(crate) fn encode<T: Serialize>(record: &T) -> serde_json::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(record)?;
    let digest = hex::encode(Sha256::digest(&bytes));
    bytes.truncate(bytes.len().saturating_sub(END.len()));
    bytes.extend([BEFORE, digest.as_bytes(), AFTER].concat());
    Ok(bytes)
}

/// The same, for the file at `path`.
///
/// # Errors
/// When it cannot be written as JSON.
pub(crate) fn encode_for<T: Serialize>(path: &Path, record: &T) -> Result<Vec<u8>, WriteError> {
    encode(record).map_err(|error| WriteError::from_io(path, "encoding it", error.into()))
}

/// The record's JSON without its checksum, where that is right or where there is none. Whatever is wrong with the member itself
/// leaves it there, as one that no record has.
///
/// # Errors
/// When the checksum is another record's.
pub(crate) fn verified(bytes: &[u8]) -> Result<Cow<'_, [u8]>, Mismatch> {
    let Some((record, digest)) = split(bytes) else { return Ok(bytes.into()) };
    let record = [record, END].concat();
    if hex::encode(Sha256::digest(&record)).as_bytes() == digest { Ok(record.into()) } else { Err(Mismatch) }
}

/// What stands before the checksum, and the checksum.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    // An editor ends the last line.
    let (before, digest) = bytes.trim_ascii_end().strip_suffix(AFTER)?.split_last_chunk::<DIGEST>()?;
    Some((before.strip_suffix(BEFORE)?, digest.as_slice()))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Record {
        epoch: u64,
        path: String,
    }

    fn read(bytes: &[u8]) -> Option<Record> {
        serde_json::from_slice(&verified(bytes).ok()?).ok()
    }

    /// Holds A9: no flipped bit makes another record, also in the checksum itself, and what has none is read as it is.
    #[test]
    fn a_record_with_any_one_bit_flipped_is_none_and_one_without_a_checksum_is_read() {
        let record = Record { epoch: 7, path: "/opt/agent/keystore".to_owned() };
        let written = encode(&record).expect("JSON");
        assert_eq!(read(&written), Some(record));
        assert!(serde_json::from_slice::<serde_json::Value>(&written).is_ok(), "any tool reads it");
        for bit in 0..written.len() * 8 {
            let mut flipped = written.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&flipped), None, "{}", String::from_utf8_lossy(&flipped));
        }
        for cut in 0..written.len() {
            assert_eq!(read(&written[..cut]), None, "{cut}");
        }
        let edited = [written.as_slice(), b"\n"].concat();
        assert_eq!(read(&edited), read(&written), "an editor ends the last line");
        let earlier = Record { epoch: 7, path: "any".to_owned() };
        assert_eq!(read(br#"{"epoch":7,"path":"any"}"#), Some(earlier));
    }
}
