//! Files without aliases: one certificate after another.

use crate::{Certificate, Entry, EntryKind, Fault, Format, PasswordCheck, ReadError, Store};

/// The certificates of a file without aliases, and what beside them could not be read.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    pub(crate) entries: Vec<Entry>,
    pub(crate) faults: Vec<Fault>,
}

impl Certificates {
    /// Takes what was read of one place.
    pub(crate) fn put(&mut self, place: impl FnOnce() -> String, read: Result<Certificate, ReadError>) {
        match read {
            Ok(certificate) => self.entries.push(entry(certificate)),
            Err(cause) => self.faults.push(Fault { place: place(), cause }),
        }
    }

    /// What was read and what was not; both take memory.
    pub(crate) fn count(&self) -> usize {
        self.entries.len() + self.faults.len()
    }

    pub(crate) fn into_store(self, format: Format) -> Store {
        let Self { entries, faults } = self;
        Store { format, profile: None, password: PasswordCheck::NoneNeeded, entries, faults }
    }
}

pub(crate) fn entry(certificate: Certificate) -> Entry {
    Entry { alias: String::new(), kind: EntryKind::Certificate, chain: vec![certificate], nested: false }
}
