//! The command line, and the service control manager asked by it.

use std::ffi::OsString;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Parser, Subcommand};
use windows_service::service::{
    Service, ServiceAccess, ServiceErrorControl, ServiceInfo, ServiceStartType, ServiceState, ServiceType,
};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};

use crate::hosted;

const PATIENCE: Duration = Duration::from_secs(60);
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Registers it as a service.
    Install {
        #[command(flatten)]
        settings: Settings,
    },
    Start {
        name: String,
    },
    Stop {
        name: String,
    },
    Remove {
        name: String,
    },
    /// What the service control manager starts.
    Run(Settings),
}

#[derive(Args, Clone)]
pub(crate) struct Settings {
    pub(crate) name: String,
    #[arg(long)]
    pub(crate) directory: PathBuf,
    #[arg(long)]
    pub(crate) listen: SocketAddr,
}

pub(crate) fn main() -> ExitCode {
    match done(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "agent-double: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn done(command: Command) -> Result<()> {
    match command {
        Command::Install { settings } => install(settings),
        Command::Start { name } => {
            let service = open(&name, ServiceAccess::START | ServiceAccess::QUERY_STATUS)?;
            service.start::<&str>(&[])?;
            until(&service, ServiceState::Running)
        }
        Command::Stop { name } => {
            let service = open(&name, ServiceAccess::STOP | ServiceAccess::QUERY_STATUS)?;
            service.stop()?;
            until(&service, ServiceState::Stopped)
        }
        Command::Remove { name } => Ok(open(&name, ServiceAccess::DELETE)?.delete()?),
        Command::Run(settings) => hosted::run(settings),
    }
}

fn install(settings: Settings) -> Result<()> {
    let access = ServiceManagerAccess::CONNECT | ServiceManagerAccess::CREATE_SERVICE;
    let manager = ServiceManager::local_computer(None::<&str>, access)?;
    let words: [OsString; 6] = [
        "run".into(),
        settings.name.clone().into(),
        "--directory".into(),
        settings.directory.into(),
        "--listen".into(),
        settings.listen.to_string().into(),
    ];
    manager.create_service(
        &ServiceInfo {
            name: settings.name.clone().into(),
            display_name: format!("{} (a double)", settings.name).into(),
            service_type: ServiceType::OWN_PROCESS,
            start_type: ServiceStartType::OnDemand,
            error_control: ServiceErrorControl::Normal,
            executable_path: std::env::current_exe()?,
            launch_arguments: words.into(),
            dependencies: Vec::new(),
            account_name: None,
            account_password: None,
        },
        ServiceAccess::QUERY_STATUS,
    )?;
    Ok(())
}

fn open(name: &str, access: ServiceAccess) -> Result<Service> {
    let manager = ServiceManager::local_computer(None::<&str>, ServiceManagerAccess::CONNECT)?;
    manager.open_service(name, access).with_context(|| format!("the service {name}"))
}

fn until(service: &Service, state: ServiceState) -> Result<()> {
    let began = Instant::now();
    loop {
        let status = service.query_status()?;
        if status.current_state == state {
            return Ok(());
        }
        if status.current_state == ServiceState::Stopped || began.elapsed() > PATIENCE {
            bail!("it is {:?}, and was to be {state:?}: {:?}", status.current_state, status.exit_code);
        }
        thread::sleep(BETWEEN_LOOKS);
    }
}
