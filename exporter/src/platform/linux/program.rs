//! Running a program by its argument vector.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::time::{Instant, sleep};

use super::executable::{check_format, find};
use super::started_process;
use crate::platform::{ProgramError, StartedProcess};

/// What a service command needs to find its tools and to speak; nothing of ours is for its eyes.
const KEPT_ENVIRONMENT: [&str; 4] = ["PATH", "LANG", "LC_ALL", "TZ"];
/// Where a process without a PATH of its own finds the system's tools.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How long a killed program may take to end. One that waits for a file system that hangs ends when that answers.
const END_OF_KILLED: Duration = Duration::from_secs(2);
/// Killed programs that may be waited for at once; then no other is started.
const MAX_LEFT: usize = 16;

/// Programs that were killed and have not ended yet.
struct Left(Mutex<Vec<Child>>);

static LEFT: Left = Left(Mutex::new(Vec::new()));

/// Short against any service's start, long against the cost of a look.
const POLL: Duration = Duration::from_millis(20);

/// Runs a program until it ends, without a shell, in a process group of its own that is killed when the deadline passes.
/// What it has started in the background lives on.
///
/// Its output goes nowhere: a daemon would keep a pipe to us open, and die of writing to it once we are gone.
///
/// # Errors
/// See [`ProgramError`]; a status other than zero is one.
pub async fn run(argv: &[String], deadline: Duration) -> Result<(), ProgramError> {
    spawn(argv)?.wait(deadline).await
}

/// A program that runs.
#[derive(Debug)]
pub struct RunningProgram {
    name: String,
    child: Child,
}

/// Begins what [`run`] does.
///
/// # Errors
/// When it cannot be started.
pub fn spawn(argv: &[String]) -> Result<RunningProgram, ProgramError> {
    let (program, arguments) = argv.split_first().map_or(("", &[][..]), |(p, a)| (p.as_str(), a));
    let name = program.to_owned();
    let mut command = Command::new(program);
    command.args(arguments).current_dir("/").process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.env_clear().env("PATH", DEFAULT_PATH);
    command.envs(KEPT_ENVIRONMENT.iter().filter_map(|key| Some((key, std::env::var_os(key)?))));
    match LEFT.check().and_then(|()| command.spawn()) {
        Ok(child) => Ok(RunningProgram { name, child }),
        Err(source) => Err(ProgramError::NotStarted { program: name, source }),
    }
}

/// Whether [`run`] could begin this command, as far as can be told without running it: its program is found, a regular file,
/// executable by this process, and of a form that the kernel runs; so is the interpreter or the loader that it names.
///
/// # Errors
/// [`ProgramError::NotRunnable`].
pub fn check_program(argv: &[String]) -> Result<(), ProgramError> {
    let program = argv.first().map_or("", String::as_str);
    let path = std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    find(program, &path).and_then(|found| check_format(&found)).map_err(|(path, why)| ProgramError::NotRunnable {
        program: program.to_owned(),
        path,
        why,
    })
}

impl RunningProgram {
    /// Its process; none where the system does not tell.
    pub fn process(&self) -> Option<StartedProcess> {
        started_process(self.child.id())
    }

    /// Waits for its end, and kills its process group when the deadline has passed.
    ///
    /// # Errors
    /// As [`run`].
    pub async fn wait(mut self, deadline: Duration) -> Result<(), ProgramError> {
        let program = self.name;
        match wait(&mut self.child, deadline).await {
            Ok(Some(status)) if status.success() => Ok(()),
            Ok(Some(status)) => Err(ProgramError::Failed { program, status: status.to_string() }),
            Ok(None) => {
                let ended = wait_until(&mut self.child, Instant::now() + END_OF_KILLED).await;
                if !matches!(ended, Ok(Some(_))) {
                    LEFT.all().push(self.child);
                }
                Err(ProgramError::TimedOut { program, deadline })
            }
            Err(source) => Err(ProgramError::Lost { program, source }),
        }
    }
}

impl Left {
    /// Reaps those that have ended meanwhile.
    ///
    /// # Errors
    /// When so many do not end that another program is not started.
    fn check(&self) -> io::Result<()> {
        let mut all = self.all();
        all.retain_mut(|child| !matches!(child.try_wait(), Ok(Some(_))));
        if all.len() < MAX_LEFT {
            return Ok(());
        }
        Err(io::Error::other(format!("{MAX_LEFT} programs that were killed do not end: a file system hangs")))
    }

    /// A panic elsewhere leaves the list as whole as it was.
    fn all(&self) -> MutexGuard<'_, Vec<Child>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Its status; none when it was killed at the deadline.
async fn wait(child: &mut Child, deadline: Duration) -> io::Result<Option<ExitStatus>> {
    let ended = wait_until(child, Instant::now() + deadline).await?;
    if ended.is_none() {
        // Not reaped yet, so the group's number cannot belong to anybody else.
        let killed = kill_process_group(Pid::from_child(child), Signal::KILL);
        if killed.is_err() {
            child.kill()?;
        }
    }
    Ok(ended)
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
    use std::fs;
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
            check_program(&argv(&[runnable])).expect(runnable);
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
            let told = check_program(&argv(&[program])).expect_err(program).to_string();
            assert!(told.contains(path) && told.contains(why), "{program}: {told}");
        }
    }

    fn argv(words: &[&str]) -> Vec<String> {
        words.iter().map(|&w| w.to_owned()).collect()
    }

    #[tokio::test]
    async fn a_status_other_than_zero_is_a_failure_and_a_missing_program_is_another() {
        assert!(run(&argv(&["true"]), Duration::from_secs(5)).await.is_ok());
        let failed = run(&argv(&["false"]), Duration::from_secs(5)).await.expect_err("false");
        assert_eq!(failed.reason(), "failed");
        let missing = run(&argv(&["/nonexistent/program"]), Duration::from_secs(5)).await.expect_err("missing");
        assert_eq!(missing.reason(), "not_started");
    }

    #[tokio::test]
    async fn arguments_reach_the_program_as_they_are_and_no_shell_reads_them() {
        let directory = tempfile::tempdir().expect("directory");
        let name = directory.path().join("a b; touch c $(id)");
        let name = name.to_str().expect("UTF-8");
        run(&argv(&["touch", name]), Duration::from_secs(5)).await.expect("touch");
        assert!(fs::exists(name).expect("stat"));
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_killed_with_what_it_started() {
        let directory = tempfile::tempdir().expect("directory");
        let mark = directory.path().join("mark");
        let script = format!("(sleep 1; touch {}) & sleep 30", mark.display());
        let started = Instant::now();
        let hung = run(&argv(&["sh", "-c", &script]), Duration::from_millis(200)).await.expect_err("hangs");
        assert_eq!(hung.reason(), "timed_out");
        assert!(started.elapsed() < Duration::from_secs(5));
        sleep(Duration::from_millis(1500)).await;
        assert!(!mark.exists(), "the background process outlived the kill");
    }

    /// Holds A17: a program that no signal ends, because a file system hangs, takes no thread and only so many processes.
    #[test]
    fn killed_programs_that_do_not_end_are_bounded_and_reaped_when_they_do() {
        let left = Left(Mutex::new(Vec::new()));
        let hung = || Command::new("sleep").arg("60").spawn().expect("sleep");
        left.all().extend((0..MAX_LEFT).map(|_| hung()));
        assert!(left.check().is_err_and(|error| error.to_string().contains("do not end")));
        left.all().iter_mut().for_each(|child| child.kill().expect("killed"));
        let started = std::time::Instant::now();
        while left.check().is_err() {
            assert!(started.elapsed() < Duration::from_secs(30), "they have ended");
            std::thread::sleep(POLL);
        }
        left.all().iter_mut().for_each(|child| _ = child.wait());
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
        run(&argv(&["sh", "-c", &script]), Duration::from_secs(5)).await.expect("daemonises");
        assert!(!mark.exists());
        sleep(Duration::from_secs(2)).await;
        assert!(mark.exists());
    }
}
