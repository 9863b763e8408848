//! Takes one step outside: looks at a host, opens, signs, delivers, rolls back. What fails is an [`Obstacle`], in words.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use kagiban_crds::host_api::{
    AgentReport, CertificateRequest, ChainDelivery, HandOver, KeystoreOrder, PasswordQuestion, PasswordReport, Refusal,
    RefusalReason, RenewalOrder, RollbackOrder, RotationOpen, Target,
};
use kagiban_crds::resource::{BlockedBy, CertificateSpec, HostApiRef, KeystoreSpec, Procedure, PushSpec};
use kagiban_crds::{AgentName, Epoch, Generation, HostName, Lineage};

use crate::agent_api::{AgentError, ClientIdentity, Endpoints, HostApi, IdentityError, Reach};
use crate::certificate::{self, Issued, IssuerFacts};
use crate::cluster::{ClusterError, SharedCluster};
use crate::decide::{Event, Obstacle, Reason, References, Resource, mark_of};
use crate::grant::{Grant, Purpose, granted};
use crate::issuer::Issuers;
use crate::ledger::OrderPermit;
use crate::metrics::SharedMetrics;
use crate::passwords::PasswordReader;
use crate::secret_cache::{Age, CachedRead, FailingReads, Keep, SecretCache, key};

/// Client Secrets kept at once: a fleet shares one. One has up to 100 KiB as it is kept.
const MAX_CLIENTS: usize = 512;

/// How a host's answer goes on that says which member of a request it does not know: this one, and not something in it.
const NO_SUBJECT: &str = ", in certificate.subject: ";

/// The client of all agents: it knows which identity each host is asked with.
#[derive(Debug)]
pub struct AgentClient {
    cluster: SharedCluster,
    metrics: SharedMetrics,
    endpoints: Endpoints,
    reach: Reach,
    clients: SecretCache<Client>,
    issuers: Issuers,
    passwords: PasswordReader,
    /// Whom hosts are told that they obey.
    lineage: Option<Lineage>,
}

/// A client Secret: what is shown to hosts, and which may be contacted with it.
#[derive(Debug)]
struct Client {
    grant: Grant,
    identity: Result<ClientIdentity, Obstacle>,
    not_after: Option<Timestamp>,
}

impl Keep for Client {}

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
    pub fn new(cluster: SharedCluster, metrics: SharedMetrics, reach: Reach) -> Self {
        let failing = Arc::<FailingReads>::default();
        Self {
            issuers: Issuers::new(&cluster, &metrics, &failing),
            passwords: PasswordReader::new(cluster.clone(), failing.clone()),
            cluster,
            metrics,
            reach,
            clients: SecretCache::new(MAX_CLIENTS, BlockedBy::SecretUnavailable, failing),
            endpoints: Endpoints::default(),
            lineage: None,
        }
    }

    /// The same, in the name of one installation of the operator.
    #[must_use]
    pub fn speaking_for(self, lineage: Option<Lineage>) -> Self {
        Self { lineage, ..self }
    }

    /// What the host knows of the agent.
    ///
    /// # Errors
    /// What stands in the way.
    pub async fn look(&self, resource: &Resource) -> Result<AgentReport, Obstacle> {
        let api = self.api(resource).await?;
        self.counted("look", api.look().await).map_err(|error| error.obstacle())
    }

    /// Opens a rotation: the host makes a key for what is pushed, or has the agent renew its own certificate, or repairs it.
    ///
    /// # Errors
    /// What stands in the way.
    pub(crate) async fn open(
        &self,
        _permit: OrderPermit,
        resource: &Resource,
        generation: Generation,
        epoch: Epoch,
    ) -> Result<(), ActError> {
        let api = self.api(resource).await?;
        let (target, mark) = (self.target(resource, generation, epoch)?, mark_of(&resource.status));
        let opened = match &resource.spec.procedure {
            Procedure::Push(PushSpec { certificate, keystore, .. }) => {
                let certificate = request(certificate)?;
                let names_subject = !certificate.subject.is_empty();
                let keystore = self.keystore(resource, keystore, recorded_version(resource)).await?;
                let order = RotationOpen { target, certificate, keystore, mark };
                match self.counted("open", api.open(&order).await) {
                    // An exporter from before there was a subject takes no request that it does not know all of
                    Err(AgentError::Refused(Refusal { reason: RefusalReason::Malformed, message, .. }))
                        if names_subject && message.contains(NO_SUBJECT) =>
                    {
                        let message = format!(
                            "the host refuses the request with its subject, as an exporter does that is too old to know one: upgrade it, \
                             or take certificate.subject out of the spec ({message})"
                        );
                        return Err(Obstacle::new(BlockedBy::HostRefused, message).into());
                    }
                    opened => opened,
                }
            }
            Procedure::Trigger { .. } | Procedure::Repair(_) => {
                self.counted("renew", api.renew(&RenewalOrder { target, mark }).await)
            }
        };
        opened.map(|_| ()).map_err(|error| ActError::of(&error))
    }

    /// Has the host's CSR signed by the issuer, of which this is known now.
    ///
    /// # Errors
    /// What stands in the way.
    pub(crate) async fn sign(
        &self,
        resource: &Resource,
        report: &AgentReport,
        issuer: Option<&IssuerFacts>,
        now: Timestamp,
    ) -> Result<Issued, Obstacle> {
        let push = resource.spec.procedure.push().ok_or_else(|| Obstacle::of_spec("certificate"))?;
        let rotation = report.rotation.as_ref();
        let csr = rotation.and_then(|rotation| rotation.csr.as_deref()).unwrap_or_default();
        let generation = rotation.map_or(report.generation, |rotation| rotation.generation);
        self.issuers.certificate((resource, push), (generation, csr), issuer, now).await
    }

    /// Asks the host whether the password that the Secret holds now is in force there, and remembers what it says. One that
    /// does not know is one whose agent is to be rotated, and so is an exporter from before there was this question.
    ///
    /// # Errors
    /// What stands in the way.
    pub(crate) async fn ask_password(
        &self,
        resource: &Resource,
        generation: Generation,
        epoch: Epoch,
    ) -> Result<(), ActError> {
        let Procedure::Push(PushSpec { keystore: KeystoreSpec { alias, password_secret_ref, .. }, .. }) =
            &resource.spec.procedure
        else {
            return Ok(());
        };
        let in_force = resource.status.leaf.as_ref().and_then(|leaf| leaf.password_version.as_deref());
        let Some((then, reference)) = in_force.zip(password_secret_ref.as_ref()) else { return Ok(()) };
        let api = self.api(resource).await?;
        let (store_password, read) = self.passwords.password_to_send(resource, reference).await?;
        let target = self.target(resource, generation, epoch)?;
        let question = PasswordQuestion { target, alias: alias.clone(), store_password };
        let answer = match self.counted("password", api.password(&question).await) {
            Err(AgentError::Refused(Refusal { reason: RefusalReason::NotFound, message, .. })) => {
                PasswordReport::NotKnown { reason: "not_found".to_owned(), message }
            }
            answer => answer.map_err(|error| ActError::of(&error))?,
        };
        self.passwords.heard(resource, then, &read, answer == PasswordReport::Same);
        let said = answer.as_str();
        tracing::info!(
            namespace = resource.namespace,
            name = resource.name,
            host = resource.spec.host,
            said,
            "the host was asked whether the password that the Secret holds is in force"
        );
        Ok(())
    }

    /// Nothing that is known of the resource is needed any more.
    pub(crate) fn forget(&self, namespace: &str, uid: &str) {
        self.issuers.forget(namespace, uid);
        self.passwords.forget(namespace, uid);
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
        let order = ChainDelivery { target: self.target(resource, generation, epoch)?, chain };
        self.counted("deliver", api.deliver(&order).await).map_err(|error| ActError::of(&error))?;
        self.issuers.forget(&resource.namespace, &resource.uid);
        tracing::info!(
            namespace = resource.namespace, name = resource.name, host = resource.spec.host, %generation,
            serial = leaf.serial, not_after = %leaf.not_after, shortened, "the chain was pushed"
        );
        Ok(())
    }

    /// The resource has changed: what fails it is read again soon.
    pub(crate) async fn asked_for(&self, resource: &Resource) {
        if let Some(push) = resource.spec.procedure.push() {
            self.issuers.changed(resource, push).await;
        }
        self.passwords.asked_for(resource).await;
        if let Ok(api) = host_api(resource) {
            self.clients.asked_for(&key(resource, &api.tls_secret_ref.name)).await;
        }
    }

    /// What the Secrets that the resource names say, as far as decisions depend on it, as it was a while ago at most.
    pub async fn references(&self, resource: &Resource) -> References {
        self.referred(resource, Age::Kept).await
    }

    /// The same as it is now.
    pub(crate) async fn references_anew(&self, resource: &Resource) -> References {
        self.referred(resource, Age::Anew).await
    }

    async fn referred(&self, resource: &Resource, age: Age) -> References {
        match &resource.spec.procedure {
            Procedure::Push(push) => References {
                issuer: self.issuers.facts(resource, push, age).await.transpose(),
                password: self.passwords.password(resource, age).await,
            },
            Procedure::Trigger { .. } | Procedure::Repair(_) => References::default(),
        }
    }

    /// Calls a rotation off; `why` is told with it.
    ///
    /// # Errors
    /// What stands in the way.
    pub(crate) async fn roll_back(
        &self,
        _permit: OrderPermit,
        resource: &Resource,
        generation: Generation,
        epoch: Epoch,
        why: &str,
    ) -> Result<Event, ActError> {
        let api = self.api(resource).await?;
        let order = RollbackOrder { target: self.target(resource, generation, epoch)? };
        self.counted("roll_back", api.roll_back(&order).await).map_err(|error| ActError::of(&error))?;
        self.issuers.forget(&resource.namespace, &resource.uid);
        let untouched = match &resource.spec.procedure {
            Procedure::Push(_) => "it touched the keystore",
            Procedure::Trigger { .. } => "the agent was told to renew",
            Procedure::Repair(_) => "the repair was begun",
        };
        Ok(Event::normal(
            Reason::RotationCalledOff,
            format!("rotation {generation} was called off before {untouched}: {why}"),
        ))
    }

    /// What is wrong now with a Secret that a step has found wrong before, if anything is: judged as that step would.
    pub(crate) async fn in_the_way(&self, resource: &Resource, by: BlockedBy) -> Option<Obstacle> {
        let push = resource.spec.procedure.push()?;
        if by != BlockedBy::SecretUnavailable
            && let Err(obstacle) = self.issuers.facts(resource, push, Age::Anew).await
            && obstacle.by == by
        {
            return Some(obstacle);
        }
        if by == BlockedBy::IssuerUnavailable {
            return None;
        }
        let password = self.passwords.password(resource, Age::Anew).await;
        password.and_then(Result::err).filter(|obstacle| obstacle.by == by)
    }

    /// Reads every Secret that the resource names, and judges it as the steps that need it would.
    pub(crate) async fn preflight(&self, resource: &Resource) -> Vec<Preflight> {
        let client = host_api(resource).map(|api| api.tls_secret_ref.name.as_str()).unwrap_or_default();
        let mut found = Vec::new();
        match self.unread(resource, CLIENT_UNREAD, Some(client)).await {
            Some(unread) => found.push(unread),
            None => found.extend(self.api(resource).await.err().map(Preflight::Wrong)),
        }
        match &resource.spec.procedure {
            Procedure::Push(push) => found.extend(self.preflight_push(resource, push).await),
            Procedure::Trigger { .. } | Procedure::Repair(_) => {}
        }
        found
    }

    async fn preflight_push(&self, resource: &Resource, push: &PushSpec) -> Vec<Preflight> {
        let PushSpec { certificate, issuer_ref, keystore } = push;
        let mut found = Vec::new();
        match self.unread(resource, "issuer", self.issuers.secret(issuer_ref)).await {
            Some(unread) => found.push(unread),
            None => {
                let judged = self.issuers.facts(resource, push, Age::Anew).await.and_then(|facts| {
                    let permits = facts.map_or(Ok(()), |facts| facts.permits(certificate));
                    permits.map_err(|error| Obstacle::of_issuer(issuer_ref, &error))
                });
                found.extend(judged.err().map(Preflight::Wrong));
            }
        }
        let password = keystore.password_secret_ref.as_ref().map(|reference| reference.name.as_str());
        match self.unread(resource, "password Secret", password).await {
            Some(unread) => found.push(unread),
            None => found.extend(self.keystore(resource, keystore, None).await.err().map(Preflight::Wrong)),
        }
        found
    }

    /// What whoever asks may not read.
    async fn unread(&self, resource: &Resource, what: &str, name: Option<&str>) -> Option<Preflight> {
        let name = name?;
        let read = self.cluster.secret(&resource.namespace, name).await;
        matches!(read, Err(ClusterError::Forbidden { .. }))
            .then(|| Preflight::Unread(format!("{what} {name}, which may not be read")))
    }

    async fn api(&self, resource: &Resource) -> Result<HostApi, Obstacle> {
        let reference = host_api(resource)?;
        let host: HostName = resource.spec.host.parse().map_err(|_| Obstacle::of_spec("host"))?;
        let agent: AgentName = resource.spec.agent.name.parse().map_err(|_| Obstacle::of_spec("agent.name"))?;
        let identity = self.identity(resource, &reference.tls_secret_ref.name).await?;
        let api = HostApi::new(&reference.url, &host, agent, identity, self.reach.clone());
        let endpoint = self.endpoints.at(&resource.namespace, &reference.url);
        api.map(|api| api.sharing(endpoint)).map_err(|error| error.obstacle())
    }

    /// Who the resource's host is asked as, if the client Secret is for that host.
    async fn identity(&self, resource: &Resource, name: &str) -> Result<ClientIdentity, Obstacle> {
        let read = self.read_client(&resource.namespace, name);
        let judge = |client: &Client| {
            client.grant.may_contact(resource)?;
            Ok((client.identity.clone()?, client.not_after))
        };
        let (identity, not_after) = self.clients.get(key(resource, name), read, judge).await?;
        if let Some(not_after) = not_after {
            self.metrics.client_certificate_not_after(&resource.namespace, name, not_after);
        }
        Ok(identity)
    }

    async fn read_client(&self, namespace: &str, name: &str) -> CachedRead<Client> {
        let read = granted(&*self.cluster, namespace, name, Purpose::ClientTls, |secret, grant| {
            let value = |key| secret.bytes(key).ok_or(IdentityError::MissingKey(key));
            let identity = value("tls.crt")
                .and_then(|certificate| ClientIdentity::from_pem(certificate, value("tls.key")?, value("ca.crt")?))
                .map_err(|error| Obstacle::new(BlockedBy::SecretUnavailable, format!("Secret {name}: {error}")));
            let not_after = identity.as_ref().ok().and(secret.bytes("tls.crt")).and_then(certificate::not_after);
            Ok(Client { grant, identity, not_after })
        });
        read.await
    }

    /// How the keystore is to be written, with the password if it may be sent to this host, and if it is of that version.
    async fn keystore(
        &self,
        resource: &Resource,
        keystore: &KeystoreSpec,
        version: Option<&str>,
    ) -> Result<KeystoreOrder, Obstacle> {
        let store_password = match &keystore.password_secret_ref {
            None => None,
            Some(reference) => {
                let (password, read) = self.passwords.password_to_send(resource, reference).await?;
                if version.is_some_and(|version| !read.version.was(version)) {
                    let message = format!("Secret {} was written just now, and is read again", reference.name);
                    return Err(Obstacle::new(BlockedBy::HostBusy, message));
                }
                Some(password)
            }
        };
        Ok(KeystoreOrder {
            format: keystore.format,
            alias: keystore.alias.clone(),
            on_unreadable: keystore.on_unreadable,
            store_password,
        })
    }

    /// Gives the host to another installation.
    ///
    /// # Errors
    /// What stands in the way.
    pub(crate) async fn hand_over(
        &self,
        _permit: OrderPermit,
        resource: &Resource,
        generation: Generation,
        epoch: Epoch,
        to: &Lineage,
    ) -> Result<(), ActError> {
        let api = self.api(resource).await?;
        let order = HandOver { target: self.target(resource, generation, epoch)?, to: to.clone() };
        match self.counted("hand_over", api.hand_over(&order).await) {
            // An exporter from before there was this order does not know its path
            Err(AgentError::Refused(Refusal { reason: RefusalReason::NotFound, .. })) => {
                let message = format!(
                    "the exporter of the host is too old to be given to another installation: upgrade it, or set hostApi.lineage to \
                     {to} in its configuration and restart it"
                );
                Err(Obstacle::new(BlockedBy::HostRefused, message).into())
            }
            answer => answer.map(|_| ()).map_err(|error| ActError::of(&error)),
        }
    }

    fn target(&self, resource: &Resource, generation: Generation, epoch: Epoch) -> Result<Target, Obstacle> {
        let host: HostName = resource.spec.host.parse().map_err(|_| Obstacle::of_spec("host"))?;
        let agent: AgentName = resource.spec.agent.name.parse().map_err(|_| Obstacle::of_spec("agent.name"))?;
        Ok(Target { lineage: self.lineage.clone(), epoch, generation, host, agent })
    }

    fn counted<T>(&self, call: &'static str, result: Result<T, AgentError>) -> Result<T, AgentError> {
        self.metrics.host_request(call, result.as_ref().map_or_else(AgentError::reason, |_| "ok"));
        result
    }
}

fn host_api(resource: &Resource) -> Result<&HostApiRef, Obstacle> {
    resource.spec.api.host_api.as_ref().ok_or_else(|| Obstacle::of_spec("api"))
}

/// The password's version with which the status says that the rotation is opened. Another one would be taken for a change
/// afterwards, and the agent be restarted once more.
fn recorded_version(resource: &Resource) -> Option<&str> {
    resource.status.rotation.as_ref()?.password_version.as_deref()
}

fn request(certificate: &CertificateSpec) -> Result<CertificateRequest, Obstacle> {
    let ip_addresses: Result<Vec<IpAddr>, _> = certificate.ip_addresses.iter().map(|text| text.parse()).collect();
    Ok(CertificateRequest {
        dns_names: certificate.dns_names.clone(),
        subject: certificate.subject.clone(),
        ip_addresses: ip_addresses.map_err(|_| Obstacle::of_spec("certificate.ipAddresses"))?,
        key: certificate.private_key.request().ok_or_else(|| Obstacle::of_spec("certificate.privateKey"))?,
    })
}
