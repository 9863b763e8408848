//! The web configuration file, in the keys of Prometheus's exporter-toolkit: TLS, users, headers, a rate limit.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use rustls::crypto::{SupportedKxGroup, aws_lc_rs};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion, version};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};

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

/// A TLS version that is still spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    Tls12,
    Tls13,
}

/// A cipher suite, found by the name that Go gives it.
#[derive(Clone, Copy, Debug)]
pub struct CipherSuite(pub SupportedCipherSuite);

/// A key exchange group, found by the name that Go gives it.
#[derive(Clone, Copy, Debug)]
pub struct Curve(pub &'static dyn SupportedKxGroup);

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
    #[error("{0} is broken and not spoken; write TLS12 or TLS13")]
    OldVersion(String),
    #[error("{0:?} is no TLS version; write TLS12 or TLS13")]
    Version(String),
    #[error("the cipher suite {0:?} is not spoken; for TLS 1.2 there are: {list}", list = CipherSuite::NAMES.map(|(name, _)| name).join(", "))]
    Suite(String),
    #[error("the curve {0:?} is not spoken; there are: {list}", list = Curve::NAMES.map(|(name, _)| name).join(", "))]
    Curve(String),
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
    pub(super) fn problem(&self) -> Option<&'static str> {
        let headers = self.http_server_config.iter().flat_map(|http| &http.headers);
        self.tls_server_config
            .as_ref()
            .and_then(TlsServerConfig::problem)
            .or_else(|| self.rate_limit.and_then(RateLimitConfig::problem))
            .or_else(|| headers.into_iter().find_map(|(header, text)| header.problem(text)))
    }
}

impl TlsServerConfig {
    fn problem(&self) -> Option<&'static str> {
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
        } else if self.versions().is_empty() {
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

    /// The versions to speak.
    pub fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        let spoken = |of: &TlsVersion| {
            self.min_version.is_none_or(|min| *of >= min) && self.max_version.is_none_or(|max| *of <= max)
        };
        [TlsVersion::Tls13, TlsVersion::Tls12].into_iter().filter(spoken).map(TlsVersion::spoken).collect()
    }
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

impl TlsVersion {
    fn parse(text: &str) -> Result<Self, Wrong> {
        match text {
            "TLS12" => Ok(Self::Tls12),
            "TLS13" => Ok(Self::Tls13),
            "TLS10" | "TLS11" => Err(Wrong::OldVersion(text.to_owned())),
            other => Err(Wrong::Version(other.to_owned())),
        }
    }

    const fn spoken(self) -> &'static SupportedProtocolVersion {
        match self {
            Self::Tls12 => &version::TLS12,
            Self::Tls13 => &version::TLS13,
        }
    }
}

impl CipherSuite {
    const NAMES: [(&'static str, SupportedCipherSuite); 6] = {
        use aws_lc_rs::cipher_suite as suite;
        [
            ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
            ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
            ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
            ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
            ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
            ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
        ]
    };
    /// Taken, and on anyway.
    const NAMES_OF_TLS13: [(&'static str, SupportedCipherSuite); 3] = {
        use aws_lc_rs::cipher_suite as suite;
        [
            ("TLS_AES_128_GCM_SHA256", suite::TLS13_AES_128_GCM_SHA256),
            ("TLS_AES_256_GCM_SHA384", suite::TLS13_AES_256_GCM_SHA384),
            ("TLS_CHACHA20_POLY1305_SHA256", suite::TLS13_CHACHA20_POLY1305_SHA256),
        ]
    };

    fn parse(text: &str) -> Result<Self, Wrong> {
        // Go has an older name for each of the two, without the hash.
        let full = if text.ends_with("_CHACHA20_POLY1305") { format!("{text}_SHA256") } else { text.to_owned() };
        let known = Self::NAMES.iter().chain(&Self::NAMES_OF_TLS13);
        let found = known.into_iter().find(|(name, _)| *name == full).map(|(_, suite)| Self(*suite));
        found.ok_or_else(|| Wrong::Suite(text.to_owned()))
    }
}

impl Curve {
    const NAMES: [(&'static str, &'static dyn SupportedKxGroup); 4] = [
        ("X25519MLKEM768", aws_lc_rs::kx_group::X25519MLKEM768),
        ("X25519", aws_lc_rs::kx_group::X25519),
        ("CurveP256", aws_lc_rs::kx_group::SECP256R1),
        ("CurveP384", aws_lc_rs::kx_group::SECP384R1),
    ];

    fn parse(text: &str) -> Result<Self, Wrong> {
        let found = Self::NAMES.iter().find(|(name, _)| *name == text).map(|(_, group)| Self(*group));
        found.ok_or_else(|| Wrong::Curve(text.to_owned()))
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

impl<'de> Deserialize<'de> for TlsVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        in_place(deserializer, "a TLS version", Self::parse)
    }
}

impl<'de> Deserialize<'de> for CipherSuite {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        in_place(deserializer, "the name of a cipher suite", Self::parse)
    }
}

impl<'de> Deserialize<'de> for Curve {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        in_place(deserializer, "the name of a curve", Self::parse)
    }
}

impl<'de> Deserialize<'de> for HeaderText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        in_place(deserializer, "the value of a header", Self::parse)
    }
}
