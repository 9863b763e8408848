//! The names of algorithms that stores are encrypted with and that are not read here.

/// By the content of the object identifier; the names are those of OpenSSL.
const NAMES: [(&str, &str); 31] = [
    ("1.2.156.10197.1.104.2", "SM4-CBC"),
    ("1.2.156.10197.1.401", "SM3"),
    ("1.2.392.200011.61.1.1.1.2", "CAMELLIA-128-CBC"),
    ("1.2.392.200011.61.1.1.1.3", "CAMELLIA-192-CBC"),
    ("1.2.392.200011.61.1.1.1.4", "CAMELLIA-256-CBC"),
    ("1.2.410.200004.1.4", "SEED-CBC"),
    ("1.2.410.200046.1.1.2", "ARIA-128-CBC"),
    ("1.2.410.200046.1.1.7", "ARIA-192-CBC"),
    ("1.2.410.200046.1.1.12", "ARIA-256-CBC"),
    ("1.2.643.2.2.21", "GOST 28147-89"),
    ("1.2.643.7.1.1.2.2", "GOST R 34.11-2012-256"),
    ("1.2.643.7.1.1.2.3", "GOST R 34.11-2012-512"),
    ("1.2.840.113533.7.66.10", "CAST5-CBC"),
    ("1.2.840.113549.1.5.1", "PBE-MD2-DES"),
    ("1.2.840.113549.1.5.3", "PBE-MD5-DES"),
    ("1.2.840.113549.1.5.4", "PBE-MD2-RC2-64"),
    ("1.2.840.113549.1.5.6", "PBE-MD5-RC2-64"),
    ("1.2.840.113549.1.5.10", "PBE-SHA1-DES"),
    ("1.2.840.113549.1.5.11", "PBE-SHA1-RC2-64"),
    ("1.2.840.113549.1.12.1.1", "PBE-SHA1-RC4-128"),
    ("1.2.840.113549.1.12.1.2", "PBE-SHA1-RC4-40"),
    ("1.2.840.113549.2.5", "MD5"),
    ("1.2.840.113549.2.8", "HMAC-SHA224"),
    ("1.2.840.113549.2.13", "HMAC-SHA512-256"),
    ("1.2.840.113549.3.2", "RC2-CBC"),
    ("1.2.840.113549.3.4", "RC4"),
    ("1.3.6.1.4.1.3029.1.2", "BF-CBC"),
    ("1.3.6.1.4.1.11591.4.11", "scrypt"),
    ("1.3.14.3.2.7", "DES-CBC"),
    ("2.16.840.1.101.3.4.1.6", "AES-128-GCM"),
    ("2.16.840.1.101.3.4.1.46", "AES-256-GCM"),
];
/// Longer identifiers are nobody's; they are told by their beginning.
const MAX_ARCS: usize = 20;

/// The name of an algorithm, or its identifier in dots.
pub(super) fn name(oid: &[u8]) -> String {
    let dotted = dotted(oid);
    NAMES.iter().find(|(id, _)| *id == dotted).map_or(dotted, |(_, name)| (*name).to_owned())
}

fn dotted(oid: &[u8]) -> String {
    let mut arcs: Vec<u64> = Vec::new();
    let mut arc: u64 = 0;
    for byte in oid {
        arc = arc << 7 | u64::from(byte & 0x7F);
        if byte & 0x80 == 0 {
            if arcs.is_empty() {
                // The first two share a number.
                let first = (arc / 40).min(2);
                arcs.push(first);
                arc -= 40 * first;
            }
            arcs.push(arc);
            arc = 0;
        }
        if arcs.len() >= MAX_ARCS {
            break;
        }
    }
    arcs.iter().map(u64::to_string).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_algorithm_is_called_by_its_name_or_by_its_number() {
        assert_eq!(name(&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x0C, 0x01, 0x01]), "PBE-SHA1-RC4-128");
        assert_eq!(name(&[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x06]), "AES-128-GCM");
        assert_eq!(name(&[0x2A, 0x03, 0x04]), "1.2.3.4");
        assert_eq!(name(&[0x88, 0x37]), "2.999");
        assert_eq!(name(&[]), "");
        assert!(name(&[0xFF; 4_000]).len() < 10 && name(&[1; 4_000]).len() < 100);
    }
}
