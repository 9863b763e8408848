//! Ending a freeze by hand: a request that a person leaves in the state directory, for the exporter that runs or for the
//! next one.
//!
//! A file and not a socket: only who may write in the state directory (root) can ask, a request outlives whoever takes it,
//! and the journal keeps one writer.

use std::path::Path;

use jiff::Timestamp;
use kagiban_crds::{AgentName, Generation};
use serde::{Deserialize, Serialize};

use super::journal::{self, Record, Rotation, Unread};
use super::machine::{Event, Finding, State};
use super::rotator::Rotator;
use super::vault::{Vault, VaultError};
use crate::platform::{self, Links, WriteError};

const MAX_REQUEST_BYTES: u64 = 1024;

/// Names the freeze that is meant: a request that was left behind ends no later one, of the same rotation neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Request {
    generation: Generation,
    /// None where the freeze was written down by a version that did not say.
    #[serde(default)]
    frozen_at: Option<Timestamp>,
}

impl Request {
    fn for_freeze_of(rotation: &Rotation) -> Self {
        Self { generation: rotation.generation, frozen_at: rotation.frozen_at }
    }
}

/// What became of asking for a thaw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thaw {
    /// No exporter uses the state directory; it is done.
    Done,
    /// The exporter that runs was asked.
    Asked,
}

/// Why nothing was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ThawError {
    #[error("{0}")]
    Journal(String),
    #[error("agent {agent} has no journal: nothing was ever rotated, or it is called otherwise; see `rotation list`")]
    NoJournal { agent: AgentName },
    #[error("agent {agent} is not frozen: its newest rotation, {generation}, is {state}")]
    NotFrozen { agent: AgentName, generation: Generation, state: String },
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error("the request cannot be written: {0}")]
    Write(#[from] WriteError),
}

impl ThawError {
    /// Stable, for scripts.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Journal(_) => "journal_unreadable",
            Self::NoJournal { .. } => "no_journal",
            Self::NotFrozen { .. } => "not_frozen",
            Self::Vault(_) => "state_directory",
            Self::Write(error) => error.reason(),
        }
    }
}

/// The record of an agent, read beside an exporter that may run; nothing is changed.
///
/// # Errors
/// Why it cannot be read.
pub fn peek(vault: &Vault, agent: &AgentName) -> Result<Option<Record>, String> {
    journal::read(&vault.journal(agent), agent).map_err(|unread| match unread {
        Unread::Failed(error) => error.to_string(),
        Unread::NotAJournal { why, .. } => format!("the journal of {agent} is not understood: {why}"),
    })
}

/// Marks the agent's frozen rotation as rolled back, with its failure and its steps kept, so that the next one is taken.
///
/// # Errors
/// See [`ThawError`]; nothing has changed then.
pub fn thaw(state_directory: &Path, agent: &AgentName) -> Result<Thaw, ThawError> {
    let vault = Vault::at(state_directory);
    let request = request(&vault, agent)?;
    let path = vault.thaw_request(agent);
    match vault.lock() {
        Ok(_lock) => {
            // Read again: an exporter may have ended just now.
            self::request(&vault, agent)?;
            let mut record = peek(&vault, agent).map_err(ThawError::Journal)?.ok_or_else(|| no_journal(agent))?;
            if let Some(rotation) = &mut record.rotation {
                rotation.state = rotation.state.clone().after(Event::Frozen(Finding::Thawed));
                rotation.log(Timestamp::now(), Finding::Thawed.note().to_owned());
            }
            record.save(&vault.journal(agent))?;
            // One that an exporter that has ended was asked with; the next one would remove it too.
            let _ = platform::remove(&path);
            Ok(Thaw::Done)
        }
        Err(VaultError::InUse { .. }) => {
            platform::create_private_directory(&vault.requests())?;
            let bytes =
                serde_json::to_vec(&request).map_err(|e| WriteError::from_io(&path, "encoding it", e.into()))?;
            platform::replace(&path, &bytes, None)?;
            Ok(Thaw::Asked)
        }
        Err(error) => Err(error.into()),
    }
}

fn request(vault: &Vault, agent: &AgentName) -> Result<Request, ThawError> {
    let record = peek(vault, agent).map_err(ThawError::Journal)?.ok_or_else(|| no_journal(agent))?;
    let rotation = record.rotation.ok_or_else(|| no_journal(agent))?;
    if matches!(rotation.state, State::Frozen { .. }) {
        return Ok(Request::for_freeze_of(&rotation));
    }
    let state = format!("{:?}", rotation.state.reported());
    Err(ThawError::NotFrozen { agent: agent.clone(), generation: rotation.generation, state })
}

fn no_journal(agent: &AgentName) -> ThawError {
    ThawError::NoJournal { agent: agent.clone() }
}

impl Rotator {
    /// Whether somebody has asked for the end of this very freeze. The request stays until the end of the freeze is durable;
    /// one that means another freeze is removed.
    pub(super) fn is_asked_to_thaw(&self) -> bool {
        let path = self.host.vault.thaw_request(&self.agent.name);
        let Ok(file) = platform::read_held(&path, MAX_REQUEST_BYTES, Links::OfAdministrators) else { return false };
        let request: Option<Request> = serde_json::from_slice(&file.bytes).ok();
        let rotation = self.record.rotation.as_ref().filter(|_| self.is_frozen());
        let is_meant = request.is_some() && request == rotation.map(Request::for_freeze_of);
        if !is_meant {
            // The way back may have been tried in between, and have frozen anew.
            let agent = &self.agent.name;
            tracing::warn!(
                %agent,
                "a request to thaw meant another freeze than this one and is dropped; look again with `rotation show {agent}` and \
                 ask again with `rotation thaw {agent}`"
            );
            self.drop_thaw_request();
        }
        is_meant
    }

    /// Nothing is frozen any more, or something else than was meant.
    pub(super) fn drop_thaw_request(&self) {
        if let Err(error) = platform::remove(&self.host.vault.thaw_request(&self.agent.name)) {
            tracing::warn!(agent = %self.agent.name, %error, "a request to thaw that is over cannot be removed");
        }
    }
}
