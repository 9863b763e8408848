//! `kagiban-operator plan`: what would be done about the resources in a file, and what blocks it. Only reads.

mod patience;

use std::collections::{BTreeSet, HashSet};
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use jiff::Timestamp;
use kagiban_crds::resource::{BlockedBy, ManagedAgentCertificate};
use kube::ResourceExt;

use crate::act::{AgentClient, CLIENT_UNREAD, Preflight};
use crate::cli::{PlanArgs, PlanExit};
use crate::cluster::{ClusterError, Kubernetes, SharedCluster, Verdict, Watched, client, object, verdict};
use crate::decide::{Decision, Inputs, Observed, Obstacle, Policy, Reason, Step, decide, trigger_words};
use crate::foreign::told;
use crate::freshness::Freshness;
use crate::manifest::{self, MAX_MANIFEST_BYTES, Manifest};
use crate::metrics::Metrics;
use crate::reconcile::owner_among;
use crate::run::{connect, reach};
use crate::watch::{self, WatchError};
use patience::Patience;

/// What is printed, and how it ends.
#[derive(Debug)]
pub struct Plan {
    pub text: String,
    pub exit: PlanExit,
}

/// Reads, looks, decides.
///
/// # Errors
/// When the file or the cluster cannot be read at all.
pub async fn plan(args: &PlanArgs) -> anyhow::Result<Plan> {
    let documents = manifest::read(&text(&args.file)?);
    let documents = documents.with_context(|| format!("{} is no YAML", args.file.display()))?;
    anyhow::ensure!(!documents.is_empty(), "no ManagedAgentCertificate in {}", args.file.display());
    let observer = if args.offline { None } else { Some(Observer::connect(args).await?) };
    let mut patience = Patience::default();
    let mut planned = Vec::new();
    let mut accepted = Vec::new();
    for document in documents {
        match (document, &observer) {
            (Err(error), _) => planned.push(Planned::Refused { what: error.to_string() }),
            (Ok(manifest), None) => planned.push(checked(manifest)),
            (Ok(manifest), Some(observer)) => match observer.dry_run(manifest, accepted.len(), &mut patience).await? {
                Ok(found) => accepted.push(found),
                Err(other) => planned.push(other),
            },
        }
    }
    if let Some(observer) = observer.filter(|_| !accepted.is_empty()) {
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

fn checked(manifest: Manifest) -> Planned {
    match manifest.unknown_field() {
        Some(field) => Planned::Refused { what: format!("{}: unknown field {field}", manifest.mac.name_any()) },
        None => Planned::Checked { name: manifest.mac.name_any(), host: manifest.mac.spec.host },
    }
}

/// What was found for one document.
#[derive(Debug)]
pub(crate) enum Planned {
    /// It cannot be read, or the API server would not take it.
    Refused {
        what: String,
    },
    /// Nothing is known of it: the API server could not tell now.
    Untold {
        what: String,
    },
    /// Checked only: the cluster was not to be asked.
    Checked {
        name: String,
        host: String,
    },
    Decided(Box<Decided>),
}

#[derive(Debug)]
pub(crate) struct Decided {
    name: String,
    host: String,
    exists: bool,
    /// Secrets that are not what they should be, whether the next step needs them or not.
    wrong: Vec<Obstacle>,
    /// What whoever makes the plan may not read.
    unchecked: Vec<String>,
    /// What was assumed where the cluster alone will decide.
    assumed: Option<String>,
    decision: Decision,
}

/// A resource as the API server would have it.
struct Found {
    mac: ManagedAgentCertificate,
    exists: bool,
}

fn untold(name: &str, why: &dyn std::fmt::Display) -> Planned {
    Planned::Untold { what: format!("{name}: {why}") }
}

fn named(mac: &ManagedAgentCertificate) -> String {
    format!("{}/{}", mac.namespace().unwrap_or_default(), mac.name_any())
}

struct Observer {
    cluster: SharedCluster,
    agents: AgentClient,
    namespace: String,
}

impl Observer {
    async fn connect(args: &PlanArgs) -> anyhow::Result<Self> {
        let config = connect(&args.cluster).await?;
        let namespace = config.default_namespace.clone();
        let reach = reach(&args.reach, &config);
        let client = client(config).context("the cluster's address or credentials cannot be used")?;
        let metrics = Arc::new(Metrics::new(None));
        let cluster: SharedCluster =
            Arc::new(Kubernetes::new(client, metrics.clone(), "kagiban-operator-plan".to_owned()));
        Ok(Self { agents: AgentClient::new(cluster.clone(), metrics, reach), cluster, namespace })
    }

    /// What the API server would make of it; else why it would not take it, or that it could not tell. `before` is how many
    /// manifests of the file it has taken already.
    async fn dry_run(
        &self,
        manifest: Manifest,
        before: usize,
        patience: &mut Patience,
    ) -> anyhow::Result<Result<Found, Planned>> {
        let Manifest { mut mac, mut object } = manifest;
        // in the namespace that `kubectl apply` would put it into
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
            Err(error) if verdict(&error, false) == Verdict::Untold => return Ok(Err(untold(&name, &error))),
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
                Ok(Found { mac, exists })
            }
            Err(unreadable) => Err(Planned::Refused { what: format!("{name}: {}", unreadable.why) }),
        })
    }

    async fn all(&self, namespace: Option<&str>) -> Result<Vec<Watched>, WatchError> {
        watch::all(self.cluster.watch(namespace, Freshness::new(Instant::now()))).await
    }

    /// All resources of the cluster as they would be with those of the file, or why the API server could not tell now.
    async fn contenders(&self, accepted: &[Found]) -> anyhow::Result<Result<Contenders, WatchError>> {
        let (listed, partly) = match self.all(None).await {
            Err(error) if error.may_pass() => return Ok(Err(error)),
            Err(error) if error.is_forbidden() => {
                let namespaces: BTreeSet<_> = accepted.iter().filter_map(|found| found.mac.namespace()).collect();
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
        let key = |mac: &ManagedAgentCertificate| (mac.namespace(), mac.name_any());
        let in_file = |mac: &ManagedAgentCertificate| accepted.iter().any(|found| key(&found.mac) == key(mac));
        let mut all: Vec<_> = listed.filter(|mac| !in_file(mac)).collect();
        all.extend(accepted.iter().map(|found| found.mac.clone()));
        let new = accepted.iter().filter(|found| !found.exists).map(|found| key(&found.mac)).collect();
        Ok(Ok(Contenders { all, new, partly }))
    }

    async fn judge(&self, found: Found, contenders: &Contenders) -> Planned {
        let Found { mac, exists } = found;
        let mut resource = object(&mac);
        // the finalizer is a detail of doing; the plan speaks of the rotation behind it
        resource.held = true;
        let now = Timestamp::now();
        let mut unchecked: Vec<String> = contenders.partly.iter().cloned().collect();
        let mut wrong = Vec::new();
        for check in self.agents.preflight(&resource).await {
            match check {
                Preflight::Wrong(obstacle) => wrong.push(obstacle),
                Preflight::Unread(what) => unchecked.push(what),
            }
        }
        let report = if unchecked.iter().any(|what| what.starts_with(CLIENT_UNREAD)) {
            Err(Obstacle::new(BlockedBy::HostUnreachable, "the host was not asked: the client Secret may not be read"))
        } else {
            self.agents.look(&resource).await
        };
        let rival = owner_among(&mac, contenders.all.iter());
        let assumed = rival
            .as_ref()
            .filter(|rival| !exists && contenders.new.contains(&(Some(rival.namespace.clone()), rival.name.clone())));
        let assumed = assumed.map(|rival| {
            format!(
                "of the new resources for this agent, {}/{} stands first in the file and is taken for the one that is created \
                 first and owns it",
                rival.namespace, rival.name
            )
        });
        // what is wrong with the Secrets was found above, and is said beside the decision
        let mut references = self.agents.references(&resource).await;
        references.issuer = references.issuer.filter(Result::is_ok);
        references.password = references.password.filter(Result::is_ok);
        let decision = decide(&Inputs {
            resource: &resource,
            host: report.as_ref().map_or_else(Observed::Unseen, Observed::Seen),
            rival: rival.as_ref(),
            setback: None,
            works_since: None,
            references: &references,
            policy: &Policy::default(),
            now,
        });
        let name = format!("{}/{}", resource.namespace, resource.name);
        Planned::Decided(Box::new(Decided {
            name,
            host: resource.spec.host,
            exists,
            wrong,
            unchecked,
            assumed,
            decision,
        }))
    }
}

/// What follows for this manifest, where anything does.
fn unlike_taken(mac: &ManagedAgentCertificate, error: ClusterError) -> anyhow::Result<Planned> {
    let name = named(mac);
    let names_version = mac.metadata.uid.is_some() || mac.metadata.resource_version.is_some();
    let why = match (verdict(&error, names_version), error) {
        (Verdict::Untold, error) => return Ok(untold(&name, &error)),
        (Verdict::NotJudged, error) => return Err(error).context("the API server cannot be asked for a dry run"),
        (Verdict::Refused, ClusterError::Status { message, .. } | ClusterError::Forbidden { message, .. }) => message,
        (Verdict::Refused, error @ ClusterError::NotFound { .. }) => {
            format!("the API server knows no such namespace or no such kind: {error}")
        }
        (Verdict::Refused, error @ ClusterError::Conflict { .. }) => {
            format!("the uid or resourceVersion that it names is not the one in the cluster: {error}")
        }
        (Verdict::Refused, error) => error.to_string(),
    };
    Ok(Planned::Refused { what: format!("{name}: {why}") })
}

struct Contenders {
    all: Vec<ManagedAgentCertificate>,
    /// Namespaces and names of those that only stand in the file.
    new: HashSet<(Option<String>, String)>,
    /// What could not be listed.
    partly: Option<String>,
}

pub(crate) fn render(planned: &[Planned], now: Timestamp) -> Plan {
    let mut text = String::new();
    let (mut wrong, mut untold) = (false, false);
    for planned in planned {
        let lines = match planned {
            Planned::Refused { what } => {
                wrong = true;
                vec![format!("refused     {what}")]
            }
            Planned::Untold { what } => {
                untold = true;
                vec![format!("not known   {what}"), "  the API server could not tell; ask again later".to_owned()]
            }
            Planned::Checked { name, host } => {
                vec![format!("{name}  (host {host})"), "  well-formed; neither cluster nor host was asked".to_owned()]
            }
            Planned::Decided(decided) => {
                wrong |= !decided.wrong.is_empty() || is_misconfigured(&decided.decision);
                described(decided, now)
            }
        };
        for line in lines {
            // a manifest's words are anybody's: none of them begins a line of its own in a terminal or a CI's log
            let _ = writeln!(text, "{}", told(&line));
        }
    }
    let exit = match (wrong, untold) {
        (true, _) => PlanExit::Wrong,
        (false, true) => PlanExit::Untold,
        (false, false) => PlanExit::Clear,
    };
    Plan { text, exit }
}

fn described(decided: &Decided, now: Timestamp) -> Vec<String> {
    let Decided { name, host, exists, wrong, unchecked, assumed, decision } = decided;
    let new = if *exists { "" } else { ", not in the cluster yet" };
    let mut lines = vec![format!("{name}  (host {host}{new})")];
    let wrong = wrong.iter().map(|it| format!("  wrong: {}: {}", Reason::Blocked(it.by).as_str(), it.message));
    lines.extend(wrong);
    lines.extend(unchecked.iter().map(|what| format!("  not checked: {what}")));
    lines.extend(assumed.iter().map(|what| format!("  assumed: {what}")));
    lines.extend(describe(decision, now));
    lines
}

/// Whether only another configuration clears what blocks it; a host that is busy, on battery or out of reach clears by itself.
const fn is_misconfigured(decision: &Decision) -> bool {
    let Step::Blocked { by, .. } = decision.step else { return false };
    match by {
        BlockedBy::HostRefused
        | BlockedBy::HostAnswerRefused
        | BlockedBy::SpecInvalid
        | BlockedBy::WrongHost
        | BlockedBy::IssuerUnavailable
        | BlockedBy::IssuerRefused
        | BlockedBy::IssuerEnding
        | BlockedBy::DriftRecurs
        | BlockedBy::RotationStuck
        | BlockedBy::SecretUnavailable
        | BlockedBy::Conflict
        | BlockedBy::NotGranted => true,
        BlockedBy::Paused
        | BlockedBy::HostUnreachable
        | BlockedBy::HostBusy
        | BlockedBy::Frozen
        | BlockedBy::OnBattery
        | BlockedBy::LowBattery
        | BlockedBy::ShutdownPending
        | BlockedBy::PowerUnknown
        | BlockedBy::ClockSkew
        | BlockedBy::BackingOff => false,
    }
}

fn describe(decision: &Decision, now: Timestamp) -> Vec<String> {
    let mut lines = vec![match decision.step {
        Step::Open { generation, trigger } => {
            format!("  would rotate now: generation {generation}, because {}", trigger_words(trigger))
        }
        Step::AskPassword { .. } => {
            "  would ask the host whether the password that the Secret holds is in force, and rotate if it is not"
                .to_owned()
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
    lines
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

    /// Holds B12, with `tests/tests/operator_input.rs`.
    #[test]
    fn a_plan_says_what_would_be_done_and_what_blocks_it() {
        let now = sample::now();
        let resource = sample::resource();
        let leaf = sample::leaf(9, now, Duration::from_secs(3600));
        let mut report = sample::report(4, &leaf);
        let mut decided = |power| {
            report.power.state = power;
            sample::decided(&resource, &report, now)
        };
        let planned = |decision, exists, wrong| {
            Planned::Decided(Box::new(Decided {
                name: "fleet/ups-01".into(),
                host: "ups-01.example.com".into(),
                exists,
                wrong,
                unchecked: Vec::new(),
                assumed: None,
                decision,
            }))
        };
        let on_battery = decided(kagiban_crds::host_api::PowerState::OnBattery);
        let passes = render(&[planned(on_battery.clone(), true, Vec::new())], now);
        assert_eq!(passes.exit, PlanExit::Clear, "that passes by itself");
        let unknown = || Planned::Untold { what: "fleet/ups-02: busy".into() };
        let partly = render(&[planned(on_battery.clone(), true, Vec::new()), unknown()], now);
        assert_eq!(partly.exit, PlanExit::Untold);
        let missing = Obstacle::new(BlockedBy::IssuerUnavailable, "there is no Secret fleet-ca");
        let plan = render(
            &[
                planned(decided(kagiban_crds::host_api::PowerState::Mains), false, vec![missing]),
                planned(on_battery, true, Vec::new()),
                Planned::Refused { what: "document 3: no such product".into() },
                unknown(),
            ],
            now,
        );
        assert_eq!(plan.exit, PlanExit::Wrong);
        insta::assert_snapshot!(plan.text, @"
        fleet/ups-01  (host ups-01.example.com, not in the cluster yet)
          wrong: IssuerUnavailable: there is no Secret fleet-ca
          would rotate now: generation 5, because no certificate of this resource was ever verified
          Ready=False NotIssued: no certificate yet
          Reconciling=True FirstIssue: rotation 5 is on its way
        fleet/ups-01  (host ups-01.example.com)
          blocked by OnBattery; would look again in 30 s
          Ready=False OnBattery: no certificate yet: the host runs on battery
          Reconciling=True OnBattery: the host runs on battery
          Blocked=True OnBattery: the host runs on battery
        refused     document 3: no such product
        not known   fleet/ups-02: busy
          the API server could not tell; ask again later
        ");
    }

    /// Holds B12: a pull request is stopped for what only another configuration clears, and for nothing else.
    #[test]
    fn a_plan_is_wrong_for_what_does_not_pass_by_itself() {
        let now = sample::now();
        let exit = |by| {
            let resource = sample::resource();
            let mut report = sample::report(4, &sample::leaf(9, now, Duration::from_secs(3600)));
            report.power.state = kagiban_crds::host_api::PowerState::OnBattery;
            let mut decision = sample::decided(&resource, &report, now);
            decision.step = Step::Blocked { by, retry: now };
            let decided = Decided {
                name: "fleet/ups-01".into(),
                host: "ups-01.example.com".into(),
                exists: true,
                wrong: Vec::new(),
                unchecked: Vec::new(),
                assumed: None,
                decision,
            };
            render(&[Planned::Decided(Box::new(decided))], now).exit
        };
        for by in [
            BlockedBy::HostRefused,
            BlockedBy::HostAnswerRefused,
            BlockedBy::SpecInvalid,
            BlockedBy::WrongHost,
            BlockedBy::IssuerUnavailable,
            BlockedBy::IssuerRefused,
            BlockedBy::IssuerEnding,
            BlockedBy::SecretUnavailable,
            BlockedBy::Conflict,
            BlockedBy::NotGranted,
        ] {
            assert_eq!(exit(by), PlanExit::Wrong, "{by:?}");
        }
        for by in [
            BlockedBy::Paused,
            BlockedBy::HostUnreachable,
            BlockedBy::HostBusy,
            BlockedBy::LowBattery,
            BlockedBy::ShutdownPending,
            BlockedBy::PowerUnknown,
            BlockedBy::BackingOff,
        ] {
            assert_eq!(exit(by), PlanExit::Clear, "{by:?}");
        }
    }

    /// Holds B12: what is left of a file is not asked of an API server that could not tell of what came before it.
    #[tokio::test]
    async fn once_the_plan_has_waited_long_enough_nothing_more_is_asked() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let config = kube::Config::new("http://127.0.0.1:1".parse().expect("a URL"));
        let metrics = Arc::new(Metrics::new(None));
        let client = client(config).expect("a client");
        let cluster: SharedCluster = Arc::new(Kubernetes::new(client, metrics.clone(), "test".to_owned()));
        let agents = AgentClient::new(cluster.clone(), metrics, crate::agent_api::Reach::new(Vec::new(), Vec::new()));
        let observer = Observer { cluster, agents, namespace: "fleet".to_owned() };
        let manifest = manifest::read(include_str!("../tests/support/good.yaml")).expect("YAML").remove(0);
        let planned = observer.dry_run(manifest.expect("a good one"), 0, &mut Patience::used_up()).await;
        let Ok(Err(Planned::Untold { what })) = planned else { panic!("it was asked") };
        assert!(what.contains("not asked"), "{what}");
    }

    /// Holds B12: a manifest in a pull request wrote lines of its own into a CI's log.
    #[test]
    fn what_a_manifest_says_stays_in_its_line() {
        let hostile = "x\n::error::pwned\u{1b}[2J";
        let checked = Planned::Checked { name: hostile.into(), host: hostile.into() };
        let plan = render(&[Planned::Refused { what: hostile.into() }, checked], sample::now());
        assert_eq!(plan.text.lines().count(), 3);
        assert!(
            plan.text.lines().all(|line| !line.starts_with("::") && !line.contains(char::is_control)),
            "{}",
            plan.text
        );
        let obstacle = Obstacle::new(BlockedBy::NotGranted, hostile);
        assert_eq!(obstacle.message, "x::error::pwned[2J");
    }
}
