//! Hosts that were silent a moment ago. One agent's look finds out; the others on the same host are told the same without
//! a connection of their own, until it is time to see whether the host is back.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::AgentError;
use crate::recent::Recent;

/// After the first silence; it doubles with each further one. Shorter than the first pause that a decision makes, so that
/// whoever tries again does ask.
const FIRST_PAUSE: Duration = Duration::from_secs(4);
/// A host that is back is noticed after this time at the latest.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// What was learned is of no use any more after this time.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(900);
/// Of which something is known at once; of one that is forgotten, the next agent's look finds out again.
const MAX_ENDPOINTS: usize = 4096;

/// By namespace and URL: what one namespace sees of a host is no reason to hold another one back.
#[derive(Debug)]
pub struct Endpoints(Mutex<Recent<Endpoint>>);

/// What is known of one of them.
#[derive(Clone, Debug, Default)]
pub struct Endpoint {
    namespace: Arc<str>,
    silence: Arc<Mutex<Option<Silence>>>,
}

#[derive(Clone, Debug)]
struct Silence {
    error: AgentError,
    count: u32,
    at: Instant,
}

impl Endpoints {
    /// The endpoint at this URL, for callers of this namespace.
    pub fn at(&self, namespace: &str, url: &str) -> Endpoint {
        let mut endpoints = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = endpoints.get(namespace, url) {
            return known.clone();
        }
        let new = Endpoint { namespace: namespace.into(), ..Endpoint::default() };
        endpoints.put(namespace, url, new.clone());
        new
    }
}

impl Default for Endpoints {
    fn default() -> Self {
        Self(Mutex::new(Recent::new(MAX_ENDPOINTS, FORGOTTEN_AFTER)))
    }
}

impl Endpoint {
    /// Of those who call it.
    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// How it was silent just now, if it was, and if it is too soon to ask again.
    pub(super) fn silence(&self, now: Instant) -> Option<AgentError> {
        let silence = self.silence.lock().unwrap_or_else(PoisonError::into_inner);
        let silence = silence.as_ref().filter(|silence| now < silence.at + silence.pause())?;
        Some(AgentError::Silent(Box::new(silence.error.clone())))
    }

    /// A call has ended so.
    pub(super) fn heard(&self, error: Option<&AgentError>, now: Instant) {
        let mut silence = self.silence.lock().unwrap_or_else(PoisonError::into_inner);
        *silence = match error {
            Some(error) if error.is_silence() => {
                let count = silence.as_ref().map_or(0, |silence| silence.count).saturating_add(1);
                Some(Silence { error: error.clone(), count, at: now })
            }
            Some(_) | None => None,
        };
    }
}

impl Silence {
    fn pause(&self) -> Duration {
        let factor = 1u32.checked_shl(self.count.saturating_sub(1)).unwrap_or(u32::MAX);
        FIRST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holds B4: the agents of a silent host share what one of them has found out, and one asks again after a pause.
    #[test]
    fn a_silence_answers_for_others_until_its_pause_is_over() {
        let endpoints = Endpoints::default();
        let now = Instant::now();
        endpoints.at("fleet", "https://a").heard(Some(&AgentError::Timeout), now);
        let told = endpoints.at("fleet", "https://a").silence(now).expect("it was silent");
        assert_eq!(told.to_string(), AgentError::Timeout.to_string(), "the status must not change");
        assert_eq!(told.obstacle(), AgentError::Timeout.obstacle());
        assert_eq!(endpoints.at("other", "https://a").silence(now), None);
        assert_eq!(endpoints.at("fleet", "https://b").silence(now), None);
        assert_eq!(endpoints.at("fleet", "https://a").silence(now + FIRST_PAUSE), None);
    }

    #[test]
    fn the_pause_doubles_up_to_a_minute_and_ends_with_an_answer() {
        let endpoint = Endpoint::default();
        let mut now = Instant::now();
        let mut pauses = Vec::new();
        for _ in 0..6 {
            endpoint.heard(Some(&AgentError::Timeout), now);
            let pause = (1..100).find(|seconds| endpoint.silence(now + Duration::from_secs(*seconds)).is_none());
            pauses.push(pause.expect("it ends"));
            now += Duration::from_secs(100);
        }
        assert_eq!(pauses, [4, 8, 16, 32, 60, 60]);
        endpoint.heard(None, now);
        assert_eq!(endpoint.silence(now), None);
    }

    #[test]
    fn an_answer_that_is_wrong_is_no_silence() {
        let endpoint = Endpoint::default();
        let now = Instant::now();
        for error in [AgentError::Tls("for another name".into()), AgentError::Malformed("x"), AgentError::TooLarge] {
            endpoint.heard(Some(&error), now);
            assert_eq!(endpoint.silence(now), None, "{error}");
        }
    }
}
