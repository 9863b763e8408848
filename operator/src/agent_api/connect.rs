//! The way to a host: its addresses, and the first of them that does what is wanted of it.

use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use kagiban_process::threads::{POOL, Pool};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use super::AgentError;

/// Finding the addresses of a name: a resolver that is near answers in milliseconds.
const LOOKUP_DEADLINE: Duration = Duration::from_secs(2);
/// Names looked up at once. The system's resolver takes a thread for each, and keeps it for as long as a name server is silent,
/// whoever waits for it; the threads are those of the whole process.
const MAX_LOOKUPS: usize = 32;
/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 4;
/// What an address is ahead of the next one (RFC 8305).
const HEAD_START: Duration = Duration::from_millis(250);

/// Of them for one namespace: whoever gives his hosts names that no server answers for waits for his own lookups.
const MAX_LOOKUPS_OF_NAMESPACE: usize = MAX_LOOKUPS / 4;

static LOOKUPS: LazyLock<LookupPermits> =
    LazyLock::new(|| LookupPermits::new(MAX_LOOKUPS, MAX_LOOKUPS_OF_NAMESPACE, &POOL));

/// Permits of all, of which each namespace has some at most.
struct LookupPermits {
    all: Arc<Semaphore>,
    most: usize,
    /// Of those that have a permit, or wait for one.
    of: Mutex<HashMap<String, Arc<Semaphore>>>,
    /// What they are permits on.
    threads: &'static Pool,
}

/// One of the namespace's, and one of all.
struct LookupPermit {
    _own: OwnedSemaphorePermit,
    _shared: OwnedSemaphorePermit,
}

impl LookupPermits {
    fn new(all: usize, most: usize, threads: &'static Pool) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), most, of: Mutex::default(), threads }
    }

    async fn take(&self, namespace: &str) -> Result<LookupPermit, AcquireError> {
        let own = self.of(namespace).acquire_owned().await?;
        let shared = Arc::clone(&self.all).acquire_owned().await?;
        Ok(LookupPermit { _own: own, _shared: shared })
    }

    fn of(&self, namespace: &str) -> Arc<Semaphore> {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        of.retain(|_, permits| Arc::strong_count(permits) > 1);
        let new = || Arc::new(Semaphore::new(self.most));
        Arc::clone(of.entry(namespace.to_owned()).or_insert_with(new))
    }
}

/// The addresses of a name that a namespace's resource gives, or an address as itself.
///
/// # Errors
/// [`AgentError::Connect`] when there is none in time.
pub(super) async fn addresses(namespace: &str, host: &str, port: u16) -> Result<Vec<SocketAddr>, AgentError> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let name = (host.to_owned(), port);
    bounded(&LOOKUPS, namespace, move || Ok(name.to_socket_addrs()?.collect())).await
}

/// What the first of them gives that succeeds; each begins when one before it has failed, or has been silent for a while.
///
/// # Errors
/// The one that says the most, when all have failed, or when there is none: `None`.
pub(super) async fn first_of<T, F: Future<Output = Result<T, AgentError>>>(
    attempts: impl Iterator<Item = F>,
) -> Result<T, Option<AgentError>> {
    let mut waiting = attempts.take(MAX_ADDRESSES).peekable();
    let mut running = FuturesUnordered::new();
    let mut failed = None;
    loop {
        if running.is_empty() {
            match waiting.next() {
                Some(attempt) => running.push(attempt),
                None => return Err(failed),
            }
        }
        tokio::select! {
            biased;
            Some(ended) = running.next() => match ended {
                Ok(value) => return Ok(value),
                Err(error) => {
                    failed = more_telling(failed, error);
                    running.extend(waiting.next());
                }
            },
            () = tokio::time::sleep(HEAD_START), if waiting.peek().is_some() => running.extend(waiting.next()),
        }
    }
}

/// Of two failures the same one, in whatever order they came: it goes into a status, which must not change from try to try.
fn more_telling(one: Option<AgentError>, other: AgentError) -> Option<AgentError> {
    let weight = |error: &AgentError| (!error.is_silence(), error.to_string());
    one.filter(|one| weight(one) > weight(&other)).or(Some(other))
}

/// The permit is held by the work itself, which nothing can end, and not by whoever waits for it. Work that gets no thread gives it back.
async fn bounded<T: Send + 'static>(
    permits: &LookupPermits,
    namespace: &str,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, AgentError> {
    let done = async {
        let permit = permits.take(namespace).await.map_err(std::io::Error::other)?;
        let looked_up = permits.threads.start(move || {
            let result = work();
            drop(permit);
            result
        });
        looked_up.await.map_err(std::io::Error::other)?
    };
    match tokio::time::timeout(LOOKUP_DEADLINE, done).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(AgentError::Connect(error.to_string().chars().take(200).collect())),
        Err(_) => Err(AgentError::Connect("its name was not resolved in time".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;

    use super::*;

    type Attempt = Pin<Box<dyn Future<Output = Result<u32, AgentError>>>>;

    fn silent() -> Attempt {
        Box::pin(async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            Err(AgentError::Connect("no answer".into()))
        })
    }

    fn ended(result: Result<u32, AgentError>) -> Attempt {
        Box::pin(async { result })
    }

    /// Holds B4: an address at which nobody answers costs a moment and not the time of all.
    #[tokio::test(start_paused = true)]
    async fn an_address_that_is_silent_holds_the_next_one_up_for_a_moment() {
        let started = tokio::time::Instant::now();
        assert_eq!(first_of([silent(), silent(), ended(Ok(3))].into_iter()).await, Ok(3));
        assert_eq!(started.elapsed(), 2 * HEAD_START);
        let started = tokio::time::Instant::now();
        let refused = AgentError::Connect("connection refused".into());
        assert_eq!(first_of([ended(Err(refused)), ended(Ok(2))].into_iter()).await, Ok(2));
        assert_eq!(started.elapsed(), Duration::ZERO);
        let started = tokio::time::Instant::now();
        let many = (0..1000).map(|_| silent());
        assert_eq!(first_of(many).await, Err(Some(AgentError::Connect("no answer".into()))));
        assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
        assert_eq!(first_of(std::iter::empty::<Attempt>()).await, Err(None));
    }

    #[tokio::test(start_paused = true)]
    async fn of_several_failures_the_same_is_told_whatever_their_order() {
        let tls = || ended(Err(AgentError::Tls("the host's certificate has expired".into())));
        let refused = || ended(Err(AgentError::Connect("connection refused".into())));
        for attempts in [[tls(), refused(), silent()], [silent(), refused(), tls()], [refused(), tls(), silent()]] {
            let error = first_of(attempts.into_iter()).await.expect_err("all failed").expect("they say why");
            assert_eq!(error.reason(), "tls");
        }
    }

    /// Holds A17, B4: name servers that are silent take so many threads and no more, whoever waits is told in time, and another
    /// namespace's names are looked up meanwhile.
    #[tokio::test]
    async fn silent_name_servers_take_so_many_threads_of_one_namespace_and_no_more() {
        let permits = LookupPermits::new(3, 2, &POOL);
        static RUNNING: AtomicUsize = AtomicUsize::new(0);
        let (mut ends, mut waits) = (Vec::new(), Vec::new());
        for _ in 0..6 {
            let (end, ended) = channel::<()>();
            ends.push(end);
            waits.push(bounded(&permits, "theirs", move || {
                RUNNING.fetch_add(1, Ordering::SeqCst);
                let _ = ended.recv();
                Ok(())
            }));
        }
        for answer in futures::future::join_all(waits).await {
            assert_eq!(answer, Err(AgentError::Connect("its name was not resolved in time".into())));
        }
        assert!(RUNNING.load(Ordering::SeqCst) <= 2);
        assert_eq!(permits.all.available_permits(), 1, "they are held by those that still run");
        assert_eq!(bounded(&permits, "fleet", || Ok(7)).await, Ok(7));
        drop(ends);
        assert_eq!(bounded(&permits, "theirs", || Ok(7)).await, Ok(7));
        let all_have_ended = async {
            while permits.all.available_permits() < 3 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), all_have_ended).await.expect("their ends are dropped");
        permits.of("another");
        assert_eq!(permits.of.lock().expect("whole").len(), 1, "who looks nothing up takes no memory");
    }

    /// Holds A17: a lookup that got no thread stayed in the runtime's queue with its permits, until somebody else asked for a thread.
    #[tokio::test]
    async fn a_lookup_that_gets_no_thread_gives_its_places_back_and_says_so() {
        static NONE: Pool = Pool::new(|_| Err(std::io::Error::from(std::io::ErrorKind::WouldBlock)));
        let permits = LookupPermits::new(3, 2, &NONE);
        for _ in 0..10 {
            let Err(AgentError::Connect(told)) = bounded(&permits, "fleet", || Ok(7)).await else {
                panic!("nobody has looked it up")
            };
            assert!(told.contains("the system gives no thread"), "{told}");
            assert_eq!(permits.all.available_permits(), 3);
            assert_eq!(permits.of("fleet").available_permits(), 2);
        }
    }

    #[tokio::test]
    async fn an_address_needs_no_lookup() {
        let found = addresses("fleet", "2001:db8::1", 9995).await.expect("an address");
        assert_eq!(found, ["[2001:db8::1]:9995".parse().expect("an address")]);
    }
}
