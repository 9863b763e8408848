//! What the host says of itself and of its agents.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use kagiban_crds::host_api::{
    AgentReport, HostReport, Refusal, ScheduledShutdown, ShutdownReport, ShutdownState, Sighting,
};
use kagiban_keystore::pem_block;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::questions::Questions;
use crate::blocking::{Blocked, Flights, Work};
use crate::platform;
use crate::rotation::agent::{Agent, LeafPlace};
use crate::rotation::{self, Host, Speaker, Worker};
use crate::shutdown::{HostState, HostStateReport, Scheduled};
use crate::snapshot::{Board, Label};

/// Many callers make one handshake and one read of the store.
const FRESH: Duration = Duration::from_secs(1);

/// A keystore is read and opened in well under a second; the operator waits for the whole report.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// An agent's worker and what was last seen of the agent.
#[derive(Debug)]
pub(super) struct WatchedAgent {
    pub(super) worker: Worker,
    pub(super) questions: Questions,
    seen: Mutex<Option<CertificateSightings>>,
    reads: Flights<(), Sighting>,
}

#[derive(Clone, Debug)]
struct CertificateSightings {
    at: Instant,
    stored: Sighting,
    served: Sighting,
    /// The served leaf, as PEM.
    certificate: Option<String>,
}

impl WatchedAgent {
    pub(super) fn new(worker: Worker) -> Self {
        Self { worker, questions: Questions::default(), seen: Mutex::default(), reads: Flights::new() }
    }

    /// # Errors
    /// A refusal while it is not known how the agent stands.
    pub(super) async fn report(&self, host: &Host, board: &Board) -> Result<AgentReport, Refusal> {
        self.worker.snapshot()?;
        let agent = self.worker.agent()?;
        let CertificateSightings { stored, served, certificate, .. } = self.see(&agent).await;
        let record = self.worker.snapshot()?.record;
        let Speaker { lineage, epoch } = host.speaker();
        let power = host.power.report().await;
        let name = Label::new(agent.name.as_str());
        let (function, clients) = board.read(|seen| (seen.function(&name), seen.clients_report(&name)));
        Ok(AgentReport {
            host: host.name.clone(),
            name: agent.name.clone(),
            product: agent.product.id().to_owned(),
            time: Timestamp::now(),
            epoch,
            lineage,
            generation: record.generation,
            power,
            stored,
            served,
            kept_in: agent.leaf_place.file().map(|file| file.path.display().to_string()),
            certificate,
            rotation: record.rotation.as_ref().map(rotation::Rotation::report),
            committed: record.rotation.as_ref().and_then(rotation::Rotation::last_committed),
            function: function.map(|function| function.report),
            clients,
        })
    }

    async fn see(&self, agent: &Arc<Agent>) -> CertificateSightings {
        let mut seen = self.seen.lock().await;
        if let Some(fresh) = seen.as_ref().filter(|seen| seen.at.elapsed() < FRESH) {
            return fresh.clone();
        }
        let agent = Arc::clone(agent);
        let place = agent.leaf_place.clone();
        let stored = self.reads.join(Work::Reports, (), Instant::now() + READ_WITHIN, move || stored(&agent));
        let (stored, served) = futures::join!(stored, rotation::look(&place));
        let stored = stored.unwrap_or_else(|blocked| not_read(&blocked));
        let certificate = served.as_ref().ok().map(|leaf| pem_block("CERTIFICATE", leaf.der()).to_string());
        let now = CertificateSightings { at: Instant::now(), stored, served: rotation::sighting(served), certificate };
        *seen = Some(now.clone());
        now
    }
}

fn stored(agent: &Agent) -> Sighting {
    let Some(push) = agent.push() else {
        let message = match agent.leaf_place {
            LeafPlace::Endpoint(_) | LeafPlace::File(_) => {
                "the agent keeps its certificate by itself; what is seen under `served` tells which it is".to_owned()
            }
            LeafPlace::Nowhere => "no certificate of this product is looked at".to_owned(),
        };
        return Sighting::Unseen { reason: "kept_by_agent".to_owned(), message };
    };
    match rotation::stored_leaf(push) {
        Ok(leaf) => Sighting::Leaf(rotation::leaf(&leaf)),
        Err(error) => Sighting::Unseen { reason: error.reason().to_owned(), message: error.to_string() },
    }
}

fn not_read(blocked: &Blocked) -> Sighting {
    Sighting::Unseen { reason: blocked.reason().to_owned(), message: format!("the keystore was not read: {blocked}") }
}

pub(super) async fn host<'a>(host: &Host, board: &Board, agents: impl Iterator<Item = &'a WatchedAgent>) -> HostReport {
    let Speaker { lineage, epoch } = host.speaker();
    let shutdown = board.read(|seen| seen.shutdown.clone());
    HostReport {
        host: host.name.clone(),
        boot_id: platform::boot_id(),
        time: Timestamp::now(),
        epoch,
        lineage,
        power: host.power.report().await,
        shutdown: shutdown.as_ref().map(going_down),
        // One of which nothing is known is left out: a report with a generation of zero would be a lie.
        agents: join_all(agents.map(|agent| agent.report(host, board)))
            .await
            .into_iter()
            .filter_map(Result::ok)
            .collect(),
    }
}

fn going_down(report: &HostStateReport) -> ShutdownReport {
    let scheduled =
        |plan: Scheduled| ScheduledShutdown { kind: plan.kind.as_str().to_owned(), at: plan.at, dry_run: plan.dry_run };
    ShutdownReport {
        state: match report.state() {
            HostState::None => ShutdownState::None,
            HostState::Testing => ShutdownState::Testing,
            HostState::Cancelled => ShutdownState::Cancelled,
            HostState::CommsLost => ShutdownState::CommsLost,
            HostState::Scheduled => ShutdownState::Scheduled,
            HostState::OnBattery => ShutdownState::UpsOnBattery,
            HostState::LowBattery => ShutdownState::UpsLowBattery,
            HostState::Pending => ShutdownState::UpsPending,
            HostState::InProgress => ShutdownState::InProgress,
        },
        since: report.since(),
        pending: report.is_pending(),
        triggers: report.triggers().iter().map(|trigger| trigger.as_str().to_owned()).collect(),
        expected_at: report.expected(),
        scheduled: report.scheduled().map(scheduled).collect(),
        cause: report.cause().map(ToString::to_string),
    }
}
