//! Writes JKS and JCEKS: new entries beside old ones that stay as they are, byte for byte.

use super::{JCEKS_MAGIC, JKS_MAGIC, TAG_KEY, TAG_TRUSTED, alias, protector, read::Body};
use crate::{
    Certificate, Format, MergeError,
    alias::find_key,
    put::{Content, Put},
};
use jiff::Timestamp;
use secrecy::SecretString;
use zeroize::Zeroizing;

/// What Java has written since 1.2; version 1 is kept where it is found.
const VERSION: u32 = 2;

/// Writes the entries of `base` and `puts`. What the alias of a key that is put stands for gives way to it.
pub(crate) fn write(
    base: Option<&Body<'_>>,
    format: Format,
    puts: &[Put<'_>],
    password: &SecretString,
    now: Timestamp,
) -> Result<Zeroizing<Vec<u8>>, MergeError> {
    let version = base.map_or(VERSION, |body| body.version);
    let mut waiting: Vec<&Put<'_>> = puts.iter().collect();
    let mut entries: Vec<Vec<u8>> = Vec::new();
    let old = base.map(|body| body.entries.as_slice()).unwrap_or_default();
    let replaced = |put: &Put<'_>| find_key(format, old, put.alias);
    for (place, kept) in old.iter().enumerate() {
        match waiting.iter().position(|put| replaced(put) == Some(place)) {
            None => entries.push(kept.raw.to_vec()),
            Some(at) => entries.push(entry(waiting.remove(at), &kept.alias, format, version, password, now)?),
        }
    }
    for put in waiting {
        // Java finds an alias of JKS and JCEKS only in lower case.
        entries.push(entry(put, &put.alias.to_lowercase(), format, version, password, now)?);
    }

    let mut out = Zeroizing::new(Vec::new());
    out.extend(if format == Format::Jceks { JCEKS_MAGIC } else { JKS_MAGIC });
    out.extend(version.to_be_bytes());
    out.extend(length(entries.len())?);
    for entry in entries {
        out.extend_from_slice(&entry);
    }
    let digest = protector::store_digest(password, &out);
    out.extend(digest);
    Ok(out)
}

fn entry(
    put: &Put<'_>,
    name: &str,
    format: Format,
    version: u32,
    password: &SecretString,
    now: Timestamp,
) -> Result<Vec<u8>, MergeError> {
    let tag = match put.content {
        Content::Key(_) => TAG_KEY,
        Content::Trusted(_) => TAG_TRUSTED,
    };
    let mut out = tag.to_be_bytes().to_vec();
    let name = alias::encode(name);
    let name_length = u16::try_from(name.len()).map_err(|_| MergeError::BadAlias("it is too long"))?;
    out.extend(name_length.to_be_bytes());
    out.extend_from_slice(&name);
    out.extend(now.as_millisecond().to_be_bytes());
    match put.content {
        Content::Trusted(one) => certificate(one, version, &mut out)?,
        Content::Key(key) => {
            let sealed = match format {
                Format::Jceks => protector::seal_jceks(&key.pkcs8, password).map_err(MergeError::BadKey)?,
                _ => protector::seal_jks(&key.pkcs8, password),
            };
            out.extend(length(sealed.len())?);
            out.extend_from_slice(&sealed);
            out.extend(length(key.chain.len())?);
            for one in &key.chain {
                certificate(one, version, &mut out)?;
            }
        }
    }
    Ok(out)
}

fn certificate(certificate: &Certificate, version: u32, out: &mut Vec<u8>) -> Result<(), MergeError> {
    if version > 1 {
        out.extend_from_slice(b"\x00\x05X.509");
    }
    out.extend(length(certificate.der().len())?);
    out.extend_from_slice(certificate.der());
    Ok(())
}

fn length(length: usize) -> Result<[u8; 4], MergeError> {
    u32::try_from(length).map(u32::to_be_bytes).map_err(|_| MergeError::TooLarge("the entries"))
}
