//! An object of the watch, its parts read apart: one that this version cannot read is still there, with its name, its
//! finalizers and its deletion.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kagiban_crds::resource::{
    FINALIZER, ManagedAgentCertificate, ManagedAgentCertificateSpec, ManagedAgentCertificateStatus, ROTATE_ANNOTATION,
    SpecError,
};
use kube::Resource;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::elements::each;
use super::rotate_word::rotate_word;
use super::tree::{OVERSIZED, Tree};
use crate::decide::whole_seconds;
use crate::foreign::{told, within};

/// What the watch gives for one object.
#[derive(Clone, Debug)]
pub struct Watched(pub Result<ManagedAgentCertificate, Box<Unreadable>>);

/// An object whose spec or status this version cannot read.
#[derive(Clone, Debug)]
pub struct Unreadable {
    pub metadata: ObjectMeta,
    /// What is wrong with it, for people. It may quote what stands in it, and is short.
    pub why: String,
    spec: Value,
    status: Value,
}

#[derive(Deserialize)]
struct Parts {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    spec: Tree,
    #[serde(default)]
    status: Tree,
}

/// What decisions need of it. All else makes up most of an object, and is passed over while it is read: who manages which
/// field, copies of manifests, and whatever others note on it, in our name or not. Whoever writes the finalizers reads all of
/// them first.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    creation_timestamp: Option<String>,
    deletion_timestamp: Option<String>,
    annotations: Option<Annotations>,
    finalizers: Option<Finalizers>,
}

/// The rotate annotation out of all.
struct Annotations(Option<String>);

/// Whether ours is among them.
struct Finalizers(bool);

/// Of a name and of whatever else the API server calls an object by. It lets in none that is longer.
const LONGEST_WORD: usize = 253;

fn bounded(word: &str) -> String {
    within(word, LONGEST_WORD)
}

/// The API server takes times, of whoever applies them, that are later than any that can be counted here; one object with such a
/// time would fail the list of all. None is taken for earlier than the epoch, which would not be read again as it is written.
fn time(text: Option<String>, otherwise: Timestamp) -> Option<Time> {
    text.map(|text| Time(text.parse().unwrap_or(otherwise).max(Timestamp::UNIX_EPOCH)))
}

impl From<Metadata> for ObjectMeta {
    fn from(read: Metadata) -> Self {
        let rotate = read.annotations.and_then(|annotations| annotations.0);
        let held = read.finalizers.is_some_and(|finalizers| finalizers.0);
        let [name, namespace, uid, resource_version] =
            [read.name, read.namespace, read.uid, read.resource_version].map(|word| word.map(|word| bounded(&word)));
        Self {
            name,
            namespace,
            uid,
            resource_version,
            generation: read.generation,
            // Nobody's claim is older by a time that is none, and nobody waits for a host by one
            creation_timestamp: time(read.creation_timestamp, whole_seconds(Timestamp::MAX)),
            deletion_timestamp: time(read.deletion_timestamp, Timestamp::UNIX_EPOCH),
            annotations: rotate.map(|word| [(ROTATE_ANNOTATION.to_owned(), word)].into()),
            finalizers: held.then(|| vec![FINALIZER.to_owned()]),
            ..Self::default()
        }
    }
}

impl<'de> Deserialize<'de> for Annotations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;

        impl<'de> Visitor<'de> for Reading {
            type Value = Annotations;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("annotations")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Annotations, A::Error> {
                let mut rotate = None;
                while let Some(name) = map.next_key::<String>()? {
                    if name == ROTATE_ANNOTATION {
                        rotate = map.next_value::<Option<String>>()?.map(|value| rotate_word(&value));
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Annotations(rotate))
            }
        }

        deserializer.deserialize_map(Reading)
    }
}

impl<'de> Deserialize<'de> for Finalizers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut ours = false;
        each(deserializer, |finalizer: String| ours |= finalizer == FINALIZER)?;
        Ok(Self(ours))
    }
}

#[derive(Serialize)]
struct Written<'a, Spec, Status> {
    metadata: &'a ObjectMeta,
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

    fn of(parts: Parts) -> Self {
        let Parts { metadata, spec: Tree(seen_spec), status: Tree(seen_status) } = parts;
        let spec = ManagedAgentCertificateSpec::read(seen_spec.clone()).map_err(|error: SpecError| error.to_string());
        let status = Option::<ManagedAgentCertificateStatus>::deserialize(&seen_status)
            .map_err(|error| format!("status: {error}"));
        let why = match (spec, status) {
            (Ok(spec), Ok(status)) => {
                let mut mac = ManagedAgentCertificate::new("", spec);
                (mac.metadata, mac.status) = (metadata.into(), status);
                return Self(Ok(mac));
            }
            (Err(spec), Err(status)) => format!("{spec}; {status}"),
            (Err(why), Ok(_)) | (Ok(_), Err(why)) => why,
        };
        let (metadata, why) = (metadata.into(), told(&why));
        Self(Err(Box::new(Unreadable { metadata, why, spec: seen_spec, status: seen_status })))
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

impl<'de> Deserialize<'de> for Watched {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Parts::deserialize(deserializer).map(Self::of)
    }
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

impl Resource for Watched {
    type DynamicType = ();
    type Scope = <ManagedAgentCertificate as Resource>::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        ManagedAgentCertificate::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        ManagedAgentCertificate::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        ManagedAgentCertificate::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        ManagedAgentCertificate::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        match &self.0 {
            Ok(mac) => &mac.metadata,
            Err(unreadable) => &unreadable.metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match &mut self.0 {
            Ok(mac) => &mut mac.metadata,
            Err(unreadable) => &mut unreadable.metadata,
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::ResourceExt;
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
        assert_eq!((broken.name_any().as_str(), broken.finalizers().len()), ("ups-01", 1));
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
        assert!(object.uid().is_some_and(|uid| uid.len() < 300));
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
