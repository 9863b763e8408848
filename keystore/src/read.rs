//! The one way in: bytes to store, whatever the format.

use crate::{
    Certificate, Entry, Format, Limits, PasswordCheck, ReadError, Store, jks, pem, pkcs7, pkcs12, sniff, text,
};
use secrecy::SecretString;

/// Reads what the bytes are found to be. With a password, the result says whether it is the store's.
///
/// JKS, JCEKS, PEM, DER and PKCS#7 need none. A PKCS#12 with encrypted certificates gives [`ReadError::PasswordNeeded`] or
/// [`ReadError::BadPassword`] instead of half a store; without a password the empty one is tried, and the result says when it
/// is the store's. A DER file may hold several certificates one after another, as
/// Java's own reader takes them, and white space behind them; anything else there makes it malformed.
pub fn read(bytes: &[u8], password: Option<&SecretString>, limits: &Limits) -> Result<Store, ReadError> {
    limits.check_bytes(bytes.len())?;
    let format = sniff(bytes).ok_or(ReadError::UnsupportedFormat(
        "what is neither JKS, JCEKS, PKCS#12, PKCS#7, PEM nor a DER certificate",
    ))?;
    match format {
        Format::Jks | Format::Jceks => jks::read(bytes, password, limits),
        Format::Pkcs12 => pkcs12::read(bytes, password, limits),
        Format::Pem => Ok(certificates(format, pem::read(&text::to_utf8(bytes), limits)?)),
        Format::Der => Ok(certificates(format, read_der(bytes, limits)?)),
        // A PKCS#7 comes bare or in PEM.
        Format::Pkcs7 if bytes.first() == Some(&crate::der::SEQUENCE) => {
            Ok(certificates(format, pkcs7::read(bytes, limits)?))
        }
        Format::Pkcs7 => Ok(certificates(format, pem::read(&text::to_utf8(bytes), limits)?)),
    }
}

fn certificates(format: Format, entries: Vec<Entry>) -> Store {
    Store { format, profile: None, password: PasswordCheck::NoneNeeded, entries }
}

fn read_der(bytes: &[u8], limits: &Limits) -> Result<Vec<Entry>, ReadError> {
    let mut entries = Vec::new();
    let mut reader = crate::der::Reader::new(bytes);
    while !reader.rest().trim_ascii().is_empty() {
        let element = reader.expect(crate::der::SEQUENCE)?;
        limits.check_entries(entries.len() + 1)?;
        limits.check_certificate(element.raw.len())?;
        entries.push(pem::entry(Certificate::from_der(element.raw.to_vec())?));
    }
    Ok(entries)
}
