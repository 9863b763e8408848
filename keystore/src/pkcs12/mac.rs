//! The MAC over a PKCS#12: the traditional one, and PBMAC1 (RFC 9579) which newer Java and OpenSSL write.

use super::{
    kdf::{self, Password, Purpose},
    oid, scheme,
};
use crate::{Pkcs12Profile, ReadError, der, random};
use aws_lc_rs::{digest, hmac, pbkdf2};
use std::num::NonZeroU32;
use zeroize::Zeroizing;

/// What Java 8 to 16 write for the MAC.
const LEGACY_ITERATIONS: u32 = 100_000;
/// What Java 17 and later write.
const MODERN_ITERATIONS: u32 = 10_000;
const SALT_LENGTH: usize = 20;

/// A MAC that was found in a store, not yet paid for.
pub(super) struct Mac<'a> {
    derivation: Derivation,
    hmac: hmac::Algorithm,
    salt: &'a [u8],
    iterations: NonZeroU32,
    tag: &'a [u8],
}

enum Derivation {
    Pkcs12(&'static digest::Algorithm),
    Pbkdf2(pbkdf2::Algorithm),
}

impl<'a> Mac<'a> {
    /// Parses `MacData`.
    pub(super) fn parse(element: &der::Element<'a>) -> Result<Self, ReadError> {
        let mut fields = element.inside();
        let mut digest_info = fields.expect(der::SEQUENCE)?.inside();
        let mut algorithm = digest_info.expect(der::SEQUENCE)?.inside();
        let tag = digest_info.expect(der::OCTET_STRING)?.value;
        let salt = fields.expect(der::OCTET_STRING)?.value;
        let iterations = if fields.is_empty() { NonZeroU32::MIN } else { scheme::rounds(&mut fields)? };
        let (hash, hmac) = match algorithm.expect(der::OID)?.value {
            oid::PBMAC1 => return Self::parse_pbmac1(&algorithm.expect(der::SEQUENCE)?, tag),
            oid::SHA1 => (&digest::SHA1_FOR_LEGACY_USE_ONLY, hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
            oid::SHA224 => (&digest::SHA224, hmac::HMAC_SHA224),
            oid::SHA256 => (&digest::SHA256, hmac::HMAC_SHA256),
            oid::SHA384 => (&digest::SHA384, hmac::HMAC_SHA384),
            oid::SHA512 => (&digest::SHA512, hmac::HMAC_SHA512),
            other => return Err(scheme::unsupported(other)),
        };
        Ok(Self { derivation: Derivation::Pkcs12(hash), hmac, salt, iterations, tag })
    }

    fn parse_pbmac1(parameters: &der::Element<'a>, tag: &'a [u8]) -> Result<Self, ReadError> {
        let mut fields = parameters.inside();
        let (prf, salt, iterations) = scheme::pbkdf2_parameters(&fields.expect(der::SEQUENCE)?)?;
        let hmac = match fields.expect(der::SEQUENCE)?.inside().expect(der::OID)?.value {
            oid::HMAC_SHA256 => hmac::HMAC_SHA256,
            oid::HMAC_SHA384 => hmac::HMAC_SHA384,
            oid::HMAC_SHA512 => hmac::HMAC_SHA512,
            other => return Err(scheme::unsupported(other)),
        };
        Ok(Self { derivation: Derivation::Pbkdf2(prf), hmac, salt, iterations, tag })
    }

    pub(super) fn iterations(&self) -> u64 {
        u64::from(self.iterations.get())
    }

    pub(super) fn profile(&self) -> Pkcs12Profile {
        if self.hmac == hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY { Pkcs12Profile::Legacy } else { Pkcs12Profile::Modern }
    }

    pub(super) fn agrees_with(&self, password: &Password, content: &[u8]) -> bool {
        hmac::verify(&self.key(password), content, self.tag).is_ok()
    }

    fn key(&self, password: &Password) -> hmac::Key {
        let mut key = Zeroizing::new(vec![0; self.hmac.digest_algorithm().output_len()]);
        match self.derivation {
            Derivation::Pkcs12(hash) => {
                kdf::derive(hash, Purpose::Mac, password, self.salt, self.iterations.get(), &mut key);
            }
            Derivation::Pbkdf2(prf) => pbkdf2::derive(prf, self.iterations, self.salt, password.utf8(), &mut key),
        }
        hmac::Key::new(self.hmac, &key)
    }
}

/// Writes the `MacData` for `content`.
pub(super) fn write(content: &[u8], password: &Password, profile: Pkcs12Profile) -> Vec<u8> {
    let salt: [u8; SALT_LENGTH] = random::bytes();
    let (hash_oid, hash, hmac, iterations) = match profile {
        Pkcs12Profile::Legacy => {
            let sha1 = &digest::SHA1_FOR_LEGACY_USE_ONLY;
            (oid::SHA1, sha1, hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, LEGACY_ITERATIONS)
        }
        Pkcs12Profile::Modern => (oid::SHA256, &digest::SHA256, hmac::HMAC_SHA256, MODERN_ITERATIONS),
    };
    let iterations = NonZeroU32::new(iterations).expect("the profiles' round counts are not zero");
    let mac = Mac { derivation: Derivation::Pkcs12(hash), hmac, salt: &salt, iterations, tag: &[] };
    let tag = hmac::sign(&mac.key(password), content);
    let algorithm = scheme::identifier(hash_oid, &der::encode(der::NULL, &[]));
    let digest_info = der::encode(der::SEQUENCE, &[&algorithm, &der::encode(der::OCTET_STRING, &[tag.as_ref()])]);
    let salt = der::encode(der::OCTET_STRING, &[&salt]);
    der::encode(der::SEQUENCE, &[&digest_info, &salt, &der::encode_unsigned(u64::from(iterations.get()))])
}
