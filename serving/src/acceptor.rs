//! Connections as they come, until the port is told to stop.

use std::io;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// After an error such as too many open files, accepting at once would only spin.
const PAUSE: Duration = Duration::from_millis(100);
/// A client that is turned away for so long comes again.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Accepts, with growing pauses after errors.
#[derive(Debug)]
pub struct Acceptor {
    port: &'static str,
    pause: Duration,
}

impl Acceptor {
    /// The log calls the port so.
    pub const fn new(port: &'static str) -> Self {
        Self { port, pause: PAUSE }
    }

    /// The next connection; none once the port is to stop.
    pub async fn next<T, A>(&mut self, stop: &CancellationToken, accept: impl Fn() -> A) -> Option<T>
    where
        A: Future<Output = io::Result<T>>,
    {
        loop {
            let accepted = tokio::select! {
                // An accept that fails is ready each time: it must not win against the stop.
                biased;
                () = stop.cancelled() => return None,
                accepted = accept() => accepted,
            };
            match accepted {
                Ok(accepted) => {
                    self.pause = PAUSE;
                    return Some(accepted);
                }
                Err(error) => {
                    if self.pause == PAUSE {
                        let port = self.port;
                        warn!(port, %error, "cannot accept a connection; it is tried again with growing pauses");
                    }
                    stop.run_until_cancelled(sleep(self.pause)).await?;
                    self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test]
    async fn a_stop_is_heard_at_once_while_no_connection_can_be_accepted() {
        let stop = CancellationToken::new();
        let stopper = stop.clone();
        let stopped = tokio::spawn(async move {
            // In the third pause, of 400 ms.
            sleep(PAUSE * 4).await;
            stopper.cancel();
            Instant::now()
        });
        let failing = || async { Err::<(), _>(io::Error::other("no more open files")) };
        assert!(Acceptor::new("test").next(&stop, failing).await.is_none());
        let waited = Instant::now() - stopped.await.expect("no panic");
        assert!(waited < PAUSE, "{waited:?}");
    }
}
