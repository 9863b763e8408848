//! A resource as it is kept, and what is known of it without reading it.

use std::io::{self, BufReader};
use std::sync::Arc;

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use jiff::Timestamp;
use kagiban_crds::resource::{BlockedBy, Condition, ManagedAgentCertificate};

use super::Agent;
use crate::cluster::{Watched, claim};
use crate::decide::{ConditionType, OwnershipClaim, Reason};
use crate::foreign::{told, within};

/// Of the reason of a condition, in bytes. Ours are words.
const LONGEST_REASON: usize = 64;

/// An object as it is kept: as packed text, since the many small parts of one take ten times as much. It is read again for
/// whoever looks at it.
#[derive(Debug)]
pub(super) struct CompactResource {
    pub(super) text: Packed,
    pub(super) uid: Box<str>,
    pub(super) version: Option<u64>,
    /// `None` for one that cannot be read, and `claim` likewise.
    pub(super) agent: Option<Agent>,
    pub(super) claim: Option<Arc<OwnershipClaim>>,
    /// While the API server does not take its status, such as one of an object that is too large: whether what should stand
    /// there calls it verified.
    pub(super) unwritten: Option<bool>,
    pub(super) summary: Arc<ResourceSummary>,
}

/// What is told of every resource at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceSummary {
    /// As it stands in the spec, and `product` likewise.
    pub host: Box<str>,
    pub product: Box<str>,
    /// Of the leaf that was verified.
    pub not_after: Option<Timestamp>,
    pub renewal_time: Option<Timestamp>,
    /// The status of the Ready condition.
    pub ready: Box<str>,
    pub blocked_by: Option<BlockedBy>,
    /// Whether nothing goes on until a person looks.
    pub stalled: bool,
    /// Why it is as it is, in one word: of Stalled, else of what blocks it, else of Ready. Empty for one that was never looked at.
    pub reason: Box<str>,
    /// Whether this version can read all of it.
    pub readable: bool,
}

impl CompactResource {
    pub(super) fn bytes(&self) -> usize {
        self.text.0.len()
    }

    pub(super) fn of(object: &Watched, unwritten: Option<bool>) -> Self {
        Self {
            text: Packed::of(object),
            uid: object.metadata().uid.as_deref().unwrap_or_default().into(),
            version: version(object),
            agent: object.readable().map(agent),
            claim: object.readable().map(|mac| Arc::new(claim_of(mac, unwritten))),
            unwritten,
            summary: Arc::new(ResourceSummary::of(object)),
        }
    }
}

/// JSON, deflated: names, times and digests repeat in it, and a quarter is left.
#[derive(Clone, Debug)]
pub(super) struct Packed(pub(super) Arc<[u8]>);

impl Packed {
    pub(super) fn of(object: &Watched) -> Self {
        let mut packing = DeflateEncoder::new(Vec::new(), Compression::fast());
        // Never fails in practice: strings and numbers, into memory
        let packed =
            serde_json::to_writer(&mut packing, object).map_err(io::Error::from).and_then(|()| packing.finish());
        Self(packed.unwrap_or_default().into())
    }

    /// Never `None` in practice: what was written here can be read.
    pub(super) fn read(&self) -> Option<Watched> {
        serde_json::from_reader(BufReader::new(DeflateDecoder::new(&*self.0)))
            .inspect_err(|error| {
                tracing::error!(error = told(&error.to_string()), "an object of the store is unreadable");
            })
            .ok()
    }
}

impl ResourceSummary {
    pub(super) fn of(object: &Watched) -> Self {
        match &object.0 {
            Ok(mac) => {
                let status = mac.status.as_ref();
                let conditions = status.map(|status| status.conditions.as_slice()).unwrap_or_default();
                let of = |kind: ConditionType| conditions.iter().find(|condition| condition.type_ == kind.as_str());
                let (ready, blocked_by) = (of(ConditionType::Ready), status.and_then(|status| status.blocked_by));
                let stalled = of(ConditionType::Stalled).filter(|stalled| stalled.status == "True");
                let word = |condition: &Condition| within(&condition.reason, LONGEST_REASON);
                let blocked = || Some(Reason::Blocked(blocked_by?).as_str().to_owned());
                let reason = stalled.map(word).or_else(blocked).or_else(|| ready.map(word));
                Self {
                    host: mac.spec.host.as_str().into(),
                    product: mac.spec.agent.product.id().into(),
                    not_after: status.and_then(|status| Some(status.leaf.as_ref()?.not_after)),
                    renewal_time: status.and_then(|status| status.renewal_time),
                    // One that was never looked at is as unknown as one whose host is dead
                    ready: ready.map_or("Unknown", |condition| condition.status.as_str()).into(),
                    blocked_by,
                    stalled: stalled.is_some(),
                    reason: reason.unwrap_or_default().into(),
                    readable: true,
                }
            }
            Err(seen) => Self {
                host: seen.host().into(),
                product: seen.product().into(),
                not_after: seen.not_after(),
                renewal_time: seen.renewal_time(),
                // Whatever its status says: nothing is done about it
                ready: "False".into(),
                blocked_by: None,
                stalled: true,
                reason: Reason::Unreadable.as_str().into(),
                readable: false,
            },
        }
    }
}

pub(super) fn claim_of(mac: &ManagedAgentCertificate, unwritten: Option<bool>) -> OwnershipClaim {
    let claim = claim(mac);
    match unwritten {
        None => claim,
        Some(is_verified) => claim.unwritten(is_verified),
    }
}

pub(super) fn agent(mac: &ManagedAgentCertificate) -> Agent {
    (mac.spec.host.clone(), mac.spec.agent.name.clone())
}

/// Kubernetes counts them upwards for all objects of a kind.
pub(super) fn version(object: &Watched) -> Option<u64> {
    object.metadata().resource_version.as_deref()?.parse().ok()
}
