//! A product that can only be looked at, as a person and as Prometheus see it.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::process::Command;

use encoding_rs::SHIFT_JIS;
use jiff::{SignedDuration, Zoned};

/// What a run of the program prints and its exit code.
fn run(arguments: &[&str]) -> (String, Option<i32>) {
    // A bus of the machine would tell of its own shutdowns.
    let bus = ("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus");
    let output =
        Command::new(env!("CARGO_BIN_EXE_kagiban-exporter")).args(arguments).env(bus.0, bus.1).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (text.into_owned(), output.status.code())
}

fn configured(root: &Path, rest: &str) -> String {
    let (config, folder) = (root.join("exporter.yaml"), root.join("mail"));
    let observe = format!("{{mails: [{folder:?}], logs: ['{}/*.csv']{rest}}}", root.display());
    let text = format!(
        "discovery: {{enabled: false}}\nshutdown: {{enabled: false}}\nstateDirectory: {:?}\nagents: [{{name: skysea, product: skysea, observe: {observe}}}]\n",
        root.join("state")
    );
    fs::write(&config, text).unwrap();
    config.to_str().unwrap().to_owned()
}

#[test]
fn its_alerts_are_told_by_metrics_and_in_words_and_nothing_of_it_is_rotated() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("mail/new")).unwrap();
    let at = Zoned::now().checked_sub(SignedDuration::from_secs(90)).unwrap();
    let at = at.strftime("%Y/%m/%d %H:%M:%S").to_string();
    let mail = format!("日時:{at}\nログ種別:認証失敗\nログ詳細:送信元端末 [IPアドレス:192.0.2.10]\n");
    let body = SHIFT_JIS.encode(&mail).0;
    let mail =
        [b"Content-Type: text/plain; charset=Shift_JIS\nContent-Transfer-Encoding: 8bit\n\n", &body[..]].concat();
    fs::write(root.path().join("mail/new/1.a.b"), mail).unwrap();
    let config = configured(
        root.path(),
        ", version: 12.100.07p, components: [data-server], clients: 1500, engineStartedAt: 2026-06-01T00:00:00Z",
    );

    let (loaded, code) = run(&["--config.file", &config, "--config.check"]);
    assert_eq!(code, Some(0), "{loaded}");
    let (metrics, code) = run(&["--config.file", &config, "--once"]);
    assert_eq!(code, Some(0), "{metrics}");
    for sample in [
        r#"kagiban_skysea_authentication_failures{agent="skysea",sender="192.0.2.10"} 1"#,
        r#"kagiban_skysea_authentication_failures{agent="skysea",sender="other"} 0"#,
        r#"kagiban_skysea_folder_alerts{agent="skysea",verdict="unexplained"} 0"#,
        r#"kagiban_skysea_engine_stop_forecast_timestamp_seconds{agent="skysea"} 1785456000"#,
        r#"kagiban_product_affected{agent="skysea",product="skysea",component="data-server",reason="authentication"} 1"#,
        r#"kagiban_product_affected{agent="skysea",product="skysea",component="data-server",reason="engine_stop"} 1"#,
        r#"kagiban_source_up{source_kind="alerts",source_name="skysea"} 1"#,
    ] {
        assert!(metrics.lines().any(|line| line == sample), "{sample}\n{metrics}");
    }
    assert!(!metrics.contains("false_alert") && !metrics.contains("kagiban_rotation_state"), "{metrics}");

    let (told, code) = run(&["check", "--config.file", &config, "--web.listen-address", "127.0.0.1:0"]);
    assert_eq!(code, Some(1), "{told}");
    for words in [
        "1 failed authentication in 24 hours, of 192.0.2.10 (1, the last at ",
        "KagibanSkyseaAuthenticationFails.md",
        "data-server of skysea",
        "it has the problems authentication (",
        "Communication engine of skysea",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let (listed, _) = run(&["rotation", "list", "--config.file", &config]);
    assert!(!listed.contains("skysea"), "{listed}");
}

#[test]
fn a_folder_that_cannot_be_looked_at_is_told_with_its_setting_and_counts_nothing() {
    let root = tempfile::tempdir().unwrap();
    let config = configured(root.path(), "");
    let (metrics, _) = run(&["--config.file", &config, "--once"]);
    assert!(
        metrics
            .contains(r#"kagiban_source_errors_total{source_kind="alerts",source_name="skysea",reason="not_found"} 1"#),
        "{metrics}"
    );
    assert!(!metrics.contains("kagiban_skysea_"), "{metrics}");
    let (told, code) = run(&["check", "--config.file", &config, "--web.listen-address", "127.0.0.1:0"]);
    assert!(code == Some(1) && told.contains("observe.mails[0]") && told.contains("under `observe`"), "{told}");
}

#[test]
fn what_clients_have_logged_of_their_server_is_told_by_metrics_and_in_words_until_an_hour_before_the_export() {
    let root = tempfile::tempdir().unwrap();
    let export = root.path().join("export.csv");
    let at = Zoned::now().checked_sub(SignedDuration::from_mins(90)).unwrap();
    let at = at.strftime("%Y/%m/%d %H:%M:%S").to_string();
    let log = format!("日時,コンピュータ名,内容\r\n{at},経理-01,サーバ認証に失敗しました\r\n{at},PC-02,更新\r\n");
    fs::write(&export, SHIFT_JIS.encode(&log).0).unwrap();
    let config = root.path().join("exporter.yaml");
    let text = format!(
        "discovery: {{enabled: false}}\nshutdown: {{enabled: false}}\nstateDirectory: {:?}\nagents: [{{name: av, product: \
         virus-buster-corp, directory: {:?}, clientLogs: {{files: [{export:?}], failureWords: [サーバ認証に失敗]}}}}]\n",
        root.path().join("state"),
        root.path()
    );
    fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();

    let (metrics, code) = run(&["--config.file", config, "--once"]);
    assert_eq!(code, Some(0), "{metrics}");
    for sample in [
        r#"kagiban_client_server_authentication_failures{agent="av",client="経理-01"} 1"#,
        r#"kagiban_client_server_authentication_failures{agent="av",client="other"} 0"#,
        r#"kagiban_source_up{source_kind="alerts",source_name="av"} 1"#,
    ] {
        assert!(metrics.lines().any(|line| line == sample), "{sample}\n{metrics}");
    }
    let known = r#"kagiban_client_log_known_until_timestamp_seconds{agent="av"} "#;
    let until = metrics.lines().find_map(|line| line.strip_prefix(known)).expect("it is known");
    let written = fs::metadata(&export).unwrap().modified().unwrap();
    let written = written.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(until.parse::<u64>().unwrap(), written - 60 * 60);
    let (told, _) = run(&["check", "--config.file", config, "--web.listen-address", "127.0.0.1:0"]);
    assert!(told.contains("1 failure to authenticate the server in 24 hours, of 経理-01 (1, the last at "), "{told}");
}
