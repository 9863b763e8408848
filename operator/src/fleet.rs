//! The resources as the watch last showed them: without what no decision needs, and indexed by the agent that they name.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io::{self, BufReader};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kagiban_crds::resource::{BlockedBy, HostUrl, ManagedAgentCertificate, ManagedAgentCertificateStatus};
use kube::Resource as _;

use crate::cluster::{Watched, claim};
use crate::decide::{Claim, ConditionType};
use crate::foreign::told;
use crate::watch::Event;

/// Where a resource's host is reached, as its namespace sees it. Namespaces do not trust each other: what one of them makes
/// a host look like is no reason to hold another one back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostKey(Arc<str>);

/// `namespace/name`, shared by whoever keeps it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceName(Arc<str>);

/// The store behind the watch.
#[derive(Debug, Default)]
pub struct Fleet(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    resources: HashMap<ResourceName, Kept>,
    /// Who names the same agent of the same host.
    contenders: HashMap<Agent, HashSet<ResourceName>>,
    /// While the watch lists anew.
    listing: Option<Listing>,
    /// The highest version that was seen of any object, and of any list.
    highest: u64,
    /// Where a step is taken now.
    turns: HashSet<Place>,
    /// What follows from what a pass has found, until it is asked for.
    found: Vec<Change>,
}

#[derive(Debug, Default)]
struct Listing {
    /// So far.
    listed: HashSet<ResourceName>,
    /// The highest version that was known when it began.
    known: u64,
    /// Of the page that is read now.
    version: Option<u64>,
}

type Agent = (String, String);

/// An agent at an address, or behind what a client Secret says is its host: two resources mean the same one by either.
type Place = (Agent, String);

/// While it is held, no other resource takes a step at the same place.
#[must_use]
#[derive(Debug)]
pub struct Turn<'a> {
    fleet: &'a Fleet,
    places: [Place; 2],
}

/// Resources in conflict that are woken by one change of another: whoever makes many of them costs no more than this.
const MOST_WOKEN: usize = 16;

/// An object as it is kept: as packed text, since the many small parts of one take ten times as much. It is read again for
/// whoever looks at it.
#[derive(Debug)]
struct Kept {
    text: Packed,
    uid: Box<str>,
    version: Option<u64>,
    /// `None` for one that cannot be read, and `claim` likewise.
    agent: Option<Agent>,
    claim: Option<Arc<Claim>>,
    /// While the API server does not take its status, such as one of an object that is too large: whether what should stand
    /// there calls it verified.
    unwritten: Option<bool>,
    summary: Arc<Summary>,
}

/// What is told of every resource at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// As it stands in the spec, and `product` likewise.
    pub host: Box<str>,
    pub product: Box<str>,
    /// Of the leaf that was verified.
    pub not_after: Option<Timestamp>,
    pub renewal_time: Option<Timestamp>,
    /// The status of the Ready condition.
    pub ready: Box<str>,
    pub blocked_by: Option<BlockedBy>,
    /// Whether this version can read all of it.
    pub readable: bool,
}

/// What the watch has shown, as far as anything follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// New, or changed in something that a decision depends on.
    Wakes(ResourceName),
    /// Deleted, by uid: whatever was remembered of it goes too.
    Gone(ResourceName, String),
}

impl Fleet {
    /// Takes in what the watch shows.
    pub fn apply(&self, event: Event) -> Vec<Change> {
        let mut state = self.lock();
        match event {
            Event::Init => {
                // What is there stays until the list is whole: a list that breaks off deletes nothing.
                let listed = HashSet::with_capacity(state.resources.len());
                state.listing = Some(Listing { listed, known: state.highest, version: None });
                Vec::new()
            }
            Event::InitPage(version) => {
                state.page(version);
                Vec::new()
            }
            Event::InitApply(object) => {
                let name = ResourceName::of(&object);
                if let Some(listing) = &mut state.listing {
                    listing.listed.insert(name);
                }
                if state.was_written_since(&object) { Vec::new() } else { state.put(&object) }
            }
            Event::InitDone => {
                let Some(Listing { listed, .. }) = state.listing.take() else { return Vec::new() };
                let gone: Vec<_> = state.resources.keys().filter(|name| !listed.contains(*name)).cloned().collect();
                gone.into_iter().flat_map(|name| state.remove(&name)).collect()
            }
            Event::Apply(object) if state.is_outdated(&object) => Vec::new(),
            Event::Apply(object) => state.put(&object),
            Event::Delete(object) => state.remove(&ResourceName::of(&object)),
        }
    }

    /// Takes in the status that was written just now. The watch shows it too, but later; what else it shows by then is
    /// still to come.
    pub fn wrote(&self, mac: &ManagedAgentCertificate) {
        let mut state = self.lock();
        let written = Watched(Ok(mac.clone()));
        if state.is_outdated(&written) {
            return;
        }
        state.highest = state.highest.max(version(&written).unwrap_or_default());
        let Some(kept) = state.kept_of(mac) else { return };
        let Some(Watched(Ok(mut known))) = kept.text.read() else { return };
        known.status.clone_from(&mac.status);
        known.metadata.resource_version.clone_from(&mac.metadata.resource_version);
        *kept = Kept::of(&Watched(Ok(known)), None);
    }

    /// The API server does not take this status, nor any other for as long as the object is as it is. What stands there is no
    /// claim on an agent any more.
    pub fn could_not_write(&self, mac: &ManagedAgentCertificate, status: &ManagedAgentCertificateStatus) {
        let wanted = ManagedAgentCertificate { status: Some(status.clone()), ..mac.clone() };
        let is_verified = claim(&wanted).is_verified();
        // once it was not, what stands in the status is over, whatever the next look makes of it
        self.set_unwritten(mac, |before| Some(before.unwrap_or(true) && is_verified));
    }

    /// Its status is as it should be.
    pub fn needs_no_write(&self, mac: &ManagedAgentCertificate) {
        self.set_unwritten(mac, |_| None);
    }

    fn set_unwritten(&self, mac: &ManagedAgentCertificate, set: impl FnOnce(Option<bool>) -> Option<bool>) {
        let mut state = self.lock();
        let Some(kept) = state.kept_of(mac) else { return };
        let unwritten = set(kept.unwritten);
        if unwritten != kept.unwritten
            && let Some(object) = kept.text.read()
        {
            *kept = Kept::of(&object, unwritten);
        }
    }

    /// A quorum read found it gone, whatever the watch has shown or missed: it keeps nobody from its agent any more. Another
    /// object by its name stays.
    pub fn found_gone(&self, mac: &ManagedAgentCertificate) {
        let mut state = self.lock();
        if state.kept_of(mac).is_some() {
            let changes = state.remove(&ResourceName::of_metadata(&mac.metadata));
            state.found.extend(changes);
        }
    }

    /// What follows from what passes have found since this was asked last: whoever runs them carries it out when one ends.
    pub fn found(&self) -> Vec<Change> {
        std::mem::take(&mut self.lock().found)
    }

    /// The right to take a step at the agent that this one names; nothing while another resource has it.
    pub fn turn(&self, mac: &ManagedAgentCertificate) -> Option<Turn<'_>> {
        let places = places(mac);
        let mut state = self.lock();
        let is_free = places.iter().all(|place| !state.turns.contains(place));
        is_free.then(|| {
            state.turns.extend(places.clone());
            Turn { fleet: self, places }
        })
    }

    pub fn get(&self, name: &ResourceName) -> Option<Watched> {
        let text = self.lock().resources.get(name)?.text.clone();
        text.read()
    }

    /// Whether there is one of this name.
    pub fn holds(&self, name: &ResourceName) -> bool {
        self.lock().resources.contains_key(name)
    }

    /// Whether the resource of this name is the object with this uid.
    pub fn has(&self, name: &ResourceName, uid: &str) -> bool {
        self.lock().resources.get(name).is_some_and(|kept| *kept.uid == *uid)
    }

    /// What is told of each, in no order.
    pub fn summaries(&self) -> Vec<(ResourceName, Arc<Summary>)> {
        self.lock().resources.iter().map(|(name, kept)| (name.clone(), kept.summary.clone())).collect()
    }

    /// What the resources that name the same agent of the same host as this one claim, this one among them. Anybody may make
    /// thousands of them: no text is read for it.
    pub fn claims(&self, mac: &ManagedAgentCertificate) -> Vec<Arc<Claim>> {
        let state = self.lock();
        let names = state.contenders.get(&agent(mac)).into_iter().flatten();
        names.filter_map(|name| state.resources.get(name)?.claim.clone()).collect()
    }

    /// What this one claims itself.
    pub fn claim(&self, mac: &ManagedAgentCertificate) -> Claim {
        let unwritten = self.lock().kept_of(mac).and_then(|kept| kept.unwritten);
        claim_of(mac, unwritten)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // plain data, and every change of it is whole before the lock is given back
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.fleet.lock();
        for place in &self.places {
            state.turns.remove(place);
        }
    }
}

impl State {
    /// This very object.
    fn kept_of(&mut self, mac: &ManagedAgentCertificate) -> Option<&mut Kept> {
        let name = ResourceName::of_metadata(&mac.metadata);
        self.resources.get_mut(&name).filter(|kept| Some(&*kept.uid) == mac.metadata.uid.as_deref())
    }

    /// Whether a later version of the object is known: what was written here comes before what the watch shows.
    fn is_outdated(&self, object: &Watched) -> bool {
        let Some(kept) = self.resources.get(&ResourceName::of(object)) else { return false };
        let is_same = *kept.uid == *object.meta().uid.as_deref().unwrap_or_default();
        is_same && kept.version.zip(version(object)).is_some_and(|(known, shown)| known > shown)
    }

    fn page(&mut self, version: Option<u64>) {
        let Some(listing) = &mut self.listing else { return };
        listing.version = version;
        let Some(version) = version else { return };
        // restored from a backup: it counts from here again
        self.highest = if version < listing.known { version } else { self.highest.max(version) };
    }

    /// Whether a version of the object is known that was written after what the list shows. A list that is older than what was
    /// known before it began is what there is all the same: the API server was restored from a backup.
    fn was_written_since(&self, object: &Watched) -> bool {
        let Some((listing, at)) = self.listing.as_ref().and_then(|listing| Some((listing, listing.version?))) else {
            return false;
        };
        let known = self.resources.get(&ResourceName::of(object)).and_then(|kept| kept.version);
        at >= listing.known && self.is_outdated(object) && known.is_some_and(|known| known > at)
    }

    /// Those that the other one named has kept from its agent: it is changed or gone, and may be in the way no more.
    fn freed(&self, agent: &Agent, other: &ResourceName) -> Vec<Change> {
        let names = self.contenders.get(agent).into_iter().flatten();
        let in_conflict = |name: &&ResourceName| {
            let by = self.resources.get(*name).and_then(|kept| kept.summary.blocked_by);
            *name != other && by == Some(BlockedBy::Conflict)
        };
        names.filter(in_conflict).take(MOST_WOKEN).cloned().map(Change::Wakes).collect()
    }

    fn put(&mut self, object: &Watched) -> Vec<Change> {
        let name = ResourceName::of(object);
        self.highest = self.highest.max(version(object).unwrap_or_default());
        let before = self.resources.get(&name);
        // whatever else was written to it, its status was not
        let uid = object.meta().uid.as_deref();
        let kept =
            Kept::of(object, before.filter(|before| Some(&*before.uid) == uid).and_then(|before| before.unwritten));
        if before.and_then(|before| before.text.read()).is_some_and(|before| !differs(&before, object)) {
            // only the status, most likely our own: it is kept, and nobody is woken
            self.resources.insert(name, kept);
            return Vec::new();
        }
        let is_same = before.is_none_or(|before| before.uid == kept.uid);
        // the old one's place in the index goes first: its agent may be another, and its owner may have been another object
        let mut changes = self.remove(&name);
        if is_same {
            changes.retain(|change| matches!(change, Change::Wakes(_)));
        }
        if let Some(agent) = &kept.agent {
            self.contenders.entry(agent.clone()).or_default().insert(name.clone());
        }
        self.resources.insert(name.clone(), kept);
        // before those that it kept from the agent, and after the end of another object by its name
        let at = changes.iter().position(|change| matches!(change, Change::Wakes(_))).unwrap_or(changes.len());
        changes.insert(at, Change::Wakes(name));
        changes
    }

    /// What follows from its end, for itself and for others.
    fn remove(&mut self, name: &ResourceName) -> Vec<Change> {
        let Some(kept) = self.resources.remove(name) else { return Vec::new() };
        let mut changes = vec![Change::Gone(name.clone(), kept.uid.into())];
        changes.extend(kept.agent.iter().flat_map(|agent| self.freed(agent, name)));
        if let Some(agent) = &kept.agent
            && let Some(names) = self.contenders.get_mut(agent)
        {
            names.remove(name);
            if names.is_empty() {
                self.contenders.remove(agent);
            }
        }
        changes
    }
}

impl Kept {
    fn of(object: &Watched, unwritten: Option<bool>) -> Self {
        Self {
            text: Packed::of(object),
            uid: object.meta().uid.as_deref().unwrap_or_default().into(),
            version: version(object),
            agent: object.readable().map(agent),
            claim: object.readable().map(|mac| Arc::new(claim_of(mac, unwritten))),
            unwritten,
            summary: Arc::new(Summary::of(object)),
        }
    }
}

/// JSON, deflated: names, times and digests repeat in it, and a quarter is left.
#[derive(Clone, Debug)]
struct Packed(Arc<[u8]>);

impl Packed {
    fn of(object: &Watched) -> Self {
        let mut packing = DeflateEncoder::new(Vec::new(), Compression::fast());
        // never fails in practice: strings and numbers, into memory
        let packed =
            serde_json::to_writer(&mut packing, object).map_err(io::Error::from).and_then(|()| packing.finish());
        Self(packed.unwrap_or_default().into())
    }

    /// Never `None` in practice: what was written here can be read.
    fn read(&self) -> Option<Watched> {
        serde_json::from_reader(BufReader::new(DeflateDecoder::new(&*self.0)))
            .inspect_err(|error| {
                tracing::error!(error = told(&error.to_string()), "an object of the store is unreadable");
            })
            .ok()
    }
}

impl Summary {
    fn of(object: &Watched) -> Self {
        match &object.0 {
            Ok(mac) => {
                let status = mac.status.as_ref();
                let conditions = status.map(|status| status.conditions.as_slice()).unwrap_or_default();
                let ready = conditions.iter().find(|condition| condition.type_ == ConditionType::Ready.as_str());
                Self {
                    host: mac.spec.host.as_str().into(),
                    product: mac.spec.agent.product.id().into(),
                    not_after: status.and_then(|status| Some(status.leaf.as_ref()?.not_after)),
                    renewal_time: status.and_then(|status| status.renewal_time),
                    // one that was never looked at is as unknown as one whose host is dead
                    ready: ready.map_or("Unknown", |condition| condition.status.as_str()).into(),
                    blocked_by: status.and_then(|status| status.blocked_by),
                    readable: true,
                }
            }
            Err(seen) => Self {
                host: seen.host().into(),
                product: seen.product().into(),
                not_after: seen.not_after(),
                renewal_time: seen.renewal_time(),
                // whatever its status says: nothing is done about it
                ready: "False".into(),
                blocked_by: None,
                readable: false,
            },
        }
    }
}

fn claim_of(mac: &ManagedAgentCertificate, unwritten: Option<bool>) -> Claim {
    let claim = claim(mac);
    match unwritten {
        None => claim,
        Some(is_verified) => claim.unwritten(is_verified),
    }
}

fn agent(mac: &ManagedAgentCertificate) -> Agent {
    (mac.spec.host.clone(), mac.spec.agent.name.clone())
}

/// As ownership has it: what another Secret makes of another address is no reason to wait.
fn places(mac: &ManagedAgentCertificate) -> [Place; 2] {
    let api = mac.spec.api.host_api.as_ref();
    let url = api.and_then(|api| api.url.parse::<HostUrl>().ok()).map(|url| format!("{} {}", url.host, url.port));
    let client = api.map(|api| api.tls_secret_ref.name.as_str()).unwrap_or_default();
    let namespace = mac.metadata.namespace.as_deref().unwrap_or_default();
    [url.unwrap_or_default(), format!("{namespace}/{client}")].map(|place| (agent(mac), place))
}

/// Kubernetes counts them upwards for all objects of a kind.
fn version(object: &Watched) -> Option<u64> {
    object.meta().resource_version.as_deref()?.parse().ok()
}

/// Whether a decision could come out otherwise. The status is not asked: whoever writes it, we or another, the resource's
/// next look finds it.
fn differs(before: &Watched, after: &Watched) -> bool {
    let (old, new) = (before.meta(), after.meta());
    old.uid != new.uid
        || old.generation != new.generation
        || old.annotations != new.annotations
        || old.finalizers != new.finalizers
        || old.deletion_timestamp != new.deletion_timestamp
        // an API server that was restored from a backup counts anew, and gives a number to another spec
        || !before.asks_the_same(after)
}

impl ResourceName {
    pub fn new(namespace: &str, name: &str) -> Self {
        Self(format!("{namespace}/{name}").into())
    }

    /// The namespace and the name.
    pub fn parts(&self) -> (&str, &str) {
        self.0.split_once('/').unwrap_or(("", &self.0))
    }

    pub fn namespace(&self) -> &str {
        self.parts().0
    }

    pub fn of(object: &Watched) -> Self {
        Self::of_metadata(object.meta())
    }

    fn of_metadata(metadata: &ObjectMeta) -> Self {
        Self::new(metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
    }
}

impl HostKey {
    pub fn new(namespace: &str, url: &str) -> Self {
        Self(format!("{namespace} {url}").into())
    }

    pub(crate) fn namespace(&self) -> &str {
        self.0.split_once(' ').map_or(&self.0, |(namespace, _)| namespace)
    }

    /// Of the resource's API. One that cannot be read has no host, and shares its bound with nobody but its namespace.
    pub fn of(object: &Watched) -> Self {
        let namespace = object.meta().namespace.as_deref().unwrap_or_default();
        let url = match &object.0 {
            Ok(mac) => mac.spec.api.host_api.as_ref().map(|api| api.url.as_str()).unwrap_or_default(),
            Err(_) => "",
        };
        Self::new(namespace, url)
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use kagiban_crds::resource::FINALIZER;
    use kube::ResourceExt;
    use serde_json::json;

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "a literal at every call")]
    fn object(name: &str, host: &str, change: serde_json::Value) -> Watched {
        let mut object = json!({
            "apiVersion": "kagiban.dev/v1alpha1",
            "kind": "ManagedAgentCertificate",
            "metadata": {"name": name, "namespace": "fleet", "uid": name, "generation": 1},
            "spec": {
                "host": host,
                "agent": {"product": "tls-service", "name": "web"},
                "api": {"hostApi": {"url": format!("https://{host}"), "tlsSecretRef": {"name": "fleet-client"}}},
                "certificate": {"dnsNames": [host]},
                "issuerRef": {"name": "fleet-ca"},
            },
        });
        merge(&mut object, &change);
        serde_json::from_value::<Watched>(object).expect("metadata")
    }

    fn merge(into: &mut serde_json::Value, from: &serde_json::Value) {
        match (into, from) {
            (serde_json::Value::Object(into), serde_json::Value::Object(from)) => {
                for (key, value) in from {
                    merge(into.entry(key.clone()).or_insert(serde_json::Value::Null), value);
                }
            }
            (into, from) => *into = from.clone(),
        }
    }

    fn wakes(changes: &[Change]) -> bool {
        changes.iter().any(|change| matches!(change, Change::Wakes(_)))
    }

    /// Holds B9: a deletion that the watch has missed kept others from the agent until the next list, ten minutes later.
    #[test]
    fn what_a_fresh_read_finds_gone_keeps_nobody_out_and_another_of_its_name_stays() {
        let fleet = Fleet::default();
        let mac = |object: &Watched| object.0.as_ref().expect("it is readable").clone();
        let conflict = json!({"status": {"blockedBy": "Conflict"}});
        let (gone, other) = (object("a", "h", json!({})), object("b", "h", conflict));
        for object in [&gone, &other] {
            fleet.apply(Event::Apply(object.clone()));
        }
        let before = fleet.claims(&mac(&other)).len();
        fleet.found_gone(&mac(&object("a", "h", json!({"metadata": {"uid": "before"}}))));
        assert_eq!(fleet.claims(&mac(&other)).len(), before);
        fleet.found_gone(&mac(&gone));
        assert_eq!(fleet.claims(&mac(&other)).len(), before - 1);
        assert!(!fleet.holds(&ResourceName::new("fleet", "a")) && fleet.holds(&ResourceName::new("fleet", "b")));
        let name = |name| ResourceName::new("fleet", name);
        assert_eq!(fleet.found(), [Change::Gone(name("a"), "a".into()), Change::Wakes(name("b"))]);
        assert_eq!(fleet.found(), []);
    }

    /// Holds B8: a write of the status, ours or another's, wakes nothing. After a restore of etcd, another spec may have the same
    /// generation.
    #[test]
    fn only_what_a_decision_depends_on_wakes_a_resource() {
        let fleet = Fleet::default();
        assert!(wakes(&fleet.apply(Event::Apply(object("a", "h", json!({}))))));
        let other_spec = json!({"metadata": {"generation": 2}, "spec": {"issuerRef": {"name": "other"}}});
        for (what, change, expected) in [
            ("the same again", json!({}), false),
            ("a status", json!({"status": {"blockedBy": "OnBattery"}}), false),
            ("a label", json!({"metadata": {"labels": {"a": "b"}}}), false),
            ("a foreign annotation", json!({"metadata": {"annotations": {"example.com/at": "now"}}}), false),
            ("another of our group", json!({"metadata": {"annotations": {"kagiban.dev/note": "now"}}}), false),
            ("a finalizer of others", json!({"metadata": {"finalizers": ["example.com/backup"]}}), false),
            ("our annotation", json!({"metadata": {"annotations": {"kagiban.dev/rotate": "now"}}}), true),
            ("a finalizer", json!({"metadata": {"finalizers": ["kagiban.dev/rotation"]}}), true),
            ("a spec", json!({"metadata": {"generation": 2}}), true),
            ("another spec by the same number", other_spec, true),
            ("a deletion", json!({"metadata": {"generation": 2, "deletionTimestamp": "2026-01-01T00:00:00Z"}}), true),
        ] {
            assert_eq!(wakes(&fleet.apply(Event::Apply(object("a", "h", change)))), expected, "{what}");
        }
    }

    /// Holds B14: what no decision needs is not kept.
    #[test]
    fn managed_fields_and_copies_of_manifests_are_not_kept() {
        let fleet = Fleet::default();
        let change = json!({"metadata": {
            "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "kagiban.dev/rotate": "1"},
        }});
        fleet.apply(Event::Apply(object("a", "h", change)));
        let kept = fleet.get(&ResourceName::new("fleet", "a")).expect("it is there");
        assert_eq!(kept.meta().managed_fields, None);
        assert_eq!(kept.annotations().keys().collect::<Vec<_>>(), ["kagiban.dev/rotate"]);
    }

    /// Holds B14: an object may have 256 KiB of annotations, whatever they are called, and no end of finalizers.
    #[test]
    fn no_annotation_and_no_finalizer_takes_memory_by_its_length() {
        let fleet = Fleet::default();
        let (long, name) = ("x".repeat(100 << 10), ResourceName::new("fleet", "a"));
        let put = |rotate: &str| {
            let finalizers: Vec<_> = (0..1000).map(|n| format!("example.com/{n}")).chain([FINALIZER.into()]).collect();
            let annotations = json!({"kagiban.dev/note": long, "kagiban.dev/rotate": rotate});
            let change = json!({"metadata": {"annotations": annotations, "finalizers": finalizers}});
            wakes(&fleet.apply(Event::Apply(object("a", "h", change))))
        };
        assert!(put(&long));
        assert!(fleet.lock().resources.get(&name).expect("it is there").text.0.len() < 1024);
        let kept = fleet.get(&name).expect("it is there");
        assert_eq!(kept.finalizers(), [FINALIZER]);
        assert!(!put(&long) && put(&format!("{long}y")), "another value is seen as one");
    }

    /// Holds B14: rivals are found by the agent, not by reading all resources.
    #[test]
    fn claims_are_those_of_the_same_agent_and_leave_with_it() {
        let fleet = Fleet::default();
        for (name, host) in [("a", "h"), ("b", "h"), ("c", "other")] {
            fleet.apply(Event::Apply(object(name, host, json!({}))));
        }
        let of = |name: &str| {
            let object = fleet.get(&ResourceName::new("fleet", name)).expect("it is there");
            let mac = object.0.as_ref().expect("readable").clone();
            (Arc::new(claim(&mac)), fleet.claims(&mac))
        };
        let ((a, of_a), (b, _), (c, of_c)) = (of("a"), of("b"), of("c"));
        assert!(of_a.len() == 2 && of_a.contains(&a) && of_a.contains(&b), "{of_a:?}");
        assert_eq!(of_c, [c]);
        fleet.apply(Event::Delete(object("b", "h", json!({}))));
        assert_eq!(of("a").1, [a]);
    }

    #[test]
    fn a_list_that_breaks_off_deletes_nothing_and_a_whole_one_deletes_what_is_not_in_it() {
        let fleet = Fleet::default();
        for name in ["a", "b"] {
            fleet.apply(Event::Apply(object(name, name, json!({}))));
        }
        fleet.apply(Event::Init);
        fleet.apply(Event::InitApply(object("a", "a", json!({}))));
        // it broke off here
        fleet.apply(Event::Init);
        assert_eq!(fleet.summaries().len(), 2);
        fleet.apply(Event::InitApply(object("b", "b", json!({}))));
        let gone = fleet.apply(Event::InitDone);
        assert_eq!(gone, [Change::Gone(ResourceName::new("fleet", "a"), "a".into())]);
    }

    #[test]
    fn another_object_by_the_same_name_is_another_resource() {
        let fleet = Fleet::default();
        fleet.apply(Event::Apply(object("a", "h", json!({}))));
        let changes = fleet.apply(Event::Apply(object("a", "h", json!({"metadata": {"uid": "new"}}))));
        let name = ResourceName::new("fleet", "a");
        assert_eq!(changes, [Change::Gone(name.clone(), "a".into()), Change::Wakes(name)]);
    }

    /// Holds B9: what was written is known at once, and a watch that is behind does not take it back.
    #[test]
    fn a_status_that_was_written_is_known_before_the_watch_shows_it_and_after_it_shows_the_past() {
        let fleet = Fleet::default();
        let at = |version: &str, change: serde_json::Value| {
            let mut object = object("a", "h", json!({"metadata": {"resourceVersion": version}}));
            let mut whole = serde_json::to_value(&object).expect("plain data");
            merge(&mut whole, &change);
            object = serde_json::from_value(whole).expect("metadata");
            object
        };
        let blocked_by = || {
            let kept = fleet.get(&ResourceName::new("fleet", "a")).expect("it is there");
            kept.readable().and_then(|mac| mac.status.clone()).and_then(|status| status.blocked_by)
        };
        fleet.apply(Event::Apply(at("7", json!({}))));
        let written = at("9", json!({"metadata": {"generation": 2}, "status": {"blockedBy": "OnBattery"}}));
        fleet.wrote(written.readable().expect("a resource"));
        assert_eq!(blocked_by(), Some(BlockedBy::OnBattery));
        assert_eq!(fleet.apply(Event::Apply(at("8", json!({"metadata": {"generation": 2}})))), []);
        assert_eq!(blocked_by(), Some(BlockedBy::OnBattery));
        assert!(wakes(&fleet.apply(Event::Apply(written))), "the spec is seen to have changed all the same");
    }

    /// Holds B9: the list every ten minutes took back the statuses and specs that were written while it was read, a rotation's
    /// generation among them.
    #[test]
    fn a_list_takes_back_nothing_that_was_written_while_it_was_read() {
        let fleet = Fleet::default();
        let at = |version: u64, by: &str| {
            let change = json!({"metadata": {"resourceVersion": version.to_string()}, "status": {"blockedBy": by}});
            object("a", "h", change)
        };
        let blocked_by = || {
            let kept = fleet.get(&ResourceName::new("fleet", "a")).expect("it is there");
            kept.readable().and_then(|mac| mac.status.clone()).and_then(|status| status.blocked_by)
        };
        let list = |version, known: u64, by: &str, meanwhile: Option<Watched>| {
            fleet.apply(Event::Init);
            fleet.apply(Event::InitPage(version));
            if let Some(written) = meanwhile {
                fleet.wrote(written.readable().expect("a resource"));
            }
            fleet.apply(Event::InitApply(at(known, by)));
            fleet.apply(Event::InitDone);
            blocked_by()
        };
        fleet.apply(Event::Apply(at(7, "Frozen")));
        assert_eq!(list(Some(8), 7, "Frozen", Some(at(9, "OnBattery"))), Some(BlockedBy::OnBattery));
        // read after it was written, so it is what there is: the API server was restored and has counted on since
        assert_eq!(list(Some(12), 8, "Paused", None), Some(BlockedBy::Paused));
        // older than what was known before: it was restored just now
        fleet.apply(Event::Apply(at(20, "Frozen")));
        assert_eq!(list(Some(15), 5, "OnBattery", None), Some(BlockedBy::OnBattery));
        // and counts from there
        assert_eq!(list(Some(16), 5, "OnBattery", Some(at(17, "Paused"))), Some(BlockedBy::Paused));
        // versions that are no numbers say nothing
        assert_eq!(list(None, 5, "Frozen", None), Some(BlockedBy::Frozen));
    }

    /// Holds B9: two resources take no step at the same agent at the same time.
    #[test]
    fn an_agent_is_one_resources_turn_at_a_time() {
        let fleet = Fleet::default();
        let [a, b, c] = [("a", "h"), ("b", "h"), ("c", "other")].map(|(name, host)| object(name, host, json!({})));
        let elsewhere =
            json!({"spec": {"api": {"hostApi": {"url": "https://mine", "tlsSecretRef": {"name": "mine"}}}}});
        let elsewhere = object("elsewhere", "h", elsewhere);
        let turn = |object: &Watched| fleet.turn(object.readable().expect("a resource"));
        let held = turn(&a).expect("nobody has it");
        assert!(turn(&b).is_none() && turn(&c).is_some());
        assert!(turn(&elsewhere).is_some(), "a server that takes its time holds up nobody who means another");
        drop(held);
        assert!(turn(&b).is_some());
    }

    /// Holds B9: whoever was kept from an agent is woken when that may be over, and not only at the resync.
    #[test]
    fn a_resource_in_conflict_is_woken_when_another_one_changes_or_goes() {
        let fleet = Fleet::default();
        let conflict = json!({"status": {"blockedBy": "Conflict"}});
        fleet.apply(Event::Apply(object("owner", "h", json!({}))));
        for number in 0..40 {
            fleet.apply(Event::Apply(object(&format!("waits-{number}"), "h", conflict.clone())));
        }
        fleet.apply(Event::Apply(object("elsewhere", "other", conflict)));
        fleet.apply(Event::Apply(object("rests", "h", json!({}))));
        let woken = |changes: &[Change]| {
            let of = |change: &Change| match change {
                Change::Wakes(name) => name.parts().1.starts_with("waits-"),
                Change::Gone(..) => false,
            };
            (changes.iter().filter(|change| of(change)).count(), changes.len())
        };
        let same = fleet.apply(Event::Apply(object("owner", "h", json!({"status": {"blockedBy": "OnBattery"}}))));
        assert_eq!(woken(&same), (0, 0));
        let changed = fleet.apply(Event::Apply(object("owner", "h", json!({"metadata": {"generation": 2}}))));
        assert_eq!(woken(&changed), (MOST_WOKEN, MOST_WOKEN + 1));
        let gone = fleet.apply(Event::Delete(object("owner", "h", json!({}))));
        assert_eq!(woken(&gone), (MOST_WOKEN, MOST_WOKEN + 1));
    }

    /// Holds B9: an object that grew too large for its status to be written kept others out by what had been there, for good.
    #[test]
    fn what_could_not_be_written_ends_a_claim_until_it_is() {
        let fleet = Fleet::default();
        let at = |version: u32, change: serde_json::Value| {
            let mut whole = object("large", "h", json!({"metadata": {"resourceVersion": version.to_string()}}));
            let mut value = serde_json::to_value(&whole).expect("plain data");
            merge(&mut value, &change);
            whole = serde_json::from_value(value).expect("metadata");
            whole
        };
        let leaf = json!({
            "verifiedUrl": "https://h", "verifiedClient": "fleet-client", "sha256": "ab".repeat(32), "serial": "1",
            "issuer": "CN=x", "requestDigest": "d", "notBefore": "2026-01-01T00:00:00Z", "notAfter": "2026-03-01T00:00:00Z",
        });
        let verified = json!({"status": {"observedGeneration": 1, "leaf": leaf}});
        let mac = |object: &Watched| object.readable().expect("a resource").clone();
        let is_kept = |fleet: &Fleet| {
            let claims = fleet.claims(&mac(&at(1, json!({}))));
            claims.iter().all(|claim| claim.is_verified())
        };
        let stored = at(1, verified.clone());
        fleet.apply(Event::Apply(stored.clone()));
        let refused = json!({"status": {"blockedBy": "HostRefused", "leaf": {"verifiedUrl": null}}});
        let (same, refused) = (mac(&stored).status.expect("a status"), {
            let mut value = verified.clone();
            merge(&mut value, &refused);
            mac(&at(1, value)).status.expect("a status")
        });
        fleet.could_not_write(&mac(&stored), &same);
        assert!(is_kept(&fleet), "an owner stays one whatever is noted on it");
        fleet.could_not_write(&mac(&stored), &refused);
        assert!(!is_kept(&fleet));
        assert!(!fleet.claim(&mac(&stored)).is_verified(), "nor is it in its own eyes");
        // whatever is written to it next, it was not the status
        fleet.apply(Event::Apply(at(2, verified.clone())));
        fleet.could_not_write(&mac(&at(2, verified.clone())), &same);
        assert!(!is_kept(&fleet));
        fleet.wrote(&mac(&at(3, verified.clone())));
        assert!(is_kept(&fleet));
        fleet.could_not_write(&mac(&at(3, verified.clone())), &refused);
        assert!(!is_kept(&fleet));
        fleet.needs_no_write(&mac(&at(3, verified)));
        assert!(is_kept(&fleet));
    }
}
