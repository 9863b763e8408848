//! The pages as people get them.

use std::collections::HashMap;

use serde_json::json;

use hyper::header::HeaderMap;

use super::*;
use crate::cluster::watch::Event;
use crate::fleet::ResourceSummary;
use crate::manifest_health::{ManifestSigns, Signs};
use crate::metrics::Metrics;

/// Whatever somebody writes who wants more than text of it.
const HOSTILE: &str = "<script>alert(1)</script>\"'&\u{202e}txt\u{1b}[2J\n";

fn seen() -> Seen {
    let time = |text: &str| text.parse::<Timestamp>().expect("a time");
    Seen {
        now: time("2026-03-01T12:00:00Z"),
        listed: Some(time("2026-03-01T11:55:00Z")),
        watched: Some(time("2026-03-01T11:59:50Z")),
        stale: None,
        lineage: None,
    }
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({
        "type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": "2026-03-01T11:00:00Z",
    })
}

fn object(namespace: &str, name: &str, status: &Value) -> Value {
    json!({
        "apiVersion": "kagiban.dev/v1alpha1", "kind": "ManagedAgentCertificate",
        "metadata": {
            "namespace": namespace, "name": name, "uid": format!("{namespace}/{name}"), "generation": 1,
            "creationTimestamp": "2026-02-01T12:00:00Z",
        },
        "spec": {
            "host": format!("{name}.example.com"), "agent": {"product": "tls-service", "name": "web"},
            "api": {"hostApi": {"url": format!("https://{name}.example.com:9995"), "tlsSecretRef": {"name": "client"}}},
            "certificate": {"dnsNames": ["a.example.com"]}, "issuerRef": {"name": "ca"},
        },
        "status": status,
    })
}

fn leaf() -> Value {
    json!({
        "sha256": "ab".repeat(32), "serial": "0a1b", "issuer": "CN=fleet-ca", "requestDigest": "1",
        "notBefore": "2026-02-01T00:00:00Z", "notAfter": "2026-05-01T00:00:00Z",
    })
}

/// One of each kind, the worst last by its name.
fn objects() -> Vec<Value> {
    let frozen = json!({
        "leaf": leaf(), "renewalTime": "2026-04-01T00:00:00Z", "blockedBy": "Frozen",
        "conditions": [
            condition("Ready", "True", "Verified", "the certificate is served"),
            condition("Stalled", "True", "Frozen", &format!("the host froze: {HOSTILE}")),
            condition("Blocked", "True", "Frozen", &format!("the host froze: {HOSTILE}")),
        ],
        "rotation": {
            "generation": 7, "trigger": "Renewal", "state": "Frozen", "startedAt": "2026-03-01T10:00:00Z", "attempts": 2,
            "requestDigest": "1",
        },
        "history": [
            {
                "generation": 7, "outcome": "Frozen", "finishedAt": "2026-03-01T10:01:00Z", "reason": "not_seen",
                "serials": ["0c", "0d"],
            },
            {"generation": 6, "outcome": "Committed", "finishedAt": "2026-02-01T10:01:00Z", "sha256": "ab".repeat(32)},
        ],
    });
    let silent = json!({
        "blockedBy": "HostUnreachable",
        "conditions": [
            condition("Ready", "False", "HostUnreachable", "it is silent"),
            condition("Blocked", "True", "HostUnreachable", "it is silent"),
        ],
    });
    let paused = json!({
        "leaf": leaf(), "blockedBy": "Paused", "conditions": [condition("Ready", "True", "Verified", "")],
    });
    let fine = json!({"leaf": leaf(), "conditions": [condition("Ready", "True", "Verified", "")]});
    let mut unreadable = object("tokyo", "later", &fine);
    unreadable["spec"]["agent"]["product"] = json!("of-the-next-version");
    unreadable["spec"]["host"] = json!(HOSTILE);
    vec![
        object("osaka", "fine", &fine),
        object("osaka", "new", &json!({})),
        object("osaka", "paused", &paused),
        unreadable,
        object("tokyo", "silent", &silent),
        object("tokyo", "zz-frozen", &frozen),
    ]
}

fn fleet_of(objects: Vec<Value>) -> Fleet {
    let fleet = Fleet::default();
    fleet.apply(Event::Init);
    for object in objects {
        fleet.apply(Event::InitApply(serde_json::from_value(object).expect("an object")));
    }
    fleet.apply(Event::InitDone);
    fleet
}

fn fleet_page(fleet: &Fleet, query: &str) -> String {
    let read = |name: &ResourceName| serde_json::to_value(fleet.get(name)?).ok();
    let query = Query::parse(query).expect("a query");
    let resources = fleet.summaries();
    FleetPage { resources: &resources, left_out: 0, notes: &[], query: &query, read: &read, seen: &seen() }.html()
}

fn resource_page(fleet: &Fleet, name: &str, events: Option<Result<Vec<Value>, String>>) -> String {
    let (namespace, own) = name.split_once('/').expect("a namespace");
    let name = ResourceName::new(namespace, own);
    let object = serde_json::to_value(fleet.get(&name).expect("it is there")).expect("JSON");
    let summary = fleet.summary(&name).expect("it is there");
    ResourcePage { name: &name, object: &object, summary: &summary, events, seen: &seen() }.html()
}

fn shown(page: &str) -> String {
    page.replace(kagiban_html::STYLE, "STYLE").replace(env!("CARGO_PKG_VERSION"), "VERSION")
}

fn is_harmless(page: &str) {
    assert!(!page.contains("<script") && !page.contains(['\u{202e}', '\u{1b}']), "{page}");
    assert!(page.contains("&lt;script&gt;") && page.contains("\\u{202e}txt\\u{1b}"), "{page}");
}

#[test]
fn what_needs_a_person_comes_first_with_the_columns_of_get() {
    let page = fleet_page(&fleet_of(objects()), "");
    insta::assert_snapshot!(shown(&page));
    is_harmless(&page);
}

#[test]
fn rows_are_those_of_the_reason_the_namespace_and_the_host() {
    let fleet = fleet_of(objects());
    let names = |query: &str| {
        let page = fleet_page(&fleet, query);
        let rows = page.split("<th scope=\"row\">").skip(1);
        let name = |row: &str| {
            row.split_once("\">").and_then(|(_, rest)| rest.split_once("</a>")).expect("a link").0.to_owned()
        };
        rows.map(name).collect::<Vec<_>>()
    };
    assert_eq!(names(""), ["later", "zz-frozen", "silent", "new", "paused", "fine"]);
    assert_eq!(names("reason=Frozen"), ["zz-frozen"]);
    assert_eq!(names("reason=NotLookedAt"), ["new"]);
    assert_eq!(names("namespace=osaka"), ["new", "paused", "fine"]);
    assert_eq!(names("namespace=osaka&reason=Paused"), ["paused"]);
    assert_eq!(names("host=silent.example.com"), ["silent"]);
    assert_eq!(names("reason=Nonsense"), [""; 0]);
    // Counts are of the namespace, whatever the reason
    let page = fleet_page(&fleet, "namespace=osaka&reason=Paused");
    assert!(page.contains("?reason=Paused&amp;namespace=osaka\">Paused</a>: 1") && page.contains(">Verified</a>: 1"));
    assert!(!page.contains("Frozen"), "{page}");
}

#[test]
fn the_page_of_a_resource_says_why_and_what_to_do_and_what_has_happened() {
    let fleet = fleet_of(objects());
    let event = |reason: &str, count: i64| {
        json!({
            "type": "Warning", "reason": reason, "note": HOSTILE, "count": count,
            "firstSeen": "2026-03-01T11:00:00Z", "lastSeen": "2026-03-01T11:59:00Z",
        })
    };
    let page = resource_page(&fleet, "tokyo/zz-frozen", Some(Ok(vec![event("Older", 1), event("Frozen", 3)])));
    insta::assert_snapshot!(shown(&page));
    is_harmless(&page);
}

#[test]
fn a_cluster_has_the_events_itself_and_a_resource_of_another_version_has_its_page() {
    let fleet = fleet_of(objects());
    let page = resource_page(&fleet, "tokyo/later", None);
    is_harmless(&page);
    assert!(page.contains("<code>kubectl -n tokyo describe mac later</code>"), "{page}");
    assert!(page.contains("Needs a person: Unreadable") && page.contains("What to do: mend the resource"), "{page}");
    let page = resource_page(&fleet, "osaka/new", Some(Err(format!("no state {HOSTILE}"))));
    assert!(page.contains("it was not looked at yet"), "{page}");
    is_harmless(&page);
}

/// However many there are, and however long what stands in them is: a page has its bounds, and all are on some page.
#[test]
fn ten_thousand_resources_are_pages_of_a_thousand_and_none_reads_more_than_it_shows() {
    let summary = |at: usize| ResourceSummary {
        host: format!("host-{at}").into(),
        product: "tls-service".into(),
        not_after: None,
        renewal_time: None,
        ready: "True".into(),
        blocked_by: None,
        stalled: false,
        reason: format!("Reason{}", at % 200).into(),
        readable: true,
    };
    let resources: Vec<_> =
        (0..10_000).map(|at| (ResourceName::new("fleet", &format!("r-{at:05}")), Arc::new(summary(at)))).collect();
    for (host, most_rows) in [("host".to_owned(), 1000), ("\u{202e}".repeat(500), 600)] {
        let (mut from, mut shown, mut pages) = (0, HashMap::new(), 0);
        while shown.len() < resources.len() {
            let read = std::cell::Cell::new(0);
            let reading = |name: &ResourceName| {
                read.set(read.get() + 1);
                Some(object("fleet", name.parts().1, &json!({"leaf": {"sha256": host, "notAfter": host}})))
            };
            let query = Query { from, ..Query::default() };
            let seen = seen();
            let page = FleetPage {
                resources: &resources,
                left_out: 0,
                notes: &[],
                query: &query,
                read: &reading,
                seen: &seen,
            }
            .html();
            let rows = page.matches("<th scope=\"row\">").count();
            assert!((1..=most_rows).contains(&rows) && rows == read.get(), "{rows} {}", read.get());
            assert!(page.len() < fleet::MOST_BYTES + (64 << 10), "{}", page.len());
            assert_eq!(page.matches("<li>").count(), 65, "reasons have their bound too");
            for name in page.split("<th scope=\"row\"><a href=\"resources/fleet/").skip(1) {
                *shown.entry(name[..7].to_owned()).or_insert(0) += 1;
            }
            from += rows;
            pages += 1;
            let next = page.contains(&format!("href=\"?from={from}\""));
            assert_eq!(next, shown.len() < resources.len(), "{from}");
        }
        assert!(shown.values().all(|times| *times == 1) && pages >= 10, "{pages}");
    }
    let beyond = Query { from: 20_000, ..Query::default() };
    let none = |_: &ResourceName| None;
    let page =
        FleetPage { resources: &resources, left_out: 3, notes: &[], query: &beyond, read: &none, seen: &seen() }.html();
    assert!(page.contains(">The first</a>") && page.contains("3 resources left out"), "{page}");
}

fn page_of(audience: PageFor, leading: bool) -> Page {
    let metrics = Arc::new(Metrics::new(None));
    metrics.leading(leading);
    Page::new(audience, Arc::new(fleet_of(objects())), metrics, None)
}

async fn asked(page: &Page, path: &str, query: &str, address: &str) -> (u16, String) {
    let headers = [("host".parse().expect("a name"), "localhost:9994".parse().expect("a value"))].into_iter().collect();
    let visitor = Visitor { address: address.parse().expect("an address"), headers: &headers };
    match page.answer(path, query, visitor).await {
        None => (404, String::new()),
        Some(Answer::Plain(status, words)) => (status.as_u16(), words),
        Some(Answer::Html(html)) => (200, String::from_utf8(html.to_vec()).expect("text")),
    }
}

#[tokio::test]
async fn pages_are_for_whom_they_are_meant_and_the_leader_alone_has_them() {
    let (here, elsewhere) = ("127.0.0.1", "192.0.2.1");
    let resource = "/resources/tokyo/silent";
    for (audience, address, status) in [
        (PageFor::Local, here, 200),
        (PageFor::Local, elsewhere, 403),
        (PageFor::All, elsewhere, 200),
        (PageFor::None, here, 404),
    ] {
        for path in ["/", resource] {
            let (found, words) = asked(&page_of(audience, true), path, "", address).await;
            assert_eq!(found, status, "{audience:?} {address} {path}");
            assert_eq!(found == 200, words.contains("silent"), "{words}");
        }
    }
    for path in ["/", resource] {
        let (status, words) = asked(&page_of(PageFor::Local, false), path, "", here).await;
        assert!(status == 503 && words.contains("does not lead") && !words.contains("silent"), "{status} {words}");
    }
    let page = page_of(PageFor::Local, true);
    for (path, query, status) in [
        ("/resources/tokyo/gone", "", 404),
        ("/resources/tokyo", "", 404),
        ("/resources//", "", 404),
        ("/resources/tokyo/silent/x", "", 404),
        ("/resources/tokyo/%73ilent", "", 404),
        ("/other", "", 404),
        ("/", "from=x", 400),
        ("/", "host=%ff", 400),
        ("/", "unknown=1", 200),
    ] {
        assert_eq!(asked(&page, path, query, here).await.0, status, "{path} {query}");
    }
    let not_listed = Page { fleet: Arc::default(), ..page };
    assert_eq!(asked(&not_listed, "/", "", here).await.0, 503);
}

/// They were told in the log and in metrics alone.
#[tokio::test]
async fn the_fleets_page_says_what_is_to_be_seen_to_in_the_manifests_and_whom_hosts_obey() {
    let page = page_of(PageFor::Local, true);
    let (_, before) = asked(&page, "/", "", "127.0.0.1").await;
    assert!(!before.contains("in the manifests") && !before.contains("installation"), "{before}");
    page.metrics.speaks_for(&"home-1".parse().expect("a name"));
    let read = Some(Timestamp::UNIX_EPOCH);
    let problems = Signs::of([format!("b.yaml:7: {HOSTILE}")]);
    page.metrics.manifests().set(ManifestSigns { read, problems, ..ManifestSigns::default() });
    let (_, told) = asked(&page, "/", "", "127.0.0.1").await;
    assert!(told.contains("<li>b.yaml:7: &lt;script&gt;alert(1)") && !told.contains("<script>"), "{told}");
    assert!(told.contains("of the installation home-1, "), "{told}");
    let mut metrics = String::new();
    page.metrics.write(&mut metrics).expect("a string");
    assert!(metrics.contains("kagiban_operator_lineage_info{lineage=\"home-1\"} 1"), "{metrics}");
}

/// Whoever reads slowly keeps a place, and nobody has more pages made than there are.
#[tokio::test]
async fn pages_that_are_still_read_have_no_more_made() {
    let page = page_of(PageFor::All, true);
    let headers = HeaderMap::new();
    let visitor = Visitor { address: "192.0.2.1".parse().expect("an address"), headers: &headers };
    let mut held = Vec::new();
    for _ in 0..MAX_PAGES {
        let Some(Answer::Html(html)) = page.answer("/", "", visitor).await else { panic!("there is a place") };
        held.push(html);
    }
    let Some(Answer::Plain(status, _)) = page.answer("/", "", visitor).await else { panic!("there is none") };
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    held.pop();
    assert!(matches!(page.answer("/", "", visitor).await, Some(Answer::Html(_))));
}
