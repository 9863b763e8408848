//! The resources as a stream, whoever keeps them: all of them, then what changes.

use std::future::Future;
use std::time::{Duration, Instant};

use futures::stream;
use futures::{Stream, StreamExt as _};
use tokio::time::sleep;

use super::{ClusterError, Watched};
use crate::decide::doubled;
use crate::freshness::Freshness;

/// After the first failure; it doubles with each further one.
pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(1);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// In which a page is whole. What trickles in would hold up everything that a watch shows, for ever.
pub(super) const PAGE_DEADLINE: Duration = Duration::from_secs(60);
/// After so many failures a list that nobody watches after is given up, and after this time.
const TRIES: u32 = 3;
const ALL_DEADLINE: Duration = Duration::from_secs(300);
/// Pages in a row without a resource; no API server gives one, as long as nothing is selected from what it has.
const MOST_EMPTY_PAGES: u32 = 5;
/// Resources of a list that is held whole: as many as an operator keeps, and room for those that it leaves out.
const MOST: usize = 100_000;

/// All are listed anew after this time. After an API server was restored from a backup, a watch that goes on from where it was
/// shows nothing of what happens there, and says nothing. The alert KagibanOperatorBehind goes by the last list of all.
pub(super) const LIST_AGAIN: Duration = Duration::from_secs(600);

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
    #[error(
        "the API server's list of the resources has no end: {MOST_EMPTY_PAGES} pages in a row without one, or more than {MOST} of them; see \
         what answers at its address"
    )]
    TooManyPages,
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
            Self::NoVersion | Self::TooManyPages => false,
        }
    }
}

/// What tells of resources, one event after another.
pub(super) trait Source: Send {
    fn next(&mut self) -> impl Future<Output = Result<Event, WatchError>> + Send;

    /// Told of each failure.
    fn freshness(&self) -> &Freshness;
}

/// All that a source tells. After failures in a row it is asked later and later.
pub(super) fn events<S: Source>(source: S) -> impl Stream<Item = Result<Event, WatchError>> + Send {
    stream::unfold((source, 0_u32), |(mut source, failures)| async move {
        if failures > 0 {
            sleep(doubled(FIRST_PAUSE, failures, LONGEST_PAUSE)).await;
        }
        let event = source.next().await;
        let failures = match &event {
            Ok(_) => 0,
            Err(error) => {
                source.freshness().failed(Instant::now(), error);
                failures.saturating_add(1)
            }
        };
        Some((event, (source, failures)))
    })
}

/// All resources that are shown, as they are, for whoever does not watch what becomes of them.
///
/// # Errors
/// When they may not be listed, or the API server does not give them after some tries.
pub async fn all(events: impl Stream<Item = Result<Event, WatchError>> + Send) -> Result<Vec<Watched>, WatchError> {
    let whole = async {
        tokio::pin!(events);
        let (mut found, mut failures, mut empty) = (Vec::new(), 0, 0);
        loop {
            match events.next().await {
                // Of a list that is begun anew, the pages count with those before
                Some(Ok(Event::Init)) => found.clear(),
                Some(Ok(Event::InitApply(_))) if found.len() == MOST => return Err(WatchError::TooManyPages),
                Some(Ok(Event::InitApply(object))) => {
                    found.push(object);
                    empty = 0;
                }
                Some(Ok(Event::InitPage(_))) if empty == MOST_EMPTY_PAGES => return Err(WatchError::TooManyPages),
                Some(Ok(Event::InitPage(_))) => empty += 1,
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::stream;
    use serde_json::json;

    use super::*;

    fn resource() -> Watched {
        serde_json::from_value(json!({"metadata": {"name": "a"}})).expect("a resource")
    }

    /// Holds B12, B14: what stands in the API server's place may give pages without end.
    #[tokio::test]
    async fn a_list_without_end_is_given_up_and_a_long_one_is_not() {
        let shown = AtomicUsize::new(0);
        let count = |event| {
            shown.fetch_add(1, Ordering::Relaxed);
            Ok(event)
        };
        let empty = all(stream::repeat(Event::InitPage(None)).map(count)).await;
        assert!(matches!(empty, Err(WatchError::TooManyPages)), "{empty:?}");
        assert!(shown.load(Ordering::Relaxed) < 10);
        let anew = all(stream::iter([Event::Init, Event::InitPage(None)].into_iter().cycle()).map(count)).await;
        assert!(matches!(anew, Err(WatchError::TooManyPages)), "{anew:?}");
        let full = all(stream::repeat(Event::InitApply(resource())).map(Ok)).await;
        assert!(matches!(full, Err(WatchError::TooManyPages)), "of {:?}", full.map(|found| found.len()));
        let pages =
            (0..1000).flat_map(|_| [Event::InitPage(None), Event::InitPage(None), Event::InitApply(resource())]);
        let long = all(stream::iter(pages.chain([Event::InitDone])).map(Ok)).await;
        assert_eq!(long.expect("it ends").len(), 1000);
    }
}
