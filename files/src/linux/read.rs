//! Opening files by path and following links, and what is said of a path without reading it.

use std::fs::{File, Metadata, OpenOptions};
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::UNIX_EPOCH;

use rustix::fs::{CWD, FsWord, Mode, OFlags, openat};
use rustix::io::Errno;

use crate::file::{DirectoryIdentity, FileError, FileIdentity};

/// File systems whose files are the kernel's interfaces, by their numbers in linux/magic.h and in their own sources: proc, sysfs,
/// debugfs, tracefs, securityfs, cgroup, cgroup2, bpf, configfs, efivarfs, pstore, selinuxfs, smackfs, fusectl, mqueue, resctrl,
/// binfmt_misc, xenfs, rpc_pipefs, nfsd.
const OF_THE_KERNEL: [FsWord; 20] = [
    0x9fa0,
    0x6265_6572,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0x27_e0eb,
    0x6367_7270,
    0xcafe_4a11,
    0x6265_6570,
    0xde5e_81e4,
    0x6165_676c,
    0xf97c_ff8c,
    0x4341_5d53,
    0x6573_5543,
    0x1980_0202,
    0x765_5821,
    0x4249_4e4d,
    0xabba_1974,
    0x6759_6969,
    0x6e66_7364,
];

/// Opens what a path that its directory has just shown to be a regular file leads to, and follows a link that is there by now.
pub(crate) fn open_listed(path: &Path) -> Result<(File, Metadata), FileError> {
    match open(path, path, OFlags::NOFOLLOW) {
        Err(FileError::SymlinkLoop { .. }) => open_regular(path),
        opened => opened,
    }
}

/// The file is held by a descriptor that does nothing to it, judged, and only then opened: between two looks at a name, whoever may
/// write the directory could have put another file there.
pub(crate) fn open_regular(path: &Path) -> Result<(File, Metadata), FileError> {
    let errno = |error: Errno| failed(path, error.into());
    let held = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(errno)?;
    let held = File::from(held);
    regular(path, &held.metadata().map_err(|error| failed(path, error))?)?;
    // A link may lead there. To read some of them takes what they hold from whoever needs it, the kernel's log for example.
    // A file system that cannot be asked for its kind, as some of FUSE's, is another.
    if !path.starts_with("/proc")
        && rustix::fs::fstatfs(&held).is_ok_and(|system| OF_THE_KERNEL.contains(&system.f_type))
    {
        return Err(FileError::NotRegular { path: path.to_owned(), kind: "a file of the kernel's own" });
    }
    open(Path::new(&format!("/proc/self/fd/{}", held.as_raw_fd())), path, OFlags::empty())
}

/// Opens what is there `at`, and tells of it by its `path`. What is open is asked once more: a name may lead elsewhere by now.
fn open(at: &Path, path: &Path, how: OFlags) -> Result<(File, Metadata), FileError> {
    let failed = |error| failed(path, error);
    // O_NONBLOCK: opening a FIFO without a writer would wait for one. O_NOCTTY: a terminal must not adopt us.
    let flags = (how | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC).bits();
    let flags = i32::try_from(flags).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(at).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    regular(path, &metadata)?;
    Ok((file, metadata))
}

fn regular(path: &Path, metadata: &Metadata) -> Result<(), FileError> {
    if metadata.is_file() {
        return Ok(());
    }
    Err(FileError::NotRegular { path: path.to_owned(), kind: kind(metadata) })
}

/// Which file a path leads to now, following symlinks, without reading it.
///
/// # Errors
/// See [`FileError`]; what is no regular file is refused.
pub fn identify(path: &Path) -> Result<FileIdentity, FileError> {
    let metadata = std::fs::metadata(path).map_err(|error| failed(path, error))?;
    regular(path, &metadata)?;
    Ok(identity(&metadata))
}

/// Which directory a path leads to now; a symbolic link is followed.
///
/// # Errors
/// See [`FileError`].
pub fn directory_identity(path: &Path) -> Result<DirectoryIdentity, FileError> {
    // Opened once: half an identity, for want of a descriptor, would be another one's.
    let directory = openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let directory = File::from(directory.map_err(|error| failed(path, error.into()))?);
    let metadata = directory.metadata().map_err(|error| failed(path, error))?;
    Ok(identity_of_directory(&directory, &metadata))
}

/// Of a directory that is held open, and was looked at.
pub(super) fn identity_of_directory(directory: impl AsFd, metadata: &Metadata) -> DirectoryIdentity {
    let born = metadata.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
    let born = born.and_then(|born| i64::try_from(born.as_nanos()).ok());
    let kind = rustix::fs::fstatfs(&directory).ok().map(|system| system.f_type);
    DirectoryIdentity {
        device: metadata.dev(),
        inode: metadata.ino(),
        born: born.filter(|_| !kind.is_some_and(is_copied_at_first_write)),
        filesystem: kind.filter(|kind| BY_UUID.contains(kind)).and_then(|_| filesystem_of(directory)),
    }
}

/// Of which a file system's number comes from its UUID, by linux/magic.h: ext2 to ext4, Btrfs and F2FS. That of others is their
/// device's, which a reboot may change.
const BY_UUID: [FsWord; 3] = [0xef53, 0x9123_683e, 0xf2f5_2010];

/// A directory of an overlay's lower layer is made anew in the upper one, and keeps its number.
const fn is_copied_at_first_write(kind: FsWord) -> bool {
    /// By linux/magic.h.
    const OVERLAY: FsWord = 0x794c_7630;
    kind == OVERLAY
}

fn filesystem_of(directory: impl AsFd) -> Option<u64> {
    rustix::fs::fstatvfs(directory).ok().map(|system| system.f_fsid)
}

/// Whether a file's mode lets everybody read it, or a group that is not this program's own; a file that cannot be asked is not
/// accused. Where there is an access control list, the group's bits are its mask: its entries are others.
pub fn is_readable_by_others(path: &Path) -> bool {
    const GROUP_READ: u32 = 0o040;
    const OTHERS_READ: u32 = 0o004;
    let own_group = |metadata: &Metadata| metadata.gid() == rustix::process::getegid().as_raw() && !has_list(path);
    std::fs::metadata(path).is_ok_and(|metadata| {
        let mode = metadata.mode();
        mode & OTHERS_READ != 0 || (mode & GROUP_READ != 0 && !own_group(&metadata))
    })
}

fn has_list(path: &Path) -> bool {
    let mut list = [0; 1024];
    matches!(rustix::fs::getxattr(path, "system.posix_acl_access", &mut list), Ok(_) | Err(Errno::RANGE))
}

/// Whether somebody else than an administrator may write what lies at a path; a symbolic link is not followed, and is not
/// written to. Administrators are root and the account that this program runs under. The group's bits count whatever the
/// group is: where there is an access control list, they are its mask.
///
/// # Errors
/// See [`FileError`].
pub fn is_writable_by_others(path: &Path) -> Result<bool, FileError> {
    const GROUP_AND_OTHERS_WRITE: u32 = 0o022;
    let metadata = std::fs::symlink_metadata(path).map_err(|error| failed(path, error))?;
    let owner = metadata.uid();
    let is_ours = owner == 0 || owner == rustix::process::geteuid().as_raw();
    Ok(!metadata.is_symlink() && (!is_ours || metadata.mode() & GROUP_AND_OTHERS_WRITE != 0))
}

fn failed(path: &Path, error: std::io::Error) -> FileError {
    // The standard library's kind for it is not stable yet.
    if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) {
        return FileError::SymlinkLoop { path: path.to_owned() };
    }
    FileError::from_io(path, error)
}

pub(crate) fn identity(metadata: &Metadata) -> FileIdentity {
    let nanoseconds = |s: i64, ns: i64| i128::from(s) * 1_000_000_000 + i128::from(ns);
    FileIdentity {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.len(),
        modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
        changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
    }
}

/// How many names a file has.
pub(crate) fn links(metadata: &Metadata) -> u64 {
    metadata.nlink()
}

pub(super) fn kind(metadata: &Metadata) -> &'static str {
    let file_type = metadata.file_type();
    if file_type.is_dir() {
        "a directory"
    } else if file_type.is_fifo() {
        "a FIFO"
    } else if file_type.is_socket() {
        "a socket"
    } else if file_type.is_symlink() {
        "a symbolic link"
    } else {
        "a device"
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use crate::read_regular;

    /// Holds A17: a link to the kernel's log, or to its trace, took from it what others were to have.
    #[test]
    fn a_file_of_the_kernels_own_is_not_opened_and_whatever_else_is_regular_is() {
        let directory = tempfile::tempdir().expect("directory");
        let at = |name: &str| directory.path().join(name);
        symlink("/proc/kmsg", at("kmsg")).expect("a link");
        symlink("/sys/kernel/uevent_seqnum", at("sysfs")).expect("a link");
        symlink("/dev/null", at("null")).expect("a link");
        symlink(at("file"), at("link")).expect("a link");
        std::fs::write(at("file"), "text").expect("a file");
        for (name, kind) in
            [("kmsg", "a file of the kernel's own"), ("sysfs", "a file of the kernel's own"), ("null", "a device")]
        {
            let error = read_regular(&at(name), 100).expect_err(name).to_string();
            assert!(error.starts_with(&format!("{}: {kind}", at(name).display())), "{error}");
        }
        for name in ["file", "link"] {
            assert_eq!(read_regular(&at(name), 100).expect(name).bytes.as_slice(), b"text");
        }
        let error = read_regular(&at("none"), 100).expect_err("none").to_string();
        assert_eq!(error, format!("{}: not found", at("none").display()));
    }
}
