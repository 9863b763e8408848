//! Whether a private key is the one of a certificate.

use crate::{Certificate, ReadError, der};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256K1_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING,
    ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaKeyPair,
};

/// 1.2.840.113549.1.1.1
const RSA: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01];
/// 1.2.840.10045.2.1
const EC: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01];
/// 1.3.101.112
const ED25519: &[u8] = &[0x2B, 0x65, 0x70];
const CURVES: [&EcdsaSigningAlgorithm; 4] = [
    &ECDSA_P256_SHA256_ASN1_SIGNING,
    &ECDSA_P384_SHA384_ASN1_SIGNING,
    &ECDSA_P521_SHA512_ASN1_SIGNING,
    &ECDSA_P256K1_SHA256_ASN1_SIGNING,
];

/// A private key in one of the encodings that files have.
#[derive(Clone, Copy)]
pub(crate) enum Encoded<'a> {
    Pkcs8(&'a [u8]),
    /// PKCS#1, `BEGIN RSA PRIVATE KEY`.
    Rsa(&'a [u8]),
    /// SEC1, `BEGIN EC PRIVATE KEY`.
    Ec(&'a [u8]),
}

/// Fails unless the key's public half is the certificate's.
pub(crate) fn check(key: Encoded<'_>, certificate: &Certificate) -> Result<(), ReadError> {
    let public = public_half(key)?;
    if public == certificate.public_key() { Ok(()) } else { Err(ReadError::KeyMismatch) }
}

fn public_half(key: Encoded<'_>) -> Result<Vec<u8>, ReadError> {
    let public = match key {
        Encoded::Rsa(der) => RsaKeyPair::from_der(der).ok().map(|pair| pair.public_key().as_ref().to_vec()),
        Encoded::Ec(der) => on_some_curve(|curve| EcdsaKeyPair::from_private_key_der(curve, der).ok()),
        Encoded::Pkcs8(der) => match algorithm(der)? {
            RSA => RsaKeyPair::from_pkcs8(der).ok().map(|pair| pair.public_key().as_ref().to_vec()),
            EC => on_some_curve(|curve| EcdsaKeyPair::from_pkcs8(curve, der).ok()),
            ED25519 => {
                Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok().map(|pair| pair.public_key().as_ref().to_vec())
            }
            _ => None,
        },
    };
    public.ok_or(ReadError::UnsupportedFormat(
        "the private key (RSA of 2048 to 8192 bits, P-256, P-384, P-521 and Ed25519 are); it",
    ))
}

fn algorithm(pkcs8: &[u8]) -> Result<&[u8], ReadError> {
    let mut info = der::Reader::new(pkcs8).expect(der::SEQUENCE)?.inside();
    info.expect(der::INTEGER)?;
    Ok(info.expect(der::SEQUENCE)?.inside().expect(der::OID)?.value)
}

fn on_some_curve(open: impl Fn(&'static EcdsaSigningAlgorithm) -> Option<EcdsaKeyPair>) -> Option<Vec<u8>> {
    CURVES.into_iter().find_map(open).map(|pair| pair.public_key().as_ref().to_vec())
}

/// The certificate that the key belongs to.
pub(crate) fn find<'c>(
    key: Encoded<'_>,
    certificates: impl IntoIterator<Item = &'c Certificate>,
) -> Result<&'c Certificate, ReadError> {
    let public = public_half(key)?;
    certificates.into_iter().find(|one| one.public_key() == public).ok_or(ReadError::KeyMismatch)
}
