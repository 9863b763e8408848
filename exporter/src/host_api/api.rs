//! From a request to its answer: authorise, route, read the body, ask the worker.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};
use kagiban_crds::host_api::{
    HandOver, HandOverReport, PasswordQuestion, Refusal, RefusalReason, RenewalOrder, RotationOpen, RotationReport,
    RotationState, Target,
};
use kagiban_crds::{AgentName, Generation};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::audit;
use super::body;
use super::client::Client;
use super::reports::{self, WatchedAgent};
use super::route::Route;
use super::slots::ClientSlot;
use crate::blocking::{self, Work};
use crate::config::{ClientName, HostApiConfig};
use crate::rotation::admission::{Admission, refuse};
use crate::rotation::{AgentRefusal, Host, RefusedAgents, Rotation, Workers, hear};
use crate::snapshot::Board;

/// Of the names in a certificate, which whoever asks is told of his own.
const LONGEST_NAMES: usize = 256;

/// One small file, written durably.
const HEARD_WITHIN: Duration = Duration::from_secs(5);
/// Enough for an RSA-4096 key on a slow host; an operator waits no longer either.
const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(super) struct Api {
    host: Host,
    board: Arc<Board>,
    agents: BTreeMap<AgentName, WatchedAgent>,
    /// The agents that take nothing new, and why. What is known of one can be read.
    refused: watch::Receiver<RefusedAgents>,
    pub(super) client_names: Vec<ClientName>,
    request_timeout: Duration,
}

/// A success, and what the audit log calls it.
struct ApiReply {
    status: StatusCode,
    body: Vec<u8>,
    outcome: &'static str,
}

impl Api {
    pub(super) fn new(workers: &Workers, board: Arc<Board>, config: &HostApiConfig) -> Self {
        let Workers { host, workers, refused } = workers;
        let agents = workers.iter().map(|worker| (worker.name.clone(), WatchedAgent::new(worker.clone())));
        Self {
            host: host.clone(),
            board,
            agents: agents.collect(),
            refused: refused.clone(),
            client_names: config.client_names.clone(),
            request_timeout: config.request_timeout.unwrap_or(DEFAULT_REQUEST_TIMEOUT),
        }
    }

    pub(super) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: SocketAddr,
        client: Arc<Client>,
        slot_handle: ClientSlot,
    ) -> Response<Full<Bytes>> {
        let method = request.method().as_str().to_owned();
        let route = Route::parse(request.method(), request.uri().path());
        let known = route.as_ref().ok().cloned();
        let result = if client.authorised {
            let answering = timeout(self.request_timeout, self.dispatch(route, request, &slot_handle));
            answering.await.unwrap_or_else(|_| {
                let seconds = self.request_timeout.as_secs();
                Err(refuse(RefusalReason::TooSlow, format!("the request took longer than {seconds} s")))
            })
        } else {
            let names: String = client.name.chars().take(LONGEST_NAMES).collect();
            let message = format!(
                "the client certificate has the names \"{names}\", and none of them is in hostApi.clientNames of this host"
            );
            Err(refuse(RefusalReason::ClientNotAuthorised, message))
        };
        let (status, outcome) = match &result {
            Ok(answer) => (answer.status.as_u16(), answer.outcome.to_owned()),
            Err(refusal) => (refusal.reason.status(), name(refusal.reason)),
        };
        audit::request(peer, &client, &method, known.as_ref(), status, &outcome);
        render(result)
    }

    async fn dispatch(
        &self,
        route: Result<Route, RefusalReason>,
        request: Request<Incoming>,
        slot_handle: &ClientSlot,
    ) -> Result<ApiReply, Refusal> {
        let route =
            route.map_err(|reason| refuse(reason, "no such route with this method; see the host API's routes"))?;
        let agent = match route.agent() {
            Some(name) => Some(self.agent(name)?),
            None => None,
        };
        if let Route::Password(name)
        | Route::Open(name)
        | Route::Renewal(name)
        | Route::HandOver(name)
        | Route::Chain(name, _)
        | Route::Rollback(name, _) = &route
            && let Some(refusal) = self.refusal(name)
        {
            return Err(refusal);
        }
        // There is no body to wait for.
        let has_come = matches!(route, Route::Host | Route::Agent(_) | Route::Rotation(..));
        let _working = has_come.then(|| slot_handle.work());
        match (route, agent) {
            (Route::Host, _) => {
                let report = reports::host(&self.host, &self.board, self.agents.values()).await;
                json(&report, StatusCode::OK, "host")
            }
            (Route::Agent(_), Some(agent)) => {
                json(&agent.report(&self.host, &self.board).await?, StatusCode::OK, "agent")
            }
            (Route::Rotation(_, generation), Some(agent)) => {
                let rotation = agent.worker.snapshot()?.record.rotation;
                let newest = rotation.as_ref().filter(|rotation| rotation.generation == generation);
                let report = newest.map(Rotation::report).ok_or_else(|| no_rotation(generation))?;
                json(&report, StatusCode::OK, report.state.as_str())
            }
            (Route::Password(_), Some(agent)) => {
                let question: PasswordQuestion = body::read(request).await?;
                let _working = slot_handle.work();
                agent.worker.snapshot()?.admit_question(&self.host, &question)?;
                agent.questions.take(Instant::now())?;
                let report = agent.worker.password_in_force(question).await?;
                json(&report, StatusCode::OK, report.as_str())
            }
            (Route::Open(_), Some(agent)) => {
                let request: RotationOpen = body::read(request).await?;
                let _working = slot_handle.work();
                let admission = agent.worker.snapshot()?.admit_open(&self.host, &request);
                self.carry_out(&request.target.clone(), admission, StatusCode::OK, agent.worker.open(request)).await
            }
            (Route::Renewal(_), Some(agent)) => {
                let order: RenewalOrder = body::read(request).await?;
                let _working = slot_handle.work();
                let admission = agent.worker.snapshot()?.admit_renewal(&self.host, &order);
                self.carry_out(&order.target.clone(), admission, StatusCode::ACCEPTED, agent.worker.renew(order)).await
            }
            (Route::Chain(_, generation), Some(agent)) => {
                let delivery: kagiban_crds::host_api::ChainDelivery = body::read(request).await?;
                let _working = slot_handle.work();
                same_generation(&delivery.target, generation)?;
                let admission = agent.worker.snapshot()?.admit_chain(&self.host, &delivery);
                self.carry_out(
                    &delivery.target.clone(),
                    admission,
                    StatusCode::ACCEPTED,
                    agent.worker.deliver(delivery),
                )
                .await
            }
            (Route::Rollback(_, generation), Some(agent)) => {
                let order: kagiban_crds::host_api::RollbackOrder = body::read(request).await?;
                let _working = slot_handle.work();
                same_generation(&order.target, generation)?;
                let admission = agent.worker.snapshot()?.admit_rollback(&self.host, &order);
                self.carry_out(&order.target.clone(), admission, StatusCode::ACCEPTED, agent.worker.roll_back(order))
                    .await
            }
            (Route::HandOver(_), Some(agent)) => {
                let order: HandOver = body::read(request).await?;
                let _working = slot_handle.work();
                let is_done = agent.worker.snapshot()?.admit_hand_over(&self.host, &order)?;
                // Its worker may be in the middle of a rotation of the other installation
                if is_done {
                    return json(&HandOverReport { lineage: order.to }, StatusCode::OK, "handed_over");
                }
                let report = agent.worker.hand_over(order).await?;
                json(&report, StatusCode::OK, "handed_over")
            }
            (_, None) => Err(refuse(RefusalReason::NotFound, "no such agent")),
        }
    }

    /// A refusal needs no worker, which may be in the middle of a rotation, and neither does a repeat of what is under way, but that
    /// a new leader has sent it; whatever else changes the record does.
    async fn carry_out(
        &self,
        by: &Target,
        admission: Admission,
        status: StatusCode,
        ask: impl Future<Output = Result<RotationReport, Refusal>>,
    ) -> Result<ApiReply, Refusal> {
        match admission {
            Admission::Refused(refusal) => Err(refusal),
            Admission::Replay(report) if !report.state.is_decided() && report.state != RotationState::Keyed => {
                if by.epoch > self.host.speaker().epoch {
                    let (host, by, until) = (self.host.clone(), by.clone(), Instant::now() + HEARD_WITHIN);
                    let heard = blocking::run(Work::State, until, move || hear(&host, &by)).await;
                    heard.map_err(|blocked| refuse(RefusalReason::Unavailable, blocked.to_string()))??;
                }
                json(&*report, status, report.state.as_str())
            }
            Admission::Replay(_) | Admission::Proceed => {
                let report = ask.await?;
                json(&report, status, report.state.as_str())
            }
        }
    }

    fn agent(&self, name: &AgentName) -> Result<&WatchedAgent, Refusal> {
        let unknown = || {
            format!(
                "this host's configuration has no agent called {name}, or one that is only looked at, without `repair`"
            )
        };
        let refusal = || self.refusal(name).unwrap_or_else(|| refuse(RefusalReason::NotFound, unknown()));
        self.agents.get(name).ok_or_else(refusal)
    }

    fn refusal(&self, name: &AgentName) -> Option<Refusal> {
        let refused = self.refused.borrow();
        let AgentRefusal { message, is_configuration, .. } = refused.get(name)?;
        let said =
            if *is_configuration { "this host's configuration is refused" } else { "this host refuses the agent" };
        Some(refuse(RefusalReason::Unavailable, format!("{said}: {message}")))
    }
}

fn same_generation(target: &Target, in_path: Generation) -> Result<(), Refusal> {
    if target.generation == in_path {
        return Ok(());
    }
    let message = format!("the path says generation {in_path}, the body {}", target.generation);
    Err(refuse(RefusalReason::Malformed, message))
}

fn no_rotation(generation: Generation) -> Refusal {
    let message =
        format!("generation {generation} is not the newest rotation, or there was none; see the agent's report");
    refuse(RefusalReason::NotFound, message)
}

fn json<T: Serialize>(value: &T, status: StatusCode, outcome: &'static str) -> Result<ApiReply, Refusal> {
    let body = serde_json::to_vec(value).map_err(|error| refuse(RefusalReason::Internal, error.to_string()))?;
    Ok(ApiReply { status, body, outcome })
}

fn render(result: Result<ApiReply, Refusal>) -> Response<Full<Bytes>> {
    let (status, body, close) = match result {
        Ok(answer) => (answer.status, answer.body, false),
        Err(refusal) => {
            let status = StatusCode::from_u16(refusal.reason.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, serde_json::to_vec(&refusal).unwrap_or_default(), true)
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if close {
        // A refused body may not have been read to its end.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn name(reason: RefusalReason) -> String {
    let json = serde_json::to_value(reason).ok();
    json.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
