//! What a security descriptor means: who owns a file, and who may do what with it. It is read as Windows writes it down (SDDL), and
//! two are compared by what they let whom do.

use std::collections::BTreeMap;
use std::fmt::Write;

use windows_sys::Win32::Storage::FileSystem::{
    DELETE, FILE_ADD_FILE, FILE_ADD_SUBDIRECTORY, FILE_ALL_ACCESS, FILE_APPEND_DATA, FILE_DELETE_CHILD,
    FILE_GENERIC_EXECUTE, FILE_GENERIC_READ, FILE_GENERIC_WRITE, FILE_READ_DATA, FILE_WRITE_DATA, WRITE_DAC,
    WRITE_OWNER,
};

use super::service_account::trusted_service;

/// SYSTEM and Administrators, as SDDL names them. Each of the two may act as the other: SYSTEM is a member of Administrators, who may
/// run a service as SYSTEM.
const ADMINISTRATORS: [&str; 2] = ["SY", "BA"];
/// It owns what belongs to Windows, and only Windows acts as it.
const TRUSTED_INSTALLER: &str = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464";
/// Wine's only account, which acts as SYSTEM and as Administrators there. Its domain is numbered 0, which no domain of Windows is.
const OF_WINE: &str = "S-1-5-21-0-0-0-1000";
/// They stand for whoever owns or makes a file below, and are nobody.
const PLACEHOLDERS: [&str; 2] = ["CO", "CG"];
const EVERYBODY: &str = "WD";
/// Of an entry that is inherited only, and of no effect here.
const INHERIT_ONLY: &str = "IO";

/// The kinds that deny with a condition, or of an object: XD and OD.
const DENIES_OTHERWISE: [&str; 2] = ["XD;", "OD;"];

/// They let their holder have any other.
const RULES: u32 = WRITE_DAC | WRITE_OWNER;
const READS: u32 = FILE_READ_DATA | RULES;
const WRITES: u32 = FILE_WRITE_DATA | FILE_APPEND_DATA | FILE_DELETE_CHILD | DELETE | RULES;
/// Who has one of them in a directory may give any name there to something else.
const CHANGES_NAMES: u32 = FILE_DELETE_CHILD | RULES;
/// Who has one of them of a directory may give its own name to something else, too.
const EXCHANGES: u32 = CHANGES_NAMES | DELETE;
/// Who has one of them may add names, and change their own alone.
const ADDS_NAMES: u32 = FILE_ADD_FILE | FILE_ADD_SUBDIRECTORY;

/// SDDL's names of rights.
const RIGHTS: [(&str, u32); 24] = [
    ("GA", FILE_ALL_ACCESS),
    ("GR", FILE_GENERIC_READ),
    ("GW", FILE_GENERIC_WRITE),
    ("GX", FILE_GENERIC_EXECUTE),
    ("FA", FILE_ALL_ACCESS),
    ("FR", FILE_GENERIC_READ),
    ("FW", FILE_GENERIC_WRITE),
    ("FX", FILE_GENERIC_EXECUTE),
    ("RC", 0x2_0000),
    ("SD", 0x1_0000),
    ("WD", 0x4_0000),
    ("WO", 0x8_0000),
    ("CC", 0x1),
    ("DC", 0x2),
    ("LC", 0x4),
    ("SW", 0x8),
    ("RP", 0x10),
    ("WP", 0x20),
    ("DT", 0x40),
    ("LO", 0x80),
    ("CR", 0x100),
    ("KA", 0xf_003f),
    ("KR", 0x2_0019),
    ("KW", 0x2_0006),
];

/// The generic rights' own bits, and what they stand for with files.
const GENERIC: [(u32, u32); 4] = [
    (0x1000_0000, FILE_ALL_ACCESS),
    (0x2000_0000, FILE_GENERIC_EXECUTE),
    (0x4000_0000, FILE_GENERIC_WRITE),
    (0x8000_0000, FILE_GENERIC_READ),
];

/// Of one file or directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) owner: String,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    kind: Kind,
    rights: u32,
    account: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Allow,
    Deny,
    /// With a condition, or of an application: its whole text.
    Other(String),
}

/// Who may give the names in a directory to something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Writers {
    Administrators,
    /// Others may add names, and change their own alone, as in `ProgramData`.
    EachTheirOwn,
    /// It belongs to this account, which is no administrator.
    Owner(String),
    Others,
}

impl Access {
    /// None for what is no descriptor with an owner.
    pub(super) fn of(sddl: &str) -> Option<Self> {
        let (mut owner, mut entries) = (None, None);
        let mut rest = sddl;
        while let Some((tag, after)) = rest.split_once(':') {
            // Before the next colon stands the next tag, of one letter; none within an entry counts.
            let end = end_of(after);
            let (value, next) = after.split_at(end);
            match tag {
                "O" => owner = Some(account_of(value)),
                "D" => entries = Some(entries_of(value)?),
                _ => {}
            }
            rest = next;
        }
        // Without a list there is nobody who may not.
        let everything = || vec![Entry { kind: Kind::Allow, rights: FILE_ALL_ACCESS, account: EVERYBODY.to_owned() }];
        Some(Self { owner: owner.filter(|it| !it.is_empty())?, entries: entries.unwrap_or_else(everything) })
    }

    /// In which the two differ, in words.
    pub(super) fn differences(&self, other: &Self) -> Vec<String> {
        let owner = (self.owner != other.owner).then(|| "owner".to_owned());
        owner.into_iter().chain((self.meaning() != other.meaning()).then(|| "access control list".to_owned())).collect()
    }

    /// The entries in their order; within a run of one kind the order says nothing.
    fn meaning(&self) -> Vec<(Kind, BTreeMap<&str, u32>)> {
        let mut runs: Vec<(Kind, BTreeMap<&str, u32>)> = Vec::new();
        for entry in &self.entries {
            let account =
                if ADMINISTRATORS.contains(&entry.account.as_str()) { ADMINISTRATORS[0] } else { &entry.account };
            match runs.last_mut() {
                Some((kind, run)) if *kind == entry.kind => *run.entry(account).or_default() |= entry.rights,
                _ => runs.push((entry.kind.clone(), BTreeMap::from([(account, entry.rights)]))),
            }
        }
        runs
    }

    /// What both let do, as a list of its own: where all entries of both allow something.
    pub(super) fn common(&self, other: &Self) -> Option<Self> {
        let rights = |access: &Self| -> Option<BTreeMap<String, u32>> {
            access.entries.iter().try_fold(BTreeMap::new(), |mut rights, entry| {
                *rights.entry(entry.account.clone()).or_default() |= entry.rights;
                (entry.kind == Kind::Allow).then_some(rights)
            })
        };
        let (ours, theirs) = (rights(self)?, rights(other)?);
        let both = ours.into_iter().map(|(account, rights)| {
            let rights = rights & theirs.get(&account).copied().unwrap_or_default();
            Entry { kind: Kind::Allow, rights, account }
        });
        Some(Self { owner: self.owner.clone(), entries: both.filter(|entry| entry.rights != 0).collect() })
    }

    /// Only of a list whose entries all allow something. It inherits nothing.
    pub(super) fn sddl(&self) -> String {
        let mut text = format!("O:{}D:P", self.owner);
        for Entry { rights, account, .. } in &self.entries {
            let _ = write!(text, "(A;;{rights:#x};;;{account})");
        }
        text
    }

    /// `own` is the account that this program runs under, an administrator too.
    pub(super) fn writers(&self, own: &str) -> Writers {
        if !is_administrator(&self.owner, own) {
            Writers::Owner(self.owner.clone())
        } else if self.others_may(CHANGES_NAMES, own) {
            Writers::Others
        } else if self.others_may(ADDS_NAMES, own) {
            Writers::EachTheirOwn
        } else {
            Writers::Administrators
        }
    }

    /// By whom else than an administrator a file, or what lies in a directory, could be exchanged or written; in words, after its path.
    pub(super) fn writable_by(&self, own: &str) -> Option<String> {
        self.in_the_hands_of(WRITES, own)
    }

    /// The same of a directory on the way to something: who may only add names there exchanges nothing.
    pub(super) fn exchangeable_by(&self, is_volume: bool, own: &str) -> Option<String> {
        // A volume has no name that could be given to another.
        self.in_the_hands_of(if is_volume { CHANGES_NAMES } else { EXCHANGES }, own)
    }

    fn in_the_hands_of(&self, rights: u32, own: &str) -> Option<String> {
        if !is_administrator(&self.owner, own) {
            return Some(format!("belongs to {}", shown(&self.owner)));
        }
        let other = self.entries.iter().find(|entry| entry.lets_others(rights, own))?;
        Some(format!("may be changed by {}", shown(&other.account)))
    }

    /// Whether somebody else than an administrator may write it, or become able to.
    pub(super) fn is_writable_by_others(&self, own: &str) -> bool {
        !is_administrator(&self.owner, own) || self.others_may(WRITES, own)
    }

    /// Whether somebody else than an administrator and its owner may read it, or become able to.
    pub(super) fn is_readable_by_others(&self, own: &str) -> bool {
        let others = self.entries.iter().filter(|entry| entry.account != self.owner);
        others.into_iter().any(|entry| entry.lets_others(READS, own))
    }

    /// Whether an account may read it, or let itself: as its owner, or by an entry for the account or one of `groups` whose rights it has
    /// (`true`). An entry that denies one of them reading, whatever its place and its condition, leaves the owner alone.
    pub(super) fn lets_read(&self, account: &str, groups: &BTreeMap<String, bool>) -> bool {
        let has_rights_of = |other: &str| other == account || groups.get(other) == Some(&true);
        let is_member = |other: &str| other == account || other == EVERYBODY || groups.contains_key(other);
        let denies = |entry: &Entry| {
            entry.rights & FILE_READ_DATA != 0
                && match &entry.kind {
                    Kind::Allow => false,
                    Kind::Deny => is_member(&entry.account),
                    // With its condition, the account of such an entry is not told apart.
                    Kind::Other(text) => DENIES_OTHERWISE.iter().any(|kind| text.starts_with(kind)),
                }
        };
        let allows =
            |entry: &Entry| entry.kind == Kind::Allow && entry.rights & READS != 0 && has_rights_of(&entry.account);
        has_rights_of(&self.owner) || (self.entries.iter().any(allows) && !self.entries.iter().any(denies))
    }

    /// What is denied to somebody counts for nothing here: an account may be in a group that is not named.
    fn others_may(&self, rights: u32, own: &str) -> bool {
        self.entries.iter().any(|entry| entry.lets_others(rights, own))
    }
}

impl Entry {
    fn lets_others(&self, rights: u32, own: &str) -> bool {
        self.kind != Kind::Deny && self.rights & rights != 0 && !is_administrator(&self.account, own)
    }
}

/// Whether a directory of this owner is the system's or its administrators', whoever runs this program.
pub(crate) fn is_administrators(owner: &str) -> bool {
    owner == TRUSTED_INSTALLER || ADMINISTRATORS.contains(&owner)
}

pub(super) fn is_administrator(account: &str, own: &str) -> bool {
    is_trusted(account, own, trusted_service())
}

fn is_trusted(account: &str, own: &str, service: Option<&str>) -> bool {
    account == own || is_administrators(account) || service.is_some_and(|service| account == service)
}

/// Some are in every list. Of an entry with a condition the account stands before it.
fn shown(account: &str) -> String {
    let account = account.split(';').next().unwrap_or_default();
    match account {
        "WD" => "Everyone".to_owned(),
        "AU" => "Authenticated Users".to_owned(),
        "BU" => "Users".to_owned(),
        "IU" => "INTERACTIVE".to_owned(),
        other => format!("the account {other}"),
    }
}

/// Where the value of a tag ends: before the letter and colon of the next, outside of entries.
fn end_of(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ':' if depth == 0 => return at.saturating_sub(1),
            _ => {}
        }
    }
    text.len()
}

fn entries_of(list: &str) -> Option<Vec<Entry>> {
    // A text in a condition may have parentheses of its own, which would hide entries. What cannot be read is not taken for safe.
    if list.contains('"') {
        return None;
    }
    if list.contains("NO_ACCESS_CONTROL") {
        return Some(vec![Entry { kind: Kind::Allow, rights: FILE_ALL_ACCESS, account: EVERYBODY.to_owned() }]);
    }
    let (mut entries, mut start, mut depth) = (Vec::new(), 0, 0_usize);
    for (at, character) in list.char_indices() {
        match character {
            '(' => {
                depth += 1;
                start = if depth == 1 { at + 1 } else { start };
            }
            ')' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    entries.extend(Entry::of(&list[start..at])?);
                }
            }
            _ => {}
        }
    }
    (depth == 0).then_some(entries)
}

impl Entry {
    /// None inside for what has no effect on the file itself.
    #[expect(clippy::option_option, reason = "an entry that cannot be read is not one without effect")]
    fn of(text: &str) -> Option<Option<Self>> {
        let fields: Vec<_> = text.splitn(6, ';').collect();
        let [kind, flags, rights, _, _, account] = fields[..] else { return None };
        let rights = rights_of(rights)?;
        let is_inherited_only = flags.as_bytes().chunks(2).any(|flag| flag == INHERIT_ONLY.as_bytes());
        if is_inherited_only || PLACEHOLDERS.contains(&account) {
            return Some(None);
        }
        let kind = match kind {
            "A" => Kind::Allow,
            "D" => Kind::Deny,
            _ => Kind::Other(text.to_owned()),
        };
        Some(Some(Self { kind, rights, account: account_of(account) }))
    }
}

fn account_of(written: &str) -> String {
    let account = if written == OF_WINE { ADMINISTRATORS[1] } else { written };
    account.to_owned()
}

fn rights_of(text: &str) -> Option<u32> {
    let bits = if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        u32::from_str_radix(digits, 16).ok()?
    } else if text.starts_with(|first: char| first.is_ascii_digit()) {
        text.parse().ok()?
    } else {
        let mut bits = 0;
        for name in text.as_bytes().chunks(2) {
            bits |= RIGHTS.iter().find(|(known, _)| known.as_bytes() == name)?.1;
        }
        bits
    };
    let generic = GENERIC.iter().filter(|(bit, _)| bits & bit != 0);
    Some(generic.fold(bits & 0x0fff_ffff, |bits, (_, stands_for)| bits | stands_for))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "S-1-5-21-1-2-3-1000";

    fn access(sddl: &str) -> Access {
        Access::of(sddl).unwrap_or_else(|| panic!("{sddl}"))
    }

    #[test]
    fn a_descriptor_is_read_with_its_owner_and_its_entries() {
        let read =
            access("O:BAG:DUD:PAI(D;;WD;;;BG)(A;OICIIO;GA;;;CO)(A;ID;0x1200a9;;;BU)(XA;;FR;;;BU;(@USER.a == (1)))S:AI");
        assert_eq!(read.owner, "BA");
        let found: Vec<_> = read.entries.iter().map(|it| (it.account.as_str(), it.rights)).collect();
        assert_eq!(found, [("BG", WRITE_DAC), ("BU", 0x12_00a9), ("BU;(@USER.a == (1))", FILE_GENERIC_READ)]);
        for none in ["", "D:P", "O:BAD:(A;;ZZ;;;BU)", "O:BAD:(A;;FA;;;BU", "O:BAD:(A;;FA)"] {
            assert_eq!(Access::of(none), None, "{none}");
        }
    }

    #[test]
    fn two_lists_are_the_same_where_the_same_accounts_may_do_the_same() {
        for (one, other, is_same) in [
            ("O:BAD:(A;;FR;;;BU)(A;;FA;;;SY)", "O:BAD:PAI(A;ID;FA;;;SY)(A;ID;0x120089;;;BU)", true),
            ("O:BAD:(A;;FA;;;SY)(A;;FA;;;BA)", "O:BAD:(A;;FA;;;SY)", true),
            ("O:BAD:(A;;FR;;;BU)", "O:SYD:(A;;FR;;;BU)", false),
            ("O:BAD:(A;;FR;;;BU)", "O:BAD:(A;;FA;;;BU)", false),
            ("O:BAD:(A;;FR;;;BU)(D;;FR;;;BG)", "O:BAD:(D;;FR;;;BG)(A;;FR;;;BU)", false),
            ("O:BA", "O:BAD:NO_ACCESS_CONTROL", true),
            ("O:BA", "O:BAD:", false),
        ] {
            assert_eq!(access(one).differences(&access(other)).is_empty(), is_same, "{one} and {other}");
        }
    }

    /// Holds A1, A2: who may give a name in a directory to something else.
    #[test]
    fn who_may_change_names_is_told_by_owner_and_list() {
        for (sddl, writers) in [
            ("O:BAD:(A;;FA;;;SY)(A;;FA;;;BA)(A;;0x1200a9;;;BU)", Writers::Administrators),
            ("O:BAD:(A;;FA;;;S-1-5-21-1-2-3-1000)", Writers::Administrators),
            ("O:BAD:(A;OICIIO;FA;;;BU)(A;OICI;FA;;;CO)", Writers::Administrators),
            ("O:BAD:(A;;FA;;;SY)(A;CI;DCLCRPCR;;;BU)", Writers::EachTheirOwn),
            ("O:BAD:(A;;0x1301ff;;;BU)", Writers::Others),
            ("O:BAD:(A;;WD;;;AU)", Writers::Others),
            ("O:BA", Writers::Others),
            ("O:LSD:(A;;FA;;;SY)", Writers::Owner("LS".to_owned())),
        ] {
            assert_eq!(access(sddl).writers(OWN), writers, "{sddl}");
        }
    }

    /// What Windows itself gives: the root of its volume, ProgramData, and directories that are made there.
    #[test]
    fn who_could_exchange_what_lies_below_a_directory_is_named() {
        const INSTALLER: &str = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464";
        let volume =
            format!("O:{INSTALLER}D:PAI(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;BU)(A;OICIIO;SDGXGWGR;;;AU)(A;;LC;;;AU)");
        for (sddl, is_volume, exchangeable, writable) in [
            (volume.as_str(), true, None, Some("may be changed by Authenticated Users")),
            (
                "O:SYD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICIIO;GA;;;CO)(A;CI;DCLCRPCR;;;BU)",
                false,
                None,
                Some("may be changed by Users"),
            ),
            (
                "O:BAD:AI(A;ID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)(A;ID;SDGXGWGR;;;AU)",
                false,
                Some("may be changed by Authenticated Users"),
                Some("may be changed by Authenticated Users"),
            ),
            ("O:BAD:(A;;SD;;;BU)", true, None, Some("may be changed by Users")),
            ("O:BAD:(A;;DT;;;WD)", true, Some("may be changed by Everyone"), Some("may be changed by Everyone")),
            (
                "O:BAD:(XA;;WD;;;IU;(@USER.a == (1)))",
                false,
                Some("may be changed by INTERACTIVE"),
                Some("may be changed by INTERACTIVE"),
            ),
            (
                "O:S-1-5-21-1-2-3-1001D:P(A;;FA;;;BA)",
                false,
                Some("belongs to the account S-1-5-21-1-2-3-1001"),
                Some("belongs to the account S-1-5-21-1-2-3-1001"),
            ),
            ("O:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;BU)", false, None, None),
        ] {
            let access = access(sddl);
            assert_eq!(access.exchangeable_by(is_volume, "BA").as_deref(), exchangeable, "{sddl}");
            assert_eq!(access.writable_by("BA").as_deref(), writable, "{sddl}");
        }
        assert_eq!(
            access("O:S-1-5-21-0-0-0-1000D:(A;;FA;;;S-1-5-21-0-0-0-1000)").writable_by("BA"),
            None,
            "Wine's account"
        );
    }

    #[test]
    fn the_account_of_a_service_counts_where_it_is_trusted_and_no_other_service_does() {
        const SERVICE: &str = "S-1-5-80-1-2-3-4-5";
        for (account, service, is_administrators) in [
            (SERVICE, Some(SERVICE), true),
            (SERVICE, None, false),
            ("S-1-5-80-1-2-3-4-6", Some(SERVICE), false),
            ("BA", None, true),
            (OWN, None, true),
        ] {
            assert_eq!(is_trusted(account, OWN, service), is_administrators, "{account} {service:?}");
        }
    }

    #[test]
    fn others_who_may_read_or_write_are_seen() {
        for (sddl, is_readable, is_writable) in [
            ("O:BAD:(A;;FA;;;SY)(A;;FA;;;BA)", false, false),
            ("O:LSD:(A;;FA;;;LS)", false, true),
            ("O:BAD:(A;;FR;;;BU)", true, false),
            ("O:BAD:(A;;FW;;;BU)", false, true),
            ("O:BAD:(A;;WO;;;BU)", true, true),
            ("O:BAD:(A;;FX;;;BU)", false, false),
        ] {
            let access = access(sddl);
            let found = (access.is_readable_by_others(OWN), access.is_writable_by_others(OWN));
            assert_eq!(found, (is_readable, is_writable), "{sddl}");
        }
    }

    #[test]
    fn what_two_lists_have_in_common_is_written_down_again() {
        let common = |one: &str, other: &str| access(one).common(&access(other)).map(|it| it.sddl());
        let both = common("O:BAD:(A;;FA;;;SY)(A;;FR;;;BU)(A;;FR;;;AU)", "O:BAD:(A;;FA;;;SY)(A;;0x1;;;BU)");
        assert_eq!(both.as_deref(), Some("O:BAD:P(A;;0x1;;;BU)(A;;0x1f01ff;;;SY)"));
        assert_eq!(common("O:BAD:(D;;FR;;;BU)", "O:BAD:(A;;FR;;;BU)"), None);
    }

    /// Holds A3: who may read a key by a right of their own is who may listen with it.
    #[test]
    fn a_file_is_its_owners_and_of_whom_its_list_names() {
        const AGENT: &str = "S-1-5-21-1-2-3-1001";
        const SERVICE: &str = "S-1-5-80-1-2-3-4-5";
        let groups = BTreeMap::from([
            (SERVICE, true),
            ("BA", false),
            ("BU", false),
            ("WD", false),
            ("S-1-5-21-1-2-3-1100", true),
        ]);
        let groups = groups.into_iter().map(|(sid, has_rights)| (sid.to_owned(), has_rights)).collect();
        for (sddl, may_read) in [
            ("O:{AGENT}D:P(A;;FA;;;SY)", true),
            ("O:{AGENT}D:P(D;;FR;;;WD)", true),
            ("O:{SERVICE}D:P", true),
            ("O:BAD:P(A;;FA;;;SY)", false),
            ("O:BUD:P", false),
            ("O:BAD:P(A;;FR;;;{AGENT})", true),
            ("O:BAD:P(A;;FR;;;{SERVICE})", true),
            ("O:BAD:P(A;;WD;;;{AGENT})", true),
            ("O:BAD:P(A;;0x80;;;{AGENT})", false),
            ("O:BAD:P(A;;FW;;;{AGENT})", false),
            ("O:BAD:P(A;IO;FR;;;{AGENT})", false),
            ("O:BAD:P(XA;;FR;;;{AGENT};(@USER.a == (1)))", false),
            ("O:BAD:P(A;;FR;;;BA)", false),
            ("O:BAD:P(A;;FA;;;WD)(A;;FA;;;BU)(A;;FA;;;AU)", false),
            ("O:BA", false),
            ("O:BAD:P(D;;FR;;;{AGENT})(A;;FR;;;{AGENT})", false),
            ("O:BAD:P(A;;FR;;;{AGENT})(D;;GR;;;BU)", false),
            ("O:BAD:P(A;;FR;;;{AGENT})(D;;FR;;;WD)", false),
            ("O:BAD:P(A;;FR;;;{AGENT})(D;;FW;;;{AGENT})", true),
            ("O:BAD:P(A;;FR;;;{AGENT})(D;;FR;;;BG)", true),
            ("O:BAD:P(A;;FR;;;{AGENT})(XD;;FR;;;BG;(@USER.a == (1)))", false),
        ] {
            let sddl = sddl.replace("{AGENT}", AGENT).replace("{SERVICE}", SERVICE);
            assert_eq!(access(&sddl).lets_read(AGENT, &groups), may_read, "{sddl}");
        }
    }
}
