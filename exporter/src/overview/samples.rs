//! Values for tests.

use std::sync::Arc;

use jiff::Timestamp;

use crate::snapshot::{CertificateFacts, Label, Role, SeenCertificate};

pub(crate) const NOW: Timestamp = Timestamp::constant(1_750_000_000, 0);
const DAY: i64 = 86_400;

pub(crate) fn certificate(name: &str, role: Role, days: i64) -> SeenCertificate {
    let facts = CertificateFacts {
        sha256: [1; 32],
        subject: Label::new(&format!("CN={name}")),
        issuer: Label::new("CN=Fleet CA"),
        subject_cn: Some(Label::new(name)),
        issuer_cn: Some(Label::new("Fleet CA")),
        serial: Label::new("1f"),
        not_before: 0,
        not_after: NOW.as_second() + days * DAY,
        san: Label::new(name),
        key_algorithm: Label::new("RSA"),
        key_bits: Some(Label::new("2048")),
        signature_algorithm: Label::new("SHA256withRSA"),
    };
    SeenCertificate {
        alias: Label::new("securekey"),
        chain_index: 0,
        role,
        has_private_key: None,
        facts: Arc::new(facts),
    }
}
