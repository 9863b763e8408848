//! A program under `strace`: which system calls its main thread made, and what follows when one of them is its last or
//! fails.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result};

use crate::tools;

/// Every call that changes a file, a name or who may read it, and those that start a program.
const TRACED: &str = "openat,write,pwrite64,writev,ftruncate,fsync,fdatasync,rename,renameat,renameat2,link,linkat,\
                      symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir,chmod,fchmod,fchmodat,chown,fchown,\
                      fchownat,fsetxattr,fremovexattr,vfork,clone,clone3";
const SIGKILL: i32 = 9;

/// One call, as strace shows it, with the paths of its descriptors.
#[derive(Clone, Debug)]
pub struct Call {
    pub name: String,
    /// Among the calls of its name, from one: what `when=` of an injection counts.
    pub nth: usize,
    pub arguments: String,
    /// The value returned; none when it did not return.
    pub returned: Option<i64>,
    /// It failed because it was told to.
    pub injected: bool,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// The program is gone before the call has an effect.
    Kill,
    /// The call has no effect and returns this error.
    Error(&'static str),
}

/// A fault at one call.
#[derive(Clone, Debug)]
pub struct Injection {
    pub call: String,
    pub nth: usize,
    pub fault: Fault,
}

/// How a traced program ended.
#[derive(Debug)]
pub struct Run {
    pub calls: Vec<Call>,
    pub stdout: String,
    pub stderr: String,
    status: ExitStatus,
}

/// Runs a program to its end, whatever that is; `log` is where strace writes.
pub fn run(program: &Command, log: &Path, injection: Option<&Injection>) -> Result<Run> {
    run_without(&[], program, log, injection)
}

/// The same under a kernel that does not know these calls.
pub fn run_without(missing: &[&str], program: &Command, log: &Path, injection: Option<&Injection>) -> Result<Run> {
    let mut command = Command::new(tools::strace()?);
    command.args(["-qqq", "-y", "-s", "0", "-e", "signal=none", "-e", &format!("trace={TRACED}"), "-o"]).arg(log);
    for call in missing {
        command.args(["-e", &format!("inject={call}:error=ENOSYS")]);
    }
    if let Some(injection) = injection {
        command.args(["-e", &injection.expression()]);
    }
    command.arg("--").arg(program.get_program()).args(program.get_args());
    let output = command.stdin(Stdio::null()).output().context("cannot run strace")?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    let trace = fs::read_to_string(log).with_context(|| format!("no trace: {stderr}"))?;
    Ok(Run { calls: parse(&trace), stdout, stderr, status: output.status })
}

impl Injection {
    /// As strace is told it.
    pub fn expression(&self) -> String {
        let Self { call, nth, fault } = self;
        let effect = match fault {
            Fault::Kill => "signal=SIGKILL".to_owned(),
            Fault::Error(error) => format!("error={error}"),
        };
        format!("inject={call}:{effect}:when={nth}")
    }
}

impl Run {
    pub fn succeeded(&self) -> bool {
        self.status.success()
    }

    /// strace dies of what its program died of.
    pub fn was_killed(&self) -> bool {
        self.status.signal() == Some(SIGKILL)
    }

    /// Whether it ended by itself, with a message.
    pub fn gave_up(&self) -> bool {
        self.status.code() == Some(1)
    }

    /// The call that the fault came upon.
    pub fn faulted(&self) -> Option<&Call> {
        let last = self.calls.last().filter(|_| self.was_killed());
        last.or_else(|| self.calls.iter().find(|call| call.injected))
    }
}

impl Call {
    /// The paths of its descriptors, in order.
    pub fn descriptors(&self) -> impl Iterator<Item = &str> {
        self.arguments.split('<').skip(1).filter_map(|rest| rest.split('>').next())
    }

    /// The names given in quotes, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.arguments.split('"').skip(1).step_by(2)
    }

    pub fn creates(&self) -> bool {
        self.name == "openat" && self.arguments.contains("O_CREAT")
    }

    /// A thread of its own is none: how many of those there are depends on how busy the machine is.
    pub fn starts_a_program(&self) -> bool {
        matches!(self.name.as_str(), "vfork" | "clone" | "clone3") && !self.arguments.contains("CLONE_THREAD")
    }

    pub fn succeeded(&self) -> bool {
        self.returned.is_some_and(|value| value >= 0)
    }
}

fn parse(text: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    for line in text.lines() {
        let Some((name, rest)) = line.split_once('(') else { continue };
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            continue;
        }
        let (arguments, returned) = rest.rsplit_once(" = ").unwrap_or((rest, ""));
        let arguments = arguments.trim_end().trim_end_matches(')');
        let injected = returned.ends_with("(INJECTED)");
        let returned = returned.split(['<', ' ']).next().and_then(|value| value.parse().ok());
        let nth = 1 + calls.iter().filter(|call| call.name == name).count();
        calls.push(Call { name: name.to_owned(), nth, arguments: arguments.to_owned(), returned, injected });
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_read_with_its_paths_its_numbers_and_what_never_returned() {
        let text = "openat(3</a>, \"b\", O_RDWR|O_CREAT|O_EXCL, 0600) = 4</a/b>\nwrite(4</a/b>, \"\"..., 5)   = 5\n\
                    fsync(4</a/b>)           = -1 EIO (Input/output error) (INJECTED)\n--- SIGCHLD ---\n\
                    renameat(3</a>, \"b\", 3</a>, \"c\") = ?\n+++ killed by SIGKILL +++\n";
        let calls = parse(text);
        let shown: Vec<_> = calls.iter().map(|call| (call.name.as_str(), call.nth, call.returned)).collect();
        let expected = [("openat", 1, Some(4)), ("write", 1, Some(5)), ("fsync", 1, Some(-1)), ("renameat", 1, None)];
        assert_eq!(shown, expected);
        assert!(calls[2].injected && !calls[3].injected);
        assert!(calls[0].creates() && calls[1].descriptors().eq(["/a/b"]));
        assert!(calls[3].names().eq(["b", "c"]) && calls[3].descriptors().eq(["/a", "/a"]));
    }
}
