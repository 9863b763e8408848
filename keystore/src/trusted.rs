//! Where a certificate goes that a store is to trust besides: into no other entry's place.

use crate::{EntryKind, Store, Trusted, TrustedPlace, alias::is_same};

/// Of a certificate's SHA-256, in an alias: enough to tell the CAs of one store apart.
const TOLD_BYTES: usize = 4;

/// Where it goes in a store that was `before`, or in a new one, beside the key under `key_alias`.
pub(crate) fn place(trusted: &Trusted<'_>, before: Option<&Store>, key_alias: &str) -> TrustedPlace {
    let entries = before.map(|store| store.entries.as_slice()).unwrap_or_default();
    // What lies in a safe within the safe is trusted by nobody
    let mut trusting = entries.iter().filter(|entry| entry.kind == EntryKind::Trusted && !entry.nested);
    if let Some(entry) = trusting.find(|entry| entry.leaf() == Some(trusted.certificate)) {
        return TrustedPlace::There { alias: entry.alias.clone() };
    }
    let is_free =
        |alias: &String| !is_same(alias, key_alias) && !entries.iter().any(|entry| is_same(&entry.alias, alias));
    let told = hex::encode(&trusted.certificate.sha256()[..TOLD_BYTES]);
    let aliases = [trusted.alias.to_owned(), format!("{}-{told}", trusted.alias)];
    aliases.into_iter().find(is_free).map_or(TrustedPlace::Taken, |alias| TrustedPlace::Put { alias })
}
