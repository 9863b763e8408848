//! `rotation list`, `show`, `thaw` and `wait`: what a person does on a host about its rotations.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kagiban_crds::AgentName;
use kagiban_crds::host_api::{RotationFunction, RotationReport, RotationState};
use serde::Serialize;

use super::listing::{Printable, pretty_json};
use super::{AgentArgs, Output, RotationCommand, StateArgs, StateDirectoryArgumentError, WaitArgs};
use crate::config::{Config, ConfigError};
use crate::rotation::{self, Record, StateDirectory, Thaw, ThawError};

/// The exporter looks for a request every two seconds, unless it is in the middle of something.
const ANSWER_DEADLINE: Duration = Duration::from_secs(20);
const ANSWER_POLL: Duration = Duration::from_millis(200);

/// In the place of a state: no rotation was ever asked for.
const NEVER: &str = "never";

/// Why a command did not do what it is for.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    StateDirectory(#[from] StateDirectoryArgumentError),
    #[error("{0}")]
    Journal(String),
    #[error(transparent)]
    Thaw(#[from] ThawError),
    #[error(
        "the exporter was asked to thaw {agent} and has not done so yet; it does when it is not in the middle of something, and no \
         stop may still end the service: see `{show}` and the exporter's log"
    )]
    NotYet { agent: AgentName, show: String },
    #[error("not finished: {}; the exporter finishes it when it is started", agents.join(", "))]
    Unfinished { agents: Vec<String> },
    #[error("cannot print: {0}")]
    Print(#[from] io::Error),
}

impl RotationError {
    /// Stable, for scripts.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Config(error) => error.reason(),
            Self::StateDirectory(error) => error.reason(),
            Self::Journal(_) => "journal_unreadable",
            Self::Thaw(error) => error.reason(),
            Self::NotYet { .. } => "not_yet",
            Self::Unfinished { .. } => "rotation_unfinished",
            Self::Print(_) => "print_failed",
        }
    }
}

/// An agent as it is printed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    agent: AgentName,
    /// Of the newest rotation, or `never`.
    state: &'static str,
    /// The highest generation that was accepted.
    generation: u64,
    rotation: Option<RotationReport>,
    files: Vec<PathBuf>,
    backups: PathBuf,
    /// What lies beside the agent's own files: an old or a new key perhaps.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    beside: Vec<PathBuf>,
    /// Until when a stop of its service that was begun may still end it.
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_goes_on_until: Option<Timestamp>,
}

/// Carries a command out and prints what came of it.
///
/// # Errors
/// See [`RotationError`].
pub fn run(command: &RotationCommand, out: &mut dyn Write) -> Result<(), RotationError> {
    match command {
        RotationCommand::List(args) => list(args, out),
        RotationCommand::Show(args) => show(args, out),
        RotationCommand::Thaw(args) => thaw(args, out),
        RotationCommand::Wait(args) => wait(args, out),
    }
}

fn list(args: &StateArgs, out: &mut dyn Write) -> Result<(), RotationError> {
    let config = args.configuration()?;
    let state_directory = StateDirectory::at(&config.state_directory());
    let mut shown = Vec::new();
    let mut unread = Vec::new();
    let configured = config.rotated_agents().map(|agent| agent.name.clone());
    let known: BTreeSet<AgentName> = agents(&state_directory, &config)?.into_iter().chain(configured).collect();
    if known.is_empty() {
        is_there(&config)?;
    }
    for agent in known {
        match rotation::peek(&state_directory, &agent) {
            Ok(Some(record)) => shown.push(Shown::of(&state_directory, record)),
            Ok(None) => shown.push(Shown::never(&state_directory, agent)),
            // One journal that cannot be read hides no other.
            Err(why) => unread.push(why),
        }
    }
    match args.output {
        Output::Json => pretty_json(&shown, out)?,
        Output::Text if shown.is_empty() && unread.is_empty() => {
            writeln!(out, "no agent was ever rotated (state directory {})", config.state_directory().display())?;
        }
        Output::Text => shown.iter().try_for_each(|shown| writeln!(out, "{}", shown.line()))?,
    }
    out.flush()?;
    if unread.is_empty() { Ok(()) } else { Err(RotationError::Journal(unread.join("; "))) }
}

fn show(args: &AgentArgs, out: &mut dyn Write) -> Result<(), RotationError> {
    let config = args.state.configuration()?;
    let state_directory = StateDirectory::at(&config.state_directory());
    let is_configured = config.rotated_agents().any(|agent| agent.name == args.agent);
    if !is_configured {
        is_there(&config)?;
    }
    agents(&state_directory, &config)?;
    let known = rotation::peek(&state_directory, &args.agent).map_err(RotationError::Journal)?;
    let Some(record) = known else {
        if !is_configured {
            return Err(no_journal(&args.agent, &config).into());
        }
        let shown = Shown::never(&state_directory, args.agent.clone());
        match args.state.output {
            Output::Json => pretty_json(&shown, out)?,
            Output::Text => {
                let directory = config.state_directory();
                let directory = directory.to_string_lossy();
                writeln!(
                    out,
                    "{}\nno rotation was ever asked for (state directory {})",
                    shown.line(),
                    Printable(&directory)
                )?;
            }
        }
        return Ok(out.flush()?);
    };
    let longest = rotation::longest_drain(&config.agents, &args.agent);
    let stop_goes_on_until = longest.and_then(|longest| rotation::stop_goes_on_until(&record, longest));
    let shown = Shown { stop_goes_on_until, ..Shown::of(&state_directory, record) };
    match args.state.output {
        Output::Json => pretty_json(&shown, out)?,
        Output::Text => shown.text(&args.state, out)?,
    }
    Ok(out.flush()?)
}

fn thaw(args: &AgentArgs, out: &mut dyn Write) -> Result<(), RotationError> {
    let config = args.state.configuration()?;
    let root = config.state_directory();
    let state_directory = StateDirectory::at(&root);
    is_there(&config)?;
    agents(&state_directory, &config)?;
    let longest = rotation::longest_drain(&config.agents, &args.agent);
    if rotation::thaw(&root, &args.agent, longest)? == Thaw::Asked {
        let asked = Instant::now();
        while is_frozen(&record(&state_directory, &args.agent, &config)?) {
            if asked.elapsed() >= ANSWER_DEADLINE {
                let (agent, show) = (args.agent.clone(), args.state.command("show", &args.agent));
                return Err(RotationError::NotYet { agent, show });
            }
            std::thread::sleep(ANSWER_POLL);
        }
    }
    let shown = Shown::of(&state_directory, record(&state_directory, &args.agent, &config)?);
    match args.state.output {
        Output::Json => pretty_json(&shown, out)?,
        Output::Text => writeln!(out, "{}", shown.line())?,
    }
    Ok(out.flush()?)
}

fn wait(args: &WaitArgs, out: &mut dyn Write) -> Result<(), RotationError> {
    let config = args.state.configuration()?;
    let state_directory = StateDirectory::at(&config.state_directory());
    let (began, timeout) = (Instant::now(), Duration::from_secs(args.timeout));
    loop {
        let unfinished = unfinished(&state_directory, &config)?;
        if unfinished.iter().any(|(_, is_in_flight)| *is_in_flight) && began.elapsed() < timeout {
            std::thread::sleep(ANSWER_POLL);
            continue;
        }
        let shown: Vec<_> = unfinished.into_iter().map(|(shown, _)| shown).collect();
        match args.state.output {
            Output::Json => pretty_json(&shown, out)?,
            Output::Text => shown.iter().try_for_each(|shown| shown.unfinished(out))?,
        }
        out.flush()?;
        let agents: Vec<_> = shown.iter().map(|shown| shown.agent.to_string()).collect();
        return if agents.is_empty() { Ok(()) } else { Err(RotationError::Unfinished { agents }) };
    }
}

/// The agents whose newest rotation is neither committed nor rolled back, or has left something beside their files; and whether an
/// exporter that runs is about to end it.
fn unfinished(state_directory: &StateDirectory, config: &Config) -> Result<Vec<(Shown, bool)>, RotationError> {
    let mut unfinished = Vec::new();
    for agent in agents(state_directory, config)? {
        let Some(record) = rotation::peek(state_directory, &agent).map_err(RotationError::Journal)? else { continue };
        let Some(rotation) = &record.rotation else { continue };
        let is_in_flight = rotation.is_in_flight();
        let is_settled = rotation.state.is_settled() && !rotation.discard_due;
        let shown = Shown::of(state_directory, record);
        if !is_settled || !shown.beside.is_empty() {
            unfinished.push((shown, is_in_flight));
        }
    }
    Ok(unfinished)
}

impl StateArgs {
    /// Another command about an agent of the same exporter, as it is typed.
    fn command(&self, command: &str, agent: &AgentName) -> String {
        let config =
            self.config_file.as_deref().map(|path| format!(" --config.file={}", in_shell(&path.to_string_lossy())));
        format!("kagiban-exporter rotation {command} {agent}{}", config.unwrap_or_default())
    }
}

/// A word as a shell takes it.
fn in_shell(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%,".contains(c);
    if word.chars().all(is_plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// The agents with a journal. It fails where a directory that others may not enter would pass for an empty one, and where
/// another directory than the exporter's would pass for it.
fn agents(state_directory: &StateDirectory, config: &Config) -> Result<Vec<AgentName>, StateDirectoryArgumentError> {
    let path = config.state_directory();
    match state_directory.used_elsewhere() {
        Some(process) => Err(StateDirectoryArgumentError::Replaced { path, process }),
        None => state_directory.agents().map_err(|source| StateDirectoryArgumentError::Unreadable { path, source }),
    }
}

/// Another place than the exporter's state directory must not pass for one in which nothing was ever rotated.
fn is_there(config: &Config) -> Result<(), StateDirectoryArgumentError> {
    let path = config.state_directory();
    let found = std::fs::metadata(&path);
    found.map(|_| ()).map_err(|source| StateDirectoryArgumentError::Unreadable { path, source })
}

fn record(state_directory: &StateDirectory, agent: &AgentName, config: &Config) -> Result<Record, RotationError> {
    let record = rotation::peek(state_directory, agent).map_err(RotationError::Journal)?;
    record.ok_or_else(|| no_journal(agent, config).into())
}

fn no_journal(agent: &AgentName, config: &Config) -> ThawError {
    ThawError::NoJournal { agent: agent.clone(), state_directory: config.state_directory() }
}

fn is_frozen(record: &Record) -> bool {
    record.rotation.as_ref().is_some_and(|rotation| rotation.state.reported() == RotationState::Frozen)
}

impl Shown {
    /// An agent of the configuration that no rotation was asked for.
    fn never(state_directory: &StateDirectory, agent: AgentName) -> Self {
        Self {
            backups: state_directory.backups(&agent),
            generation: 0,
            files: Vec::new(),
            beside: Vec::new(),
            rotation: None,
            state: NEVER,
            stop_goes_on_until: None,
            agent,
        }
    }

    fn of(state_directory: &StateDirectory, record: Record) -> Self {
        let swaps = || record.rotation.iter().flat_map(|rotation| &rotation.files);
        let files = swaps().map(|file| file.path.clone());
        let beside =
            swaps().flat_map(|file| [Some(file.staged.clone()), file.old.as_ref().map(|old| old.beside.clone())]);
        let beside = beside.flatten();
        Self {
            backups: state_directory.backups(&record.agent),
            state: record.rotation.as_ref().map_or(NEVER, |rotation| rotation.state.reported().as_str()),
            generation: record.generation.0,
            files: files.collect(),
            beside: beside.filter(|path| path.symlink_metadata().is_ok()).collect(),
            stop_goes_on_until: None,
            rotation: record.rotation.as_ref().map(rotation::Rotation::report),
            agent: record.agent,
        }
    }

    fn line(&self) -> String {
        let Some(rotation) = &self.rotation else { return format!("{}  {NEVER}", self.agent) };
        let since = rotation.steps.last().map_or_else(String::new, |step| format!("  since {:.0}", step.at));
        let failure = rotation.failure.as_ref();
        let failure = failure.map_or_else(String::new, |failure| format!("  {}", Printable(&failure.reason)));
        format!("{}  generation {}  {:?}{since}{failure}", self.agent, rotation.generation, rotation.state)
    }

    fn unfinished(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.line())?;
        self.beside.iter().try_for_each(|path| writeln!(out, "beside: {}", Printable(&path.to_string_lossy())))
    }

    fn text(&self, args: &StateArgs, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.line())?;
        let Some(rotation) = &self.rotation else { return Ok(()) };
        if let Some(failure) = &rotation.failure {
            writeln!(out, "why: {}", Printable(&failure.message))?;
        }
        for (what, leaf) in [("old leaf", rotation.previous), ("new leaf", rotation.leaf.as_ref().map(|l| l.sha256))] {
            if let Some(leaf) = leaf {
                writeln!(out, "{what}: {leaf}")?;
            }
        }
        if let Some(RotationFunction { before, after }) = &rotation.function {
            for (when, seen) in [("before", Some(before)), ("after", after.as_ref())] {
                let Some(seen) = seen else { continue };
                let why =
                    seen.failure.as_ref().map_or_else(String::new, |why| format!(": {}", Printable(&why.message)));
                writeln!(out, "work of the agent {when}: {:?}{why}", seen.state)?;
            }
        }
        for file in &self.files {
            writeln!(out, "file: {}", Printable(&file.to_string_lossy()))?;
        }
        // There are none of an agent that keeps its own files.
        if self.backups.is_dir() {
            writeln!(out, "backups: {}", Printable(&self.backups.to_string_lossy()))?;
        }
        for step in &rotation.steps {
            let note = if step.note.is_empty() { String::new() } else { format!("  {}", Printable(&step.note)) };
            writeln!(out, "{:.0}  {:?}{note}", step.at, step.state)?;
        }
        if let Some(until) = self.stop_goes_on_until {
            writeln!(out, "a stop of the service that was begun may still end it until {until:.0}")?;
        }
        if rotation.state == RotationState::Frozen {
            let thaw = args.command("thaw", &self.agent);
            writeln!(out, "When the agent is in order again: {}", Printable(&thaw))?;
        }
        Ok(())
    }
}
