//! Looks for secrets where none may be, in the forms that a careless line of code would leave them in.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

/// Bytes of a key that are looked for: enough that no other text holds them by chance, and few enough that the line breaks
/// of PEM leave some of a key's samples whole.
const KEY_SAMPLE: usize = 12;
/// What every form begins with at least, so that one pass over a text finds where any of them may begin.
const PREFIX: usize = 8;
/// Before the 32 secret bytes in a PKCS#8 P-256 key: version 1 of an EC private key, an octet string of 32.
const P256_SECRET_FOLLOWS: [u8; 5] = [0x02, 0x01, 0x01, 0x04, 0x20];

/// A secret and every form of it that is looked for.
#[derive(Debug)]
pub struct Canary {
    name: String,
    forms: Vec<Vec<u8>>,
}

/// Where a secret was found.
#[derive(Debug, PartialEq, Eq)]
pub struct Leak {
    pub canary: String,
    pub place: String,
}

impl Canary {
    pub fn password(name: &str, password: &str) -> Self {
        let utf16 = password.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let mut forms = forms_of(password.as_bytes());
        forms.push(utf16);
        Self { name: name.to_owned(), forms }
    }

    /// An RSA or P-256 key, by samples of what is secret in it. What a PKCS#8 RSA key starts with is public, and what a
    /// P-256 key ends with.
    pub fn key(name: &str, pkcs8: &[u8]) -> Self {
        let marked = |window: &[u8]| window == P256_SECRET_FOLLOWS;
        let secret = match pkcs8.windows(P256_SECRET_FOLLOWS.len()).position(marked) {
            Some(at) => &pkcs8[at + P256_SECRET_FOLLOWS.len()..][..32],
            None => &pkcs8[pkcs8.len() / 2..],
        };
        let samples = secret.chunks_exact(KEY_SAMPLE);
        Self { name: name.to_owned(), forms: samples.flat_map(forms_of).collect() }
    }

    fn is_in(&self, haystack: &[u8]) -> bool {
        let beginnings: HashSet<_> = self.forms.iter().filter_map(|form| form.get(..PREFIX)).collect();
        let mut places = haystack.windows(PREFIX).enumerate().filter(|(_, window)| beginnings.contains(window));
        places.any(|(at, _)| self.forms.iter().any(|form| haystack[at..].starts_with(form)))
    }
}

/// The canaries found in these bytes.
pub fn search(canaries: &[Canary], place: &str, haystack: &[u8]) -> Vec<Leak> {
    let found = canaries.iter().filter(|canary| canary.is_in(haystack));
    found.map(|canary| Leak { canary: canary.name.clone(), place: place.to_owned() }).collect()
}

/// The canaries found in the files under a directory, but for those that a predicate excludes.
pub fn search_files(canaries: &[Canary], root: &Path, excluded: impl Fn(&Path) -> bool + Copy) -> Result<Vec<Leak>> {
    let mut leaks = Vec::new();
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        if excluded(&path) {
            continue;
        }
        if path.is_dir() {
            leaks.extend(search_files(canaries, &path, excluded)?);
        } else if path.is_file() {
            leaks.extend(search(canaries, &path.display().to_string(), &fs::read(&path)?));
        }
    }
    Ok(leaks)
}

/// The canaries found in a process's command line and environment.
pub fn search_process(canaries: &[Canary], pid: u32) -> Result<Vec<Leak>> {
    let mut leaks = Vec::new();
    for part in ["cmdline", "environ"] {
        let path = PathBuf::from(format!("/proc/{pid}/{part}"));
        leaks.extend(search(canaries, &path.display().to_string(), &fs::read(&path)?));
    }
    Ok(leaks)
}

/// Raw, hexadecimal, as Rust prints bytes, and Base64 at each of the three places where the secret may begin in a longer
/// text.
fn forms_of(secret: &[u8]) -> Vec<Vec<u8>> {
    let hex = hex::encode(secret);
    let printed = format!("{secret:?}").trim_matches(['[', ']']).to_owned();
    let mut forms = vec![secret.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes(), printed.into_bytes()];
    for offset in 0..3 {
        let shifted = secret.get(offset..).unwrap_or_default();
        let whole = shifted.len() / 3 * 3;
        if whole >= 6 {
            forms.push(base64(&shifted[..whole]));
        }
    }
    forms
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let triples = bytes.chunks_exact(3).map(|c| u32::from_be_bytes([0, c[0], c[1], c[2]]));
    triples.flat_map(|t| [18, 12, 6, 0].map(|shift| DIGITS[(t >> shift & 63) as usize])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_found_in_each_form_and_an_innocent_text_is_not() {
        let canaries = [Canary::password("store", "canary-4711-pw")];
        for text in [
            "x canary-4711-pw y",
            "63616e6172792d343731312d7077",
            "eHhjYW5hcnktNDcxMS1wdw==",
            "YW5hcnktNDcxMS1w",
            "Bytes([99, 97, 110, 97, 114, 121, 45, 52, 55, 49, 49, 45, 112, 119])",
        ] {
            assert_eq!(search(&canaries, "here", text.as_bytes()).len(), 1, "{text}");
        }
        assert_eq!(search(&canaries, "here", b"canary-4711"), []);
    }

    #[test]
    fn a_key_is_found_by_its_secret_part_and_not_by_its_public_one() {
        let key = rcgen::KeyPair::generate().expect("key");
        let canaries = [Canary::key("key", key.serialized_der())];
        assert_eq!(search(&canaries, "here", key.serialize_pem().as_bytes()).len(), 1);
        assert_eq!(search(&canaries, "here", hex::encode(key.serialized_der()).as_bytes()).len(), 1);
        assert_eq!(search(&canaries, "here", key.public_key_raw()), []);
        assert_eq!(search(&canaries, "here", key.public_key_pem().as_bytes()), []);
    }
}
