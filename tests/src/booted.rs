//! A root of Debian packages that is booted: systemd is process 1 of namespaces of its own, and our units run as on a host.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::debian_root::DebianRoot;
use crate::process::{self, Program};
use crate::wait;

/// Its network is its own, with nothing but a loopback, and so are its devices, because systemd gives some of them other modes. The
/// kernel's settings are read-only to it. Its control groups lie below one that is made for it, whose mount is made twice: what it shows
/// is fixed when it is mounted.
const BOOT: &str = r#"
root=$1 group=$2
mount --make-rprivate /
mount --bind "$root" "$root"
cd "$root"
mount -t cgroup2 none sys
mkdir "sys/$group"
echo 0 >"sys/$group/cgroup.procs"
umount sys
exec unshare --mount --cgroup -- sh -euc '
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 none sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mknod -m 666 dev/null c 1 3
mknod -m 666 dev/zero c 1 5
mknod -m 666 dev/full c 1 7
mknod -m 666 dev/random c 1 8
mknod -m 666 dev/urandom c 1 9
mknod -m 666 dev/tty c 5 0
ip link set lo up
mkdir -p mnt/old
pivot_root . mnt/old
cd /
umount -l mnt/old
exec env -i container=kagiban-tests PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=multi-user.target
'
"#;
const DEADLINE: Duration = Duration::from_secs(120);

/// A host that runs. Without it, nothing of it does.
#[derive(Debug)]
pub struct Booted<'a> {
    root: &'a DebianRoot,
    unshare: Program,
    init: u32,
    group: String,
}

impl<'a> Booted<'a> {
    /// Boots it, and waits until all that is to be started was.
    pub fn boot(root: &'a DebianRoot) -> Result<Self> {
        let booted = Self::begin(root)?;
        // "degraded" is told when a unit has failed: what matters is asked of the unit.
        let state = || booted.run("systemctl", &["is-system-running"]);
        wait::until(DEADLINE, || state().map_or_else(|error| format!("{error:#}").contains("degraded"), |_| true))
            .with_context(|| format!("it does not come up: {:?}\n{}", state(), booted.journal()))?;
        Ok(booted)
    }

    /// Boots it, and waits until its systemd can be asked.
    pub fn begin(root: &'a DebianRoot) -> Result<Self> {
        let directory = root.path().parent().context("no parent")?;
        let group = format!("kagiban-boot-{}-{}", std::process::id(), directory_name(directory));
        let mut command = Command::new("unshare");
        command.args([
            "--mount",
            "--pid",
            "--uts",
            "--ipc",
            "--net",
            "--fork",
            "--kill-child",
            "--",
            "sh",
            "-euc",
            BOOT,
            "sh",
        ]);
        command.arg(root.path()).arg(&group);
        let mut unshare = Program::start("boot", &command, directory)?;
        let mut init = None;
        let id = unshare.id();
        unshare.wait_ready(DEADLINE, || {
            init = child(id);
            init.is_some_and(|init| fs::read_to_string(format!("/proc/{init}/comm")).is_ok_and(|it| it == "systemd\n"))
        })?;
        let booted = Self { root, unshare, init: init.context("no process 1")?, group };
        wait::until(DEADLINE, || booted.run("systemctl", &["--no-pager", "list-jobs"]).is_ok())
            .with_context(|| format!("systemd does not answer:\n{}", booted.journal()))?;
        Ok(booted)
    }

    /// Runs a program in it, to its end.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new("nsenter");
        command.args([
            "--target",
            &self.init.to_string(),
            "--mount",
            "--pid",
            "--uts",
            "--ipc",
            "--net",
            "--root",
            "--wd=/",
        ]);
        command.arg("--").arg(program).args(arguments);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/root").env("LC_ALL", "C.UTF-8");
        process::run(&mut command)
    }

    /// Does something on its network.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let network = File::open(format!("/proc/{}/ns/net", self.init))?;
        thread::scope(|scope| {
            let there = scope.spawn(move || {
                move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
                work()
            });
            there.join().map_err(|_| anyhow::anyhow!("it panicked"))?
        })
    }

    /// A property of a unit, as `systemctl show` tells it.
    pub fn property(&self, unit: &str, name: &str) -> Result<String> {
        let told = self.run("systemctl", &["show", "--property", name, "--value", unit])?;
        Ok(told.trim_end().to_owned())
    }

    /// What was logged there.
    pub fn journal(&self) -> String {
        self.run("journalctl", &["--no-pager", "--lines=120"]).unwrap_or_else(|error| format!("{error:#}"))
    }

    /// Ends all of it at once.
    pub fn cut_the_power(mut self) -> Result<()> {
        self.unshare.kill()?;
        // The last process of a namespace outlives whoever made it by a moment.
        let gone = || !Path::new(&format!("/proc/{}", self.init)).exists();
        wait::until(DEADLINE, gone).context("process 1 does not end")
    }

    pub const fn root(&self) -> &DebianRoot {
        self.root
    }
}

/// Its control groups stay behind, empty.
impl Drop for Booted<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            shown(&self.journal());
        }
        let _ = self.unshare.kill();
        let _ = wait::until(DEADLINE, || !Path::new(&format!("/proc/{}", self.init)).exists());
        let script = "mount -t cgroup2 none /mnt && find \"/mnt/$1\" -depth -type d -exec rmdir {} +";
        let removed =
            process::run(Command::new("unshare").args(["--mount", "--", "sh", "-euc", script, "sh", &self.group]));
        if let Err(error) = removed {
            shown(&format!("the control group {} is left: {error:#}", self.group));
        }
    }
}

/// Best effort: the test's own outcome matters more.
fn shown(text: &str) {
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

fn child(of: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{of}/task/{of}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

fn directory_name(path: &Path) -> String {
    path.file_name().map(PathBuf::from).unwrap_or_default().display().to_string()
}
