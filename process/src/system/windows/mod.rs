//! Windows: console events, error reports, handles.

mod ports;
mod sys;

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::mem;
pub(super) use std::os::windows::io::AsHandle as AsOutput;
use std::os::windows::io::AsRawHandle as _;
use std::path::Path;
use std::time::Duration;

use kagiban_files::{ObjectSecurity, strangers_in};
use sha2::{Digest as _, Sha256};
use tokio::net::windows::named_pipe::{ClientOptions, NamedPipeClient, NamedPipeServer, ServerOptions};
use tokio::signal::windows::{
    CtrlBreak, CtrlC, CtrlClose, CtrlShutdown, ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown,
};
use tokio::time::{Instant, sleep};
use winapi_util::file::typ;
use windows_sys::Win32::Foundation::{ERROR_ACCESS_DENIED, ERROR_PIPE_BUSY};
use windows_sys::Win32::Storage::FileSystem::SECURITY_IDENTIFICATION;

pub use ports::{bind_both_families, bind_to, receive_at};

use super::Request;

/// Who listens makes a place for the next program when one has come; two that come at once are a moment apart.
const BUSY_FOR: Duration = Duration::from_secs(5);
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// What of a path stands in the name of its pipe, in characters, and of the digest, in bytes. No two paths of a host have the same by chance.
const SHOWN_OF_PATH: usize = 150;
const DIGEST_BYTES: usize = 16;

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

/// Where programs of this machine are heard: a named pipe for each path, which administrators, SYSTEM and the account of this process
/// may use, and nobody else. Windows lets everybody read one that is made without a word about that.
#[derive(Debug)]
pub struct LocalListener {
    name: String,
    security: ObjectSecurity,
    /// The one that the next program takes.
    next: tokio::sync::Mutex<NamedPipeServer>,
}

impl LocalListener {
    /// # Errors
    /// [`io::ErrorKind::AddrInUse`] when another program has a pipe of this name: whoever takes it first is asked what is meant for us.
    pub fn bind(path: &Path) -> io::Result<Self> {
        Self::of(path, ObjectSecurity::private()?)
    }

    fn of(path: &Path, security: ObjectSecurity) -> io::Result<Self> {
        let name = pipe(path);
        let first = sys::create_pipe(local().first_pipe_instance(true), &name, &security);
        let first = first.map_err(|error| taken(&name, error))?;
        Ok(Self { name, security, next: tokio::sync::Mutex::new(first) })
    }

    /// The next program.
    ///
    /// # Errors
    /// When the system gives no connection.
    pub async fn accept(&self) -> io::Result<NamedPipeServer> {
        let mut next = self.next.lock().await;
        next.connect().await?;
        Ok(mem::replace(&mut *next, sys::create_pipe(&local(), &self.name, &self.security)?))
    }
}

/// What Windows says to whoever wants to be the first at a name that is taken: that access is denied.
fn taken(name: &str, error: io::Error) -> io::Error {
    if is(&error, ERROR_ACCESS_DENIED) {
        return io::Error::new(io::ErrorKind::AddrInUse, format!("another program has the pipe {name} already"));
    }
    error
}

fn is(error: &io::Error, code: u32) -> bool {
    error.raw_os_error().is_some_and(|it| u32::try_from(it) == Ok(code))
}

/// A program of another machine, which reaches pipes by the name of this one, is not heard.
fn local() -> ServerOptions {
    let mut options = ServerOptions::new();
    options.reject_remote_clients(true);
    options
}

/// To whoever listens at a path, as [`LocalListener`] has it. Any program may have taken a name that is free: nothing is sent to a pipe
/// that is not administrators', and whoever has it can see who asks, and not act as them.
///
/// # Errors
/// When nobody listens, this account may not ask, or the pipe is a stranger's.
pub async fn connect_local(path: &Path) -> io::Result<NamedPipeClient> {
    let (name, began) = (pipe(path), Instant::now());
    let client = loop {
        match ClientOptions::new().security_qos_flags(SECURITY_IDENTIFICATION).open(&name) {
            Err(error) if is(&error, ERROR_PIPE_BUSY) && began.elapsed() < BUSY_FOR => sleep(BUSY_PAUSE).await,
            opened => break opened?,
        }
    };
    match strangers_in(&client)? {
        None => Ok(client),
        Some(why) => {
            let words = format!(
                "nothing was sent: the pipe {name} {why}, so that it may be another program's; see which one has it"
            );
            Err(io::Error::other(words))
        }
    }
}

/// Of a path; names of pipes have 256 characters at most, and no backslash. A person knows it by its end, and a digest of all of it tells
/// it from every other that looks the same so.
fn pipe(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let word: Vec<_> =
        path.to_string_lossy().to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
    let last: String = word[word.len().saturating_sub(SHOWN_OF_PATH)..].iter().collect();
    // What is no text has no case either.
    let whole = path.to_str().map(str::to_lowercase);
    let digest = Sha256::digest(whole.as_deref().map_or(path.as_os_str().as_encoded_bytes(), str::as_bytes));
    let digest = hex::encode(&digest[..DIGEST_BYTES]);
    format!(r"\\.\pipe\kagiban-{last}-{digest}")
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn a_pipe_is_for_administrators_alone_and_what_is_sent_arrives() {
        let directory = std::env::temp_dir().join(format!("pipe-{}", std::process::id()));
        let listener = LocalListener::bind(&directory).expect("a pipe");
        for _ in 0..2 {
            let (asks, hears) = tokio::join!(connect_local(&directory), listener.accept());
            let (mut asks, mut hears) = (asks.expect("it is ours"), hears.expect("it asks"));
            assert_eq!(strangers_in(&asks).expect("told"), None);
            asks.write_all(b"text").await.expect("written");
            let mut heard = [0; 4];
            hears.read_exact(&mut heard).await.expect("read");
            assert_eq!(&heard, b"text");
        }
    }

    #[tokio::test]
    async fn two_programs_that_ask_at_once_are_heard_one_after_another() {
        let path = std::env::temp_dir().join(format!("busy-{}", std::process::id()));
        let listener = LocalListener::bind(&path).expect("a pipe");
        let _first = connect_local(&path).await.expect("there is a place");
        let heard = async {
            sleep(10 * BUSY_PAUSE).await;
            listener.accept().await
        };
        let (second, first) = tokio::join!(connect_local(&path), heard);
        first.expect("the first is heard");
        second.expect("and there is a place again");
    }

    #[test]
    fn two_paths_have_two_pipes_and_one_path_has_one_however_it_is_written() {
        let long = "a".repeat(300);
        let paths =
            [r"C:\state\a-b", r"C:\state\a b", r"C:\state\a\b", &format!(r"C:\one\{long}"), &format!(r"C:\two\{long}")];
        let names: std::collections::BTreeSet<_> = paths.iter().map(|path| pipe(Path::new(path))).collect();
        assert_eq!(names.len(), paths.len(), "{names:?}");
        assert!(names.iter().all(|name| name.len() <= 256), "{names:?}");
        assert_eq!(pipe(Path::new(r"C:\State\A-B")), pipe(Path::new(paths[0])));
    }

    /// Wine gives a name to a second program, too: docs/windows.md.
    #[test]
    fn a_name_that_another_program_has_is_told_as_taken() {
        for (code, kind) in [(5, io::ErrorKind::AddrInUse), (2, io::ErrorKind::NotFound)] {
            assert_eq!(taken("a", io::Error::from_raw_os_error(code)).kind(), kind, "{code}");
        }
    }

    /// Whoever has taken the name while the operator was not running would be told what is meant for it.
    #[tokio::test]
    async fn nothing_is_sent_to_a_pipe_that_others_may_have_made() {
        for (number, (sddl, whose)) in [
            ("O:BAD:P(A;;FA;;;SY)(A;;FA;;;WD)", "may be changed by Everyone"),
            ("O:S-1-5-21-1-2-3-1001D:P(A;;FA;;;SY)(A;;FA;;;BA)", "belongs to the account S-1-5-21-1-2-3-1001"),
        ]
        .into_iter()
        .enumerate()
        {
            let path = std::env::temp_dir().join(format!("stranger-{number}-{}", std::process::id()));
            let security = ObjectSecurity::of(sddl).expect("a list");
            let listener = LocalListener::of(&path, security).expect("a pipe");
            let told = connect_local(&path).await.expect_err("it may be a stranger's").to_string();
            assert!(told.contains(whose) && told.contains("nothing was sent"), "{told}");
            drop(listener);
        }
    }
}
