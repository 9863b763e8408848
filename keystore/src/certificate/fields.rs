//! Takes a certificate apart (RFC 5280, 4.1). What cannot be read and is not needed for dates and names is noted, not refused.

use super::{Defect, Time};
use crate::{
    ReadError,
    der::{self, Element},
};
use std::net::IpAddr;

/// Alternative names kept of one certificate. CAs issue at most some hundred; the rest of a hostile list is dropped, which
/// can only make a certificate cover less.
const MAX_NAMES: usize = 1_000;
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1D, 0x11];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1D, 0x13];

const NO_CERTIFICATE: ReadError = ReadError::Malformed("a certificate is no valid X.509");

pub(super) struct Fields<'a> {
    /// The content of the INTEGER.
    pub(super) serial: &'a [u8],
    pub(super) issuer: &'a [u8],
    pub(super) not_before: Time,
    pub(super) not_after: Time,
    pub(super) subject: &'a [u8],
    pub(super) spki: &'a [u8],
    /// The content of the OID; empty where there is none.
    pub(super) signature_algorithm: &'a [u8],
    pub(super) extensions: Extensions,
}

/// What is read out of the extensions.
#[derive(Default)]
pub(super) struct Extensions {
    pub(super) dns_names: Vec<String>,
    pub(super) ip_addresses: Vec<IpAddr>,
    pub(super) is_ca: bool,
    pub(super) defects: Vec<Defect>,
}

impl<'a> Fields<'a> {
    /// `der` is one certificate and nothing else.
    pub(super) fn parse(der: &'a [u8]) -> Result<Self, ReadError> {
        let mut certificate = der::Reader::new(der).expect(der::SEQUENCE).map_err(no_certificate)?.inside();
        let mut expect = |tag| certificate.expect(tag).map_err(no_certificate);
        let (tbs, algorithm, _signature) = (expect(der::SEQUENCE)?, expect(der::SEQUENCE)?, expect(der::BIT_STRING)?);
        let mut tbs = tbs.inside();
        tbs.optional(der::context(0)).map_err(no_certificate)?;
        let mut expect = |tag| tbs.expect(tag).map_err(no_certificate);
        let serial = expect(der::INTEGER)?.value;
        let _algorithm = expect(der::SEQUENCE)?;
        let issuer = expect(der::SEQUENCE)?.raw;
        let mut validity = expect(der::SEQUENCE)?.inside();
        let subject = expect(der::SEQUENCE)?.raw;
        let spki = expect(der::SEQUENCE)?.raw;
        let mut time = || {
            let element = validity.element().map_err(no_certificate)?;
            Time::parse(&element).ok_or(ReadError::Malformed("the validity of a certificate is no time"))
        };
        let (not_before, not_after) = (time()?, time()?);
        let id = algorithm.inside().expect(der::OID);
        Ok(Self {
            serial,
            issuer,
            not_before,
            not_after,
            subject,
            spki,
            signature_algorithm: id.map(|id| id.value).unwrap_or_default(),
            extensions: Extensions::parse(&mut tbs),
        })
    }
}

/// BER is told apart, for it can be rewritten; whatever else is wrong is the same to a reader.
fn no_certificate(error: ReadError) -> ReadError {
    if error == der::INDEFINITE { error } else { NO_CERTIFICATE }
}

impl Extensions {
    /// Reads what stands behind the public key: two identifiers that nobody uses, and the extensions.
    fn parse(rest: &mut der::Reader<'_>) -> Self {
        const UNIQUE_IDENTIFIERS: [u8; 2] = [0x81, 0x82];
        let mut found = Self::default();
        while !rest.is_empty() {
            match rest.element() {
                Ok(field) if UNIQUE_IDENTIFIERS.contains(&field.tag) => {}
                Ok(field) if field.tag == der::context(3) => found.read_all(&field),
                Ok(_) => found.note(Defect::Extensions),
                Err(_) => {
                    found.note(Defect::Extensions);
                    break;
                }
            }
        }
        found
    }

    fn read_all(&mut self, field: &Element<'_>) {
        let Ok(list) = field.inside().expect(der::SEQUENCE) else { return self.note(Defect::Extensions) };
        let (mut list, mut ids) = (list.inside(), Vec::new());
        while !list.is_empty() {
            match extension(&mut list) {
                Ok((id, value)) => {
                    ids.push(id);
                    self.read(id, value);
                }
                Err(_) => {
                    self.note(Defect::Extensions);
                    break;
                }
            }
        }
        ids.sort_unstable();
        if ids.windows(2).any(|pair| pair[0] == pair[1]) {
            self.note(Defect::DuplicateExtension);
        }
    }

    fn read(&mut self, id: &[u8], value: &[u8]) {
        match id {
            ALTERNATIVE_NAMES if self.read_names(value).is_err() => self.note(Defect::AlternativeNames),
            BASIC_CONSTRAINTS => match basic_constraints(value) {
                Ok(is_ca) => self.is_ca |= is_ca,
                Err(_) => self.note(Defect::BasicConstraints),
            },
            _ => {}
        }
    }

    /// Names that can be read are kept, whatever stands beside them.
    fn read_names(&mut self, value: &[u8]) -> Result<(), ReadError> {
        const DNS_NAME: u8 = 0x82;
        const IP_ADDRESS: u8 = 0x87;
        let mut outcome = Ok(());
        let mut names = only(value)?.inside();
        let mut count = self.dns_names.len() + self.ip_addresses.len();
        while !names.is_empty() && count < MAX_NAMES {
            let name = names.element()?;
            count += 1;
            match name.tag {
                DNS_NAME => match std::str::from_utf8(name.value) {
                    Ok(text) => self.dns_names.push(text.to_owned()),
                    Err(_) => outcome = Err(ReadError::Malformed("a DNS name is no text")),
                },
                IP_ADDRESS => self.ip_addresses.extend(ip_address(name.value)),
                _ => {}
            }
        }
        outcome
    }

    fn note(&mut self, defect: Defect) {
        if !self.defects.contains(&defect) {
            self.defects.push(defect);
        }
    }
}

fn extension<'a>(list: &mut der::Reader<'a>) -> Result<(&'a [u8], &'a [u8]), ReadError> {
    let mut fields = list.expect(der::SEQUENCE)?.inside();
    let id = fields.expect(der::OID)?.value;
    fields.optional(der::BOOLEAN)?;
    Ok((id, fields.expect(der::OCTET_STRING)?.value))
}

fn basic_constraints(value: &[u8]) -> Result<bool, ReadError> {
    let is_ca = only(value)?.inside().optional(der::BOOLEAN)?;
    Ok(is_ca.is_some_and(|is_ca| is_ca.value.iter().any(|byte| *byte != 0)))
}

/// The SEQUENCE that is all there is.
fn only(value: &[u8]) -> Result<Element<'_>, ReadError> {
    let mut reader = der::Reader::new(value);
    let element = reader.expect(der::SEQUENCE)?;
    if reader.is_empty() { Ok(element) } else { Err(ReadError::Malformed("bytes follow the content of an extension")) }
}

fn ip_address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(v4));
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}
