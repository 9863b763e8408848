//! A root of Debian packages of its own, in which a test installs ours: `tests/tools/debian-root/packages` says what is in it,
//! and `tests/tools/image-root/packages` what is in the one in which images are built.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{process, scratch, tools};

/// What is mounted there while a program runs: the root's own processes, and what a boot makes. systemd does not run. The shell is
/// the first of these processes and stays it: the kernel kills it with `unshare`, and with it all others, while a program that
/// becomes another account is told of no such end any more.
const ENTER: &str = "mount --bind \"$1\" \"$1\" && cd \"$1\" && mount -t proc proc proc && mount -t tmpfs tmpfs run && shift && \
                     chroot . \"$@\"; exit $?";

/// It looks as if it were booted otherwise: process 1 is in this root too.
const ENVIRONMENT: [&str; 5] = [
    "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "LC_ALL=C.UTF-8",
    "SYSTEMD_OFFLINE=1",
    "DEBIAN_FRONTEND=noninteractive",
];

#[derive(Debug)]
pub struct DebianRoot {
    path: PathBuf,
}

impl DebianRoot {
    /// A new one, as it was made.
    pub fn unpack(name: &str) -> Result<Self> {
        Self::from_archive(name, &tools::debian_root()?)
    }

    /// A new one with buildah instead, and an archive with the base of an image.
    pub fn unpack_for_images(name: &str) -> Result<(Self, PathBuf)> {
        let [root, base] = tools::image_root()?;
        Ok((Self::from_archive(name, &root)?, base))
    }

    fn from_archive(name: &str, archive: &Path) -> Result<Self> {
        ensure!(rustix::process::geteuid().is_root(), "this test mounts and changes its root: run it as root");
        let path = scratch::directory(name)?.join("root");
        fs::create_dir(&path)?;
        process::run(Command::new("tar").arg("--extract").arg("--directory").arg(&path).arg("--file").arg(archive))?;
        Ok(Self { path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path as the root's programs name it.
    pub fn at(&self, path: &str) -> PathBuf {
        self.path.join(path.trim_start_matches('/'))
    }

    /// A command that runs in it, on this machine's network, and ends with all that it has started.
    pub fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--", "sh", "-c", ENTER, "sh"]).arg(&self.path);
        // Cleared there: whoever starts the command in another way would hand the test's own environment on.
        command.args(["env", "--ignore-environment"]).args(ENVIRONMENT).arg(program).args(arguments);
        command
    }

    /// Runs a program to its end and returns what it printed.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        process::run(&mut self.command(program, arguments))
    }

    /// A script of bash.
    pub fn bash(&self, script: &str) -> Result<String> {
        self.run("bash", &["-euc", script])
    }

    /// Puts a file in it.
    pub fn put(&self, from: &Path, to: &str) -> Result<()> {
        let at = self.at(to);
        fs::create_dir_all(at.parent().context("no parent")?)?;
        fs::copy(from, &at).with_context(|| format!("{} cannot be copied to {}", from.display(), at.display()))?;
        Ok(())
    }

    /// Every file, directory and link of it with its mode, owner and, of a link, where it leads; not what is mounted there.
    pub fn files(&self) -> Result<BTreeMap<PathBuf, String>> {
        let mut found = BTreeMap::new();
        let mut directories = vec![self.path.clone()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(&directory)? {
                let path = entry?.path();
                let metadata = fs::symlink_metadata(&path)?;
                let leads =
                    if metadata.is_symlink() { fs::read_link(&path)?.display().to_string() } else { String::new() };
                let below = path.strip_prefix(&self.path)?.to_owned();
                found.insert(below, format!("{:o} {}:{} {leads}", metadata.mode(), metadata.uid(), metadata.gid()));
                if metadata.is_dir() {
                    directories.push(path);
                }
            }
        }
        Ok(found)
    }

    /// What is there now and was not, or is gone, or has another mode or owner; not what every package leaves.
    pub fn changes_since(&self, before: &BTreeMap<PathBuf, String>) -> Result<Vec<PathBuf>> {
        let after = self.files()?;
        let paths: BTreeSet<&PathBuf> = before.keys().chain(after.keys()).collect();
        let changed = paths.into_iter().filter(|path| before.get(*path) != after.get(*path) && !is_of_dpkg(path));
        Ok(changed.cloned().collect())
    }
}

/// What dpkg keeps of itself, and accounts and the caches of others, which stay.
fn is_of_dpkg(path: &Path) -> bool {
    let kept = [
        "var/lib/dpkg",
        "var/log",
        "var/cache",
        "etc/passwd",
        "etc/group",
        "etc/shadow",
        "etc/gshadow",
        "etc/subuid",
        "etc/subgid",
    ];
    kept.iter().any(|own| path.to_string_lossy().starts_with(own))
}

/// The test's own copy is large, and what is of interest was told.
impl Drop for DebianRoot {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}
