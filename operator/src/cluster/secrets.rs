//! Secrets, by name and one at a time: the operator cannot list or watch them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kagiban_crds::resource::{ALLOWED_CLIENTS_ANNOTATION, ALLOWED_HOSTS_ANNOTATION, PURPOSE_LABEL};
use kagiban_crds::{SecretName, WordError};
use kube::api::Api;
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::{Cluster, ClusterError};
use crate::grant::Claims;

/// A Secret's values, wiped when dropped. What the HTTP stack held of them on the way is out of our hands.
#[derive(Clone, Default)]
pub struct SecretData {
    values: BTreeMap<String, Zeroizing<Vec<u8>>>,
    claims: Claims,
}

impl std::fmt::Debug for SecretData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl SecretData {
    /// What it says that it may be used for.
    pub const fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The bytes under a key.
    pub fn bytes(&self, key: &str) -> Option<&[u8]> {
        self.values.get(key).map(|value| value.as_slice())
    }

    /// A password: UTF-8, without the line end that a text editor leaves.
    pub fn text(&self, key: &str) -> Option<SecretString> {
        let text = std::str::from_utf8(self.bytes(key)?).ok()?;
        Some(SecretString::from(text.strip_suffix('\n').map_or(text, |t| t.strip_suffix('\r').unwrap_or(t))))
    }
}

impl Cluster {
    pub(crate) async fn secret(&self, namespace: &str, name: &str) -> Result<SecretData, ClusterError> {
        let name = named(name)?;
        let read = async {
            let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
            let secret = self.read("secrets", || api.get(name.as_str())).await?;
            let claims = claims(&name, &secret);
            let values = secret.data.unwrap_or_default();
            let values = values.into_iter().map(|(key, value)| (key, Zeroizing::new(value.0))).collect();
            Ok(SecretData { values, claims })
        };
        self.secrets.get((namespace.to_owned(), name.to_string()), read).await
    }
}

/// A name goes into the path of a request: one that is none could lead to another namespace.
fn named(name: &str) -> Result<SecretName, ClusterError> {
    let message = |error: WordError| error.to_string();
    name.parse().map_err(|error| ClusterError::Unreadable { verb: "get", resource: "secrets", message: message(error) })
}

fn claims(name: &SecretName, secret: &Secret) -> Claims {
    let annotation = |key: &str| secret.metadata.annotations.as_ref()?.get(key).cloned();
    Claims {
        name: name.to_string(),
        kind: secret.type_.clone().unwrap_or_else(|| "Opaque".to_owned()),
        purpose: secret.metadata.labels.as_ref().and_then(|labels| labels.get(PURPOSE_LABEL).cloned()),
        allowed_hosts: annotation(ALLOWED_HOSTS_ANNOTATION),
        allowed_clients: annotation(ALLOWED_CLIENTS_ANNOTATION),
    }
}
