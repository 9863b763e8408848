//! From an endpoint's words to a TCP connection, in time.

use std::net::SocketAddr;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::ProbeError;
use super::error::DNS;
use crate::blocking::{Blocked, ResolveError, Work, resolve};
use crate::host_port;

/// An endpoint to shake hands with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `host:port`; an IPv6 address stands in brackets.
    pub address: String,
    /// Sent as SNI and used for the name check; by default the host part of the address.
    pub server_name: Option<String>,
}

/// A connection, and how long it took to have it.
pub(crate) struct Dialled {
    pub(crate) stream: TcpStream,
    pub(super) dns: Duration,
    pub(super) connect: Duration,
    /// Who answers.
    pub(crate) peer: SocketAddr,
    /// The connection does not leave this host.
    pub(crate) is_own_address: bool,
}

impl Endpoint {
    /// The name that the server's certificate is checked for.
    ///
    /// # Errors
    /// [`ProbeError::Address`] or [`ProbeError::ServerName`] when the words are no such thing.
    pub fn expected_name(&self) -> Result<ServerName<'static>, ProbeError> {
        let (host, _) = self.host_and_port()?;
        let name = self.server_name.as_deref().unwrap_or(host);
        ServerName::try_from(name.to_owned()).map_err(|_| ProbeError::ServerName { name: name.to_owned() })
    }

    /// That name as it is written, without the brackets of an IPv6 address.
    pub fn shown_name(&self) -> &str {
        let host = || self.host_and_port().map_or(self.address.as_str(), |(host, _)| host);
        self.server_name.as_deref().unwrap_or_else(host)
    }

    /// What a service is asked for, as a browser writes it: by the name that its certificate is for, which a virtual host goes by.
    ///
    /// # Errors
    /// [`ProbeError::Address`] when the address has no port.
    pub(crate) fn http_host(&self) -> Result<String, ProbeError> {
        let (_, port) = self.host_and_port()?;
        let name = self.shown_name();
        let name = if name.contains(':') { format!("[{name}]") } else { name.to_owned() };
        Ok(if port == 443 { name } else { format!("{name}:{port}") })
    }

    /// The two halves of the address.
    ///
    /// # Errors
    /// [`ProbeError::Address`] when it has none.
    pub fn host_and_port(&self) -> Result<(&str, u16), ProbeError> {
        let malformed = || ProbeError::Address { address: self.address.clone() };
        let (host, port) =
            host_port::split(&self.address).filter(|(host, _)| !host.is_empty()).ok_or_else(malformed)?;
        Ok((host, port.parse().map_err(|_| malformed())?))
    }
}

/// Resolves and connects, to whichever address answers. `names` is whose threads a name is looked up on.
pub(crate) async fn dial(endpoint: &Endpoint, names: Work, deadline: Instant) -> Result<Dialled, ProbeError> {
    let (host, port) = endpoint.host_and_port()?;
    let started = Instant::now();
    let addresses = addresses(endpoint, names, host, port, deadline).await?;
    let dns = started.elapsed();
    let started = Instant::now();
    let stream = connect(endpoint, &addresses, deadline).await?;
    let connect = started.elapsed();
    let failed = |source| ProbeError::Connect { address: endpoint.address.clone(), source };
    let (own, peer) = (stream.local_addr().map_err(failed)?, stream.peer_addr().map_err(failed)?);
    // To an address of its own, a host speaks from that address.
    let is_own_address = peer.ip().to_canonical().is_loopback() || own.ip() == peer.ip();
    Ok(Dialled { stream, dns, connect, peer, is_own_address })
}

/// Connects once more, to who answered before, whatever the name leads to by now.
pub(crate) async fn dial_again(
    endpoint: &Endpoint,
    peer: SocketAddr,
    deadline: Instant,
) -> Result<TcpStream, ProbeError> {
    connect(endpoint, &[peer], deadline).await
}

async fn addresses(
    endpoint: &Endpoint,
    names: Work,
    host: &str,
    port: u16,
    deadline: Instant,
) -> Result<Vec<SocketAddr>, ProbeError> {
    resolve(names, host, port, deadline).await.map_err(|error| match error {
        ResolveError::Blocked(Blocked::Timeout) => {
            ProbeError::Timeout { address: endpoint.address.clone(), phase: DNS }
        }
        ResolveError::Blocked(Blocked::Busy { limit, .. }) => ProbeError::Busy { host: host.to_owned(), limit },
        error @ (ResolveError::Blocked(Blocked::Panic) | ResolveError::Failed(_)) => {
            ProbeError::Dns { host: host.to_owned(), detail: error.to_string() }
        }
    })
}

/// Each address gets an equal share of the time that is left, so that a silent first one leaves some for the next.
async fn connect(endpoint: &Endpoint, addresses: &[SocketAddr], deadline: Instant) -> Result<TcpStream, ProbeError> {
    let mut last = ProbeError::Timeout { address: endpoint.address.clone(), phase: "connect" };
    for (index, address) in addresses.iter().enumerate() {
        let waiting = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let share = deadline.saturating_duration_since(Instant::now()) / waiting;
        match timeout_at(Instant::now() + share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(source)) => last = ProbeError::Connect { address: endpoint.address.clone(), source },
            Err(_) => last = ProbeError::Timeout { address: endpoint.address.clone(), phase: "connect" },
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(address: &str) -> Endpoint {
        Endpoint { address: address.to_owned(), server_name: None }
    }

    #[test]
    fn an_address_is_a_host_or_a_bracketed_v6_address_with_a_port() {
        assert_eq!(endpoint("ups-01:6547").host_and_port().ok(), Some(("ups-01", 6547)));
        assert_eq!(endpoint("[::1]:443").host_and_port().ok(), Some(("::1", 443)));
        for wrong in ["ups-01", ":443", "::1:443", "[::1:443", "ups-01:", "ups-01:70000", "[]:1"] {
            assert!(endpoint(wrong).host_and_port().is_err(), "{wrong} was taken");
        }
    }

    #[test]
    fn a_service_is_asked_by_its_name_with_a_port_that_is_not_the_usual_one() {
        for (address, name, expected) in [
            ("127.0.0.1:8443", Some("web.example.com"), "web.example.com:8443"),
            ("127.0.0.1:443", Some("web.example.com"), "web.example.com"),
            ("web.example.com:443", None, "web.example.com"),
            ("[2001:db8::1]:8443", None, "[2001:db8::1]:8443"),
            ("[2001:db8::1]:443", None, "[2001:db8::1]"),
        ] {
            let endpoint = Endpoint { address: address.to_owned(), server_name: name.map(str::to_owned) };
            assert_eq!(endpoint.http_host().expect("an address"), expected, "{address}");
        }
    }

    #[test]
    fn the_name_to_check_is_the_configured_one_or_else_the_host() {
        let named = Endpoint { address: "127.0.0.1:1".to_owned(), server_name: Some("ups-01.example.com".to_owned()) };
        assert_eq!(named.expected_name().ok(), ServerName::try_from("ups-01.example.com").ok());
        assert_eq!((named.shown_name(), endpoint("[::1]:1").shown_name()), ("ups-01.example.com", "::1"));
        assert_eq!(endpoint("127.0.0.1:1").expected_name().ok(), ServerName::try_from("127.0.0.1").ok());
        let wrong = Endpoint { address: "a:1".to_owned(), server_name: Some("not a name".to_owned()) };
        assert_eq!(wrong.expected_name().map_err(|e| e.reason()), Err("bad_server_name"));
    }
}
