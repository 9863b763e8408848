//! A value of the annotation that asks for a rotation, in the length that a status has room for.

use sha2::{Digest, Sha256};

/// Of the rotate annotation's value, in bytes: a time, a ticket, a name.
pub(super) const LONGEST_ROTATE: usize = 256;

/// The rotate annotation's value as it is kept, compared and written to a status: a long one as its digest.
pub(crate) fn rotate_word(value: &str) -> String {
    if value.len() <= LONGEST_ROTATE {
        value.to_owned()
    } else {
        format!("sha256:{}", hex::encode(Sha256::digest(value)))
    }
}
