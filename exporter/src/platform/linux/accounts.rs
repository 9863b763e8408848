//! Which account is which, and whether a file is an account's own.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::lgetxattr;
use rustix::io::Errno;

/// The accounts that the packages' units run the exporter as.
pub const EXPORTERS: &[&str] = &["root", "kagiban"];

const ROOT: u32 = 0;
/// `(uid_t) -1`, which no process has.
const NOBODY: u32 = u32::MAX;
/// Accounts that a directory service knows do not stand in this file, and are named by number.
const PASSWD: &str = "/etc/passwd";
const MAX_PASSWD_BYTES: u64 = 4 * 1024 * 1024;
/// A process's status has under 2 KiB; one with thousands of groups under 64.
const MAX_STATUS_BYTES: u64 = 64 * 1024;
/// More processes than a host with one UPS agent has.
const MAX_PROCESSES: usize = 65_536;
/// A list with a hundred entries has under 1 KiB.
const MAX_ACL_BYTES: usize = 64 * 1024;

/// An account of this host, by its number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccountId(u32);

impl AccountId {
    pub(super) const fn of(number: u32) -> Self {
        Self(number)
    }

    /// Whether it may do everything anyway.
    pub const fn is_administrator(&self) -> bool {
        self.0 == ROOT
    }

    /// Whether it is the account that a configuration names.
    pub fn acts_as(&self, named: &Self) -> bool {
        self == named
    }

    /// The account that is written so; one that nobody has where a name has to be looked for.
    #[must_use]
    pub fn as_written(text: &str) -> Self {
        Self(text.parse().unwrap_or(NOBODY))
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The account of this host that is written as its name or as the number itself; none where there is no such account.
///
/// # Errors
/// When that cannot be read now: for want of a descriptor, perhaps.
pub fn account_id(name: &str) -> io::Result<Option<AccountId>> {
    if let Ok(id) = name.parse() {
        return Ok(Some(AccountId(id)));
    }
    let text = passwd()?;
    let fields = text.lines().map(|line| line.split(':')).find(|fields| fields.clone().next() == Some(name));
    Ok(fields.and_then(|mut fields| fields.nth(2)?.parse().ok()).map(AccountId))
}

/// The account that this process acts as, by its name where /etc/passwd has one.
pub fn own_account() -> String {
    account_called(&AccountId(rustix::process::geteuid().as_raw()))
}

/// An account by its name where /etc/passwd has one, and by its number where not.
pub fn account_called(id: &AccountId) -> String {
    account_name(id.0).unwrap_or_else(|| format!("account {id}"))
}

fn account_name(id: u32) -> Option<String> {
    let text = passwd().ok()?;
    let line = text.lines().find(|line| line.split(':').nth(2).and_then(|it| it.parse().ok()) == Some(id))?;
    line.split(':').next().map(str::to_owned)
}

/// Empty where this host has none.
fn passwd() -> io::Result<String> {
    let mut text = String::new();
    match fs::File::open(PASSWD) {
        Ok(file) => _ = file.take(MAX_PASSWD_BYTES).read_to_string(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(text)
}

/// Whether an account may read a file by a right of its own: as root, as the file's owner, as a member of its group, or by its
/// access control list. That everybody may read a file makes it nobody's.
///
/// The account's groups are those of its processes: a file does not tell in which groups a service was started.
///
/// # Errors
/// When the file cannot be looked at.
pub fn may_read_by_right(path: &Path, &AccountId(account): &AccountId) -> io::Result<bool> {
    let metadata = fs::symlink_metadata(path)?;
    if account == ROOT || account == metadata.uid() {
        return Ok(true);
    }
    const GROUP_READ: u32 = 0o040;
    // With an access control list, the group's bits are its mask: without them no entry gives anything.
    if metadata.mode() & GROUP_READ == 0 {
        return Ok(false);
    }
    let rights = match Rights::of(path)? {
        Some(rights) => rights,
        None => Rights { accounts: BTreeSet::new(), groups: BTreeSet::from([metadata.gid()]) },
    };
    Ok(rights.accounts.contains(&account)
        || (!rights.groups.is_empty() && !groups_of(account).is_disjoint(&rights.groups)))
}

/// Who may read by an access control list.
#[derive(Debug, Default, PartialEq, Eq)]
struct Rights {
    accounts: BTreeSet<u32>,
    groups: BTreeSet<u32>,
}

impl Rights {
    /// None when the file has no list.
    fn of(path: &Path) -> io::Result<Option<Self>> {
        let mut list = vec![0; MAX_ACL_BYTES];
        match lgetxattr(path, "system.posix_acl_access", list.as_mut_slice()) {
            Ok(length) => Ok(Some(Self::parse(&list[..length], fs::symlink_metadata(path)?.gid()))),
            Err(Errno::NODATA | Errno::NOTSUP) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// `struct posix_acl_xattr_header` and `_entry` of the kernel, little-endian: a version, then tag, permissions and id.
    fn parse(list: &[u8], owning_group: u32) -> Self {
        const HEADER: usize = 4;
        const USER: u16 = 0x02;
        const GROUP_OBJ: u16 = 0x04;
        const GROUP: u16 = 0x08;
        const READ: u16 = 4;
        let mut rights = Self::default();
        for entry in list.get(HEADER..).unwrap_or_default().chunks_exact(8) {
            let (tag, permissions) =
                (u16::from_le_bytes([entry[0], entry[1]]), u16::from_le_bytes([entry[2], entry[3]]));
            let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
            if permissions & READ == 0 {
                continue;
            }
            match tag {
                USER => _ = rights.accounts.insert(id),
                GROUP_OBJ => _ = rights.groups.insert(owning_group),
                GROUP => _ = rights.groups.insert(id),
                _ => {}
            }
        }
        rights
    }
}

/// The groups of the processes that run under an account.
fn groups_of(account: u32) -> BTreeSet<u32> {
    let Ok(processes) = fs::read_dir("/proc") else { return BTreeSet::new() };
    let is_process =
        |name: &std::ffi::OsStr| name.to_str().is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit()));
    let processes = processes.filter_map(Result::ok).filter(|entry| is_process(&entry.file_name())).take(MAX_PROCESSES);
    processes.filter_map(|entry| status_of(&entry.path())).flat_map(|status| groups(&status, account)).collect()
}

/// What is told of the process that has this directory in /proc.
pub(super) fn status_of(process: &Path) -> Option<String> {
    let mut text = String::new();
    fs::File::open(process.join("status")).ok()?.take(MAX_STATUS_BYTES).read_to_string(&mut text).ok()?;
    Some(text)
}

/// The numbers of a line of it: of `Uid:` and `Gid:` the real one, the effective one, and two more.
pub(super) fn ids(status: &str, key: &str) -> Vec<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    line.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}

/// The groups that a process's status tells, if it is the account's. Its real ids count: a program of another group that
/// anybody may run (setgid) makes nobody a member.
fn groups(status: &str, account: u32) -> BTreeSet<u32> {
    if ids(status, "Uid:").first() != Some(&account) {
        return BTreeSet::new();
    }
    ids(status, "Gid:").into_iter().take(1).chain(ids(status, "Groups:")).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn an_account_is_known_by_name_and_by_number() {
        assert_eq!(account_id("root").expect("read"), Some(AccountId(0)));
        assert_eq!(account_id("998").expect("read"), Some(AccountId(998)));
        assert_eq!(account_id("no such account").expect("read"), None);
    }

    #[test]
    fn that_everybody_may_read_a_file_gives_nobody_a_right_of_its_own() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("key");
        fs::write(&path, b"key").expect("write");
        let own = AccountId(fs::metadata(&path).expect("metadata").uid());
        for mode in [0o600, 0o644, 0o604] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
            let may_read = |account| may_read_by_right(&path, account).expect("a file");
            assert!(may_read(&own) && may_read(&AccountId(ROOT)));
            // No process runs under it, so that it is in no group.
            assert!(!may_read(&AccountId(4_000_000_000)), "{mode:o}");
        }
        assert!(may_read_by_right(&directory.path().join("none"), &AccountId(1)).is_err());
    }

    #[test]
    fn an_access_control_list_gives_what_its_entries_say() {
        let entry = |tag: u16, permissions: u16, id: u32| {
            [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
        };
        let list = [
            vec![2, 0, 0, 0],
            entry(0x01, 6, u32::MAX),
            entry(0x02, 4, 33),
            entry(0x02, 2, 34),
            entry(0x04, 4, u32::MAX),
            entry(0x08, 4, 50),
            entry(0x10, 4, u32::MAX),
            entry(0x20, 4, u32::MAX),
        ];
        let rights = Rights::parse(&list.concat(), 7);
        assert_eq!(rights, Rights { accounts: BTreeSet::from([33]), groups: BTreeSet::from([7, 50]) });
        assert_eq!(Rights::parse(&[2, 0], 7), Rights::default());
    }

    #[test]
    fn the_groups_of_an_account_are_those_of_its_processes() {
        let status = "Name:\tx\nUid:\t33\t0\t0\t0\nGid:\t5\t6\t6\t6\nGroups:\t5 50 \n";
        assert_eq!(groups(status, 33), BTreeSet::from([5, 50]));
        assert_eq!(groups(status, 0), BTreeSet::new());
        assert!(groups_of(rustix::process::geteuid().as_raw()).contains(&rustix::process::getegid().as_raw()));
    }
}
