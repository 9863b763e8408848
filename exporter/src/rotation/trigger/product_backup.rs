//! What a backup of the product's own has to be, before anything is renewed: pure.

use crate::config::BackupFormat;
use crate::rotation::digest::Digest;

/// A certificate with its key, and what a product keeps beside them, are far below it.
pub(super) const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// APPNOTE.TXT 4.3.16, the end of the central directory: its signature, its length without a comment, where it has the number of all
/// entries and the place of the directory, and the longest comment.
const END_SIGNATURE: &[u8] = b"PK\x05\x06";
const END_BYTES: usize = 22;
const ENTRIES_AT: usize = 10;
const DIRECTORY_SIZE_AT: usize = 12;
const DIRECTORY_AT: usize = 16;
const MAX_COMMENT: usize = u16::MAX as usize;

/// Why a file is no backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoBackup {
    #[error("its program ended well and has not written it")]
    NotWritten,
    #[error("it is what it was before its program was run")]
    AsBefore,
    #[error("it is empty")]
    Empty,
    #[error("it is no ZIP archive, or a part of one")]
    NoArchive,
    #[error("it is a ZIP archive with nothing in it")]
    NoEntries,
}

/// # Errors
/// Why it is no backup. `before` is what lay there before its program was run.
pub(super) fn check(format: BackupFormat, before: Option<Digest>, now: Option<&[u8]>) -> Result<(), NoBackup> {
    let bytes = now.ok_or(NoBackup::NotWritten)?;
    if before == Some(Digest::of(bytes)) {
        return Err(NoBackup::AsBefore);
    }
    if bytes.is_empty() {
        return Err(NoBackup::Empty);
    }
    match format {
        BackupFormat::Any => Ok(()),
        BackupFormat::Zip => check_archive(bytes),
    }
}

/// An archive that was cut off has no end, and one whose beginning is missing no directory where its end says.
fn check_archive(bytes: &[u8]) -> Result<(), NoBackup> {
    let from = bytes.len().saturating_sub(END_BYTES + MAX_COMMENT);
    let tail = bytes.get(from..).unwrap_or_default();
    let at = tail.windows(END_SIGNATURE.len()).rposition(|window| window == END_SIGNATURE);
    let at = at.ok_or(NoBackup::NoArchive)?;
    let end = tail.get(at..at + END_BYTES).ok_or(NoBackup::NoArchive)?;
    let number =
        |at: usize, length: usize| end[at..at + length].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    let (size, directory) = (number(DIRECTORY_SIZE_AT, 4), number(DIRECTORY_AT, 4));
    if directory + size != (from + at) as u64 {
        return Err(NoBackup::NoArchive);
    }
    if number(ENTRIES_AT, 2) == 0 { Err(NoBackup::NoEntries) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One empty file `a`, by Info-ZIP's zip 3.0 with `-X`, as anybody can make it: 114 bytes.
    fn archive() -> Vec<u8> {
        let mut bytes = b"PK\x03\x04\x0a\0\0\0\0\0".to_vec();
        bytes.extend([0; 16]);
        bytes.extend([1, 0, 0, 0, b'a']);
        let directory = bytes.len();
        bytes.extend(b"PK\x01\x02\x1e\x03\x0a\0\0\0\0\0");
        bytes.extend([0; 16]);
        bytes.extend([1, 0]);
        bytes.extend([0; 16]);
        bytes.push(b'a');
        let size = bytes.len() - directory;
        bytes.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
        bytes.extend(u32::try_from(size).expect("small").to_le_bytes());
        bytes.extend(u32::try_from(directory).expect("small").to_le_bytes());
        bytes.extend([0, 0]);
        bytes
    }

    #[test]
    fn a_backup_is_new_and_has_something_in_it() {
        let whole = archive();
        let nothing = [&b"PK\x05\x06"[..], &[0; 18]].concat();
        for (format, before, now, expected) in [
            (BackupFormat::Any, None, None, Err(NoBackup::NotWritten)),
            (BackupFormat::Any, Some(&b"old"[..]), Some(&b"old"[..]), Err(NoBackup::AsBefore)),
            (BackupFormat::Any, Some(b"old"), Some(b"new"), Ok(())),
            (BackupFormat::Any, None, Some(b""), Err(NoBackup::Empty)),
            (BackupFormat::Zip, None, Some(b"no archive"), Err(NoBackup::NoArchive)),
            (BackupFormat::Zip, None, Some(&nothing), Err(NoBackup::NoEntries)),
            (BackupFormat::Zip, None, Some(&whole), Ok(())),
            (BackupFormat::Zip, None, Some(&whole[..whole.len() - 1]), Err(NoBackup::NoArchive)),
            (BackupFormat::Zip, None, Some(&whole[1..]), Err(NoBackup::NoArchive)),
        ] {
            assert_eq!(check(format, before.map(Digest::of), now), expected, "{format:?} {now:?}");
        }
        let commented = [&whole[..whole.len() - 2], &[3, 0], b"why"].concat();
        assert_eq!(check(BackupFormat::Zip, None, Some(&commented)), Ok(()));
    }

    proptest! {
        #[test]
        fn no_file_is_too_strange_to_be_judged(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0..200_usize) {
            let mut strange = bytes;
            let at = at.min(strange.len());
            strange.splice(at..at, END_SIGNATURE.iter().copied());
            let _ = check(BackupFormat::Zip, None, Some(&strange));
        }

        #[test]
        fn a_part_of_an_archive_is_none(cut in 1..50_usize) {
            let whole = archive();
            prop_assert_eq!(check(BackupFormat::Zip, None, Some(&whole[..whole.len() - cut])), Err(NoBackup::NoArchive));
        }
    }
}
