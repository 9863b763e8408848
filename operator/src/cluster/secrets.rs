//! Secrets, by name and one at a time: the operator cannot list or watch them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::{Cluster, ClusterError};

/// A Secret's values, wiped when dropped. What the HTTP stack held of them on the way is out of our hands.
#[derive(Clone, Default)]
pub struct SecretData(BTreeMap<String, Zeroizing<Vec<u8>>>);

impl std::fmt::Debug for SecretData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl SecretData {
    /// The bytes under a key.
    pub fn bytes(&self, key: &str) -> Option<&[u8]> {
        self.0.get(key).map(|value| value.as_slice())
    }

    /// A password: UTF-8, without the line end that a text editor leaves.
    pub fn text(&self, key: &str) -> Option<SecretString> {
        let text = std::str::from_utf8(self.bytes(key)?).ok()?;
        Some(SecretString::from(text.strip_suffix('\n').map_or(text, |t| t.strip_suffix('\r').unwrap_or(t))))
    }
}

impl<const N: usize> From<[(&str, &[u8]); N]> for SecretData {
    fn from(values: [(&str, &[u8]); N]) -> Self {
        Self(values.into_iter().map(|(key, value)| (key.to_owned(), Zeroizing::new(value.to_vec()))).collect())
    }
}

impl Cluster {
    pub(crate) async fn secret(&self, namespace: &str, name: &str) -> Result<SecretData, ClusterError> {
        let read = async {
            let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
            let secret = self.read("secrets", || api.get(name)).await?;
            let values = secret.data.unwrap_or_default();
            Ok(SecretData(values.into_iter().map(|(key, value)| (key, Zeroizing::new(value.0))).collect()))
        };
        self.secrets.get((namespace.to_owned(), name.to_owned()), read).await
    }
}
