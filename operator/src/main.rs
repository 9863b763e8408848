//! The process: arguments in, exit code out.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser};
use kagiban_operator::cli::{Cli, Command, LogFormat, PlanExit, WorkArgs};
use kagiban_operator::foreign::told;
use kagiban_operator::{commands, enroll, plan, run};
use kagiban_process::errors::said_once;
use kagiban_process::log_lines::{self, Flush};
use kagiban_process::made_or_ended;
use kagiban_process::system::forbid_dumps;

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
            | Command::Local(_),
        )
        | None => ExitCode::FAILURE,
    };
    // Its memory holds the CA's key: no core file, and no other process of its account may look.
    if let Err(error) = forbid_dumps() {
        fail(&anyhow::Error::from(error).context("the system does not keep this process's memory to itself"));
        return failed;
    }
    let runtime = match made_or_ended(|| tokio::runtime::Builder::new_multi_thread().enable_all().build()) {
        Ok(runtime) => runtime,
        Err(error) => {
            fail(&anyhow::Error::from(error));
            return failed;
        }
    };
    let done = match cli.command.unwrap_or(Command::Run(cli.run)) {
        Command::Run(args) => {
            log(&args.work).and_then(|_flush| runtime.block_on(run::run(args))).map(|()| ExitCode::SUCCESS)
        }
        Command::Standalone(args) => {
            log(&args.work).and_then(|_flush| runtime.block_on(run::run_standalone(*args))).map(|()| ExitCode::SUCCESS)
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
    };
    done.unwrap_or_else(|error| {
        fail(&error);
        failed
    })
}

fn log(args: &WorkArgs) -> anyhow::Result<Flush> {
    let filter = args.log_filter()?;
    let (writer, flush) = log_lines::to_stderr();
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match args.log_format {
        LogFormat::Text => logs.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogFormat::Json => logs.json().init(),
    }
    Ok(flush)
}

fn fail(error: &anyhow::Error) {
    log_lines::last_words(format!("kagiban-operator: {}", told(&said_once(error.chain()))));
}
