//! One agent's rotations: requests come in here, and what they start is carried out by `executor`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use kagiban_crds::host_api::{
    CertificateRequest, ChainDelivery, HandOver, HandOverReport, KeystoreOrder, PasswordQuestion, Refusal,
    RefusalReason, RenewalOrder, RollbackOrder, RotationOpen, RotationReport, Target,
};
use kagiban_crds::{Epoch, Generation, OrderMark};
use secrecy::SecretString;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::admission::{Admission, AdmissionContext, refuse, stopping};
use super::agent::{Agent, LeafPlace, Procedure};
use super::chores::Chores;
use super::digest::Digest;
use super::failure::RotationFailure;
use super::fences::{Fence, FenceError, FenceFile};
use super::host::{Host, Speaker};
use super::journal::{FileSwap, Record, Rotation};
use super::machine::{Event, Phase};
use super::power::PowerUnsafe;
use super::push::key::NewKey;
use super::push::staging::Staging;
use super::push::survey::same_secret;
use crate::platform::{self, ProgramError, WriteError};

/// How long a key waits for its certificate. A person who approves by hand has an hour.
pub(super) const CHAIN_DEADLINE: Duration = Duration::from_secs(3600);
/// How long a look before an order counts for a repeat of it: the look may take longer than whoever ordered waits.
const LOOK_KEPT: Duration = Duration::from_secs(60);
/// Of one generation. An operator repeats with the password that it opened with.
const MAX_WRONG_PASSWORDS: usize = 4;

/// One agent's rotations, on one thread.
#[derive(Debug)]
pub struct Rotator {
    pub(super) host: Host,
    pub(super) agent: Agent,
    pub(super) record: Record,
    /// What is in memory only.
    pub(super) pending: Option<Pending>,
    pub(super) opened_with: Option<OpenedWith>,
    fence: FenceFile,
    pub(super) chores: Chores,
    /// When a stop of the service that was begun can end it no more.
    pub(super) drained: Option<Instant>,
    /// When it was first seen that the program is to end.
    pub(super) stopping_since: Option<Instant>,
    pub(super) last_start: LastStart,
    /// The service was started since the program was told to end.
    pub(super) was_started_at_stop: bool,
    /// Until when a start command may go on that an earlier run has begun, which the journal tells of.
    pub(super) starting_until: Option<Instant>,
    /// The start command that runs; it goes on when nobody waits for it any more.
    pub(super) running_start: Option<JoinHandle<Result<(), ProgramError>>>,
    /// An earlier run may have rolled everything back, and not have been able to write that down.
    pub(super) may_end_without_stop: bool,
    /// When the service was last looked at for an ordered rollback that nobody waited for.
    looked_at: Option<Instant>,
    /// The new leaf was, and only the entry of the journal that says so is missing.
    pub(super) is_verified: bool,
}

/// A rotation's secrets, and what it was asked for.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) key: NewKey,
    pub(super) request: CertificateRequest,
    pub(super) order: KeystoreOrder,
    pub(super) until: Instant,
    pub(super) staging: Option<Staging>,
}

/// A password takes no part in the digest that the journal keeps: it is compared here, for as long as it is known.
#[derive(Clone, Debug)]
pub(super) struct OpenedWith {
    pub(super) generation: Generation,
    pub(super) password: Option<SecretString>,
    /// How often a repeat came with another.
    pub(super) wrong: Arc<AtomicUsize>,
}

/// What is known of the last start of the service in this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LastStart {
    /// Its command has ended, or none was run.
    Ended,
    /// The service manager carries it out when this program has ended.
    Queued,
    /// Nobody waits for its command any more, because the program is to end; it runs.
    BrokenOff,
}

/// What other threads may see.
#[derive(Clone, Debug)]
pub struct RotatorStatus {
    pub record: Record,
    opened_with: Option<OpenedWith>,
    leaf_place: LeafPlace,
}

impl Rotator {
    pub(super) fn new(host: Host, agent: Agent, record: Record, fence: FenceFile) -> Self {
        host.note_undecided(&agent.name, undecided(&record));
        let discard_due = record.rotation.as_ref().is_some_and(|rotation| rotation.discard_due);
        Self {
            host,
            agent,
            record,
            pending: None,
            opened_with: None,
            fence,
            chores: Chores { discard_due, ..Chores::default() },
            drained: None,
            stopping_since: None,
            last_start: LastStart::Ended,
            was_started_at_stop: false,
            starting_until: None,
            running_start: None,
            may_end_without_stop: false,
            looked_at: None,
            is_verified: false,
        }
    }

    /// What was accepted is fenced off durably before the journal tells of it, and apart from it.
    pub(super) fn raise_fences(&mut self, epoch: Epoch, generation: Generation) -> Result<(), FenceError> {
        self.host.raise_fence(epoch)?;
        self.fence.raise(Fence { epoch, generation })
    }

    /// What a request is measured against. A fence that could not be read at start may be readable now.
    pub(super) fn read_fences(&mut self) -> Result<(), Refusal> {
        self.host.read_epoch().map_err(|error| fence_refused(&error))?;
        let fence = self.fence.read().map_err(|error| fence_refused(&error))?;
        self.record.epoch = self.record.epoch.max(fence.epoch);
        self.record.generation = self.record.generation.max(fence.generation);
        // As at start: one agent's fence holds for the host too.
        self.raise_fences(self.record.epoch, self.record.generation).map_err(|error| fence_refused(&error))
    }

    pub fn snapshot(&self) -> RotatorStatus {
        let leaf_place = self.agent.leaf_place.clone();
        RotatorStatus { record: self.record.clone(), opened_with: self.opened_with.clone(), leaf_place }
    }

    /// The newest rotation.
    pub fn report(&self) -> Option<RotationReport> {
        self.record.rotation.as_ref().map(Rotation::report)
    }

    /// Gives a rotation up, or puts back what the newest one replaced; [`Rotator::advance`] then does the rest.
    ///
    /// # Errors
    /// A refusal; nothing has changed then. A service that cannot be looked at is not stopped: the look is waited for. Nothing is
    /// begun when nobody waits for the answer any more once everything has been looked into: whoever was told that it took too
    /// long counts on it that nothing is stopped later.
    pub async fn roll_back(
        &mut self,
        order: &RollbackOrder,
        is_waited_for: impl Fn() -> bool,
    ) -> Result<RotationReport, Refusal> {
        self.read_fences()?;
        let admission = self.snapshot().admit_rollback(&self.host, order);
        if let Some(report) = self.replayed(admission, &order.target)? {
            return Ok(report);
        }
        let kept_look = self.looked_at.take().filter(|at| at.elapsed() <= LOOK_KEPT);
        let touches_service = self.record.rotation.as_ref().is_some_and(|r| r.state != Phase::Keyed);
        let looked_at = if touches_service {
            self.check_commands_for_request()?;
            if kept_look.is_none() {
                self.look_before_rollback().await?;
            }
            self.power().await?;
            kept_look.or_else(|| Some(Instant::now()))
        } else {
            None
        };
        let is_committed =
            self.record.rotation.as_ref().is_some_and(|rotation| matches!(rotation.state, Phase::Committed { .. }));
        let ready = if is_committed {
            self.check_rollback()?;
            Some(self.prepare_rollback()?)
        } else {
            None
        };
        let waiting: Vec<_> = ready.iter().flatten().filter(|file| file.ready.is_some()).cloned().collect();
        let failure = RotationFailure::new("rolled_back_by_order", "a rollback was ordered through the host API");
        let ordered = match &self.agent.procedure {
            Procedure::Trigger(_) if is_committed => Event::OrderedToRevert,
            Procedure::Trigger(_) | Procedure::Push(_) | Procedure::Repair(_) => Event::Ordered,
        };
        let begun = if is_waited_for() {
            let taking = self.host.deliveries.check(&self.agent.name);
            taking.and_then(|_taking| self.give_up(ordered(failure), ready, Some(&order.target)))
        } else {
            self.looked_at = looked_at;
            Err(refuse(RefusalReason::Unavailable, "nobody waited for the answer, so nothing was begun"))
        };
        begun.inspect_err(|_| {
            for file in &waiting {
                // What stays is swept at the next start.
                let _ = platform::remove(&file.staged);
            }
        })?;
        self.report().ok_or_else(|| refuse(RefusalReason::Internal, "the rotation is gone"))
    }

    /// Of the agent's commands: a person has to mend them, as with the files.
    pub(super) fn check_commands_for_request(&self) -> Result<(), Refusal> {
        self.check_service().map_err(|failure| refuse(RefusalReason::KeystoreRefused, failure.message))
    }

    async fn look_before_rollback(&self) -> Result<(), Refusal> {
        tokio::select! {
            looked = self.look_before_stop() => match looked {
                Ok(_) => Ok(()),
                Err(failure) => Err(refuse(RefusalReason::Unavailable, failure.message)),
            },
            () = self.host.stop.cancelled() => Err(stopping()),
        }
    }

    /// When a key has waited too long for its chain.
    pub fn expires(&self) -> Option<Instant> {
        let waits = self.record.rotation.as_ref().is_some_and(|rotation| rotation.state == Phase::Keyed);
        self.pending.as_ref().filter(|_| waits).map(|pending| pending.until)
    }

    /// Gives the host to another installation of the operator. Durable when it returns.
    ///
    /// # Errors
    /// A refusal.
    pub fn hand_over(&mut self, order: &HandOver) -> Result<HandOverReport, Refusal> {
        self.read_fences()?;
        if !self.snapshot().admit_hand_over(&self.host, order)? {
            // Whoever gives it away speaks here, and a leader before no more
            self.accept_epoch(&order.target)?;
            self.host.hand_over(&order.target, &order.to).map_err(|error| fence_refused(&error))?;
        }
        Ok(HandOverReport { lineage: order.to.clone() })
    }

    /// Gives up a rotation whose chain never came.
    pub(super) fn expire(&mut self) -> Result<(), Refusal> {
        let message = "no chain was delivered within an hour of the CSR; open a new rotation";
        self.give_up(Event::Ordered(RotationFailure::new("chain_not_delivered", message)), None, None)
    }

    fn give_up(&mut self, event: Event, ready: Option<Vec<FileSwap>>, by: Option<&Target>) -> Result<(), Refusal> {
        let Some(mut rotation) = self.record.rotation.clone() else { return Ok(()) };
        rotation.files = ready.unwrap_or(rotation.files);
        rotation.state = rotation.state.after(event);
        rotation.log(Timestamp::now(), String::new());
        let decided = rotation.state.is_decided();
        let epoch = self.record.epoch.max(by.map_or(Epoch(0), |target| target.epoch));
        self.commit(Record { epoch, rotation: Some(rotation), ..self.record.clone() }, by)?;
        if decided {
            self.pending = None;
        }
        Ok(())
    }

    /// What became of an order that was given before; none of one that is to be carried out.
    ///
    /// # Errors
    /// A refusal.
    pub(super) fn replayed(
        &mut self,
        admission: Admission,
        target: &Target,
    ) -> Result<Option<RotationReport>, Refusal> {
        match admission {
            Admission::Proceed => Ok(None),
            Admission::Replay(report) => self.accept_epoch(target).map(|()| Some(*report)),
            Admission::Refused(refusal) => Err(refusal),
        }
    }

    /// A repeat from a new leader lets the old one speak no more.
    fn accept_epoch(&mut self, target: &Target) -> Result<(), Refusal> {
        // What the record has may be of another lineage.
        if target.epoch > self.record.epoch.min(self.host.speaker().epoch) {
            let epoch = self.record.epoch.max(target.epoch);
            self.commit(Record { epoch, ..self.record.clone() }, Some(target))?;
        }
        Ok(())
    }

    /// Whether the power lets a service be stopped now.
    pub async fn power(&self) -> Result<(), PowerUnsafe> {
        self.host.power.check().await
    }

    /// The one place where a request changes the record. Whoever it is `by` must still speak: a new leader may have been heard
    /// while the request was looked into. The fences are durable first, then the record. One that was not written may be on the
    /// disk all the same, its directory not synced: the record in memory is written over it.
    pub(super) fn commit(&mut self, record: Record, by: Option<&Target>) -> Result<(), Refusal> {
        if let Some(target) = by {
            self.snapshot().admission(&self.host).check(target)?;
            let raised = self.host.raise_epoch(target.lineage.as_ref(), target.epoch);
            raised.map_err(|error| fence_refused(&error))?;
        }
        self.raise_fences(record.epoch, record.generation).map_err(|error| fence_refused(&error))?;
        // A disk on which nothing can be written has refused the order by now.
        if let Some(target) = by {
            // Another agent of the host may have heard another operator first.
            let taken = self.host.take_order(target, undecided(&record)).map_err(|error| fence_refused(&error));
            let taken = taken.and_then(|()| self.snapshot().admission(&self.host).check(target));
            taken.inspect_err(|_| self.host.note_undecided(&self.agent.name, undecided(&self.record)))?;
        }
        if let Err(error) = self.host.save(&record) {
            self.note_save(Some(&error));
            self.save_record();
            return Err(refuse(storage_reason(&error), format!("the journal cannot be written: {error}")));
        }
        self.record = record;
        self.note_save(None);
        Ok(())
    }
}

impl OpenedWith {
    /// After as many others as somebody mistypes it is not compared any more: nobody tries a list of words here.
    fn is_same(&self, asked: Option<&SecretString>) -> bool {
        if self.wrong.load(Ordering::Relaxed) >= MAX_WRONG_PASSWORDS {
            return false;
        }
        let is_same = same_secret(self.password.as_ref(), asked);
        if !is_same {
            self.wrong.fetch_add(1, Ordering::Relaxed);
        }
        is_same
    }
}

impl RotatorStatus {
    pub fn admit_open(&self, host: &Host, request: &RotationOpen) -> Admission {
        let known = self.opened_with.as_ref().filter(|known| known.generation == request.target.generation);
        let same_password = || known.is_none_or(|known| known.is_same(request.keystore.store_password.as_ref()));
        let is_same = || self.has_mark(request.mark.as_ref()) && same_password();
        self.admission(host).open(&request.target, open_digest(request), is_same)
    }

    /// # Errors
    /// A refusal.
    pub fn admit_question(&self, host: &Host, question: &PasswordQuestion) -> Result<(), Refusal> {
        self.admission(host).question(&question.target)
    }

    pub fn admit_renewal(&self, host: &Host, order: &RenewalOrder) -> Admission {
        self.admission(host).open(&order.target, renewal_digest(), || self.has_mark(order.mark.as_ref()))
    }

    /// What one order has come to is no answer to another, which has another mark. An order without one may be of an earlier version.
    fn has_mark(&self, asked: Option<&OrderMark>) -> bool {
        let known = self.record.rotation.as_ref().and_then(|newest| newest.mark.as_ref());
        known.zip(asked).is_none_or(|(known, asked)| known == asked)
    }

    pub fn admit_chain(&self, host: &Host, delivery: &ChainDelivery) -> Admission {
        self.admission(host).deliver(&delivery.target, chain_digest(delivery))
    }

    pub fn admit_rollback(&self, host: &Host, order: &RollbackOrder) -> Admission {
        self.admission(host).roll_back(&order.target)
    }

    /// # Errors
    /// A refusal. Whether it is done already.
    pub fn admit_hand_over(&self, host: &Host, order: &HandOver) -> Result<bool, Refusal> {
        self.admission(host).hand_over(&order.target, &order.to)
    }

    fn admission<'a>(&'a self, host: &'a Host) -> AdmissionContext<'a> {
        let (Speaker { lineage, epoch }, now) = (host.speaker(), Timestamp::now());
        AdmissionContext {
            host: &host.name,
            agent: &self.record.agent,
            lineage,
            epoch,
            record: &self.record,
            leaf_place: &self.leaf_place,
            now,
        }
    }
}

/// The rotation that is.
pub(super) fn undecided(record: &Record) -> Option<Generation> {
    record.rotation.as_ref().filter(|rotation| !rotation.state.is_decided()).map(|rotation| rotation.generation)
}

/// What an open asks for, its password and its epoch left out: the next leader repeats it with its own.
pub(super) fn open_digest(request: &RotationOpen) -> Digest {
    let KeystoreOrder { format, alias, on_unreadable, store_password } = &request.keystore;
    let with_password = store_password.is_some();
    let contents = serde_json::to_vec(&(&request.certificate, format, alias, on_unreadable, with_password));
    Digest::of(&contents.expect("a parsed request is JSON again"))
}

pub(super) fn chain_digest(delivery: &ChainDelivery) -> Digest {
    Digest::of(delivery.chain.as_bytes())
}

/// An order to renew asks for nothing that could differ; whose it is its mark says.
pub(super) fn renewal_digest() -> Digest {
    Digest::of(b"renewal")
}

/// For a repeat that no agent's thread is asked for: whoever has sent it speaks, and the leader before no more. Durable when it
/// returns.
///
/// # Errors
/// A refusal.
pub fn hear(host: &Host, by: &Target) -> Result<(), Refusal> {
    host.raise_epoch(by.lineage.as_ref(), by.epoch).map_err(|error| fence_refused(&error))
}

fn fence_refused(error: &FenceError) -> Refusal {
    let reason = match error {
        FenceError::Unread { .. } | FenceError::LineageUnread { .. } => RefusalReason::Unavailable,
        FenceError::Write(error) => storage_reason(error),
        FenceError::Configured(_) => RefusalReason::LineageConfigured,
        FenceError::OtherLineage(_) => RefusalReason::OtherLineage,
        FenceError::Deposed { accepted, .. } => {
            let refusal = refuse(RefusalReason::StaleEpoch, error.to_string());
            return Refusal { epoch: Some(*accepted), ..refusal };
        }
        FenceError::HandedBack { .. } => RefusalReason::HandedBack,
        FenceError::InProgress { generation, .. } => {
            let refusal = refuse(RefusalReason::RotationInProgress, error.to_string());
            return Refusal { generation: Some(*generation), ..refusal };
        }
        FenceError::Elsewhere { .. } => RefusalReason::Internal,
    };
    refuse(reason, error.to_string())
}

pub(super) const fn storage_reason(error: &WriteError) -> RefusalReason {
    if is_full(error) { RefusalReason::InsufficientStorage } else { RefusalReason::Internal }
}

pub(super) const fn is_full(error: &WriteError) -> bool {
    matches!(error, WriteError::NoSpace { .. } | WriteError::TooLittleRoom { .. })
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep_until;

    use super::super::agent::LeafPlace;
    use super::super::machine::Before;
    use super::super::scene::{TRUE, block_journal, open, put_into, rotator, unblock_journal};
    use super::*;

    /// Holds A7: an order that was refused because its entry could not be made durable is not found at the next start.
    #[tokio::test]
    async fn what_a_refused_request_has_left_on_the_disk_is_written_over() {
        for is_stopping in [false, true] {
            let root = tempfile::tempdir().expect("directory");
            let (mut rotator, _lock) = rotator(root.path(), TRUE);
            let committed = Phase::Committed { before: Before::NotServed };
            put_into(&mut rotator, committed.clone(), None);
            block_journal(root.path());
            let failure = RotationFailure::new("rolled_back_by_order", "ordered");
            rotator.give_up(Event::Ordered(failure.clone()), None, None).expect_err("it cannot be written");
            unblock_journal(root.path());
            // What a rename has left whose directory could not be synced.
            let mut refused = rotator.record.clone();
            refused.rotation.as_mut().expect("rotation").state = committed.clone().after(Event::Ordered(failure));
            let journal = root.path().join("state/journal/web.json");
            refused.save(&journal).expect("saved");
            if is_stopping {
                rotator.host.stop.cancel();
                rotator.advance(|_| {}).await;
            } else {
                sleep_until(rotator.next_chore().expect("a chore")).await;
                rotator.do_chores(|_| {}).await;
            }
            let on_disk = Record::peek(&journal, &rotator.agent.name).expect("a journal");
            assert_eq!(on_disk.rotation.expect("rotation").state, committed, "stopping: {is_stopping}");
        }
    }

    /// Holds B11: a repeat of an open says whether its password is the one in force, and is no way to try a list of words.
    #[test]
    fn a_repeat_with_the_right_password_is_not_known_any_more_after_a_few_wrong_ones() {
        let password = |text: &str| Some(SecretString::from(text));
        let opened = OpenedWith { generation: Generation(1), password: password("right"), wrong: Arc::default() };
        for _ in 0..MAX_WRONG_PASSWORDS {
            assert!(opened.is_same(password("right").as_ref()));
            assert!(!opened.clone().is_same(password("wrong").as_ref()));
        }
        assert!(!opened.is_same(password("right").as_ref()));
    }

    /// Holds B11: who may not speak, or asks for something else, uses up no try of who may.
    #[test]
    fn only_a_repeat_that_may_be_one_counts_as_a_try_of_a_password() {
        let root = tempfile::tempdir().expect("directory");
        let (mut rotator, _lock) = rotator(root.path(), TRUE);
        rotator.open(&open(), Ok(())).expect("opened");
        rotator.raise_fences(Epoch(7), Generation(1)).expect("a new leader");
        let mut wrong = open();
        wrong.keystore.store_password = Some(SecretString::from("wrong"));
        for _ in 0..=MAX_WRONG_PASSWORDS {
            assert!(matches!(rotator.snapshot().admit_open(&rotator.host, &wrong), Admission::Refused(_)));
        }
        let again = RotationOpen { target: Target { epoch: Epoch(7), ..open().target }, ..open() };
        assert!(matches!(rotator.snapshot().admit_open(&rotator.host, &again), Admission::Replay(_)));
    }

    /// Of an operator that was restored from a backup, and counts anew.
    #[test]
    fn an_open_of_the_same_generation_with_another_mark_is_no_repeat_and_no_try_of_a_password() {
        let root = tempfile::tempdir().expect("directory");
        let (mut rotator, _lock) = rotator(root.path(), TRUE);
        let marked = |mark: &str| RotationOpen { mark: mark.parse().ok(), ..open() };
        rotator.open(&marked("a.1"), Ok(())).expect("opened");
        let admitted = |open: &RotationOpen| rotator.snapshot().admit_open(&rotator.host, open);
        let mut other = marked("a.2");
        other.keystore.store_password = Some(SecretString::from("wrong"));
        for _ in 0..=MAX_WRONG_PASSWORDS {
            assert!(
                matches!(admitted(&marked("a.2")), Admission::Refused(why) if why.reason == RefusalReason::GenerationConflict)
            );
            assert!(matches!(admitted(&other), Admission::Refused(_)));
        }
        for repeated in [marked("a.1"), open()] {
            assert!(matches!(admitted(&repeated), Admission::Replay(_)), "{:?}", repeated.mark);
        }
    }

    /// Holds A14: a new leader was heard for another agent while an order of the old one was looked into.
    #[tokio::test]
    async fn an_order_is_not_begun_for_who_speaks_no_more_or_waits_no_more() {
        let root = tempfile::tempdir().expect("directory");
        let (mut rotator, _lock) = rotator(root.path(), TRUE);
        put_into(&mut rotator, Phase::Committed { before: Before::NotServed }, None);
        let order = RollbackOrder { target: open().target };
        rotator.host.raise_epoch(None, Epoch(7)).expect("raised");
        let failure = RotationFailure::new("rolled_back_by_order", "ordered");
        let refused = rotator.give_up(Event::Ordered(failure), None, Some(&order.target)).expect_err("deposed");
        assert_eq!((refused.reason, refused.epoch), (RefusalReason::StaleEpoch, Some(Epoch(7))));

        rotator.record.rotation.as_mut().expect("rotation").state = Phase::Keyed;
        let order = RollbackOrder { target: Target { epoch: Epoch(7), ..order.target } };
        let refused = rotator.roll_back(&order, || false).await.expect_err("gone");
        assert_eq!(refused.reason, RefusalReason::Unavailable);
        assert_eq!(rotator.record.rotation.as_ref().expect("rotation").state, Phase::Keyed);
        let newer = RollbackOrder { target: Target { epoch: Epoch(9), ..order.target.clone() } };
        let report = rotator.roll_back(&newer, || true).await.expect("it waits");
        assert_eq!(
            (rotator.record.epoch, rotator.host.speaker().epoch),
            (Epoch(9), Epoch(9)),
            "the old leader speaks no more"
        );
        assert_eq!(report.state, Phase::RolledBack { failure: RotationFailure::new("", "") }.reported());
    }

    /// A host has one lineage for all its agents, and each has a thread.
    #[tokio::test]
    async fn a_host_is_not_given_away_while_another_agent_begins_a_rotation_and_none_is_begun_for_whom_it_was_taken_from()
     {
        let root = tempfile::tempdir().expect("directory");
        let (mut rotator, _lock) = rotator(root.path(), TRUE);
        let console = Agent { name: "console".parse().expect("a name"), ..rotator.agent.clone() };
        let mut other = Rotator::make_whole(rotator.host.clone(), console).expect("journal");
        let by = |name: &str, agent: &Rotator| Target {
            lineage: Some(name.parse().expect("a lineage")),
            agent: agent.agent.name.clone(),
            ..open().target
        };
        let (tokyo, of_other) = (by("tokyo", &rotator), by("tokyo", &other));
        other.open(&RotationOpen { target: of_other.clone(), ..open() }, Ok(())).expect("opened");
        let order = HandOver { target: tokyo, to: "osaka".parse().expect("a lineage") };
        let refused = rotator.hand_over(&order).expect_err("the other waits for a chain");
        assert_eq!((refused.reason, refused.generation), (RefusalReason::RotationInProgress, Some(Generation(1))));
        assert!(refused.message.contains("of console"), "{}", refused.message);
        assert_eq!(rotator.host.speaker().lineage, of_other.lineage);

        other.roll_back(&RollbackOrder { target: of_other.clone() }, || true).await.expect("called off");
        rotator.hand_over(&order).expect("nothing is on its way");
        // What was admitted before that comes to be written down only now.
        let taken = rotator.host.take_order(&of_other, Some(Generation(2)));
        assert!(matches!(taken, Err(FenceError::OtherLineage(_))), "{taken:?}");
        let heard = hear(&rotator.host, &Target { epoch: Epoch(9), ..of_other }).expect_err("it speaks no more");
        assert_eq!(heard.reason, RefusalReason::OtherLineage);
        assert_eq!(rotator.host.speaker(), Speaker { lineage: Some(order.to.clone()), epoch: Epoch(0) });
        let kobe = HandOver { to: "kobe".parse().expect("a lineage"), ..order.clone() };
        assert_eq!(rotator.hand_over(&kobe).expect_err("it is another's").reason, RefusalReason::OtherLineage);
        let next = HandOver { target: by("osaka", &rotator), ..kobe };
        rotator.hand_over(&next).expect("the rotation that was not taken stands in nobody's way");
    }

    /// A successor that is to keep the host may be heard by another agent after the order was admitted, and what an order decides may
    /// not be written in the end.
    #[test]
    fn a_host_is_not_given_away_by_a_deposed_leader_or_before_a_decision_is_written() {
        let root = tempfile::tempdir().expect("directory");
        let (rotator, _lock) = rotator(root.path(), TRUE);
        let (host, agent) = (&rotator.host, &rotator.agent.name);
        let (old, osaka) =
            (Target { lineage: "tokyo".parse().ok(), ..open().target }, "osaka".parse().expect("a lineage"));
        let new = Target { epoch: Epoch(old.epoch.0 + 1), ..old.clone() };
        host.take_order(&old, Some(Generation(3))).expect("taken");
        host.raise_epoch(new.lineage.as_ref(), new.epoch).expect("raised");
        host.take_order(&new, None).expect("taken");
        assert!(matches!(host.hand_over(&old, &osaka), Err(FenceError::Deposed { .. })));
        let refused = fence_refused(&host.hand_over(&old, &osaka).expect_err("deposed"));
        assert_eq!((refused.reason, refused.epoch), (RefusalReason::StaleEpoch, Some(new.epoch)));
        assert!(matches!(host.hand_over(&new, &osaka), Err(FenceError::InProgress { .. })), "it is not written");
        host.note_undecided(agent, None);
        host.hand_over(&new, &osaka).expect("it is written");
    }

    /// A disk on which nothing can be written gives the host to nobody.
    #[test]
    fn an_order_that_was_refused_for_its_fence_does_not_take_the_host() {
        let root = tempfile::tempdir().expect("directory");
        let (mut rotator, _lock) = rotator(root.path(), TRUE);
        let lineage = Some("osaka".parse().expect("a lineage"));
        let order = RotationOpen { target: Target { lineage: lineage.clone(), ..open().target }, ..open() };
        let fences = root.path().join("state/fences");
        let moved = root.path().join("moved");
        std::fs::create_dir_all(&fences).expect("mkdir");
        std::fs::rename(&fences, &moved).expect("moved");
        std::fs::write(&fences, "in its place").expect("written");
        rotator.open(&order, Ok(())).expect_err("the fence cannot be written");
        assert_eq!(rotator.host.speaker().lineage, None);
        std::fs::remove_file(&fences).expect("removed");
        std::fs::rename(&moved, &fences).expect("back");
        rotator.open(&order, Ok(())).expect("opened");
        assert_eq!(rotator.host.speaker().lineage, lineage);
    }

    /// Holds A13: a look may take longer than whoever ordered waits for it, and is not asked for again and again in vain.
    #[tokio::test]
    async fn a_look_that_nobody_waited_for_counts_for_a_repeat_of_the_order_and_for_no_other() {
        let root = tempfile::tempdir().expect("directory");
        let (mut rotator, _lock) = rotator(root.path(), TRUE);
        put_into(&mut rotator, Phase::Committed { before: Before::NotServed }, None);
        let order = RollbackOrder { target: open().target };
        let refused = rotator.roll_back(&order, || false).await.expect_err("gone");
        assert_eq!(refused.reason, RefusalReason::Unavailable);
        let place = rotator.agent.leaf_place.clone();
        let LeafPlace::Endpoint(endpoint) = &mut rotator.agent.leaf_place else { panic!("{place:?}") };
        endpoint.at.address = "no..name:443".to_owned();
        let begun = rotator.roll_back(&order, || true).await.expect("looked at already");
        assert_eq!(begun.state.as_str(), "rolling_back");
        rotator.record.rotation.as_mut().expect("rotation").state = Phase::Committed { before: Before::NotServed };
        let refused = rotator.roll_back(&order, || true).await.expect_err("cannot be looked at");
        assert_eq!(refused.reason, RefusalReason::Unavailable);
        rotator.agent.leaf_place = place;
        rotator.roll_back(&order, || true).await.expect("can be again");
    }
}
