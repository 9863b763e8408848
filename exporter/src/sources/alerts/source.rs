//! The alerts of one agent, and what its configuration says of it.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use kagiban_agents::{AlertFacts, Component, Concern, Guide, guide};

use super::entry::{AlertReading, machine};
use super::files::WatchedFiles;
use super::reader::Reading;
use crate::config::{AgentConfig, EngineStart, ObserveConfig};
use crate::platform;
use crate::snapshot::{AlertCounts, AlertsSeen, Label, Observation, ReleaseSeen, Trouble};

/// Looks at the alerts of one agent.
#[derive(Debug)]
pub(in crate::sources) struct AlertSource {
    agent: AgentConfig,
    observe: ObserveConfig,
    guide: Option<&'static Guide>,
    files: WatchedFiles,
}

impl AlertSource {
    /// None of a product that has no alerts.
    pub(in crate::sources) fn new(agent: &AgentConfig) -> Option<Self> {
        let facts = agent.product.facts().alerts?;
        let observe = agent.observe.clone()?;
        let guide = guide(agent.product.id());
        let zone = observe.time_zone.as_ref().map_or_else(TimeZone::system, |zone| zone.0.clone());
        let false_on = false_on(&releases(agent, &observe, guide), facts, &observe);
        let reading = Reading::Alerts(AlertReading { facts, zone, false_on });
        let files = WatchedFiles::new(observe.mails.clone(), observe.logs.clone(), reading);
        Some(Self { agent: agent.clone(), observe, guide, files })
    }

    pub(in crate::sources) const fn interval(&self) -> Duration {
        self.observe.interval.as_duration()
    }

    /// What the configuration says of the product, and what was seen before, is told whatever becomes of the files.
    pub(in crate::sources) async fn look(&mut self) -> (Observation, Option<Trouble>) {
        let (counts, looked) = self.files.look(Timestamp::now()).await;
        let trouble = looked.trouble;
        let counts = self.observe.names_files().then(|| AlertCounts { is_part: trouble.is_some(), ..counts });
        (Observation::Alerts(self.seen(counts, platform::booted_at())), trouble)
    }

    fn seen(&self, counts: Option<AlertCounts>, booted_at: Option<Timestamp>) -> AlertsSeen {
        let releases = releases(&self.agent, &self.observe, self.guide);
        let engine_stop = self.engine_stop(&releases, booted_at);
        let (agent, product) = (Label::new(self.agent.name.as_str()), self.agent.product);
        AlertsSeen { agent, product, releases, engine_stop, counts }
    }

    /// When the engine may stop: of a component that the notice has seen stop, with as many clients as are named, by the time at which it
    /// was started.
    fn engine_stop(&self, releases: &[ReleaseSeen], booted_at: Option<Timestamp>) -> Option<Timestamp> {
        let seen_after = releases.iter().find_map(|seen| seen.concern.as_ref()?.seen_after())?;
        let started_at = match self.observe.engine_started_at {
            EngineStart::Boot => booted_at?,
            EngineStart::At(at) => at,
        };
        started_at.checked_add(seen_after.forecast(self.observe.clients?)).ok()
    }
}

/// One for each component that is named.
fn releases(agent: &AgentConfig, observe: &ObserveConfig, guide: Option<&'static Guide>) -> Vec<ReleaseSeen> {
    let Some((guide, version)) = guide.zip(observe.version.as_ref()) else { return Vec::new() };
    let situation = observe.situation();
    let components = observe.components.iter().filter_map(|id| guide.component(id));
    let seen = |component: &'static Component| ReleaseSeen {
        agent: Some(Label::new(agent.name.as_str())),
        product: agent.product,
        part: component.id,
        directory: None,
        version: Some(Label::new(version.as_str())),
        concern: Concern::of_version(guide, version.as_str(), component, &situation),
        installed_at: None,
        keystores: Vec::new(),
    };
    components.map(seen).collect()
}

/// The machine whose alert about the folder of logs may be a false one: the notice knows that of a data server under its conditions, and
/// an alert of another machine is none of them.
fn false_on(releases: &[ReleaseSeen], facts: AlertFacts, observe: &ObserveConfig) -> Option<u64> {
    let has = |seen: &ReleaseSeen| seen.problems().iter().any(|problem| problem.reason == facts.false_by);
    let computer = observe.false_alert.computer.as_ref()?;
    releases.iter().any(has).then(|| machine(computer.as_str()))
}
