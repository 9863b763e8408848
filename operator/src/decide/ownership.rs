//! Whose agent it is when several resources name the same one.
//!
//! Not the oldest's: whoever may create a resource could take any agent by being first. An owner is who was verified on
//! the agent, or else whom the host answers, which takes a client Secret that is granted for it. One that is deleted, or
//! whom the host does not answer any more, keeps nobody else out.

use std::cmp::Ordering;

use jiff::Timestamp;
use kagiban_crds::resource::{BlockedBy, HostUrl, ManagedAgentCertificateStatus, Outcome};

use super::{ConditionType, Reason, Rival};

/// What a resource has to show for naming an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ClaimStrength {
    /// It was not looked at yet, is deleted, its Secrets do not let it, the host refuses it, or another agent answers at its
    /// address: it keeps nobody else out.
    None,
    /// The host answers it.
    Heard,
    /// A leaf of its own was verified at another address or with another client Secret than the spec says now, and no other host
    /// has answered it since: perhaps a mistake in the spec. Or a first rotation of its own is on its way, and just now nothing is
    /// heard of it. Only its own namespace believes either.
    Moved,
    /// A rotation of its own is on its way.
    Rotating,
    /// A leaf that it found on the host was verified, at the address and with the client Secret that stand in the spec now.
    Adopted,
    /// Likewise a leaf that a rotation of its own has put there.
    Verified,
}

/// A resource that names an agent.
#[derive(Clone, Debug)]
pub struct Contender {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// `None` for one that only stands in a file.
    pub created: Option<Timestamp>,
    /// Whether its deletion was asked for.
    pub deleted: bool,
    /// Whether our finalizer is on it: while it is deleted, a rotation of its own may still be on its way.
    pub held: bool,
    /// Where it reaches the host.
    pub url: Option<HostUrl>,
    /// The client Secret, whose CA says who the host is.
    pub client: Option<String>,
    pub status: ManagedAgentCertificateStatus,
}

/// What a resource claims, as far as others are compared with it: little, since it is kept for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnershipClaim {
    namespace: Box<str>,
    name: Box<str>,
    uid: Box<str>,
    created: Option<Timestamp>,
    url: Option<HostUrl>,
    client: Option<Box<str>>,
    standing: ClaimStrength,
    /// Whether it was never looked at.
    is_new: bool,
}

impl Contender {
    pub fn claim(&self) -> OwnershipClaim {
        OwnershipClaim {
            namespace: self.namespace.as_str().into(),
            name: self.name.as_str().into(),
            uid: self.uid.as_str().into(),
            created: self.created,
            url: self.url.clone(),
            client: self.client.as_deref().map(Into::into),
            standing: self.standing(),
            is_new: self.status == ManagedAgentCertificateStatus::default() && !self.deleted,
        }
    }

    fn standing(&self) -> ClaimStrength {
        let rotating = self.status.rotation.as_ref().is_some_and(|rotation| !rotation.state.is_decided());
        if self.deleted && !(self.held && rotating) {
            return ClaimStrength::None;
        }
        let is_known = self.status.observed_generation.is_some();
        match self.status.blocked_by {
            Some(BlockedBy::WrongHost) => ClaimStrength::None,
            // What is not granted is not asked: at another address than before, no other host has answered
            Some(BlockedBy::NotGranted) if is_known && self.has_moved() => ClaimStrength::Moved,
            Some(by @ (BlockedBy::HostRefused | BlockedBy::NotGranted)) if self.is_unheard(by) => ClaimStrength::None,
            // An owner whose host is down stays its owner, and so does one whose Secrets the API server does not give just now,
            // whose issuer does not let it, or whose keystore or chain the host refuses
            _ if self.is_verified() => {
                if self.has_issued() {
                    ClaimStrength::Verified
                } else {
                    ClaimStrength::Adopted
                }
            }
            // Nothing else speaks for it: one whose status cannot be written would keep everybody else out for ever
            _ if !is_known => ClaimStrength::None,
            _ if rotating && self.status.blocked_by.is_none() => ClaimStrength::Rotating,
            _ if self.has_moved() => ClaimStrength::Moved,
            Some(
                BlockedBy::HostUnreachable
                | BlockedBy::HostRefused
                | BlockedBy::HostAnswerRefused
                | BlockedBy::SecretUnavailable
                | BlockedBy::SpecInvalid,
            ) if rotating => ClaimStrength::Moved,
            Some(
                BlockedBy::Conflict
                | BlockedBy::NotGranted
                | BlockedBy::SecretUnavailable
                | BlockedBy::HostUnreachable
                | BlockedBy::HostRefused
                | BlockedBy::HostAnswerRefused
                | BlockedBy::SpecInvalid,
            ) => ClaimStrength::None,
            _ if rotating => ClaimStrength::Rotating,
            _ => ClaimStrength::Heard,
        }
    }

    /// What was verified through another address or by another Secret was perhaps another host.
    fn is_verified(&self) -> bool {
        self.status.leaf.as_ref().is_some_and(|leaf| {
            let url = leaf.verified_url.as_deref().and_then(|url| url.parse::<HostUrl>().ok());
            url.is_some() && url == self.url && leaf.verified_client.is_some() && leaf.verified_client == self.client
        })
    }

    /// `settle` forgets the address once another host has answered at the one that the spec says now.
    fn has_moved(&self) -> bool {
        !self.is_verified() && self.status.leaf.as_ref().is_some_and(|leaf| leaf.verified_url.is_some())
    }

    /// Whether a rotation of its own has put the leaf there: that one stays in the history while its leaf is in force.
    fn has_issued(&self) -> bool {
        let leaf = self.status.leaf.as_ref().map(|leaf| leaf.sha256);
        let committed = self.status.history.iter().filter(|entry| entry.outcome == Outcome::Committed);
        committed.into_iter().any(|entry| entry.sha256.is_some() && entry.sha256 == leaf)
    }

    /// Whether the host was not to be looked at for this reason, and not only what is asked of it was refused.
    fn is_unheard(&self, by: BlockedBy) -> bool {
        let reason = Reason::Blocked(by).as_str();
        let verified =
            self.status.conditions.iter().find(|condition| condition.type_ == ConditionType::Verified.as_str());
        verified.is_some_and(|condition| condition.status == "Unknown" && condition.reason == reason)
    }
}

impl OwnershipClaim {
    /// Whether a leaf of its own, or one that it has found, was verified where the spec says now.
    pub(crate) fn is_verified(&self) -> bool {
        self.standing >= ClaimStrength::Adopted
    }

    /// What is left of it while its status cannot be written: what stands there may be long over.
    pub(crate) fn unwritten(self, is_verified: bool) -> Self {
        let standing = if is_verified && self.is_verified() { self.standing } else { ClaimStrength::None };
        Self { standing, is_new: false, ..self }
    }

    /// Its standing in the eyes of `own`. What only stands in a file is judged by what there will be: another that was not looked
    /// at yet, in the cluster or in the file, will have been by then.
    fn standing_for(&self, own: &Self) -> ClaimStrength {
        let standing = match self.standing {
            ClaimStrength::Moved if self.namespace != own.namespace => ClaimStrength::None,
            standing => standing,
        };
        if own.created.is_none() && self.is_new { standing.max(ClaimStrength::Heard) } else { standing }
    }

    /// The older first; what only stands in a file is younger than anything in the cluster.
    fn age(&self) -> (bool, Option<Timestamp>, &str, &str, &str) {
        (self.created.is_none(), self.created, &self.uid, &self.namespace, &self.name)
    }

    /// Two resources mean the same agent where they mean the same address; at two addresses, where the same Secret says who
    /// answers there. What another Secret makes of another address is no reason to hold this one back.
    fn meets(&self, other: &Self) -> bool {
        self.url == other.url || (self.namespace == other.namespace && self.client == other.client)
    }
}

/// The resource that keeps this one from the agent, out of all that name the same agent of the same host.
pub fn owner<'a>(own: &OwnershipClaim, others: impl IntoIterator<Item = &'a OwnershipClaim>) -> Option<Rival> {
    // Whoever asks may have been refused for something that was mended since
    let mine = |other: &OwnershipClaim| own.standing_for(other).max(ClaimStrength::Heard);
    others
        .into_iter()
        .filter(|other| (&other.namespace, &other.name) != (&own.namespace, &own.name) && own.meets(other))
        .map(|other| (other.standing_for(own), other))
        .filter(|(standing, _)| *standing > ClaimStrength::None)
        .filter(|(standing, other)| {
            standing.cmp(&mine(other)).then_with(|| own.age().cmp(&other.age())) == Ordering::Greater
        })
        .max_by(|(one, this), (two, that)| one.cmp(two).then_with(|| that.age().cmp(&this.age())))
        .map(|(_, other)| Rival { namespace: other.namespace.to_string(), name: other.name.to_string() })
}

#[cfg(test)]
mod tests;
