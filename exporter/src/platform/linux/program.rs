//! Running a program by its argument vector.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::net::unix::pipe::Receiver;
use tokio::time::{Instant, sleep, timeout_at};

use super::executable::{can_be_run, check_format, check_unexposed, check_way, exposed, find};
use super::started_process;
use super::supervise::{
    DEFAULT_PATH, POLL, SupervisorMessage, ended_with, own_program, supervised, supervised_question,
    supervised_while_awaited,
};
use super::systemd::argv;
use crate::platform::FileError;
use crate::platform::left::{LEFT, LOOK, MAX_LEFT, look_at};
use crate::platform::output::decoded;
use crate::platform::{Answer, Command, ProgramError, StartedProcess};

/// How long a killed program may take to end. One that waits for a file system that hangs ends when that answers.
const END_OF_KILLED: Duration = Duration::from_secs(2);
/// How late a supervisor may be: it is a process like any other, on a host that may be busy.
const LATE_SUPERVISOR: Duration = Duration::from_secs(10);
/// For what a supervisor has said while this program stood still.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Runs a command of an agent until it ends, without a shell, in a process group of its own that is killed when the deadline
/// passes. What it has started in the background lives on.
///
/// Its output goes nowhere: a daemon would keep a pipe to us open, and die of writing to it once we are gone.
///
/// # Errors
/// See [`ProgramError`]; a status other than zero is one.
pub async fn run(agent: &str, command: &Command, deadline: Duration) -> Result<(), ProgramError> {
    spawn(agent, command, deadline)?.wait().await
}

/// The same of a command that is for whoever waits alone: it is killed, with its process group, as soon as this is dropped or this process
/// has ended, however it ended.
///
/// # Errors
/// As [`run`].
pub async fn run_while_awaited(agent: &str, command: &Command, deadline: Duration) -> Result<(), ProgramError> {
    spawn_by(agent, &argv(command), deadline, supervised_while_awaited)?.wait().await
}

/// Asks a program: runs it as [`run`] does, and reads what it prints, on its standard error too, in English where it can. What it has
/// started in the background is not waited for.
///
/// # Errors
/// See [`ProgramError`]; a status other than zero is an answer, and more than `limit` bytes are none: then it is killed.
pub(super) async fn ask(
    agent: &str,
    argv: &[String],
    deadline: Duration,
    limit: usize,
) -> Result<Answer, ProgramError> {
    let program = argv.first().cloned().unwrap_or_default();
    let lost = |source| ProgramError::Lost { program: program.clone(), source };
    let (ours, theirs) = io::pipe().map_err(lost)?;
    let mut running =
        spawn_by(agent, argv, deadline, |argv, deadline| supervised_question(argv, deadline, theirs.into()))?;
    let mut output = Receiver::from_owned_fd(ours.into()).map_err(lost)?;
    let (mut bytes, mut is_open) = (Vec::new(), true);
    let ended = {
        let mut ended = pin!(running.ended());
        loop {
            tokio::select! {
                read = output.read_buf(&mut bytes), if is_open => {
                    is_open = read.map_err(lost)? > 0;
                    if bytes.len() > limit {
                        break None;
                    }
                }
                ended = &mut ended => break Some(ended),
            }
        }
    };
    let Some(ended) = ended else {
        running.kill().await;
        return Err(ProgramError::TooMuch { program, limit });
    };
    let status = ended?;
    // What it has written is there; who holds the pipe open beyond its end may never close it.
    let mut last = [0; 4096];
    while let Ok(read @ 1..) = output.try_read(&mut last) {
        bytes.extend_from_slice(&last[..read]);
        if bytes.len() > limit {
            return Err(ProgramError::TooMuch { program, limit });
        }
    }
    Ok(Answer { is_success: status.success(), status: status.to_string(), text: decoded(&bytes) })
}

/// A program that runs, or is about to.
#[derive(Debug)]
pub struct RunningProgram {
    name: String,
    deadline: Duration,
    until: Instant,
    supervisor: SupervisorProcess,
    words: std::os::unix::net::UnixStream,
    /// The process group of the command, once it runs.
    begun: Option<i32>,
}

/// Begins what [`run`] does; the deadline counts from now. One that comes to life only after that, or after its caller or this
/// process has gone away, is killed: what it would do is not waited for any more, and may be the opposite of what was done since.
///
/// # Errors
/// When there is no process for it.
pub fn spawn(agent: &str, command: &Command, deadline: Duration) -> Result<RunningProgram, ProgramError> {
    spawn_by(agent, &argv(command), deadline, supervised)
}

fn spawn_by(
    agent: &str,
    argv: &[String],
    deadline: Duration,
    start: impl FnOnce(&[String], Duration) -> io::Result<(Child, std::os::unix::net::UnixStream)>,
) -> Result<RunningProgram, ProgramError> {
    let name = argv.first().cloned().unwrap_or_default();
    let until = Instant::now() + deadline;
    let too_many = || format!("{MAX_LEFT} of this agent's programs were killed and do not end: a file system hangs");
    let admitted = LEFT.admit(agent, MAX_LEFT).ok_or_else(|| io::Error::other(too_many()));
    match admitted.and_then(|_| start(argv, deadline)) {
        Ok((child, words)) => {
            let supervisor = SupervisorProcess { agent: agent.to_owned(), child: Some(child) };
            Ok(RunningProgram { name, deadline, until, supervisor, words, begun: None })
        }
        Err(source) => Err(not_launched(name, source)),
    }
}

/// No process of this program could be made: the command is not to blame.
fn not_launched(program: String, source: io::Error) -> ProgramError {
    ProgramError::NotLaunched { program, own: own_program().to_owned(), source }
}

/// The process that starts the program and waits for its end. One that is still there when this is dropped counts as left.
#[derive(Debug)]
struct SupervisorProcess {
    agent: String,
    child: Option<Child>,
}

impl SupervisorProcess {
    /// Waits for its end, `until` at the latest.
    async fn reap(&mut self, until: Instant) {
        while let Some(child) = &mut self.child {
            match child.try_wait() {
                Ok(None) if Instant::now() < until => sleep(POLL).await,
                Ok(None) => return,
                Ok(Some(_)) | Err(_) => self.child = None,
            }
        }
    }

    /// With the command's group, as far as it is known; the kernel kills a command of which nothing was heard.
    fn kill(&mut self, group: Option<i32>) {
        if let Some(child) = &mut self.child {
            // First, while the command is its child and cannot be anybody else: what a command has started may do its work.
            if let Some(group) = group.and_then(Pid::from_raw) {
                let _ = kill_process_group(group, Signal::KILL);
            }
            let _ = child.kill();
        }
    }
}

impl Drop for SupervisorProcess {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            LEFT.keep(&self.agent, child);
        }
    }
}

/// Whether [`run`] could begin this command, as far as can be told without running it: its program is found, a regular file,
/// executable by this process, and of a form that the kernel runs; so is the interpreter or the loader that it names. What
/// the agent's earlier commands have left behind leaves room for what runs until the service is up again.
///
/// # Errors
/// [`ProgramError::NotRunnable`].
pub fn check_program(agent: &str, command: &Command) -> Result<(), ProgramError> {
    let name = argv(command).first().cloned().unwrap_or_default();
    let path = std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    let look = {
        let name = name.clone();
        move || {
            can_be_run(own_program()).map_err(|why| (own_program().to_owned(), why))?;
            find(&name, &path).and_then(|found| check_format(&found))
        }
    };
    let refused = |(path, why)| ProgramError::NotRunnable { program: name.clone(), path, why };
    look_at(agent, LOOK, look).unwrap_or_else(|why| Err((PathBuf::from(&name), why.of_files()))).map_err(refused)
}

/// Whether this program works for the system in a way that others than administrators must not be able to turn: root is told what is
/// exposed, and not refused it.
pub fn refuses_exposed() -> bool {
    false
}

/// What of a command somebody else than root and this program's account may exchange: its program, the script that a shell is given,
/// or a directory above. None also where it cannot be looked at.
pub fn exposed_part(agent: &str, command: &Command) -> Option<FileError> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    let argv = argv(command).into_owned();
    look_at(agent, LOOK, move || exposed(&argv, &path)).ok().flatten()
}

/// Whether somebody else than root and this program's account may exchange a file that a rotation goes by, as above, or put one where none
/// is yet. None also where it cannot be looked at.
pub fn exposed_file(agent: &str, path: &Path) -> Option<FileError> {
    let path = path.to_owned();
    let judge = move || if path.exists() { check_unexposed(&path) } else { check_way(&path) };
    look_at(agent, LOOK, move || judge().err()).ok().flatten()
}

impl RunningProgram {
    /// The process that ends with it; none where the system does not tell.
    pub fn process(&self) -> Option<StartedProcess> {
        started_process(self.supervisor.child.as_ref()?.id())
    }

    /// With what it has started, and waits a little for its end.
    async fn kill(&mut self) {
        self.supervisor.kill(self.begun);
        self.supervisor.reap(Instant::now() + END_OF_KILLED).await;
    }

    /// Waits for its end. When the deadline has passed, its process group is killed.
    ///
    /// # Errors
    /// As [`run`].
    pub async fn wait(mut self) -> Result<(), ProgramError> {
        let status = self.ended().await?;
        let failed = || ProgramError::Failed { program: self.name.clone(), status: status.to_string() };
        status.success().then_some(()).ok_or_else(failed)
    }

    /// The status that it ends with. To be asked once.
    async fn ended(&mut self) -> Result<ExitStatus, ProgramError> {
        let Self { name, deadline, until, supervisor, words, begun } = self;
        let (program, deadline) = (name.clone(), *deadline);
        let lost = |source| ProgramError::Lost { program: program.clone(), source };
        let words = words.try_clone().map_err(lost)?;
        words.set_nonblocking(true).map_err(lost)?;
        let mut words = UnixStream::from_std(words).map_err(lost)?;
        let (mut limit, mut is_last) = (*until + LATE_SUPERVISOR, false);
        let ended = loop {
            match timeout_at(limit, word(&mut words)).await {
                Ok(Ok(SupervisorMessage::Begun(group))) => *begun = Some(group),
                Ok(Ok(SupervisorMessage::NotLaunched(error))) => {
                    break Err(not_launched(program, io::Error::from_raw_os_error(error)));
                }
                Ok(Ok(SupervisorMessage::NotStarted(error))) => {
                    break Err(ProgramError::NotStarted { program, source: why_not(error) });
                }
                Ok(Ok(SupervisorMessage::Ended(status))) => break Ok(ended_with(status)),
                Ok(Ok(SupervisorMessage::Killed)) if begun.is_some() => {
                    break Err(ProgramError::TimedOut { program, deadline });
                }
                Ok(Ok(SupervisorMessage::Killed)) => {
                    let why = "it did not begin before its timeout, because a file system hangs, and is killed";
                    break Err(ProgramError::NotStarted { program, source: io::Error::other(why) });
                }
                Ok(Err(source)) => break Err(ProgramError::Lost { program, source }),
                // This program may have stood still for long, and what it was told meanwhile be there.
                Err(_) if !is_last => (limit, is_last) = (Instant::now() + LAST_WORD, true),
                Err(_) => {
                    supervisor.kill(*begun);
                    break Err(ProgramError::TimedOut { program, deadline });
                }
            }
        };
        supervisor.reap(Instant::now() + END_OF_KILLED).await;
        ended
    }
}

fn why_not(error: i32) -> io::Error {
    let source = io::Error::from_raw_os_error(error);
    match source.kind() {
        io::ErrorKind::ExecutableFileBusy => {
            let why =
                "somebody has it, or the interpreter that it names, open for writing (see `fuser -v` of its path)";
            io::Error::new(source.kind(), why)
        }
        _ => source,
    }
}

async fn word(words: &mut UnixStream) -> io::Result<SupervisorMessage> {
    let mut bytes = [0; SupervisorMessage::LENGTH];
    words.read_exact(&mut bytes).await.map_err(|_| io::Error::other("what waits for it has ended"))?;
    SupervisorMessage::from_bytes(bytes).ok_or_else(|| io::Error::other("what waits for it is another version"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::mpsc;
    use std::{fs, thread};

    use rustix::process::kill_process;
    use tokio::time::advance;

    use super::*;
    use crate::platform::left::{Left, MAX_LEFT_BEFORE_STOP};

    #[test]
    fn a_file_that_is_not_there_yet_is_exposed_where_others_may_put_one() {
        let root = tempfile::tempdir().expect("directory");
        for (mode, is_exposed) in [(0o700, false), (0o777, true)] {
            fs::set_permissions(root.path(), fs::Permissions::from_mode(mode)).expect("chmod");
            let exposed = exposed_file("web", &root.path().join("backup.zip"));
            assert_eq!(exposed.is_some(), is_exposed, "{mode:o}: {exposed:?}");
        }
    }

    /// Holds A13: what `exec` would refuse is known without running it.
    #[test]
    fn a_program_that_cannot_be_run_is_known_before_it_is_run() {
        let root = tempfile::tempdir().expect("directory");
        let script = |name: &str, text: &str, mode| {
            let path = root.path().join(name);
            fs::write(&path, text).expect("write");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
            path.display().to_string()
        };
        let good = script("good", "#! /bin/sh -e\nexit 0\n", 0o755);
        let nested = script("nested", &format!("#!{good}\n"), 0o755);
        let unterminated = script("unterminated", "#!/bin/sh", 0o755);
        for runnable in [&good, &nested, &unterminated, "true", "/bin/true"] {
            check_program("web", &argv(&[runnable])).expect(runnable);
        }
        let plain = script("plain", "exit 0\n", 0o755);
        let closed = script("closed", "#!/bin/sh\n", 0o644);
        let windows = script("windows", "#!/bin/sh\r\nexit 0\r\n", 0o755);
        let lost = script("lost", &format!("#!{}\n", root.path().join("gone").display()), 0o755);
        let deep = script("deep", &format!("#!{lost}\n"), 0o755);
        let directory = root.path().display().to_string();
        for (program, path, why) in [
            (closed.as_str(), "/closed", "not executable"),
            (&plain, "/plain", "#!/bin/sh"),
            (&lost, "/gone", "not found"),
            (&deep, "/gone", "not found"),
            (&windows, "/windows", "carriage return"),
            (&directory, &directory, "not a regular file"),
            ("/no/such/program", "/no/such/program", "not found"),
            ("no-such-program", "no-such-program", "PATH"),
            ("", "", "not found"),
        ] {
            let told = check_program("web", &argv(&[program])).expect_err(program).to_string();
            assert!(told.contains(path) && told.contains(why), "{program}: {told}");
        }
    }

    fn argv(words: &[&str]) -> Command {
        Command::Program(words.iter().map(|&w| w.to_owned()).collect())
    }

    #[tokio::test]
    async fn a_status_other_than_zero_is_a_failure_and_a_missing_program_is_another() {
        assert!(run("web", &argv(&["true"]), Duration::from_secs(5)).await.is_ok());
        let failed = run("web", &argv(&["false"]), Duration::from_secs(5)).await.expect_err("false");
        assert_eq!(failed.reason(), "failed");
        let missing = run("web", &argv(&["/nonexistent/program"]), Duration::from_secs(5)).await.expect_err("missing");
        assert_eq!(missing.reason(), "not_started");
    }

    #[tokio::test]
    async fn arguments_reach_the_program_as_they_are_and_no_shell_reads_them() {
        let directory = tempfile::tempdir().expect("directory");
        let name = directory.path().join("a b; touch c $(id)");
        let name = name.to_str().expect("UTF-8");
        run("web", &argv(&["touch", name]), Duration::from_secs(5)).await.expect("touch");
        assert!(fs::exists(name).expect("stat"));
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_killed_with_what_it_started() {
        let directory = tempfile::tempdir().expect("directory");
        let mark = directory.path().join("mark");
        let script = format!("(sleep 1; touch {}) & sleep 30", mark.display());
        let started = Instant::now();
        let hung = run("web", &argv(&["sh", "-c", &script]), Duration::from_millis(200)).await.expect_err("hangs");
        assert_eq!(hung.reason(), "timed_out");
        assert!(started.elapsed() < Duration::from_secs(5));
        sleep(Duration::from_millis(1500)).await;
        assert!(!mark.exists(), "the background process outlived the kill");
    }

    /// Holds A13: a file system that hangs is known before the service is stopped, and so is what hangs already.
    #[test]
    fn a_look_that_hangs_ends_in_time_and_only_so_many_hang() {
        let (answer, hanging) = mpsc::channel::<()>();
        let hanging = std::sync::Arc::new(std::sync::Mutex::new(hanging));
        for _ in 0..MAX_LEFT_BEFORE_STOP {
            let hanging = std::sync::Arc::clone(&hanging);
            let look = move || _ = hanging.lock().map(|hanging| hanging.recv());
            let why = look_at("looked at", POLL, look).expect_err("it hangs").of_files();
            assert!(why.contains("cannot be looked at"), "{why}");
        }
        let told = check_program("looked at", &argv(&["/bin/true"])).expect_err("too many").to_string();
        assert!(told.contains("do not end"), "{told}");
        check_program("another", &argv(&["/bin/true"])).expect("strangers take nothing");
        drop(answer);
    }

    /// What a shell answers.
    async fn told(script: &str, deadline: Duration) -> Result<Answer, ProgramError> {
        ask("asked", &["sh", "-c", script].map(str::to_owned), deadline, 1000).await
    }

    #[tokio::test]
    async fn a_question_is_answered_by_all_that_is_printed_and_by_the_status() {
        let long = Duration::from_secs(30);
        let answer = told("echo one; echo two >&2; exit 3", long).await.expect("an answer");
        assert_eq!((answer.text.as_str(), answer.is_success), ("one\ntwo\n", false), "{answer:?}");
        let answer = told("exec true", long).await.expect("an answer");
        assert_eq!((answer.text.as_str(), answer.is_success), ("", true));
        assert_eq!(told("printf '\\202\\240'", long).await.expect("an answer").text, "あ", "CP932");
        assert_eq!(told("printf %s \"$LC_ALL\"", long).await.expect("an answer").text, "C");
        let quiet = told("sleep 60 & echo one", long).await.expect("the sleeper holds the pipe and is not waited for");
        assert_eq!(quiet.text, "one\n");
    }

    #[tokio::test]
    async fn a_program_that_prints_without_end_or_never_ends_is_killed() {
        let directory = tempfile::tempdir().expect("directory");
        let pid = directory.path().join("pid");
        let endless = format!("trap '' PIPE; echo $$ > {}; while :; do echo more; done", pid.display());
        let started = Instant::now();
        let refused = told(&endless, Duration::from_secs(300)).await.expect_err("endless");
        assert_eq!(refused.reason(), "too_much_output");
        assert!(started.elapsed() < Duration::from_secs(60), "the deadline was not waited for");
        let pid = fs::read_to_string(pid).expect("it ran");
        let words = fs::read_to_string(format!("/proc/{}/cmdline", pid.trim()));
        assert!(
            words.is_ok_and(|words| words.is_empty()) || !fs::exists(format!("/proc/{}", pid.trim())).expect("stat"),
            "it was left running"
        );
        let refused = told("sleep 60", Duration::from_millis(300)).await.expect_err("it hangs");
        assert_eq!(refused.reason(), "timed_out");
        let missing = ask("asked", &["no-such-program".to_owned()], Duration::from_secs(30), 10).await;
        assert!(missing.expect_err("there is none").is_not_found());
    }

    /// Holds A13.
    #[tokio::test]
    async fn a_program_that_somebody_writes_for_long_is_told_as_such() {
        let directory = tempfile::tempdir().expect("directory");
        let program = directory.path().join("program");
        fs::write(&program, "#!/bin/sh\n").expect("write");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("chmod");
        let writer = fs::OpenOptions::new().append(true).open(&program).expect("open");
        let argv = argv(&[program.to_str().expect("UTF-8")]);
        let told = run("written", &argv, Duration::from_millis(500)).await.expect_err("busy").to_string();
        assert!(told.contains("open for writing"), "{told}");
        drop(writer);
        run("written", &argv, Duration::from_secs(30)).await.expect("written");
    }

    /// Holds A17: whoever does not answer is not waited for.
    #[tokio::test]
    async fn a_program_whose_supervisor_is_lost_is_told_as_lost() {
        let program = spawn("web", &argv(&["sleep", "60"]), Duration::from_secs(60)).expect("spawned");
        let number = Pid::from_child(program.supervisor.child.as_ref().expect("a process"));
        kill_process(number, Signal::KILL).expect("killed");
        let error = program.wait().await.expect_err("lost");
        assert_eq!(error.reason(), "lost");
    }

    /// Its supervisor, stopped once the command has begun, and told to have.
    fn stop_supervisor(program: &RunningProgram) -> Pid {
        while rustix::io::ioctl_fionread(&program.words).expect("a socket") < SupervisorMessage::LENGTH as u64 {
            thread::sleep(POLL);
        }
        let supervisor = Pid::from_child(program.supervisor.child.as_ref().expect("a process"));
        kill_process(supervisor, Signal::STOP).expect("stopped");
        supervisor
    }

    /// Holds A13: on a host that stands still for long, a command that has ended well is not told to have timed out.
    #[tokio::test(start_paused = true)]
    async fn what_a_supervisor_says_a_moment_late_counts() {
        // While something blocks, the clock goes by `advance` alone.
        let (release, held) = mpsc::channel::<()>();
        #[expect(clippy::disallowed_methods, reason = "it holds the runtime's own clock")]
        let holding = tokio::task::spawn_blocking(move || held.recv().is_ok());
        let directory = tempfile::tempdir().expect("directory");
        let go = directory.path().join("go");
        let script = format!("until [ -e {} ]; do sleep 0.02; done", go.display());
        let deadline = Duration::from_secs(60);
        let program = spawn("late", &argv(&["sh", "-c", &script]), deadline).expect("spawned");
        let supervisor = stop_supervisor(&program);
        fs::write(&go, "").expect("written");
        let waiting = tokio::spawn(program.wait());
        tokio::task::yield_now().await;
        advance(deadline + LATE_SUPERVISOR + POLL).await;
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        kill_process(supervisor, Signal::CONT).expect("it goes on");
        let mut passed = Duration::ZERO;
        while !waiting.is_finished() && passed < LAST_WORD / 2 {
            thread::sleep(POLL);
            advance(Duration::from_millis(1)).await;
            passed += Duration::from_millis(1);
        }
        release.send(()).expect("it holds");
        waiting.await.expect("no panic").expect("it has ended well");
        assert!(holding.await.expect("no panic"));
    }

    /// Holds A13: where its supervisor does not, this program kills a command with all that it has started.
    #[tokio::test(start_paused = true)]
    async fn a_command_whose_supervisor_stands_still_is_killed_with_what_it_started() {
        let directory = tempfile::tempdir().expect("directory");
        let begun = directory.path().join("begun");
        let script = format!("sleep 600 & echo $! > {0}.new; mv {0}.new {0}; wait", begun.display());
        let program = spawn("still", &argv(&["sh", "-c", &script]), Duration::from_secs(60)).expect("spawned");
        stop_supervisor(&program);
        while !begun.exists() {
            thread::sleep(POLL);
        }
        let number = fs::read_to_string(&begun).expect("read").trim().to_owned();
        let runs = || {
            let status = fs::read_to_string(format!("/proc/{number}/status")).unwrap_or_default();
            status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
        };
        assert!(runs());
        assert_eq!(program.wait().await.expect_err("it hangs").reason(), "timed_out");
        let mut looks = 0;
        while runs() && looks < 250 {
            thread::sleep(POLL);
            looks += 1;
        }
        let is_left = runs();
        if let Some(left) = number.parse().ok().and_then(Pid::from_raw).filter(|_| is_left) {
            let _ = kill_process(left, Signal::KILL);
        }
        assert!(!is_left, "what the command has started outlived it");
    }

    #[tokio::test]
    async fn a_daemon_left_in_the_background_is_not_waited_for_and_lives_on() {
        let directory = tempfile::tempdir().expect("directory");
        let mark = directory.path().join("mark");
        let script = format!("(sleep 0.5; echo something; touch {}) &", mark.display());
        run("web", &argv(&["sh", "-c", &script]), Duration::from_secs(5)).await.expect("daemonises");
        assert!(!mark.exists());
        sleep(Duration::from_secs(2)).await;
        assert!(mark.exists());
    }

    /// Holds A6, A17: a program that no signal ends, because a file system hangs, takes only so many processes, and none of
    /// another agent's.
    #[test]
    fn what_is_left_of_an_agent_is_bounded_reaped_and_takes_nothing_from_another() {
        let left = Left::new();
        for _ in 1..MAX_LEFT {
            left.keep("hung", std::process::Command::new("sleep").arg("60").spawn().expect("sleep"));
        }
        let at_work = left.admit("hung", MAX_LEFT).expect("one more");
        assert!(left.admit("hung", MAX_LEFT).is_none(), "what works counts too");
        assert!(left.admit("web", MAX_LEFT_BEFORE_STOP).is_some());
        drop(at_work);
        assert!(left.admit("hung", MAX_LEFT).is_some());
        assert!(left.admit("hung", MAX_LEFT_BEFORE_STOP).is_none(), "nothing more is stopped");
        left.kill_all();
        let started = std::time::Instant::now();
        while left.admit("hung", 1).is_none() {
            assert!(started.elapsed() < Duration::from_secs(30), "they have ended");
            thread::sleep(Duration::from_millis(20));
        }
    }
}
