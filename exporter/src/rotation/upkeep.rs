//! Stops, starts and looks at the agent's service, and keeps it up while a stop that was begun may still end it.

use std::time::Duration;

use jiff::Timestamp;
use kagiban_crds::LeafSha256;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::agent::Verify;
use super::backoff::Backoff;
use super::drain::{BegunStop, Responder};
use super::failure::RotationFailure;
use super::live;
use super::machine::{Before, Phase, Rollback};
use super::rotator::{LastStart, Rotator};
use super::starting::BegunStart;
use super::stopping::{Outlook, has_time_to_roll_back, is_last_start_due, longest_drain, may_still_come_up};
use crate::platform::{self, Command, ProgramError, ServiceControlError, ServiceVerb};

/// Between two starts of a service that nobody has seen since the first: it may be slow, or the first has found a process that
/// the stop was still ending.
const START_AGAIN: Duration = Duration::from_secs(10);
const START_AGAIN_AT_MOST: Duration = Duration::from_secs(60);

/// Of a start for which the system has no process: half of `startTimeout` is for them, the rest for the start itself.
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(500);

const OTHER_LEAF_SERVED: &str = "other_leaf_served";

impl Rotator {
    pub(super) async fn stop(&mut self, reason: &str) -> Result<(), RotationFailure> {
        if self.await_earlier_start().await
            && let Some(rotation) = &mut self.record.rotation
        {
            // It is begun only now.
            rotation.stop_begun = Some(BegunStop::now());
            self.save_record();
        }
        let service = &self.agent.service;
        self.drained = Some(Instant::now() + longest_drain(service));
        let Some(stop) = &service.stop else { return Ok(()) };
        let stopped = platform::run(self.agent.name.as_str(), stop, service.stop_timeout).await;
        stopped.map_err(|error| not_done(&error, reason))
    }

    pub(super) async fn start(&mut self, reason: &str) -> Result<(), RotationFailure> {
        let Some(start) = self.agent.service.start.clone() else {
            self.forget_start();
            return Ok(());
        };
        // What an earlier run has begun may have done it.
        let wanted = self.wanted_now();
        if self.await_earlier_start().await && self.look_for(&wanted).await.is_ok() && !self.may_still_end() {
            return Ok(());
        }
        self.record.last_restart = Some(Timestamp::now());
        let service = &self.agent.service;
        // While this program's own stop is a job of the service manager, the start of an agent that is ordered after it
        // waits for its end: a start that waited for that in turn would never end.
        let queued = if self.host.stop.is_cancelled() { platform::queued_start(&start) } else { None };
        let (began, within) = (Instant::now(), service.start_timeout);
        let started = loop {
            let left = within.saturating_sub(began.elapsed());
            let started = match &queued {
                Some(queued) => platform::run(self.agent.name.as_str(), queued, left).await,
                None => self.run_start(&start, left).await,
            };
            match started {
                Err(error) if is_short_of_processes(&error) && began.elapsed() + BETWEEN_ATTEMPTS < within / 2 => {
                    tracing::debug!(agent = %self.agent.name, %error, "the agent is started when there are processes for it");
                    sleep(BETWEEN_ATTEMPTS).await;
                }
                started => break started,
            }
        };
        self.was_started_at_stop |= self.host.stop.is_cancelled();
        let is_queued = queued.is_some() && started.is_ok();
        self.last_start = if is_queued { LastStart::Queued } else { LastStart::Ended };
        started.map_err(|error| not_done(&error, reason))
    }

    /// Runs the start command, or waits for the one that runs: whoever waited for that may have been broken off by the end of
    /// the program, and two starts at once get in each other's way.
    async fn run_start(&mut self, start: &Command, within: Duration) -> Result<(), ProgramError> {
        self.last_start = LastStart::BrokenOff;
        let running = match self.running_start.take() {
            Some(running) => running,
            None => self.spawn_noted(start, within)?,
        };
        let ended = self.running_start.insert(running).await;
        self.running_start = None;
        self.note_start(None);
        ended.unwrap_or_else(|error| Err(ProgramError::Lost { program: start.to_string(), source: error.into() }))
    }

    /// The journal tells of the command before it is begun, and of its process while it runs.
    fn spawn_noted(
        &mut self,
        command: &Command,
        timeout: Duration,
    ) -> Result<JoinHandle<Result<(), ProgramError>>, ProgramError> {
        let begun = self.record.rotation.as_ref().and_then(|rotation| rotation.start_begun.clone());
        let begun = begun.unwrap_or_else(|| {
            let begun = BegunStart::now();
            self.note_start(Some(begun.clone()));
            self.save_record();
            begun
        });
        let program = platform::spawn(self.agent.name.as_str(), command, timeout);
        let program = program.inspect_err(|_| self.note_start(None))?;
        self.note_start(Some(begun.run_by(program.process())));
        self.save_record();
        Ok(tokio::spawn(program.wait()))
    }

    /// Runs a command to its end, with its process in the journal.
    pub(super) async fn run_noted(&mut self, command: &Command, timeout: Duration) -> Result<(), ProgramError> {
        let running = self.spawn_noted(command, timeout)?;
        let ended = running.await;
        self.note_start(None);
        ended.unwrap_or_else(|error| Err(ProgramError::Lost { program: command.to_string(), source: error.into() }))
    }

    /// The journal has told of a program before it was known that none is run: a later start would wait for it.
    pub(super) fn forget_start(&mut self) {
        if !self.earlier_start_goes_on() {
            self.note_start(None);
        }
    }

    fn note_start(&mut self, begun: Option<BegunStart>) {
        if let Some(rotation) = &mut self.record.rotation {
            rotation.start_begun = begun;
        }
    }

    /// Whether a start command that an earlier run has begun may go on.
    pub(super) fn earlier_start_goes_on(&self) -> bool {
        let begun = self.record.rotation.as_ref().and_then(|rotation| rotation.start_begun.as_ref());
        self.starting_until.is_some_and(|until| Instant::now() < until)
            && begun.is_some_and(|begun| begun.is_running().unwrap_or(true))
    }

    /// Two commands at once get in each other's way. On the way forward the end of the program, whose time is counted, waits for
    /// none. Whether one was waited for.
    pub(super) async fn await_earlier_start(&mut self) -> bool {
        let is_forward = !matches!(self.state(), Some(Phase::RollingBack { .. } | Phase::Frozen { .. }));
        let mut has_waited = false;
        while self.earlier_start_goes_on() && !(is_forward && self.host.stop.is_cancelled()) {
            has_waited = true;
            sleep(self.agent.verify.interval).await;
        }
        // Broken off by the end of the program, it goes on: the next start waits for it.
        let goes_on = matches!(self.state(), Some(Phase::Renewal { .. })) && self.earlier_start_goes_on();
        if !goes_on && self.starting_until.take().is_some() {
            self.note_start(None);
        }
        has_waited
    }

    /// Whether a stop that was begun may still end the service, or has ended it since the last look.
    pub(super) fn may_still_end(&self) -> bool {
        self.record.rotation.as_ref().is_some_and(|rotation| rotation.stop_begun.is_some())
    }

    pub(super) fn has_drained(&self) -> bool {
        self.drained.is_none_or(|drained| drained <= Instant::now())
    }

    /// It was looked at after the time was over for which the stop could end it, and started if it was down.
    pub(super) fn forget_stop(&mut self) {
        if let Some(rotation) = &mut self.record.rotation {
            rotation.stop_begun = None;
        }
    }

    /// What becomes of the service when the program ends now.
    pub(super) fn outlook(&self) -> Outlook {
        let service = &self.agent.service;
        // A service manager carries a queued start out when the service has ended, if the stop was its own, and not before
        // this program has.
        let is_started_then = || {
            self.host.stop.is_cancelled()
                && service.start.as_ref().and_then(platform::queued_start).is_some()
                && service.stop.as_ref().is_some_and(platform::is_managed_stop)
        };
        match (self.may_still_end(), self.last_start) {
            (true, LastStart::Queued) if is_started_then() => Outlook::StartQueued,
            (true, _) if is_started_then() => Outlook::NeedsStart,
            (true, _) => Outlook::MayEnd,
            (false, LastStart::BrokenOff) => Outlook::NeedsStart,
            (false, LastStart::Queued) => Outlook::StartQueued,
            (false, LastStart::Ended) => Outlook::Settled,
        }
    }

    /// Until somebody listens: a service may be slow to come up, or it has ended on the new files. The new files stay where the
    /// power would let nobody stop a service: a host that goes down ends its services, and starts them with itself.
    ///
    /// # Errors
    /// When nobody listens and there is time for the rollback.
    pub(super) async fn see_up(&mut self) -> Result<(), RotationFailure> {
        while self.is_nobody_there().await && self.power().await.is_ok() {
            let stopping_for = self.stopping_since.map_or(Duration::ZERO, |since| since.elapsed());
            if !may_still_come_up(&self.agent.service, stopping_for) {
                return Err(RotationFailure::new(
                    "not_served",
                    "the service had ended when kagiban-exporter was stopped",
                ));
            }
            sleep(self.agent.verify.interval).await;
        }
        Ok(())
    }

    pub(super) async fn is_nobody_there(&mut self) -> bool {
        self.glance(&self.wanted_now()).await.is_not_the_service()
    }

    /// For a stop that an earlier run has begun. Whatever state it has left begins with a look or a start.
    pub(super) fn count_from_stop(&mut self) {
        let begun = self.record.rotation.as_ref().and_then(|rotation| rotation.stop_begun.as_ref());
        let left = begun.map(|begun| begun.may_end_for(longest_drain(&self.agent.service)));
        self.drained = left.map(|left| Instant::now() + left);
        if left == Some(Duration::ZERO) {
            self.forget_stop();
        }
    }

    /// Until a stop that was begun can end the service no more. One that it has ended is started, and so is one that nobody
    /// has seen for a while: a start before that may have found it running.
    ///
    /// # Errors
    /// When the new files are in place, do not start, and there is time for a rollback.
    pub(super) async fn keep_up(&mut self) -> Result<(), RotationFailure> {
        self.see_stop_over().await.map(drop)
    }

    /// The same. Whether a look has said that it is over; else the time has.
    async fn see_stop_over(&mut self) -> Result<bool, RotationFailure> {
        let (until, now) = (self.drained.unwrap_or_else(Instant::now), Instant::now());
        let begin = match self.state() {
            // Nobody may have started it since.
            Some(Phase::RollingBack { step: Rollback::Drain, .. }) => Backoff::at_once,
            _ => Backoff::after_failure,
        };
        self.keep_up_until(until, Some(begin(START_AGAIN, START_AGAIN_AT_MOST, now))).await?;
        let was_seen = !self.may_still_end();
        self.forget_stop();
        Ok(was_seen)
    }

    /// The same, `until` at the latest. One that was not seen going down is started at the times that `again` gives, and
    /// at the end.
    async fn keep_up_until(&mut self, until: Instant, mut again: Option<Backoff>) -> Result<(), RotationFailure> {
        let wanted = self.wanted_now();
        let (mut was_seen, mut is_repeated) = (false, false);
        loop {
            let is_last = Instant::now() >= until;
            let seen = self.glance(&wanted).await;
            if !self.may_still_end() {
                return Ok(());
            }
            let stopping_for = self.stopping_since.map(|since| since.elapsed());
            let is_last_due = is_last && is_last_start_due(&self.agent.service, is_repeated, stopping_for);
            let is_due =
                is_last_due || !is_last && (was_seen || again.is_some_and(|again| again.due() <= Instant::now()));
            was_seen = !seen.is_not_the_service();
            if seen.is_not_the_service() && is_due {
                is_repeated = true;
                if let Err(error) = self.start("start_failed_again").await {
                    tracing::warn!(agent = %self.agent.name, error = error.message, "the agent is down, and was not started");
                    if self.may_roll_back() {
                        return Err(error);
                    }
                }
                again.iter_mut().for_each(|again| again.failed(Instant::now()));
            }
            if is_last {
                return Ok(());
            }
            sleep_until(until.min(Instant::now() + self.agent.verify.interval)).await;
        }
    }

    /// After a start that failed: what a stop is still ending may be what kept the service from starting. Nothing is decided.
    pub(super) async fn keep_up_for_next_start(&mut self) {
        if self.may_still_end() {
            let _ = self.keep_up().await;
        }
    }

    fn may_roll_back(&self) -> bool {
        let is_on_new = matches!(self.state(), Some(Phase::Verifying { .. }));
        let has_time = |since: Instant| has_time_to_roll_back(&self.agent.service, since.elapsed());
        is_on_new && self.stopping_since.is_none_or(has_time)
    }

    /// What a service serves that is in order, in the state that the rotation is in; empty where nobody knows.
    fn wanted_now(&self) -> Vec<LeafSha256> {
        match self.state() {
            Some(Phase::RollingBack { before: Before::NotServed, .. } | Phase::Frozen { .. }) => Vec::new(),
            Some(Phase::RollingBack { .. }) => self.old_leaves(),
            _ => self.new_leaf().into_iter().collect(),
        }
    }

    fn state(&self) -> Option<&Phase> {
        self.record.rotation.as_ref().map(|rotation| &rotation.state)
    }

    /// Whoever is seen after nobody was is started since. Nobody looks before the files are in place: a look may start a service
    /// whose socket the service manager holds.
    pub(super) async fn see_whether_down(&mut self) {
        if self.may_still_end() {
            self.glance(&self.wanted_now()).await;
        }
    }

    async fn glance(&mut self, wanted: &[LeafSha256]) -> Responder {
        let mut none = None;
        let stop = begun(&mut self.record.rotation, &mut none);
        live::glance(&self.agent.leaf_place, wanted, stop).await
    }

    /// Whether the service stays up until the stop that was begun can end it no more. Where nobody knows what it serves when it
    /// is in order, any leaf is waited for, and for as long.
    pub(super) async fn watch_old(&mut self) -> Result<(), RotationFailure> {
        let until = self.drained.unwrap_or_else(Instant::now);
        let (wanted, pause) = (self.wanted_now(), self.agent.verify.interval);
        if !matches!(self.state(), Some(Phase::RollingBack { before: Before::NotServed, .. })) {
            let mut none = None;
            let stop = begun(&mut self.record.rotation, &mut none);
            return live::stays(&self.agent.leaf_place, &wanted, until, pause, stop).await;
        }
        while Instant::now() < until {
            self.glance(&wanted).await;
            if !self.may_still_end() {
                return Ok(());
            }
            sleep_until(until.min(Instant::now() + pause)).await;
        }
        self.forget_stop();
        Err(RotationFailure::new("not_served", "the service did not serve before, and is started once more"))
    }

    /// A service that was slow to end takes a start for done, and is down a moment later: it is started again when it is seen
    /// to go, and halfway when it is down then. One that reads its files again by itself may show the new leaf while a stop is
    /// still ending it.
    pub(super) async fn verify_new(&mut self) -> Result<(), RotationFailure> {
        let wanted = self.wanted_now();
        let verify = self.agent.verify;
        let half = verify.deadline / 2;
        if self.may_still_end() {
            self.keep_up_until(Instant::now() + half, None).await?;
        }
        self.verify(&wanted, Verify { deadline: verify.deadline - half, ..verify }).await?;
        if !self.may_still_end() {
            return Ok(());
        }
        self.keep_up().await?;
        self.verify(&wanted, verify).await
    }

    /// Keeps the service up until a stop that an earlier run has begun can end it no more, and looks for the old leaf then. Who
    /// serves something else has not heard of that stop.
    pub(super) async fn drain(&mut self) -> Result<(), RotationFailure> {
        let was_seen_over = self.may_still_end() && self.see_stop_over().await?;
        let wanted = self.wanted_now();
        if wanted.is_empty() {
            let unseen =
                || RotationFailure::new("not_served", "the service was not seen to end, and is stopped once more");
            return was_seen_over.then_some(()).ok_or_else(unseen);
        }
        match self.look_for(&wanted).await {
            Err(failure) if failure.reason == OTHER_LEAF_SERVED => Err(failure),
            Ok(()) | Err(_) => self.verify(&wanted, self.agent.verify).await,
        }
    }

    /// A service that was slow to end takes a start for done, and is down a moment later: halfway, one that is down is started
    /// once more.
    pub(super) async fn verify_old(&mut self) -> Result<(), RotationFailure> {
        if self.may_still_end() {
            self.keep_up().await?;
        }
        let patient = self.agent.verify.for_rollback();
        let half = Verify { deadline: patient.deadline / 2, ..patient };
        let wanted = self.wanted_now();
        if self.verify(&wanted, half).await.is_ok() {
            return Ok(());
        }
        if live::is_down(&self.agent.leaf_place).await
            && let Err(error) = self.start("start_failed_in_rollback").await
        {
            tracing::warn!(agent = %self.agent.name, error = error.message, "the agent is down, and was not started");
        }
        self.verify(&wanted, half).await
    }

    pub(super) async fn verify(&mut self, wanted: &[LeafSha256], verify: Verify) -> Result<(), RotationFailure> {
        let mut none = None;
        let stop = begun(&mut self.record.rotation, &mut none);
        live::verify(&self.agent.leaf_place, wanted, verify, stop).await
    }

    /// One look, or as many as a start that an earlier run has begun may still take: what is not there yet is started once more
    /// after that. Not once the program is to end, whose time is counted.
    pub(super) async fn look_for_new(&mut self) -> Result<(), RotationFailure> {
        let new: Vec<_> = self.new_leaf().into_iter().collect();
        loop {
            let is_last = !self.earlier_start_goes_on() || self.host.stop.is_cancelled();
            let seen = self.look_for(&new).await;
            if seen.is_ok() || is_last {
                return seen;
            }
            sleep(self.agent.verify.interval).await;
        }
    }

    pub(super) async fn look_for(&mut self, wanted: &[LeafSha256]) -> Result<(), RotationFailure> {
        let seen = live::look(&self.agent.leaf_place).await;
        let mut none = None;
        match (live::note(begun(&mut self.record.rotation, &mut none), wanted, &seen), seen) {
            (Responder::Wanted, _) => Ok(()),
            (_, Ok(_)) => {
                Err(RotationFailure::new(OTHER_LEAF_SERVED, "another leaf than the one looked for is served"))
            }
            (_, Err(error)) => Err(RotationFailure::new(error.reason(), error.to_string())),
        }
    }
}

/// Whoever counts to a limit of processes may have taken the last ones for a moment, and a service that is down is not left down for
/// that.
fn is_short_of_processes(error: &ProgramError) -> bool {
    match error {
        ProgramError::NotLaunched { source, .. } | ProgramError::NotStarted { source, .. } => {
            platform::is_shortage(source)
        }
        ProgramError::NotRunnable { .. }
        | ProgramError::Failed { .. }
        | ProgramError::TimedOut { .. }
        | ProgramError::TooMuch { .. }
        | ProgramError::Lost { .. }
        | ProgramError::Service(_) => false,
    }
}

/// Where what a look says of a stop is kept, for the next entry of the journal; `none` where there is no rotation.
fn begun<'a>(
    rotation: &'a mut Option<super::journal::Rotation>,
    none: &'a mut Option<BegunStop>,
) -> &'a mut Option<BegunStop> {
    rotation.as_mut().map_or(none, |rotation| &mut rotation.stop_begun)
}

/// What it means for the rotation that a service was not stopped or started, as which it fails: `reason`.
fn not_done(error: &ProgramError, reason: &str) -> RotationFailure {
    match error {
        ProgramError::Service(ServiceControlError::HostGoesDown { .. }) => {
            RotationFailure::of_host_going_down(error.reason(), error.to_string())
        }
        // It may end yet.
        ProgramError::Service(ServiceControlError::Pending { verb: ServiceVerb::Stop, .. }) => {
            RotationFailure::new(error.reason(), error.to_string())
        }
        _ => RotationFailure::new(reason, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::failure::FailureOf;
    use super::super::scene::{put_into, rotator};
    use super::*;
    use crate::platform::testing::FaultyThread;

    /// A host that goes down refuses both, and neither says that the service or its files are bad.
    #[test]
    fn what_a_service_manager_answers_is_a_failure_of_the_step_unless_the_host_goes_down() {
        let name = || "web".to_owned();
        let deadline = Duration::from_secs(1);
        for verb in [ServiceVerb::Stop, ServiceVerb::Start] {
            let pending = if verb == ServiceVerb::Stop { "stop_pending" } else { "tried" };
            for (error, reason, of) in [
                (ServiceControlError::HostGoesDown { name: name(), verb }, "host_goes_down", FailureOf::HostGoingDown),
                (ServiceControlError::Pending { name: name(), verb, state: "X", deadline }, pending, FailureOf::Step),
                (ServiceControlError::NotAsked { name: name(), verb }, "tried", FailureOf::Step),
                (ServiceControlError::NotFound { name: name() }, "tried", FailureOf::Step),
            ] {
                let failure = not_done(&ProgramError::from(error), "tried");
                assert_eq!((failure.reason.as_str(), failure.of), (reason, of), "{verb:?}");
            }
        }
    }

    fn lines(path: &std::path::Path) -> usize {
        fs::read_to_string(path).map_or(0, |text| text.lines().count())
    }

    /// Holds A8: a disk held the worker up for longer than any service drains, and the stop has ended the service meanwhile.
    #[tokio::test]
    async fn a_service_that_a_stop_has_ended_is_started_however_late_the_last_look_is() {
        for is_stopping in [false, true] {
            let root = tempfile::tempdir().expect("directory");
            let starts = root.path().join("starts");
            let (mut rotator, _lock) = rotator(root.path(), &format!("[/bin/sh, -c, 'echo >> {}']", starts.display()));
            put_into(&mut rotator, Phase::Verifying { before: Before::NotServed }, Some(BegunStop::now()));
            let long_ago = Instant::now().checked_sub(Duration::from_secs(600)).expect("an uptime");
            rotator.drained = Some(long_ago);
            if is_stopping {
                rotator.host.stop.cancel();
                rotator.stopping_since = Some(long_ago);
            }
            rotator.keep_up().await.expect("kept up");
            assert_eq!(lines(&starts), 1, "stopping: {is_stopping}");
            assert!(!rotator.may_still_end(), "it is watched no longer");
        }
    }

    /// Holds A8: a start whose wait the end of the program has broken off is waited for, and not made a second time beside it.
    #[tokio::test]
    async fn a_start_that_was_broken_off_is_waited_for() {
        let root = tempfile::tempdir().expect("directory");
        let [starts, ended] = ["starts", "ended"].map(|name| root.path().join(name));
        let script = format!("echo >> {}; sleep 1; touch {}", starts.display(), ended.display());
        let (mut rotator, _lock) = rotator(root.path(), &format!("[/bin/sh, -c, '{script}']"));
        let rolling_back = Phase::RollingBack {
            step: Rollback::Verify,
            before: Before::NotServed,
            failure: RotationFailure::new("any", "any"),
            by_order: false,
        };
        put_into(&mut rotator, rolling_back, None);
        let broken_off = tokio::time::timeout(Duration::from_millis(300), rotator.start("any")).await;
        assert!(broken_off.is_err() && lines(&starts) == 1);
        rotator.host.stop.cancel();
        rotator.advance(|_| {}).await;
        assert!(ended.exists(), "it is left to itself");
        assert_eq!(lines(&starts), 1);
    }

    /// Holds A8: an account that takes the last processes of the host for a moment does not keep a service down.
    #[tokio::test]
    async fn a_start_for_which_there_is_no_process_is_made_when_there_is_one() {
        let root = tempfile::tempdir().expect("directory");
        let starts = root.path().join("starts");
        let (mut rotator, _lock) = rotator(root.path(), &format!("[/bin/sh, -c, 'echo >> {}']", starts.display()));
        put_into(&mut rotator, Phase::Verifying { before: Before::NotServed }, None);
        // What a program is started by, and its end is heard by.
        let short = FaultyThread::begin("socketpair", "error=EAGAIN:when=1..2", &[]);
        rotator.start("any").await.expect("the third time");
        drop(short);
        assert_eq!(lines(&starts), 1);
        rotator.agent.service.start_timeout = Duration::from_secs(2);
        let _short = FaultyThread::begin("socketpair", "error=EAGAIN", &[]);
        let failure = rotator.start("start_failed").await.expect_err("never");
        assert_eq!(failure.reason, "start_failed");
        assert_eq!(lines(&starts), 1);
    }

    #[test]
    fn a_last_start_that_repeats_another_leaves_time_for_its_end() {
        let root = tempfile::tempdir().expect("directory");
        let service = rotator(root.path(), "[/bin/true]").0.agent.service.clone();
        let late = Some(Duration::from_secs(600));
        assert!(is_last_start_due(&service, false, late));
        assert!(!is_last_start_due(&service, true, late));
        assert!(
            is_last_start_due(&service, true, Some(Duration::from_secs(1))) && is_last_start_due(&service, true, None)
        );
    }
}
