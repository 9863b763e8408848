//! What two stores differ in: entries, leaves and keys, never bytes, for those are salted.

use crate::{Entry, EntryKind, Format, Pkcs12Profile, Store};
use std::collections::BTreeMap;

/// What would change from one store to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Before and after, if they differ.
    pub format: Option<(Format, Format)>,
    /// Before and after, if they differ.
    pub profile: Option<(Option<Pkcs12Profile>, Option<Pkcs12Profile>)>,
    pub added: Vec<Summary>,
    pub removed: Vec<Summary>,
    pub changed: Vec<Change>,
}

/// An entry in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    pub alias: String,
    pub kind: EntryKind,
    /// SHA-256 of the leaf's DER.
    pub leaf_sha256: Option<[u8; 32]>,
    /// SHA-256 of the leaf's public key: the same when a key was kept and only the certificate renewed.
    pub spki_sha256: Option<[u8; 32]>,
    /// SHA-256 of each certificate, leaf first.
    pub chain_sha256: Vec<[u8; 32]>,
}

/// An entry that is in both stores, and not the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub before: Summary,
    pub after: Summary,
}

/// Compares what two stores mean. Aliases are the same when they differ in case only, as Java has it; entries without an
/// alias are the same when their leaves are.
pub fn diff(old: &Store, new: &Store) -> Diff {
    let mut diff = Diff {
        format: (old.format != new.format).then_some((old.format, new.format)),
        profile: (old.profile != new.profile).then_some((old.profile, new.profile)),
        ..Diff::default()
    };
    let mut before = by_identity(&old.entries);
    for (identity, after) in by_identity(&new.entries) {
        let mut before = before.remove(&identity).unwrap_or_default().into_iter();
        for after in after {
            match before.next() {
                None => diff.added.push(after),
                Some(before) if before.same_as(&after) => {}
                Some(before) => diff.changed.push(Change { before, after }),
            }
        }
        diff.removed.extend(before);
    }
    diff.removed.extend(before.into_values().flatten());
    diff
}

impl Diff {
    /// Whether the entries are the same; format and profile may differ.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    /// Whether something that was trusted is no longer, or is something else.
    pub fn drops_trusted(&self) -> bool {
        let changed = self.changed.iter().map(|change| &change.before);
        self.removed.iter().chain(changed).any(|summary| summary.kind == EntryKind::Trusted)
    }
}

impl Summary {
    fn of(entry: &Entry) -> Self {
        Self {
            alias: entry.alias.clone(),
            kind: entry.kind,
            leaf_sha256: entry.leaf().map(crate::Certificate::sha256),
            spki_sha256: entry.leaf().map(crate::Certificate::spki_sha256),
            chain_sha256: entry.chain.iter().map(crate::Certificate::sha256).collect(),
        }
    }

    fn same_as(&self, other: &Self) -> bool {
        self.kind == other.kind && self.chain_sha256 == other.chain_sha256
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Identity {
    Alias(String),
    Leaf(Option<[u8; 32]>),
}

fn by_identity(entries: &[Entry]) -> BTreeMap<Identity, Vec<Summary>> {
    let mut groups: BTreeMap<Identity, Vec<Summary>> = BTreeMap::new();
    for entry in entries {
        let summary = Summary::of(entry);
        let identity = match entry.alias.as_str() {
            "" => Identity::Leaf(summary.leaf_sha256),
            alias => Identity::Alias(alias.to_lowercase()),
        };
        groups.entry(identity).or_default().push(summary);
    }
    groups
}
