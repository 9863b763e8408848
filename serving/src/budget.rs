//! How many bytes the other side of a connection may send.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is left of it. An HTTP client bounds the head and the body of an answer, but takes interim answers (`103 Early Hints`)
/// for as long as they come: RFC 9110, section 15.2, knows no end of them. And a record of TLS 1.3 may be padding but for one byte
/// (RFC 8446, section 5.4), so that what a peer sends is counted below TLS: 16 KiB for each byte of an answer.
#[derive(Clone, Debug)]
pub struct ByteBudget(Arc<AtomicU64>);

/// Why nothing more is read. It travels inside an [`io::Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more was sent than any answer has")]
pub struct BudgetSpent;

impl ByteBudget {
    pub fn new(bytes: u64) -> Self {
        Self(Arc::new(AtomicU64::new(bytes)))
    }

    /// For the next answer on the same connection.
    pub fn renew(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Relaxed);
    }
}

impl BudgetSpent {
    /// Whether that is what the error says.
    pub fn is(error: &io::Error) -> bool {
        error.get_ref().and_then(|inner| inner.downcast_ref::<Self>()).is_some()
    }
}

/// A stream of which no more is read than the budget has; the last read may go beyond it by its buffer.
#[derive(Debug)]
pub struct Budgeted<S> {
    stream: S,
    left: ByteBudget,
}

impl<S> Budgeted<S> {
    pub const fn new(stream: S, left: ByteBudget) -> Self {
        Self { stream, left }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Budgeted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = self.left.0.load(Ordering::Relaxed);
        if left == 0 {
            return Poll::Ready(Err(io::Error::other(BudgetSpent)));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let read = u64::try_from(buffer.filled().len() - before).unwrap_or(u64::MAX);
        self.left.renew(left.saturating_sub(read));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Budgeted<S> {
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
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn no_more_is_read_than_the_budget_has_until_it_is_renewed() {
        let budget = ByteBudget::new(8);
        let mut stream = Budgeted::new(tokio::io::repeat(1).chain(tokio::io::empty()), budget.clone());
        let mut bytes = [0; 4];
        for _ in 0..2 {
            stream.read_exact(&mut bytes).await.expect("within the budget");
        }
        let error = stream.read_exact(&mut bytes).await.expect_err("beyond it");
        assert!(BudgetSpent::is(&error), "{error}");
        budget.renew(1);
        assert_eq!(stream.read(&mut bytes).await.expect("within the next"), 4, "what one read brings is taken");
        assert!(stream.read(&mut bytes).await.is_err());
    }

    /// Each record of a handshake in a packet of its own had every look at a host wait 80 ms.
    #[tokio::test]
    async fn what_is_written_in_pieces_goes_out_in_one() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let stream =
            tokio::net::TcpStream::connect(listener.local_addr().expect("an address")).await.expect("connected");
        let mut stream = Budgeted::new(stream, ByteBudget::new(1));
        assert!(stream.is_write_vectored());
        let pieces = [IoSlice::new(b"one"), IoSlice::new(b"two")];
        let written = std::future::poll_fn(|context| Pin::new(&mut stream).poll_write_vectored(context, &pieces)).await;
        assert_eq!(written.expect("written"), 6);
    }
}
