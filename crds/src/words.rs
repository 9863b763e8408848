//! The words of the project as types: what identifies a host, an agent, a leaf, a rotation and a leader.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Two SHA-256 in hexadecimal digits and something between them.
const MAX_MARK: usize = 160;
/// In characters.
const MAX_LINEAGE: usize = 63;

/// A fleet host, as an RFC 1123 subdomain in lower case: at most 253 characters, labels of 1 to 63.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(String);

/// An agent of one host: the key of that host's own configuration, an RFC 1123 label of at most 63 characters.
///
/// It is a name, never a path: what it may hold cannot leave a directory or reach a shell.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentName(String);

/// The name of a Secret, as an RFC 1123 subdomain in lower case of at most 253 characters.
///
/// It goes into the path of a request to the API server: what it may hold cannot leave the namespace.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretName(String);

/// What an operator writes on an order, to know later what was carried out: at most 160 lower-case letters, digits, `.` and `-`.
///
/// A host keeps it and shows it again; it reads nothing out of it.
#[derive(Clone, PartialEq, Eq)]
pub struct OrderMark(String);

/// Which installation of the operator speaks: an RFC 1123 subdomain in lower case of at most 63 characters.
///
/// Epochs are compared within one lineage. A host obeys one, and refuses the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lineage(String);

/// SHA-256 of a certificate's DER, printed as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeafSha256([u8; 32]);

/// The number of a rotation of one agent. It only grows; a host refuses a lower one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

/// Which operator leader speaks, within its lineage. It only grows; a host refuses a lower one than the highest it has accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// A word that does not have the form it must have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WordError {
    #[error("a host name is an RFC 1123 subdomain in lower case of at most 253 characters")]
    HostName,
    #[error("an agent name is an RFC 1123 label in lower case of at most 63 characters")]
    AgentName,
    #[error("the name of a Secret is an RFC 1123 subdomain in lower case of at most 253 characters")]
    SecretName,
    #[error("the mark of an order is at most {MAX_MARK} lower-case letters, digits, dots and hyphens")]
    OrderMark,
    #[error("a lineage is an RFC 1123 subdomain in lower case of at most {MAX_LINEAGE} characters")]
    Lineage,
    #[error("a leaf fingerprint is 64 lower-case hexadecimal digits (SHA-256 of the certificate's DER)")]
    LeafSha256,
}

impl HostName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AgentName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl SecretName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl OrderMark {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl LeafSha256 {
    pub const fn new(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Generation {
    /// The generation after this one; at the end of the range it stays, and the host then refuses it as a repeat.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl FromStr for HostName {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        is_host_name(text).then(|| Self(text.to_owned())).ok_or(WordError::HostName)
    }
}

impl FromStr for SecretName {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        is_subdomain(text).then(|| Self(text.to_owned())).ok_or(WordError::SecretName)
    }
}

impl FromStr for AgentName {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        is_label(text).then(|| Self(text.to_owned())).ok_or(WordError::AgentName)
    }
}

impl FromStr for OrderMark {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        let may_stand = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
        let good = (1..=MAX_MARK).contains(&text.len()) && text.bytes().all(may_stand);
        good.then(|| Self(text.to_owned())).ok_or(WordError::OrderMark)
    }
}

impl FromStr for Lineage {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        let good = text.len() <= MAX_LINEAGE && is_host_name(text);
        good.then(|| Self(text.to_owned())).ok_or(WordError::Lineage)
    }
}

impl FromStr for LeafSha256 {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        let mut digest = [0; 32];
        let lower = !text.bytes().any(|b| b.is_ascii_uppercase());
        match hex::decode_to_slice(text, &mut digest) {
            Ok(()) if lower => Ok(Self(digest)),
            _ => Err(WordError::LeafSha256),
        }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for AgentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for OrderMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for LeafSha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for AgentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for OrderMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for LeafSha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for HostName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for AgentName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for OrderMark {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Lineage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for LeafSha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HostName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse_word(deserializer)
    }
}

impl<'de> Deserialize<'de> for AgentName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse_word(deserializer)
    }
}

impl<'de> Deserialize<'de> for OrderMark {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse_word(deserializer)
    }
}

impl<'de> Deserialize<'de> for Lineage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse_word(deserializer)
    }
}

impl<'de> Deserialize<'de> for LeafSha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse_word(deserializer)
    }
}

fn parse_word<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err = WordError>,
{
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

fn is_host_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

/// As the API server reads the name of an object: its labels may be longer than a host's.
fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_part)
}

/// RFC 1123: letters in lower case, digits and inner hyphens, 1 to 63 of them.
fn is_label(text: &str) -> bool {
    text.len() <= 63 && is_part(text)
}

fn is_part(text: &str) -> bool {
    let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    let ends = [text.bytes().next(), text.bytes().last()];
    text.as_bytes().iter().all(inner) && ends.iter().all(|end| end.is_some_and(|b| b != b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_be_a_path_or_a_command_is_refused() {
        for text in ["", "..", "a/b", "a\\b", "-a", "a-", "A", "a b", "a\0", "a;b", "ä", &"a".repeat(64)] {
            assert_eq!(text.parse::<AgentName>(), Err(WordError::AgentName), "{text:?}");
        }
        for text in ["", ".", "a..b", "a.", "UPS.example.com", &"a.".repeat(200)] {
            assert_eq!(text.parse::<HostName>(), Err(WordError::HostName), "{text:?}");
        }
        for text in ["", "..", "../kube-system/x", "a/b", "A", "a_b", "a?b", "a%2fb", "a.", "a..b", &"a".repeat(254)] {
            assert_eq!(text.parse::<SecretName>(), Err(WordError::SecretName), "{text:?}");
        }
        for text in ["", "..", "a/b", "A", "a_b", "-a", &"a".repeat(64)] {
            assert_eq!(text.parse::<Lineage>(), Err(WordError::Lineage), "{text:?}");
        }
        assert_eq!("ups-01.example.com".parse::<HostName>().map(|h| h.to_string()), Ok("ups-01.example.com".into()));
    }

    proptest::proptest! {
        #[test]
        fn a_fingerprint_survives_its_text(digest: [u8; 32]) {
            let leaf = LeafSha256::new(digest);
            proptest::prop_assert_eq!(leaf.to_string().parse::<LeafSha256>(), Ok(leaf));
        }
    }
}
