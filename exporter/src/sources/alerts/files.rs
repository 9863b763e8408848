//! The files of a source: who reads them, and what they have told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;

use super::ledger::{Ledger, locked};
use super::reader::{Looked, Reader, Reading};
use crate::blocking::Work;
use crate::config::PathPattern;
use crate::snapshot::AlertCounts;
use crate::sources::blocking::Blocking;

/// A first look at thousands of mails takes a second or two.
const DEADLINE: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(super) struct WatchedFiles {
    mails: Vec<PathPattern>,
    logs: Vec<PathPattern>,
    reading: Reading,
    /// Apart from its reader: what was seen is told while a folder hangs, too.
    ledger: Arc<Mutex<Ledger>>,
    reader: Blocking<Reader, Looked>,
}

impl WatchedFiles {
    pub(super) fn new(mails: Vec<PathPattern>, logs: Vec<PathPattern>, reading: Reading) -> Self {
        Self { mails, logs, reading, ledger: Arc::default(), reader: Blocking::new(Work::Files, DEADLINE) }
    }

    /// What was counted until now, whatever becomes of this look.
    pub(super) async fn look(&mut self, now: Timestamp) -> (AlertCounts, Looked) {
        let Self { mails, logs, reading, ledger, reader } = self;
        let fresh = || Reader::new(mails.clone(), logs.clone(), reading.clone(), Arc::clone(ledger));
        let looked = reader.run(fresh, move |reader: &mut Reader| reader.look(now)).await;
        let looked = looked.unwrap_or_else(|trouble| Looked { trouble: Some(trouble), newest: Vec::new() });
        (locked(ledger).counts(Timestamp::now()), looked)
    }
}
