//! Linux: signals, core files, descriptors.

use std::fs::{self, File};
use std::io;
pub(super) use std::os::fd::AsFd as AsOutput;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

use rustix::process::{DumpableBehavior, Signal, set_dumpable_behavior};
use tokio::signal::unix::{self, SignalKind, signal};

use super::Request;

/// The requests that arrive from now on.
#[derive(Debug)]
pub struct Requests {
    hangup: unix::Signal,
    interrupt: unix::Signal,
    terminate: unix::Signal,
    /// With a handler, a file that grows past the limit of this process is an error of writing, and does not end it.
    _file_size: unix::Signal,
}

impl Requests {
    /// # Errors
    /// When the system refuses a signal handler.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            _file_size: signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?,
        })
    }

    pub async fn next(&mut self) -> Request {
        tokio::select! {
            _ = self.hangup.recv() => Request::Reload,
            _ = self.interrupt.recv() => Request::Stop,
            _ = self.terminate.recv() => Request::Stop,
        }
    }
}

/// Keeps this process's memory, in which keys and passwords lie, out of core files and from other processes of its account.
/// The limit for core files is left alone: what is started from here would inherit it.
///
/// # Errors
/// When the kernel refuses.
pub fn forbid_dumps() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

pub(super) const NULL: &str = "/dev/null";

/// What is written to there; none where it goes to `/dev/null`, which a closed output does by now: the runtime opens it there.
pub(super) fn opened(output: &impl AsOutput) -> io::Result<Option<File>> {
    let file = File::from(output.as_fd().try_clone_to_owned()?);
    let metadata = file.metadata()?;
    let is_null = fs::metadata(NULL).is_ok_and(|null| null.rdev() == metadata.rdev());
    Ok((!(metadata.file_type().is_char_device() && is_null)).then_some(file))
}
