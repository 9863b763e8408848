//! What is said about files, whatever the system.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Tells whether a path still leads to the same bytes: the file that a path *resolves to*, so that a swapped symlink or
/// a Kubernetes `..data` flip is seen, and its change time, so that an edit in place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileIdentity {
    pub device: u64,
    pub inode: u64,
    pub size: u64,
    /// Nanoseconds since 1970.
    pub modified: i128,
    /// Nanoseconds since 1970; where a system has no change time, the same as `modified`.
    pub changed: i128,
}

/// Which directory it is, whatever it is called and however it is mounted. Most file systems keep its number for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DirectoryIdentity {
    pub device: u64,
    pub inode: u64,
    /// When it was made, in nanoseconds since 1970, where the file system keeps that: the first directory of every ext4 has one
    /// number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub born: Option<i64>,
    /// Which file system it is on, where that has a number of its own that a reboot leaves as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<u64>,
}

impl DirectoryIdentity {
    /// Whether it is another directory than `then`, also after a reboot: the number of its file system may be another one by then.
    pub fn is_another_than(&self, then: &Self) -> bool {
        let born_apart = self.born.zip(then.born).is_some_and(|(now, then)| now != then);
        let elsewhere = self.filesystem.zip(then.filesystem).is_some_and(|(now, then)| now != then);
        self.inode != then.inode || born_apart || elsewhere
    }
}

impl FileIdentity {
    /// Whether it is the same file, perhaps with other contents.
    pub fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

/// A regular file's bytes, and which file it was.
#[derive(Debug)]
pub struct FileRead {
    /// May hold a private key.
    pub bytes: Zeroizing<Vec<u8>>,
    pub identity: FileIdentity,
}

/// The account that a directory belongs to, as its system writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DirectoryOwner(pub(crate) String);

impl DirectoryOwner {
    /// Whether what was meant for a directory of this one is safe in one of `now`. A directory of another account that has become an
    /// administrator's is the very thing to be refused: its owner could have put it there.
    pub(crate) fn may_be(&self, now: &Self, is_administrators: impl Fn(&str) -> bool) -> bool {
        self == now || (is_administrators(&self.0) && is_administrators(&now.0))
    }
}

/// Whether the last name of a path may be a symbolic link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// For a file that is replaced: a rename would replace the link.
    Refuse,
    /// Followed where only administrators could have put it.
    OfAdministrators,
}

/// The two ends of a regular file, and which file it was.
#[derive(Debug)]
pub struct FileEnds {
    pub head: Vec<u8>,
    pub tail: Vec<u8>,
    /// Where in the file the tail begins: 0 when it is the whole.
    pub tail_at: u64,
    pub identity: FileIdentity,
}

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{}: not found", path.display())]
    NotFound { path: PathBuf },
    #[error("{}: permission denied; run as a user who may read it", path.display())]
    PermissionDenied { path: PathBuf },
    #[error("{}: {kind}, not a regular file; name a regular file", path.display())]
    NotRegular { path: PathBuf, kind: &'static str },
    #[error("{}: its symbolic links lead in a circle; name a regular file", path.display())]
    SymlinkLoop { path: PathBuf },
    #[error(
        "{}: a symbolic link on the way to it stands where others than administrators may put one; name the path that it leads to",
        path.display()
    )]
    UntrustedLink { path: PathBuf },
    #[error("{}: {} on the way to it is a link (a reparse point), and none is followed; name the path that it leads to", path.display(), name.display())]
    LinkOnTheWay { path: PathBuf, name: OsString },
    #[error("{}: has {links} names (hard links), of which only one would be replaced; make it a file of its own", path.display())]
    HardLinked { path: PathBuf, links: u64 },
    #[error(
        "{}: belongs to the account {owner}, neither an administrator nor the owner of its directory, and others may write there; \
         see who put it there, and give the file to an administrator or the directory to the service",
        path.display()
    )]
    ForeignOwner { path: PathBuf, owner: String },
    #[error(transparent)]
    Exposed(#[from] Box<Exposure>),
    #[error("{}: {size} bytes, more than the limit of {limit}", path.display())]
    TooLarge { path: PathBuf, size: u64, limit: u64 },
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
}

/// What others than administrators could exchange.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}, who could exchange {}; {fix}", part.display(), path.display())]
pub struct Exposure {
    pub path: PathBuf,
    /// It, or a directory on the way to it.
    pub part: PathBuf,
    /// Who could, as what is said of the part.
    pub why: String,
    pub fix: String,
}

impl FileError {
    /// Stable, for metric labels.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not_found",
            Self::PermissionDenied { .. } => "permission_denied",
            Self::NotRegular { .. } => "not_regular",
            Self::SymlinkLoop { .. } => "symlink_loop",
            Self::UntrustedLink { .. } | Self::LinkOnTheWay { .. } => "untrusted_link",
            Self::HardLinked { .. } => "hard_linked",
            Self::ForeignOwner { .. } => "foreign_owner",
            Self::Exposed(_) => "exposed",
            Self::TooLarge { .. } => "too_large",
            Self::Read { .. } => "read_failed",
        }
    }

    /// Of a file that could not be opened or read.
    pub fn from_io(path: &std::path::Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::NotFound { path },
            io::ErrorKind::PermissionDenied => Self::PermissionDenied { path },
            _ => Self::Read { path, source },
        }
    }
}

/// Why a file was not written. Whatever happened, the file that was there before is still whole.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("{}: no space left on the device; free some", path.display())]
    NoSpace { path: PathBuf },
    #[error("{}: its file system has less than {} KiB left, which this needs; free some", path.display(), bytes / 1024)]
    TooLittleRoom { path: PathBuf, bytes: u64 },
    #[error("{}: permission denied; run as a user who may write its directory", path.display())]
    PermissionDenied { path: PathBuf },
    #[error("{}: the file system is read-only", path.display())]
    ReadOnly { path: PathBuf },
    #[error("{}: a mount of its own (a bind-mounted file) cannot be replaced; mount its directory instead", path.display())]
    MountPoint { path: PathBuf },
    #[error(
        "{}: is not there, and a file system is to be mounted at {} that is not; mount it, or take it out of /etc/fstab or disable its unit",
        path.display(), mount.display()
    )]
    NotMounted { path: PathBuf, mount: PathBuf },
    #[error("{}: immutable or append-only; take the attribute away (chattr -i -a)", path.display())]
    Immutable { path: PathBuf },
    #[error("{}: has the read-only attribute; take it away (attrib -r)", path.display())]
    ReadOnlyFile { path: PathBuf },
    #[error("{}: another program has it open and does not share it; stop that program, or have a virus scanner leave the directory out", path.display())]
    InUse { path: PathBuf },
    #[error("{}: was changed by somebody else during the rotation; open a new one", path.display())]
    Changed { path: PathBuf },
    #[error(
        "{}: its directory belongs to {now} now, and belonged to {then} when the file was copied; see who has put that directory there",
        path.display()
    )]
    OtherOwner { path: PathBuf, then: String, now: String },
    #[error(transparent)]
    Refused(#[from] FileError),
    #[error("{}: owner and permissions cannot be kept: {source}; run as root or SYSTEM", path.display())]
    AccessNotKept { path: PathBuf, source: io::Error },
    #[error(
        "{}: {why}, and whoever may rename what lies there decides where keys end up; name a directory in which nobody but this \
         account and root may write",
        path.display()
    )]
    Unguarded { path: PathBuf, why: String },
    #[error("{}: holds something else than what was written to it", path.display())]
    Altered { path: PathBuf },
    #[error("{}: {what} failed: {source}", path.display())]
    Io { path: PathBuf, what: &'static str, source: io::Error },
}

impl WriteError {
    /// Stable, for metric labels and failure reasons.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NoSpace { .. } | Self::TooLittleRoom { .. } => "no_space",
            Self::PermissionDenied { .. } => "permission_denied",
            Self::ReadOnly { .. } => "read_only",
            Self::MountPoint { .. } => "mount_point",
            Self::NotMounted { .. } => "not_mounted",
            Self::Immutable { .. } | Self::ReadOnlyFile { .. } => "immutable",
            Self::InUse { .. } => "in_use",
            Self::Changed { .. } | Self::OtherOwner { .. } => "changed_meanwhile",
            Self::Refused(error) => error.reason(),
            Self::AccessNotKept { .. } => "access_not_kept",
            Self::Unguarded { .. } => "unguarded_directory",
            Self::Altered { .. } => "altered",
            Self::Io { .. } => "io",
        }
    }

    /// `what` is what was being done, as in "syncing the file".
    pub fn from_io(path: &std::path::Path, what: &'static str, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace { path },
            io::ErrorKind::PermissionDenied => Self::PermissionDenied { path },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            io::ErrorKind::ResourceBusy | io::ErrorKind::CrossesDevices => Self::MountPoint { path },
            _ => Self::Io { path, what, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_an_administrator_may_be_another_ones_later_and_no_other_directory_may() {
        let is_administrators = |account: &str| ["SY", "BA"].contains(&account);
        for (then, now, is_good) in [
            ("SY", "SY", true),
            ("SY", "BA", true),
            ("BA", "SY", true),
            ("the service", "the service", true),
            ("the service", "SY", false),
            ("BA", "the service", false),
            ("the service", "another", false),
        ] {
            let [then, now] = [then, now].map(|account| DirectoryOwner(account.to_owned()));
            assert_eq!(then.may_be(&now, is_administrators), is_good, "{then:?} {now:?}");
        }
    }

    /// Holds A5: two file systems of one kind give their first directory one number, so that the one that was mounted over the other
    /// passed for it.
    #[test]
    fn a_directory_is_told_from_another_of_its_number_by_when_it_was_made() {
        let then = DirectoryIdentity { device: 1, inode: 2, born: Some(100), filesystem: Some(5) };
        for (device, inode, born, filesystem, is_another) in [
            (1, 2, Some(100), Some(5), false),
            // Its file system has another number after a reboot.
            (7, 2, Some(100), Some(5), false),
            (1, 3, Some(100), Some(5), true),
            (1, 2, Some(101), Some(5), true),
            // A small ext4 keeps no such time.
            (1, 2, None, Some(6), true),
            // A file system that keeps no such time, or a journal from before it was kept.
            (1, 2, None, None, false),
        ] {
            let now = DirectoryIdentity { device, inode, born, filesystem };
            assert_eq!(now.is_another_than(&then), is_another, "{now:?}");
            assert_eq!(then.is_another_than(&now), is_another, "{now:?}");
        }
    }
}
