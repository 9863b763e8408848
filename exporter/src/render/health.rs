//! `kagiban_powerchute_check*`: how PowerChute agents are hardened.

use std::fmt;

use super::table::{Family, Kind};
use crate::health::{CheckResult, CheckSeen};
use crate::snapshot::{HealthSeen, Label, Snapshot};

pub(super) const FAMILIES: &[Family<Snapshot>] = &[
    Family {
        name: "kagiban_powerchute_check",
        help: "Whether a check of the vendor's security handbook passes (1) or fails (0); absent while it is unknown. By the \
               pages of TME11287B-018: keystore_password_changed p. 6 item 1, factory_certificate_replaced p. 6 item 2, \
               cacerts_password_changed p. 6 item 3, jre_directory_protected p. 6 item 4, jre_recent p. 6 item 6, \
               snmp_v1_disabled and snmp_v3_strong p. 6 item 7, command_files_protected p. 6 item 8, \
               install_directory_protected p. 6 item 9, protected_files_present pp. 1-4, silent_install_removed pp. 1-2, \
               old_tls_refused p. 1, jars_signed p. 5.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each(snapshot, |labels, seen| match seen.verdict {
                CheckResult::Passed => out.put(&labels, true),
                CheckResult::Failed => out.put(&labels, false),
                CheckResult::Unknown(_) => Ok(()),
            })
        },
    },
    Family {
        name: "kagiban_powerchute_check_unknown",
        help: "Why a check of the vendor's security handbook could not be made, always 1; only the reason that holds is here.",
        kind: Kind::Gauge,
        samples: |snapshot, out| {
            each(snapshot, |[agent, directory, check], seen| match seen.verdict {
                CheckResult::Passed | CheckResult::Failed => Ok(()),
                CheckResult::Unknown(reason) => out.put(&[agent, directory, check, ("reason", reason)], true),
            })
        },
    },
];

type Labels<'a> = [(&'static str, &'a str); 3];

fn each(snapshot: &Snapshot, mut put: impl FnMut(Labels<'_>, &CheckSeen) -> fmt::Result) -> fmt::Result {
    for (_, pass) in snapshot.passes() {
        let Some(HealthSeen { agent, directory, checks }) = pass.health() else { continue };
        let agent = agent.as_ref().map_or("", Label::as_str);
        for seen in checks {
            put([("agent", agent), ("directory", directory.as_str()), ("check", seen.check.id())], seen)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Check;

    #[test]
    fn the_help_names_every_check_with_its_page() {
        let help = FAMILIES[0].help;
        for check in Check::ALL {
            let (_, behind) = help.split_once(check.id()).unwrap_or_else(|| panic!("{}", check.id()));
            let page = behind.find("p. ").or_else(|| behind.find("pp. ")).expect("a page");
            let page = behind.find("pp. ").map_or(page, |pages| pages.min(page));
            assert!(behind[page..].starts_with(check.source()), "{}: {help}", check.id());
        }
    }
}
