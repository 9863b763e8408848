//! Windows: console events, error reports, handles.

mod sys;

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::mem;
pub(super) use std::os::windows::io::AsHandle as AsOutput;
use std::os::windows::io::AsRawHandle as _;
use std::path::Path;

use tokio::net::windows::named_pipe::{ClientOptions, NamedPipeClient, NamedPipeServer, ServerOptions};
use tokio::signal::windows::{
    CtrlBreak, CtrlC, CtrlClose, CtrlShutdown, ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown,
};
use winapi_util::file::typ;

use super::Request;

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

/// Where programs of this machine are heard: a named pipe for each path. What Windows gives a pipe lets administrators, SYSTEM and the
/// account of the process write to it, and nobody else.
#[derive(Debug)]
pub struct LocalListener {
    name: String,
    /// The one that the next program takes.
    next: tokio::sync::Mutex<NamedPipeServer>,
}

impl LocalListener {
    /// # Errors
    /// When another program has a pipe of this name.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let name = pipe(path);
        let first = ServerOptions::new().first_pipe_instance(true).create(&name)?;
        Ok(Self { name, next: tokio::sync::Mutex::new(first) })
    }

    /// The next program.
    ///
    /// # Errors
    /// When the system gives no connection.
    pub async fn accept(&self) -> io::Result<NamedPipeServer> {
        let mut next = self.next.lock().await;
        next.connect().await?;
        Ok(mem::replace(&mut *next, ServerOptions::new().create(&self.name)?))
    }
}

/// To whoever listens at a path, as [`LocalListener`] has it.
///
/// # Errors
/// When nobody does, or this account may not ask.
pub async fn connect_local(path: &Path) -> io::Result<NamedPipeClient> {
    ClientOptions::new().open(pipe(path))
}

/// Of a path; names of pipes have 256 characters at most, and no backslash.
fn pipe(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let word: Vec<_> =
        path.to_string_lossy().to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
    let last: String = word[word.len().saturating_sub(200)..].iter().collect();
    format!(r"\\.\pipe\kagiban-{last}")
}

pub(super) const NULL: &str = "NUL";

/// What is written to there; none where it is closed, or goes to `NUL`.
pub(super) fn opened(output: &impl AsOutput) -> io::Result<Option<File>> {
    let handle = output.as_handle();
    if handle.as_raw_handle().is_null() {
        return Ok(None);
    }
    let file = File::from(handle.try_clone_to_owned()?);
    // A console is a device too.
    let goes_nowhere = !file.is_terminal() && typ(&file)?.is_char();
    Ok((!goes_nowhere).then_some(file))
}
