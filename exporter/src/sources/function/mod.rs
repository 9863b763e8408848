//! Whether an agent does its work, asked as its configuration says, or as its product is known to tell.
//!
//! ```text
//!   FunctionCheck ──ask──> command   a program, by its exit status
//!     ^                ├─> http      a path at the agent's endpoint, by its status
//!     │                └─> ups       what a PowerChute agent writes of its UPS into its event log, while its port takes a connection
//!   FunctionSource (between rotations), rotation (before and after)
//! ```

mod http;

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::FutureExt;
use hyper::Uri;
use jiff::Timestamp;
use kagiban_agents::Product;
use kagiban_crds::AgentName;
use kagiban_crds::host_api::{Failure, FunctionSighting, FunctionState};
use tokio::time::Instant;

use super::host::{LinkSince, UpsLink, ups_link};
use super::program;
use super::schedule::panicked;
use crate::blocking::{self, Work};
use crate::config::{AgentConfig, FunctionConfig, HttpFunctionConfig, Interval, UpsFunction};
use crate::installation::{Installed, local_endpoint};
use crate::platform::{self, Command, NoProgram, ProgramError};
use crate::probe::{self, Endpoint};
use crate::snapshot::{FunctionSeen, Label, Observation, Trouble};
use crate::trouble::one_of;

/// Every reason that a look can fail for: the agent could not be asked, so that nothing is known of it.
pub(super) const REASONS: &[&str] = &[
    "bad_address",
    "bad_server_name",
    "busy",
    "dns",
    "exposed",
    "malformed",
    NOT_ASKED,
    "not_regular",
    ProgramError::NOT_RUNNABLE,
    "not_started",
    "panic",
    "permission_denied",
    "read_failed",
    "symlink_loop",
    "timeout",
    "too_large",
];
const NOT_ASKED: &str = "not_asked";

/// What is asked over the network or of a file, unless the configuration says how often.
const INTERVAL: Duration = Duration::from_mins(5);
/// A command may start a Java client.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
const HTTP_TIMEOUT: Duration = Duration::from_secs(10);
/// A log is read in milliseconds, unless the file system hangs.
const READ_WITHIN: Duration = Duration::from_secs(5);
/// No question holds a rotation longer.
pub const LONGEST_TIMEOUT: Duration = Duration::from_mins(10);
const LONGEST_PATH: usize = 1024;
const MOST_STATUSES: usize = 16;

/// How an agent is asked whether it does its work.
#[derive(Clone, Debug)]
pub struct FunctionCheck {
    way: Way,
    /// None where it is asked by rotations alone.
    pub(super) interval: Option<Duration>,
    timeout: Duration,
}

#[derive(Clone, Debug)]
enum Way {
    Command(Command),
    Http { endpoint: Endpoint, path: String, works: Vec<u16> },
    Ups { event_log: PathBuf, endpoint: Option<Endpoint> },
}

/// When a question is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// At no particular one.
    Between,
    /// Before a rotation: what would not be said again after it proves nothing then.
    Before,
    /// After the service was restarted at this time, or later.
    After(Option<Timestamp>),
    /// After a program of the product's was begun at this time, or later, which may not have restarted what is asked.
    Renewed(Option<Timestamp>),
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FunctionAnswer {
    Works,
    DoesNotWork(Trouble),
    /// This host was kept from asking, or nobody has told.
    Unknown(Trouble),
}

/// Why a configuration of a question is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FunctionConfigError {
    #[error("needs one of command, http and ups")]
    NotOne,
    #[error("command: {0}")]
    NoProgram(#[from] NoProgram),
    #[error("http.path: must be a path such as /healthz, of 1024 characters at most")]
    NoPath,
    #[error("http.status: must name statuses from 200 to 599, 16 at most")]
    NoStatus,
    #[error("http: needs the agent's endpoint; write endpoint.address")]
    NoEndpoint,
    #[error(
        "ups: this product writes no event log that is known, or it is not known where; write directory, or ask it by command or http"
    )]
    NoEventLog,
    #[error("timeout: must be from 1s to 10m")]
    Timeout,
}

impl FunctionCheck {
    /// None where nothing is asked.
    ///
    /// # Errors
    /// See [`FunctionConfigError`].
    pub fn of(agent: &AgentConfig, at: Option<&Installed>) -> Result<Option<Self>, FunctionConfigError> {
        let default = FunctionConfig::default();
        let config = agent.verify.function.as_ref();
        let FunctionConfig { command, http, ups, timeout, interval } = config.unwrap_or(&default);
        let timeout = match timeout {
            Some(timeout) if timeout.as_secs() == 0 || *timeout > LONGEST_TIMEOUT => {
                return Err(FunctionConfigError::Timeout);
            }
            timeout => *timeout,
        };
        let event_log = || at.and_then(Installed::event_log);
        let of_ups = |event_log| Way::Ups { event_log, endpoint: endpoint(agent) };
        let (way, usual, usual_interval) = match (command, http, ups) {
            (Some(argv), None, None) => (Way::Command(Command::program(argv.clone())?), COMMAND_TIMEOUT, None),
            (None, Some(http), None) => (of_http(agent, http)?, HTTP_TIMEOUT, Some(INTERVAL)),
            (None, None, Some(UpsFunction::Unasked)) => return Ok(None),
            (None, None, Some(UpsFunction::Hears)) => {
                let event_log = event_log().ok_or(FunctionConfigError::NoEventLog)?;
                (of_ups(event_log), READ_WITHIN, Some(INTERVAL))
            }
            (None, None, None) if config.is_none() => match event_log() {
                Some(event_log) => (of_ups(event_log), READ_WITHIN, Some(INTERVAL)),
                None => return Ok(None),
            },
            _ => return Err(FunctionConfigError::NotOne),
        };
        let interval = interval.map(Interval::as_duration).or(usual_interval);
        Ok(Some(Self { way, interval, timeout: timeout.unwrap_or(usual) }))
    }

    /// By a program alone, which nothing but a rotation or a repair asks.
    ///
    /// # Errors
    /// See [`FunctionConfigError`].
    pub fn of_command(argv: &[String], timeout: Option<Duration>) -> Result<Self, FunctionConfigError> {
        if timeout.is_some_and(|timeout| timeout.as_secs() == 0 || timeout > LONGEST_TIMEOUT) {
            return Err(FunctionConfigError::Timeout);
        }
        let way = Way::Command(Command::program(argv.to_vec())?);
        Ok(Self { way, interval: None, timeout: timeout.unwrap_or(COMMAND_TIMEOUT) })
    }

    /// The program that is run, where one is.
    pub const fn command(&self) -> Option<&Command> {
        match &self.way {
            Way::Command(command) => Some(command),
            Way::Http { .. } | Way::Ups { .. } => None,
        }
    }

    /// Asks once, for `at_most` if that is less than its own timeout. `names` is whose threads a name is looked up on.
    pub async fn ask(&self, agent: &AgentName, moment: Moment, names: Work, at_most: Duration) -> FunctionAnswer {
        let timeout = self.timeout.min(at_most);
        match &self.way {
            Way::Command(command) => run(agent, command, timeout).await,
            Way::Http { endpoint, path, works } => {
                match http::status(endpoint, path, names, Instant::now() + timeout).await {
                    Ok(status) if works.contains(&status.as_u16()) => FunctionAnswer::Works,
                    Ok(status) => {
                        let message = format!("{}: {path} was answered with {status}", endpoint.address);
                        FunctionAnswer::DoesNotWork(Trouble::new("status", message))
                    }
                    Err(error) if error.is_the_endpoints() => {
                        FunctionAnswer::DoesNotWork(Trouble::new(error.reason(), error))
                    }
                    Err(error) => FunctionAnswer::Unknown(Trouble::new(error.reason(), error)),
                }
            }
            Way::Ups { event_log, endpoint } => {
                hears(event_log, endpoint.as_ref(), moment, names, Instant::now() + timeout).await
            }
        }
    }
}

impl FunctionAnswer {
    pub fn sighting(self, at: Timestamp) -> FunctionSighting {
        let (state, trouble) = match self {
            Self::Works => (FunctionState::Works, None),
            Self::DoesNotWork(trouble) => (FunctionState::DoesNotWork, Some(trouble)),
            Self::Unknown(trouble) => (FunctionState::Unknown, Some(trouble)),
        };
        let failure = trouble.map(|Trouble { reason, message }| Failure {
            reason: reason.to_owned(),
            message: message.as_str().to_owned(),
        });
        FunctionSighting { state, at, failure }
    }
}

fn of_http(agent: &AgentConfig, http: &HttpFunctionConfig) -> Result<Way, FunctionConfigError> {
    let HttpFunctionConfig { path, status } = http;
    let is_path =
        path.starts_with('/') && path.len() <= LONGEST_PATH && path.bytes().all(|byte| byte.is_ascii_graphic());
    let is_taken = path.parse::<Uri>().is_ok_and(|uri| uri.authority().is_none() && !path.contains('#'));
    if !is_path || !is_taken {
        return Err(FunctionConfigError::NoPath);
    }
    if !(1..=MOST_STATUSES).contains(&status.len()) || !status.iter().all(|status| (200..=599).contains(status)) {
        return Err(FunctionConfigError::NoStatus);
    }
    let endpoint = endpoint(agent).ok_or(FunctionConfigError::NoEndpoint)?;
    Ok(Way::Http { endpoint, path: path.clone(), works: status.clone() })
}

fn endpoint(agent: &AgentConfig) -> Option<Endpoint> {
    agent.endpoint.as_ref().map(Endpoint::from).or_else(|| local_endpoint(agent.product, None))
}

/// Others may exchange what it runs between two questions, so that is looked at each time.
async fn run(agent: &AgentName, command: &Command, timeout: Duration) -> FunctionAnswer {
    // No name of an agent has a space: questions that hang take nothing from what starts the service.
    let asked = format!("{agent} function");
    let unknown = |reason, message: &dyn std::fmt::Display| FunctionAnswer::Unknown(Trouble::new(reason, message));
    if let Err(Trouble { reason, message }) = program::unexposed("the command that is asked", &asked, command).await {
        return unknown(reason, &message);
    }
    match platform::run(&asked, command, timeout).await {
        Ok(()) => FunctionAnswer::Works,
        Err(error @ (ProgramError::Failed { .. } | ProgramError::TimedOut { .. })) => {
            FunctionAnswer::DoesNotWork(Trouble::new(error.reason(), error))
        }
        Err(
            error @ (ProgramError::NotRunnable { .. }
            | ProgramError::NotStarted { .. }
            | ProgramError::NotLaunched { .. }
            | ProgramError::TooMuch { .. }
            | ProgramError::Lost { .. }
            | ProgramError::Service(_)),
        ) => unknown(error.reason(), &error),
    }
}

/// Whether the agent has written that it hears its UPS, and is there. A version that does not write so when it is started would be taken
/// for one that has lost its UPS, so that such a log tells nothing before a rotation. Where nothing of the agent can be asked, a log tells
/// nothing between rotations, and only of the restart in one.
async fn hears(
    event_log: &Path,
    endpoint: Option<&Endpoint>,
    moment: Moment,
    names: Work,
    deadline: Instant,
) -> FunctionAnswer {
    // Some logs have whole seconds.
    let whole = |since: Timestamp| Timestamp::from_second(since.as_second()).unwrap_or(since);
    let since = match moment {
        Moment::After(Some(since)) => LinkSince::Restart(whole(since)),
        Moment::Renewed(Some(since)) => LinkSince::Perhaps(whole(since)),
        Moment::Between | Moment::Before | Moment::After(None) | Moment::Renewed(None) => LinkSince::Boot,
    };
    let path = event_log.to_owned();
    let read = blocking::run(Work::Host, deadline, move || ups_link(&path, since)).await;
    let untold =
        |why: &str| FunctionAnswer::Unknown(Trouble::new("not_told", format!("{}: {why}", event_log.display())));
    match read {
        Ok(Ok(UpsLink::Heard { from_its_start: false })) if moment == Moment::Before => untold(
            "the agent hears its UPS, and has not written so when it was started; it is not expected to do so after the rotation",
        ),
        Ok(Ok(UpsLink::Heard { .. })) => match endpoint {
            Some(endpoint) => is_there(endpoint, names, deadline).await,
            None if moment == Moment::Between => untold(
                "the agent has written that it hears its UPS, and whether it still runs cannot be asked; write endpoint.address",
            ),
            None => FunctionAnswer::Works,
        },
        Ok(Ok(UpsLink::Lost)) => {
            let message =
                format!("{}: the agent has lost its UPS; see the cable and the agent's own log", event_log.display());
            FunctionAnswer::DoesNotWork(Trouble::new("communication_lost", message))
        }
        Ok(Ok(UpsLink::Untold)) => untold("it does not say whether the agent hears its UPS since it was started"),
        Ok(Err(trouble)) => FunctionAnswer::Unknown(trouble),
        Err(blocked) => FunctionAnswer::Unknown(Trouble::new(blocked.reason(), blocked)),
    }
}

/// An agent that has crashed has written nothing of that.
async fn is_there(endpoint: &Endpoint, names: Work, deadline: Instant) -> FunctionAnswer {
    match probe::dial(endpoint, names, deadline).await {
        Ok(_) => FunctionAnswer::Works,
        Err(error) if error.is_the_endpoints() => FunctionAnswer::DoesNotWork(Trouble::new(error.reason(), error)),
        Err(error) => FunctionAnswer::Unknown(Trouble::new(error.reason(), error)),
    }
}

/// Asks between rotations.
#[derive(Debug)]
pub(super) struct FunctionSource {
    agent: AgentName,
    product: Product,
    check: FunctionCheck,
}

impl FunctionSource {
    pub(super) const fn new(agent: AgentName, product: Product, check: FunctionCheck) -> Self {
        Self { agent, product, check }
    }

    /// An agent that does not work was looked at well.
    pub(super) async fn look(&mut self) -> (Observation, Option<Trouble>) {
        let asked = AssertUnwindSafe(self.check.ask(&self.agent, Moment::Between, Work::SourceNames, LONGEST_TIMEOUT))
            .catch_unwind();
        let answer = asked.await.unwrap_or_else(|_| FunctionAnswer::Unknown(panicked("panic")));
        let trouble = match &answer {
            FunctionAnswer::Unknown(trouble) if trouble.reason != "not_told" => {
                let reason = one_of(REASONS, trouble.reason, NOT_ASKED);
                Some(Trouble { reason, ..trouble.clone() })
            }
            FunctionAnswer::Works | FunctionAnswer::DoesNotWork(_) | FunctionAnswer::Unknown(_) => None,
        };
        let sighting = answer.sighting(Timestamp::now());
        let seen = FunctionSeen {
            agent: Label::new(self.agent.as_str()),
            product: self.product,
            worked_at: sighting.works().then_some(sighting.at),
            sighting,
        };
        (Observation::Function(seen), trouble)
    }
}

#[cfg(test)]
mod tests;
