//! One TLS endpoint.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use tokio::task::spawn_blocking;

use super::schedule::panicked;
use crate::config::TlsEndpoint;
use crate::platform::{self, FileIdentity};
use crate::probe::{Endpoint, Handshake, ProbeError, Roots, RootsError, probe, probe_against};
use crate::snapshot::{Label, Observation, ProbeSeen, Served, Trouble};

/// Every reason that a look can fail for: those of a probe, and ours.
pub(super) const REASONS: &[&str] = &[
    "bad_address",
    "bad_server_name",
    "ca_unreadable",
    "closed",
    "connect",
    "dns",
    "malformed",
    "no_certificate",
    "not_tls",
    "panic",
    "protocol",
    "timeout",
    "tls_alert",
];

#[derive(Debug)]
pub(super) struct TlsSource {
    endpoint: Endpoint,
    deadline: Duration,
    /// Absent when the system has no bundle and none is configured.
    ca_file: Option<PathBuf>,
    trust: TrustCache,
}

impl TlsSource {
    pub(super) fn new(config: &TlsEndpoint, system_bundle: Option<&Path>, trust: TrustCache) -> Self {
        let ca_file = config.ca_file.as_deref().or(system_bundle).map(Path::to_owned);
        Self { endpoint: config.endpoint(), deadline: config.timeout.as_duration(), ca_file, trust }
    }

    pub(super) async fn look(&mut self) -> (Observation, Option<Trouble>) {
        let (roots, trouble) = self.roots().await;
        let handshake = async {
            match &roots {
                Some(roots) => probe_against(&self.endpoint, roots, self.deadline).await,
                None => probe(&self.endpoint, self.deadline).await,
            }
        };
        match AssertUnwindSafe(handshake).catch_unwind().await {
            Ok(outcome) => (Observation::Endpoint(self.seen(&outcome)), trouble),
            Err(_) => (Observation::Nothing, Some(panicked())),
        }
    }

    /// Without roots the certificate is still worth seeing.
    async fn roots(&self) -> (Option<Roots>, Option<Trouble>) {
        let Some(path) = self.ca_file.clone() else { return (None, None) };
        let trust = self.trust.clone();
        match spawn_blocking(move || trust.load(&path)).await {
            Ok(Ok(roots)) => (Some(roots), None),
            Ok(Err(error)) => (None, Some(Trouble::new("ca_unreadable", format!("cannot read the CA file: {error}")))),
            Err(_) => (None, Some(panicked())),
        }
    }

    fn seen(&self, outcome: &Result<Handshake, ProbeError>) -> ProbeSeen {
        ProbeSeen {
            target: Label::new(&self.endpoint.address),
            server_name: Label::new(self.endpoint.shown_name()),
            outcome: outcome.as_ref().map(Served::of).map_err(|error| Trouble::new(error.reason(), error)),
        }
    }
}

/// Roots by file, read again when the file changes; many endpoints share the system's bundle.
#[derive(Clone, Debug, Default)]
pub(super) struct TrustCache(Arc<Mutex<HashMap<PathBuf, (FileIdentity, Roots)>>>);

impl TrustCache {
    fn load(&self, path: &Path) -> Result<Roots, RootsError> {
        let identity = platform::identify(path)?;
        let known = |cache: &HashMap<PathBuf, (FileIdentity, Roots)>| {
            cache.get(path).filter(|(known, _)| *known == identity).map(|(_, roots)| roots.clone())
        };
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(roots) = known(&cache) {
            return Ok(roots);
        }
        let roots = Roots::from_file(path)?;
        cache.insert(path.to_owned(), (identity, roots.clone()));
        Ok(roots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_of_a_probe_is_counted_from_the_start() {
        for reason in ProbeError::REASONS {
            assert!(REASONS.contains(&reason), "{reason} has no counter");
        }
    }
}
