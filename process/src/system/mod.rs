//! The seam to the operating system of what both programs need as processes. One side per system, as in kagiban-exporter's `platform`.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(windows)]
mod windows;

#[cfg(target_os = "linux")]
use linux as side;
#[cfg(windows)]
use windows as side;

use std::fs::File;
use std::io::{self, Write as _};

pub use side::{LocalListener, Requests, connect_local, forbid_dumps};

/// What somebody asks of the process from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    Reload,
    Stop,
}

/// Why what is written to the standard output would be read by nobody.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    #[error("the standard output is closed, or goes to {0}")]
    Nowhere(&'static str),
    #[error("the standard output cannot be written to")]
    Unusable(#[source] io::Error),
}

/// The standard output, for what must not be lost unsaid: `std::io::stdout` takes what goes nowhere, or cannot be written, for written.
#[derive(Debug)]
pub struct StandardOutput(File);

impl StandardOutput {
    /// # Errors
    /// When it is closed, or what goes there is thrown away.
    pub fn open() -> Result<Self, OutputError> {
        Self::over(&io::stdout())
    }

    fn over(output: &impl side::AsOutput) -> Result<Self, OutputError> {
        let opened = side::opened(output).map_err(OutputError::Unusable)?;
        opened.map(Self).ok_or(OutputError::Nowhere(side::NULL))
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
        let null = File::options().write(true).open(side::NULL).expect("a device");
        assert!(matches!(StandardOutput::over(&null), Err(OutputError::Nowhere(side::NULL))));
        let (mut reader, writer) = io::pipe().expect("a pipe");
        StandardOutput::over(&writer).expect("a pipe").write(b"text").expect("written");
        drop(writer);
        assert_eq!(io::read_to_string(&mut reader).expect("text"), "text");
        // `std::io::stdout` says of this that it was written.
        let mut unwritable = StandardOutput::over(&reader).expect("an end of a pipe");
        assert!(unwritable.write(b"text").is_err());
    }
}
