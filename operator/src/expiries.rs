//! When the certificates end that the operator itself depends on: the issuers', and those that it shows to hosts.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use crate::samples::{gauge, seconds};
use crate::shares::Shares;

/// One that no resource has needed for so long is not named by any more: it leaves no series behind.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3600);
/// Secrets of each kind that have a series at most.
const MAX_SERIES: usize = 1024;

/// What a certificate in a Secret is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SecretUse {
    Issuer,
    ClientCertificate,
}

/// As they were read last.
#[derive(Clone, Debug, Default)]
pub(crate) struct SecretExpiries(Arc<Mutex<ExpiriesByUse>>);

#[derive(Debug, Default)]
struct ExpiriesByUse {
    issuers: Series,
    client_certificates: Series,
}

/// By the namespace and the name of the Secret.
type Series = BTreeMap<(String, String), ObservedExpiry>;

#[derive(Clone, Copy, Debug)]
struct ObservedExpiry {
    at: Instant,
    not_after: Timestamp,
}

impl SecretExpiries {
    /// Gives whether there is room for all that are known.
    pub(crate) fn seen(&self, what_for: SecretUse, namespace: &str, secret: &str, not_after: Timestamp) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let series = match what_for {
            SecretUse::Issuer => &mut known.issuers,
            SecretUse::ClientCertificate => &mut known.client_certificates,
        };
        series.insert((namespace.to_owned(), secret.to_owned()), ObservedExpiry { at: Instant::now(), not_after });
        if series.len() > MAX_SERIES {
            series.retain(|_, seen| seen.at.elapsed() < FORGOTTEN_AFTER);
        }
        let fits = series.len() <= MAX_SERIES;
        if !fits {
            leave_one_out(series);
        }
        fits
    }
}

/// Of the namespace that has the most, the one that ends last: no namespace takes the room of another, and what is left out is
/// the same at every look.
fn leave_one_out(series: &mut Series) {
    let mut shares = Shares::default();
    for (namespace, _) in series.keys() {
        shares.take(namespace, 1);
    }
    let largest = shares.largest();
    let of_largest = series.iter().filter(|((namespace, _), _)| Some(namespace.as_str()) == largest);
    let last = of_largest.max_by_key(|(key, seen)| (seen.not_after, *key)).map(|(key, _)| key.clone());
    last.and_then(|last| series.remove(&last));
}

impl Collector for SecretExpiries {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ExpiriesByUse { issuers, client_certificates } = &mut *known;
        let families = [
            (
                issuers,
                "kagiban_operator_issuer_not_after_timestamp_seconds",
                "The earliest notAfter in the chain of an issuer: no certificate of it lives longer",
            ),
            (
                client_certificates,
                "kagiban_operator_client_certificate_not_after_timestamp_seconds",
                "notAfter of a client certificate that the operator shows to hosts",
            ),
        ];
        for (series, name, help) in families {
            series.retain(|_, seen| seen.at.elapsed() < FORGOTTEN_AFTER);
            // A family without samples is left out, help and type too
            if series.is_empty() {
                continue;
            }
            let samples = series.iter().map(|((namespace, secret), seen)| {
                (vec![("namespace", namespace.clone()), ("name", secret.clone())], seconds(seen.not_after))
            });
            gauge(&mut encoder, name, help, samples)?;
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
        let mut text = String::new();
        metrics.write(&mut text).expect("a string takes everything");
        for line in [
            "kagiban_operator_issuer_not_after_timestamp_seconds{namespace=\"fleet\",name=\"fleet-ca\"} 1900000000",
            "kagiban_operator_client_certificate_not_after_timestamp_seconds{namespace=\"fleet\",name=\"fleet-client\"} 1900000000",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    /// Holds B6: a namespace with many Secrets hides the end of no other's, and of its own the last ones go.
    #[test]
    fn no_number_of_secrets_makes_more_series_than_the_bound_or_takes_the_room_of_another_namespace() {
        let expiries = SecretExpiries::default();
        let end = |second: usize| Timestamp::from_second(i64::try_from(second).expect("small")).expect("a time");
        let seen = |namespace: &str, number: usize| {
            expiries.seen(SecretUse::Issuer, namespace, &number.to_string(), end(number))
        };
        for number in (0..2 * MAX_SERIES).rev() {
            assert_eq!(seen("theirs", number), number >= MAX_SERIES, "{number}");
        }
        assert!(!seen("fleet", 2 * MAX_SERIES), "it counts what has no room");
        let known = expiries.0.lock().expect("whole");
        assert_eq!(known.issuers.len(), MAX_SERIES);
        assert!(known.issuers.contains_key(&("fleet".to_owned(), (2 * MAX_SERIES).to_string())));
        assert!(!known.issuers.contains_key(&("theirs".to_owned(), (MAX_SERIES - 1).to_string())));
        assert!(known.client_certificates.is_empty());
    }
}
