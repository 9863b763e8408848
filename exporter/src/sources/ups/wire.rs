//! A conversation over TCP that no peer can make long or large: every wait has an end, every answer a size.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::blocking::Work;
use crate::probe::{Endpoint, ProbeError, dial};
use crate::ups::UpsFault;

/// What is read at once: the answer of one UPS fits into one or two.
const CHUNK: usize = 4096;

/// How much a peer may send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes of one line or frame.
    pub(super) record: usize,
    /// Bytes of the whole conversation, or of what [`Wire::allow`] begins.
    pub(super) total: usize,
}

/// Why a conversation broke off.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    #[error(transparent)]
    Dial(#[from] ProbeError),
    #[error("{address}: no whole answer to {asked} within the deadline; raise `timeout` if the server is only slow")]
    Timeout { address: String, asked: &'static str },
    #[error(
        "{address}: the connection was closed before any answer to {asked}; check that the server admits this host"
    )]
    Closed { address: String, asked: &'static str },
    #[error("{address}: the connection was closed in the middle of the answer to {asked}")]
    CutShort { address: String, asked: &'static str },
    #[error("{address}: the connection broke while waiting for the answer to {asked} ({kind})")]
    Broken { address: String, asked: &'static str, kind: io::ErrorKind },
    #[error("{address}: the answer to {asked} {what}; check that the port is the right one")]
    TooLarge { address: String, asked: &'static str, what: String },
}

/// Either side of a connection, with TLS or without.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// The conversation.
pub(super) struct Wire {
    stream: Box<dyn Stream>,
    address: String,
    limits: Limits,
    until: Instant,
    /// What was read and not taken yet.
    pending: Vec<u8>,
    received: usize,
    /// `received` when the total began to count.
    counted_from: usize,
    /// What the peer was asked last, for messages: never with its arguments, which may be secret.
    asked: &'static str,
    /// `received` when it was asked.
    received_before: usize,
}

impl WireError {
    pub(super) fn fault(&self) -> UpsFault {
        match self {
            Self::Dial(error) => error.into(),
            Self::Timeout { .. } => UpsFault::Timeout,
            Self::Closed { .. } | Self::Broken { .. } => UpsFault::Connect,
            Self::CutShort { .. } => UpsFault::Protocol,
            Self::TooLarge { .. } => UpsFault::TooLarge,
        }
    }
}

/// Connects; name resolution counts towards the deadline, on threads of `names`.
pub(super) async fn connect(endpoint: &Endpoint, names: Work, until: Instant) -> Result<TcpStream, WireError> {
    Ok(dial(endpoint, names, until).await?.stream)
}

impl Wire {
    /// Speaks over a connection until `until`.
    pub(super) fn new(stream: impl Stream + 'static, address: &str, limits: Limits, until: Instant) -> Self {
        Self {
            stream: Box::new(stream),
            address: address.to_owned(),
            limits,
            until,
            pending: Vec::new(),
            received: 0,
            counted_from: 0,
            asked: "nothing",
            received_before: 0,
        }
    }

    /// From here on the peer may send so many bytes, no later than `until`.
    pub(super) const fn allow(&mut self, bytes: usize, until: Instant) {
        (self.limits.total, self.counted_from, self.until) = (bytes, self.received, until);
    }

    /// How many bytes the peer has sent.
    pub(super) const fn received(&self) -> usize {
        self.received
    }

    /// Whether the peer has said nothing that was not asked for.
    pub(super) const fn is_at_rest(&self) -> bool {
        self.pending.is_empty()
    }

    /// Sends a request that errors call `asked`.
    pub(super) async fn ask(&mut self, asked: &'static str, request: &[u8]) -> Result<(), WireError> {
        (self.asked, self.received_before) = (asked, self.received - self.pending.len());
        let sent = async {
            self.stream.write_all(request).await?;
            self.stream.flush().await
        };
        match timeout_at(self.until, sent).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.broken(&error)),
            Err(_) => Err(self.timed_out()),
        }
    }

    /// The next line without its end.
    pub(super) async fn line(&mut self) -> Result<Vec<u8>, WireError> {
        let mut searched = 0;
        loop {
            let end = self.pending[searched..].iter().position(|&byte| byte == b'\n').map(|at| searched + at);
            searched = end.unwrap_or(self.pending.len());
            if searched > self.limits.record {
                return Err(self.too_large(format!("has a line of more than {} bytes", self.limits.record)));
            }
            if let Some(end) = end {
                let mut line = self.take(end + 1);
                line.pop();
                line.pop_if(|last| *last == b'\r');
                return Ok(line);
            }
            self.receive().await?;
        }
    }

    /// The next frame: a length of two bytes, the high one first, and as many bytes. An empty one ends an answer.
    pub(super) async fn frame(&mut self) -> Result<Vec<u8>, WireError> {
        let length = self.exactly(2).await?;
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        if length > self.limits.record {
            return Err(self.too_large(format!("has a record of {length} bytes, more than {}", self.limits.record)));
        }
        self.exactly(length).await
    }

    /// The connection itself, to go on with it in TLS; `None` when the peer has said something more already, which would
    /// then seem to have come under its protection.
    pub(super) fn into_stream(self) -> Option<Box<dyn Stream>> {
        self.pending.is_empty().then_some(self.stream)
    }

    async fn exactly(&mut self, length: usize) -> Result<Vec<u8>, WireError> {
        while self.pending.len() < length {
            self.receive().await?;
        }
        Ok(self.take(length))
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        self.pending.drain(..length).collect()
    }

    async fn receive(&mut self) -> Result<(), WireError> {
        if self.received - self.counted_from > self.limits.total {
            return Err(self.too_large(format!("came to more than {} bytes in all", self.limits.total)));
        }
        let mut chunk = [0; CHUNK];
        match timeout_at(self.until, self.stream.read(&mut chunk)).await {
            Ok(Ok(0)) if self.received > self.received_before => {
                Err(WireError::CutShort { address: self.address.clone(), asked: self.asked })
            }
            Ok(Ok(0)) => Err(WireError::Closed { address: self.address.clone(), asked: self.asked }),
            Ok(Ok(length)) => {
                self.received += length;
                self.pending.extend_from_slice(&chunk[..length]);
                Ok(())
            }
            Ok(Err(error)) => Err(self.broken(&error)),
            Err(_) => Err(self.timed_out()),
        }
    }

    fn timed_out(&self) -> WireError {
        WireError::Timeout { address: self.address.clone(), asked: self.asked }
    }

    fn broken(&self, error: &io::Error) -> WireError {
        WireError::Broken { address: self.address.clone(), asked: self.asked, kind: error.kind() }
    }

    fn too_large(&self, what: String) -> WireError {
        WireError::TooLarge { address: self.address.clone(), asked: self.asked, what }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::duplex;

    use super::*;

    const LIMITS: Limits = Limits { record: 16, total: 64 };

    /// What a peer that sends `bytes` and closes is taken for.
    fn after(bytes: &'static [u8]) -> Wire {
        let (ours, mut theirs) = duplex(1024);
        tokio::spawn(async move {
            theirs.write_all(bytes).await.expect("the pipe takes it");
            // What was asked is read, so that nobody fails to ask it.
            let _ = theirs.read(&mut [0; 64]).await;
        });
        Wire::new(ours, "peer:1", LIMITS, Instant::now() + Duration::from_secs(30))
    }

    async fn reason_of_line(bytes: &'static [u8]) -> &'static str {
        let mut wire = after(bytes);
        wire.ask("A", b"a").await.expect("the peer reads");
        loop {
            if let Err(error) = wire.line().await {
                return error.fault().as_str();
            }
        }
    }

    #[tokio::test]
    async fn lines_end_with_or_without_a_carriage_return() {
        let mut wire = after(b"one\r\ntwo\n\nsixteen-bytes-16\n");
        for line in ["one", "two", "", "sixteen-bytes-16"] {
            assert_eq!(wire.line().await.expect("a line"), line.as_bytes());
        }
    }

    #[tokio::test]
    async fn a_line_or_an_answer_beyond_its_limit_is_not_read_on() {
        assert_eq!(reason_of_line(b"a line without an end").await, "too_large");
        assert_eq!(
            reason_of_line(b"12345678\n12345678\n12345678\n12345678\n12345678\n12345678\n12345678\n12345678\n").await,
            "too_large"
        );
    }

    #[tokio::test]
    async fn an_answer_that_was_begun_is_told_from_none() {
        assert_eq!(reason_of_line(b"").await, "connect");
        assert_eq!(reason_of_line(b"one\ntw").await, "protocol");
    }

    #[tokio::test]
    async fn a_frame_is_as_long_as_it_says_and_no_longer_than_allowed() {
        let mut wire = after(b"\0\x03one\0\0\0\x11seventeen");
        wire.ask("A", b"a").await.expect("the peer reads");
        assert_eq!(wire.frame().await.expect("a frame"), b"one");
        assert_eq!(wire.frame().await.expect("the end"), b"");
        assert_eq!(wire.frame().await.map_err(|e| e.fault().as_str()), Err("too_large"));
        let mut wire = after(b"\0\x09half");
        wire.ask("A", b"a").await.expect("the peer reads");
        assert_eq!(wire.frame().await.map_err(|e| e.fault().as_str()), Err("protocol"));
    }

    #[tokio::test]
    async fn silence_ends_at_the_deadline() {
        let (ours, _theirs) = duplex(64);
        let mut wire = Wire::new(ours, "peer:1", LIMITS, Instant::now() + Duration::from_millis(50));
        assert_eq!(wire.line().await.map_err(|e| e.fault().as_str()), Err("timeout"));
    }

    #[tokio::test]
    async fn what_was_said_before_tls_began_is_not_taken_for_protected() {
        let mut wire = after(b"OK\nBEGIN");
        assert_eq!(wire.line().await.expect("a line"), b"OK");
        assert!(wire.into_stream().is_none());
        let mut wire = after(b"OK\n");
        assert_eq!(wire.line().await.expect("a line"), b"OK");
        assert!(wire.into_stream().is_some());
    }
}
