//! Certificate files by the thousand.

use std::fs;
use std::path::Path;

use anyhow::Result;
use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY};
use rcgen::{CertificateParams, DnType, Issuer, KeyPair};

/// In what the certificates lie.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stores {
    /// One per file.
    Pem,
    /// So many key entries per file.
    Jks { entries: u32 },
}

/// The keystore's parts that are the same in each of ours; see `jks::open` for the format.
mod jks {
    pub(super) const MAGIC_AND_VERSION: [u8; 8] = [0xFE, 0xED, 0xFE, 0xED, 0, 0, 0, 2];
    pub(super) const KEY_ENTRY: u32 = 1;
    pub(super) const CREATED: [u8; 8] = [0, 0, 1, 0x8D, 0, 0, 0, 0];
    pub(super) const CERTIFICATE_TYPE: &str = "X.509";
    pub(super) const PASSWORD: &str = "changeit";
    pub(super) const WHITENER: &[u8] = b"Mighty Aphrodite";
    /// An `EncryptedPrivateKeyInfo` up to its content, which is sealed: 138 bytes of a P-256 key, the salt and the check.
    pub(super) const SEALED_HEAD: [u8; 22] = [
        0x30, 0x81, 0xC5, 0x30, 0x0E, 0x06, 0x0A, 0x2B, 0x06, 0x01, 0x04, 0x01, 0x2A, 0x02, 0x11, 0x01, 0x01, 0x05,
        0x00, 0x04, 0x81, 0xB2,
    ];
    pub(super) const SEALED_BYTES: usize = 0xB2;
}

/// Writes so many certificates of one authority below a new directory.
pub(crate) fn plant(directory: &Path, count: u32, stores: Stores) -> Result<()> {
    fs::create_dir_all(directory)?;
    let fleet = Fleet::new()?;
    match stores {
        Stores::Pem => {
            for number in 0..count {
                fs::write(directory.join(format!("host-{number:05}.pem")), fleet.certificate(number)?.pem())?;
            }
        }
        Stores::Jks { entries } => {
            for (store, first) in (0..count).step_by(entries as usize).enumerate() {
                let bytes = keystore(&fleet, first..(first + entries).min(count))?;
                fs::write(directory.join(format!("host-{store:04}.jks")), bytes)?;
            }
        }
    }
    Ok(())
}

struct Fleet {
    authority: Issuer<'static, KeyPair>,
    /// One key for all: nothing that is measured looks at it.
    key: KeyPair,
}

impl Fleet {
    fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Fleet CA");
        Ok(Self { authority: Issuer::new(params, KeyPair::generate()?), key: KeyPair::generate()? })
    }

    fn certificate(&self, number: u32) -> Result<rcgen::Certificate> {
        let name = format!("host-{number:05}.example.com");
        let mut params = CertificateParams::new(vec![name.clone()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2036, 1, 1);
        Ok(params.signed_by(&self.key, &self.authority)?)
    }
}

fn keystore(fleet: &Fleet, numbers: std::ops::Range<u32>) -> Result<Vec<u8>> {
    let mut store = jks::MAGIC_AND_VERSION.to_vec();
    store.extend(u32::try_from(numbers.len())?.to_be_bytes());
    for number in numbers {
        store.extend(jks::KEY_ENTRY.to_be_bytes());
        text(&mut store, &format!("entry-{number:05}"))?;
        store.extend(jks::CREATED);
        store.extend(u32::try_from(jks::SEALED_HEAD.len() + jks::SEALED_BYTES)?.to_be_bytes());
        store.extend(jks::SEALED_HEAD);
        store.extend([0xAB; jks::SEALED_BYTES]);
        store.extend(1_u32.to_be_bytes());
        text(&mut store, jks::CERTIFICATE_TYPE)?;
        let certificate = fleet.certificate(number)?;
        store.extend(u32::try_from(certificate.der().len())?.to_be_bytes());
        store.extend(certificate.der().iter());
    }
    let password: Vec<u8> = jks::PASSWORD.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let digest = digest::digest(&SHA1_FOR_LEGACY_USE_ONLY, &[&password[..], jks::WHITENER, &store].concat());
    store.extend(digest.as_ref());
    Ok(store)
}

/// As Java's `writeUTF`, for ASCII.
fn text(store: &mut Vec<u8>, text: &str) -> Result<()> {
    store.extend(u16::try_from(text.len())?.to_be_bytes());
    store.extend(text.as_bytes());
    Ok(())
}
