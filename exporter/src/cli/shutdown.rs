//! `shutdown show` and `clear`: what a person does on a host about a shutdown that had begun.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;

use super::listing::{Printable, pretty_json};
use super::{Output, ShutdownCommand, StateArgs, StateDirectoryArgumentError};
use crate::config::ConfigError;
use crate::platform;
use crate::rotation::StateDirectory;
use crate::shutdown::{
    self, Announced, BootId, ClearError, Cleared, ClearingProgress, Latch, LatchFileError, LatchRecord, Origin,
};

/// The exporter looks for a request every two seconds while a shutdown has begun.
const ANSWER_DEADLINE: Duration = Duration::from_secs(20);
/// And has its record say what it knows as often.
const RECORD_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_POLL: Duration = Duration::from_millis(200);

/// Why a command did not do what it is for.
#[derive(Debug, thiserror::Error)]
pub enum ShutdownCommandError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    StateDirectory(#[from] StateDirectoryArgumentError),
    #[error("the system tells no boot id, so nothing is kept of a shutdown; restart the exporter to clear one")]
    NoBoot,
    #[error(transparent)]
    Record(#[from] LatchFileError),
    #[error(transparent)]
    Clear(#[from] ClearError),
    #[error(
        "the exporter refused: {by} may still say that the shutdown has begun, and the exporter's log names who does; end it there \
         (`systemctl cancel`, a restart of upsd or of the agent), and clear again"
    )]
    StillAnnounced { by: String },
    #[error("the exporter was asked to clear the shutdown and has not answered yet; see its log")]
    NotYet,
    #[error(
        "the exporter has cleared the shutdown and cannot keep that yet: the record in the state directory cannot be replaced; it \
         tries again until it can, and its log says why"
    )]
    NotKept,
    #[error("cannot print: {0}")]
    Print(#[from] io::Error),
}

impl ShutdownCommandError {
    /// Stable, for scripts.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Config(error) => error.reason(),
            Self::StateDirectory(error) => error.reason(),
            Self::NoBoot => "no_boot_id",
            Self::Record(error) => error.reason(),
            Self::Clear(error) => error.reason(),
            Self::StillAnnounced { .. } => "still_announced",
            Self::NotYet => "not_yet",
            Self::NotKept => "cleared_not_kept",
            Self::Print(_) => "print_failed",
        }
    }
}

/// What is kept, as it is printed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    state_directory: PathBuf,
    begun: bool,
    announced: Vec<Announcement>,
    cleared_at: Option<Timestamp>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Announcement {
    by: String,
    since: Timestamp,
    triggers: Vec<&'static str>,
    cause: Option<String>,
}

/// Carries a command out and prints what came of it.
///
/// # Errors
/// See [`ShutdownCommandError`].
pub fn run(command: &ShutdownCommand, out: &mut dyn Write) -> Result<(), ShutdownCommandError> {
    let (ShutdownCommand::Show(args) | ShutdownCommand::Clear(args)) = command;
    let (state, boot) = (args.configuration()?.state_directory(), BootId::new(&platform::boot_id()));
    let boot = boot.ok_or(ShutdownCommandError::NoBoot)?;
    let elsewhere = shutdown::minded_elsewhere(&state).or_else(|| StateDirectory::at(&state).used_elsewhere());
    if let Some(process) = elsewhere {
        return Err(StateDirectoryArgumentError::Replaced { path: state, process }.into());
    }
    match fs::read_dir(&state) {
        Ok(_) => {}
        // Of the exporter that has this configuration that is the answer; of none, it is no news about the one that runs elsewhere.
        Err(error) if error.kind() == io::ErrorKind::NotFound && args.config_file.is_some() && shows(command) => {
            return print(&Shown::of(state, &LatchRecord::default()), args, out);
        }
        Err(source) => return Err(StateDirectoryArgumentError::Unreadable { path: state, source }.into()),
    }
    match command {
        ShutdownCommand::Show(_) => {}
        ShutdownCommand::Clear(_) => clear(&state, &boot)?,
    }
    let kept = told(&state, &boot)?;
    print(&Shown::of(state, &kept), args, out)
}

/// What is kept. An exporter that minds the record has it say what is known, also where it was removed or damaged just now.
fn told(state: &Path, boot: &BootId) -> Result<LatchRecord, LatchFileError> {
    let asked = Instant::now();
    loop {
        let kept = shutdown::kept(state, boot);
        let says_nothing = kept.as_ref().map_or(true, |kept| *kept == LatchRecord::default());
        if !says_nothing || asked.elapsed() >= RECORD_WITHIN || !shutdown::is_minded(state) {
            return kept;
        }
        std::thread::sleep(ANSWER_POLL);
    }
}

const fn shows(command: &ShutdownCommand) -> bool {
    match command {
        ShutdownCommand::Show(_) => true,
        ShutdownCommand::Clear(_) => false,
    }
}

fn clear(state: &Path, boot: &BootId) -> Result<(), ShutdownCommandError> {
    let before = shutdown::kept(state, boot).ok();
    if shutdown::clear(state, boot, Timestamp::now())? == Cleared::Done {
        return Ok(());
    }
    let asked = Instant::now();
    loop {
        // In this order: an exporter removes the request when what it has done is durable.
        let waiting = shutdown::waiting(state);
        let is_over = asked.elapsed() >= ANSWER_DEADLINE;
        match waiting {
            ClearingProgress::Answered => {
                let kept = shutdown::kept(state, boot)?;
                return match &kept.latch {
                    Some(latch) => Err(ShutdownCommandError::StillAnnounced { by: names(latch) }),
                    None if before.is_some_and(|before| before == kept) => Err(ClearError::NotBegun.into()),
                    None => Ok(()),
                };
            }
            ClearingProgress::Unanswered if is_over => return Err(ShutdownCommandError::NotYet),
            ClearingProgress::ClearedNotKept if is_over => return Err(ShutdownCommandError::NotKept),
            ClearingProgress::Unanswered | ClearingProgress::ClearedNotKept => std::thread::sleep(ANSWER_POLL),
        }
    }
}

fn names(latch: &Latch) -> String {
    let names: Vec<String> = latch.by().map(|(origin, _)| Printable(&origin.to_string()).to_string()).collect();
    names.join(", ")
}

fn print(shown: &Shown, args: &StateArgs, out: &mut dyn Write) -> Result<(), ShutdownCommandError> {
    match args.output {
        Output::Json => pretty_json(shown, out)?,
        Output::Text => shown.text(out)?,
    }
    Ok(out.flush()?)
}

impl Shown {
    fn of(state_directory: PathBuf, kept: &LatchRecord) -> Self {
        let announced: Vec<_> = kept.latch.iter().flat_map(Latch::by).map(Announcement::of).collect();
        Self { state_directory, begun: !announced.is_empty(), announced, cleared_at: kept.cleared_at }
    }

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        for Announcement { by, since, triggers, cause } in &self.announced {
            let cause = cause.as_ref().map_or_else(String::new, |cause| format!(": {}", Printable(cause)));
            writeln!(out, "begun since {since:.0} by {} ({}){cause}", Printable(by), triggers.join(", "))?;
        }
        if !self.begun {
            let nothing_kept = if self.state_directory.exists() { "" } else { ": nothing was ever kept there" };
            let state = self.state_directory.display();
            writeln!(out, "no shutdown has begun in this boot (state directory {state}{nothing_kept})")?;
        }
        match self.cleared_at {
            Some(at) => writeln!(out, "cleared by a person at {at:.0}"),
            None => Ok(()),
        }
    }
}

impl Announcement {
    fn of((origin, announced): (&Origin, &Announced)) -> Self {
        Self {
            by: origin.to_string(),
            since: announced.since,
            triggers: announced.triggers.iter().map(|trigger| trigger.as_str()).collect(),
            cause: announced.cause.as_ref().map(|(_, cause)| cause.to_string()),
        }
    }
}
