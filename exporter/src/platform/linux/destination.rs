//! Where a path leads, whatever it is called.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What a path leads to. Two paths that share one destination lead to one file: by links, by a directory that is mounted twice,
/// or by another spelling.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Destination {
    File {
        device: u64,
        inode: u64,
    },
    /// A name in a directory, whether there is a file of that name or not.
    Name {
        device: u64,
        inode: u64,
        name: OsString,
    },
    /// What lies in a directory that cannot be looked at is known by its path alone.
    Path(PathBuf),
}

/// Every destination of a path, links followed.
pub fn destinations(path: &Path) -> BTreeSet<Destination> {
    let resolved = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let file = fs::metadata(&resolved).ok();
    let file = file.map(|file| Destination::File { device: file.dev(), inode: file.ino() });
    let directory = resolved.parent().and_then(|directory| fs::metadata(directory).ok());
    let name = directory.zip(resolved.file_name()).map(|(directory, name)| Destination::Name {
        device: directory.dev(),
        inode: directory.ino(),
        name: name.to_owned(),
    });
    let found: BTreeSet<_> = file.into_iter().chain(name).collect();
    if found.is_empty() { BTreeSet::from([Destination::Path(resolved)]) } else { found }
}
