//! Which hosts are meant: a name, everything below a name, an address, a range of addresses.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use kagiban_crds::HostName;

/// One entry of a list of hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// This name and no other.
    Name(HostName),
    /// Every name below this one, at any depth: `*.example.com`.
    Below(HostName),
    /// The addresses that share this many leading bits: `192.0.2.0/24`, or one address.
    Range { first: IpAddr, bits: u8 },
}

/// A text that is no [`HostPattern`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no host name, no suffix such as *.example.com, no address and no range such as 192.0.2.0/24")]
pub struct HostPatternError(String);

impl HostPattern {
    /// Whether a name, a wildcard name or an address as text is meant.
    pub fn covers(&self, host: &str) -> bool {
        match (self, host.parse::<IpAddr>()) {
            (Self::Range { .. }, Ok(address)) => self.covers_address(address),
            (Self::Range { .. }, Err(_)) | (Self::Name(_) | Self::Below(_), Ok(_)) => false,
            (Self::Name(name), Err(_)) => name.as_str() == host,
            (Self::Below(name), Err(_)) => {
                let above = host.strip_suffix(name.as_str()).and_then(|rest| rest.strip_suffix('.'));
                above.is_some_and(|above| !above.is_empty())
            }
        }
    }

    /// Whether an address is meant; a name means none.
    pub fn covers_address(&self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::Range { first: IpAddr::V4(first), bits }, IpAddr::V4(address)) => {
                let rest = 32u32.saturating_sub(u32::from(*bits));
                first.to_bits().checked_shr(rest) == address.to_bits().checked_shr(rest)
            }
            (Self::Range { first: IpAddr::V6(first), bits }, IpAddr::V6(address)) => {
                let rest = 128u32.saturating_sub(u32::from(*bits));
                first.to_bits().checked_shr(rest) == address.to_bits().checked_shr(rest)
            }
            (Self::Range { .. } | Self::Name(_) | Self::Below(_), _) => false,
        }
    }
}

/// A list with commas between its entries.
///
/// # Errors
/// The first entry that is none.
pub fn list(text: &str) -> Result<Vec<HostPattern>, HostPatternError> {
    text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(str::parse).collect()
}

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, HostPatternError> {
        let wrong = || HostPatternError(text.chars().take(64).collect());
        if let Ok(address) = text.parse::<IpAddr>() {
            let bits = if address.is_ipv4() { 32 } else { 128 };
            return Ok(Self::Range { first: address, bits });
        }
        if let Some((first, bits)) = text.split_once('/') {
            let first: IpAddr = first.parse().map_err(|_| wrong())?;
            let most = if first.is_ipv4() { 32 } else { 128 };
            let bits = bits.parse().ok().filter(|bits| *bits <= most).ok_or_else(wrong)?;
            return Ok(Self::Range { first, bits });
        }
        let lower = text.to_ascii_lowercase();
        match lower.strip_prefix("*.") {
            Some(below) => below.parse().map(Self::Below),
            None => lower.parse().map(Self::Name),
        }
        .map_err(|_| wrong())
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Below(name) => write!(f, "*.{name}"),
            Self::Range { first, bits } => write!(f, "{first}/{bits}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(pattern: &str, host: &str) -> bool {
        pattern.parse::<HostPattern>().expect("a pattern").covers(host)
    }

    #[test]
    fn a_name_means_itself_and_a_suffix_what_is_below_it() {
        assert!(covers("ups-01.example.com", "ups-01.example.com"));
        assert!(covers("*.example.com", "ups-01.rack.example.com") && covers("*.example.com", "*.example.com"));
        for (pattern, host) in [
            ("ups-01.example.com", "ups-01.example.com.evil.test"),
            ("ups-01.example.com", "*.example.com"),
            ("*.example.com", "example.com"),
            ("*.example.com", "evilexample.com"),
            ("*.example.com", "*.com"),
            ("*.rack.example.com", "*.example.com"),
            ("*.1", "192.0.2.1"),
            ("192.0.2.0/24", "ups-01.example.com"),
        ] {
            assert!(!covers(pattern, host), "{pattern} covers {host}");
        }
    }

    #[test]
    fn a_range_means_the_addresses_with_the_same_leading_bits() {
        for (pattern, host, expected) in [
            ("192.0.2.0/24", "192.0.2.255", true),
            ("192.0.2.0/24", "192.0.3.0", false),
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("::/0", "::1", true),
        ] {
            assert_eq!(covers(pattern, host), expected, "{pattern} {host}");
        }
    }

    #[test]
    fn what_would_mean_everything_or_nothing_is_no_pattern() {
        for text in ["*", "*.", "*.*.a", "a b", "192.0.2.0/33", "a/24", "https://a", "a:1", "a..b"] {
            assert!(text.parse::<HostPattern>().is_err(), "{text}");
        }
        assert_eq!(list(" a , *.B.c,192.0.2.1 ,").expect("a list").len(), 3);
        assert!(list("a,*").is_err());
    }
}
