//! Which addresses the operator connects to: the address that a name resolved to is judged, not the name alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::host_pattern::HostPattern;

/// Addresses at which a cloud answers every machine of its own, beside the link-local ones.
const METADATA: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// Whom the operator may contact as a host.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// With none, every name.
    allowed: Vec<HostPattern>,
    /// The API server's own, as far as they are known.
    never: Vec<IpAddr>,
}

impl Reach {
    /// With what `--allow-hosts` says, and addresses that are nobody's host unless it names them.
    pub const fn new(allowed: Vec<HostPattern>, never: Vec<IpAddr>) -> Self {
        Self { allowed, never }
    }

    /// Whether a host of that name may be contacted at that address.
    ///
    /// A range that is listed is allowed as it stands. Everything else must be an ordinary address, and of a listed name
    /// if any is listed.
    pub fn permits(&self, name: &str, address: IpAddr) -> bool {
        let address = plain(address);
        if self.allowed.iter().any(|pattern| pattern.covers_address(address)) {
            return true;
        }
        let named = self.allowed.is_empty() || self.allowed.iter().any(|pattern| pattern.covers(name));
        named && !is_special(address) && !self.never.contains(&address)
    }
}

/// The IPv4 address behind the IPv6 forms that lead to it.
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let last = v6.octets();
    let embedded = || IpAddr::V4(Ipv4Addr::new(last[12], last[13], last[14], last[15]));
    match v6.segments() {
        // mapped, and the translation prefix of RFC 6052
        [0, 0, 0, 0, 0, 0xffff, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => embedded(),
        // the old compatible form, but for :: and ::1
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 || low > 1 => embedded(),
        _ => address,
    }
}

fn is_special(address: IpAddr) -> bool {
    let shared = address.is_loopback() || address.is_multicast() || address.is_unspecified();
    let of_family = match address {
        // all of 0.0.0.0/8 leads to this machine; from 240.0.0.0 on nobody has an address
        IpAddr::V4(v4) => v4.is_link_local() || v4.octets()[0] == 0 || v4.octets()[0] >= 240,
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    shared || of_family || METADATA.contains(&address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(allowed: &str) -> Reach {
        Reach::new(
            crate::host_pattern::list(allowed).expect("patterns"),
            vec!["10.96.0.1".parse().expect("an address")],
        )
    }

    fn permits(reach: &Reach, name: &str, address: &str) -> bool {
        reach.permits(name, address.parse().expect("an address"))
    }

    /// Holds B2: nobody has the operator talk to its own machine, to the cloud's metadata or to the API server.
    #[test]
    fn an_address_that_is_no_hosts_is_not_connected_to_unless_a_range_allows_it() {
        let usual = reach("");
        for address in ["192.0.2.1", "10.1.2.3", "2001:db8::1", "fd00::1", "::ffff:192.0.2.1"] {
            assert!(permits(&usual, "ups-01.example.com", address), "{address}");
        }
        for address in [
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "169.254.169.254",
            "fe80::1",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "::127.0.0.1",
            "fd00:ec2::254",
            "168.63.129.16",
            "100.100.100.200",
            "10.96.0.1",
            "::ffff:10.96.0.1",
        ] {
            assert!(!permits(&usual, "ups-01.example.com", address), "{address}");
        }
        let demo = reach("127.0.0.0/8");
        assert!(permits(&demo, "localhost", "127.0.0.1") && !permits(&demo, "ups-01.example.com", "192.0.2.1"));
    }

    #[test]
    fn listed_names_leave_out_all_others_and_allow_no_special_address() {
        let fleet = reach("*.fleet.example.com,ups-01.example.com,10.0.0.0/8");
        assert!(permits(&fleet, "a.fleet.example.com", "192.0.2.1") && permits(&fleet, "b.test", "10.1.2.3"));
        assert!(!permits(&fleet, "b.test", "192.0.2.1"));
        assert!(!permits(&fleet, "a.fleet.example.com", "127.0.0.1"));
    }
}
