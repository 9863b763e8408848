//! Events: what `kubectl describe` tells, in order.

use jiff::Timestamp;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kagiban_crds::resource::ManagedAgentCertificate;
use kube::api::{Api, PostParams};
use kube::core::Request;
use kube::{Resource, ResourceExt};
use serde::de::IgnoredAny;

use super::{Kubernetes, MANAGER, Unreadable, Watched};
use crate::cluster::note;
use crate::decide::{self, EventKind};

/// The API server refuses a longer name; the rest is the time.
const LONGEST_NAME: usize = 200;

impl Kubernetes {
    /// Writes an event. One that cannot be written is logged and given up: no rotation waits for it.
    pub(crate) async fn tell(&self, mac: &ManagedAgentCertificate, told: &decide::Event) {
        self.tell_of(mac, &mac.spec.host, told).await;
    }

    /// The same, of an object that cannot be read.
    pub(crate) async fn tell_unread(&self, seen: &Unreadable, told: &decide::Event) {
        self.tell_of(&Watched(Err(Box::new(seen.clone()))), &seen.host(), told).await;
    }

    async fn tell_of<K>(&self, object: &K, host: &str, told: &decide::Event)
    where
        K: Resource<DynamicType = ()>,
    {
        let name = object.name_any();
        let note = note::logged(object.meta(), host, told);
        let now = Timestamp::now();
        let stem: String = name.chars().take(LONGEST_NAME).collect();
        let event = Event {
            metadata: ObjectMeta {
                name: Some(format!("{stem}.{:x}", now.as_nanosecond())),
                namespace: object.namespace(),
                ..ObjectMeta::default()
            },
            action: Some("Rotate".to_owned()),
            event_time: Some(MicroTime(now)),
            note: Some(note),
            reason: Some(told.reason.as_str().to_owned()),
            regarding: Some(object.object_ref(&())),
            reporting_controller: Some(format!("kagiban.dev/{MANAGER}")),
            reporting_instance: Some(self.identity.chars().take(128).collect()),
            type_: Some(
                match told.kind {
                    EventKind::Normal => "Normal",
                    EventKind::Warning => "Warning",
                }
                .to_owned(),
            ),
            ..Event::default()
        };
        let api: Api<Event> = Api::namespaced(self.client.clone(), &object.namespace().unwrap_or_default());
        let create = async {
            let text = serde_json::to_vec(&event).map_err(kube::Error::SerdeError)?;
            let request = Request::new(api.resource_url()).create(&PostParams::default(), text);
            // What was made of it is nothing to us
            self.client.request::<IgnoredAny>(request.map_err(kube::Error::BuildRequest)?).await
        };
        if let Err(error) = self.call("create", "events", create).await {
            tracing::warn!(%error, reason = told.reason.as_str(), "an event could not be written");
        }
    }
}
