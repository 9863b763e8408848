//! Who is let in, and how long they may take.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use kagiban_crds::host_api::{MAX_REQUEST_BYTES, RefusalReason};
use rcgen::ExtendedKeyUsagePurpose;
use support::World;
use support::pki::Authority;
use support::wire::{Api, OPERATOR, receive};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

const GET_HOST: &str = "GET /v1/host HTTP/1.1";
const OPEN: &str = "POST /v1/agents/agent/rotations HTTP/1.1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_trusted_client_with_an_authorised_name_is_answered() {
    let world = World::pem_pair().await;
    let api = Api::start(&world).await;
    assert_eq!(api.send(Some(&api.operator), GET_HOST, b"").await.unwrap().status, 200);

    assert!(api.send(None, GET_HOST, b"").await.is_err(), "no certificate");
    let stranger = Authority::new("clients").client(OPERATOR);
    assert!(api.send(Some(&stranger), GET_HOST, b"").await.is_err(), "another CA of the same name");
    let expired = api.fleet.issue(OPERATOR, ExtendedKeyUsagePurpose::ClientAuth, 2021);
    assert!(api.send(Some(&expired), GET_HOST, b"").await.is_err(), "expired");
    let server = api.fleet.issue(OPERATOR, ExtendedKeyUsagePurpose::ServerAuth, 2049);
    assert!(api.send(Some(&server), GET_HOST, b"").await.is_err(), "a server's certificate");

    for name in ["other.example.com", "Operator.example.com", "a.operator.example.com", "*.example.com"] {
        let other = api.fleet.client(name);
        let reply = api.send(Some(&other), GET_HOST, b"").await.unwrap();
        assert_eq!(reply.reason(), RefusalReason::ClientNotAuthorised, "{name}");
        let reply = api.send(Some(&other), "GET /nowhere HTTP/1.1", b"").await.unwrap();
        assert_eq!(reply.reason(), RefusalReason::ClientNotAuthorised, "{name} learns nothing of the routes");
    }
    api.stop().await;
}

/// Holds A18: a URI is no DNS name, though it is spelled like one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_uri_name_satisfies_no_dns_name_and_counts_only_where_a_uri_was_named() {
    const URI: &str = "spiffe://example.com/kagiban-operator";
    let world = World::pem_pair().await;
    let api = Api::start(&world).await;
    for uri in [OPERATOR, URI] {
        let reply = api.send(Some(&api.fleet.client_with_uri(uri)), GET_HOST, b"").await.unwrap();
        assert_eq!(reply.reason(), RefusalReason::ClientNotAuthorised, "{uri}");
    }
    api.stop().await;

    let world = World::pem_pair().await;
    let named = format!(", clientNames: ['uri:{URI}']");
    let api = Api::start_with(&world, Authority::new("clients"), &named).await;
    let status = async |client| api.send(Some(&client), GET_HOST, b"").await.unwrap().status;
    assert_eq!(status(api.fleet.client_with_uri(URI)).await, 200);
    assert_eq!(status(api.fleet.client_with_uri("spiffe://example.com/other")).await, 403);
    assert_eq!(status(api.fleet.client(OPERATOR)).await, 403);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_too_large_or_encoded_or_no_json_is_refused() {
    let world = World::pem_pair().await;
    let api = Api::start(&world).await;
    let send = async |head: &str, body: &[u8]| api.send(Some(&api.operator), head, body).await.unwrap().reason();
    assert_eq!(send(OPEN, &vec![b' '; MAX_REQUEST_BYTES + 1]).await, RefusalReason::BodyTooLarge);
    assert_eq!(send(&format!("{OPEN}\r\nContent-Encoding: gzip"), b"{}").await, RefusalReason::UnsupportedEncoding);
    assert_eq!(send(OPEN, b"{}").await, RefusalReason::Malformed);
    assert_eq!(send(OPEN, br#"{"storePassword":"canary"#).await, RefusalReason::Malformed);
    assert_eq!(send("DELETE /v1/host HTTP/1.1", b"").await, RefusalReason::MethodNotAllowed);
    assert_eq!(send("GET /v1/agents/..%2f..%2fetc HTTP/1.1", b"").await, RefusalReason::NotFound);

    // Without an announced length the cap holds while it streams.
    let mut stream = api.connect(Some(&api.operator)).await.unwrap();
    let head = format!("{OPEN}\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("4000\r\n{}\r\n", " ".repeat(0x4000));
    for _ in 0..8 {
        let _ = stream.write_all(chunk.as_bytes()).await;
    }
    assert_eq!(receive(&mut stream).await.unwrap().reason(), RefusalReason::BodyTooLarge);

    // A client that goes on sending hears the answer, and not only that the connection was reset.
    let mut stream = api.connect(Some(&api.operator)).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..48 {
        stream.write_all(chunk.as_bytes()).await.expect("it is read");
    }
    assert_eq!(receive(&mut stream).await.unwrap().reason(), RefusalReason::BodyTooLarge);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_never_ends_is_refused_in_time() {
    let world = World::pem_pair().await;
    let api = Api::start(&world).await;
    let mut stream = api.connect(Some(&api.operator)).await.unwrap();
    let head = format!("{OPEN}\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{");
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(receive(&mut stream).await.unwrap().reason(), RefusalReason::TooSlow);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_do_nothing_lock_nobody_out() {
    let world = World::pem_pair().await;
    let api = Api::start(&world).await;
    let mut idle = Vec::new();
    for _ in 0..50 {
        idle.push(TcpStream::connect(api.address).await.unwrap());
    }
    let mut half = Vec::new();
    for _ in 0..8 {
        let mut stream = api.connect(Some(&api.operator)).await.unwrap();
        stream.write_all(b"GET /v1/ho").await.unwrap();
        half.push(stream);
    }
    let asked = Instant::now();
    assert_eq!(api.send(Some(&api.operator), GET_HOST, b"").await.unwrap().status, 200);
    // They are let go after five seconds.
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    api.stop().await;
}

/// Beside each handshake of a client, another address opens more connections than there are places, some of which begin
/// a handshake, and holds them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_from_one_address_takes_no_request_from_another() {
    const REQUESTS: usize = 50;
    let world = World::pem_pair().await;
    let api = Api::start(&world).await;
    let (mut held, mut failed) = (VecDeque::new(), 0);
    for _ in 0..REQUESTS {
        let flood = async {
            for connection in 0..100 {
                held.push_back(open_from_elsewhere(api.address, connection % 2 == 0).await);
                if held.len() > 200 {
                    held.pop_front();
                }
            }
        };
        let (reply, ()) = tokio::join!(api.send(Some(&api.operator), GET_HOST, b""), flood);
        failed += usize::from(!reply.is_ok_and(|reply| reply.status == 200));
    }
    assert_eq!(failed, 0, "of {REQUESTS} requests");
    api.stop().await;
}

async fn open_from_elsewhere(address: SocketAddr, begins_a_handshake: bool) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::new(127, 0, 0, 2), 0).into()).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    if begins_a_handshake {
        // The head of a record that never comes. It may meet a connection that made room already.
        let _ = stream.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00]).await;
    }
    stream
}
