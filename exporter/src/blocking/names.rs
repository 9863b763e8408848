//! From a host name to its addresses. The system's resolver blocks, for as long as its name servers are silent.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::flights::Flights;
use super::lanes::{Blocked, Work};

/// A name with hundreds of addresses must not make one caller knock on hundreds of doors.
const MAX_ADDRESSES: usize = 8;

/// Name servers answer in milliseconds, and within a second from far away. One that is silent takes the resolver five at least.
const QUICKLY: Duration = Duration::from_secs(2);

/// What has one name server is looked up on so many threads at once, so that hundreds of hosts whose own is silent leave threads to the
/// others before each of them is known to be slow.
const OF_ONE_DOMAIN: usize = 4;

/// Places by domain. The names are the configuration's.
static DOMAINS: LazyLock<Mutex<HashMap<String, Arc<Semaphore>>>> = LazyLock::new(Mutex::default);

/// Why a name has no address.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ResolveError {
    #[error(transparent)]
    Blocked(#[from] Blocked),
    #[error("{0}")]
    Failed(Arc<str>),
}

type Resolved = Result<Arc<[SocketAddr]>, Arc<str>>;

/// By kind of work too: a lookup of `/probe` that waits for a thread delays no source that asks for the same name.
static LOOKUPS: LazyLock<Flights<(Work, String), Resolved>> = LazyLock::new(Flights::new);

/// Names of outside hosts that were not found quickly: they wait for each other, and the names of other hosts wait for none of them.
static SLOW_NAMES: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// The addresses of a host, which may be written as one; at least one. One name is looked up once, whoever asks meanwhile.
///
/// # Errors
/// See [`ResolveError`].
pub(crate) async fn resolve(
    work: Work,
    host: &str,
    port: u16,
    until: Instant,
) -> Result<Vec<SocketAddr>, ResolveError> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let name = host.to_ascii_lowercase();
    let key = (work, name.clone());
    let found = match work {
        Work::OutsideNames => {
            let place = place_of_its_domain(&name, until).await?;
            let lane = if slow_names().contains(&name) { Work::SlowOutsideNames } else { work };
            let look_up = move || {
                let _held = place;
                let began = std::time::Instant::now();
                let found = look_up(&name);
                note_lookup(name, began.elapsed());
                found
            };
            LOOKUPS.join(lane, key, until, look_up).await?
        }
        _ => LOOKUPS.join(work, key, until, move || look_up(&name)).await?,
    };
    let mut addresses = found.map_err(ResolveError::Failed)?.to_vec();
    addresses.iter_mut().for_each(|address| address.set_port(port));
    Ok(addresses)
}

/// What the name's look-up holds until it ends, whoever has stopped waiting for it.
async fn place_of_its_domain(name: &str, until: Instant) -> Result<OwnedSemaphorePermit, Blocked> {
    let domain = name.split_once('.').map_or("", |(_, domain)| domain);
    let places = {
        let mut domains = DOMAINS.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(domains.entry(domain.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(OF_ONE_DOMAIN))))
    };
    match timeout_at(until, places.acquire_owned()).await {
        Ok(Ok(place)) => Ok(place),
        _ => Err(Blocked::Busy { work: "names of one domain", limit: OF_ONE_DOMAIN }),
    }
}

fn slow_names() -> std::sync::MutexGuard<'static, BTreeSet<String>> {
    SLOW_NAMES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes how long the system took for the name of an outside host.
fn note_lookup(name: String, took: Duration) {
    if took > QUICKLY {
        slow_names().insert(name);
    } else {
        slow_names().remove(&name);
    }
}

fn look_up(name: &str) -> Resolved {
    let found = (name, 0).to_socket_addrs().map_err(|error| Arc::from(error.to_string()))?;
    let addresses: Vec<_> = found.take(MAX_ADDRESSES).collect();
    if addresses.is_empty() { Err("the answer was empty".into()) } else { Ok(addresses.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_was_not_found_quickly_waits_with_its_like_until_it_is() {
        let name = || "win-01.slow.example".to_owned();
        note_lookup(name(), QUICKLY);
        assert!(!slow_names().contains(&name()));
        note_lookup(name(), QUICKLY * 2);
        assert!(slow_names().contains(&name()));
        note_lookup(name(), Duration::ZERO);
        assert!(!slow_names().contains(&name()));
    }

    #[tokio::test]
    async fn a_name_gets_its_addresses_with_the_port_and_an_address_is_taken_as_it_is() {
        let until = Instant::now() + Duration::from_secs(60);
        let found = resolve(Work::SourceNames, "LOCALHOST", 443, until).await.expect("it is in every hosts file");
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 443), "{found:?}");
        let found = resolve(Work::SourceNames, "::1", 7, until).await.expect("an address");
        assert_eq!(found, ["[::1]:7".parse().expect("an address")]);
        let late = resolve(Work::SourceNames, "192.0.2.1", 7, Instant::now()).await;
        assert!(late.is_ok(), "for an address nobody is asked");
    }
}
