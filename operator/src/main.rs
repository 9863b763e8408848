//! The process: arguments in, exit code out.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail};
use clap::{CommandFactory as _, Parser};
use kagiban_operator::cli::{Cli, Command, PlanExit, ServiceCommand, StandaloneArgs, WorkArgs};
use kagiban_operator::foreign::told;
use kagiban_operator::service::{self, SERVICE};
use kagiban_operator::{commands, enroll, plan, run};
use kagiban_process::errors::said_once;
use kagiban_process::log_lines::{self, Flush};
use kagiban_process::made_or_ended;
use kagiban_process::system::forbid_dumps;
use kagiban_service::{LogFilter, Taken, log_as_service, log_panics, log_to, run_as_service, trust_account_of};
use tokio::runtime::Runtime;
use tracing::error;
use tracing_subscriber::filter::LevelFilter;

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
    if let Some(why) = args.logged_over() {
        bail!(why);
    }
    let filter = Box::new(args.work.log_filter()?);
    let logs = log_to(args.log_file.as_deref(), args.work.log_format, filter);
    logs.with_context(|| format!("cannot log to {}", args.log_file.as_deref().unwrap_or(Path::new("stderr")).display()))
}

fn to_stderr(args: &WorkArgs) -> anyhow::Result<Flush> {
    Ok(log_to(None, args.log_format, Box::new(args.log_filter()?))?)
}

fn log_of_service(args: &StandaloneArgs) -> (Option<Flush>, Option<Taken>) {
    let filter = args.work.log_filter().map_err(|error| format!("--log-level: {error}"));
    let lines = filter.map(|filter| (args.work.log_format, Box::new(filter) as LogFilter));
    log_as_service(&SERVICE, args.log_file.as_deref(), lines, Box::new(LevelFilter::WARN))
}

fn fail(error: &anyhow::Error) {
    log_lines::last_words(format!("kagiban-operator: {}", told(&said_once(error.chain()))));
}
