//! Ports that this program listens at. Who else does, the system's table of sockets says.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use kagiban_process::system;
use kagiban_process::threads::POOL;
use tokio::net::{TcpListener, ToSocketAddrs};
use tokio::time::timeout;

use super::occupants;

/// For the system's table of sockets.
const LOOKED_WITHIN: Duration = Duration::from_secs(5);

/// Listens at every address, of IPv4 too.
///
/// # Errors
/// When the system does not let it.
pub async fn bind_both_families(port: u16) -> io::Result<TcpListener> {
    system::bind_both_families(port, is_listened_at).await
}

/// Listens at the first of these addresses that it can be listened at.
///
/// # Errors
/// Of the last, when the system lets it nowhere; when a name has no address.
pub async fn bind_to(addresses: impl ToSocketAddrs) -> io::Result<TcpListener> {
    system::bind_to(addresses, is_listened_at).await
}

/// Whether a program has it. One whose account is not told is one.
async fn is_listened_at(address: SocketAddr) -> bool {
    let look = timeout(LOOKED_WITHIN, POOL.start(move || occupants(address)));
    !matches!(look.await, Ok(Ok(Ok(accounts))) if accounts.is_empty())
}
