//! `kagiban-operator plan`: what would be done about the resources in a file, and what blocks it. Only reads.

mod patience;
mod render;

use std::collections::{BTreeSet, HashSet};
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use jiff::Timestamp;
use kagiban_crds::Lineage;
use kagiban_crds::resource::{BlockedBy, ManagedAgentCertificate};
use serde_json::Value;

use crate::act::{AgentClient, CLIENT_UNREAD, Preflight};
use crate::cli::{PlanArgs, PlanExit};
use crate::cluster::kubernetes::{DryRunVerdict, Kubernetes, client, connect, verdict};
use crate::cluster::manifest::{self, MAX_MANIFEST_BYTES, Manifest};
use crate::cluster::standalone::admission::Admission;
use crate::cluster::standalone::{Judged, judge};
use crate::cluster::watch::{self, WatchError};
use crate::cluster::{ClusterError, SharedCluster, Watched, object};
use crate::decide::{ConditionType, Inputs, Observed, Obstacle, Policy, References, Resource, Setback, decide};
use crate::fleet::ResourceName;
use crate::freshness::Freshness;
use crate::metrics::Metrics;
use crate::reconcile::owner_among;
use crate::run::reach;
use patience::Patience;
use render::{Decided, Planned, render};

/// What is printed, and how it ends.
#[derive(Debug)]
pub struct Plan {
    pub text: String,
    pub exit: PlanExit,
}

/// Who says whether a resource would be taken.
enum Judge {
    Cluster(Box<Observer>),
    /// Those of this version's CRD.
    Rules(Box<Admission>),
}

/// Reads, looks, decides.
///
/// # Errors
/// When the file or the cluster cannot be read at all.
pub async fn plan(args: &PlanArgs) -> anyhow::Result<Plan> {
    if args.offline && args.file.is_dir() {
        return directory(&args.file);
    }
    let source = if is_stdin(&args.file) { "stdin".to_owned() } else { args.file.display().to_string() };
    let documents = manifest::read(&text(&args.file)?).with_context(|| source.clone())?;
    anyhow::ensure!(!documents.is_empty(), "no ManagedAgentCertificate in {source}");
    let no_cluster = "the cluster cannot be asked; where there is none, --offline checks the manifests alone, as for `kagiban-operator standalone`";
    let judge = if args.offline {
        Judge::Rules(Box::new(Admission::new()?))
    } else {
        Judge::Cluster(Box::new(Observer::connect(args).await.context(no_cluster)?))
    };
    let mut patience = Patience::default();
    let mut planned = Vec::new();
    let mut accepted = Vec::new();
    for document in documents {
        match (document, &judge) {
            (Err(error), _) => planned.push(Planned::Refused { what: error.to_string() }),
            (Ok(manifest), Judge::Rules(admission)) => planned.push(checked(manifest, admission)),
            (Ok(manifest), Judge::Cluster(observer)) => {
                match observer.dry_run(manifest, accepted.len(), &mut patience).await? {
                    Ok(found) => accepted.push(found),
                    Err(other) => planned.push(other),
                }
            }
        }
    }
    if let Judge::Cluster(observer) = judge
        && !accepted.is_empty()
    {
        match observer.contenders(&accepted).await? {
            Ok(all) => {
                for found in accepted {
                    planned.push(observer.judge(found, &all).await);
                }
            }
            Err(why) => planned.extend(accepted.into_iter().map(|found| untold(&named(&found.mac), &why))),
        }
    }
    Ok(render(&planned, Timestamp::now()))
}

/// As an API server would judge it that has nothing of this name.
fn checked(manifest: Manifest, admission: &Admission) -> Planned {
    if let Err(errors) = admission.admit(&manifest.object, None) {
        let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
        return Planned::Refused { what: manifest.wrong(errors.join(", ")).to_string() };
    }
    Planned::Checked { name: manifest.mac.metadata.name.unwrap_or_default(), host: manifest.mac.spec.host }
}

/// All files below a directory, as `standalone` follows them.
fn directory(root: &Path) -> anyhow::Result<Plan> {
    let Judged { taken, problems } = judge(root, &Admission::new()?)?;
    anyhow::ensure!(!taken.is_empty() || !problems.is_empty(), "no ManagedAgentCertificate in {}", root.display());
    let word =
        |object: &Value, pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let checked = |object: &Value| {
        let name = format!("{}/{}", word(object, "/metadata/namespace"), word(object, "/metadata/name"));
        Planned::Checked { name, host: word(object, "/spec/host") }
    };
    let refused = problems.into_iter().map(|what| Planned::Refused { what });
    let planned: Vec<_> = taken.iter().map(checked).chain(refused).collect();
    Ok(render(&planned, Timestamp::now()))
}

/// A resource as the API server would have it.
struct Admitted {
    mac: ManagedAgentCertificate,
    exists: bool,
}

fn untold(name: &str, why: &dyn std::fmt::Display) -> Planned {
    Planned::Untold { what: format!("{name}: {why}") }
}

fn named(mac: &ManagedAgentCertificate) -> String {
    ResourceName::of_metadata(&mac.metadata).to_string()
}

struct Observer {
    cluster: SharedCluster,
    agents: AgentClient,
    namespace: String,
    lineage: Option<Lineage>,
}

impl Observer {
    async fn connect(args: &PlanArgs) -> anyhow::Result<Self> {
        let config = connect(&args.cluster).await?;
        let namespace = config.default_namespace.clone();
        let reach = reach(&args.reach, config.cluster_url.host());
        let client = client(config).context("the cluster's address or credentials cannot be used")?;
        let metrics = Arc::new(Metrics::new(None));
        let cluster: SharedCluster =
            Arc::new(Kubernetes::new(client, metrics.clone(), "kagiban-operator-plan".to_owned()));
        Ok(Self {
            agents: AgentClient::new(cluster.clone(), metrics, reach),
            cluster,
            namespace,
            lineage: args.lineage.clone(),
        })
    }

    /// What the API server would make of it; else why it would not take it, or that it could not tell. `before` is how many
    /// manifests of the file it has taken already.
    async fn dry_run(
        &self,
        manifest: Manifest,
        before: usize,
        patience: &mut Patience,
    ) -> anyhow::Result<Result<Admitted, Planned>> {
        let Manifest { mut mac, mut object, .. } = manifest;
        // In the namespace that `kubectl apply` would put it into
        let namespace = mac.metadata.namespace.get_or_insert_with(|| self.namespace.clone()).clone();
        object["metadata"]["namespace"] = namespace.into();
        let name = named(&mac);
        if patience.is_over() {
            return Ok(Err(untold(&name, &"not asked: the API server could not tell of those before it")));
        }
        let taken = match patience.ask(|| self.cluster.dry_run(&mac, &object)).await {
            Ok(taken) => taken,
            Err(error) => return unlike_taken(&mac, error).map(Err),
        };
        let exists = match patience.ask(|| self.cluster.named(&mac)).await {
            Ok(found) => found.is_some(),
            Err(error) if verdict(&error, false) == DryRunVerdict::Untold => return Ok(Err(untold(&name, &error))),
            Err(error) => return Err(error).context("the cluster cannot be asked"),
        };
        Ok(match taken.0 {
            Ok(mut mac) => {
                if !exists {
                    // The dry run makes these up, and with another uid another of two new ones would own their agent. In the
                    // file's order they are created.
                    mac.metadata.creation_timestamp = None;
                    mac.metadata.uid = Some(format!("{before:08}"));
                }
                Ok(Admitted { mac, exists })
            }
            Err(unreadable) => Err(Planned::Refused { what: format!("{name}: {}", unreadable.why) }),
        })
    }

    async fn all(&self, namespace: Option<&str>) -> Result<Vec<Watched>, WatchError> {
        watch::all(self.cluster.watch(namespace, Freshness::new(Instant::now()))).await
    }

    /// All resources of the cluster as they would be with those of the file, or why the API server could not tell now.
    async fn contenders(&self, accepted: &[Admitted]) -> anyhow::Result<Result<Contenders, WatchError>> {
        let (listed, partly) = match self.all(None).await {
            Err(error) if error.may_pass() => return Ok(Err(error)),
            Err(error) if error.is_forbidden() => {
                let namespaces: BTreeSet<_> =
                    accepted.iter().filter_map(|found| found.mac.metadata.namespace.clone()).collect();
                let mut listed = Vec::new();
                for namespace in &namespaces {
                    let of_one = self.all(Some(namespace)).await;
                    match of_one {
                        Err(error) if error.may_pass() => return Ok(Err(error)),
                        of_one => {
                            listed.extend(of_one.with_context(|| format!("what {namespace} holds is not known"))?);
                        }
                    }
                }
                let namespaces: Vec<_> = namespaces.into_iter().collect();
                let note = format!(
                    "resources of other namespaces than {} for the same agent, which may not be listed",
                    namespaces.join(", ")
                );
                (listed, Some(note))
            }
            listed => (listed.context("whose the agents are is not known")?, None),
        };
        let listed = listed.into_iter().filter_map(|object| object.0.ok());
        let key = |mac: &ManagedAgentCertificate| ResourceName::of_metadata(&mac.metadata);
        let in_file = |mac: &ManagedAgentCertificate| accepted.iter().any(|found| key(&found.mac) == key(mac));
        let mut all: Vec<_> = listed.filter(|mac| !in_file(mac)).collect();
        all.extend(accepted.iter().map(|found| found.mac.clone()));
        let new = accepted.iter().filter(|found| !found.exists).map(|found| key(&found.mac)).collect();
        Ok(Ok(Contenders { all, new, partly }))
    }

    async fn judge(&self, found: Admitted, contenders: &Contenders) -> Planned {
        let Admitted { mac, exists } = found;
        let mut resource = object(&mac);
        // The finalizer is a detail of doing; the plan speaks of the rotation behind it
        resource.held = true;
        let now = Timestamp::now();
        let mut unchecked: Vec<String> = contenders.partly.iter().cloned().collect();
        let mut wrong = Vec::new();
        for check in self.agents.preflight(&resource).await {
            match check {
                Preflight::Wrong(obstacle) if obstacle.is_unread => {
                    return untold(&named(&mac), &obstacle.message);
                }
                Preflight::Wrong(obstacle) => wrong.push(obstacle),
                Preflight::Unread(what) => unchecked.push(what),
            }
        }
        let is_asked = !unchecked.iter().any(|what| what.starts_with(CLIENT_UNREAD));
        let report = if is_asked {
            self.agents.look(&resource).await
        } else {
            Err(Obstacle::new(BlockedBy::HostUnreachable, "the host was not asked: the client Secret may not be read"))
        };
        let obeyed = report.as_ref().ok().and_then(|report| report.lineage.clone());
        if let (None, Some(obeyed)) = (&self.lineage, &obeyed) {
            unchecked.push(format!(
                "whether the operator's --lineage is {obeyed}, which the host obeys: give it to the plan too"
            ));
        }
        let policy = Policy { lineage: self.lineage.clone().or(obeyed), ..Policy::default() };
        let rival = owner_among(&mac, contenders.all.iter());
        let assumed = rival
            .as_ref()
            .filter(|rival| !exists && contenders.new.contains(&ResourceName::new(&rival.namespace, &rival.name)));
        let assumed = assumed.map(|rival| {
            format!(
                "of the new resources for this agent, {}/{} stands first in the file and is taken for the one that is created \
                 first and owns it",
                rival.namespace, rival.name
            )
        });
        let refusal = refused_last(&resource).map(|obstacle| Setback { obstacle, count: 1, at: now });
        let decided = |references: &References| {
            decide(&Inputs {
                resource: &resource,
                host: report.as_ref().map_or_else(Observed::Unseen, Observed::Seen),
                rival: rival.as_ref(),
                setback: refusal.as_ref(),
                works_for: None,
                ordered: None,
                references,
                policy: &policy,
                now,
            })
        };
        // What is wrong keeps the operator from it; what whoever plans may not read does not
        let references = self.agents.references(&resource).await;
        let decision = decided(&references.without(|obstacle| !wrong.contains(obstacle)));
        let afterwards = decided(&references.without(|_| true));
        let name = format!("{}/{}", resource.namespace, resource.name);
        Planned::Decided(Box::new(Decided {
            name,
            host: resource.spec.host,
            exists,
            wrong,
            unchecked,
            is_asked,
            assumed,
            decision,
            afterwards,
        }))
    }
}

/// What the host or the issuer has said to the operator's last order, for the spec as it stands: only an order brings that to light, and a
/// plan gives none. The next one may be taken, where what was wrong has been put right.
fn refused_last(resource: &Resource) -> Option<Obstacle> {
    let status = &resource.status;
    let by = status.blocked_by.filter(|_| status.observed_generation == Some(resource.generation))?;
    if !matches!(by, BlockedBy::HostRefused | BlockedBy::HostAnswerRefused | BlockedBy::IssuerRefused) {
        return None;
    }
    let blocked = status.conditions.iter().find(|condition| condition.type_ == ConditionType::Blocked.as_str());
    let said = blocked.map_or("the status says so", |condition| condition.message.as_str());
    Some(Obstacle::new(by, said))
}

const NO_DRY_RUN: &str = "the API server cannot be asked for a dry run, for which a plan's user needs the verbs get, list, create and \
                          patch on managedagentcertificates";

/// What follows for this manifest, where anything does.
fn unlike_taken(mac: &ManagedAgentCertificate, error: ClusterError) -> anyhow::Result<Planned> {
    let name = named(mac);
    let names_version = mac.metadata.uid.is_some() || mac.metadata.resource_version.is_some();
    let why = match (verdict(&error, names_version), error) {
        (DryRunVerdict::Untold, error) => return Ok(untold(&name, &error)),
        (DryRunVerdict::NotJudged, error) => return Err(error).context(NO_DRY_RUN),
        (DryRunVerdict::Refused, ClusterError::Status { message, .. } | ClusterError::Forbidden { message, .. }) => {
            message
        }
        (DryRunVerdict::Refused, error @ ClusterError::NotFound { .. }) => {
            format!("the API server knows no such namespace or no such kind: {error}")
        }
        (DryRunVerdict::Refused, error @ ClusterError::Conflict { .. }) => {
            format!("the uid or resourceVersion that it names is not the one in the cluster: {error}")
        }
        (DryRunVerdict::Refused, error) => error.to_string(),
    };
    Ok(Planned::Refused { what: format!("{name}: {why}") })
}

struct Contenders {
    all: Vec<ManagedAgentCertificate>,
    /// Namespaces and names of those that only stand in the file.
    new: HashSet<ResourceName>,
    /// What could not be listed.
    partly: Option<String>,
}

fn is_stdin(file: &Path) -> bool {
    file == Path::new("-")
}

fn text(file: &Path) -> anyhow::Result<String> {
    let limit = u64::try_from(MAX_MANIFEST_BYTES).unwrap_or(u64::MAX) + 1;
    let mut text = String::new();
    if is_stdin(file) {
        std::io::stdin().take(limit).read_to_string(&mut text).context("stdin cannot be read as text")?;
    } else {
        anyhow::ensure!(
            !file.is_dir(),
            "{} is a directory: with --offline it is judged as `standalone` follows it; for a cluster give one file after the other, or what \
             `kubectl kustomize` makes of it, through `-f -`",
            file.display()
        );
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
mod tests;
