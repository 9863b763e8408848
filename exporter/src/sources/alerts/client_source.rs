//! What the clients of one agent have logged, and up to when that is known.

use std::time::Duration;

use jiff::Timestamp;
use kagiban_agents::{ClientLogFacts, Product};
use kagiban_crds::AgentName;

use super::client_log::ClientLogReading;
use super::files::WatchedFiles;
use super::ledger::WINDOW;
use super::reader::{Looked, Reading};
use crate::config::AgentConfig;
use crate::snapshot::{AlertCounts, ClientLogsSeen, Label, Observation, Trouble};

/// Looks at what the clients of one agent have logged.
#[derive(Debug)]
pub(in crate::sources) struct ClientLogSource {
    agent: AgentName,
    product: Product,
    facts: ClientLogFacts,
    interval: Duration,
    files: WatchedFiles,
}

impl ClientLogSource {
    /// None of an agent for which no such log is named.
    pub(in crate::sources) fn new(agent: &AgentConfig) -> Option<Self> {
        let facts = agent.product.facts().client_log?;
        let config = agent.client_logs.as_ref()?;
        let reading = Reading::ClientLog(ClientLogReading::new(config));
        let files = WatchedFiles::new(Vec::new(), config.files.clone(), reading);
        let interval = config.interval.as_duration();
        Some(Self { agent: agent.name.clone(), product: agent.product, facts, interval, files })
    }

    pub(in crate::sources) const fn interval(&self) -> Duration {
        self.interval
    }

    /// What was seen before is told whatever becomes of the files.
    pub(in crate::sources) async fn look(&mut self) -> (Observation, Option<Trouble>) {
        let (counts, Looked { trouble, newest }) = self.files.look(Timestamp::now()).await;
        let trouble = trouble.or_else(|| newest.iter().position(Option::is_none).map(nothing_exported));
        let now = Timestamp::now();
        // What one pattern leads to may be another log than what another one does: none proves anything of the others.
        let exported = newest.into_iter().flatten().min().filter(|_| trouble.is_none());
        let known_until = exported.map(|exported| known_until(exported, now, self.facts));
        // A zero of a time of which nothing is known is none.
        let is_part = known_until.is_none_or(|until| until <= now - WINDOW);
        let counts = AlertCounts { is_part, ..counts };
        let (agent, product) = (Label::new(self.agent.as_str()), self.product);
        (Observation::ClientLogs(ClientLogsSeen { agent, product, counts, known_until }), trouble)
    }
}

/// What a client logs comes to its server by and by, and into a file when that is exported: of what was logged in the time between two
/// uploads before then the file may lack some.
fn known_until(exported: Timestamp, now: Timestamp, facts: ClientLogFacts) -> Timestamp {
    exported.min(now).checked_sub(facts.sent_every).unwrap_or(Timestamp::MIN)
}

fn nothing_exported(at: usize) -> Trouble {
    let said = format!("clientLogs.files[{at}]: no file is there; export the log, and see that the path is right");
    Trouble::new("not_found", said)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn the_last_hour_before_an_export_and_before_now_is_never_known() {
        let now = Timestamp::constant(1_750_000_000, 0);
        for product in [Product::VirusBusterCorp, Product::ApexOne] {
            let facts = product.facts().client_log.expect("its clients log");
            for (newest, expected) in [(0, -3600), (-60, -3660), (-86_400, -90_000), (7200, -3600)] {
                let exported = now + SignedDuration::from_secs(newest);
                let until = known_until(exported, now, facts);
                assert_eq!(until.as_second() - now.as_second(), expected, "{product}, {newest}");
            }
        }
    }
}
