//! Which rows of the fleet are asked for.

use std::fmt::{self, Display};

use kagiban_serving::query::{Encoded, NoParameter, the_one};

use crate::fleet::{ResourceName, ResourceSummary};

/// Of a resource that was never looked at, in place of its reason.
pub(super) const NOT_LOOKED_AT: &str = "NotLookedAt";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) reason: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) host: Option<String>,
    /// So many rows are passed over.
    pub(super) from: usize,
}

/// The reason by which a resource is found and counted.
pub(super) fn reason(of: &ResourceSummary) -> &str {
    if of.reason.is_empty() { NOT_LOOKED_AT } else { &of.reason }
}

impl Query {
    pub(super) fn parse(query: &str) -> Result<Self, NoParameter> {
        let word = |name| {
            let found = the_one(query, name)?.filter(|value| !value.is_empty());
            Ok(found.map(std::borrow::Cow::into_owned))
        };
        let from = word("from")?.map_or(Ok(0), |from| from.parse().map_err(|_| NoParameter))?;
        Ok(Self { reason: word("reason")?, namespace: word("namespace")?, host: word("host")?, from })
    }

    /// Whether it is of the namespace and the host.
    pub(super) fn is_in_scope(&self, name: &ResourceName, of: &ResourceSummary) -> bool {
        let is = |asked: &Option<String>, it: &str| asked.as_deref().is_none_or(|asked| asked == it);
        is(&self.namespace, name.namespace()) && is(&self.host, &of.host)
    }

    pub(super) fn is_of_reason(&self, of: &ResourceSummary) -> bool {
        self.reason.as_deref().is_none_or(|asked| asked == reason(of))
    }

    pub(super) fn with_reason(&self, reason: Option<&str>) -> Self {
        Self { reason: reason.map(str::to_owned), from: 0, ..self.clone() }
    }
}

/// As a link says it, below the page that it is on.
impl Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [("reason", &self.reason), ("namespace", &self.namespace), ("host", &self.host)];
        let mut between = '?';
        for (name, value) in words.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))) {
            write!(f, "{between}{name}={}", Encoded(value))?;
            between = '&';
        }
        match (self.from, between) {
            // A link to nothing would be one to the page with its present words
            (0, '?') => f.write_str("./"),
            (0, _) => Ok(()),
            (from, between) => write!(f, "{between}from={from}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_asks_for_what_it_was_made_of() {
        for query in [
            Query { from: 1000, ..Query::default() },
            Query { reason: Some("Frozen".into()), ..Query::default() },
            Query { namespace: Some("a&b".into()), host: Some("\"><script>".into()), from: 7, ..Query::default() },
        ] {
            let link = query.to_string();
            assert_eq!(Query::parse(link.trim_start_matches('?')), Ok(query), "{link}");
        }
        assert_eq!(Query::default().to_string(), "./");
        assert_eq!(Query::parse("reason=&other=1"), Ok(Query::default()));
        for wrong in ["from=x", "from=-1", "host=a&host=b", "from=99999999999999999999"] {
            assert_eq!(Query::parse(wrong), Err(NoParameter), "{wrong}");
        }
    }
}
