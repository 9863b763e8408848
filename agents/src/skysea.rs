//! SKYSEA Client View: its vendor's notice tells of three faults, of which the first is a certificate that is no longer taken. It is
//! looked at through its alert mails and exported logs; a person repairs it.

use std::time::Duration;

use crate::alert::AlertFacts;
use crate::facts::{Class, ProductFacts};
use crate::guide::{Component, Guide, List, Problem, SeenAfter, Sign};
use crate::notice::{Notice, Release};

pub(crate) const FACTS: ProductFacts = ProductFacts {
    id: "skysea",
    agent: "skysea",
    class: Class::Observe,
    alerts: Some(ALERTS),
    ..ProductFacts::BY_CONFIGURATION
};

const ALERTS: AlertFacts = AlertFacts {
    fields: FIELDS,
    time: "日時",
    kind: "ログ種別",
    detail: "ログ詳細",
    item: "アラート項目",
    computer: "コンピューター名",
    account: "ログオンアカウント",
    shown_in: "操作内容1",
    failed: AUTHENTICATION_FAILED,
    sender: "送信元端末",
    address: "IPアドレス:",
    folder: "ログ保存フォルダ不正アクセス",
    false_by: FALSE_ALERT,
};

const FIELDS: &[&str] = &[
    "日時",
    "端末機No.",
    "コンピューター名",
    "ログオンアカウント",
    "ログオンユーザー名",
    "ログカテゴリ",
    "ログ種別",
    "ログ詳細",
    "アラート項目",
    "アラート条件",
    "アラート処理",
];

const AUTHENTICATION_FAILED: &str = "認証失敗";
const FALSE_ALERT: &str = "false_alert";

pub(crate) const GUIDE: Guide = Guide {
    problems: PROBLEMS,
    signs: &[
        Sign {
            place: "the master server's console: ログ管理タブ, ログ閲覧, category システム, from 2017-03-06 0:00, keyword 認証失敗, アラートのみ表示; there 操作内容1",
            text: SENDER,
        },
        Sign { place: "an alert mail, ログ種別", text: AUTHENTICATION_FAILED },
        Sign { place: "an alert mail, ログ詳細", text: SENDER },
        Sign { place: "an alert mail, アラート項目", text: "SKYSEAセキュリティ通知/認証失敗" },
        Sign { place: "an alert mail, ログカテゴリ", text: "システム" },
        Sign { place: "an alert mail, アラート処理", text: "メール" },
    ],
    components: COMPONENTS,
    lists: &[List { name: "The fields of an alert mail", items: FIELDS }],
    differences: &[
        "Other texts speak of a range from 11.400.07o to 12.100.07p. So does the title of the notice, but its list has three versions, and no other is taken for affected.",
        "Other texts have the engine stop after 60 days with 1500 clients. The notice has seen that once, of a data server by itself that is sent logs all the time, and calls it no more than a guide.",
        "Whoever logs a failed authentication is who was asked. The fault is at the address that the log names.",
    ],
    ..Guide::of("skysea", NOTICE)
};

const NOTICE: Notice = Notice {
    title: "【Ver.11.400.07o~12.100.07p】認証失敗アラートが発生する問題、ほか",
    source: "Sky, 2017-06-13, last changed 2017-06-22",
    when_it_ends: &[],
    to_check: &[],
    remedy: &[
        "apply the vendor's module for the version, whether a fault was seen or not, or update to 12.101.01b",
        "where the first fault has come already: apply the module by hand, since the master server can send it no more; the certificate need not be installed again",
    ],
    releases: &[release("11.400.07o"), release("12.000.14t"), release(THIRD_ALONE), release(MENDED_IN)],
    told_after_the_end: &[],
};

const AFFECTED: &[&str] = &["11.400.07o", "12.000.14t", THIRD_ALONE];
const THIRD_ALONE: &str = "12.100.07p";
const MENDED_IN: &str = "12.101.01b";
const SENDER: &str = "送信元端末 [IPアドレス:***]";
const MODULE: &str = "the vendor's module for the version";

/// 対象プログラム. Of the first problem all of them, of the others those that the notice names again.
const COMPONENTS: &[Component] = &[
    MASTER_SERVER,
    DATA_SERVER,
    LOG_ANALYSIS_SERVER,
    CLIENT,
    AUDITED_SERVER,
    WEB_SERVER,
    WORKFLOW_SERVER,
    HTTP_GATEWAY,
    MOBILE_RELAY,
    DISTRIBUTION_RELAY,
    MONITORING_VIEWER,
    MONITORING_RELAY,
];

const MASTER_SERVER: Component = Component { id: "master-server", name: "マスターサーバー" };
const DATA_SERVER: Component = Component { id: "data-server", name: "データサーバー" };
const LOG_ANALYSIS_SERVER: Component = Component { id: "log-analysis-server", name: "ログ解析サーバー" };
const CLIENT: Component = Component { id: "client", name: "管理機・端末機" };
const AUDITED_SERVER: Component = Component { id: "audited-server", name: "監査対象サーバー" };
const WEB_SERVER: Component = Component { id: "web-server", name: "SKYSEA Client View Webシステムサーバー" };
const WORKFLOW_SERVER: Component =
    Component { id: "workflow-server", name: "申請・承認ワークフローシステムサーバー" };
const HTTP_GATEWAY: Component = Component { id: "http-gateway", name: "HTTPゲートウェイサーバー" };
const MOBILE_RELAY: Component =
    Component { id: "mobile-relay", name: "モバイル情報中継サーバー(SKYSEA Client View for MDM)" };
const DISTRIBUTION_RELAY: Component =
    Component { id: "distribution-relay", name: "ソフトウェア配布用中継端末" };
const MONITORING_VIEWER: Component =
    Component { id: "monitoring-viewer", name: "システム稼働監視 稼働状況閲覧ツール" };
const MONITORING_RELAY: Component =
    Component { id: "monitoring-relay", name: "システム稼働監視 稼働状況用中継端末" };

const PROBLEMS: &[Problem] = &[
    Problem {
        name: "1",
        reason: "authentication",
        what: "authentication by certificate fails all of a sudden: no upload of assets and logs, no new policies, and the console of a managing machine does not start. What needs no communication goes on",
        versions: AFFECTED,
        mended_in: MENDED_IN,
        components: COMPONENTS,
        conditions: &[],
        remedy: MODULE,
        meanwhile: None,
        seen_after: None,
    },
    Problem {
        name: "2",
        reason: "engine_stop",
        what: "the communication engine stops on a machine that is sent requests all the time and not restarted: its services do not start, and assets and logs are not uploaded",
        versions: AFFECTED,
        mended_in: MENDED_IN,
        components: &[
            MASTER_SERVER,
            DATA_SERVER,
            LOG_ANALYSIS_SERVER,
            CLIENT,
            AUDITED_SERVER,
            WEB_SERVER,
            MOBILE_RELAY,
            DISTRIBUTION_RELAY,
            MONITORING_VIEWER,
            MONITORING_RELAY,
        ],
        conditions: &[],
        remedy: MODULE,
        meanwhile: Some("restart the system"),
        seen_after: Some(SeenAfter { uptime: Duration::from_secs(60 * 24 * 60 * 60), clients: 1500 }),
    },
    Problem {
        name: "3",
        reason: FALSE_ALERT,
        what: "a data server, also one beside the master server, that compresses its logs is taken for one that touches them without right: a false ログ保存フォルダ不正アクセスアラート",
        versions: &[THIRD_ALONE],
        mended_in: MENDED_IN,
        // マスターサーバーと同居している場合も対象: there a host has both components.
        components: &[DATA_SERVER],
        conditions: &[
            "a managing machine or a client (管理機, 端末機) is installed on the data server",
            "アプリケーションによるファイル操作のログを収集する is on",
            "ログデータを圧縮して保存する is on",
            "somebody is logged on to Windows on the data server",
        ],
        remedy: MODULE,
        meanwhile: Some("change a setting so that one of the conditions does not hold"),
        seen_after: None,
    },
];

const fn release(name: &'static str) -> Release {
    Release { name, marks: &[], validity: None, product_codes: &[] }
}

/// Each section of the notice, by what follows from it.
#[cfg(test)]
pub(crate) mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::notice::facts_of_notice;

    fn problem(name: &str) -> &'static Problem {
        PROBLEMS.iter().find(|problem| problem.name == name).expect("a problem")
    }

    /// The problems of a version.
    fn of(version: &str) -> Vec<&'static str> {
        PROBLEMS.iter().filter(|problem| problem.versions.contains(&version)).map(|problem| problem.name).collect()
    }

    fn sign(place: &str) -> &'static str {
        GUIDE.signs.iter().find(|sign| sign.place.ends_with(place)).expect("a sign").text
    }

    facts_of_notice! {
        "対象バージョン", "11.400.07o and 12.000.14t have the first two problems, 12.100.07p all three."
        => fn a_version_leads_to_its_problems() {
            for (version, problems) in [
                ("11.400.07o", &["1", "2"][..]), ("12.000.14t", &["1", "2"]), ("12.100.07p", &["1", "2", "3"]), ("12.101.01b", &[]), ("11.300", &[]),
            ] {
                assert_eq!(of(version), problems, "{version}");
            }
        }

        "対策", "12.101.01b has none of them. For each affected version there is a module."
        => fn every_problem_is_mended_in_the_same_version() {
            assert_eq!(PROBLEMS.iter().map(|problem| problem.mended_in).collect::<Vec<_>>(), ["12.101.01b"; 3]);
            assert!(PROBLEMS.iter().all(|problem| problem.remedy.contains("module")));
            assert!(GUIDE.notice.releases.iter().any(|release| release.name == "12.101.01b"));
        }

        "対象プログラム", "The first has twelve components, the second the same without the workflow server and the HTTP gateway, the third the data server."
        => fn a_problem_has_its_components() {
            let names = |name: &str| problem(name).components.iter().map(|component| component.name).collect::<Vec<_>>();
            let (first, second) = (names("1"), names("2"));
            assert_eq!((first.len(), second.len()), (12, 10));
            let alone: Vec<_> = first.iter().filter(|component| !second.contains(component)).collect();
            assert_eq!(alone, [&"申請・承認ワークフローシステムサーバー", &"HTTPゲートウェイサーバー"]);
            assert!(second.iter().all(|component| first.contains(component)));
            assert_eq!(names("3"), ["データサーバー"]);
            // マスターサーバーと同居している場合も対象
            assert!(problem("3").what.contains("also one beside the master server"));
            for component in ["マスターサーバー", "データサーバー", "ログ解析サーバー", "管理機・端末機", "監査対象サーバー", "ソフトウェア配布用中継端末"] {
                assert!(second.contains(&component), "{component}");
            }
        }

        "問題1", "The module mends a machine where it has come already; the certificate need not be installed again. It cannot be sent there any more."
        => fn a_machine_that_has_failed_is_mended_by_the_module_alone() {
            let step = GUIDE.notice.remedy.iter().find(|step| step.contains("already")).expect("a step");
            assert!(step.contains("by hand") && step.contains("need not be installed again"), "{step}");
            assert!(problem("1").meanwhile.is_none());
        }

        "問題1 発生状況の確認方法", "Which entries the console is searched for, by a keyword, and that 操作内容1 names the machine with the fault by its address."
        => fn the_log_names_the_machine_with_the_fault() {
            let sign = GUIDE.signs.iter().find(|sign| sign.place.contains("console")).expect("a sign");
            for word in ["システム", "2017-03-06", "認証失敗", "アラートのみ表示"] {
                assert!(sign.place.contains(word), "{word}");
            }
            assert_eq!(sign.text, "送信元端末 [IPアドレス:***]");
            assert_eq!((ALERTS.shown_in, ALERTS.failed), ("操作内容1", "認証失敗"));
            assert!(sign.place.ends_with(ALERTS.shown_in), "{}", sign.place);
        }

        "問題1 アラート通知メール内容", "Eleven fields in their order, and what stands in those that tell the fault."
        => fn an_alert_mail_has_eleven_fields() {
            assert_eq!(ALERTS.fields, GUIDE.lists[0].items);
            assert_eq!(GUIDE.lists[0].items, "日時 端末機No. コンピューター名 ログオンアカウント ログオンユーザー名 ログカテゴリ ログ種別 ログ詳細 アラート項目 アラート条件 アラート処理".split(' ').collect::<Vec<_>>());
            for (field, text) in [
                ("ログカテゴリ", "システム"), ("ログ種別", "認証失敗"), ("ログ詳細", "送信元端末 [IPアドレス:***]"), ("アラート項目", "SKYSEAセキュリティ通知/認証失敗"), ("アラート処理", "メール"),
            ] {
                assert_eq!(sign(&format!("mail, {field}")), text);
                assert!(GUIDE.lists[0].items.contains(&field), "{field}");
            }
        }

        "問題2", "About 60 days with 1500 clients, seen once. A restart helps for a while."
        => fn the_engine_was_seen_to_stop_after_sixty_days_with_fifteen_hundred_clients() {
            let seen = problem("2").seen_after.expect("it says");
            assert_eq!((seen.uptime.as_secs() / 86_400, seen.clients), (60, 1500));
            assert!(PROBLEMS.iter().filter(|problem| problem.seen_after.is_some()).count() == 1);
            assert_eq!(problem("2").meanwhile, Some("restart the system"));
            let days = |clients| seen.forecast(NonZeroU32::new(clients).expect("some")).as_secs() / 86_400;
            assert_eq!((days(1500), days(3000), days(750), days(1), days(u32::MAX)), (60, 30, 120, 90_000, 0));
        }

        "問題3 発生する条件", "Four conditions, all of which hold where the alert is false. To change one is enough."
        => fn the_false_alert_has_four_conditions() {
            let words = ["is installed on the data server", "アプリケーションによるファイル操作のログを収集する", "ログデータを圧縮して保存する", "logged on to Windows"];
            assert_eq!(problem("3").conditions.len(), words.len());
            assert!(problem("3").conditions.iter().zip(words).all(|(condition, word)| condition.contains(word)));
            assert!(problem("3").meanwhile.is_some_and(|step| step.contains("one of the conditions")));
            assert!(PROBLEMS.iter().filter(|problem| !problem.conditions.is_empty()).count() == 1);
        }
    }
}
