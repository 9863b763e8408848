//! Tells a file's format by its content. Names lie: a file called `.jks` is often a PKCS#12, and a block labelled
//! `CERTIFICATE` may hold a PKCS#7.

use crate::{Format, der, jks, pem, pkix, text};

/// RFC 7292 knows no other.
const PKCS12_VERSION: u8 = 3;

/// The format the bytes look like, or `None` when they look like none that is known.
pub fn sniff(bytes: &[u8]) -> Option<Format> {
    match bytes {
        [a, b, c, d, ..] if [*a, *b, *c, *d] == jks::JKS_MAGIC => Some(Format::Jks),
        [a, b, c, d, ..] if [*a, *b, *c, *d] == jks::JCEKS_MAGIC => Some(Format::Jceks),
        [der::SEQUENCE, ..] => sniff_der(bytes).or_else(|| sniff_text(bytes)),
        _ => sniff_text(bytes),
    }
}

/// What the first field inside the outermost SEQUENCE says, whether its length is definite or not.
fn sniff_der(bytes: &[u8]) -> Option<Format> {
    let (_, header, _) = der::header(bytes).ok()?;
    let inside = bytes.get(header..)?;
    let (tag, inner_header, length) = der::header(inside).ok()?;
    match tag {
        // A bare RSA or PKCS#8 key starts with a version too, but with another one.
        der::INTEGER if length == Some(1) && inside.get(inner_header) == Some(&PKCS12_VERSION) => Some(Format::Pkcs12),
        der::OID if inside.get(inner_header..)?.starts_with(pkix::SIGNED_DATA) => Some(Format::Pkcs7),
        // One that is cut short is still a certificate.
        der::SEQUENCE => matches!(pkix::of_der(bytes), None | Some(pkix::Der::Certificate)).then_some(Format::Der),
        _ => None,
    }
}

fn sniff_text(bytes: &[u8]) -> Option<Format> {
    let text = text::to_utf8(bytes);
    let mut blocks = pem::blocks(&text).peekable();
    blocks.peek()?;
    let first = blocks.find(|block| block.kind() != pem::Kind::Other);
    Some(if first.is_some_and(|block| block.holds_pkcs7()) { Format::Pkcs7 } else { Format::Pem })
}
