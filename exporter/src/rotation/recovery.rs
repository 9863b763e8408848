//! What is done at start, before anything new is taken: an earlier run's rotation is finished or undone.

use jiff::Timestamp;
use kagiban_crds::{Epoch, Generation, LeafSha256};

use super::agent::{Agent, Keystore};
use super::backup::{self, Manifest};
use super::digest::Digest;
use super::journal::{self, Found, JournalError, Record, Rotation};
use super::live;
use super::machine::{Before, Cause, State, Undo};
use super::rotator::{Host, Rotator};
use super::survey::stored_leaf;
use crate::platform;

impl Rotator {
    /// Reads the agent's journal and brings what it tells of to its end.
    ///
    /// # Errors
    /// When the journal can neither be read nor set aside: nothing is known then, and nothing is touched.
    pub async fn recover(host: Host, agent: Agent) -> Result<Self, JournalError> {
        let path = host.vault.journal(&agent.name);
        let newest = backup::newest(&host.vault, &agent.name);
        // Who removes a journal by hand does not thereby let an old request in.
        let generation = newest.as_ref().map_or(Generation(0), |(generation, _)| *generation);
        let fresh = Record { generation, ..Record::new(host.name.clone(), agent.name.clone()) };
        let record = match journal::load(&path, &host.name, &agent.name)? {
            Found::Nothing => fresh,
            Found::Record(record) => resumed(*record),
            Found::Unreadable { aside, why } => {
                let aside = aside.display();
                tracing::error!(agent = %agent.name, %aside, why, "the journal was set aside: it is not understood");
                without_journal(&agent, fresh, newest.and_then(|(_, manifest)| manifest)).await
            }
        };
        host.raise_epoch(record.epoch);
        let mut rotator = Self::new(host, agent, record);
        if rotator.record.rotation.is_some() {
            rotator.record.save(&path)?;
        }
        rotator.advance(|_| {}).await;
        rotator.sweep();
        Ok(rotator)
    }

    fn sweep(&self) {
        let journal = self.host.vault.journal(&self.agent.name);
        let mut paths = vec![journal.as_path()];
        // Where it is frozen, the old files lie beside the new ones under such names.
        if !self.is_frozen() {
            match &self.agent.keystore {
                Keystore::OneFile { path, .. } => paths.push(path),
                Keystore::PemPair { certificate, key } => paths.extend([certificate.as_path(), key]),
            }
            paths.extend(self.agent.password_ini.as_ref().map(|(path, _)| path.as_path()));
        }
        let backup = self.host.vault.backup(&self.agent.name, self.record.generation);
        let swept = paths.into_iter().map(platform::sweep).chain([backup::sweep(&backup, self.files())]);
        for error in swept.filter_map(Result::err) {
            tracing::warn!(agent = %self.agent.name, %error, "left-over files could not be removed");
        }
    }
}

fn resumed(mut record: Record) -> Record {
    if let Some(rotation) = record.rotation.as_mut().filter(|rotation| !rotation.state.is_decided()) {
        rotation.recoveries = rotation.recoveries.saturating_add(1);
        rotation.state = rotation.state.clone().recovered(rotation.recoveries);
        rotation.log(Timestamp::now(), "the exporter was restarted".to_owned());
    }
    record
}

/// The journal is lost. What is on disk stays if it is what is served; otherwise the newest backup comes back.
async fn without_journal(agent: &Agent, fresh: Record, newest: Option<Manifest>) -> Record {
    let stored = stored_leaf(agent).ok().map(|leaf| leaf.sha256());
    let served = live::look(&agent.endpoint).await.ok().map(|leaf| leaf.sha256());
    if stored.is_some() && stored == served {
        return fresh;
    }
    let lost = |message: &str| Cause::new("journal_lost", message);
    let (state, manifest) = match newest {
        Some(manifest) => {
            let failure = lost("the journal was lost, and what is served is not what is stored: the backup came back");
            let before = manifest.previous.map_or(Before::NotServed, Before::Served);
            (State::Undoing { step: Undo::Stop, before, failure }, manifest)
        }
        None => {
            let failure = lost("the journal was lost, what is served is not what is stored, and there is no backup");
            (State::Frozen { failure }, Manifest { previous: None, files: Vec::new() })
        }
    };
    let mut rotation = Rotation {
        epoch: Epoch(0),
        generation: fresh.generation,
        opened_at: Timestamp::now(),
        open_digest: Digest::of(b""),
        chain_digest: None,
        csr: None,
        leaf: None,
        previous: manifest.previous.or(stored.map(LeafSha256::new)),
        files: manifest.files,
        recoveries: 1,
        state,
        steps: Vec::new(),
    };
    rotation.log(Timestamp::now(), "the journal was set aside: it is not understood".to_owned());
    Record { rotation: Some(rotation), ..fresh }
}
