//! The pages for people: the fleet, and what each resource says. They are made of what the process has in memory, and of the events
//! that a standalone operator keeps; no request of them reaches an API server or a host.
//!
//! ```text
//!   web ──path, query, peer──> Page ──audience──> who may see it
//!                               ├──> fleet     /                          a row for each resource, by query
//!                               └──> resource  /resources/NAMESPACE/NAME  conditions, rotations, events, advice
//! ```

mod audience;
mod fleet;
mod query;
mod resource;
mod rich;
mod urgency;

pub(crate) use audience::Visitor;

use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::Instant;

use futures::future::BoxFuture;
use hyper::StatusCode;
use hyper::body::Bytes;
use jiff::Timestamp;
use kagiban_html::{Escaped, begin};
use kagiban_process::threads::POOL;
use kagiban_serving::query::NoParameter;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::cli::PageFor;
use crate::cluster::{ClusterError, is_name};
use crate::columns::since;
use crate::fleet::{Fleet, ResourceName};
use crate::metrics::{Metrics, SharedMetrics};
use fleet::FleetPage;
use query::Query;
use resource::ResourcePage;

/// Pages that are made or read at once. Each has 2 MiB at most.
const MAX_PAGES: usize = 4;
/// Of one text from outside, in bytes. Messages and notes have 1,000 at most where they are ours.
const LONGEST_TEXT: usize = 1200;

/// The events of a resource, by its namespace and its name, the oldest first: where they are kept beside it.
pub type KeptEvents = Arc<dyn Fn(&str, &str) -> BoxFuture<'static, Result<Vec<Value>, ClusterError>> + Send + Sync>;

/// What the pages are made of.
#[derive(Clone)]
pub struct Page {
    audience: PageFor,
    fleet: Arc<Fleet>,
    metrics: SharedMetrics,
    /// Absent where an API server keeps them: it is not asked for a page.
    events: Option<KeptEvents>,
    places: Arc<Semaphore>,
}

/// What is answered.
#[derive(Debug)]
pub(crate) enum Answer {
    Html(Bytes),
    Plain(StatusCode, String),
}

/// A page that is still read keeps its place.
struct Held {
    html: Box<str>,
    _place: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.html.as_bytes()
    }
}

/// How old what is shown is.
#[derive(Clone, Debug)]
struct Seen {
    now: Timestamp,
    listed: Option<Timestamp>,
    watched: Option<Timestamp>,
    /// What stands still for too long.
    stale: Option<String>,
    /// The installation that hosts obey.
    lineage: Option<String>,
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page").field("audience", &self.audience).finish_non_exhaustive()
    }
}

impl Page {
    pub fn new(audience: PageFor, fleet: Arc<Fleet>, metrics: SharedMetrics, events: Option<KeptEvents>) -> Self {
        Self { audience, fleet, metrics, events, places: Arc::new(Semaphore::new(MAX_PAGES)) }
    }

    /// Nothing where the path is none of a page.
    pub(crate) async fn answer(&self, path: &str, query: &str, visitor: Visitor<'_>) -> Option<Answer> {
        let wanted = Wanted::parse(path)?;
        match self.audience {
            PageFor::None => return None,
            PageFor::Local if !visitor.is_local() => {
                return Some(Answer::Plain(StatusCode::FORBIDDEN, audience::HOW_TO_SEE_IT.to_owned()));
            }
            PageFor::Local | PageFor::All => {}
        }
        Some(self.page(wanted, query).await)
    }

    async fn page(&self, wanted: Wanted, query: &str) -> Answer {
        if !self.metrics.is_leading() {
            return Answer::Plain(StatusCode::SERVICE_UNAVAILABLE, NOT_LEADING.to_owned());
        }
        if !self.fleet.is_listed() {
            let words = "the resources are not all listed yet; ask again in a moment\n";
            return Answer::Plain(StatusCode::SERVICE_UNAVAILABLE, words.to_owned());
        }
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            let words = format!("{MAX_PAGES} pages are being read already; ask again in a moment\n");
            return Answer::Plain(StatusCode::SERVICE_UNAVAILABLE, words);
        };
        let made = match wanted {
            Wanted::Fleet => self.fleet_page(query).await,
            Wanted::Resource(name) => self.resource_page(&name).await,
        };
        match made {
            Ok(html) => Answer::Html(Bytes::from_owner(Held { html: html.into(), _place: place })),
            Err((status, words)) => Answer::Plain(status, words),
        }
    }

    async fn fleet_page(&self, query: &str) -> Result<String, (StatusCode, String)> {
        let query =
            Query::parse(query).map_err(|error: NoParameter| (StatusCode::BAD_REQUEST, format!("{error}\n")))?;
        let (fleet, seen) = (self.fleet.clone(), Seen::of(&self.metrics));
        let notes = self.metrics.manifests().notes();
        let made = POOL.start(move || {
            let read = |name: &ResourceName| serde_json::to_value(fleet.get(name)?).ok();
            let resources = fleet.summaries();
            let left_out = fleet.left_out();
            FleetPage { resources: &resources, left_out, notes: &notes, query: &query, read: &read, seen: &seen }.html()
        });
        made.await
            .map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, format!("the page could not be made: {error}\n")))
    }

    async fn resource_page(&self, name: &ResourceName) -> Result<String, (StatusCode, String)> {
        let found = self.fleet.get(name).zip(self.fleet.summary(name));
        let Some((object, summary)) = found else {
            return Err((StatusCode::NOT_FOUND, format!("there is no resource {name}\n")));
        };
        let object = serde_json::to_value(object).unwrap_or_default();
        let (namespace, own) = name.parts();
        let events = match &self.events {
            None => None,
            Some(events) => Some(events(namespace, own).await.map_err(|error| error.to_string())),
        };
        let seen = Seen::of(&self.metrics);
        Ok(ResourcePage { name, object: &object, summary: &summary, events, seen: &seen }.html())
    }
}

/// Of a replica that another one acts beside.
const NOT_LEADING: &str = "this replica does not lead, and what it knows of the fleet may be old: another one acts, and has the page. \
                           Which one, its Lease says: kubectl -n NAMESPACE get leases\n";

/// What a path asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    Fleet,
    Resource(ResourceName),
}

impl Wanted {
    fn parse(path: &str) -> Option<Self> {
        if path == "/" {
            return Some(Self::Fleet);
        }
        let (namespace, name) = path.strip_prefix("/resources/")?.split_once('/')?;
        (is_name(namespace) && is_name(name)).then(|| Self::Resource(ResourceName::new(namespace, name)))
    }
}

impl Seen {
    fn of(metrics: &Metrics) -> Self {
        let freshness = metrics.freshness();
        let (listed, watched) = freshness.times();
        let stale = freshness.standing_still(Instant::now()).map(|what| what.to_string());
        let lineage = metrics.lineage().map(ToString::to_string);
        Self { now: Timestamp::now(), listed, watched, stale, lineage }
    }

    /// A sentence at the head of a page.
    fn write(&self, out: &mut String) -> fmt::Result {
        let ago = |time: Option<Timestamp>| match time {
            None => "never".to_owned(),
            Some(time) => format!("{} ago", since(Some(&time.to_string()), self.now)),
        };
        let of = self.lineage.as_ref().map(|lineage| format!(" of the installation {lineage}")).unwrap_or_default();
        writeln!(
            out,
            "<p>kagiban-operator {version}{of}, {at}; all resources listed {listed}, changes seen until {watched}</p>",
            version = env!("CARGO_PKG_VERSION"),
            of = Escaped(&of),
            at = self.now.strftime("%Y-%m-%d %H:%M:%S UTC"),
            listed = ago(self.listed),
            watched = ago(self.watched.max(self.listed)),
        )?;
        match &self.stale {
            Some(stale) => writeln!(out, "<p><strong class=\"bad\">Old:</strong> {}</p>", Escaped(stale)),
            None => Ok(()),
        }
    }

    /// Up to the content of a page, whose links to other pages begin with `root`.
    fn begin(&self, out: &mut String, title: &str, root: &str) -> fmt::Result {
        begin(out, &format!("{title}: kagiban-operator"))?;
        writeln!(out, "<header><h1>{}</h1>", Escaped(title))?;
        self.write(out)?;
        write!(
            out,
            "<nav aria-label=\"Pages\"><a href=\"{root}\">Fleet</a> | <a href=\"{root}metrics\">Metrics</a> | \
             <a href=\"{root}sd\">Hosts for Prometheus</a> | <a href=\"{root}healthz\">Health</a></nav></header>\n<main>\n"
        )
    }
}

#[cfg(test)]
mod tests;
