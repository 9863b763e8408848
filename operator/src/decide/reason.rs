//! The closed set of words by which users learn what happened: reasons of conditions and events, values of metrics.

use kagiban_crds::resource::{BlockedBy, Condition, RotationTrigger};

/// The conditions, in the order in which they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConditionType {
    /// The certificate that the spec asks for, as it is written now, is stored and served.
    Ready,
    /// A leaf was signed for this resource. Left out, as `Deployed` is, where an agent renews its own.
    Issued,
    /// That leaf is in the keystore on the host.
    Deployed,
    /// That leaf is served on the live endpoint.
    Verified,
    /// What is served is a valid leaf of this resource, whether or not the spec still asks for it.
    Serving,
    /// The agent was repaired when a person asked. Only of an agent that is only looked at, instead of the four before.
    Repaired,
    /// The agent does its work. Left out where its host does not ask about that; Ready does not go by it.
    Functional,
    /// All of the server's own clients have its certificate. Left out where its host does not list those that do not; Ready does not go by
    /// it.
    ClientsMatch,
    /// A rotation is on its way. Never together with `Stalled`.
    Reconciling,
    /// Nothing goes on until a person looks.
    Stalled,
    /// Something keeps a rotation, or a look at the host, from being done.
    Blocked,
    /// The issuer ends too soon for the next renewal to gain anything.
    IssuerEnding,
}

/// Why a condition is as it is, or what an event tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    Issued,
    NotIssued,
    Deployed,
    NotDeployed,
    Verified,
    /// The host looked and could not see a leaf.
    NotSeen,
    Expired,
    /// It is valid from a time that has not come.
    NotYetValid,
    Serving,
    /// A repair was proven.
    Repaired,
    /// A repair was done, and nothing proves what came of it.
    NotProven,
    /// Nobody has asked for a repair.
    NotAsked,
    RepairFailed,
    Functional,
    NotFunctional,
    /// The host was kept from asking whether the agent does its work, or nobody has told it.
    FunctionUnknown,
    /// It is not known now, and when it was last known the agent did not do its work.
    LastSeenNotFunctional,
    ClientsMatch,
    /// Some of the server's clients do not have its certificate.
    ClientsDiffer,
    /// The same of some that every attempt to repair was made on, or that none can be made on.
    ClientsStay,
    /// The host could not list them, or has not yet.
    ClientsUnknown,
    /// A rotation is on its way, for the reason given.
    Rotating(RotationTrigger),
    /// Drift that was seen and is not acted on yet.
    StoredDrift,
    ServedDrift,
    /// Expiry is near and something forbids the rotation: a person must say which risk wins.
    NearExpiry,
    Blocked(BlockedBy),
    RotationStarted,
    /// A leaf that was on the host already is as good as a new one.
    Adopted,
    /// The issuer ends too soon for the next renewal to gain anything.
    IssuerEnding,
    RolledBack,
    /// An undeployed rotation was called off by the operator.
    RotationCalledOff,
    RotationLost,
    /// The host calls a leaf committed that was not signed for it, or that an agent that renews its own has gained nothing by.
    OtherLeaf,
    /// Deletion went on although the host could not be asked.
    Released,
    /// This version cannot read the resource.
    Unreadable,
}

impl ConditionType {
    /// All that this operator writes, in their order.
    pub const ALL: [Self; 12] = [
        Self::Ready,
        Self::Issued,
        Self::Deployed,
        Self::Verified,
        Self::Serving,
        Self::Repaired,
        Self::Functional,
        Self::ClientsMatch,
        Self::Reconciling,
        Self::Stalled,
        Self::Blocked,
        Self::IssuerEnding,
    ];

    /// Whether a condition of that type is written by this operator.
    pub fn is_ours(kind: &str) -> bool {
        Self::ALL.iter().any(|ours| ours.as_str() == kind)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Issued => "Issued",
            Self::Deployed => "Deployed",
            Self::Verified => "Verified",
            Self::Serving => "Serving",
            Self::Repaired => "Repaired",
            Self::Functional => "Functional",
            Self::ClientsMatch => "ClientsMatch",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::Blocked => "Blocked",
            Self::IssuerEnding => "IssuerEnding",
        }
    }
}

impl Reason {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issued => "Issued",
            Self::NotIssued => "NotIssued",
            Self::Deployed => "Deployed",
            Self::NotDeployed => "NotDeployed",
            Self::Verified => "Verified",
            Self::NotSeen => "NotSeen",
            Self::Expired => "Expired",
            Self::NotYetValid => "NotYetValid",
            Self::Serving => "Serving",
            Self::Repaired => "Repaired",
            Self::NotProven => "NotProven",
            Self::NotAsked => "NotAsked",
            Self::RepairFailed => "RepairFailed",
            Self::Functional => "Functional",
            Self::NotFunctional => "NotFunctional",
            Self::FunctionUnknown => "FunctionUnknown",
            Self::LastSeenNotFunctional => "LastSeenNotFunctional",
            Self::ClientsMatch => "ClientsMatch",
            Self::ClientsDiffer => "ClientsDiffer",
            Self::ClientsStay => "ClientsStay",
            Self::ClientsUnknown => "ClientsUnknown",
            Self::Rotating(trigger) => trigger_word(trigger),
            Self::StoredDrift => "StoredDrift",
            Self::ServedDrift => "ServedDrift",
            Self::NearExpiry => "NearExpiry",
            Self::Blocked(by) => blocked_word(by),
            Self::RotationStarted => "RotationStarted",
            Self::Adopted => "Adopted",
            Self::IssuerEnding => "IssuerEnding",
            Self::RolledBack => "RolledBack",
            Self::RotationCalledOff => "RotationCalledOff",
            Self::RotationLost => "RotationLost",
            Self::OtherLeaf => "OtherLeaf",
            Self::Released => "Released",
            Self::Unreadable => "Unreadable",
        }
    }
}

/// The word that a trigger goes by.
const fn trigger_word(trigger: RotationTrigger) -> &'static str {
    match trigger {
        RotationTrigger::FirstIssue => "FirstIssue",
        RotationTrigger::Requested => "Requested",
        RotationTrigger::SpecChanged => "SpecChanged",
        RotationTrigger::IssuerChanged => "IssuerChanged",
        RotationTrigger::PasswordChanged => "PasswordChanged",
        RotationTrigger::StoredDrift => "StoredDrift",
        RotationTrigger::ServedDrift => "ServedDrift",
        RotationTrigger::Renewal => "Renewal",
    }
}

/// Whether a condition `Functional` tells that the agent does not do its work, whatever became unknown since.
pub(super) fn is_told_not_functional(functional: &Condition) -> bool {
    functional.status == "False" || functional.reason == Reason::LastSeenNotFunctional.as_str()
}

/// Why a rotation starts, to be read by people.
pub(crate) const fn trigger_words(trigger: RotationTrigger) -> &'static str {
    match trigger {
        RotationTrigger::FirstIssue => "no certificate of this resource was ever verified",
        RotationTrigger::Requested => "the annotation kagiban.dev/rotate has a new value",
        RotationTrigger::IssuerChanged => {
            "another CA stands under the issuer's name than the one that signed the certificate in force"
        }
        RotationTrigger::PasswordChanged => "the Secret with the keystore's password was written anew",
        RotationTrigger::SpecChanged => "the spec asks for another certificate than the one in force",
        RotationTrigger::StoredDrift => "the keystore holds another leaf than the one that was verified",
        RotationTrigger::ServedDrift => "the live endpoint serves another leaf than the one that was verified",
        RotationTrigger::Renewal => "the renewal time has come",
    }
}

/// The word that an obstacle goes by, the same as in `status.blockedBy`.
const fn blocked_word(by: BlockedBy) -> &'static str {
    match by {
        BlockedBy::Paused => "Paused",
        BlockedBy::HostUnreachable => "HostUnreachable",
        BlockedBy::HostBusy => "HostBusy",
        BlockedBy::HostRefused => "HostRefused",
        BlockedBy::HostAnswerRefused => "HostAnswerRefused",
        BlockedBy::SpecInvalid => "SpecInvalid",
        BlockedBy::WrongHost => "WrongHost",
        BlockedBy::Frozen => "Frozen",
        BlockedBy::OnBattery => "OnBattery",
        BlockedBy::LowBattery => "LowBattery",
        BlockedBy::ShutdownPending => "ShutdownPending",
        BlockedBy::PowerUnknown => "PowerUnknown",
        BlockedBy::ClockSkew => "ClockSkew",
        BlockedBy::IssuerUnavailable => "IssuerUnavailable",
        BlockedBy::IssuerRefused => "IssuerRefused",
        BlockedBy::IssuerEnding => "IssuerEnding",
        BlockedBy::SecretUnavailable => "SecretUnavailable",
        BlockedBy::Conflict => "Conflict",
        BlockedBy::NotGranted => "NotGranted",
        BlockedBy::BackingOff => "BackingOff",
        BlockedBy::DriftRecurs => "DriftRecurs",
        BlockedBy::RotationStuck => "RotationStuck",
        BlockedBy::HandedOver => "HandedOver",
    }
}

/// Whether only a person can clear it.
pub(crate) const fn needs_a_person(by: BlockedBy) -> bool {
    match by {
        BlockedBy::Frozen
        | BlockedBy::Conflict
        | BlockedBy::WrongHost
        | BlockedBy::HostRefused
        | BlockedBy::HostAnswerRefused
        | BlockedBy::SpecInvalid
        | BlockedBy::IssuerRefused
        | BlockedBy::NotGranted
        | BlockedBy::DriftRecurs
        | BlockedBy::RotationStuck => true,
        BlockedBy::Paused
        | BlockedBy::HostUnreachable
        | BlockedBy::HostBusy
        | BlockedBy::OnBattery
        | BlockedBy::LowBattery
        | BlockedBy::ShutdownPending
        | BlockedBy::PowerUnknown
        | BlockedBy::ClockSkew
        | BlockedBy::IssuerUnavailable
        | BlockedBy::IssuerEnding
        | BlockedBy::SecretUnavailable
        | BlockedBy::BackingOff
        | BlockedBy::HandedOver => false,
    }
}
