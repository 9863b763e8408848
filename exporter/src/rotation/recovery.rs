//! What is done at start, before anything new is taken: an earlier run's rotation is finished or rolled back.
//!
//! ```text
//!   make_whole   journal ──> resume (pure) ──> the files become one set, old or new    files alone, at once
//!   finish       ──> stop, start, look: whatever the state still asks for              the service, in its own time
//! ```

use jiff::Timestamp;
use kagiban_crds::{Epoch, Generation};
use tokio::time::Instant;

use super::agent::{Agent, Procedure};
use super::drain::BegunStop;
use super::failure::RotationFailure;
use super::fences::FenceFile;
use super::host::Host;
use super::journal::{self, JournalError, LoadedJournal, Record, Rotation};
use super::machine::{Before, Event, Phase, Rollback};
use super::push::backup::{self, Manifest};
use super::push::coherence::{self, Coherence};
use super::resume::{Mend, Mended, Resumption};
use super::rotator::Rotator;
use super::starting::{self, BegunStart};
use super::stopping::longest_drain;
use crate::platform;

/// Nobody knows what the rotation came to.
const JOURNAL_LOST: &str = "journal_lost";

impl Rotator {
    /// Both parts of a recovery, one after the other.
    ///
    /// # Errors
    /// As [`Rotator::make_whole`].
    pub async fn recover(host: Host, agent: Agent) -> Result<Self, JournalError> {
        let mut rotator = Self::make_whole(host, agent)?;
        rotator.finish(|_| {}).await;
        Ok(rotator)
    }

    /// The first part: reads the agent's journal and makes its files one set, the old one or the new one.
    ///
    /// It blocks on files and on nothing else: no service is stopped, started or looked at, and no network is used. So it
    /// can be done before the service manager starts the agent. What it cannot put right (a full disk), the second part
    /// tries again.
    ///
    /// # Errors
    /// When the journal can neither be read nor set aside: nothing is known then, and nothing is touched.
    pub fn make_whole(host: Host, agent: Agent) -> Result<Self, JournalError> {
        let newest = backup::newest(&host.state_directory, &agent.name);
        let fence = FenceFile::at(host.state_directory.fence(&agent.name));
        let fresh = Record::new(host.name.clone(), agent.name.clone());
        let (mut record, is_lost) = match journal::load(
            &host.state_directory.journal(&agent.name),
            &host.name,
            &agent.name,
        )? {
            LoadedJournal::Nothing => {
                let is_lost = is_lost(&agent, newest.generation, &fence);
                if is_lost {
                    tracing::error!(agent = %agent.name, "there is no journal, although this agent was rotated before");
                }
                (fresh, is_lost)
            }
            LoadedJournal::Record(record) => (*record, false),
            LoadedJournal::Unreadable { aside, why } => {
                let copy = aside.display();
                tracing::error!(agent = %agent.name, %copy, why, "the journal is not understood; a copy of it is kept");
                (fresh, true)
            }
        };
        // Who removes a journal by hand does not thereby let an old request in, or a backup be written over.
        record.epoch = record.epoch.max(fence.known().epoch);
        record.generation = record.generation.max(fence.known().generation).max(newest.generation);
        let mut rotator = Self::new(host, agent, record, fence);
        if let Err(error) = rotator.raise_fences(rotator.record.epoch, rotator.record.generation) {
            tracing::error!(agent = %rotator.agent.name, %error, "no request is taken until the fence can be raised");
        }
        if is_lost {
            rotator.judge_without_journal(newest.manifest);
        } else {
            rotator.mend();
        }
        rotator.count_from_stop();
        Ok(rotator)
    }

    /// The second part: goes on from the state that the first part left until the rotation is decided. It stops, starts
    /// and looks at the service as far as that state asks for it. `seen` is told of every state.
    pub async fn finish(&mut self, mut seen: impl FnMut(&Self)) {
        // For a freeze that an earlier run left; one that this run ends in is looked at later.
        self.look_at_freeze_at_once();
        self.end_rollback_without_stop().await;
        self.advance(&mut seen).await;
        self.do_chores(&mut seen).await;
        self.forget_what_nobody_knows();
        // Of an agent that nothing is known of, nothing was read before: its directory may hang.
        if self.record.rotation.is_none() && has_left_over(&self.agent) && is_broken(&self.agent) {
            self.judge_without_journal(None);
            self.advance(seen).await;
        }
        self.sweep();
    }

    fn mend(&mut self) {
        let Some(mut rotation) = self.record.rotation.clone() else { return };
        if !rotation.state.is_decided() && !rotation.left_in_order {
            rotation.recoveries = rotation.recoveries.saturating_add(1);
        }
        let found = rotation.state.clone();
        let has_begun = rotation.start_begun.as_ref().is_some_and(BegunStart::has_process);
        if let Some(entered) = rotation.steps.last() {
            // Earlier programs did not write when it was.
            let begun = || BegunStart::at(entered.at);
            rotation.start_begun = starting::start_begun(rotation.start_begun.take(), &found, begun);
        }
        let timeout = match (&found, &self.agent.procedure) {
            (Phase::Renewal { step }, Procedure::Trigger(trigger)) if step.may_run_program() => trigger.timeout,
            // Given up while its program went on.
            (Phase::RollingBack { .. } | Phase::Frozen { .. }, Procedure::Trigger(trigger)) => trigger.timeout,
            (Phase::RollingBack { .. } | Phase::Frozen { .. }, Procedure::Repair(repair)) => repair.timeout,
            (Phase::Renewal { step }, Procedure::Repair(repair)) if step.may_run_program() => repair.timeout,
            _ => self.agent.service.start_timeout,
        };
        let left = rotation.start_begun.as_ref().map(|begun| begun.may_go_on_for(timeout));
        // An orderly end waits for a start, and not for a program that an earlier run has begun to renew with.
        let was_waited_for = rotation.left_in_order && !matches!(found, Phase::Renewal { .. });
        let left = left.filter(|left| !left.is_zero() && !was_waited_for);
        self.starting_until = left.map(|left| Instant::now() + left);
        if left.is_none() {
            rotation.start_begun = None;
        }
        // Nothing of a repair is begun a second time: what is left is to look, and that harms nobody however often it is cut off.
        let recoveries = if rotation.repair.is_some() { 0 } else { rotation.recoveries };
        let resumption = match &found {
            Phase::Committed { before } if self.is_mixture() => Resumption::of_mixture(*before),
            Phase::Renewal { step } if has_begun => {
                Phase::Renewal { step: step.clone().begun_before() }.resumed(recoveries)
            }
            _ => found.clone().resumed(recoveries),
        };
        if resumption.mend == Mend::Keep && resumption.state == found && found.is_decided() {
            return;
        }
        if resumption.mend != Mend::Keep && self.is_without_journal_and_theirs() {
            return self.judge_without_journal(backup::newest(&self.host.state_directory, &self.agent.name).manifest);
        }
        let note = "the exporter was restarted".to_owned();
        if resumption.mend != Mend::Keep {
            // Durable first, so that a crash in what follows is counted. A stop that was begun in that state was begun then.
            let mut counted = rotation.clone();
            counted.tell(Timestamp::now(), note.clone());
            let _ = self.write_down(counted);
        }
        let mended = self.make_files_one_set(resumption.mend);
        if let Ok(Mended::Elsewhere(failure)) | Err(failure) = &mended {
            let (reason, error) = (&failure.reason, &failure.message);
            tracing::error!(agent = %self.agent.name, reason, error, "the old files could not be put back at start");
        }
        if matches!(found, Phase::Stopping { .. } | Phase::RollingBack { step: Rollback::Watch | Rollback::Stop, .. }) {
            // Earlier programs did not write when it was.
            rotation.stop_begun.get_or_insert_with(BegunStop::now);
        }
        let longest = longest_drain(&self.agent.service);
        let may_end = rotation.stop_begun.as_ref().is_some_and(|begun| !begun.may_end_for(longest).is_zero());
        self.may_end_without_stop = !matches!(mended, Err(_) | Ok(Mended::Elsewhere(_))) && !may_end;
        let state = resumption.mended(mended, may_end);
        self.enter_anyway(rotation, state, note);
    }

    /// Where the journal cannot be written, each start finds the same entry: a service that lives on the old files already is
    /// not stopped for it, and neither is one that the host's start has brought up on them.
    async fn end_rollback_without_stop(&mut self) {
        let Some(rotation) = self.record.rotation.clone() else { return };
        let Some(rolled_back) = rotation.state.clone().without_stop().filter(|_| self.may_end_without_stop) else {
            return;
        };
        let (Coherence::Whole(stored), old) = (coherence::judge(&self.agent), self.old_leaves()) else { return };
        if old.contains(&stored) && !self.earlier_start_goes_on() && self.look_for(&[stored]).await.is_ok() {
            self.enter_anyway(rotation, rolled_back, "the service lives on the old files".to_owned());
        }
    }

    /// Recovery goes on without a journal that can be written: a later one finds its way from the older entry too.
    fn enter_anyway(&mut self, rotation: Rotation, state: Phase, note: String) {
        let _ = self.enter(rotation, state, note);
    }

    /// The journal is lost. Files that go together stay, whoever put them there; others make room for the newest backup,
    /// and are copied first.
    fn judge_without_journal(&mut self, newest: Option<Manifest>) {
        let lost = |message: String| RotationFailure::new(JOURNAL_LOST, format!("the journal was lost: {message}"));
        let roll_back = |step, before, failure| Phase::RollingBack { step, before, failure, by_order: false };
        let (state, manifest) = match (coherence::judge(&self.agent), newest) {
            (Coherence::Whole(leaf), _) => {
                let failure = lost("the store on disk is whole and stays".to_owned());
                (roll_back(Rollback::Look, Before::Served(leaf), failure), None)
            }
            (Coherence::Unknown { why }, _) => {
                let failure = lost(format!("the store on disk stays, because nothing says that it is bad ({why})"));
                (roll_back(Rollback::Look, Before::NotServed, failure), None)
            }
            (Coherence::Broken { why }, Some(manifest)) => {
                let copies = self.host.state_directory.kept(&self.agent.name);
                let copies = copies.display();
                let failure = lost(format!(
                    "the backup takes the place of what was on disk ({why}), which is copied to {copies}"
                ));
                let before = manifest.previous.map_or(Before::NotServed, Before::Served);
                (roll_back(Rollback::Stop, before, failure), Some(manifest))
            }
            (Coherence::Broken { why }, None) => {
                let failure = lost(format!(
                    "the files do not go together ({why}), and there is no backup; what lies beside them under names with \
                     \".kagiban-\" is left there, and the others may be among it"
                ));
                (roll_back(Rollback::LastStart, Before::NotServed, failure), None)
            }
        };
        if let Phase::RollingBack { failure, .. } = &state {
            tracing::error!(agent = %self.agent.name, "{}", failure.message);
        }
        let goes_back = manifest.is_some();
        let manifest = manifest.unwrap_or(Manifest { previous: None, files: Vec::new() });
        let rotation = self.unknown_rotation(manifest);
        self.enter_anyway(rotation, state.clone(), "there is no journal that is understood".to_owned());
        if !goes_back {
            return;
        }
        if let Err(why) = self.restore_files() {
            tracing::error!(agent = %self.agent.name, error = why.message, "the backup could not be put back at start");
            // A service is not stopped for files that cannot come back now; the freeze tries again.
            if let (Phase::RollingBack { before, failure, .. }, Some(rotation)) = (state, self.record.rotation.clone())
            {
                let restoring = roll_back(Rollback::Restore, before, failure);
                self.enter_anyway(rotation, restoring.after(Event::Failed(why.clone())), why.message);
            }
        }
    }

    fn unknown_rotation(&self, Manifest { previous, files }: Manifest) -> Rotation {
        Rotation {
            previous,
            files,
            copied: Some(Vec::new()),
            recoveries: 1,
            ..Rotation::new(Epoch(0), self.record.generation, Rotation::without_open(), Phase::Requested)
        }
    }

    /// A store that was found whole, with its service up, is all there is to know: there was no rotation to tell of.
    fn forget_what_nobody_knows(&mut self) {
        let is_unknown = self.record.rotation.as_ref().is_some_and(|rotation| {
            let lost = matches!(&rotation.state, Phase::RolledBack { failure } if failure.reason == JOURNAL_LOST);
            lost && rotation.files.is_empty()
        });
        if is_unknown {
            self.record.rotation = None;
            self.save_record();
        }
    }

    fn sweep(&self) {
        let journal = self.host.state_directory.journal(&self.agent.name);
        let fence = self.host.state_directory.fence(&self.agent.name);
        let mut paths = vec![journal.as_path(), fence.as_path()];
        // Where it is frozen or goes on, the old files lie beside the new ones under such names; so does what could not be
        // copied before it is removed.
        let is_over = self.record.rotation.as_ref().is_none_or(|rotation| rotation.state.is_decided());
        if is_over && !self.is_frozen() && self.chores.untidy.is_none() {
            paths.extend(self.agent.replaced());
        }
        let backup = self.host.state_directory.backup(&self.agent.name, self.record.generation);
        let swept = paths.into_iter().flat_map(platform::sweep).chain(platform::sweep_directory(&backup));
        for error in swept {
            tracing::warn!(agent = %self.agent.name, %error, "left-over files could not be removed");
        }
    }
}

/// Whether a journal that is not there was lost: something else says that there was one. A backup is begun before anything is
/// stopped or replaced: without one, files that do not go together are none of ours, unless the others still lie beside them.
fn is_lost(agent: &Agent, backups: Generation, fence: &FenceFile) -> bool {
    backups != Generation(0) || (!fence.is_none() && (!is_broken(agent) || has_left_over(agent)))
}

fn is_broken(agent: &Agent) -> bool {
    matches!(coherence::judge(agent), Coherence::Broken { .. })
}

/// Whether files lie beside the agent's that an interrupted rotation has left.
fn has_left_over(agent: &Agent) -> bool {
    agent.replaced().into_iter().any(platform::has_left_over)
}
