//! Whether a reboot is pending: Windows notes it in its registry, each part of it in a place of its own.

use std::io;

use winreg::RegKey;
use winreg::enums::{HKEY_LOCAL_MACHINE, KEY_QUERY_VALUE};

use super::super::{PendingReboots, RebootError, RebootReason};
use super::sys;

/// Each of these two is there while a reboot is pending.
const COMPONENT_SERVICING: &str = r"SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending";
const WINDOWS_UPDATE: &str = r"SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired";
/// Always there; a value of it lists what is to be renamed or removed.
const SESSION_MANAGER: &str = r"SYSTEM\CurrentControlSet\Control\Session Manager";
const RENAMES: &str = "PendingFileRenameOperations";
/// The bytes of a list without an entry: its end, and that of a text before it.
const EMPTY_LIST: u32 = 4;

/// Blocks.
pub fn pending_reboots() -> PendingReboots {
    look("HKLM", &RegKey::predef(HKEY_LOCAL_MACHINE))
}

fn look(name: &str, root: &RegKey) -> PendingReboots {
    let told = [
        (
            RebootReason::ComponentServicing,
            COMPONENT_SERVICING,
            key(root, COMPONENT_SERVICING).map(|key| key.is_some()),
        ),
        (RebootReason::FileRename, SESSION_MANAGER, has_renames(root)),
        (RebootReason::WindowsUpdate, WINDOWS_UPDATE, key(root, WINDOWS_UPDATE).map(|key| key.is_some())),
    ];
    let failed = |path| move |source| RebootError { place: format!(r"{name}\{path}"), source };
    told.into_iter().map(|(reason, path, is_pending)| (reason, is_pending.map_err(failed(path)))).collect()
}

fn key(root: &RegKey, path: &str) -> io::Result<Option<RegKey>> {
    match root.open_subkey_with_flags(path, KEY_QUERY_VALUE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some),
    }
}

/// A value that lists nothing is left there by some programs. What it lists is not read: it may be of any length.
fn has_renames(root: &RegKey) -> io::Result<bool> {
    let Some(key) = key(root, SESSION_MANAGER)? else { return Ok(false) };
    Ok(sys::value_length(&key, RENAMES)?.is_some_and(|length| length > EMPTY_LIST))
}

#[cfg(test)]
mod tests {
    use winreg::RegValue;
    use winreg::enums::{HKEY_CURRENT_USER, KEY_SET_VALUE, REG_MULTI_SZ};

    use super::*;

    /// A place of the registry that is treated as the whole of it.
    struct Registry {
        path: String,
        root: RegKey,
    }

    impl Registry {
        fn new(name: &str) -> Self {
            let path = format!(r"Software\kagiban tests\{name} {}", std::process::id());
            let (root, _) = RegKey::predef(HKEY_CURRENT_USER).create_subkey(&path).expect("a key");
            Self { path, root }
        }

        fn pending(&self) -> Vec<&'static str> {
            let told = look("HKLM", &self.root);
            assert_eq!(told.len(), 3, "{told:?}");
            let is_pending = told.into_iter().map(|(reason, is_pending)| (reason, is_pending.expect("it can be told")));
            is_pending.filter(|(_, is_pending)| *is_pending).map(|(reason, _)| reason.as_str()).collect()
        }
    }

    impl Drop for Registry {
        fn drop(&mut self) {
            let _ = RegKey::predef(HKEY_CURRENT_USER).delete_subkey_all(&self.path);
        }
    }

    #[test]
    fn each_key_that_is_there_is_a_reason_of_its_own_until_it_is_gone() {
        let registry = Registry::new("keys");
        assert!(registry.pending().is_empty());
        for (path, reason) in [(COMPONENT_SERVICING, "component_servicing"), (WINDOWS_UPDATE, "windows_update")] {
            registry.root.create_subkey(path).expect("a key");
            assert_eq!(registry.pending(), [reason]);
            registry.root.delete_subkey(path).expect("it can be removed");
            assert!(registry.pending().is_empty(), "{path}");
        }
    }

    #[test]
    fn renames_are_pending_when_some_are_listed_and_an_empty_list_lists_none() {
        let registry = Registry::new("renames");
        let (key, _) = registry.root.create_subkey(SESSION_MANAGER).expect("a key");
        assert!(registry.pending().is_empty(), "there is no list");
        key.set_value(RENAMES, &Vec::<String>::new()).expect("a value");
        assert!(registry.pending().is_empty(), "an empty list");
        // The second text of each pair is the new name; it is empty for what is to be removed.
        let remove = [r"\??\C:\a", ""].map(|text| text.encode_utf16().chain([0]).collect::<Vec<_>>()).concat();
        let bytes = remove.into_iter().chain([0]).flat_map(u16::to_le_bytes).collect::<Vec<_>>();
        let list = RegValue { bytes: bytes.into(), vtype: REG_MULTI_SZ };
        key.set_raw_value(RENAMES, &list).expect("a value");
        assert_eq!(registry.pending(), ["file_rename"]);
        // Longer than anybody reads: only its length is asked for.
        let long = RegValue { bytes: vec![1; 4 << 20].into(), vtype: REG_MULTI_SZ };
        key.set_raw_value(RENAMES, &long).expect("a value");
        assert_eq!(registry.pending(), ["file_rename"]);
    }

    #[test]
    fn the_machine_itself_is_asked_for_every_reason_that_windows_has() {
        let told = pending_reboots();
        let reasons: Vec<_> = told.iter().map(|(reason, _)| reason.as_str()).collect();
        assert_eq!(reasons, ["component_servicing", "file_rename", "windows_update"]);
        assert!(told.iter().all(|(_, is_pending)| is_pending.is_ok()), "{told:?}");
    }

    #[test]
    fn a_list_that_may_not_be_read_is_no_empty_one() {
        let registry = Registry::new("rights");
        registry.root.create_subkey(SESSION_MANAGER).expect("a key");
        let key = registry.root.open_subkey_with_flags(SESSION_MANAGER, KEY_SET_VALUE).expect("a key");
        let error = sys::value_length(&key, RENAMES).expect_err("it was opened to write alone");
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
    }
}
