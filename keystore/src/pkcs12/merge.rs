//! Writes a PKCS#12: new bags beside old ones that stay as they are. Only keys are sealed anew, when password or profile change.

use super::{Bag, BagKind, Opened, Password, bag, mac, oid, open::Proof, placed_entries, scheme};
use crate::{
    Certificate, Entry, EntryKind, Format, KeyMaterial, Limits, MergeError, Pkcs12Profile, ReadError, alias, der,
    limits::Budget,
    put::{Content, Put},
};
use jiff::Timestamp;
use secrecy::SecretString;
use std::collections::HashSet;
use zeroize::Zeroizing;

pub(crate) struct Passwords<'a> {
    pub(crate) new: &'a SecretString,
    pub(crate) old: &'a [SecretString],
}

impl Opened {
    /// Whether the password is known to be the store's, or none is to be known.
    pub(crate) fn is_proven(&self) -> bool {
        match self.password {
            Proof::Agrees(_) => true,
            Proof::Disagrees => false,
            Proof::Unproven => !self.has_mac,
        }
    }

    /// Whether this was the password that opened the store.
    pub(crate) fn is_opened_by(&self, password: &SecretString) -> bool {
        matches!(&self.password, Proof::Agrees(found) if *found == Password::new(password))
    }
}

/// Writes the bags of `base` and those of `puts`. The private key that the alias of one that is put stands for, and what
/// belongs to its chain alone, give way to it.
pub(crate) fn write(
    base: Option<&Opened>,
    puts: &[Put<'_>],
    passwords: &Passwords<'_>,
    profile: Option<Pkcs12Profile>,
    now: Timestamp,
    limits: &Limits,
) -> Result<Zeroizing<Vec<u8>>, MergeError> {
    let unreadable = MergeError::StoreUnreadable;
    let old_bags = base.map(|opened| opened.bags(limits)).transpose().map_err(unreadable)?.unwrap_or_default();
    let found = base.and_then(|opened| opened.profile_with(&old_bags));
    let written = profile.or(found).unwrap_or(Pkcs12Profile::Modern);
    let mut sealer = Sealer {
        new: Password::new(passwords.new),
        old: passwords.old.iter().flat_map(Password::readings).collect(),
        same_password: base.is_some_and(|opened| opened.is_opened_by(passwords.new)),
        found,
        written,
        budget: limits.budget(),
        limits: limits.clone(),
    };

    let old_entries = placed_entries(&old_bags, limits).map_err(unreadable)?;
    let replaced: Vec<Option<usize>> = puts.iter().map(|put| replaced(put, &old_entries)).collect();
    let gone = gone(&old_bags, &old_entries, &replaced);
    let hides_certificates = base.is_none_or(|opened| opened.safes.iter().any(|safe| safe.encrypted));
    let (mut encrypted, mut clear) = (Contents::default(), Contents::default());
    // Java takes the first certificate of a name for a chain, so ours have to stand before all others.
    let kept: Vec<&Bag<'_>> =
        old_bags.iter().enumerate().filter(|(at, _)| !gone.contains(at)).map(|(_, bag)| bag).collect();
    let mut ids = KeyIds::of(&kept, now);
    for (put, replaced) in puts.iter().zip(replaced) {
        // As the old store spells it, or as Java calls it.
        let spelled = replaced.and_then(|place| old_bags.get(place)).and_then(|bag| bag.alias.as_deref());
        let alias = spelled.unwrap_or(put.alias);
        let target = if hides_certificates { &mut encrypted } else { &mut clear };
        match put.content {
            Content::Trusted(certificate) => target.push(bag::trusted(certificate, alias)),
            Content::Key(key) => {
                let id = ids.fresh();
                add_chain(key, alias, &id, &kept, target);
                clear.push(bag::sealed_key(&sealer.seal(&key.pkcs8), alias, &id));
            }
        }
    }
    for bag in &kept {
        let target = if bag.hidden { &mut encrypted } else { &mut clear };
        target.0.push(sealer.keep(bag)?);
    }
    let safes = [encrypted.encrypted_safe(&sealer.new, written), clear.clear_safe()];
    let has_mac = base.is_none_or(|opened| opened.has_mac);
    Ok(pfx(&safes, has_mac.then_some((&sealer.new, written))))
}

/// The place of the bag of the private key that the alias of a new one stands for. What is to be trusted takes no other's place.
fn replaced(put: &Put<'_>, entries: &[(usize, Entry)]) -> Option<usize> {
    if matches!(put.content, Content::Trusted(_)) {
        return None;
    }
    let found = alias::find_key(Format::Pkcs12, entries, put.alias);
    found.and_then(|at| entries.get(at)).map(|(place, _)| *place)
}

/// The bags, by place, that give way: the replaced keys, and untrusted certificates that no other key's chain has.
fn gone(bags: &[Bag<'_>], entries: &[(usize, Entry)], replaced: &[Option<usize>]) -> HashSet<usize> {
    let (mut ours, mut others) = (HashSet::new(), HashSet::new());
    for (place, entry) in entries.iter().filter(|(_, entry)| entry.kind == EntryKind::Key) {
        let set = if replaced.contains(&Some(*place)) { &mut ours } else { &mut others };
        set.extend(entry.chain.iter().map(Certificate::sha256));
    }
    let gives_way = |bag: &Bag<'_>| match &bag.kind {
        BagKind::Certificate { certificate, trusted } => {
            let sha256 = certificate.sha256();
            !trusted && ours.contains(&sha256) && !others.contains(&sha256)
        }
        BagKind::Key(_) | BagKind::SealedKey(_) | BagKind::Secret { .. } | BagKind::Nested(_) | BagKind::Other => false,
    };
    let is_gone = |(place, bag): &(usize, &Bag<'_>)| replaced.contains(&Some(*place)) || gives_way(bag);
    bags.iter().enumerate().filter(is_gone).map(|(place, _)| place).collect()
}

fn add_chain(key: &KeyMaterial, alias: &str, id: &[u8], kept: &[&Bag<'_>], target: &mut Contents) {
    let Some((leaf, issuers)) = key.chain.split_first() else { return };
    target.push(bag::leaf(leaf, alias, id));
    for issuer in issuers {
        let mut same_name = kept.iter().filter_map(|bag| match &bag.kind {
            BagKind::Certificate { certificate, .. } if certificate.subject_der() == issuer.subject_der() => {
                Some(certificate)
            }
            _ => None,
        });
        // Already there, and first of its name: no second copy.
        if same_name.next() != Some(issuer) {
            target.push(bag::issuer(issuer));
        }
    }
}

/// Seals keys under the new password.
struct Sealer {
    new: Password,
    old: Vec<Password>,
    /// Whether the store already had the new password.
    same_password: bool,
    found: Option<Pkcs12Profile>,
    written: Pkcs12Profile,
    budget: Budget,
    limits: Limits,
}

impl Sealer {
    fn seal(&self, pkcs8: &[u8]) -> Vec<u8> {
        scheme::seal(pkcs8, &self.new, self.written)
    }

    /// The bag as it is; where Java names it by its place, with that name written down, for places change.
    fn keep(&mut self, bag: &Bag<'_>) -> Result<Zeroizing<Vec<u8>>, MergeError> {
        let kept = self.keep_sealed(bag)?;
        if bag.alias == bag.friendly_name && bag.key_id == bag.local_key_id {
            return Ok(kept);
        }
        bag::with_java_names(bag, &kept).map(Zeroizing::new).map_err(MergeError::StoreUnreadable)
    }

    /// The bag as it is; where it holds a sealed key and password or profile change, the key sealed anew. A key that has its
    /// own password keeps it.
    fn keep_sealed(&mut self, bag: &Bag<'_>) -> Result<Zeroizing<Vec<u8>>, MergeError> {
        let as_it_is = || Ok(Zeroizing::new(bag.raw.to_vec()));
        let same_profile = self.found.is_none_or(|found| found == self.written);
        let sealed = match bag.kind {
            BagKind::SealedKey(sealed) | BagKind::Secret { sealed: Some(sealed) } => sealed,
            BagKind::Secret { sealed: None } if !self.same_password => {
                return Err(lost(bag, "it is a kind of secret that is not known, and the password changes"));
            }
            BagKind::Nested(_) if !self.same_password && bag.holds_sealed(&self.limits) => {
                return Err(lost(bag, "it is a safe with keys or secrets in it, and the password changes"));
            }
            _ => return as_it_is(),
        };
        if self.same_password && same_profile {
            return as_it_is();
        }
        match self.open(sealed) {
            Ok((_, true)) if same_profile => as_it_is(),
            Ok((plain, _)) => Ok(Zeroizing::new(bag::sealed_again(bag, &self.seal(&plain)))),
            Err(ReadError::BadPassword) => as_it_is(),
            Err(_) if self.same_password => as_it_is(),
            Err(_) => Err(lost(bag, "its key cannot be opened to be sealed under the new password")),
        }
    }

    /// The key, and whether it was the new password that opened it.
    fn open(&mut self, sealed: &[u8]) -> Result<(Zeroizing<Vec<u8>>, bool), ReadError> {
        let mut outcome = scheme::open_sealed(sealed, &self.new, &mut self.budget).map(|plain| (plain, true));
        for password in &self.old {
            if !matches!(outcome, Err(ReadError::BadPassword)) {
                break;
            }
            outcome = scheme::open_sealed(sealed, password, &mut self.budget).map(|plain| (plain, false));
        }
        outcome
    }
}

fn lost(bag: &Bag<'_>, why: &'static str) -> MergeError {
    MergeError::WouldLoseEntry { alias: bag.alias.clone().unwrap_or_default(), why }
}

/// Key ids as Java writes them: from them it takes the date of the entry.
struct KeyIds {
    taken: HashSet<Vec<u8>>,
    next: i64,
}

impl KeyIds {
    fn of(bags: &[&Bag<'_>], now: Timestamp) -> Self {
        let taken = bags.iter().filter_map(|bag| bag.key_id).map(<[u8]>::to_vec).collect();
        Self { taken, next: now.as_millisecond() }
    }

    fn fresh(&mut self) -> Vec<u8> {
        loop {
            let id = format!("Time {}", self.next).into_bytes();
            self.next = self.next.saturating_add(1);
            if self.taken.insert(id.clone()) {
                return id;
            }
        }
    }
}

/// The bags of a safe to be. They may be bare keys.
#[derive(Default)]
struct Contents(Vec<Zeroizing<Vec<u8>>>);

impl Contents {
    fn push(&mut self, bag: Vec<u8>) {
        self.0.push(Zeroizing::new(bag));
    }

    fn encode(&self) -> Option<Zeroizing<Vec<u8>>> {
        let bags: Vec<&[u8]> = self.0.iter().map(|bag| bag.as_slice()).collect();
        (!bags.is_empty()).then(|| Zeroizing::new(der::encode(der::SEQUENCE, &bags)))
    }

    fn encrypted_safe(&self, password: &Password, profile: Pkcs12Profile) -> Option<Zeroizing<Vec<u8>>> {
        let contents = self.encode()?;
        let (algorithm, encrypted) = scheme::encrypt(&contents, password, profile);
        let content = der::encode(0x80, &[&encrypted]);
        let info = der::encode(der::SEQUENCE, &[&der::encode(der::OID, &[oid::DATA]), &algorithm, &content]);
        let data = der::encode(der::SEQUENCE, &[&der::encode_unsigned(0), &info]);
        Some(content_info(oid::ENCRYPTED_DATA, &data))
    }

    fn clear_safe(&self) -> Option<Zeroizing<Vec<u8>>> {
        let contents = self.encode()?;
        Some(content_info(oid::DATA, &Zeroizing::new(der::encode(der::OCTET_STRING, &[&contents]))))
    }
}

fn content_info(id: &[u8], content: &[u8]) -> Zeroizing<Vec<u8>> {
    let content = Zeroizing::new(der::encode(der::context(0), &[content]));
    Zeroizing::new(der::encode(der::SEQUENCE, &[&der::encode(der::OID, &[id]), &content]))
}

fn pfx(safes: &[Option<Zeroizing<Vec<u8>>>], mac: Option<(&Password, Pkcs12Profile)>) -> Zeroizing<Vec<u8>> {
    const VERSION: u64 = 3;
    let parts: Vec<&[u8]> = safes.iter().flatten().map(|safe| safe.as_slice()).collect();
    let authenticated = Zeroizing::new(der::encode(der::SEQUENCE, &parts));
    let octets = Zeroizing::new(der::encode(der::OCTET_STRING, &[&authenticated]));
    let auth_safe = content_info(oid::DATA, &octets);
    let mac = mac.map(|(password, profile)| mac::write(&authenticated, password, profile)).unwrap_or_default();
    Zeroizing::new(der::encode(der::SEQUENCE, &[&der::encode_unsigned(VERSION), &auth_safe, &mac]))
}
