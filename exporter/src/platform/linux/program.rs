//! Running a program by its argument vector.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use std::{fs, io, thread};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open, pidfd_send_signal};
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::time::{Instant, sleep, timeout_at};

use super::executable::{check_format, find};
use super::left::{LEFT, MAX_LEFT, MAX_LEFT_BEFORE_STOP};
use super::started_process;
use crate::platform::{ProgramError, StartedProcess};

/// What a service command needs to find its tools and to speak; nothing of ours is for its eyes.
const KEPT_ENVIRONMENT: [&str; 4] = ["PATH", "LANG", "LC_ALL", "TZ"];
/// Where a process without a PATH of its own finds the system's tools.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How long a killed program may take to end. One that waits for a file system that hangs ends when that answers.
const END_OF_KILLED: Duration = Duration::from_secs(2);
/// How long a look at a command may take: milliseconds, where no file system hangs.
const LOOK: Duration = Duration::from_secs(5);
/// How long a start is waited for on the spot, so that its process is known from its beginning: a millisecond is usual.
const AT_ONCE: Duration = Duration::from_millis(100);
/// Short against any service's start, long against the cost of a look.
const POLL: Duration = Duration::from_millis(20);

/// Runs a program of an agent until it ends, without a shell, in a process group of its own that is killed when the deadline
/// passes. What it has started in the background lives on.
///
/// Its output goes nowhere: a daemon would keep a pipe to us open, and die of writing to it once we are gone.
///
/// # Errors
/// See [`ProgramError`]; a status other than zero is one.
pub async fn run(agent: &str, argv: &[String], deadline: Duration) -> Result<(), ProgramError> {
    spawn(agent, argv, deadline)?.wait().await
}

/// A program that runs, or is about to.
#[derive(Debug)]
pub struct RunningProgram {
    agent: String,
    name: String,
    begun: Begun,
    deadline: Duration,
    until: Instant,
}

/// Begins what [`run`] does; the deadline counts from now. One that comes to life only after that, or after its caller has gone
/// away, is killed: what it would do is not waited for any more, and may be the opposite of what was done since.
///
/// # Errors
/// When it cannot be started.
pub fn spawn(agent: &str, argv: &[String], deadline: Duration) -> Result<RunningProgram, ProgramError> {
    let (program, arguments) = argv.split_first().map_or(("", &[][..]), |(p, a)| (p.as_str(), a));
    let mut command = Command::new(program);
    command.args(arguments).current_dir("/").process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.env_clear().env("PATH", DEFAULT_PATH);
    command.envs(KEPT_ENVIRONMENT.iter().filter_map(|key| Some((key, std::env::var_os(key)?))));
    let until = Instant::now() + deadline;
    match begin(agent, move || command.spawn()) {
        Ok(begun) => Ok(RunningProgram { agent: agent.to_owned(), name: program.to_owned(), begun, deadline, until }),
        Err(source) => Err(ProgramError::NotStarted { program: program.to_owned(), source }),
    }
}

#[derive(Debug)]
enum Begun {
    Runs(Child),
    /// Its `exec` has not returned.
    Hangs(Unborn),
}

#[derive(Debug)]
struct Unborn {
    told: oneshot::Receiver<io::Result<Child>>,
    /// Where the system lists the children of the thread that starts it.
    children: mpsc::Receiver<Option<PathBuf>>,
}

/// On a thread of its own: `exec` reads the program's file, and may hang as long as that.
fn begin(agent: &str, spawn: impl FnOnce() -> io::Result<Child> + Send + 'static) -> io::Result<Begun> {
    let too_many = || format!("{MAX_LEFT} of this agent's programs were killed and do not end: a file system hangs");
    let at_work = LEFT.admit(agent, MAX_LEFT).ok_or_else(|| io::Error::other(too_many()))?;
    let (tell, mut told) = oneshot::channel();
    let (tell_children, children) = mpsc::channel();
    let (done, is_done) = mpsc::channel::<()>();
    thread::Builder::new().name("command".to_owned()).spawn(move || {
        let _ = tell_children.send(own_children());
        let refused = tell.send(spawn());
        drop(done);
        if let Err(Ok(mut late)) = refused {
            let _ = kill(&late).map(|()| late.wait());
        }
        drop(at_work);
    })?;
    let _ = is_done.recv_timeout(AT_ONCE);
    match told.try_recv() {
        Ok(spawned) => spawned.map(Begun::Runs),
        Err(TryRecvError::Empty) => Ok(Begun::Hangs(Unborn { told, children })),
        Err(TryRecvError::Closed) => Err(ended_in_a_bug()),
    }
}

fn ended_in_a_bug() -> io::Error {
    io::Error::other("the thread that starts it ended in a bug")
}

impl Begun {
    /// The program, once its `exec` has returned.
    async fn child(self, until: Instant) -> io::Result<Child> {
        let Unborn { mut told, children } = match self {
            Self::Runs(child) => return Ok(child),
            Self::Hangs(unborn) => unborn,
        };
        if let Ok(spawned) = timeout_at(until, &mut told).await {
            return spawned.unwrap_or_else(|_| Err(ended_in_a_bug()));
        }
        told.close();
        if let Ok(spawned) = told.try_recv() {
            return spawned;
        }
        if let Ok(Some(children)) = children.try_recv() {
            kill_unborn(&children);
        }
        Err(io::Error::other("it did not begin before its timeout, because a file system hangs, and is killed"))
    }
}

/// Where the system lists the children of the thread that asks.
fn own_children() -> Option<PathBuf> {
    let thread = fs::read_link("/proc/thread-self").ok()?;
    // Elsewhere, its numbers are those of another namespace.
    thread.starts_with(std::process::id().to_string()).then(|| Path::new("/proc").join(thread).join("children"))
}

/// Kills what a thread of this process is starting: its `exec` has not returned, so no instruction of it will run. Where the
/// system does not tell which process that is, it is killed when `exec` has returned.
fn kill_unborn(children: &Path) {
    let all = || fs::read_to_string(children).unwrap_or_default();
    for child in all().split_ascii_whitespace() {
        let Some(number) = child.parse().ok().and_then(Pid::from_raw) else { continue };
        let Ok(held) = pidfd_open(number, PidfdFlags::empty()) else { continue };
        // It may have ended, and its number be another's; not once it is held and still there.
        if all().split_ascii_whitespace().any(|still| still == child) {
            let _ = pidfd_send_signal(held, Signal::KILL);
        }
    }
}

/// Whether [`run`] could begin this command, as far as can be told without running it: its program is found, a regular file,
/// executable by this process, and of a form that the kernel runs; so is the interpreter or the loader that it names. What
/// the agent's earlier commands have left behind leaves room for what runs until the service is up again.
///
/// # Errors
/// [`ProgramError::NotRunnable`].
pub fn check_program(agent: &str, argv: &[String]) -> Result<(), ProgramError> {
    let name = argv.first().cloned().unwrap_or_default();
    let path = std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    let look = {
        let name = name.clone();
        move || find(&name, &path).and_then(|found| check_format(&found))
    };
    let refused = |(path, why)| ProgramError::NotRunnable { program: name.clone(), path, why };
    look_at(agent, LOOK, look).unwrap_or_else(|why| Err((PathBuf::from(&name), why))).map_err(refused)
}

/// On a thread of its own, for a bounded time: the file system of a command may hang.
fn look_at<T: Send + 'static>(
    agent: &str,
    within: Duration,
    look: impl FnOnce() -> T + Send + 'static,
) -> Result<T, &'static str> {
    let too_many = "earlier commands of this agent were killed and do not end, because a file system hangs";
    let at_work = LEFT.admit(agent, MAX_LEFT_BEFORE_STOP).ok_or(too_many)?;
    let (tell, told) = mpsc::channel();
    let looking = move || {
        let _ = tell.send(look());
        drop(at_work);
    };
    thread::Builder::new().name("command".to_owned()).spawn(looking).map_err(|_| "there is no thread to look at it")?;
    told.recv_timeout(within).map_err(|_| "it cannot be looked at, because its file system hangs")
}

impl RunningProgram {
    /// Its process; none where the system does not tell, or it hangs in `exec`.
    pub fn process(&self) -> Option<StartedProcess> {
        match &self.begun {
            Begun::Runs(child) => started_process(child.id()),
            Begun::Hangs(_) => None,
        }
    }

    /// Waits for its end, and kills its process group when the deadline has passed.
    ///
    /// # Errors
    /// As [`run`].
    pub async fn wait(self) -> Result<(), ProgramError> {
        let Self { agent, name: program, begun, deadline, until } = self;
        let mut child = match begun.child(until).await {
            Ok(child) => child,
            Err(source) => return Err(ProgramError::NotStarted { program, source }),
        };
        match wait(&mut child, until).await {
            Ok(Some(status)) if status.success() => Ok(()),
            Ok(Some(status)) => Err(ProgramError::Failed { program, status: status.to_string() }),
            Ok(None) => {
                let ended = wait_until(&mut child, Instant::now() + END_OF_KILLED).await;
                if !matches!(ended, Ok(Some(_))) {
                    LEFT.keep(&agent, child);
                }
                Err(ProgramError::TimedOut { program, deadline })
            }
            Err(source) => Err(ProgramError::Lost { program, source }),
        }
    }
}

/// Its status; none when it was killed at `until`.
async fn wait(child: &mut Child, until: Instant) -> io::Result<Option<ExitStatus>> {
    let ended = wait_until(child, until).await?;
    if ended.is_none() {
        kill(child)?;
    }
    Ok(ended)
}

/// With its group. It is not reaped yet, so the group's number cannot belong to anybody else.
fn kill(child: &Child) -> io::Result<()> {
    let number = Pid::from_child(child);
    Ok(kill_process_group(number, Signal::KILL).or_else(|_| kill_process(number, Signal::KILL))?)
}

/// Polls, because a signal handler for ended children would need a runtime with more threads than one.
async fn wait_until(child: &mut Child, end: Instant) -> io::Result<Option<ExitStatus>> {
    loop {
        match child.try_wait()? {
            None if Instant::now() < end => sleep(POLL).await,
            ended => return Ok(ended),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

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
            (&windows, "/bin/sh\r", "not found"),
            (&directory, &directory, "not a regular file"),
            ("/no/such/program", "/no/such/program", "not found"),
            ("no-such-program", "no-such-program", "PATH"),
            ("", "", "not found"),
        ] {
            let told = check_program("web", &argv(&[program])).expect_err(program).to_string();
            assert!(told.contains(path) && told.contains(why), "{program}: {told}");
        }
    }

    fn argv(words: &[&str]) -> Vec<String> {
        words.iter().map(|&w| w.to_owned()).collect()
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

    /// Holds A13, A8: its file system hangs in `exec`, and answers after the timeout. A stop that came to life then would end
    /// the service that was started since.
    #[tokio::test]
    async fn a_program_that_comes_to_life_after_its_timeout_is_killed() {
        let directory = tempfile::tempdir().expect("directory");
        let mark = directory.path().join("mark");
        let (answer, late) = late(&mark);
        let started = Instant::now();
        let hangs = begin("late", late).expect("a thread").child(started + Duration::from_millis(200));
        let error = hangs.await.expect_err("it hangs");
        assert!(
            error.to_string().contains("file system hangs") && started.elapsed() < Duration::from_secs(5),
            "{error}"
        );
        assert!(LEFT.admit("late", 1).is_none(), "it is left");
        drop(answer);
        until_nothing_is_left_of("late").await;
        sleep(Duration::from_secs(1)).await;
        assert!(!mark.exists());
    }

    /// Holds A8: nobody waits for it any more, as when the program is to end.
    #[tokio::test]
    async fn a_program_whose_caller_is_gone_before_it_comes_to_life_is_killed() {
        let directory = tempfile::tempdir().expect("directory");
        let mark = directory.path().join("mark");
        let (answer, late) = late(&mark);
        let hangs = begin("gone", late).expect("a thread").child(Instant::now() + Duration::from_secs(60));
        assert!(tokio::time::timeout(Duration::from_millis(200), hangs).await.is_err());
        drop(answer);
        until_nothing_is_left_of("gone").await;
        sleep(Duration::from_secs(1)).await;
        assert!(!mark.exists());
    }

    /// A start that hangs until its answer is dropped, of a program that leaves its mark after half a second.
    fn late(mark: &Path) -> (mpsc::Sender<()>, impl FnOnce() -> io::Result<Child> + use<>) {
        let (answer, hanging) = mpsc::channel();
        let mut command = Command::new("sh");
        command.args(["-c", &format!("sleep 0.5; touch {}", mark.display())]).process_group(0);
        let start = move || {
            let _ = hanging.recv();
            command.spawn()
        };
        (answer, start)
    }

    /// A thread that waits for a child stands for one whose `exec` hangs.
    #[tokio::test]
    async fn a_program_that_hangs_in_exec_is_killed_there() {
        let hang = || Err(io::Error::other(format!("{:?}", Command::new("sleep").arg("60").spawn()?.wait()?)));
        let hangs = begin("unborn", hang).expect("a thread").child(Instant::now() + Duration::from_millis(200));
        hangs.await.expect_err("it hangs");
        until_nothing_is_left_of("unborn").await;
    }

    async fn until_nothing_is_left_of(agent: &str) {
        let started = Instant::now();
        while LEFT.admit(agent, 1).is_none() {
            assert!(started.elapsed() < Duration::from_secs(30), "it has ended");
            sleep(POLL).await;
        }
    }

    /// Holds A13: a file system that hangs is known before the service is stopped, and so is what hangs already.
    #[test]
    fn a_look_that_hangs_ends_in_time_and_only_so_many_hang() {
        let (answer, hanging) = mpsc::channel::<()>();
        let hanging = std::sync::Arc::new(std::sync::Mutex::new(hanging));
        for _ in 0..MAX_LEFT_BEFORE_STOP {
            let hanging = std::sync::Arc::clone(&hanging);
            let look = move || _ = hanging.lock().map(|hanging| hanging.recv());
            let why = look_at("looked at", POLL, look).expect_err("it hangs");
            assert!(why.contains("cannot be looked at"), "{why}");
        }
        let told = check_program("looked at", &argv(&["/bin/true"])).expect_err("too many").to_string();
        assert!(told.contains("do not end"), "{told}");
        check_program("another", &argv(&["/bin/true"])).expect("strangers take nothing");
        drop(answer);
    }

    /// Holds A17: whether it has ended or not, its caller goes on.
    #[tokio::test]
    async fn a_program_is_waited_for_no_longer_than_said() {
        let mut child = Command::new("sleep").arg("60").spawn().expect("sleep");
        let ended = wait_until(&mut child, Instant::now() + POLL).await.expect("it can be asked");
        assert_eq!(ended, None);
        child.kill().and_then(|()| child.wait()).expect("it ends");
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
}
