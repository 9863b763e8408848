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
    ca_alias: Some(CA_ALIAS),
    port: Some(6547),
    password_ini: Some(PasswordIni {
        file: "pcssconfig.ini",
        backup: Some("pcssconfig_backup.ini"),
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
        signed_jars: &["comp/*.jar", "lib/application.jar", "lib/m11.jar", "lib/pcss_ds.jar", "lib/util.jar"],
        left_behind: &["silentInstall.ini"],
        factory_key: "RSA-2048",
        factory_signature: "SHA512withRSA",
    }),
    notice: None,
    parts: &[],
    alerts: None,
    clients: None,
    client_log: None,
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
const CA_ALIAS: &str = "root";
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
        List { name: "What is reached, and what it reaches", items: CONNECTIONS },
        List { name: "Its files", items: FILES },
        List { name: "What a name and a password may hold", items: CREDENTIALS },
        List { name: "Where it belongs", items: PLACE },
        List { name: "How a download is known to be the vendor's", items: DOWNLOADS },
        List { name: "How its Java is kept up to date", items: JAVA },
        List { name: "What a request says", items: REQUEST },
        List { name: "What the vendor says elsewhere", items: ELSEWHERE },
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
        "The handbook verifies a package of RPM before it is installed. Of one that is installed, the database of packages keeps the signature and the digests of its files.",
        "The handbook has the password changed in pcssconfig.ini and says of pcssconfig_backup.ini only that it is a copy that must not be removed. Kagiban changes a password that stands in the copy too, and puts none where there is none.",
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
            Argument::Word(CA_ALIAS),
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

const CONNECTIONS: &[&str] = &[
    "TCP 6547: its pages, over HTTPS with TLS 1.2 or 1.3, on the host itself at https://localhost:6547",
    "SNMP v1 or v3, where somebody turns it on: v3 is the better one, since v1 sends its community name in the clear",
    "TCP 443, outbound alone: what it reports of its settings and its use, where its customer experience improvement program is on; that server has a certificate of a public CA",
];

const FILES: &[&str] = &[
    "keystore: the key and the certificate of its pages",
    "pcssconfig.ini: settings, such as scheduled shutdowns, SNMP and the language; pcssconfig_backup.ini is a copy of it",
    "m11.cfg: the name and the password of its account, encrypted with AES-128, and more; m11.bak is a copy of it",
    "an administrator alone opens them; the name and the password are set anew in pcssconfig.ini",
    "THIRDPARTYLICENSEREADME.txt: the licences of what it is made of",
];

const CREDENTIALS: &[&str] = &[
    "US-ASCII without blanks",
    "in the password no name of the account",
    "a capital and a small letter, and a digit or a special character",
];

const PLACE: &[&str] = &[
    "in no public network: behind a firewall that lets trusted subnets in, with an intrusion prevention system",
    "server and UPS behind a lock, for those who maintain them",
    "its log tells of logins, logouts and failed attempts, where they are turned on among its events",
];

const DOWNLOADS: &[&str] = &[
    "the vendor lists MD5 and SHA-256 of every download",
    "an installer for Windows has a digital signature",
    "a package of RPM is signed with GnuPG; the key is on the vendor's site, and the installation guide says how it is verified",
    "the signature of an EXE or DLL is in its properties, under Digital Signatures; that of a JAR is verified by jarsigner, which its own Java has not: it is a part of a JDK, for example of jdk.java.net",
];

const JAVA: &[&str] = &[
    "it comes with Adoptium OpenJDK, the newest when it was released",
    "its page for updates of Java brings a newer one",
    "which ones it works with is in the vendor's compatibility chart",
];

const REQUEST: &[&str] = &[
    "its first and last name is the host's name or FQDN",
    "its other values are those that the CA has: some CAs ask for them, to others they are optional",
];

const ELSEWHERE: &[&str] = &[
    "FA410362: a CA of one's own, and its certificate in browsers",
    "FA292887: AES-192 and AES-256 for SNMP",
    "FA159894: what is removed by hand where it does not uninstall on Windows",
    "vulnerabilities are reported on the vendor's site, and told in its security notifications",
    "Incomplete certificate chain in reply, of keytool with Active Directory Certificate Services: the chain is imported from the root down",
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

        "PowerChute アクセス", "HTTPS with TLS 1.2 or 1.3, and SNMP v1 or v3 where it is turned on, of which v1 is in the clear."
        => fn its_pages_speak_tls_and_snmp_is_better_as_v3() {
            let connections = list("What is reached");
            assert!(connections[0].starts_with("TCP 6547") && connections[0].contains("TLS 1.2 or 1.3"), "{connections:?}");
            assert!(connections[1].starts_with("SNMP v1 or v3") && connections[1].contains("in the clear"), "{connections:?}");
        }

        "通信 / アクセスモデル", "TCP 443, outbound alone, for its improvement program, to a server with a certificate of a public CA."
        => fn what_it_reports_leaves_by_one_port() {
            let reported = list("What is reached")[2];
            assert!(["TCP 443", "outbound alone", "public CA"].iter().all(|word| reported.contains(word)), "{reported}");
        }

        "認証およびパスワード要件", "Its account is kept in m11.cfg, encrypted with AES-128, and set anew by pcssconfig.ini; an administrator alone opens them."
        => fn its_account_is_kept_encrypted() {
            let files = list("Its files");
            let of = |name: &str| files.iter().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}"));
            assert!(of("m11.cfg").contains("AES-128"));
            assert!(of("an administrator alone").contains("set anew in pcssconfig.ini"));
        }

        "認証およびパスワード要件", "US-ASCII without blanks; no name of the account in the password."
        => fn a_name_and_a_password_hold_no_blank_and_the_password_no_name() {
            let rules = list("What a name and a password");
            assert_eq!(rules[..2], ["US-ASCII without blanks", "in the password no name of the account"]);
            assert!(rules[2].contains("a capital and a small letter"), "{rules:?}");
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

        "ユーザーコントロール, ファイアウォール, 物理的アクセス", "No public network, a firewall with intrusion prevention, a lock."
        => fn it_belongs_behind_a_firewall_and_a_lock() {
            let place = list("Where it belongs");
            assert!(place[0].contains("no public network") && place[0].contains("firewall") && place[0].contains("intrusion prevention"));
            assert!(place[1].contains("behind a lock"));
        }

        "ウォッチドッグ機能", "Logins, logouts and failed attempts are among its events."
        => fn logins_are_among_its_events() {
            assert!(list("Where it belongs")[2].contains("logins, logouts and failed attempts"));
        }

        "サードパーティライセンス", "THIRDPARTYLICENSEREADME.txt in the directory of the agent."
        => fn its_licences_are_in_a_file() {
            assert!(list("Its files").iter().any(|line| line.starts_with("THIRDPARTYLICENSEREADME.txt")));
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

        "JRE の利用", "It comes with Adoptium OpenJDK, and its own page updates it."
        => fn its_java_is_updated_by_its_own_page() {
            let java = list("How its Java");
            assert!(java[0].contains("Adoptium OpenJDK") && java[1].contains("page for updates"), "{java:?}");
            assert!(meant("Business Edition installs").starts_with("PowerChute Serial"));
        }

        "安全なバックアップのための推奨事項", "pcssconfig_backup.ini is the copy of pcssconfig.ini, m11.bak that of m11.cfg."
        => fn each_of_its_settings_has_a_copy() {
            let files = list("Its files");
            for (file, copy) in [("pcssconfig.ini", "pcssconfig_backup.ini is a copy of it"), ("m11.cfg", "m11.bak is a copy of it")] {
                assert!(files.iter().any(|line| line.starts_with(file) && line.contains(copy)), "{file}");
            }
            assert_eq!(PRODUCT.password_ini.expect("it says").backup, Some("pcssconfig_backup.ini"));
        }

        "脆弱性の報告と管理", "Vulnerabilities are reported on the vendor's site, which has notifications of them."
        => fn vulnerabilities_are_reported_and_told() {
            assert!(list("What the vendor says elsewhere").iter().any(|line| line.starts_with("vulnerabilities are reported")));
        }

        "ソフトウェアの整合性", "MD5 and SHA-256 of each download; a signed installer for Windows; a package of RPM signed with GnuPG, its key on the vendor's site."
        => fn a_download_is_known_by_digest_and_signature() {
            let downloads = list("How a download");
            for (at, words) in [(0, &["MD5", "SHA-256"][..]), (1, &["Windows", "digital signature"]), (2, &["RPM", "GnuPG", "key"])] {
                assert!(words.iter().all(|word| downloads[at].contains(word)), "{}", downloads[at]);
            }
        }

        "ソフトウェアの整合性", "jarsigner verifies a JAR, and is in no Java that PowerChute installs; of EXE and DLL the properties tell."
        => fn a_jar_is_verified_by_a_program_of_a_jdk() {
            let last = list("How a download")[3];
            assert!(["Digital Signatures", "jarsigner", "jdk.java.net"].iter().all(|word| last.contains(word)), "{last}");
        }

        "ソフトウェアの整合性", "Five kinds of files are signed on both systems, and five more on Windows."
        => fn signed_files_are_known_for_each_system() {
            assert_eq!(list("Signed on Windows and Linux"), [r"agent\comp\*.jar", r"agent\lib\application.jar", r"agent\lib\m11.jar", r"agent\lib\pcss_ds.jar", r"agent\lib\util.jar"]);
            let looked_at = PRODUCT.hardening.expect("it says").signed_jars.iter().map(|jar| format!(r"agent\{}", jar.replace('/', r"\")));
            assert_eq!(looked_at.collect::<Vec<_>>(), list("Signed on Windows and Linux"));
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

        "セキュリティ強化のガイドライン 7, 安全な削除についてのガイドライン", "FA292887 for AES-192 and AES-256, FA159894 for what is left on Windows."
        => fn articles_of_the_vendor_are_named() {
            let elsewhere = list("What the vendor says elsewhere");
            for (article, about) in [("FA410362", "a CA of one's own"), ("FA292887", "AES-256"), ("FA159894", "uninstall on Windows")] {
                assert!(elsewhere.iter().any(|line| line.starts_with(article) && line.contains(about)), "{article}");
            }
        }

        "付録: 証明書署名リクエスト (CSR) の作成 2", "The name is the host's; the other values are those that the CA asks for."
        => fn a_request_says_what_the_ca_asks_for() {
            let request = list("What a request says");
            assert!(request[0].contains("host's name or FQDN") && request[1].contains("that the CA has"), "{request:?}");
        }

        "付録: PowerChute キーストアにルート CA と Web サーバーの SSL 証明書をインポート, 注", "With Active Directory Certificate Services keytool may find the chain incomplete."
        => fn an_incomplete_chain_has_a_known_cause() {
            assert!(list("What the vendor says elsewhere").iter().any(|line| line.contains("Active Directory Certificate Services")));
            assert!(meant("in replay").ends_with("in reply"));
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
            assert_eq!(PRODUCT.ca_alias, Some("root"));
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
