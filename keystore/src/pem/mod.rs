//! PEM: finds the blocks in a text that may hold anything else too.

pub(crate) mod merge;

use crate::{Certificate, Entry, EntryKind, Limits, ReadError, der, pkcs7};
use base64::{
    Engine as _,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use std::ops::Range;
use zeroize::Zeroizing;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";

/// What a block holds, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Certificate,
    /// An OpenSSL certificate with trust settings behind it.
    TrustedCertificate,
    Pkcs7,
    Pkcs8Key,
    EncryptedKey,
    RsaKey,
    EcKey,
    Other,
}

/// One block: where it stands in the text, and its content undecoded.
#[derive(Clone, Debug)]
pub(crate) struct Block<'a> {
    label: &'a [u8],
    body: &'a [u8],
    /// From the first dash to the end of the last line.
    pub(crate) place: Range<usize>,
    /// Whether its END line was found.
    complete: bool,
}

/// The certificates of a PEM text, in order. Keys and unknown blocks are passed over.
pub(crate) fn read(text: &[u8], limits: &Limits) -> Result<Vec<Entry>, ReadError> {
    let mut entries = Vec::new();
    for (count, block) in blocks(text).enumerate() {
        limits.check_entries(count + 1)?;
        match block.kind() {
            Kind::Certificate | Kind::TrustedCertificate => entries.push(entry(block.certificate(limits)?)),
            Kind::Pkcs7 => entries.extend(pkcs7::read(&block.decode()?, limits)?),
            Kind::Pkcs8Key | Kind::EncryptedKey | Kind::RsaKey | Kind::EcKey | Kind::Other => {}
        }
        limits.check_entries(entries.len())?;
    }
    if entries.is_empty() { Err(ReadError::NoCertificate) } else { Ok(entries) }
}

pub(crate) fn entry(certificate: Certificate) -> Entry {
    Entry { alias: String::new(), kind: EntryKind::Certificate, chain: vec![certificate] }
}

/// Finds the blocks, in one pass. A BEGIN line inside a block starts anew: the block before was cut short.
pub(crate) fn blocks(text: &[u8]) -> impl Iterator<Item = Block<'_>> {
    let mut lines = lines(text).peekable();
    std::iter::from_fn(move || {
        let (label, start) = lines.by_ref().find_map(|line| Some((label(&text[line.clone()], BEGIN)?, line)))?;
        let body_start = start.end;
        let mut body_end = body_start;
        while let Some(line) = lines.peek().cloned() {
            let content = &text[line.clone()];
            if self::label(content, BEGIN).is_some() {
                break;
            }
            lines.next();
            if self::label(content, END) == Some(label) {
                let place = start.start..line.end;
                return Some(Block { label, body: &text[body_start..line.start], place, complete: true });
            }
            body_end = line.end;
        }
        Some(Block { label, body: &text[body_start..body_end], place: start.start..body_end, complete: false })
    })
}

/// Writes one block with the line length and endings that every tool reads.
pub(crate) fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    const LINE: usize = 64;
    let body = Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(der));
    // Room for all, so that no half-written key is left behind by a reallocation.
    let mut out = Zeroizing::new(String::with_capacity(body.len() + body.len() / LINE + 2 * label.len() + 64));
    out.push_str("-----BEGIN ");
    out.push_str(label);
    out.push_str("-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        out.push_str(line);
        out.push('\n');
        rest = after;
    }
    out.push_str("-----END ");
    out.push_str(label);
    out.push_str("-----\n");
    out
}

impl Block<'_> {
    pub(crate) fn kind(&self) -> Kind {
        match self.label {
            b"CERTIFICATE" | b"X509 CERTIFICATE" => Kind::Certificate,
            b"TRUSTED CERTIFICATE" => Kind::TrustedCertificate,
            b"PKCS7" | b"CMS" => Kind::Pkcs7,
            b"PRIVATE KEY" => Kind::Pkcs8Key,
            b"ENCRYPTED PRIVATE KEY" => Kind::EncryptedKey,
            b"RSA PRIVATE KEY" | b"EC PRIVATE KEY" if self.is_enciphered() => Kind::EncryptedKey,
            b"RSA PRIVATE KEY" => Kind::RsaKey,
            b"EC PRIVATE KEY" => Kind::EcKey,
            _ => Kind::Other,
        }
    }

    pub(crate) fn is_key(&self) -> bool {
        matches!(self.kind(), Kind::Pkcs8Key | Kind::EncryptedKey | Kind::RsaKey | Kind::EcKey)
    }

    /// The content. It may be a private key, so it is wiped after use.
    pub(crate) fn decode(&self) -> Result<Zeroizing<Vec<u8>>, ReadError> {
        const LENIENT: GeneralPurpose = GeneralPurpose::new(
            &base64::alphabet::STANDARD,
            GeneralPurposeConfig::new()
                .with_decode_padding_mode(DecodePaddingMode::Indifferent)
                .with_decode_allow_trailing_bits(true),
        );
        if !self.complete {
            return Err(ReadError::Malformed("a PEM block has no END line"));
        }
        let mut encoded = Zeroizing::new(Vec::with_capacity(self.body.len()));
        encoded.extend(self.body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()));
        let mut decoded = Zeroizing::new(vec![0; base64::decoded_len_estimate(encoded.len())]);
        let length = LENIENT
            .decode_slice(&encoded, &mut decoded)
            .map_err(|_| ReadError::Malformed("a PEM block is not base64"))?;
        decoded.truncate(length);
        Ok(decoded)
    }

    pub(crate) fn certificate(&self, limits: &Limits) -> Result<Certificate, ReadError> {
        // Base64 takes four bytes for three: what is twice too long is not decoded at all.
        limits.check_certificate(self.body.len() / 2)?;
        let decoded = self.decode()?;
        let der = match self.kind() {
            Kind::TrustedCertificate => der::Reader::new(&decoded).expect(der::SEQUENCE)?.raw,
            _ => &decoded,
        };
        limits.check_certificate(der.len())?;
        Certificate::from_der(der.to_vec())
    }

    /// Whether RFC 1421 headers say that the key is encrypted.
    fn is_enciphered(&self) -> bool {
        const HEADER: &[u8] = b"Proc-Type:";
        self.body.trim_ascii_start().starts_with(HEADER)
    }
}

/// The lines with their endings: LF, CR LF, or CR alone.
fn lines(text: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = text.get(start..).filter(|rest| !rest.is_empty())?;
        let length = match rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            Some(at) if rest.get(at..).is_some_and(|from| from.starts_with(b"\r\n")) => at + 2,
            Some(at) => at + 1,
            None => rest.len(),
        };
        let line = start..start + length;
        start = line.end;
        Some(line)
    })
}

fn label<'a>(line: &'a [u8], border: &[u8]) -> Option<&'a [u8]> {
    let label = line.trim_ascii().strip_prefix(border)?;
    label.strip_suffix(DASHES).filter(|label| !label.is_empty())
}
