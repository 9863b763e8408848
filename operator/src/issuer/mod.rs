//! Who signs, behind one trait: whoever is asked for a certificate gives it, refuses it, or has whoever asks wait.
//!
//! ```text
//!   act ──CSR──> Issuers ──order──> the one that the resource names ──> issued | pending | an obstacle
//!                   │
//!                   └── signed: what was issued, until it is on its host or not wanted any more
//! ```
//!
//! An order is given again until it is answered, by this process or the next: an issuer that takes its time knows it by its
//! resource, its generation and its CSR, makes one request of it, and says how that stands. To add one: a file beside
//! `ca_secret`, and a line in [`Issuers::new`].

mod ca_secret;
mod signed;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;
use kagiban_crds::Generation;
use kagiban_crds::resource::{BlockedBy, IssuerKind, IssuerRef, PushSpec};

use crate::certificate::{self, CsrKey, Issued, IssuerFacts};
use crate::cluster::SharedCluster;
use crate::decide::{Obstacle, Resource};
use crate::metrics::SharedMetrics;
pub use crate::secret_cache::Age;
use crate::secret_cache::FailingReads;
use signed::{Basis, SignedChains};

/// One kind of issuer. Whatever it waits for has a deadline of its own: a pass goes on in seconds.
pub trait Issuer: fmt::Debug + Send + Sync {
    /// As a resource names it.
    fn kind(&self) -> IssuerKind;

    /// The Secret that it reads for a resource, if it reads one: whoever plans may not be allowed to.
    fn secret<'a>(&self, named: &'a IssuerRef) -> Option<&'a str>;

    /// What is known of it before it signs; `None` where it is known by what it signs only.
    ///
    /// # Errors
    /// When it cannot sign, or may not for this resource.
    fn facts<'a>(
        &'a self,
        resource: &'a Resource,
        push: &'a PushSpec,
        age: Age,
    ) -> BoxFuture<'a, Result<Option<IssuerFacts>, Obstacle>>;

    /// Asks for a certificate, or how it stands with the one that was asked for by the same order before.
    ///
    /// # Errors
    /// What stands in the way: [`BlockedBy::IssuerRefused`] where it said no.
    fn ask<'a>(&'a self, order: &'a Order<'a>) -> BoxFuture<'a, Result<IssuerReply, Obstacle>>;

    /// A resource that names it has changed: what failed it may be worth another look.
    fn changed<'a>(&'a self, resource: &'a Resource, push: &'a PushSpec) -> BoxFuture<'a, ()>;
}

/// What is to be signed.
#[derive(Debug)]
pub struct Order<'a> {
    pub resource: &'a Resource,
    /// What the resource asks for.
    pub push: &'a PushSpec,
    /// Of the rotation that it is for.
    pub generation: Generation,
    /// As the host made it, PEM. Its names are the host's wishes: those of the spec are signed.
    pub csr: &'a str,
    /// The key in it, which is the kind that the spec asks for.
    pub key: CsrKey,
    pub now: Timestamp,
}

/// What an issuer says to an order.
#[derive(Debug)]
pub enum IssuerReply {
    Issued(Issued),
    /// It has the request, and this is what it waits for. It is asked again within seconds.
    Pending(String),
}

/// All kinds of issuers, and what they have issued that is not on its host yet.
#[derive(Debug)]
pub struct Issuers {
    kinds: Vec<Box<dyn Issuer>>,
    signed: SignedChains,
}

impl Issuers {
    pub(crate) fn new(cluster: &SharedCluster, metrics: &SharedMetrics, failing: &Arc<FailingReads>) -> Self {
        let ca_secret = ca_secret::CaSecret::new(cluster.clone(), metrics.clone(), failing.clone());
        Self::of(vec![Box::new(ca_secret)])
    }

    /// These kinds and no others.
    pub fn of(kinds: Vec<Box<dyn Issuer>>) -> Self {
        Self { kinds, signed: SignedChains::default() }
    }

    /// The certificate for the CSR of a host's rotation. It is issued once, however often it is asked for, until it is forgotten
    /// or another would be issued now: `facts` are what is known of the issuer as it is.
    ///
    /// # Errors
    /// What stands in the way; an issuer that has not decided yet is in the way too.
    pub(crate) async fn certificate(
        &self,
        (resource, push): (&Resource, &PushSpec),
        (generation, csr): (Generation, &str),
        facts: Option<&IssuerFacts>,
        now: Timestamp,
    ) -> Result<Issued, Obstacle> {
        let named = &push.issuer_ref;
        let basis = Basis::of(generation, csr, push, facts);
        if let Some(issued) = self.signed.issued_for(resource, basis, now) {
            return Ok(issued);
        }
        let asked = push.certificate.private_key.request();
        let asked = asked.ok_or_else(|| Obstacle::of_spec("certificate.privateKey"))?;
        let subject = &push.certificate.subject;
        let key = certificate::check(csr, asked, subject).map_err(|error| Obstacle::of_issuer(named, &error))?;
        let order = Order { resource, push, generation, csr, key, now };
        match self.named(named)?.ask(&order).await? {
            IssuerReply::Issued(issued) => {
                self.signed.remember(resource, basis, &issued, now);
                Ok(issued)
            }
            IssuerReply::Pending(what) => {
                let message = format!("issuer {} was asked for the certificate: {what}", named.name);
                Err(Obstacle::new(BlockedBy::IssuerUnavailable, message))
            }
        }
    }

    /// See [`Issuer::facts`].
    pub(crate) async fn facts(
        &self,
        resource: &Resource,
        push: &PushSpec,
        age: Age,
    ) -> Result<Option<IssuerFacts>, Obstacle> {
        self.named(&push.issuer_ref)?.facts(resource, push, age).await
    }

    /// See [`Issuer::secret`].
    pub(crate) fn secret<'a>(&self, named: &'a IssuerRef) -> Option<&'a str> {
        self.named(named).ok()?.secret(named)
    }

    /// See [`Issuer::changed`].
    pub(crate) async fn changed(&self, resource: &Resource, push: &PushSpec) {
        if let Ok(issuer) = self.named(&push.issuer_ref) {
            issuer.changed(resource, push).await;
        }
    }

    /// What was issued for the resource is on its host, or is not wanted any more.
    pub(crate) fn forget(&self, namespace: &str, uid: &str) {
        self.signed.forget(namespace, uid);
    }

    fn named(&self, named: &IssuerRef) -> Result<&dyn Issuer, Obstacle> {
        let issuer = self.kinds.iter().find(|issuer| issuer.kind() == named.kind);
        issuer.map(Box::as_ref).ok_or_else(|| Obstacle::of_spec("issuerRef.kind"))
    }
}
