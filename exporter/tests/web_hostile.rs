//! Clients that mean harm, or are only slow: over plain HTTP and over TLS the others are still answered.

mod scene;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use scene::{ANY_PORT, Authority, Exporter, NAME, PATIENCE, program};

trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

struct Host {
    exporter: Exporter,
    /// Absent for plain HTTP.
    client: Option<Arc<ClientConfig>>,
    _directory: tempfile::TempDir,
}

/// One that speaks HTTP, and one that speaks TLS; both have some hundred kilobytes of metrics.
fn hosts() -> [Host; 2] {
    [false, true].map(|tls| {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        let authority = Authority::new("Fleet CA");
        fs::create_dir(path("certs")).expect("a directory");
        for number in 0..400 {
            let leaf = authority.issue(&format!("leaf {number}"), 2020..2100);
            fs::write(path("certs").join(format!("{number}.pem")), leaf.pem).expect("it can be written");
        }
        let yaml = format!("certificates: [{{name: many, paths: [{}/*]}}]\n", path("certs").display());
        fs::write(path("exporter.yaml"), yaml).expect("it can be written");
        let mut command = program(&path("exporter.yaml"));
        command.arg(ANY_PORT);
        if tls {
            let own = authority.issue("own", 2020..2100);
            fs::write(path("tls.crt"), &own.pem).expect("it can be written");
            fs::write(path("tls.key"), own.key_pem()).expect("it can be written");
            let web = "tls_server_config: {cert_file: tls.crt, key_file: tls.key}\n";
            fs::write(path("web.yaml"), web).expect("it can be written");
            command.arg("--web.config.file").arg(path("web.yaml"));
        }
        let client = tls.then(|| {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der()).expect("an authority");
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
            Arc::new(builder.expect("versions").with_root_certificates(roots).with_no_client_auth())
        });
        let host = Host { exporter: Exporter::launch(&mut command), client, _directory: directory };
        host.exporter.wait_until("it is ready", |_| host.ask("GET /-/ready HTTP/1.1\r\n").starts_with("HTTP/1.1 200"));
        host
    })
}

impl Host {
    fn address(&self) -> SocketAddr {
        self.exporter.address()
    }

    fn wire(&self) -> Box<dyn Wire> {
        wire(self.address(), self.client.clone())
    }

    fn ask(&self, head: &str) -> String {
        ask(self.wire(), head)
    }
}

fn wire(address: SocketAddr, client: Option<Arc<ClientConfig>>) -> Box<dyn Wire> {
    spoken(TcpStream::connect(address).expect("it listens"), client)
}

fn spoken(stream: TcpStream, client: Option<Arc<ClientConfig>>) -> Box<dyn Wire> {
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    match client {
        None => Box::new(stream),
        Some(client) => {
            let name = ServerName::try_from(NAME).expect("a name");
            Box::new(StreamOwned::new(ClientConnection::new(client, name).expect("a client"), stream))
        }
    }
}

/// What came until the connection ended, one way or the other.
fn ask(mut wire: Box<dyn Wire>, head: &str) -> String {
    let _ = wire.write_all(format!("{head}Host: x\r\nConnection: close\r\n\r\n").as_bytes());
    let mut answer = Vec::new();
    let _ = wire.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn two_hundred_at_once_are_all_answered_in_full() {
    for host in hosts() {
        let (address, client) = (host.address(), host.client.clone());
        let length = host.ask("GET /metrics HTTP/1.1\r\n").matches("x509_cert_info{").count();
        assert_eq!(length, 400);
        let scrapes: Vec<_> = (0..200)
            .map(|_| {
                let client = client.clone();
                std::thread::spawn(move || ask(wire(address, client), "GET /metrics HTTP/1.1\r\n"))
            })
            .collect();
        for scrape in scrapes {
            let answer = scrape.join().expect("no panic");
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer:.200}");
            assert_eq!(answer.matches("x509_cert_info{").count(), length);
        }
    }
}

#[test]
fn those_who_say_nothing_or_read_nothing_lock_nobody_out() {
    for host in hosts() {
        let silent: Vec<_> = (0..80).map(|_| TcpStream::connect(host.address()).expect("it listens")).collect();
        let slow: Vec<_> = (0..80)
            .map(|_| {
                let mut wire = host.wire();
                let _ =
                    wire.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\nGET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
                wire
            })
            .collect();
        let started = Instant::now();
        let answer = host.ask("GET /-/healthy HTTP/1.1\r\n");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
        drop((silent, slow));
    }
}

/// One address that connects again as soon as it is hung up on held all places and the whole queue of the system: a scrape of
/// another waited behind it.
#[test]
fn a_flood_from_one_address_delays_no_scrape_from_another() {
    for host in hosts() {
        let address = host.address();
        let flood =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        for _ in 0..600 {
            flood.spawn(async move {
                loop {
                    if let Ok(mut stream) = tokio::net::TcpStream::connect(address).await {
                        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
                    }
                }
            });
        }
        std::thread::sleep(Duration::from_secs(3));
        let started = Instant::now();
        for _ in 0..5 {
            let other = connect_from("127.0.0.2", address);
            let answer = ask(spoken(other, host.client.clone()), "GET /-/healthy HTTP/1.1\r\n");
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        flood.shutdown_background();
    }
}

/// From another address of this machine.
fn connect_from(own: &str, address: SocketAddr) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind(format!("{own}:0").parse().expect("an address")).expect("it is this machine's");
        socket.connect(address).await.expect("it listens")
    });
    let stream = stream.into_std().expect("a socket");
    stream.set_nonblocking(false).expect("it blocks");
    stream
}

#[test]
fn odd_methods_and_heads_are_refused_and_the_next_client_is_answered() {
    for host in hosts() {
        let head = host.ask("HEAD /metrics HTTP/1.1\r\n");
        assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head:.300}");
        for (method, length) in
            [("POST", 0), ("PUT", 5), ("DELETE", 0), ("OPTIONS", 0), ("TRACE", 0), ("ODD", 0), ("POST", 1_u64 << 40)]
        {
            let answer = host.ask(&format!("{method} /metrics HTTP/1.1\r\nContent-Length: {length}\r\n"));
            assert!(answer.starts_with("HTTP/1.1 405"), "{method}: {answer:.300}");
        }
        let large = format!("GET / HTTP/1.1\r\nX-Large: {}\r\n", "x".repeat(64 * 1024));
        let many = format!("GET / HTTP/1.1\r\n{}", "X: y\r\n".repeat(200));
        let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(64 * 1024));
        for wrong in [large.as_str(), &many, &long, "\0\0\0\0\r\n", "GET\r\n", "GET / HTTP/9.9\r\n"] {
            let answer = host.ask(wrong);
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{wrong:.40}: {answer:.300}");
            assert!(host.ask("GET /-/healthy HTTP/1.1\r\n").starts_with("HTTP/1.1 200"));
        }
        assert!(!host.exporter.log().contains("panic"), "{}", host.exporter.log());
    }
}
