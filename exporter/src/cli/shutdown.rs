//! `shutdown show` and `clear`: what a person does on a host about a shutdown that had begun.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;

use super::listing::Printable;
use super::{Output, ShutdownCommand, StateArgs};
use crate::config::{self, Config, ConfigError};
use crate::platform;
use crate::shutdown::{self, Announced, BootId, ClearError, Cleared, Kept, Latch, LatchFileError, Origin};

/// The exporter looks for a request every two seconds while a shutdown has begun.
const ANSWER_DEADLINE: Duration = Duration::from_secs(20);
const ANSWER_POLL: Duration = Duration::from_millis(200);

/// Why a command did not do what it is for.
#[derive(Debug, thiserror::Error)]
pub enum ShutdownCommandError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(
        "the state directory {} cannot be read: {source}; name the exporter's configuration with --config.file, and run as the user \
         that the exporter runs as", path.display()
    )]
    StateDirectory { path: PathBuf, source: io::Error },
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
    #[error("cannot print: {0}")]
    Print(#[from] io::Error),
}

impl ShutdownCommandError {
    /// Stable, for scripts.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Config(error) => error.reason(),
            Self::StateDirectory { .. } => "state_directory",
            Self::NoBoot => "no_boot_id",
            Self::Record(error) => error.reason(),
            Self::Clear(error) => error.reason(),
            Self::StillAnnounced { .. } => "still_announced",
            Self::NotYet => "not_yet",
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
    let config = args.config_file.as_deref().map_or_else(|| Ok(Config::default()), config::load)?;
    let (state, boot) = (config.state_directory(), BootId::new(&platform::boot_id()));
    let boot = boot.ok_or(ShutdownCommandError::NoBoot)?;
    // Nothing is kept where no exporter has ever run: that is no news about the one that runs elsewhere.
    let unread = |source| ShutdownCommandError::StateDirectory { path: state.clone(), source };
    fs::read_dir(&state).map_err(unread)?;
    match command {
        ShutdownCommand::Show(_) => {}
        ShutdownCommand::Clear(_) => clear(&state, &boot)?,
    }
    let kept = shutdown::kept(&state, &boot)?;
    print(&Shown::of(state, &kept), args, out)
}

fn clear(state: &Path, boot: &BootId) -> Result<(), ShutdownCommandError> {
    if shutdown::clear(state, boot, Timestamp::now())? == Cleared::Done {
        return Ok(());
    }
    let asked = Instant::now();
    loop {
        // In this order: an exporter removes the request when what it has done is durable.
        let waits = shutdown::is_asked(state);
        let Some(latch) = shutdown::kept(state, boot)?.latch else { return Ok(()) };
        if !waits {
            return Err(ShutdownCommandError::StillAnnounced { by: names(&latch) });
        }
        if asked.elapsed() >= ANSWER_DEADLINE {
            return Err(ShutdownCommandError::NotYet);
        }
        std::thread::sleep(ANSWER_POLL);
    }
}

fn names(latch: &Latch) -> String {
    let names: Vec<String> = latch.by().map(|(origin, _)| Printable(&origin.to_string()).to_string()).collect();
    names.join(", ")
}

fn print(shown: &Shown, args: &StateArgs, out: &mut dyn Write) -> Result<(), ShutdownCommandError> {
    match args.output {
        Output::Json => {
            serde_json::to_writer_pretty(&mut *out, shown).map_err(io::Error::from)?;
            writeln!(out)?;
        }
        Output::Text => shown.text(out)?,
    }
    Ok(out.flush()?)
}

impl Shown {
    fn of(state_directory: PathBuf, kept: &Kept) -> Self {
        let announced: Vec<_> = kept.latch.iter().flat_map(Latch::by).map(Announcement::of).collect();
        Self { state_directory, begun: !announced.is_empty(), announced, cleared_at: kept.cleared_at }
    }

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        for Announcement { by, since, triggers, cause } in &self.announced {
            let cause = cause.as_ref().map_or_else(String::new, |cause| format!(": {}", Printable(cause)));
            writeln!(out, "begun since {since:.0} by {} ({}){cause}", Printable(by), triggers.join(", "))?;
        }
        if !self.begun {
            writeln!(out, "no shutdown has begun in this boot (state directory {})", self.state_directory.display())?;
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
