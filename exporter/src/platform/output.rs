//! What a program has printed, as text: programs of a Japanese Windows print in CP932 or UTF-16, others in UTF-8.

use encoding_rs::{Encoding, SHIFT_JIS, UTF_8, UTF_16BE, UTF_16LE};

/// By its mark of byte order, else as UTF-8, else as UTF-16 where it has zeros as text of ASCII letters has in that, else as CP932.
/// What is none of them is shown as well as can be. One that was cut amid a character is of its encoding all the same.
pub fn decoded(bytes: &[u8]) -> String {
    let (encoding, marked) = Encoding::for_bom(bytes).unwrap_or_else(|| (unmarked(bytes), 0));
    encoding.decode_without_bom_handling(&bytes[marked..]).0.into_owned()
}

fn unmarked(bytes: &[u8]) -> &'static Encoding {
    let zeros = |from: usize| bytes.iter().skip(from).step_by(2).filter(|byte| **byte == 0).count();
    let (high, low) = (zeros(0), zeros(1));
    // Text has no zeros but those of UTF-16, where line ends and figures have one each.
    match (high, low) {
        (0, 0) if is_utf_8(bytes) => UTF_8,
        (0, 0) if SHIFT_JIS.decode_without_bom_handling_and_without_replacement(bytes).is_some() => SHIFT_JIS,
        (0, 1..) => UTF_16LE,
        (1.., 0) => UTF_16BE,
        _ => UTF_8,
    }
}

fn is_utf_8(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).map_or_else(|error| error.error_len().is_none(), |_| true)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn utf_16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn what_was_printed_is_read_in_the_encoding_that_it_was_printed_in() {
        let text = "証明書 7.0\r\n有効\r\n";
        let cp932 = SHIFT_JIS.encode(text).0.into_owned();
        let marked = |mark: &[u8], bytes: Vec<u8>| [mark, &bytes].concat();
        for (name, bytes) in [
            ("UTF-8", text.as_bytes().to_vec()),
            ("UTF-8 with a mark", marked(b"\xef\xbb\xbf", text.as_bytes().to_vec())),
            ("UTF-16 with a mark", marked(b"\xff\xfe", utf_16(text, u16::to_le_bytes))),
            ("big-endian UTF-16 with a mark", marked(b"\xfe\xff", utf_16(text, u16::to_be_bytes))),
            ("UTF-16", utf_16(text, u16::to_le_bytes)),
            ("big-endian UTF-16", utf_16(text, u16::to_be_bytes)),
            ("CP932", cp932),
        ] {
            assert_eq!(decoded(&bytes), text, "{name}");
        }
        assert_eq!(decoded("①㈱~".as_bytes()), "①㈱~");
        assert_eq!(decoded(b"\x87\x40\x87\x8a~"), "①㈱~", "characters of CP932 that Shift_JIS has not");
        assert_eq!(decoded(&"あい".as_bytes()[..4]), "あ\u{fffd}", "cut amid a character of UTF-8");
        assert_eq!(decoded(b"a\xff\xff"), "a\u{fffd}\u{fffd}", "none of them");
    }

    proptest! {
        #[test]
        fn any_bytes_become_a_text(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decoded(&bytes).len() <= 3 * bytes.len());
        }
    }
}
