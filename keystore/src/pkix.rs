//! Tells the structures of PKIX apart, by the first of their content.

use crate::{Content, Foreign, der};

/// The content of the OID of `SignedData`, with its tag and length left out.
pub(crate) const SIGNED_DATA: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x02];

/// What a DER file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Der {
    Certificate,
    SignedData,
    Content(Content),
    Foreign(Foreign),
}

/// The tags and the first content that tell the structures of PKIX apart; `None` for what is none of them. What is as good as
/// a certificate is taken for one, so that its reader says what is wrong with it.
pub(crate) fn of_der(bytes: &[u8]) -> Option<Der> {
    const PKCS7: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07];
    let inside = within(bytes)?;
    let (first, second) = (inside.first()?, inside.get(1).map(|element| element.tag));
    Some(match first.tag {
        der::OID if first.value == SIGNED_DATA => Der::SignedData,
        der::OID if first.value.starts_with(PKCS7) => Der::Foreign(Foreign::Pkcs7),
        der::SEQUENCE => in_sequence(first.raw, second),
        der::INTEGER => match second {
            // PKCS#8.
            Some(der::SEQUENCE) => Der::Content(Content::PrivateKey),
            // SEC1.
            Some(der::OCTET_STRING) => Der::Content(Content::PrivateKey),
            // PKCS#1: a private key has nine numbers, a public one two.
            Some(der::INTEGER) if inside.len() > 2 => Der::Content(Content::PrivateKey),
            Some(der::INTEGER) => Der::Content(Content::PublicKey),
            _ => return None,
        },
        _ => return None,
    })
}

fn in_sequence(first: &[u8], second: Option<u8>) -> Der {
    const TBS: usize = 4;
    let inside = within(first).unwrap_or_default();
    let tags: Vec<u8> = inside.iter().take(TBS).map(|element| element.tag).collect();
    let is_zero = inside.first().is_some_and(|version| version.value == [0]);
    match (second, tags.as_slice()) {
        (Some(der::BIT_STRING), [der::OID, ..]) => Der::Content(Content::PublicKey),
        (Some(der::OCTET_STRING), [der::OID, ..]) => Der::Content(Content::EncryptedKey),
        // A revocation list has a time where a certificate has its issuer or its validity.
        (
            _,
            [der::INTEGER, der::SEQUENCE, der::SEQUENCE, der::UTC_TIME | der::GENERALIZED_TIME]
            | [der::SEQUENCE, der::SEQUENCE, der::UTC_TIME | der::GENERALIZED_TIME, ..],
        ) => Der::Content(Content::RevocationList),
        // A request has its key where a certificate of version 1 has its issuer.
        (_, [der::INTEGER, der::SEQUENCE, der::SEQUENCE, attributes]) if is_zero && *attributes == der::context(0) => {
            Der::Content(Content::Request)
        }
        (_, [der::INTEGER, der::SEQUENCE, der::SEQUENCE]) if is_zero => Der::Content(Content::Request),
        (_, [der::SEQUENCE, der::OCTET_STRING]) => Der::Foreign(Foreign::Bcfks),
        _ => Der::Certificate,
    }
}

/// The first elements inside the outermost one, as far as they can be read; `None` when it is no SEQUENCE or of indefinite
/// length.
fn within(bytes: &[u8]) -> Option<Vec<der::Element<'_>>> {
    const LOOKED_AT: usize = 4;
    let mut reader = der::Reader::new(bytes).expect(der::SEQUENCE).ok()?.inside();
    Some(std::iter::from_fn(|| (!reader.is_empty()).then(|| reader.element().ok())?).take(LOOKED_AT).collect())
}
