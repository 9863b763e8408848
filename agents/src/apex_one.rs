//! Trend Micro Apex One, the successor of Virus Buster Corporate Edition: its server makes a new certificate in the same way, and knows the
//! agents that do not have it.

use crate::facts::{Class, ClientFacts, CommandWord, ProductFacts, Renewal};
use crate::guide::{Argument, Bits, Delivered, Directory, Guide, Installed, Sign, Tool, Use};
use crate::notice::{Effect, Notice};
use crate::os::Os;
use crate::virus_buster_corp::{CERTIFICATE as CERTIFICATE_FILE, CLIENT_LOG, PROGRAM, RENEW};

/// Nothing is backed up or brought back unless the host's configuration says so: other articles of the vendor call `-b` deprecated after
/// XG SP3, which is older than any release of this.
pub(crate) const FACTS: ProductFacts = ProductFacts {
    id: "apex-one",
    agent: "apex-one",
    class: Class::Trigger(Renewal { renew: |_| Some(RENEW), ..Renewal::BY_CONFIGURATION }),
    directories: |os| match os {
        Os::Linux => &[],
        Os::Windows => &[ANEW_ON_64_BIT, ANEW_ON_32_BIT, OVER_OLDER_ON_64_BIT, OVER_OLDER_ON_32_BIT],
    },
    keystores: &[CERTIFICATE_FILE],
    clients: Some(ClientFacts { list: |_| Some(LIST), certificate: CERTIFICATE_FILE, files: IPXFER_DIRECTORY }),
    client_log: Some(CLIENT_LOG),
    ..ProductFacts::BY_CONFIGURATION
};

const LIST: &[CommandWord] = &[PROGRAM, CommandWord::Fixed("-l"), CommandWord::ClientList];

const ANEW_ON_32_BIT: &str = r"C:\Program Files\Trend Micro\Apex One";
const ANEW_ON_64_BIT: &str = r"C:\Program Files (x86)\Trend Micro\Apex One";
const OVER_OLDER_ON_32_BIT: &str = r"C:\Program Files\Trend Micro\OfficeScan";
const OVER_OLDER_ON_64_BIT: &str = r"C:\Program Files (x86)\Trend Micro\OfficeScan";

pub(crate) const GUIDE: Guide = Guide {
    directories: &[
        Directory { bits: Bits::Bits32, installed: Some(Installed::Anew), path: ANEW_ON_32_BIT },
        Directory { bits: Bits::Bits64, installed: Some(Installed::Anew), path: ANEW_ON_64_BIT },
        Directory { bits: Bits::Bits32, installed: Some(Installed::OverOlder), path: OVER_OLDER_ON_32_BIT },
        Directory { bits: Bits::Bits64, installed: Some(Installed::OverOlder), path: OVER_OLDER_ON_64_BIT },
    ],
    delivered: &[
        Delivered { name: CERTIFICATE, below: Some(r"PCCSRV\Pccnt\Common"), bits: None, from_build: None },
        Delivered { name: "Ipxfer_x64.exe", below: Some(IPXFER), bits: Some(Bits::Bits64), from_build: None },
        Delivered { name: "Ipxfer.exe", below: Some(IPXFER), bits: Some(Bits::Bits32), from_build: None },
        Delivered {
            name: "DatFHS_x64.dll",
            below: None,
            bits: Some(Bits::Bits64),
            from_build: Some(DATFHS_FROM_BUILD),
        },
        Delivered { name: "DatFHS.dll", below: None, bits: Some(Bits::Bits32), from_build: Some(DATFHS_FROM_BUILD) },
    ],
    tools: &[
        Tool {
            program: "CertificateManager.exe",
            below: Some(r"PCCSRV\Admin\Utility\CertificateManager"),
            uses: &[Use {
                what: "on the server: list the agents whose certificate is not the server's",
                arguments: &[Argument::Word("-l"), Argument::Place("list file")],
            }],
        },
        Tool { program: "Ipxfer.exe", below: None, uses: ON_THE_AGENT },
        Tool { program: "Ipxfer_x64.exe", below: None, uses: ON_THE_AGENT },
    ],
    signs: &[Sign {
        place: "the dashboard",
        text: "Apex Oneサーバの有効な証明書がないセキュリティエージェントが1つ以上あります。",
    }],
    differences: &[
        "The notice knows `-l` of CertificateManager.exe alone. The other options stand in the notice of virus-buster-corp.",
        "The notice says nothing of what an agent logs. That of virus-buster-corp does, and is taken to be true of its successor: an agent sends its log of failed authentications every 60 minutes.",
        "The notice does not say where the DatFHS files lie on the server.",
    ],
    ..Guide::of("apex-one", NOTICE)
};

const NOTICE: Notice = Notice {
    title: "Apex One サーバから Apex One セキュリティエージェントへの接続について",
    source: "Trend Micro, for Apex One and Virus Buster Corp. 11.0 and later",
    when_it_ends: &[Effect::stops(
        "what the server sends to an agent that does not take its certificate: the agent does not answer",
        &[],
    )],
    to_check: &[],
    remedy: &[
        "list the agents whose certificate is not the server's",
        "copy the files below from the server to each agent, for the Windows of the agent and the build of the server",
        "run Ipxfer on the agent itself, with the unload password where one is set",
        "where that does not help: install the agent again",
    ],
    releases: &[],
    told_after_the_end: &[],
};

const CERTIFICATE: &str = "OfcNTCer.dat";
const IPXFER: &str = r"PCCSRV\Admin\Utility\IpXfer";
const IPXFER_DIRECTORY: &str = "PCCSRV/Admin/Utility/IpXfer";
const DATFHS_FROM_BUILD: u32 = 12526;

/// Both programs take the same.
const ON_THE_AGENT: &[Use] = &[
    Use {
        what: "on the agent: take the server's certificate",
        arguments: &[Argument::Word("-e"), Argument::Place("path of OfcNTCer.dat")],
    },
    Use {
        what: "on the agent, where an unload password is set: take the server's certificate",
        arguments: &[
            Argument::Word("-e"),
            Argument::Place("path of OfcNTCer.dat"),
            Argument::Word("-pwd"),
            Argument::Secret("unload password"),
        ],
    },
];

/// Each section of the notice, by what follows from it.
#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::notice::facts_of_notice;

    fn calls(program: &str) -> Vec<String> {
        let tool = GUIDE.tools.iter().find(|tool| tool.program == program).expect("a tool");
        tool.uses.iter().map(|of| of.arguments.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")).collect()
    }

    fn delivered(bits: Bits, build: u32) -> Vec<&'static str> {
        GUIDE.delivered_to(bits, build).map(|file| file.name).collect()
    }

    /// Its notice knows `-l` alone; the notice of its predecessor has the others.
    #[test]
    fn it_is_renewed_as_its_predecessor_and_nothing_is_backed_up_that_the_configuration_does_not_name() {
        let Class::Trigger(renewal) = FACTS_OF_PRODUCT.class else { panic!("it renews its own") };
        assert_eq!((renewal.renew)(Os::Windows), Some(RENEW));
        assert_eq!(((renewal.backup)(Os::Windows), (renewal.back)(Os::Windows)), (None, None));
    }

    #[test]
    fn the_certificate_that_is_looked_at_is_the_one_that_agents_are_given() {
        let delivered = GUIDE.delivered.iter().find(|file| file.name == CERTIFICATE).expect("it is delivered");
        let path = format!(r"{}\{}", delivered.below.expect("it says"), delivered.name).replace('\\', "/");
        assert_eq!(FACTS_OF_PRODUCT.keystores, [path]);
    }

    facts_of_notice! {
        "Apex One サーバから Apex One セキュリティエージェントへの接続について", "An agent that cannot verify the server's certificate does not answer the server. The dashboard says so."
        => fn the_dashboard_says_that_agents_lack_the_certificate() {
            let [sign] = GUIDE.signs else { panic!("one sign") };
            assert_eq!((sign.place, sign.text), ("the dashboard", "Apex Oneサーバの有効な証明書がないセキュリティエージェントが1つ以上あります。"));
            assert!(GUIDE.notice.when_it_ends.iter().all(|effect| !effect.goes_on && effect.versions.is_empty()));
        }

        "証明書が一致していないエージェントの確認方法(サーバ側)", "`CertificateManager.exe -l` in `PCCSRV\\Admin\\Utility\\CertificateManager` of the server writes the list to a file."
        => fn the_server_lists_the_agents_that_do_not_match() {
            assert_eq!(calls("CertificateManager.exe"), ["-l <list file>"]);
            assert_eq!(GUIDE.tools[0].below, Some(r"PCCSRV\Admin\Utility\CertificateManager"));
            let ClientFacts { list, .. } = FACTS_OF_PRODUCT.clients.expect("it knows its agents");
            let program = CommandWord::Below("PCCSRV/Admin/Utility/CertificateManager/CertificateManager.exe");
            assert_eq!(list(Os::Windows), Some(&[program, CommandWord::Fixed("-l"), CommandWord::ClientList][..]));
        }

        "Apex One サーバの初期設定でのインストールフォルダについて", "Four directories: installed anew or over Virus Buster Corp., 32 or 64 bit."
        => fn a_server_is_where_its_windows_and_its_past_put_it() {
            let path = |bits, installed| {
                let mut of = GUIDE.directories.iter().filter(|it| it.bits == bits && it.installed == Some(installed));
                let first = of.next().expect("a directory").path;
                assert!(of.next().is_none(), "{first}");
                first
            };
            assert_eq!(path(Bits::Bits32, Installed::Anew), r"C:\Program Files\Trend Micro\Apex One");
            assert_eq!(path(Bits::Bits64, Installed::Anew), r"C:\Program Files (x86)\Trend Micro\Apex One");
            assert_eq!(path(Bits::Bits32, Installed::OverOlder), r"C:\Program Files\Trend Micro\OfficeScan");
            assert_eq!(path(Bits::Bits64, Installed::OverOlder), r"C:\Program Files (x86)\Trend Micro\OfficeScan");
        }

        "エージェントでの更新方法 (1), (2)", "An agent is given OfcNTCer.dat and the IpXfer of its own Windows."
        => fn an_agent_is_given_the_certificate_and_the_program_of_its_windows() {
            assert_eq!(delivered(Bits::Bits32, 12525), ["OfcNTCer.dat", "Ipxfer.exe"]);
            assert_eq!(delivered(Bits::Bits64, 12525), ["OfcNTCer.dat", "Ipxfer_x64.exe"]);
            let below = |name| GUIDE.delivered.iter().find(|file| file.name == name).and_then(|file| file.below);
            assert_eq!(below("OfcNTCer.dat"), Some(r"PCCSRV\Pccnt\Common"));
            assert_eq!(below("Ipxfer_x64.exe"), Some(r"PCCSRV\Admin\Utility\IpXfer"));
            assert_eq!(below("Ipxfer.exe"), below("Ipxfer_x64.exe"));
            let ClientFacts { certificate, files, .. } = FACTS_OF_PRODUCT.clients.expect("it knows its agents");
            assert_eq!([certificate, files], ["PCCSRV/Pccnt/Common/OfcNTCer.dat", "PCCSRV/Admin/Utility/IpXfer"]);
        }

        "エージェントでの更新方法 (2)", "Of a server of build 12526 or later an agent is given the DatFHS library of its own Windows too."
        => fn a_library_goes_with_it_from_a_build_on() {
            for build in [12526, 12527] {
                assert_eq!(delivered(Bits::Bits32, build), ["OfcNTCer.dat", "Ipxfer.exe", "DatFHS.dll"], "{build}");
                assert_eq!(delivered(Bits::Bits64, build), ["OfcNTCer.dat", "Ipxfer_x64.exe", "DatFHS_x64.dll"], "{build}");
            }
        }

        "エージェントでの更新方法 (3)", "`-e` with the file, and `-pwd` with the unload password where one is set; both programs alike."
        => fn an_agent_takes_the_certificate_with_a_password_where_one_is_set() {
            for program in ["Ipxfer.exe", "Ipxfer_x64.exe"] {
                assert_eq!(calls(program), ["-e <path of OfcNTCer.dat>", "-e <path of OfcNTCer.dat> -pwd <unload password>"]);
            }
            let secrets = ON_THE_AGENT.iter().map(|of| of.arguments.iter().filter(|it| matches!(it, Argument::Secret(_))).count());
            assert_eq!(secrets.collect::<Vec<_>>(), [0, 1]);
        }

        "上記手順を実施しても、復旧しない場合", "The agent is installed again."
        => fn what_is_left_is_to_install_the_agent_again() {
            assert!(GUIDE.notice.remedy.last().is_some_and(|step| step.ends_with("install the agent again")));
        }
    }

    use super::FACTS as FACTS_OF_PRODUCT;
}
