//! What rendering needs of a certificate, and no more: thousands of them are kept.

use std::sync::Arc;

use kagiban_keystore::{Certificate, Entry, EntryKind};

use super::Label;
use crate::probe::ServedChain;

/// A chain of hundreds of names would make one label of kilobytes; the label is cut there anyway.
const MAX_SHOWN_NAMES: usize = 64;

/// What a certificate says, bounded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    pub sha256: [u8; 32],
    pub subject: Label,
    pub issuer: Label,
    /// Absent where the name has no common name.
    pub subject_cn: Option<Label>,
    pub issuer_cn: Option<Label>,
    /// Hexadecimal, lower case, no leading zeros.
    pub serial: Label,
    /// Seconds since 1970.
    pub not_before: i64,
    /// Seconds since 1970.
    pub not_after: i64,
    /// DNS names and IP addresses, separated by commas.
    pub san: Label,
    /// As `RSA`.
    pub key_algorithm: Label,
    /// As `2048`; absent where the algorithm's name says it.
    pub key_bits: Option<Label>,
    pub signature_algorithm: Label,
}

/// What a certificate is for, where it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Leaf,
    Intermediate,
    Root,
    Trusted,
}

/// A certificate, and where it stood in its file or handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenCertificate {
    /// Empty where the format has none.
    pub alias: Label,
    /// Counted among the certificates of one alias.
    pub chain_index: usize,
    pub role: Role,
    /// Whether there is a private key for it; known of the system's own stores alone.
    pub has_private_key: Option<bool>,
    pub facts: Arc<CertificateFacts>,
}

impl Role {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Leaf => "leaf",
            Self::Intermediate => "intermediate",
            Self::Root => "root",
            Self::Trusted => "trusted",
        }
    }

    /// The first certificate of a key's chain is its leaf even when it signed itself.
    fn of(kind: EntryKind, position: usize, certificate: &Certificate) -> Self {
        match kind {
            EntryKind::Trusted => Self::Trusted,
            EntryKind::Key | EntryKind::Secret if position == 0 => Self::Leaf,
            EntryKind::Certificate if !certificate.is_ca() => Self::Leaf,
            _ if certificate.is_self_issued() => Self::Root,
            _ => Self::Intermediate,
        }
    }
}

impl SeenCertificate {
    /// What can be read of a chain as a server showed it, leaf first.
    pub fn served(chain: &ServedChain) -> Vec<Self> {
        let seen = |(place, certificate): &(usize, Certificate)| Self {
            alias: Label::shared(""),
            chain_index: *place,
            role: Role::of(EntryKind::Key, *place, certificate),
            has_private_key: None,
            facts: Arc::new(CertificateFacts::of(certificate)),
        };
        chain.certificates().iter().map(seen).collect()
    }

    /// Every certificate of a store, in its order.
    pub fn stored(entries: &[Entry]) -> Vec<Self> {
        let numbers = number_chain(entries.iter().flat_map(|e| e.chain.iter().map(|_| e.alias.as_str())));
        let placed = entries.iter().flat_map(|e| e.chain.iter().enumerate().map(move |(i, c)| (e, i, c)));
        let seen = |((entry, position, certificate), chain_index): ((&Entry, usize, &Certificate), usize)| Self {
            alias: if entry.alias.is_empty() { Label::shared("") } else { Label::new(&entry.alias) },
            chain_index,
            role: Role::of(entry.kind, position, certificate),
            has_private_key: None,
            facts: Arc::new(CertificateFacts::of(certificate)),
        };
        placed.zip(numbers).map(seen).collect()
    }
}

/// Numbers certificates among those of the same alias: entries without an alias, or with one alias twice, would
/// otherwise become the same time series.
pub fn number_chain<'a>(aliases: impl Iterator<Item = &'a str>) -> Vec<usize> {
    let mut next = std::collections::HashMap::<&str, usize>::new();
    let mut number = |alias| {
        let slot = next.entry(alias).or_default();
        *slot += 1;
        *slot - 1
    };
    aliases.map(&mut number).collect()
}

impl CertificateFacts {
    pub fn of(certificate: &Certificate) -> Self {
        let (key_algorithm, key_bits) = split_key_algorithm(certificate.key_algorithm());
        let addresses = certificate.ip_addresses().iter().map(ToString::to_string);
        let names = certificate.dns_names().iter().cloned().chain(addresses).take(MAX_SHOWN_NAMES);
        let san = names.collect::<Vec<_>>().join(",");
        let subject_cn = certificate.subject_cn().map(Label::new);
        // Most have one name, twice.
        let is_same = |name: &&Label| name.as_str() == san;
        let san = subject_cn.as_ref().filter(is_same).cloned().unwrap_or_else(|| Label::new(&san));
        Self {
            sha256: certificate.sha256(),
            subject: Label::new(certificate.subject()),
            issuer: Label::shared(certificate.issuer()),
            subject_cn,
            issuer_cn: certificate.issuer_cn().map(Label::shared),
            serial: Label::new(certificate.serial()),
            not_before: certificate.not_before().as_second(),
            not_after: certificate.not_after().as_second(),
            san,
            key_algorithm: Label::shared(key_algorithm),
            key_bits: key_bits.map(Label::shared),
            signature_algorithm: Label::shared(certificate.signature_algorithm()),
        }
    }
}

/// `RSA-2048` names a size; the number in `Ed25519` or `EC-P256` belongs to the curve.
pub(crate) fn split_key_algorithm(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once('-') {
        Some((name, bits)) if bits.bytes().all(|b| b.is_ascii_digit()) => (name, Some(bits)),
        _ => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_of_one_alias_are_numbered_on() {
        assert_eq!(number_chain(["", "", "a", "", "a"].into_iter()), [0, 1, 0, 2, 1]);
    }

    #[test]
    fn a_key_algorithm_that_names_its_size_is_split() {
        assert_eq!(split_key_algorithm("RSA-2048"), ("RSA", Some("2048")));
        assert_eq!(split_key_algorithm("EC-P256"), ("EC-P256", None));
        assert_eq!(split_key_algorithm("Ed25519"), ("Ed25519", None));
    }
}
