//! Takes one step outside: looks at a host, opens, signs, delivers, rolls back. What fails is an [`Obstacle`], in words.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kagiban_crds::host_api::{
    AgentReport, CertificateRequest, ChainDelivery, KeystoreOrder, RollbackOrder, RotationOpen, Target,
};
use kagiban_crds::resource::BlockedBy;
use kagiban_crds::{AgentName, Epoch, Generation, HostName};

use crate::agent_api::{AgentError, ClientIdentity, HostApi};
use crate::cluster::{Cluster, SecretData, unread_secret};
use crate::decide::{Event, Obstacle, Reason, References, Resource};
use crate::issuer::{self, CaSecret, Issued, IssuerError};
use crate::metrics::SharedMetrics;
use crate::references::ReferenceReader;
use crate::signed::SignedChains;

/// How long a client identity is used before its Secret is read again: a fleet shares one.
const IDENTITY_AGE: Duration = Duration::from_secs(60);
/// Identities kept at once; beyond this the store of them starts anew.
const MAX_IDENTITIES: usize = 1024;

/// The client of all agents: it knows which identity each host is asked with.
#[derive(Debug)]
pub struct AgentClient {
    cluster: Cluster,
    metrics: SharedMetrics,
    identities: Mutex<HashMap<(String, String), (Instant, ClientIdentity)>>,
    references: ReferenceReader,
    signed: SignedChains,
}

/// Why a step was not taken.
#[derive(Debug)]
pub enum ActError {
    Obstacle(Obstacle),
    /// A host has accepted a higher epoch.
    Outdone(Epoch, Obstacle),
}

impl From<Obstacle> for ActError {
    fn from(obstacle: Obstacle) -> Self {
        Self::Obstacle(obstacle)
    }
}

impl ActError {
    fn of(error: &AgentError) -> Self {
        match error {
            AgentError::Refused(refusal) if error.is_deposed() => {
                Self::Outdone(refusal.epoch.unwrap_or_default(), error.obstacle())
            }
            _ => Self::Obstacle(error.obstacle()),
        }
    }
}

impl AgentClient {
    pub fn new(cluster: Cluster, metrics: SharedMetrics) -> Self {
        let references = ReferenceReader::new(cluster.clone(), metrics.clone());
        Self { cluster, metrics, identities: Mutex::default(), references, signed: SignedChains::default() }
    }

    /// What the host knows of the agent.
    ///
    /// # Errors
    /// What stands in the way.
    pub async fn look(&self, resource: &Resource) -> Result<AgentReport, Obstacle> {
        let api = self.api(resource).await?;
        self.counted("look", api.look().await).map_err(|error| error.obstacle())
    }

    /// # Errors
    /// What stands in the way.
    pub(crate) async fn open(&self, resource: &Resource, generation: Generation, epoch: Epoch) -> Result<(), ActError> {
        let api = self.api(resource).await?;
        let order = RotationOpen {
            target: target(resource, generation, epoch)?,
            certificate: request(resource)?,
            keystore: self.keystore(resource).await?,
        };
        self.counted("open", api.open(&order).await).map(|_| ()).map_err(|error| ActError::of(&error))
    }

    /// Has the host's CSR signed. The same CSR is signed once, however often its delivery is tried.
    ///
    /// # Errors
    /// What stands in the way.
    pub(crate) async fn sign(
        &self,
        resource: &Resource,
        report: &AgentReport,
        now: Timestamp,
    ) -> Result<Issued, Obstacle> {
        let spec = &resource.spec;
        let csr = report.rotation.as_ref().and_then(|rotation| rotation.csr.as_deref()).unwrap_or_default();
        if let Some(issued) = self.signed.issued_for(&resource.uid, csr) {
            return Ok(issued);
        }
        let name = &spec.issuer_ref.name;
        let refused = |error: IssuerError| error.obstacle(name);
        let key = spec.certificate.private_key.request().ok_or_else(|| invalid("certificate.privateKey"))?;
        let key = issuer::check(csr, key).map_err(refused)?;
        let secret = self.secret(resource, name, BlockedBy::IssuerUnavailable).await?;
        let value = |key| secret.bytes(key).ok_or(IssuerError::MissingKey(key));
        let ca = value("tls.crt")
            .and_then(|certificate| CaSecret::read(certificate, value("tls.key")?, now))
            .map_err(refused)?;
        let issued = ca.sign(&key, &spec.certificate, now).map_err(refused)?;
        self.signed.remember(&resource.uid, csr, &issued);
        Ok(issued)
    }

    /// Pushes what was signed.
    ///
    /// # Errors
    /// What stands in the way.
    pub(crate) async fn deliver(
        &self,
        resource: &Resource,
        generation: Generation,
        epoch: Epoch,
        issued: Issued,
    ) -> Result<(), ActError> {
        let api = self.api(resource).await?;
        let Issued { chain, leaf, shortened } = issued;
        let order = ChainDelivery { target: target(resource, generation, epoch)?, chain };
        self.counted("deliver", api.deliver(&order).await).map_err(|error| ActError::of(&error))?;
        self.signed.forget(&resource.uid);
        tracing::info!(
            namespace = resource.namespace, name = resource.name, host = resource.spec.host, %generation,
            serial = leaf.serial, not_after = %leaf.not_after, shortened, "the chain was pushed"
        );
        Ok(())
    }

    /// What the Secrets that the resource names say, as far as decisions depend on it.
    pub async fn references(&self, resource: &Resource) -> References {
        self.references.read(resource).await
    }

    /// # Errors
    /// What stands in the way.
    pub(crate) async fn roll_back(
        &self,
        resource: &Resource,
        generation: Generation,
        epoch: Epoch,
    ) -> Result<Event, ActError> {
        let api = self.api(resource).await?;
        let order = RollbackOrder { target: target(resource, generation, epoch)? };
        self.counted("roll_back", api.roll_back(&order).await).map_err(|error| ActError::of(&error))?;
        Ok(Event::normal(
            Reason::RotationCalledOff,
            format!(
                "rotation {generation} was called off before it touched the keystore: it is not what is asked for any more"
            ),
        ))
    }

    async fn api(&self, resource: &Resource) -> Result<HostApi, Obstacle> {
        let reference = resource.spec.api.host_api.as_ref().ok_or_else(|| invalid("api"))?;
        let agent: AgentName = resource.spec.agent.name.parse().map_err(|_| invalid("agent.name"))?;
        let identity = self.identity(resource, &reference.tls_secret_ref.name).await?;
        HostApi::new(&reference.url, identity, agent).map_err(|error| error.obstacle())
    }

    async fn identity(&self, resource: &Resource, name: &str) -> Result<ClientIdentity, Obstacle> {
        let key = (resource.namespace.clone(), name.to_owned());
        let known = self.identities.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some((read, identity)) = known
            && read.elapsed() < IDENTITY_AGE
        {
            return Ok(identity);
        }
        let secret = self.secret(resource, name, BlockedBy::SecretUnavailable).await?;
        let value = |key| secret.bytes(key).ok_or(crate::agent_api::IdentityError::MissingKey(key));
        let identity = value("tls.crt")
            .and_then(|certificate| ClientIdentity::from_pem(certificate, value("tls.key")?, value("ca.crt")?))
            .map_err(|error| Obstacle::new(BlockedBy::SecretUnavailable, format!("Secret {name}: {error}")))?;
        if let Some(not_after) = secret.bytes("tls.crt").and_then(issuer::not_after) {
            self.metrics.client_certificate_not_after(&resource.namespace, name, not_after);
        }
        let mut identities = self.identities.lock().unwrap_or_else(PoisonError::into_inner);
        if identities.len() >= MAX_IDENTITIES {
            identities.clear();
        }
        identities.insert(key, (Instant::now(), identity.clone()));
        Ok(identity)
    }

    async fn keystore(&self, resource: &Resource) -> Result<KeystoreOrder, Obstacle> {
        let keystore = &resource.spec.keystore;
        let store_password = match &keystore.password_secret_ref {
            None => None,
            Some(reference) => {
                let secret = self.secret(resource, &reference.name, BlockedBy::SecretUnavailable).await?;
                let missing = || {
                    let message = format!("Secret {}: it has no text under {}", reference.name, reference.key);
                    Obstacle::new(BlockedBy::SecretUnavailable, message)
                };
                Some(secret.text(&reference.key).ok_or_else(missing)?)
            }
        };
        Ok(KeystoreOrder {
            format: keystore.format,
            alias: keystore.alias.clone(),
            on_unreadable: keystore.on_unreadable,
            store_password,
        })
    }

    async fn secret(&self, resource: &Resource, name: &str, by: BlockedBy) -> Result<SecretData, Obstacle> {
        self.cluster
            .secret(&resource.namespace, name)
            .await
            .map_err(|error| Obstacle::new(by, unread_secret(name, &resource.namespace, &error)))
    }

    fn counted<T>(&self, call: &'static str, result: Result<T, AgentError>) -> Result<T, AgentError> {
        self.metrics.host_request(call, result.as_ref().map_or_else(AgentError::reason, |_| "ok"));
        result
    }
}

fn target(resource: &Resource, generation: Generation, epoch: Epoch) -> Result<Target, Obstacle> {
    let host: HostName = resource.spec.host.parse().map_err(|_| invalid("host"))?;
    let agent: AgentName = resource.spec.agent.name.parse().map_err(|_| invalid("agent.name"))?;
    Ok(Target { epoch, generation, host, agent })
}

fn request(resource: &Resource) -> Result<CertificateRequest, Obstacle> {
    let certificate = &resource.spec.certificate;
    let ip_addresses: Result<Vec<IpAddr>, _> = certificate.ip_addresses.iter().map(|text| text.parse()).collect();
    Ok(CertificateRequest {
        dns_names: certificate.dns_names.clone(),
        ip_addresses: ip_addresses.map_err(|_| invalid("certificate.ipAddresses"))?,
        key: certificate.private_key.request().ok_or_else(|| invalid("certificate.privateKey"))?,
    })
}

/// The schema lets nearly all of these not in.
fn invalid(field: &str) -> Obstacle {
    Obstacle::new(BlockedBy::SpecInvalid, format!("spec.{field} is not what it must be"))
}
