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
use kagiban_crds::resource::{BlockedBy, HostUrl};
use kagiban_crds::{AgentName, Epoch, Generation, HostName};

use crate::agent_api::{AgentError, ClientIdentity, Endpoints, HostApi, Reach};
use crate::cluster::{Cluster, ClusterError, SecretData, unread_secret};
use crate::decide::{Event, Obstacle, Reason, References, Resource};
use crate::grant::{Grant, Purpose};
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
    endpoints: Endpoints,
    reach: Reach,
    identities: Mutex<HashMap<(String, String), (Instant, Identity)>>,
    references: ReferenceReader,
    signed: SignedChains,
}

/// A client certificate, and the hosts that may be contacted with it.
#[derive(Clone, Debug)]
struct Identity {
    client: ClientIdentity,
    grant: Grant,
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

/// What was found wrong before anything was asked of a host.
#[derive(Debug)]
pub(crate) enum Preflight {
    Wrong(Obstacle),
    /// Whoever asks may not read it; the operator may.
    Unread(String),
}

/// How [`Preflight::Unread`] begins for the client Secret, without which no host can be asked.
pub(crate) const CLIENT_UNREAD: &str = "client Secret";

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
    /// Contacts hosts only within its reach.
    pub fn new(cluster: Cluster, metrics: SharedMetrics, reach: Reach) -> Self {
        Self {
            references: ReferenceReader::new(cluster.clone(), metrics.clone()),
            cluster,
            metrics,
            reach,
            identities: Mutex::default(),
            endpoints: Endpoints::default(),
            signed: SignedChains::default(),
        }
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
        let ca = self.issuer(resource, now).await?;
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

    /// The CA that the resource names, if it may sign these names and its leaf may travel by this client Secret.
    pub(crate) async fn issuer(&self, resource: &Resource, now: Timestamp) -> Result<CaSecret, Obstacle> {
        let name = &resource.spec.issuer_ref.name;
        let (secret, grant) = self.secret(resource, name, Purpose::Issuer).await?;
        may_issue(&grant, resource)?;
        let value = |key| secret.bytes(key).ok_or(IssuerError::MissingKey(key));
        value("tls.crt")
            .and_then(|certificate| CaSecret::read(certificate, value("tls.key")?, now))
            .map_err(|error| error.obstacle(name))
    }

    /// What is wrong now with a Secret that a step has found wrong before, if anything is: judged as that step would.
    pub(crate) async fn in_the_way(&self, resource: &Resource, by: BlockedBy, now: Timestamp) -> Option<Obstacle> {
        if by != BlockedBy::SecretUnavailable
            && let Err(obstacle) = self.issuer(resource, now).await
            && obstacle.by == by
        {
            return Some(obstacle);
        }
        if by == BlockedBy::IssuerUnavailable {
            return None;
        }
        self.keystore(resource).await.err().filter(|obstacle| obstacle.by == by)
    }

    /// Reads every Secret that the resource names, and judges it as the steps that need it would.
    pub(crate) async fn preflight(&self, resource: &Resource, now: Timestamp) -> Vec<Preflight> {
        let spec = &resource.spec;
        let client = client_secret(resource).unwrap_or_default();
        let password = spec.keystore.password_secret_ref.as_ref().map(|reference| reference.name.as_str());
        let mut found = Vec::new();
        let named = [
            (Purpose::ClientTls, CLIENT_UNREAD, Some(client)),
            (Purpose::Issuer, "issuer", Some(spec.issuer_ref.name.as_str())),
            (Purpose::KeystorePassword, "password Secret", password),
        ];
        for (purpose, what, name) in named {
            let Some(name) = name else { continue };
            if let Err(ClusterError::Forbidden { .. }) = self.cluster.secret(&resource.namespace, name).await {
                found.push(Preflight::Unread(format!("{what} {name}, which may not be read")));
                continue;
            }
            let judged = match purpose {
                Purpose::ClientTls => self.api(resource).await.map(|_| ()),
                Purpose::Issuer => self.issuer(resource, now).await.map(|_| ()),
                Purpose::KeystorePassword => self.keystore(resource).await.map(|_| ()),
            };
            found.extend(judged.err().map(Preflight::Wrong));
        }
        found
    }

    async fn api(&self, resource: &Resource) -> Result<HostApi, Obstacle> {
        let reference = resource.spec.api.host_api.as_ref().ok_or_else(|| invalid("api"))?;
        let host: HostName = resource.spec.host.parse().map_err(|_| invalid("host"))?;
        let agent: AgentName = resource.spec.agent.name.parse().map_err(|_| invalid("agent.name"))?;
        let url: HostUrl = reference.url.parse().map_err(|_| invalid("api.hostApi.url"))?;
        let Identity { client, grant } = self.identity(resource, &reference.tls_secret_ref.name).await?;
        grant.covers(host.as_str())?;
        grant.covers(&url.host)?;
        let api = HostApi::new(&reference.url, &host, agent, client, self.reach.clone());
        let endpoint = self.endpoints.at(&resource.namespace, &reference.url);
        api.map(|api| api.sharing(endpoint)).map_err(|error| error.obstacle())
    }

    async fn identity(&self, resource: &Resource, name: &str) -> Result<Identity, Obstacle> {
        let key = (resource.namespace.clone(), name.to_owned());
        let known = self.identities.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some((read, identity)) = known
            && read.elapsed() < IDENTITY_AGE
        {
            return Ok(identity);
        }
        let (secret, grant) = self.secret(resource, name, Purpose::ClientTls).await?;
        let value = |key| secret.bytes(key).ok_or(crate::agent_api::IdentityError::MissingKey(key));
        let client = value("tls.crt")
            .and_then(|certificate| ClientIdentity::from_pem(certificate, value("tls.key")?, value("ca.crt")?))
            .map_err(|error| Obstacle::new(BlockedBy::SecretUnavailable, format!("Secret {name}: {error}")))?;
        if let Some(not_after) = secret.bytes("tls.crt").and_then(issuer::not_after) {
            self.metrics.client_certificate_not_after(&resource.namespace, name, not_after);
        }
        let identity = Identity { client, grant };
        let mut identities = self.identities.lock().unwrap_or_else(PoisonError::into_inner);
        if identities.len() >= MAX_IDENTITIES {
            identities.clear();
        }
        identities.insert(key, (Instant::now(), identity.clone()));
        Ok(identity)
    }

    /// How the keystore is to be written, with the password if it may be sent to this host.
    pub(crate) async fn keystore(&self, resource: &Resource) -> Result<KeystoreOrder, Obstacle> {
        let keystore = &resource.spec.keystore;
        let store_password = match &keystore.password_secret_ref {
            None => None,
            Some(reference) => {
                let (secret, grant) = self.secret(resource, &reference.name, Purpose::KeystorePassword).await?;
                grant.covers(&resource.spec.host)?;
                grant.travels_by(client_secret(resource)?)?;
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

    /// A Secret and whom it is for, if it says that it is for this use.
    async fn secret(&self, resource: &Resource, name: &str, purpose: Purpose) -> Result<(SecretData, Grant), Obstacle> {
        let by = match purpose {
            Purpose::Issuer => BlockedBy::IssuerUnavailable,
            Purpose::ClientTls | Purpose::KeystorePassword => BlockedBy::SecretUnavailable,
        };
        let read = self.cluster.secret(&resource.namespace, name).await;
        let secret = read.map_err(|error| Obstacle::new(by, unread_secret(name, &resource.namespace, &error)))?;
        let grant = Grant::read(secret.claims(), purpose)?;
        Ok((secret, grant))
    }

    fn counted<T>(&self, call: &'static str, result: Result<T, AgentError>) -> Result<T, AgentError> {
        self.metrics.host_request(call, result.as_ref().map_or_else(AgentError::reason, |_| "ok"));
        result
    }
}

/// Whether an issuer may sign the names of the resource, and its leaf may travel by the resource's client Secret.
pub(crate) fn may_issue(grant: &Grant, resource: &Resource) -> Result<(), Obstacle> {
    let certificate = &resource.spec.certificate;
    for host in certificate.dns_names.iter().chain(&certificate.ip_addresses) {
        grant.covers(host)?;
    }
    grant.travels_by(client_secret(resource)?)?;
    Ok(())
}

fn client_secret(resource: &Resource) -> Result<&str, Obstacle> {
    let reference = resource.spec.api.host_api.as_ref().ok_or_else(|| invalid("api"))?;
    Ok(&reference.tls_secret_ref.name)
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
