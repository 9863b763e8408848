//! Which addresses the operator connects to: the address that a name resolved to is judged, not the name alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::host_pattern::HostPattern;

/// Addresses at which a cloud answers every machine of its own, beside the link-local ones: Alibaba's and Azure's.
const METADATA_V4: [(Ipv4Addr, u32); 2] =
    [(Ipv4Addr::new(100, 100, 100, 200), 32), (Ipv4Addr::new(168, 63, 129, 16), 32)];

/// The same among unique local addresses (RFC 4193), as the clouds document them.
const METADATA_V6: [(Ipv6Addr, u32); 6] = [
    // AWS: metadata, pod identities, DNS, time
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0), 32),
    // Google
    (Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), 128),
    // Oracle
    (Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe), 128),
    // Scaleway
    (Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42), 128),
    // Akamai
    (Ipv6Addr::new(0xfd00, 0xa9fe, 0xa9fe, 0, 0, 0, 0, 1), 128),
    // Alibaba
    (Ipv6Addr::new(0xfd00, 0x100, 0, 0, 0, 0, 0x100, 0x200), 128),
];

/// What of the IANA IPv4 special-purpose address registry (RFC 6890) is no host's address: first address and leading bits. Private
/// and shared ones are hosts', and so may be those for benchmarks and documentation.
const NO_HOSTS_V4: [(Ipv4Addr, u32); 9] = [
    // This machine, all of it
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    // IETF protocol assignments, where some clouds have their metadata
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    // AS112, AMT and 6to4 relays: whoever is near answers
    (Ipv4Addr::new(192, 31, 196, 0), 24),
    (Ipv4Addr::new(192, 52, 193, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 175, 48, 0), 24),
    // Multicast, reserved and broadcast
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];

/// The same of the IPv6 registry. The translations and tunnels among them lead to an IPv4 address that is not seen for certain from
/// the outside; those that are, [`plain`] knows.
const NO_HOSTS_V6: [(Ipv6Addr, u32); 11] = [
    // Unspecified and loopback
    (Ipv6Addr::UNSPECIFIED, 127),
    // Translation within a site (RFC 8215)
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48),
    // Discarded, and its dummy neighbour
    (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 63),
    // IETF protocol assignments: Teredo, relays, identifiers
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    // 6to4
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    // AS112
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48),
    // Segment routing
    (Ipv6Addr::new(0x5f00, 0, 0, 0, 0, 0, 0, 0), 16),
    // The old first bits of the 6bone
    (Ipv6Addr::new(0x3ffe, 0, 0, 0, 0, 0, 0, 0), 16),
    // Link-local, and the old site-local
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10),
    // Multicast
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8),
];

/// Whom the operator may contact as a host.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// With none, every name.
    allowed: Vec<HostPattern>,
    /// The API server's and the operator's own, as far as they are known.
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

/// The IPv4 address behind the IPv6 forms that lead to it and to nothing else.
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let last = v6.octets();
    let embedded = || IpAddr::V4(Ipv4Addr::new(last[12], last[13], last[14], last[15]));
    match v6.segments() {
        // Mapped, translated (RFC 2765), and the well-known prefix of RFC 6052
        [0, 0, 0, 0, 0, 0xffff, _, _] | [0, 0, 0, 0, 0xffff, 0, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => embedded(),
        // The interface identifier of ISATAP (RFC 5214), beneath any prefix
        [_, _, _, _, 0 | 0x200, 0x5efe, _, _] => embedded(),
        // The old compatible form, but for :: and ::1
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 || low > 1 => embedded(),
        _ => address,
    }
}

fn is_special(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => NO_HOSTS_V4
            .iter()
            .chain(&METADATA_V4)
            .any(|(first, bits)| (v4.to_bits() ^ first.to_bits()).leading_zeros() >= *bits),
        IpAddr::V6(v6) => NO_HOSTS_V6
            .iter()
            .chain(&METADATA_V6)
            .any(|(first, bits)| (v6.to_bits() ^ first.to_bits()).leading_zeros() >= *bits),
    }
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
        for address in [
            "192.0.2.1",
            "10.1.2.3",
            "100.64.0.1",
            "2001:db8::1",
            "2600::1",
            "fd00::1",
            "::ffff:192.0.2.1",
            "::ffff:0:192.0.2.1",
            "64:ff9b::192.0.2.1",
        ] {
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
            "192.0.0.192",
            "192.88.99.1",
            "239.255.255.250",
            "240.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:0:127.0.0.1",
            "::ffff:0:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b:1::7f00:1",
            "64:ff9b:1:7f:0:1::",
            "2002:7f00:1::1",
            "2002:a9fe:a9fe::",
            "2001:0:7f00:1::",
            "2001:db8::5efe:127.0.0.1",
            "2001:db8::200:5efe:10.96.0.1",
            "fec0::1",
            "100::1",
            "5f00::1",
            "::127.0.0.1",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "fd00:c1::a9fe:a9fe",
            "fd00:42::42",
            "fd00:a9fe:a9fe::1",
            "fd00:100::100:200",
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
        let translated = reach("64:ff9b:1::/48");
        assert!(permits(&translated, "a.fleet.example.com", "64:ff9b:1::c000:201"), "a range is allowed as it stands");
    }
}
