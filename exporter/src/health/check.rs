//! The checks, and where the handbook asks for each. `docs/hardening.md` has the rest: why, and how to mend it.

use crate::label::Label;

/// A point of the hardening list. Its id says what holds when it passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    KeystorePasswordChanged,
    FactoryCertificateReplaced,
    CacertsPasswordChanged,
    JreDirectoryProtected,
    JreRecent,
    SnmpV1Disabled,
    SnmpV3Strong,
    CommandFilesProtected,
    InstallDirectoryProtected,
    ProtectedFilesPresent,
    SilentInstallRemoved,
    OldTlsRefused,
    JarsSigned,
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckResult {
    Passed,
    Failed,
    /// It could not be found out, for a reason from a closed set.
    Unknown(&'static str),
}

/// A check that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckSeen {
    pub check: Check,
    pub verdict: CheckResult,
    /// For people: what was found.
    pub detail: Label,
}

impl Check {
    pub const ALL: [Self; 13] = [
        Self::KeystorePasswordChanged,
        Self::FactoryCertificateReplaced,
        Self::CacertsPasswordChanged,
        Self::JreDirectoryProtected,
        Self::JreRecent,
        Self::SnmpV1Disabled,
        Self::SnmpV3Strong,
        Self::CommandFilesProtected,
        Self::InstallDirectoryProtected,
        Self::ProtectedFilesPresent,
        Self::SilentInstallRemoved,
        Self::OldTlsRefused,
        Self::JarsSigned,
    ];

    /// The label value `check`: stable.
    pub const fn id(self) -> &'static str {
        match self {
            Self::KeystorePasswordChanged => "keystore_password_changed",
            Self::FactoryCertificateReplaced => "factory_certificate_replaced",
            Self::CacertsPasswordChanged => "cacerts_password_changed",
            Self::JreDirectoryProtected => "jre_directory_protected",
            Self::JreRecent => "jre_recent",
            Self::SnmpV1Disabled => "snmp_v1_disabled",
            Self::SnmpV3Strong => "snmp_v3_strong",
            Self::CommandFilesProtected => "command_files_protected",
            Self::InstallDirectoryProtected => "install_directory_protected",
            Self::ProtectedFilesPresent => "protected_files_present",
            Self::SilentInstallRemoved => "silent_install_removed",
            Self::OldTlsRefused => "old_tls_refused",
            Self::JarsSigned => "jars_signed",
        }
    }

    /// Where TME11287B-018 asks for it: the page, and the number in its hardening list where it is there.
    pub const fn source(self) -> &'static str {
        match self {
            Self::KeystorePasswordChanged => "p. 6 item 1",
            Self::FactoryCertificateReplaced => "p. 6 item 2",
            Self::CacertsPasswordChanged => "p. 6 item 3",
            Self::JreDirectoryProtected => "p. 6 item 4",
            Self::JreRecent => "p. 6 item 6",
            Self::SnmpV1Disabled | Self::SnmpV3Strong => "p. 6 item 7",
            Self::CommandFilesProtected => "p. 6 item 8",
            Self::InstallDirectoryProtected => "p. 6 item 9",
            Self::ProtectedFilesPresent => "pp. 1-4",
            Self::SilentInstallRemoved => "pp. 1-2",
            Self::OldTlsRefused => "p. 1",
            Self::JarsSigned => "p. 5",
        }
    }
}

impl CheckResult {
    /// Every reason for which a check is unknown that is not one of a file, a keystore or a TLS probe.
    pub const OWN_REASONS: [&'static str; 16] = [
        "bad_password",
        "failed",
        "lost",
        "no_answer",
        "no_jars",
        "no_version",
        "not_configured",
        "not_runnable",
        "not_started",
        "not_told",
        "not_yet",
        "panic",
        "strength_not_seen",
        "timed_out",
        "too_many_files",
        "too_much_output",
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_is_documented_with_its_page() {
        let documentation = include_str!("../../../docs/hardening.md");
        for check in Check::ALL {
            let row = documentation.lines().find(|line| line.starts_with(&format!("| `{}` |", check.id())));
            let row = row.unwrap_or_else(|| panic!("{} is not in docs/hardening.md", check.id()));
            assert!(row.contains(check.source()), "{row}");
        }
        for reason in CheckResult::OWN_REASONS {
            assert!(documentation.contains(&format!("`{reason}`")), "{reason}");
        }
    }

    #[test]
    fn every_check_is_listed_once_in_its_order() {
        for (index, check) in Check::ALL.into_iter().enumerate() {
            assert_eq!(check as usize, index, "{check:?}");
        }
    }
}
