//! The object identifiers of PKCS#12 and PBES2: the content of the OID element.

macro_rules! pkcs {
    ($($arc:literal),+) => { &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, $($arc),+] };
}

pub(super) const DATA: &[u8] = pkcs!(7, 1);
pub(super) const ENCRYPTED_DATA: &[u8] = pkcs!(7, 6);

pub(super) const KEY_BAG: &[u8] = pkcs!(12, 10, 1, 1);
pub(super) const SHROUDED_KEY_BAG: &[u8] = pkcs!(12, 10, 1, 2);
pub(super) const CERT_BAG: &[u8] = pkcs!(12, 10, 1, 3);
pub(super) const SECRET_BAG: &[u8] = pkcs!(12, 10, 1, 5);
pub(super) const SAFE_CONTENTS_BAG: &[u8] = pkcs!(12, 10, 1, 6);
pub(super) const X509_CERTIFICATE: &[u8] = pkcs!(9, 22, 1);

pub(super) const FRIENDLY_NAME: &[u8] = pkcs!(9, 20);
pub(super) const LOCAL_KEY_ID: &[u8] = pkcs!(9, 21);
/// 2.16.840.1.113894.746875.1.1: without it Java does not take a certificate for trusted.
pub(super) const TRUSTED_KEY_USAGE: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x86, 0xF9, 0x66, 0xAD, 0xCA, 0x7B, 0x01, 0x01];
pub(super) const ANY_EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1D, 0x25, 0x00];

pub(super) const PBE_SHA1_3DES: &[u8] = pkcs!(12, 1, 3);
pub(super) const PBE_SHA1_2DES: &[u8] = pkcs!(12, 1, 4);
pub(super) const PBE_SHA1_RC2_128: &[u8] = pkcs!(12, 1, 5);
pub(super) const PBE_SHA1_RC2_40: &[u8] = pkcs!(12, 1, 6);
pub(super) const PBKDF2: &[u8] = pkcs!(5, 12);
pub(super) const PBES2: &[u8] = pkcs!(5, 13);
pub(super) const PBMAC1: &[u8] = pkcs!(5, 14);

pub(super) const HMAC_SHA1: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x02, 7];
pub(super) const HMAC_SHA256: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x02, 9];
pub(super) const HMAC_SHA384: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x02, 10];
pub(super) const HMAC_SHA512: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x02, 11];
pub(super) const DES_EDE3_CBC: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x03, 7];
pub(super) const AES_128_CBC: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 2];
pub(super) const AES_192_CBC: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 22];
pub(super) const AES_256_CBC: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 42];

pub(super) const SHA1: &[u8] = &[0x2B, 0x0E, 0x03, 0x02, 0x1A];
pub(super) const SHA224: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 4];
pub(super) const SHA256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 1];
pub(super) const SHA384: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 2];
pub(super) const SHA512: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 3];
