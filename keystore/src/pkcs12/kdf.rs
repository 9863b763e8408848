//! The key derivation of PKCS#12 (RFC 7292, appendix B), and the two ways a password becomes bytes.

use aws_lc_rs::digest::{self, Algorithm};
use secrecy::{ExposeSecret as _, SecretString};
use std::fmt;
use zeroize::Zeroizing;

/// What is derived: key material of one purpose tells nothing about another's.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    Key = 1,
    Iv = 2,
    Mac = 3,
}

/// A password in the encodings that PKCS#12 (UTF-16BE with its terminator) and PBKDF2 (UTF-8) take.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Password {
    utf16: Zeroizing<Vec<u8>>,
    utf8: Zeroizing<Vec<u8>>,
}

impl Password {
    pub(crate) fn new(password: &SecretString) -> Self {
        let text = password.expose_secret();
        // UTF-16 takes at most twice the bytes of UTF-8, and two for the terminator: no reallocation leaves a copy behind.
        let mut utf16 = Zeroizing::new(Vec::with_capacity(2 * text.len() + 2));
        for unit in text.encode_utf16().chain([0]) {
            utf16.extend_from_slice(&unit.to_be_bytes());
        }
        Self { utf16, utf8: Zeroizing::new(text.as_bytes().to_vec()) }
    }

    /// How the password may have been meant: some tools write an empty one without the terminator.
    pub(crate) fn readings(password: &SecretString) -> Vec<Self> {
        let mut readings = vec![Self::new(password)];
        if password.expose_secret().is_empty() {
            readings.push(Self { utf16: Zeroizing::default(), utf8: Zeroizing::default() });
        }
        readings
    }

    pub(super) fn utf8(&self) -> &[u8] {
        &self.utf8
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Fills `out` from password, salt and rounds.
pub(super) fn derive(
    hash: &'static Algorithm,
    purpose: Purpose,
    password: &Password,
    salt: &[u8],
    rounds: u32,
    out: &mut [u8],
) {
    let block = hash.block_len();
    let diversifier = vec![purpose as u8; block];
    let salt = salt.iter().cycle().take(salt.len().next_multiple_of(block));
    let secret = password.utf16.iter().cycle().take(password.utf16.len().next_multiple_of(block));
    let mut input = Zeroizing::new(Vec::with_capacity(salt.size_hint().0 + secret.size_hint().0));
    input.extend(salt);
    input.extend(secret);

    for piece in out.chunks_mut(hash.output_len()) {
        let mut context = digest::Context::new(hash);
        context.update(&diversifier);
        context.update(&input);
        let mut link = context.finish();
        for _ in 1..rounds {
            link = digest::digest(hash, link.as_ref());
        }
        for (byte, derived) in piece.iter_mut().zip(link.as_ref()) {
            *byte = *derived;
        }
        for part in input.chunks_mut(block) {
            add_one_and(link.as_ref(), part);
        }
    }
}

/// `part = part + repeated + 1`, both taken as one big-endian number, the overflow dropped.
fn add_one_and(repeated: &[u8], part: &mut [u8]) {
    let addend: Zeroizing<Vec<u8>> = Zeroizing::new(repeated.iter().copied().cycle().take(part.len()).collect());
    let mut carry = 1_u16;
    for (byte, add) in part.iter_mut().zip(addend.iter()).rev() {
        let sum = u16::from(*byte) + u16::from(*add) + carry;
        let [high, low] = sum.to_be_bytes();
        *byte = low;
        carry = u16::from(high);
    }
}
