//! Whether an SNMP agent is there at all, whatever our credentials: every agent that speaks v3 answers a discovery, which takes
//! no credentials.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use async_snmp::message::V3Message;
use async_snmp::{DecodeConfig, PduType, UDP_RECEIVE_LIMITS};
use hyper::body::Bytes;
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// A Report has some 100 bytes.
const MAX_BYTES: usize = 2048;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PortState {
    Answers,
    /// The host is there and nothing listens.
    Closed,
    Silent,
}

/// Sends one discovery and waits for its Report. Only a datagram from that address counts.
pub(super) async fn knock(address: SocketAddr, wait: Duration) -> PortState {
    match timeout(wait, exchange(address)).await {
        Ok(Ok(())) => PortState::Answers,
        Ok(Err(error)) if is_refusal(error.kind()) => PortState::Closed,
        Ok(Err(_)) | Err(_) => PortState::Silent,
    }
}

/// Windows calls it a reset of the connection that there is none of.
const fn is_refusal(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset)
}

async fn exchange(address: SocketAddr) -> io::Result<()> {
    let any = if address.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(address).await?;
    let id = async_snmp::transport::alloc_request_id();
    let request = V3Message::discovery_request(id, UDP_RECEIVE_LIMITS.advertised()).map_err(io::Error::other)?;
    socket.send(&request.encode().map_err(io::Error::other)?).await?;
    let mut buffer = vec![0; MAX_BYTES];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if is_report(Bytes::copy_from_slice(&buffer[..length]), id) {
            return Ok(());
        }
    }
}

fn is_report(datagram: Bytes, id: i32) -> bool {
    V3Message::decode(datagram, DecodeConfig::DEFAULT).is_ok_and(|decoded| {
        decoded.value.msg_id() == id && decoded.value.pdu().is_some_and(|pdu| pdu.pdu_type() == PduType::Report)
    })
}
