//! One TLS endpoint.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use tokio::time::Instant;

use super::schedule::panicked;
use crate::blocking::Work;
use crate::config::TlsEndpoint;
use crate::from_files::{FilesUnavailable, FromFiles};
use crate::probe::{Authorities, Endpoint, ProbeError, Roots, RootsError, probe_for};
use crate::snapshot::{Observation, ProbeSeen, Trouble};

/// Every reason that a look can fail for: those of a probe, and ours.
pub(super) const REASONS: &[&str] = &{
    let mut all = ["ca_unreadable"; ProbeError::REASONS.len() + 2];
    all[0] = "panic";
    let mut at = 0;
    while at < ProbeError::REASONS.len() {
        all[at + 2] = ProbeError::REASONS[at];
        at += 1;
    }
    all
};

/// A bundle is read in milliseconds; the rest is for the handshake, which is worth seeing without it.
const TRUST_WITHIN: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct TlsSource {
    endpoint: Endpoint,
    deadline: Duration,
    /// Absent when the system has none and none are configured.
    authorities: Option<Authorities>,
    trust: TrustCache,
    /// Whose threads its name is looked up on.
    names: Work,
}

impl TlsSource {
    pub(super) fn new(config: &TlsEndpoint, system: Option<&Authorities>, trust: TrustCache, names: Work) -> Self {
        let authorities = Authorities::of(config.ca_file.as_deref(), system);
        Self { endpoint: config.endpoint(), deadline: config.timeout.as_duration(), authorities, trust, names }
    }

    pub(super) async fn look(&mut self) -> (Observation, Option<Trouble>) {
        let (roots, trouble) = self.roots().await;
        let handshake = probe_for(self.names, &self.endpoint, roots.as_ref(), self.deadline);
        match AssertUnwindSafe(handshake).catch_unwind().await {
            Ok(outcome) => (Observation::Endpoint(ProbeSeen::of(&self.endpoint, &outcome)), trouble),
            Err(_) => (Observation::Nothing, Some(panicked("panic"))),
        }
    }

    /// Without roots the certificate is still worth seeing.
    async fn roots(&self) -> (Option<Roots>, Option<Trouble>) {
        let Some(authorities) = self.authorities.clone() else { return (None, None) };
        match self.trust.load(authorities, Instant::now() + TRUST_WITHIN.min(self.deadline)).await {
            Ok(roots) => (Some(Roots::clone(&roots)), None),
            Err(error) => {
                (None, Some(Trouble::new("ca_unreadable", format!("cannot read the authorities to trust: {error}"))))
            }
        }
    }
}

/// Roots by where they are; many endpoints share the system's bundle.
#[derive(Clone, Debug, Default)]
pub(super) struct TrustCache(Arc<Mutex<HashMap<Authorities, RootsFile>>>);

type RootsFile = FromFiles<Roots, RootsError>;

impl TrustCache {
    async fn load(&self, authorities: Authorities, until: Instant) -> Result<Arc<Roots>, FilesUnavailable<RootsError>> {
        let file = {
            let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            files.entry(authorities.clone()).or_insert_with(|| FromFiles::new(Work::Trust)).clone()
        };
        file.current(until, move || authorities.make(Roots::from)).await
    }
}
