//! What an endpoint serves, read off the wire by a TLS client that shares no code with the exporter's probe.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, ServerConfig, ServerConnection, SignatureScheme};
use sha2::{Digest, Sha256};

/// On loopback a healthy peer answers in milliseconds.
const DEADLINE: Duration = Duration::from_secs(5);

/// A certificate chain as served, leaf first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    pub chain: Vec<Vec<u8>>,
}

impl Served {
    /// Lower-case hexadecimal.
    pub fn leaf_sha256(&self) -> String {
        self.chain.first().map(|der| sha256(der)).unwrap_or_default()
    }
}

/// Lower-case hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// A fresh connection and handshake.
pub fn served(address: SocketAddr, server_name: &str) -> Result<Served> {
    let mut socket = TcpStream::connect_timeout(&address, DEADLINE).with_context(|| format!("connect to {address}"))?;
    socket.set_read_timeout(Some(DEADLINE))?;
    socket.set_write_timeout(Some(DEADLINE))?;
    let name = ServerName::try_from(server_name.to_owned())?;
    let mut tls = ClientConnection::new(Arc::new(config()?), name)?;
    while tls.is_handshaking() {
        tls.complete_io(&mut socket).with_context(|| format!("TLS handshake with {address}"))?;
    }
    let chain = tls.peer_certificates().context("no certificate served")?;
    Ok(Served { chain: chain.iter().map(|der| der.to_vec()).collect() })
}

/// The other end: shakes hands with a client and says goodbye. One that says nothing holds nobody for long.
pub fn answer(mut client: TcpStream, config: &Arc<ServerConfig>) -> Result<()> {
    client.set_nonblocking(false)?;
    client.set_read_timeout(Some(DEADLINE))?;
    client.set_write_timeout(Some(DEADLINE))?;
    let mut tls = ServerConnection::new(Arc::clone(config))?;
    while tls.is_handshaking() {
        tls.complete_io(&mut client)?;
    }
    tls.send_close_notify();
    tls.complete_io(&mut client)?;
    Ok(client.flush()?)
}

fn config() -> Result<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(AnyCertificate(provider.signature_verification_algorithms));
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// Takes every certificate, but not without proof that the peer has its key.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, leaf, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, leaf, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
