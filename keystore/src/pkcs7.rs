//! PKCS#7 `SignedData` that only carries certificates (`.p7b`, `.p7c`).

use crate::{Certificate, Entry, Limits, ReadError, ber, der, pem};

/// The content of the OID of `SignedData`, with its tag and length left out.
pub(crate) const SIGNED_DATA: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x02];

/// The certificates in the order of the file; there is none for being first in PKCS#7.
pub(crate) fn read(bytes: &[u8], limits: &Limits) -> Result<Vec<Entry>, ReadError> {
    let bytes = ber::to_der(bytes)?;
    let mut content_info = der::Reader::new(&bytes).expect(der::SEQUENCE)?.inside();
    if content_info.expect(der::OID)?.value != SIGNED_DATA {
        return Err(ReadError::UnsupportedFormat("a PKCS#7 that is not SignedData"));
    }
    let explicit = content_info.expect(der::context(0))?;
    let mut signed_data = explicit.inside().expect(der::SEQUENCE)?.inside();
    signed_data.expect(der::INTEGER)?;
    signed_data.expect(der::SET)?;
    signed_data.expect(der::SEQUENCE)?;
    let Some(certificates) = signed_data.optional(der::context(0))? else { return Err(ReadError::NoCertificate) };

    let mut entries = Vec::new();
    let mut certificates = certificates.inside();
    while !certificates.is_empty() {
        let element = certificates.element()?;
        // Other tags are attribute certificates and the like.
        if element.tag == der::SEQUENCE {
            limits.check_entries(entries.len() + 1)?;
            limits.check_certificate(element.raw.len())?;
            entries.push(pem::entry(Certificate::from_der(element.raw.to_vec())?));
        }
    }
    if entries.is_empty() { Err(ReadError::NoCertificate) } else { Ok(entries) }
}
