//! Programs that end with the test that started them: when it returns, when it panics and when it is killed.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Mutex, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::{sockets, wait};

/// Lines of a program's log that a failed test shows.
const TAIL: usize = 40;

/// A running program; its output goes to a file.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts it with its output in `<directory>/<name>.log`.
    pub fn start(name: &str, command: &Command, directory: &Path) -> Result<Self> {
        let log = directory.join(format!("{name}.log"));
        let out = File::options().create(true).append(true).open(&log).with_context(|| format!("{}", log.display()))?;
        let mut tied = tied_to_this_process(command);
        tied.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let child = spawn(tied).with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> &Path {
        &self.log
    }

    pub fn log_text(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Waits until `ready` holds; an exit before that, or the deadline, is an error with the end of the log.
    pub fn wait_ready(&mut self, deadline: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let child = &mut self.child;
        let mut exited = None;
        let done = wait::until(deadline, || {
            exited = child.try_wait().ok().flatten();
            exited.is_some() || ready()
        });
        match (exited, done) {
            (Some(status), _) => bail!("{} ended before it was ready ({status}):\n{}", self.name, self.tail()),
            (None, Err(_)) => {
                bail!("{} was not ready in {} s:\n{}", self.name, deadline.as_secs(), self.tail())
            }
            (None, Ok(())) => Ok(()),
        }
    }

    /// Asks it to end and waits for it.
    pub fn terminate(&mut self, deadline: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        let child = &mut self.child;
        wait::for_some(deadline, || child.try_wait().ok().flatten())
            .with_context(|| format!("{} did not end {} s after SIGTERM", self.name, deadline.as_secs()))
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("pid out of range")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Whether this very program, and no stranger that was faster, listens on this TCP port, or has this UDP port.
    pub fn has_port(&self, number: u16) -> bool {
        sockets::has_port(self.child.id(), number)
    }

    /// As [`Program::wait_ready`], asking `ready` only when the port is this program's own: what answers there before may be
    /// somebody else's.
    pub fn wait_ready_on(&mut self, number: u16, deadline: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let id = self.child.id();
        self.wait_ready(deadline, || sockets::has_port(id, number) && ready())
    }

    fn tail(&self) -> String {
        let text = self.log_text();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if thread::panicking() {
            let shown = format!("--- {} ({}):\n{}\n", self.name, self.log.display(), self.tail());
            // Best effort: the test has failed already, and its own message matters more.
            let _ = io::stderr().write_all(shown.as_bytes());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program to its end and returns what it printed; a failure carries both its streams.
pub fn run(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {shown}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        bail!("{shown}: {}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))
    }
}

/// Runs a program to its end with this on its standard input, whatever it says of it.
pub fn output_with_input(command: &mut Command, input: &str) -> Result<Output> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
    let written = child.stdin.take().context("no standard input")?.write_all(input.as_bytes());
    let output = child.wait_with_output()?;
    // One that refuses its arguments does not read; its own message says why.
    if output.status.success() {
        written.with_context(|| format!("{command:?} has not read its input"))?;
    }
    Ok(output)
}

/// The same program with the same arguments, killed by the kernel when this process ends, even by SIGKILL.
fn tied_to_this_process(command: &Command) -> Command {
    let mut tied = Command::new("setpriv");
    tied.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => tied.env(name, value),
            None => tied.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        tied.current_dir(directory);
    }
    tied
}

/// The kernel ties a child to the *thread* that started it, and a test's thread ends before a fixture that other tests
/// share: so all are started by one thread that lives as long as the process.
fn spawn(command: Command) -> Result<Child> {
    type Order = (Command, mpsc::Sender<io::Result<Child>>);
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Order>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in inbox {
                // The one who asked waits; if it is gone, the child has no owner and is dropped here.
                let _ = reply.send(command.spawn());
            }
        });
        Mutex::new(orders)
    });
    let (reply, answer) = mpsc::channel();
    let sent = spawner.lock().map_err(|_| anyhow::anyhow!("a thread died while it started a program"))?;
    sent.send((command, reply))?;
    Ok(answer.recv()??)
}
