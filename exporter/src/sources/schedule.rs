//! When a source is looked at, and what is said when its state changes.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use jiff::Timestamp;
use kagiban_crds::host_api::{Failure, FunctionState};
use tokio::sync::Semaphore;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::Source;
use crate::health::{Check, CheckResult};
use crate::platform::RebootReason;
use crate::snapshot::{
    Board, FunctionSeen, HealthSeen, Label, Observation, Pass, ProbeSeen, SkippedFiles, SourceId, SourceKind, Trouble,
};

/// How many sources are looked at at once: enough that one slow endpoint delays nobody, few enough that a start on a
/// small host does not take all of its processors and memory.
const LOOKS_AT_ONCE: usize = 8;

/// How many looks at outside hosts go on at once, of those that answered quickly the last time and of the others. A look that hangs holds
/// a socket and some kilobytes; together they stay well below the 1,024 descriptors that a program usually has.
const OUTSIDE_LOOKS_AT_ONCE: usize = 128;
/// A look that takes longer holds up others. A handshake around the world takes less than one second.
const QUICK_LOOK: Duration = Duration::from_secs(2);

/// Between two looks whether a rotation has changed or ended, and after how long its end is waited for no more.
const LOOK_AT_ROTATION: Duration = Duration::from_secs(2);
const LONGEST_ROTATION: Duration = Duration::from_hours(1);

/// Files of one kind that a line names; a rule can have thousands.
const MAX_NAMED: usize = 3;

/// Bounds how many looks go on at once. A look holds its place for no longer than its deadline.
///
/// Whatever hangs outside takes no place of this host's own sources, and a host that hung takes none of those that answer.
#[derive(Clone, Debug)]
pub struct Gate {
    own: Arc<Semaphore>,
    outside: Arc<Semaphore>,
    slow_outside: Arc<Semaphore>,
}

impl Default for Gate {
    fn default() -> Self {
        let places = |number| Arc::new(Semaphore::new(number));
        let (own, outside) = (places(LOOKS_AT_ONCE), places(OUTSIDE_LOOKS_AT_ONCE));
        Self { own, outside, slow_outside: places(OUTSIDE_LOOKS_AT_ONCE) }
    }
}

impl Gate {
    /// The places among which a source has its own; `last_took` is how long its last look took.
    fn places_for(&self, id: &SourceId, last_took: Duration) -> &Semaphore {
        match id.host {
            None => &self.own,
            Some(_) if last_took > QUICK_LOOK => &self.slow_outside,
            Some(_) => &self.outside,
        }
    }
}

/// When an outside host is looked at again after the first time: each at its own moment of the interval, always the same.
fn moment(id: &SourceId, interval: Duration) -> Duration {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    let share = f64::from(u16::try_from(hasher.finish() % 65_536).unwrap_or_default()) / 65_536.0;
    interval.mul_f64(share)
}

/// Looks at a source until told to stop.
pub async fn watch(mut source: Source, board: Arc<Board>, gate: Gate, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(source.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last_took = None;
    let mut said = Said::default();
    let mut listed_at = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
            () = source.wake.notified() => {}
            () = outdated(&board, &source.id.name, listed_at) => {}
        }
        if source.id.kind == SourceKind::Clients {
            tokio::select! {
                () = stop.cancelled() => return,
                () = no_rotation(&board, &source.id.name) => {}
            }
            // Before the program is begun: what changes from now on may not be in its list.
            listed_at = Some(board.certificate_changes(&source.id.name));
        }
        let mut pass = tokio::select! {
            () = stop.cancelled() => return,
            pass = one_pass(&mut source, &gate, last_took.unwrap_or_default()) => pass,
        };
        if source.id.host.is_some() && last_took.is_none() {
            ticks.reset_after(moment(&source.id, source.interval));
        }
        last_took = Some(pass.took);
        said.about(&source.id, &pass);
        if let (Observation::Clients(seen), Some(changes)) = (&mut pass.observation, listed_at) {
            seen.changes = changes;
        }
        board.publish(&source.id, pass);
    }
}

/// Returns once a rotation of the agent was seen to change since the list that was begun at this count; never where none was begun.
async fn outdated(board: &Board, agent: &Label, listed_at: Option<u64>) {
    let Some(listed_at) = listed_at else { return std::future::pending().await };
    while board.certificate_changes(agent) == listed_at {
        tokio::time::sleep(LOOK_AT_ROTATION).await;
    }
}

/// Returns once no rotation of the agent goes on: its clients get another certificate in one. One that waits for somebody is waited for
/// itself no longer than it may take.
async fn no_rotation(board: &Board, agent: &Label) {
    let until = tokio::time::Instant::now() + LONGEST_ROTATION;
    while board.is_rotated(agent) && tokio::time::Instant::now() < until {
        tokio::time::sleep(LOOK_AT_ROTATION).await;
    }
}

/// Looks at every source once.
pub async fn look_at_all(sources: Vec<Source>, board: &Board) {
    let gate = Gate::default();
    let looks = sources.into_iter().map(|mut source| {
        let gate = gate.clone();
        async move {
            let pass = one_pass(&mut source, &gate, Duration::ZERO).await;
            Said::default().about(&source.id, &pass);
            board.publish(&source.id, pass);
        }
    });
    join_all(looks).await;
}

async fn one_pass(source: &mut Source, gate: &Gate, last_took: Duration) -> Pass {
    let _place = gate.places_for(&source.id, last_took).acquire().await;
    let started = Instant::now();
    // Boxed: inlined, the futures of all protocols nest deeper than the compiler follows when it optimises.
    let (observation, trouble) = Box::pin(source.look()).await;
    Pass { observation, trouble, ended: Timestamp::now(), took: started.elapsed() }
}

/// What the log knows already: a state is told when it changes, not every thirty seconds.
#[derive(Debug, Default)]
struct Said {
    trouble: Option<Trouble>,
    failing_files: BTreeMap<&'static str, Vec<Label>>,
    flawed_files: Vec<Label>,
    skipped_files: BTreeMap<&'static str, SkippedFiles>,
    unread_chain: Vec<Trouble>,
    flawed_chain: Option<Label>,
    failing_checks: Vec<Check>,
    pending_reboots: BTreeSet<RebootReason>,
    function: Option<FunctionState>,
}

impl Said {
    fn about(&mut self, id: &SourceId, pass: &Pass) {
        let trouble = pass.trouble.clone().or_else(|| pass.probe()?.outcome.as_ref().err().cloned());
        let (kind, name) = (id.kind.as_str(), id.name.as_str());
        let host = id.host.as_ref().map(Label::as_str);
        match &trouble {
            Some(now) if self.trouble.as_ref().map(|t| t.reason) != Some(now.reason) => {
                warn!(host, source_kind = kind, source = name, reason = now.reason, detail = %now.message, "source failed");
            }
            None if self.trouble.is_some() => info!(host, source_kind = kind, source = name, "source works again"),
            _ => {}
        }
        self.trouble = trouble;
        match &pass.observation {
            Observation::Files(_) => self.about_files(kind, name, pass),
            Observation::Health(health) => self.about_health(health),
            Observation::Endpoint(probe) => self.about_chain(host, name, probe),
            // Of UPSes and of the host `power_log` tells.
            Observation::Nothing
            | Observation::Host(_)
            | Observation::Upses(_)
            | Observation::Release(_)
            | Observation::Alerts(_)
            | Observation::Clients(_)
            | Observation::ClientLogs(_)
            | Observation::Inventory(_) => {}
            Observation::Function(seen) => self.about_function(seen),
            Observation::Reboots(reboots) => self.about_reboots(reboots),
        }
    }

    /// Each reason is told by itself: a file that is cut short must not hide behind a hundred that want a password.
    fn about_files(&mut self, kind: &str, name: &str, pass: &Pass) {
        let mut now: BTreeMap<&'static str, Vec<Label>> = BTreeMap::new();
        let mut messages: BTreeMap<&'static str, Vec<&str>> = BTreeMap::new();
        for (file, trouble) in pass.files().iter().flat_map(|file| file.troubles().iter().map(move |t| (file, t))) {
            now.entry(trouble.reason).or_default().push(file.path.clone());
            messages.entry(trouble.reason).or_default().push(trouble.message.as_str());
        }
        for (reason, files) in now.iter().filter(|(reason, files)| self.failing_files.get(*reason) != Some(*files)) {
            let (files, first) = (files.len(), some(&messages[reason]));
            warn!(source_kind = kind, source = name, files, reason, first, "files cannot be read");
        }
        if now.is_empty() && !self.failing_files.is_empty() {
            info!(source_kind = kind, source = name, "all files can be read again");
        }
        self.failing_files = now;
        let flawed = || {
            pass.files()
                .iter()
                .filter_map(|file| Some((file, file.outcome.as_ref().ok()?.flaws.as_ref()?.left_out.as_ref()?)))
        };
        let paths: Vec<_> = flawed().map(|(file, _)| file.path.clone()).collect();
        if !paths.is_empty() && paths != self.flawed_files {
            let said: Vec<String> = flawed().map(|(file, what)| format!("{}: {what}", file.path)).collect();
            let (files, first) = (said.len(), some(&said));
            info!(source_kind = kind, source = name, files, first, "certificates have parts that are left out");
        }
        self.flawed_files = paths;
        let skipped: BTreeMap<_, _> = pass.skipped().map(|(kind, skipped)| (kind, skipped.clone())).collect();
        let is_new = |of: &str, now: &SkippedFiles| self.skipped_files.get(of) != Some(now) && now.count > 0;
        for (of, now) in skipped.iter().filter(|(of, now)| is_new(of, now)) {
            let (files, first) = (now.count, some_of(&now.first, now.count));
            debug!(
                source_kind = kind,
                source = name,
                files,
                kind = of,
                first,
                "files that are no certificates are passed over"
            );
        }
        self.skipped_files = skipped;
    }

    /// What of an endpoint's chain cannot be read. A leaf that cannot is the source's own trouble, and told as such.
    fn about_chain(&mut self, host: Option<&str>, source: &str, probe: &ProbeSeen) {
        let now: Vec<_> = probe.unread().to_vec();
        for trouble in now.iter().filter(|trouble| probe.outcome.is_ok() && !self.unread_chain.contains(trouble)) {
            let (target, reason, detail) = (&probe.target, trouble.reason, &trouble.message);
            warn!(host, source, %target, reason, %detail, "certificates of the served chain cannot be read");
        }
        if now.is_empty() && !self.unread_chain.is_empty() {
            info!(host, source, target = %probe.target, "the whole served chain can be read again");
        }
        self.unread_chain = now;
        let left_out = probe.flaws.as_ref().and_then(|flaws| flaws.left_out.clone());
        if let Some(what) = left_out.as_ref().filter(|_| left_out != self.flawed_chain) {
            info!(host, source, target = %probe.target, %what, "certificates have parts that are left out");
        }
        self.flawed_chain = left_out;
    }

    fn about_health(&mut self, health: &HealthSeen) {
        let directory = &health.directory;
        let failing = || health.checks.iter().filter(|seen| seen.verdict == CheckResult::Failed);
        for seen in failing().filter(|seen| !self.failing_checks.contains(&seen.check)) {
            warn!(%directory, check = seen.check.id(), detail = %seen.detail, "hardening check fails");
        }
        let passes =
            |check: &Check| health.checks.iter().any(|it| it.check == *check && it.verdict == CheckResult::Passed);
        for check in self.failing_checks.iter().filter(|check| passes(check)) {
            info!(%directory, check = check.id(), "hardening check passes again");
        }
        self.failing_checks = failing().map(|seen| seen.check).collect();
    }

    /// What is not known this time is told as a source's trouble where it is one, and is else as it was.
    fn about_function(&mut self, seen: &FunctionSeen) {
        let FunctionSeen { agent, sighting, .. } = seen;
        let before = self.function;
        match (sighting.state, &sighting.failure) {
            (FunctionState::Unknown, _) => return,
            (FunctionState::Works, _) if before == Some(FunctionState::DoesNotWork) => {
                info!(%agent, "the agent does its work again");
            }
            (FunctionState::DoesNotWork, Some(Failure { reason, message })) if before != Some(sighting.state) => {
                warn!(%agent, reason, detail = message, "the agent does not do its work");
            }
            (FunctionState::Works | FunctionState::DoesNotWork, _) => {}
        }
        self.function = Some(sighting.state);
    }

    /// One of which nothing is known this time is as it was.
    fn about_reboots(&mut self, reboots: &BTreeMap<RebootReason, bool>) {
        for (reason, is_pending) in reboots {
            if *is_pending && self.pending_reboots.insert(*reason) {
                info!(reason = reason.as_str(), "a reboot is pending");
            } else if !is_pending && self.pending_reboots.remove(reason) {
                info!(reason = reason.as_str(), "a reboot is not pending any more");
            }
        }
    }
}

/// The first of them, and how many more there are.
fn some(said: &[impl Borrow<str>]) -> String {
    some_of(said, said.len())
}

fn some_of(said: &[impl Borrow<str>], all: usize) -> String {
    let first: Vec<&str> = said.iter().take(MAX_NAMED).map(Borrow::borrow).collect();
    match all.saturating_sub(first.len()) {
        0 => first.join("; "),
        more => format!("{}; and {more} more", first.join("; ")),
    }
}

/// A panic while looking is a trouble of that source; the log has its place.
pub(super) fn panicked<R>(reason: R) -> Trouble<R> {
    Trouble::new(reason, "the look ended in a bug of this program; please report it with the log")
}

/// A look that did not end in time.
pub(super) fn timed_out<R>(reason: R, deadline: Duration) -> Trouble<R> {
    Trouble::new(reason, format!("no result within {} s", deadline.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use kagiban_crds::host_api::RotationState;

    use super::*;
    use crate::snapshot::RotationSeen;

    #[tokio::test(start_paused = true)]
    async fn clients_are_listed_anew_when_a_rotation_has_changed_since_and_not_before() {
        let (board, agent) = (Arc::new(Board::default()), Label::new("av"));
        let within = async |listed_at| {
            let outdated = outdated(&board, &agent, listed_at);
            tokio::time::timeout(Duration::from_hours(1), outdated).await.is_ok()
        };
        assert!(!within(None).await && !within(Some(0)).await, "nothing was rotated");
        let seen = RotationSeen { generation: 1, state: Some(RotationState::Committed), ..RotationSeen::default() };
        board.note_rotation(&agent, None, Some(seen));
        assert!(within(Some(0)).await);
        assert!(!within(Some(1)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn clients_are_not_listed_while_a_rotation_of_their_agent_goes_on_unless_it_goes_on_for_long() {
        let (board, agent) = (Arc::new(Board::default()), Label::new("av"));
        let note = |state| {
            let seen = RotationSeen { generation: 1, state: Some(state), ..RotationSeen::default() };
            board.note_rotation(&agent, None, Some(seen));
        };
        let waited = async || {
            let began = tokio::time::Instant::now();
            no_rotation(&board, &agent).await;
            began.elapsed()
        };
        assert_eq!(waited().await, Duration::ZERO, "none was ever opened");
        for state in [RotationState::Committed, RotationState::RolledBack, RotationState::Frozen] {
            note(state);
            assert_eq!(waited().await, Duration::ZERO, "{state:?}");
        }
        note(RotationState::Keyed);
        assert_eq!(waited().await, LONGEST_ROTATION);
        let waiting = tokio::spawn({
            let (board, agent) = (Arc::clone(&board), agent.clone());
            async move { no_rotation(&board, &agent).await }
        });
        tokio::time::sleep(Duration::from_mins(5)).await;
        assert!(!waiting.is_finished());
        note(RotationState::Committed);
        tokio::time::timeout(2 * LOOK_AT_ROTATION, waiting).await.expect("it goes on").expect("no panic");
    }
}
