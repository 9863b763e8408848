//! Against a server that sends what it likes. What was taken from it is counted; it ends by itself after far more than may be
//! taken, so that a test without the bounds fails instead of the machine.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use hyper::StatusCode;
use kagiban_crds::resource::ManagedAgentCertificate;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use serde_json::{Value, json};

use super::*;
use crate::cluster::kubernetes::watch::PAGE;
use crate::cluster::kubernetes::{Kubernetes, ListPage};
use crate::cluster::{ClusterError, Lease, Unreadable, Watched};
use crate::freshness::Freshness;
use crate::metrics::Metrics;

/// In each frame.
const FRAME: usize = 16 << 10;
/// After which the server has told all its lies.
const ENDLESS: usize = 256 << 20;

/// The frames of a body, counted as they are taken.
struct Told {
    frames: Box<dyn Iterator<Item = Bytes> + Send>,
    taken: Arc<AtomicUsize>,
    /// Whether it says no more and does not end, either.
    hangs: bool,
}

impl Body for Told {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(frame) = self.frames.next() else { return if self.hangs { Poll::Pending } else { Poll::Ready(None) } };
        self.taken.fetch_add(frame.len(), Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }
}

fn split(text: &str) -> impl Iterator<Item = Bytes> + Send + use<> {
    let text = Bytes::from(text.to_owned());
    (0..text.len().div_ceil(FRAME)).map(move |at| text.slice(at * FRAME..text.len().min((at + 1) * FRAME)))
}

fn endless() -> impl Iterator<Item = Bytes> + Send {
    std::iter::repeat_n(Bytes::from(vec![b' '; FRAME]), ENDLESS / FRAME)
}

/// Answers every request with this text, and endlessly many spaces after it; or none.
#[derive(Clone)]
struct Liar {
    code: u16,
    text: String,
    ends: bool,
    is_silent: bool,
    asked: Arc<AtomicUsize>,
    taken: Arc<AtomicUsize>,
}

impl<R> Service<Request<R>> for Liar {
    type Response = Response<Told>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Told>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<R>) -> Self::Future {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.is_silent {
            return Box::pin(std::future::pending());
        }
        let rest = endless().take(if self.ends { 0 } else { usize::MAX });
        let frames = Box::new(split(&self.text).chain(rest));
        let mut response = Response::new(Told { frames, taken: self.taken.clone(), hangs: false });
        *response.status_mut() = StatusCode::from_u16(self.code).expect("a status");
        Box::pin(async move { Ok(response) })
    }
}

impl Liar {
    fn sending(code: u16, text: &str) -> Self {
        Self {
            code,
            text: text.to_owned(),
            ends: false,
            is_silent: false,
            asked: Arc::default(),
            taken: Arc::default(),
        }
    }

    fn client(&self) -> Client {
        ClientBuilder::new(self.clone(), "fleet").with_layer(&Bounds::default()).build()
    }

    fn cluster(&self) -> Kubernetes {
        Kubernetes::new(self.client(), Arc::new(Metrics::new(None)), "test".to_owned())
    }

    fn taken(&self) -> usize {
        self.taken.swap(0, Ordering::Relaxed)
    }
}

fn object(bytes: usize) -> Value {
    json!({
        "apiVersion": "kagiban.dev/v1alpha1", "kind": "ManagedAgentCertificate",
        "metadata": {
            "name": "a", "namespace": "fleet", "resourceVersion": "1", "annotations": {"note": "x".repeat(bytes)},
        },
        "spec": {},
    })
}

fn fresh() -> Freshness {
    Freshness::new(std::time::Instant::now())
}

fn resource() -> ManagedAgentCertificate {
    let resource = json!({
        "apiVersion": "kagiban.dev/v1alpha1", "kind": "ManagedAgentCertificate",
        "metadata": {"name": "a", "namespace": "fleet"},
        "spec": {
            "host": "h", "agent": {"product": "tls-service", "name": "web"},
            "api": {"hostApi": {"url": "https://h", "tlsSecretRef": {"name": "client"}}},
            "certificate": {"dnsNames": ["h"]}, "issuerRef": {"name": "ca"},
        },
    });
    serde_json::from_value(resource).expect("a resource")
}

fn page(bytes: usize) -> String {
    let items: Vec<_> = (0..PAGE).map(|_| object(bytes)).collect();
    json!({"metadata": {"resourceVersion": "1"}, "items": items}).to_string()
}

/// The same object, with a spec that nobody can read.
fn unreadable(mac: &ManagedAgentCertificate) -> Unreadable {
    let object = json!({"metadata": mac.metadata, "spec": {}});
    let Watched(Err(unread)) = serde_json::from_value(object).expect("an object") else { panic!("it was read") };
    *unread
}

/// Holds B14: an endless answer took all the memory there was, whatever was asked for.
#[tokio::test]
async fn of_an_endless_answer_no_more_is_taken_than_one_may_have() {
    let liar = Liar::sending(200, r#"{"metadata": {"resourceVersion": "1"}, "items": []"#);
    let cluster = liar.cluster();
    let mac = resource();
    let unread = unreadable(&mac);
    let refused = |what: &str, result: Result<(), ClusterError>| {
        let error = result.expect_err(what);
        assert_eq!(error.reason(), "unreadable", "{what}: {error}");
        assert!(error.to_string().contains("longer than 4 MiB"), "{what}: {error}");
        let taken = liar.taken();
        assert!(taken > OBJECT - FRAME && taken <= OBJECT + FRAME, "{what}: {taken} bytes");
    };
    refused("a Secret", cluster.secret("fleet", "ca").await.map(|_| ()));
    refused("a Lease", cluster.lease("fleet", "kagiban-operator").await.map(|_| ()));
    refused("a new Lease", cluster.put_lease("fleet", "kagiban-operator", &Lease::default()).await.map(|_| ()));
    refused("a dry run", cluster.dry_run(&mac, &object(0)).await.map(|_| ()));
    refused("a resource", cluster.named(&mac).await.map(|_| ()));
    refused("the finalizer", cluster.hold(&mac).await.map(|_| ()));
    refused("a status", cluster.write_status(&mac, &Default::default()).await.map(|_| ()));
    refused("conditions", cluster.write_conditions(&unread, &[]).await);
    refused("metadata", cluster.release_unread(&unread).await);
    refused("whether there is a list", cluster.can_list(None).await);
}

/// Holds B3, B14: the record of who wrote which field was built as a tree, twelve times as large as its text, which every pass
/// that waited for its host held; and an object on which it was nested deeply could not be read, held, written or released.
#[tokio::test]
async fn whatever_stands_in_the_record_of_fields_an_object_is_read_and_the_record_is_not_kept() {
    let depth = 2000;
    let fields = format!("{}{{}}{}", r#"{"f:a":"#.repeat(depth), "}".repeat(depth));
    let managed = format!(r#""managedFields": [{{"manager": "x", "operation": "Update", "fieldsV1": {fields}}}]"#);
    let with_record = |mut object: Value| {
        let metadata = json!({"uid": "u", "resourceVersion": "1", "finalizers": ["example.com/theirs"]});
        object["metadata"].as_object_mut().expect("metadata").extend(metadata.as_object().expect("an object").clone());
        object.to_string().replacen(r#""metadata":{"#, &format!(r#""metadata":{{{managed},"#), 1)
    };
    let answering = |text: &str| Liar { ends: true, ..Liar::sending(200, text) }.cluster();
    let mut seen = resource();
    (seen.metadata.uid, seen.metadata.resource_version) = (Some("u".into()), Some("1".into()));

    let object = with_record(serde_json::to_value(resource()).expect("plain data"));
    let cluster = answering(&object);
    let read = [
        cluster.named(&seen).await.expect("a resource").expect("the same"),
        cluster.hold(&seen).await.expect("a resource"),
        cluster.write_status(&seen, &Default::default()).await.expect("a resource"),
    ];
    for mac in read {
        assert_eq!((mac.metadata.managed_fields, mac.metadata.finalizers), (None, None), "nothing needs them");
        assert_eq!(mac.spec, seen.spec);
    }
    cluster.release(&seen).await.expect("it is released");
    let unread = unreadable(&seen);
    cluster.release_unread(&unread).await.expect("it is released");
    cluster.write_conditions(&unread, &[]).await.expect("they are written");
    let list = format!(r#"{{"metadata": {{"resourceVersion": "1"}}, "items": [{object}]}}"#);
    answering(&list).can_list(None).await.expect("there is a list");

    let secret = json!({"metadata": {"name": "ca"}, "type": "Opaque", "data": {"password": "eA=="}});
    let secret = answering(&with_record(secret)).secret("fleet", "ca").await.expect("a Secret");
    assert_eq!((secret.bytes("password"), secret.written()), (Some(&b"x"[..]), "u/1"));
    let lease = json!({"metadata": {"name": "l", "labels": {"a": "b"}}, "spec": {"holderIdentity": "me"}});
    let cluster = answering(&with_record(lease));
    let lease = cluster.lease("fleet", "l").await.expect("a Lease").expect("there is one");
    let again = cluster.put_lease("fleet", "l", &lease).await.expect("a Lease");
    assert_eq!(lease, again);
    assert_eq!(lease.holder.as_deref(), Some("me"));
    let metadata = &lease.stored["metadata"];
    assert_eq!((&metadata["labels"], metadata.get("managedFields")), (&json!({"a": "b"}), None));
}

/// Holds B14: the same of a page, of which as much is taken as its resources may have.
#[tokio::test]
async fn a_page_may_be_as_long_as_its_resources_and_no_longer() {
    let resources = |client| Api::<Watched>::all(client);
    let params = ListParams::default().limit(PAGE);
    // Just under what an API server sends to etcd, and over what is documented of it
    let largest = page(LISTED - 1024);
    let honest = Liar { ends: true, ..Liar::sending(200, &largest) };
    let listed = ListPage::read(&resources(honest.client()), &params).await.expect("a whole page");
    assert_eq!((listed.items.len(), honest.taken()), (PAGE as usize, largest.len()));

    let liar = Liar::sending(200, "{");
    let error = ListPage::read(&resources(liar.client()), &params).await.expect_err("an endless page");
    let most = LISTED * PAGE as usize;
    assert!(TooLong::of(&error) == Some(TooLong { what: "an answer", most }), "{error}");
    assert!(crate::cluster::kubernetes::words(&error).contains("longer than 32 MiB"), "{error}");
    let taken = liar.taken();
    assert!(taken > most - FRAME && taken <= most + FRAME, "{taken} bytes");
}

/// Holds B14: the same of each line of a watch, however many there are.
#[tokio::test]
async fn a_watch_may_be_endless_and_its_lines_may_not() {
    let line = format!("{}\n", json!({"type": "MODIFIED", "object": object(LISTED)}));
    let lines = 5;
    let liar = Liar::sending(200, &line.repeat(lines));
    let api: Api<Watched> = Api::all(liar.client());
    let mut events = api.watch(&WatchParams::default(), "1").await.expect("a watch").boxed();
    for _ in 0..lines {
        assert!(matches!(events.next().await, Some(Ok(WatchEvent::Modified(_)))));
    }
    let error = events.next().await.expect("an event").expect_err("an endless line");
    assert_eq!(TooLong::of(&error), Some(TooLong { what: "a line of a watch", most: OBJECT }), "{error}");
    assert!(liar.taken() <= lines * line.len() + OBJECT + 2 * FRAME);
    drop(events);
    let mut events = api.watch(&WatchParams::default(), "1").await.expect("the next watch").boxed();
    assert!(matches!(events.next().await, Some(Ok(_))), "the places were given back");
}

/// Holds B14: a refusal was read to its end, too. What it says first, and its code, are still known.
#[tokio::test]
async fn an_endless_refusal_is_cut_off_and_its_code_is_kept() {
    let liar = Liar::sending(403, "the gate is closed あ");
    let error = liar.cluster().lease("fleet", "kagiban-operator").await.expect_err("a refusal");
    let ClusterError::Forbidden { message, .. } = &error else { panic!("{error}") };
    assert!(message.starts_with("the gate is closed あ"), "{message}");
    assert!(message.ends_with("(cut off after 64 KiB)") && message.len() < 1000, "{}", message.len());
    assert!(liar.taken() <= REFUSAL + FRAME);

    let text = json!({"kind": "Status", "message": "no", "code": 410, "metadata": {"continue": "-1_0"}}).to_string();
    let honest = Liar { ends: true, ..Liar::sending(410, &text) };
    let error = ListPage::read(&Api::all(honest.client()), &ListParams::default()).await.expect_err("expired");
    let kube::Error::Api(status) = error else { panic!("{error}") };
    assert_eq!(status.metadata.and_then(|metadata| metadata.continue_).as_deref(), Some("-1_0"));
}

/// Holds B12: what stood in a body was told, and not what was answered: 0 for a 401 with `{}`.
#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_with_the_status_of_the_answer_whatever_stands_in_its_body() {
    for (status, words) in [(401, "Unauthorized"), (429, "Too Many Requests"), (503, "Service Unavailable")] {
        for (body, said) in [
            ("", words),
            (" \n", words),
            ("{}", words),
            (r#"{"kind": "Status", "code": 0, "message": ""}"#, words),
            (r#"{"kind": "Status", "code": 404, "message": "not here"}"#, "not here"),
            ("<html>a gate</html>", "a gate"),
        ] {
            let liar = Liar { ends: true, ..Liar::sending(status, body) };
            let error = liar.cluster().can_list(None).await.expect_err("a refusal");
            let told = error.to_string();
            assert!(told.contains(said), "{status} {body}: {told}");
            match error {
                ClusterError::Forbidden { .. } => assert_eq!(status, 401, "{body}"),
                ClusterError::Status { code, .. } => assert_eq!(code, status, "{body}"),
                other => panic!("{status} {body}: {other}"),
            }
        }
    }
}

/// Holds B1: a refusal stood in the log with all of its 64 KiB, and its lines as lines of ours.
#[tokio::test(start_paused = true)]
async fn what_a_refusal_says_is_told_in_one_short_line() {
    let message = format!("no\n::error::{}\u{1b}[2J\nat last", "x".repeat(24 << 10));
    let mac = resource();
    for code in [400, 403, 404, 409, 410, 422, 500, 503] {
        let status = json!({"kind": "Status", "message": message, "reason": message, "code": code}).to_string();
        for text in [&message, &status] {
            let liar = Liar { ends: true, ..Liar::sending(code, text) };
            let cluster = liar.cluster();
            let list =
                crate::cluster::watch::all(crate::cluster::kubernetes::watch::watch(Api::all(liar.client()), fresh()))
                    .await
                    .expect_err("a refusal");
            let errors = [
                cluster.secret("fleet", "ca").await.err().map(anyhow::Error::from),
                cluster.dry_run(&mac, &object(0)).await.err().map(anyhow::Error::from),
                cluster.can_list(None).await.err().map(anyhow::Error::from),
                Some(list.into()),
            ];
            for error in errors {
                // As it is told with all its causes, too
                let told = format!("{:#}", error.expect("a refusal"));
                assert!(told.len() < 1000 && !told.contains(char::is_control), "{code}: {} bytes: {told}", told.len());
                assert!(matches!(code, 404 | 409) || told.contains("at last"), "{code}: {told}");
            }
        }
    }
}

/// Holds B14: hundreds of passes wait for an answer at once.
#[tokio::test]
async fn many_long_answers_at_once_take_no_more_than_a_few() {
    let (taken, bounds) = (Arc::<AtomicUsize>::default(), Bounds::default());
    let answer = || {
        let frames = Box::new(endless().take(OBJECT / FRAME));
        let body = Told { frames, taken: taken.clone(), hangs: true };
        let places = PollSemaphore::new(bounds.0.clone());
        ReadAnswer { body, most: Most::Whole(OBJECT), held: 0, places, place: None }.collect()
    };
    let answers = 100;
    let all = futures::future::join_all((0..answers).map(|_| answer()));
    assert!(tokio::time::timeout(Duration::from_millis(50), all).await.is_err(), "they do not end");
    let taken = taken.load(Ordering::Relaxed);
    assert!(taken <= PLACES * OBJECT + answers * (SMALL + FRAME), "{} MiB", taken >> 20);
    assert_eq!(bounds.0.available_permits(), PLACES, "who gives up gives back");
}

/// Holds B1: a pass reads several Secrets one after another. Three waits for each that hangs took it over its deadline, and the
/// liveness probe failed for what no new process would help.
#[tokio::test(start_paused = true)]
async fn a_read_that_hangs_is_waited_for_once() {
    let liar = Liar { is_silent: true, ..Liar::sending(200, "") };
    let error = liar.cluster().secret("fleet", "ca").await.map(|_| ()).expect_err("silence");
    assert!(matches!(error, ClusterError::Timeout { .. }), "{error}");
    assert_eq!(liar.asked.load(Ordering::Relaxed), 1);
}

/// Holds A8: a Secret whose answer could not be read was in the log, all of it, and what did not fit in the error.
#[tokio::test]
async fn a_secret_that_cannot_be_read_is_told_of_without_its_values() {
    use clap::Parser as _;

    #[derive(Clone, Default)]
    struct Log(Arc<std::sync::Mutex<Vec<u8>>>);
    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    for level in ["info", "trace"] {
        let args = crate::cli::Cli::try_parse_from(["kagiban-operator", "--log-level", level]).expect("a command line");
        let (log, filter) = (Log::default(), args.run.work.log_filter().expect("a filter"));
        let writer = log.clone();
        let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(move || writer.clone()).finish();
        let _told = tracing::subscriber::set_default(logs);
        for answer in [r#"{"data": "hunter2"}"#, r#"{"data": {"tls.key": "hunter2""#, r#"{"data": {"a": ["hunter2"]}}"#]
        {
            let liar = Liar { ends: true, ..Liar::sending(200, answer) };
            let error = liar.cluster().secret("fleet", "ca").await.expect_err("it is no Secret").to_string();
            tracing::info!(%error, "told");
        }
        let text = String::from_utf8(log.0.lock().expect("no panic").clone()).expect("UTF-8");
        assert!(text.contains("it is no Secret") && !text.contains("hunter2"), "{text}");
    }
}

/// Holds B1: an agent was ordered to rotate for what was answered about another resource.
#[tokio::test]
async fn an_answer_about_another_object_is_none() {
    let mac = resource();
    let mut other = mac.clone();
    other.metadata.name = Some("b".to_owned());
    let text = serde_json::to_string(&other).expect("JSON");
    let liar = Liar { ends: true, ..Liar::sending(200, &text) };
    let (cluster, status) = (liar.cluster(), Default::default());
    let written = cluster.write_status(&mac, &status).await.map(|_| ());
    let read = cluster.named(&mac).await.map(|_| ());
    for answered in [written, read] {
        let error = answered.expect_err("another object");
        assert!(error.to_string().contains("another object"), "{error}");
    }
    assert!(cluster.write_status(&other, &status).await.is_ok(), "the one that was asked for");
}

#[test]
fn what_was_asked_for_says_how_much_may_come() {
    assert_eq!(Most::asked_for("&watch=true&timeoutSeconds=200"), Most::Line(OBJECT));
    assert_eq!(Most::asked_for("&limit=16&continue=x"), Most::Whole(16 * LISTED));
    for query in ["", "&limit=1", "&limit=x", "watch=false", "&fieldManager=a&force=true"] {
        assert_eq!(Most::asked_for(query), Most::Whole(OBJECT), "{query}");
    }
}
