//! When the certificates end that the operator itself depends on: the issuers', and those that it shows to hosts.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use crate::metrics::{gauge, seconds};

/// One that no resource has needed for so long is not named by any more: it leaves no series behind.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3600);
/// Secrets of each kind that have a series at most.
const MAX_SERIES: usize = 1024;

/// What a certificate in a Secret is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SecretUse {
    Issuer,
    ClientCertificate,
}

/// As they were read last.
#[derive(Clone, Debug, Default)]
pub(crate) struct SecretExpiries(Arc<Mutex<BTreeMap<Key, Seen>>>);

/// What for, the namespace and the name.
type Key = (SecretUse, String, String);

#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Instant,
    not_after: Timestamp,
}

impl SecretExpiries {
    pub(crate) fn seen(&self, what_for: SecretUse, namespace: &str, secret: &str, not_after: Timestamp) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (what_for, namespace.to_owned(), secret.to_owned());
        let series = known.keys().filter(|(other, ..)| *other == what_for).count();
        if series < MAX_SERIES || known.contains_key(&key) {
            known.insert(key, Seen { at: Instant::now(), not_after });
        }
    }
}

impl Collector for SecretExpiries {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, seen| seen.at.elapsed() < FORGOTTEN_AFTER);
        let families = [
            (
                SecretUse::Issuer,
                "kagiban_operator_issuer_not_after_timestamp_seconds",
                "The earliest notAfter in the chain of an issuer: no certificate of it lives longer",
            ),
            (
                SecretUse::ClientCertificate,
                "kagiban_operator_client_certificate_not_after_timestamp_seconds",
                "notAfter of a client certificate that the operator shows to hosts",
            ),
        ];
        for (what_for, name, help) in families {
            let samples = known.iter().filter(|((other, ..), _)| *other == what_for);
            let samples: Vec<_> = samples
                .map(|((_, namespace, secret), seen)| {
                    let labels = vec![("namespace", namespace.clone()), ("name", secret.clone())];
                    (labels, seconds(seen.not_after))
                })
                .collect();
            // a family without samples is left out, help and type too
            if !samples.is_empty() {
                gauge(&mut encoder, name, help, samples.into_iter())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    /// Holds B6: whoever watches the operator sees the end of its issuer before its users do.
    #[test]
    fn the_ends_of_issuers_and_client_certificates_are_series() {
        let metrics = Metrics::new(None);
        let end = Timestamp::from_second(1_900_000_000).expect("a time");
        metrics.issuer_not_after("fleet", "fleet-ca", end);
        metrics.client_certificate_not_after("fleet", "fleet-client", end);
        let text = metrics.render().expect("a string takes everything");
        for line in [
            "kagiban_operator_issuer_not_after_timestamp_seconds{namespace=\"fleet\",name=\"fleet-ca\"} 1900000000",
            "kagiban_operator_client_certificate_not_after_timestamp_seconds{namespace=\"fleet\",name=\"fleet-client\"} 1900000000",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn no_number_of_secrets_makes_more_series_than_the_bound() {
        let expiries = SecretExpiries::default();
        for number in 0..2 * MAX_SERIES {
            expiries.seen(SecretUse::Issuer, "fleet", &number.to_string(), Timestamp::UNIX_EPOCH);
        }
        assert_eq!(expiries.0.lock().expect("whole").len(), MAX_SERIES);
    }
}
