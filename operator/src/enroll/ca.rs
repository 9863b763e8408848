//! Which CA signs: one in files, one in a Secret of the cluster, or one that is made now.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use jiff::Timestamp;
use kagiban_files::{is_readable_by_others, read_regular};
use kagiban_keystore::pem_block;

use super::identity::Names;
use crate::certificate::{Authority, MadeAuthority};
use crate::cli::{ClusterArgs, EnrollArgs, SecretAddress};
use crate::cluster::kubernetes::{Kubernetes, client, connect};
use crate::cluster::{Cluster, SecretClaims};
use crate::grant::{Grant, Purpose};
use crate::mends::make_own;
use crate::metrics::Metrics;

/// What a new one calls itself.
const HOST_API_CA: &str = "Kagiban host API CA";

/// In the directory of a new CA.
pub(super) const CERTIFICATE: &str = "ca.crt";
pub(super) const KEY: &str = "ca.key";

/// More than the issuer reads of either; it says itself what is too large for it.
const MAX_FILE_BYTES: u64 = 256 * 1024;

/// A CA that may sign now.
pub(super) struct Ca {
    authority: Authority,
    /// The certificate of the key that signs, PEM.
    anchor: String,
    origin: String,
    /// What it says of itself, where it lies in a Secret.
    claims: Option<SecretClaims>,
    /// Where it was made now.
    made: Option<MadeAuthority>,
    warning: Option<String>,
}

impl Ca {
    pub(super) async fn find(args: &EnrollArgs, now: Timestamp) -> anyhow::Result<Self> {
        if let (Some(certificate), Some(key)) = (&args.ca_cert, &args.ca_key) {
            return Self::of_files(certificate, key, now);
        }
        if let Some(secret) = &args.ca_secret {
            return Self::of_secret(secret, &args.cluster, now).await;
        }
        let made = MadeAuthority::new(HOST_API_CA, now).context("no CA could be made")?;
        let mut ca = Self::read(made.certificate.as_bytes(), made.key.as_bytes(), "the new CA".to_owned(), now)?;
        ca.made = Some(made);
        Ok(ca)
    }

    fn of_files(certificate: &Path, key: &Path, now: Timestamp) -> anyhow::Result<Self> {
        let read = |path: &Path| read_regular(path, MAX_FILE_BYTES).context("the CA cannot be read");
        let origin = format!("the CA of {} and {}", certificate.display(), key.display());
        let mut ca = Self::read(&read(certificate)?.bytes, &read(key)?.bytes, origin, now)?;
        ca.warning = is_readable_by_others(key)
            .then(|| format!("others may read the key of the CA: {}", make_own(&key.display().to_string())));
        Ok(ca)
    }

    async fn of_secret(address: &SecretAddress, cluster: &ClusterArgs, now: Timestamp) -> anyhow::Result<Self> {
        let config = connect(cluster).await?;
        let namespace = address.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = client(config).context("the cluster's address or credentials cannot be used")?;
        let cluster = Kubernetes::new(client, Arc::new(Metrics::new(None)), "kagiban-operator-enroll".to_owned());
        let origin = format!("Secret {namespace}/{}", address.name);
        let read = Cluster::secret(&cluster, &namespace, &address.name.to_string()).await;
        let secret = read.with_context(|| format!("{origin} cannot be read"))?;
        let value = |key| {
            secret.bytes(key).with_context(|| format!("{origin} has no {key}: it must be of type kubernetes.io/tls"))
        };
        let mut ca = Self::read(value("tls.crt")?, value("tls.key")?, origin.clone(), now)?;
        ca.claims = Some(secret.claims().clone());
        Ok(ca)
    }

    fn read(certificates: &[u8], key: &[u8], origin: String, now: Timestamp) -> anyhow::Result<Self> {
        let authority = Authority::read(certificates, key, now).with_context(|| format!("{origin} cannot sign"))?;
        let anchor = pem_block("CERTIFICATE", authority.certificate()).to_string();
        Ok(Self { authority, anchor, origin, claims: None, made: None, warning: None })
    }

    /// Whether it is for these names by what its Secret says. One that the operator does not use says nothing, and is for whoever
    /// may read it.
    pub(super) fn check_names(&self, names: &Names) -> anyhow::Result<()> {
        self.claims.as_ref().map_or(Ok(()), |claims| check_claims(claims, names))
    }

    pub(super) const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// What both ends of the host API trust.
    pub(super) fn anchor(&self) -> &str {
        &self.anchor
    }

    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    pub(super) fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Of a new CA, with its end.
    pub(super) fn made(&self) -> Option<&MadeAuthority> {
        self.made.as_ref()
    }

    pub(super) fn files(&self) -> Option<Vec<(&'static str, &[u8])>> {
        let made = self.made.as_ref()?;
        Some(vec![(CERTIFICATE, made.certificate.as_bytes()), (KEY, made.key.as_bytes())])
    }
}

fn check_claims(claims: &SecretClaims, names: &Names) -> anyhow::Result<()> {
    match claims.purpose.as_deref() {
        None => Ok(()),
        Some(purpose) if purpose == Purpose::Issuer.word() => {
            Ok(Grant::read(claims, Purpose::Issuer)?.cover(names.all())?)
        }
        Some(purpose) => anyhow::bail!("Secret {} is for {purpose} by its label, and no CA", claims.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(purpose: Option<&str>, allowed_hosts: &str) -> SecretClaims {
        SecretClaims {
            name: "fleet-ca".to_owned(),
            kind: "kubernetes.io/tls".to_owned(),
            purpose: purpose.map(str::to_owned),
            allowed_hosts: Some(allowed_hosts.to_owned()),
            allowed_clients: None,
        }
    }

    #[test]
    fn a_secret_that_says_which_names_it_is_for_signs_no_others() {
        let names = Names::of_host(&"ups-01.example.com".parse().expect("a name"), &[]);
        let judged = |claims: SecretClaims| check_claims(&claims, &names).map_err(|error| error.to_string());
        assert_eq!(judged(claims(None, "")), Ok(()), "the operator does not use it, and whoever may read it may sign");
        assert_eq!(judged(claims(Some("issuer"), "*.example.com")), Ok(()));
        let elsewhere = judged(claims(Some("issuer"), "*.example.org")).expect_err("another domain");
        assert!(elsewhere.contains("is not for ups-01.example.com"), "{elsewhere}");
        let client = judged(claims(Some("client-tls"), "*.example.com")).expect_err("no CA");
        assert!(client.contains("client-tls"), "{client}");
    }
}
