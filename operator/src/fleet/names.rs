//! By which names resources and hosts are known.

use std::fmt;
use std::sync::Arc;

use kagiban_crds::resource::{HostUrl, Metadata};

use crate::cluster::Watched;

/// Where a resource's host is reached, as its namespace sees it. Namespaces do not trust each other: what one of them makes
/// a host look like is no reason to hold another one back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostKey(Arc<str>);

/// `namespace/name`, shared by whoever keeps it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceName(Arc<str>);

impl ResourceName {
    pub fn new(namespace: &str, name: &str) -> Self {
        Self(format!("{namespace}/{name}").into())
    }

    /// The namespace and the name.
    pub fn parts(&self) -> (&str, &str) {
        self.0.split_once('/').unwrap_or(("", &self.0))
    }

    pub fn namespace(&self) -> &str {
        self.parts().0
    }

    pub fn of(object: &Watched) -> Self {
        Self::of_metadata(object.metadata())
    }

    pub(crate) fn of_metadata(metadata: &Metadata) -> Self {
        Self::new(metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
    }
}

impl HostKey {
    pub fn new(namespace: &str, url: &str) -> Self {
        Self(format!("{namespace} {url}").into())
    }

    pub(crate) fn namespace(&self) -> &str {
        self.0.split_once(' ').map_or(&self.0, |(namespace, _)| namespace)
    }

    /// Of the resource's API. One that cannot be read has no host, and shares its bound with nobody but its namespace.
    pub fn of(object: &Watched) -> Self {
        let namespace = object.metadata().namespace.as_deref().unwrap_or_default();
        let url = match &object.0 {
            Ok(mac) => mac.spec.api.host_api.as_ref().map(|api| api.url.as_str()).unwrap_or_default(),
            Err(_) => "",
        };
        // One address in two ways is one host
        url.parse::<HostUrl>().map_or_else(|_| Self::new(namespace, url), |url| Self::new(namespace, &url.authority()))
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
