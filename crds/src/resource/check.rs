//! What the schema and its rules let in, in Rust: a spec that the API server refuses is refused here too, so that a
//! manifest that was never applied, and an object that an older schema let in, are judged alike.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::{
    CertificateSpec, KeyAlgorithm, ManagedAgentCertificateSpec, Procedure, Product, PushSpec, RenewalSpec, RepairSpec,
    StoreFormat,
};
use crate::subject::is_invisible;
use crate::{AgentName, HostName, SecretName, SubjectError, host_setup};

/// The one alias that a PowerChute agent loads its key from.
const POWERCHUTE_ALIAS: &str = "securekey";
const MOST_DNS_NAMES: usize = 32;
const MOST_IP_ADDRESSES: usize = 16;
const LONGEST_NAME: usize = 253;
const LONGEST_ALIAS: usize = 128;
const SHORTEST_DURATION: Duration = Duration::from_secs(3600);
const SHORTEST_RENEW_BEFORE: Duration = Duration::from_secs(300);

const NO_NAME: &str = "it is no name: lower-case letters, digits, hyphens and dots between them";

/// A spec that was not let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// It has not the shape of a spec.
    #[error("spec: {0}")]
    Shape(String),
    /// One field holds what it must not.
    #[error("spec.{field}: {message}")]
    Field { field: &'static str, message: &'static str },
}

impl ManagedAgentCertificateSpec {
    /// # Errors
    /// The first field that holds what the schema or one of its rules refuses.
    pub fn check(&self) -> Result<(), SpecError> {
        if self.host.parse::<HostName>().is_err() {
            return refused("host", NO_NAME);
        }
        if self.agent.name.parse::<AgentName>().is_err() {
            return refused(
                "agent.name",
                "it is no name: lower-case letters, digits, and hyphens between them; no dots",
            );
        }
        self.check_api()?;
        match &self.procedure {
            Procedure::Push(push) => push.check(self.agent.product),
            Procedure::Trigger { renewal } => renewal.check(),
            Procedure::Repair(RepairSpec {}) => Ok(()),
        }
    }

    fn check_api(&self) -> Result<(), SpecError> {
        let Some(api) = &self.api.host_api else { return refused("api", "exactly one API must be set: hostApi") };
        if api.url.parse::<HostUrl>().is_err() {
            return refused(
                "api.hostApi.url",
                "it is not https://host:port with a port of 1 to 65535 and nothing after it",
            );
        }
        secret_name("api.hostApi.tlsSecretRef.name", &api.tls_secret_ref.name)
    }
}

impl PushSpec {
    fn check(&self, product: Product) -> Result<(), SpecError> {
        if self.issuer_ref.name.parse::<SecretName>().is_err() {
            return refused("issuerRef.name", NO_NAME);
        }
        self.certificate.check()?;
        self.check_keystore(product)
    }

    fn check_keystore(&self, product: Product) -> Result<(), SpecError> {
        let keystore = &self.keystore;
        if let Some(password) = &keystore.password_secret_ref {
            secret_name("keystore.passwordSecretRef.name", &password.name)?;
            let is_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            let length = password.key.chars().count();
            if !(1..=LONGEST_NAME).contains(&length) || !password.key.chars().all(is_key) {
                return refused("keystore.passwordSecretRef.key", "it is no key of a Secret");
            }
        }
        if let Some(alias) = &keystore.alias {
            if !(1..=LONGEST_ALIAS).contains(&alias.chars().count()) || alias.chars().any(is_invisible) {
                return refused("keystore.alias", "1 to 128 characters, without control characters and line ends");
            }
            if keystore.format == StoreFormat::Pem {
                return refused("keystore.alias", "PEM has no aliases");
            }
        }
        if product == Product::PowerchuteSerialShutdown {
            if keystore.format == StoreFormat::Pem {
                return refused("keystore.format", "PowerChute reads no PEM");
            }
            if keystore.alias.as_deref().is_some_and(|alias| alias != POWERCHUTE_ALIAS) {
                return refused("keystore.alias", "PowerChute loads its key from securekey only");
            }
        }
        Ok(())
    }
}

impl CertificateSpec {
    fn check(&self) -> Result<(), SpecError> {
        let (names, addresses) = (&self.dns_names, &self.ip_addresses);
        if names.is_empty() || names.len() > MOST_DNS_NAMES {
            return refused("certificate.dnsNames", "1 to 32 names");
        }
        if !names.iter().all(|name| is_dns_name(name)) {
            return refused(
                "certificate.dnsNames",
                "a DNS name in lower case, or *. before two labels or more; an address belongs in ipAddresses",
            );
        }
        if has_twice(names) {
            return refused("certificate.dnsNames", "a name stands there twice");
        }
        if addresses.len() > MOST_IP_ADDRESSES {
            return refused("certificate.ipAddresses", "at most 16 addresses");
        }
        let Some(parsed) = addresses.iter().map(|text| address(text)).collect::<Option<Vec<_>>>() else {
            return refused("certificate.ipAddresses", "each must be an IP address");
        };
        if has_twice(&parsed) {
            return refused("certificate.ipAddresses", "an address stands there twice");
        }
        self.check_subject()?;
        self.check_times()?;
        if self.private_key.request().is_none() {
            return refused("certificate.privateKey.size", "2048, 3072 or 4096 for RSA, 256 or 384 for ECDSA");
        }
        Ok(())
    }

    fn check_subject(&self) -> Result<(), SpecError> {
        let field = |error: SubjectError| match error.field {
            "countries" => "certificate.subject.countries",
            "provinces" => "certificate.subject.provinces",
            "localities" => "certificate.subject.localities",
            "organizations" => "certificate.subject.organizations",
            _ => "certificate.subject.organizationalUnits",
        };
        self.subject.check().or_else(|error| refused(field(error), error.message))
    }

    fn check_times(&self) -> Result<(), SpecError> {
        if self.duration.as_duration() < SHORTEST_DURATION {
            return refused("certificate.duration", "at least 1h");
        }
        if self.renew_before_percentage.is_some_and(|percentage| !(1..=90).contains(&percentage)) {
            return refused("certificate.renewBeforePercentage", "1 to 90");
        }
        let Some(renew_before) = self.renew_before else { return Ok(()) };
        if self.renew_before_percentage.is_some() {
            return refused("certificate", "renewBefore and renewBeforePercentage exclude each other");
        }
        if renew_before >= self.duration || renew_before.as_duration() < SHORTEST_RENEW_BEFORE {
            return refused("certificate.renewBefore", "at least 5m, and less than duration");
        }
        Ok(())
    }
}

impl RenewalSpec {
    fn check(&self) -> Result<(), SpecError> {
        if self.renew_before_percentage.is_some_and(|percentage| !(1..=90).contains(&percentage)) {
            return refused("renewal.renewBeforePercentage", "1 to 90");
        }
        let Some(renew_before) = self.renew_before else { return Ok(()) };
        if self.renew_before_percentage.is_some() {
            return refused("renewal", "renewBefore and renewBeforePercentage exclude each other");
        }
        if renew_before.as_duration() < SHORTEST_RENEW_BEFORE {
            return refused("renewal.renewBefore", "at least 5m");
        }
        Ok(())
    }
}

/// `https://host:port`, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostUrl {
    /// A name in lower case, or an address without brackets, written in one way only (RFC 5952).
    pub host: String,
    /// The host API's own port where the URL names none.
    pub port: u16,
}

/// A text that is no [`HostUrl`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not https://host:port with a port of 1 to 65535 and nothing after it")]
pub struct HostUrlError;

impl std::str::FromStr for HostUrl {
    type Err = HostUrlError;

    fn from_str(url: &str) -> Result<Self, HostUrlError> {
        let authority = url.strip_prefix("https://").ok_or(HostUrlError)?;
        let (host, port): (String, &str) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or(HostUrlError)?;
                let lower = !host.bytes().any(|byte| byte.is_ascii_uppercase());
                let v6 = address(host).filter(|address| lower && address.is_ipv6()).ok_or(HostUrlError)?;
                (v6.to_string(), port)
            }
            None => {
                let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
                let is_host = host.parse::<HostName>().is_ok() && (!ends_in_a_number(host) || address(host).is_some());
                is_host.then(|| (host.to_owned(), port)).ok_or(HostUrlError)?
            }
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => host_setup::PORT,
            Some(digits) if (1..=5).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().filter(|port| *port != 0).ok_or(HostUrlError)?
            }
            None | Some(_) => return Err(HostUrlError),
        };
        Ok(Self { host, port })
    }
}

impl HostUrl {
    /// As URLs and the header `Host` have it.
    pub fn authority(&self) -> String {
        let Self { host, port } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

fn secret_name(field: &'static str, name: &str) -> Result<(), SpecError> {
    if name.parse::<SecretName>().is_ok() { Ok(()) } else { refused(field, "it is no name of a Secret") }
}

fn refused<T>(field: &'static str, message: &'static str) -> Result<T, SpecError> {
    Err(SpecError::Field { field, message })
}

/// A name of the same form as a host's; a wildcard needs two labels after it: one for a whole top-level domain is no
/// host's certificate.
fn is_dns_name(name: &str) -> bool {
    let (rest, fits) = match name.strip_prefix("*.") {
        Some(rest) => (rest, rest.contains('.') && name.len() <= LONGEST_NAME),
        None => (name, true),
    };
    fits && rest.parse::<HostName>().is_ok() && !ends_in_a_number(rest)
}

/// Resolvers and browsers take such a name for an address, or for a mistaken one.
fn ends_in_a_number(name: &str) -> bool {
    name.rsplit('.').next().is_some_and(|label| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_digit()))
}

/// As the API server reads one: an IPv4 address that is written as IPv6 is none.
fn address(text: &str) -> Option<IpAddr> {
    let parsed: IpAddr = text.parse().ok()?;
    let mapped = |v6: Ipv6Addr| v6.to_ipv4_mapped().is_some();
    (!matches!(parsed, IpAddr::V6(v6) if mapped(v6))).then_some(parsed)
}

fn has_twice<T: PartialEq>(items: &[T]) -> bool {
    items.iter().enumerate().any(|(index, item)| items[..index].contains(item))
}

impl super::PrivateKeySpec {
    /// Bits: as written, or the usual for the algorithm.
    pub const fn bits(self) -> u16 {
        match (self.size, self.algorithm) {
            (Some(size), _) => size,
            (None, KeyAlgorithm::Rsa) => 2048,
            (None, KeyAlgorithm::Ecdsa) => 256,
        }
    }
}
