//! Linux: signals, core files, descriptors.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
pub(super) use std::os::fd::AsFd as AsOutput;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::process::{DumpableBehavior, Signal, geteuid, set_dumpable_behavior};
use tokio::net::{TcpListener, ToSocketAddrs, UdpSocket, UnixListener, UnixStream};
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

/// Where programs of this machine are heard: a socket in a directory.
#[derive(Debug)]
pub struct LocalListener(UnixListener);

impl LocalListener {
    /// Takes the place of a socket that is there: whoever calls knows that its process is gone. The directory lets nobody else in.
    ///
    /// # Errors
    /// When something else is there, or the path is longer than a socket's may be (107 bytes).
    pub fn bind(path: &Path) -> io::Result<Self> {
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.file_type().is_socket() => fs::remove_file(path)?,
            Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "what is there is no socket")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(Self(listener))
    }

    /// The next program of this process's account, or of root.
    ///
    /// # Errors
    /// When the system gives no connection, or the one who asks is another.
    pub async fn accept(&self) -> io::Result<UnixStream> {
        let (stream, _) = self.0.accept().await?;
        let asks = stream.peer_cred()?.uid();
        if asks != 0 && asks != geteuid().as_raw() {
            let message = format!("the account {asks} may not ask this program");
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
        }
        Ok(stream)
    }
}

/// To whoever listens at a path, as [`LocalListener`] has it.
///
/// # Errors
/// When nobody does, or this account may not ask.
pub async fn connect_local(path: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(path).await
}

/// Listens at every address, of IPv4 too.
///
/// # Errors
/// When the system does not let it: a host without IPv6, or one whose administrator keeps the families apart by default.
pub async fn bind_both_families<F: Future<Output = bool>>(
    port: u16,
    is_listened_at: impl Fn(SocketAddr) -> F,
) -> io::Result<TcpListener> {
    bind_to((Ipv6Addr::UNSPECIFIED, port), is_listened_at).await
}

/// Listens at the first of these addresses that it can be listened at. Nobody else does then: on Linux only sockets of one account share
/// an address, and both have to ask for it. What is held is held by who listens there, so that nobody is asked.
///
/// # Errors
/// Of the last, when the system lets it nowhere; when a name has no address.
pub async fn bind_to<F: Future<Output = bool>>(
    addresses: impl ToSocketAddrs,
    _is_listened_at: impl Fn(SocketAddr) -> F,
) -> io::Result<TcpListener> {
    TcpListener::bind(addresses).await
}

/// Receives datagrams at an address.
///
/// # Errors
/// When the system does not let it.
pub async fn receive_at(address: SocketAddr) -> io::Result<UdpSocket> {
    UdpSocket::bind(address).await
}

pub(super) const NULL: &str = "/dev/null";

/// What is written to there; none where it goes to `/dev/null`, which a closed output does by now: the runtime opens it there.
pub(super) fn opened(output: &impl AsOutput) -> io::Result<Option<File>> {
    let file = File::from(output.as_fd().try_clone_to_owned()?);
    let metadata = file.metadata()?;
    let is_null = fs::metadata(NULL).is_ok_and(|null| null.rdev() == metadata.rdev());
    Ok((!(metadata.file_type().is_char_device() && is_null)).then_some(file))
}
