//! A host API over mutual TLS with one agent, whose rotation goes one state further at each look.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use kagiban_crds::host_api::{
    AgentReport, ChainDelivery, Leaf, PasswordQuestion, PasswordReport, PowerReport, PowerState, Refusal,
    RefusalReason, RenewalOrder, RotationOpen, RotationReport, RotationState, Sighting,
};
use kagiban_crds::{CertificateSubject, Epoch, Generation, LeafSha256};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use secrecy::ExposeSecret as _;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::pki::{Authority, Pair};
use super::{Shared, lock};

/// How the host answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Honest,
    Garbage,
    /// An error with nothing in it.
    Bare(u16),
    Huge,
    Redirect,
    Silent,
    /// Interim answers without end, and no other.
    Hints,
    /// A report, each byte of which is a record of TLS.
    Scattered,
    /// Every request that changes something is refused.
    Refuse(RefusalReason),
    /// A rotation is not opened: the request has a member that this host does not know, or the wrong kind of value in one.
    RefuseMember(&'static str),
    /// Every request is refused.
    RefuseLook(RefusalReason),
    /// Chains are refused, and nothing else.
    RefuseChain(RefusalReason),
}

/// Blanks before a report that is taken where they come in a few records, and come to more than any connection may bring when each has
/// one of its own.
const SCATTERED: usize = 50_000;

pub struct Host {
    pub address: SocketAddr,
    pub state: Shared<State>,
}

pub struct State {
    pub report: AgentReport,
    pub manner: Manner,
    /// Requests as `METHOD path`.
    pub asked: Vec<String>,
    pub epochs: Vec<u64>,
    /// How the agent renews its own certificate, if it does.
    pub own: Option<OwnRenewal>,
    /// The chain that was delivered last.
    pub chain: Option<String>,
    /// The password of the order that was opened last.
    pub password: Option<String>,
    /// An exporter from before it could be asked for one.
    pub knows_no_question: bool,
    /// All that was sent to it.
    pub bodies: String,
    /// At every look somebody else has opened a rotation just now.
    pub relapses: bool,
    /// It says that it has called its rotation off, and goes on with it.
    pub clings: bool,
    /// It takes orders and keeps none of them.
    pub forgets: bool,
    /// At every look its rotation waits for a chain for another key, whatever was delivered or called off.
    pub keys_anew: bool,
    /// Before every answer.
    pub delay: Duration,
}

/// An agent's own way to a new certificate.
#[derive(Clone, Copy, Debug)]
pub struct OwnRenewal {
    /// Of each new certificate.
    pub lifetime: Duration,
    /// The host says that it is done, and the old certificate is served as before.
    pub lies: bool,
}

impl Host {
    pub async fn start(authority: &Authority, server: Pair) -> Self {
        let chain =
            CertificateDer::pem_slice_iter(server.certificate.as_bytes()).collect::<Result<_, _>>().expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(server.key.as_bytes()).expect("PEM");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority.issuer.der().clone()).expect("a root");
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone()).build().expect("a verifier");
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .expect("a server certificate");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(std::sync::Mutex::new(State {
            report: report(),
            manner: Manner::Honest,
            asked: Vec::new(),
            epochs: Vec::new(),
            own: None,
            chain: None,
            password: None,
            knows_no_question: false,
            bodies: String::new(),
            relapses: false,
            clings: false,
            forgets: false,
            keys_anew: false,
            delay: Duration::ZERO,
        }));
        let shared = state.clone();
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let (acceptor, shared) = (acceptor.clone(), shared.clone());
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    if matches!(lock(&shared).manner, Manner::Hints) {
                        while stream.write_all(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n").await.is_ok() {}
                        return;
                    }
                    if matches!(lock(&shared).manner, Manner::Scattered) {
                        let report = serde_json::to_string(&report()).expect("JSON");
                        let blanks = " ".repeat(SCATTERED);
                        let length = blanks.len() + report.len();
                        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{blanks}{report}");
                        for byte in answer.bytes() {
                            if stream.write_all(&[byte]).await.is_err() || stream.flush().await.is_err() {
                                return;
                            }
                        }
                        return;
                    }
                    let service = service_fn(move |request| answer(request, shared.clone()));
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, state }
    }

    /// The agent renews its own certificate, each for so long, and serves one of which so much is left.
    pub fn renews_its_own(&self, lifetime: Duration, left: Duration) {
        let mut state = lock(&self.state);
        "self-renewing-service".clone_into(&mut state.report.product);
        state.own = Some(OwnRenewal { lifetime, lies: false });
        let age = lifetime.saturating_sub(left);
        serve_own(&mut state.report, Timestamp::now() - age, lifetime);
    }

    pub fn changes(&self) -> Vec<String> {
        let changes = |line: &&String| !line.starts_with("GET") && !line.ends_with("/password");
        lock(&self.state).asked.iter().filter(changes).cloned().collect()
    }

    pub fn questions(&self) -> usize {
        lock(&self.state).asked.iter().filter(|line| line.ends_with("/password")).count()
    }
}

fn report() -> AgentReport {
    let leaf = Leaf {
        sha256: LeafSha256::new([9; 32]),
        serial: "9".into(),
        subject: "CN=old".into(),
        issuer: "CN=old".into(),
        not_before: Timestamp::now(),
        not_after: Timestamp::now(),
        dns_names: Vec::new(),
    };
    AgentReport {
        host: "ups-01.example.com".parse().expect("a name"),
        name: "powerchute".parse().expect("a name"),
        product: "powerchute-serial-shutdown".into(),
        time: Timestamp::now(),
        epoch: Epoch(0),
        lineage: None,
        generation: Generation(0),
        power: PowerReport { state: PowerState::Mains, observed_at: None },
        stored: Sighting::Leaf(leaf.clone()),
        served: Sighting::Leaf(leaf),
        kept_in: None,
        certificate: None,
        rotation: None,
        committed: None,
        function: None,
        clients: None,
    }
}

async fn answer(request: Request<Incoming>, state: Shared<State>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let delay = lock(&state).delay;
    tokio::time::sleep(delay).await;
    let manner = lock(&state).manner;
    match manner {
        Manner::Honest => {}
        Manner::Garbage => {
            let mut garbage = Response::new(Full::new("<html>hello</html>".into()));
            garbage.headers_mut().insert(hyper::header::CONNECTION, hyper::header::HeaderValue::from_static("close"));
            return Ok(garbage);
        }
        Manner::Bare(code) => {
            let mut bare = Response::new(Full::default());
            *bare.status_mut() = StatusCode::from_u16(code).expect("a status");
            return Ok(bare);
        }
        Manner::Huge => return Ok(Response::new(Full::new(vec![b' '; 2 * 1024 * 1024].into()))),
        Manner::Redirect => {
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::FOUND;
            response.headers_mut().insert("location", "https://127.0.0.1:1/".parse().expect("a header"));
            return Ok(response);
        }
        Manner::Silent => tokio::time::sleep(Duration::from_secs(3600)).await,
        Manner::Refuse(reason) if method != Method::GET => return Ok(refusal(reason)),
        Manner::RefuseMember(member) if method != Method::GET => {
            let message = format!("the body is not what this route takes, in {member}: Data error at 1:2");
            return Ok(refusal_with(RefusalReason::Malformed, message));
        }
        Manner::RefuseLook(reason) => return Ok(refusal(reason)),
        Manner::RefuseChain(reason) if path.ends_with("/chain") => {
            lock(&state).asked.push(format!("{method} {path}"));
            return Ok(refusal(reason));
        }
        // Before any request
        Manner::Hints | Manner::Scattered | Manner::Refuse(_) | Manner::RefuseMember(_) | Manner::RefuseChain(_) => {}
    }
    Ok(serve(&mut lock(&state), &method, &path, &body))
}

fn serve(state: &mut State, method: &Method, path: &str, body: &[u8]) -> Response<Full<Bytes>> {
    state.asked.push(format!("{method} {path}"));
    state.bodies.push_str(&String::from_utf8_lossy(body));
    state.report.time = Timestamp::now();
    match (method.as_str(), path.rsplit('/').next().unwrap_or_default()) {
        ("GET", _) => {
            progress(&mut state.report, state.own);
            if state.relapses {
                state.report.generation.0 += 1;
            }
            if state.relapses || state.clings {
                state.report.rotation = Some(waiting(Epoch(1), state.report.generation, None));
            }
            if state.keys_anew
                && let Some(rotation) = state.report.rotation.as_mut()
            {
                let csr = Some(csr(vec!["ups-01.example.com".to_owned()], &CertificateSubject::default()));
                *rotation =
                    RotationReport { mark: rotation.mark.clone(), ..waiting(rotation.epoch, rotation.generation, csr) };
            }
            let committed =
                state.report.rotation.as_ref().is_some_and(|rotation| rotation.state == RotationState::Committed);
            if committed && state.own.is_none() {
                state.report.certificate.clone_from(&state.chain);
            }
            json(StatusCode::OK, &state.report)
        }
        ("POST", "password") if !state.knows_no_question => {
            let question: PasswordQuestion = serde_json::from_slice(body).expect("a question");
            let is_same = state.password.as_deref() == Some(question.store_password.expose_secret());
            json(StatusCode::OK, &if is_same { PasswordReport::Same } else { PasswordReport::Different })
        }
        ("POST", "rotations") => {
            let order: RotationOpen = serde_json::from_slice(body).expect("an order");
            state.password = order.keystore.store_password.as_ref().map(|it| it.expose_secret().to_owned());
            state.epochs.push(order.target.epoch.0);
            if order.target.generation <= state.report.generation {
                return refusal(RefusalReason::StaleGeneration);
            }
            state.report.generation = order.target.generation;
            state.report.rotation = Some(keyed(&order));
            json(StatusCode::CREATED, &state.report.rotation)
        }
        ("POST", "renewals") => {
            let order: RenewalOrder = serde_json::from_slice(body).expect("an order");
            state.epochs.push(order.target.epoch.0);
            if state.own.is_none() {
                return refusal(RefusalReason::WrongClass);
            }
            if order.target.generation <= state.report.generation {
                return refusal(RefusalReason::StaleGeneration);
            }
            state.report.generation = order.target.generation;
            let waiting = waiting(order.target.epoch, order.target.generation, None);
            let requested = RotationReport { mark: order.mark, state: RotationState::Requested, ..waiting };
            if state.forgets {
                state.report.generation = Generation(0);
                return json(StatusCode::ACCEPTED, &Some(requested));
            }
            state.report.rotation = Some(requested);
            json(StatusCode::ACCEPTED, &state.report.rotation)
        }
        ("PUT", "chain") => {
            let order: ChainDelivery = serde_json::from_slice(body).expect("an order");
            let der = CertificateDer::from_pem_slice(order.chain.as_bytes()).expect("a chain");
            state.chain = Some(order.chain);
            let Some(rotation) = state.report.rotation.as_mut() else { return refusal(RefusalReason::NotFound) };
            if rotation.state != RotationState::Keyed {
                return refusal(RefusalReason::WrongState);
            }
            rotation.leaf = Some(leaf(&der));
            rotation.state = RotationState::Validated;
            json(StatusCode::ACCEPTED, &state.report.rotation)
        }
        ("POST", "rollback") => {
            let Some(rotation) = state.report.rotation.as_mut() else { return refusal(RefusalReason::NotFound) };
            rotation.state = RotationState::RolledBack;
            json(StatusCode::OK, &state.report.rotation)
        }
        _ => refusal(RefusalReason::NotFound),
    }
}

fn keyed(order: &RotationOpen) -> RotationReport {
    let csr = csr(order.certificate.dns_names.clone(), &order.certificate.subject);
    RotationReport { mark: order.mark.clone(), ..waiting(order.target.epoch, order.target.generation, Some(csr)) }
}

/// For a key that was made just now.
fn csr(names: Vec<String>, subject: &CertificateSubject) -> String {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(names).expect("names");
    params.distinguished_name = DistinguishedName::new();
    subject.parts().for_each(|(part, text)| params.distinguished_name.push(DnType::from_oid(part.oid()), text));
    params.serialize_request(&key).expect("a CSR").pem().expect("PEM")
}

/// A rotation that waits for its chain.
fn waiting(epoch: Epoch, generation: Generation, csr: Option<String>) -> RotationReport {
    RotationReport {
        epoch,
        generation,
        state: RotationState::Keyed,
        csr,
        leaf: None,
        previous: None,
        mark: None,
        failure: None,
        function: None,
        proof: None,
        steps: Vec::new(),
    }
}

/// What the agent has made for itself is served from now on.
fn serve_own(report: &mut AgentReport, not_before: Timestamp, lifetime: Duration) {
    let time =
        |time: Timestamp| x509_parser::time::ASN1Time::from_timestamp(time.as_second()).expect("a time").to_datetime();
    let mut params = CertificateParams::new(vec!["ups-01.example.com".to_owned()]).expect("names");
    (params.not_before, params.not_after) = (time(not_before), time(not_before + lifetime));
    let made = params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate");
    report.served = Sighting::Leaf(leaf(made.der()));
    report.stored = Sighting::Unseen { reason: "no_keystore".to_owned(), message: "none is known".to_owned() };
    report.certificate = Some(made.pem());
}

fn renew(report: &mut AgentReport, own: OwnRenewal) {
    let Some(state) = report.rotation.as_ref().map(|rotation| rotation.state) else { return };
    let next = match state {
        RotationState::Requested => RotationState::BackedUp,
        RotationState::BackedUp => RotationState::Renewing,
        RotationState::Renewing => RotationState::Verifying,
        RotationState::Verifying => {
            if !own.lies {
                serve_own(report, Timestamp::now(), own.lifetime);
            }
            RotationState::Committed
        }
        _ => return,
    };
    let Sighting::Leaf(served) = report.served.clone() else { return };
    if let Some(rotation) = report.rotation.as_mut() {
        rotation.state = next;
        rotation.leaf = (next == RotationState::Committed).then_some(served);
    }
}

fn progress(report: &mut AgentReport, own: Option<OwnRenewal>) {
    if let Some(own) = own {
        return renew(report, own);
    }
    let Some(rotation) = report.rotation.as_mut() else { return };
    rotation.state = match rotation.state {
        RotationState::Validated => RotationState::Swapped,
        RotationState::Swapped => RotationState::Verifying,
        RotationState::Verifying => {
            let leaf = rotation.leaf.clone().expect("a delivered leaf");
            report.stored = Sighting::Leaf(leaf.clone());
            report.served = Sighting::Leaf(leaf);
            RotationState::Committed
        }
        state => state,
    };
}

fn leaf(der: &CertificateDer<'_>) -> Leaf {
    use x509_parser::prelude::FromDer;
    let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(der).expect("a certificate");
    let time = |time: x509_parser::time::ASN1Time| Timestamp::from_second(time.timestamp()).expect("a time");
    Leaf {
        sha256: LeafSha256::new(Sha256::digest(der.as_ref()).into()),
        serial: hex::encode(parsed.raw_serial()),
        subject: parsed.subject().to_string(),
        issuer: parsed.issuer().to_string(),
        not_before: time(parsed.validity().not_before),
        not_after: time(parsed.validity().not_after),
        dns_names: Vec::new(),
    }
}

fn refusal(reason: RefusalReason) -> Response<Full<Bytes>> {
    refusal_with(reason, "the test said so".to_owned())
}

fn refusal_with(reason: RefusalReason, message: String) -> Response<Full<Bytes>> {
    let refusal = Refusal { reason, message, epoch: Some(Epoch(77)), generation: None, power: None };
    json(StatusCode::from_u16(reason.status()).expect("a status"), &refusal)
}

fn json(status: StatusCode, body: &impl serde::Serialize) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(serde_json::to_vec(body).expect("plain data").into()));
    *response.status_mut() = status;
    response
}
