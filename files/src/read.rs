//! Reading files that somebody else may have put there, by path: what an administrator names and a rotation does not write.
//! `held` is for the rest.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use zeroize::Zeroizing;

use crate::file::{FileEnds, FileError, FileRead};
use crate::system::{self, Metadata};

/// Reads a regular file of at most `limit` bytes, following symlinks where a program of the system would. A FIFO, a device or a
/// directory is refused and not opened: to open one can already do something, start a watchdog for example.
///
/// # Errors
/// See [`FileError`]; the size is refused before a byte is read.
pub fn read_regular(path: &Path, limit: u64) -> Result<FileRead, FileError> {
    read_open(path, system::open_regular(path)?, limit)
}

/// The same for a path that its directory has just shown to be a regular file, and no link: it is not asked again before it is
/// opened. Only root could have put a device there since, and a link is not followed but read as [`read_regular`] does.
///
/// # Errors
/// As [`read_regular`].
pub fn read_listed(path: &Path, limit: u64) -> Result<FileRead, FileError> {
    read_open(path, system::open_listed(path)?, limit)
}

/// The same of a file that decides what is done: by the very handle by which it was found that nobody but administrators may change it,
/// and while nobody has it open for writing.
///
/// # Errors
/// As [`read_regular`], and [`FileError::Exposed`].
#[cfg(windows)]
pub fn read_unexposed(path: &Path, limit: u64) -> Result<FileRead, FileError> {
    read_open(path, system::open_unexposed_alone(path)?, limit)
}

/// Reads at most `head` bytes of a regular file's beginning and at most `tail` of its end, however large it is.
///
/// # Errors
/// See [`FileError`].
pub fn read_ends(path: &Path, head: u64, tail: u64) -> Result<FileEnds, FileError> {
    let (mut file, metadata) = system::open_regular(path)?;
    let failed = |error| FileError::from_io(path, error);
    let mut ends = FileEnds {
        head: Vec::new(),
        tail: Vec::new(),
        tail_at: metadata.len().saturating_sub(tail),
        identity: system::identity(&metadata),
    };
    (&file).take(head).read_to_end(&mut ends.head).map_err(failed)?;
    file.seek(SeekFrom::Start(ends.tail_at)).map_err(failed)?;
    file.take(tail).read_to_end(&mut ends.tail).map_err(failed)?;
    Ok(ends)
}

fn read_open(path: &Path, (file, metadata): (File, Metadata), limit: u64) -> Result<FileRead, FileError> {
    let bytes = read_at_most(path, file, metadata.len(), limit)?;
    Ok(FileRead { bytes, identity: system::identity(&metadata) })
}

/// One byte more than the limit is read, so that a file that grew meanwhile is seen to be too large. The buffer is sized before
/// it is filled: a growing `Vec` would leave copies of a key behind in freed memory.
pub(crate) fn read_at_most(path: &Path, file: File, size: u64, limit: u64) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let too_large = |size| FileError::TooLarge { path: path.to_owned(), size, limit };
    if size > limit {
        return Err(too_large(size));
    }
    let expected = usize::try_from(size).unwrap_or_default().saturating_add(1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(expected));
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| FileError::from_io(path, error))?;
    let read = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if read > limit { Err(too_large(read)) } else { Ok(bytes) }
}
