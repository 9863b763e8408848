//! Who may do what with a file: its owner and its access control list. Both are taken from and given to a handle, never a path.

use std::fs::File;
use std::io;
use std::os::windows::io::AsHandle;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use windows_sys::Win32::Foundation::{ERROR_ACCESS_DENIED, ERROR_INVALID_OWNER, ERROR_PRIVILEGE_NOT_HELD};

use super::access::Access;
use super::read::Metadata;
use super::service_account::trusted_service;
use super::sys::{self, Descriptor};

/// Of one file. A list with a hundred entries has under 8 KiB; a journal keeps those of three files.
const MAX_KEPT_BYTES: usize = 16 * 1024;

/// Owner and access control list of a file, as a journal keeps them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Attributes {
    /// In Windows' security descriptor definition language.
    sddl: String,
}

impl Attributes {
    /// For a file of this program alone, and of administrators, whom nothing keeps out.
    pub(crate) fn ours() -> Self {
        Self::private_to(own_account())
    }

    /// For a file that nobody but its owner and administrators may read.
    pub(super) fn private_to(owner: &str) -> Self {
        Self { sddl: private(owner, "") }
    }

    /// For a directory of ours, and what others than this program make in it. Whichever of an administrator and the service makes it, the
    /// other uses it too.
    pub(super) fn of_our_directory() -> String {
        of_directory(own_account(), trusted_service())
    }

    pub(super) fn sddl(&self) -> &str {
        &self.sddl
    }

    pub(crate) fn of(file: &File, _: &Metadata) -> io::Result<Self> {
        Self::of_handle(file)
    }

    pub(super) fn of_handle(handle: &impl AsHandle) -> io::Result<Self> {
        let sddl = sys::security(handle.as_handle())?;
        if sddl.len() > MAX_KEPT_BYTES {
            return Err(io::Error::other("it has more than 16 KiB of access control entries; remove some"));
        }
        Ok(Self { sddl })
    }

    /// Whether anybody but its owner, administrators and this program may read or write the file; also where nobody can tell.
    pub fn lets_others_in(&self) -> bool {
        self.access().map_or(true, |access| {
            access.is_readable_by_others(own_account()) || access.is_writable_by_others(own_account())
        })
    }

    pub(super) fn access(&self) -> io::Result<Access> {
        Access::of(&self.sddl).ok_or_else(|| io::Error::other("its access control list cannot be read"))
    }

    /// Makes a file's attributes these, and looks whether they are. Nobody but us and administrators could open it before.
    pub(crate) fn give_to(&self, file: &File) -> io::Result<()> {
        let now = Self::of_handle(file)?;
        if now == *self {
            return Ok(());
        }
        let descriptor = Descriptor::of(&self.as_set())?;
        let is_owned = now.access()?.owner != self.access()?.owner;
        let set = || sys::set_security(file.as_handle(), &descriptor, is_owned);
        let lacks_right = |error: &io::Error| {
            [ERROR_INVALID_OWNER, ERROR_PRIVILEGE_NOT_HELD, ERROR_ACCESS_DENIED].iter().any(|it| sys::is(error, *it))
        };
        match set() {
            Err(error) if is_owned && lacks_right(&error) => sys::privileged(set)?,
            set => set?,
        }
        let given = Self::of_handle(file)?;
        match given.access()?.differences(&self.access()?).as_slice() {
            [] => Ok(()),
            differences => {
                Err(io::Error::other(format!("it came out with another {} than was given", differences.join(", "))))
            }
        }
    }

    /// Windows keeps the mark of a list that is inherited only where it is asked for.
    fn as_set(&self) -> String {
        let Some((owner, list)) = self.sddl.split_once("D:") else { return self.sddl.clone() };
        let (flags, entries) = list.split_at(list.find('(').unwrap_or(list.len()));
        if flags.contains("AI") && !flags.contains("AR") {
            return format!("{owner}D:{flags}AR{entries}");
        }
        self.sddl.clone()
    }

    /// Whether the same accounts may do the same.
    pub fn is_same_access(&self, other: &Self) -> bool {
        self.differences(other).is_empty()
    }

    fn differences(&self, other: &Self) -> Vec<String> {
        match (self.access(), other.access()) {
            _ if self == other => Vec::new(),
            (Ok(ours), Ok(theirs)) => ours.differences(&theirs),
            (_, _) => vec!["access control list".to_owned()],
        }
    }

    /// These, without the rights that `other` has not.
    ///
    /// # Errors
    /// What else differs, in words: then neither is the narrower.
    pub fn narrowed_to(&self, other: &Self) -> Result<Self, Vec<String>> {
        let differences = self.differences(other);
        if differences.is_empty() {
            return Ok(self.clone());
        }
        let access = |it: &Self| it.access().map_err(|_| differences.clone());
        let (ours, theirs) = (access(self)?, access(other)?);
        match ours.common(&theirs) {
            Some(common) if ours.owner == theirs.owner => Ok(Self { sddl: common.sddl() }),
            _ => Err(differences),
        }
    }

    /// Whether taking rights away, or nothing, makes these `other`.
    pub fn narrows_to(&self, other: &Self) -> bool {
        self.narrowed_to(other).is_ok_and(|narrowed| narrowed.is_same_access(other))
    }
}

fn private(owner: &str, inherited: &str) -> String {
    let entry = |account: &str| format!("(A;{inherited};FA;;;{account})");
    let own = if matches!(owner, "SY" | "BA") { String::new() } else { entry(owner) };
    format!("O:{owner}D:P{}{}{own}", entry("SY"), entry("BA"))
}

fn of_directory(owner: &str, service: Option<&str>) -> String {
    let service = service.filter(|service| *service != owner).map(|service| format!("(A;OICI;FA;;;{service})"));
    private(owner, "OICI") + &service.unwrap_or_default()
}

/// Whose what this program makes is, as a descriptor names them: a well-known account has a name of two letters there. A program that
/// cannot ask is nobody, and no administrator.
pub(super) fn own_account() -> &'static str {
    static OWN: OnceLock<String> = OnceLock::new();
    const NOBODY: &str = "S-1-0-0";
    OWN.get_or_init(|| {
        let own = sys::own_sid().and_then(|sid| as_written(&sid)).unwrap_or_else(|_| NOBODY.to_owned());
        owner_of_what_it_makes(own, sys::acts_as_administrator().unwrap_or(false))
    })
}

/// What an administrator has made belongs to all of them: what were the person's by name could be changed by every program that the
/// person runs without an administrator's rights, and the service, which is SYSTEM, would take it for a stranger's.
fn owner_of_what_it_makes(account: String, acts_as_administrator: bool) -> String {
    if acts_as_administrator || account == "SY" { "BA".to_owned() } else { account }
}

/// A security identifier as descriptors name it.
pub(super) fn as_written(sid: &str) -> io::Result<String> {
    let sddl = Descriptor::of(&format!("O:{sid}"))?.sddl()?;
    Access::of(&sddl).map(|access| access.owner).ok_or_else(|| io::Error::other("an account cannot be written down"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(sddl: &str) -> Attributes {
        Attributes { sddl: sddl.to_owned() }
    }

    #[test]
    fn a_journal_keeps_a_descriptor_as_its_text() {
        let kept = serde_json::to_string(&attributes("O:BAD:P")).expect("JSON");
        assert_eq!(kept, r#"{"sddl":"O:BAD:P"}"#);
        assert_eq!(serde_json::from_str::<Attributes>(&kept).expect("read"), attributes("O:BAD:P"));
        assert!(serde_json::from_str::<Attributes>(r#"{"sddl":"O:BA","mode":0}"#).is_err());
    }

    #[test]
    fn a_list_that_was_inherited_is_asked_to_keep_that_mark() {
        assert_eq!(attributes("O:BAD:AI(A;ID;FA;;;SY)").as_set(), "O:BAD:AIAR(A;ID;FA;;;SY)");
        assert_eq!(attributes("O:BAD:P(A;;FA;;;SY)").as_set(), "O:BAD:P(A;;FA;;;SY)");
    }

    /// Holds A4: fewer rights are the narrower, and whatever else differs is said by its name.
    #[test]
    fn what_keeps_one_file_from_being_narrowed_to_another_is_named() {
        let old = attributes("O:BAD:(A;;FA;;;SY)(A;;FR;;;BU)");
        let narrower = attributes("O:BAD:(A;;FA;;;SY)");
        assert!(old.narrows_to(&narrower) && !narrower.narrows_to(&old) && old.narrows_to(&old));
        let another = attributes("O:SYD:(A;;FA;;;SY)");
        let differences = ["owner", "access control list"].map(str::to_owned).to_vec();
        assert_eq!(old.narrowed_to(&another), Err(differences));
    }

    /// Wine has no account that is none: docs/windows.md.
    #[test]
    fn what_an_administrator_makes_is_administrators_and_nobodys_by_name() {
        const PERSON: &str = "S-1-5-21-1-2-3-1001";
        const OF_ADMINISTRATORS: &str = "O:BAD:P(A;;FA;;;SY)(A;;FA;;;BA)";
        for (account, acts_as_administrator, made) in [
            (PERSON, true, OF_ADMINISTRATORS),
            ("SY", true, OF_ADMINISTRATORS),
            ("SY", false, OF_ADMINISTRATORS),
            (PERSON, false, "O:S-1-5-21-1-2-3-1001D:P(A;;FA;;;SY)(A;;FA;;;BA)(A;;FA;;;S-1-5-21-1-2-3-1001)"),
        ] {
            assert_eq!(private(&owner_of_what_it_makes(account.to_owned(), acts_as_administrator), ""), made);
        }
        // What such a person has made before is not theirs any more to say.
        let made_before = Access::of("O:S-1-5-21-1-2-3-1001D:P(A;;FA;;;SY)(A;;FA;;;BA)(A;;FA;;;S-1-5-21-1-2-3-1001)");
        let made_before = made_before.expect("a list");
        assert!(made_before.is_writable_by_others(&owner_of_what_it_makes(PERSON.to_owned(), true)));
        assert!(!made_before.is_writable_by_others(&owner_of_what_it_makes(PERSON.to_owned(), false)));
    }

    #[test]
    fn a_private_directory_is_its_services_too_where_that_has_an_account_of_its_own() {
        const SERVICE: &str = "S-1-5-80-1-2-3-4-5";
        let made = |owner| of_directory(owner, Some(SERVICE));
        let list = "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;S-1-5-80-1-2-3-4-5)";
        assert_eq!(made("BA"), format!("O:BA{list}"));
        assert_eq!(made(SERVICE), format!("O:{SERVICE}{list}"));
        assert_eq!(of_directory("BA", None), "O:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)");
    }

    #[test]
    fn what_is_ours_is_open_to_us_and_administrators_alone() {
        let access = Attributes::ours().access().expect("a list");
        let own = own_account();
        assert_eq!(access.owner, own);
        assert!(!access.is_readable_by_others(own) && !access.is_writable_by_others(own));
    }
}
