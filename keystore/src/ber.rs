//! Rewrites BER of indefinite length as DER. Bouncy Castle and old NSS write their PKCS#12 and PKCS#7 so.

use crate::{
    ReadError,
    der::{self, CUT_SHORT, OCTET_STRING},
};
use std::borrow::Cow;

/// How deep BER may nest. A PKCS#12 nests under ten deep before its next octet string.
const MAX_DEPTH: usize = 32;
/// How long BER may be: it is rewritten in memory, more than once. Who streams a store streams a few keys.
const MAX_LENGTH: usize = 1 << 20;
const CONSTRUCTED: u8 = 0x20;
const CONSTRUCTED_OCTET_STRING: u8 = OCTET_STRING | CONSTRUCTED;

/// The same content with definite lengths; borrowed when the outermost length already is definite.
pub(crate) fn to_der(bytes: &[u8]) -> Result<Cow<'_, [u8]>, ReadError> {
    if bytes.get(1) != Some(&0x80) {
        return Ok(Cow::Borrowed(bytes));
    }
    rewrite(bytes).map(Cow::Owned)
}

/// The first element, as DER, and the bytes behind it; borrowed when its outermost length is definite.
pub(crate) fn first(bytes: &[u8]) -> Result<(Cow<'_, [u8]>, &[u8]), ReadError> {
    let mut reader = der::Reader::new(bytes);
    match reader.element() {
        Ok(element) => Ok((Cow::Borrowed(element.raw), reader.rest())),
        Err(error) if error == der::INDEFINITE => {
            let mut rest = bytes;
            let element = bounded(&mut rest)?;
            Ok((Cow::Owned(element), rest))
        }
        Err(error) => Err(error),
    }
}

/// The first element with definite lengths in all of its depth, whatever its outermost one is.
pub(crate) fn rewrite(bytes: &[u8]) -> Result<Vec<u8>, ReadError> {
    bounded(&mut { bytes })
}

fn bounded(rest: &mut &[u8]) -> Result<Vec<u8>, ReadError> {
    if rest.len() > MAX_LENGTH {
        return Err(ReadError::TooLarge { what: "the bytes of indefinite-length BER", limit: MAX_LENGTH });
    }
    definite(rest, MAX_DEPTH)
}

/// Joins the pieces of a constructed OCTET STRING's value; a primitive one's value is what it is.
pub(crate) fn join_octets(tag: u8, value: &[u8]) -> Result<Cow<'_, [u8]>, ReadError> {
    if tag & CONSTRUCTED == 0 {
        return Ok(Cow::Borrowed(value));
    }
    let mut joined = Vec::new();
    let mut pieces = der::Reader::new(value);
    while !pieces.is_empty() {
        joined.extend_from_slice(pieces.expect(OCTET_STRING)?.value);
    }
    Ok(Cow::Owned(joined))
}

fn definite(rest: &mut &[u8], depth: usize) -> Result<Vec<u8>, ReadError> {
    let (tag, header, length) = der::header(rest)?;
    let after = rest.get(header..).ok_or(CUT_SHORT)?;
    let value = match length {
        Some(length) if tag & CONSTRUCTED == 0 => {
            let value = after.get(..length).ok_or(CUT_SHORT)?;
            *rest = after.get(length..).unwrap_or_default();
            value.to_vec()
        }
        Some(length) => {
            let mut inside = after.get(..length).ok_or(CUT_SHORT)?;
            *rest = after.get(length..).unwrap_or_default();
            let mut value = Vec::new();
            while !inside.is_empty() {
                value.extend(definite(&mut inside, deeper(depth)?)?);
            }
            value
        }
        None => {
            let mut inside = after;
            let mut value = Vec::new();
            while !inside.starts_with(&[0, 0]) {
                value.extend(definite(&mut inside, deeper(depth)?)?);
            }
            *rest = inside.get(2..).unwrap_or_default();
            value
        }
    };
    if tag == CONSTRUCTED_OCTET_STRING {
        return Ok(der::encode(OCTET_STRING, &[&join_octets(tag, &value)?]));
    }
    Ok(der::encode(tag, &[&value]))
}

fn deeper(depth: usize) -> Result<usize, ReadError> {
    depth.checked_sub(1).ok_or(ReadError::TooLarge { what: "the nested ASN.1 fields", limit: MAX_DEPTH })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indefinite_lengths_and_split_octet_strings_become_definite_ones() {
        let ber = [0x30, 0x80, 0x24, 0x80, 0x04, 0x01, 0xAA, 0x04, 0x01, 0xBB, 0, 0, 0x02, 0x01, 0x05, 0, 0];
        let der = [0x30, 0x07, 0x04, 0x02, 0xAA, 0xBB, 0x02, 0x01, 0x05];
        assert_eq!(to_der(&ber).expect("sound BER").as_ref(), der);
    }

    #[test]
    fn a_hundred_thousand_nested_sequences_are_refused_and_do_not_overflow_the_stack() {
        let bytes = [0x30, 0x80].repeat(100_000);
        assert_eq!(to_der(&bytes).expect_err("bottomless").reason(), "too_large");
    }
}
