//! How one PowerChute agent is hardened.
//!
//! ```text
//!   HealthSource (deadline) ─┬─ collect   its files, on a blocking thread ─┐
//!                            ├─ probe     what its port serves, and takes ├──Facts──> health::verdicts
//!                            ├─ jars      what jarsigner said last        ┤
//!                            └─ snmp      what it answers, if configured  ─┘
//! ```

mod collect;
mod jars;
mod snmp;

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use kagiban_agents::Hardening;
use tokio::time::timeout;

pub(super) use self::collect::AgentPaths;
use self::collect::Collected;
use super::blocking::Blocking;
use super::schedule::{panicked, timed_out};
use crate::blocking::Work;
use crate::config::{HealthConfig, HealthSnmpConfig};
use crate::health::{HardeningFacts, JarsSeen, JavaVersion, LeafMarks, verdicts};
use crate::probe::{Endpoint, Greeting, OldVersion, greet, probe};
use crate::snapshot::{HealthSeen, Label, Observation, Trouble};

/// Every reason that a look as a whole can fail for; those of single checks stand in their verdicts.
pub(super) const REASONS: &[&str] = &["busy", "panic", "timeout"];

/// For each question to the agent's port: a handshake takes milliseconds, on a busy old host a second.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct HealthSource {
    agent: Option<Label>,
    product: &'static Hardening,
    paths: AgentPaths,
    collector: Blocking<AgentPaths, Collected>,
    ports: Ports,
    jars: jars::Jars,
    minimum_java: Option<JavaVersion>,
    deadline: Duration,
}

/// Where the agent answers.
#[derive(Debug)]
struct Ports {
    endpoint: Endpoint,
    snmp: Option<HealthSnmpConfig>,
    snmp_reads: snmp::Reads,
}

/// An agent to look at.
pub(super) struct HealthTarget {
    pub(super) name: Option<Label>,
    pub(super) product: &'static Hardening,
    pub(super) paths: AgentPaths,
    pub(super) endpoint: Endpoint,
}

impl HealthSource {
    pub(super) fn new(target: HealthTarget, config: &HealthConfig) -> Self {
        let HealthTarget { name, product, mut paths, endpoint } = target;
        paths.command_directories.extend(config.command_directories.iter().cloned());
        let deadline = config.timeout.as_duration();
        Self {
            agent: name,
            product,
            paths,
            collector: Blocking::new(Work::Health, deadline),
            ports: Ports { endpoint, snmp: config.snmp.clone(), snmp_reads: snmp::Reads::new() },
            jars: jars::Jars::new(config.jarsigner.clone()),
            minimum_java: config.minimum_java_version.clone(),
            deadline,
        }
    }

    pub(super) async fn look(&mut self) -> (Observation, Option<Trouble>) {
        let paths = &self.paths;
        let collecting = self.collector.run(|| paths.clone(), |paths| paths.collect());
        let asking = timeout(self.deadline, AssertUnwindSafe(self.ports.ask()).catch_unwind());
        let (collected, asked) = match tokio::join!(collecting, asking) {
            (Ok(collected), Ok(Ok(asked))) => (collected, asked),
            (Err(trouble), _) => return (Observation::Nothing, Some(trouble)),
            (Ok(_), Ok(Err(_))) => return (Observation::Nothing, Some(panicked("panic"))),
            (Ok(_), Err(_)) => return (Observation::Nothing, Some(timed_out("timeout", self.deadline))),
        };
        let jars = self.jars.look(collected.jars.clone()).await;
        let facts = self.facts(collected, asked, jars);
        let seen = HealthSeen {
            agent: self.agent.clone(),
            directory: Label::from_path(&self.paths.directory),
            checks: verdicts(&facts, self.product),
        };
        (Observation::Health(seen), None)
    }

    fn facts(&self, collected: Collected, asked: Asked, jars: Result<JarsSeen, Trouble>) -> HardeningFacts {
        let Collected {
            stored,
            store_password,
            cacerts_open_by_default,
            jre,
            install,
            command_files,
            java,
            missing,
            left_behind,
            jars: _,
        } = collected;
        let Asked { served, old_tls, snmp } = asked;
        HardeningFacts {
            served,
            stored,
            store_password,
            cacerts_open_by_default,
            jre,
            install,
            command_files,
            java,
            minimum_java: self.minimum_java.clone(),
            missing,
            left_behind,
            jars,
            old_tls,
            snmp,
        }
    }
}

impl Ports {
    async fn ask(&self) -> Asked {
        let (served, old_tls, snmp) = tokio::join!(self.served(), self.old_tls(), self.snmp());
        Asked { served, old_tls, snmp }
    }

    async fn served(&self) -> Result<LeafMarks, Trouble> {
        let handshake =
            probe(&self.endpoint, ANSWER_WITHIN).await.map_err(|error| Trouble::new(error.reason(), error))?;
        Ok(collect::marks(handshake.leaf()))
    }

    async fn old_tls(&self) -> Result<Option<&'static str>, Trouble> {
        for (version, name) in [(OldVersion::Tls10, "TLS 1.0"), (OldVersion::Tls11, "TLS 1.1")] {
            match greet(&self.endpoint, version, ANSWER_WITHIN).await {
                Ok(Greeting::Accepted) => return Ok(Some(name)),
                Ok(Greeting::Refused { .. }) => {}
                Err(error) => return Err(Trouble::new(error.reason(), error)),
            }
        }
        Ok(None)
    }

    async fn snmp(&self) -> Result<crate::health::SnmpSeen, Trouble> {
        match &self.snmp {
            Some(config) => snmp::ask(config, &self.snmp_reads).await,
            None => Err(Trouble::new("not_configured", "set snmp.address to have the agent's SNMP port asked")),
        }
    }
}

struct Asked {
    served: Result<LeafMarks, Trouble>,
    old_tls: Result<Option<&'static str>, Trouble>,
    snmp: Result<crate::health::SnmpSeen, Trouble>,
}
