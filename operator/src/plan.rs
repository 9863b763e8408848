//! `kagiban-operator plan`: what would be done about the resources in a file, and what blocks it. Only reads.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use kagiban_crds::resource::{BlockedBy, ManagedAgentCertificate};
use kube::{Client, ResourceExt};

use crate::act::AgentClient;
use crate::cli::PlanArgs;
use crate::cluster::{Cluster, object};
use crate::decide::{Decision, Inputs, Observed, Obstacle, Policy, Reason, Rival, Step, decide, trigger_words};
use crate::manifest::{self, MAX_MANIFEST_BYTES, ManifestError};
use crate::metrics::Metrics;
use crate::reconcile::oldest_rival;
use crate::run::connect;

/// What is printed, and whether everything may go on.
#[derive(Debug)]
pub struct Plan {
    pub text: String,
    pub clear: bool,
}

/// Reads, looks, decides.
///
/// # Errors
/// When the file or the cluster cannot be read at all.
pub async fn plan(args: &PlanArgs) -> anyhow::Result<Plan> {
    let text = text(&args.file)?;
    let documents = manifest::read(&text);
    let eyes = if args.offline { None } else { Some(Eyes::open(args).await?) };
    let resources: Vec<_> = documents.iter().filter_map(|document| document.as_ref().ok()).cloned().collect();
    let resources: Vec<_> = resources.into_iter().map(|mac| placed(mac, eyes.as_ref())).collect();
    let mut planned = Vec::new();
    for document in documents {
        planned.push(match document {
            Err(error) => Planned::Unreadable(error),
            Ok(mac) => one(placed(mac, eyes.as_ref()), &resources, eyes.as_ref()).await,
        });
    }
    Ok(render(&planned, Timestamp::now()))
}

/// What was found for one document.
#[derive(Debug)]
pub(crate) enum Planned {
    Unreadable(ManifestError),
    /// Checked only: the cluster was not to be asked.
    Checked {
        name: String,
        host: String,
    },
    Decided {
        name: String,
        host: String,
        exists: bool,
        decision: Box<Decision>,
    },
}

struct Eyes {
    cluster: Cluster,
    agents: AgentClient,
    namespace: String,
}

impl Eyes {
    async fn open(args: &PlanArgs) -> anyhow::Result<Self> {
        let config = connect(&args.cluster).await?;
        let namespace = config.default_namespace.clone();
        let client = Client::try_from(config).context("the cluster's address or credentials cannot be used")?;
        let metrics = Arc::new(Metrics::new(None));
        let cluster = Cluster::new(client, metrics.clone(), "kagiban-operator-plan".to_owned());
        Ok(Self { agents: AgentClient::new(cluster.clone(), metrics), cluster, namespace })
    }
}

/// In the namespace that `kubectl apply` would put it into.
fn placed(mut mac: ManagedAgentCertificate, eyes: Option<&Eyes>) -> ManagedAgentCertificate {
    if let (None, Some(eyes)) = (&mac.metadata.namespace, eyes) {
        mac.metadata.namespace = Some(eyes.namespace.clone());
    }
    mac
}

async fn one(mac: ManagedAgentCertificate, all: &[ManagedAgentCertificate], eyes: Option<&Eyes>) -> Planned {
    let Some(eyes) = eyes else {
        return Planned::Checked { name: mac.name_any(), host: mac.spec.host.clone() };
    };
    let live = eyes.cluster.named(&mac).await;
    let (name, host) = (format!("{}/{}", mac.namespace().unwrap_or_default(), mac.name_any()), mac.spec.host.clone());
    let (mut resource, rival, exists, broken) = match live {
        Ok(Some(live)) => {
            let rival = oldest_rival(&live, all.iter());
            let mut resource = object(&live);
            resource.spec = mac.spec.clone();
            (resource, rival, true, None)
        }
        Ok(None) => (object(&mac), twin(&mac, all), false, None),
        Err(error) => {
            let obstacle = Obstacle::new(BlockedBy::HostUnreachable, format!("the cluster cannot be asked: {error}"));
            (object(&mac), None, false, Some(obstacle))
        }
    };
    // the finalizer is a detail of doing; the plan speaks of the rotation behind it
    resource.held = true;
    let references = eyes.agents.references(&resource).await;
    let report = match broken {
        Some(obstacle) => Err(obstacle),
        None => eyes.agents.look(&resource).await,
    };
    let decision = decide(&Inputs {
        resource: &resource,
        host: report.as_ref().map_or_else(Observed::Unseen, Observed::Seen),
        rival: rival.as_ref(),
        setback: None,
        references: &references,
        policy: &Policy::default(),
        now: Timestamp::now(),
    });
    Planned::Decided { name, host, exists, decision: Box::new(decision) }
}

/// Another resource of the same file that names the same agent: both are new, the first one would own it.
fn twin(mac: &ManagedAgentCertificate, all: &[ManagedAgentCertificate]) -> Option<Rival> {
    let first = all.iter().find(|o| o.spec.host == mac.spec.host && o.spec.agent.name == mac.spec.agent.name)?;
    ((first.namespace(), first.name_any()) != (mac.namespace(), mac.name_any()))
        .then(|| Rival { namespace: first.namespace().unwrap_or_default(), name: first.name_any() })
}

pub(crate) fn render(planned: &[Planned], now: Timestamp) -> Plan {
    let mut text = String::new();
    let mut clear = true;
    for planned in planned {
        let line = match planned {
            Planned::Unreadable(error) => {
                clear = false;
                format!("unreadable  {error}")
            }
            Planned::Checked { name, host } => {
                format!("{name}  (host {host})\n  well-formed; neither cluster nor host was asked")
            }
            Planned::Decided { name, host, exists, decision } => {
                clear &= !matches!(decision.step, Step::Blocked { .. });
                let new = if *exists { "" } else { ", not in the cluster yet" };
                format!("{name}  (host {host}{new})\n{}", describe(decision, now))
            }
        };
        let _ = writeln!(text, "{line}");
    }
    if planned.is_empty() {
        clear = false;
        text.push_str("no ManagedAgentCertificate in the file\n");
    }
    Plan { text, clear }
}

fn describe(decision: &Decision, now: Timestamp) -> String {
    let mut lines = vec![match decision.step {
        Step::Open { generation, trigger } => {
            format!("  would rotate now: generation {generation}, because {}", trigger_words(trigger))
        }
        Step::Deliver { generation } => {
            format!("  would sign the host's CSR and push the chain: generation {generation}")
        }
        Step::Follow { generation, .. } => format!("  would wait for the host: generation {generation} is on its way"),
        Step::Rollback { generation } => {
            format!("  would call off generation {generation}, which has not touched the keystore")
        }
        Step::Blocked { by, retry } => {
            let wait = Duration::try_from(retry.duration_since(now)).unwrap_or_default().as_secs();
            format!("  blocked by {}; would look again in {wait} s", Reason::Blocked(by).as_str())
        }
        Step::Idle { .. } => "  nothing to do".to_owned(),
        Step::EnsureFinalizer => "  would add the finalizer".to_owned(),
        Step::ReleaseFinalizer => "  is being deleted; would release it".to_owned(),
        Step::Gone => "  is being deleted".to_owned(),
    }];
    if let Some(leaf) = &decision.status.leaf {
        lines.push(format!("  leaf {} expires {}", leaf.sha256, leaf.not_after));
    }
    if let Some(renewal) = decision.status.renewal_time {
        lines.push(format!("  next rotation {renewal}"));
    }
    for condition in decision.status.conditions.iter().filter(|c| c.type_ == "Ready" || c.status == "True") {
        lines.push(format!("  {}={} {}: {}", condition.type_, condition.status, condition.reason, condition.message));
    }
    lines.join("\n")
}

fn text(file: &Path) -> anyhow::Result<String> {
    let limit = u64::try_from(MAX_MANIFEST_BYTES).unwrap_or(u64::MAX) + 1;
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().take(limit).read_to_string(&mut text).context("stdin cannot be read as text")?;
    } else {
        let opened = std::fs::File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
        opened
            .take(limit)
            .read_to_string(&mut text)
            .with_context(|| format!("{} cannot be read as text", file.display()))?;
    }
    anyhow::ensure!(text.len() <= MAX_MANIFEST_BYTES, "{} is larger than any manifest should be", file.display());
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::tests as sample;

    #[test]
    fn a_plan_says_what_would_be_done_and_what_blocks_it() {
        let now = sample::now();
        let resource = sample::resource();
        let policy = Policy::default();
        let leaf = sample::leaf(9, now, Duration::from_secs(3600));
        let mut report = sample::report(4, &leaf);
        let mut decided = |power| {
            report.power.state = power;
            let host = Observed::Seen(&report);
            let references = crate::decide::References::default();
            decide(&Inputs {
                resource: &resource,
                host,
                rival: None,
                setback: None,
                references: &references,
                policy: &policy,
                now,
            })
        };
        let planned = |decision, exists| Planned::Decided {
            name: "fleet/ups-01".into(),
            host: "ups-01.example.com".into(),
            exists,
            decision: Box::new(decision),
        };
        let plan = render(
            &[
                planned(decided(kagiban_crds::host_api::PowerState::Mains), false),
                planned(decided(kagiban_crds::host_api::PowerState::OnBattery), true),
                Planned::Unreadable(ManifestError { number: 3, name: None, message: "no such product".into() }),
            ],
            now,
        );
        assert!(!plan.clear);
        insta::assert_snapshot!(plan.text, @"
        fleet/ups-01  (host ups-01.example.com, not in the cluster yet)
          would rotate now: generation 5, because no certificate of this resource was ever verified
          Ready=False NotIssued: no certificate yet
          Reconciling=True FirstIssue: rotation 5 is on its way
        fleet/ups-01  (host ups-01.example.com)
          blocked by OnBattery; would look again in 30 s
          Ready=False OnBattery: no certificate yet: the host runs on battery
          Reconciling=True OnBattery: the host runs on battery
          Blocked=True OnBattery: the host runs on battery
        unreadable  document 3: no such product
        ");
    }
}
