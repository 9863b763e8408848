//! What the operator saw: issued, deployed and verified are three facts, never one.

use jiff::Timestamp;
use jiff::civil::DateTime;
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::LeafSha256;
use crate::host_api::RotationState;

/// Past rotations kept in the status.
pub const HISTORY_LIMIT: usize = 5;
/// Certificates signed within one rotation. One is enough unless the operator restarts while a host waits for its chain.
pub const SIGNED_LIMIT: usize = 4;

/// Seen by the operator. Its size does not depend on the fleet's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManagedAgentCertificateStatus {
    /// The spec's generation that all of this was decided for; -1 before the operator has looked at any.
    #[serde(default, deserialize_with = "observed", skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Always: Ready, and of an agent with a certificate, Verified and Serving; where a certificate is given to the agent, Issued and
    /// Deployed. Of an agent that is only looked at: Repaired. Where the host asks whether the agent does its work: Functional. Where it
    /// lists the server's clients without its certificate: ClientsMatch. Only while they are true: Reconciling, Stalled, Blocked,
    /// IssuerEnding.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The leaf that was last verified on the live endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaf: Option<LeafStatus>,
    /// When the next rotation is due.
    #[serde(default, deserialize_with = "time_if_any", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub renewal_time: Option<Timestamp>,
    /// The newest rotation, on its way or ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<RotationStatus>,
    /// What keeps a rotation that is due from starting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_by: Option<BlockedBy>,
    /// The value of the rotate annotation that was last answered by a verified leaf, or by a repair, however that ended. A rotation
    /// asked for with another value is owed until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handled_rotate: Option<String>,
    /// The newest first, five at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    pub history: Vec<HistoryEntry>,
}

/// As the schema takes it: the last day of 9999, which a [`Timestamp`] does not reach, is the last second that it does.
fn time<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().or_else(|error: jiff::Error| {
        let is_beyond =
            text.get(..19).and_then(|text| text.parse::<DateTime>().ok()).is_some_and(|time| time.year() == 9999);
        if is_beyond { Ok(Timestamp::MAX) } else { Err(serde::de::Error::custom(error)) }
    })
}

fn time_if_any<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    #[derive(Deserialize)]
    struct Time(#[serde(deserialize_with = "time")] Timestamp);
    Ok(Option::<Time>::deserialize(deserializer)?.map(|time| time.0))
}

/// A generation is at least 1. What stands there by default was written by nobody.
fn observed<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Ok(Option::<i64>::deserialize(deserializer)?.filter(|generation| *generation > 0))
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeafStatus {
    /// SHA-256 of the certificate's DER, in lower-case hexadecimal.
    #[schemars(with = "String", regex(pattern = "^[0-9a-f]{64}$"))]
    pub sha256: LeafSha256,
    /// Its serial number, in hexadecimal.
    pub serial: String,
    /// The distinguished name of its issuer.
    pub issuer: String,
    /// From when it is valid.
    #[serde(deserialize_with = "time")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub not_before: Timestamp,
    /// Until when it is valid.
    #[serde(deserialize_with = "time")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub not_after: Timestamp,
    /// What of the spec this leaf was asked for with; another value in the spec means another leaf.
    pub request_digest: String,
    /// SHA-256 over the subject and public key of the CA that signed it. Another CA under the issuer's name means another leaf.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_sha256: Option<String>,
    /// The version of the Secret whose password the keystore was written with. Another one means another rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_version: Option<String>,
    /// The URL of the host API through which it was last verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_url: Option<String>,
    /// The client Secret with which it was last verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_client: Option<String>,
}

/// A certificate that was signed for a rotation. It is written here before it is sent to the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignedLeaf {
    /// SHA-256 of the certificate's DER, in lower-case hexadecimal.
    #[schemars(with = "String")]
    pub sha256: LeafSha256,
    /// Its serial number, in hexadecimal.
    pub serial: String,
    /// The distinguished name of its issuer.
    pub issuer: String,
    /// From when it is valid.
    #[serde(deserialize_with = "time")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub not_before: Timestamp,
    /// Until when it is valid.
    #[serde(deserialize_with = "time")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub not_after: Timestamp,
    /// SHA-256 over the subject and public key of the CA that signed it.
    pub issuer_sha256: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RotationStatus {
    /// Only grows; written here before the host is asked, so that a crash cannot use it twice.
    #[schemars(with = "i64", range(min = 0))]
    pub generation: u64,
    /// Why it was started.
    pub trigger: RotationTrigger,
    /// `Requested`; of a repair that its host took, `Renewing`; then how it ended. Its host's report has the steps.
    pub state: RotationState,
    /// When it was started.
    #[serde(deserialize_with = "time")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub started_at: Timestamp,
    /// Rotations in a row that failed, or that did not cure what they were started for; this one is counted.
    #[schemars(with = "i64", range(min = 0, max = 4_294_967_295_u32))]
    pub attempts: u32,
    /// What of the spec it was started with.
    pub request_digest: String,
    /// The value of the rotate annotation that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate: Option<String>,
    /// The version of the Secret whose password it was started with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_version: Option<String>,
    /// What was signed for it, the newest first. A leaf that is none of these is never called verified.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub signed: Vec<SignedLeaf>,
}

/// Why a rotation was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum RotationTrigger {
    /// No leaf of this resource has ever been verified.
    FirstIssue,
    /// The rotate annotation has a new value.
    Requested,
    /// Names, key, issuer or keystore differ from what the leaf was asked for with.
    SpecChanged,
    /// Another CA stands under the issuer's name.
    IssuerChanged,
    /// The Secret with the keystore's password was written anew.
    PasswordChanged,
    /// Somebody else replaced the leaf in the keystore.
    StoredDrift,
    /// The live endpoint serves another leaf than the keystore holds.
    ServedDrift,
    /// The renewal time has come.
    Renewal,
}

/// What keeps a rotation from starting; one value at a time, the first that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum BlockedBy {
    Paused,
    /// The host's API cannot be reached, or does not speak as it should.
    HostUnreachable,
    /// The host has no capacity now, or is in the middle of something; the next try may pass.
    HostBusy,
    /// The host refuses for a reason that waiting does not cure.
    HostRefused,
    /// The operator refuses what the host sent, such as its CSR.
    HostAnswerRefused,
    /// The spec names something that cannot be, such as an address that is none.
    SpecInvalid,
    /// Another host, agent or product answers at that address.
    WrongHost,
    /// The host says that the last rotation froze; a person must look.
    Frozen,
    OnBattery,
    LowBattery,
    ShutdownPending,
    /// The power state is not known, or was seen too long ago.
    PowerUnknown,
    /// The host's clock and the operator's differ so much that the host would refuse the certificate.
    ClockSkew,
    /// The issuer is missing, or cannot sign.
    IssuerUnavailable,
    /// The issuer may not sign what the spec asks for, by its name constraints.
    IssuerRefused,
    /// The issuer's own end leaves a renewal nothing to gain.
    IssuerEnding,
    /// A Secret that the resource names is missing or is not what it should be.
    SecretUnavailable,
    /// Another resource owns this agent of this host.
    Conflict,
    /// A Secret does not say that it may be used for this, or the operator may not connect to that address.
    NotGranted,
    /// The last attempt failed; the next one waits.
    BackingOff,
    /// Another leaf came back after each rotation that replaced it.
    DriftRecurs,
    /// The host has worked on a rotation for far longer than any takes.
    RotationStuck,
    /// The operator has given the host to another installation, as it was told to.
    HandedOver,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// The generation of the rotation.
    #[schemars(with = "i64", range(min = 0))]
    pub generation: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// The leaf that it brought: with the outcome `Committed` alone, and never of a repair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", regex(pattern = "^[0-9a-f]{64}$"))]
    pub sha256: Option<LeafSha256>,
    /// When it ended.
    #[serde(deserialize_with = "time")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub finished_at: Timestamp,
    /// With every outcome but `Committed` and `Done`: the host's stable reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The serials of what was signed for it, whether it was deployed or not: what to revoke when in doubt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub serials: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Outcome {
    Committed,
    /// A repair: what was run ended well, and nothing proves what came of it.
    Done,
    RolledBack,
    Frozen,
    /// The host does not know how it ended, or it was superseded before the host heard of it.
    Lost,
    /// The host calls it committed, with a leaf that was not signed for it; of an agent that renews its own, with one that it does not
    /// serve, or that ends no later than the one before.
    OtherLeaf,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Holds B3: the schema takes times that stranded the resource: nothing was done about it until somebody mended its status.
    #[test]
    fn every_time_that_the_schema_takes_can_be_read() {
        let entry = |time: &str| {
            serde_json::from_value::<HistoryEntry>(json!({"generation": 1, "outcome": "Committed", "finishedAt": time}))
        };
        assert_eq!(entry("9999-12-31T23:59:59Z").expect("the last day").finished_at, Timestamp::MAX);
        assert_eq!(entry("9999-12-31T23:59:59.5+00:00").expect("the last day").finished_at, Timestamp::MAX);
        for time in ["0001-01-01T00:00:00Z", "2026-11-27T12:00:00+09:00", "2026-06-30T23:59:60Z"] {
            assert!(entry(time).is_ok(), "{time}");
        }
        assert!(entry("9999").is_err() && entry("tomorrow").is_err());
        let status = |time| serde_json::from_value::<ManagedAgentCertificateStatus>(json!({"renewalTime": time}));
        assert_eq!(status(json!("9999-12-31T00:00:00Z")).expect("a status").renewal_time, Some(Timestamp::MAX));
        assert_eq!(status(json!(null)).expect("a status").renewal_time, None);
    }
}
