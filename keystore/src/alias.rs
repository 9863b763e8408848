//! Which entry an alias stands for: the one that Java loads.

use crate::{Entry, EntryKind, Format, MergeError, Store};

/// An entry as far as a name finds it.
pub(crate) trait Named {
    fn alias(&self) -> &str;
    fn kind(&self) -> EntryKind;
    /// In a safe within the safe, which only a PKCS#12 has.
    fn is_nested(&self) -> bool {
        false
    }
}

impl Named for Entry {
    fn alias(&self) -> &str {
        &self.alias
    }

    fn kind(&self) -> EntryKind {
        self.kind
    }

    fn is_nested(&self) -> bool {
        self.nested
    }
}

/// With the place of its bag.
impl Named for (usize, Entry) {
    fn alias(&self) -> &str {
        &self.1.alias
    }

    fn kind(&self) -> EntryKind {
        self.1.kind
    }

    fn is_nested(&self) -> bool {
        self.1.nested
    }
}

impl Store {
    /// The private key that Java loads under the alias, which it compares without regard to case. PEM has no aliases, and
    /// so no such key.
    pub fn key(&self, alias: &str) -> Option<&Entry> {
        find_key(self.format, &self.entries, alias).and_then(|place| self.entries.get(place))
    }

    /// Whether a new private key can take this alias and every other entry stay. [`crate::merge`] asks the same.
    ///
    /// # Errors
    /// [`MergeError::BadAlias`], and [`MergeError::WouldLoseEntry`] where the alias stands for several entries, for one
    /// that is no private key, or for one in a safe within the safe.
    pub fn check_alias(&self, alias: &str) -> Result<(), MergeError> {
        check(alias)?;
        if is_ambiguous(self.format, &self.entries, alias) {
            let why = "several entries have this alias, in whatever case, and programs differ in which one they load; export \
                       each with openssl and import it under an alias of its own";
            return Err(MergeError::WouldLoseEntry { alias: alias.to_owned(), why });
        }
        match find(self.format, &self.entries, alias).and_then(|place| self.entries.get(place)) {
            Some(entry) if entry.nested => {
                let why = "it has the alias of the new key and stands in a safe within the safe, which Java does not read and \
                           a rotation keeps as it is; make the store anew without such safes (openssl pkcs12 reads them, and \
                           its -export writes none), or choose another alias";
                Err(MergeError::WouldLoseEntry { alias: entry.alias.clone(), why })
            }
            Some(entry) if entry.kind != EntryKind::Key => {
                let why = "it has the alias of the new key and is none itself";
                Err(MergeError::WouldLoseEntry { alias: entry.alias.clone(), why })
            }
            _ => Ok(()),
        }
    }
}

pub(crate) fn check(alias: &str) -> Result<(), MergeError> {
    // JKS counts an alias in 16 bits; nobody needs near that.
    const MAX_ALIAS: usize = 1_024;
    match alias.len() {
        0 => Err(MergeError::BadAlias("it is empty")),
        1..=MAX_ALIAS => Ok(()),
        _ => Err(MergeError::BadAlias("it is longer than 1024 bytes")),
    }
}

/// The place of the private key that the alias stands for.
pub(crate) fn find_key<T: Named>(format: Format, entries: &[T], alias: &str) -> Option<usize> {
    find(format, entries, alias).filter(|place| entries.get(*place).is_some_and(|entry| entry.kind() == EntryKind::Key))
}

/// The place of the entry that the alias stands for. Where a PKCS#12 has but one private key that Java sees, and that has no name, not even
/// one that Java gives it, any alias stands for it.
fn find<T: Named>(format: Format, entries: &[T], alias: &str) -> Option<usize> {
    let exactly = |name: &str| entries.iter().rposition(|entry| entry.alias() == name);
    let in_any_case = || entries.iter().rposition(|entry| is_same(entry.alias(), alias));
    let is_key = |entry: &T| entry.kind() == EntryKind::Key && !entry.is_nested();
    let mut keys = entries.iter().enumerate().filter(|(_, entry)| is_key(entry));
    let only_key = || match (keys.next(), keys.next()) {
        (Some((place, only)), None) if only.alias().is_empty() => Some(place),
        _ => None,
    };
    match format {
        // Java looks an alias up in lower case and does not touch the case of those in the file. Other readers may.
        Format::Jks | Format::Jceks => exactly(&alias.to_lowercase()).or_else(|| exactly(alias)).or_else(in_any_case),
        // Java puts later entries over earlier ones.
        Format::Pkcs12 => in_any_case().or_else(only_key),
        Format::Pem | Format::Der | Format::Pkcs7 => None,
    }
}

/// Whether readers could differ about the entry that the alias stands for.
fn is_ambiguous<T: Named>(format: Format, entries: &[T], alias: &str) -> bool {
    let in_any_case = entries.iter().filter(|entry| is_same(entry.alias(), alias)).count();
    let exactly = entries.iter().filter(|entry| entry.alias() == alias).count();
    let is_case_kept = matches!(format, Format::Jks | Format::Jceks);
    // What stands in lower case in a JKS is found by whoever asks for it so, with regard to case or without.
    in_any_case > 1 && !(is_case_kept && exactly == 1 && alias == alias.to_lowercase())
}

pub(crate) fn is_same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}
