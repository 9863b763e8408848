//! `/probe?target=host:port[&module=tls][&server_name=…]`: one TLS handshake for whoever asks, with an endpoint that the
//! configuration allows.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use kagiban_keystore::Certificate;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::negotiate::{rendered, wanted};
use super::slots::MAX_CONNECTIONS;
use crate::blocking::Work;
use crate::config::{CompatSet, Config, ProbeConfig};
use crate::from_files::FromFiles;
use crate::probe::{
    Authorities, Endpoint, Handshake, ProbeError, ReadAuthorities, Roots, RootsError, TrustVerdict, probe_for,
    trusted_path,
};
use crate::render::{Probed, Rendered};
use crate::snapshot::ProbeSeen;
use kagiban_serving::query::the_one;
use kagiban_serving::{Pieces, plain};

/// Prometheus names its own patience here.
const PATIENCE_HEADER: &str = "x-prometheus-scrape-timeout-seconds";
/// The answer must be on its way before that is over.
const PATIENCE_RESERVE: Duration = Duration::from_millis(500);
/// Less is no time for a handshake.
const SHORTEST: Duration = Duration::from_millis(100);
/// Probes that are under way or wait: of the slots of all connections enough remain for scrapes.
pub(super) const MAX_ASKED: usize = MAX_CONNECTIONS * 3 / 4;
/// A bundle is read in milliseconds; without it the certificate is still worth seeing.
const TRUST_WITHIN: Duration = Duration::from_secs(2);

/// What `/probe` answers from.
#[derive(Debug)]
pub struct Prober {
    config: ProbeConfig,
    compat: Vec<CompatSet>,
    /// Absent when the system has no bundle and none is configured.
    authorities: Option<Authorities>,
    trust: FromFiles<Trust, RootsError>,
    asked: Semaphore,
    permits: Semaphore,
}

#[derive(Clone, Debug)]
struct Trust {
    roots: Roots,
    /// The same, as certificates: a root has an expiry too.
    authorities: Arc<[Certificate]>,
}

/// What a probe must find to count as a success in the metrics of other exporters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Module {
    /// A chain that is trusted for the name.
    Tls,
    /// Any certificate whose key the server holds.
    TlsInsecure,
}

/// Why there is no probe. Nothing of the request is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum NoProbe {
    #[error("write /probe?target=host:port, once; no scheme and no path")]
    Target,
    #[error("there is no such module: tls asks for a trusted certificate, tls_insecure for any")]
    Module,
    #[error("server_name must be one DNS name or IP address")]
    ServerName,
    #[error("this target is not on the list `probe.allow` of the configuration")]
    NotAllowed,
    #[error("too many probes are under way or wait, see `probe.maxConcurrent`; ask for fewer at once")]
    Busy,
}

struct Asked {
    endpoint: Endpoint,
    module: Module,
}

impl Prober {
    /// None when the configuration allows nothing.
    pub fn new(config: &Config, system: Option<&Authorities>) -> Option<Self> {
        let probe = config.probe.clone()?;
        Some(Self {
            authorities: Authorities::of(probe.ca_file.as_deref(), system),
            asked: Semaphore::new(MAX_ASKED),
            permits: Semaphore::new(probe.max_concurrent),
            compat: config.compat.clone(),
            trust: FromFiles::new(Work::Trust),
            config: probe,
        })
    }

    pub(super) async fn answer(&self, request: &Parts) -> Response<Pieces> {
        match self.look(request).await {
            Ok(probed) => {
                let format = wanted(request);
                rendered(format, Rendered::of_probe(&probed, &self.compat).alone(format))
            }
            Err(no) => plain(no.status(), format!("{no}\n")),
        }
    }

    async fn look(&self, request: &Parts) -> Result<Probed, NoProbe> {
        let asked = self.asked(request.uri.query().unwrap_or_default())?;
        let _asked = self.asked.try_acquire().map_err(|_| NoProbe::Busy)?;
        let started = Instant::now();
        let patience = self.patience(request);
        let deadline = started + patience;
        // Whoever waits for longer than that has too little time left: the target would be told as one that is silent.
        let turn = timeout_at(started + patience / 2, self.permits.acquire()).await;
        let Ok(Ok(_place)) = turn else { return Err(NoProbe::Busy) };
        let trust = self.trust(deadline).await;
        let left = deadline.saturating_duration_since(Instant::now());
        let roots = trust.as_ref().map(|trust| &trust.roots);
        let outcome = probe_for(Work::ProbeNames, &asked.endpoint, roots, left).await;
        Ok(asked.probed(&outcome, trust.as_deref(), started.elapsed()))
    }

    fn asked(&self, query: &str) -> Result<Asked, NoProbe> {
        let target = the_one(query, "target").map_err(|_| NoProbe::Target)?.ok_or(NoProbe::Target)?;
        let server_name = the_one(query, "server_name").map_err(|_| NoProbe::ServerName)?;
        let module = match the_one(query, "module").map_err(|_| NoProbe::Module)?.as_deref() {
            None | Some("tls") => Module::Tls,
            Some("tls_insecure") => Module::TlsInsecure,
            Some(_) => return Err(NoProbe::Module),
        };
        let bare = Endpoint { address: target.into_owned(), server_name: None };
        // The host is checked for itself: behind a server_name it would go to the resolver as it came.
        bare.expected_name().map_err(|_| NoProbe::Target)?;
        let (host, port) = bare.host_and_port().map_err(|_| NoProbe::Target)?;
        if !self.config.allows(host, port) {
            return Err(NoProbe::NotAllowed);
        }
        let endpoint = Endpoint { server_name: server_name.map(Cow::into_owned), ..bare };
        endpoint.expected_name().map_err(|_| NoProbe::ServerName)?;
        Ok(Asked { endpoint, module })
    }

    fn patience(&self, request: &Parts) -> Duration {
        let named = request.headers.get(PATIENCE_HEADER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let named = named.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let longest = self.config.timeout.as_duration();
        named.map_or(longest, |named| named.saturating_sub(PATIENCE_RESERVE).clamp(SHORTEST, longest))
    }

    /// Without roots the certificate is still worth seeing.
    async fn trust(&self, deadline: Instant) -> Option<Arc<Trust>> {
        let authorities = self.authorities.clone()?;
        let until = deadline.min(Instant::now() + TRUST_WITHIN);
        match self.trust.current(until, move || authorities.make(Trust::from)).await {
            Ok(trust) => Some(trust),
            Err(error) => {
                warn!(setting = "probe.caFile", %error, "no chain can be trusted in a probe: the authorities to trust cannot be read");
                None
            }
        }
    }
}

impl From<ReadAuthorities> for Trust {
    fn from(read: ReadAuthorities) -> Self {
        let authorities = read.certificates.iter().filter_map(|der| Certificate::from_der(der).ok()).collect();
        Self { authorities, roots: read.into() }
    }
}

impl Asked {
    fn probed(&self, outcome: &Result<Handshake, ProbeError>, trust: Option<&Trust>, took: Duration) -> Probed {
        let shaken = outcome.as_ref().ok();
        let trusted = shaken.is_some_and(|shaken| shaken.verdict == Some(TrustVerdict::Trusted));
        let served = shaken.iter().flat_map(|shaken| shaken.served.certificates());
        let chain: Vec<_> = served.map(|(_, certificate)| certificate.clone()).collect();
        let path = trust.filter(|_| trusted).and_then(|trust| trusted_path(&chain, &trust.authorities));
        // Whoever only wants a client certificate has shown its own, and that it holds the key.
        let answers =
            |shaken: &Handshake| shaken.is_complete() || shaken.client_certificate_wanted && shaken.key_proven;
        let success = shaken.is_some_and(answers)
            && match self.module {
                Module::Tls => trusted,
                Module::TlsInsecure => true,
            };
        let seen = ProbeSeen::of(&self.endpoint, outcome);
        Probed { seen, chain, path, success, took }
    }
}

impl NoProbe {
    const fn status(self) -> StatusCode {
        match self {
            Self::Target | Self::Module | Self::ServerName => StatusCode::BAD_REQUEST,
            Self::NotAllowed => StatusCode::FORBIDDEN,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use kagiban_serving::query::MAX_WORD;

    use super::*;

    fn prober() -> Prober {
        let yaml = "probe: {allow: [\"*.example.com:443\", \"192.0.2.0/24:*\"], timeout: 5s}\n";
        let config = crate::config::parse(yaml, Path::new("c")).expect("a configuration");
        Prober::new(&config, None).expect("it allows something")
    }

    fn said(query: &str) -> Result<(String, String, Module), NoProbe> {
        let asked = prober().asked(query)?;
        Ok((asked.endpoint.address.clone(), asked.endpoint.shown_name().to_owned(), asked.module))
    }

    #[test]
    fn a_target_is_host_and_port_on_the_list_and_nothing_else() {
        let found = |target: &str, name: &str, module| Ok((target.to_owned(), name.to_owned(), module));
        assert_eq!(said("target=a.example.com:443"), found("a.example.com:443", "a.example.com", Module::Tls));
        let named = said("module=tls_insecure&x=1&target=192.0.2.7%3A8443&server_name=ups-01");
        assert_eq!(named, found("192.0.2.7:8443", "ups-01", Module::TlsInsecure));
        for (query, no) in [
            ("", NoProbe::Target),
            ("target=a.example.com", NoProbe::Target),
            ("target=https%3A%2F%2Fa.example.com:443", NoProbe::Target),
            ("target=https://a.example.com:443/x", NoProbe::Target),
            ("target=/etc/passwd", NoProbe::Target),
            ("target=file:443", NoProbe::NotAllowed),
            ("target=a.example.com:443&target=192.0.2.7:1", NoProbe::Target),
            ("target=a%0a.example.com:443&server_name=a", NoProbe::Target),
            ("target=%ff.example.com:443", NoProbe::Target),
            ("target=a.example.com:44", NoProbe::NotAllowed),
            ("target=127.0.0.1:443", NoProbe::NotAllowed),
            ("target=[::ffff:192.0.2.7]:443", NoProbe::NotAllowed),
            ("target=a.example.com:443&module=file", NoProbe::Module),
            ("target=a.example.com:443&server_name=a%00b", NoProbe::ServerName),
        ] {
            assert_eq!(said(query), Err(no), "{query}");
        }
        assert_eq!(said(&format!("target={}.example.com:443", "a".repeat(MAX_WORD))), Err(NoProbe::Target));
    }

    /// One silent target after the other takes the only permit for as long as it may.
    #[tokio::test]
    async fn a_target_whose_turn_comes_too_late_is_not_told_as_one_that_failed() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
        let port = silent.local_addr().expect("an address").port();
        let yaml = "probe: {allow: [\"127.0.0.1:*\"], timeout: 1s, maxConcurrent: 1}\n";
        let config = crate::config::parse(yaml, Path::new("c")).expect("a configuration");
        let prober = Prober::new(&config, None).expect("it allows something");
        let request = hyper::Request::get(format!("/probe?target=127.0.0.1:{port}")).body(()).expect("a request");
        let request = request.into_parts().0;
        let (first, second) = futures::join!(prober.look(&request), async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            prober.look(&request).await
        });
        assert!(first.is_ok_and(|probed| !probed.success));
        assert!(matches!(second, Err(NoProbe::Busy)));
    }

    #[test]
    fn prometheus_patience_counts_within_the_configured_one() {
        let patience = |text: &str| {
            let request = hyper::Request::builder().header(PATIENCE_HEADER, text).body(()).expect("a request");
            prober().patience(&request.into_parts().0).as_secs_f64()
        };
        assert_eq!([patience("3"), patience("60"), patience("0.2")], [2.5, 5.0, SHORTEST.as_secs_f64()]);
        assert_eq!([patience("soon"), patience("nan"), patience("-1"), patience("1e300")], [5.0; 4]);
    }
}
