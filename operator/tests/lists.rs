//! Lists that come to their end, whatever becomes of the API server meanwhile.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use kagiban_operator::cluster::kubernetes::watch::{PAGE, watch, watch_listing};
use kagiban_operator::cluster::watch::{Event, all};
use kagiban_operator::fleet::Fleet;
use kagiban_operator::freshness::Freshness;
use kagiban_operator::metrics::Metrics;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Five pages.
const OBJECTS: usize = 5 * PAGE as usize;
/// On a machine that does something else too.
const PATIENCE: Duration = Duration::from_secs(60);

/// A store that keeps nothing of its past.
#[derive(Default)]
struct Store {
    /// Grows with every request.
    version: u64,
    /// The requests of lists, by what they go on from.
    lists: Vec<String>,
    watched_from: Vec<String>,
    /// The request with this number fails.
    fails: Option<usize>,
    /// Whether the rest of a list whose version is gone is given.
    gives_rest: bool,
    /// Whether every version is gone at once.
    gives_nothing: bool,
    /// The request with this number is answered without end.
    endless: Option<usize>,
    /// Bytes of that answer that were sent, or lie in the kernel's buffers.
    sent: usize,
}

type Shared = Arc<Mutex<Store>>;

fn reply(code: u16, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.to_string().into()));
    *response.status_mut() = StatusCode::from_u16(code).expect("a status");
    response
}

fn refusal(code: u16, metadata: &Value) -> Response<Full<Bytes>> {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no", "reason": "Expired", "code": code,
        "metadata": metadata,
    });
    reply(code, &body)
}

/// A token is a version and the first object of the page; with the version `-1` it is the present one, as the API server has it.
fn list(store: &mut Store, token: &str) -> Response<Full<Bytes>> {
    store.lists.push(token.to_owned());
    if store.fails == Some(store.lists.len()) {
        return refusal(500, &json!({}));
    }
    if store.gives_nothing {
        return refusal(410, &json!({"continue": "-1_0"}));
    }
    store.version += 10;
    let (version, start) = token.split_once('_').unwrap_or(("-1", "0"));
    let start: usize = start.parse().expect("a number");
    if version != "-1" {
        let rest = if store.gives_rest { json!({"continue": format!("-1_{start}")}) } else { json!({}) };
        return refusal(410, &rest);
    }
    let end = (start + PAGE as usize).min(OBJECTS);
    let items: Vec<_> = (start..end)
        .map(
            |number| json!({"metadata": {"name": format!("r-{number}"), "namespace": "fleet", "uid": "u"}, "spec": {}}),
        )
        .collect();
    let next = if end < OBJECTS { format!("{}_{end}", store.version) } else { String::new() };
    reply(
        200,
        &json!({
            "kind": "ManagedAgentCertificateList", "apiVersion": "kagiban.dev/v1alpha1",
            "metadata": {"resourceVersion": store.version.to_string(), "continue": next}, "items": items,
        }),
    )
}

/// As good as endless: a test without a bound fails, and not the machine.
const ENDLESS: usize = 256 << 20;
/// What is sent at once.
const FRAME: usize = 64 << 10;

/// A page to which there is always more.
fn endless(store: &mut Store, shared: Shared) -> Reply {
    store.lists.push("endless".to_owned());
    let start = Bytes::from_static(br#"{"metadata": {"resourceVersion": "1"}, "items": ["#);
    let more = std::iter::repeat_n(Bytes::from(vec![b' '; FRAME]), ENDLESS / FRAME);
    let frames = stream::iter(std::iter::once(start).chain(more)).map(move |frame| {
        shared.lock().unwrap_or_else(PoisonError::into_inner).sent += frame.len();
        Ok(Frame::data(frame))
    });
    Response::new(StreamBody::new(frames).boxed_unsync())
}

type Reply = Response<UnsyncBoxBody<Bytes, Infallible>>;

async fn answer(request: Request<Incoming>, shared: Shared) -> Result<Reply, Infallible> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let query: BTreeMap<&str, &str> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    if query.contains_key("watch") {
        let version = query.get("resourceVersion").copied().unwrap_or_default().to_owned();
        shared.lock().unwrap_or_else(PoisonError::into_inner).watched_from.push(version);
        tokio::time::sleep(PATIENCE).await;
    }
    assert_eq!(query.get("limit").copied(), Some("16"), "no page is larger than another");
    let mut store = shared.lock().unwrap_or_else(PoisonError::into_inner);
    if store.endless == Some(store.lists.len() + 1) {
        return Ok(endless(&mut store, shared.clone()));
    }
    Ok(list(&mut store, query.get("continue").copied().unwrap_or_default()).map(BodyExt::boxed_unsync))
}

async fn serve(store: Store) -> (kube::Client, Shared) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let store = Arc::new(Mutex::new(store));
    let shared = store.clone();
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { return };
            let store = shared.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| answer(request, store.clone()));
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    let config = kube::Config::new(format!("http://{address}").parse().expect("a URL"));
    (kagiban_operator::cluster::kubernetes::client(config).expect("a client"), store)
}

/// Takes in what is shown until a list is whole, or so many tries have failed. How many lists were begun, and failures.
async fn whole(client: kube::Client, fleet: &Fleet, most_failures: usize) -> (usize, usize) {
    whole_noting(client, fleet, most_failures, Freshness::new(Instant::now())).await
}

async fn whole_noting(client: kube::Client, fleet: &Fleet, most_failures: usize, noted: Freshness) -> (usize, usize) {
    let events = watch_listing(kube::Api::all(client), Duration::from_secs(600), noted);
    tokio::pin!(events);
    let (mut begun, mut failures) = (0, 0);
    while failures < most_failures {
        let event = tokio::time::timeout(PATIENCE, events.next()).await.expect("it goes on").expect("it does not end");
        let Ok(event) = event else {
            failures += 1;
            continue;
        };
        begun += usize::from(matches!(event, Event::Init));
        let is_whole = matches!(event, Event::InitDone);
        fleet.apply(event);
        if is_whole {
            let _ = tokio::time::timeout(Duration::from_millis(300), events.next()).await;
            break;
        }
    }
    (begun, failures)
}

/// Holds B14: etcd keeps five minutes of its past, and a list that took longer was begun anew for ever.
#[tokio::test]
async fn a_list_that_outlives_its_version_comes_to_its_end() {
    let (client, store) = serve(Store { gives_rest: true, ..Store::default() }).await;
    let fleet = Fleet::default();
    assert_eq!(whole(client, &fleet, 3).await, (1, 0));
    assert_eq!(fleet.summaries().len(), OBJECTS);
    let store = store.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(store.lists.len() <= 2 * OBJECTS / PAGE as usize, "each page is read once: {:?}", store.lists);
    assert_eq!(store.watched_from, [store.version.to_string()], "from the last page on");
}

/// Where the rest is not given there is nothing to go on with.
#[tokio::test]
async fn a_list_whose_rest_is_not_given_is_begun_anew() {
    let (client, store) = serve(Store::default()).await;
    let fleet = Fleet::default();
    assert_eq!(whole(client, &fleet, 2).await, (2, 2));
    let store = store.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(store.lists.iter().filter(|token| token.is_empty()).count(), 2);
}

/// Holds B14: an API server that is away for a moment costs one page, and not all that was read.
#[tokio::test]
async fn a_page_that_is_not_answered_is_asked_for_again() {
    let (client, store) = serve(Store { gives_rest: true, fails: Some(3), ..Store::default() }).await;
    let fleet = Fleet::default();
    assert_eq!(whole(client, &fleet, 3).await, (1, 1));
    assert_eq!(fleet.summaries().len(), OBJECTS);
    let store = store.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(store.lists.iter().filter(|token| token.is_empty()).count(), 1);
}

/// Holds B14: what stands in the API server's place had a page collected without end. It costs that page, as another failure
/// does.
#[tokio::test]
async fn a_page_without_end_is_given_up_and_asked_for_again() {
    let (client, store) = serve(Store { gives_rest: true, endless: Some(3), ..Store::default() }).await;
    let fleet = Fleet::default();
    assert_eq!(whole(client, &fleet, 3).await, (1, 1));
    assert_eq!(fleet.summaries().len(), OBJECTS);
    let store = store.lock().unwrap_or_else(PoisonError::into_inner);
    // 2 MiB for each resource, and what the kernel had taken of it for nobody
    let most = (PAGE as usize * 2 + 16) << 20;
    assert!(store.sent > FRAME && store.sent <= most, "{} MiB", store.sent >> 20);
}

/// Holds B14: whether what is known of the resources is new was to be seen nowhere.
#[tokio::test]
async fn a_list_that_is_whole_is_told_with_its_time_and_one_that_is_not_is_none() {
    for (gives_rest, expected) in [(false, 0), (true, 1)] {
        let (client, _) = serve(Store { gives_rest, ..Store::default() }).await;
        let metrics = Metrics::new(None);
        whole_noting(client, &Fleet::default(), 1, metrics.freshness().clone()).await;
        let mut text = String::new();
        metrics.write(&mut text).expect("a string takes everything");
        assert_eq!(text.matches("\nkagiban_operator_last_list_timestamp_seconds ").count(), expected, "{text}");
        assert!(!text.contains("kagiban_operator_last_watch_timestamp_seconds"), "no watch was answered: {text}");
    }
}

/// Holds B12: `plan` asked for all resources in one answer, within ten seconds.
#[tokio::test]
async fn all_resources_are_listed_in_pages_where_nobody_watches_too() {
    let (client, store) = serve(Store { gives_rest: true, fails: Some(3), ..Store::default() }).await;
    let found = all(watch(kube::Api::all(client), Freshness::new(Instant::now())))
        .await
        .expect("a page that fails is asked for again");
    assert_eq!(found.len(), OBJECTS);
    assert!(store.lock().unwrap_or_else(PoisonError::into_inner).lists.len() >= OBJECTS / PAGE as usize);
    let (client, store) = serve(Store::default()).await;
    assert!(all(watch(kube::Api::all(client), Freshness::new(Instant::now()))).await.is_err(), "it is given up");
    assert_eq!(store.lock().unwrap_or_else(PoisonError::into_inner).watched_from.len(), 0);
}

/// Holds B12: a plan waited for five minutes, without a word, for one that gives nothing but tokens.
#[tokio::test]
async fn a_list_that_brings_nothing_is_given_up_by_whoever_waits_for_its_end() {
    let (client, store) = serve(Store { gives_nothing: true, ..Store::default() }).await;
    let listing = all(watch(kube::Api::all(client), Freshness::new(Instant::now())));
    let error = tokio::time::timeout(PATIENCE, listing).await.expect("it is given up").expect_err("there is no end");
    assert!(error.to_string().contains("answered 410"), "{error}");
    assert!(store.lock().unwrap_or_else(PoisonError::into_inner).lists.len() < 10);
}

/// An API server that gives a token and never a resource is not asked as fast as it answers.
#[tokio::test]
async fn a_list_that_brings_nothing_is_gone_on_with_after_pauses() {
    let (client, store) = serve(Store { gives_nothing: true, ..Store::default() }).await;
    let fleet = Fleet::default();
    let listing = whole(client, &fleet, 1);
    assert!(tokio::time::timeout(Duration::from_millis(2_500), listing).await.is_err(), "it never comes to its end");
    let asked = store.lock().unwrap_or_else(PoisonError::into_inner).lists.len();
    assert!((2..=4).contains(&asked), "two at once, then after 1 s, 2 s, and so on: {asked}");
}
