//! From a host name to its addresses. The system's resolver blocks, for as long as its name servers are silent.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, LazyLock};

use tokio::time::Instant;

use super::flights::Flights;
use super::lanes::{Blocked, Work};

/// A name with hundreds of addresses must not make one caller knock on hundreds of doors.
const MAX_ADDRESSES: usize = 8;

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
    let found = LOOKUPS.join(work, key, until, move || look_up(&name)).await?;
    let mut addresses = found.map_err(ResolveError::Failed)?.to_vec();
    addresses.iter_mut().for_each(|address| address.set_port(port));
    Ok(addresses)
}

fn look_up(name: &str) -> Resolved {
    let found = (name, 0).to_socket_addrs().map_err(|error| Arc::from(error.to_string()))?;
    let addresses: Vec<_> = found.take(MAX_ADDRESSES).collect();
    if addresses.is_empty() { Err("the answer was empty".into()) } else { Ok(addresses.into()) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

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
