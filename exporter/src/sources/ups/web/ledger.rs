//! When a login may be tried. What was tried is remembered for as long as the program runs, so that a reload of the
//! configuration is no way around it; what other processes have tried stands in the `book`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::platform::FileIdentity;
use crate::snapshot::{Trouble, UpsTrouble};
use crate::ups::{Reading, UpsFault};

/// After a refused password: one try an hour never adds up to the three that lock the UI, and a password that was put
/// right on the agent's side is found within the hour.
pub(super) const BACK_OFF: Duration = Duration::from_hours(1);

/// More agents than one host looks at.
pub(super) const MAX_AGENTS: usize = 128;

/// The tries of this program, by the agent.
pub(super) static LEDGER: Ledger = Ledger(Mutex::new(BTreeMap::new()));

#[derive(Debug)]
pub(super) struct Ledger(Mutex<BTreeMap<AgentId, AgentTries>>);

/// Which agent it is: who answers, by whatever name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct AgentId(String);

#[derive(Debug, Default)]
struct AgentTries {
    /// Somebody is there now; two at once would take each other's login.
    visited: bool,
    last: Option<Try>,
    /// What a login of this process has succeeded with last.
    known_good: Option<Credentials>,
}

#[derive(Clone, Debug)]
struct Try {
    at: Instant,
    credentials: Credentials,
    outcome: VisitOutcome,
}

pub(super) type VisitOutcome = Result<Reading, UpsTrouble>;

/// Tells whether a password may be another than the one that was refused, without keeping it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) username: String,
    pub(super) password_file: FileIdentity,
}

/// What the ledger says to somebody who wants to look.
#[derive(Debug)]
pub(super) enum Leave<'a> {
    /// Look; a login must wait until then.
    Visit { claim: VisitClaim<'a>, not_before: Option<Instant> },
    /// A login now would be one too many: this is what the last one brought.
    Repeat(Box<VisitOutcome>),
}

/// The right to visit an agent; given back when dropped.
#[derive(Debug)]
pub(super) struct VisitClaim<'a> {
    ledger: &'a Ledger,
    pub(super) agent: AgentId,
    /// As it is configured, for messages.
    pub(super) address: String,
    is_tried: AtomicBool,
    is_answered: AtomicBool,
}

impl Ledger {
    #[cfg(test)]
    const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// Whether a login may be tried now, or at most `patience` from now.
    pub(super) fn ask(
        &self,
        agent: &AgentId,
        address: &str,
        credentials: &Credentials,
        interval: Duration,
        patience: Duration,
        now: Instant,
    ) -> Leave<'_> {
        let mut pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        forget_oldest(&mut pages);
        let page = pages.entry(agent.clone()).or_default();
        if page.visited {
            let message = format!("{address}: another look at this agent is under way; configure it once");
            return Leave::Repeat(Box::new(Err(Trouble::new(UpsFault::Busy, message))));
        }
        let not_before = page.last.as_ref().map(|last| last.at + interval).filter(|at| *at > now);
        if let Some(last) = &page.last {
            let wait = not_before.map_or(Duration::ZERO, |at| at - now);
            if wait > patience || last.forbids(credentials, now) {
                return Leave::Repeat(Box::new(last.outcome.clone()));
            }
        }
        page.visited = true;
        let (agent, address) = (agent.clone(), address.to_owned());
        let (is_tried, is_answered) = (AtomicBool::new(false), AtomicBool::new(false));
        let claim = VisitClaim { ledger: self, agent, address, is_tried, is_answered };
        Leave::Visit { claim, not_before }
    }

    fn with_page(&self, agent: &AgentId, change: impl FnOnce(&mut AgentTries)) {
        let mut pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(pages.entry(agent.clone()).or_default());
    }
}

/// A name that leads to another address each time makes room by what was tried longest ago.
fn forget_oldest(pages: &mut BTreeMap<AgentId, AgentTries>) {
    while pages.len() >= MAX_AGENTS {
        let idle = pages.iter().filter(|(_, page)| !page.visited);
        let oldest =
            idle.min_by_key(|(_, page)| page.last.as_ref().map(|last| last.at)).map(|(agent, _)| agent.clone());
        let Some(oldest) = oldest else { return };
        pages.remove(&oldest);
    }
}

impl AgentId {
    /// The host itself has one name, whichever of its addresses was dialled.
    pub(super) fn of(peer: SocketAddr, is_own_address: bool) -> Self {
        Self(if is_own_address {
            format!("localhost:{}", peer.port())
        } else {
            SocketAddr::new(peer.ip().to_canonical(), peer.port()).to_string()
        })
    }
}

impl Try {
    fn forbids(&self, credentials: &Credentials, now: Instant) -> bool {
        let refused = self.outcome.as_ref().is_err_and(|trouble| trouble.reason == UpsFault::Auth);
        refused && self.credentials == *credentials && now < self.at + BACK_OFF
    }
}

impl VisitClaim<'_> {
    /// Notes a login that is about to be tried. Until its outcome is known it counts as one without an answer.
    pub(super) fn note_try(&self, credentials: &Credentials, now: Instant) {
        let message = format!("{}: the login that was tried last has not come to its end", self.address);
        let outcome = Err(Trouble::new(UpsFault::Timeout, message));
        let last = Try { at: now, credentials: credentials.clone(), outcome };
        self.ledger.with_page(&self.agent, |page| page.last = Some(last));
        self.is_tried.store(true, Ordering::Relaxed);
    }

    /// Notes what that login brought, if one was tried.
    pub(super) fn note_outcome(&self, outcome: &VisitOutcome) {
        if !self.is_tried() {
            return;
        }
        self.ledger.with_page(&self.agent, |page| {
            if let Some(last) = &mut page.last {
                last.outcome.clone_from(outcome);
                if outcome.is_ok() {
                    page.known_good = Some(last.credentials.clone());
                }
            }
        });
    }

    pub(super) fn is_tried(&self) -> bool {
        self.is_tried.load(Ordering::Relaxed)
    }

    /// Notes that the UI took that login: whatever fails from then on, it was not refused.
    pub(super) fn note_answer(&self) {
        self.is_answered.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_answered(&self) -> bool {
        self.is_answered.load(Ordering::Relaxed)
    }

    /// Whether a login of this process has succeeded with these credentials, and none was refused since, or left without an
    /// answer: trying them again locks nobody out.
    pub(super) fn knows_good(&self, credentials: &Credentials) -> bool {
        let mut pages = self.ledger.0.lock().unwrap_or_else(PoisonError::into_inner);
        let page = pages.entry(self.agent.clone()).or_default();
        let may_be_refused = page
            .last
            .as_ref()
            .is_some_and(|last| last.outcome.as_ref().is_err_and(|trouble| trouble.reason != UpsFault::Busy));
        !may_be_refused && page.known_good.as_ref() == Some(credentials)
    }
}

impl Drop for VisitClaim<'_> {
    fn drop(&mut self) {
        self.ledger.with_page(&self.agent, |page| page.visited = false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(300);
    const PATIENCE: Duration = Duration::from_secs(2);
    const AGENT: &str = "192.0.2.1:6547";

    fn credentials(inode: u64) -> Credentials {
        let password_file = FileIdentity { device: 1, inode, size: 9, modified: 0, changed: 0 };
        Credentials { username: "monitor".to_owned(), password_file }
    }

    fn agent(address: &str) -> AgentId {
        AgentId::of(address.parse().expect("an address"), false)
    }

    fn ask<'a>(ledger: &'a Ledger, credentials: &Credentials, now: Instant) -> Leave<'a> {
        ledger.ask(&agent(AGENT), AGENT, credentials, INTERVAL, PATIENCE, now)
    }

    fn login(ledger: &Ledger, credentials: &Credentials, now: Instant, fault: Option<UpsFault>) {
        let Leave::Visit { claim, .. } = ask(ledger, credentials, now) else { panic!("no leave") };
        claim.note_try(credentials, now);
        claim.note_outcome(&fault.map_or_else(|| Ok(Reading::default()), |fault| Err(Trouble::new(fault, "x"))));
    }

    /// Whether a login is allowed, and how long it must wait.
    fn wait(ledger: &Ledger, credentials: &Credentials, now: Instant) -> Option<Duration> {
        match ask(ledger, credentials, now) {
            Leave::Visit { not_before, .. } => Some(not_before.map_or(Duration::ZERO, |at| at - now)),
            Leave::Repeat(_) => None,
        }
    }

    #[test]
    fn one_login_is_tried_per_interval_whoever_asks() {
        let (ledger, start) = (Ledger::new(), Instant::now());
        login(&ledger, &credentials(1), start, None);
        for (after, allowed) in [(0, None), (297, None), (298, Some(2)), (299, Some(1)), (300, Some(0)), (999, Some(0))]
        {
            let found = wait(&ledger, &credentials(2), start + Duration::from_secs(after));
            assert_eq!(found, allowed.map(Duration::from_secs), "after {after} s");
        }
        let Leave::Repeat(outcome) = ask(&ledger, &credentials(1), start) else { panic!() };
        assert_eq!(*outcome, Ok(Reading::default()), "the last login's answer stands for its interval");
    }

    #[test]
    fn a_refused_password_is_not_tried_again_until_its_file_changes_or_the_hour_is_over() {
        let (ledger, start) = (Ledger::new(), Instant::now());
        login(&ledger, &credentials(1), start, Some(UpsFault::Auth));
        let later = start + Duration::from_mins(59);
        assert_eq!(wait(&ledger, &credentials(1), later), None);
        assert_eq!(wait(&ledger, &credentials(2), later), Some(Duration::ZERO));
        assert_eq!(wait(&ledger, &credentials(2), start + Duration::from_secs(10)), None, "the interval holds still");
        assert_eq!(wait(&ledger, &credentials(1), start + BACK_OFF), Some(Duration::ZERO));
        login(&ledger, &credentials(1), start + BACK_OFF, Some(UpsFault::Busy));
        assert_eq!(wait(&ledger, &credentials(1), start + BACK_OFF + INTERVAL), Some(Duration::ZERO));
    }

    #[test]
    fn two_looks_at_one_agent_do_not_meet() {
        let ledger = Ledger::new();
        let first = ask(&ledger, &credentials(1), Instant::now());
        assert!(matches!(first, Leave::Visit { .. }));
        assert_eq!(wait(&ledger, &credentials(1), Instant::now()), None);
        drop(first);
        assert_eq!(wait(&ledger, &credentials(1), Instant::now()), Some(Duration::ZERO), "nothing was tried");
    }

    #[test]
    fn a_login_whose_end_was_never_seen_counts() {
        let (ledger, start) = (Ledger::new(), Instant::now());
        if let Leave::Visit { claim, .. } = ask(&ledger, &credentials(1), start) {
            claim.note_try(&credentials(1), start);
        }
        assert_eq!(wait(&ledger, &credentials(1), start + Duration::from_secs(1)), None);
    }

    #[test]
    fn a_peer_is_one_agent_however_it_is_written_and_this_host_is_one_by_all_its_addresses() {
        for (peer, is_own_address, id) in [
            ("192.0.2.1:6547", false, "192.0.2.1:6547"),
            ("[::ffff:192.0.2.1]:6547", false, "192.0.2.1:6547"),
            ("192.0.2.1:6548", false, "192.0.2.1:6548"),
            ("[2001:db8::1]:6547", false, "[2001:db8::1]:6547"),
            ("127.0.0.1:6547", true, "localhost:6547"),
            ("192.0.2.1:6547", true, "localhost:6547"),
            ("[2001:db8::1]:6547", true, "localhost:6547"),
        ] {
            assert_eq!(AgentId::of(peer.parse().expect("an address"), is_own_address).0, id, "{peer}");
        }
    }

    #[test]
    fn a_name_that_leads_elsewhere_each_time_fills_no_memory_and_drives_out_nobody_who_is_visited() {
        let (ledger, start) = (Ledger::new(), Instant::now());
        let visited = ask(&ledger, &credentials(1), start);
        for host in 0..=u8::MAX {
            let now = start + Duration::from_secs(host.into());
            let other = agent(&format!("198.51.100.{host}:6547"));
            let Leave::Visit { claim, .. } = ledger.ask(&other, AGENT, &credentials(1), INTERVAL, PATIENCE, now) else {
                panic!("no leave")
            };
            claim.note_try(&credentials(1), now);
        }
        let pages = ledger.0.lock().expect("no panic").keys().cloned().collect::<Vec<_>>();
        assert_eq!(pages.len(), MAX_AGENTS);
        assert!(pages.contains(&agent(AGENT)) && pages.contains(&agent("198.51.100.255:6547")));
        drop(visited);
    }
}
