//! The resources as a stream, whoever keeps them: all of them, then what changes.

use std::time::Duration;

use futures::{Stream, StreamExt as _};

use super::{ClusterError, Watched};

/// In which a page is whole. What trickles in would hold up everything that a watch shows, for ever.
pub(super) const PAGE_DEADLINE: Duration = Duration::from_secs(60);
/// After so many failures a list that nobody watches after is given up, and after this time.
const TRIES: u32 = 3;
const ALL_DEADLINE: Duration = Duration::from_secs(300);

/// What is there, and what becomes of it.
#[derive(Clone, Debug)]
pub enum Event {
    /// A list begins.
    Init,
    /// What follows of the list is as it was at this version of the store, if that is a number.
    InitPage(Option<u64>),
    InitApply(Watched),
    /// The list is whole: what was not in it is gone.
    InitDone,
    Apply(Watched),
    Delete(Watched),
}

/// Why a list or a watch is taken up again. None of them names its source: an error that is told with its causes would tell all
/// that was answered.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    #[error("the resources cannot be listed: {0}")]
    List(ClusterError),
    #[error("the API server has not given a whole page of the resources within {} s", PAGE_DEADLINE.as_secs())]
    Stalled,
    #[error("the resources cannot be watched: {0}")]
    Watch(ClusterError),
    #[error("the watch was refused: {0}")]
    Refused(String),
    #[error("the API server names no version of what it shows")]
    NoVersion,
    #[error("the API server has not given all resources within {} s", ALL_DEADLINE.as_secs())]
    Endless,
}

impl WatchError {
    /// Whether whoever asks may not list them.
    pub(crate) fn is_forbidden(&self) -> bool {
        matches!(self, Self::List(ClusterError::Forbidden { .. }))
    }

    /// Whether the API server may give a little later what it has not given now.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::List(error) | Self::Watch(error) => error.is_transient(),
            Self::Stalled | Self::Endless | Self::Refused(_) => true,
            Self::NoVersion => false,
        }
    }
}

/// All resources that are shown, as they are, for whoever does not watch what becomes of them.
///
/// # Errors
/// When they may not be listed, or the API server does not give them after some tries.
pub async fn all(events: impl Stream<Item = Result<Event, WatchError>> + Send) -> Result<Vec<Watched>, WatchError> {
    let whole = async {
        tokio::pin!(events);
        let (mut found, mut failures) = (Vec::new(), 0);
        loop {
            match events.next().await {
                Some(Ok(Event::Init)) => found.clear(),
                Some(Ok(Event::InitApply(object))) => found.push(object),
                Some(Ok(Event::InitPage(_))) => {}
                // A list comes before a watch
                Some(Ok(Event::InitDone | Event::Apply(_) | Event::Delete(_))) | None => return Ok(found),
                Some(Err(error)) => {
                    failures += 1;
                    if failures == TRIES || error.is_forbidden() {
                        return Err(error);
                    }
                }
            }
        }
    };
    tokio::time::timeout(ALL_DEADLINE, whole).await.unwrap_or(Err(WatchError::Endless))
}
