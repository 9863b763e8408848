//! An object of the watch, its parts read apart: one that this version cannot read is still there, with its name, its
//! finalizers and its deletion.

use jiff::Timestamp;
use kagiban_crds::resource::{ManagedAgentCertificate, Metadata};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::tree::OVERSIZED;
use crate::foreign::within;

/// What the watch gives for one object.
#[derive(Clone, Debug)]
pub struct Watched(pub Result<ManagedAgentCertificate, Box<Unreadable>>);

/// An object whose spec or status this version cannot read.
#[derive(Clone, Debug)]
pub struct Unreadable {
    pub metadata: Metadata,
    /// What is wrong with it, for people. It may quote what stands in it, and is short.
    pub why: String,
    pub(super) spec: Value,
    pub(super) status: Value,
}

/// Of a name and of whatever else the API server calls an object by. It lets in none that is longer.
const LONGEST_WORD: usize = 253;

pub(super) fn bounded(word: &str) -> String {
    within(word, LONGEST_WORD)
}

#[derive(Serialize)]
struct Written<'a, Spec, Status> {
    metadata: &'a Metadata,
    spec: &'a Spec,
    status: &'a Status,
}

impl Watched {
    /// The object, if all of it can be read.
    pub fn readable(&self) -> Option<&ManagedAgentCertificate> {
        self.0.as_ref().ok()
    }

    /// Whether both ask for the same, as far as it can be read.
    pub(crate) fn asks_the_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Ok(one), Ok(two)) => one.spec == two.spec,
            (Err(one), Err(two)) => one.spec == two.spec,
            (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
        }
    }

    pub fn metadata(&self) -> &Metadata {
        match &self.0 {
            Ok(mac) => &mac.metadata,
            Err(unreadable) => &unreadable.metadata,
        }
    }
}

impl Unreadable {
    /// As it stands in the spec, if that much can be read.
    pub fn host(&self) -> String {
        bounded(text(&self.spec, "/host"))
    }

    /// As it stands in the spec, if that much can be read.
    pub fn product(&self) -> String {
        bounded(text(&self.spec, "/agent/product"))
    }

    /// When the verified leaf ends, if that much of the status can be read.
    pub fn not_after(&self) -> Option<Timestamp> {
        text(&self.status, "/leaf/notAfter").parse().ok()
    }

    /// When the next rotation was due, if that much of the status can be read.
    pub fn renewal_time(&self) -> Option<Timestamp> {
        text(&self.status, "/renewalTime").parse().ok()
    }

    /// Whether so much stands in the status that it was not read: nobody knows then which conditions others have written.
    pub(crate) fn has_oversized_status(&self) -> bool {
        self.status == OVERSIZED
    }

    /// The conditions as they are, whoever wrote them.
    pub fn conditions(&self) -> &[Value] {
        self.status.pointer("/conditions").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn observed_generation(&self) -> Option<i64> {
        self.status.pointer("/observedGeneration").and_then(Value::as_i64)
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// As it is read, but for `apiVersion` and `kind`, which are the same for all.
impl Serialize for Watched {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Ok(mac) => Written { metadata: &mac.metadata, spec: &mac.spec, status: &mac.status }.serialize(serializer),
            Err(seen) => {
                Written { metadata: &seen.metadata, spec: &seen.spec, status: &seen.status }.serialize(serializer)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object() -> Value {
        json!({
            "apiVersion": "kagiban.dev/v1alpha1", "kind": "ManagedAgentCertificate",
            "metadata": {"name": "ups-01", "namespace": "fleet", "finalizers": ["kagiban.dev/rotation"]},
            "spec": {
                "host": "ups-01.example.com",
                "agent": {"product": "tls-service", "name": "web"},
                "api": {"hostApi": {"url": "https://ups-01.example.com:9995", "tlsSecretRef": {"name": "client"}}},
                "certificate": {"dnsNames": ["ups-01.example.com"], "duration": "2160h"},
                "issuerRef": {"name": "ca"},
            },
            "status": {"leaf": {
                "sha256": "ab".repeat(32), "serial": "1", "issuer": "CN=x", "requestDigest": "d",
                "notBefore": "2026-01-01T00:00:00Z", "notAfter": "2026-03-01T00:00:00Z",
            }},
        })
    }

    fn watched(change: impl FnOnce(&mut Value)) -> Watched {
        let mut object = object();
        change(&mut object);
        serde_json::from_value(object).expect("an object of the watch is always read")
    }

    /// Holds B3: no part hides another.
    #[test]
    fn a_part_that_cannot_be_read_hides_neither_the_object_nor_the_other_part() {
        assert!(watched(|_| {}).readable().is_some());
        type Change = fn(&mut Value);
        let changes: [(Change, &str); 4] = [
            (|o| o["spec"]["certificate"]["duration"] = json!("-1h"), "spec: "),
            (|o| o["spec"]["agent"]["product"] = json!("of-the-next-version"), "spec: "),
            (|o| o["spec"]["issuerRef"]["name"] = json!("../kube-system/x"), "spec.issuerRef.name: "),
            (|o| o["status"]["blockedBy"] = json!("OfTheNextVersion"), "status: "),
        ];
        for (change, words) in changes {
            let Watched(Err(unreadable)) = watched(change) else { panic!("{words} was read") };
            assert!(unreadable.why.starts_with(words), "{}", unreadable.why);
            assert_eq!(unreadable.host(), "ups-01.example.com");
            assert_eq!(unreadable.not_after().map(|time| time.to_string()), Some("2026-03-01T00:00:00Z".into()));
        }
        let broken = watched(|object| (object["spec"], object["status"]) = (json!([]), json!("x")));
        assert_eq!(
            (broken.metadata().name.as_deref(), broken.metadata().finalizers.as_ref().map(Vec::len)),
            (Some("ups-01"), Some(1))
        );
    }

    /// Holds B1, B3: one object of anybody with a time that the API server takes and that cannot be counted here failed every list.
    #[test]
    fn an_object_with_a_time_beyond_all_that_can_be_counted_is_read() {
        for beyond in ["9999-12-31T23:59:59Z", "10000-01-01T00:00:00Z", "0000-01-01T00:00:00+18:00", ""] {
            let object = watched(|object| {
                (object["metadata"]["deletionTimestamp"], object["metadata"]["creationTimestamp"]) =
                    (json!(beyond), json!(beyond));
            });
            let mac = object.readable().unwrap_or_else(|| panic!("{beyond} hides it"));
            let claim = crate::cluster::claim(mac);
            assert!(mac.metadata.deletion_timestamp.is_some(), "{beyond}: it is being deleted");
            let text = serde_json::to_vec(&object).expect("plain data");
            let again: Watched = serde_json::from_slice(&text).expect("it was just written");
            assert_eq!(again.readable().map(crate::cluster::claim), Some(claim), "{beyond}");
        }
    }

    /// Holds B14: one object that nobody reads, of a lenient schema, took memory by all of it or failed the list.
    #[test]
    fn of_an_oversized_part_the_object_is_still_there_and_says_so() {
        let rubbish = vec![json!([[]]); 5000];
        let long = "x".repeat(100_000);
        let object = watched(|object| {
            object["spec"]["host"] = json!(long);
            object["metadata"]["uid"] = json!(long);
            object["status"] = json!({"conditions": rubbish});
        });
        let Watched(Err(unreadable)) = &object else { panic!("it was read") };
        assert!(unreadable.has_oversized_status() && unreadable.why.contains(OVERSIZED), "{}", unreadable.why);
        assert!(unreadable.why.len() < 1000 && unreadable.host().len() < 300, "{}", unreadable.why.len());
        assert!(object.metadata().uid.as_ref().is_some_and(|uid| uid.len() < 300));
        let text = serde_json::to_string(&object).expect("plain data");
        let Watched(Err(again)) = serde_json::from_str(&text).expect("plain data") else { panic!("it was read") };
        assert!(again.has_oversized_status());
    }

    /// Holds B14: an object is kept as text, and comes back as it was.
    #[test]
    fn what_is_written_is_read_again_as_it_was() {
        let change = |object: &mut Value| object["spec"]["certificate"]["duration"] = json!("90d");
        for object in [watched(|_| {}), watched(change), watched(|object| object["status"] = Value::Null)] {
            let text = serde_json::to_vec(&object).expect("strings and numbers");
            let again: Watched = serde_json::from_slice(&text).expect("it was just written");
            assert_eq!(object.readable().is_some(), again.readable().is_some());
            assert_eq!(format!("{object:?}"), format!("{again:?}"));
        }
    }
}
