//! The standalone operator as a service of the system: registered, started, stopped and removed.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser as _;
use kagiban_files::{FileError, WriteError, create_private_directory};
use kagiban_service::commands::{self, MANAGER_DEADLINE};
use kagiban_service::{
    Given, Registration, RegistrationError, ServiceAccount, ServiceProgram, check_unexposed, check_unexposed_program,
    check_way, refused_option, registered_service, service_directory,
};

use crate::cli::{Account, Cli, Command, InstallArgs, NAME, ServiceCommand, StandaloneArgs};
use crate::foreign::told;

/// The service of this program.
pub static SERVICE: ServiceProgram = ServiceProgram {
    name: NAME,
    display_name: "Kagiban operator",
    description: "Issues certificates for agents on fleet hosts and has them rotated there, as its manifests say.",
    directory: NAME,
    of_systemd: "`systemctl enable --now kagiban-operator`; its package has the unit, of a standalone operator",
    stop_waits_for: "the answer of a host",
    // Nobody has to be told: a rotation is the host's.
    told_before_stop: Duration::ZERO,
    // As long as a round over a resource may take, and half a minute for what a host that goes down is slow at.
    preshutdown_within: Duration::from_secs(150),
};

/// Why a command did not do what it is for.
#[derive(Debug, thiserror::Error)]
pub enum ServiceCommandError {
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    #[error(
        "{option} is an option of an operator in a cluster, and the service is a standalone one, which has its resources from --manifests; \
         nothing was registered. The operator of a cluster runs in it: its chart installs it there"
    )]
    OfCluster { option: &'static str },
    #[error(
        "--manifests is missing, the directory of the resources that the service is to follow; nothing was registered"
    )]
    NoManifests,
    #[error("the options are refused, and nothing was registered: {0}")]
    Refused(String),
    #[error("--manifests {}: it is no directory; make it where nobody but administrators may write", path.display())]
    NoDirectory { path: PathBuf },
    #[error("a directory of the service cannot be used: {0}")]
    Directory(#[from] WriteError),
    #[error("{}: no absolute path can be made of it: {source}", path.display())]
    Path { path: PathBuf, source: io::Error },
    #[error("others could have the service, which acts as the system, do what they like: {0}")]
    Exposed(FileError),
    #[error("it cannot be seen who may change what decides what the service does: {0}")]
    Unseen(FileError),
    #[error(
        "the service is registered as `{registered}`, of which nothing can be kept: {why}; nothing was changed; register it by \
         `kagiban-operator service install`, with every option that it needs and without --keep"
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
            Self::OfCluster { .. } => "of_cluster",
            Self::NoManifests => "no_manifests",
            Self::Refused(_) => "options",
            Self::NoDirectory { .. } => "no_directory",
            Self::Directory(_) => "directory",
            Self::Path { .. } => "path",
            Self::Exposed(error) | Self::Unseen(error) => error.reason(),
            Self::NotKept { .. } => "not_kept",
            Self::Print(_) => "print",
        }
    }
}

/// Does what a person asks for.
///
/// # Errors
/// When it is not done.
pub fn run(command: &ServiceCommand, out: &mut dyn Write) -> Result<(), ServiceCommandError> {
    match command {
        ServiceCommand::Install(args) => install(args, out),
        ServiceCommand::Start => commands::start(&SERVICE, out),
        ServiceCommand::Stop(args) => commands::stop(&SERVICE, Duration::from_secs(args.timeout), out),
        ServiceCommand::Remove(args) => commands::remove(&SERVICE, Duration::from_secs(args.timeout), out),
        // It is the process that works, and nothing that is done and over.
        ServiceCommand::Run(_) => Err(RegistrationError::NotStartedByManager(&SERVICE).into()),
    }
}

fn install(args: &InstallArgs, out: &mut dyn Write) -> Result<(), ServiceCommandError> {
    // Where no program registers itself, that is said before anything else.
    service_directory(&SERVICE)?;
    if let Some(option) = args.of_cluster.option() {
        return Err(ServiceCommandError::OfCluster { option });
    }
    let there = if args.keep { registered_service(&SERVICE, MANAGER_DEADLINE)? } else { None };
    let arguments = arguments(&args.given, there.as_ref().map(|there| there.arguments.as_slice()))?;
    let service = parsed(&arguments)?;
    make_own_directories(&service)?;
    prepare(&service)?;
    let account = match args.account {
        None => ServiceAccount::AsItIs,
        Some(Account::System) => ServiceAccount::System,
        Some(Account::Own) => ServiceAccount::OfItsOwn,
    };
    let registration = Registration { program: None, arguments, keeps_start: args.keep, account };
    commands::register::<ServiceCommandError>(&SERVICE, &registration, out)?;
    if account == ServiceAccount::OfItsOwn {
        writeln!(
            out,
            "it works as {} from its next start on; what was there before is not that account's yet:",
            SERVICE.account()
        )?;
        grants(&service).iter().try_for_each(|grant| writeln!(out, "  {grant}"))?;
    }
    Ok(())
}

/// The commands that give the service's account what it works with. What it only reads it may only read.
fn grants(service: &StandaloneArgs) -> Vec<String> {
    let log = service.log_file.as_deref().and_then(Path::parent);
    let logs = service_directory(&SERVICE).ok().map(|own| own.join("logs")).filter(|_| log.is_none());
    let written = [Some(service.state.as_path()), log, logs.as_deref()].into_iter().flatten().map(|path| (path, "M"));
    let read = [Some(service.manifests.as_path()), service.secrets.as_deref()].into_iter().flatten();
    let all = written.chain(read.map(|path| (path, "RX")));
    all.map(|(path, right)| {
        format!("icacls \"{}\" /grant \"{}:(OI)(CI){right}\" /t", path.display(), SERVICE.account())
    })
    .collect()
}

/// What the program is given when the manager starts it, once these options are given to a service that is registered so, if one is.
fn arguments(given: &Given<StandaloneArgs>, there: Option<&[OsString]>) -> Result<Vec<OsString>, ServiceCommandError> {
    let given = there.map_or_else(|| Ok(given.clone()), |there| kept(there).map(|there| given.over(there)))?;
    if !given.names("--manifests") {
        return Err(ServiceCommandError::NoManifests);
    }
    if given.names("--confirm-deletions") {
        let why = "--confirm-deletions counts for one start, and the service has many: run `kagiban-operator confirm-deletions` when it runs";
        return Err(ServiceCommandError::Refused(why.to_owned()));
    }
    let given = given.absolute().map_err(|(path, source)| ServiceCommandError::Path { path, source })?;
    Ok(given.arguments())
}

/// What the service has already, as the program reads it when it is started.
fn kept(registered: &[OsString]) -> Result<Given<StandaloneArgs>, ServiceCommandError> {
    Given::registered::<Cli>(&SERVICE, registered).map_err(|why| {
        let words: Vec<_> = registered.iter().map(|word| word.to_string_lossy()).collect();
        ServiceCommandError::NotKept { registered: told(&words.join(" ")), why: told(&why) }
    })
}

/// As the manager starts it.
fn parsed(arguments: &[OsString]) -> Result<StandaloneArgs, ServiceCommandError> {
    let words = std::iter::once(NAME.into()).chain(arguments.iter().cloned());
    match Cli::try_parse_from(words).map(|cli| cli.command) {
        Ok(Some(Command::Service(ServiceCommand::Run(args)))) => Ok(*args),
        Ok(_) => Err(ServiceCommandError::Refused("they are another command's".to_owned())),
        Err(error) => Err(ServiceCommandError::Refused(told(&refused_option(&error)))),
    }
}

/// Makes what is named in the directory of the service, and that, for administrators and the system alone: others may add to whatever
/// else is made among all programs' data.
fn make_own_directories(service: &StandaloneArgs) -> Result<(), ServiceCommandError> {
    let own = service_directory(&SERVICE)?;
    let named = [Some(&service.manifests), service.secrets.as_ref()];
    for directory in named.into_iter().flatten().filter(|directory| directory.starts_with(&own)) {
        create_private_directory(&own)?;
        create_private_directory(directory)?;
    }
    Ok(())
}

/// Judges what decides what the service does, and makes the directory of its state with those above it that are missing. These are
/// judged once more when they are there: where everybody may make one, somebody else may have been first.
///
/// # Errors
/// What is wrong.
pub fn prepare(args: &StandaloneArgs) -> Result<(), ServiceCommandError> {
    check(args)?;
    create_private_directory(&args.state)?;
    check_way(&args.state).map_err(refused)
}

fn refused(error: FileError) -> ServiceCommandError {
    match error {
        FileError::Exposed(_) => ServiceCommandError::Exposed(error),
        error => ServiceCommandError::Unseen(error),
    }
}

/// Whether the service would do what administrators say, and nobody else: its program, its log, what may lie among its manifests and
/// its Secrets, and each directory above these and its state. The state itself, each Secret and each manifest is judged whenever it is
/// opened.
fn check(args: &StandaloneArgs) -> Result<(), ServiceCommandError> {
    args.work.log_filter().map_err(|error| ServiceCommandError::Refused(format!("--log-level: {error}")))?;
    if let Some(why) = args.logged_over() {
        return Err(ServiceCommandError::Refused(why));
    }
    if !args.manifests.is_dir() {
        return Err(ServiceCommandError::NoDirectory { path: args.manifests.clone() });
    }
    let program = std::env::current_exe().map_err(|source| ServiceCommandError::Path { path: NAME.into(), source })?;
    check_unexposed_program(&program).map_err(refused)?;
    // Whoever may add one to them has certificates issued, or says by whom.
    let added = [Some(&args.manifests), args.secrets.as_ref()].map(|directory| Some(directory?.join("added")));
    let deciding = added.into_iter().chain([args.log_file.clone()]).flatten();
    deciding.into_iter().try_for_each(|path| check_unexposed(&path)).map_err(refused)?;
    check_way(&args.state).map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install_args(words: &[&str]) -> InstallArgs {
        let words = [&[NAME, "service", "install"], words].concat();
        match Cli::try_parse_from(words).expect("good words").command {
            Some(Command::Service(ServiceCommand::Install(args))) => *args,
            other => panic!("{other:?}"),
        }
    }

    fn given(words: &[&str]) -> Given<StandaloneArgs> {
        install_args(words).given
    }

    fn after(registered: Option<&[&str]>, words: &[&str]) -> Result<Vec<OsString>, ServiceCommandError> {
        let registered = registered.map(|words| words.iter().map(OsString::from).collect::<Vec<_>>());
        arguments(&given(words), registered.as_deref())
    }

    /// With absolute paths, as each system has them.
    fn absolute(words: &[&str]) -> Vec<OsString> {
        let path = |word: &&str| {
            if word.starts_with('/') { std::path::absolute(word).expect("a path").into() } else { word.into() }
        };
        words.iter().map(path).collect()
    }

    #[test]
    fn what_a_service_is_given_means_what_it_was_installed_with() {
        let words = [
            "--manifests",
            "/m a",
            "--secrets",
            "/s",
            "--state",
            "/t",
            "--read-every",
            "5s",
            "--log-file",
            "/l",
            "--allow-hosts",
            "a.example",
            "--allow-hosts",
            "192.0.2.0/24",
            "--metrics-address",
            "127.0.0.1:1",
            "--log-format",
            "json",
            "--lineage",
            "site-1",
        ];
        let arguments = after(None, &words).expect("good options");
        assert_eq!(arguments, [vec!["service".into(), "run".into()], absolute(&words)].concat());
        let args = parsed(&arguments).expect("they are options");
        assert_eq!((args.read_every.as_secs(), args.work.reach.allow_hosts.len()), (5, 2));
    }

    #[test]
    fn a_path_is_made_absolute_and_nothing_else_is() {
        let arguments = after(None, &["--manifests", "m", "--lineage", "l"]).expect("good options");
        let here = std::env::current_dir().expect("a directory");
        assert_eq!(arguments[3], here.join("m"));
        assert_eq!(arguments[5], "l");
    }

    #[test]
    fn what_is_not_given_again_is_kept_and_what_is_given_takes_its_place() {
        let registered = ["service", "run", "--manifests", "/m", "--resync=10m", "--allow-hosts", "a,b"];
        let expected = |words: &[&str]| [vec!["service".into(), "run".into()], absolute(words)].concat();
        assert_eq!(
            after(Some(&registered), &["--allow-hosts", "c", "--secrets", "/s"]).expect("kept"),
            expected(&["--manifests", "/m", "--secrets", "/s", "--allow-hosts", "c", "--resync", "10m"])
        );
        assert_eq!(
            after(Some(&registered), &["--manifests", "/n"]).expect("kept"),
            expected(&["--manifests", "/n", "--allow-hosts", "a", "--allow-hosts", "b", "--resync", "10m"])
        );
    }

    #[test]
    fn a_registration_of_which_nothing_can_be_kept_is_refused_by_what_is_wrong() {
        for (registered, named) in [
            (&["service", "run", "--manifests", "/m", "--old-option", "x"][..], "--old-option"),
            (&["service", "run", "--resync", "never", "--manifests", "/m"], "--resync"),
            (&["standalone", "--manifests", "/m"], "does not run this program as a service"),
            (&[], "does not run this program as a service"),
        ] {
            let error = after(Some(registered), &[]).expect_err("refused");
            let text = error.to_string();
            let why = text.split_once("can be kept: ").map(|(_, why)| why).unwrap_or_default();
            assert!(error.reason() == "not_kept" && why.contains(named) && !text.contains('\n'), "{text}");
        }
    }

    /// Each start would delete what is gone at that moment: of a directory that is not mounted, all.
    #[test]
    fn a_word_for_one_start_is_not_registered() {
        let registered = ["service", "run", "--manifests", "/m", "--confirm-deletions"];
        for (registered, words) in [(None, &registered[2..]), (Some(&registered[..]), &[][..])] {
            let error = after(registered, words).expect_err("refused");
            assert!(
                error.reason() == "options" && error.to_string().contains("operator confirm-deletions`"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_log_is_not_written_into_what_is_read() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name).display().to_string();
        let paths = [at("m"), at("s"), at("state")];
        std::fs::create_dir(&paths[0]).expect("a directory");
        for (log, option) in
            [("m/op.yaml", "--manifests"), ("s/fleet/ca/log", "--secrets"), ("state/state.db", "--state")]
        {
            let words =
                ["--manifests", &paths[0], "--secrets", &paths[1], "--state", &paths[2], "--log-file", &at(log)];
            let args = parsed(&after(None, &words).expect("good options")).expect("good options");
            let error = check(&args).expect_err("refused");
            assert!(error.reason() == "options" && error.to_string().contains(option), "{error}");
        }
    }

    #[test]
    fn the_account_of_the_service_is_given_what_the_service_works_with_and_no_more_of_it_than_that() {
        let words = ["--manifests", "/m", "--secrets", "/s", "--state", "/t", "--log-file", "/l/op.log"];
        let args = parsed(&after(None, &words).expect("good options")).expect("good options");
        let told = grants(&args).join("\n");
        for (name, right) in [("t", "M"), ("l", "M"), ("m", "RX"), ("s", "RX")] {
            let grant = format!("{name}\" /grant \"NT SERVICE\\kagiban-operator:(OI)(CI){right}\" /t");
            assert_eq!(told.matches(&grant).count(), 1, "{grant}: {told}");
        }
        assert_eq!(told.lines().count(), 4);
    }

    #[test]
    fn a_service_without_manifests_is_none() {
        let error = after(None, &["--secrets", "/s"]).expect_err("refused");
        assert_eq!(error.reason(), "no_manifests");
    }

    #[test]
    fn an_option_of_the_cluster_is_known_by_its_name() {
        for option in ["--kubeconfig", "--context", "--namespace", "--leader-elect", "--leader-election-namespace"] {
            assert_eq!(install_args(&["--manifests", "m", option, "x"]).of_cluster.option(), Some(option));
        }
        assert_eq!(install_args(&["--manifests", "m"]).of_cluster.option(), None);
        let text = ServiceCommandError::OfCluster { option: "--kubeconfig" }.to_string();
        assert!(text.contains("--manifests") && text.contains("chart"), "{text}");
    }

    #[test]
    fn nobody_but_the_service_manager_runs_the_service() {
        let args = parsed(&after(None, &["--manifests", "m"]).expect("good options")).expect("good options");
        let error = run(&ServiceCommand::Run(Box::new(args)), &mut Vec::new()).expect_err("refused");
        assert_eq!(error.reason(), "not_started_by_manager");
    }

    #[test]
    fn what_is_no_directory_is_no_place_for_manifests() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("none").display().to_string();
        let args = parsed(&after(None, &["--manifests", &path]).expect("good options")).expect("good options");
        let error = check(&args).expect_err("refused");
        assert_eq!(error.reason(), "no_directory");
    }
}
