//! What is compared of a certificate, as openssl and our program tell it.

use std::path::Path;
use std::process::{Command, Stdio};

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) sha256: String,
    pub(crate) serial: String,
    /// Seconds since 1970.
    pub(crate) from: i64,
    pub(crate) until: i64,
}

/// A hexadecimal number in one spelling.
pub(crate) fn number(text: &str) -> String {
    let text = text.to_lowercase();
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("-", digits));
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() { "0".to_owned() } else { format!("{sign}{digits}") }
}

/// RFC 3339 to seconds; the calendar of a `Timestamp` ends a day before that of X.509.
pub(crate) fn seconds(text: &str) -> i64 {
    let text = text.trim().trim_end_matches('Z').replace('T', " ");
    let time: jiff::civil::DateTime = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
    let epoch = Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC).datetime();
    time.duration_since(epoch).as_secs()
}

/// What openssl says of a certificate in DER.
pub(crate) fn by_openssl(file: &Path) -> Option<Facts> {
    let fields = ["-noout", "-serial", "-startdate", "-enddate", "-dateopt", "iso_8601", "-fingerprint", "-sha256"];
    let said = openssl(&[&["x509", "-inform", "DER", "-in", file.to_str()?], &fields[..]].concat())?;
    let said = String::from_utf8(said).ok()?;
    let value = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    Some(Facts {
        sha256: value("sha256 Fingerprint")?.replace(':', "").to_lowercase(),
        serial: number(value("serial")?),
        from: seconds(value("notBefore")?),
        until: seconds(value("notAfter")?),
    })
}

/// The digests of the certificates that openssl prints in PEM; `None` when it fails.
pub(crate) fn printed_by_openssl(arguments: &[&str]) -> Option<Vec<String>> {
    let said = openssl(arguments)?;
    let certificates = CertificateDer::pem_slice_iter(&said).map(|der| hex::encode(Sha256::digest(der.ok()?)).into());
    certificates.collect()
}

pub(crate) fn openssl(arguments: &[&str]) -> Option<Vec<u8>> {
    let done = Command::new("openssl").args(arguments).stdin(Stdio::null()).output();
    let done = done.expect("openssl is needed: install openssl");
    done.status.success().then_some(done.stdout)
}
