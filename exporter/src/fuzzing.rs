//! What reads bytes from outside, each behind one function that takes any: for the fuzzer in `tests/fuzz`, and for the test
//! that gives them its seeds and everything that ever broke them.

use std::path::Path;

use kagiban_keystore::{Certificate, Format, Limits};
use secrecy::SecretString;

use crate::snapshot::SeenCertificate;

/// A reader and its name.
pub type Target = (&'static str, fn(&[u8]));

/// Every target, by the name of its directories in `tests/fuzz`.
pub const TARGETS: &[Target] = &[
    ("alert_log", alert_log),
    ("alert_mail", alert_mail),
    ("certificate", certificate),
    ("client_list", client_list),
    ("config", config),
    ("event_log", event_log),
    ("event_log_text", event_log_text),
    ("first_flight", first_flight),
    ("inventory", inventory),
    ("keystore", keystore),
    ("nis", nis),
    ("nut", nut),
    ("program_version", program_version),
    ("snmp", snmp),
    ("web_page", web_page),
];

/// The configuration, with its checks of patterns, durations and names.
pub fn config(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        // Refused or not: it must come back.
        let _ = crate::config::parse(text, Path::new("exporter.yaml"));
    }
}

/// A mail, or a box of them, that may hold alerts.
pub fn alert_mail(bytes: &[u8]) {
    crate::sources::fuzz_alert_mail(bytes);
}

/// A log that was exported as CSV.
pub fn alert_log(bytes: &[u8]) {
    crate::sources::fuzz_alert_log(bytes);
}

/// A list of clients that a product's own program has written.
pub fn client_list(bytes: &[u8]) {
    crate::sources::fuzz_client_list(bytes);
}

/// A list of agents, or of servers, that Apex Central has sent.
pub fn inventory(bytes: &[u8]) {
    crate::sources::fuzz_inventory(bytes);
}

/// The version of a program for Windows.
pub fn program_version(bytes: &[u8]) {
    crate::sources::fuzz_program(bytes);
}

/// One certificate, as far as it can be read. One without defects is shown by its own bytes.
pub fn certificate(bytes: &[u8]) {
    if let Ok(seen) = Certificate::observe(bytes)
        && seen.defects().is_empty()
    {
        assert_eq!(seen.der(), bytes);
    }
}

/// Every format of keystore, with no password, a wrong or a right one, and what is kept of it.
pub fn keystore(bytes: &[u8]) {
    // A key derivation at the usual limit takes a second: here it only has to be started.
    let limits = Limits { max_iterations: 2_000, max_total_iterations: 4_000, ..Limits::default() };
    for password in [None, Some(SecretString::from("changeit"))] {
        if let Ok(store) = kagiban_keystore::read(bytes, password.as_ref(), &limits) {
            SeenCertificate::stored(&store.entries);
            // Who writes takes no store of which a part was not understood, but for what lies in nested safes.
            let whole = kagiban_keystore::read_whole(bytes, password.as_ref(), &limits);
            assert!(whole.is_err() || store.faults.is_empty() || store.format == Format::Pkcs12);
        }
    }
}

/// What a server of TLS 1.2 or older says in the clear.
pub fn first_flight(bytes: &[u8]) {
    crate::probe::fuzz_first_flight(bytes);
}

/// What upsd sends, through parser and mapping.
pub fn nut(bytes: &[u8]) {
    crate::sources::read_nut_bytes(bytes);
}

/// What apcupsd sends, through parser and mapping.
pub fn nis(bytes: &[u8]) {
    crate::sources::read_nis_bytes(bytes);
}

/// A datagram of an SNMP agent, as a reply and as a trap.
pub fn snmp(bytes: &[u8]) {
    crate::sources::read_snmp_bytes(bytes);
}

/// A status page of the PowerChute web UI.
pub fn web_page(bytes: &[u8]) {
    let _ = crate::sources::read_page(bytes);
}

/// `EventLog` of PowerChute, a Java serialization stream.
pub fn event_log(bytes: &[u8]) {
    crate::sources::fuzz_event_log(bytes);
}

/// `EventLog.txt` of PowerChute Network Shutdown.
pub fn event_log_text(bytes: &[u8]) {
    crate::sources::fuzz_event_log_text(bytes);
}
