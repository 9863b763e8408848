//! The process: arguments in, exit code out.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail};
use clap::{CommandFactory as _, Parser};
use kagiban_operator::cli::{Cli, Command, LogFormat, PlanExit, ServiceCommand, StandaloneArgs, WorkArgs};
use kagiban_operator::foreign::told;
use kagiban_operator::service::{self, SERVICE};
use kagiban_operator::{commands, enroll, plan, run};
use kagiban_process::errors::said_once;
use kagiban_process::log_lines::{self, Flush};
use kagiban_process::made_or_ended;
use kagiban_process::system::forbid_dumps;
use kagiban_service::{LogFile, Taken, log_panics, open_own_log, run_as_service, system_log, trust_account_of};
use tokio::runtime::Runtime;
use tracing::{Subscriber, error};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let failed = match cli.command {
        Some(Command::Plan(_)) => PlanExit::NoPlan.code().into(),
        Some(
            Command::Run(_)
            | Command::Standalone(_)
            | Command::Enroll(_)
            | Command::Explain(_)
            | Command::Completion(_)
            | Command::Local(_)
            | Command::Service(_),
        )
        | None => ExitCode::FAILURE,
    };
    // Its memory holds the CA's key: no core file, and no other process of its account may look.
    if let Err(error) = forbid_dumps() {
        fail(&anyhow::Error::from(error).context("the system does not keep this process's memory to itself"));
        return failed;
    }
    let command = cli.command.unwrap_or(Command::Run(cli.run));
    if matches!(command, Command::Service(_) | Command::Local(_)) {
        trust_account_of(&SERVICE);
    }
    let command = match command {
        // Its runtime belongs to the thread that the manager has it work on.
        Command::Service(ServiceCommand::Run(args)) => return serve_as_service(*args),
        command => command,
    };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            fail(&error);
            return failed;
        }
    };
    let done = match command {
        Command::Run(args) => {
            to_stderr(&args.work).and_then(|_flush| runtime.block_on(run::run(args))).map(|()| ExitCode::SUCCESS)
        }
        Command::Standalone(args) => {
            log(&args).and_then(|_flush| run::run_standalone(*args, runtime)).map(|()| ExitCode::SUCCESS)
        }
        Command::Enroll(args) => runtime.block_on(enroll::enroll(&args)).map(|()| ExitCode::SUCCESS),
        Command::Plan(args) => runtime.block_on(plan::plan(&args)).and_then(|plan| {
            // What nobody could read is no plan
            std::io::stdout().write_all(plan.text.as_bytes()).context("the plan cannot be printed")?;
            Ok(plan.exit.code().into())
        }),
        Command::Local(command) => runtime.block_on(commands::run(&command)).map(|()| ExitCode::SUCCESS),
        Command::Explain(args) => {
            let printed = std::io::stdout().write_all(commands::explain(args.product).as_bytes());
            printed.context("cannot print").map(|()| ExitCode::SUCCESS)
        }
        Command::Completion(args) => {
            let printed = std::io::stdout().write_all(args.script(&mut Cli::command()).as_bytes());
            printed.context("cannot print").map(|()| ExitCode::SUCCESS)
        }
        Command::Service(command) => {
            let done = service::run(&command, &mut std::io::stdout().lock());
            done.map_err(|error| anyhow!("{}: {error}", error.reason())).map(|()| ExitCode::SUCCESS)
        }
    };
    done.unwrap_or_else(|error| {
        fail(&error);
        failed
    })
}

fn runtime() -> anyhow::Result<Runtime> {
    made_or_ended(|| tokio::runtime::Builder::new_multi_thread().enable_all().build())
        .context("cannot start the runtime")
}

fn serve_as_service(args: StandaloneArgs) -> ExitCode {
    match run_as_service(&SERVICE, move || serve(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            fail(&anyhow!("{}: {error}", error.reason()));
            ExitCode::FAILURE
        }
    }
}

/// The code of a failure is 1; why, the log says.
fn serve(args: StandaloneArgs) -> u8 {
    let _flush = log_of_service(&args);
    log_panics();
    let prepared = service::prepare(&args).map_err(Into::into).and_then(|()| runtime());
    let worked = prepared.and_then(|runtime| run::run_standalone(args, runtime));
    worked.inspect_err(|error| error!("{}", said_once(error.chain()))).is_err().into()
}

fn log(args: &StandaloneArgs) -> anyhow::Result<Flush> {
    let Some(path) = &args.log_file else { return to_stderr(&args.work) };
    if let Some(why) = args.logged_over() {
        bail!(why);
    }
    let file = LogFile::open(path).with_context(|| format!("cannot log to {}", path.display()))?;
    let (writer, flush) = log_lines::to_writer(file);
    tracing_subscriber::registry().with(lines_of(&args.work, fmt::layer().with_ansi(false), writer)?).init();
    Ok(flush)
}

fn to_stderr(args: &WorkArgs) -> anyhow::Result<Flush> {
    let (writer, flush) = log_lines::to_stderr();
    let lines = lines_of(args, fmt::layer().with_ansi(std::io::stderr().is_terminal()), writer)?;
    tracing_subscriber::registry().with(lines).init();
    Ok(flush)
}

/// To a file, and what is a warning or worse to the system's log. A service works without the one or the other, and says so.
fn log_of_service(args: &StandaloneArgs) -> (Option<Flush>, Option<Taken>) {
    let opened = open_own_log(&SERVICE, args.log_file.as_deref()).map_err(anyhow::Error::from).and_then(|file| {
        let (writer, flush) = log_lines::to_writer(file);
        Ok((lines_of(&args.work, fmt::layer().with_ansi(false), writer)?, flush))
    });
    let (file, flush, failure) = match opened {
        Ok((lines, flush)) => (Some(lines), Some(flush), None),
        Err(error) => (None, None, Some(error)),
    };
    let (events, taken) = system_log(&SERVICE).unzip();
    let events = events
        .map(|events| fmt::layer().with_writer(events).with_ansi(false).without_time().with_filter(LevelFilter::WARN));
    tracing_subscriber::registry().with(file).with(events).init();
    if let Some(error) = failure {
        error!("there is no log file: {}", said_once(error.chain()));
    }
    (flush, taken)
}

fn lines_of<S>(
    args: &WorkArgs,
    layer: fmt::Layer<S>,
    writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static,
) -> anyhow::Result<Box<dyn Layer<S> + Send + Sync>>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let filter = args.log_filter()?;
    let lines = layer.with_writer(writer);
    Ok(match args.log_format {
        LogFormat::Text => lines.with_filter(filter).boxed(),
        LogFormat::Json => lines.json().with_filter(filter).boxed(),
    })
}

fn fail(error: &anyhow::Error) {
    log_lines::last_words(format!("kagiban-operator: {}", told(&said_once(error.chain()))));
}
