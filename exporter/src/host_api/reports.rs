//! What the host says of itself and of its agents.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use kagiban_crds::host_api::{
    AgentReport, HostReport, Refusal, ScheduledShutdown, ShutdownReport, ShutdownState, Sighting,
};
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
}

impl Watched {
    pub(super) fn new(worker: Worker) -> Self {
        Self { worker, seen: Mutex::default() }
    }

    /// # Errors
    /// A refusal while it is not known how the agent stands.
    pub(super) async fn report(&self, host: &Host) -> Result<AgentReport, Refusal> {
        self.worker.snapshot()?;
        let Seen { stored, served, .. } = self.see().await;
        let agent = &self.worker.agent;
        let record = self.worker.snapshot()?.record;
        Ok(AgentReport {
            host: host.name.clone(),
            name: agent.name.clone(),
            product: agent.product.id().to_owned(),
            time: Timestamp::now(),
            epoch: host.epoch(),
            generation: record.generation,
            power: host.power.report(),
            stored,
            served,
            rotation: record.rotation.as_ref().map(rotation::Rotation::report),
        })
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
        let stored = match stored {
            Ok(Ok(leaf)) => Sighting::Leaf(rotation::leaf(&leaf)),
            Ok(Err(error)) => Sighting::Unseen { reason: error.reason().to_owned(), message: error.to_string() },
            Err(_) => {
                Sighting::Unseen { reason: "internal".to_owned(), message: "reading the store failed".to_owned() }
            }
        };
        let now = Seen { at: Instant::now(), stored, served: rotation::sighting(served) };
        *seen = Some(now.clone());
        now
    }
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
        // One of which nothing is known is left out: a report with a generation of zero would be a lie.
        agents: join_all(agents.map(|agent| agent.report(host))).await.into_iter().filter_map(Result::ok).collect(),
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
