//! The handshake itself: everything that a server shows before it, or we, hang up.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join;
use kagiban_keystore::Certificate;
use kagiban_serving::{BudgetSpent, Budgeted, ByteBudget};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::{ClientConfig, InvalidMessage};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::broken::Broken;
use super::dial::{Dialled, Endpoint, dial};
use super::old_tls::{self, Spoken};
use super::recorder::{RecordedHandshake, Recorder};
use super::tap::{FirstBytes, Spoke, Tapped};
use super::{ProbeError, Roots, ServedChain, TrustVerdict, error};
use crate::blocking::Work;
use crate::proven::Proven;

/// A farewell is a courtesy to the server's log; nothing is lost without it.
const FAREWELL: Duration = Duration::from_millis(200);
/// rustls takes no larger message, whose size it does not tell.
const TOO_LARGE_A_CHAIN: &str = "it sends a message of more than 65535 bytes: a chain of too many certificates; serve the leaf and its intermediates alone";

/// Of a handshake as it is sent: its largest messages, of 64 KiB each, in records of a usual size.
const MAX_RECEIVED_BYTES: u64 = 1 << 20;

/// What was seen.
#[derive(Clone, Debug)]
pub struct Handshake {
    /// The leaf can be read; cut after 16.
    pub served: ServedChain,
    /// The server signed the handshake with the key of the leaf.
    pub key_proven: bool,
    /// The server asked for a client certificate; it may do without.
    pub client_certificate_wanted: bool,
    /// Why the handshake did not come to its end, although the chain was seen.
    pub failure: Option<Broken>,
    /// As `TLS 1.2`; absent when the server was not heard to choose one.
    pub tls_version: Option<&'static str>,
    /// The name that IANA registered, as `TLS13_AES_256_GCM_SHA384`; absent when the server was not heard to choose one.
    pub cipher: Option<String>,
    pub phases: Phases,
    /// Who answered.
    pub peer: SocketAddr,
    /// Whether that is an address of this host.
    pub is_own_address: bool,
    /// Whether the chain can be trusted for the expected name now; absent when there were no roots to ask.
    pub verdict: Option<TrustVerdict>,
}

/// How long each phase took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Phases {
    pub dns: Duration,
    pub connect: Duration,
    pub handshake: Duration,
}

impl Handshake {
    pub fn leaf(&self) -> &Certificate {
        self.served.leaf().expect("a handshake's chain has a leaf")
    }

    /// Whether both sides finished; a server that then refuses for want of a client certificate is not waited for.
    pub const fn is_complete(&self) -> bool {
        self.failure.is_none()
    }
}

/// Shakes hands within the deadline, DNS included. Trust is not judged: [`Handshake::verdict`] is `None`.
///
/// # Errors
/// Only when no certificate was seen at all.
pub async fn probe(endpoint: &Endpoint, deadline: Duration) -> Result<Handshake, ProbeError> {
    probe_for(Work::SourceNames, endpoint, None, deadline).await
}

/// Like [`probe`], and judges the chain against `roots`.
///
/// # Errors
/// Only when no certificate was seen at all.
pub async fn probe_against(endpoint: &Endpoint, roots: &Roots, deadline: Duration) -> Result<Handshake, ProbeError> {
    probe_for(Work::SourceNames, endpoint, Some(roots), deadline).await
}

/// The same; `names` is whose threads a name is looked up on.
///
/// # Errors
/// Only when no certificate was seen at all.
pub(crate) async fn probe_for(
    names: Work,
    endpoint: &Endpoint,
    roots: Option<&Roots>,
    deadline: Duration,
) -> Result<Handshake, ProbeError> {
    let deadline = Instant::now() + deadline;
    // A name that is none is told whether anybody answers or not.
    endpoint.expected_name()?;
    let dialled = dial(endpoint, names, deadline).await?;
    let patience = Instant::now() + deadline.saturating_duration_since(Instant::now()) / 2;
    let mut handshake = pin!(shake_hands(endpoint, dialled, roots, deadline));
    match timeout_at(patience, &mut handshake).await {
        // Such an answer has who speaks nothing that is spoken here.
        Ok(Err(error @ (ProbeError::TlsAlert { .. } | ProbeError::Closed { .. } | ProbeError::Protocol { .. }))) => {
            in_the_clear(names, endpoint, roots, deadline).await.unwrap_or(Err(error))
        }
        Ok(seen) => seen,
        // Some servers of old fall silent at a greeting that they do not understand, and others are slow: the handshake goes on.
        Err(_) => {
            let (seen, in_the_clear) = join(handshake, in_the_clear(names, endpoint, roots, deadline)).await;
            match seen {
                Err(error) => in_the_clear.unwrap_or(Err(error)),
                seen => seen,
            }
        }
    }
}

/// What a server shows in the clear that speaks nothing newer than TLS 1.2, and nothing of that which is spoken here.
async fn in_the_clear(
    names: Work,
    endpoint: &Endpoint,
    roots: Option<&Roots>,
    deadline: Instant,
) -> Option<Result<Handshake, ProbeError>> {
    let name = endpoint.expected_name().ok()?;
    let started = Instant::now();
    let (flight, Dialled { dns, connect, peer, is_own_address, .. }) =
        old_tls::first_flight(names, endpoint, deadline).await?;
    let handshake = started.elapsed().saturating_sub(dns + connect);
    let spoken = Spoken::of(&flight);
    let seen = RecordedHandshake {
        client_certificate_wanted: flight.client_certificate_wanted,
        chain: flight.chain,
        key_proven: false,
    };
    Some(parse(&seen, &endpoint.address).map(|served| Handshake {
        served,
        verdict: roots.map(|roots| roots.judge(&seen.chain, &name, UnixTime::now())),
        key_proven: false,
        client_certificate_wanted: seen.client_certificate_wanted,
        failure: Some(spoken.broken()),
        tls_version: Some(spoken.version),
        cipher: Some(spoken.suite),
        phases: Phases { dns, connect, handshake },
        peer,
        is_own_address,
    }))
}

/// The second half of [`probe_for`], for who wants to know who answered whatever comes of it.
///
/// # Errors
/// Only when no certificate was seen at all.
pub(crate) async fn shake_hands(
    endpoint: &Endpoint,
    Dialled { stream, dns, connect, peer, is_own_address }: Dialled,
    roots: Option<&Roots>,
    deadline: Instant,
) -> Result<Handshake, ProbeError> {
    let name = endpoint.expected_name()?;
    let started = Instant::now();
    let recorder = Arc::<Recorder>::default();
    let first = FirstBytes::default();
    let stream = Budgeted::new(Tapped::new(stream, first.clone()), ByteBudget::new(MAX_RECEIVED_BYTES));
    let outcome = negotiate(&recorder, name.clone(), stream, deadline).await;
    let phases = Phases { dns, connect, handshake: started.elapsed() };

    let seen = recorder.seen();
    let (session, failure) = match outcome {
        Ok(stream) => (Session::of(stream).await, None),
        Err(cause) if seen.chain.is_empty() => {
            return Err(cause.before_certificate(&endpoint.address, first.spoke()));
        }
        Err(cause) => (Session::default(), Some(cause.after_certificate(&seen))),
    };
    Ok(Handshake {
        served: parse(&seen, &endpoint.address)?,
        verdict: roots.map(|roots| roots.judge(&seen.chain, &name, UnixTime::now())),
        key_proven: seen.key_proven,
        client_certificate_wanted: seen.client_certificate_wanted,
        failure,
        tls_version: session.tls_version,
        cipher: session.cipher,
        phases,
        peer,
        is_own_address,
    })
}

/// A connection for who has something to say to whoever answers there. No certificate is judged, but its key is proven.
///
/// # Errors
/// When the handshake does not come to its end.
pub(crate) async fn converse(
    names: Work,
    endpoint: &Endpoint,
    deadline: Instant,
) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static, ProbeError> {
    let name = endpoint.expected_name()?;
    let dialled = dial(endpoint, names, deadline).await?;
    let first = FirstBytes::default();
    let budget = ByteBudget::new(MAX_RECEIVED_BYTES);
    let stream = Budgeted::new(Tapped::new(dialled.stream, first.clone()), budget);
    let shaken = negotiate(&Arc::default(), name, stream, deadline).await;
    shaken.map_err(|cause| cause.before_certificate(&endpoint.address, first.spoke()))
}

async fn negotiate(
    recorder: &Arc<Recorder>,
    name: ServerName<'static>,
    stream: Budgeted<Tapped>,
    deadline: Instant,
) -> Result<TlsStream<Budgeted<Tapped>>, BrokenOff> {
    let connector = TlsConnector::from(Arc::new(client_config(recorder)));
    match timeout_at(deadline, connector.connect(name, stream)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(BrokenOff::Handshake(error)),
        Err(_) => Err(BrokenOff::Timeout),
    }
}

/// Resumption is off: a resumed session shows no certificate.
fn client_config(recorder: &Arc<Recorder>) -> ClientConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Proven::new(Arc::clone(recorder), provider.signature_verification_algorithms);
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .expect("the provider's suites serve the versions that rustls itself lists")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::clone(recorder) as _);
    config.resumption = Resumption::disabled();
    config
}

/// What the server showed; an error where the leaf, which is all that a handshake is about, cannot be read.
fn parse(seen: &RecordedHandshake, address: &str) -> Result<ServedChain, ProbeError> {
    if seen.chain.is_empty() {
        return Err(ProbeError::NoCertificate { address: address.to_owned() });
    }
    let served = ServedChain::of(&seen.chain);
    match served.leaf() {
        None => Err(ProbeError::Malformed { address: address.to_owned(), served: Box::new(served) }),
        Some(_) => Ok(served),
    }
}

/// What only a finished handshake tells.
#[derive(Default)]
struct Session {
    tls_version: Option<&'static str>,
    cipher: Option<String>,
}

impl Session {
    async fn of(mut stream: TlsStream<Budgeted<Tapped>>) -> Self {
        let (_, connection) = stream.get_ref();
        let tls_version = match connection.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => Some("TLS 1.2"),
            Some(rustls::ProtocolVersion::TLSv1_3) => Some("TLS 1.3"),
            _ => None,
        };
        let cipher = connection.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
        let _ = timeout(FAREWELL, stream.shutdown()).await;
        Self { tls_version, cipher }
    }
}

/// How a handshake broke off.
#[derive(Debug, thiserror::Error)]
enum BrokenOff {
    #[error("no answer within the deadline")]
    Timeout,
    #[error("{0}")]
    Handshake(io::Error),
}

impl BrokenOff {
    fn after_certificate(self, seen: &RecordedHandshake) -> Broken {
        let reason = match &self {
            Self::Timeout => "timeout",
            Self::Handshake(_) if seen.client_certificate_wanted => "client_certificate_wanted",
            Self::Handshake(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(rustls::Error::AlertReceived(_)) => "refused",
                _ => "not_finished",
            },
        };
        Broken { reason, message: self.to_string() }
    }

    fn before_certificate(self, address: &str, spoke: Spoke) -> ProbeError {
        let address = address.to_owned();
        let error = match (self, spoke) {
            (Self::Timeout, Spoke::Nothing) => return ProbeError::Timeout { address, phase: error::GREETED },
            (Self::Timeout, Spoke::Tls) => return ProbeError::Timeout { address, phase: "handshake" },
            (Self::Timeout, spoke) => return ProbeError::NotTls { address, spoke },
            (Self::Handshake(error), _) => error,
        };
        if BudgetSpent::is(&error) {
            return ProbeError::Protocol { address, detail: "it sends more than any handshake has".to_owned() };
        }
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::AlertReceived(alert)) => ProbeError::TlsAlert { address, alert: format!("{alert:?}") },
            Some(rustls::Error::InvalidMessage(InvalidMessage::HandshakePayloadTooLarge)) => {
                ProbeError::Protocol { address, detail: TOO_LARGE_A_CHAIN.to_owned() }
            }
            Some(rustls::Error::InvalidMessage(_)) => ProbeError::NotTls { address, spoke },
            Some(rustls::Error::NoCertificatesPresented) => ProbeError::NoCertificate { address },
            Some(other) => ProbeError::Protocol { address, detail: other.to_string() },
            None if matches!(spoke, Spoke::Nothing | Spoke::Tls) => ProbeError::Closed { address, spoke },
            None => ProbeError::NotTls { address, spoke },
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// Holds A17: a record of TLS 1.3 may be padding but for one byte, and nothing counted what a handshake brings.
    #[tokio::test]
    async fn a_handshake_that_brings_more_than_any_has_is_given_up_and_says_so() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let stream = TcpStream::connect(address).await.expect("a connection");
        let (mut peer, _) = listener.accept().await.expect("a connection");
        // The head of a message of 4 KiB, which comes in records of one byte.
        peer.write_all(&[22, 3, 3, 0, 4, 2, 0, 16, 0]).await.expect("sent");
        peer.write_all(&[22, 3, 3, 0, 1, 0].repeat(300)).await.expect("sent");
        let first = FirstBytes::default();
        let stream = Budgeted::new(Tapped::new(stream, first.clone()), ByteBudget::new(1024));
        let name = ServerName::try_from("ups-01.example.com").expect("a name");
        let within = Instant::now() + Duration::from_secs(60);
        let failure = negotiate(&Arc::default(), name, stream, within).await.map(|_| ()).expect_err("too much");
        let error = failure.before_certificate("a:1", first.spoke());
        assert!(matches!(&error, ProbeError::Protocol { detail, .. } if detail.contains("more than any")), "{error}");
    }
}
