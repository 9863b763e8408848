//! Ending a freeze by hand: a request that a person leaves in the state directory, for the exporter that runs or for the
//! next one.
//!
//! A file and not a socket: only who may write in the state directory (root) can ask, a request outlives whoever takes it,
//! and the journal keeps one writer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use kagiban_crds::{AgentName, Generation};
use serde::{Deserialize, Serialize};

use super::agent::Agent;
use super::journal::{self, Record, Rotation, UnreadableJournal};
use super::machine::{Event, Finding, Phase};
use super::rotator::Rotator;
use super::state_directory::{StateDirectory, StateDirectoryError};
use super::stopping;
use crate::config::AgentConfig;
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
    #[error(
        "agent {agent} has no journal in {}: nothing was ever rotated, it is called otherwise (see `rotation list`), or the state is \
         elsewhere: name the exporter's configuration with --config.file", state_directory.display()
    )]
    NoJournal { agent: AgentName, state_directory: PathBuf },
    #[error("agent {agent} is not frozen: its newest rotation, {generation}, is {state}")]
    NotFrozen { agent: AgentName, generation: Generation, state: String },
    #[error(
        "a stop of the service of agent {agent} that was begun may still end it until {until:.0}, and after a thaw nobody starts it \
         again; ask again then"
    )]
    StopGoesOn { agent: AgentName, until: Timestamp },
    #[error(transparent)]
    StateDirectory(#[from] StateDirectoryError),
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
            Self::StopGoesOn { .. } => "stop_goes_on",
            Self::StateDirectory(_) => "state_directory",
            Self::Write(error) => error.reason(),
        }
    }
}

/// The record of an agent, read beside an exporter that may run; nothing is changed.
///
/// # Errors
/// Why it cannot be read.
pub fn peek(state_directory: &StateDirectory, agent: &AgentName) -> Result<Option<Record>, String> {
    journal::read(&state_directory.journal(agent), agent).map_err(|unread| match unread {
        UnreadableJournal::Failed(error) => error.to_string(),
        UnreadableJournal::NotAJournal { why, .. } => format!("the journal of {agent} is not understood: {why}"),
    })
}

/// The longest that an agent's service goes on after its stop was begun; none where `agents` do not name it.
pub fn longest_drain(agents: &[AgentConfig], agent: &AgentName) -> Option<Duration> {
    let config = agents.iter().find(|config| config.name == *agent)?;
    Agent::as_written(config).ok().map(|agent| stopping::longest_drain(&agent.service))
}

/// Until when a stop that was begun may still end the service, which drains for `longest` at most; none when it can no more.
pub fn stop_goes_on_until(record: &Record, longest: Duration) -> Option<Timestamp> {
    let left = record.rotation.as_ref()?.stop_begun.as_ref()?.may_end_for(longest);
    (!left.is_zero()).then(|| Timestamp::now().saturating_add(left).unwrap_or(Timestamp::MAX))
}

/// Marks the agent's frozen rotation as rolled back, with its failure and its steps kept, so that the next one is taken. Not
/// while a stop may still end the service, which drains for `longest` at most; where that is not known, an exporter that runs
/// knows, and waits.
///
/// # Errors
/// See [`ThawError`]; nothing has changed then.
pub fn thaw(root: &Path, agent: &AgentName, longest: Option<Duration>) -> Result<Thaw, ThawError> {
    let state_directory = StateDirectory::at(root);
    let no_journal = || ThawError::NoJournal { agent: agent.clone(), state_directory: root.to_owned() };
    let request = |longest| {
        let record = peek(&state_directory, agent).map_err(ThawError::Journal)?.ok_or_else(no_journal)?;
        request(&record, longest, no_journal)
    };
    let asked = request(longest)?;
    let path = state_directory.thaw_request(agent);
    match state_directory.lock() {
        Ok(_lock) => {
            // Read again: an exporter may have ended just now.
            request(Some(longest.unwrap_or(stopping::USUAL_LONGEST_DRAIN)))?;
            let mut record = peek(&state_directory, agent).map_err(ThawError::Journal)?.ok_or_else(no_journal)?;
            if let Some(rotation) = &mut record.rotation {
                rotation.state = rotation.state.clone().after(Event::Frozen(Finding::Thawed));
                rotation.log(Timestamp::now(), Finding::Thawed.note().to_owned());
            }
            record.save(&state_directory.journal(agent))?;
            // One that an exporter that has ended was asked with; the next one would remove it too.
            let _ = platform::remove(&path);
            Ok(Thaw::Done)
        }
        Err(StateDirectoryError::InUse { .. }) => {
            platform::create_private_directory(&state_directory.requests())?;
            let bytes = serde_json::to_vec(&asked).map_err(|e| WriteError::from_io(&path, "encoding it", e.into()))?;
            platform::replace(&path, &bytes, None)?;
            Ok(Thaw::Asked)
        }
        Err(error) => Err(error.into()),
    }
}

fn request(
    record: &Record,
    longest: Option<Duration>,
    no_journal: impl FnOnce() -> ThawError,
) -> Result<Request, ThawError> {
    let rotation = record.rotation.as_ref().ok_or_else(no_journal)?;
    let agent = || record.agent.clone();
    if !matches!(rotation.state, Phase::Frozen { .. }) {
        let state = format!("{:?}", rotation.state.reported());
        return Err(ThawError::NotFrozen { agent: agent(), generation: rotation.generation, state });
    }
    match longest.and_then(|longest| stop_goes_on_until(record, longest)) {
        Some(until) => Err(ThawError::StopGoesOn { agent: agent(), until }),
        None => Ok(Request::for_freeze_of(rotation)),
    }
}

impl Rotator {
    /// Whether somebody has asked for the end of this very freeze. The request stays until the end of the freeze is durable;
    /// one that means another freeze is removed.
    pub(super) fn is_asked_to_thaw(&self) -> bool {
        let path = self.host.state_directory.thaw_request(&self.agent.name);
        let Ok(file) = platform::read_held(&path, MAX_REQUEST_BYTES, Links::OfAdministrators) else { return false };
        let request: Option<Request> = serde_json::from_slice(&file.bytes).ok();
        let rotation = self.record.rotation.as_ref().filter(|_| self.is_frozen());
        let is_meant = request.is_some() && request == rotation.map(Request::for_freeze_of);
        if !is_meant {
            // The rollback may have been tried in between, and have frozen anew.
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
        if let Err(error) = platform::remove(&self.host.state_directory.thaw_request(&self.agent.name)) {
            tracing::warn!(agent = %self.agent.name, %error, "a request to thaw that is over cannot be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::super::drain::BegunStop;
    use super::super::failure::RotationFailure;
    use super::super::machine::FrozenFiles;
    use super::super::scene::{put_into, rotator};
    use super::*;

    /// Holds A8, A14: after a thaw nobody would start a service that a stop has ended.
    #[tokio::test]
    async fn a_freeze_is_not_thawed_while_a_stop_may_still_end_the_service_and_then_with_the_service_started() {
        let root = tempfile::tempdir().expect("directory");
        let starts = root.path().join("starts");
        let (mut rotator, lock) = rotator(root.path(), &format!("[/bin/sh, -c, 'echo >> {}']", starts.display()));
        let started = || std::fs::read_to_string(&starts).map_or(0, |text| text.lines().count());
        let frozen = Phase::Frozen { failure: RotationFailure::new("any", "any"), standing: FrozenFiles::Whole };
        put_into(&mut rotator, frozen, Some(BegunStop::now()));
        let (state, name) = (root.path().join("state"), rotator.agent.name.clone());
        let longest = Duration::from_secs(60);
        let refused = thaw(&state, &name, Some(longest)).expect_err("it drains");
        assert_eq!(refused.reason(), "stop_goes_on");

        assert_eq!(thaw(&state, &name, None).expect("asked"), Thaw::Asked);
        rotator.drained = Some(Instant::now() + longest);
        rotator.look_at_freeze_at_once();
        rotator.do_chores(|_| {}).await;
        assert!(rotator.is_frozen(), "the stop may still end it");
        let before = started();
        rotator.drained = Some(Instant::now());
        rotator.look_at_freeze_at_once();
        rotator.do_chores(|_| {}).await;
        assert!(!rotator.is_frozen() && started() > before, "{} starts", started());

        let frozen = Phase::Frozen { failure: RotationFailure::new("any", "any"), standing: FrozenFiles::Whole };
        let rotation = rotator.record.rotation.as_mut().expect("rotation");
        (rotation.state, rotation.stop_begun) = (frozen, Some(BegunStop::now()));
        rotator.save_record();
        drop((rotator, lock));
        assert_eq!(thaw(&state, &name, None).expect_err("as usual").reason(), "stop_goes_on");
        assert_eq!(thaw(&state, &name, Some(Duration::ZERO)).expect("over"), Thaw::Done);
    }
}
