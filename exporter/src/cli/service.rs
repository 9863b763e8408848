//! `service install`, `remove`, `start`, `stop` and `reload`: this program as a service that its system starts.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser as _;
use kagiban_service::commands::{self, MANAGER_DEADLINE};
use kagiban_service::{
    Given, Registration, RegistrationError, ServiceAccount, refused_option, register_service, registered_service,
    reload_service, service_directory,
};

use super::{Cli, CliCommand, InstallArgs, RestoreArgs, ServiceCommand, WorkArgs, one_line};
use crate::platform::{self, FileError, SERVICE, WriteError};
use crate::service::{self, ServiceError};

const NAME: &str = SERVICE.name;
const CONFIG_FILE: &str = "--config.file";
/// In the directory of the service.
const CONFIGURATION: &str = "exporter.yaml";
/// What is written where no configuration is.
const FIRST_CONFIGURATION: &str = include_str!("../../packaging/windows/exporter.yaml");

/// Of a file that says what the program does.
pub const NO_LOG: &str = "the log would be written into what is read here; name a file of its own";

/// Why a command did not do what it is for.
#[derive(Debug, thiserror::Error)]
pub enum ServiceCommandError {
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error("the configuration is refused, and nothing was registered: {}", .0.join("; "))]
    Refused(Vec<String>),
    #[error("cannot write a first configuration: {0}")]
    Write(#[from] WriteError),
    #[error("{}: no absolute path can be made of it: {source}", path.display())]
    Path { path: PathBuf, source: io::Error },
    #[error("others could have the service, which acts as the system, do what they like: {0}")]
    Exposed(FileError),
    #[error("it cannot be seen who may change what decides what the service does: {0}")]
    Unseen(FileError),
    #[error(
        "the service is registered as `{registered}`, of which nothing can be kept: {why}; nothing was changed; register it by \
         `kagiban-exporter service install`, with every option that it needs and without --keep, and then do this again"
    )]
    NotKept { registered: String, why: String },
    #[error("cannot print: {0}")]
    Print(#[from] io::Error),
}

impl ServiceCommandError {
    /// Stable, for scripts.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Registration(error) => error.reason(),
            Self::Service(error) => error.reason(),
            Self::Refused(_) => "config",
            Self::Write(_) => "first_configuration",
            Self::Path { .. } => "path",
            Self::Exposed(error) | Self::Unseen(error) => error.reason(),
            Self::NotKept { .. } => "not_kept",
            Self::Print(_) => "print",
        }
    }
}

/// Does what a person, or an installer, asks for.
///
/// # Errors
/// When it is not done.
pub fn run(command: &ServiceCommand, out: &mut dyn Write) -> Result<(), ServiceCommandError> {
    match command {
        ServiceCommand::Install(args) => install(args, out),
        ServiceCommand::Restore(args) => restore(args, out),
        ServiceCommand::Remove(args) => commands::remove(&SERVICE, Duration::from_secs(args.timeout), out),
        ServiceCommand::Start => commands::start(&SERVICE, out),
        ServiceCommand::Stop(args) => commands::stop(&SERVICE, Duration::from_secs(args.timeout), out),
        ServiceCommand::Reload => {
            reload_service(&SERVICE, MANAGER_DEADLINE)?;
            Ok(writeln!(out, "{NAME} loads its configuration; its log says what came of it")?)
        }
        // It is the process that works, and nothing that is done and over.
        ServiceCommand::Run(_) => Err(RegistrationError::NotStartedByManager(&SERVICE).into()),
    }
}

fn install(install: &InstallArgs, out: &mut dyn Write) -> Result<(), ServiceCommandError> {
    let directory = service_directory(&SERVICE)?;
    let there = if install.keep { registered_service(&SERVICE, MANAGER_DEADLINE)? } else { None };
    let given = match there {
        Some(there) => install.given.over(kept(&there.arguments)?),
        None => install.given.clone(),
    };
    let given = given.absolute().map_err(|(path, source)| ServiceCommandError::Path { path, source })?;
    let given = if given.names(CONFIG_FILE) {
        given
    } else {
        given.with(CONFIG_FILE, first_configuration(&directory, out)?.into())
    };
    let arguments = given.arguments();
    let args = parsed(&arguments)?;
    let config_file = args.config_file.clone().unwrap_or_default();
    let program = std::env::current_exe().map_err(|source| ServiceCommandError::Path { path: "".into(), source })?;
    let refused = |error| match error {
        FileError::Exposed(_) => ServiceCommandError::Exposed(error),
        error => ServiceCommandError::Unseen(error),
    };
    platform::check_unexposed_program(&program).map_err(refused)?;
    let deciding = [Some(&config_file), args.web_config_file.as_ref(), args.log_file.as_ref()];
    deciding.into_iter().flatten().try_for_each(|path| platform::check_unexposed(path)).map_err(refused)?;
    let checked = service::check(&config_file, args.web_config_file.as_deref())?;
    // What it is refused for is told with the refusal.
    for warning in checked.warnings.iter().filter(|warning| !checked.exposed.contains(warning)) {
        writeln!(out, "warning: {}", one_line(warning))?;
    }
    let logged_over = args.logged_over().map(|path| format!("--log.file: {}: {NO_LOG}", path.display()));
    let problems = [checked.problems, checked.exposed, logged_over.into_iter().collect()].concat();
    if !problems.is_empty() {
        return Err(ServiceCommandError::Refused(problems));
    }
    let keeps_start = install.keep;
    let registration = Registration { program: None, arguments, keeps_start, account: ServiceAccount::AsItIs };
    commands::register(&SERVICE, &registration, out)
}

/// What the service has already.
fn kept(registered: &[OsString]) -> Result<Given<WorkArgs>, ServiceCommandError> {
    Given::registered::<Cli>(&SERVICE, registered).map_err(|why| {
        let words: Vec<_> = registered.iter().map(|word| one_line(&word.to_string_lossy())).collect();
        ServiceCommandError::NotKept { registered: words.join(" "), why: one_line(&why) }
    })
}

/// As the manager starts it.
fn parsed(arguments: &[OsString]) -> Result<WorkArgs, ServiceCommandError> {
    let refused = |why: &str| ServiceCommandError::Refused(vec![one_line(why)]);
    let words = std::iter::once(NAME.into()).chain(arguments.iter().cloned());
    match Cli::try_parse_from(words).map(|cli| cli.command) {
        Ok(Some(CliCommand::Service(ServiceCommand::Run(args)))) => Ok(args),
        Ok(_) => Err(refused("they are another command's")),
        Err(error) => Err(refused(&refused_option(&error))),
    }
}

/// No file is looked at: it was so before, and an installation that fails leaves it as it was.
fn restore(args: &RestoreArgs, out: &mut dyn Write) -> Result<(), ServiceCommandError> {
    let Some((program, arguments)) = args.command_line.split_first() else { return Ok(()) };
    let program = PathBuf::from(unmarked(program));
    // Of a path with spaces that stands there without quotes the first word is no program. Windows runs it all the same.
    if !program.is_file() {
        let there = registered_service(&SERVICE, MANAGER_DEADLINE)?;
        if there.is_some_and(|there| there.arguments == arguments) {
            return Ok(writeln!(out, "{NAME} is registered as it was")?);
        }
        let registered = one_line(&program.display().to_string());
        return Err(ServiceCommandError::NotKept { registered, why: "there is no such program".to_owned() });
    }
    let registration = Registration {
        program: Some(program),
        arguments: arguments.to_vec(),
        keeps_start: true,
        account: ServiceAccount::AsItIs,
    };
    register_service(&SERVICE, &registration, MANAGER_DEADLINE)?;
    Ok(writeln!(out, "{NAME} is registered as it was")?)
}

/// Windows Installer writes `#%` before what the registry has as text with variables.
fn unmarked(program: &OsStr) -> OsString {
    match program.to_str().and_then(|program| program.strip_prefix("#%")) {
        Some(program) => program.into(),
        None => program.to_owned(),
    }
}

/// The configuration of who names none. What is there is never written over.
fn first_configuration(directory: &Path, out: &mut dyn Write) -> Result<PathBuf, ServiceCommandError> {
    platform::create_private_directory(directory)?;
    let path = directory.join(CONFIGURATION);
    // One that cannot be looked at is not written over either: whoever reads it says why.
    if matches!(platform::identify(&path), Err(FileError::NotFound { .. })) {
        platform::write_new(&path, FIRST_CONFIGURATION.as_bytes(), None)?;
        writeln!(out, "wrote {}, which names nothing to look at yet", path.display())?;
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(words: &[&str]) -> Given<WorkArgs> {
        let cli = Cli::try_parse_from([&["x", "service", "install"], words].concat()).expect("good words");
        match cli.command {
            Some(CliCommand::Service(ServiceCommand::Install(args))) => args.given,
            other => panic!("{other:?}"),
        }
    }

    fn installed(words: &[&str]) -> WorkArgs {
        parsed(&given(words).arguments()).expect("good options")
    }

    fn after_upgrade(registered: &[&str], words: &[&str]) -> Result<Vec<OsString>, ServiceCommandError> {
        let registered: Vec<OsString> = registered.iter().map(Into::into).collect();
        kept(&registered).map(|there| given(words).over(there).arguments())
    }

    #[test]
    fn what_is_not_given_again_is_kept_and_what_is_given_takes_its_place() {
        for (registered, given, expected) in [
            ("service run", "", "service run"),
            ("service run --config.file /a~b.yaml --web.config.file /w.yaml", "", "AS BEFORE"),
            (
                "service run --web.config.file=/w.yaml --log.file=/l --log.format json",
                "--log.level debug",
                "service run --web.config.file /w.yaml --log.level debug --log.file /l --log.format json",
            ),
            (
                "service run --web.listen-address :1 --web.listen-address [::1]:2 --web.telemetry-path /m",
                "",
                "AS BEFORE",
            ),
            (
                "service run --web.config.file /w --web.listen-address :1 --web.listen-address :2",
                "--web.listen-address :3",
                "service run --web.listen-address :3 --web.config.file /w",
            ),
            // A default that is given is given.
            (
                "service run --config.file /c --web.listen-address :1 --log.level debug",
                "--web.listen-address :9996 --log.level info --config.file /d",
                "service run --config.file /d --web.listen-address :9996 --log.level info",
            ),
        ] {
            let parted = |line: &'static str| -> Vec<&'static str> { line.split_whitespace().collect() };
            let expected = if expected == "AS BEFORE" { registered } else { expected };
            let told = after_upgrade(&parted(registered), &parted(given)).expect("it is kept");
            assert_eq!(told, parted(expected), "{registered} with {given}");
        }
        let with_space = ["service", "run", "--config.file", "/Program Data/a \"b\".yaml"];
        assert_eq!(after_upgrade(&with_space, &[]).expect("it is kept"), with_space);
    }

    #[test]
    fn a_registered_option_that_is_not_known_is_refused_by_its_name() {
        for (registered, named) in [
            (&["service", "run", "--web.old-option", "x"][..], "--web.old-option"),
            (&["service", "run", "--config.file", "a", "--config.file", "b"], "--config.file"),
            (&["service", "run", "--log.level", "shout"], "--log.level"),
            (&["service", "stop"], "does not run this program"),
            (&["--config.file", "c"], "does not run this program"),
            (&[], "does not run this program"),
        ] {
            let error = after_upgrade(registered, &[]).expect_err("it is refused");
            let text = error.to_string();
            // Beside the line itself, which has it too.
            let why = text.split_once("can be kept: ").map(|(_, why)| why).unwrap_or_default();
            assert!(error.reason() == "not_kept" && why.contains(named) && !text.contains('\n'), "{text}");
            assert!(text.contains("nothing was changed") && text.contains("without --keep"), "{text}");
        }
    }

    #[test]
    fn a_command_line_of_the_registry_comes_back_whole_from_behind_two_dashes() {
        let line = ["#%C:\\Program Files\\x.exe", "service", "run", "--config.file", "--", "--version"];
        let words = ["x", "service", "restore", "--"].iter().chain(&line);
        let cli = Cli::try_parse_from(words).expect("good words");
        let Some(CliCommand::Service(ServiceCommand::Restore(args))) = cli.command else { panic!("another command") };
        assert_eq!(args.command_line, line);
        assert_eq!(unmarked(&args.command_line[0]), "C:\\Program Files\\x.exe");
        assert_eq!(unmarked(OsStr::new("/x")), "/x");
    }

    #[test]
    fn what_a_service_is_given_means_what_it_was_installed_with() {
        for words in [
            &[][..],
            &["--config.file", "c.yaml", "--web.config.file", "w.yaml", "--web.telemetry-path", "/m"],
            &["--web.listen-address", "127.0.0.1:1", "--web.listen-address", "[::1]:2", "--log.level", "debug"],
            &["--log.format", "json", "--log.level", "error", "--log.file", "l"],
        ] {
            let args = installed(words);
            let kept = given(words).arguments();
            let cli = Cli::try_parse_from([vec!["x".into()], kept.clone()].concat()).expect("they are options");
            let Some(CliCommand::Service(ServiceCommand::Run(run))) = cli.command else { panic!("{kept:?}") };
            assert_eq!(format!("{run:?}"), format!("{args:?}"));
            assert_eq!(kept.len(), 2 + words.len(), "{kept:?}");
        }
    }

    #[test]
    fn a_first_configuration_is_one_that_works_and_is_never_written_over() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut out = Vec::new();
        let within = directory.path().join("kagiban");
        let path = first_configuration(&within, &mut out).expect("written");
        let checked = service::check(&path, None).expect("read");
        assert_eq!((checked.problems, checked.warnings), (Vec::new(), Vec::new()));
        assert!(!out.is_empty());
        std::fs::write(&path, "mine").expect("it can be written");
        out.clear();
        first_configuration(&within, &mut out).expect("it is there");
        assert_eq!(std::fs::read_to_string(&path).expect("read"), "mine");
        assert!(out.is_empty());
    }

    #[test]
    fn a_log_in_the_place_of_what_says_what_is_done_is_known_however_it_is_named() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name).display().to_string();
        std::fs::create_dir(at("below")).expect("a directory");
        for name in ["c.yaml", "w.yaml"] {
            std::fs::write(at(name), "").expect("written");
        }
        let over = |log: &str| {
            let args = installed(&[
                "--config.file",
                &at("c.yaml"),
                "--web.config.file",
                &at("w.yaml"),
                "--log.file",
                &at(log),
            ]);
            args.logged_over().map(|path| path.display().to_string())
        };
        assert_eq!(over("c.yaml"), Some(at("c.yaml")));
        assert_eq!(over("below/../w.yaml"), Some(at("w.yaml")));
        assert_eq!((over("log"), over("none/log")), (None, None));
        assert_eq!(installed(&["--config.file", &at("c.yaml")]).logged_over(), None);
    }

    #[test]
    fn nobody_but_the_service_manager_runs_the_service() {
        let error = run(&ServiceCommand::Run(installed(&[])), &mut Vec::new()).expect_err("refused");
        assert_eq!(error.reason(), "not_started_by_manager");
    }
}
