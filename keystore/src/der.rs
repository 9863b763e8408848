//! Walks and writes DER. The walk never recurses: depth is what the caller's own code descends.

use crate::ReadError;

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const NULL: u8 = 0x05;
pub(crate) const OID: u8 = 0x06;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const BMP_STRING: u8 = 0x1E;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// The tag of a constructed, context-specific field.
pub(crate) const fn context(number: u8) -> u8 {
    0xA0 | number
}

/// One tag, length and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    /// All of it, header and value.
    pub(crate) raw: &'a [u8],
    pub(crate) value: &'a [u8],
}

impl<'a> Element<'a> {
    /// The elements inside a constructed one.
    pub(crate) fn inside(&self) -> Reader<'a> {
        Reader::new(self.value)
    }
}

/// Reads the elements that stand one after another.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    pub(crate) fn element(&mut self) -> Result<Element<'a>, ReadError> {
        let (tag, header, length) = header(self.rest)?;
        let length = length.ok_or(INDEFINITE)?;
        let end = header.checked_add(length).ok_or(CUT_SHORT)?;
        let raw = self.rest.get(..end).ok_or(CUT_SHORT)?;
        self.rest = self.rest.get(end..).unwrap_or_default();
        Ok(Element { tag, raw, value: raw.get(header..).unwrap_or_default() })
    }

    pub(crate) fn expect(&mut self, tag: u8) -> Result<Element<'a>, ReadError> {
        match self.element()? {
            found if found.tag == tag => Ok(found),
            _ => Err(ReadError::Malformed("an ASN.1 field has an unexpected type")),
        }
    }

    /// The next element if it has this tag.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>, ReadError> {
        if self.peek() == Some(tag) { self.element().map(Some) } else { Ok(None) }
    }

    /// A non-negative INTEGER that fits; a larger one is `u64::MAX`, which every limit refuses.
    pub(crate) fn unsigned(&mut self) -> Result<u64, ReadError> {
        let value = self.expect(INTEGER)?.value;
        if value.is_empty() || value.first().is_some_and(|first| *first >= 0x80) {
            return Err(ReadError::Malformed("an ASN.1 integer is empty or negative where it must not be"));
        }
        let significant = value.iter().position(|byte| *byte != 0).and_then(|at| value.get(at..)).unwrap_or_default();
        if significant.len() > size_of::<u64>() {
            return Ok(u64::MAX);
        }
        Ok(significant.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}

/// BER where DER is due; [`crate::ber`] rewrites it.
pub(crate) const INDEFINITE: ReadError = ReadError::UnsupportedFormat("BER of indefinite length at this place");
pub(crate) const CUT_SHORT: ReadError = ReadError::Malformed("an ASN.1 field is longer than what holds it");

/// Tag, length of the header, length of the value (`None`: indefinite).
pub(crate) fn header(bytes: &[u8]) -> Result<(u8, usize, Option<usize>), ReadError> {
    const MULTI_BYTE_TAG: u8 = 0x1F;
    let [tag, first, more @ ..] = bytes else { return Err(CUT_SHORT) };
    if tag & MULTI_BYTE_TAG == MULTI_BYTE_TAG {
        return Err(ReadError::Malformed("an ASN.1 tag is none that certificates or stores use"));
    }
    if *first < 0x80 {
        return Ok((*tag, 2, Some(usize::from(*first))));
    }
    if *first == 0x80 {
        return Ok((*tag, 2, None));
    }
    let count = usize::from(first & 0x7F);
    // Four bytes of length say 4 GiB, more than any input is allowed to have.
    if count > 4 {
        return Err(CUT_SHORT);
    }
    let length = more.get(..count).ok_or(CUT_SHORT)?.iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
    Ok((*tag, 2 + count, Some(usize::try_from(length).map_err(|_| CUT_SHORT)?)))
}

/// Writes one element around `parts`.
pub(crate) fn encode(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length + 6);
    out.push(tag);
    encode_length(length, &mut out);
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

fn encode_length(length: usize, out: &mut Vec<u8>) {
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let bytes = length.to_be_bytes();
            let significant: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
            // At most eight bytes: the count always fits the seven bits.
            out.push(0x80 | u8::try_from(significant.len()).unwrap_or(8));
            out.extend_from_slice(&significant);
        }
    }
}

/// Writes a non-negative INTEGER.
pub(crate) fn encode_unsigned(number: u64) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let mut significant: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
    if significant.first().is_none_or(|first| *first >= 0x80) {
        significant.insert(0, 0);
    }
    encode(INTEGER, &[&significant])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_reads_back_at_every_length_class() {
        for length in [0, 1, 0x7F, 0x80, 0xFF, 0x100, 0xFFFF, 0x1_0000] {
            let value = vec![7; length];
            let bytes = encode(OCTET_STRING, &[&value]);
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.expect(OCTET_STRING).expect("own encoding").value, value);
            assert!(reader.is_empty());
        }
        for number in [0, 1, 0x7F, 0x80, 10_000, u64::MAX] {
            assert_eq!(Reader::new(&encode_unsigned(number)).unsigned(), Ok(number));
        }
    }

    #[test]
    fn an_integer_too_large_for_us_is_larger_than_every_limit() {
        let bytes = encode(INTEGER, &[&[1; 20]]);
        assert_eq!(Reader::new(&bytes).unsigned(), Ok(u64::MAX));
    }
}
