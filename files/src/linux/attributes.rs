//! Who may do what with a file: owner, permission bits and extended attributes, among which are access control lists and
//! security labels. All are taken from and given to a descriptor, never a path.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};

use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr};
use rustix::io::Errno;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Readable and writable by the owner alone.
const PRIVATE_MODE: u32 = 0o600;
const MODE_BITS: u32 = 0o7777;
/// The kernel's own cap for a list of names, and for one value.
const MAX_XATTR_BYTES: usize = 64 * 1024;
/// Of one file together. An access control list with a hundred entries has under 1 KiB; a journal keeps those of three files.
const MAX_KEPT_BYTES: usize = 16 * 1024;
/// They speak of a file's bytes, so a copy on another file would make it unreadable. The kernel makes its own.
const OF_THE_BYTES: [&str; 2] = ["security.ima", "security.evm"];
/// Given to every new file by a security module, which restricts access further and never widens it.
const LABELS: &str = "security.";

const ACCESS_CONTROL_LIST: &str = "system.posix_acl_access";

/// Owner, permissions and extended attributes of a file, as a journal keeps them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Attributes {
    pub uid: u32,
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    extended: BTreeMap<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Value(Vec<u8>);

/// One change of a file's attributes.
#[derive(Debug, PartialEq, Eq)]
enum Step<'a> {
    Remove(String),
    Own(u32, u32),
    Set(&'a str, &'a Value),
    Mode(u32),
}

impl Attributes {
    /// For a file that nobody but its owner may read.
    pub(super) const fn private_to(uid: u32, gid: u32) -> Self {
        Self { uid, gid, mode: PRIVATE_MODE, extended: BTreeMap::new() }
    }

    /// Whether anybody but its owner may do anything with the file. Where there is an access control list, the group's bits are its
    /// mask: no entry gives more.
    pub const fn lets_others_in(&self) -> bool {
        self.mode & 0o077 != 0
    }

    /// For a file of this program alone.
    pub(crate) fn ours() -> Self {
        Self::private_to(rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
    }

    pub(crate) fn of(file: &File, metadata: &Metadata) -> io::Result<Self> {
        let (uid, gid, mode) = (metadata.uid(), metadata.gid(), metadata.mode() & MODE_BITS);
        let mut extended = BTreeMap::new();
        let mut value = vec![0; MAX_XATTR_BYTES];
        let mut kept = 0;
        for name in names(file)?.into_iter().filter(|name| !OF_THE_BYTES.contains(&name.as_str())) {
            let length = match fgetxattr(file, name.as_str(), value.as_mut_slice()) {
                Ok(length) => length,
                // It was removed between two looks, or is hidden from us.
                Err(Errno::NODATA) => continue,
                Err(error) => return Err(error.into()),
            };
            kept += name.len() + length;
            if kept > MAX_KEPT_BYTES {
                return Err(io::Error::other("it has more than 16 KiB of extended attributes; remove some"));
            }
            extended.insert(name, Value(value[..length].to_vec()));
        }
        Ok(Self { uid, gid, mode, extended })
    }

    /// Makes a file's attributes these, and looks whether they are.
    pub(crate) fn give_to(&self, file: &File) -> io::Result<()> {
        let now = Self::of(file, &file.metadata()?)?;
        self.steps_from(&now).iter().try_for_each(|step| step.take(file))?;
        let given = Self::of(file, &file.metadata()?)?;
        match given.differences(self).as_slice() {
            [] => Ok(()),
            differences => {
                Err(io::Error::other(format!("it came out with another {} than was given", differences.join(", "))))
            }
        }
    }

    /// What makes a private file's attributes these, in an order in which it is never open to more accounts than at the end.
    /// What the file has beside them goes first: a list inherited from its directory would open it as soon as its mode is
    /// widened. The owner is changed before the mode: changing it takes permission bits away. The mode is widened last: the
    /// group's bits are the mask of a list, and without that list they would open the file to the group.
    fn steps_from(&self, now: &Self) -> Vec<Step<'_>> {
        let extra = now.extended.keys().filter(|name| !self.extended.contains_key(*name));
        let mut steps: Vec<_> = extra.map(|name| Step::Remove(name.clone())).collect();
        if (now.uid, now.gid) != (self.uid, self.gid) {
            steps.push(Step::Own(self.uid, self.gid));
        }
        let missing = self.extended.iter().filter(|(name, value)| now.extended.get(*name) != Some(*value));
        steps.extend(missing.map(|(name, value)| Step::Set(name, value)));
        steps.push(Step::Mode(self.mode));
        steps
    }

    /// Whether the same accounts may do the same. Labels that only one of the two has are the security module's affair.
    pub fn is_same_access(&self, other: &Self) -> bool {
        self.differences(other).is_empty()
    }

    /// In which attributes the two differ, in words.
    fn differences(&self, other: &Self) -> Vec<String> {
        let own = [("owner", self.uid, other.uid), ("group", self.gid, other.gid), ("mode", self.mode, other.mode)];
        let own = own.into_iter().filter(|(_, ours, theirs)| ours != theirs).map(|(name, ..)| name.to_owned());
        let names: BTreeSet<_> = self.extended.keys().chain(other.extended.keys()).collect();
        let differs = |name: &&String| match (self.extended.get(*name), other.extended.get(*name)) {
            (Some(ours), Some(theirs)) => ours != theirs,
            (_, _) => !name.starts_with(LABELS),
        };
        let named = |name: &String| match name.as_str() {
            ACCESS_CONTROL_LIST => "access control list".to_owned(),
            name => format!("extended attribute {name:?}"),
        };
        own.chain(names.into_iter().filter(differs).map(named)).collect()
    }

    /// These, without the permission bits that `other` has not.
    ///
    /// # Errors
    /// What else differs, in words: then neither is the narrower.
    pub fn narrowed_to(&self, other: &Self) -> Result<Self, Vec<String>> {
        let differences = self.differences(&Self { mode: self.mode, ..other.clone() });
        if differences.is_empty() {
            Ok(Self { mode: self.mode & other.mode, ..self.clone() })
        } else {
            Err(differences)
        }
    }

    /// Whether taking permission bits away, or nothing, makes these `other`.
    pub fn narrows_to(&self, other: &Self) -> bool {
        self.narrowed_to(other).is_ok_and(|narrowed| narrowed.is_same_access(other))
    }
}

impl Step<'_> {
    fn take(&self, file: &File) -> io::Result<()> {
        match self {
            Self::Remove(name) => match fremovexattr(file, name.as_str()) {
                Ok(()) | Err(Errno::NODATA) => Ok(()),
                Err(_) if name.starts_with(LABELS) => Ok(()),
                Err(error) => Err(error.into()),
            },
            Self::Own(uid, gid) => fchown(file, Some(*uid), Some(*gid)),
            Self::Set(name, value) => match fsetxattr(file, *name, &value.0, XattrFlags::empty()) {
                Ok(()) => Ok(()),
                // A label on a file system, or under a kernel, that keeps none.
                Err(Errno::NOTSUP) if name.starts_with(LABELS) => Ok(()),
                Err(error) => Err(error.into()),
            },
            Self::Mode(mode) => file.set_permissions(Permissions::from_mode(*mode)),
        }
    }
}

fn names(file: &File) -> io::Result<Vec<String>> {
    let mut names = vec![0; MAX_XATTR_BYTES];
    let length = match flistxattr(file, names.as_mut_slice()) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => 0,
        Err(error) => return Err(error.into()),
    };
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let text = |name: &[u8]| String::from_utf8(name.to_vec());
    names.map(|name| text(name).map_err(|_| io::Error::other("an extended attribute's name is not UTF-8"))).collect()
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        hex::decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(uid: u32, mode: u32, extended: &[(&str, &[u8])]) -> Attributes {
        let extended = extended.iter().map(|(name, value)| ((*name).to_owned(), Value(value.to_vec()))).collect();
        Attributes { uid, gid: uid, mode, extended }
    }

    /// Holds A4: the group's bits open the file to the group until the list is there whose mask they are.
    #[test]
    fn a_files_mode_is_widened_when_it_has_its_owner_and_its_list_and_nothing_besides() {
        let wanted = attributes(7, 0o640, &[(ACCESS_CONTROL_LIST, b"list"), ("user.note", b"kept")]);
        let inherited =
            attributes(0, 0o600, &[(ACCESS_CONTROL_LIST, b"inherited"), ("system.posix_acl_default", b"extra")]);
        let value = |name: &str| &wanted.extended[name];
        assert_eq!(
            wanted.steps_from(&inherited),
            [
                Step::Remove("system.posix_acl_default".to_owned()),
                Step::Own(7, 7),
                Step::Set(ACCESS_CONTROL_LIST, value(ACCESS_CONTROL_LIST)),
                Step::Set("user.note", value("user.note")),
                Step::Mode(0o640),
            ]
        );
        assert_eq!(wanted.steps_from(&wanted), [Step::Mode(0o640)]);
    }

    /// Holds A4: fewer permission bits are the narrower, and whatever else differs is said by its name.
    #[test]
    fn what_keeps_one_file_from_being_narrowed_to_another_is_named() {
        let old = attributes(7, 0o640, &[(ACCESS_CONTROL_LIST, b"list"), ("security.selinux", b"label")]);
        let narrower = attributes(7, 0o600, &[(ACCESS_CONTROL_LIST, b"list")]);
        assert_eq!(old.narrowed_to(&narrower).map(|narrowed| narrowed.mode), Ok(0o600));
        let another = attributes(8, 0o600, &[("user.note", b"of a tool")]);
        let differences = ["owner", "group", "access control list", "extended attribute \"user.note\""];
        assert_eq!(old.narrowed_to(&another), Err(differences.map(str::to_owned).to_vec()));
    }
}
