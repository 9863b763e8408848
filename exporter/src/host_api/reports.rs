//! What the host says of itself and of its agents.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use kagiban_crds::host_api::{AgentReport, HostReport, ScheduledShutdown, ShutdownReport, ShutdownState, Sighting};
use kagiban_keystore::Certificate;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::platform;
use crate::rotation::{self, Host, Worker};
use crate::shutdown::{Report, Scheduled, State};

/// Many callers make one handshake and one read of the store.
const FRESH: Duration = Duration::from_secs(1);

/// An agent's worker and what was last seen of the agent.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) worker: Worker,
    seen: Mutex<Option<Seen>>,
}

#[derive(Clone, Debug)]
struct Seen {
    at: Instant,
    stored: Sighting,
    served: Sighting,
    /// The stored leaf, as PEM.
    certificate: Option<String>,
}

impl Watched {
    pub(super) fn new(worker: Worker) -> Self {
        Self { worker, seen: Mutex::default() }
    }

    pub(super) async fn report(&self, host: &Host) -> AgentReport {
        let Seen { stored, served, certificate, .. } = self.see().await;
        let agent = &self.worker.agent;
        let record = self.worker.snapshot().record;
        AgentReport {
            host: host.name.clone(),
            name: agent.name.clone(),
            product: agent.product.id().to_owned(),
            time: Timestamp::now(),
            epoch: host.epoch(),
            generation: record.generation,
            power: host.power.report(),
            stored,
            served,
            certificate,
            rotation: record.rotation.as_ref().map(rotation::Rotation::report),
        }
    }

    async fn see(&self) -> Seen {
        let mut seen = self.seen.lock().await;
        if let Some(fresh) = seen.as_ref().filter(|seen| seen.at.elapsed() < FRESH) {
            return fresh.clone();
        }
        let agent = Arc::clone(&self.worker.agent);
        let endpoint = agent.endpoint.clone();
        let stored = tokio::task::spawn_blocking(move || rotation::stored_leaf(&agent));
        let (stored, served) = futures::join!(stored, rotation::look(&endpoint));
        let certificate = stored.as_ref().ok().and_then(|stored| stored.as_ref().ok()).map(pem);
        let stored = match stored {
            Ok(Ok(leaf)) => Sighting::Leaf(rotation::leaf(&leaf)),
            Ok(Err(error)) => Sighting::Unseen { reason: error.reason().to_owned(), message: error.to_string() },
            Err(_) => {
                Sighting::Unseen { reason: "internal".to_owned(), message: "reading the store failed".to_owned() }
            }
        };
        let now = Seen { at: Instant::now(), stored, served: rotation::sighting(served), certificate };
        *seen = Some(now.clone());
        now
    }
}

fn pem(certificate: &Certificate) -> String {
    use base64::Engine;
    let body = base64::engine::general_purpose::STANDARD.encode(certificate.der());
    let lines: Vec<_> = body.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

pub(super) async fn host<'a>(
    host: &Host,
    shutdown: Option<&Report>,
    agents: impl Iterator<Item = &'a Watched>,
) -> HostReport {
    HostReport {
        host: host.name.clone(),
        boot_id: platform::boot_id(),
        time: Timestamp::now(),
        epoch: host.epoch(),
        power: host.power.report(),
        shutdown: shutdown.map(going_down),
        agents: join_all(agents.map(|agent| agent.report(host))).await,
    }
}

fn going_down(report: &Report) -> ShutdownReport {
    let scheduled =
        |plan: Scheduled| ScheduledShutdown { kind: plan.kind.as_str().to_owned(), at: plan.at, dry_run: plan.dry_run };
    ShutdownReport {
        state: match report.state() {
            State::None => ShutdownState::None,
            State::Testing => ShutdownState::Testing,
            State::Cancelled => ShutdownState::Cancelled,
            State::CommsLost => ShutdownState::CommsLost,
            State::Scheduled => ShutdownState::Scheduled,
            State::OnBattery => ShutdownState::UpsOnBattery,
            State::LowBattery => ShutdownState::UpsLowBattery,
            State::Pending => ShutdownState::UpsPending,
            State::InProgress => ShutdownState::InProgress,
            State::PoweredOff => ShutdownState::PoweredOff,
        },
        since: report.since(),
        pending: report.is_pending(),
        triggers: report.triggers().iter().map(|trigger| trigger.as_str().to_owned()).collect(),
        expected_at: report.expected(),
        scheduled: report.scheduled().map(scheduled).collect(),
        cause: report.cause().map(ToString::to_string),
    }
}
