//! Opening files by path, and what is said of a path without reading it. No link is followed: what a path may not lead to would have to
//! be judged before it is opened, and a link may lead to a pipe.

use std::path::Path;

use sha2::{Digest, Sha256};
use windows_sys::Win32::Storage::FileSystem::{FILE_ATTRIBUTE_DIRECTORY, FILE_ATTRIBUTE_REPARSE_POINT};

use super::sys::Look;
use crate::file::{DirectoryIdentity, FileError, FileIdentity};

/// What was found of an open file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metadata(pub(super) Look);

impl Metadata {
    pub(crate) fn len(&self) -> u64 {
        self.0.size
    }
}

pub(crate) fn identity(Metadata(look): &Metadata) -> FileIdentity {
    FileIdentity {
        device: look.volume,
        inode: number_of(look.id),
        size: look.size,
        modified: nanoseconds(look.modified),
        changed: nanoseconds(look.changed),
    }
}

/// How many names a file has.
pub(crate) fn links(Metadata(look): &Metadata) -> u64 {
    look.links.into()
}

/// Of a directory that is held open. Its volume keeps its number, and so does a directory: the number of one that is gone is not given
/// again, but with another count of its uses.
pub(super) fn identity_of_directory(look: &Look) -> DirectoryIdentity {
    DirectoryIdentity { device: look.volume, inode: number_of(look.id), born: None, filesystem: Some(look.volume) }
}

/// NTFS and FAT use half of an identifier. All of ReFS' counts, which tells a file by its directory and a number in that.
pub(super) fn number_of(id: [u8; 16]) -> u64 {
    let half = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
    match id.split_at(8) {
        (low, [0, 0, 0, 0, 0, 0, 0, 0]) => half(low),
        _ => half(&Sha256::digest(id)[..8]),
    }
}

fn nanoseconds(time: i64) -> i128 {
    /// Between 1601 and 1970, in units of 100 nanoseconds.
    const UNIX_EPOCH: i128 = 116_444_736_000_000_000;
    (i128::from(time) - UNIX_EPOCH) * 100
}

pub(super) fn regular(path: &Path, Metadata(look): &Metadata) -> Result<(), FileError> {
    let kind = if look.attributes & FILE_ATTRIBUTE_REPARSE_POINT != 0 {
        "a link (a reparse point)"
    } else if look.attributes & FILE_ATTRIBUTE_DIRECTORY != 0 {
        "a directory"
    } else if !look.is_on_disk {
        "a device"
    } else {
        return Ok(());
    };
    Err(FileError::NotRegular { path: path.to_owned(), kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_windows_is_told_from_1970_on() {
        assert_eq!(nanoseconds(116_444_736_000_000_001), 100);
    }

    #[test]
    fn an_identifier_of_128_bits_counts_as_a_whole() {
        let mut id = [0; 16];
        id[0] = 7;
        id[1] = 1;
        assert_eq!(number_of(id), 0x107);
        let other = {
            let mut other = id;
            other[15] = 1;
            other
        };
        assert!(number_of(other) != number_of(id) && number_of(other) == number_of(other));
    }
}
