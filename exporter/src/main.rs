//! kagiban-exporter: the process around the library.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::{CommandFactory as _, Parser};
use kagiban_exporter::cli::{
    CheckArgs, Cli, CliCommand, DiscoverArgs, KeystoreCommand, ListArgs, NO_LOG, RotationCommand, ServeArgs,
    ServiceCommand, ShutdownCommand, WorkArgs, list_keystore, one_line, print_check, print_discovered, run_rotation,
    run_service, run_shutdown,
};
use kagiban_exporter::host_api::AUDIT_TARGET;
use kagiban_exporter::platform::{InheritedSocket, SERVICE};
use kagiban_exporter::service::Listen;
use kagiban_exporter::{blocking, platform, service};
use kagiban_process::completion::CompletionArgs;
use kagiban_process::errors::said_once;
use kagiban_process::log_lines::{self, Flush};
use kagiban_service::{LogFilter, Taken, log_as_service, log_panics, log_to};
use tokio::runtime::Runtime;
use tracing::{Level, error};
use tracing_subscriber::filter::{LevelFilter, Targets};

/// The work is short and seldom; more threads would only cost memory.
const WORKER_THREADS: usize = 2;
/// A file read that hangs must not keep the process from ending.
const LAST_WAIT: Duration = Duration::from_millis(500);

/// It tells each datagram that it cannot read as a warning and each unanswered one as an error: who can send a datagram could
/// fill the log. The source tells its failure once.
const SNMP_LIBRARY_TARGET: &str = "async_snmp";

fn main() -> ExitCode {
    if let Some(ended) = platform::command_process(std::env::args_os().skip(1)) {
        return ended;
    }
    let Cli { command, serve } = Cli::parse();
    if let Err(error) = platform::forbid_dumps() {
        return fail(&format!("the kernel does not keep this process's memory to itself: {error}"));
    }
    match command {
        Some(CliCommand::Check(args)) => inspect(args).unwrap_or_else(|error| failed(&error)),
        Some(CliCommand::Discover(args)) => discover(&args).unwrap_or_else(|error| failed(&error)),
        Some(CliCommand::Keystore(KeystoreCommand::List(args))) => list(&args),
        Some(CliCommand::Rotation(command)) => rotation(&command),
        Some(CliCommand::Service(ServiceCommand::Run(args))) => run_as_service(args),
        Some(CliCommand::Service(command)) => registration(&command),
        Some(CliCommand::Shutdown(command)) => shutdown(&command),
        Some(CliCommand::Completion(args)) => completion(&args).unwrap_or_else(|error| failed(&error)),
        None => run(serve).unwrap_or_else(|error| failed(&error)),
    }
}

fn inspect(args: CheckArgs) -> Result<ExitCode> {
    let page = on_runtime(service::inspect(args.config_file, &args.listen_addresses))??;
    print_check(&page, args.output, &mut io::BufWriter::new(io::stdout().lock())).context("cannot print")?;
    Ok(ExitCode::from(u8::from(!page.works())))
}

fn discover(args: &DiscoverArgs) -> Result<ExitCode> {
    let found = on_runtime(service::discover(args.host.clone()))??;
    print_discovered(&found, args, &mut io::BufWriter::new(io::stdout().lock())).context("cannot print")?;
    Ok(ExitCode::SUCCESS)
}

fn completion(args: &CompletionArgs) -> Result<ExitCode> {
    io::stdout().lock().write_all(args.script(&mut Cli::command()).as_bytes()).context("cannot print")?;
    Ok(ExitCode::SUCCESS)
}

fn list(args: &ListArgs) -> ExitCode {
    match list_keystore(args, &mut io::BufWriter::new(io::stdout().lock())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("{}: {error}", error.reason())),
    }
}

fn rotation(command: &RotationCommand) -> ExitCode {
    match run_rotation(command, &mut io::BufWriter::new(io::stdout().lock())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("{}: {error}", error.reason())),
    }
}

fn registration(command: &ServiceCommand) -> ExitCode {
    match run_service(command, &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("{}: {error}", error.reason())),
    }
}

fn shutdown(command: &ShutdownCommand) -> ExitCode {
    match run_shutdown(command, &mut io::BufWriter::new(io::stdout().lock())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("{}: {error}", error.reason())),
    }
}

/// The code of a failure is 1; why, the log says.
fn run_as_service(args: WorkArgs) -> ExitCode {
    let work = || {
        let _flush = log_of_service(&args);
        log_panics();
        let worked = on_runtime(serve(args, None)).and_then(|worked| worked);
        worked.inspect_err(|error| error!("{}", said_once(error.chain()))).is_err().into()
    };
    match kagiban_service::run_as_service(&SERVICE, work) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("{}: {error}", error.reason())),
    }
}

fn run(args: ServeArgs) -> Result<ExitCode> {
    let _flush = log(&args.work)?;
    if args.config_check {
        let path = args.work.config_file.as_deref().context("--config.check needs --config.file")?;
        return check(path, args.work.web_config_file.as_deref());
    }
    // Before there is a second thread: it changes the environment.
    let sockets = args.systemd_socket.then(platform::inherited_sockets).transpose()?;
    if args.once {
        on_runtime(once(args.work))?
    } else {
        on_runtime(serve(args.work, sockets))?.map(|()| ExitCode::SUCCESS)
    }
}

/// Every warning and every problem by itself, and in the end one line that says that there is none.
fn check(config: &Path, web_config: Option<&Path>) -> Result<ExitCode> {
    let checked = service::check(config, web_config)?;
    checked.warnings.iter().for_each(|warning| _ = fail(&format!("warning: {warning}")));
    if checked.problems.is_empty() {
        writeln!(io::stdout().lock(), "{checked}").context("cannot print")?;
        return Ok(ExitCode::SUCCESS);
    }
    checked.problems.iter().for_each(|problem| _ = fail(problem));
    Ok(ExitCode::FAILURE)
}

async fn once(args: WorkArgs) -> Result<ExitCode> {
    let (metrics, all_up) = service::once(args.config_file).await?;
    io::stdout().lock().write_all(&metrics).context("cannot print the metrics")?;
    Ok(ExitCode::from(u8::from(!all_up)))
}

async fn serve(args: WorkArgs, sockets: Option<Vec<InheritedSocket>>) -> Result<()> {
    let options = service::Options {
        config_file: args.config_file,
        listen: sockets.map_or(Listen::Addresses(args.listen_addresses), Listen::Inherited),
        web_config_file: args.web_config_file,
        telemetry_path: args.telemetry_path,
    };
    Ok(service::serve(options).await?)
}

fn on_runtime<T>(work: impl Future<Output = T>) -> Result<T> {
    let runtime = runtime()?;
    let worked = runtime.block_on(work);
    // Whatever came of it: to drop the runtime, or to wait for all work, would wait for a file read that hangs.
    runtime.shutdown_timeout(LAST_WAIT);
    blocking::wait_for_the_end(LAST_WAIT);
    Ok(worked)
}

fn runtime() -> Result<Runtime> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(WORKER_THREADS).max_blocking_threads(blocking::MAX_THREADS).enable_all();
    kagiban_process::made_or_ended(|| runtime.build()).context("cannot start the runtime")
}

/// To stderr, or a file: stdout belongs to `--once`.
fn log(args: &WorkArgs) -> Result<Flush> {
    check_log(args)?;
    let logs = log_to(args.log_file.as_deref(), args.log_format, Box::new(logged(args)));
    logs.with_context(|| format!("cannot log to {}", args.log_file.as_deref().unwrap_or(Path::new("stderr")).display()))
}

fn log_of_service(args: &WorkArgs) -> (Option<Flush>, Option<Taken>) {
    let lines = check_log(args).map_err(|error| said_once(error.chain()));
    let lines = lines.map(|()| (args.log_format, Box::new(logged(args)) as LogFilter));
    let events = Targets::new().with_default(Level::WARN).with_target(SNMP_LIBRARY_TARGET, LevelFilter::OFF);
    log_as_service(&SERVICE, args.log_file.as_deref(), lines, Box::new(events))
}

/// No file that decides what this program does is written over.
fn check_log(args: &WorkArgs) -> Result<()> {
    match args.logged_over() {
        Some(path) => Err(anyhow!("{}: {NO_LOG}", path.display())),
        None => Ok(()),
    }
}

/// The host API's audit is written whatever the level, and found by its target.
fn logged(args: &WorkArgs) -> Targets {
    Targets::new()
        .with_default(args.log_level)
        .with_target(AUDIT_TARGET, Level::TRACE)
        .with_target(SNMP_LIBRARY_TARGET, LevelFilter::OFF)
}

fn failed(error: &anyhow::Error) -> ExitCode {
    fail(&said_once(error.chain()))
}

fn fail(message: &str) -> ExitCode {
    log_lines::last_words(format!("kagiban-exporter: {}", one_line(message)));
    ExitCode::FAILURE
}
