//! The alert rules: each fires for what it is about, is silent for what it is not, and where its series are absent; each has a
//! runbook and a line in docs/alerts.md.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use kagiban_tests::{process, rules, scratch, tools};
use serde_json::{Value, json};

/// Everything that a runbook's address begins with; whoever keeps the runbooks elsewhere replaces this one text.
const RUNBOOKS: &str = "https://kagiban.dev/docs/runbooks/";
const TABLE: [&str; 2] = ["<!-- alerts: written by make docs -->\n", "<!-- end of alerts -->\n"];

/// Series as promtool notes them, at one sample a minute.
type Series = &'static [(&'static str, &'static str)];

/// An alert with what it fires for, what it is silent for, and the minute in which that is asked.
struct Case {
    alert: &'static str,
    minute: u32,
    /// How many `fires` makes: one for each of its series that is not there only to explain another.
    alerts: u32,
    fires: Series,
    silent: &'static [Series],
}

/// promtool's clock begins with 1970: a certificate that ends at 86400 has a day left at first.
const CASES: &[Case] = &[
    Case {
        alert: "KagibanCertificateEnding",
        minute: 20,
        alerts: 5,
        // Twenty days are left, of 90, of a source that tells no notBefore, of an intermediate; of a day, five hours. The certificate of
        // an outside host has all names in common with one that is well.
        fires: &[
            (r#"x509_cert_not_after_timestamp_seconds{source="c",role="leaf",serial="5"}"#, "9000000x30"),
            (r#"x509_cert_not_before_timestamp_seconds{source="c",role="leaf",serial="5"}"#, "0x30"),
            (r#"x509_cert_not_after_timestamp_seconds{source="c",role="leaf",serial="5",host="win-01"}"#, "1728000x30"),
            (
                r#"x509_cert_not_before_timestamp_seconds{source="c",role="leaf",serial="5",host="win-01"}"#,
                "-6048000x30",
            ),
            (r#"x509_cert_not_after_timestamp_seconds{source="c",role="leaf",serial="5",host="win-02"}"#, "9000000x30"),
            (r#"x509_cert_not_after_timestamp_seconds{source="a",role="leaf",serial="1"}"#, "1728000x30"),
            (r#"x509_cert_not_before_timestamp_seconds{source="a",role="leaf",serial="1"}"#, "-6048000x30"),
            (r#"x509_cert_not_after_timestamp_seconds{source="b",role="leaf",serial="2"}"#, "1728000x30"),
            (r#"x509_cert_not_after_timestamp_seconds{source="a",role="intermediate",serial="3"}"#, "1728000x30"),
            (r#"x509_cert_not_after_timestamp_seconds{source="a",role="leaf",serial="4"}"#, "18000x30"),
            (r#"x509_cert_not_before_timestamp_seconds{source="a",role="leaf",serial="4"}"#, "-68400x30"),
        ],
        silent: &[
            // A day's certificate with half its time left; one with 22 days; anchors, and whatever the system's bundle has.
            &[
                (r#"x509_cert_not_after_timestamp_seconds{source="a",role="leaf",serial="1"}"#, "43200x30"),
                (r#"x509_cert_not_before_timestamp_seconds{source="a",role="leaf",serial="1"}"#, "-43200x30"),
                (r#"x509_cert_not_after_timestamp_seconds{source="a",role="leaf",serial="2"}"#, "1910000x30"),
                (r#"x509_cert_not_after_timestamp_seconds{source="a",role="root"}"#, "0x30"),
                (r#"x509_cert_not_after_timestamp_seconds{source="a",role="trusted"}"#, "0x30"),
                (r#"x509_cert_not_after_timestamp_seconds{source="system",role="root"}"#, "0x30"),
                (r#"x509_cert_not_after_timestamp_seconds{source="system",role="leaf"}"#, "0x30"),
                (r#"x509_cert_not_after_timestamp_seconds{source="jvm",role="intermediate"}"#, "0x30"),
            ],
        ],
    },
    Case {
        alert: "KagibanCertificateEndingCritical",
        minute: 20,
        alerts: 3,
        // Six days of ninety; ended an hour ago; two hours of a day.
        fires: &[
            (r#"x509_cert_not_after_timestamp_seconds{source="a",role="leaf",serial="1"}"#, "518400x30"),
            (r#"x509_cert_not_before_timestamp_seconds{source="a",role="leaf",serial="1"}"#, "-7257600x30"),
            (r#"x509_cert_not_after_timestamp_seconds{source="a",role="leaf",serial="2"}"#, "-3600x30"),
            (r#"x509_cert_not_before_timestamp_seconds{source="a",role="leaf",serial="2"}"#, "-7257600x30"),
            (r#"x509_cert_not_after_timestamp_seconds{source="a",role="leaf",serial="3"}"#, "7200x30"),
            (r#"x509_cert_not_before_timestamp_seconds{source="a",role="leaf",serial="3"}"#, "-79200x30"),
        ],
        silent: &[&[
            (r#"x509_cert_not_after_timestamp_seconds{source="a",role="leaf",serial="1"}"#, "864000x30"),
            (r#"x509_cert_not_after_timestamp_seconds{source="a",role="leaf",serial="2"}"#, "18000x30"),
            (r#"x509_cert_not_before_timestamp_seconds{source="a",role="leaf",serial="2"}"#, "-68400x30"),
            (r#"x509_cert_not_after_timestamp_seconds{source="system",role="root"}"#, "-86400x30"),
            (r#"x509_cert_not_after_timestamp_seconds{source="own-trust",role="trusted"}"#, "-86400x30"),
        ]],
    },
    Case {
        alert: "KagibanProductAffected",
        minute: 16,
        alerts: 3,
        // A component has a problem that no certificate's end brings. Of one part both functions stop, and its end was computed; another has ended, and one function stops.
        fires: &[
            (
                r#"kagiban_product_certificate_not_after_timestamp_seconds{directory="/a",basis="computed"}"#,
                "1728000x30",
            ),
            (r#"kagiban_product_affected{directory="/a",reason="console_login"}"#, "1x30"),
            (r#"kagiban_product_affected{directory="/a",reason="notifications"}"#, "1x30"),
            (r#"kagiban_product_certificate_not_after_timestamp_seconds{directory="/b",basis="read"}"#, "-5x30"),
            (r#"kagiban_product_affected{directory="/b",reason="console_login"}"#, "1x30"),
            (r#"kagiban_product_affected{directory="/b",reason="notifications"}"#, "0x30"),
            (r#"kagiban_product_affected{product="skysea",component="data-server",reason="authentication"}"#, "1x30"),
            (r#"kagiban_product_affected{product="skysea",component="data-server",reason="false_alert"}"#, "0x30"),
        ],
        silent: &[
            // Twenty-two days are left; nothing stops; another part is affected; the notice does not know the version.
            &[
                (
                    r#"kagiban_product_certificate_not_after_timestamp_seconds{directory="/a",basis="read"}"#,
                    "1910000x30",
                ),
                (r#"kagiban_product_affected{directory="/a",reason="console_login"}"#, "1x30"),
            ],
            &[
                (r#"kagiban_product_certificate_not_after_timestamp_seconds{directory="/a",basis="read"}"#, "0x30"),
                (r#"kagiban_product_affected{directory="/a",reason="console_login"}"#, "0x30"),
                (r#"kagiban_product_affected{directory="/b",reason="console_login"}"#, "1x30"),
                (r#"kagiban_product_certificate_not_after_timestamp_seconds{directory="/c",basis="read"}"#, "0x30"),
                (r#"kagiban_product_affected{product="skysea",component="client",reason="engine_stop"}"#, "0x30"),
            ],
        ],
    },
    Case {
        alert: "KagibanSkyseaAuthenticationFails",
        minute: 1,
        alerts: 2,
        // Two terminals of one agent are one alert; of another agent those that are not told one by one.
        fires: &[
            (r#"kagiban_skysea_authentication_failures{agent="a",sender="192.0.2.1"}"#, "1x30"),
            (r#"kagiban_skysea_authentication_failures{agent="a",sender="192.0.2.2"}"#, "3x30"),
            (r#"kagiban_skysea_authentication_failures{agent="a",sender="other"}"#, "0x30"),
            (r#"kagiban_skysea_authentication_failures{agent="b",sender="192.0.2.3"}"#, "0x30"),
            (r#"kagiban_skysea_authentication_failures{agent="b",sender="other"}"#, "1x30"),
        ],
        silent: &[&[
            (r#"kagiban_skysea_authentication_failures{agent="a",sender="192.0.2.1"}"#, "0x30"),
            (r#"kagiban_skysea_authentication_failures{agent="a",sender="other"}"#, "0x30"),
        ]],
    },
    Case {
        alert: "KagibanSkyseaEngineStops",
        minute: 16,
        alerts: 2,
        // Six days and a half are left; it was yesterday.
        fires: &[
            (r#"kagiban_skysea_engine_stop_forecast_timestamp_seconds{agent="a"}"#, "561600x30"),
            (r#"kagiban_skysea_engine_stop_forecast_timestamp_seconds{agent="b"}"#, "-86400x30"),
        ],
        silent: &[&[(r#"kagiban_skysea_engine_stop_forecast_timestamp_seconds{agent="a"}"#, "691200x30")]],
    },
    Case {
        alert: "KagibanAlertsNotRead",
        minute: 16,
        alerts: 1,
        fires: &[(r#"kagiban_source_up{source_kind="alerts",source_name="a"}"#, "0x30")],
        silent: &[
            &[(r#"kagiban_source_up{source_kind="alerts",source_name="a"}"#, "1x30")],
            &[(r#"kagiban_source_up{source_kind="file",source_name="a"}"#, "0x30")],
        ],
    },
    Case {
        alert: "KagibanClientsWithoutCertificate",
        minute: 1441,
        alerts: 1,
        // Of one agent some have come over, while no list came for an hour, and of another none is left.
        fires: &[
            (r#"kagiban_clients_without_certificate{agent="a",product="p"}"#, "7x700 _x60 2x740"),
            (r#"kagiban_clients_without_certificate{agent="b",product="p"}"#, "7x700 0x800"),
        ],
        silent: &[&[(r#"kagiban_clients_without_certificate{agent="a",product="p"}"#, "0x1500")]],
    },
    Case {
        alert: "KagibanClientsNotListed",
        minute: 181,
        alerts: 1,
        fires: &[(r#"kagiban_source_up{source_kind="clients",source_name="a"}"#, "0x200")],
        silent: &[
            // The server was restarted during one of its lists.
            &[(r#"kagiban_source_up{source_kind="clients",source_name="a"}"#, "0x120 1x80")],
            &[(r#"kagiban_source_up{source_kind="alerts",source_name="a"}"#, "0x200")],
        ],
    },
    Case {
        alert: "KagibanClientsRefuseServer",
        minute: 61,
        alerts: 2,
        // The exporter of one is restarted meanwhile; the other's log is exported once a day.
        fires: &[
            (
                r#"kagiban_client_last_server_authentication_failure_timestamp_seconds{agent="a",client="PC-01"}"#,
                "0x30 _x10 0x40",
            ),
            (
                r#"kagiban_client_last_server_authentication_failure_timestamp_seconds{agent="b",client="unreadable"}"#,
                "-90000x80",
            ),
        ],
        silent: &[
            &[(
                r#"kagiban_client_last_server_authentication_failure_timestamp_seconds{agent="a",client="PC-01"}"#,
                "-172800x80",
            )],
            // It fires ten minutes later: until it has lasted an hour it may be the one that follows a renewal, and be the last.
            &[(
                r#"kagiban_client_last_server_authentication_failure_timestamp_seconds{agent="a",client="PC-01"}"#,
                "_x10 600x70",
            )],
        ],
    },
    Case {
        alert: "KagibanClientLogNotExported",
        minute: 1681,
        alerts: 1,
        // Exported once, and once a day.
        fires: &[
            (r#"kagiban_client_log_known_until_timestamp_seconds{agent="a"}"#, "-3600x1700"),
            (r#"kagiban_client_log_known_until_timestamp_seconds{agent="b"}"#, "-3600x1440 82800x260"),
        ],
        silent: &[&[(r#"kagiban_client_log_known_until_timestamp_seconds{agent="a"}"#, "0+60x1700")]],
    },
    Case {
        alert: "KagibanInventoryNotRead",
        minute: 1441,
        alerts: 1,
        fires: &[(r#"kagiban_source_up{source_kind="inventory",source_name="a"}"#, "0x1500")],
        silent: &[
            &[(r#"kagiban_source_up{source_kind="inventory",source_name="a"}"#, "0x1400 1x100")],
            &[(r#"kagiban_source_up{source_kind="clients",source_name="a"}"#, "0x1500")],
        ],
    },
    Case {
        alert: "KagibanCertificateNotSeen",
        minute: 16,
        alerts: 2,
        fires: &[
            (r#"x509_file_up{source="agent",path="/a"}"#, "0x30"),
            (r#"tls_probe_success{source="agent",target="a:6547"}"#, "0x30"),
        ],
        silent: &[
            &[
                (r#"x509_file_up{source="agent",path="/a"}"#, "1x30"),
                (r#"x509_file_up{source="system",path="/etc/ssl/certs/ca-certificates.crt"}"#, "0x30"),
                (r#"tls_probe_success{source="agent",target="a:6547"}"#, "1x30"),
            ],
            // A restart of the agent.
            &[(r#"tls_probe_success{source="agent",target="a:6547"}"#, "0x10 1x20")],
        ],
    },
    Case {
        alert: "KagibanCertificateNotReady",
        minute: 31,
        alerts: 1,
        fires: &[(r#"kagiban_certificate_ready{name="a",status="False"}"#, "1x40")],
        silent: &[&[
            (r#"kagiban_certificate_ready{name="a",status="False"}"#, "0x40"),
            (r#"kagiban_certificate_ready{name="a",status="Unknown"}"#, "1x40"),
            (r#"kagiban_certificate_ready{name="b",status="True"}"#, "1x40"),
        ]],
    },
    Case {
        alert: "KagibanRotationFrozen",
        minute: 1,
        alerts: 1,
        fires: &[(r#"kagiban_rotation_frozen{agent="a"}"#, "1x5")],
        silent: &[&[(r#"kagiban_rotation_frozen{agent="a"}"#, "0x5")]],
    },
    Case {
        alert: "KagibanRotationStuck",
        minute: 35,
        alerts: 1,
        // It goes on from one state to the next, and does not end.
        fires: &[
            (r#"kagiban_rotation_state{agent="a",state="swapped"}"#, "1x10 0x40"),
            (r#"kagiban_rotation_state{agent="a",state="rolling_back"}"#, "0x10 1x40"),
        ],
        silent: &[
            &[
                (r#"kagiban_rotation_state{agent="a",state="keyed"}"#, "1x50"),
                (r#"kagiban_rotation_state{agent="b",state="committed"}"#, "1x50"),
                (r#"kagiban_rotation_state{agent="c",state="none"}"#, "1x50"),
                (r#"kagiban_rotation_state{agent="d",state="unknown"}"#, "1x50"),
                (r#"kagiban_rotation_state{agent="e",state="frozen"}"#, "1x50"),
            ],
            &[(r#"kagiban_rotation_state{agent="a",state="verifying"}"#, "1x20 0x30")],
        ],
    },
    Case {
        alert: "KagibanRotationRolledBack",
        minute: 61,
        alerts: 1,
        fires: &[(r#"kagiban_rotation_failure_info{agent="a",reason="not_served"}"#, "1x70")],
        silent: &[&[
            (r#"kagiban_rotation_failure_info{agent="a",reason="rolled_back_by_order"}"#, "1x70"),
            (r#"kagiban_rotation_failure_info{agent="b",reason="not_served"}"#, "1x70"),
            (r#"kagiban_rotation_frozen{agent="b"}"#, "1x70"),
        ]],
    },
    Case {
        alert: "KagibanAgentFunctionLost",
        minute: 16,
        alerts: 1,
        fires: &[(r#"kagiban_agent_function_up{agent="a",product="p"}"#, "0x30")],
        silent: &[
            &[(r#"kagiban_agent_function_up{agent="a",product="p"}"#, "1x30")],
            // A look that came into a restart.
            &[(r#"kagiban_agent_function_up{agent="a",product="p"}"#, "1x5 0x5 1x30")],
        ],
    },
    Case {
        alert: "KagibanClientsNotRepaired",
        minute: 16,
        alerts: 1,
        fires: &[(r#"kagiban_clients_not_repaired{agent="a"}"#, "2x30")],
        silent: &[
            &[(r#"kagiban_clients_not_repaired{agent="a"}"#, "0x30")],
            // It came back at the attempt of the next day.
            &[(r#"kagiban_clients_not_repaired{agent="a"}"#, "1x10 0x20")],
        ],
    },
    Case {
        alert: "KagibanRotationsNotTaken",
        minute: 16,
        alerts: 2,
        fires: &[(r#"kagiban_rotation_agent_up{agent="a"}"#, "0x30"), (r#"kagiban_host_api_up{instance="b"}"#, "0x30")],
        silent: &[&[(r#"kagiban_rotation_agent_up{agent="a"}"#, "1x30"), ("kagiban_host_api_up", "1x30")]],
    },
    Case {
        alert: "KagibanRenewalBlocked",
        minute: 16,
        alerts: 1,
        // Ten days of a renewal that began twenty days ago.
        fires: &[
            (r#"kagiban_certificate_not_after_timestamp_seconds{namespace="n",name="a"}"#, "864000x30"),
            (r#"kagiban_certificate_renewal_timestamp_seconds{namespace="n",name="a"}"#, "-1728000x30"),
            (r#"kagiban_certificate_blocked{namespace="n",name="a",reason="OnBattery"}"#, "1x30"),
        ],
        silent: &[
            // Not blocked.
            &[
                (r#"kagiban_certificate_not_after_timestamp_seconds{namespace="n",name="a"}"#, "864000x30"),
                (r#"kagiban_certificate_renewal_timestamp_seconds{namespace="n",name="a"}"#, "-1728000x30"),
                (r#"kagiban_certificate_blocked{namespace="n",name="b",reason="OnBattery"}"#, "1x30"),
            ],
            // Blocked, with most of the time left.
            &[
                (r#"kagiban_certificate_not_after_timestamp_seconds{namespace="n",name="a"}"#, "1728000x30"),
                (r#"kagiban_certificate_renewal_timestamp_seconds{namespace="n",name="a"}"#, "-864000x30"),
                (r#"kagiban_certificate_blocked{namespace="n",name="a",reason="OnBattery"}"#, "1x30"),
            ],
        ],
    },
    Case {
        alert: "KagibanFleetCredentialEnding",
        minute: 61,
        alerts: 2,
        fires: &[
            (r#"kagiban_operator_issuer_not_after_timestamp_seconds{name="ca"}"#, "2500000x70"),
            (r#"kagiban_operator_client_certificate_not_after_timestamp_seconds{name="client"}"#, "1200000x70"),
        ],
        silent: &[&[
            (r#"kagiban_operator_issuer_not_after_timestamp_seconds{name="ca"}"#, "2700000x70"),
            (r#"kagiban_operator_client_certificate_not_after_timestamp_seconds{name="client"}"#, "1300000x70"),
        ]],
    },
    Case {
        alert: "KagibanHostApiCertificateEnding",
        minute: 61,
        alerts: 1,
        fires: &[(r#"kagiban_host_api_certificate_not_after_timestamp_seconds{instance="a"}"#, "1200000x70")],
        silent: &[&[(r#"kagiban_host_api_certificate_not_after_timestamp_seconds{instance="a"}"#, "1300000x70")]],
    },
    Case {
        alert: "KagibanUpsOnBattery",
        minute: 2,
        alerts: 2,
        // The UPS of one name that tests itself is another host's.
        fires: &[
            (r#"ups_status{ups="a",status="on_battery"}"#, "1x5"),
            (r#"ups_status{ups="a",status="on_battery",host="win-01"}"#, "1x5"),
            (r#"ups_status{ups="a",status="on_battery",host="win-02"}"#, "1x5"),
            (r#"ups_status{ups="a",status="testing",host="win-02"}"#, "1x5"),
        ],
        silent: &[
            &[(r#"ups_status{ups="a",status="on_battery"}"#, "0x5"), (r#"ups_status{ups="a",status="online"}"#, "1x5")],
            &[
                (r#"ups_status{ups="a",status="on_battery"}"#, "1x5"),
                (r#"ups_status{ups="a",status="testing"}"#, "1x5"),
            ],
            &[
                (r#"ups_status{ups="a",status="on_battery"}"#, "1x5"),
                (r#"ups_status{ups="a",status="calibrating"}"#, "1x5"),
            ],
        ],
    },
    Case {
        alert: "KagibanUpsLowBattery",
        minute: 1,
        alerts: 1,
        fires: &[(r#"ups_status{ups="a",status="low_battery"}"#, "1x5")],
        silent: &[
            &[(r#"ups_status{ups="a",status="low_battery"}"#, "0x5")],
            &[
                (r#"ups_status{ups="a",status="low_battery"}"#, "1x5"),
                (r#"ups_status{ups="a",status="calibrating"}"#, "1x5"),
            ],
        ],
    },
    Case {
        alert: "KagibanUpsReplaceBattery",
        minute: 61,
        alerts: 2,
        fires: &[
            (r#"ups_status{ups="a",status="replace_battery"}"#, "1x70"),
            (r#"ups_self_test_result{ups="b",result="failed"}"#, "1x70"),
        ],
        silent: &[&[
            (r#"ups_status{ups="a",status="replace_battery"}"#, "0x70"),
            (r#"ups_self_test_result{ups="b",result="failed"}"#, "0x70"),
            (r#"ups_self_test_result{ups="b",result="passed"}"#, "1x70"),
        ]],
    },
    Case {
        alert: "KagibanUpsSilent",
        minute: 6,
        alerts: 1,
        fires: &[(r#"ups_up{ups="a"}"#, "0x10")],
        silent: &[&[(r#"ups_up{ups="a"}"#, "1x10")], &[(r#"ups_up{ups="a"}"#, "0x3 1x10")]],
    },
    Case {
        alert: "KagibanShutdownPending",
        minute: 1,
        alerts: 1,
        fires: &[(r#"host_shutdown_state{state="ups_pending"}"#, "1x5")],
        silent: &[&[
            (r#"host_shutdown_state{state="ups_pending"}"#, "0x5"),
            (r#"host_shutdown_state{state="scheduled"}"#, "1x5"),
            ("host_shutdown_pending", "1x5"),
        ]],
    },
    Case {
        alert: "KagibanShutdownInProgress",
        minute: 1,
        alerts: 1,
        fires: &[
            (r#"host_shutdown_state{state="in_progress"}"#, "1x5"),
            (r#"host_shutdown_trigger{trigger="nut_fsd"}"#, "1x5"),
        ],
        silent: &[
            // Somebody reboots it.
            &[
                (r#"host_shutdown_state{state="in_progress"}"#, "1x5"),
                (r#"host_shutdown_trigger{trigger="systemd_preparing"}"#, "1x5"),
                (r#"host_shutdown_trigger{trigger="nut_fsd"}"#, "0x5"),
            ],
            &[(r#"host_shutdown_state{state="in_progress"}"#, "0x5")],
        ],
    },
    Case {
        alert: "KagibanHostSilentAfterShutdown",
        minute: 15,
        alerts: 1,
        fires: &[
            (r#"up{job="j",instance="a"}"#, "1x2 0x20"),
            (r#"host_shutdown_pending{job="j",instance="a"}"#, "1x2 stale"),
        ],
        silent: &[
            // It went without a word; it is back after five minutes.
            &[
                (r#"up{job="j",instance="a"}"#, "1x2 0x20"),
                (r#"host_shutdown_pending{job="j",instance="a"}"#, "0x2 stale"),
            ],
            &[
                (r#"up{job="j",instance="a"}"#, "1x2 0x5 1x20"),
                (r#"host_shutdown_pending{job="j",instance="a"}"#, "1x2 stale"),
            ],
        ],
    },
    Case {
        alert: "KagibanRackOnBattery",
        minute: 5,
        alerts: 2,
        fires: &[
            (r#"host_shutdown_state{job="j",instance="a",rack="r",state="ups_on_battery"}"#, "1x10"),
            // Of this one only its silence is left.
            (r#"up{job="j",instance="b",rack="s"}"#, "1x1 0x10"),
            (r#"host_shutdown_trigger{job="j",instance="b",rack="s",trigger="nut_fsd"}"#, "1x1 stale"),
        ],
        silent: &[&[
            (r#"host_shutdown_state{job="j",instance="a",rack="r",state="ups_on_battery"}"#, "0x10"),
            (r#"host_shutdown_state{job="j",instance="b",state="ups_on_battery"}"#, "1x10"),
            (r#"host_shutdown_trigger{job="j",instance="a",rack="r",trigger="systemd_schedule"}"#, "1x10"),
            (r#"up{job="j",instance="c",rack="r"}"#, "1x1 0x10"),
        ]],
    },
    Case {
        alert: "KagibanRackShutdown",
        minute: 5,
        alerts: 3,
        fires: &[
            (r#"host_shutdown_state{job="j",instance="a",rack="r",state="ups_low_battery"}"#, "1x10"),
            (r#"host_shutdown_trigger{job="j",instance="c",rack="t",trigger="nut_timer"}"#, "1x10"),
            (r#"up{job="j",instance="b",rack="s"}"#, "1x1 0x10"),
            (r#"host_shutdown_trigger{job="j",instance="b",rack="s",trigger="nut_fsd"}"#, "1x1 stale"),
        ],
        silent: &[&[
            (r#"host_shutdown_state{job="j",instance="a",rack="r",state="ups_on_battery"}"#, "1x10"),
            (r#"host_shutdown_state{job="j",instance="b",state="ups_low_battery"}"#, "1x10"),
            (r#"host_shutdown_trigger{job="j",instance="a",rack="r",trigger="systemd_schedule"}"#, "1x10"),
            (r#"up{job="j",instance="c",rack="r"}"#, "1x1 0x10"),
            (r#"host_shutdown_trigger{job="j",instance="c",rack="r",trigger="systemd_preparing"}"#, "1x1 stale"),
        ]],
    },
    Case {
        alert: "KagibanExporterGone",
        minute: 15,
        alerts: 1,
        fires: &[
            (r#"up{job="j",instance="a"}"#, "1x2 0x20"),
            (r#"kagiban_build_info{job="j",instance="a",program="kagiban-exporter"}"#, "1x2 stale"),
        ],
        silent: &[
            // Another program's target; one that went down as announced.
            &[
                (r#"up{job="node",instance="a"}"#, "1x2 0x20"),
                (r#"up{job="j",instance="b"}"#, "1x2 0x20"),
                (r#"kagiban_build_info{job="j",instance="b",program="kagiban-exporter"}"#, "1x2 stale"),
                (r#"host_shutdown_pending{job="j",instance="b"}"#, "1x2 stale"),
            ],
            &[
                (r#"up{job="j",instance="a"}"#, "1x20"),
                (r#"kagiban_build_info{job="j",instance="a",program="kagiban-exporter"}"#, "1x20"),
            ],
        ],
    },
    Case {
        alert: "KagibanOperatorGone",
        minute: 15,
        alerts: 1,
        fires: &[(r#"kagiban_operator_leader{instance="a"}"#, "1x2 stale")],
        silent: &[
            // Another replica leads now.
            &[
                (r#"kagiban_operator_leader{instance="a"}"#, "1x2 0x20"),
                (r#"kagiban_operator_leader{instance="b"}"#, "0x2 1x20"),
            ],
        ],
    },
    Case {
        alert: "KagibanOperatorBehind",
        minute: 45,
        alerts: 4,
        fires: &[
            (r#"kagiban_operator_resources_overdue{instance="a"}"#, "1x50"),
            (r#"kagiban_operator_resources_left_out{instance="b"}"#, "1x50"),
            (r#"kagiban_operator_last_list_timestamp_seconds{instance="c"}"#, "0x50"),
            (r#"kagiban_operator_leader{instance="c"}"#, "1x50"),
            (r#"kagiban_manifest_last_read_timestamp_seconds{instance="d"}"#, "0x50"),
        ],
        silent: &[&[
            (r#"kagiban_operator_resources_overdue{instance="a"}"#, "0x50"),
            (r#"kagiban_operator_resources_left_out{instance="a"}"#, "0x50"),
            (r#"kagiban_operator_last_list_timestamp_seconds{instance="a"}"#, "0+60x50"),
            (r#"kagiban_operator_leader{instance="a"}"#, "1x50"),
            (r#"kagiban_manifest_last_read_timestamp_seconds{instance="a"}"#, "0+60x50"),
        ]],
    },
    Case {
        alert: "KagibanConfigurationRefused",
        minute: 6,
        alerts: 5,
        fires: &[
            (r#"kagiban_config_last_reload_successful{instance="a"}"#, "0x10"),
            (r#"kagiban_web_config_last_reload_successful{instance="b"}"#, "0x10"),
            (r#"kagiban_host_api_tls_last_reload_successful{instance="c"}"#, "0x10"),
            (r#"kagiban_resources_unreadable{instance="d"}"#, "2x10"),
            (r#"kagiban_manifest_problems{instance="e"}"#, "1x10"),
        ],
        silent: &[&[
            (r#"kagiban_config_last_reload_successful{instance="a"}"#, "1x10"),
            (r#"kagiban_web_config_last_reload_successful{instance="a"}"#, "1x10"),
            (r#"kagiban_host_api_tls_last_reload_successful{instance="a"}"#, "1x10"),
            (r#"kagiban_resources_unreadable{instance="d"}"#, "0x10"),
            (r#"kagiban_manifest_problems{instance="e"}"#, "0x10"),
        ]],
    },
    Case {
        alert: "KagibanDeletionsHeld",
        minute: 20,
        alerts: 1,
        fires: &[(r#"kagiban_manifest_deletions_held{instance="e"}"#, "5x30")],
        // None are, and some that came back.
        silent: &[
            &[(r#"kagiban_manifest_deletions_held{instance="e"}"#, "0x30")],
            &[(r#"kagiban_manifest_deletions_held{instance="e"}"#, "5x10 0x20")],
        ],
    },
    Case {
        alert: "KagibanHardeningRegression",
        minute: 30,
        alerts: 2,
        fires: &[
            (r#"kagiban_powerchute_check{check="jre_recent"}"#, "1x5 0x30"),
            (r#"kagiban_ups_check{check="snmp_v3_strong"}"#, "1x5 0x30"),
        ],
        silent: &[&[
            (r#"kagiban_powerchute_check{check="jre_recent"}"#, "0x40"),
            (r#"kagiban_powerchute_check{check="old_tls_refused"}"#, "0x5 1x40"),
            (r#"kagiban_ups_check{check="snmp_v3_strong"}"#, "0x40"),
        ]],
    },
];

#[test]
fn every_alert_has_a_case() -> Result<()> {
    let cases: Vec<_> = CASES.iter().map(|case| case.alert.to_owned()).collect();
    let mut named = names()?;
    named.sort();
    let mut sorted = cases.clone();
    sorted.sort();
    ensure!(sorted == named, "cases: {sorted:?}\nrules: {named:?}");
    let empty: Vec<_> = CASES.iter().filter(|c| c.fires.is_empty() || c.silent.is_empty()).map(|c| c.alert).collect();
    ensure!(empty.is_empty(), "no case for firing, or none for silence: {empty:?}");
    Ok(())
}

/// Of several series of `fires` each must give an alert of its own: so each branch of an `or` is seen.
#[test]
fn each_fires_is_silent_and_is_silent_without_its_series() -> Result<()> {
    let directory = scratch::directory("alerts")?;
    let mut tests = Vec::new();
    for case in CASES {
        tests.push(test(case, case.fires, case.alerts));
        tests.extend(case.silent.iter().map(|series| test(case, series, 0)));
        tests.push(test(case, &[("unrelated", "1x80")], 0));
    }
    let file = directory.join("alerts.test.yaml");
    let all = json!({"rule_files": rules::files()?, "evaluation_interval": "1m", "tests": tests});
    fs::write(&file, serde_yaml::to_string(&all)?)?;
    process::run(Command::new(tools::promtool()?).args(["test", "rules"]).arg(file)).map(drop)
}

fn test(case: &Case, series: Series, firing: u32) -> Value {
    let series: Vec<_> = series.iter().map(|(series, values)| json!({"series": series, "values": values})).collect();
    let expression = format!("count(ALERTS{{alertname={:?},alertstate=\"firing\"}})", case.alert);
    let expected = if firing == 0 { json!([]) } else { json!([{"labels": "{}", "value": firing}]) };
    json!({
        "interval": "1m",
        "input_series": series,
        "promql_expr_test": [{"expr": expression, "eval_time": format!("{}m", case.minute), "exp_samples": expected}],
    })
}

/// With the instance where it is the exporter's own, and with the host where that is looked at from outside.
#[test]
fn an_alert_names_the_host_that_it_is_about() -> Result<()> {
    let directory = scratch::directory("alerts-outside")?;
    let cert = "x509_cert_not_after_timestamp_seconds{instance=\"ups-01\",role=\"leaf\",source=\"s\",target=\"t\",subject_cn=\"cn\"";
    let ups = "ups_up{instance=\"ups-01\",ups=\"rack-a\",backend=\"snmp\",target=\"t\"";
    let outside = ",host=\"win-01\"}";
    let series = [format!("{cert}}}"), format!("{cert}{outside}"), format!("{ups}}}"), format!("{ups}{outside}")];
    let values = ["518400x30", "518400x30", "0x30", "0x30"];
    let series = series.iter().zip(values).map(|(series, values)| json!({"series": series, "values": values}));
    let alerts = |name: &str, area: &str, severity: &str, labels: Value, own: [&str; 2], other: [&str; 2]| {
        let expected = |host: Option<&str>, [summary, description]: [&str; 2]| {
            let mut labels = labels.clone();
            labels["instance"] = json!("ups-01");
            labels["severity"] = json!(severity);
            labels["area"] = json!(area);
            if let Some(host) = host {
                labels["host"] = json!(host);
            }
            let runbook = format!("{RUNBOOKS}{name}.md");
            let said = json!({"summary": summary, "description": description, "runbook_url": runbook});
            json!({"exp_labels": labels, "exp_annotations": said})
        };
        json!({
            "eval_time": "20m",
            "alertname": name,
            "exp_alerts": [expected(None, own), expected(Some("win-01"), other)],
        })
    };
    let left = "cn in t has 5d 23h 40m 0s left; a negative time is how long ago it ended.";
    let outside = format!("{left} ups-01 sees it from outside.");
    let silent = "ups-01 has not heard it through snmp at t for five minutes. Its state is unknown";
    let tests = json!([{
        "interval": "1m",
        "input_series": series.collect::<Vec<_>>(),
        "alert_rule_test": [
            alerts(
                "KagibanCertificateEndingCritical",
                "certificates",
                "critical",
                json!({"role": "leaf", "source": "s", "target": "t", "subject_cn": "cn"}),
                ["A certificate on ups-01 is about to end, or has ended", left],
                ["A certificate on win-01 is about to end, or has ended", &outside],
            ),
            alerts(
                "KagibanUpsSilent",
                "power",
                "warning",
                json!({"ups": "rack-a", "backend": "snmp", "target": "t"}),
                ["The UPS rack-a is not heard", &format!("{silent}, and rotations wait.")],
                ["The UPS rack-a of win-01 is not heard", &format!("{silent}.")],
            ),
        ],
    }]);
    let file = directory.join("outside.test.yaml");
    let all = json!({"rule_files": rules::files()?, "evaluation_interval": "1m", "tests": tests});
    fs::write(&file, serde_yaml::to_string(&all)?)?;
    process::run(Command::new(tools::promtool()?).args(["test", "rules"]).arg(file)).map(drop)
}

#[test]
fn every_alert_tells_a_person_what_to_do() -> Result<()> {
    for rule in rules::all()? {
        let name = rule["alert"].as_str().context("no alert")?;
        for text in ["summary", "description"] {
            ensure!(rule["annotations"][text].as_str().is_some_and(|text| text.len() > 20), "{name} has no {text}");
        }
        let severity = rule["labels"]["severity"].as_str().unwrap_or_default();
        ensure!(["warning", "critical"].contains(&severity), "{name}: severity {severity:?}");
        let expected = format!("{RUNBOOKS}{name}.md");
        ensure!(rule["annotations"]["runbook_url"] == expected.as_str(), "{name}: runbook_url is not {expected}");
        let file = tools::workspace().join(format!("docs/runbooks/{name}.md"));
        let runbook = fs::read_to_string(&file).with_context(|| format!("{}", file.display()))?;
        let severity = format!("Severity: {severity}.");
        for part in [severity.as_str(), "## What it means", "## What is seen", "## What to check", "## How it ends"] {
            ensure!(runbook.contains(part), "{}: {part} is missing", file.display());
        }
    }
    let runbooks = fs::read_dir(tools::workspace().join("docs/runbooks"))?;
    let runbooks = runbooks.map(|entry| Ok(entry?.file_name().to_string_lossy().trim_end_matches(".md").to_owned()));
    let mut runbooks = runbooks.collect::<Result<BTreeSet<_>>>()?;
    ensure!(runbooks.remove("README"), "docs/runbooks has no README.md");
    let index = fs::read_to_string(tools::workspace().join("docs/runbooks/README.md"))?;
    for name in &runbooks {
        ensure!(index.contains(&format!("[{name}]({name}.md)")), "docs/runbooks/README.md does not list {name}");
    }
    let names: BTreeSet<_> = names()?.into_iter().collect();
    ensure!(runbooks == names, "runbooks without an alert: {:?}", runbooks.difference(&names));
    Ok(())
}

#[test]
fn the_documentation_has_every_alert() -> Result<()> {
    kagiban_docs::check_part("docs/alerts.md", TABLE, &table()?)
}

fn table() -> Result<String> {
    let mut out = "| alert | severity | after | says |\n|---|---|---|---|\n".to_owned();
    for rule in rules::all()? {
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let name = word(&rule["alert"]);
        let wait = rule["for"].as_str().unwrap_or("at once");
        // `{{ $labels.host }}` is read as HOST, and what is there only of a host that is looked at from outside not at all.
        let mut says = word(&rule["annotations"]["summary"]);
        while let Some((start, end)) = says.find("{{ with").zip(says.find("{{ end }}")) {
            says.replace_range(start..end + "{{ end }}".len(), "");
        }
        while let Some((start, end)) = says.find("{{").zip(says.find("}}")) {
            let inner = says[start + 2..end].trim();
            // What is counted is of no label
            let label = if inner == "$value" { "N" } else { inner.rsplit('.').next().unwrap_or_default() };
            let label = label.to_uppercase();
            says.replace_range(start..end + 2, &label);
        }
        let severity = word(&rule["labels"]["severity"]);
        writeln!(out, "| [{name}](runbooks/{name}.md) | {severity} | {wait} | {says} |")?;
    }
    Ok(out)
}

fn names() -> Result<Vec<String>> {
    rules::all()?.iter().map(|rule| Ok(rule["alert"].as_str().context("no alert")?.to_owned())).collect()
}
