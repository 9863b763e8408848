//! The outer structure of a PKCS#12: `PFX`, `AuthenticatedSafe` and the `ContentInfo` of each safe.

use super::{mac, oid, scheme::Scheme};
use crate::{Fault, Limits, ReadError, ber, der};
use std::borrow::Cow;

/// `PFX`, taken apart as far as the MAC's reach.
pub(super) struct Pfx<'a> {
    /// The `AuthenticatedSafe`: what the MAC covers.
    pub(super) authenticated: Cow<'a, [u8]>,
    pub(super) mac: Option<mac::Mac<'a>>,
}

/// One safe as it lies in the file.
pub(super) enum Safe<'a> {
    Clear(Cow<'a, [u8]>),
    Encrypted { scheme: Scheme<'a>, content: Cow<'a, [u8]> },
}

/// The safes that can be read, each with its number from one, and those that cannot.
pub(super) type Safes<'a> = (Vec<(usize, Safe<'a>)>, Vec<Fault>);

/// Parses the outermost level; `bytes` are DER.
pub(super) fn parse(bytes: &[u8]) -> Result<Pfx<'_>, ReadError> {
    const VERSION: u64 = 3;
    let mut pfx = der::Reader::new(bytes).expect(der::SEQUENCE)?.inside();
    if pfx.unsigned()? != VERSION {
        return Err(ReadError::UnsupportedFormat("this version of PKCS#12"));
    }
    let mut content_info = pfx.expect(der::SEQUENCE)?.inside();
    if content_info.expect(der::OID)?.value != oid::DATA {
        return Err(ReadError::UnsupportedFormat("a PKCS#12 whose integrity is a signature"));
    }
    let authenticated = octets(&mut content_info.expect(der::context(0))?.inside())?;
    let mac = pfx.optional(der::SEQUENCE)?.map(|element| mac::Mac::parse(&element)).transpose()?;
    Ok(Pfx { authenticated, mac })
}

/// Parses the safes; `bytes` are the `AuthenticatedSafe` as DER. One that is encrypted in a way that is not read here, or is
/// none, is a fault, and the others are numbered on.
pub(super) fn safes<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Safes<'a>, ReadError> {
    let mut contents = der::Reader::new(bytes).expect(der::SEQUENCE)?.inside();
    let (mut safes, mut faults) = (Vec::new(), Vec::new());
    let mut number = 0;
    while !contents.is_empty() {
        number += 1;
        limits.check_entries(number)?;
        let element = match contents.element() {
            Ok(element) => element,
            // Where this one ends, and the next begins, cannot be told.
            Err(cause) => {
                faults.push(Fault { place: format!("safe {number} and those behind it"), cause });
                break;
            }
        };
        match safe(&element) {
            Ok(safe) => safes.push((number, safe)),
            Err(cause) => faults.push(Fault { place: format!("safe {number}"), cause }),
        }
    }
    // With none that can be read there is no store.
    match faults.first() {
        Some(fault) if safes.is_empty() => Err(fault.cause.clone()),
        _ => Ok((safes, faults)),
    }
}

fn safe<'a>(element: &der::Element<'a>) -> Result<Safe<'a>, ReadError> {
    let mut content_info = der::Reader::new(element.raw).expect(der::SEQUENCE)?.inside();
    let kind = content_info.expect(der::OID)?.value;
    let mut content = content_info.expect(der::context(0))?.inside();
    match kind {
        oid::DATA => Ok(Safe::Clear(octets(&mut content)?)),
        oid::ENCRYPTED_DATA => encrypted(&mut content),
        _ => Err(ReadError::UnsupportedFormat("a safe that is encrypted for a recipient's key")),
    }
}

fn encrypted<'a>(content: &mut der::Reader<'a>) -> Result<Safe<'a>, ReadError> {
    const ENCRYPTED_CONTENT: u8 = 0x80;
    let mut data = content.expect(der::SEQUENCE)?.inside();
    data.expect(der::INTEGER)?;
    let mut info = data.expect(der::SEQUENCE)?.inside();
    info.expect(der::OID)?;
    let scheme = Scheme::parse(&info.expect(der::SEQUENCE)?)?;
    // Constructed where the writer streamed it.
    let content = info.element()?;
    match content.tag {
        ENCRYPTED_CONTENT => Ok(Safe::Encrypted { scheme, content: Cow::Borrowed(content.value) }),
        tag if tag == der::context(0) => Ok(Safe::Encrypted { scheme, content: ber::join_octets(tag, content.value)? }),
        _ => Err(ReadError::Malformed("an encrypted safe has no content")),
    }
}

fn octets<'a>(reader: &mut der::Reader<'a>) -> Result<Cow<'a, [u8]>, ReadError> {
    const CONSTRUCTED: u8 = der::OCTET_STRING | 0x20;
    let element = reader.element()?;
    match element.tag {
        der::OCTET_STRING | CONSTRUCTED => ber::join_octets(element.tag, element.value),
        _ => Err(ReadError::Malformed("an ASN.1 field has an unexpected type")),
    }
}
