//! How a program of ours logs: lines of text or JSON, to stderr or a file, and as a service to its file and the system's log.

use std::io::{self, IsTerminal as _};
use std::path::Path;

use clap::ValueEnum;
use kagiban_process::log_lines::{self, Flush};
use tracing::{Subscriber, error};
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::{Filter, Layer, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Registry};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::log_file::LogFile;
use crate::own_log::open_own_log;
use crate::program::ServiceProgram;
use crate::system_log::{Taken, system_log};

/// What is logged, however that is said.
pub type LogFilter = Box<dyn Filter<Registry> + Send + Sync>;
type Lines = Box<dyn Layer<Registry> + Send + Sync>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// Logs to a file from now on, or to stderr where none is named.
///
/// # Errors
/// When the file cannot be used.
pub fn log_to(file: Option<&Path>, format: LogFormat, filter: LogFilter) -> io::Result<Flush> {
    let (lines, flush) = match file {
        Some(path) => {
            let (writer, flush) = log_lines::to_writer(LogFile::open(path)?);
            (lines(format, false, writer, filter), flush)
        }
        None => {
            let (writer, flush) = log_lines::to_stderr();
            (lines(format, io::stderr().is_terminal(), writer, filter), flush)
        }
    };
    tracing_subscriber::registry().with(lines).init();
    Ok(flush)
}

/// Logs as a service from now on: to a file, and what `events` lets through, warnings and worse, to the system's log. A service works
/// without the one or the other, and says so in the other. `lines` says how the file is written, or why there is none.
pub fn log_as_service(
    program: &'static ServiceProgram,
    file: Option<&Path>,
    lines_of_file: Result<(LogFormat, LogFilter), String>,
    events: LogFilter,
) -> (Option<Flush>, Option<Taken>) {
    let opened = lines_of_file.and_then(|of_file| {
        let opened = open_own_log(program, file).map_err(|error| error.to_string())?;
        Ok((of_file, opened))
    });
    let (file, flush, failure) = match opened {
        Ok(((format, filter), file)) => {
            let (writer, flush) = log_lines::to_writer(file);
            (Some(lines(format, false, writer, filter)), Some(flush), None)
        }
        Err(why) => (None, None, Some(why)),
    };
    let (of_system, taken) = system_log(program).unzip();
    let of_system = of_system
        .map(|writer| fmt::layer().with_writer(writer).with_ansi(false).without_time().with_filter(events).boxed());
    let layers: Vec<Lines> = file.into_iter().chain(of_system).collect();
    tracing_subscriber::registry().with(layers).init();
    if let Some(why) = failure {
        error!("there is no log file: {why}");
    }
    (flush, taken)
}

fn lines<S>(
    format: LogFormat,
    is_colored: bool,
    writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static,
    filter: impl Filter<S> + Send + Sync + 'static,
) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let lines = fmt::layer().with_ansi(is_colored).with_writer(writer);
    match format {
        LogFormat::Text => lines.with_filter(filter).boxed(),
        LogFormat::Json => lines.json().with_filter(filter).boxed(),
    }
}
