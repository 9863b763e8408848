//! What an agent's commands leave behind: programs that no signal ends, and looks and starts that a file system holds. Their
//! number is bounded for each agent, so that one whose disk hangs takes nothing from another.

use std::collections::BTreeMap;
use std::process::Child;
use std::sync::{Arc, Mutex, PoisonError};

/// Of one agent. Then none of its commands is run before one of them has ended.
pub(super) const MAX_LEFT: usize = 8;
/// Then its service is not stopped: the rest is for what a rotation runs until the service is up again.
pub(super) const MAX_LEFT_BEFORE_STOP: usize = 4;

pub(super) static LEFT: Left = Left(Mutex::new(BTreeMap::new()));

/// By the names of agents.
pub(super) struct Left(Mutex<BTreeMap<String, OfAgent>>);

#[derive(Default)]
struct OfAgent {
    killed: Vec<Child>,
    at_work: Arc<()>,
}

/// A thread that works for an agent, and counts as left until it ends.
pub(super) struct AtWork(#[expect(dead_code, reason = "it is counted")] Arc<()>);

impl Left {
    /// Reaps those that have ended meanwhile. None when `most` or more of the agent's are left.
    pub(super) fn admit(&self, agent: &str, most: usize) -> Option<AtWork> {
        self.with(|all| {
            for left in all.values_mut() {
                left.killed.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
            }
            all.retain(|_, left| left.count() > 0);
            let left = all.entry(agent.to_owned()).or_default();
            (left.count() < most).then(|| AtWork(Arc::clone(&left.at_work)))
        })
    }

    /// For a killed program that has not ended yet.
    pub(super) fn keep(&self, agent: &str, child: Child) {
        self.with(|all| all.entry(agent.to_owned()).or_default().killed.push(child));
    }

    /// A panic elsewhere leaves the list as whole as it was.
    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<String, OfAgent>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl OfAgent {
    fn count(&self) -> usize {
        self.killed.len() + Arc::strong_count(&self.at_work) - 1
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::thread::sleep;
    use std::time::{Duration, Instant};

    use super::*;

    /// Holds A6, A17: a program that no signal ends, because a file system hangs, takes only so many processes, and none of
    /// another agent's.
    #[test]
    fn what_is_left_of_an_agent_is_bounded_reaped_and_takes_nothing_from_another() {
        let left = Left(Mutex::default());
        for _ in 1..MAX_LEFT {
            left.keep("hung", Command::new("sleep").arg("60").spawn().expect("sleep"));
        }
        let at_work = left.admit("hung", MAX_LEFT).expect("one more");
        assert!(left.admit("hung", MAX_LEFT).is_none(), "what works counts too");
        assert!(left.admit("web", MAX_LEFT_BEFORE_STOP).is_some());
        drop(at_work);
        assert!(left.admit("hung", MAX_LEFT).is_some());
        assert!(left.admit("hung", MAX_LEFT_BEFORE_STOP).is_none(), "nothing more is stopped");
        left.with(|all| all.values_mut().flat_map(|of| &mut of.killed).for_each(|child| child.kill().expect("killed")));
        let started = Instant::now();
        while left.admit("hung", 1).is_none() {
            assert!(started.elapsed() < Duration::from_secs(30), "they have ended");
            sleep(Duration::from_millis(20));
        }
    }
}
