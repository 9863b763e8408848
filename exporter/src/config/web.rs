//! The web configuration file, in the keys of Prometheus's exporter-toolkit: TLS, users, headers, a rate limit.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use rustls::SupportedProtocolVersion;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};

use super::go_tls::{CipherSuite, Curve, TlsVersion};
use super::values::in_place;

/// All of it, as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebConfig {
    pub tls_server_config: Option<TlsServerConfig>,
    pub http_server_config: Option<HttpServerConfig>,
    pub basic_auth_users: Option<BTreeMap<String, PasswordHash>>,
    pub rate_limit: Option<RateLimitConfig>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsServerConfig {
    /// The certificate and its chain, PEM.
    pub cert: Option<String>,
    pub cert_file: Option<PathBuf>,
    pub key: Option<SecretString>,
    pub key_file: Option<PathBuf>,
    /// The CAs that client certificates must chain to, PEM.
    pub client_ca: Option<String>,
    pub client_ca_file: Option<PathBuf>,
    pub client_auth_type: ClientAuthType,
    /// A client certificate must hold one of these, as DNS name, email address, IP address or URI.
    pub client_allowed_sans: Vec<String>,
    pub min_version: Option<TlsVersion>,
    pub max_version: Option<TlsVersion>,
    /// For TLS 1.2; those of TLS 1.3 are all good and always offered.
    pub cipher_suites: Option<Vec<CipherSuite>>,
    pub prefer_server_cipher_suites: Option<bool>,
    pub curve_preferences: Option<Vec<Curve>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum ClientAuthType {
    #[default]
    #[serde(alias = "")]
    NoClientCert,
    RequestClientCert,
    #[serde(alias = "RequireClientCert")]
    RequireAnyClientCert,
    VerifyClientCertIfGiven,
    RequireAndVerifyClientCert,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpServerConfig {
    /// Taken for the file's sake: HTTP/1.1 is what is offered, and every client falls back to it.
    pub http2: Option<bool>,
    pub headers: BTreeMap<ExtraHeader, HeaderText>,
}

/// The headers that may be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum ExtraHeader {
    #[serde(rename = "Content-Security-Policy")]
    ContentSecurityPolicy,
    #[serde(rename = "Strict-Transport-Security")]
    StrictTransportSecurity,
    #[serde(rename = "X-Content-Type-Options")]
    XContentTypeOptions,
    #[serde(rename = "X-Frame-Options")]
    XFrameOptions,
    #[serde(rename = "X-XSS-Protection")]
    XXssProtection,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimitConfig {
    /// One request per interval, over time; nothing is limited without it.
    #[serde(deserialize_with = "rate_interval")]
    pub interval: Option<Duration>,
    /// How many may come at once.
    pub burst: u32,
}

/// A bcrypt hash, of a cost that can be paid at every wrong guess.
#[derive(Clone, Debug)]
pub struct PasswordHash(SecretString);

/// The value of a header.
#[derive(Clone, Debug)]
pub struct HeaderText(pub hyper::header::HeaderValue);

/// What is wrong with a value, or with several together.
#[derive(Debug, thiserror::Error)]
enum Wrong {
    #[error("this is no bcrypt hash; make one with `htpasswd -nBC 10 ''`")]
    Hash,
    #[error("a bcrypt hash of cost {0}: at most {max} is taken, because each wrong guess costs as much", max = PasswordHash::MAX_COST)]
    Cost(u32),
    #[error("a header's value is visible ASCII")]
    Header,
    #[error("{0:?} is no duration such as 1s or 100ms")]
    Interval(String),
}

impl WebConfig {
    /// Paths are relative to the file that names them.
    pub(super) fn anchor(&mut self, directory: &Path) {
        let Some(tls) = &mut self.tls_server_config else { return };
        for path in [&mut tls.cert_file, &mut tls.key_file, &mut tls.client_ca_file].into_iter().flatten() {
            *path = directory.join(&*path);
        }
    }

    /// What one value alone does not show.
    pub(super) fn problem(&self) -> Option<String> {
        let headers = self.http_server_config.iter().flat_map(|http| &http.headers);
        self.tls_server_config
            .as_ref()
            .and_then(TlsServerConfig::problem)
            .or_else(|| self.rate_limit.and_then(RateLimitConfig::problem).map(str::to_owned))
            .or_else(|| headers.into_iter().find_map(|(header, text)| header.problem(text)).map(str::to_owned))
    }
}

impl TlsServerConfig {
    /// Who the pages are, and whose certificates are asked for.
    pub fn deciding_files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let named = [
            ("tls_server_config.cert_file", &self.cert_file),
            ("tls_server_config.key_file", &self.key_file),
            ("tls_server_config.client_ca_file", &self.client_ca_file),
        ];
        named.into_iter().filter_map(|(setting, path)| Some((setting, path.as_deref()?)))
    }

    fn problem(&self) -> Option<String> {
        self.contradiction().map(str::to_owned).or_else(|| self.unspoken())
    }

    fn contradiction(&self) -> Option<&'static str> {
        let named = |inline: bool, file: bool| u8::from(inline) + u8::from(file);
        let certificates = named(self.cert.is_some(), self.cert_file.is_some());
        let keys = named(self.key.is_some(), self.key_file.is_some());
        let authorities = named(self.client_ca.is_some(), self.client_ca_file.is_some());
        let names_nobody_checks = !self.client_allowed_sans.is_empty();
        if certificates != 1 {
            return Some("tls_server_config needs one of `cert_file` and `cert`");
        } else if keys != 1 {
            return Some("tls_server_config needs one of `key_file` and `key`");
        } else if authorities > 1 {
            return Some("tls_server_config takes one of `client_ca_file` and `client_ca`");
        } else if self.min_version.zip(self.max_version).is_some_and(|(min, max)| min > max) {
            return Some("`min_version` is above `max_version`");
        } else if self.cipher_suites.as_ref().is_some_and(Vec::is_empty) {
            return Some("`cipher_suites` names none");
        } else if self.curve_preferences.as_ref().is_some_and(Vec::is_empty) {
            return Some("`curve_preferences` names none");
        }
        match self.client_auth_type {
            ClientAuthType::NoClientCert if authorities == 1 => {
                Some("a client CA does nothing without `client_auth_type`; set RequireAndVerifyClientCert")
            }
            ClientAuthType::NoClientCert | ClientAuthType::RequestClientCert | ClientAuthType::RequireAnyClientCert
                if names_nobody_checks =>
            {
                Some("`client_allowed_sans` needs certificates that are verified; set RequireAndVerifyClientCert")
            }
            ClientAuthType::VerifyClientCertIfGiven | ClientAuthType::RequireAndVerifyClientCert
                if authorities == 0 =>
            {
                Some("client certificates can be verified only with a `client_ca_file`")
            }
            ClientAuthType::NoClientCert
            | ClientAuthType::RequestClientCert
            | ClientAuthType::RequireAnyClientCert
            | ClientAuthType::VerifyClientCertIfGiven
            | ClientAuthType::RequireAndVerifyClientCert => None,
        }
    }

    /// What exporter-toolkit would speak and this program does not, by setting. The rest is in force.
    pub fn left_out(&self) -> Vec<String> {
        let mut said = Vec::new();
        if let Some(min) = self.min_version.filter(|min| min.spoken().is_none()) {
            said.push(format!("min_version {min}, and the oldest is TLS 1.2"));
        }
        let suites: Vec<_> = self.cipher_suites.iter().flatten().filter(|suite| suite.spoken().is_none()).collect();
        if !suites.is_empty() {
            said.push(format!("cipher_suites {}", listed(&suites)));
        }
        let curves: Vec<_> = self.curve_preferences.iter().flatten().filter(|curve| curve.spoken().is_none()).collect();
        if !curves.is_empty() {
            said.push(format!("curve_preferences {}", listed(&curves)));
        }
        said
    }

    /// What is asked for and cannot be had at all.
    fn unspoken(&self) -> Option<String> {
        if let Some(max) = self.max_version.filter(|max| max.spoken().is_none()) {
            return Some(format!("`max_version` is {max}, and TLS 1.2 is the oldest version that is spoken"));
        }
        let suites = self.cipher_suites.iter().flatten();
        if self.max_version == Some(TlsVersion::Tls12)
            && self.cipher_suites.is_some()
            && suites.clone().all(|suite| suite.spoken().is_none_or(|suite| suite.tls13().is_some()))
        {
            let named: Vec<_> = suites.collect();
            return Some(format!(
                "of `cipher_suites` ({}) none is spoken, and `max_version` leaves out TLS 1.3; for TLS 1.2 there are: {}",
                listed(&named),
                CipherSuite::spoken_names().join(", ")
            ));
        }
        let curves: Vec<_> = self.curve_preferences.iter().flatten().collect();
        let is_any = |curve: &&Curve| curve.spoken().is_some();
        (!curves.is_empty() && !curves.iter().any(is_any)).then(|| {
            let spoken = Curve::spoken_names().join(", ");
            format!("of `curve_preferences` ({}) none is spoken; there are: {spoken}", listed(&curves))
        })
    }

    /// The versions to speak.
    pub fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        let spoken = |of: &TlsVersion| {
            self.min_version.is_none_or(|min| *of >= min) && self.max_version.is_none_or(|max| *of <= max)
        };
        [TlsVersion::Tls13, TlsVersion::Tls12].into_iter().filter(spoken).filter_map(TlsVersion::spoken).collect()
    }
}

fn listed(names: &[&impl ToString]) -> String {
    names.iter().map(|name| name.to_string()).collect::<Vec<_>>().join(", ")
}

impl RateLimitConfig {
    const fn problem(self) -> Option<&'static str> {
        match self.interval {
            Some(_) if self.burst == 0 => Some("rate_limit: a `burst` of 0 lets nobody in; write at least 1"),
            _ => None,
        }
    }
}

impl ExtraHeader {
    pub const fn name(self) -> hyper::header::HeaderName {
        use hyper::header;
        match self {
            Self::ContentSecurityPolicy => header::CONTENT_SECURITY_POLICY,
            Self::StrictTransportSecurity => header::STRICT_TRANSPORT_SECURITY,
            Self::XContentTypeOptions => header::X_CONTENT_TYPE_OPTIONS,
            Self::XFrameOptions => header::X_FRAME_OPTIONS,
            Self::XXssProtection => header::X_XSS_PROTECTION,
        }
    }

    fn problem(self, text: &HeaderText) -> Option<&'static str> {
        let is = |word: &str| text.0.as_bytes().eq_ignore_ascii_case(word.as_bytes());
        match self {
            Self::XContentTypeOptions if !is("nosniff") => {
                Some("X-Content-Type-Options: only `nosniff` means something")
            }
            Self::XFrameOptions if !is("deny") && !is("sameorigin") => {
                Some("X-Frame-Options: only `deny` and `sameorigin` mean something")
            }
            Self::ContentSecurityPolicy
            | Self::StrictTransportSecurity
            | Self::XContentTypeOptions
            | Self::XFrameOptions
            | Self::XXssProtection => None,
        }
    }
}

impl PasswordHash {
    /// About a second of one processor; each step doubles it.
    pub const MAX_COST: u32 = 14;

    pub const fn expose(&self) -> &SecretString {
        &self.0
    }

    fn parse(text: &str) -> Result<Self, Wrong> {
        let parts = bcrypt::HashParts::from_str(text).map_err(|_| Wrong::Hash)?;
        match parts.get_cost() {
            4..=Self::MAX_COST => Ok(Self(SecretString::from(text))),
            cost => Err(Wrong::Cost(cost)),
        }
    }
}

impl HeaderText {
    fn parse(text: &str) -> Result<Self, Wrong> {
        hyper::header::HeaderValue::from_str(text).map(Self).map_err(|_| Wrong::Header)
    }
}

/// Go writes `0` for none.
fn rate_interval<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    in_place(deserializer, "a duration such as 1s", |text| {
        let wrong = || Wrong::Interval(text.to_owned());
        let signed: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
        let interval = Duration::try_from(signed).map_err(|_| wrong())?;
        Ok::<_, Wrong>((!interval.is_zero()).then_some(interval))
    })
}

impl<'de> Deserialize<'de> for PasswordHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        in_place(deserializer, "a bcrypt hash", Self::parse)
    }
}

impl<'de> Deserialize<'de> for HeaderText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        in_place(deserializer, "the value of a header", Self::parse)
    }
}
