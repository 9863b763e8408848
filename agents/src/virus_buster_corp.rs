//! Virus Buster Corporate Edition (OfficeScan) 11.0 and XG: its server makes a new certificate when its own program is run, and keeps it in
//! a file that its clients are given.

use std::time::Duration;

use crate::facts::{Class, ClientLogFacts, CommandWord, ProductFacts, Renewal};
use crate::guide::{Argument, Bits, Directory, Guide, Misprint, Tool, Use};
use crate::notice::{Effect, Notice, Release};
use crate::os::Os;

pub(crate) const FACTS: ProductFacts = ProductFacts {
    id: "virus-buster-corp",
    agent: "virus-buster",
    class: Class::Trigger(Renewal { renew: |_| Some(RENEW), backup: |_| Some(BACKUP), back: |_| Some(BACK) }),
    directories: |os| match os {
        Os::Linux => &[],
        Os::Windows => &[ON_64_BIT, ON_32_BIT],
    },
    keystores: &[CERTIFICATE],
    client_log: Some(CLIENT_LOG),
    ..ProductFacts::BY_CONFIGURATION
};

/// 認証に失敗した場合, 60分毎.
pub(crate) const CLIENT_LOG: ClientLogFacts = ClientLogFacts { sent_every: Duration::from_secs(60 * 60) };

const ON_32_BIT: &str = r"C:\Program Files\Trend Micro\Officescan";
const ON_64_BIT: &str = r"C:\Program Files (x86)\Trend Micro\Officescan";

/// The server's certificate without its key, as its clients are given it.
pub(crate) const CERTIFICATE: &str = "PCCSRV/Pccnt/Common/OfcNTCer.dat";
pub(crate) const PROGRAM: CommandWord =
    CommandWord::Below("PCCSRV/Admin/Utility/CertificateManager/CertificateManager.exe");
pub(crate) const RENEW: &[CommandWord] = &[PROGRAM, CommandWord::Fixed("-c"), CommandWord::Password];
const BACKUP: &[CommandWord] = &[PROGRAM, CommandWord::Fixed("-b"), CommandWord::Password, CommandWord::Backup];
const BACK: &[CommandWord] = &[PROGRAM, CommandWord::Fixed("-r"), CommandWord::Password, CommandWord::Backup];

pub(crate) const GUIDE: Guide = Guide {
    directories: &[
        Directory { bits: Bits::Bits32, installed: None, path: ON_32_BIT },
        Directory { bits: Bits::Bits64, installed: None, path: ON_64_BIT },
    ],
    tools: &[Tool {
        program: "CertificateManager.exe",
        below: Some(r"PCCSRV\Admin\Utility\CertificateManager"),
        uses: &[
            Use {
                what: "back the certificate up, into a zip archive",
                arguments: &[
                    Argument::Word("-b"),
                    Argument::Secret("password"),
                    Argument::Place("path of the zip archive"),
                ],
            },
            Use {
                what: "restore it from the backup",
                arguments: &[Argument::Word("-r"), Argument::Secret("password"), Argument::Place("path of the backup")],
            },
            Use {
                what: "make a new one, of which the clients are told and which they are given",
                arguments: &[Argument::Word("-c"), Argument::Secret("new password")],
            },
        ],
    }],
    misprints: &[
        Misprint {
            printed: r"C:\Program Files(x86)\Trend Micro\Officescan (証明書の更新方法)",
            meant: r"C:\Program Files (x86)\Trend Micro\Officescan, as in the section on backups",
        },
        Misprint {
            printed: "certificatemanager.exe, certificateManager.exe",
            meant: "CertificateManager.exe: Windows takes either",
        },
    ],
    differences: &[
        "Other articles of the vendor say that `-b` is deprecated after XG SP3. The notice, last changed on 2019-04-05, does not.",
        "The notice says that a client logs a failure, and not how: neither where the server shows it, nor with which words or columns it is exported.",
        "What is done on a client is in another article, which the notice names without its address. That for apex-one tells the same of its agents.",
    ],
    ..Guide::of("virus-buster-corp", NOTICE)
};

const NOTICE: Notice = Notice {
    title: "サーバ認証機能の概要および証明書の更新(変更)/バックアップ方法について",
    source: "Trend Micro, solution 1107184, 2015-01-06, last changed 2019-04-05",
    when_it_ends: &[
        Effect::stops(
            "notifications, settings and hotfixes from the server: a client that cannot verify it takes none",
            &[],
        ),
        Effect::stops("communication that CGI or ISAPI handles, which is verified too", &[]),
        Effect::goes_on("the client's log of failed authentications, which it sends to the server every 60 minutes"),
    ],
    to_check: &[],
    remedy: &[
        "back the server's certificate up",
        "make a new one: the server tells its clients and gives it to them",
        "to go back: restore the backup, or import it where a server is installed anew or upgraded",
    ],
    releases: &[
        Release { name: "11.0", marks: &[], validity: None, product_codes: &[] },
        Release { name: "XG", marks: &[], validity: None, product_codes: &[] },
    ],
    told_after_the_end: &[],
};

/// Each section of the notice, by what follows from it.
#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::notice::facts_of_notice;

    fn call(option: &str) -> (String, usize) {
        let mut uses = GUIDE.tools[0].uses.iter().filter(|of| {
            of.arguments.first()
                == Some(&Argument::Word(
                    ["-b", "-r", "-c"].into_iter().find(|known| *known == option).expect("an option"),
                ))
        });
        let of = uses.next().expect("a use");
        assert!(uses.next().is_none(), "{option}");
        let secrets = of.arguments.iter().filter(|it| matches!(it, Argument::Secret(_))).count();
        (of.arguments.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "), secrets)
    }

    fn at(words: &str) -> usize {
        GUIDE.notice.remedy.iter().position(|step| step.contains(words)).expect("a step")
    }

    /// The words of a command, as the guide has them.
    fn words(words: &[CommandWord]) -> Vec<String> {
        let tool = &GUIDE.tools[0];
        let program = format!(r"{}\{}", tool.below.expect("it says"), tool.program).replace('\\', "/");
        let word = |word: &CommandWord| match word {
            CommandWord::Below(path) => path.replace(&program, "the program"),
            CommandWord::Fixed(word) => (*word).to_owned(),
            CommandWord::Password => "a secret".to_owned(),
            CommandWord::Backup | CommandWord::ClientList => "a place".to_owned(),
        };
        words.iter().map(word).collect()
    }

    #[test]
    fn what_is_run_is_what_the_notice_says_to_run() {
        let told = |option: &str| {
            let is_its = |of: &&Use| of.arguments.first().is_some_and(|first| first.to_string() == option);
            let arguments = GUIDE.tools[0].uses.iter().find(is_its).expect("a use").arguments;
            let word = |of: &Argument| match of {
                Argument::Word(word) => (*word).to_owned(),
                Argument::Secret(_) => "a secret".to_owned(),
                Argument::Place(_) => "a place".to_owned(),
            };
            [vec!["the program".to_owned()], arguments.iter().map(word).collect()].concat()
        };
        let Class::Trigger(renewal) = FACTS_OF_PRODUCT.class else { panic!("it renews its own") };
        for (option, command) in [("-c", renewal.renew), ("-b", renewal.backup), ("-r", renewal.back)] {
            assert_eq!(command(Os::Windows).map(words), Some(told(option)), "{option}");
        }
    }

    /// Its notice sends who asks for them to another article. That of its successor knows `-l`, of which this one says nothing.
    #[test]
    fn no_list_of_its_clients_is_asked_for_that_the_configuration_does_not_name() {
        assert!(FACTS_OF_PRODUCT.clients.is_none());
        assert!(GUIDE.tools.iter().flat_map(|tool| tool.uses).all(|of| of.arguments[0].to_string() != "-l"));
    }

    facts_of_notice! {
        "対象製品", "11.0 and XG."
        => fn it_is_said_of_two_releases() {
            let names: Vec<_> = GUIDE.notice.releases.iter().map(|release| release.name).collect();
            assert_eq!(names, ["11.0", "XG"]);
        }

        "サーバ認証機能の概要", "A client that cannot verify the server takes no notification, setting or hotfix. What CGI and ISAPI handle is verified too."
        => fn a_client_that_cannot_verify_its_server_takes_nothing_from_it() {
            let stops: Vec<_> = GUIDE.notice.when_it_ends.iter().filter(|effect| !effect.goes_on).map(|effect| effect.what).collect();
            assert_eq!(stops.len(), 2);
            for word in ["notifications", "settings", "hotfixes"] {
                assert!(stops[0].contains(word), "{word}");
            }
            assert!(stops[1].contains("CGI or ISAPI"));
        }

        "サーバ認証機能の概要", "A client logs the failure and sends the log every 60 minutes."
        => fn failures_come_to_the_server_once_an_hour() {
            let goes_on: Vec<_> = GUIDE.notice.when_it_ends.iter().filter(|effect| effect.goes_on).collect();
            assert!(matches!(goes_on[..], [effect] if effect.what.contains("every 60 minutes")), "{goes_on:?}");
            assert_eq!(FACTS_OF_PRODUCT.client_log.map(|log| log.sent_every.as_secs() / 60), Some(60));
        }

        "証明書のバックアップの取得方法 1", "CertificateManager is in `PCCSRV\\Admin\\Utility\\CertificateManager` of a directory for 32 and one for 64 bit."
        => fn the_program_is_found_on_either_windows() {
            let paths: Vec<_> = GUIDE.directories.iter().map(|it| (it.bits, it.path)).collect();
            assert_eq!(paths, [
                (Bits::Bits32, r"C:\Program Files\Trend Micro\Officescan"),
                (Bits::Bits64, r"C:\Program Files (x86)\Trend Micro\Officescan"),
            ]);
            assert_eq!(GUIDE.tools[0].below, Some(r"PCCSRV\Admin\Utility\CertificateManager"));
        }

        "証明書のバックアップの取得方法 2", "`-b`, a password and a path, which has to be that of a zip archive."
        => fn a_backup_is_a_zip_archive_with_a_password() {
            assert_eq!(call("-b"), ("-b <password> <path of the zip archive>".to_owned(), 1));
        }

        "証明書のバックアップの取得方法", "`-r`, the password and the path restore it. An installation or upgrade can import it, too."
        => fn a_backup_is_restored_by_the_program_or_by_an_installation() {
            assert_eq!(call("-r"), ("-r <password> <path of the backup>".to_owned(), 1));
            assert!(GUIDE.notice.remedy[at("restore the backup")].contains("import it"));
        }

        "証明書の更新方法", "`-c` and a new password make a new certificate, of which the clients are told and which they are given."
        => fn a_new_certificate_is_made_by_one_call_after_the_backup() {
            assert_eq!(call("-c"), ("-c <new password>".to_owned(), 1));
            assert!(at("back the server's certificate up") < at("make a new one") && at("make a new one") < at("restore the backup"));
        }
    }

    use super::FACTS as FACTS_OF_PRODUCT;
}
