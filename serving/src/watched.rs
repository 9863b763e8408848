//! A stream whose reads somebody watches; what is written is handed on as it is.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Who watches what a peer sends.
pub trait Watch {
    /// Asked before each read.
    ///
    /// # Errors
    /// Why nothing more is read.
    fn may_read(&self) -> io::Result<()> {
        Ok(())
    }

    /// Told of what has come.
    fn has_read(&self, bytes: &[u8]);
}

#[derive(Debug)]
pub struct Watched<S, W> {
    stream: S,
    watch: W,
}

impl<S, W> Watched<S, W> {
    pub const fn new(stream: S, watch: W) -> Self {
        Self { stream, watch }
    }
}

impl<S: AsyncRead + Unpin, W: Watch + Unpin> AsyncRead for Watched<S, W> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.watch.may_read()?;
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.watch.has_read(buffer.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin, W: Unpin> AsyncWrite for Watched<S, W> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    /// Handed on: records of TLS that are written one by one wait for each other's acknowledgement, 40 ms each.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ByteBudget;

    /// Each record of a handshake in a packet of its own had every look at a host wait 80 ms.
    #[tokio::test]
    async fn what_is_written_in_pieces_goes_out_in_one() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let stream =
            tokio::net::TcpStream::connect(listener.local_addr().expect("an address")).await.expect("connected");
        let mut stream = Watched::new(stream, ByteBudget::new(1));
        assert!(stream.is_write_vectored());
        let pieces = [IoSlice::new(b"one"), IoSlice::new(b"two")];
        let written = std::future::poll_fn(|context| Pin::new(&mut stream).poll_write_vectored(context, &pieces)).await;
        assert_eq!(written.expect("written"), 6);
    }
}
