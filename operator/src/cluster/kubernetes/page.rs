//! A page of a list, each of its objects read into what is kept of it before the next one is looked at.
//!
//! kube's own list holds whatever else stands beside the objects as a tree, which takes sixteen times its text.

use std::fmt;

use futures::AsyncReadExt as _;
use kube::api::{Api, ListParams};
use kube::core::Request;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::Watched;

/// Objects in a page, however many were asked for: an empty one has two bytes, and takes hundreds.
const MOST: usize = 1024;

/// Of a list.
#[derive(Debug, Deserialize)]
pub struct ListPage {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default, deserialize_with = "items")]
    pub items: Vec<Watched>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    resource_version: Option<String>,
    #[serde(rename = "continue")]
    token: Option<String>,
}

impl ListPage {
    /// The next page of these resources.
    pub(crate) async fn read(api: &Api<Watched>, params: &ListParams) -> Result<Self, kube::Error> {
        let request = Request::new(api.resource_url()).list(params).map_err(kube::Error::BuildRequest)?;
        let mut body = Box::pin(api.clone().into_client().request_stream(request).await?);
        let mut text = Vec::new();
        body.read_to_end(&mut text).await.map_err(kube::Error::ReadEvents)?;
        serde_json::from_slice(&text).map_err(kube::Error::SerdeError)
    }

    /// Of the store, as the API server words it.
    pub(crate) fn version(&self) -> Option<&str> {
        self.metadata.resource_version.as_deref().filter(|version| !version.is_empty())
    }

    /// With which the next page is asked for.
    pub(crate) fn token(&self) -> Option<&str> {
        self.metadata.token.as_deref().filter(|token| !token.is_empty())
    }
}

fn items<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Watched>, D::Error> {
    struct Reading;

    impl<'de> Visitor<'de> for Reading {
        type Value = Vec<Watched>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of resources")
        }

        /// Go writes an empty list so.
        fn visit_unit<E>(self) -> Result<Vec<Watched>, E> {
            Ok(Vec::new())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Watched>, A::Error> {
            let mut items = Vec::new();
            while let Some(item) = list.next_element()? {
                if items.len() == MOST {
                    return Err(A::Error::custom(format_args!("a page of more than {MOST} resources")));
                }
                items.push(item);
            }
            Ok(items)
        }
    }

    deserializer.deserialize_any(Reading)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holds B14.
    #[test]
    fn a_page_with_far_more_resources_than_were_asked_for_is_refused() {
        let page = |items: &str| serde_json::from_str::<ListPage>(&format!(r#"{{"items": {items}}}"#));
        assert_eq!(page("null").expect("a page").items.len(), 0);
        let of = |count: usize| format!("[{}]", vec!["{}"; count].join(","));
        assert_eq!(page(&of(MOST)).expect("a page").items.len(), MOST);
        let error = page(&of(MOST + 1)).expect_err("too many").to_string();
        assert!(error.contains("more than 1024 resources"), "{error}");
    }
}
