//! A store in JSON for scripts, and in words for people.

use std::fmt;
use std::io::{self, Write};

use jiff::Timestamp;
use kagiban_keystore::{Certificate, Entry, EntryKind, Fault, Format, PasswordCheck, Store};
use serde::Serialize;

use crate::overview::Count;
use crate::snapshot::{is_deceptive, split_key_algorithm};

const SECONDS_PER_DAY: i64 = 86_400;

/// The JSON that scripts count on: keys are only ever added.
#[derive(Serialize)]
struct StoreJson<'a> {
    format: &'static str,
    password: &'static str,
    entries: Vec<EntryJson<'a>>,
    /// Parts that could not be read; left out when there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unreadable: Vec<UnreadableJson<'a>>,
}

#[derive(Serialize)]
struct UnreadableJson<'a> {
    place: &'a str,
    reason: &'static str,
    message: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EntryJson<'a> {
    alias: &'a str,
    /// A PKCS#12's own name for it; left out where it has none, and Java would call it by a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    friendly_name: Option<&'a str>,
    kind: &'static str,
    /// Whether the store holds its private key.
    private_key: bool,
    chain: Vec<CertificateJson<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CertificateJson<'a> {
    sha256: String,
    subject: &'a str,
    issuer: &'a str,
    serial: &'a str,
    /// As `RSA`, `EC-P256` or `Ed25519`.
    key_algorithm: &'a str,
    /// In bits; left out where the algorithm's name says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_size: Option<u64>,
    not_before: String,
    not_after: String,
    /// What of the certificate could not be read or is not as it should be; left out when there is nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    defects: Vec<&'static str>,
}

/// What a command about this host's state prints for scripts.
pub(super) fn pretty_json<T: Serialize>(value: &T, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

pub(super) fn json(store: &Store, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &StoreJson::from(store))?;
    writeln!(out)
}

impl<'a> From<&'a Store> for StoreJson<'a> {
    fn from(store: &'a Store) -> Self {
        let entries = store.entries.iter().map(|entry| EntryJson::of(entry, store.format)).collect();
        let unreadable = store.faults.iter().map(UnreadableJson::from).collect();
        Self { format: store.format.as_str(), password: store.password.as_str(), entries, unreadable }
    }
}

impl<'a> From<&'a Fault> for UnreadableJson<'a> {
    fn from(Fault { place, cause }: &'a Fault) -> Self {
        Self { place, reason: cause.reason(), message: cause.of_part() }
    }
}

impl<'a> EntryJson<'a> {
    fn of(entry: &'a Entry, format: Format) -> Self {
        let is_number = entry.alias.bytes().all(|byte| byte.is_ascii_digit());
        Self {
            alias: &entry.alias,
            friendly_name: (format == Format::Pkcs12 && !is_number).then_some(entry.alias.as_str()),
            kind: entry.kind.as_str(),
            private_key: entry.kind == EntryKind::Key,
            chain: entry.chain.iter().map(CertificateJson::from).collect(),
        }
    }
}

impl<'a> From<&'a Certificate> for CertificateJson<'a> {
    fn from(certificate: &'a Certificate) -> Self {
        let (key_algorithm, key_size) = split_key_algorithm(certificate.key_algorithm());
        Self {
            key_algorithm,
            key_size: key_size.and_then(|bits| bits.parse().ok()),
            sha256: hex::encode(certificate.sha256()),
            subject: certificate.subject(),
            issuer: certificate.issuer(),
            serial: certificate.serial(),
            not_before: certificate.not_before().to_string(),
            not_after: certificate.not_after().to_string(),
            defects: certificate.defects().iter().map(|defect| defect.as_str()).collect(),
        }
    }
}

pub(super) fn text(store: &Store, now: Timestamp, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "Keystore type: {}", store.format.as_str().to_uppercase())?;
    writeln!(out, "Password: {}", words_for(store.password))?;
    writeln!(out, "Entries: {}", store.entries.len())?;
    for entry in &store.entries {
        writeln!(out)?;
        if !entry.alias.is_empty() {
            writeln!(out, "Alias: {}", Printable(&entry.alias))?;
        }
        writeln!(out, "Entry type: {}", kind_in_words(entry.kind))?;
        if entry.kind == EntryKind::Key {
            writeln!(out, "Certificate chain length: {}", entry.chain.len())?;
        }
        for (position, certificate) in entry.chain.iter().enumerate() {
            if entry.chain.len() > 1 {
                writeln!(out, "Certificate [{}]:", position + 1)?;
            }
            describe(certificate, now, out)?;
        }
    }
    for fault in &store.faults {
        writeln!(out, "\nUnreadable: {}", Printable(&fault.to_string()))?;
    }
    Ok(())
}

fn describe(certificate: &Certificate, now: Timestamp, out: &mut dyn Write) -> io::Result<()> {
    let days = (certificate.not_after().as_second() - now.as_second()).div_euclid(SECONDS_PER_DAY);
    let number = Count(usize::try_from(days.unsigned_abs()).unwrap_or(usize::MAX), "day");
    let left = if days < 0 { format!("expired {number} ago") } else { format!("{number} left") };
    writeln!(out, "  Subject: {}", Printable(certificate.subject()))?;
    writeln!(out, "  Issuer: {}", Printable(certificate.issuer()))?;
    writeln!(out, "  Serial number: {}", Printable(certificate.serial()))?;
    writeln!(out, "  Valid from {} until {} ({left})", certificate.not_before(), certificate.not_after())?;
    let addresses = certificate.ip_addresses().iter().map(ToString::to_string);
    let names: Vec<_> = certificate.dns_names().iter().cloned().chain(addresses).collect();
    if !names.is_empty() {
        writeln!(out, "  Alternative names: {}", Printable(&names.join(", ")))?;
    }
    writeln!(out, "  Public key: {}", Printable(certificate.key_algorithm()))?;
    writeln!(out, "  Signature algorithm: {}", Printable(certificate.signature_algorithm()))?;
    for defect in certificate.defects() {
        writeln!(out, "  Flaw: {defect}")?;
    }
    writeln!(out, "  SHA-256: {}", hex::encode(certificate.sha256()))
}

const fn words_for(check: PasswordCheck) -> &'static str {
    match check {
        PasswordCheck::Verified => "verified",
        PasswordCheck::Wrong => "wrong, or the store was tampered with; the certificates can be read all the same",
        PasswordCheck::NotGiven => "not given; the store's integrity was not checked",
        PasswordCheck::Empty => "none given, and the empty one opens it: who can read the file can read its keys",
        PasswordCheck::NoneNeeded => "none needed",
    }
}

const fn kind_in_words(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Key => "private key",
        EntryKind::Trusted => "trusted certificate",
        EntryKind::Secret => "secret key",
        EntryKind::Certificate => "certificate",
    }
}

/// Text from a store, for a terminal.
pub(crate) struct Printable<'a>(pub(crate) &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .chars()
            .try_for_each(|c| if is_deceptive(c) { write!(f, "{}", c.escape_default()) } else { write!(f, "{c}") })
    }
}
