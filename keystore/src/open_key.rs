//! Opens the key under an alias and proves that it belongs to its certificate.

use crate::{
    Certificate, Entry, Format, KeyMaterial, Limits, ReadError, alias, jks, key_pair,
    key_pair::Encoded,
    limits::Budget,
    pem,
    pkcs12::{self, BagKind, Password},
    sniff, text,
};
use secrecy::SecretString;
use zeroize::Zeroizing;

/// Decrypts the key under `alias` (compared without regard to case, as Java does) and gives the leaf it belongs to.
///
/// PEM files have no aliases: there it is the file's one key, and its leaf the certificate that it belongs to.
pub fn open_key(
    bytes: &[u8],
    password: Option<&SecretString>,
    alias: &str,
    limits: &Limits,
) -> Result<Certificate, ReadError> {
    limits.check_bytes(bytes.len())?;
    match sniff(bytes) {
        Some(Format::Pem) => open_pem(&text::to_utf8(bytes), password, limits),
        _ => {
            let key = extract_key(bytes, password, alias, limits)?;
            let leaf = key.chain.into_iter().next().ok_or(ReadError::NoCertificate)?;
            key_pair::check(Encoded::Pkcs8(&key.pkcs8), &leaf)?;
            Ok(leaf)
        }
    }
}

/// Decrypts the key under `alias` of a JKS, JCEKS or PKCS#12.
pub fn extract_key(
    bytes: &[u8],
    password: Option<&SecretString>,
    alias: &str,
    limits: &Limits,
) -> Result<KeyMaterial, ReadError> {
    match sniff(bytes) {
        Some(Format::Jks | Format::Jceks) => extract_jks(bytes, password, alias, limits),
        Some(Format::Pkcs12) => extract_pkcs12(bytes, password, alias, limits),
        Some(Format::Pem | Format::Der | Format::Pkcs7) => Err(ReadError::NoKey),
        None => Err(ReadError::UnsupportedFormat("what is neither JKS, JCEKS nor PKCS#12")),
    }
}

fn extract_jks(
    bytes: &[u8],
    password: Option<&SecretString>,
    alias: &str,
    limits: &Limits,
) -> Result<KeyMaterial, ReadError> {
    let body = jks::parse(bytes, limits)?;
    let place = alias::find_key(body.format, &body.entries, alias).ok_or(ReadError::NoKey)?;
    let (sealed, chain) = match body.entries.into_iter().nth(place).map(|entry| entry.kind) {
        Some(jks::RawKind::Key { sealed, chain }) => (sealed, chain),
        Some(jks::RawKind::Trusted(_) | jks::RawKind::Secret) | None => return Err(ReadError::NoKey),
    };
    let password = password.ok_or(ReadError::PasswordNeeded)?;
    Ok(KeyMaterial { pkcs8: jks::open_sealed(sealed, password, &mut limits.budget())?, chain })
}

fn extract_pkcs12(
    bytes: &[u8],
    password: Option<&SecretString>,
    alias: &str,
    limits: &Limits,
) -> Result<KeyMaterial, ReadError> {
    let mut budget = limits.budget();
    let opened = pkcs12::open(bytes, password, limits, &mut budget)?;
    let bags = opened.bags(limits)?;
    let entries = pkcs12::placed_entries(&bags, limits)?;
    let found = alias::find_key(Format::Pkcs12, &entries, alias).ok_or(ReadError::NoKey)?;
    let (place, entry) = entries.into_iter().nth(found).ok_or(ReadError::NoKey)?;
    let pkcs8 = match bags.get(place).map(|bag| &bag.kind) {
        Some(BagKind::Key(bare)) => Zeroizing::new(bare.to_vec()),
        Some(BagKind::SealedKey(sealed)) => unseal(sealed, password, &mut budget)?,
        _ => return Err(ReadError::NoKey),
    };
    Ok(KeyMaterial { pkcs8, chain: entry.chain })
}

fn unseal(
    sealed: &[u8],
    password: Option<&SecretString>,
    budget: &mut Budget,
) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let password = password.ok_or(ReadError::PasswordNeeded)?;
    let mut outcome = Err(ReadError::BadPassword);
    for reading in Password::readings(password) {
        outcome = pkcs12::open_sealed(sealed, &reading, budget);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

fn open_pem(text: &[u8], password: Option<&SecretString>, limits: &Limits) -> Result<Certificate, ReadError> {
    let entries = pem::read(text, limits)?;
    let block = pem::blocks(text).find(pem::Block::is_key).ok_or(ReadError::NoKey)?;
    let content = block.decode()?;
    let opened;
    let key = match block.kind() {
        pem::Kind::RsaKey => Encoded::Rsa(&content),
        pem::Kind::EcKey => Encoded::Ec(&content),
        pem::Kind::EncryptedKey => {
            opened = unseal(&content, password, &mut limits.budget())?;
            Encoded::Pkcs8(&opened)
        }
        _ => Encoded::Pkcs8(&content),
    };
    key_pair::find(key, entries.iter().filter_map(Entry::leaf)).cloned()
}
