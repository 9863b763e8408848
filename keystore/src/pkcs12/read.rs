//! From bags to entries, by the rules that Java pairs keys and certificates with.

use super::{
    Bag, BagKind, JavaNames, Opened, Password,
    bag::SafeContents,
    open::{self, Proof},
    scheme,
};
use crate::{Certificate, Entry, EntryKind, Format, Limits, PasswordCheck, ReadError, Store, limits::Budget};
use secrecy::SecretString;
use std::collections::{HashMap, HashSet};

/// Without a password, the empty one is tried too: OpenSSL, .NET and Java's own API seal with it unless they are told another.
pub(crate) fn read(bytes: &[u8], password: Option<&SecretString>, limits: &Limits) -> Result<Store, ReadError> {
    let found = read_with(bytes, password, limits);
    let may_be_empty = match &found {
        Ok(store) => store.password == PasswordCheck::NotGiven,
        Err(error) => password.is_none() && *error == ReadError::PasswordNeeded,
    };
    if !may_be_empty {
        return found;
    }
    match read_with(bytes, Some(&SecretString::from("")), limits) {
        Ok(store) if store.password == PasswordCheck::Verified => Ok(Store { password: PasswordCheck::Empty, ..store }),
        _ => found,
    }
}

fn read_with(bytes: &[u8], password: Option<&SecretString>, limits: &Limits) -> Result<Store, ReadError> {
    let mut budget = limits.budget();
    open::open(bytes, password, limits, &mut budget)?.observe(password, limits, &mut budget)
}

/// The same for who writes it anew: see [`Opened::store`].
pub(crate) fn read_whole(bytes: &[u8], password: Option<&SecretString>, limits: &Limits) -> Result<Store, ReadError> {
    let mut budget = limits.budget();
    open::open(bytes, password, limits, &mut budget)?.store(password, limits, &mut budget)
}

impl Opened {
    /// What the store holds, for who writes it anew; `password` is the one it was opened with. Every bag of its own is
    /// understood or of an unknown kind, and a nested safe is kept as it is, so that what it holds needs not be.
    pub(crate) fn store(
        &self,
        password: Option<&SecretString>,
        limits: &Limits,
        budget: &mut Budget,
    ) -> Result<Store, ReadError> {
        self.bags(limits)?;
        Ok(Store { faults: Vec::new(), ..self.observe(password, limits, budget)? })
    }

    /// What can be read of the store, with what lies in nested safes.
    fn observe(
        &self,
        password: Option<&SecretString>,
        limits: &Limits,
        budget: &mut Budget,
    ) -> Result<Store, ReadError> {
        let mut found = SafeContents { faults: self.faults.clone(), ..SafeContents::default() };
        let mut names = JavaNames::default();
        for safe in &self.safes {
            let before = found.bags.len();
            found.add_safe(safe, limits)?;
            names.give(found.bags.get_mut(before..).unwrap_or_default());
        }
        let SafeContents { bags, faults } = found;
        Ok(Store {
            format: Format::Pkcs12,
            profile: self.profile_with(&bags),
            password: check(self, &bags, password, budget)?,
            entries: entries(&bags, limits)?,
            faults,
        })
    }

    /// All bags, in the order of the file, named as Java names them, for who writes them anew.
    pub(crate) fn bags(&self, limits: &Limits) -> Result<Vec<Bag<'_>>, ReadError> {
        if let Some(fault) = self.faults.first() {
            return Err(fault.cause.clone());
        }
        let mut bags = Vec::new();
        let mut names = JavaNames::default();
        for safe in &self.safes {
            let mut found = Bag::parse_all(safe, limits)?;
            names.give(&mut found);
            bags.extend(found);
            limits.check_entries(bags.len())?;
        }
        Ok(bags)
    }

    /// The profile of the store, or where only keys are sealed, theirs.
    pub(crate) fn profile_with(&self, bags: &[Bag<'_>]) -> Option<crate::Pkcs12Profile> {
        self.profile.or_else(|| sealed_keys(bags).find_map(scheme::profile_of_sealed))
    }
}

/// What the password was found to be. Where neither MAC nor encryption can tell, a sealed key can. One that is too dear to
/// open makes the store so: to call the password wrong would be a guess.
fn check(
    opened: &Opened,
    bags: &[Bag<'_>],
    password: Option<&SecretString>,
    budget: &mut Budget,
) -> Result<PasswordCheck, ReadError> {
    match opened.password {
        Proof::Agrees(_) => return Ok(PasswordCheck::Verified),
        Proof::Disagrees => return Ok(PasswordCheck::Wrong),
        Proof::Unproven => {}
    }
    let first_sealed = sealed_keys(bags).next();
    Ok(match (password, first_sealed) {
        (None, None) if !opened.has_mac => PasswordCheck::NoneNeeded,
        (None, _) => PasswordCheck::NotGiven,
        (Some(_), None) => PasswordCheck::NoneNeeded,
        (Some(password), Some(sealed)) => match scheme::open_sealed(sealed, &Password::new(password), budget) {
            Ok(_) => PasswordCheck::Verified,
            Err(error @ ReadError::TooExpensive { .. }) => return Err(error),
            Err(_) => PasswordCheck::Wrong,
        },
    })
}

fn sealed_keys<'a>(bags: &[Bag<'a>]) -> impl Iterator<Item = &'a [u8]> {
    bags.iter().filter_map(|bag| match bag.kind {
        BagKind::SealedKey(sealed) => Some(sealed),
        _ => None,
    })
}

/// One entry for each key, secret, and certificate that is not merely part of a key's chain.
fn entries(bags: &[Bag<'_>], limits: &Limits) -> Result<Vec<Entry>, ReadError> {
    Ok(placed_entries(bags, limits)?.into_iter().map(|(_, entry)| entry).collect())
}

/// The same, each with the place of its bag.
pub(crate) fn placed_entries(bags: &[Bag<'_>], limits: &Limits) -> Result<Vec<(usize, Entry)>, ReadError> {
    let certificates: Vec<CertificateBag<'_>> = bags.iter().filter_map(CertificateBag::of).collect();
    let (leaves, by_subject) = (Leaves::of(&certificates), by_subject(&certificates));
    let mut in_chains = HashSet::new();
    let mut entries = Vec::new();
    let mut chained = 0;
    for (place, bag) in bags.iter().enumerate() {
        let alias = bag.alias.clone().unwrap_or_default();
        let nested = bag.place.is_none();
        match &bag.kind {
            BagKind::Key(_) | BagKind::SealedKey(_) => {
                let chain = chain(leaves.find(bag), &by_subject, limits);
                chained += chain.len();
                limits.check_certificates(chained)?;
                in_chains.extend(chain.iter().map(Certificate::sha256));
                entries.push((place, Entry { alias, kind: EntryKind::Key, chain, nested }));
            }
            BagKind::Secret { .. } => {
                entries.push((place, Entry { alias, kind: EntryKind::Secret, chain: Vec::new(), nested }));
            }
            BagKind::Certificate { certificate, trusted } => {
                let kind = if *trusted { EntryKind::Trusted } else { EntryKind::Certificate };
                entries.push((place, Entry { alias, kind, chain: vec![certificate.clone()], nested }));
            }
            BagKind::Nested(_) | BagKind::Other => {}
        }
    }
    // A chain's bags may stand before their key: what belongs to one is known only now.
    entries.retain(|(_, entry)| {
        entry.kind != EntryKind::Certificate || entry.leaf().is_none_or(|leaf| !in_chains.contains(&leaf.sha256()))
    });
    Ok(entries)
}

struct CertificateBag<'a> {
    certificate: &'a Certificate,
    bag: &'a Bag<'a>,
}

impl<'a> CertificateBag<'a> {
    fn of(bag: &'a Bag<'a>) -> Option<Self> {
        match &bag.kind {
            BagKind::Certificate { certificate, .. } => Some(Self { certificate, bag }),
            _ => None,
        }
    }
}

/// The certificates under each key id and name, in Java's order of preference: with many keys, nothing is searched twice.
#[derive(Default)]
struct Leaves<'a> {
    /// The first.
    by_both: HashMap<(&'a [u8], String), &'a Certificate>,
    /// The last.
    by_id: HashMap<&'a [u8], &'a Certificate>,
    /// The last.
    by_name: HashMap<String, &'a Certificate>,
}

impl<'a> Leaves<'a> {
    fn of(certificates: &[CertificateBag<'a>]) -> Self {
        let mut leaves = Self::default();
        for CertificateBag { certificate, bag } in certificates.iter().filter(|one| !one.bag.is_entry()) {
            let name = bag.alias.as_ref().map(|name| name.to_lowercase());
            if let (Some(id), Some(name)) = (bag.key_id, &name) {
                leaves.by_both.entry((id, name.clone())).or_insert(certificate);
            }
            if let Some(id) = bag.key_id {
                leaves.by_id.insert(id, certificate);
            }
            if let Some(name) = name {
                leaves.by_name.insert(name, certificate);
            }
        }
        leaves
    }

    /// The certificate of a key: same key id and name, else same key id, else same name.
    fn find(&self, key: &Bag<'a>) -> Option<&'a Certificate> {
        let name = key.alias.as_ref().map(|name| name.to_lowercase());
        let by_both = key.key_id.zip(name.clone()).and_then(|both| self.by_both.get(&both));
        let by_id = || key.key_id.and_then(|id| self.by_id.get(id));
        let by_name = || name.as_ref().and_then(|name| self.by_name.get(name));
        by_both.or_else(by_id).or_else(by_name).copied()
    }
}

/// The first certificate of each subject, which is the one that Java builds chains with.
fn by_subject<'a>(certificates: &[CertificateBag<'a>]) -> HashMap<&'a [u8], &'a Certificate> {
    let mut first = HashMap::new();
    for CertificateBag { certificate, .. } in certificates {
        first.entry(certificate.subject_der()).or_insert(*certificate);
    }
    first
}

fn chain(leaf: Option<&Certificate>, by_subject: &HashMap<&[u8], &Certificate>, limits: &Limits) -> Vec<Certificate> {
    let mut chain: Vec<Certificate> = Vec::new();
    let mut next = leaf;
    while let Some(certificate) = next {
        if chain.len() >= limits.max_chain || chain.contains(certificate) {
            break;
        }
        chain.push(certificate.clone());
        next = match certificate.is_self_issued() {
            true => None,
            false => by_subject.get(certificate.issuer_der()).copied(),
        };
    }
    chain
}
