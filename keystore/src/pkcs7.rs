//! PKCS#7 `SignedData` that only carries certificates (`.p7b`, `.p7c`).

use crate::{Certificate, Content, Limits, ReadError, ber, certificates::Certificates, der, pkix::SIGNED_DATA};

/// Whether these are the first bytes of a `SignedData`, its length definite or not.
pub(crate) fn begins(bytes: &[u8]) -> bool {
    let inside = |bytes: &[u8]| der::header(bytes).ok().map(|(tag, header, _)| (tag, header));
    let Some((der::SEQUENCE, outer)) = inside(bytes) else { return false };
    let Some(content) = bytes.get(outer..) else { return false };
    match inside(content) {
        Some((der::OID, header)) => content.get(header..).is_some_and(|id| id.starts_with(SIGNED_DATA)),
        _ => false,
    }
}

/// The certificates in the order of the file; there is none for being first in PKCS#7.
pub(crate) fn read(bytes: &[u8], limits: &Limits) -> Result<Certificates, ReadError> {
    let bytes = ber::to_der(bytes)?;
    match read_der(&bytes, limits) {
        // The outermost length is definite and one within is not.
        Err(error) if error == der::INDEFINITE => read_der(&ber::rewrite(&bytes)?, limits),
        read => read,
    }
}

fn read_der(bytes: &[u8], limits: &Limits) -> Result<Certificates, ReadError> {
    let mut content_info = der::Reader::new(bytes).expect(der::SEQUENCE)?.inside();
    if content_info.expect(der::OID)?.value != SIGNED_DATA {
        return Err(ReadError::UnsupportedFormat("a PKCS#7 that is not SignedData"));
    }
    let explicit = content_info.expect(der::context(0))?;
    let mut signed_data = explicit.inside().expect(der::SEQUENCE)?.inside();
    signed_data.expect(der::INTEGER)?;
    signed_data.expect(der::SET)?;
    signed_data.expect(der::SEQUENCE)?;
    let nothing = ReadError::Holds(Content::EmptyBag);
    let Some(certificates) = signed_data.optional(der::context(0))? else { return Err(nothing) };

    let mut found = Certificates::default();
    let mut certificates = certificates.inside();
    while !certificates.is_empty() {
        limits.check_entries(found.count() + 1)?;
        let number = found.count() + 1;
        let place = || format!("certificate {number} of the PKCS#7");
        match certificates.element() {
            // Other tags are attribute certificates and the like.
            Ok(element) if element.tag != der::SEQUENCE => {}
            Ok(element) => {
                let length = limits.check_certificate(element.raw);
                found.put(place, length.and_then(|()| Certificate::observe(element.raw)));
            }
            Err(error) if error == der::INDEFINITE => return Err(error),
            Err(cause) => {
                found.put(place, Err(cause));
                break;
            }
        }
    }
    if found.count() == 0 { Err(nothing) } else { Ok(found) }
}
