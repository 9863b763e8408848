//! What a backup of the product's own has to be, before anything is renewed, and where it is by default.

use std::path::{Path, PathBuf};

use kagiban_crds::Generation;

use crate::config::BackupFormat;
use crate::platform;
use crate::rotation::digest::Digest;

/// A certificate with its key, and what a product keeps beside them, are far below it.
pub(super) const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// APPNOTE.TXT: what stands at the beginning of each record.
const END: &[u8] = b"PK\x05\x06";
const ENTRY: &[u8] = b"PK\x01\x02";
const FILE: &[u8] = b"PK\x03\x04";
/// 4.3.16, the end of the central directory: its length without a comment, where it has the number of all entries, the size of the
/// directory and its place, and the longest comment.
const END_BYTES: usize = 22;
const ENTRIES_AT: usize = 10;
const DIRECTORY_SIZE_AT: usize = 12;
const DIRECTORY_AT: usize = 16;
const MAX_COMMENT: usize = u16::MAX as usize;
/// 4.3.12, an entry: its length without what follows, where it has the lengths of what follows (name, extra field, comment), and where its
/// file is.
const ENTRY_BYTES: usize = 46;
const LENGTHS_AT: [usize; 3] = [28, 30, 32];
const FILE_AT: usize = 42;

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
    #[error("it is not what its program wrote before the renewal; put that back")]
    Changed,
}

/// Each renewal has a file of its own: a program may refuse to write over one that is there.
pub(super) fn place(directory: &Path, generation: Generation, format: BackupFormat) -> PathBuf {
    let extension = match format {
        BackupFormat::Any => "backup",
        BackupFormat::Zip => "zip",
    };
    directory.join(format!("{generation}.{extension}"))
}

/// Removes all but the newest `keep`: each holds a private key. Says what could not be removed.
pub(in crate::rotation) fn prune(directory: &Path, keep: usize) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let numbered = |path: PathBuf| Some((path.file_stem()?.to_str()?.parse::<u64>().ok()?, path));
    let mut backups: Vec<_> = entries.filter_map(numbered).collect();
    backups.sort_unstable_by(|a, b| b.cmp(a));
    let over = backups.into_iter().skip(keep);
    over.filter_map(|(_, path)| platform::remove(&path).err().map(|error| error.to_string())).collect()
}

/// Of a backup that its program has just been run for.
///
/// # Errors
/// Why it is no backup. `before` is what lay there before its program was run.
pub(super) fn check(format: BackupFormat, before: Option<Digest>, now: Option<&[u8]>) -> Result<Digest, NoBackup> {
    let bytes = now.ok_or(NoBackup::NotWritten)?;
    let digest = Digest::of(bytes);
    if before == Some(digest) {
        return Err(NoBackup::AsBefore);
    }
    if bytes.is_empty() {
        return Err(NoBackup::Empty);
    }
    match format {
        BackupFormat::Any => {}
        BackupFormat::Zip => check_archive(bytes)?,
    }
    Ok(digest)
}

/// Of one that is brought back, days later perhaps. `written` is what its program wrote; none in a journal from before it was kept.
///
/// # Errors
/// Why it is no backup, or not that one.
pub(super) fn check_again(
    format: BackupFormat,
    written: Option<Digest>,
    now: Option<&[u8]>,
) -> Result<Digest, NoBackup> {
    let digest = check(format, None, now)?;
    if written.is_some_and(|written| written != digest) { Err(NoBackup::Changed) } else { Ok(digest) }
}

/// An archive that was cut off has no end, and one of which a part is missing no directory where its end says, or no file where that
/// says. What is in the files is not unpacked: it is encrypted.
fn check_archive(bytes: &[u8]) -> Result<(), NoBackup> {
    let from = bytes.len().saturating_sub(END_BYTES + MAX_COMMENT);
    let tail = bytes.get(from..).unwrap_or_default();
    let at = from + tail.windows(END.len()).rposition(|window| window == END).ok_or(NoBackup::NoArchive)?;
    let end = bytes.get(at..at + END_BYTES).ok_or(NoBackup::NoArchive)?;
    let entries = number(end, ENTRIES_AT, 2);
    let mut entry = number(end, DIRECTORY_AT, 4);
    if entry.checked_add(number(end, DIRECTORY_SIZE_AT, 4)) != Some(at) {
        return Err(NoBackup::NoArchive);
    }
    if entries == 0 {
        return Err(NoBackup::NoEntries);
    }
    for _ in 0..entries {
        let found = bytes.get(entry..at).filter(|it| it.starts_with(ENTRY) && it.len() >= ENTRY_BYTES);
        let found = found.ok_or(NoBackup::NoArchive)?;
        let file = bytes.get(number(found, FILE_AT, 4)..entry).filter(|it| it.starts_with(FILE));
        file.ok_or(NoBackup::NoArchive)?;
        entry += ENTRY_BYTES + LENGTHS_AT.map(|at| number(found, at, 2)).iter().sum::<usize>();
    }
    if entry == at { Ok(()) } else { Err(NoBackup::NoArchive) }
}

/// Little-endian. `of` has that many bytes there.
fn number(of: &[u8], at: usize, length: usize) -> usize {
    of[at..at + length].iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
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
        let nothing = [END, &[0; 18]].concat();
        let told_alone = [END, &[0, 0, 0, 0, 1, 0, 1, 0], &[0; 10]].concat();
        let mut without_file = whole.clone();
        without_file[..4].fill(0);
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
            (BackupFormat::Zip, None, Some(&told_alone), Err(NoBackup::NoArchive)),
            (BackupFormat::Zip, None, Some(&without_file), Err(NoBackup::NoArchive)),
        ] {
            assert_eq!(check(format, before.map(Digest::of), now).map(drop), expected, "{format:?} {now:?}");
        }
        let commented = [&whole[..whole.len() - 2], &[3, 0], b"why"].concat();
        assert_eq!(check(BackupFormat::Zip, None, Some(&commented)), Ok(Digest::of(&commented)));
    }

    #[test]
    fn what_is_brought_back_is_what_was_written_where_that_is_known() {
        let whole = archive();
        let another = [&whole[..whole.len() - 2], &[3, 0], b"why"].concat();
        for (written, now, expected) in [
            (Some(&whole), Some(&whole[..]), Ok(())),
            (Some(&whole), Some(&another), Err(NoBackup::Changed)),
            (Some(&whole), Some(b"no archive"), Err(NoBackup::NoArchive)),
            (Some(&whole), None, Err(NoBackup::NotWritten)),
            (None, Some(&another), Ok(())),
        ] {
            let written = written.map(|bytes| Digest::of(bytes));
            assert_eq!(check_again(BackupFormat::Zip, written, now).map(drop), expected, "{now:?}");
        }
    }

    #[test]
    fn the_newest_backups_are_kept_and_nothing_else_is_removed() {
        let directory = tempfile::tempdir().expect("directory");
        let at = |generation| place(directory.path(), Generation(generation), BackupFormat::Zip);
        for generation in [2, 9, 10, 11] {
            std::fs::write(at(generation), "zip").expect("written");
        }
        std::fs::write(directory.path().join("of a person.zip"), "zip").expect("written");
        assert_eq!(prune(directory.path(), 2), Vec::<String>::new());
        let left: Vec<_> = [2, 9, 10, 11].into_iter().filter(|generation| at(*generation).exists()).collect();
        assert_eq!((left, directory.path().join("of a person.zip").exists()), (vec![10, 11], true));
        assert_eq!(prune(&directory.path().join("none"), 2), Vec::<String>::new());
    }

    proptest! {
        #[test]
        fn no_file_is_too_strange_to_be_judged(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0..200_usize) {
            let mut strange = bytes;
            let at = at.min(strange.len());
            strange.splice(at..at, END.iter().copied());
            let _ = check(BackupFormat::Zip, None, Some(&strange));
        }

        #[test]
        fn a_part_of_an_archive_is_none(cut in 1..50_usize) {
            let whole = archive();
            prop_assert_eq!(check(BackupFormat::Zip, None, Some(&whole[..whole.len() - cut])), Err(NoBackup::NoArchive));
        }
    }
}
