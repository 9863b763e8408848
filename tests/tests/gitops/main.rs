//! What GitOps tools make of a resource: kstatus, Argo CD and Flux read every state that is decided alike, and nobody fights over a
//! field.

mod examples;

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use kagiban_crds::host_api::{AgentReport, RotationState};
use kagiban_crds::resource::{BlockedBy, ManagedAgentCertificate, crd};
use kagiban_operator::decide::{
    Inputs, Observed, Obstacle, Policy, References, Resource, Rival, Step, decide, request_digest,
};
use kagiban_tests::{process, quickstart, tools};
use serde_json::{Value, json};

const NOW: &str = "2026-03-01T12:00:00Z";
const LEAF: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const OTHER_LEAF: &str = "2222222222222222222222222222222222222222222222222222222222222222";

/// Health, in kstatus' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Current,
    InProgress,
    Failed,
    Terminating,
}

impl Health {
    const ALL: [Self; 4] = [Self::Current, Self::InProgress, Self::Failed, Self::Terminating];

    /// As kstatus, Argo CD and Flux call it. The latter two have no word for what is being deleted.
    const fn words(self) -> [&'static str; 3] {
        match self {
            Self::Current => ["Current", "Healthy", "Current"],
            Self::InProgress => ["InProgress", "Progressing", "InProgress"],
            Self::Failed => ["Failed", "Degraded", "Failed"],
            Self::Terminating => ["Terminating", "Progressing", "InProgress"],
        }
    }
}

/// What the three say of each object. An error when they do not agree.
fn read(objects: &[Value]) -> Result<Vec<Health>> {
    let example = |file: &str| -> Result<Value> {
        Ok(serde_yaml::from_str(&fs::read_to_string(tools::workspace().join("examples/gitops").join(file))?)?)
    };
    let mut first = example("flux/fleet.yaml")?["spec"]["healthCheckExprs"][0].take();
    let of_ours = "resource.customizations.health.kagiban.dev_ManagedAgentCertificate";
    first["lua"] = example("argocd/argocd-cm.yaml")?["data"][of_ours].take();
    let lines: Vec<_> = [&first].into_iter().chain(objects).map(|line| format!("{line}\n")).collect();
    let output = process::output_with_input(&mut Command::new(tools::gitops_health()?), &lines.concat())?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout)?;
    let said = said.lines().map(|line| serde_json::from_str::<Value>(line).context("a verdict"));
    let said = said.collect::<Result<Vec<_>>>()?;
    ensure!(said.len() == objects.len(), "{} verdicts on {} objects", said.len(), objects.len());
    let health = |(said, object): (&Value, &Value)| {
        let words = ["kstatus", "argo", "flux"].map(|reader| said[reader].as_str().unwrap_or_default());
        let agreed = Health::ALL.into_iter().find(|health| health.words() == words);
        agreed.with_context(|| format!("{said} of {}", serde_json::to_string_pretty(object).unwrap_or_default()))
    };
    said.iter().zip(objects).map(health).collect()
}

/// A resource and what is seen of its host, from which one state follows.
#[derive(Clone)]
struct Scene {
    resource: Resource,
    host: Result<AgentReport, Obstacle>,
    rival: bool,
    issuer: bool,
}

impl Scene {
    /// The step, and the object as it is written before that.
    fn decided(&self) -> Result<(Step, Value)> {
        let missing = Obstacle::new(BlockedBy::IssuerUnavailable, "no such Secret");
        let references = References { issuer: (!self.issuer).then_some(Err(missing)), password: None };
        let rival = Rival { namespace: "fleet".to_owned(), name: "older".to_owned() };
        let decision = decide(&Inputs {
            resource: &self.resource,
            host: self.host.as_ref().map_or_else(Observed::Unseen, Observed::Seen),
            rival: self.rival.then_some(&rival),
            setback: None,
            works_for: None,
            ordered: None,
            references: &references,
            policy: &Policy::default(),
            now: NOW.parse()?,
        });
        let mut object = json!({
            "apiVersion": "kagiban.dev/v1alpha1",
            "kind": "ManagedAgentCertificate",
            "metadata": {"name": self.resource.name, "namespace": self.resource.namespace, "generation": self.resource.generation},
            "status": serde_json::to_value(&decision.status)?,
        });
        if object["status"] == json!({}) {
            object["status"] = unobserved()?;
        }
        if let Some(at) = self.resource.deleted_at {
            object["metadata"]["deletionTimestamp"] = json!(at);
        }
        Ok((decision.step, object))
    }
}

/// The status that the API server puts there before the operator has written one.
fn unobserved() -> Result<Value> {
    let crd = serde_json::to_value(crd())?;
    let status = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/status/default");
    status.cloned().context("a default of the status")
}

fn resource(is_push: bool, paused: bool) -> Result<Resource> {
    let mut object = quickstart::resource("https://ups-01.example.com:9995")?;
    if !is_push {
        object["spec"] = json!({
            "host": object["spec"]["host"], "api": object["spec"]["api"],
            "agent": {"product": "self-renewing-service", "name": "web"},
        });
    }
    object["spec"]["rotation"] = json!({"paused": paused});
    let mac: ManagedAgentCertificate = serde_json::from_value(object)?;
    let mut resource = kagiban_operator::cluster::object(&mac);
    (resource.generation, resource.held, resource.namespace) = (2, true, "fleet".to_owned());
    Ok(resource)
}

/// The leaf in force, and the rotation that is on its way.
fn with_status(resource: &Resource, leaf: Option<(&str, bool)>, rotates: bool) -> Result<Resource> {
    let digest = request_digest(&resource.spec);
    let leaf = leaf.map(|(not_after, as_asked)| {
        json!({"sha256": LEAF, "serial": "1", "issuer": "CN=fleet", "notBefore": "2026-02-01T00:00:00Z", "notAfter": not_after,
               "requestDigest": if as_asked { digest.as_str() } else { "another" }})
    });
    let rotation = rotates.then(|| {
        json!({"generation": 3, "trigger": "Renewal", "state": "Requested", "startedAt": "2026-03-01T11:59:00Z", "attempts": 1,
               "requestDigest": digest, "signed": []})
    });
    let known = leaf.is_some() || rotates;
    let status = json!({"observedGeneration": known.then_some(1), "leaf": leaf, "rotation": rotation});
    Ok(Resource { status: serde_json::from_value(status)?, ..resource.clone() })
}

fn seen(sha256: &str) -> Value {
    json!({"leaf": {"sha256": sha256, "serial": "1", "subject": "CN=ups-01.example.com", "issuer": "CN=fleet",
                    "notBefore": "2026-02-01T00:00:00Z", "notAfter": "2026-06-01T00:00:00Z", "dnsNames": ["ups-01.example.com"]}})
}

fn report(resource: &Resource, stored: &Value, power: &str, rotation: Option<RotationState>) -> Result<AgentReport> {
    let rotation = rotation.map(|state| {
        json!({"epoch": 1, "generation": 3, "state": state, "csr": "CSR", "leaf": null, "previous": null, "failure": null, "steps": []})
    });
    let report = json!({
        "host": resource.spec.host, "name": resource.spec.agent.name, "product": resource.spec.agent.product.id(), "time": NOW,
        "epoch": 1, "generation": if rotation.is_some() { 3 } else { 2 }, "power": {"state": power, "observedAt": null},
        "stored": stored, "served": stored, "rotation": rotation,
    });
    serde_json::from_value(report).context("a report")
}

/// Why a host may not be looked at, or nothing may be done: all that there is.
fn obstacles() -> Result<Vec<BlockedBy>> {
    let crd = serde_json::to_value(crd())?;
    let words = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/blockedBy/enum");
    let words = words.and_then(Value::as_array).context("the words of blockedBy")?;
    words.iter().filter(|word| !word.is_null()).map(|word| Ok(serde_json::from_value(word.clone())?)).collect()
}

/// Each class of product, with each of what its status, its host, its Secrets and its neighbours may say.
fn scenes() -> Result<Vec<Scene>> {
    let leaves = [
        None,
        Some(("2026-06-01T00:00:00Z", true)),
        Some(("2026-06-01T00:00:00Z", false)),
        Some(("2026-03-02T00:00:00Z", true)),
        Some(("2026-02-20T00:00:00Z", true)),
    ];
    let unseen = json!({"unseen": {"reason": "no_such_file", "message": "there is no store"}});
    let mut scenes = Vec::new();
    for (is_push, paused) in [(true, false), (true, true), (false, false)] {
        for (leaf, rotates) in leaves.iter().flat_map(|leaf| [(*leaf, false), (*leaf, true)]) {
            let resource = with_status(&resource(is_push, paused)?, leaf, rotates)?;
            let mut hosts: Vec<_> =
                obstacles()?.into_iter().map(|by| Err(Obstacle::new(by, "it is not there"))).collect();
            for rotation in [None].into_iter().chain(RotationState::ALL.map(Some)) {
                for stored in [&seen(LEAF), &seen(OTHER_LEAF), &unseen] {
                    for power in ["Mains", "OnBattery", "Unknown"] {
                        hosts.push(Ok(report(&resource, stored, power, rotation)?));
                    }
                }
            }
            for host in hosts {
                let scene = Scene { resource: resource.clone(), host, rival: false, issuer: true };
                let mut deleted = scene.clone();
                deleted.resource.deleted_at = Some(NOW.parse()?);
                let unheld = Resource { held: false, ..resource.clone() };
                scenes.extend([
                    Scene { rival: true, ..scene.clone() },
                    Scene { issuer: false, ..scene.clone() },
                    Scene { resource: unheld, ..scene.clone() },
                    deleted,
                    scene,
                ]);
            }
        }
    }
    Ok(scenes)
}

#[test]
fn kstatus_argo_cd_and_flux_read_every_state_alike() -> Result<()> {
    let mut states = BTreeMap::new();
    let scenes = scenes()?;
    for scene in &scenes {
        let (step, object) = scene.decided()?;
        let decides = !matches!(step, Step::EnsureFinalizer | Step::ReleaseFinalizer | Step::Gone);
        // Flux asks no expression about what was observed of an older spec
        ensure!(!decides || object["status"]["observedGeneration"] == 2, "{step:?}: {object}");
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let mut key: Vec<_> =
            conditions.iter().map(|it| format!("{}={} {}", it["type"], it["status"], it["reason"])).collect();
        key.push(format!("{} {}", object["metadata"]["deletionTimestamp"], object["status"]["observedGeneration"]));
        states.entry(key).or_insert(object);
    }
    let objects: Vec<_> = states.into_values().collect();
    let read = read(&objects)?;
    ensure!(objects.len() > 500, "only {} states of {} scenes", objects.len(), scenes.len());
    for health in Health::ALL {
        ensure!(read.contains(&health), "no state is {health:?}");
    }
    Ok(())
}

#[test]
fn each_health_means_what_its_readers_expect() -> Result<()> {
    let push = resource(true, false)?;
    let in_force = Some(("2026-06-01T00:00:00Z", true));
    let mut settled = with_status(&push, in_force, false)?;
    let good = report(&settled, &seen(LEAF), "Mains", None)?;
    let scene = |resource: &Resource, host: &AgentReport| Scene {
        resource: resource.clone(),
        host: Ok(host.clone()),
        rival: false,
        issuer: true,
    };
    // As it stands once it was looked at
    settled.status = serde_json::from_value(scene(&settled, &good).decided()?.1["status"].take())?;
    let unheld = Resource { held: false, ..push.clone() };
    let deleted = Resource { deleted_at: Some(NOW.parse()?), ..settled.clone() };
    let paused = with_status(&resource(true, true)?, Some(("2026-03-20T00:00:00Z", true)), false)?;
    let expired = with_status(&push, Some(("2026-02-20T00:00:00Z", true)), false)?;
    let refused = Obstacle::new(BlockedBy::HostRefused, "no");
    let cases = [
        ("created just now", scene(&unheld, &good), Health::InProgress),
        ("the first rotation begins", scene(&push, &good), Health::InProgress),
        (
            "the first rotation waits for mains",
            scene(&push, &report(&push, &seen(LEAF), "OnBattery", None)?),
            Health::InProgress,
        ),
        ("settled", scene(&settled, &good), Health::Current),
        (
            "settled, and the host cannot be asked",
            Scene { host: Err(Obstacle::new(BlockedBy::HostUnreachable, "away")), ..scene(&settled, &good) },
            Health::InProgress,
        ),
        ("paused, with a certificate that is due and valid", scene(&paused, &good), Health::Current),
        (
            "frozen",
            scene(&settled, &report(&settled, &seen(LEAF), "Mains", Some(RotationState::Frozen))?),
            Health::Failed,
        ),
        ("expired, and the host refuses", Scene { host: Err(refused), ..scene(&expired, &good) }, Health::Failed),
        ("another resource owns the agent", Scene { rival: true, ..scene(&settled, &good) }, Health::Failed),
        ("being deleted", scene(&deleted, &good), Health::Terminating),
    ];
    let objects = cases.iter().map(|(_, scene, _)| Ok(scene.decided()?.1)).collect::<Result<Vec<_>>>()?;
    for ((what, _, expected), health) in cases.iter().zip(read(&objects)?) {
        ensure!(health == *expected, "{what}: {health:?}, not {expected:?}");
    }
    Ok(())
}
