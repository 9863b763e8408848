//! Java's modified UTF-8, in which aliases are stored: NUL is two bytes, what is beyond the BMP a pair of surrogates.

/// Decodes an alias; `None` when the bytes are none. A lone surrogate, which Java allows, becomes U+FFFD.
pub(super) fn decode(bytes: &[u8]) -> Option<String> {
    let mut units = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, after @ ..] = rest {
        let (unit, length) = match (first, after) {
            (0x01..=0x7F, _) => (u16::from(*first), 1),
            (0xC0..=0xDF, [second, ..]) => (u16::from(first & 0x1F) << 6 | continuation(*second)?, 2),
            (0xE0..=0xEF, [second, third, ..]) => {
                (u16::from(first & 0x0F) << 12 | continuation(*second)? << 6 | continuation(*third)?, 3)
            }
            _ => return None,
        };
        units.push(unit);
        rest = rest.get(length..).unwrap_or_default();
    }
    Some(char::decode_utf16(units).map(|symbol| symbol.unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
}

pub(super) fn encode(alias: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(alias.len());
    for unit in alias.encode_utf16() {
        let [high, low] = unit.to_be_bytes();
        match unit {
            0x01..=0x7F => out.push(low),
            0 | 0x80..=0x7FF => out.extend([0xC0 | high << 2 | low >> 6, 0x80 | low & 0x3F]),
            _ => out.extend([0xE0 | high >> 4, 0x80 | (high & 0x0F) << 2 | low >> 6, 0x80 | low & 0x3F]),
        }
    }
    out
}

fn continuation(byte: u8) -> Option<u16> {
    (byte & 0xC0 == 0x80).then_some(u16::from(byte & 0x3F))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_alias_survives_the_round_trip(alias in any::<String>()) {
            prop_assert_eq!(decode(&encode(&alias)), Some(alias));
        }
    }

    #[test]
    fn java_writes_nul_in_two_bytes_and_a_smile_in_six() {
        assert_eq!(encode("\0"), [0xC0, 0x80]);
        assert_eq!(encode("😀"), [0xED, 0xA0, 0xBD, 0xED, 0xB8, 0x80]);
    }
}
