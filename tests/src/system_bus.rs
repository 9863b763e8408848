//! A message bus of one's own, and doubles of systemd-logind and systemd-timedated on it.

use std::fs;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use zbus::connection::Builder;
use zbus::object_server::{InterfaceRef, SignalEmitter};
use zbus::{Connection, interface};

use crate::process::Program;
use crate::tools;

const LOGIND: &str = "org.freedesktop.login1";
const PATH: &str = "/org/freedesktop/login1";
const DEADLINE: Duration = Duration::from_secs(60);
/// What logind says when nothing is scheduled.
const NOTHING: (&str, u64) = ("", u64::MAX);

/// Debian's own bus, on a socket in a directory of the test's.
#[derive(Debug)]
pub struct SystemBus {
    directory: PathBuf,
    program: Program,
}

impl SystemBus {
    pub fn start(directory: &Path) -> Result<Self> {
        let config = directory.join("bus.conf");
        let socket = directory.join("bus");
        fs::write(
            &config,
            format!(
                "<busconfig><listen>unix:path={}</listen><policy context=\"default\"><allow user=\"*\"/><allow own=\"*\"/>\
                 <allow send_type=\"*\"/><allow receive_type=\"*\"/></policy></busconfig>",
                socket.display()
            ),
        )?;
        let mut command = Command::new(tools::dbus_daemon()?);
        command.args(["--nofork", "--nopidfile"]).arg(format!("--config-file={}", config.display()));
        let mut program = Program::start("dbus-daemon", &command, directory)?;
        program.wait_ready(DEADLINE, || std::os::unix::net::UnixStream::connect(&socket).is_ok())?;
        Ok(Self { directory: directory.to_owned(), program })
    }

    /// As in `DBUS_SYSTEM_BUS_ADDRESS`.
    pub fn address(&self) -> String {
        address(&self.directory)
    }

    /// Ends the bus and starts another in its place: every connection is lost.
    pub fn restart(mut self) -> Result<Self> {
        self.program.kill()?;
        let directory = self.directory.clone();
        let _ = fs::remove_file(directory.join("bus"));
        Self::start(&directory)
    }
}

/// Where a bus of this directory is, running or not.
pub fn address(directory: &Path) -> String {
    format!("unix:path={}", directory.join("bus").display())
}

/// A logind that says what the test wants.
#[derive(Debug)]
pub struct Logind {
    connection: Connection,
    asked: Arc<AtomicU32>,
}

struct Manager {
    scheduled: (String, u64),
    preparing: bool,
    mute: bool,
    asked: Arc<AtomicU32>,
}

impl Logind {
    pub async fn start(bus: &SystemBus) -> Result<Self> {
        Self::serve(bus, false).await
    }

    /// One that takes every question and never answers.
    pub async fn mute(bus: &SystemBus) -> Result<Self> {
        Self::serve(bus, true).await
    }

    async fn serve(bus: &SystemBus, mute: bool) -> Result<Self> {
        let asked = Arc::<AtomicU32>::default();
        let (mode, at) = NOTHING;
        let manager = Manager { scheduled: (mode.to_owned(), at), preparing: false, mute, asked: Arc::clone(&asked) };
        let connection = Builder::address(bus.address().as_str()).serve_at(PATH, manager).name(LOGIND).build().await?;
        Ok(Self { connection, asked })
    }

    /// No signal tells of it, as with the real one.
    pub async fn schedule(&self, mode: &str, microseconds: u64) -> Result<()> {
        self.manager().await?.get_mut().await.scheduled = (mode.to_owned(), microseconds);
        Ok(())
    }

    pub async fn call_off(&self) -> Result<()> {
        let (mode, at) = NOTHING;
        self.schedule(mode, at).await
    }

    /// Begins to shut down, and says so.
    pub async fn prepare(&self) -> Result<()> {
        self.say_preparing(true).await
    }

    /// Shuts down no more, and says so: the job was cancelled.
    pub async fn take_back(&self) -> Result<()> {
        self.say_preparing(false).await
    }

    async fn say_preparing(&self, preparing: bool) -> Result<()> {
        let manager = self.manager().await?;
        manager.get_mut().await.preparing = preparing;
        Ok(Manager::prepare_for_shutdown(manager.signal_emitter(), preparing).await?)
    }

    /// Says the signal this often without anything having changed.
    pub async fn repeat_signal(&self, times: usize) -> Result<()> {
        let manager = self.manager().await?;
        for _ in 0..times {
            Manager::prepare_for_shutdown(manager.signal_emitter(), false).await?;
        }
        Ok(())
    }

    /// How often somebody asked whether it shuts down.
    pub fn times_asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }

    pub async fn stop(self) -> Result<()> {
        self.connection.close().await.context("leave the bus")
    }

    async fn manager(&self) -> Result<InterfaceRef<Manager>> {
        Ok(self.connection.object_server().interface(PATH).await?)
    }
}

/// A timedated, as far as it says whether the clock is synchronized.
#[derive(Debug)]
pub struct Timedated {
    _connection: Connection,
}

struct Timedate {
    synchronized: bool,
}

impl Timedated {
    pub async fn start(bus: &SystemBus, synchronized: bool) -> Result<Self> {
        let bus = Builder::address(bus.address().as_str());
        let timedate = Timedate { synchronized };
        let connection = bus.serve_at("/org/freedesktop/timedate1", timedate).name("org.freedesktop.timedate1").build();
        Ok(Self { _connection: connection.await? })
    }
}

#[interface(name = "org.freedesktop.timedate1")]
impl Timedate {
    #[zbus(property(emits_changed_signal = "false"), name = "NTPSynchronized")]
    fn ntp_synchronized(&self) -> bool {
        self.synchronized
    }
}

#[interface(name = "org.freedesktop.login1.Manager")]
impl Manager {
    #[zbus(property(emits_changed_signal = "false"))]
    fn scheduled_shutdown(&self) -> (String, u64) {
        self.scheduled.clone()
    }

    #[zbus(property(emits_changed_signal = "false"))]
    async fn preparing_for_shutdown(&self) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.mute {
            pending::<()>().await;
        }
        self.preparing
    }

    #[zbus(property(emits_changed_signal = "false"))]
    fn wall_message(&self) -> String {
        "new kernel".to_owned()
    }

    #[zbus(signal)]
    async fn prepare_for_shutdown(emitter: &SignalEmitter<'_>, start: bool) -> zbus::Result<()>;
}
