//! The two processes between this program and an agent's command. Both are this same program, run anew:
//!
//! ```text
//!   exporter ──socket──> supervisor ──socket──> launcher, which becomes the command
//! ```
//!
//! `exec` reads the command's file, and does not return while the file system of that hangs. Whoever waits in it has not closed
//! its descriptors yet, and runs the command when the file system answers, however late. The launcher has none of the exporter's
//! descriptors: an exporter that ends leaves its lock and its ports to the next one. A launcher whose supervisor has ended is
//! killed by the kernel before an instruction of the command runs, and a supervisor whose exporter has ended, or waits no more,
//! kills a launcher that is not the command yet. A command that runs goes on without the exporter, until its deadline; one that is
//! for whoever waits alone is killed then.

use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt, parent_id};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group, set_parent_process_death_signal};

/// The first argument of the one and of the other. What follows is the number of the parent, a time, and the command.
const SUPERVISOR: &str = "supervise-command";
const LAUNCHER: &str = "launch-command";
/// The same of a command whose output is read. It goes through their standard error, where neither of them writes.
const SUPERVISOR_OF_QUESTION: &str = "supervise-question";
const LAUNCHER_OF_QUESTION: &str = "launch-question";
/// Of a command that is killed once nobody waits for it any more.
const SUPERVISOR_WHILE_AWAITED: &str = "supervise-while-awaited";

/// What a service command needs to find its tools and to speak; nothing of ours is for its eyes.
const KEPT_ENVIRONMENT: [&str; 4] = ["PATH", "LANG", "LC_ALL", "TZ"];
/// Where a process without a PATH of its own finds the system's tools.
pub(super) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Short against any service's start, long against the cost of a look.
pub(super) const POLL: Duration = Duration::from_millis(20);
/// A file that is being written cannot be run. An editor or an installer has written a script long before that.
const MAX_BUSY: Duration = Duration::from_secs(10);
const BUSY_AGAIN: Duration = Duration::from_millis(100);

/// This program's own file, also when its name belongs to a newer version by now.
const OWN_FILE: &str = "/proc/self/exe";
static OWN: OnceLock<PathBuf> = OnceLock::new();

/// The program that the two processes are made of.
pub(super) fn own_program() -> &'static Path {
    OWN.get().map_or(Path::new(OWN_FILE), PathBuf::as_path)
}

/// Runs commands by another program than this one, which must be kagiban-exporter: for those that have this crate as a library
/// and do not ask [`command_process`] first. The first call counts.
pub fn run_commands_by(exporter: &Path) {
    let _ = OWN.set(exporter.to_owned());
}

/// What the supervisor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SupervisorMessage {
    /// The launcher has become the command, which leads the process group of this number.
    Begun(i32),
    /// It cannot, by this error number.
    NotStarted(i32),
    /// There is no launcher, by this error number.
    NotLaunched(i32),
    /// The command has ended, as `wait` tells it.
    Ended(i32),
    /// Its deadline has passed, or nobody waited for it before it had begun: it is killed, and may not have ended yet.
    Killed,
}

impl SupervisorMessage {
    pub(super) const LENGTH: usize = 5;

    fn to_bytes(self) -> [u8; Self::LENGTH] {
        let (kind, number) = match self {
            Self::Begun(group) => (b'b', group),
            Self::NotStarted(error) => (b'n', error),
            Self::NotLaunched(error) => (b'l', error),
            Self::Ended(status) => (b'e', status),
            Self::Killed => (b'k', 0),
        };
        let [a, b, c, d] = number.to_ne_bytes();
        [kind, a, b, c, d]
    }

    pub(super) fn from_bytes([kind, number @ ..]: [u8; Self::LENGTH]) -> Option<Self> {
        let number = i32::from_ne_bytes(number);
        match kind {
            b'b' => Some(Self::Begun(number)),
            b'n' => Some(Self::NotStarted(number)),
            b'l' => Some(Self::NotLaunched(number)),
            b'e' => Some(Self::Ended(number)),
            b'k' => Some(Self::Killed),
            _ => None,
        }
    }
}

/// Starts the supervisor of a command: its process, and the socket on which it speaks. It lives until the command has ended.
///
/// # Errors
/// When the system makes no socket or no process.
pub(super) fn supervised(argv: &[String], deadline: Duration) -> io::Result<(Child, UnixStream)> {
    start(own(SUPERVISOR, deadline, argv), None)
}

/// The same of a command that is killed, with its group, once the socket is closed: its exporter has ended, or waits no more.
pub(super) fn supervised_while_awaited(argv: &[String], deadline: Duration) -> io::Result<(Child, UnixStream)> {
    start(own(SUPERVISOR_WHILE_AWAITED, deadline, argv), None)
}

/// The same of a command that writes its output, and its complaints, to `output`. They are in English.
pub(super) fn supervised_question(
    argv: &[String],
    deadline: Duration,
    output: OwnedFd,
) -> io::Result<(Child, UnixStream)> {
    start(own(SUPERVISOR_OF_QUESTION, deadline, argv), Some(output))
}

fn start(mut command: Command, output: Option<OwnedFd>) -> io::Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let is_question = output.is_some();
    let output = output.map_or_else(Stdio::null, Stdio::from);
    command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(output).current_dir("/");
    // What a terminal sends to this program's group is not for a command that runs.
    command.process_group(0).env_clear().env("PATH", DEFAULT_PATH);
    command.envs(KEPT_ENVIRONMENT.iter().filter_map(|key| Some((key, std::env::var_os(key)?))));
    if is_question {
        command.env("LC_ALL", "C");
    }
    Ok((command.spawn()?, ours))
}

fn own(role: &str, time: Duration, argv: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(own_program());
    #[cfg(test)]
    command.args(tests::SELF);
    #[cfg(not(test))]
    command.arg0("kagiban-exporter");
    command.arg(role).arg(std::process::id().to_string()).arg(time.as_millis().to_string()).args(argv);
    command
}

/// Does what this process was started for by [`supervised`]; none where it was not. Asked before anything else is done: no
/// descriptor of this program is open then.
pub fn command_process(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut arguments = arguments.into_iter();
    let (role, kind): (fn(&Order) -> _, _) = match arguments.next()?.to_str()? {
        SUPERVISOR => (supervise, Kind::Command),
        SUPERVISOR_WHILE_AWAITED => (supervise, Kind::WhileAwaited),
        LAUNCHER => (launch, Kind::Command),
        SUPERVISOR_OF_QUESTION => (supervise, Kind::Question),
        LAUNCHER_OF_QUESTION => (launch, Kind::Question),
        _ => return None,
    };
    let mut number = || arguments.next()?.to_str()?.parse::<u64>().ok();
    let parent = number().and_then(|number| u32::try_from(number).ok());
    let order = parent.zip(number()).map(|(parent, milliseconds)| Order {
        parent,
        time: Duration::from_millis(milliseconds),
        kind,
        argv: arguments.collect(),
    });
    // By hand, there is nobody to tell.
    Some(order.map_or(ExitCode::FAILURE, |order| role(&order).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Once it runs it goes on without its exporter.
    Command,
    /// It does not.
    WhileAwaited,
    /// Its output is read.
    Question,
}

struct Order {
    parent: u32,
    time: Duration,
    kind: Kind,
    argv: Vec<OsString>,
}

impl Order {
    fn is_orphaned(&self) -> bool {
        parent_id() != self.parent
    }
}

/// The socket to the parent, closed by `exec`.
fn to_parent() -> io::Result<UnixStream> {
    Ok(io::stdin().as_fd().try_clone_to_owned()?.into())
}

fn supervise(order: &Order) -> io::Result<()> {
    let deadline = Instant::now() + order.time;
    let mut exporter = to_parent()?;
    // By hand it is a terminal, which stays as it is.
    exporter.peer_addr()?;
    exporter.set_nonblocking(true)?;
    if is_closed(&mut exporter) {
        return Ok(());
    }
    let (launcher, theirs) = UnixStream::pair()?;
    launcher.set_read_timeout(Some(POLL))?;
    let launcher_role = match order.kind {
        Kind::Question => LAUNCHER_OF_QUESTION,
        Kind::Command | Kind::WhileAwaited => LAUNCHER,
    };
    let mut command = own(launcher_role, MAX_BUSY.min(order.time / 2), &order.argv);
    let spawned = command.stdin(OwnedFd::from(theirs)).spawn();
    drop(command);
    match spawned {
        Ok(command) => Supervisor { order, deadline, exporter, launcher, command }.see_to_its_end(),
        Err(error) => tell(&mut exporter, SupervisorMessage::NotLaunched(number(&error))),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The launcher waits in `exec`, or is about to.
    Launched,
    Runs,
    Killed,
}

struct Supervisor<'a> {
    order: &'a Order,
    deadline: Instant,
    exporter: UnixStream,
    launcher: UnixStream,
    command: Child,
}

impl Supervisor<'_> {
    fn see_to_its_end(mut self) -> io::Result<()> {
        let mut stage = Stage::Launched;
        loop {
            match stage {
                Stage::Launched => match self.heard_of_launcher() {
                    None => {}
                    Some(begun @ SupervisorMessage::Begun(_)) => {
                        stage = Stage::Runs;
                        self.tell(begun);
                    }
                    Some(word) => {
                        self.tell(word);
                        return self.command.wait().map(drop);
                    }
                },
                Stage::Runs | Stage::Killed => sleep(POLL),
            }
            if let Some(status) = self.command.try_wait()? {
                self.tell(SupervisorMessage::Ended(status.into_raw()));
                return Ok(());
            }
            let ends_unawaited = stage == Stage::Launched || self.order.kind == Kind::WhileAwaited;
            let is_unwanted = ends_unawaited && is_closed(&mut self.exporter);
            if stage != Stage::Killed && (is_unwanted || Instant::now() >= self.deadline) {
                kill(&self.command);
                stage = Stage::Killed;
                self.tell(SupervisorMessage::Killed);
            }
            // Nobody counts any more what is left.
            if stage == Stage::Killed && self.order.is_orphaned() {
                return Ok(());
            }
        }
    }

    /// `exec` closes its socket.
    fn heard_of_launcher(&mut self) -> Option<SupervisorMessage> {
        let mut error = [0; 4];
        match self.launcher.read(&mut error) {
            Ok(0) => Some(SupervisorMessage::Begun(Pid::from_child(&self.command).as_raw_nonzero().get())),
            Ok(_) => Some(SupervisorMessage::NotStarted(i32::from_ne_bytes(error))),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => None,
            Err(error) => Some(SupervisorMessage::NotStarted(number(&error))),
        }
    }

    /// One that has ended hears nothing.
    fn tell(&mut self, word: SupervisorMessage) {
        let _ = tell(&mut self.exporter, word);
    }
}

fn tell(exporter: &mut UnixStream, word: SupervisorMessage) -> io::Result<()> {
    exporter.write_all(&word.to_bytes())
}

/// The exporter says nothing: it has ended, or waits no more.
fn is_closed(exporter: &mut UnixStream) -> bool {
    !matches!(exporter.read(&mut [0]), Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted))
}

/// With its group. It is not reaped yet, so the group's number cannot belong to anybody else.
fn kill(command: &Child) {
    let number = Pid::from_child(command);
    let _ = kill_process_group(number, Signal::KILL).or_else(|_| kill_process(number, Signal::KILL));
}

fn number(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(rustix::io::Errno::INVAL.raw_os_error())
}

/// Becomes the command, in a process group of its own.
fn launch(order: &Order) -> io::Result<()> {
    // The command keeps this, and what it starts does not. Its supervisor ends before it only when somebody kills that.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let mut supervisor = to_parent()?;
    // By hand it is a terminal or a file.
    supervisor.peer_addr()?;
    if order.is_orphaned() {
        return Ok(());
    }
    let until = Instant::now() + order.time;
    let (program, arguments) = order.argv.split_first().ok_or(ErrorKind::InvalidInput)?;
    loop {
        let mut command = Command::new(program);
        if order.kind == Kind::Question {
            command.stdout(io::stderr().as_fd().try_clone_to_owned()?);
        }
        let error = command.args(arguments).stdin(Stdio::null()).process_group(0).exec();
        if error.kind() != ErrorKind::ExecutableFileBusy || Instant::now() >= until {
            return supervisor.write_all(&number(&error).to_ne_bytes());
        }
        sleep(BUSY_AGAIN);
    }
}

/// As `wait` tells it.
pub(super) fn ended_with(status: i32) -> ExitStatus {
    ExitStatus::from_raw(status)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// What leads this test program to [`a_process_between_a_test_and_its_command`] and to nothing else.
    pub(super) const SELF: [&str; 4] =
        ["--exact", "--nocapture", "platform::linux::supervise::tests::a_process_between_a_test_and_its_command", "--"];

    /// In the place of kagiban-exporter's `main`.
    #[test]
    fn a_process_between_a_test_and_its_command() {
        let arguments = std::env::args_os().skip_while(|argument| argument != "--").skip(1);
        if let Some(ended) = command_process(arguments) {
            std::process::exit(i32::from(ended != ExitCode::SUCCESS));
        }
    }

    fn argv(words: &[&str]) -> Vec<String> {
        words.iter().map(|&w| w.to_owned()).collect()
    }

    fn heard(words: &mut UnixStream) -> Option<SupervisorMessage> {
        words.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket");
        let mut bytes = [0; SupervisorMessage::LENGTH];
        words.read_exact(&mut bytes).ok().and_then(|()| SupervisorMessage::from_bytes(bytes))
    }

    #[test]
    fn every_word_is_read_as_it_was_written() {
        for word in [
            SupervisorMessage::Begun(77),
            SupervisorMessage::NotLaunched(13),
            SupervisorMessage::NotStarted(26),
            SupervisorMessage::Ended(256),
            SupervisorMessage::Ended(9),
            SupervisorMessage::Killed,
        ] {
            assert_eq!(SupervisorMessage::from_bytes(word.to_bytes()), Some(word));
        }
        assert_eq!(SupervisorMessage::from_bytes(*b"x0000"), None);
    }

    #[test]
    fn by_hand_neither_of_them_does_anything() {
        let asked = |words: &[&str]| command_process(words.iter().map(OsString::from));
        assert!(asked(&["--once"]).is_none() && asked(&[]).is_none());
        for words in
            [&[SUPERVISOR][..], &[LAUNCHER, "1"], &[SUPERVISOR, "-1", "5", "true"], &[LAUNCHER, "x", "5", "true"]]
        {
            assert_eq!(asked(words), Some(ExitCode::FAILURE), "{words:?}");
        }
    }

    /// Holds A8: it has no descriptor of ours, and is to its system what it would be without the two between.
    #[test]
    fn a_command_leads_its_group_and_has_none_of_our_descriptors() {
        let directory = tempfile::tempdir().expect("directory");
        let told = directory.path().join("told");
        let _held = fs::File::create(directory.path().join("held")).expect("a file");
        let script = "{ echo $$ $(cut -d' ' -f5 /proc/$$/stat) $PPID $PWD $0; for f in /proc/$$/fd/*; do readlink $f; done; } > $1.new; \
                      mv $1.new $1";
        let words = ["sh", "-c", script, "name", told.to_str().expect("UTF-8")];
        let (mut child, mut words) = supervised(&argv(&words), Duration::from_secs(30)).expect("supervised");
        assert!(matches!(heard(&mut words), Some(SupervisorMessage::Begun(_))));
        assert_eq!(heard(&mut words), Some(SupervisorMessage::Ended(0)));
        let told = fs::read_to_string(told).expect("told");
        let mut lines = told.lines();
        let first: Vec<_> = lines.next().expect("a line").split(' ').collect();
        assert_eq!((first[0], first[2]), (first[1], child.id().to_string().as_str()), "{told}");
        assert_eq!(first[3..], ["/", "name"], "{told}");
        assert_eq!(lines.clone().take_while(|file| *file == "/dev/null").count(), 1, "{told}");
        assert!(lines.all(|file| !file.starts_with("socket:") && !file.ends_with("/held")), "{told}");
        child.wait().expect("it ends");
    }

    /// Holds A8: nobody could wait for it any more.
    #[test]
    fn a_command_whose_supervisor_is_killed_is_killed() {
        let directory = tempfile::tempdir().expect("directory");
        let mark = directory.path().join("mark");
        let script = format!("sleep 1; touch {}", mark.display());
        let (mut child, mut words) =
            supervised(&argv(&["sh", "-c", &script]), Duration::from_secs(30)).expect("supervised");
        assert!(matches!(heard(&mut words), Some(SupervisorMessage::Begun(_))));
        child.kill().and_then(|()| child.wait()).expect("killed");
        assert_eq!(heard(&mut words), None);
        sleep(Duration::from_secs(3));
        assert!(!mark.exists());
    }

    /// Holds A7, A8: a start that is halfway goes on without the exporter, and no longer than the next one waits for it.
    #[test]
    fn a_command_that_runs_goes_on_without_its_exporter_until_its_deadline() {
        for (deadline, ends) in [(60, true), (1, false)] {
            let directory = tempfile::tempdir().expect("directory");
            let mark = directory.path().join("mark");
            let script = format!("sleep 3; touch {}", mark.display());
            let argv = argv(&["sh", "-c", &script]);
            let (mut child, mut words) = supervised(&argv, Duration::from_secs(deadline)).expect("supervised");
            let word = heard(&mut words);
            assert!(matches!(word, Some(SupervisorMessage::Begun(_))) || !ends, "{word:?}");
            drop(words);
            child.wait().expect("it ends");
            sleep(Duration::from_secs(if ends { 0 } else { 4 }));
            assert_eq!(mark.exists(), ends, "{deadline} s");
        }
    }

    #[test]
    fn a_command_that_is_run_while_it_is_awaited_is_killed_with_what_it_started_once_nobody_waits() {
        let directory = tempfile::tempdir().expect("directory");
        let [begun, mark] = ["begun", "mark"].map(|name| directory.path().join(name));
        let script = format!("(sleep 3; touch {}) & touch {}; wait", mark.display(), begun.display());
        let argv = argv(&["sh", "-c", &script]);
        let (mut child, mut words) = supervised_while_awaited(&argv, Duration::from_secs(60)).expect("supervised");
        assert!(matches!(heard(&mut words), Some(SupervisorMessage::Begun(_))));
        while !begun.exists() {
            sleep(POLL);
        }
        drop(words);
        child.wait().expect("it ends");
        sleep(Duration::from_secs(4));
        assert!(!mark.exists());
    }

    /// A script that makes a mark, and who writes it.
    fn busy(directory: &Path) -> (Vec<String>, PathBuf, fs::File) {
        let [program, mark] = ["program", "mark"].map(|name| directory.join(name));
        fs::write(&program, format!("#!/bin/sh\ntouch {}\n", mark.display())).expect("write");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("chmod");
        let writer = OpenOptions::new().append(true).open(&program).expect("open");
        (argv(&[program.to_str().expect("UTF-8")]), mark, writer)
    }

    /// Holds A13.
    #[test]
    fn a_program_that_is_being_written_is_run_when_it_is_written() {
        let directory = tempfile::tempdir().expect("directory");
        let (argv, mark, writer) = busy(directory.path());
        let (mut child, mut words) = supervised(&argv, Duration::from_secs(60)).expect("supervised");
        sleep(Duration::from_millis(500));
        drop(writer);
        assert!(matches!(heard(&mut words), Some(SupervisorMessage::Begun(_))));
        assert_eq!(heard(&mut words), Some(SupervisorMessage::Ended(0)));
        assert!(mark.exists());
        child.wait().expect("it ends");
    }

    #[test]
    fn a_program_that_is_written_for_long_is_told_before_the_deadline() {
        let directory = tempfile::tempdir().expect("directory");
        let (argv, mark, writer) = busy(directory.path());
        let (mut child, mut words) = supervised(&argv, Duration::from_secs(2)).expect("supervised");
        assert_eq!(heard(&mut words), Some(SupervisorMessage::NotStarted(rustix::io::Errno::TXTBSY.raw_os_error())));
        child.wait().expect("it ends");
        drop(writer);
        assert!(!mark.exists());
    }

    /// Holds A8: nobody waits for it any more, as when the exporter has ended.
    #[test]
    fn a_command_that_has_not_begun_when_nobody_waits_for_it_any_more_never_does() {
        let directory = tempfile::tempdir().expect("directory");
        let (argv, mark, writer) = busy(directory.path());
        let (mut child, words) = supervised(&argv, Duration::from_secs(60)).expect("supervised");
        sleep(Duration::from_millis(300));
        drop(words);
        child.wait().expect("it ends");
        drop(writer);
        sleep(Duration::from_secs(1));
        assert!(!mark.exists());
    }
}
