//! Which question a method and a path ask. Nothing is decoded: what needs escaping is no name of ours.

use hyper::Method;
use kagiban_crds::host_api::{RefusalReason, VERSION};
use kagiban_crds::{AgentName, Generation};

/// A question to the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Host,
    Agent(AgentName),
    Password(AgentName),
    Open(AgentName),
    Renewal(AgentName),
    Rotation(AgentName, Generation),
    Chain(AgentName, Generation),
    Rollback(AgentName, Generation),
    HandOver(AgentName),
}

impl Route {
    /// # Errors
    /// `NotFound` for a path that is none of ours, `MethodNotAllowed` for a path that is.
    pub(super) fn parse(method: &Method, path: &str) -> Result<Self, RefusalReason> {
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let agent = |text: &str| text.parse().map_err(|_| RefusalReason::NotFound);
        let (expected, route) = match parts.as_slice() {
            [VERSION, "host"] => (Method::GET, Self::Host),
            [VERSION, "agents", name] => (Method::GET, Self::Agent(agent(name)?)),
            [VERSION, "agents", name, "password"] => (Method::POST, Self::Password(agent(name)?)),
            [VERSION, "agents", name, "rotations"] => (Method::POST, Self::Open(agent(name)?)),
            [VERSION, "agents", name, "renewals"] => (Method::POST, Self::Renewal(agent(name)?)),
            [VERSION, "agents", name, "handover"] => (Method::POST, Self::HandOver(agent(name)?)),
            [VERSION, "agents", name, "rotations", number] => {
                (Method::GET, Self::Rotation(agent(name)?, generation(number)?))
            }
            [VERSION, "agents", name, "rotations", number, "chain"] => {
                (Method::PUT, Self::Chain(agent(name)?, generation(number)?))
            }
            [VERSION, "agents", name, "rotations", number, "rollback"] => {
                (Method::POST, Self::Rollback(agent(name)?, generation(number)?))
            }
            _ => return Err(RefusalReason::NotFound),
        };
        if *method == expected { Ok(route) } else { Err(RefusalReason::MethodNotAllowed) }
    }

    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Agent(_) => "agent",
            Self::Password(_) => "password",
            Self::Open(_) => "open",
            Self::Renewal(_) => "renewal",
            Self::Rotation(..) => "rotation",
            Self::Chain(..) => "chain",
            Self::Rollback(..) => "rollback",
            Self::HandOver(_) => "handover",
        }
    }

    pub(super) const fn agent(&self) -> Option<&AgentName> {
        match self {
            Self::Host => None,
            Self::Agent(agent)
            | Self::Password(agent)
            | Self::Open(agent)
            | Self::Renewal(agent)
            | Self::HandOver(agent)
            | Self::Rotation(agent, _)
            | Self::Chain(agent, _)
            | Self::Rollback(agent, _) => Some(agent),
        }
    }

    pub(super) const fn generation(&self) -> Option<Generation> {
        match self {
            Self::Host | Self::Agent(_) | Self::Password(_) | Self::Open(_) | Self::Renewal(_) | Self::HandOver(_) => {
                None
            }
            Self::Rotation(_, generation) | Self::Chain(_, generation) | Self::Rollback(_, generation) => {
                Some(*generation)
            }
        }
    }
}

/// One spelling per number: no sign, no leading zero.
fn generation(text: &str) -> Result<Generation, RefusalReason> {
    let number = text.parse::<u64>().ok().filter(|number| number.to_string() == text);
    number.map(Generation).ok_or(RefusalReason::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_not_exactly_ours_leads_nowhere() {
        for path in [
            "",
            "/",
            "/v1",
            "/v1/host/",
            "//v1/host",
            "/v2/host",
            "/v1/agents/..",
            "/v1/agents/a%2fb",
            "/v1/agents/a/rotations/01",
            "/v1/agents/a/rotations/+1",
            "/v1/agents/a/rotations/99999999999999999999",
            "/v1/agents/a/../host",
            "/v1/agents/A",
            "/v1/agents/ä",
        ] {
            assert_eq!(Route::parse(&Method::GET, path), Err(RefusalReason::NotFound), "{path}");
        }
    }

    #[test]
    fn a_known_path_with_another_method_says_so() {
        assert_eq!(Route::parse(&Method::POST, "/v1/host"), Err(RefusalReason::MethodNotAllowed));
        assert_eq!(Route::parse(&Method::GET, "/v1/agents/a/rotations"), Err(RefusalReason::MethodNotAllowed));
        let agent: AgentName = "a".parse().expect("name");
        assert_eq!(
            Route::parse(&Method::PUT, "/v1/agents/a/rotations/7/chain"),
            Ok(Route::Chain(agent, Generation(7)))
        );
    }
}
