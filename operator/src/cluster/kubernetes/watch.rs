//! The resources as a stream: all of them, page by page, and then what changes; and from time to time all of them again.
//!
//! ```text
//!   Empty ──> Listing, page by page ──> Listed ──> Watching
//!     ^           │ 410: the rest, as it is now       │
//!     └───────────┴── again after a while, or 410 <───┘
//! ```

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _};
use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};

use super::{ListPage, RESOURCE, Watched, classed};
use crate::cluster::watch::{self, Event, FIRST_PAUSE, LONGEST_PAUSE, PAGE_DEADLINE, WatchError};
use crate::decide::doubled;
use crate::foreign::told;
use crate::freshness::{Freshness, WATCH_SECONDS};

/// Resources in one answer of a list. A page is held whole while it is read, and more than once; each may be 2 MiB.
pub const PAGE: u32 = 16;
/// Answers in a row that give another version to go on from, and no resource.
const MOST_BARREN: u32 = 3;

/// All resources of the given scope, as they are and as they change.
pub fn watch(api: Api<Watched>, freshness: Freshness) -> impl Stream<Item = Result<Event, WatchError>> + Send + use<> {
    watch_listing(api, watch::LIST_AGAIN, freshness)
}

/// See [`watch`]; a list is begun `again` after the one before was whole.
pub fn watch_listing(
    api: Api<Watched>,
    again: Duration,
    freshness: Freshness,
) -> impl Stream<Item = Result<Event, WatchError>> + Send + use<> {
    watch::events(Source::new(api, again, freshness))
}

struct Source {
    api: Api<Watched>,
    again: Duration,
    /// When the last list was whole.
    listed: Instant,
    /// Watches in a row that were refused before they showed anything, so that all was listed anew.
    unwatched: u32,
    state: Position,
    /// Told of what goes well, and what does not.
    freshness: Freshness,
}

#[derive(Default)]
enum Position {
    #[default]
    Empty,
    Listing(List),
    Listed {
        version: String,
    },
    Watching {
        version: String,
        events: BoxStream<'static, kube::Result<WatchEvent<Watched>>>,
    },
}

/// A list that is not whole yet.
#[derive(Default)]
struct List {
    /// Of the next page; none before the first and after the last.
    token: Option<String>,
    page: VecDeque<Watched>,
    /// Of the page that was read last.
    version: Option<String>,
    /// Answers in a row that brought no resource, and a token to go on with.
    barren: u32,
}

impl watch::Source for Source {
    async fn next(&mut self) -> Result<Event, WatchError> {
        loop {
            if let Some(event) = self.step().await {
                return event;
            }
        }
    }

    fn freshness(&self) -> &Freshness {
        &self.freshness
    }
}

impl Source {
    fn new(api: Api<Watched>, again: Duration, freshness: Freshness) -> Self {
        Self { api, again, listed: Instant::now(), unwatched: 0, state: Position::Empty, freshness }
    }

    /// Nothing where there is nothing to tell yet. Each call ends in time: the client's connections do.
    async fn step(&mut self) -> Option<Result<Event, WatchError>> {
        match std::mem::take(&mut self.state) {
            Position::Empty => {
                pause_before_the_next(self.unwatched).await;
                self.state = Position::Listing(List::default());
                self.freshness.list_begins(Instant::now());
                Some(Ok(Event::Init))
            }
            Position::Listing(list) => self.list(list).await,
            Position::Listed { version } => {
                let params = WatchParams::default().timeout(WATCH_SECONDS);
                // One that is not answered does not put off the next list
                let until = (self.listed + self.again).into();
                let Ok(opened) = tokio::time::timeout_at(until, self.api.watch(&params, &version)).await else {
                    return None;
                };
                match opened {
                    Ok(events) => {
                        self.freshness.watched(Instant::now(), Timestamp::now());
                        self.state = Position::Watching { version, events: events.boxed() };
                        None
                    }
                    Err(error) => {
                        if is_expired(&error) {
                            self.unwatched = self.unwatched.saturating_add(1);
                        } else {
                            self.state = Position::Listed { version };
                        }
                        Some(Err(WatchError::Watch(classed("watch", RESOURCE, error))))
                    }
                }
            }
            Position::Watching { version, mut events } => {
                let shown = tokio::select! {
                    shown = events.next() => shown,
                    () = tokio::time::sleep_until((self.listed + self.again).into()) => return None,
                };
                let Some(shown) = shown else {
                    self.state = Position::Listed { version };
                    // One that ends at once is not asked for again at once
                    tokio::time::sleep(FIRST_PAUSE).await;
                    return None;
                };
                self.shown(shown, version, events)
            }
        }
    }

    fn shown(
        &mut self,
        shown: kube::Result<WatchEvent<Watched>>,
        version: String,
        events: BoxStream<'static, kube::Result<WatchEvent<Watched>>>,
    ) -> Option<Result<Event, WatchError>> {
        let (event, version) = match shown {
            Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                let version = object.resource_version();
                (Some(Ok(Event::Apply(object))), version)
            }
            Ok(WatchEvent::Deleted(object)) => {
                let version = object.resource_version();
                (Some(Ok(Event::Delete(object))), version)
            }
            Ok(WatchEvent::Bookmark(mark)) => (None, Some(mark.metadata.resource_version)),
            // 410: what it was to go on from is not kept any more
            Ok(WatchEvent::Error(status)) => (
                Some(Err(WatchError::Refused(told(&format!("{} {}", status.code, status.message))))),
                (status.code != 410).then_some(version),
            ),
            Err(error) => (Some(Err(WatchError::Watch(classed("watch", RESOURCE, error)))), Some(version)),
        };
        match version.filter(|version| !version.is_empty()) {
            Some(version) => {
                if !matches!(event, Some(Err(_))) {
                    self.unwatched = 0;
                    self.freshness.watched(Instant::now(), Timestamp::now());
                }
                self.state = Position::Watching { version, events };
                event
            }
            None => {
                self.unwatched = self.unwatched.saturating_add(1);
                if matches!(event, Some(Err(_))) { event } else { Some(Err(WatchError::NoVersion)) }
            }
        }
    }

    /// The next object of the list, or the next page.
    async fn list(&mut self, mut list: List) -> Option<Result<Event, WatchError>> {
        if let Some(object) = list.page.pop_front() {
            self.state = Position::Listing(list);
            return Some(Ok(Event::InitApply(object)));
        }
        if let (None, Some(version)) = (&list.token, &list.version) {
            self.state = Position::Listed { version: version.clone() };
            self.listed = Instant::now();
            self.freshness.listed(self.listed, Timestamp::now());
            return Some(Ok(Event::InitDone));
        }
        pause_before_the_next(list.barren).await;
        // The default is a quorum read; one from the API server's cache would bring back the past
        let params = ListParams { limit: Some(PAGE), continue_token: list.token.clone(), ..ListParams::default() };
        let Ok(read) = tokio::time::timeout(PAGE_DEADLINE, ListPage::read(&self.api, &params)).await else {
            self.state = Position::Listing(list);
            return Some(Err(WatchError::Stalled));
        };
        match read {
            Ok(read) => {
                let Some(version) = read.version().map(str::to_owned) else { return Some(Err(WatchError::NoVersion)) };
                let page = Event::InitPage(version.parse().ok());
                self.freshness.page(Instant::now());
                let token = read.token().map(str::to_owned);
                let barren = if read.items.is_empty() { list.barren.saturating_add(1) } else { 0 };
                self.state = Position::Listing(List { token, page: read.items.into(), version: Some(version), barren });
                Some(Ok(page))
            }
            Err(error) => {
                // A list that takes longer than etcd keeps its past would be begun anew for ever. The rest is read as it is
                // now; what changed meanwhile among what was read before is found by the next list.
                let rest = remainder(&error);
                if rest.is_some() {
                    let barren = list.barren.saturating_add(1);
                    self.state = Position::Listing(List { token: rest, barren, ..list });
                    tracing::info!("the list of resources outlives its version and goes on at a later one");
                    // It goes on with what it has; whoever waits for its end learns why there is none
                    return (barren > MOST_BARREN).then(|| Err(WatchError::List(classed("list", RESOURCE, error))));
                }
                // The pages that were read stay read while the API server is away
                if !is_final(&error) {
                    self.state = Position::Listing(list);
                }
                Some(Err(WatchError::List(classed("list", RESOURCE, error))))
            }
        }
    }
}

async fn pause_before_the_next(vain: u32) {
    let pause = pause(vain);
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
}

/// After so many tries in a row that brought nothing. One alone may happen to any, and costs no pause.
fn pause(vain: u32) -> Duration {
    if vain > 1 { doubled(FIRST_PAUSE, vain - 1, LONGEST_PAUSE) } else { Duration::ZERO }
}

/// With which the API server gives the rest of a list whose version it does not keep any more.
fn remainder(error: &kube::Error) -> Option<String> {
    let kube::Error::Api(status) = error else { return None };
    let token = status.metadata.as_ref().filter(|_| status.code == 410)?.continue_.clone();
    token.filter(|token| !token.is_empty())
}

fn is_expired(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 410)
}

/// Whether the same page will not be given later either: the list is begun anew.
fn is_final(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if (400..500).contains(&status.code) && status.code != 429)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use futures::stream;

    use super::*;

    fn source() -> Source {
        let client = super::super::client(kube::Config::new("http://127.0.0.1:1".parse().expect("a URL")));
        Source::new(Api::all(client.expect("a client")), watch::LIST_AGAIN, Freshness::new(Instant::now()))
    }

    fn event(text: &serde_json::Value) -> kube::Result<WatchEvent<Watched>> {
        Ok(serde_json::from_value(text.clone()).expect("an event"))
    }

    /// Holds B14: an API server that refuses every watch after a list had all of them listed as fast as it answered.
    #[tokio::test]
    async fn lists_for_the_sake_of_refused_watches_are_begun_after_longer_and_longer_pauses() {
        let mut source = source();
        let mut show = |event| {
            let told = source.shown(event, "7".to_owned(), stream::empty().boxed());
            let is_watching = matches!(source.state, Position::Watching { .. });
            (told.map(|told| told.is_ok()), is_watching, pause(source.unwatched).as_secs())
        };
        let refused = event(&json!({"type": "ERROR", "object": {"code": 410, "message": "too old"}}));
        let nameless = event(&json!({"type": "MODIFIED", "object": {"metadata": {"name": "a"}}}));
        let mut pauses = Vec::new();
        for _ in 0..4 {
            for vain in [&refused, &nameless] {
                let (told, is_watching, pause) = show(Ok(vain.as_ref().expect("an event").clone()));
                assert_eq!((told, is_watching), (Some(false), false));
                pauses.push(pause);
            }
        }
        assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 30, 30]);
        let hostile = json!({"type": "ERROR", "object": {"code": 410, "message": "x\n".repeat(60_000)}});
        let told = source.shown(event(&hostile), "7".to_owned(), stream::empty().boxed()).expect("an event");
        let told = told.expect_err("a refusal").to_string();
        assert!(told.len() < 1000 && !told.contains(char::is_control), "{} bytes", told.len());
        let mut show = |event| {
            let told = source.shown(event, "7".to_owned(), stream::empty().boxed());
            let is_watching = matches!(source.state, Position::Watching { .. });
            (told.map(|told| told.is_ok()), is_watching, pause(source.unwatched).as_secs())
        };
        // What says nothing of the version changes nothing; what is shown ends it
        let busy = event(&json!({"type": "ERROR", "object": {"code": 500, "message": "busy"}}));
        assert_eq!(show(busy), (Some(false), true, 30));
        let mark = event(&json!({"type": "BOOKMARK", "object": {
            "apiVersion": "kagiban.dev/v1alpha1", "kind": "ManagedAgentCertificate", "metadata": {"resourceVersion": "8"},
        }}));
        assert_eq!(show(mark), (None, true, 0));
    }
}
