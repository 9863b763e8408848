//! Windows: console events, error reports, handles.

mod sys;

use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::windows::io::{AsHandle as _, AsRawHandle as _, BorrowedHandle};

use tokio::signal::windows::{
    CtrlBreak, CtrlC, CtrlClose, CtrlShutdown, ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown,
};
use winapi_util::file::typ;

use super::{OutputError, Request};

/// The requests that arrive from now on. Nothing asks for a reload yet: a service would hear it from its manager.
#[derive(Debug)]
pub struct Requests {
    interrupt: CtrlC,
    interrupt_of_group: CtrlBreak,
    closed: CtrlClose,
    shutdown: CtrlShutdown,
}

impl Requests {
    /// # Errors
    /// When the system refuses a handler.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: ctrl_c()?,
            interrupt_of_group: ctrl_break()?,
            closed: ctrl_close()?,
            shutdown: ctrl_shutdown()?,
        })
    }

    pub async fn next(&mut self) -> Request {
        tokio::select! {
            _ = self.interrupt.recv() => Request::Stop,
            _ = self.interrupt_of_group.recv() => Request::Stop,
            _ = self.closed.recv() => Request::Stop,
            _ = self.shutdown.recv() => Request::Stop,
        }
    }
}

/// Keeps this process's memory, in which keys and passwords lie, out of what Windows Error Reporting writes when a program fails. Other
/// processes of its account may read it.
///
/// # Errors
/// None.
pub fn forbid_dumps() -> io::Result<()> {
    sys::forbid_error_reports();
    Ok(())
}

const NULL: &str = "NUL";

/// The standard output, for what must not be lost unsaid: `std::io::stdout` takes what goes to a handle that is not there for written.
#[derive(Debug)]
pub struct StandardOutput(File);

impl StandardOutput {
    /// # Errors
    /// When it is closed, or goes to `NUL`.
    pub fn open() -> Result<Self, OutputError> {
        Self::over(io::stdout().as_handle())
    }

    fn over(handle: BorrowedHandle<'_>) -> Result<Self, OutputError> {
        if handle.as_raw_handle().is_null() {
            return Err(OutputError::Nowhere(NULL));
        }
        let file = File::from(handle.try_clone_to_owned().map_err(OutputError::Unusable)?);
        // A console is a device too.
        if !file.is_terminal() && typ(&file).map_err(OutputError::Unusable)?.is_char() {
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
        assert!(matches!(StandardOutput::over(null.as_handle()), Err(OutputError::Nowhere(NULL))));
        let (mut reader, writer) = io::pipe().expect("a pipe");
        StandardOutput::over(writer.as_handle()).expect("a pipe").write(b"text").expect("written");
        drop(writer);
        assert_eq!(io::read_to_string(&mut reader).expect("text"), "text");
        let mut unwritable = StandardOutput::over(reader.as_handle()).expect("a handle");
        assert!(unwritable.write(b"text").is_err());
    }
}
