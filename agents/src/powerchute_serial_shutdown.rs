//! PowerChute Serial Shutdown 1.x: the agent on a host with a UPS on a serial or USB cable.

use std::time::Duration;

use crate::facts::{Class, Hardening, PasswordIni, ProductFacts, ServiceCommands, ServiceFacts};
use crate::guide::{Argument, Guide, Length, List, Login, Misprint, Tool, Use};
use crate::notice::Notice;
use crate::os::Os;

pub(crate) const FACTS: ProductFacts = ProductFacts {
    id: ID,
    agent: "powerchute",
    class: Class::Push,
    directories,
    // The handbook's import step names `PowerChute-keystore`, which is another product's file: importing there makes a
    // store that nothing reads, and the agent goes on with the old certificate.
    keystores: &[KEYSTORE],
    alias: Some(ALIAS),
    port: Some(6547),
    password_ini: Some(PasswordIni {
        file: "pcssconfig.ini",
        section: "Credentials",
        key: "KS_Access_Data",
        min_password: 6,
    }),
    shuts_host_down: true,
    service,
    event_log: Some("EventLog"),
    protected: &["pcssconfig.ini", "pcssconfig_backup.ini", "m11.cfg", "m11.bak"],
    hardening: Some(Hardening {
        jre: "jre",
        cacerts: "lib/security/cacerts",
        release: "release",
        default_password: DEFAULT_PASSWORD,
        command_files: "cmdfiles",
        left_behind: &["silentInstall.ini"],
        factory_key: "RSA-2048",
        factory_signature: "SHA512withRSA",
    }),
    notice: None,
    parts: &[],
    alerts: None,
};

/// The installer makes `Agent`; the handbook prints `agent` as well, and on Linux they are two.
const fn directories(os: Os) -> &'static [&'static str] {
    match os {
        Os::Linux => &["/opt/APC/PowerChuteSerialShutdown/Agent", "/opt/APC/PowerChuteSerialShutdown/agent"],
        Os::Windows => &[r"C:\Program Files\APC\PowerChute Serial Shutdown\agent"],
    }
}

/// The service's name is that of PowerChute Business Edition, on both systems; Linux knows it as `PBEAgent` in its
/// init script and as `pbeagent` in the handbook, and the handbook's is what `service` is given.
#[allow(clippy::unnecessary_wraps, reason = "the signature of Facts::service")]
const fn service(os: Os) -> Option<ServiceFacts> {
    Some(match os {
        Os::Linux => ServiceFacts::Commands(ServiceCommands {
            stop: &["service", "pbeagent", "stop"],
            start: &["service", "pbeagent", "start"],
        }),
        Os::Windows => ServiceFacts::Name("APCPBEAgent"),
    })
}

const ID: &str = "powerchute-serial-shutdown";
const KEYSTORE: &str = "keystore";
const ALIAS: &str = "securekey";
const DEFAULT_PASSWORD: &str = "changeit";

/// The vendor's security handbook. What `FACTS` has of it stands there alone.
pub(crate) const GUIDE: Guide = Guide {
    tools: &[
        Tool { program: r"..\jre\bin\keytool.exe on Windows, ../jre/bin/keytool on Linux", below: None, uses: KEYTOOL },
        Tool {
            program: "openssl, as an example of a CA",
            below: None,
            uses: &[Use {
                what: "sign the request",
                arguments: &[
                    Argument::Word("ca"),
                    Argument::Word("-cert"),
                    Argument::Word("rootca.crt"),
                    Argument::Word("-keyfile"),
                    Argument::Word("rootca.key"),
                    Argument::Word("-out"),
                    Argument::Word("newpowerchute.crt"),
                    Argument::Word("-config"),
                    Argument::Word("openssl.cfg"),
                    Argument::Word("-infiles"),
                    Argument::Word("newpowerchute.csr"),
                ],
            }],
        },
    ],
    login: Some(Login {
        name: Length { least: 6, most: 128 },
        password: Length { least: 8, most: 128 },
        special: r"#?!@$%^&*-",
        attempts: 3,
        locked_for: Duration::from_secs(2 * 60),
        idle: Duration::from_secs(15 * 60),
        accounts: 1,
        sessions: 1,
    }),
    lists: &[
        List { name: "Signed on Windows and Linux, to be verified by jarsigner of a JDK", items: SIGNED },
        List {
            name: "Signed on Windows besides",
            items: &[
                r"agent\pcssagent.exe",
                r"agent\bin\SysLogger.exe",
                r"agent\lib\win\*.dll",
                r"agent\systemlogger\EventMessage.dll",
                r"agent\Resources\*.jar",
            ],
        },
        List {
            name: "How it is hardened",
            items: &[
                "another password for the keystore, by pcssconfig.ini",
                "a certificate that it has not made itself",
                "another password for cacerts",
                "the folder jre for trusted users and LocalSystem alone, on Linux for root alone",
                "TCP port 6547 closed to other machines where nobody needs it",
                "its Java updated by its own page",
                "SNMP v3 alone, with SHA-2 and AES-128 or better, and only for those who need it",
                "command files in a folder that only administrators can write",
                "the same for a folder of one's own that it was installed into",
            ],
        },
        List { name: "The modules of its Java", items: JAVA_MODULES },
    ],
    misprints: &[
        Misprint {
            printed: "-keystore PowerChute-keystore, where certificates are imported",
            meant: "-keystore keystore: the other is a file of PowerChute Network Shutdown, which this agent does not read",
        },
        Misprint { printed: "- trustcacerts", meant: "-trustcacerts" },
        Misprint {
            printed: "-file newpowerchute.scr, and newpowerchute.csr where it is signed",
            meant: "one name for both",
        },
        Misprint {
            printed: "openssl in two steps, the second configopenssl.cfg -infile newpowerchute.csr",
            meant: "one call with -config openssl.cfg -infiles newpowerchute.csr",
        },
        Misprint { printed: "ca.crt is copied, rootca.crt is imported", meant: "one name for both" },
        Misprint { printed: "agent and Agent on Linux", meant: "Agent, which the installer makes" },
        Misprint {
            printed: "opt/APC/PowerChuteSerialShutdown/Agent/keystore as the directory to change to",
            meant: "/opt/APC/PowerChuteSerialShutdown/Agent: keystore is a file",
        },
        Misprint { printed: "pcssconfig_backup.in", meant: "pcssconfig_backup.ini" },
        Misprint {
            printed: "the command PowerChute Serial Shutdown, to start the service",
            meant: "net start APCPBEAgent",
        },
        Misprint {
            printed: "PowerChute Business Edition installs a Java of its own",
            meant: "PowerChute Serial Shutdown",
        },
        Misprint { printed: "Incomplete certificate chain in replay", meant: "Incomplete certificate chain in reply" },
    ],
    differences: &[
        "A client of its pages says that it has no SNMP. The handbook has SNMP v1 and v3, where somebody turns it on.",
        "The handbook deletes the keystore and makes a new one. Kagiban replaces the entry and keeps the old keystore until the new certificate was seen live.",
    ],
    ..Guide::of(ID, NOTICE)
};

const NOTICE: Notice = Notice {
    title: "セキュリティハンドブック PowerChute™ Serial Shutdown for Business",
    source: "Schneider Electric, TME11287B-018, 2024-11",
    when_it_ends: &[],
    to_check: &[],
    remedy: &[
        "another password for the keystore: stop the service, set KS_Access_Data in pcssconfig.ini, start the service, list the keystore",
        "another keystore: stop the service, delete the old one, make a key whose first and last name is the name of the host, start the service",
        "a certificate of a CA: make a request, have it signed, stop the service, import the CA's certificate as root and then the new one as securekey, start the service",
        "import the CA's certificate into every browser that opens the agent's pages",
        "see that the browser has no warning",
    ],
    releases: &[],
    told_after_the_end: &[],
};

const KEYTOOL: &[Use] = &[
    Use {
        what: "list the keystore; the password is asked for",
        arguments: &[
            Argument::Word("-list"),
            Argument::Word("-v"),
            Argument::Word("-keystore"),
            Argument::Word(KEYSTORE),
        ],
    },
    Use {
        what: "list a new keystore",
        arguments: &[
            Argument::Word("-list"),
            Argument::Word("-v"),
            Argument::Word("-keystore"),
            Argument::Word(KEYSTORE),
            Argument::Word("-storepass"),
            Argument::Secret("password"),
        ],
    },
    Use {
        what: "make a keystore with a key",
        arguments: &[
            Argument::Word("-genkey"),
            Argument::Word("-alias"),
            Argument::Word(ALIAS),
            Argument::Word("-keyalg"),
            Argument::Word("RSA"),
            Argument::Word("-keystore"),
            Argument::Word(KEYSTORE),
            Argument::Word("-keysize"),
            Argument::Word("2048"),
        ],
    },
    Use {
        what: "make a request",
        arguments: &[
            Argument::Word("-certreq"),
            Argument::Word("-alias"),
            Argument::Word(ALIAS),
            Argument::Word("-keystore"),
            Argument::Word(KEYSTORE),
            Argument::Word("-file"),
            Argument::Word("newpowerchute.csr"),
        ],
    },
    Use {
        what: "import the CA's certificate",
        arguments: &[
            Argument::Word("-import"),
            Argument::Word("-trustcacerts"),
            Argument::Word("-alias"),
            Argument::Word("root"),
            Argument::Word("-file"),
            Argument::Word("rootca.crt"),
            Argument::Word("-keystore"),
            Argument::Word(KEYSTORE),
        ],
    },
    Use {
        what: "import the new certificate",
        arguments: &[
            Argument::Word("-import"),
            Argument::Word("-trustcacerts"),
            Argument::Word("-alias"),
            Argument::Word(ALIAS),
            Argument::Word("-file"),
            Argument::Word("newpowerchute.crt"),
            Argument::Word("-keystore"),
            Argument::Word(KEYSTORE),
        ],
    },
    Use {
        what: "another password for cacerts, in the directory jre/lib/security",
        arguments: &[
            Argument::Word("-storepasswd"),
            Argument::Word("-new"),
            Argument::Secret("new password"),
            Argument::Word("-keystore"),
            Argument::Word("cacerts"),
            Argument::Word("-storepass"),
            Argument::Word(DEFAULT_PASSWORD),
        ],
    },
];

const SIGNED: &[&str] = &[
    r"agent\comp\*.jar",
    r"agent\lib\application.jar",
    r"agent\lib\m11.jar",
    r"agent\lib\pcss_ds.jar",
    r"agent\lib\util.jar",
];

const JAVA_MODULES: &[&str] = &[
    "java.base",
    "java.compiler",
    "java.datatransfer",
    "java.desktop",
    "java.instrument",
    "java.logging",
    "java.management",
    "java.naming",
    "java.prefs",
    "java.security.jgss",
    "java.security.sasl",
    "java.sql",
    "java.transaction.xa",
    "java.xml",
    "jdk.crypto.cryptoki",
    "jdk.crypto.ec",
    "jdk.localedata",
    "jdk.unsupported",
    "jdk.xml.dom",
];

/// Each section of the handbook, by what follows from it.
#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::notice::facts_of_notice;

    fn call(what: &str) -> String {
        let of = KEYTOOL.iter().find(|of| of.what.starts_with(what)).expect("a use");
        of.arguments.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    fn list(name: &str) -> &'static [&'static str] {
        GUIDE.lists.iter().find(|list| list.name.starts_with(name)).expect("a list").items
    }

    fn meant(printed: &str) -> &'static str {
        GUIDE.misprints.iter().find(|it| it.printed.contains(printed)).expect("a misprint").meant
    }

    facts_of_notice! {
        "PowerChute アクセス", "The certificate that it makes itself has an RSA key of 2048 bits and is signed with SHA-512."
        => fn the_certificate_that_it_makes_itself_is_known_by_key_and_signature() {
            let hardening = PRODUCT.hardening.expect("it says");
            assert_eq!((hardening.factory_key, hardening.factory_signature), ("RSA-2048", "SHA512withRSA"));
        }

        "認証およびパスワード要件", "A name of 6 to 128 characters, a password of 8 to 128 with a special character or a digit."
        => fn a_name_and_a_password_have_their_lengths() {
            let login = GUIDE.login.expect("it says");
            assert_eq!((login.name, login.password), (Length { least: 6, most: 128 }, Length { least: 8, most: 128 }));
            assert_eq!(login.special, "#?!@$%^&*-");
        }

        "認証およびパスワード要件", "Four files without which the service does not start, and one with passwords in the clear that is to be removed."
        => fn four_files_are_kept_and_one_is_to_be_removed() {
            assert_eq!(PRODUCT.protected, ["pcssconfig.ini", "pcssconfig_backup.ini", "m11.cfg", "m11.bak"]);
            assert_eq!(PRODUCT.hardening.expect("it says").left_behind, ["silentInstall.ini"]);
            assert_eq!(meant("pcssconfig_backup.in"), "pcssconfig_backup.ini");
        }

        "ウォッチドッグ機能", "Three attempts lock for 2 minutes. A session ends after 15 idle minutes, and there is one at a time."
        => fn three_attempts_lock_and_an_idle_session_ends() {
            let login = GUIDE.login.expect("it says");
            assert_eq!((login.attempts, login.locked_for.as_secs() / 60, login.idle.as_secs() / 60, login.sessions), (3, 2, 15, 1));
        }

        "ユーザーコントロール", "One account, and TCP port 6547."
        => fn one_account_logs_in_on_one_port() {
            assert_eq!((GUIDE.login.expect("it says").accounts, PRODUCT.port), (1, Some(6547)));
        }

        "サードパーティライセンス", "The directory is `C:\\Program Files\\APC\\PowerChute Serial Shutdown\\agent`, on Linux `/opt/APC/PowerChuteSerialShutdown/Agent`."
        => fn it_is_installed_into_one_directory_of_each_system() {
            assert_eq!((PRODUCT.directories)(Os::Windows), [r"C:\Program Files\APC\PowerChute Serial Shutdown\agent"]);
            assert_eq!((PRODUCT.directories)(Os::Linux)[0], "/opt/APC/PowerChuteSerialShutdown/Agent");
        }

        "JRE の利用", "Nineteen modules of Java."
        => fn its_java_has_nineteen_modules() {
            let modules = list("The modules");
            assert_eq!((modules.len(), modules.first(), modules.last()), (19, Some(&"java.base"), Some(&"jdk.xml.dom")));
            assert!(modules.is_sorted_by(|one, next| one < next), "none twice");
        }

        "ソフトウェアの整合性", "Five kinds of files are signed on both systems, and five more on Windows."
        => fn signed_files_are_known_for_each_system() {
            assert_eq!(list("Signed on Windows and Linux"), [r"agent\comp\*.jar", r"agent\lib\application.jar", r"agent\lib\m11.jar", r"agent\lib\pcss_ds.jar", r"agent\lib\util.jar"]);
            let windows = list("Signed on Windows besides");
            assert_eq!(windows, [r"agent\pcssagent.exe", r"agent\bin\SysLogger.exe", r"agent\lib\win\*.dll", r"agent\systemlogger\EventMessage.dll", r"agent\Resources\*.jar"]);
        }

        "セキュリティ強化のガイドライン", "Nine steps."
        => fn it_is_hardened_in_nine_steps() {
            let steps = list("How it is hardened");
            let words = ["pcssconfig.ini", "certificate", "cacerts", "jre", "6547", "Java", "SNMP v3", "command files", "folder of one's own"];
            assert_eq!(steps.len(), words.len());
            assert!(steps.iter().zip(words).all(|(step, word)| step.contains(word)), "{steps:?}");
        }

        "セキュリティ強化のガイドライン 3", "cacerts is in jre/lib/security of the installation, its password `changeit`."
        => fn another_password_of_cacerts_takes_the_one_that_it_comes_with() {
            let hardening = PRODUCT.hardening.expect("it says");
            assert_eq!((hardening.jre, hardening.cacerts), ("jre", "lib/security/cacerts"));
            assert_eq!(call("another password"), "-storepasswd -new <new password> -keystore cacerts -storepass changeit");
        }

        "付録: Java キーストアのパスワードの変更", "`KS_Access_Data` in `[Credentials]` of pcssconfig.ini, 6 characters at least."
        => fn the_password_of_the_keystore_is_in_an_ini() {
            let ini = PRODUCT.password_ini.expect("it says");
            assert_eq!((ini.file, ini.section, ini.key, ini.min_password), ("pcssconfig.ini", "Credentials", "KS_Access_Data", 6));
            assert_eq!(call("list the keystore"), "-list -v -keystore keystore");
        }

        "付録: Java キーストアのパスワードの変更 1, 4", "`net stop` and `net start APCPBEAgent`, on Linux `service pbeagent stop` and `start`."
        => fn the_service_is_stopped_and_started_by_its_name() {
            assert_eq!((PRODUCT.service)(Os::Windows), Some(ServiceFacts::Name("APCPBEAgent")));
            let linux = ServiceCommands { stop: &["service", "pbeagent", "stop"], start: &["service", "pbeagent", "start"] };
            assert_eq!((PRODUCT.service)(Os::Linux), Some(ServiceFacts::Commands(linux)));
            assert!(meant("the command PowerChute Serial Shutdown").contains("APCPBEAgent"));
        }

        "付録: 信頼できる SSL 証明書のための新しいキーストアの作成 4, 5", "An RSA key of 2048 bits as `securekey` in `keystore`; its name is the host's."
        => fn a_new_keystore_has_the_entry_that_the_agent_loads() {
            assert_eq!((PRODUCT.keystores, PRODUCT.alias), (&["keystore"][..], Some("securekey")));
            assert_eq!(call("make a keystore"), "-genkey -alias securekey -keyalg RSA -keystore keystore -keysize 2048");
            assert_eq!(call("list a new keystore"), "-list -v -keystore keystore -storepass <password>");
        }

        "付録: 証明書署名リクエスト (CSR) の作成", "A request of `securekey`, and how OpenSSL signs it; printed in two steps, which are one call."
        => fn a_request_is_made_and_signed() {
            assert_eq!(call("make a request"), "-certreq -alias securekey -keystore keystore -file newpowerchute.csr");
            let signing = GUIDE.tools[1].uses[0].arguments.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            assert_eq!(signing, "ca -cert rootca.crt -keyfile rootca.key -out newpowerchute.crt -config openssl.cfg -infiles newpowerchute.csr");
            assert!(meant("openssl in two steps").contains("-config openssl.cfg -infiles newpowerchute.csr"));
            assert_eq!(meant("newpowerchute.scr"), "one name for both");
        }

        "付録: PowerChute キーストアにルート CA と Web サーバーの SSL 証明書をインポート 4, 5", "The CA's certificate as `root`, then the new one as `securekey`; printed with the keystore of another product."
        => fn certificates_are_imported_into_the_keystore_that_the_agent_reads() {
            assert_eq!(call("import the CA's"), "-import -trustcacerts -alias root -file rootca.crt -keystore keystore");
            assert_eq!(call("import the new"), "-import -trustcacerts -alias securekey -file newpowerchute.crt -keystore keystore");
            assert!(meant("PowerChute-keystore").starts_with("-keystore keystore"));
            let step = GUIDE.notice.remedy.iter().find(|step| step.contains("as root")).expect("a step");
            assert!(step.find("as root") < step.find("as securekey"), "{step}");
        }

        "付録: PowerChute キーストアにルート CA と Web サーバーの SSL 証明書をインポート 6, 8", "The CA's certificate goes into every browser; then there is no warning."
        => fn browsers_trust_the_ca_before_they_are_looked_at() {
            let at = |word: &str| GUIDE.notice.remedy.iter().position(|step| step.contains(word));
            assert!(at("every browser").is_some() && at("every browser") < at("no warning"));
        }
    }

    use super::FACTS as PRODUCT;
}
