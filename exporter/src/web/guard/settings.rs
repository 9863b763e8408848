//! One web configuration, ready to be used.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use tracing::warn;

use super::error::GuardError;
use super::rate::Limiter;
use super::tls;
use super::users::{AccessDecision, Users};
use crate::config::{self, RateLimitConfig, TlsServerConfig};
use crate::from_files::FileOrigin;

/// What is asked of clients. The default asks for nothing, over plain HTTP.
#[derive(Debug, Default)]
pub(in crate::web) struct Settings {
    pub(in crate::web) tls: Option<Arc<ServerConfig>>,
    headers: Vec<(HeaderName, HeaderValue)>,
    users: Option<Users>,
    limiter: Option<Limiter>,
}

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::web) enum Refusal {
    TooOften,
    NotAuthenticated,
    Busy,
}

impl Settings {
    /// Reads the file and those that it names.
    pub(super) fn load(path: &Path) -> Result<(Self, FileOrigin), GuardError> {
        let file = config::load_web(path)?;
        let mut watched = vec![(path.to_owned(), file.identity)];
        let written = file.config;
        for left_out in written.tls_server_config.iter().flat_map(TlsServerConfig::left_out) {
            warn!(file = %path.display(), "the web configuration asks for what is not spoken here, and goes without: {left_out}");
        }
        let tls = written.tls_server_config.as_ref().map(|section| tls::server(section, &mut watched)).transpose()?;
        let headers = written.http_server_config.iter().flat_map(|http| &http.headers);
        let headers = headers.map(|(header, text)| (header.name(), text.0.clone())).collect();
        let users = written.basic_auth_users.as_ref().map(|hashes| Ok(Users::new(hashes, salt()?)));
        let users = users.transpose().map_err(|error: GuardError| error)?.flatten();
        let limiter = written.rate_limit.and_then(|RateLimitConfig { interval, burst }| {
            interval.map(|interval| Limiter::new(interval, burst, Instant::now()))
        });
        Ok((Self { tls, headers, users, limiter }, watched))
    }

    pub(in crate::web) async fn admit(&self, request: &Parts) -> Result<(), Refusal> {
        if self.limiter.as_ref().is_some_and(|limiter| !limiter.admits(Instant::now())) {
            return Err(Refusal::TooOften);
        }
        let Some(users) = &self.users else { return Ok(()) };
        match users.admit(request.headers.get(hyper::header::AUTHORIZATION)).await {
            AccessDecision::Granted => Ok(()),
            AccessDecision::Denied => Err(Refusal::NotAuthenticated),
            AccessDecision::Busy => Err(Refusal::Busy),
        }
    }

    /// Adds what the file says to an answer's headers.
    pub(in crate::web) fn dress(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
    }
}

fn salt() -> Result<[u8; 32], GuardError> {
    let mut salt = [0; 32];
    aws_lc_rs::default_provider().secure_random.fill(&mut salt).map_err(|_| GuardError::Random)?;
    Ok(salt)
}
