//! As much of the Kubernetes API as the operator uses: one resource, Secrets, events and a Lease, with resource versions.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use kagiban_crds::resource::ManagedAgentCertificate;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{Shared, lock};

pub struct FakeCluster {
    pub client: kube::Client,
    pub state: Shared<State>,
}

#[derive(Default)]
pub struct State {
    pub mac: Value,
    /// What somebody else has written into the status.
    pub foreign: Value,
    pub secrets: BTreeMap<String, Value>,
    pub events: Vec<Value>,
    pub lease: Value,
    /// Requests that change something, as `METHOD path`.
    pub writes: Vec<String>,
    pub reads: Vec<String>,
    version: u64,
    /// The write with this number is applied, and its answer is never sent.
    pub lose_answer_of: Option<usize>,
    /// etcd takes no object of this size, not even with another status.
    pub too_large: bool,
    /// What is answered to whoever reads a Secret.
    pub secrets_refused: Option<u16>,
    /// Requests hang while this is set.
    pub hang: bool,
}

impl FakeCluster {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let shared = shared.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| answer(request, shared.clone()));
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        let config = kube::Config::new(format!("http://{address}").parse().expect("a URL"));
        Self { client: kagiban_operator::cluster::kubernetes::client(config).expect("a client"), state }
    }

    /// As `kubectl apply` would.
    pub fn put(&self, mac: &ManagedAgentCertificate) {
        let mut state = lock(&self.state);
        state.mac = serde_json::to_value(mac).expect("plain data");
        state.touch();
    }

    pub fn mac(&self) -> ManagedAgentCertificate {
        serde_json::from_value(lock(&self.state).mac.clone()).expect("a resource")
    }

    pub fn change(&self, change: impl FnOnce(&mut Value)) {
        let mut state = lock(&self.state);
        change(&mut state.mac);
        state.touch();
    }

    /// A Secret that says what it is for and whom.
    pub fn secret(&self, name: &str, purpose: &str, data: &[(&str, &str)]) {
        use base64::Engine;
        let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        let data: BTreeMap<_, _> = data.iter().map(|(key, value)| ((*key).to_owned(), encode(value))).collect();
        let kind = if purpose == "keystore-password" { "Opaque" } else { "kubernetes.io/tls" };
        let mut state = lock(&self.state);
        state.version += 1;
        let metadata = json!({
            "name": name,
            "uid": name,
            "resourceVersion": state.version.to_string(),
            "labels": {"kagiban.dev/purpose": purpose},
            "annotations": {
                "kagiban.dev/allowed-hosts": "ups-01.example.com, 127.0.0.1",
                "kagiban.dev/allowed-clients": "fleet-client",
            },
        });
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "type": kind, "metadata": metadata, "data": data});
        state.secrets.insert(name.to_owned(), secret);
    }

    pub fn writes(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.state).writes)
    }

    pub fn told(&self) -> Vec<String> {
        let reason = |event: &Value| event["reason"].as_str().unwrap_or_default().to_owned();
        lock(&self.state).events.iter().map(reason).collect()
    }
}

impl State {
    /// An apply replaces what the operator applied before and leaves what others wrote; a merge takes away what is null.
    fn write_status(&mut self, patch: &Value, applies: bool) {
        let mut status = if applies { patch.clone() } else { self.mac["status"].clone() };
        if applies {
            for (key, value) in self.foreign.as_object().into_iter().flatten() {
                match (&mut status[key], value) {
                    (Value::Array(ours), Value::Array(theirs)) => ours.extend(theirs.clone()),
                    (ours, theirs) if ours.is_null() => *ours = theirs.clone(),
                    _ => {}
                }
            }
        } else {
            for (key, value) in patch.as_object().into_iter().flatten() {
                for written in [&mut status, &mut self.foreign] {
                    match (written.as_object_mut(), value.is_null()) {
                        (Some(fields), true) => drop(fields.remove(key)),
                        (Some(fields), false) => drop(fields.insert(key.clone(), value.clone())),
                        (None, _) => {}
                    }
                }
            }
        }
        self.mac["status"] = status;
    }

    fn touch(&mut self) {
        self.version += 1;
        self.mac["metadata"]["resourceVersion"] = json!(self.version.to_string());
    }
}

async fn answer(request: Request<Incoming>, state: Shared<State>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    // Nothing changes that a watch would show.
    let watches = request.uri().query().is_some_and(|query| query.contains("watch="));
    let applies = request.headers().get("content-type").is_some_and(|kind| kind == "application/apply-patch+yaml");
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (response, lost) = {
        let mut state = lock(&state);
        if state.hang || watches {
            (None, true)
        } else {
            let response = serve(&mut state, &method, &path, body, applies);
            let lost = method != "GET" && state.lose_answer_of == Some(state.writes.len());
            (Some(response), lost)
        }
    };
    if lost {
        tokio::time::sleep(Duration::from_secs(3600)).await;
    }
    Ok(response.unwrap_or_default())
}

fn serve(state: &mut State, method: &str, path: &str, body: Value, applies: bool) -> Response<Full<Bytes>> {
    let line = format!("{method} {path}");
    if method == "GET" {
        state.reads.push(line);
    } else {
        state.writes.push(line);
    }
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match (method, parts.as_slice()) {
        ("GET", [.., "managedagentcertificates", name]) if state.mac["metadata"]["name"] == **name => reply(&state.mac),
        ("GET", [.., "managedagentcertificates"]) => reply(&json!({
            "apiVersion": "kagiban.dev/v1alpha1", "kind": "ManagedAgentCertificateList",
            "metadata": {"resourceVersion": "9000"}, "items": [state.mac],
        })),
        ("PATCH", _) if state.too_large => refusal(500, "etcdserver: request is too large"),
        ("PATCH", [.., "managedagentcertificates", _, "status"]) => {
            if stale(state, &body) {
                return failure(409);
            }
            state.write_status(&body["status"], applies);
            state.touch();
            reply(&state.mac)
        }
        ("PATCH", [.., "managedagentcertificates", _]) => {
            if stale(state, &body) {
                return failure(409);
            }
            state.mac["metadata"]["finalizers"] = body["metadata"]["finalizers"].clone();
            state.touch();
            reply(&state.mac)
        }
        ("GET", [.., "secrets", _]) if state.secrets_refused.is_some() => {
            refusal(state.secrets_refused.unwrap_or_default(), "not now")
        }
        ("GET", [.., "secrets", name]) => state.secrets.get(*name).map_or_else(|| failure(404), reply),
        ("POST", [.., "events"]) => {
            state.events.push(body);
            reply(state.events.last().unwrap_or(&Value::Null))
        }
        ("GET", [.., "leases", _]) if !state.lease.is_null() => reply(&state.lease),
        ("POST", [.., "leases"]) if state.lease.is_null() => store_lease(state, body),
        ("PUT", [.., "leases", _])
            if body["metadata"]["resourceVersion"] == state.lease["metadata"]["resourceVersion"] =>
        {
            store_lease(state, body)
        }
        ("PUT" | "POST", _) => failure(409),
        _ => failure(404),
    }
}

fn store_lease(state: &mut State, mut body: Value) -> Response<Full<Bytes>> {
    state.version += 1;
    body["metadata"]["resourceVersion"] = json!(state.version.to_string());
    state.lease = body;
    reply(&state.lease)
}

fn stale(state: &State, body: &Value) -> bool {
    body["metadata"]["resourceVersion"] != state.mac["metadata"]["resourceVersion"]
}

fn reply(body: &Value) -> Response<Full<Bytes>> {
    Response::new(Full::new(body.to_string().into()))
}

fn failure(code: u16) -> Response<Full<Bytes>> {
    refusal(code, "no")
}

fn refusal(code: u16, message: &str) -> Response<Full<Bytes>> {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": "", "code": code,
    });
    let mut response = reply(&body);
    *response.status_mut() = StatusCode::from_u16(code).expect("a status");
    response
}
