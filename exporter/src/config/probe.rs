//! `probe:` — which endpoints `/probe` may shake hands with, for whoever asks.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::values::{Interval, absolute_path, in_place};
use crate::host_port;

/// Without this section there is no `/probe`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProbeConfig {
    /// What may be asked for; everything else is refused.
    pub allow: Vec<AllowedTarget>,
    /// The longest that a probe may take, whatever deadline Prometheus names.
    #[serde(default = "default_timeout")]
    pub timeout: Interval,
    /// The authorities that chains are checked against, in PEM, or servers' own certificates, which have to be for the name and
    /// in their time; by default the system's bundle.
    #[serde(default, deserialize_with = "absolute_path")]
    pub ca_file: Option<PathBuf>,
    /// More wait for a permit, within their deadline.
    #[serde(default = "default_max_concurrent", deserialize_with = "at_least_one")]
    pub max_concurrent: usize,
}

/// Some hosts, and one of their ports or all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedTarget {
    hosts: Hosts,
    /// Absent for all of them.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    /// One name, in lower case.
    Name(String),
    /// Every name that ends so: `.example.com`.
    Below(String),
    /// Every address with the same first bits.
    Network { address: IpAddr, prefix: u8 },
}

/// Why a text is no such thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write host:port, as ups-01.example.com:6547, \"*.example.com:443\", \"10.0.0.0/8:443\" or \"[fd00::/8]:*\"")]
pub struct AllowedTargetError;

impl ProbeConfig {
    /// Names are compared with names and addresses with addresses: what a name leads to is not asked.
    pub fn allows(&self, host: &str, port: u16) -> bool {
        self.allow.iter().any(|target| target.covers(host, port))
    }
}

impl AllowedTarget {
    fn covers(&self, host: &str, port: u16) -> bool {
        self.port.is_none_or(|only| only == port) && self.hosts.cover(host)
    }
}

impl Hosts {
    fn cover(&self, host: &str) -> bool {
        match (self, host.parse::<IpAddr>()) {
            (Self::Name(name), Err(_)) => host.eq_ignore_ascii_case(name),
            (Self::Below(suffix), Err(_)) => {
                let host = host.to_ascii_lowercase();
                host.strip_suffix(suffix.as_str()).is_some_and(|label| !label.is_empty())
            }
            (Self::Network { address, prefix }, Ok(host)) => match (address, host) {
                (IpAddr::V4(net), IpAddr::V4(host)) => same_start(&net.octets(), &host.octets(), *prefix),
                (IpAddr::V6(net), IpAddr::V6(host)) => same_start(&net.octets(), &host.octets(), *prefix),
                (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
            },
            (Self::Name(_) | Self::Below(_), Ok(_)) | (Self::Network { .. }, Err(_)) => false,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if let Some(suffix) = text.strip_prefix('*') {
            return (suffix.starts_with('.') && is_name(&suffix[1..]))
                .then(|| Self::Below(suffix.to_ascii_lowercase()));
        }
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        match (address.parse::<IpAddr>(), prefix) {
            (Ok(address), prefix) => {
                let whole = if address.is_ipv4() { 32 } else { 128 };
                let prefix = prefix.map_or(Ok(whole), str::parse).ok().filter(|prefix| *prefix <= whole)?;
                Some(Self::Network { address, prefix })
            }
            (Err(_), None) => is_name(text).then(|| Self::Name(text.to_ascii_lowercase())),
            (Err(_), Some(_)) => None,
        }
    }
}

impl FromStr for AllowedTarget {
    type Err = AllowedTargetError;

    fn from_str(text: &str) -> Result<Self, AllowedTargetError> {
        let (host, port) = host_port::split(text).ok_or(AllowedTargetError)?;
        let port = match port {
            "*" => None,
            port => Some(port.parse().map_err(|_| AllowedTargetError)?),
        };
        Ok(Self { hosts: Hosts::parse(host).ok_or(AllowedTargetError)?, port })
    }
}

fn same_start(one: &[u8], other: &[u8], bits: u8) -> bool {
    let (whole, rest) = (usize::from(bits / 8), bits % 8);
    let mask = u8::MAX.checked_shl(8 - u32::from(rest)).unwrap_or(0);
    one[..whole] == other[..whole]
        && (rest == 0 || one.get(whole).zip(other.get(whole)).is_some_and(|(a, b)| a & mask == b & mask))
}

fn is_name(text: &str) -> bool {
    rustls::pki_types::DnsName::try_from(text).is_ok()
}

const fn default_timeout() -> Interval {
    Interval::new(Duration::from_secs(10))
}

/// A probe holds a socket and some kilobytes; what Prometheus asks for in one moment is mostly less.
const fn default_max_concurrent() -> usize {
    16
}

fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let number = std::num::NonZeroU16::deserialize(deserializer)?;
    Ok(usize::from(number.get()))
}

impl<'de> Deserialize<'de> for AllowedTarget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        in_place(deserializer, "a target", Self::from_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_allowed_only_by_what_covers_it() {
        for (pattern, inside, outside) in [
            ("ups-01.example.com:6547", "UPS-01.example.com 6547", "ups-01.example.com 443"),
            ("*.example.com:443", "a.b.example.com 443", "example.com 443"),
            ("*.example.com:443", "x.example.com 443", "xexample.com 443"),
            ("*.example.com:*", "x.example.com 1", "x.example.com.evil.test 1"),
            ("10.0.0.0/8:443", "10.200.3.4 443", "11.0.0.1 443"),
            ("10.0.0.0/9:443", "10.127.0.1 443", "10.128.0.1 443"),
            ("192.0.2.7:443", "192.0.2.7 443", "192.0.2.6 443"),
            ("0.0.0.0/0:443", "192.0.2.7 443", "example.com 443"),
            ("[fd00::/8]:*", "fd12::1 443", "fe80::1 443"),
            ("127.0.0.1:443", "127.0.0.1 443", "127.1 443"),
        ] {
            let target: AllowedTarget = pattern.parse().expect("a pattern");
            let covers = |text: &str| {
                let (host, port) = text.split_once(' ').expect("host and port");
                target.covers(host, port.parse().expect("a port"))
            };
            assert!(covers(inside) && !covers(outside), "{pattern}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        let wrong =
            ["*", "*:443", "*example.com:443", "a.*.com:443", "example.com", "10.0.0.0/33:1", "a/8:1", "::1:443"];
        for wrong in wrong.into_iter().chain(["https://a.example.com:443", "/etc/passwd:1", "a:70000", ":443", "[a]:1"])
        {
            assert!(wrong.parse::<AllowedTarget>().is_err(), "{wrong}");
        }
    }
}
