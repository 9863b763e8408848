//! Carries effects out, one after the other: the thin shell around `machine`. It blocks on files and waits on programs
//! and handshakes, all on one thread.

use std::time::Duration;

use jiff::Timestamp;
use kagiban_crds::LeafSha256;
use kagiban_crds::host_api::Leaf;
use tokio::time::Instant;

use super::agent::{AgentConfigError, Procedure};
use super::failure::RotationFailure;
use super::function::{self, ends_rollback};
use super::journal::{FileSwap, Record, Rotation};
use super::live;
use super::machine::{Before, Effect, Event, Phase};
use super::push::backup;
use super::repair;
use super::rotator::Rotator;
use super::stopping::{AtStop, Outlook, at_stop, decides_nothing, only_waits, was_begun};
use super::trigger::prune_product_backups;
use super::trigger::renewal::ServedLeaf;
use crate::platform::ProgramError;

impl Rotator {
    /// Goes on until the rotation is decided, or waits for a chain, or the program is to end and the service is up. `seen`
    /// is told of every state.
    pub async fn advance(&mut self, mut seen: impl FnMut(&Self)) {
        while let Some(rotation) = &self.record.rotation {
            self.chores.discard_due |= !rotation.state.is_decided();
            let effect = rotation.state.effect();
            let stopping = self.host.stop.is_cancelled();
            if stopping {
                self.stopping_since.get_or_insert_with(Instant::now);
            }
            let event = match if stopping { at_stop(&rotation.state, self.outlook()) } else { AtStop::GoOn } {
                AtStop::Leave => break,
                AtStop::StartIfDownAndLeave if self.was_started_at_stop || !self.is_nobody_there().await => break,
                AtStop::StartAndLeave | AtStop::StartIfDownAndLeave => {
                    if let Err(error) = self.start("start_failed_at_stop").await {
                        tracing::warn!(agent = %self.agent.name, error = error.message, "the agent was not started; the next start tries again");
                        self.keep_up_for_next_start().await;
                    }
                    break;
                }
                AtStop::SeeUpAndLeave => match self.see_up().await {
                    Ok(()) => break,
                    Err(failure) => Event::Failed(failure),
                },
                AtStop::KeepUp => match self.keep_up().await {
                    Ok(()) => continue,
                    Err(failure) => Event::Failed(failure),
                },
                AtStop::Instead(event) => event,
                AtStop::GoOn if matches!(effect, Effect::Nothing | Effect::AwaitChain) => break,
                AtStop::GoOn => {
                    let Some(event) = self.perform_until_stop(effect, stopping).await else { continue };
                    event
                }
            };
            if decides_nothing(effect, &event, self.host.stop.is_cancelled()) {
                tracing::warn!(agent = %self.agent.name, ?event, "the rotation goes on from here at the next start");
                self.keep_up_for_next_start().await;
                break;
            }
            if let Event::Failed(RotationFailure { reason, message, .. }) = &event {
                tracing::warn!(agent = %self.agent.name, ?effect, reason, error = message, "a step of the rotation failed");
            }
            let was_verified = self.is_verified;
            self.proceed(event);
            seen(self);
            if was_verified && self.is_verified {
                // The entry that says so was tried twice, and is written with growing pauses.
                break;
            }
        }
        if self.host.stop.is_cancelled() {
            self.leave_in_order();
        }
        self.tidy();
        self.plan_chores();
    }

    /// What is left to the next start is not left by a crash. Where that cannot be written, it counts as one. What the journal
    /// says that is not so is not left there.
    fn leave_in_order(&mut self) {
        let mut is_behind = self.is_unsaved();
        if let Some(rotation) = &mut self.record.rotation
            && !rotation.state.is_decided()
            && !rotation.left_in_order
        {
            (rotation.left_in_order, is_behind) = (true, true);
        }
        if is_behind {
            self.save_record();
        }
    }

    /// A record that cannot be written now is written later.
    pub(super) fn save_record(&mut self) {
        let saved = self.host.save(&self.record);
        self.note_save(saved.as_ref().err());
    }

    /// None when the program is to end while nothing but waiting was done. `stopping` says whether that was known when the
    /// effect was chosen: a stop that comes after it breaks a wait off.
    async fn perform_until_stop(&mut self, effect: Effect, stopping: bool) -> Option<Event> {
        // Once the program is to end, only what is not left to the next start is waited for.
        if !only_waits(effect) || stopping {
            return Some(self.perform(effect).await);
        }
        let stop = self.host.stop.clone();
        tokio::select! {
            event = self.perform(effect) => Some(event),
            () = stop.cancelled() => None,
        }
    }

    async fn perform(&mut self, effect: Effect) -> Event {
        let may_end = self.outlook() == Outlook::MayEnd;
        let done = match effect {
            Effect::Stage => self.stage(),
            Effect::BackUp => self.back_up(),
            Effect::Preflight => return self.preflight().await,
            Effect::Stop => self.stop_for_swap().await,
            Effect::Swap => self.swap(),
            Effect::Inspect => self.inspect().await,
            Effect::Start => self.start("start_failed").await,
            Effect::VerifyNew if self.is_verified => Ok(()),
            Effect::VerifyNew => match self.verify_new().await {
                Ok(()) => self.prove_function().await,
                failed => failed,
            },
            Effect::CheckFiles => self.check_files(),
            Effect::LookForNew => self.look_for_new().await,
            Effect::HaveBackedUp => match self.have_backed_up().await {
                Ok(()) => return self.preflight().await,
                Err(failure) => Err(failure),
            },
            Effect::Renew if self.is_of_repair() => self.run_repair().await,
            Effect::Renew => self.run_renewal().await,
            Effect::Prove if self.is_verified => Ok(()),
            Effect::Prove if self.is_of_repair() => self.prove_repair().await,
            Effect::Prove => self.prove().await,
            // Nothing brings back what was there before.
            Effect::Revert if self.is_of_repair() => Ok(()),
            Effect::Revert => {
                let reverted = self.revert().await;
                self.forget_start();
                reverted
            }
            Effect::Settle if self.is_of_repair() => {
                self.settle_repair().await;
                Ok(())
            }
            Effect::Settle => self.settle().await,
            Effect::LookForOld => self.look_for(&self.old_leaves()).await,
            Effect::Discard => self.discard(),
            Effect::EnsureStopped => self.stop("stop_failed_in_rollback").await,
            Effect::Restore => self.restore().await,
            Effect::EnsureStarted => {
                self.see_whether_down().await;
                self.start("start_failed_in_rollback").await
            }
            Effect::WatchOld => self.watch_old().await,
            Effect::Drain => self.drain().await,
            Effect::VerifyOld => self.verify_old().await,
            // Their events come from requests.
            Effect::MakeKey | Effect::AwaitChain | Effect::Nothing => Ok(()),
        };
        // It decides nothing there, and nobody waits for it at this program's end.
        if done.is_ok()
            && ends_rollback(effect)
            && !self.host.stop.is_cancelled()
            && let Err(lost) = self.prove_function().await
        {
            return Event::DoneWithoutFunction(lost);
        }
        let proves_nothing = effect == Effect::EnsureStarted && may_end;
        done.map_or_else(Event::Failed, |()| if proves_nothing { Event::Unsettled } else { Event::Done })
    }

    /// The next state, durable before anything is done in it.
    pub(super) fn proceed(&mut self, event: Event) {
        let note = match &event {
            Event::Failed(failure)
            | Event::Ordered(failure)
            | Event::OrderedToRevert(failure)
            | Event::DoneWithoutFunction(failure) => failure.text(),
            Event::Cleared(Before::NotServed) | Event::ClearedToRenew(None) | Event::ClearedToBackUp(None) => {
                "the old leaf was not served before".to_owned()
            }
            Event::Frozen(finding) => finding.note().to_owned(),
            Event::Unsettled => "a stop that was begun may still end the service".to_owned(),
            Event::Cleared(Before::Served(_))
            | Event::ClearedToRenew(Some(_))
            | Event::ClearedToBackUp(Some(_))
            | Event::Done => String::new(),
        };
        let Some(mut rotation) = self.record.rotation.clone() else { return };
        let note = repair::noted(function::noted(note, &rotation, &event), &rotation, &event);
        rotation.stop_begun = rotation.stop_begun.take().filter(|_| was_begun(&rotation.state, &event));
        let next = rotation.state.clone().after(event);
        let verified = matches!(next, Phase::Committed { .. }) && rotation.state.is_verifying();
        self.is_verified = false;
        match self.enter(rotation.clone(), next.clone(), note) {
            Ok(()) => {}
            // Not told to anybody before it is durable.
            Err(_) if verified => (self.record.rotation, self.is_verified) = (Some(rotation), true),
            Err(failure) => {
                let instead = rotation.state.clone().unsaved(next, failure.clone());
                // Recovery finds its way from the older entry too, by looking at the files.
                let _ = self.enter(rotation, instead, failure.message);
            }
        }
        if let Some(rotation) = &self.record.rotation {
            let generation = rotation.generation.0;
            tracing::info!(agent = %self.agent.name, generation, state = ?rotation.state.reported(), "rotation");
        }
    }

    pub(super) fn enter(&mut self, mut rotation: Rotation, next: Phase, note: String) -> Result<(), RotationFailure> {
        // In the same entry: a process that ends right after it removes nothing.
        rotation.discard_due = self.chores.discard_due && next.is_decided() && !rotation.files.is_empty();
        rotation.state = next;
        rotation.log(Timestamp::now(), note);
        self.write_down(rotation)
    }

    pub(super) fn write_down(&mut self, mut rotation: Rotation) -> Result<(), RotationFailure> {
        rotation.left_in_order = false;
        let saved = Record { rotation: Some(rotation), ..self.record.clone() };
        let result = self.host.save(&saved);
        self.record = saved;
        self.note_save(result.as_ref().err());
        result
            .map_err(|error| RotationFailure::new("journal_failed", format!("the journal cannot be written: {error}")))
    }

    /// Before the service is stopped, or a program of its own is run: of one that writes a backup first, before that and after it.
    async fn preflight(&mut self) -> Event {
        let backs_up = self.backs_up_next();
        tokio::time::sleep(self.until_restart_is_due()).await;
        // It may take minutes: what is looked at is as it was when the service is stopped.
        self.ask_function_before().await;
        let seen = match self.check_service() {
            Ok(()) if self.is_repaired() => self.look_before_repair().await.map(|()| None),
            Ok(()) => self.look_before_stop().await,
            Err(failure) => Err(failure),
        };
        let keep = |seen: Option<Leaf>| self.keep_files(seen.as_ref()).map(|()| seen);
        let kept = if backs_up { seen } else { seen.and_then(keep) };
        // Last: the service is stopped next.
        let cleared = match kept {
            Ok(seen) => self.power().await.map(|()| seen).map_err(RotationFailure::from),
            Err(failure) => Err(failure),
        };
        match (cleared, &self.agent.procedure) {
            (Err(failure), _) => Event::Failed(failure),
            (Ok(seen), Procedure::Push(_)) => Event::Cleared(Before::of(seen.map(|leaf| leaf.sha256))),
            (Ok(_), Procedure::Repair(_)) => Event::ClearedToRenew(None),
            (Ok(seen), Procedure::Trigger(_)) => {
                let leaf = seen.map(|Leaf { sha256, not_after, .. }| ServedLeaf { sha256, not_after });
                if let Some(rotation) = &mut self.record.rotation {
                    rotation.previous = leaf.map(|leaf| leaf.sha256);
                }
                match leaf.as_ref().map_or(Ok(()), ServedLeaf::check_may_be_followed) {
                    Ok(()) if backs_up => Event::ClearedToBackUp(leaf),
                    Ok(()) => Event::ClearedToRenew(leaf),
                    Err(failure) => Event::Failed(failure),
                }
            }
        }
    }

    /// What could not be started again is not stopped; nor is anything run that others may have exchanged since this agent was looked at
    /// last.
    pub(super) fn check_service(&self) -> Result<(), RotationFailure> {
        let told =
            |(setting, error): (_, ProgramError)| RotationFailure::new(error.reason(), format!("{setting}: {error}"));
        self.agent.check_commands().map_err(told)?;
        let exposed = |error: AgentConfigError| RotationFailure::new(ProgramError::NOT_RUNNABLE, error.to_string());
        self.host.check_unexposed(&self.agent).map_err(exposed)
    }

    /// A service that this host cannot look at is not stopped: it could not be verified afterwards.
    pub(super) async fn look_before_stop(&self) -> Result<Option<Leaf>, RotationFailure> {
        live::before(&self.agent.leaf_place, self.agent.verify.interval).await
    }

    /// Nothing when the clock was set back: it must not hold a rotation longer than the interval.
    fn until_restart_is_due(&self) -> Duration {
        let interval = self.agent.service.min_restart_interval;
        let since = self.record.last_restart.map(|last| Timestamp::now().duration_since(last));
        let since = since.and_then(|since| Duration::try_from(since).ok());
        since.map_or(Duration::ZERO, |since| interval.saturating_sub(since))
    }

    /// Nothing of a decided rotation stays: no staged key on disk, no key in memory, no backup too many. Where it is
    /// frozen, the old files beside the new ones can be restored without any space, and stay.
    pub(super) fn tidy(&mut self) {
        if self.record.rotation.as_ref().is_none_or(|rotation| !rotation.state.is_decided()) {
            return self.stop_tidying();
        }
        self.pending = None;
        // Of a rotation that an earlier process has ended it is known whether something was left: else its directory may be another
        // one since somebody has installed the agent anew.
        let is_due = self.chores.discard_due;
        let swept = match is_due {
            _ if self.is_frozen() => Ok(()),
            true => self.discard_all(),
            false => self.discard(),
        };
        self.chores.discard_due &= swept.is_err() || self.is_frozen();
        self.note_discard_due(self.chores.discard_due && !self.files().is_empty());
        let earlier = self.discard_earlier();
        let (state_directory, keep) = (&self.host.state_directory, self.agent.backups());
        let pruned = backup::prune(state_directory, &self.agent.name, keep, self.files());
        // Before the others are counted: it would take the place of one that is whole.
        let unchecked = self.discard_unchecked_backup();
        let of_product = prune_product_backups(&state_directory.product_backups(&self.agent.name), keep);
        let left = [swept, earlier].into_iter().filter_map(Result::err).map(|failure| failure.message);
        let failed: Vec<_> = left.chain(pruned).chain(unchecked).chain(of_product).collect();
        self.note_untidy((!failed.is_empty()).then(|| failed.join("; ")));
    }

    /// The next process looks for it too. Where the journal cannot be written, this one does.
    fn note_discard_due(&mut self, is_due: bool) {
        if let Some(rotation) = &mut self.record.rotation
            && rotation.discard_due != is_due
        {
            rotation.discard_due = is_due;
            self.save_record();
        }
    }

    pub(super) fn is_frozen(&self) -> bool {
        self.record.rotation.as_ref().is_some_and(|rotation| matches!(rotation.state, Phase::Frozen { .. }))
    }

    pub(super) fn files(&self) -> &[FileSwap] {
        self.record.rotation.as_ref().map_or(&[], |rotation| &rotation.files)
    }

    pub(super) fn new_leaf(&self) -> Option<LeafSha256> {
        let leaf: Option<&Leaf> = self.record.rotation.as_ref().and_then(|rotation| rotation.leaf.as_ref());
        leaf.map(|leaf| leaf.sha256)
    }

    /// The one that was served, and the one in the old file: a service that was not restarted since its file changed
    /// serves the file's after a rollback.
    pub(super) fn old_leaves(&self) -> Vec<LeafSha256> {
        let Some(rotation) = &self.record.rotation else { return Vec::new() };
        let served = match &rotation.state {
            Phase::RollingBack { before: Before::Served(leaf), .. } => Some(*leaf),
            _ => None,
        };
        served.into_iter().chain(rotation.previous).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use kagiban_crds::Generation;
    use kagiban_crds::host_api::{RefusalReason, RenewalOrder, RollbackOrder};
    use tokio::time::sleep_until;

    use super::super::digest::Digest;
    use super::super::journal::FileRole;
    use super::super::machine::{Finding, Rollback};
    use super::super::scene::{TRUE, block_journal, open, put_into, renewing_by, rotator, unblock_journal};
    use super::super::trigger::renewal::Renewal;
    use super::*;
    use crate::platform::testing::exposed_command;
    use crate::platform::{self, Links};

    /// A file of a rotation in `directory`, with a key that waits beside it.
    fn staged_key(directory: &Path) -> FileSwap {
        let [path, staged] = ["tls.key", ".tls.key.new"].map(|name| directory.join(name));
        fs::write(&path, "old").expect("write");
        fs::write(&staged, "new").expect("write");
        FileSwap {
            directory: Some(platform::directory_identity(directory).expect("a directory")),
            attributes: platform::read_held(&path, 100, Links::Refuse).expect("a file").attributes,
            path,
            staged,
            new: Digest::of(b"new"),
            holds: FileRole::Key,
            old: None,
            ready: None,
        }
    }

    /// Holds A1: in no order of a kill, a freeze, a thaw and another rotation, while the directory is away, a staged key is forgotten.
    #[tokio::test]
    async fn a_staged_key_in_a_directory_that_was_away_is_removed_when_that_is_back() {
        let failure = || RotationFailure::new("any", "any");
        let discarding = || Phase::Discarding { failure: failure() };
        let start_anyway = || Phase::RollingBack {
            step: Rollback::StartAnyway,
            before: Before::NotServed,
            failure: failure(),
            by_order: false,
        };
        for (ends_in, thaws, is_killed, opens) in [
            (discarding(), false, true, false),
            (discarding(), false, false, true),
            (discarding(), false, true, true),
            (start_anyway(), true, false, false),
            (start_anyway(), true, true, false),
            (start_anyway(), true, true, true),
        ] {
            let case = format!("{ends_in:?}, killed: {is_killed}, opens: {opens}");
            let root = tempfile::tempdir().expect("directory");
            let [home, aside] = ["home", "aside"].map(|name| root.path().join(name));
            fs::create_dir(&home).expect("mkdir");
            let (mut one, mut lock) = rotator(root.path(), TRUE);
            put_into(&mut one, ends_in, None);
            one.record.rotation.as_mut().expect("a rotation").files = vec![staged_key(&home)];
            one.chores.discard_due = true;
            fs::rename(&home, &aside).expect("rename");
            one.proceed(Event::Done);
            if is_killed {
                drop((one, lock));
                (one, lock) = rotator(root.path(), TRUE);
            }
            one.advance(|_| {}).await;
            if thaws {
                one.proceed(Event::Frozen(Finding::Thawed));
                one.advance(|_| {}).await;
            }
            if opens {
                let mut order = open();
                order.target.generation = Generation(2);
                one.open(&order, Ok(())).expect("opened");
                one.proceed(Event::Ordered(failure()));
                one.advance(|_| {}).await;
                drop((one, lock));
                (one, lock) = rotator(root.path(), TRUE);
                one.advance(|_| {}).await;
            }
            fs::rename(&aside, &home).expect("rename");
            sleep_until(one.next_chore().expect("it is looked for")).await;
            one.do_chores(|_| {}).await;
            assert!(!home.join(".tls.key.new").exists(), "{case}");
            assert!(home.join("tls.key").exists(), "{case}");
            let rotation = one.record.rotation.as_ref().expect("a rotation");
            assert!(rotation.left_behind().is_empty() && one.next_chore().is_none(), "{case}");
            drop(lock);
        }
    }

    /// Who may exchange a command at a time says nothing of another time.
    #[tokio::test]
    async fn what_others_may_exchange_is_judged_when_a_rotation_is_asked_for_and_before_anything_is_stopped_or_renewed()
    {
        let (_theirs, command) = exposed_command();
        let target = open().target;
        let renewal = RenewalOrder { target: target.clone(), mark: None };
        for takes_a_key in [true, false] {
            let root = tempfile::tempdir().expect("directory");
            let (mut rotator, _lock) =
                if takes_a_key { rotator(root.path(), &command) } else { renewing_by(root.path(), &command) };
            let ask = |rotator: &mut Rotator| {
                if takes_a_key { rotator.open(&open(), Ok(())) } else { rotator.renew(&renewal, Ok(())) }
            };
            rotator.host.refuses_exposed = true;
            let refused = ask(&mut rotator).expect_err("others may exchange it");
            let setting = if takes_a_key { "service.start" } else { "renew.command" };
            let is_told =
                [setting, "does not run what others may exchange"].map(|words| refused.message.contains(words));
            assert_eq!((refused.reason, is_told), (RefusalReason::KeystoreRefused, [true; 2]), "{refused:?}");
            assert!(rotator.record.rotation.is_none(), "nothing was begun");

            rotator.host.refuses_exposed = false;
            ask(&mut rotator).expect("who works for a person is told, and not refused");
            let before = if takes_a_key { Phase::BackedUp } else { Phase::Renewal { step: Renewal::Ordered } };
            rotator.record.rotation.as_mut().expect("a rotation").state = before;
            let cleared = rotator.perform(Effect::Preflight).await;
            assert!(matches!(cleared, Event::Cleared(_) | Event::ClearedToRenew(_)), "{cleared:?}");
            rotator.host.refuses_exposed = true;
            let judged = rotator.perform(Effect::Preflight).await;
            assert!(matches!(judged, Event::Failed(_)), "{judged:?}");
            rotator.advance(|_| {}).await;
            let rotation = rotator.record.rotation.as_ref().expect("a rotation");
            let Phase::RolledBack { failure } = &rotation.state else { panic!("{:?}", rotation.state) };
            assert_eq!(failure.reason, ProgramError::NOT_RUNNABLE, "{failure:?}");
            assert!(rotation.stop_begun.is_none() && rotator.record.last_restart.is_none(), "{rotation:?}");

            rotator.record.rotation.as_mut().expect("a rotation").state =
                Phase::Committed { before: Before::NotServed };
            let order = RollbackOrder { target: target.clone() };
            let refused = rotator.roll_back(&order, || true).await.expect_err("others may exchange it");
            assert_eq!((refused.reason, refused.message.contains(setting)), (RefusalReason::KeystoreRefused, true));
        }
    }

    /// Holds A7: what was verified is not undone because the journal cannot be written.
    #[tokio::test]
    async fn a_verified_rotation_whose_commit_cannot_be_written_stays_and_is_written_later() {
        let root = tempfile::tempdir().expect("directory");
        let (mut rotator, _lock) = rotator(root.path(), TRUE);
        let verifying = Phase::Verifying { before: Before::NotServed };
        put_into(&mut rotator, verifying.clone(), None);
        block_journal(root.path());
        rotator.proceed(Event::Done);
        for _ in 0..2 {
            // The endpoint refuses: whoever looked again would roll back.
            rotator.advance(|_| {}).await;
            assert_eq!(rotator.record.rotation.as_ref().expect("rotation").state, verifying);
        }
        unblock_journal(root.path());
        sleep_until(rotator.next_chore().expect("a chore")).await;
        rotator.do_chores(|_| {}).await;
        let state = &rotator.record.rotation.as_ref().expect("rotation").state;
        assert_eq!(*state, Phase::Committed { before: Before::NotServed });
        assert!(rotator.next_chore().is_none());
    }
}
