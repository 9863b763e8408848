//! Linux: signals, core files, descriptors.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

use rustix::process::{DumpableBehavior, Signal, set_dumpable_behavior};
use tokio::signal::unix::{self, SignalKind, signal};

use super::{OutputError, Request};

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

const NULL: &str = "/dev/null";

/// The standard output, for what must not be lost unsaid: `std::io::stdout` takes what goes to a descriptor that cannot be written
/// to for written.
#[derive(Debug)]
pub struct StandardOutput(File);

impl StandardOutput {
    /// # Errors
    /// When it goes to `/dev/null`, which a closed one is by now: the runtime opens it there.
    pub fn open() -> Result<Self, OutputError> {
        Self::over(io::stdout().as_fd())
    }

    fn over(descriptor: BorrowedFd<'_>) -> Result<Self, OutputError> {
        let file = File::from(descriptor.try_clone_to_owned().map_err(OutputError::Unusable)?);
        let output = file.metadata().map_err(OutputError::Unusable)?;
        let is_null = fs::metadata(NULL).is_ok_and(|null| null.rdev() == output.rdev());
        if output.file_type().is_char_device() && is_null {
            return Err(OutputError::Nowhere(NULL));
        }
        Ok(Self(file))
    }

    /// # Errors
    /// When it cannot be written to.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_nowhere_is_no_standard_output() {
        let null = File::options().write(true).open(NULL).expect("a device");
        assert!(matches!(StandardOutput::over(null.as_fd()), Err(OutputError::Nowhere(NULL))));
        let (mut reader, writer) = io::pipe().expect("a pipe");
        StandardOutput::over(writer.as_fd()).expect("a pipe").write(b"text").expect("written");
        drop(writer);
        assert_eq!(io::read_to_string(&mut reader).expect("text"), "text");
        // `std::io::stdout` says of this that it was written.
        let mut unwritable = StandardOutput::over(reader.as_fd()).expect("a descriptor");
        assert!(unwritable.write(b"text").is_err());
    }
}
