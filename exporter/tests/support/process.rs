//! The built program on a world, and a double of the service manager that it tells of itself.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

pub use super::PATIENCE;
use super::World;

/// Longer than the program waits for what may hang.
pub const HANG: Duration = Duration::from_secs(12);

const LOG: &str = "exporter.log";

/// The running program. Its log goes to a file.
pub struct Program {
    child: Child,
    log: PathBuf,
    manager: UnixDatagram,
    told: Vec<String>,
}

impl Program {
    /// With the world's agent, and whatever `extra` says besides, as its configuration.
    pub fn start(world: &World, extra: &str) -> Self {
        Self::configured(world, &world.config(extra), "127.0.0.1:0")
    }

    pub fn configured(world: &World, config: &str, listen: &str) -> Self {
        Self::launched(world, config, listen, Command::new(env!("CARGO_BIN_EXE_kagiban-exporter")))
    }

    /// The same on a host where to open one of these files, or what is beneath one of these directories, takes [`HANG`].
    pub fn with_hanging(world: &World, config: &str, paths: &[&Path]) -> Self {
        Self::delayed(world, config, "127.0.0.1:0", "openat", HANG, paths)
    }

    /// The same where `calls` for these paths take longer than any test.
    pub fn with_hung(world: &World, config: &str, listen: &str, calls: &str, paths: &[&Path]) -> Self {
        Self::delayed(world, config, listen, calls, 10 * PATIENCE, paths)
    }

    fn delayed(world: &World, config: &str, listen: &str, calls: &str, by: Duration, paths: &[&Path]) -> Self {
        // The tracer is no parent of the program but beside it: signals go to the program.
        let mut command = Command::new("strace");
        command.args(["-D", "-f", "-qqq", "-o"]).arg(world.directory.path().join("trace"));
        for path in paths {
            command.arg("-P").arg(path);
        }
        command.args(["-e", &format!("trace={calls}"), "-e", &format!("inject={calls}:delay_enter={}s", by.as_secs())]);
        command.args(["--", env!("CARGO_BIN_EXE_kagiban-exporter")]);
        Self::launched(world, config, listen, command)
    }

    /// The same with a log that is read by nobody, and full.
    pub fn unread(world: &World, extra: &str) -> (Self, std::io::PipeReader) {
        let (reader, mut log) = std::io::pipe().unwrap();
        let flags = rustix::fs::fcntl_getfl(&log).unwrap();
        rustix::fs::fcntl_setfl(&log, flags | rustix::fs::OFlags::NONBLOCK).unwrap();
        while std::io::Write::write(&mut log, b"x").is_ok() {}
        rustix::fs::fcntl_setfl(&log, flags).unwrap();
        let command = Command::new(env!("CARGO_BIN_EXE_kagiban-exporter"));
        (Self::logging(world, &world.config(extra), "127.0.0.1:0", command, log.into()), reader)
    }

    fn launched(world: &World, config: &str, listen: &str, command: Command) -> Self {
        let out = std::fs::File::create(world.directory.path().join(LOG)).unwrap();
        Self::logging(world, config, listen, command, out.into())
    }

    fn logging(world: &World, config: &str, listen: &str, mut command: Command, out: Stdio) -> Self {
        let at = |name: &str| world.directory.path().join(name);
        std::fs::write(at("exporter.yaml"), config).unwrap();
        let socket = at("notify");
        let _ = std::fs::remove_file(&socket);
        let manager = UnixDatagram::bind(&socket).unwrap();
        manager.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let child = command
            .arg(format!("--config.file={}", at("exporter.yaml").display()))
            .arg(format!("--web.listen-address={listen}"))
            .env("NOTIFY_SOCKET", &socket)
            .env_remove("INVOCATION_ID")
            .stderr(out)
            .spawn()
            .expect("the program was built, and strace is there: install the package strace");
        Self { child, log: at(LOG), manager, told: Vec::new() }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What the service manager was told so far.
    pub fn told(&mut self) -> &[String] {
        let mut datagram = [0; 4096];
        while let Ok(length) = self.manager.recv(&mut datagram) {
            self.told.push(String::from_utf8_lossy(&datagram[..length]).into_owned());
        }
        &self.told
    }

    pub fn wait_until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        let started = Instant::now();
        while !holds(self) {
            assert!(started.elapsed() < PATIENCE, "waited in vain until {what}; the log says:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn wait_until_ready(&mut self) {
        self.wait_until("READY is told", |program| program.told().iter().any(|word| word.contains("READY=1")));
    }

    /// The address that a line of the log ends in.
    pub fn address(&mut self, of: &str) -> String {
        let mut found = None;
        self.wait_until(of, |program| {
            let log = program.log();
            let line = log.lines().find(|line| line.contains(of) && line.contains("address="));
            found = line.and_then(|line| line.rsplit_once("address=")).map(|(_, address)| address.trim().to_owned());
            found.is_some()
        });
        found.unwrap()
    }

    pub fn get(&mut self, path: &str) -> String {
        use std::io::{Read, Write};
        let address = self.address("listening");
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Waits until the metrics have this line.
    pub fn wait_for_metric(&mut self, line: &str) {
        let mut last = String::new();
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            last = self.get("/metrics");
            if last.lines().any(|there| there == line) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let ours: Vec<_> = last.lines().filter(|line| line.contains("kagiban_rotation")).collect();
        panic!("{line} is not among\n{}\n{}", ours.join("\n"), self.log());
    }

    pub fn reload(&self, world: &World, config: &str) {
        std::fs::write(world.directory.path().join("exporter.yaml"), config).unwrap();
        kill_process(Pid::from_child(&self.child), Signal::HUP).unwrap();
    }

    pub fn number(&self) -> u32 {
        self.child.id()
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// As a crash ends it.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.wait();
    }

    pub fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        self.wait_until("it ends", |program| {
            program.end_tracer_of_ended();
            status = program.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// A thread that the tracer delays outlives its program, which has ended, until the tracer has ended too.
    fn end_tracer_of_ended(&self) {
        let of = format!("/proc/{}", self.child.id());
        let has_ended = std::fs::read_to_string(format!("{of}/stat")).is_ok_and(|stat| stat.contains(") Z "));
        for task in std::fs::read_dir(format!("{of}/task")).into_iter().flatten().flatten().filter(|_| has_ended) {
            let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
            let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:")?.trim().parse().ok());
            if let Some(tracer) = tracer.and_then(Pid::from_raw) {
                let _ = kill_process(tracer, Signal::KILL);
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        // Not for ever: a thread that the tracer delays cannot be killed before its tracer.
        let started = Instant::now();
        while started.elapsed() < PATIENCE && matches!(self.child.try_wait(), Ok(None)) {
            self.end_tracer_of_ended();
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl World {
    /// The program's configuration: this host and its agent, and `extra`.
    pub fn config(&self, extra: &str) -> String {
        self.config_with(extra, "")
    }

    /// The same with more `agents`, each an item of a YAML list.
    pub fn config_with(&self, extra: &str, agents: &str) -> String {
        let indented: Vec<_> = self.agent_yaml.lines().map(|line| format!("    {line}")).collect();
        format!(
            "host: {}\nstateDirectory: {}\npower: {{assume: mains, scheduledShutdownFile: {}}}\ndiscovery: {{enabled: false}}\n\
             {extra}\nagents:\n{agents}  -\n{}\n",
            super::HOST,
            self.state().display(),
            self.scheduled_shutdown().display(),
            indented.join("\n"),
        )
    }
}
