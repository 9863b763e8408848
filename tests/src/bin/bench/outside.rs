//! Hosts that are looked at from outside: a TLS server on a thread that all of them are, since who asks is measured and not who answers.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use kagiban_tests::quickstart::Fleet;
use kagiban_tests::{handshake, http, scratch};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::table::{Aim, Row, milliseconds};
use super::{of_scrapes, start};

const HOSTS: usize = 1_000;
/// Looks at the hosts are spread over it.
const INTERVAL: Duration = Duration::from_secs(60);
const ASK_EVERY: Duration = Duration::from_millis(200);

pub(crate) fn rows() -> Result<Vec<Row>> {
    let directory = scratch::directory("bench-outside")?;
    let address = serve()?;
    let mut configuration = "discovery: {enabled: false}\noutsideHosts:\n".to_owned();
    for host in 0..HOSTS {
        writeln!(
            configuration,
            "  - {{host: h{host:04}.example.com, tlsEndpoints: [{{name: web, address: \"{address}\", interval: {}s}}]}}",
            INTERVAL.as_secs()
        )?;
    }
    let started = Instant::now();
    let exporter = start(&directory, &configuration)?;
    while seen(exporter.address())? < HOSTS {
        ensure!(started.elapsed() < 2 * INTERVAL, "{} of {HOSTS} hosts are seen", seen(exporter.address())?);
        thread::sleep(ASK_EVERY);
    }
    let all_seen = started.elapsed();
    // Past what the first looks leave.
    thread::sleep(super::SETTLED);
    let before = exporter.process.cpu()?;
    thread::sleep(INTERVAL);
    let a_minute = exporter.process.cpu()?.saturating_sub(before);
    let scraped = exporter.process.scrapes(exporter.address())?;
    let mut rows = vec![
        Row::new("1,000 hosts outside", "all seen", milliseconds(all_seen), Aim::None),
        Row::new("", "CPU a minute", milliseconds(a_minute), Aim::None),
    ];
    rows.extend(of_scrapes(&exporter, &scraped, Aim::None, Aim::None, Aim::None)?);
    Ok(rows)
}

fn seen(exporter: SocketAddr) -> Result<usize> {
    let body = http::get(exporter, "/metrics")?.body;
    let up = |line: &&str| line.starts_with("kagiban_source_up{") && line.contains("host=\"") && line.ends_with(" 1");
    Ok(body.lines().filter(up).count())
}

/// Ends with the process.
fn serve() -> Result<SocketAddr> {
    let identity = Fleet::new()?.server_identity("web.example.com")?;
    let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?)?;
    let config = Arc::new(config);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let config = Arc::clone(&config);
            // A client that breaks off is its own affair.
            thread::spawn(move || drop(handshake::answer(client, &config)));
        }
    });
    Ok(address)
}
