//! The host API's client: HTTP/1.1 over mTLS, one connection per call, every call under a deadline.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use kagiban_crds::host_api::{
    AgentReport, ChainDelivery, HandOver, HandOverReport, MAX_REPLY_BYTES, MAX_REQUEST_BYTES, PasswordQuestion,
    PasswordReport, Refusal, RenewalOrder, RollbackOrder, RotationOpen, RotationReport, VERSION,
};
use kagiban_crds::resource::HostUrl;
use kagiban_crds::{AgentName, Generation, HostName};
use kagiban_serving::{BudgetSpent, Budgeted, ByteBudget};
use rustls::pki_types::ServerName;
use secrecy::zeroize::Zeroizing;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::tls::{ClientIdentity, failure};
use super::{AgentError, Endpoint, Reach, connect};
use crate::foreign::is_seen;

/// Connecting to one address, with the TLS handshake: a host that is up does both in a fraction of it, one that is not costs all of it.
const CONNECT_DEADLINE: Duration = Duration::from_secs(3);
/// A look at an agent: the host may shake hands with the agent itself in this time.
const READ_DEADLINE: Duration = Duration::from_secs(15);
/// Whatever the host computes for: RSA-4096 on a small host takes ten seconds now and then.
const WRITE_DEADLINE: Duration = Duration::from_secs(45);
/// Of a connection: the handshake and an answer with its head and all that comes before it, as they are sent.
const MAX_RECEIVED_BYTES: u64 = 1 << 20;
/// The longest message of a refusal that is believed.
const LONGEST_MESSAGE: usize = 512;

/// One agent behind one host API.
#[derive(Clone, Debug)]
pub struct HostApi {
    /// Where it listens.
    url: HostUrl,
    /// Who it must be: its certificate is for this name, whatever name or address led there.
    server_name: ServerName<'static>,
    identity: ClientIdentity,
    agent: AgentName,
    endpoint: Endpoint,
    reach: Reach,
}

impl HostApi {
    /// The host of that name, at `https://host:port` and nothing after it.
    ///
    /// # Errors
    /// [`AgentError::Address`].
    pub fn new(
        url: &str,
        host: &HostName,
        agent: AgentName,
        identity: ClientIdentity,
        reach: Reach,
    ) -> Result<Self, AgentError> {
        let wrong = || AgentError::Address(url.chars().take(300).collect());
        let server_name = ServerName::try_from(host.as_str().to_owned()).map_err(|_| wrong())?;
        Ok(Self {
            url: url.parse().map_err(|_| wrong())?,
            server_name,
            identity,
            agent,
            reach,
            endpoint: Endpoint::default(),
        })
    }

    /// The same, with what others have learned of the endpoint; they learn from this one's calls.
    #[must_use]
    pub fn sharing(self, endpoint: Endpoint) -> Self {
        Self { endpoint, ..self }
    }

    /// What the host knows of the agent.
    ///
    /// # Errors
    /// Whatever kept the host from answering.
    pub async fn look(&self) -> Result<AgentReport, AgentError> {
        self.call(Method::GET, format!("/{VERSION}/agents/{}", self.agent), None::<&()>, READ_DEADLINE).await
    }

    /// Whether the agent works with a password.
    ///
    /// # Errors
    /// Whatever kept the host from answering, its refusal included.
    pub async fn password(&self, question: &PasswordQuestion) -> Result<PasswordReport, AgentError> {
        self.call(Method::POST, format!("/{VERSION}/agents/{}/password", self.agent), Some(question), WRITE_DEADLINE)
            .await
    }

    /// Opens a rotation; the answer has the CSR once the key is made.
    ///
    /// # Errors
    /// Whatever kept the host from answering, its refusal included.
    pub async fn open(&self, order: &RotationOpen) -> Result<RotationReport, AgentError> {
        self.call(Method::POST, format!("/{VERSION}/agents/{}/rotations", self.agent), Some(order), WRITE_DEADLINE)
            .await
    }

    /// Has the agent renew its own certificate.
    ///
    /// # Errors
    /// Whatever kept the host from answering, its refusal included.
    pub async fn renew(&self, order: &RenewalOrder) -> Result<RotationReport, AgentError> {
        self.call(Method::POST, format!("/{VERSION}/agents/{}/renewals", self.agent), Some(order), WRITE_DEADLINE).await
    }

    /// Pushes the issued chain.
    ///
    /// # Errors
    /// Whatever kept the host from answering, its refusal included.
    pub async fn deliver(&self, order: &ChainDelivery) -> Result<RotationReport, AgentError> {
        self.call(Method::PUT, self.rotation(order.target.generation, "chain"), Some(order), WRITE_DEADLINE).await
    }

    /// Undoes a rotation.
    ///
    /// # Errors
    /// Whatever kept the host from answering, its refusal included.
    pub async fn roll_back(&self, order: &RollbackOrder) -> Result<RotationReport, AgentError> {
        self.call(Method::POST, self.rotation(order.target.generation, "rollback"), Some(order), WRITE_DEADLINE).await
    }

    /// Gives the host to another installation.
    ///
    /// # Errors
    /// Whatever kept the host from answering, its refusal included.
    pub async fn hand_over(&self, order: &HandOver) -> Result<HandOverReport, AgentError> {
        self.call(Method::POST, format!("/{VERSION}/agents/{}/handover", self.agent), Some(order), WRITE_DEADLINE).await
    }

    fn rotation(&self, generation: Generation, last: &str) -> String {
        format!("/{VERSION}/agents/{}/rotations/{generation}/{last}", self.agent)
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: String,
        body: Option<&impl Serialize>,
        deadline: Duration,
    ) -> Result<T, AgentError> {
        let body = match body {
            None => Zeroizing::new(Vec::new()),
            Some(body) => {
                Zeroizing::new(serde_json::to_vec(body).map_err(|_| AgentError::Malformed("our own request"))?)
            }
        };
        if body.len() > MAX_REQUEST_BYTES {
            return Err(AgentError::Malformed("our own request is too large"));
        }
        if let Some(silence) = self.endpoint.silence(Instant::now()) {
            return Err(silence);
        }
        let exchange = tokio::time::timeout(deadline, self.exchange(method, path, body));
        let result = exchange.await.unwrap_or(Err(AgentError::Timeout));
        self.endpoint.heard(result.as_ref().err(), Instant::now());
        result
    }

    /// Resolves first and then judges: what a name leads to is for its owner to say, and not for whoever wrote the resource.
    async fn connect(&self) -> Result<TlsStream<Budgeted<TcpStream>>, AgentError> {
        let HostUrl { host, port } = &self.url;
        let mut addresses = connect::addresses(self.endpoint.namespace(), host, *port).await?;
        let found = addresses.iter().map(SocketAddr::ip).min();
        addresses.retain(|address| self.reach.permits(host, address.ip()));
        let streams = addresses.into_iter().map(|address| self.shake_hands(address));
        connect::first_of(streams).await.map_err(|error| match (error, found) {
            (Some(error), _) => error,
            (None, Some(address)) => AgentError::NotAllowed { host: host.clone(), address },
            (None, None) => AgentError::Connect("its name leads to no address".to_owned()),
        })
    }

    async fn shake_hands(&self, address: SocketAddr) -> Result<TlsStream<Budgeted<TcpStream>>, AgentError> {
        let shaken = async {
            let stream = TcpStream::connect(address).await.map_err(|error| unconnected(&error))?;
            let stream = Budgeted::new(stream, ByteBudget::new(MAX_RECEIVED_BYTES));
            let tls = TlsConnector::from(self.identity.config.clone());
            tls.connect(self.server_name.clone(), stream).await.map_err(|error| broken(&error))
        };
        let shaken = tokio::time::timeout(CONNECT_DEADLINE, shaken).await;
        shaken.unwrap_or_else(|_| Err(AgentError::Connect("no answer".to_owned())))
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        method: Method,
        path: String,
        body: Zeroizing<Vec<u8>>,
    ) -> Result<T, AgentError> {
        let stream = TokioIo::new(self.connect().await?);
        let (mut sender, connection) = http1::handshake(stream).await.map_err(|error| in_http(&error))?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.url.authority())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::copy_from_slice(&body)))
            .map_err(|_| AgentError::Malformed("our own request"))?;
        let reply = async {
            let response = sender.send_request(request).await.map_err(|error| in_http(&error))?;
            let status = response.status();
            let body =
                Limited::new(response.into_body(), MAX_REPLY_BYTES).collect().await.map_err(|error| match error
                    .downcast_ref::<hyper::Error>(
                ) {
                    _ if error.is::<LengthLimitError>() => AgentError::TooLarge,
                    Some(error) if has_spent_its_budget(error) => AgentError::TooLarge,
                    _ => AgentError::Malformed("it ended early"),
                })?;
            Ok((status, body.to_bytes()))
        };
        // The connection is driven here and not in a task of its own, so that a cancelled call leaves nothing behind
        tokio::pin!(connection);
        tokio::pin!(reply);
        let mut driven = None;
        let (status, body) = loop {
            tokio::select! {
                biased;
                reply = &mut reply => {
                    break match (reply, driven) {
                        // What broke the connection says more than that the answer did not come
                        (Err(AgentError::Malformed(_)), Some(error)) => Err(error),
                        (reply, _) => reply,
                    }?;
                }
                ended = &mut connection, if driven.is_none() => {
                    driven = Some(ended.err().map_or(AgentError::Malformed("the connection was closed"), |error| in_http(&error)));
                }
            }
        };
        read(status, &body)
    }
}

/// Redirects are answers like any other that is not a success: nobody is sent elsewhere.
fn read<T: DeserializeOwned>(status: StatusCode, body: &[u8]) -> Result<T, AgentError> {
    if status.is_success() {
        return serde_json::from_slice(body).map_err(|_| AgentError::Malformed("its JSON is not a report"));
    }
    let mut refusal: Refusal = serde_json::from_slice(body).map_err(|_| AgentError::Unexplained(status))?;
    refusal.message = refusal.message.chars().filter(|c| is_seen(*c)).take(LONGEST_MESSAGE).collect();
    Err(AgentError::Refused(refusal))
}

fn unconnected(error: &std::io::Error) -> AgentError {
    AgentError::Connect(match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        std::io::ErrorKind::TimedOut => "no answer".to_owned(),
        _ => error.to_string().chars().take(200).collect(),
    })
}

/// What ended a connection or its handshake: rustls travels inside the I/O error.
fn broken(error: &std::io::Error) -> AgentError {
    if BudgetSpent::is(error) {
        return AgentError::TooLarge;
    }
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(tls) => failure(tls),
        None => AgentError::Tls(format!("the connection broke in the handshake ({:?})", error.kind())),
    }
}

/// With TLS 1.3 a host refuses our certificate only after our handshake is done: the alert comes with the first read.
fn in_http(error: &hyper::Error) -> AgentError {
    below(error).map_or(AgentError::Malformed("it is not HTTP"), broken)
}

fn has_spent_its_budget(error: &hyper::Error) -> bool {
    below(error).is_some_and(BudgetSpent::is)
}

/// What HTTP met in the connection under it.
fn below(error: &hyper::Error) -> Option<&std::io::Error> {
    let first = std::error::Error::source(error);
    std::iter::successors(first, |inner| inner.source()).find_map(|inner| inner.downcast_ref())
}
