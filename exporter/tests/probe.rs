//! Probes against real TLS servers: what is seen, whatever is wrong with it.

mod scene;

use std::time::{Duration, Instant};

use kagiban_exporter::probe::{Endpoint, Handshake, ProbeError, Roots, TrustVerdict, probe, probe_against};
use rustls::version::{TLS12, TLS13};
use scene::{Authority, Manner, NAME, tls_server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const DEADLINE: Duration = Duration::from_secs(5);
const PLAIN: Manner<'_> = Manner { versions: &[&TLS12, &TLS13], clients_of: None };

fn endpoint(address: std::net::SocketAddr) -> Endpoint {
    Endpoint { address: address.to_string(), server_name: Some(NAME.to_owned()) }
}

fn roots_of(authority: &Authority) -> Roots {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), authority.pem()).expect("it can be written");
    Roots::from_file(file.path()).expect("an authority in PEM")
}

fn refusal(handshake: &Handshake) -> Option<&'static str> {
    match handshake.verdict.as_ref().expect("there were roots to ask") {
        TrustVerdict::Trusted => None,
        TrustVerdict::Refused { reason, .. } => Some(reason),
    }
}

#[tokio::test]
async fn a_good_chain_is_seen_and_trusted() {
    let authority = Authority::new("Fleet CA");
    let leaf = authority.issue("good", 2020..2100);
    let address = tls_server(&leaf, &PLAIN).await;
    let seen = probe_against(&endpoint(address), &roots_of(&authority), DEADLINE).await.expect("a certificate");
    assert_eq!(seen.leaf().der(), leaf.der.as_ref());
    assert!(seen.is_complete() && seen.key_proven && !seen.client_certificate_wanted);
    assert_eq!((seen.tls_version, refusal(&seen)), (Some("TLS 1.3"), None));
    assert!(seen.cipher.is_some_and(|cipher| cipher.starts_with("TLS13_")));
}

#[tokio::test]
async fn a_certificate_that_cannot_be_trusted_is_seen_and_the_reason_said() {
    let (authority, other) = (Authority::new("Fleet CA"), Authority::new("Other CA"));
    let cases = [("expired", 2019..2020), ("not_yet_valid", 2090..2100)];
    for (reason, years) in cases {
        let address = tls_server(&authority.issue(reason, years), &PLAIN).await;
        let seen = probe_against(&endpoint(address), &roots_of(&authority), DEADLINE).await.expect("a certificate");
        assert_eq!(refusal(&seen), Some(reason));
        assert_eq!(seen.leaf().subject_cn(), Some(reason));
    }
    let address = tls_server(&authority.issue("good", 2020..2100), &PLAIN).await;
    let seen = probe_against(&endpoint(address), &roots_of(&other), DEADLINE).await.expect("a certificate");
    assert_eq!(refusal(&seen), Some("unknown_issuer"));
    let elsewhere = Endpoint { server_name: Some("other.example.com".to_owned()), ..endpoint(address) };
    let seen = probe_against(&elsewhere, &roots_of(&authority), DEADLINE).await.expect("a certificate");
    assert_eq!(refusal(&seen), Some("name_mismatch"));
}

#[tokio::test]
async fn a_server_that_wants_a_client_certificate_shows_its_own() {
    let authority = Authority::new("Fleet CA");
    let leaf = authority.issue("mutual", 2020..2100);
    const OLD: &[&rustls::SupportedProtocolVersion] = &[&TLS12];
    const NEW: &[&rustls::SupportedProtocolVersion] = &[&TLS13];
    for versions in [OLD, NEW] {
        let manner = Manner { versions, clients_of: Some(&authority) };
        let address = tls_server(&leaf, &manner).await;
        let seen = probe(&endpoint(address), DEADLINE).await.expect("a certificate");
        assert_eq!(seen.leaf().der(), leaf.der.as_ref());
        assert!(seen.client_certificate_wanted && seen.key_proven && seen.verdict.is_none());
        assert_eq!(seen.is_complete(), versions == NEW, "a TLS 1.2 server refuses within the handshake");
    }
}

/// Listens, and says `words` to whoever comes, then closes or waits.
async fn odd_server(words: &'static [u8], stays: bool) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(words).await;
            let _ = stream.flush().await;
            if stays {
                kept.push(stream);
            } else {
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            }
        }
    });
    address
}

async fn reason(address: &str, deadline: Duration) -> &'static str {
    let endpoint = Endpoint { address: address.to_owned(), server_name: Some(NAME.to_owned()) };
    probe(&endpoint, deadline).await.map_or_else(|error: ProbeError| error.reason(), |_| "seen")
}

#[tokio::test]
async fn what_shows_no_certificate_is_told_apart() {
    let alert = [0x15, 3, 3, 0, 2, 2, 70];
    let alert: &'static [u8] = Box::leak(Box::new(alert));
    let cases = [
        (odd_server(b"SSH-2.0-OpenSSH_9.2\r\n", true).await.to_string(), "not_tls"),
        (odd_server(b"HTTP/1.1 400 Bad Request\r\n\r\n", true).await.to_string(), "not_tls"),
        (odd_server(alert, true).await.to_string(), "tls_alert"),
        ("127.0.0.1:1".to_owned(), "connect"),
        ("name.invalid:443".to_owned(), "dns"),
        ("no port".to_owned(), "bad_address"),
    ];
    for (address, expected) in cases {
        assert_eq!(reason(&address, DEADLINE).await, expected, "{address}");
    }
}

/// A port that is mistaken is told by what the peer was seen to do.
#[tokio::test]
async fn what_the_peer_did_instead_of_speaking_tls_is_said() {
    for (sent, reason, words) in [
        (&b"HTTP/1.0 400 Bad Request\r\n\r\n"[..], "not_tls", "the peer spoke HTTP and not TLS"),
        (b"ERR", "not_tls", "sent bytes that are no TLS"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "not_tls", "the peer spoke SSH and not TLS"),
        (b"", "timeout", "sent nothing; it may speak another protocol"),
    ] {
        let address = odd_server(sent, true).await;
        let error = probe(&endpoint(address), Duration::from_millis(600)).await.expect_err("it speaks no TLS");
        assert_eq!(error.reason(), reason, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
        }
    });
    let error = probe(&endpoint(address), Duration::from_secs(5)).await.expect_err("it hangs up");
    assert_eq!(error.reason(), "closed", "{error}");
    assert!(error.to_string().contains("closed the connection without answering"), "{error}");
}

#[tokio::test]
async fn a_silent_server_is_left_when_the_deadline_has_come() {
    let address = odd_server(b"", true).await.to_string();
    let started = Instant::now();
    assert_eq!(reason(&address, Duration::from_millis(300)).await, "timeout");
    assert!(started.elapsed() < Duration::from_secs(3));
}

/// Answers greetings of TLS 1.0 alone with the first flight of a server of that age, and later ones with nothing at all.
async fn old_server(chain: &[&[u8]]) -> std::net::SocketAddr {
    let listed = |body: &[u8]| [&u32::try_from(body.len()).expect("short").to_be_bytes()[1..], body].concat();
    let message = |kind: u8, body: &[u8]| [&[kind][..], &listed(body)].concat();
    let certificates = listed(&chain.iter().flat_map(|one| listed(one)).collect::<Vec<_>>());
    let hello = [&[3, 1][..], &[7; 32], &[0, 0, 0x2f, 0]].concat();
    let flight = [message(2, &hello), message(11, &certificates), message(14, &[])].concat();
    let record =
        |part: &[u8]| [&[22, 3, 1][..], &u16::try_from(part.len()).expect("short").to_be_bytes(), part].concat();
    let flight: Vec<u8> = flight.chunks(1000).flat_map(record).collect();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut greeting = [0; 11];
            let _ = stream.read_exact(&mut greeting).await;
            if greeting[9..] == [3, 1] {
                let _ = stream.write_all(&flight).await;
            }
            kept.push(stream);
        }
    });
    address
}

/// Holds R12: what it does not understand it leaves unanswered, as some load balancers of its age.
#[tokio::test]
async fn an_old_server_that_falls_silent_at_a_later_greeting_is_seen_within_the_deadline() {
    let leaf = Authority::new("Fleet CA").issue("old", 2020..2100);
    let address = old_server(&[&leaf.der]).await;
    let started = Instant::now();
    let seen = probe(&endpoint(address), Duration::from_secs(2)).await.expect("a certificate");
    assert_eq!((seen.leaf().der(), seen.tls_version), (leaf.der.as_ref(), Some("TLS 1.0")));
    assert!(!seen.key_proven && started.elapsed() < Duration::from_secs(4));
}

/// Holds R7: as in files, a certificate that cannot be read is told by its place and hides no other.
#[tokio::test]
async fn a_certificate_of_the_chain_that_cannot_be_read_hides_no_other_whichever_it_is() {
    let authority = Authority::new("Fleet CA");
    let [leaf, issuer] = ["leaf", "issuer"].map(|name| authority.issue(name, 2020..2100));
    let address = old_server(&[&leaf.der, b"\x30\x03\x02\x01\x05", &issuer.der]).await;
    let seen = probe(&endpoint(address), Duration::from_secs(2)).await.expect("a certificate");
    let places: Vec<_> = seen.served.certificates().iter().map(|(place, one)| (*place, one.subject_cn())).collect();
    assert_eq!(places, [(0, Some("leaf")), (2, Some("issuer"))]);
    assert_eq!(seen.served.faults()[0].place, "certificate 2 of the chain");
    assert_eq!((seen.served.certificates().len(), seen.served.faults().len()), (2, 1));

    let address = old_server(&[b"\x30\x03\x02\x01\x05", &issuer.der]).await;
    match probe(&endpoint(address), Duration::from_secs(2)).await {
        Err(ProbeError::Malformed { served, .. }) => {
            let [(1, only)] = served.certificates() else { panic!("{served:?}") };
            assert_eq!((only.subject_cn(), served.leaf()), (Some("issuer"), None));
            assert_eq!(served.faults()[0].place, "certificate 1 of the chain");
        }
        other => panic!("{other:?}"),
    }
}

/// A port that closes whatever it is told is not knocked at again and again.
#[tokio::test]
async fn a_server_that_only_hangs_up_is_asked_twice_a_look() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let connections = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let _ = stream.read(&mut [0; 4096]).await;
        }
    });
    assert_eq!(reason(&address.to_string(), DEADLINE).await, "closed");
    assert_eq!(connections.load(std::sync::atomic::Ordering::SeqCst), 2);
}
