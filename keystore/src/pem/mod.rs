//! PEM: finds the blocks in a text that may hold anything else too.

pub(crate) mod merge;

use crate::{
    Certificate, Content, Entry, Fault, Foreign, Limits, ReadError, ber,
    certificates::{Certificates, entry},
    der, pkcs7,
    pkix::{self, Der},
};
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

/// The certificates of a PEM text, in order, for who writes it anew: one that cannot be read is an error. Keys and unknown
/// blocks are passed over.
pub(crate) fn read(text: &[u8], limits: &Limits) -> Result<Vec<Entry>, ReadError> {
    let found = match observe(text, limits) {
        Err(ReadError::Holds(_)) => return Err(ReadError::NoCertificate),
        found => found?,
    };
    if let Some(fault) = found.faults.into_iter().next() {
        return Err(fault.cause);
    }
    let mut certificates = found.entries.iter().filter_map(Entry::leaf);
    certificates.try_for_each(Certificate::check_whole)?;
    Ok(found.entries)
}

/// The certificates of a PEM text, in order, and the blocks that should be some and cannot be read. What a block holds is
/// told by its content where that can be decoded, and else by its label.
pub(crate) fn observe(text: &[u8], limits: &Limits) -> Result<Certificates, ReadError> {
    let mut found = Certificates::default();
    let mut beside = None;
    let mut counted = Counted { text, at: 0, line: 1 };
    for (count, block) in blocks(text).enumerate() {
        limits.check_entries(count + 1)?;
        let mut place = || format!("the block {} at line {}", block.shown_label(), counted.line_of(block.place.start));
        match block.content(limits) {
            Ok(Read::Certificate(certificate)) => found.entries.push(entry(certificate)),
            Ok(Read::Several(several)) => {
                found.entries.extend(several.entries);
                if !several.faults.is_empty() {
                    let block = place();
                    let within = |fault: Fault| Fault { place: format!("{block}, {}", fault.place), ..fault };
                    found.faults.extend(several.faults.into_iter().map(within));
                }
            }
            Ok(Read::Nothing(content)) => beside = beside.or(content),
            Err(cause) => found.faults.push(Fault { place: place(), cause }),
        }
        limits.check_entries(found.count())?;
    }
    match (found.count(), beside) {
        (0, Some(content)) => Err(ReadError::Holds(content)),
        (0, None) => Err(Foreign::of(text).map_or(ReadError::NoCertificate, ReadError::Foreign)),
        _ => Ok(found),
    }
}

/// What a block was found to hold.
enum Read {
    Certificate(Certificate),
    Several(Certificates),
    /// No certificate, and none was promised.
    Nothing(Option<Content>),
}

/// Lines counted so far: however many blocks are bad, the text is counted once.
struct Counted<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
}

impl Counted<'_> {
    /// The number of the line, from one, that starts at `at`, which only grows.
    fn line_of(&mut self, at: usize) -> usize {
        self.line += lines(self.text.get(self.at..at).unwrap_or_default()).count();
        self.at = at;
        self.line
    }
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

/// One PEM block with the line length and endings that every tool reads.
#[must_use]
pub fn pem_block(label: &str, der: &[u8]) -> Zeroizing<String> {
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
            b"PKCS7" | b"CMS" | b"PKCS #7 SIGNED DATA" => Kind::Pkcs7,
            b"PRIVATE KEY" => Kind::Pkcs8Key,
            b"ENCRYPTED PRIVATE KEY" => Kind::EncryptedKey,
            b"RSA PRIVATE KEY" | b"EC PRIVATE KEY" if self.is_enciphered() => Kind::EncryptedKey,
            b"RSA PRIVATE KEY" => Kind::RsaKey,
            b"EC PRIVATE KEY" => Kind::EcKey,
            _ => Kind::Other,
        }
    }

    /// What it holds, whatever its label says. A block of another label that cannot be decoded is nothing of ours.
    fn content(&self, limits: &Limits) -> Result<Read, ReadError> {
        let kind = self.kind();
        let promises = matches!(kind, Kind::Certificate | Kind::TrustedCertificate | Kind::Pkcs7);
        if self.is_key() {
            let is_sealed = kind == Kind::EncryptedKey;
            return Ok(Read::Nothing(Some(if is_sealed { Content::EncryptedKey } else { Content::PrivateKey })));
        }
        let by_label = Content::of_label(self.label);
        let decoded = match self.decode() {
            Ok(decoded) => decoded,
            Err(error) if promises => return Err(error),
            Err(_) => return Ok(Read::Nothing(by_label)),
        };
        match pkix::of_der(&decoded) {
            Some(Der::SignedData) => pkcs7::read(&decoded, limits).map(Read::Several),
            Some(Der::Certificate) if promises || by_label.is_none() => self.certificate_in(&decoded, limits),
            Some(Der::Content(content)) if promises => Err(ReadError::Holds(content)),
            Some(Der::Foreign(foreign)) if promises => Err(ReadError::Foreign(foreign)),
            Some(Der::Content(content)) => Ok(Read::Nothing(Some(content))),
            // BER of indefinite length, or damaged: its reader says so.
            None if kind == Kind::Pkcs7 => pkcs7::read(&decoded, limits).map(Read::Several),
            None if promises => self.certificate_in(&decoded, limits),
            Some(Der::Certificate | Der::Foreign(_)) | None => Ok(Read::Nothing(by_label)),
        }
    }

    fn certificate_in(&self, decoded: &[u8], limits: &Limits) -> Result<Read, ReadError> {
        let der = match self.kind() {
            Kind::TrustedCertificate => {
                let (_, trust) = ber::first(decoded)?;
                decoded.get(..decoded.len() - trust.len()).unwrap_or_default()
            }
            _ => decoded,
        };
        limits.check_certificate(der)?;
        Certificate::observe(der).map(Read::Certificate)
    }

    /// Whether it is a PKCS#7, by its content where its label says certificate.
    pub(crate) fn holds_pkcs7(&self) -> bool {
        match self.kind() {
            Kind::Pkcs7 => true,
            Kind::Certificate => pkcs7::begins(&self.head()),
            _ => false,
        }
    }

    /// The first bytes of the content, as far as they can be decoded.
    fn head(&self) -> Vec<u8> {
        const CHARACTERS: usize = 64;
        let head = self.body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).take(CHARACTERS);
        base64::engine::general_purpose::STANDARD_NO_PAD.decode(head.collect::<Vec<_>>()).unwrap_or_default()
    }

    /// The label, fit for a message.
    fn shown_label(&self) -> String {
        const MAX_SHOWN: usize = 64;
        let label = self.label.get(..self.label.len().min(MAX_SHOWN)).unwrap_or_default();
        String::from_utf8_lossy(label).into_owned()
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
        self.body.split(u8::is_ascii_whitespace).for_each(|part| encoded.extend_from_slice(part));
        let mut decoded = Zeroizing::new(vec![0; base64::decoded_len_estimate(encoded.len())]);
        let length = LENIENT
            .decode_slice(&encoded, &mut decoded)
            .map_err(|_| ReadError::Malformed("a PEM block is not base64"))?;
        decoded.truncate(length);
        Ok(decoded)
    }

    pub(crate) fn certificate(&self, limits: &Limits) -> Result<Certificate, ReadError> {
        // Base64 takes four bytes for three: what is twice too long is not decoded at all.
        limits.check_certificate_length(self.body.len() / 2)?;
        let decoded = self.decode()?;
        let der = match self.kind() {
            Kind::TrustedCertificate => der::Reader::new(&decoded).expect(der::SEQUENCE)?.raw,
            _ => &decoded,
        };
        limits.check_certificate(der)?;
        Certificate::from_der(der)
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
        let length = match memchr::memchr2(b'\n', b'\r', rest) {
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
