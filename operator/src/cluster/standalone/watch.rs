//! The resources as a stream: all of them once the manifests were looked at, and then what changes; and from time to time all of them
//! again, as from an API server.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use futures::Stream;
use jiff::Timestamp;
use serde::Deserialize as _;
use serde_json::Value;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::sync::watch as signal;
use tokio::time::timeout;

use super::RESOURCE;
use super::store::{Change, Store};
use crate::cluster::watch::{self, Event, WatchError};
use crate::cluster::{ClusterError, Watched};
use crate::freshness::Freshness;

/// Between two looks whether the state is still there, where nothing changes.
const PULSE: Duration = Duration::from_secs(60);

pub(super) fn watch(
    store: Store,
    namespace: Option<String>,
    looked: signal::Receiver<bool>,
    freshness: Freshness,
) -> impl Stream<Item = Result<Event, WatchError>> + Send + use<> {
    watch_listing(store, namespace, looked, watch::LIST_AGAIN, freshness)
}

/// See [`watch`]; a list is begun `again` after the one before was whole.
pub(super) fn watch_listing(
    store: Store,
    namespace: Option<String>,
    looked: signal::Receiver<bool>,
    again: Duration,
    freshness: Freshness,
) -> impl Stream<Item = Result<Event, WatchError>> + Send + use<> {
    let listed = Instant::now();
    watch::events(Source { store, namespace, looked, again, listed, freshness, position: Position::Empty })
}

struct Source {
    store: Store,
    namespace: Option<String>,
    looked: signal::Receiver<bool>,
    again: Duration,
    listed: Instant,
    freshness: Freshness,
    position: Position,
}

enum Position {
    Empty,
    Begun,
    Listing { left: VecDeque<Value>, version: u64, changes: Receiver<Change> },
    Watching { version: u64, changes: Receiver<Change> },
}

impl watch::Source for Source {
    async fn next(&mut self) -> Result<Event, WatchError> {
        loop {
            match std::mem::replace(&mut self.position, Position::Empty) {
                Position::Empty => {
                    self.freshness.list_begins(Instant::now());
                    // Whoever tells is gone only where the process ends
                    let _ = self.looked.wait_for(|looked| *looked).await;
                    self.position = Position::Begun;
                    return Ok(Event::Init);
                }
                Position::Begun => {
                    // Before the list, so that nothing is between the two
                    let changes = self.store.changes();
                    let namespace = self.namespace.clone();
                    let list = self
                        .store
                        .call("list", RESOURCE, move |state| Ok((state.version()?, state.list(namespace.as_deref())?)));
                    let (version, stored) = list.await.map_err(WatchError::List)?;
                    let left = stored.into_iter().map(|stored| stored.object).collect();
                    self.position = Position::Listing { left, version, changes };
                }
                Position::Listing { mut left, version, changes } => match left.pop_front() {
                    Some(object) => {
                        self.position = Position::Listing { left, version, changes };
                        return Ok(Event::InitApply(read(&object)?));
                    }
                    None => {
                        self.listed = Instant::now();
                        self.freshness.listed(self.listed, Timestamp::now());
                        self.freshness.watched(self.listed, Timestamp::now());
                        self.position = Position::Watching { version, changes };
                        return Ok(Event::InitDone);
                    }
                },
                Position::Watching { .. } if self.listed.elapsed() >= self.again => {}
                Position::Watching { version, mut changes } => match timeout(self.pulse(), changes.recv()).await {
                    Ok(Ok(change)) => {
                        self.freshness.watched(Instant::now(), Timestamp::now());
                        let is_news = change.version > version && self.is_of_namespace(&change.object);
                        self.position = Position::Watching { version: version.max(change.version), changes };
                        if is_news {
                            let object = read(&change.object)?;
                            return Ok(if change.gone { Event::Delete(object) } else { Event::Apply(object) });
                        }
                    }
                    Ok(Err(RecvError::Lagged(_))) => {}
                    Ok(Err(RecvError::Closed)) => {
                        let message = "the state's thread has ended".to_owned();
                        return Err(WatchError::Watch(ClusterError::Transport {
                            verb: "watch",
                            resource: RESOURCE,
                            message,
                        }));
                    }
                    Err(_) => {
                        self.position = Position::Watching { version, changes };
                        let pulse = self.store.call("watch", RESOURCE, |state| state.version());
                        pulse.await.map_err(WatchError::Watch)?;
                        self.freshness.watched(Instant::now(), Timestamp::now());
                    }
                },
            }
        }
    }

    fn freshness(&self) -> &Freshness {
        &self.freshness
    }
}

impl Source {
    fn pulse(&self) -> Duration {
        PULSE.min(self.again.saturating_sub(self.listed.elapsed()))
    }

    fn is_of_namespace(&self, object: &Value) -> bool {
        self.namespace.as_ref().is_none_or(|namespace| object["metadata"]["namespace"] == namespace.as_str())
    }
}

/// Whatever is stored is an object, perhaps one that this version cannot read all of.
fn read(object: &Value) -> Result<Watched, WatchError> {
    Watched::deserialize(object).map_err(|error| {
        let message = error.to_string();
        WatchError::List(ClusterError::Unreadable { verb: "list", resource: RESOURCE, message })
    })
}
