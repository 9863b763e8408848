//! An object as the API server sends it, its parts read apart: of most of it nothing is kept.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kagiban_crds::resource::{
    FINALIZER, ManagedAgentCertificate, ManagedAgentCertificateSpec, ManagedAgentCertificateStatus,
    PAUSED_BY_HAND_ANNOTATION, ROTATE_ANNOTATION, SpecError,
};
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::cluster::elements::each;
use crate::cluster::rotate_word::rotate_word;
use crate::cluster::tree::Tree;
use crate::cluster::watched::{Unreadable, Watched, bounded};
use crate::decide::whole_seconds;
use crate::foreign::told;

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

/// The rotate annotation out of all, and whether a pause by hand is noted.
#[derive(Default)]
struct Annotations {
    rotate: Option<String>,
    paused_by_hand: bool,
}

/// Whether ours is among them.
struct Finalizers(bool);

/// The API server takes times, of whoever applies them, that are later than any that can be counted here; one object with such a
/// time would fail the list of all. None is taken for earlier than the epoch, which would not be read again as it is written.
fn time(text: Option<String>, otherwise: Timestamp) -> Option<Time> {
    text.map(|text| Time(text.parse().unwrap_or(otherwise).max(Timestamp::UNIX_EPOCH)))
}

impl From<Metadata> for ObjectMeta {
    fn from(read: Metadata) -> Self {
        let Annotations { rotate, paused_by_hand } = read.annotations.unwrap_or_default();
        let rotate = rotate.map(|word| (ROTATE_ANNOTATION.to_owned(), word));
        let paused = paused_by_hand.then(|| (PAUSED_BY_HAND_ANNOTATION.to_owned(), "true".to_owned()));
        let annotations: BTreeMap<_, _> = rotate.into_iter().chain(paused).collect();
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
            annotations: Some(annotations).filter(|all| !all.is_empty()),
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
                let mut found = Annotations::default();
                while let Some(name) = map.next_key::<String>()? {
                    found.paused_by_hand |= name == PAUSED_BY_HAND_ANNOTATION;
                    if name == ROTATE_ANNOTATION {
                        found.rotate = map.next_value::<Option<String>>()?.map(|value| rotate_word(&value));
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(found)
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

impl Watched {
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

impl<'de> Deserialize<'de> for Watched {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Parts::deserialize(deserializer).map(Self::of)
    }
}
