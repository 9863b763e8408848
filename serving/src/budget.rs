//! How many bytes the other side of a connection may send.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::watched::{Watch, Watched};

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
pub type Budgeted<S> = Watched<S, ByteBudget>;

impl Watch for ByteBudget {
    fn may_read(&self) -> io::Result<()> {
        if self.0.load(Ordering::Relaxed) == 0 { Err(io::Error::other(BudgetSpent)) } else { Ok(()) }
    }

    fn has_read(&self, bytes: &[u8]) {
        let left = self.0.load(Ordering::Relaxed);
        self.renew(left.saturating_sub(u64::try_from(bytes.len()).unwrap_or(u64::MAX)));
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
}
