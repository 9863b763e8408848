//! Which clients of a product do not have its certificate: its own program writes a list of them, for which it is run.
//!
//! ```text
//!                                               ┌─ ListPlace: a lock, and a file that was not there before
//!   ClientSource (schedule) ────> ClientList ───┼─ the program, by its exit status
//!                                    ask        └─ reader: bytes ──> LackingClients
//! ```
//!
//! A client here is a part of the product on another host; an agent is what this host's configuration calls one.

mod place;
mod reader;
mod source;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use kagiban_agents::ClientFacts;
use kagiban_crds::AgentName;

use self::place::ListPlace;
use self::reader::{MAX_COLUMNS, NoList};
pub(super) use self::source::ClientSource;
use super::program;
use crate::config::{AgentConfig, ClientListConfig, ClientsConfig, Interval, ListColumn};
use crate::installation::{CLIENT_LIST, Installed};
use crate::platform::{self, Command, NoProgram, ProgramError};
use crate::snapshot::{LackingClients, Trouble};
use crate::trouble::one_of;

/// Every reason that a look can fail for.
pub(super) const REASONS: &[&str] = &[
    "busy",
    "cut_short",
    "empty",
    "exposed",
    "failed",
    IN_USE,
    "no_space",
    "not_regular",
    ProgramError::NOT_RUNNABLE,
    NOT_STARTED,
    NOT_WRITTEN,
    "panic",
    "permission_denied",
    "read_failed",
    STATE_DIRECTORY,
    "timed_out",
    "timeout",
    "too_large",
    "unknown_format",
];
const IN_USE: &str = "in_use";
const NOT_STARTED: &str = "not_started";
const NOT_WRITTEN: &str = "not_written";
const STATE_DIRECTORY: &str = "state_directory";

/// The setting of the program that writes the list.
pub const LIST_COMMAND: &str = "clients.list.command";

/// For one that was killed, since nobody waited for its list any more, to end.
const END_OF_KILLED: Duration = Duration::from_secs(5);
/// A program that takes longer hangs.
const LONGEST_DEADLINE: Duration = Duration::from_hours(1);
/// What is told of the others is their number.
const MOST_NAMED: usize = 1000;
/// Names that are kept where clients are repaired, told one by one or not.
const MOST_KEPT: usize = 4096;

/// How an agent's server is asked which of its clients do not have its certificate.
#[derive(Clone, Debug)]
pub struct ClientList {
    command: Command,
    deadline: Duration,
    pub(super) interval: Duration,
    /// How many are named.
    most: usize,
    /// How many names are kept.
    kept: usize,
    empty_is_none: bool,
    column: Option<ListColumn>,
    /// The clients are repaired.
    is_for_repair: bool,
}

/// Why a configuration of it is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientsConfigError {
    #[error("list.command: {0}")]
    NoProgram(#[from] NoProgram),
    #[error("list.command: must have the argument {{list}}, which stands for the file that the program writes")]
    NoList,
    #[error(
        "list.command: missing; this product has no program of its own that lists its clients, so name one, or leave `clients` out"
    )]
    Unknown,
    #[error("list.command: missing; name the product's directory under `directory`, or the program")]
    NoDirectory,
    #[error("list.deadline: must be one hour at most")]
    Deadline,
    #[error("list.column: must be a word of the list's heading, or a number from 1 to {MAX_COLUMNS}")]
    Column,
    #[error("most: must be 1000 at most; the others are counted")]
    Most,
}

impl ClientList {
    /// None where nothing is asked.
    ///
    /// # Errors
    /// See [`ClientsConfigError`].
    pub fn of(agent: &AgentConfig, at: Option<&Installed>) -> Result<Option<Self>, ClientsConfigError> {
        let Some(ClientsConfig { list, most, repair }) = &agent.clients else { return Ok(None) };
        let ClientListConfig { command, interval, deadline, empty_is_none, column } = list;
        let argv = match command {
            Some(command) => command.clone(),
            None => usual(agent, at)?,
        };
        let command = Command::program(argv)?;
        if !command.names(CLIENT_LIST) {
            return Err(ClientsConfigError::NoList);
        }
        let deadline = Interval::as_duration(*deadline);
        if deadline > LONGEST_DEADLINE {
            return Err(ClientsConfigError::Deadline);
        }
        let is_column = match column {
            None => true,
            Some(ListColumn::Number(number)) => (1..=MAX_COLUMNS).contains(number),
            Some(ListColumn::Heading(word)) => reader::is_word(word),
        };
        if !is_column {
            return Err(ClientsConfigError::Column);
        }
        if *most > MOST_NAMED {
            return Err(ClientsConfigError::Most);
        }
        let (interval, most, empty_is_none) = (interval.as_duration(), *most, *empty_is_none);
        let (column, is_for_repair) = (column.clone(), repair.is_some());
        let kept = if is_for_repair { MOST_KEPT } else { most };
        Ok(Some(Self { command, deadline, interval, most, kept, empty_is_none, column, is_for_repair }))
    }

    /// The program that is run, with the word that stands for its file.
    pub const fn command(&self) -> &Command {
        &self.command
    }

    /// Has the program write the list once, and reads it. Two never run at once for one agent, whoever asks: one that nobody waits for any
    /// more is killed. It is written to a file in the state directory that nobody else may read, and that is gone afterwards.
    ///
    /// # Errors
    /// Why nothing is known; the reason is one of a closed set.
    pub async fn ask(&self, agent: &AgentName, state_directory: &Path) -> Result<LackingClients, Trouble> {
        let name = counted_as(agent);
        if !platform::is_gone(&name, END_OF_KILLED).await {
            return Err(Trouble::new(IN_USE, format!("{LIST_COMMAND}: {KILLED}")));
        }
        program::unexposed(LIST_COMMAND, &name, &self.command).await?;
        let place = ListPlace::make(state_directory, agent).await?;
        let command = self.command.with(CLIENT_LIST, &place.file().to_string_lossy());
        let ran = platform::run_while_awaited(&name, &command, self.deadline).await;
        // Also what a program has written that failed goes.
        let written = place.take().await;
        if let Err(error) = ran {
            return Err(Trouble::new(one_of(REASONS, error.reason(), NOT_STARTED), format!("{LIST_COMMAND}: {error}")));
        }
        let written = written?.ok_or_else(|| {
            Trouble::new(
                NOT_WRITTEN,
                format!("{LIST_COMMAND}: {command} ended well and has written no list; run it by hand to see why"),
            )
        })?;
        match reader::read(&written, self.kept, self.column.as_ref()) {
            Ok(list) => Ok(list.telling(self.most)),
            Err(NoList::Empty) if self.empty_is_none => {
                Ok(LackingClients { is_complete: true, ..LackingClients::default() })
            }
            Err(error) => Err(Trouble::new(
                error.reason(),
                format!("{LIST_COMMAND}: the list that {command} has written: {error}"),
            )),
        }
    }
}

const KILLED: &str = "one that was killed has not ended yet, because a file system hangs; it is tried again";

/// What the commands of a list are counted under. No name of an agent has a space: a list that hangs takes nothing from what starts the
/// service.
pub(crate) fn counted_as(agent: &AgentName) -> String {
    format!("{agent} clients")
}

/// The product's own program, where it has one.
fn usual(agent: &AgentConfig, at: Option<&Installed>) -> Result<Vec<String>, ClientsConfigError> {
    let ClientFacts { list, .. } = agent.product.facts().clients.ok_or(ClientsConfigError::Unknown)?;
    let words = list(platform::OS).ok_or(ClientsConfigError::Unknown)?;
    Ok(at.ok_or(ClientsConfigError::NoDirectory)?.command(words))
}

/// Any bytes as a list.
#[doc(hidden)]
pub fn fuzz_client_list(bytes: &[u8]) {
    for most in [0, 2, MOST_NAMED] {
        if let Ok(list) = reader::read(bytes, most, None) {
            assert!(list.named.len() <= most.min(list.count));
        }
    }
}
