//! Brings text files to UTF-8: consoles and Windows tools save certificates as `.dat` with a BOM or in UTF-16.

use std::borrow::Cow;

const UTF8_BOM: &[u8] = &[0xEF, 0xBB, 0xBF];

/// The text without its byte order mark; UTF-16 is recognised by its mark or by the zeros in its first characters.
pub fn to_utf8(bytes: &[u8]) -> Cow<'_, [u8]> {
    match bytes {
        [0xFF, 0xFE, rest @ ..] => Cow::Owned(from_utf16(rest, u16::from_le_bytes)),
        [0xFE, 0xFF, rest @ ..] => Cow::Owned(from_utf16(rest, u16::from_be_bytes)),
        [b'-', 0, b'-', 0, ..] => Cow::Owned(from_utf16(bytes, u16::from_le_bytes)),
        [0, b'-', 0, b'-', ..] => Cow::Owned(from_utf16(bytes, u16::from_be_bytes)),
        _ => Cow::Borrowed(bytes.strip_prefix(UTF8_BOM).unwrap_or(bytes)),
    }
}

fn from_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Vec<u8> {
    let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    let text: String = char::decode_utf16(units).map(|symbol| symbol.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    text.into_bytes()
}
