//! The one way in: bytes to store, whatever the format.

use crate::{
    Certificate, Content, Foreign, Format, Limits, ReadError, Store, certificates::Certificates, der, jks, pem, pkcs7,
    pkcs12, pkix, sniff, text,
};
use secrecy::SecretString;

/// Reads what the bytes are found to be, to look at it. With a password, the result says whether it is the store's.
///
/// A part that cannot be read is a fault of the store and hides no other; where it leaves nothing to show, it is the error.
/// A certificate with defects is read as far as it goes. JKS, JCEKS, PEM, DER and PKCS#7 need no password. A PKCS#12 with
/// encrypted certificates gives [`ReadError::PasswordNeeded`] or [`ReadError::BadPassword`] instead of half a store;
/// without a password the empty one is tried, and the result says when it is the store's. A DER file may hold several
/// certificates one after another, as Java's own reader takes them, and padding behind them.
///
/// # Errors
/// See [`ReadError`]. JKS, JCEKS and PKCS#12 without any certificate are read; [`Store::check_has_certificate`] tells.
pub fn read(bytes: &[u8], password: Option<&SecretString>, limits: &Limits) -> Result<Store, ReadError> {
    let store = observe(bytes, password, limits)?;
    match store.faults.first() {
        Some(fault) if store.certificates().next().is_none() => Err(fault.cause.clone()),
        _ => Ok(store),
    }
}

/// Reads a store that is to be written anew: like [`read`], and every part of it has to be understood.
///
/// # Errors
/// Those of [`read`], the first fault, or the first defect of a certificate.
pub fn read_whole(bytes: &[u8], password: Option<&SecretString>, limits: &Limits) -> Result<Store, ReadError> {
    if sniff(bytes) == Some(Format::Pkcs12) {
        limits.check_bytes(bytes.len())?;
        return pkcs12::read_whole(bytes, password, limits);
    }
    let store = observe(bytes, password, limits)?;
    if let Some(fault) = store.faults.first() {
        return Err(fault.cause.clone());
    }
    store.certificates().try_for_each(Certificate::check_whole)?;
    Ok(store)
}

fn observe(bytes: &[u8], password: Option<&SecretString>, limits: &Limits) -> Result<Store, ReadError> {
    limits.check_bytes(bytes.len())?;
    let format = sniff(bytes).ok_or_else(|| not_read(bytes))?;
    match format {
        Format::Jks | Format::Jceks => jks::read(bytes, password, limits),
        Format::Pkcs12 => pkcs12::read(bytes, password, limits),
        Format::Der => Ok(read_der(bytes, limits)?.into_store(format)),
        // A PKCS#7 comes bare or in PEM.
        Format::Pkcs7 if bytes.first() == Some(&der::SEQUENCE) => Ok(pkcs7::read(bytes, limits)?.into_store(format)),
        Format::Pem | Format::Pkcs7 => Ok(pem::observe(&text::to_utf8(bytes), limits)?.into_store(format)),
    }
}

/// Why bytes that are no keystore are not read.
fn not_read(bytes: &[u8]) -> ReadError {
    if bytes.trim_ascii().is_empty() {
        return ReadError::Holds(Content::Nothing);
    }
    match pkix::of_der(bytes) {
        Some(pkix::Der::Content(content)) => return ReadError::Holds(content),
        Some(pkix::Der::Foreign(foreign)) => return ReadError::Foreign(foreign),
        Some(pkix::Der::Certificate | pkix::Der::SignedData) | None => {}
    }
    Foreign::of(bytes).map_or(
        ReadError::UnsupportedFormat("what is neither JKS, JCEKS, PKCS#12, PKCS#7, PEM nor a DER certificate"),
        ReadError::Foreign,
    )
}

fn read_der(bytes: &[u8], limits: &Limits) -> Result<Certificates, ReadError> {
    let mut found = Certificates::default();
    let mut rest = bytes;
    while !rest.trim_ascii().is_empty() {
        limits.check_entries(found.count() + 1)?;
        let (number, at) = (found.count() + 1, bytes.len() - rest.len());
        let place = || format!("certificate {number}, at byte {at}");
        match next_der(rest) {
            Ok((one, behind)) => {
                let size = limits.check_certificate_length(one.len());
                // What pads the file belongs to its last certificate.
                let is_padded = !behind.trim_ascii().is_empty() && is_padding(behind);
                let (one, behind) = if is_padded { (rest, &[][..]) } else { (one, behind) };
                let read = size.and_then(|()| Certificate::observe(one));
                found.put(place, read);
                rest = behind;
            }
            Err(cause) => {
                // Where this one ends, and the next begins, cannot be told.
                found.put(place, Err(cause));
                break;
            }
        }
    }
    Ok(found)
}

/// The bytes of the first element, and those behind it.
fn next_der(bytes: &[u8]) -> Result<(&[u8], &[u8]), ReadError> {
    if bytes.first() != Some(&der::SEQUENCE) {
        return Err(ReadError::Malformed("bytes that are no certificate follow"));
    }
    let (_, behind) = crate::ber::first(bytes)?;
    Ok((bytes.get(..bytes.len() - behind.len()).unwrap_or_default(), behind))
}

/// What fills a file up to the size of a block: NUL, blank flash memory, the end mark of DOS.
fn is_padding(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, 0 | 0xFF | 0x1A) || byte.is_ascii_whitespace())
}
