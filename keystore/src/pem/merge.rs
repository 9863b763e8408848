//! A PEM file that holds a key and its chain, and perhaps more.

use super::{Block, Kind, pem_block};
use crate::{
    Certificate, Limits, Merge, MergeError, Pkcs12Profile, key_pair,
    key_pair::Encoded,
    pkcs12::{self, Password},
};
use zeroize::Zeroizing;

/// Replaces the key, its leaf and the intermediates behind it; all other text stays. Self-issued certificates are never taken
/// out: they may be there to be trusted.
pub(crate) fn write(old: Option<&[u8]>, merge: &Merge<'_>, limits: &Limits) -> Result<Zeroizing<Vec<u8>>, MergeError> {
    let text = old.unwrap_or_default();
    let blocks: Vec<Block<'_>> = super::blocks(text).collect();
    let mut keys = blocks.iter().filter(|block| block.is_key());
    let key = keys.next();
    if keys.next().is_some() {
        let why = "the PEM file holds several private keys";
        return Err(MergeError::WouldLoseEntry { alias: String::new(), why });
    }
    let mut certificates = Vec::new();
    for block in &blocks {
        if matches!(block.kind(), Kind::Certificate | Kind::TrustedCertificate) {
            certificates.push((block, block.certificate(limits).map_err(MergeError::StoreUnreadable)?));
        }
    }
    let leaf = old_leaf(key, &certificates, merge, limits);
    let mut replaced: Vec<&Block<'_>> = key.into_iter().collect();
    replaced.extend(chain_of(leaf, &certificates));
    let returning = certificates.iter().filter(|(_, certificate)| merge.key.chain.contains(certificate));
    replaced.extend(returning.map(|(block, _)| *block));
    replaced.sort_by_key(|block| block.place.start);
    replaced.dedup_by_key(|block| block.place.start);

    let key_after_leaf = match (key, leaf.and_then(|leaf| certificates.get(leaf))) {
        (Some(key), Some((leaf, _))) => leaf.place.start < key.place.start,
        _ => false,
    };
    let ours = render(merge, key_after_leaf);
    let mut out = Zeroizing::new(Vec::with_capacity(text.len() + ours.len() + 1));
    let mut at = 0;
    for (nth, block) in replaced.iter().enumerate() {
        out.extend_from_slice(&text[at..block.place.start]);
        if nth == 0 {
            out.extend_from_slice(&ours);
        }
        at = block.place.end;
    }
    if replaced.is_empty() {
        out.extend_from_slice(&ours);
    }
    out.extend_from_slice(&text[at..]);
    Ok(out)
}

fn render(merge: &Merge<'_>, key_after_leaf: bool) -> Zeroizing<Vec<u8>> {
    let pkcs8 = &merge.key.pkcs8;
    let key = match merge.new_password {
        None => pem_block("PRIVATE KEY", pkcs8),
        Some(password) => {
            let profile = merge.profile.unwrap_or(Pkcs12Profile::Modern);
            pem_block("ENCRYPTED PRIVATE KEY", &pkcs12::seal(pkcs8, &Password::new(password), profile))
        }
    };
    let chain: String =
        merge.key.chain.iter().map(|certificate| pem_block("CERTIFICATE", certificate.der()).to_string()).collect();
    let parts = if key_after_leaf { [chain.as_str(), &key] } else { [key.as_str(), &chain] };
    let mut out = Zeroizing::new(Vec::with_capacity(key.len() + chain.len()));
    out.extend_from_slice(parts[0].as_bytes());
    out.extend_from_slice(parts[1].as_bytes());
    out
}

/// The certificate that the old key belongs to; where the key cannot be opened, the first that is no CA's.
fn old_leaf(
    key: Option<&Block<'_>>,
    certificates: &[(&Block<'_>, Certificate)],
    merge: &Merge<'_>,
    limits: &Limits,
) -> Option<usize> {
    let proven = key.and_then(|key| open(key, merge, limits, certificates));
    proven.or_else(|| certificates.iter().position(|(_, certificate)| !certificate.is_ca()))
}

fn open(
    key: &Block<'_>,
    merge: &Merge<'_>,
    limits: &Limits,
    certificates: &[(&Block<'_>, Certificate)],
) -> Option<usize> {
    let content = key.decode().ok()?;
    match key.kind() {
        Kind::RsaKey => find(Encoded::Rsa(&content), certificates),
        Kind::EcKey => find(Encoded::Ec(&content), certificates),
        Kind::EncryptedKey => merge.known_passwords().find_map(|password| {
            let plain = pkcs12::open_sealed(&content, &Password::new(password), &mut limits.budget()).ok()?;
            find(Encoded::Pkcs8(&plain), certificates)
        }),
        _ => find(Encoded::Pkcs8(&content), certificates),
    }
}

fn find(key: Encoded<'_>, certificates: &[(&Block<'_>, Certificate)]) -> Option<usize> {
    let leaf = key_pair::find(key, certificates.iter().map(|(_, certificate)| certificate)).ok()?;
    certificates.iter().position(|(_, certificate)| certificate == leaf)
}

/// The blocks of the leaf and of the intermediates that lead on from it.
fn chain_of<'b, 't>(leaf: Option<usize>, certificates: &[(&'b Block<'t>, Certificate)]) -> Vec<&'b Block<'t>> {
    let mut chain: Vec<usize> = leaf.into_iter().collect();
    while let Some((_, last)) = chain.last().and_then(|last| certificates.get(*last)) {
        let next = certificates.iter().position(|(_, one)| {
            !last.is_self_issued() && !one.is_self_issued() && one.subject_der() == last.issuer_der()
        });
        match next {
            Some(next) if !chain.contains(&next) => chain.push(next),
            _ => break,
        }
    }
    chain.into_iter().filter_map(|at| certificates.get(at)).map(|(block, _)| *block).collect()
}
