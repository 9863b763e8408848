//! The process: arguments in, exit code out.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use kagiban_operator::cli::{Cli, Command, LogFormat, RunArgs};
use kagiban_operator::{plan, run};
use tracing_subscriber::EnvFilter;

/// No plan could be made: neither "nothing is wrong" nor "something is". A wrong command line ends with the same.
const PLAN_FAILED: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Its memory holds the CA's key: no core file, and no other process of its account may look.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable) {
        return fail(&anyhow::Error::from(error).context("the kernel does not keep this process's memory to itself"));
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::from(error)),
    };
    match cli.command.unwrap_or(Command::Run(cli.run)) {
        Command::Run(args) => match log(&args).and_then(|()| runtime.block_on(run::run(args))) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        },
        Command::Plan(args) => match runtime.block_on(plan::plan(&args)) {
            Ok(plan) => {
                let printed = std::io::stdout().write_all(plan.text.as_bytes());
                if plan.clear && printed.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
            }
            Err(error) => {
                fail(&error);
                ExitCode::from(PLAN_FAILED)
            }
        },
    }
}

fn log(args: &RunArgs) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&args.log_level)?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Text => logs.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogFormat::Json => logs.json().init(),
    }
    Ok(())
}

fn fail(error: &anyhow::Error) -> ExitCode {
    // nothing is left to do when even stderr is gone
    let _ = writeln!(std::io::stderr(), "kagiban-operator: {error:#}");
    ExitCode::FAILURE
}
