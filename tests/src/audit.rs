//! The API server's audit log: who wrote what. It counts writes where they arrive, not where they are sent.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::Result;
use serde::Deserialize;

/// A request as the API server answered it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub user: String,
    pub verb: String,
    /// `resource` or `resource/subresource`.
    pub resource: String,
    pub namespace: String,
    pub name: String,
    pub code: u16,
}

impl Request {
    pub fn is_write(&self) -> bool {
        matches!(self.verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection")
    }

    /// The leader's heartbeat: the one write that is made at rest.
    pub fn is_lease(&self) -> bool {
        self.resource == "leases"
    }
}

/// Every request so far, in the order of the log, each once.
pub fn requests(log: &Path) -> Result<Vec<Request>> {
    let text = fs::read_to_string(log)?;
    let mut seen = BTreeSet::new();
    let mut requests = Vec::new();
    for line in text.lines() {
        // The last line may be in the middle of being written.
        let Ok(event) = serde_json::from_str::<Event>(line) else { continue };
        // A watch is logged when it starts and again when it ends.
        if event.stage == "ResponseComplete" && seen.insert(event.audit_id.clone()) {
            requests.push(event.into());
        }
    }
    Ok(requests)
}

/// The writes of one user within one namespace, without lease heartbeats.
pub fn writes(log: &Path, user_suffix: &str, namespace: &str) -> Result<Vec<Request>> {
    let ours = |r: &Request| r.user.ends_with(user_suffix) && r.namespace == namespace && r.is_write() && !r.is_lease();
    Ok(requests(log)?.into_iter().filter(ours).collect())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(rename = "auditID")]
    audit_id: String,
    stage: String,
    verb: String,
    user: User,
    #[serde(default)]
    object_ref: ObjectRef,
    #[serde(default)]
    response_status: ResponseStatus,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ObjectRef {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ResponseStatus {
    code: u16,
}

impl From<Event> for Request {
    fn from(event: Event) -> Self {
        let object = event.object_ref;
        let resource = match object.subresource.as_str() {
            "" => object.resource,
            sub => format!("{}/{sub}", object.resource),
        };
        Self {
            user: event.user.username,
            verb: event.verb,
            resource,
            namespace: object.namespace,
            name: object.name,
            code: event.response_status.code,
        }
    }
}
