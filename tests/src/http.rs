//! HTTP/1.1 by hand, one request per connection: what goes over the wire is exactly what a test says.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

use crate::pki::Identity;
use crate::wait;

/// A connection with TLS.
pub type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// Beyond every deadline of the servers that are tested: theirs must come first.
const DEADLINE: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub body: String,
}

impl Response {
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body)
            .with_context(|| format!("{} with a body that is no JSON: {}", self.status, self.body))
    }
}

/// `GET` without TLS.
pub fn get(address: SocketAddr, path: &str) -> Result<Response> {
    exchange(&mut connect(address)?, &request("GET", path, None))
}

/// `POST` of JSON without TLS.
pub fn post(address: SocketAddr, path: &str, body: &str) -> Result<Response> {
    exchange(&mut connect(address)?, &request("POST", path, Some(body)))
}

/// A client of the host API.
#[derive(Clone, Debug)]
pub struct HostClient {
    pub address: SocketAddr,
    pub server_name: String,
    /// PEM.
    pub server_ca: String,
    pub identity: Option<Identity>,
}

impl HostClient {
    pub fn send(&self, method: &str, path: &str, body: Option<&str>) -> Result<Response> {
        exchange(&mut self.connect()?, &request(method, path, body))
    }

    /// Has a rotation opened for a leaf of the host's name, and delivers what `sign` makes of the request.
    pub fn rotate(
        &self,
        agent: &str,
        host: &str,
        generation: u64,
        sign: impl FnOnce(&str) -> Result<String>,
    ) -> Result<()> {
        let order = |name: &str, value: Value| {
            let mut order = json!({"epoch": 1, "generation": generation, "host": host, "agent": agent});
            order[name] = value;
            order.to_string()
        };
        let path = format!("/v1/agents/{agent}/rotations");
        let open = order("certificate", json!({"dnsNames": [host], "key": "ECDSA-P256"}));
        let opened = self.send("POST", &path, Some(&open))?;
        let csr = opened.json()?["csr"].as_str().with_context(|| format!("no request: {opened:?}"))?.to_owned();
        let chain = order("chain", json!(sign(&csr)?));
        let delivered = self.send("PUT", &format!("{path}/{generation}/chain"), Some(&chain))?;
        ensure!(delivered.status < 300, "{delivered:?}");
        Ok(())
    }

    /// The report of a rotation, once it is decided.
    pub fn wait_decided(&self, agent: &str, generation: u64, deadline: Duration) -> Result<Value> {
        let path = format!("/v1/agents/{agent}/rotations/{generation}");
        let mut last = Value::Null;
        let decided = wait::until(deadline, || {
            last = self.send("GET", &path, None).and_then(|answer| answer.json()).unwrap_or_default();
            ["Committed", "RolledBack", "Frozen"].iter().any(|end| last["state"] == *end)
        });
        decided.with_context(|| format!("generation {generation} is not decided: {last:#}"))?;
        Ok(last)
    }

    /// A connection on which a test may write what it likes.
    pub fn connect(&self) -> Result<TlsStream> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.server_ca.as_bytes())?)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let builder = builder.with_root_certificates(roots);
        let config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes())?];
                builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?)?
            }
        };
        let tls = ClientConnection::new(Arc::new(config), ServerName::try_from(self.server_name.clone())?)?;
        Ok(StreamOwned::new(tls, connect(self.address)?))
    }
}

/// The bytes of a request that asks for the connection to be closed.
pub fn request(method: &str, path: &str, body: Option<&str>) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: host\r\nConnection: close\r\n");
    if let Some(body) = body {
        // Writing to a String cannot fail.
        let _ = write!(text, "Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    }
    text.push_str("\r\n");
    text.push_str(body.unwrap_or_default());
    text.into_bytes()
}

/// Sends a request and reads the answer to its end.
pub fn exchange(stream: &mut (impl Read + Write), request: &[u8]) -> Result<Response> {
    // A server may refuse after the headers and stop reading: its answer is there all the same.
    let sent = stream.write_all(request).and_then(|()| stream.flush());
    let mut bytes = Vec::new();
    let received = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    if let Some((head, body)) = text.split_once("\r\n\r\n") {
        let status = head.split_whitespace().nth(1).and_then(|code| code.parse().ok());
        let chunked = head.to_ascii_lowercase().contains("\r\ntransfer-encoding: chunked");
        let body = if chunked { joined(body) } else { body.to_owned() };
        return Ok(Response { status: status.context("no status line")?, body });
    }
    sent.context("send the request")?;
    received.context("read the answer")?;
    anyhow::bail!("no answer: {text:?}")
}

/// A body that came in chunks, each behind its length in hexadecimal.
fn joined(chunked: &str) -> String {
    let mut body = String::new();
    let mut rest = chunked;
    while let Some((length, chunk)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length.trim(), 16).unwrap_or_default();
        let Some(text) = chunk.get(..length).filter(|text| !text.is_empty()) else { break };
        body.push_str(text);
        rest = chunk[length..].trim_start_matches("\r\n");
    }
    body
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let socket = TcpStream::connect_timeout(&address, DEADLINE).with_context(|| format!("connect to {address}"))?;
    socket.set_read_timeout(Some(DEADLINE))?;
    socket.set_write_timeout(Some(DEADLINE))?;
    Ok(socket)
}
