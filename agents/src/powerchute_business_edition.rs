//! PowerChute Business Edition: it makes its certificate when it is installed, so a new one takes its installer, which
//! the host's configuration names.

use std::time::Duration;

use crate::facts::{Class, Part, ProductFacts, Renewal};
use crate::notice::{Checked, Effect, Mark, Notice, Release};
use crate::os::Os;

pub(crate) const FACTS: ProductFacts = ProductFacts {
    id: "powerchute-business-edition",
    agent: "pcbe",
    class: Class::Trigger(Renewal::BY_CONFIGURATION),
    directories,
    keystores: &["commkey"],
    alias: Some("securekey"),
    ca_alias: None,
    port: None,
    password_ini: None,
    shuts_host_down: true,
    service: |_| None,
    event_log: Some("EventLog"),
    protected: &[],
    hardening: None,
    notice: Some(NOTICE),
    parts: PARTS,
    alerts: None,
    clients: None,
    client_log: None,
};

/// Of the server on Linux the notice names no package that says its release.
const PARTS: &[Part] = &[
    Part { name: "server", package: None, program: Some("pbeserver.exe") },
    Part { name: "agent", package: Some("pbeagent"), program: Some("pbeagent.exe") },
];

/// Published 2010-06-10. Its sections are named in the tests below.
const NOTICE: Notice = Notice {
    title: "PowerChute Business Edition v.7.0以降を使用している環境においてSSL証明書の有効期限が切れた場合の対処方法について",
    source: "NEC, ESMPRO/UPSManager, 2010-06-10",
    when_it_ends: &[
        Effect::stops("logging in to a server by the console, and with that the management of agents", &[])
            .known_as("console_login"),
        Effect::stops("e-mail and broadcast notifications", &["7.0"]).known_as("notifications"),
        Effect::goes_on("scheduled shutdown, shutdown at a power failure and the restart by the UPS, as they are set"),
    ],
    to_check: &[
        Checked { part: "server", on: Os::Windows, versions: &[] },
        Checked { part: "agent", on: Os::Windows, versions: &["7.0"] },
        Checked { part: "agent", on: Os::Linux, versions: &["7.0"] },
    ],
    remedy: &[
        "7.0: keep a copy of default.cmd or default.sh: installing over the agent writes the default one",
        "7.0: install again or over the agent, and then the server, in this order; on Linux `rpm -ivh --force` of pbeagent, stop and start PBEAgent, then \
         `rpm -ivh --force` of webpcbe",
        "7.0.4, 7.0.5, 8.0, 8.0.1: install again or over the server only, on the machine with the server",
        "7.0: put the copy back; on Windows let the service \"APC PBE Agent\" interact with the desktop again, if it did",
        "7.0.5 on Windows Vista: apply \"v.7.0.5 Update For Vista\" again",
    ],
    releases: RELEASES,
    told_after_the_end: &[Mark::Package, Mark::FileVersion],
};

/// 7.0.5 and 8.0 share a package and a file version. How long their certificates live and what stops at the end is the same; their
/// Java and a step of the remedy are not.
const RELEASES: &[Release] = &[
    Release {
        name: "7.0",
        marks: &[
            (Mark::Package, "pbeagent-7.0.0-419"),
            (Mark::FileVersion, "7.0.0.119"),
            (Mark::AgentVersion(Os::Linux), "7.0.0.419"),
            (Mark::AgentVersion(Os::Windows), "7.0.0.419"),
            (Mark::ServerBuild, "7.0 build 419"),
            (Mark::Java, "jre142"),
        ],
        validity: days(3650),
        product_codes: &["UL1057-102", "UL1047-103", "UL4001-102"],
    },
    Release {
        name: "7.0.4",
        marks: &[
            (Mark::Package, "pbeagent-7.0.4-414"),
            (Mark::FileVersion, "7.0.4.106"),
            (Mark::AgentVersion(Os::Linux), "7.0.4.414"),
            (Mark::AgentVersion(Os::Windows), "7.0.4.414"),
            (Mark::ServerBuild, "7.0.4 build 414"),
            (Mark::Java, "jre142_06"),
        ],
        validity: days(3650),
        product_codes: &["UL1057-202", "UL1047-203", "UL4001-202"],
    },
    Release {
        name: "7.0.5",
        marks: &[
            (Mark::Package, "pbeagent-7.0.5-408"),
            (Mark::FileVersion, "7.0.5.108"),
            (Mark::AgentVersion(Os::Linux), "7.0.5.408"),
            (Mark::AgentVersion(Os::Windows), "7.0.5.408"),
            (Mark::ServerBuild, "7.0.5 build 408"),
            (Mark::Java, "jre142_11"),
            // On Windows Vista.
            (Mark::Java, "jre150_10"),
        ],
        validity: days(7300),
        product_codes: &["UL1057-302", "UL1047-303", "UL4001-302"],
    },
    Release {
        name: "8.0",
        marks: &[
            (Mark::Package, "pbeagent-7.0.5-408"),
            (Mark::FileVersion, "7.0.5.108"),
            (Mark::AgentVersion(Os::Linux), "7.0.5.408"),
            (Mark::AgentVersion(Os::Windows), "8.0.0.406"),
            (Mark::ServerBuild, "8.0 build 406"),
            (Mark::Java, "jre1.5.0_15"),
        ],
        validity: days(7300),
        product_codes: &["UL1057-402", "UL1047-403", "UL4001-402"],
    },
    Release {
        name: "8.0.1",
        marks: &[
            (Mark::Package, "pbeagent-8.0.1-409"),
            (Mark::FileVersion, "8.0.1.109"),
            (Mark::AgentVersion(Os::Linux), "8.0.1.409"),
            (Mark::AgentVersion(Os::Windows), "8.0.1.409"),
            (Mark::ServerBuild, "8.0.1 build 409"),
            (Mark::Java, "jre1.5.0_16"),
        ],
        validity: days(7300),
        product_codes: &["UL1057-502", "UL1047-503", "UL4001-502"],
    },
];

#[allow(clippy::unnecessary_wraps, reason = "the type of Release::validity")]
const fn days(count: u64) -> Option<Duration> {
    Some(Duration::from_secs(count * 24 * 60 * 60))
}

/// Agent and server each have a `commkey`.
const fn directories(os: Os) -> &'static [&'static str] {
    match os {
        Os::Linux => &["/opt/APC/PowerChuteBusinessEdition/Server", "/opt/APC/PowerChuteBusinessEdition/Agent"],
        Os::Windows => &[
            r"C:\Program Files\APC\PowerChute Business Edition\server",
            r"C:\Program Files\APC\PowerChute Business Edition\agent",
            r"C:\Program Files (x86)\APC\PowerChute Business Edition\server",
            r"C:\Program Files (x86)\APC\PowerChute Business Edition\agent",
        ],
    }
}

/// Each section of the notice, by what follows from it.
#[cfg(test)]
pub(crate) mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::notice::facts_of_notice;

    fn release(name: &str) -> &'static Release {
        RELEASES.iter().find(|release| release.name == name).expect("the notice speaks of it")
    }

    fn stops(name: &str) -> Vec<&'static str> {
        let effects = NOTICE.when_it_ends.iter().filter(|effect| !effect.goes_on && effect.concerns(release(name)));
        effects.map(|effect| effect.what.split(' ').next().unwrap_or_default()).collect()
    }

    /// The parts whose certificate a person has to look at.
    fn checked(name: &str, on: Os) -> Vec<&'static str> {
        let of = NOTICE.to_check.iter().filter(|checked| checked.on == on && checked.concerns(release(name)));
        of.map(|checked| checked.part).collect()
    }

    fn names(mark: Mark, text: &str) -> Vec<&'static str> {
        NOTICE.marked(mark, text).map(|release| release.name).collect()
    }

    /// A time of the notice's examples, in seconds of its own clock.
    fn seconds(text: &str) -> u64 {
        let field = |from: usize, to: usize| text[from..to].parse::<u64>().expect("a number");
        let (year, month, day) = (field(0, 4), field(5, 7), field(8, 10));
        // Days from the civil calendar, March being the first month.
        let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day;
        days * 86_400 + field(11, 13) * 3600 + field(14, 16) * 60 + field(17, 19)
    }

    facts_of_notice! {
        "発生現象", "The console logs in to no server. 7.0 also loses e-mail and broadcast notifications; later ones keep them."
        => fn what_stops_is_the_login_and_in_one_release_the_notifications() {
            assert_eq!(stops("7.0"), ["logging", "e-mail"]);
            for later in ["7.0.4", "7.0.5", "8.0", "8.0.1"] {
                assert_eq!(stops(later), ["logging"], "{later}");
            }
        }

        "発生現象", "Scheduled shutdown, shutdown at a power failure and the restart by the UPS go on."
        => fn shutdowns_go_on_in_every_release() {
            for word in ["scheduled shutdown", "power failure", "restart by the UPS"] {
                let of_it: Vec<_> = NOTICE.when_it_ends.iter().filter(|effect| effect.what.contains(word)).collect();
                assert!(!of_it.is_empty() && of_it.iter().all(|effect| effect.goes_on && effect.versions.is_empty()), "{word}");
            }
        }

        "SSL証明書の有効期間", "3650 days for 7.0 and 7.0.4, 7300 days for 7.0.5, 8.0 and 8.0.1."
        => fn a_certificate_lives_for_ten_years_or_twenty() {
            let lives: Vec<_> = RELEASES.iter().map(|release| (release.name, release.validity.expect("it says").as_secs() / 86_400)).collect();
            assert_eq!(lives, [("7.0", 3650), ("7.0.4", 3650), ("7.0.5", 7300), ("8.0", 7300), ("8.0.1", 7300)]);
        }

        "SSL証明書の有効期限の確認方法", "Two certificates of 7.0 with their first and last moment."
        => fn the_examples_end_when_their_release_says() {
            for (first, last) in [("2004-11-10 19:48:00", "2014-11-08 19:48:00"), ("2010-03-31 11:11:06", "2020-03-28 11:11:06")] {
                assert_eq!(seconds(first) + release("7.0").validity.expect("it says").as_secs(), seconds(last));
            }
        }

        "対象製品", "Fifteen product codes, three of each release."
        => fn a_product_code_leads_to_its_release() {
            let of: HashMap<_, _> = RELEASES.iter().flat_map(|release| release.product_codes.iter().map(|code| (*code, release.name))).collect();
            assert_eq!(of.len(), 15, "none stands for two");
            for (n, name) in ["7.0", "7.0.4", "7.0.5", "8.0", "8.0.1"].into_iter().enumerate() {
                let codes = [format!("UL1057-{}02", n + 1), format!("UL1047-{}03", n + 1), format!("UL4001-{}02", n + 1)];
                assert!(codes.iter().all(|code| of[&**code] == name), "{name}");
            }
        }

        "対処方法", "7.0: agent and then server. 7.0.4, 7.0.5, 8.0 and 8.0.1: the server only. Each is installed again or over what is there."
        => fn the_remedy_says_what_to_install_over_and_in_which_order() {
            let step = |name: &str| NOTICE.remedy.iter().find(|step| step.split(": install").next().is_some_and(|of| step.contains(": install") && of.split(", ").any(|of| of == name)));
            let first = step("7.0").expect("a step");
            assert!(first.find("agent") < first.find("server") && first.contains("again or over"), "{first}");
            for later in ["7.0.4", "7.0.5", "8.0", "8.0.1"] {
                assert!(step(later).is_some_and(|step| step.contains("again or over the server only")), "{later}");
            }
        }

        "対処方法", "Of 7.0, installing over the agent overwrites default.cmd and default.sh, and unchecks the interaction with the desktop. 7.0.5 on Windows Vista needs its update again."
        => fn the_remedy_keeps_what_an_installation_overwrites() {
            let at = |words: &[&str]| NOTICE.remedy.iter().position(|step| words.iter().all(|word| step.contains(word))).expect("a step");
            let (kept, installed, back) = (at(&["copy", "default.cmd", "default.sh"]), at(&["install again or over the agent"]), at(&["put the copy back"]));
            assert!(kept < installed && installed < back);
            assert_eq!(at(&["7.0:", "APC PBE Agent", "desktop"]), back);
            assert!(at(&["7.0.5", "Vista", "again"]) > installed);
        }

        "対処方法", "On Linux: `rpm -ivh --force` of pbeagent, PBEAgent is stopped and started, then webpcbe."
        => fn the_remedy_on_linux_ends_with_webpcbe() {
            let step = NOTICE.remedy.iter().find(|step| step.contains("rpm -ivh --force")).expect("a step");
            let order = ["of pbeagent", "stop and start PBEAgent", "of webpcbe"].map(|part| step.find(part).expect("it is in it"));
            assert!(order.is_sorted(), "{step}");
        }

        "PowerChute Business Edition バージョン確認方法 1", "What the console says of server and agent. 8.0 has another agent on each system."
        => fn what_the_console_says_leads_to_a_release() {
            for (name, build, linux, windows) in [
                ("7.0", "7.0 build 419", "7.0.0.419", "7.0.0.419"),
                ("7.0.4", "7.0.4 build 414", "7.0.4.414", "7.0.4.414"),
                ("8.0", "8.0 build 406", "7.0.5.408", "8.0.0.406"),
                ("8.0.1", "8.0.1 build 409", "8.0.1.409", "8.0.1.409"),
            ] {
                assert_eq!(names(Mark::ServerBuild, build), [name]);
                assert!(names(Mark::AgentVersion(Os::Linux), linux).contains(&name));
                assert_eq!(names(Mark::AgentVersion(Os::Windows), windows), [name]);
            }
            assert_eq!(names(Mark::ServerBuild, "7.0.5 build 408"), ["7.0.5"]);
            assert_eq!(names(Mark::AgentVersion(Os::Linux), "7.0.5.408"), ["7.0.5", "8.0"]);
            assert_eq!(names(Mark::AgentVersion(Os::Windows), "7.0.5.408"), ["7.0.5"]);
        }

        "PowerChute Business Edition バージョン確認方法 2", "File versions of pbeagent.exe and pbeserver.exe, and what `rpm -q pbeagent` prints. 7.0.5 and 8.0 share both, live as long and lose the same."
        => fn a_file_version_or_a_package_leads_to_a_release_or_to_two_that_live_as_long_and_lose_the_same() {
            for (file, package, expected) in [
                ("7.0.0.119", "pbeagent-7.0.0-419", &["7.0"][..]),
                ("7.0.4.106", "pbeagent-7.0.4-414", &["7.0.4"]),
                ("7.0.5.108", "pbeagent-7.0.5-408", &["7.0.5", "8.0"]),
                ("8.0.1.109", "pbeagent-8.0.1-409", &["8.0.1"]),
            ] {
                assert_eq!(names(Mark::FileVersion, file), expected);
                assert_eq!(names(Mark::Package, package), expected);
                let of: Vec<_> = expected.iter().map(|name| (release(name).validity, stops(name))).collect();
                assert!(of.windows(2).all(|pair| pair[0] == pair[1]), "{of:?}");
            }
            assert!(names(Mark::Package, "pbeagent-9.0.1-604").is_empty());
        }

        "PowerChute Business Edition バージョン確認方法", "Once the certificate has ended: not by the console, but by `rpm -q` on Linux and the file version on Windows."
        => fn what_a_release_is_told_by_after_the_end_needs_no_console() {
            assert_eq!(NOTICE.told_after_the_end, [Mark::Package, Mark::FileVersion]);
            for mark in NOTICE.told_after_the_end {
                assert!(RELEASES.iter().all(|release| release.marks.iter().any(|(of, _)| of == mark)), "{mark:?}");
            }
        }

        "SSL証明書の有効期限の確認方法", "The server's certificate of every release is to be checked, the agent's of 7.0 only. On Linux 7.0 alone is to be checked, its agent's."
        => fn the_certificate_of_the_agent_is_to_be_checked_of_one_release_only() {
            assert_eq!((checked("7.0", Os::Windows), checked("7.0", Os::Linux)), (vec!["server", "agent"], vec!["agent"]));
            for later in ["7.0.4", "7.0.5", "8.0", "8.0.1"] {
                assert_eq!((checked(later, Os::Windows), checked(later, Os::Linux)), (vec!["server"], vec![]), "{later}");
            }
        }

        "SSL証明書の有効期限の確認方法", "The directory of its Java by release; on Windows Vista 7.0.5 has another. The update PCBE-070-001 brings one of no release."
        => fn the_directory_of_its_java_leads_to_a_release() {
            for (directory, name) in [
                ("jre142", "7.0"), ("jre142_06", "7.0.4"), ("jre142_11", "7.0.5"), ("jre150_10", "7.0.5"), ("jre1.5.0_15", "8.0"), ("jre1.5.0_16", "8.0.1"),
            ] {
                assert_eq!(names(Mark::Java, directory), [name]);
            }
            assert!(names(Mark::Java, "jre142_10").is_empty());
        }

        "SSL証明書の有効期限の確認方法", "The store is `commkey` in the directory of server and of agent, its entry `securekey`, read without a password."
        => fn both_stores_are_looked_for_under_their_names() {
            assert_eq!((FACTS_OF_PRODUCT.keystores, FACTS_OF_PRODUCT.alias), (&["commkey"][..], Some("securekey")));
            assert!(FACTS_OF_PRODUCT.password_ini.is_none());
            let windows = (FACTS_OF_PRODUCT.directories)(Os::Windows);
            for part in ["server", "agent"] {
                assert!(windows.contains(&&*format!(r"C:\Program Files\APC\PowerChute Business Edition\{part}")), "{part}");
            }
            assert!((FACTS_OF_PRODUCT.directories)(Os::Linux).contains(&"/opt/APC/PowerChuteBusinessEdition/Agent"));
        }
    }

    use super::FACTS as FACTS_OF_PRODUCT;
}
