//! TLS versions, cipher suites and curves by the names that Go gives them, as exporter-toolkit's file has them. All of its
//! names are known; some stand for what the TLS stack does not speak.

use std::fmt;

use rustls::crypto::{SupportedKxGroup, aws_lc_rs};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion, version};
use serde::{Deserialize, Deserializer};

use super::values::in_place;

/// The older first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    Tls10,
    Tls11,
    Tls12,
    Tls13,
}

#[derive(Clone, Copy, Debug)]
pub struct CipherSuite {
    name: &'static str,
    spoken: Option<SupportedCipherSuite>,
}

/// A key exchange group.
#[derive(Clone, Copy, Debug)]
pub struct Curve {
    name: &'static str,
    spoken: Option<&'static dyn SupportedKxGroup>,
}

/// A name that Go does not know either.
#[derive(Debug, thiserror::Error)]
enum Unknown {
    #[error("{0:?} is no TLS version; write TLS12 or TLS13")]
    Version(String),
    #[error("{0:?} is no cipher suite; for TLS 1.2 there are: {list}", list = CipherSuite::spoken_names().join(", "))]
    Suite(String),
    #[error("{0:?} is no curve; there are: {list}", list = Curve::spoken_names().join(", "))]
    Curve(String),
}

impl TlsVersion {
    const NAMES: [(&'static str, Self); 4] =
        [("TLS10", Self::Tls10), ("TLS11", Self::Tls11), ("TLS12", Self::Tls12), ("TLS13", Self::Tls13)];

    fn parse(text: &str) -> Result<Self, Unknown> {
        let found = Self::NAMES.iter().find(|(name, _)| *name == text).map(|(_, version)| *version);
        found.ok_or_else(|| Unknown::Version(text.to_owned()))
    }

    pub(super) const fn spoken(self) -> Option<&'static SupportedProtocolVersion> {
        match self {
            Self::Tls10 | Self::Tls11 => None,
            Self::Tls12 => Some(&version::TLS12),
            Self::Tls13 => Some(&version::TLS13),
        }
    }
}

impl CipherSuite {
    const OF_TLS12: [(&'static str, SupportedCipherSuite); 6] = {
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
    const OF_TLS13: [(&'static str, SupportedCipherSuite); 3] = {
        use aws_lc_rs::cipher_suite as suite;
        [
            ("TLS_AES_128_GCM_SHA256", suite::TLS13_AES_128_GCM_SHA256),
            ("TLS_AES_256_GCM_SHA384", suite::TLS13_AES_256_GCM_SHA384),
            ("TLS_CHACHA20_POLY1305_SHA256", suite::TLS13_CHACHA20_POLY1305_SHA256),
        ]
    };
    /// `tls.CipherSuites` and `tls.InsecureCipherSuites` have them; rustls does not.
    const UNSPOKEN: [&'static str; 16] = [
        "TLS_RSA_WITH_RC4_128_SHA",
        "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
        "TLS_RSA_WITH_AES_128_CBC_SHA",
        "TLS_RSA_WITH_AES_256_CBC_SHA",
        "TLS_RSA_WITH_AES_128_CBC_SHA256",
        "TLS_RSA_WITH_AES_128_GCM_SHA256",
        "TLS_RSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
        "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
        "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
        "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
        "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
        "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
        "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
        "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    ];

    pub(super) fn spoken_names() -> [&'static str; 6] {
        Self::OF_TLS12.map(|(name, _)| name)
    }

    /// Absent where the TLS stack does not speak it.
    pub const fn spoken(&self) -> Option<SupportedCipherSuite> {
        self.spoken
    }

    fn parse(text: &str) -> Result<Self, Unknown> {
        // Go has an older name for each of the two, without the hash.
        let full = if text.ends_with("_CHACHA20_POLY1305") { format!("{text}_SHA256") } else { text.to_owned() };
        let spoken = Self::OF_TLS12.iter().chain(&Self::OF_TLS13).map(|(name, suite)| (*name, Some(*suite)));
        let mut known = spoken.chain(Self::UNSPOKEN.map(|name| (name, None)));
        let found = known.find(|(name, _)| *name == full).map(|(name, spoken)| Self { name, spoken });
        found.ok_or_else(|| Unknown::Suite(text.to_owned()))
    }
}

impl Curve {
    const SPOKEN: [(&'static str, &'static dyn SupportedKxGroup); 4] = [
        ("X25519MLKEM768", aws_lc_rs::kx_group::X25519MLKEM768),
        ("X25519", aws_lc_rs::kx_group::X25519),
        ("CurveP256", aws_lc_rs::kx_group::SECP256R1),
        ("CurveP384", aws_lc_rs::kx_group::SECP384R1),
    ];
    const UNSPOKEN: [&'static str; 1] = ["CurveP521"];

    pub(super) fn spoken_names() -> [&'static str; 4] {
        Self::SPOKEN.map(|(name, _)| name)
    }

    /// Absent where the TLS stack does not speak it.
    pub const fn spoken(&self) -> Option<&'static dyn SupportedKxGroup> {
        self.spoken
    }

    fn parse(text: &str) -> Result<Self, Unknown> {
        let spoken = Self::SPOKEN.iter().map(|(name, group)| (*name, Some(*group)));
        let mut known = spoken.chain(Self::UNSPOKEN.map(|name| (name, None)));
        let found = known.find(|(name, _)| *name == text).map(|(name, spoken)| Self { name, spoken });
        found.ok_or_else(|| Unknown::Curve(text.to_owned()))
    }
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(_, version)| version == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

impl fmt::Display for CipherSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Display for Curve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
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
