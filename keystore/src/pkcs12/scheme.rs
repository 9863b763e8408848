//! The password-based encryptions that PKCS#12 stores use: PBE with SHA-1 (PKCS#12's own) and PBES2.

use super::{
    algorithm,
    kdf::{self, Password, Purpose},
    oid,
};
use crate::{
    Pkcs12Profile, ReadError,
    der::{self, Element},
    limits::Budget,
    random,
};
use aws_lc_rs::{cipher as aes, digest, iv::FixedLength, pbkdf2};
use cbc::cipher::{
    BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt as _, BlockModeEncrypt as _, KeyInit, KeyIvInit as _,
    block_padding::Pkcs7,
};
use std::num::NonZeroU32;
use zeroize::Zeroizing;

/// What Java 8 to 16 write with the legacy algorithms.
const LEGACY_ITERATIONS: u32 = 50_000;
/// What Java 17 and later write.
const MODERN_ITERATIONS: u32 = 10_000;
const SALT_LENGTH: usize = 20;
const AES_BLOCK: usize = 16;
const DES_BLOCK: usize = 8;

/// An encryption that was found in a store, not yet paid for.
pub(super) struct Scheme<'a> {
    derivation: Derivation,
    cipher: Cipher,
    salt: &'a [u8],
    iterations: NonZeroU32,
    /// Only PBES2 writes it down; PKCS#12 derives it.
    iv: &'a [u8],
}

#[derive(Clone, Copy)]
enum Derivation {
    Pkcs12,
    Pbkdf2(pbkdf2::Algorithm),
}

#[derive(Clone, Copy)]
enum Cipher {
    TripleDes,
    TwoKeyTripleDes,
    Rc2 { key: usize },
    Aes(&'static aes::Algorithm, usize),
}

/// Opens an `EncryptedPrivateKeyInfo`.
pub(crate) fn open_sealed(
    sealed: &[u8],
    password: &Password,
    budget: &mut Budget,
) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let mut info = der::Reader::new(sealed).expect(der::SEQUENCE)?.inside();
    let scheme = Scheme::parse(&info.expect(der::SEQUENCE)?)?;
    budget.spend(scheme.iterations())?;
    let plain = scheme.decrypt(info.expect(der::OCTET_STRING)?.value, password)?;
    // A wrong password passes for padding once in 256 times: the content has to look like a key too.
    let mut reader = der::Reader::new(&plain);
    match reader.expect(der::SEQUENCE) {
        Ok(_) if reader.is_empty() => Ok(plain),
        _ => Err(ReadError::BadPassword),
    }
}

/// Seals a key as `EncryptedPrivateKeyInfo`.
pub(crate) fn seal(pkcs8: &[u8], password: &Password, profile: Pkcs12Profile) -> Vec<u8> {
    let (algorithm, sealed) = encrypt(pkcs8, password, profile);
    der::encode(der::SEQUENCE, &[&algorithm, &der::encode(der::OCTET_STRING, &[&sealed])])
}

/// Which profile a key was sealed with.
pub(super) fn profile_of_sealed(sealed: &[u8]) -> Option<Pkcs12Profile> {
    let mut info = der::Reader::new(sealed).expect(der::SEQUENCE).ok()?.inside();
    Some(Scheme::parse(&info.expect(der::SEQUENCE).ok()?).ok()?.profile())
}

/// Encrypts; gives the `AlgorithmIdentifier` and the content.
pub(super) fn encrypt(plain: &[u8], password: &Password, profile: Pkcs12Profile) -> (Vec<u8>, Vec<u8>) {
    let salt: [u8; SALT_LENGTH] = random::bytes();
    let iv: [u8; AES_BLOCK] = random::bytes();
    let (iterations, derivation, cipher) = match profile {
        Pkcs12Profile::Legacy => (LEGACY_ITERATIONS, Derivation::Pkcs12, Cipher::TripleDes),
        Pkcs12Profile::Modern => {
            let cipher = Cipher::Aes(&aes::AES_256, AES_256_KEY);
            (MODERN_ITERATIONS, Derivation::Pbkdf2(pbkdf2::PBKDF2_HMAC_SHA256), cipher)
        }
    };
    let iterations = NonZeroU32::new(iterations).expect("the profiles' round counts are not zero");
    let scheme = Scheme { derivation, cipher, salt: &salt, iterations, iv: &iv };
    let content = scheme.encrypt(plain, password);

    let salt = der::encode(der::OCTET_STRING, &[&salt]);
    let rounds = der::encode_unsigned(u64::from(iterations.get()));
    let algorithm = match profile {
        Pkcs12Profile::Legacy => identifier(oid::PBE_SHA1_3DES, &der::encode(der::SEQUENCE, &[&salt, &rounds])),
        Pkcs12Profile::Modern => {
            let prf = identifier(oid::HMAC_SHA256, &der::encode(der::NULL, &[]));
            // The key's length may be left out, but Java before 8u301 wants it.
            let length = der::encode_unsigned(AES_256_KEY as u64);
            let kdf = identifier(oid::PBKDF2, &der::encode(der::SEQUENCE, &[&salt, &rounds, &length, &prf]));
            let cipher = identifier(oid::AES_256_CBC, &der::encode(der::OCTET_STRING, &[&iv]));
            identifier(oid::PBES2, &der::encode(der::SEQUENCE, &[&kdf, &cipher]))
        }
    };
    (algorithm, content)
}

/// Writes an `AlgorithmIdentifier`.
pub(super) fn identifier(oid: &[u8], parameters: &[u8]) -> Vec<u8> {
    der::encode(der::SEQUENCE, &[&der::encode(der::OID, &[oid]), parameters])
}

/// The rounds of a derivation; none at all is no derivation.
pub(super) fn rounds(reader: &mut der::Reader<'_>) -> Result<NonZeroU32, ReadError> {
    // What does not fit is far over every limit; the largest number that fits is too.
    let found = u32::try_from(reader.unsigned()?).unwrap_or(u32::MAX);
    NonZeroU32::new(found).ok_or(ReadError::Malformed("a key derivation has no rounds"))
}

pub(super) fn unsupported(oid: &[u8]) -> ReadError {
    ReadError::UnsupportedAlgorithm(algorithm::name(oid))
}

/// PBKDF2's parameters: pseudo-random function, salt, rounds.
pub(super) fn pbkdf2_parameters<'a>(
    algorithm: &Element<'a>,
) -> Result<(pbkdf2::Algorithm, &'a [u8], NonZeroU32), ReadError> {
    let mut fields = algorithm.inside();
    match fields.expect(der::OID)?.value {
        oid::PBKDF2 => {}
        other => return Err(unsupported(other)),
    }
    let mut parameters = fields.expect(der::SEQUENCE)?.inside();
    let salt = parameters.expect(der::OCTET_STRING)?.value;
    let iterations = rounds(&mut parameters)?;
    parameters.optional(der::INTEGER)?;
    let prf = match parameters.optional(der::SEQUENCE)? {
        None => pbkdf2::PBKDF2_HMAC_SHA1,
        Some(prf) => match prf.inside().expect(der::OID)?.value {
            oid::HMAC_SHA1 => pbkdf2::PBKDF2_HMAC_SHA1,
            oid::HMAC_SHA256 => pbkdf2::PBKDF2_HMAC_SHA256,
            oid::HMAC_SHA384 => pbkdf2::PBKDF2_HMAC_SHA384,
            oid::HMAC_SHA512 => pbkdf2::PBKDF2_HMAC_SHA512,
            other => return Err(unsupported(other)),
        },
    };
    Ok((prf, salt, iterations))
}

const AES_256_KEY: usize = 32;

impl<'a> Scheme<'a> {
    /// Parses an `AlgorithmIdentifier`.
    pub(super) fn parse(algorithm: &Element<'a>) -> Result<Self, ReadError> {
        let mut fields = algorithm.inside();
        let cipher = match fields.expect(der::OID)?.value {
            oid::PBES2 => return Self::parse_pbes2(&fields.expect(der::SEQUENCE)?),
            oid::PBE_SHA1_3DES => Cipher::TripleDes,
            oid::PBE_SHA1_2DES => Cipher::TwoKeyTripleDes,
            oid::PBE_SHA1_RC2_128 => Cipher::Rc2 { key: 16 },
            oid::PBE_SHA1_RC2_40 => Cipher::Rc2 { key: 5 },
            other => return Err(unsupported(other)),
        };
        let mut parameters = fields.expect(der::SEQUENCE)?.inside();
        let salt = parameters.expect(der::OCTET_STRING)?.value;
        let iterations = rounds(&mut parameters)?;
        Ok(Self { derivation: Derivation::Pkcs12, cipher, salt, iterations, iv: &[] })
    }

    fn parse_pbes2(parameters: &Element<'a>) -> Result<Self, ReadError> {
        let mut fields = parameters.inside();
        let (prf, salt, iterations) = pbkdf2_parameters(&fields.expect(der::SEQUENCE)?)?;
        let mut encryption = fields.expect(der::SEQUENCE)?.inside();
        let cipher = match encryption.expect(der::OID)?.value {
            oid::AES_128_CBC => Cipher::Aes(&aes::AES_128, 16),
            oid::AES_192_CBC => Cipher::Aes(&aes::AES_192, 24),
            oid::AES_256_CBC => Cipher::Aes(&aes::AES_256, AES_256_KEY),
            oid::DES_EDE3_CBC => Cipher::TripleDes,
            other => return Err(unsupported(other)),
        };
        let iv = encryption.expect(der::OCTET_STRING)?.value;
        let length = if matches!(cipher, Cipher::Aes(..)) { AES_BLOCK } else { DES_BLOCK };
        if iv.len() != length {
            return Err(ReadError::Malformed("an initialisation vector has a wrong length"));
        }
        Ok(Self { derivation: Derivation::Pbkdf2(prf), cipher, salt, iterations, iv })
    }

    pub(super) fn iterations(&self) -> u64 {
        u64::from(self.iterations.get())
    }

    pub(super) fn profile(&self) -> Pkcs12Profile {
        match self.derivation {
            Derivation::Pkcs12 => Pkcs12Profile::Legacy,
            Derivation::Pbkdf2(_) => Pkcs12Profile::Modern,
        }
    }

    pub(super) fn decrypt(&self, content: &[u8], password: &Password) -> Result<Zeroizing<Vec<u8>>, ReadError> {
        let (key, iv) = self.key_and_iv(password);
        let mut buffer = Zeroizing::new(content.to_vec());
        let length = match self.cipher {
            Cipher::TripleDes | Cipher::TwoKeyTripleDes => decrypt_blocks::<des::TdesEde3>(&key, &iv, &mut buffer),
            Cipher::Rc2 { .. } => decrypt_blocks::<rc2::Rc2>(&key, &iv, &mut buffer),
            Cipher::Aes(algorithm, _) => decrypt_aes(algorithm, &key, &iv, &mut buffer),
        };
        buffer.truncate(length.ok_or(ReadError::BadPassword)?);
        Ok(buffer)
    }

    fn encrypt(&self, plain: &[u8], password: &Password) -> Vec<u8> {
        let (key, iv) = self.key_and_iv(password);
        match self.cipher {
            Cipher::TripleDes | Cipher::TwoKeyTripleDes => encrypt_blocks::<des::TdesEde3>(&key, &iv, plain),
            Cipher::Rc2 { .. } => encrypt_blocks::<rc2::Rc2>(&key, &iv, plain),
            Cipher::Aes(algorithm, _) => encrypt_aes(algorithm, &key, &iv, plain),
        }
    }

    fn key_and_iv(&self, password: &Password) -> (Zeroizing<Vec<u8>>, Vec<u8>) {
        let length = match self.cipher {
            Cipher::TripleDes => 24,
            Cipher::TwoKeyTripleDes => 16,
            Cipher::Rc2 { key } | Cipher::Aes(_, key) => key,
        };
        let mut key = Zeroizing::new(vec![0; length]);
        let mut iv = self.iv.to_vec();
        match self.derivation {
            Derivation::Pkcs12 => {
                let sha1 = &digest::SHA1_FOR_LEGACY_USE_ONLY;
                kdf::derive(sha1, Purpose::Key, password, self.salt, self.iterations.get(), &mut key);
                iv.resize(DES_BLOCK, 0);
                kdf::derive(sha1, Purpose::Iv, password, self.salt, self.iterations.get(), &mut iv);
                iv.truncate(DES_BLOCK);
            }
            Derivation::Pbkdf2(prf) => pbkdf2::derive(prf, self.iterations, self.salt, password.utf8(), &mut key),
        }
        if matches!(self.cipher, Cipher::TwoKeyTripleDes) {
            let first = Zeroizing::new(key[..8].to_vec());
            key = Zeroizing::new([key.as_slice(), &first].concat());
        }
        (key, iv)
    }
}

fn decrypt_blocks<C: KeyInit + BlockCipherDecrypt>(key: &[u8], iv: &[u8], buffer: &mut [u8]) -> Option<usize> {
    let cipher = cbc::Decryptor::<C>::new_from_slices(key, iv).ok()?;
    cipher.decrypt_padded::<Pkcs7>(buffer).ok().map(<[u8]>::len)
}

fn encrypt_blocks<C: KeyInit + BlockCipherEncrypt>(key: &[u8], iv: &[u8], plain: &[u8]) -> Vec<u8> {
    cbc::Encryptor::<C>::new_from_slices(key, iv)
        .expect("the key and IV were derived in the cipher's own lengths")
        .encrypt_padded_vec::<Pkcs7>(plain)
}

fn decrypt_aes(algorithm: &'static aes::Algorithm, key: &[u8], iv: &[u8], buffer: &mut [u8]) -> Option<usize> {
    let key = aes::PaddedBlockDecryptingKey::cbc_pkcs7(aes::UnboundCipherKey::new(algorithm, key).ok()?).ok()?;
    let iv = FixedLength::<AES_BLOCK>::try_from(iv).ok()?;
    key.decrypt(buffer, aes::DecryptionContext::Iv128(iv)).ok().map(|plain| plain.len())
}

fn encrypt_aes(algorithm: &'static aes::Algorithm, key: &[u8], iv: &[u8], plain: &[u8]) -> Vec<u8> {
    const FITS: &str = "the key and IV were derived in the cipher's own lengths";
    let key = aes::UnboundCipherKey::new(algorithm, key).expect(FITS);
    let key = aes::PaddedBlockEncryptingKey::cbc_pkcs7(key).expect(FITS);
    let iv = FixedLength::<AES_BLOCK>::try_from(iv).expect(FITS);
    // Room for the padding, so that no plaintext is left behind by a reallocation; then it is encrypted in place.
    let mut buffer = Vec::with_capacity(plain.len() + AES_BLOCK);
    buffer.extend_from_slice(plain);
    key.less_safe_encrypt(&mut buffer, aes::EncryptionContext::Iv128(iv)).expect(FITS);
    buffer
}
