//! Which path answers what. Pure: a request's head and what is known make a response.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use jiff::Timestamp;

use super::guard::Refusal;
use super::landing::LandingPage;
use super::negotiate::{rendered, wanted};
use super::probe::Prober;
use super::telemetry_path::{PROBE, TelemetryPath};
use crate::render::{Program, Rendered};
use crate::snapshot::Board;
use kagiban_serving::{Pieces, plain};

const HEALTHY: &str = "/-/healthy";
const READY: &str = "/-/ready";

/// What all connections answer from.
#[derive(Debug)]
pub struct Site {
    pub host: String,
    pub telemetry_path: TelemetryPath,
    pub started: Timestamp,
    pub board: Arc<Board>,
    /// The newest snapshot, rendered.
    pub rendered: ArcSwap<Rendered>,
    /// Absent when the configuration allows no probes.
    pub prober: ArcSwapOption<Prober>,
    /// Set once every source has been looked at, and then for good.
    pub ready: AtomicBool,
}

impl Site {
    pub(super) async fn answer(&self, request: &Parts) -> Response<Pieces> {
        if !matches!(request.method, Method::GET | Method::HEAD) {
            let mut refusal = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here\n");
            refusal.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refusal;
        }
        match request.uri.path() {
            path if path == self.telemetry_path.as_str() => self.metrics(request),
            HEALTHY => plain(StatusCode::OK, "healthy\n"),
            READY if self.ready.load(Ordering::Relaxed) => plain(StatusCode::OK, "ready\n"),
            READY => plain(StatusCode::SERVICE_UNAVAILABLE, "not every source has been looked at yet\n"),
            PROBE => match self.prober.load_full() {
                Some(prober) => prober.answer(request).await,
                None => plain(StatusCode::NOT_FOUND, "probes are off: the configuration has no `probe`\n"),
            },
            "/" => self.landing(),
            _ => plain(StatusCode::NOT_FOUND, "nothing here\n"),
        }
    }

    fn metrics(&self, request: &Parts) -> Response<Pieces> {
        let format = wanted(request);
        rendered(format, self.rendered.load().answer(format, &Program::now(self.started)))
    }

    fn landing(&self) -> Response<Pieces> {
        let snapshot = self.board.snapshot();
        let page = LandingPage {
            host: &self.host,
            metrics: &self.telemetry_path,
            snapshot: &snapshot,
            now: Timestamp::now(),
            shutdown: snapshot.shutdown.as_ref(),
            probes: self.prober.load().is_some(),
        };
        kagiban_serving::page(StatusCode::OK, [Bytes::from(page.html())])
    }
}

/// The answer to somebody who is not let in.
pub(super) fn refuse(refusal: Refusal) -> Response<Pieces> {
    match refusal {
        Refusal::TooOften => plain(StatusCode::TOO_MANY_REQUESTS, "too many requests\n"),
        Refusal::Busy => plain(StatusCode::SERVICE_UNAVAILABLE, "too many passwords are being checked\n"),
        Refusal::NotAuthenticated => {
            let mut response = plain(StatusCode::UNAUTHORIZED, "name and password, please\n");
            let scheme = HeaderValue::from_static("Basic realm=\"kagiban-exporter\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
            response
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn site() -> Site {
        Site {
            host: "ups-01".to_owned(),
            telemetry_path: "/metrics".parse().expect("a path"),
            started: Timestamp::UNIX_EPOCH,
            board: Arc::default(),
            rendered: ArcSwap::default(),
            prober: ArcSwapOption::empty(),
            ready: AtomicBool::new(false),
        }
    }

    async fn status(site: &Site, method: Method, path: &str) -> u16 {
        let request = Request::builder().method(method).uri(path).body(()).expect("a request");
        site.answer(&request.into_parts().0).await.status().as_u16()
    }

    #[tokio::test]
    async fn only_what_exists_is_answered_and_only_to_those_who_read() {
        let site = site();
        for path in ["/", "/metrics", "/metrics?target=x", "/-/healthy"] {
            assert_eq!(status(&site, Method::GET, path).await, 200, "{path}");
        }
        assert_eq!(status(&site, Method::HEAD, "/metrics").await, 200);
        assert_eq!(status(&site, Method::GET, "/metrics/").await, 404);
        assert_eq!(status(&site, Method::GET, "/probe?target=a:1").await, 404);
        assert_eq!(status(&site, Method::POST, "/-/healthy").await, 405);
        assert_eq!(status(&site, Method::from_bytes(b"ODD").expect("a method"), "/").await, 405);
    }

    #[tokio::test]
    async fn readiness_waits_for_the_first_full_pass() {
        let site = site();
        assert_eq!(status(&site, Method::GET, READY).await, 503);
        site.ready.store(true, Ordering::Relaxed);
        assert_eq!(status(&site, Method::GET, READY).await, 200);
    }
}
