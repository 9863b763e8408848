//! Running a command of an agent: a program by its argument vector, or what the service control manager is asked.
//!
//! ```text
//!   spawn ──> a thread of the agent's ──> the program, suspended ──in a job──> resumed ──> its end, or the job's at the deadline
//!                                    └──> the service control manager
//! ```
//!
//! Either may hang in a call that no signal ends: an agent has only so many of these threads.

use std::ffi::{OsStr, OsString};
use std::os::windows::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{env, io, thread};

use kagiban_files::{FileError, check_unexposed, check_unexposed_program};
use kagiban_process::threads::Unanswered;
use kagiban_service::is_hosted;
use tokio::sync::oneshot;
use tokio::time::timeout_at;
use windows_sys::Win32::System::Threading::{CREATE_NO_WINDOW, CREATE_SUSPENDED};

use super::super::left::{LEFT, LOOK, MAX_LEFT, Unlooked, look_at};
use super::super::{Command, ProgramError, ServiceControlError, StartedProcess};
use super::arguments::{Reader, Unjudged, paths};
use super::sys::{self, Job};
use super::{AccountId, service_control, started_process};

/// Between two looks whether it has ended.
const POLL: Duration = Duration::from_millis(20);
/// How long a killed program may take to end. One that waits for a file system that hangs ends when that answers.
const END_OF_KILLED: Duration = Duration::from_secs(2);
/// How late its thread may be, on a host that may be busy.
const LATE_THREAD: Duration = Duration::from_secs(10);
/// For the process that a program is to be known: milliseconds, where no file system hangs. Whoever starts it is blocked as long.
const CREATION: Duration = Duration::from_secs(2);

/// What Windows starts by its name alone.
const PROGRAMS: [&str; 4] = ["exe", "com", "bat", "cmd"];
/// Of this program's environment, what programs of Windows do not run without. Nothing else of it is theirs.
const ENVIRONMENT: [&str; 16] = [
    "ALLUSERSPROFILE",
    "CommonProgramFiles",
    "CommonProgramFiles(x86)",
    "ComSpec",
    "NUMBER_OF_PROCESSORS",
    "OS",
    "Path",
    "PATHEXT",
    "PROCESSOR_ARCHITECTURE",
    "ProgramData",
    "ProgramFiles",
    "ProgramFiles(x86)",
    "SystemDrive",
    "SystemRoot",
    "TEMP",
    "TMP",
];

/// Runs a command of an agent until it ends. A program gets no shell and no window, its input is empty and its output goes nowhere: a
/// daemon would keep a pipe to us open. It is killed with all that it has started when the deadline passes; else what it has started in
/// the background lives on.
///
/// # Errors
/// See [`ProgramError`]; a code other than zero is one.
pub async fn run(agent: &str, command: &Command, deadline: Duration) -> Result<(), ProgramError> {
    spawn(agent, command, deadline)?.wait().await
}

/// The same of a program that is for whoever waits alone: it is killed, with all that it has started, as soon as this is dropped or this
/// process has ended, however it ended.
///
/// # Errors
/// As [`run`].
pub async fn run_while_awaited(agent: &str, command: &Command, deadline: Duration) -> Result<(), ProgramError> {
    spawn_by(agent, command, deadline, Unawaited::IsKilled)?.wait().await
}

/// What becomes of a program that runs and that nobody waits for any more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unawaited {
    GoesOn,
    IsKilled,
}

/// A command that runs, or is about to.
#[derive(Debug)]
pub struct RunningProgram {
    command: Command,
    deadline: Duration,
    until: tokio::time::Instant,
    process: Option<StartedProcess>,
    ended: oneshot::Receiver<Result<(), ProgramError>>,
}

/// Begins what [`run`] does; the deadline counts from now. One that could begin only after that, or after its caller has gone away, is not
/// begun.
///
/// # Errors
/// When there is no thread for it.
pub fn spawn(agent: &str, command: &Command, deadline: Duration) -> Result<RunningProgram, ProgramError> {
    spawn_by(agent, command, deadline, Unawaited::GoesOn)
}

fn spawn_by(
    agent: &str,
    command: &Command,
    deadline: Duration,
    unawaited: Unawaited,
) -> Result<RunningProgram, ProgramError> {
    let until = tokio::time::Instant::now() + deadline;
    let not_started = |source| ProgramError::NotStarted { program: command.to_string(), source };
    let too_many = || io::Error::other(format!("{MAX_LEFT} of this agent's commands hang and do not end"));
    let at_work = LEFT.admit(agent, MAX_LEFT).ok_or_else(too_many).map_err(not_started)?;
    let (tell, ended) = oneshot::channel();
    let (begin, begun) = mpsc::channel();
    let work = {
        let (agent, command) = (agent.to_owned(), command.clone());
        move || {
            let result = match command {
                Command::Program(argv) => run_program(&agent, &argv, deadline, unawaited, || !tell.is_closed(), begin),
                Command::Service { name, verb } => {
                    drop(begin);
                    service_control::carry_out(&name, verb, deadline, || !tell.is_closed()).map_err(Into::into)
                }
            };
            drop(at_work);
            let _ = tell.send(result);
        }
    };
    thread::Builder::new().name("command".to_owned()).spawn(work).map_err(not_started)?;
    let process = begun.recv_timeout(CREATION).ok();
    Ok(RunningProgram { command: command.clone(), deadline, until, process, ended })
}

impl RunningProgram {
    /// The process that ends with it; none of a service, which is nobody's but its manager's, and where Windows does not tell.
    pub fn process(&self) -> Option<StartedProcess> {
        self.process.clone()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// As [`run`].
    pub async fn wait(self) -> Result<(), ProgramError> {
        let Self { command, deadline, until, ended, .. } = self;
        match timeout_at(until + LATE_THREAD, ended).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(ProgramError::Lost {
                program: command.to_string(),
                source: io::Error::other("what waits for it has ended"),
            }),
            Err(_) => Err(match command {
                Command::Program(_) => ProgramError::TimedOut { program: command.to_string(), deadline },
                Command::Service { name, .. } => ServiceControlError::Silent { name, deadline }.into(),
            }),
        }
    }
}

fn run_program(
    agent: &str,
    argv: &[String],
    deadline: Duration,
    unawaited: Unawaited,
    is_wanted: impl Fn() -> bool,
    begin: mpsc::Sender<StartedProcess>,
) -> Result<(), ProgramError> {
    let until = Instant::now() + deadline;
    let program = argv.first().cloned().unwrap_or_default();
    let not_started = |source| ProgramError::NotStarted { program: program.clone(), source };
    let mut command = prepared(argv).map_err(|(_, why)| not_started(io::Error::other(why)))?;
    if Instant::now() >= until || !is_wanted() {
        return Err(not_started(io::Error::other("it did not begin before its timeout, because a file system hangs")));
    }
    let mut child = command.spawn().map_err(not_started)?;
    let job = Job::of(&child).and_then(|job| {
        if unawaited == Unawaited::IsKilled {
            job.end_with_us(true)?;
        }
        sys::resume(&child).map(|()| job)
    });
    let job = match job {
        Ok(job) => job,
        Err(error) => {
            let _ = child.kill();
            return Err(not_started(error));
        }
    };
    if let Some(process) = started_process(child.id()) {
        let _ = begin.send(process);
    }
    drop(begin);
    let ended = |child: &mut Child, until: Instant, is_waited_for: &dyn Fn() -> bool| loop {
        match child.try_wait() {
            Ok(None) if Instant::now() < until && is_waited_for() => thread::sleep(POLL),
            ended => return ended,
        }
    };
    match ended(&mut child, until, &|| unawaited == Unawaited::GoesOn || is_wanted()) {
        Ok(Some(status)) => {
            // What it has started in the background lives on.
            if unawaited == Unawaited::IsKilled {
                let _ = job.end_with_us(false);
            }
            let failed = || ProgramError::Failed { program, status: status.to_string() };
            return status.success().then_some(()).ok_or_else(failed);
        }
        Ok(None) => {}
        Err(source) => return Err(ProgramError::Lost { program, source }),
    }
    let _ = job.end();
    if !matches!(ended(&mut child, Instant::now() + END_OF_KILLED, &|| true), Ok(Some(_))) {
        LEFT.keep(agent, child);
    }
    Err(ProgramError::TimedOut { program, deadline })
}

/// The program, which does not begin before it is told to.
fn prepared(argv: &[String]) -> Result<std::process::Command, (PathBuf, &'static str)> {
    let path = env::var_os("Path").unwrap_or_default();
    let system = env::var_os("SystemRoot").map(PathBuf::from).unwrap_or_default().join("System32");
    let mut command = std::process::Command::new(runnable(argv, &path)?);
    command
        .args(argv.iter().skip(1))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir(system)
        .env_clear()
        .envs(ENVIRONMENT.iter().filter_map(|&name| Some((name, env::var_os(name)?))))
        .creation_flags(CREATE_NO_WINDOW | CREATE_SUSPENDED);
    Ok(command)
}

/// Whether [`run`] could begin this command, as far as can be told without running it: its program is found and one that Windows starts, or
/// the service is there and may be stopped or started.
///
/// # Errors
/// [`ProgramError::NotRunnable`], [`ProgramError::Service`].
pub fn check_program(agent: &str, command: &Command) -> Result<(), ProgramError> {
    let program = command.to_string();
    let not_runnable = |(path, why)| ProgramError::NotRunnable { program: program.clone(), path, why };
    match command {
        Command::Program(argv) => {
            let argv = argv.clone();
            let look = move || runnable(&argv, &env::var_os("Path").unwrap_or_default()).map(drop);
            let looked_at = look_at(agent, LOOK, look);
            looked_at.unwrap_or_else(|why| Err((PathBuf::from(&program), why.of_files()))).map_err(not_runnable)
        }
        Command::Service { name, verb } => {
            let (asked, verb) = (name.clone(), *verb);
            let looked_at = look_at(agent, LOOK, move || service_control::check(&asked, verb));
            let refused = |why: &'static str| ServiceControlError::Refused {
                name: name.clone(),
                verb,
                source: io::Error::other(why),
            };
            let unlooked = |why: Unlooked| match why {
                Unlooked::Unanswered(Unanswered::TimedOut) => {
                    ServiceControlError::Silent { name: name.clone(), deadline: LOOK }
                }
                Unlooked::Unanswered(Unanswered::NoThread) => refused("there is no thread to look at it"),
                Unlooked::TooManyLeft => refused("earlier commands of this agent do not end"),
            };
            Ok(looked_at.map_err(unlooked)??)
        }
    }
}

/// Whether this program works for the system in a way that others than administrators must not be able to turn: as a service, which acts
/// as SYSTEM or as an account that is trusted with services.
pub fn refuses_exposed() -> bool {
    is_hosted() || AccountId::own().is_ok_and(|own| own.acts_as(&AccountId::system()))
}

/// What of a command somebody else than an administrator may exchange: its program, what is loaded from beside that, what a path in an
/// argument leads to, or a directory on the way to any of them; of a program that is named without its directory, also where it would be
/// found sooner. What cannot be looked at is not known to be safe. Who may change a service, its manager knows.
pub fn exposed_part(agent: &str, command: &Command) -> Option<FileError> {
    let Command::Program(argv) = command else { return None };
    let unseen = |why: Unlooked| FileError::from_io(Path::new(&command.to_string()), io::Error::other(why.of_files()));
    let argv = argv.clone();
    let look = move || exposed(&argv, &env::var_os("Path").unwrap_or_default());
    look_at(agent, LOOK, look).unwrap_or_else(|why| Some(unseen(why)))
}

/// Whether somebody else than an administrator may exchange a file that a rotation goes by, or put one where none is yet. What cannot be
/// looked at is not known to be safe.
pub fn exposed_file(agent: &str, path: &Path) -> Option<FileError> {
    let named = path.to_owned();
    let unseen = |why: Unlooked| FileError::from_io(path, io::Error::other(why.of_files()));
    look_at(agent, LOOK, move || check_unexposed(&named).err()).unwrap_or_else(|why| Some(unseen(why)))
}

fn exposed(argv: &[String], path: &OsStr) -> Option<FileError> {
    let mut candidates = candidates(argv.first()?, path);
    if let Some(found) = candidates.iter().position(|candidate| candidate.is_file()) {
        candidates.truncate(found + 1);
    }
    let program = candidates.pop()?;
    let sooner = candidates.into_iter().find_map(|part| check_unexposed(&part).err());
    sooner.or_else(|| check_unexposed_program(&program).err()).or_else(|| exposed_arguments(argv))
}

fn exposed_arguments(argv: &[String]) -> Option<FileError> {
    let mut reader = Reader::Program;
    argv.windows(2).find_map(|words| {
        reader = reader.behind(&words[0]);
        exposed_argument(&words[1], reader)
    })
}

fn exposed_argument(argument: &str, reader: Reader) -> Option<FileError> {
    let variable = |name: &str| env::var(name).ok();
    let unjudged = |why: Unjudged| {
        let words = match why {
            Unjudged::TooMany => "it names more paths than are looked at: put the command into a batch file",
            Unjudged::PutTogether => {
                "the command interpreter puts together what it runs, from a `^`, a `!` or a variable that it alone knows, so that nobody \
                 sees who may change that: write each path out, or put the command into a batch file"
            }
        };
        Some(FileError::from_io(Path::new(argument), io::Error::other(words)))
    };
    paths(argument, reader, variable).map_or_else(unjudged, |found| found.iter().find_map(|ends| exposed_end(ends)))
}

/// Of a path whose end is not known: what is there counts, or else the longest that can be a path.
fn exposed_end(ends: &[PathBuf]) -> Option<FileError> {
    let mut there = ends.iter().filter(|path| path.exists()).peekable();
    if there.peek().is_some() {
        return there.find_map(|path| check_unexposed(path).err());
    }
    let mut none = None;
    for path in ends.iter().rev() {
        match check_unexposed(path) {
            Err(no_path @ FileError::NotRegular { .. }) => none = Some(no_path),
            judged => return judged.err(),
        }
    }
    none
}

/// The program's file, where Windows can run it with these arguments.
fn runnable(argv: &[String], path: &OsStr) -> Result<PathBuf, (PathBuf, &'static str)> {
    let found = find(argv.first().map_or("", String::as_str), path)?;
    // The command interpreter would read on in the next line.
    let is_batch = ends_with(&found, &["bat", "cmd"]);
    if is_batch && argv.iter().skip(1).any(|argument| argument.contains(['\r', '\n'])) {
        return Err((found, "a batch file takes no argument with a line break"));
    }
    Ok(found)
}

/// Where a program may be that is named so, in the order in which it is looked for: at its path, or in the directories of PATH. In the
/// current directory, which may be anybody's, it is not looked for.
fn candidates(name: &str, path: &OsStr) -> Vec<PathBuf> {
    let mut completed = PathBuf::from(name);
    if !ends_with(&completed, &PROGRAMS) {
        completed.as_mut_os_string().push(".exe");
    }
    if completed.is_absolute() {
        return vec![completed];
    }
    let directories = env::split_paths(path).filter(|directory| directory.is_absolute());
    // `C:name` is none of PATH, and of the current directory of that drive.
    directories.map(|directory| directory.join(&completed)).filter(|candidate| candidate.is_absolute()).collect()
}

fn find(name: &str, path: &OsStr) -> Result<PathBuf, (PathBuf, &'static str)> {
    let named = PathBuf::from(name);
    if name.is_empty() {
        return Err((named, "not found"));
    }
    let candidates = candidates(name, path);
    let Some(completed) = candidates.first().cloned().filter(|_| named.is_absolute()) else {
        let found = candidates.into_iter().find(|candidate| candidate.is_file());
        return found.ok_or((named, "not found in PATH"));
    };
    match completed.metadata() {
        Ok(metadata) if metadata.is_file() => Ok(completed),
        Ok(_) => Err((named, "not a regular file")),
        Err(_) if named.is_file() => {
            Err((named, "its name ends with none of .exe, .com, .bat and .cmd; name the program first that runs it"))
        }
        Err(_) if named.is_dir() => Err((named, "not a regular file")),
        Err(_) => Err((named, "not found")),
    }
}

fn ends_with(path: &Path, extensions: &[&str]) -> bool {
    let extension = path.extension().and_then(OsStr::to_str);
    extension.is_some_and(|extension| extensions.iter().any(|other| other.eq_ignore_ascii_case(extension)))
}

/// None: this program starts commands by itself.
pub fn command_process(_: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    None
}

/// No command is run by any other program.
pub const fn run_commands_by(_exporter: &Path) {}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// A program that is this test's own.
    fn own(words: &[&str]) -> Command {
        let this = env::current_exe().expect("this program").display().to_string();
        let of_double =
            format!("{}::a_program_does_what_it_is_told", module_path!().split_once("::").expect("a crate").1);
        let argv = [this.as_str(), of_double.as_str(), "--exact", "--nocapture"];
        Command::Program(argv.iter().chain(words).map(|&word| word.to_owned()).collect())
    }

    /// The double, where these tests run it; else nothing.
    #[test]
    fn a_program_does_what_it_is_told() {
        let words: Vec<_> = env::args().collect();
        let after = |word: &str| words.iter().skip_while(|other| *other != word).nth(1);
        if let Some(code) = after("ends-with") {
            std::process::exit(code.parse().expect("a code"));
        }
        if let Some(path) = after("writes-late") {
            thread::sleep(Duration::from_secs(6));
            fs::write(path, "").expect("written");
        }
        if let Some(path) = after("leaves-behind") {
            let Command::Program(argv) = own(&["writes-late", path]) else { panic!("a program") };
            std::process::Command::new(&argv[0]).args(&argv[1..]).stdin(Stdio::null()).spawn().expect("begun");
            fs::write(format!("{path}.begun"), "").expect("written");
        }
        if words.iter().any(|word| word == "hangs") {
            thread::sleep(LONG);
        }
    }

    fn program(argv: &[&str]) -> Command {
        Command::Program(argv.iter().map(|&word| word.to_owned()).collect())
    }

    #[tokio::test]
    async fn a_code_other_than_zero_is_a_failure_and_a_missing_program_is_another() {
        run("web", &program(&["hostname"]), LONG).await.expect("it is found in PATH, and ends well");
        let failed = run("web", &own(&["ends-with", "3"]), LONG).await.expect_err("3");
        assert_eq!(failed.reason(), "failed");
        assert!(failed.to_string().contains('3'), "{failed}");
        let missing = run("web", &program(&[r"C:\no\such.exe"]), LONG).await.expect_err("missing");
        assert_eq!(missing.reason(), "not_started");
    }

    #[tokio::test]
    async fn the_process_of_a_program_is_known_while_it_runs() {
        let running = spawn("known", &own(&["hangs"]), Duration::from_secs(3)).expect("begun");
        let process = running.process().expect("a process");
        assert_eq!(super::super::is_running(&process), Some(true));
        assert_eq!(running.wait().await.expect_err("it hangs").reason(), "timed_out");
        assert_eq!(super::super::is_running(&process), Some(false));
    }

    #[tokio::test]
    async fn a_program_that_is_run_while_it_is_awaited_is_killed_with_what_it_started_once_nobody_waits() {
        let directory = tempfile::tempdir().expect("directory");
        let late = directory.path().join("late").display().to_string();
        let hung = own(&["leaves-behind", &late, "hangs"]);
        let begun = async {
            while !Path::new(&format!("{late}.begun")).exists() {
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::select! {
            ended = run_while_awaited("unawaited", &hung, LONG) => panic!("{ended:?}"),
            () = begun => {}
        }
        assert!(super::super::super::is_gone("unawaited", LONG).await);
        thread::sleep(Duration::from_secs(8));
        assert!(!Path::new(&late).exists());
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_killed_with_what_it_started_and_else_what_it_started_lives_on() {
        let directory = tempfile::tempdir().expect("directory");
        let path = |name: &str| directory.path().join(name).display().to_string();
        let (killed, kept) = (path("killed"), path("kept"));
        let hung = own(&["leaves-behind", &killed, "hangs"]);
        let hung = run("web", &hung, Duration::from_secs(4)).await.expect_err("it hangs");
        assert_eq!(hung.reason(), "timed_out");
        assert!(Path::new(&path("killed.begun")).exists(), "it has begun");
        run("web", &own(&["leaves-behind", &kept]), LONG).await.expect("it ends well");
        let began = Instant::now();
        while !Path::new(&kept).exists() {
            assert!(began.elapsed() < LONG, "what was left behind lives on");
            thread::sleep(POLL);
        }
        assert!(!Path::new(&killed).exists(), "what a killed program has started outlived it");
    }

    /// Holds A13: what cannot be begun is known without beginning it.
    #[test]
    fn a_program_that_cannot_be_run_is_known_before_it_is_run() {
        let directory = tempfile::tempdir().expect("directory");
        let file = |name: &str| {
            fs::write(directory.path().join(name), "").expect("written");
            directory.path().join(name).display().to_string()
        };
        let (batch, script, folder) = (file("stop.CMD"), file("stop.ps1"), directory.path().display().to_string());
        for runnable in [&["hostname"][..], &["HOSTNAME.EXE"], &[r"C:\windows\system32\hostname"], &[&batch, "a b"]] {
            check_program("web", &program(runnable)).expect(runnable[0]);
        }
        for (argv, why) in [
            (&["no-such-program"][..], "not found in PATH"),
            (&[r"C:\no\such.exe"], "not found"),
            (&[&script], "name the program first"),
            (&[&folder], "not a regular file"),
            (&[&batch, "a\r\nb"], "line break"),
            (&[""], "not found"),
        ] {
            let told = check_program("web", &program(argv)).expect_err(why);
            assert!(told.reason() == "not_runnable" && told.to_string().contains(why), "{argv:?}: {told}");
        }
        let _alone = super::super::testing::alone_with_the_manager();
        let gone = Command::Service { name: "kagiban-none".to_owned(), verb: super::super::super::ServiceVerb::Stop };
        assert_eq!(check_program("web", &gone).expect_err("not there").reason(), "not_runnable");
        let own =
            Command::Service { name: "Kagiban-Exporter".to_owned(), verb: super::super::super::ServiceVerb::Start };
        let told = check_program("web", &own).expect_err("it is this program");
        assert!(told.reason() == "not_runnable" && told.to_string().contains("itself"), "{told}");
    }

    /// Wine's drive `Z:` is Linux's root, where everybody may add names to `/tmp`.
    #[test]
    fn a_program_that_others_may_exchange_or_put_before_it_is_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let (own, script) = (directory.path().join("own.exe"), directory.path().join("stop.ps1"));
        fs::write(&own, "").expect("written");
        fs::write(&script, "").expect("written");
        let own = own.display().to_string();
        let system = r"C:\windows\system32";
        let open = Path::new(r"Z:\tmp");
        assert!(open.exists(), "this test needs Wine");
        let theirs = tempfile::tempdir_in(open).expect("a directory");
        fs::write(theirs.path().join("stop.ps1"), "").expect("written");
        let theirs = theirs.path().join("stop.ps1").display().to_string();
        let script = script.display().to_string();
        for (argv, path, is_exposed) in [
            (&[own.as_str()][..], system.to_owned(), false),
            (&[&own, &script], system.to_owned(), false),
            (&[&own, &theirs], system.to_owned(), true),
            (&["cmd", "/c", &theirs], system.to_owned(), true),
            (&["cmd", "/c", &format!("/x={theirs},Entry")], system.to_owned(), true),
            (&["cmd", &format!("/c{theirs}")], system.to_owned(), true),
            (&["wscript", "//server/share/stop.vbs"], system.to_owned(), true),
            (&["cmd", "/c", &script], system.to_owned(), false),
            (&["cmd", "/c", r"C:\windows\system32\kagiban-none"], system.to_owned(), false),
            (&["cmd", "/c", r"Z:\tmp\kagiban-none"], system.to_owned(), true),
            (&["cmd", "/c", r"\\.\pipe\a"], system.to_owned(), true),
            (&["cmd", "/c", &format!("{script} >NUL 2>&1")], system.to_owned(), false),
            (&["cmd", "/c", &format!("cd /d {script} && {own} /stop")], system.to_owned(), false),
            (&["cmd", "/c", &format!("^{script}")], system.to_owned(), true),
            (&["hostname", &format!("^{script}")], system.to_owned(), false),
            (&["hostname", "cmd.exe", "/c", "%SystemDrive:~0,2%\\x\\stop.exe"], system.to_owned(), true),
            (&["java", &format!("-classpath={script};{own}")], system.to_owned(), false),
            (&["java", &format!("-classpath={script};{theirs}")], system.to_owned(), true),
            (&["powershell", "-Command", &format!("& '{script}' -Url http://h")], system.to_owned(), false),
            (&["cmd", "/c", &r"C:\x;".repeat(1000)], system.to_owned(), true),
            (&[&theirs], system.to_owned(), true),
            (&["hostname"], system.to_owned(), false),
            (&["hostname"], format!(r"{system};Z:\tmp"), false),
            (&["hostname"], format!(r"Z:\tmp;{system}"), true),
            (&["hostname"], format!(r"Z:\tmp\kagiban-none;{system}"), true),
            (&["hostname"], format!(r"C:\kagiban-none;{system}"), false),
            (&["hostname"], format!(r"Q:\none;{system}"), true),
        ] {
            let argv: Vec<_> = argv.iter().map(|&word| word.to_owned()).collect();
            let told = exposed(&argv, OsStr::new(&path));
            assert_eq!(told.is_some(), is_exposed, "{argv:?} {path}: {told:?}");
        }
        let told = exposed_part("web", &program(&[&theirs])).expect("exposed").to_string();
        assert!(told.contains(r"Z:\tmp") && told.contains("Everyone"), "{told}");
    }

    #[test]
    fn a_program_is_not_looked_for_in_the_current_directory() {
        let here = env::current_dir().expect("a directory");
        let file = here.join("kagiban-here.exe");
        fs::write(&file, "").expect("written");
        let drive = here.display().to_string()[..2].to_owned();
        let by_name = find("kagiban-here", OsStr::new(".;"));
        let by_drive = find(&format!("{drive}kagiban-here"), OsStr::new(r"C:\windows\system32"));
        fs::remove_file(file).expect("removed");
        assert!(by_name.is_err() && by_drive.is_err(), "{by_name:?} {by_drive:?}");
    }
}
