//! How Java seals the keys of JKS and JCEKS, and the digest over the whole store.

use crate::{ReadError, der, limits::Budget, random};
use aws_lc_rs::{constant_time, digest};
use cbc::cipher::{BlockModeDecrypt as _, BlockModeEncrypt as _, KeyIvInit as _, block_padding::Pkcs7};
use md5::{Digest as _, Md5};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::{Zeroize as _, Zeroizing};

/// 1.3.6.1.4.1.42.2.17.1.1, the key protector of JKS.
const JKS_PROTECTOR: &[u8] = &[0x2B, 0x06, 0x01, 0x04, 0x01, 0x2A, 0x02, 0x11, 0x01, 0x01];
/// 1.3.6.1.4.1.42.2.19.1, PBEWithMD5AndTripleDES, the key protector of JCEKS.
const JCEKS_PROTECTOR: &[u8] = &[0x2B, 0x06, 0x01, 0x04, 0x01, 0x2A, 0x02, 0x13, 0x01];
const WHITENER: &[u8] = b"Mighty Aphrodite";
const SHA1_LENGTH: usize = 20;
/// What Java writes since 8u171.
const JCEKS_ITERATIONS: u32 = 200_000;
const JCEKS_SALT: usize = 8;

/// The digest that ends a store.
pub(super) fn store_digest(password: &SecretString, covered: &[u8]) -> [u8; SHA1_LENGTH] {
    sha1(&[&utf16(password), WHITENER, covered])
}

pub(super) fn digest_matches(password: &SecretString, covered: &[u8], found: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(&store_digest(password, covered), found).is_ok()
}

/// Opens a sealed key (`EncryptedPrivateKeyInfo`); the result is PKCS#8.
pub(crate) fn open(
    sealed: &[u8],
    password: &SecretString,
    budget: &mut Budget,
) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let mut info = der::Reader::new(sealed).expect(der::SEQUENCE)?.inside();
    let mut algorithm = info.expect(der::SEQUENCE)?.inside();
    let oid = algorithm.expect(der::OID)?.value;
    let content = info.expect(der::OCTET_STRING)?.value;
    let plain = match oid {
        JKS_PROTECTOR => open_jks(content, password)?,
        JCEKS_PROTECTOR => {
            let mut parameters = algorithm.expect(der::SEQUENCE)?.inside();
            let salt = parameters.expect(der::OCTET_STRING)?.value;
            let iterations = parameters.unsigned()?;
            budget.spend(iterations)?;
            open_jceks(content, password, salt, u32::try_from(iterations).unwrap_or(u32::MAX))?
        }
        _ => return Err(ReadError::UnsupportedFormat("the algorithm that seals the key")),
    };
    // A wrong password passes for the padding of JCEKS once in 256 times: the content has to look like a key too.
    let mut reader = der::Reader::new(&plain);
    match reader.expect(der::SEQUENCE) {
        Ok(_) if reader.is_empty() => Ok(plain),
        _ => Err(ReadError::BadPassword),
    }
}

/// Seals a PKCS#8 key as JKS does: an XOR with a chain of SHA-1, and a check value.
pub(super) fn seal_jks(pkcs8: &[u8], password: &SecretString) -> Vec<u8> {
    let password = utf16(password);
    let salt: [u8; SHA1_LENGTH] = random::bytes();
    let sealed = xor_with_chain(pkcs8, &password, &salt);
    let check = sha1(&[&password, pkcs8]);
    let content = der::encode(der::OCTET_STRING, &[&salt, &sealed, &check]);
    let algorithm =
        der::encode(der::SEQUENCE, &[&der::encode(der::OID, &[JKS_PROTECTOR]), &der::encode(der::NULL, &[])]);
    der::encode(der::SEQUENCE, &[&algorithm, &content])
}

/// Seals a PKCS#8 key as JCEKS does.
pub(super) fn seal_jceks(pkcs8: &[u8], password: &SecretString) -> Result<Vec<u8>, ReadError> {
    let mut salt: [u8; JCEKS_SALT] = random::bytes();
    while salt[..4] == salt[4..] {
        salt = random::bytes();
    }
    let (key, iv) = jceks_key(password, &salt, JCEKS_ITERATIONS)?;
    let cipher = cbc::Encryptor::<des::TdesEde3>::new_from_slices(key.as_ref(), iv.as_ref())
        .expect("24 bytes of key and 8 of IV are what triple DES takes");
    let sealed = cipher.encrypt_padded_vec::<Pkcs7>(pkcs8);
    let parameters = der::encode(
        der::SEQUENCE,
        &[&der::encode(der::OCTET_STRING, &[&salt]), &der::encode_unsigned(u64::from(JCEKS_ITERATIONS))],
    );
    let algorithm = der::encode(der::SEQUENCE, &[&der::encode(der::OID, &[JCEKS_PROTECTOR]), &parameters]);
    Ok(der::encode(der::SEQUENCE, &[&algorithm, &der::encode(der::OCTET_STRING, &[&sealed])]))
}

fn open_jks(content: &[u8], password: &SecretString) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let cut_short = ReadError::Malformed("a sealed key is too short");
    let (salt, rest) = content.split_at_checked(SHA1_LENGTH).ok_or(cut_short.clone())?;
    let (sealed, check) = rest.len().checked_sub(SHA1_LENGTH).map(|at| rest.split_at(at)).ok_or(cut_short)?;
    let password = utf16(password);
    let plain = xor_with_chain(sealed, &password, salt);
    match constant_time::verify_slices_are_equal(&sha1(&[&password, &plain]), check) {
        Ok(()) => Ok(plain),
        Err(_) => Err(ReadError::BadPassword),
    }
}

fn xor_with_chain(content: &[u8], password: &[u8], salt: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(content.len()));
    let mut link = Zeroizing::new(sha1(&[password, salt]));
    for block in content.chunks(SHA1_LENGTH) {
        out.extend(block.iter().zip(link.iter()).map(|(byte, mask)| byte ^ mask));
        link = Zeroizing::new(sha1(&[password, link.as_ref()]));
    }
    out
}

fn open_jceks(
    content: &[u8],
    password: &SecretString,
    salt: &[u8],
    iterations: u32,
) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let salt: [u8; JCEKS_SALT] =
        salt.try_into().map_err(|_| ReadError::Malformed("the salt of a sealed key has a wrong length"))?;
    let (key, iv) = jceks_key(password, &salt, iterations)?;
    let cipher = cbc::Decryptor::<des::TdesEde3>::new_from_slices(key.as_ref(), iv.as_ref())
        .expect("24 bytes of key and 8 of IV are what triple DES takes");
    let mut buffer = Zeroizing::new(content.to_vec());
    let length = cipher.decrypt_padded::<Pkcs7>(&mut buffer).map_err(|_| ReadError::BadPassword)?.len();
    buffer.truncate(length);
    Ok(buffer)
}

type TripleDesKey = (Zeroizing<[u8; 24]>, Zeroizing<[u8; 8]>);

/// Each half of the salt is hashed with the password again and again; the two results together are key and IV.
fn jceks_key(password: &SecretString, salt: &[u8; JCEKS_SALT], iterations: u32) -> Result<TripleDesKey, ReadError> {
    if salt[..4] == salt[4..] {
        // Java mangles such a salt, differently from version to version; it comes up once in 2^32 stores.
        return Err(ReadError::UnsupportedFormat("a key sealed with a salt of two equal halves"));
    }
    let password = password.expose_secret().as_bytes();
    let mut derived = Zeroizing::new([0; 32]);
    for (half, out) in salt.chunks(4).zip(derived.chunks_mut(16)) {
        let mut link = half.to_vec();
        for _ in 0..iterations {
            let mut hash = Md5::new();
            hash.update(&link);
            hash.update(password);
            link.zeroize();
            link.extend_from_slice(&hash.finalize());
        }
        if link.len() != out.len() {
            return Err(ReadError::Malformed("a key is sealed with no rounds of derivation"));
        }
        out.copy_from_slice(&link);
        link.zeroize();
    }
    let (mut key, mut iv) = (Zeroizing::new([0; 24]), Zeroizing::new([0; 8]));
    key.copy_from_slice(&derived[..24]);
    iv.copy_from_slice(&derived[24..]);
    Ok((key, iv))
}

fn utf16(password: &SecretString) -> Zeroizing<Vec<u8>> {
    let password = password.expose_secret();
    // UTF-16 takes at most twice the bytes of UTF-8: no reallocation leaves a copy behind.
    let mut out = Zeroizing::new(Vec::with_capacity(2 * password.len()));
    for unit in password.encode_utf16() {
        out.extend_from_slice(&unit.to_be_bytes());
    }
    out
}

fn sha1(parts: &[&[u8]]) -> [u8; SHA1_LENGTH] {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; SHA1_LENGTH];
    out.copy_from_slice(context.finish().as_ref());
    out
}
