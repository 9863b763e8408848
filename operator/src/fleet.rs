//! The resources as the watch last showed them: without what no decision needs, and indexed by the agent that they name.

mod compact;
mod names;

pub use compact::ResourceSummary;
pub use names::{HostKey, ResourceName};

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kagiban_crds::resource::{BlockedBy, HostUrl, ManagedAgentCertificate, ManagedAgentCertificateStatus};

use crate::cluster::watch::Event;
use crate::cluster::{Watched, claim};
use crate::decide::OwnershipClaim;
use crate::shares::Shares;
use compact::{CompactResource, agent, claim_of, version};

/// The store behind the watch.
#[derive(Debug, Default)]
pub struct Fleet(Mutex<Resources>);

#[derive(Debug, Default)]
struct Resources {
    resources: HashMap<ResourceName, CompactResource>,
    /// Who names the same agent of the same host.
    contenders: HashMap<Agent, HashSet<ResourceName>>,
    /// Whether a list was whole yet.
    listed: bool,
    /// While the watch lists anew.
    listing: Option<Listing>,
    /// The highest version that was seen of any object, and of any list.
    highest: u64,
    /// Where a step is taken now.
    reserved: HashSet<AgentKey>,
    /// What follows from what a pass has found, until it is asked for.
    found: Vec<FleetChange>,
    room: Room,
    /// Bytes that are kept of each namespace's resources.
    shares: Shares,
    /// Resources for which there was no room at the last list, or since.
    left_out: usize,
}

/// How much is kept.
#[derive(Debug)]
struct Room {
    resources: usize,
    bytes: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self { resources: MOST_RESOURCES, bytes: MOST_BYTES }
    }
}

#[derive(Debug, Default)]
struct Listing {
    /// So far.
    listed: HashSet<ResourceName>,
    /// The highest version that was known when it began.
    known: u64,
    /// Of the page that is read now.
    version: Option<u64>,
    /// For want of room.
    left_out: usize,
}

type Agent = (String, String);

/// An agent at an address, or behind what a client Secret says is its host: two resources mean the same one by either.
type AgentKey = (Agent, String);

/// While it is held, no other resource takes a step at the same agent.
#[must_use]
#[derive(Debug)]
pub struct AgentReservation<'a> {
    fleet: &'a Fleet,
    keys: [AgentKey; 2],
}

/// Resources that are kept: twice as many as one operator is meant for. With all that is known of them they take some 9 KB each when many
/// come at once, so that they stay below the 256 MiB that the pod may have, also beside the texts below.
const MOST_RESOURCES: usize = 20_000;
/// Of their texts. An ordinary one has 1 KiB. With what else is known of them it must stay below the memory that the pod may have.
const MOST_BYTES: usize = 96 << 20;

/// Resources in conflict that are woken by one change of another: whoever makes many of them costs no more than this.
const MOST_WOKEN: usize = 16;

/// What the watch has shown, as far as anything follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FleetChange {
    /// New, or changed in something that a decision depends on.
    Wakes(ResourceName),
    /// Deleted, by uid: whatever was remembered of it goes too.
    Gone(ResourceName, String),
}

impl Fleet {
    /// Takes in what the watch shows.
    pub fn apply(&self, event: Event) -> Vec<FleetChange> {
        let mut state = self.lock();
        match event {
            Event::Init => {
                // What is there stays until the list is whole: a list that breaks off deletes nothing.
                let listed = HashSet::with_capacity(state.resources.len());
                state.listing = Some(Listing { listed, known: state.highest, version: None, left_out: 0 });
                Vec::new()
            }
            Event::InitPage(version) => {
                state.page(version);
                Vec::new()
            }
            Event::InitApply(object) => {
                let changes = if state.was_written_since(&object) { Vec::new() } else { state.put(&object) };
                let name = ResourceName::of(&object);
                // One that is not kept is not to be found in the list, either
                if state.resources.contains_key(&name)
                    && let Some(listing) = &mut state.listing
                {
                    listing.listed.insert(name);
                }
                changes
            }
            Event::InitDone => {
                let Some(Listing { listed, left_out, .. }) = state.listing.take() else { return Vec::new() };
                (state.left_out, state.listed) = (left_out, true);
                let gone: Vec<_> = state.resources.keys().filter(|name| !listed.contains(*name)).cloned().collect();
                gone.into_iter().flat_map(|name| state.remove(&name)).collect()
            }
            Event::Apply(object) if state.is_outdated(&object) => Vec::new(),
            Event::Apply(object) => state.put(&object),
            // An event that comes late or twice may be of another object of that name
            Event::Delete(object) if !state.is_kept(&object) || state.is_outdated(&object) => Vec::new(),
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
        let name = ResourceName::of(&written);
        let Some(kept) = state.kept_of(mac) else { return };
        let Some(Watched(Ok(mut known))) = kept.text.read() else { return };
        known.status.clone_from(&mac.status);
        known.metadata.resource_version.clone_from(&mac.metadata.resource_version);
        state.keep(name, CompactResource::of(&Watched(Ok(known)), None));
    }

    /// The API server does not take this status, nor any other for as long as the object is as it is. What stands there is no
    /// claim on an agent any more.
    pub fn could_not_write(&self, mac: &ManagedAgentCertificate, status: &ManagedAgentCertificateStatus) {
        let wanted = ManagedAgentCertificate { status: Some(status.clone()), ..mac.clone() };
        let is_verified = claim(&wanted).is_verified();
        // Once it was not, what stands in the status is over, whatever the next look makes of it
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
            state.keep(ResourceName::of(&object), CompactResource::of(&object, unwritten));
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
    pub fn found(&self) -> Vec<FleetChange> {
        std::mem::take(&mut self.lock().found)
    }

    /// The right to take a step at the agent that this one names; nothing while another resource has it.
    pub fn reserve(&self, mac: &ManagedAgentCertificate) -> Option<AgentReservation<'_>> {
        let keys = agent_keys(mac);
        let mut state = self.lock();
        let is_free = keys.iter().all(|key| !state.reserved.contains(key));
        is_free.then(|| {
            state.reserved.extend(keys.clone());
            AgentReservation { fleet: self, keys }
        })
    }

    pub fn get(&self, name: &ResourceName) -> Option<Watched> {
        let text = self.lock().resources.get(name)?.text.clone();
        text.read()
    }

    /// What is told of this one.
    pub fn summary(&self, name: &ResourceName) -> Option<Arc<ResourceSummary>> {
        Some(self.lock().resources.get(name)?.summary.clone())
    }

    /// Whether all resources were listed once: before that, a host may be missing.
    pub fn is_listed(&self) -> bool {
        self.lock().listed
    }

    /// Resources for which there is no room: nothing is done about them.
    pub fn left_out(&self) -> usize {
        self.lock().left_out
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
    pub fn summaries(&self) -> Vec<(ResourceName, Arc<ResourceSummary>)> {
        self.lock().resources.iter().map(|(name, kept)| (name.clone(), kept.summary.clone())).collect()
    }

    /// What the resources that name the same agent of the same host as this one claim, this one among them. Anybody may make
    /// thousands of them: no text is read for it.
    pub fn claims(&self, mac: &ManagedAgentCertificate) -> Vec<Arc<OwnershipClaim>> {
        let state = self.lock();
        let names = state.contenders.get(&agent(mac)).into_iter().flatten();
        names.filter_map(|name| state.resources.get(name)?.claim.clone()).collect()
    }

    /// What this one claims itself.
    pub fn claim(&self, mac: &ManagedAgentCertificate) -> OwnershipClaim {
        let unwritten = self.lock().kept_of(mac).and_then(|kept| kept.unwritten);
        claim_of(mac, unwritten)
    }

    fn lock(&self) -> MutexGuard<'_, Resources> {
        // Plain data, and every change of it is whole before the lock is given back
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for AgentReservation<'_> {
    fn drop(&mut self) {
        let mut state = self.fleet.lock();
        for key in &self.keys {
            state.reserved.remove(key);
        }
    }
}

impl Resources {
    /// This very object.
    fn kept_of(&mut self, mac: &ManagedAgentCertificate) -> Option<&mut CompactResource> {
        let name = ResourceName::of_metadata(&mac.metadata);
        self.resources.get_mut(&name).filter(|kept| Some(&*kept.uid) == mac.metadata.uid.as_deref())
    }

    /// Whether a later version of the object is known: what was written here comes before what the watch shows.
    /// Whether what is kept under its name is this very object.
    fn is_kept(&self, object: &Watched) -> bool {
        let kept = self.resources.get(&ResourceName::of(object));
        kept.is_some_and(|kept| *kept.uid == *object.metadata().uid.as_deref().unwrap_or_default())
    }

    fn is_outdated(&self, object: &Watched) -> bool {
        let Some(kept) = self.resources.get(&ResourceName::of(object)) else { return false };
        self.is_kept(object) && kept.version.zip(version(object)).is_some_and(|(known, shown)| known > shown)
    }

    fn page(&mut self, version: Option<u64>) {
        let Some(listing) = &mut self.listing else { return };
        listing.version = version;
        let Some(version) = version else { return };
        // Restored from a backup: it counts from here again
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
    fn freed(&self, agent: &Agent, other: &ResourceName) -> Vec<FleetChange> {
        let names = self.contenders.get(agent).into_iter().flatten();
        let in_conflict = |name: &&ResourceName| {
            let by = self.resources.get(*name).and_then(|kept| kept.summary.blocked_by);
            *name != other && by == Some(BlockedBy::Conflict)
        };
        names.filter(in_conflict).take(MOST_WOKEN).cloned().map(FleetChange::Wakes).collect()
    }

    fn put(&mut self, object: &Watched) -> Vec<FleetChange> {
        let name = ResourceName::of(object);
        self.highest = self.highest.max(version(object).unwrap_or_default());
        let before = self.resources.get(&name);
        // Whatever else was written to it, its status was not
        let uid = object.metadata().uid.as_deref();
        let kept = CompactResource::of(
            object,
            before.filter(|before| Some(&*before.uid) == uid).and_then(|before| before.unwritten),
        );
        if before.and_then(|before| before.text.read()).is_some_and(|before| !differs(&before, object)) {
            // Only the status, most likely our own: it is kept, and nobody is woken
            let Some(changes) = self.make_room(&name, kept.bytes()) else { return self.leave_out(&name) };
            self.keep(name, kept);
            return changes;
        }
        let is_same = before.is_none_or(|before| before.uid == kept.uid);
        // The old one leaves the index first: its agent may be another, and its owner may have been another object
        let Some(made_room) = self.make_room(&name, kept.bytes()) else { return self.leave_out(&name) };
        let mut changes = self.remove(&name);
        if is_same {
            changes.retain(|change| matches!(change, FleetChange::Wakes(_)));
        }
        if let Some(agent) = &kept.agent {
            self.contenders.entry(agent.clone()).or_default().insert(name.clone());
        }
        self.keep(name.clone(), kept);
        // Before those that it kept from the agent, and after the end of another object by its name
        let at = changes.iter().position(|change| matches!(change, FleetChange::Wakes(_))).unwrap_or(changes.len());
        changes.insert(at, FleetChange::Wakes(name));
        changes.extend(made_room);
        changes
    }

    fn keep(&mut self, name: ResourceName, kept: CompactResource) {
        self.shares.take(name.namespace(), kept.bytes());
        let namespace: Box<str> = name.namespace().into();
        if let Some(before) = self.resources.insert(name, kept) {
            self.shares.give_back(&namespace, before.bytes());
        }
    }

    /// What follows from the end of those that had to make room for this one; nothing where it is the one to be left out. Whoever
    /// makes many resources takes no room from other namespaces: the one that has taken the most makes it.
    fn make_room(&mut self, name: &ResourceName, bytes: usize) -> Option<Vec<FleetChange>> {
        let mut changes = Vec::new();
        loop {
            let before = self.resources.get(name);
            let resources = self.resources.len() + usize::from(before.is_none());
            let replaced = before.map_or(0, CompactResource::bytes);
            if resources <= self.room.resources && self.shares.in_all() - replaced + bytes <= self.room.bytes {
                return Some(changes);
            }
            let largest = self.shares.largest_beside(name.namespace(), bytes.saturating_sub(replaced))?;
            let other = self.resources.keys().find(|other| other.namespace() == largest)?.clone();
            changes.extend(self.leave_out(&other));
        }
    }

    /// What follows for whoever knew of it.
    fn leave_out(&mut self, name: &ResourceName) -> Vec<FleetChange> {
        match &mut self.listing {
            Some(listing) => {
                listing.listed.remove(name);
                listing.left_out += 1;
            }
            // Which it is shown again is not known: at least one, until the next list
            None => self.left_out = self.left_out.max(1),
        }
        self.remove(name)
    }

    /// What follows from its end, for itself and for others.
    fn remove(&mut self, name: &ResourceName) -> Vec<FleetChange> {
        let Some(kept) = self.resources.remove(name) else { return Vec::new() };
        self.shares.give_back(name.namespace(), kept.bytes());
        let mut changes = vec![FleetChange::Gone(name.clone(), kept.uid.into())];
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

/// As ownership has it: what another Secret makes of another address is no reason to wait.
fn agent_keys(mac: &ManagedAgentCertificate) -> [AgentKey; 2] {
    let api = mac.spec.api.host_api.as_ref();
    let url = api.and_then(|api| api.url.parse::<HostUrl>().ok()).map(|url| url.authority());
    let client = api.map(|api| api.tls_secret_ref.name.as_str()).unwrap_or_default();
    let namespace = mac.metadata.namespace.as_deref().unwrap_or_default();
    [url.unwrap_or_default(), format!("{namespace}/{client}")].map(|address| (agent(mac), address))
}

/// Whether a decision could come out otherwise. The status is not asked: whoever writes it, we or another, the resource's
/// next look finds it.
fn differs(before: &Watched, after: &Watched) -> bool {
    let (old, new) = (before.metadata(), after.metadata());
    old.uid != new.uid
        || old.generation != new.generation
        || old.annotations != new.annotations
        || old.finalizers != new.finalizers
        || old.deletion_timestamp != new.deletion_timestamp
        // An API server that was restored from a backup counts anew, and gives a number to another spec
        || !before.asks_the_same(after)
}

#[cfg(test)]
mod tests;
