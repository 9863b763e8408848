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
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

pub use side::{LocalListener, Requests, bind_both_families, bind_to, connect_local, forbid_dumps, receive_at};

/// What somebody asks of the process from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    Reload,
    Stop,
}

/// For a connection to this host: Windows tries a port that refuses it for two seconds.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// Whether a program may listen at an address of this host, as far as a connection tells: one that is not refused may be taken.
pub async fn answers_at(address: SocketAddr) -> bool {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let connected = timeout(ANSWERS_WITHIN, TcpStream::connect((ip, address.port()))).await;
    !matches!(connected, Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused)
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
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_port_that_refuses_is_nobodys_and_any_other_may_be_somebodys() {
        for host in ["127.0.0.1:0", "0.0.0.0:0"] {
            let listener = TcpListener::bind(host).await.expect("a port");
            let address = listener.local_addr().expect("an address");
            assert!(answers_at(address).await, "{address}");
            drop(listener);
            assert!(!answers_at(address).await, "{address}");
        }
    }

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
