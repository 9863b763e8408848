//! A Secret, as far as it is used.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use secrecy::SecretString;
use zeroize::Zeroizing;

/// What a Secret says of itself, as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretClaims {
    pub name: String,
    /// The Secret's type, such as `kubernetes.io/tls`.
    pub kind: String,
    pub purpose: Option<String>,
    pub allowed_hosts: Option<String>,
    pub allowed_clients: Option<String>,
}

/// A Secret's values, wiped when dropped by the last of those who share one read. What the HTTP stack held of them on the way is out
/// of our hands.
#[derive(Clone, Default)]
pub struct SecretData {
    values: Arc<BTreeMap<String, Zeroizing<Vec<u8>>>>,
    claims: SecretClaims,
    written: String,
}

impl fmt::Debug for SecretData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl SecretData {
    /// Its values, what it says of itself, and a word that changes with the values.
    pub fn new(values: impl IntoIterator<Item = (String, Vec<u8>)>, claims: SecretClaims, written: String) -> Self {
        let values: BTreeMap<_, _> = values.into_iter().map(|(key, value)| (key, Zeroizing::new(value))).collect();
        Self { values: Arc::new(values), claims, written }
    }

    /// What it says that it may be used for.
    pub const fn claims(&self) -> &SecretClaims {
        &self.claims
    }

    /// When its values were last written, as far as the API server's record tells: the time may be later than that, and two
    /// writes in one second have one.
    pub fn written(&self) -> &str {
        &self.written
    }

    /// With the word of one that was read before, where its values are the same.
    pub(super) fn written_as(self, before: &Self) -> Self {
        let written = if self.values == before.values { before.written.clone() } else { self.written };
        Self { written, ..self }
    }

    /// About as many bytes as it has in an answer: keys stand there twice, among the values and in the record of who wrote them.
    pub(crate) fn size(&self) -> usize {
        self.values.iter().map(|(key, value)| 2 * key.len() + value.len()).sum()
    }

    /// Under which it has values.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// The bytes under a key.
    pub fn bytes(&self, key: &str) -> Option<&[u8]> {
        self.values.get(key).map(|value| value.as_slice())
    }

    /// The password under a key, by the rule of all files with passwords.
    pub fn password(&self, key: &str) -> Option<SecretString> {
        kagiban_crds::password(self.bytes(key)?)
    }
}
