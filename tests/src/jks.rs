//! A JKS store opened in microseconds, by code that shares nothing with the product's, where a sweep cannot wait for a
//! JVM hundreds of times. Only what the tests' own stores hold is understood.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use aws_lc_rs::digest::{Context as Digest, SHA1_FOR_LEGACY_USE_ONLY};

const MAGIC: u32 = 0xFEED_FEED;
const VERSION: u32 = 2;
/// Part of the format.
const WHITENER: &[u8] = b"Mighty Aphrodite";
const SHA1_BYTES: usize = 20;

/// An entry, DER.
#[derive(Clone, PartialEq, Eq)]
pub enum Entry {
    Key { pkcs8: Vec<u8>, chain: Vec<Vec<u8>> },
    Trusted(Vec<u8>),
}

/// Opens a store and every key in it with the one password, as a JSSE service does.
pub fn open(bytes: &[u8], password: &str) -> Result<BTreeMap<String, Entry>> {
    let password: Vec<u8> = password.encode_utf16().flat_map(u16::to_be_bytes).collect();
    ensure!(bytes.len() > SHA1_BYTES, "{} bytes are no store", bytes.len());
    let (body, digest) = bytes.split_at(bytes.len() - SHA1_BYTES);
    ensure!(sha1(&[&password, WHITENER, body]) == digest, "it does not open with this password");

    let mut rest = Cursor(body);
    ensure!((rest.u32()?, rest.u32()?) == (MAGIC, VERSION), "no JKS store");
    let mut entries = BTreeMap::new();
    for _ in 0..rest.u32()? {
        let tag = rest.u32()?;
        let alias = rest.text()?;
        rest.take(8).context("its date")?;
        let entry = match tag {
            1 => {
                let pkcs8 = unseal(rest.block()?, &password).with_context(|| format!("the key under {alias}"))?;
                let chain = (0..rest.u32()?).map(|_| rest.certificate()).collect::<Result<_>>()?;
                Entry::Key { pkcs8, chain }
            }
            2 => Entry::Trusted(rest.certificate()?),
            other => bail!("an entry of kind {other}"),
        };
        entries.insert(alias, entry);
    }
    ensure!(rest.0.is_empty(), "{} bytes behind the last entry", rest.0.len());
    Ok(entries)
}

/// The key protector of the format: a stream of chained SHA-1, and a check of what comes out.
fn unseal(info: &[u8], password: &[u8]) -> Result<Vec<u8>> {
    let mut outer = Cursor(Cursor(info).tlv(0x30)?);
    outer.tlv(0x30).context("the algorithm")?;
    let sealed = outer.tlv(0x04)?;
    ensure!(sealed.len() > 2 * SHA1_BYTES, "too short");
    let (salt, sealed) = sealed.split_at(SHA1_BYTES);
    let (sealed, check) = sealed.split_at(sealed.len() - SHA1_BYTES);
    let mut stream = salt.to_vec();
    let mut plain = Vec::with_capacity(sealed.len());
    for block in sealed.chunks(SHA1_BYTES) {
        stream = sha1(&[password, &stream]);
        plain.extend(block.iter().zip(&stream).map(|(a, b)| a ^ b));
    }
    ensure!(sha1(&[password, &plain]) == check, "it does not open with the store's password");
    Ok(plain)
}

fn sha1(parts: &[&[u8]]) -> Vec<u8> {
    let mut digest = Digest::new(&SHA1_FOR_LEGACY_USE_ONLY);
    parts.iter().for_each(|part| digest.update(part));
    digest.finish().as_ref().to_vec()
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).context("it ends early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_be_bytes(self.take(4)?.try_into()?))
    }

    fn text(&mut self) -> Result<String> {
        let length = u16::from_be_bytes(self.take(2)?.try_into()?);
        Ok(String::from_utf8(self.take(length.into())?.to_vec())?)
    }

    fn block(&mut self) -> Result<&'a [u8]> {
        let length = self.u32()?;
        self.take(length.try_into()?)
    }

    fn certificate(&mut self) -> Result<Vec<u8>> {
        ensure!(self.text()? == "X.509", "a certificate of another kind");
        Ok(self.block()?.to_vec())
    }

    /// The contents of a DER element.
    fn tlv(&mut self, tag: u8) -> Result<&'a [u8]> {
        ensure!(self.take(1)? == [tag], "not the element expected");
        let first = self.take(1)?[0];
        let length = if first < 0x80 {
            usize::from(first)
        } else {
            self.take(usize::from(first & 0x7F))?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
        };
        self.take(length)
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Key { .. } => "Key",
            Self::Trusted(_) => "Trusted",
        })
    }
}
