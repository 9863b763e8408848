//! A client of the host API that is not the operator's: one request per connection, byte by byte where asked.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kagiban_crds::host_api::{Refusal, RefusalReason, RotationReport};
use kagiban_exporter::config::{AgentConfig, HostApiConfig};
use kagiban_exporter::host_api::{self, ListeningApi};
use kagiban_exporter::service::{Rotations, Setup};
use kagiban_exporter::snapshot::Board;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use super::pki::{Authority, Identity};
use super::{AGENT, HOST, World, delivery, host, open};

pub const OPERATOR: &str = "operator.example.com";

/// A host API that runs, and who may speak to it.
pub struct Api {
    pub address: SocketAddr,
    pub fleet: Authority,
    pub operator: Identity,
    pub board: Arc<Board>,
    shutdown: CancellationToken,
    running: Option<(ListeningApi, Rotations)>,
}

pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
}

/// What a host API is configured with.
pub struct HostApiFiles {
    fleet: Authority,
    directory: PathBuf,
}

impl HostApiFiles {
    pub fn write(world: &World, fleet: Authority) -> Self {
        let at = |name: &str| world.directory.path().join(name);
        let server = fleet.server(HOST);
        std::fs::write(at("api.crt"), &server.chain).unwrap();
        std::fs::write(at("api.key"), &server.key).unwrap();
        std::fs::write(at("clients.crt"), &fleet.pem).unwrap();
        Self { fleet, directory: world.directory.path().to_owned() }
    }

    /// The section `hostApi`, on any port.
    pub fn config(&self, more: &str) -> String {
        let at = |name: &str| self.directory.join(name);
        let names = if more.contains("clientNames") { String::new() } else { format!(", clientNames: [{OPERATOR}]") };
        format!(
            "{{listenAddress: '127.0.0.1:0', certificateFile: {}, keyFile: {}, clientCaFile: {}, \
             maxConnections: 4, requestTimeout: 3s{names}{more}}}",
            at("api.crt").display(),
            at("api.key").display(),
            at("clients.crt").display(),
        )
    }

    /// Who speaks to a host API that somebody else has started.
    pub fn client(self, address: SocketAddr) -> Api {
        let (operator, shutdown) = (self.fleet.client(OPERATOR), CancellationToken::new());
        Api { address, fleet: self.fleet, operator, board: Arc::default(), shutdown, running: None }
    }
}

impl Api {
    pub async fn start(world: &World) -> Self {
        Self::start_with(world, Authority::new("clients"), "").await
    }

    /// With these client certificates' authority, and more of the section `hostApi`.
    pub async fn start_with(world: &World, fleet: Authority, more: &str) -> Self {
        Self::start_on(world, vec![world.agent.clone()], HostApiFiles::write(world, fleet), more).await
    }

    /// With another agent, whose files lie elsewhere.
    pub async fn start_beside(world: &World, other: AgentConfig) -> Self {
        let files = HostApiFiles::write(world, Authority::new("clients"));
        Self::start_on(world, vec![world.agent.clone(), other], files, "").await
    }

    /// The same, letting in the clients of all authorities of a bundle.
    pub async fn start_with_bundle(world: &World, fleet: Authority, bundle: &Path, more: &str) -> Self {
        let files = HostApiFiles::write(world, fleet);
        std::fs::copy(bundle, world.directory.path().join("clients.crt")).unwrap();
        Self::start_on(world, vec![world.agent.clone()], files, more).await
    }

    async fn start_on(world: &World, agents: Vec<AgentConfig>, files: HostApiFiles, more: &str) -> Self {
        let config: HostApiConfig = serde_yaml::from_str(&files.config(more)).unwrap();
        let shutdown = CancellationToken::new();
        let setup = Setup {
            host: host(),
            agents,
            refused: Vec::new(),
            power: world.power(),
            state_directory: world.state(),
            lineage: None,
        };
        let board = Arc::<Board>::default();
        let mut rotations = Rotations::start(setup, Arc::clone(&board), shutdown.clone());
        rotations.files_are_whole().await;
        rotations.finish();
        rotations.settled().await;
        let workers = rotations.workers().await.expect("the state directory is free");
        let running = host_api::start(&config, workers, Arc::clone(&board), shutdown.clone()).await.unwrap();
        let client = files.client(running.local_addr);
        Self { board, shutdown, running: Some((running, rotations)), ..client }
    }

    pub async fn stop(mut self) {
        self.shutdown.cancel();
        if let Some((running, rotations)) = self.running.take() {
            running.task.await.unwrap();
            rotations.end().await;
        }
    }

    pub async fn connect(&self, client: Option<&Identity>) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.fleet.der.clone())).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match client {
            None => builder.with_no_client_auth(),
            Some(client) => {
                let chain = CertificateDer::pem_slice_iter(client.chain.as_bytes()).map(Result::unwrap).collect();
                builder
                    .with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(client.key.as_bytes()).unwrap())
                    .unwrap()
            }
        };
        let stream = TcpStream::connect(self.address).await?;
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(HOST).unwrap(), stream).await
    }

    /// # Errors
    /// When the connection was refused before an answer.
    pub async fn send(&self, client: Option<&Identity>, head: &str, body: &[u8]) -> std::io::Result<Reply> {
        let mut stream = self.connect(client).await?;
        let text = format!("{head}\r\nHost: {HOST}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(text.as_bytes()).await?;
        // A refused body is not read to its end, and the rest of it meets a closed door.
        let _ = stream.write_all(body).await;
        receive(&mut stream).await
    }

    pub async fn ask<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Refusal> {
        let body = if method == "GET" { Vec::new() } else { serde_json::to_vec(body).unwrap() };
        let reply = self.send(Some(&self.operator), &format!("{method} /v1/{path} HTTP/1.1"), &body).await.unwrap();
        if reply.status < 300 { Ok(reply.json()) } else { Err(reply.refusal()) }
    }

    pub async fn open(&self, epoch: u64, generation: u64) -> Result<RotationReport, Refusal> {
        self.ask("POST", &format!("agents/{AGENT}/rotations"), &open(epoch, generation)).await
    }

    pub async fn renew(&self, epoch: u64, generation: u64) -> Result<RotationReport, Refusal> {
        self.ask("POST", &format!("agents/{AGENT}/renewals"), &super::renewal(epoch, generation)).await
    }

    pub async fn deliver(&self, epoch: u64, generation: u64, chain: &str) -> Result<RotationReport, Refusal> {
        let path = format!("agents/{AGENT}/rotations/{generation}/chain");
        self.ask("PUT", &path, &delivery(epoch, generation, chain)).await
    }

    pub async fn decided(&self, generation: u64) -> RotationReport {
        let path = format!("agents/{AGENT}/rotations/{generation}");
        for _ in 0..1000 {
            let report: RotationReport = self.ask("GET", &path, &()).await.unwrap();
            if report.state.is_decided() {
                return report;
            }
            sleep(Duration::from_millis(20)).await;
        }
        panic!("the rotation is not decided");
    }
}

impl Reply {
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", String::from_utf8_lossy(&self.body)))
    }

    pub fn refusal(&self) -> Refusal {
        let refusal: Refusal = self.json();
        assert_eq!(self.status, refusal.reason.status());
        refusal
    }

    pub fn reason(&self) -> RefusalReason {
        self.refusal().reason
    }
}

/// # Errors
/// When the connection ended without an answer.
pub async fn receive(stream: &mut TlsStream<TcpStream>) -> std::io::Result<Reply> {
    let mut bytes = Vec::new();
    let read = timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes)).await.expect("an answer in time");
    let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
        return Err(read.err().unwrap_or_else(|| std::io::ErrorKind::UnexpectedEof.into()));
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    Ok(Reply { status, body: bytes[end + 4..].to_vec() })
}
