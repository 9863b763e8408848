//! `/metrics`, `/sd`, `/healthz`, `/readyz` and the pages for people over plain HTTP/1.1, bounded in connections and time.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use hyper::body::{Bytes, Incoming};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use kagiban_process::system::{answers_at, bind_to};
use kagiban_process::threads::{Lost, POOL, Pool};
use kagiban_serving::{
    Acceptor, Arrival, Arrivals, Close, ConnectionLimits, Peer, Pieces, page, plain, respond, serve_connection,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::discovery::Discovery;
use crate::metrics::SharedMetrics;
use crate::page::{Answer, Page, Visitor};

/// Two Prometheus servers, a kubelet and a person with curl. Beyond this whoever holds the most gives one back to the newest, so
/// that nobody who holds connections keeps the kubelet from its probe.
const MAX_CONNECTIONS: usize = 32;
const LIMITS: ConnectionLimits = ConnectionLimits {
    head: Duration::from_secs(2),
    // Prometheus sends six.
    max_headers: 64,
    max_buffer: 16 * 1024,
    keep_alive: false,
    drain: Duration::from_secs(2),
};
/// A connection is for one request and lives no longer than this, which is also how long Prometheus waits.
const CONNECTION_DEADLINE: Duration = Duration::from_secs(10);
/// What is asked for by Prometheus's `http_sd_config`.
const DISCOVERY: &str = "/sd";
/// What Prometheus's text format is called.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
/// For this long all who ask get the same text: with 20,000 resources of long names it is 60 MB, and takes a while. Where two texts are
/// still being read, all who ask get the newer one, however old it is: nobody is given the older one any more, so whoever reads
/// that has ended within [`CONNECTION_DEADLINE`].
const RENDERED_FOR: Duration = Duration::from_secs(1);

/// A text, rendered once for all who ask in the same moment.
#[derive(Clone)]
struct Exposition {
    render: Arc<Render>,
    texts: Arc<tokio::sync::Mutex<Texts>>,
    /// One of them at a time renders it.
    threads: &'static Pool,
}

/// Why there is no text.
#[derive(Debug, thiserror::Error)]
enum RenderError {
    #[error(transparent)]
    Lost(#[from] Lost),
    #[error(transparent)]
    Format(#[from] fmt::Error),
}

type Render = dyn Fn(&mut Growing) -> fmt::Result + Send + Sync;

/// Those that there may be. Whoever reads slowly keeps what he reads.
#[derive(Default)]
struct Texts {
    /// Kept for those who ask in the same moment.
    fresh: Option<Arc<Text>>,
    newest: Weak<Text>,
    /// The one before it.
    older: Weak<Text>,
}

#[derive(Debug)]
struct Text {
    at: Instant,
    pieces: Vec<Vec<u8>>,
}

/// A piece of a text, which is kept whole while anybody reads in it: so it can be given to whoever asks.
struct Piece {
    text: Arc<Text>,
    at: usize,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        self.text.pieces.get(self.at).map(Vec::as_slice).unwrap_or_default()
    }
}

impl Text {
    fn body(self: &Arc<Self>) -> Vec<Bytes> {
        (0..self.pieces.len()).map(|at| Bytes::from_owner(Piece { text: Arc::clone(self), at })).collect()
    }
}

impl Texts {
    /// One that may be given to whoever asks now; where there is none, one may be rendered.
    fn current(&mut self) -> Option<Arc<Text>> {
        if let Some(fresh) = self.fresh.as_ref().filter(|text| text.at.elapsed() < RENDERED_FOR) {
            return Some(Arc::clone(fresh));
        }
        self.fresh = None;
        self.older.upgrade().and_then(|_| self.newest.upgrade())
    }

    fn put(&mut self, text: &Arc<Text>) {
        if self.newest.strong_count() > 0 {
            self.older = std::mem::take(&mut self.newest);
        }
        self.newest = Arc::downgrade(text);
        self.fresh = Some(Arc::clone(text));
    }
}

/// A text in pieces: to let it grow in one would copy it again and again, and leave holes of its size in the heap.
#[derive(Default)]
struct Growing {
    whole: Vec<Vec<u8>>,
    last: Vec<u8>,
}

/// In bytes.
const PIECE: usize = 64 * 1024;

impl Growing {
    fn end(mut self) -> Vec<Vec<u8>> {
        self.whole.push(self.last);
        self.whole
    }
}

impl fmt::Write for Growing {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.last.len() + text.len() > PIECE {
            let full = std::mem::replace(&mut self.last, Vec::with_capacity(PIECE.max(text.len())));
            self.whole.push(full);
        }
        self.last.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

impl Exposition {
    fn of(render: impl Fn(&mut Growing) -> fmt::Result + Send + Sync + 'static) -> Self {
        Self { render: Arc::new(render), texts: Arc::default(), threads: &POOL }
    }

    fn of_metrics(metrics: SharedMetrics) -> Self {
        Self::of(move |out| metrics.write(out))
    }

    /// # Errors
    /// Where it cannot be rendered.
    async fn body(&self) -> Result<Vec<Bytes>, RenderError> {
        let mut texts = Arc::clone(&self.texts).lock_owned().await;
        if let Some(text) = texts.current() {
            return Ok(text.body());
        }
        let render = Arc::clone(&self.render);
        // The lock is held by the work itself, so that those who do not wait for it have nothing rendered beside it. Work that gets no
        // thread gives it back
        let rendered = self.threads.start(move || -> Result<_, fmt::Error> {
            let mut pieces = Growing::default();
            render(&mut pieces)?;
            let text = Arc::new(Text { at: Instant::now(), pieces: pieces.end() });
            texts.put(&text);
            Ok(text.body())
        });
        let body = rendered.await??;
        // It is kept for nobody after that
        let texts = Arc::clone(&self.texts);
        tokio::spawn(async move {
            sleep(RENDERED_FOR).await;
            texts.lock().await.fresh.take_if(|text| text.at.elapsed() >= RENDERED_FOR);
        });
        Ok(body)
    }
}

/// Whether the resources could be listed.
pub type Readiness = Arc<dyn Fn() -> bool + Send + Sync>;
/// What of this process is dead, if anything is.
pub type Liveness = Arc<dyn Fn() -> Option<&'static str> + Send + Sync>;

/// What a kubelet asks.
#[derive(Clone)]
pub struct Probes {
    pub ready: Readiness,
    pub fault: Liveness,
}

impl fmt::Debug for Probes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probes").finish_non_exhaustive()
    }
}

/// What is served.
#[derive(Clone)]
struct Site {
    metrics: Exposition,
    hosts: Exposition,
    discovery: Discovery,
    page: Page,
    probes: Probes,
}

/// Listens until told to stop.
///
/// # Errors
/// When the address cannot be bound.
pub async fn serve(
    address: SocketAddr,
    metrics: SharedMetrics,
    discovery: Discovery,
    page: Page,
    probes: Probes,
    stop: CancellationToken,
) -> std::io::Result<SocketAddr> {
    let listener = bind_to(address, answers_at).await?;
    let bound = listener.local_addr()?;
    let listed = discovery.clone();
    let site = Site {
        metrics: Exposition::of_metrics(metrics),
        hosts: Exposition::of(move |out| listed.write(out)),
        discovery,
        page,
        probes,
    };
    tokio::spawn(accept(listener, site, stop));
    Ok(bound)
}

async fn accept(listener: TcpListener, site: Site, stop: CancellationToken) {
    let connections = Arrivals::new(MAX_CONNECTIONS, MAX_CONNECTIONS);
    let mut acceptor = Acceptor::new("metrics");
    while let Some((stream, address)) = acceptor.next(&stop, || listener.accept()).await {
        let arrival = connections.admit(Peer::of(address.ip()));
        tokio::spawn(connection(stream, address.ip(), arrival, site.clone()));
    }
}

async fn connection(stream: TcpStream, peer: IpAddr, arrival: Arrival, site: Site) {
    let answer = |request: Request<Incoming>| {
        let site = site.clone();
        async move { answer(&request.into_parts().0, peer, &site).await }
    };
    let close = async {
        tokio::select! {
            () = arrival.evicted.cancelled() => {}
            () = sleep(CONNECTION_DEADLINE) => {}
        }
        Close::Now
    };
    if let Err(error) = serve_connection(stream, LIMITS, answer, close).await {
        tracing::debug!(%error, "a connection to the metrics port ended early");
    }
}

async fn answer(request: &Parts, peer: IpAddr, site: &Site) -> Response<Pieces> {
    let not_rendered = |what, error: &RenderError| {
        plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{what} could not be rendered: {error}\n"))
    };
    if request.method != Method::GET && request.method != Method::HEAD {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
    }
    match request.uri.path() {
        "/metrics" => match site.metrics.body().await {
            Ok(rendered) => respond(StatusCode::OK, METRICS, rendered),
            Err(error) => not_rendered("metrics", &error),
        },
        DISCOVERY if !site.discovery.is_ready() => {
            plain(StatusCode::SERVICE_UNAVAILABLE, "the resources are not all listed yet\n")
        }
        DISCOVERY => match site.hosts.body().await {
            Ok(rendered) => respond(StatusCode::OK, "application/json", rendered),
            Err(error) => not_rendered("the hosts", &error),
        },
        "/healthz" => match (site.probes.fault)() {
            None => plain(StatusCode::OK, "ok\n"),
            Some(fault) => plain(StatusCode::SERVICE_UNAVAILABLE, format!("{fault}\n")),
        },
        "/readyz" if (site.probes.ready)() => plain(StatusCode::OK, "ok\n"),
        "/readyz" => plain(StatusCode::SERVICE_UNAVAILABLE, "the resources were not listed yet\n"),
        path => {
            let visitor = Visitor { address: peer, headers: &request.headers };
            match site.page.answer(path, request.uri.query().unwrap_or_default(), visitor).await {
                Some(Answer::Html(html)) => page(StatusCode::OK, [html]),
                Some(Answer::Plain(status, words)) => plain(status, words),
                None => plain(StatusCode::NOT_FOUND, "/, /metrics, /sd, /healthz, /readyz\n"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::cli::PageFor;
    use crate::cluster::watch::Event;
    use crate::fleet::Fleet;
    use crate::metrics::Metrics;

    async fn serving() -> SocketAddr {
        let probes = Probes { ready: Arc::new(|| true), fault: Arc::new(|| None) };
        let address = "127.0.0.1:0".parse().expect("an address");
        let (fleet, metrics) = (Arc::new(Fleet::default()), Arc::new(Metrics::new(None)));
        fleet.apply(Event::Init);
        fleet.apply(Event::InitDone);
        metrics.leading(true);
        let discovery = Discovery::new(fleet.clone(), 9996);
        let page = Page::new(PageFor::Local, fleet, metrics.clone(), None);
        let serving = serve(address, metrics, discovery, page, probes, CancellationToken::new());
        serving.await.expect("a port")
    }

    async fn asked(address: SocketAddr, path: &str) -> String {
        asked_for(address, "x", path).await
    }

    async fn asked_for(address: SocketAddr, host: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it is sent");
        let mut answer = String::new();
        // The connection is closed after the answer, though nobody asked for that
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer
    }

    /// Holds B1: whoever holds as many connections as there may be, idle or in the middle of a request, does not have the
    /// liveness probe fail and the process killed.
    #[tokio::test]
    async fn connections_that_are_held_do_not_keep_the_kubelet_from_its_probe() {
        let address = serving().await;
        let mut held = Vec::new();
        for number in 0..MAX_CONNECTIONS * 2 {
            let mut stream = TcpStream::connect(address).await.expect("a connection");
            if number % 2 == 0 {
                stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n").await.expect("it is sent");
            }
            held.push(stream);
        }
        let probe = tokio::time::timeout(Duration::from_secs(1), asked(address, "/healthz")).await;
        assert!(probe.expect("within a kubelet's second").starts_with("HTTP/1.1 200"));
        drop(held);
    }

    /// Holds B14: whoever asks on all connections at once has the metrics rendered once.
    #[tokio::test]
    async fn all_who_ask_in_a_moment_share_one_text() {
        let exposition = Exposition::of_metrics(Arc::new(Metrics::new(None)));
        let all = futures::future::join_all((0..MAX_CONNECTIONS).map(|_| exposition.body())).await;
        let texts: Vec<_> = all.into_iter().map(|text| text.expect("it is rendered")[0].as_ptr()).collect();
        assert!(texts.iter().all(|text| *text == texts[0]));
        let before = exposition.body().await.expect("it is rendered");
        assert!(exposition.texts.lock().await.fresh.is_some());
        // At rest it takes no memory
        while exposition.texts.lock().await.fresh.is_some() {
            sleep(RENDERED_FOR / 10).await;
        }
        let after = exposition.body().await.expect("it is rendered");
        assert_ne!(before[0].as_ptr(), after[0].as_ptr(), "and anew afterwards");
    }

    /// Holds A17: work that got no thread stayed in the runtime's queue with the lock, and nobody who asked after that got an answer.
    #[tokio::test]
    async fn whoever_asks_when_the_system_gives_no_thread_is_told_and_holds_up_nobody() {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        static SHORT: Pool = Pool::new(|job| {
            let taken = THREADS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| free.checked_sub(1));
            taken.map_err(|_| std::io::Error::from(std::io::ErrorKind::WouldBlock))?;
            std::thread::spawn(job);
            Ok(())
        });
        let exposition = Exposition { threads: &SHORT, ..Exposition::of_metrics(Arc::new(Metrics::new(None))) };
        let asked = async || {
            let body = tokio::time::timeout(CONNECTION_DEADLINE, exposition.body()).await;
            body.expect("there is an answer").map_err(|error| error.to_string())
        };
        for _ in 0..3 {
            let told = asked().await.expect_err("there is no thread");
            assert!(told.contains("the system gives no thread"), "{told}");
        }
        THREADS.store(1, Ordering::Relaxed);
        assert!(!asked().await.expect("it is rendered").is_empty());
    }

    /// Holds B14: each second another text was rendered, and kept for ten by whoever read it slowly.
    #[tokio::test]
    async fn however_many_read_slowly_there_are_two_texts_and_all_who_ask_get_the_newer() {
        let rendered = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&rendered);
        let exposition = Exposition::of(move |out| {
            let number = counted.fetch_add(1, Ordering::Relaxed) + 1;
            (0..3).try_for_each(|_| write!(out, "{number}{}", " ".repeat(PIECE)))
        });
        // All of it, and how it reads
        let asked = async || {
            exposition.texts.lock().await.fresh = None;
            let body = exposition.body().await.expect("it is rendered");
            let text = String::from_utf8(body.concat()).expect("text");
            let numbers: Vec<usize> = text.split_whitespace().map(|number| number.parse().expect("a number")).collect();
            assert_eq!(numbers, [numbers[0]; 3], "it is given whole");
            (body, numbers[0])
        };
        let (mut first, number) = asked().await;
        assert_eq!(number, 1);
        // Whoever has read all but the end keeps the text
        let first_end = first.pop();
        drop(first);
        let (second, number) = asked().await;
        assert_eq!(number, 2);
        for _ in 0..20 {
            assert_eq!(asked().await.1, 2, "a third is not rendered");
        }
        drop(second);
        let (third, number) = asked().await;
        assert_eq!(number, 3, "nobody reads the second any more");
        assert_eq!(asked().await.1, 3, "the first is still read");
        drop(first_end);
        let (fourth, number) = asked().await;
        assert_eq!(number, 4, "nobody reads the first any more");
        assert_eq!(asked().await.1, 4, "the third is still read");
        drop((third, fourth));
        assert_eq!(asked().await.1, 5);
        assert_eq!(rendered.load(Ordering::Relaxed), 5);
    }

    /// Holds B14: the end of the connection was the end of the metrics for HTTP/1.0, wherever it broke.
    #[tokio::test]
    async fn an_answer_says_how_long_it_is_in_every_version_of_http() {
        let address = serving().await;
        for (version, path) in [("1.0", "/metrics"), ("1.1", "/metrics"), ("1.0", "/healthz")] {
            let mut stream = TcpStream::connect(address).await.expect("a connection");
            let request = format!("GET {path} HTTP/{version}\r\nHost: x\r\n\r\n");
            stream.write_all(request.as_bytes()).await.expect("it is sent");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.expect("an answer");
            let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
            assert!(head.contains(&format!("content-length: {}", body.len())), "{version} {path}: {head}");
            assert!(!head.contains("transfer-encoding") && !body.is_empty(), "{version} {path}: {head}");
        }
    }

    /// What a browser on this machine gets, and a site that has its name lead to this machine does not.
    #[tokio::test]
    async fn the_page_of_the_fleet_is_given_with_what_keeps_a_browser_from_running_anything() {
        let address = serving().await;
        let answer = asked_for(address, &address.to_string(), "/?reason=Frozen").await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("</main></body></html>\n"), "{answer}");
        for header in
            ["content-security-policy: default-src 'none';", "nosniff", "no-store", "text/html; charset=utf-8"]
        {
            assert!(answer.contains(header), "{header}: {answer}");
        }
        let answer = asked_for(address, "fleet.example.com", "/").await;
        assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("port-forward"), "{answer}");
        assert!(asked_for(address, "localhost", "/resources/fleet/none").await.starts_with("HTTP/1.1 404"));
    }

    #[tokio::test]
    async fn a_connection_is_for_one_request() {
        let address = serving().await;
        for path in ["/healthz", "/readyz", "/metrics"] {
            let answer = tokio::time::timeout(LIMITS.head / 2, asked(address, path)).await.expect("it is closed");
            assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"), "{answer}");
        }
    }
}
