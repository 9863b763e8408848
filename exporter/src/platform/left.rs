//! What an agent's commands leave behind: programs that no signal ends, and looks and starts that a file system holds. Their
//! number is bounded for each agent, so that one whose disk hangs takes nothing from another.

use std::collections::BTreeMap;
use std::process::Child;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kagiban_process::threads::{Unanswered, within};
use tokio::time::sleep;

/// Of one agent. Then none of its commands is run before one of them has ended.
pub(super) const MAX_LEFT: usize = 8;
/// Then its service is not stopped: the rest is for what a rotation runs until the service is up again.
pub(super) const MAX_LEFT_BEFORE_STOP: usize = 4;

pub(super) static LEFT: Left = Left::new();

/// How long a look at a command may take: milliseconds, where no file system hangs.
pub(super) const LOOK: Duration = Duration::from_secs(5);

/// Between two looks whether what was killed has ended.
const POLL: Duration = Duration::from_millis(20);

/// Whether nothing is left of what was run under this name. What was killed and has not ended is waited for, for so long.
pub async fn is_gone(agent: &str, patience: Duration) -> bool {
    let until = Instant::now() + patience;
    loop {
        match LEFT.of(agent) {
            0 => return true,
            _ if Instant::now() >= until => return false,
            _ => sleep(POLL).await,
        }
    }
}

/// For tests: what is left under this name until it is dropped.
#[cfg(test)]
pub fn left(agent: &str) -> impl Sized + use<> {
    LEFT.admit(agent, usize::MAX).expect("there is room")
}

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
    pub(super) const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// Reaps those that have ended meanwhile. None when `most` or more of the agent's are left.
    pub(super) fn admit(&self, agent: &str, most: usize) -> Option<AtWork> {
        self.with(|all| {
            reap(all);
            let left = all.entry(agent.to_owned()).or_default();
            (left.count() < most).then(|| AtWork(Arc::clone(&left.at_work)))
        })
    }

    /// How much of the agent's is left.
    fn of(&self, agent: &str) -> usize {
        self.with(|all| {
            reap(all);
            all.get(agent).map_or(0, OfAgent::count)
        })
    }

    /// For a killed program that has not ended yet.
    pub(super) fn keep(&self, agent: &str, child: Child) {
        self.with(|all| all.entry(agent.to_owned()).or_default().killed.push(child));
    }

    #[cfg(all(test, target_os = "linux"))]
    pub(super) fn kill_all(&self) {
        self.with(|all| all.values_mut().flat_map(|of| &mut of.killed).for_each(|child| child.kill().expect("killed")));
    }

    /// A panic elsewhere leaves the list as whole as it was.
    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<String, OfAgent>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn reap(all: &mut BTreeMap<String, OfAgent>) {
    for left in all.values_mut() {
        left.killed.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }
    all.retain(|_, left| left.count() > 0);
}

impl OfAgent {
    fn count(&self) -> usize {
        self.killed.len() + Arc::strong_count(&self.at_work) - 1
    }
}

/// Why a command was not looked at.
#[derive(Debug)]
pub(super) enum Unlooked {
    TooManyLeft,
    Unanswered(Unanswered),
}

impl Unlooked {
    /// Of a look at files.
    pub(super) const fn of_files(&self) -> &'static str {
        match self {
            Self::TooManyLeft => {
                "earlier commands of this agent were killed and do not end, because a file system hangs"
            }
            Self::Unanswered(Unanswered::NoThread) => "there is no thread to look at it",
            Self::Unanswered(Unanswered::TimedOut) => "it cannot be looked at, because its file system hangs",
        }
    }
}

/// For a bounded time: the file system of a command may hang, and so may a service manager.
pub(super) fn look_at<T: Send + 'static>(
    agent: &str,
    deadline: Duration,
    look: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Unlooked> {
    let at_work = LEFT.admit(agent, MAX_LEFT_BEFORE_STOP).ok_or(Unlooked::TooManyLeft)?;
    let looking = move || {
        let found = look();
        drop(at_work);
        found
    };
    within("command", deadline, looking).map_err(Unlooked::Unanswered)
}
