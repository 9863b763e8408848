//! What a renewal does in each state: runs the product's program, looks at the leaf that the agent has then, and brings back what was there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use kagiban_crds::LeafSha256;
use kagiban_crds::host_api::{Leaf, RotationState};
use secrecy::ExposeSecret as _;
use tokio::time::{Instant, sleep, sleep_until};
use zeroize::Zeroizing;

use super::kept;
use super::product_backup::{self, NoBackup};
use super::renewal::{Renewal, SeenLeaf, ServedLeaf};
use crate::config::BackupFormat;
use crate::installation::{BACKUP, PASSWORD};
use crate::password_file;
use crate::platform::{self, Command, FileError, Links};
use crate::rotation::agent::{Procedure, ProductBackup, Trigger, Verify};
use crate::rotation::digest::Digest;
use crate::rotation::failure::{RotationFailure, bounded};
use crate::rotation::hold::{Hold, Look};
use crate::rotation::journal::{KeptFile, Returns};
use crate::rotation::live::{self, LookError};
use crate::rotation::machine::{FrozenFiles, Phase};
use crate::rotation::rotator::Rotator;

/// Below the copies of a rotation: what was there when somebody ordered it back.
const BEFORE_BACK: &str = "before-back";

impl Rotator {
    /// Whether the product writes a backup of its own before anything else is done.
    pub(in crate::rotation) fn backs_up_next(&self) -> bool {
        let backs_up = matches!(&self.agent.procedure, Procedure::Trigger(trigger) if trigger.backup.is_some());
        backs_up && matches!(self.step(), Some(Renewal::Ordered))
    }

    /// Copies what the program will write over; a push copies its files by itself, when it replaces them.
    pub(in crate::rotation) fn keep_files(&mut self, served: Option<&Leaf>) -> Result<(), RotationFailure> {
        self.keep_files_in(|copies| copies, served.map(|leaf| leaf.sha256))
    }

    /// Of a renewal that was committed the files are their owner's again, who may have changed them since: what the program of
    /// `renew.back` will write over is copied anew.
    fn keep_files_for_order(&mut self) -> Result<(), RotationFailure> {
        if self.kept_files().is_empty() { self.keep_files_in(|copies| copies.join(BEFORE_BACK), None) } else { Ok(()) }
    }

    /// `directory` says where among this rotation's copies.
    fn keep_files_in(
        &mut self,
        directory: impl FnOnce(PathBuf) -> PathBuf,
        previous: Option<LeafSha256>,
    ) -> Result<(), RotationFailure> {
        let (Procedure::Trigger(Trigger { keep, back, .. }), Some(rotation)) =
            (&self.agent.procedure, &mut self.record.rotation)
        else {
            return Ok(());
        };
        let copies = self.host.state_directory.backup(&self.agent.name, rotation.generation);
        // What the product brings back by itself is not to be crossed.
        let store = self.agent.leaf_place.file().filter(|_| back.is_none()).map(|file| file.path.as_path());
        rotation.kept = kept::copy(&directory(copies), keep, store, previous)?;
        Ok(())
    }

    /// Where a program of the product's may follow that writes over them again.
    fn put_kept_files_back(&self) -> Result<(), RotationFailure> {
        let left = kept::put_back(self.kept_files().iter().filter(|file| file.returns == Returns::Always));
        left.into_iter().next().map_or(Ok(()), |(_, failure)| Err(failure))
    }

    /// Where none follows: what is back is its owner's again, who may change it before the next attempt.
    fn give_kept_files_back(&mut self) -> Result<(), RotationFailure> {
        let (stores, always): (Vec<_>, Vec<_>) =
            self.kept_files().iter().cloned().partition(|file| file.returns == Returns::WhereDamaged);
        let (left, failures): (Vec<_>, Vec<_>) = kept::put_back(&always).into_iter().unzip();
        if let Some(rotation) = &mut self.record.rotation {
            rotation.kept = left.into_iter().chain(stores).collect();
        }
        failures.into_iter().next().map_or(Ok(()), Err)
    }

    /// A store that the program has left damaged, or not at all: no product's program brings it back, and without it nobody gets a
    /// certificate. One that can be read stays, whatever is in it.
    async fn put_damaged_store_back(&mut self) {
        let stores: Vec<_> =
            self.kept_files().iter().filter(|file| file.returns == Returns::WhereDamaged).cloned().collect();
        if stores.is_empty() || !live::is_damaged(&self.agent.leaf_place).await {
            return;
        }
        let failed = kept::put_back(&stores).into_iter().next().map(|(_, failure)| failure.message);
        let said = failed.unwrap_or_else(|| {
            format!("{} was damaged or lost, and is what it was before; restart the agent", self.agent.leaf_place)
        });
        tracing::warn!(agent = %self.agent.name, said, "the renewal has left no store that can be read");
        if let Some(Phase::Renewal { step: Renewal::Settling { failure, .. } } | Phase::Frozen { failure, .. }) =
            self.record.rotation.as_mut().map(|rotation| &mut rotation.state)
        {
            *failure = failure.clone().and_then_said(said);
        }
    }

    fn kept_files(&self) -> &[KeptFile] {
        self.record.rotation.as_ref().map_or(&[], |rotation| &rotation.kept)
    }

    /// Runs what writes the product's own backup, and sees that it has written one: a program may end well and have done nothing.
    pub(in crate::rotation) async fn have_backed_up(&mut self) -> Result<(), RotationFailure> {
        let Trigger { backup, timeout, .. } = self.trigger()?.clone();
        let (Some(backup), Some(file)) = (backup, self.backup_file()) else { return Ok(()) };
        let failed = |why: String| RotationFailure::new("not_backed_up", why);
        if backup.file.is_none()
            && let Some(directory) = file.parent()
        {
            platform::create_private_directory(directory).map_err(|error| failed(error.to_string()))?;
        }
        let before = read_backup(&file).map_err(failed)?.map(|bytes| Digest::of(&bytes));
        let written = match self.run_of_product(&backup.command, timeout, "not_backed_up").await {
            Ok(()) => durable_backup(&file, backup.format, before)
                .map_err(|why| failed(format!("{why}; nothing was renewed"))),
            Err(failure) => Err(failure),
        };
        // What is no backup would count as the newest one, and an older one that is would be removed for it.
        if written.is_err()
            && backup.file.is_none()
            && before.is_none()
            && let Err(error) = platform::remove(&file)
        {
            tracing::warn!(agent = %self.agent.name, %error, "what is no backup could not be removed");
        }
        let written = written?;
        if let Some(rotation) = &mut self.record.rotation {
            rotation.product_backup = Some(written);
        }
        Ok(())
    }

    /// Of a renewal that ended before its backup was seen to be one: nothing was renewed after it, and a crash may have cut it off. Says what
    /// could not be removed. A file of the configuration's own is left alone.
    pub(in crate::rotation) fn discard_unchecked_backup(&self) -> Option<String> {
        let rotation = self.record.rotation.as_ref()?;
        let is_renewed = rotation.steps.iter().any(|step| step.state == RotationState::Renewing);
        let backup = self.trigger().ok()?.backup.as_ref()?;
        if is_renewed || backup.file.is_some() || !rotation.state.is_decided() || self.earlier_start_goes_on() {
            return None;
        }
        platform::remove(&self.backup_file()?).err().map(|error| error.to_string())
    }

    /// Where this renewal's backup is, of a product that writes one.
    fn backup_file(&self) -> Option<PathBuf> {
        let ProductBackup { file, format, .. } = self.trigger().ok()?.backup.as_ref()?;
        let own = || {
            let generation = self.record.rotation.as_ref()?.generation;
            let directory = self.host.state_directory.product_backups(&self.agent.name);
            Some(product_backup::place(&directory, generation, *format))
        };
        file.clone().or_else(own)
    }

    /// Runs one of the product's programs to its end, with the password that the configuration gives it.
    async fn run_of_product(
        &mut self,
        command: &Command,
        timeout: Duration,
        reason: &'static str,
    ) -> Result<(), RotationFailure> {
        let command = filled(command, self.trigger()?.password_file.as_deref(), self.backup_file().as_deref(), reason)?;
        self.run_noted(&command, timeout).await.map_err(|error| RotationFailure::new(reason, error.to_string()))
    }

    /// Runs the product's program, which an earlier run of this one has not begun.
    pub(in crate::rotation) async fn run_renewal(&mut self) -> Result<(), RotationFailure> {
        let Trigger { renew, timeout, .. } = self.trigger()?.clone();
        self.record.last_restart = Some(Timestamp::now());
        self.run_of_product(&renew, timeout, "renew_failed").await
    }

    /// Puts back what the program has written over, waits until a renewed leaf is served, and then for as long as the hold-down asks.
    pub(in crate::rotation) async fn prove(&mut self) -> Result<(), RotationFailure> {
        // The program of a run that has crashed may go on.
        self.await_earlier_start().await;
        self.put_kept_files_back()?;
        self.check_looked_at()?;
        let before = match self.step() {
            Some(Renewal::Proving { before }) => *before,
            _ => None,
        };
        let leaf = self.held(self.agent.verify, |leaf| check_renewed(leaf, before.as_ref())).await?;
        self.prove_function().await?;
        if let Some(rotation) = &mut self.record.rotation {
            rotation.leaf = Some(leaf);
            rotation.kept.clear();
        }
        Ok(())
    }

    /// Runs what brings back what was there before, where the product has such a program. A service that serves the leaf from
    /// before is left alone, unless somebody has ordered it: the program may have changed nothing, and what brings back may know
    /// only an older state than this one.
    pub(in crate::rotation) async fn revert(&mut self) -> Result<(), RotationFailure> {
        self.await_earlier_start().await;
        let (before, by_order) = match self.step() {
            Some(Renewal::Reverting { before, by_order: false, .. }) => (*before, false),
            _ => (None, true),
        };
        if let Some(before) = before
            && self.serves(before).await
        {
            return Ok(());
        }
        let Trigger { back, backup, timeout, .. } = self.trigger()?.clone();
        let Some(back) = back else { return Ok(()) };
        if let (true, Some(ProductBackup { format, .. }), Some(file)) = (back.names(BACKUP), backup, self.backup_file())
        {
            // The program brings back whatever key and certificate lie in that file.
            let unusable = |why| format!("{why}; the program of renew.back was not run");
            let written = self.record.rotation.as_ref().and_then(|rotation| rotation.product_backup);
            let checked = look_at_backup(&file, |now| product_backup::check_again(format, written, now));
            checked.map_err(|why| RotationFailure::new("revert_failed", unusable(why)))?;
        }
        if by_order {
            self.keep_files_for_order()?;
            // They are told of before the program is run.
            self.save_record();
        }
        self.await_journal().await?;
        self.run_of_product(&back, timeout, "revert_failed").await
    }

    /// A product's program that no journal tells of would be run again after a crash, beside the first perhaps. So it waits until
    /// its entry is durable: a full disk may have room again soon.
    ///
    /// # Errors
    /// When it has waited as long as the rollback waits for a service, or the program is to end.
    async fn await_journal(&mut self) -> Result<(), RotationFailure> {
        let until = Instant::now() + self.agent.verify.for_rollback().deadline;
        let stop = self.host.stop.clone();
        while let Some(due) = self.saved_again_at() {
            if due > until || stop.is_cancelled() {
                let message = "the journal cannot be written, so the program of renew.back was not run";
                return Err(RotationFailure::new("journal_failed", message));
            }
            tokio::select! {
                () = sleep_until(due) => self.save_record(),
                () = stop.cancelled() => {}
            }
        }
        Ok(())
    }

    /// Whether the service serves a leaf that will do. One that is down is started, where that is configured; one that was
    /// broken before is not asked to serve. A service that is up counts more than files that cannot be put back, and is brought up first.
    pub(in crate::rotation) async fn settle(&mut self) -> Result<(), RotationFailure> {
        self.await_earlier_start().await;
        let put_back = self.give_kept_files_back();
        self.settle_service().await.map_err(|failure| self.with_backup_told(failure))?;
        put_back
    }

    /// Whoever mends by hand what no program has brought back needs the product's own backup.
    fn with_backup_told(&self, failure: RotationFailure) -> RotationFailure {
        let has_backed_up = self.record.rotation.as_ref().is_some_and(|rotation| rotation.product_backup.is_some());
        match self.backup_file().filter(|_| has_backed_up) {
            Some(file) => {
                let message = format!("{}; the product's own backup is {}", failure.message, file.display());
                RotationFailure { message: bounded(message), ..failure }
            }
            None => failure,
        }
    }

    async fn settle_service(&mut self) -> Result<(), RotationFailure> {
        let must_serve = self.step().and_then(Renewal::before).is_some() || self.leaf_to_go().is_some();
        let patient = self.agent.verify.for_rollback();
        let half = Verify { deadline: patient.deadline / 2, ..patient };
        let is_down = live::is_down(&self.agent.leaf_place).await;
        let started = if is_down { self.start("start_failed_after_renewal").await } else { Ok(()) };
        if !must_serve {
            return started;
        }
        self.check_looked_at()?;
        if self.settled(half).await.is_ok() {
            return Ok(());
        }
        if live::is_down(&self.agent.leaf_place).await
            && let Err(error) = self.start("start_failed_after_renewal").await
        {
            tracing::warn!(agent = %self.agent.name, error = error.message, "the agent is down, and was not started");
        }
        self.put_damaged_store_back().await;
        self.settled(half).await
    }

    /// For a freeze: whether a leaf that will do is served now, and for as long as the hold-down asks, with the files that are kept as
    /// they were.
    pub(in crate::rotation) async fn look_for_one_that_will_do(&mut self) -> Result<(), RotationFailure> {
        if self.earlier_start_goes_on() {
            let message =
                "a program that an earlier run of the exporter has begun goes on, and may write over what is put back";
            return Err(RotationFailure::new("program_goes_on", message));
        }
        let put_back = self.give_kept_files_back();
        self.put_damaged_store_back().await;
        put_back?;
        self.settled(Verify { deadline: Duration::ZERO, ..self.agent.verify }).await
    }

    /// Whether that leaf is served now, and for as long as the hold-down asks.
    async fn serves(&self, wanted: LeafSha256) -> bool {
        let other = || RotationFailure::new("other_leaf_served", "another leaf than the one from before");
        let check = |leaf: &Leaf| if leaf.sha256 == wanted { Ok(()) } else { Err(other()) };
        self.held(Verify { deadline: Duration::ZERO, ..self.agent.verify }, check).await.is_ok()
    }

    async fn settled(&self, verify: Verify) -> Result<(), RotationFailure> {
        let before = self.record.rotation.as_ref().and_then(|rotation| rotation.previous);
        let unless = self.leaf_to_go();
        let will_do = |leaf: &Leaf| {
            let message = "a leaf that has ended, or the one that shall go";
            let will_do = seen(leaf).will_do(before, unless, Timestamp::now());
            will_do.then_some(()).ok_or_else(|| RotationFailure::new("other_leaf_served", message))
        };
        self.held(verify, will_do).await.map(drop)
    }

    /// The renewed leaf, where somebody has asked for the one before.
    fn leaf_to_go(&self) -> Option<LeafSha256> {
        match self.record.rotation.as_ref().map(|rotation| &rotation.state) {
            Some(
                Phase::Renewal { step: Renewal::Settling { by_order: true, .. } }
                | Phase::Frozen { standing: FrozenFiles::NewMustGo, .. },
            ) => self.new_leaf(),
            _ => None,
        }
    }

    /// Waits until a leaf is served that passes `check`, and then for as long as the hold-down asks, at every look.
    async fn held(
        &self,
        verify: Verify,
        check: impl Fn(&Leaf) -> Result<(), RotationFailure>,
    ) -> Result<Leaf, RotationFailure> {
        let mut hold = Hold::new(Instant::now() + verify.deadline, verify.hold_down);
        let place = &self.agent.leaf_place;
        loop {
            let looked = live::look(place).await.map(|certificate| live::leaf(&certificate));
            let was_taken = looked.as_ref().err().is_none_or(LookError::is_the_places);
            let passed = match looked {
                Ok(leaf) => check(&leaf).map(|()| leaf).map_err(|failure| failure.seen_at(place)),
                Err(error) => Err(RotationFailure::new(error.reason(), error.to_string())),
            };
            let seen_last = hold.last();
            let look = match &passed {
                Ok(leaf) => Look::Served(leaf.sha256),
                Err(_) if was_taken => Look::NotServed,
                Err(_) => Look::NotTaken,
            };
            let Some(is_held) = hold.after(look, Instant::now()) else {
                sleep(verify.interval).await;
                continue;
            };
            return match (passed, seen_last) {
                (Ok(leaf), Some(other)) if !is_held => {
                    let message = format!(
                        "{place}: {other} and {} in turn; see whether several processes answer on that port, or write that file",
                        leaf.sha256
                    );
                    Err(RotationFailure::new("other_leaf_served", message))
                }
                (passed, _) => passed,
            };
        }
    }

    fn step(&self) -> Option<&Renewal> {
        match self.record.rotation.as_ref().map(|rotation| &rotation.state) {
            Some(Phase::Renewal { step }) => Some(step),
            _ => None,
        }
    }

    /// # Errors
    /// Where the configuration has the agent as one that is repaired now: nothing says where its certificate would be seen.
    fn check_looked_at(&self) -> Result<(), RotationFailure> {
        if self.is_repaired() { self.trigger().map(drop) } else { Ok(()) }
    }

    fn trigger(&self) -> Result<&Trigger, RotationFailure> {
        match &self.agent.procedure {
            Procedure::Trigger(trigger) => Ok(trigger),
            Procedure::Push(_) | Procedure::Repair(_) => {
                let message = "the configuration has the agent as one that renews nothing by itself now; its renewal is not gone on with";
                Err(RotationFailure::new("not_configured", message))
            }
        }
    }
}

fn read_backup(file: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
    match platform::read_held(file, product_backup::MAX_BYTES, Links::Refuse) {
        Ok(held) => Ok(Some(held.bytes)),
        Err(FileError::NotFound { .. }) => Ok(None),
        Err(error) => Err(format!("renew.backup.file: {error}")),
    }
}

/// What the product's program has written, once it is on the disk: the only other copy of the key is written over next.
///
/// # Errors
/// Why it is no backup that was written since it was what `before` says.
fn durable_backup(file: &Path, format: BackupFormat, before: Option<Digest>) -> Result<Digest, String> {
    let written = look_at_backup(file, |now| product_backup::check(format, before, now))?;
    platform::sync_file(file).map_err(|error| format!("renew.backup.file: {error}"))?;
    Ok(written)
}

/// # Errors
/// Why it cannot be read, or what `check` says of it.
fn look_at_backup(
    file: &Path,
    check: impl FnOnce(Option<&[u8]>) -> Result<Digest, NoBackup>,
) -> Result<Digest, String> {
    let now = read_backup(file)?;
    let checked = check(now.as_ref().map(|bytes| bytes.as_slice()));
    checked.map_err(|why| format!("renew.backup.file: {}: {why}", file.display()))
}

/// The command as it is run, with the backup's file and the password in their places.
fn filled(
    command: &Command,
    password_file: Option<&Path>,
    backup: Option<&Path>,
    reason: &'static str,
) -> Result<Command, RotationFailure> {
    let command = backup.map_or_else(|| command.clone(), |backup| command.with(BACKUP, &backup.to_string_lossy()));
    with_password(&command, password_file, reason)
}

/// The password is read when it is needed, and stands nowhere else.
fn with_password(command: &Command, file: Option<&Path>, reason: &'static str) -> Result<Command, RotationFailure> {
    let (Command::Program(_), Some(file)) = (command, file) else { return Ok(command.clone()) };
    let failed =
        |why: String| RotationFailure::new(reason, format!("renew.passwordFile: {why}; the program was not run"));
    let password = password_file::read_held(file).map_err(|error| failed(error.to_string()))?;
    let password = password.expose_secret();
    if password.is_empty() {
        return Err(failed(format!("{}: its first line is empty", file.display())));
    }
    if password.contains('\0') {
        return Err(failed(format!("{}: its first line holds a NUL character, which no argument can", file.display())));
    }
    Ok(command.with(PASSWORD, password))
}

fn seen(leaf: &Leaf) -> SeenLeaf {
    SeenLeaf { sha256: leaf.sha256, not_before: leaf.not_before, not_after: leaf.not_after }
}

fn check_renewed(leaf: &Leaf, before: Option<&ServedLeaf>) -> Result<(), RotationFailure> {
    seen(leaf).check_renewed(before, Timestamp::now())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use kagiban_crds::Generation;
    use kagiban_crds::host_api::{RefusalReason, RenewalOrder, RollbackOrder, Target};

    use super::*;
    use crate::rotation::deliveries::Hindrance;
    use crate::rotation::journal::Record;
    use crate::rotation::machine::Before;
    use crate::rotation::repair::RepairRecord;
    use crate::rotation::scene::{block_journal, open, renewing, repaired, unblock_journal};

    const PATH: &str = "state/journal/web.json";

    /// What is delivered would be the certificate of before.
    #[tokio::test]
    async fn a_renewal_and_a_rollback_wait_for_the_clients_that_are_given_the_certificate() {
        let root = tempfile::tempdir().expect("directory");
        let (mut rotator, _lock) = renewing(root.path(), "touch new", "touch old");
        let deliveries = rotator.host.deliveries.clone();
        let delivery = deliveries.begin(&rotator.agent.name).expect("nothing is ordered");
        let refused = rotator.renew(&order(), Ok(())).expect_err("a client is given it");
        assert_eq!((refused.reason, rotator.record.rotation.is_none()), (RefusalReason::Busy, true), "{refused:?}");
        assert_eq!(deliveries.begin(&rotator.agent.name).err(), Some(Hindrance::Ordered));
        drop(delivery);
        rotator.renew(&order(), Ok(())).expect("none is any more");
        assert_eq!(deliveries.begin(&rotator.agent.name).err(), Some(Hindrance::Rotated));
        rotator.record.rotation.as_mut().expect("a rotation").state = Phase::Committed { before: Before::NotServed };
        rotator.save_record();
        let _delivery = deliveries.begin(&rotator.agent.name).expect("it is decided");
        let rollback = RollbackOrder { target: open().target };
        let refused = rotator.roll_back(&rollback, || true).await.expect_err("a client is given it");
        assert_eq!(refused.reason, RefusalReason::Busy, "{refused:?}");
    }

    fn order() -> RenewalOrder {
        RenewalOrder { target: open().target, mark: None }
    }

    fn state(rotator: &Rotator) -> Option<&Phase> {
        rotator.record.rotation.as_ref().map(|rotation| &rotation.state)
    }

    fn assert_on_disk(root: &Path, rotator: &Rotator) {
        let on_disk = Record::peek(&root.join(PATH), &rotator.agent.name).expect("a journal");
        assert_eq!(on_disk.rotation.map(|rotation| rotation.state).as_ref(), state(rotator));
    }

    async fn do_next_chore(rotator: &mut Rotator) {
        sleep_until(rotator.next_chore().expect("a chore")).await;
        rotator.do_chores(|_| {}).await;
    }

    /// Holds A12: an order whose entry cannot be made durable changes nothing, and can be given again.
    #[tokio::test]
    async fn a_renewal_whose_first_entry_cannot_be_written_is_refused_and_runs_nothing() {
        let root = tempfile::tempdir().expect("directory");
        let (mut rotator, _lock) = renewing(root.path(), "touch ran", "touch back");
        rotator.save_record();
        block_journal(root.path());
        let refused = rotator.renew(&order(), Ok(())).expect_err("it cannot be written");
        assert_eq!(refused.reason, RefusalReason::Internal, "{refused:?}");
        rotator.advance(|_| {}).await;
        assert_eq!(state(&rotator), None);
        assert!(rotator.is_unsaved(), "the entry may be on the disk all the same");
        unblock_journal(root.path());
        do_next_chore(&mut rotator).await;
        assert_on_disk(root.path(), &rotator);
        assert!(!root.path().join("ran").exists());
        // The fence has the number of the first.
        let target = Target { generation: Generation(2), ..open().target };
        rotator.renew(&RenewalOrder { target, ..order() }, Ok(())).expect("there is room again");
        rotator.advance(|_| {}).await;
        assert!(root.path().join("ran").exists());
    }

    const OF_ANOTHER: &str = "the configuration has the agent as one that";

    /// What was begun is ended by what its journal says of it: the name may be another agent's in the configuration since.
    #[tokio::test]
    async fn a_renewal_of_an_agent_that_is_configured_as_repaired_now_puts_its_files_back_and_says_so() {
        let failure = || RotationFailure::new("renew_failed", "the first cause");
        let leaf = LeafSha256::new([7; 32]);
        let settling = |before| Renewal::Settling { before, failure: failure(), by_order: false };
        let reverting = Renewal::Reverting { before: Some(leaf), failure: failure(), by_order: false };
        for (step, is_told_of, expected) in [
            (Renewal::Renewing { before: None }, true, RotationState::RolledBack),
            (Renewal::Proving { before: None }, true, RotationState::RolledBack),
            (settling(None), false, RotationState::RolledBack),
            // It was served before, and nothing says where it would be seen now.
            (reverting, true, RotationState::Frozen),
            (settling(Some(leaf)), true, RotationState::Frozen),
        ] {
            let case = format!("{step:?}");
            let root = tempfile::tempdir().expect("directory");
            let (mut rotator, _lock) = repaired(root.path(), "touch ran", "");
            let file = root.path().join("owners.ini");
            std::fs::write(&file, "the owner's").expect("write");
            let agent = rotator.agent.name.clone();
            let target = Target { agent: agent.clone(), ..open().target };
            rotator.renew(&RenewalOrder { target, mark: None }, Ok(())).expect("ordered");
            let copies = rotator.host.state_directory.backup(&agent, Generation(1));
            let rotation = rotator.record.rotation.as_mut().expect("a rotation");
            rotation.kept = kept::copy(&copies, std::slice::from_ref(&file), None, None).expect("copied");
            rotation.state = Phase::Renewal { step };
            std::fs::write(&file, "the installer's").expect("write");
            rotator.advance(|_| {}).await;
            let rotation = rotator.record.rotation.as_ref().expect("a rotation");
            assert_eq!(rotation.state.reported(), expected, "{case}: {:?}", rotation.state);
            let told = rotation.state.failure().map(|failure| failure.message).unwrap_or_default();
            assert_eq!(told.contains(OF_ANOTHER), is_told_of, "{case}: {told}");
            assert_eq!(std::fs::read_to_string(&file).expect("read"), "the owner's", "{case}");
            assert!(!root.path().join("ran").exists(), "{case}");
        }
    }

    #[tokio::test]
    async fn a_repair_of_an_agent_that_is_configured_as_renewed_now_runs_nothing_and_is_not_taken_back() {
        let failure = || RotationFailure::new("not_repaired", "the first cause");
        for (step, is_told_of) in [
            (Renewal::Renewing { before: None }, true),
            (Renewal::Proving { before: None }, true),
            (Renewal::Reverting { before: None, failure: failure(), by_order: false }, false),
            (Renewal::Settling { before: None, failure: failure(), by_order: false }, false),
        ] {
            let case = format!("{step:?}");
            let root = tempfile::tempdir().expect("directory");
            let (mut rotator, _lock) = renewing(root.path(), "touch ran", "touch back");
            rotator.renew(&order(), Ok(())).expect("ordered");
            let rotation = rotator.record.rotation.as_mut().expect("a rotation");
            rotation.repair = Some(RepairRecord { boot: platform::boot_id(), ended_at: None, proof: None });
            rotation.state = Phase::Renewal { step };
            rotator.advance(|_| {}).await;
            let Some(Phase::RolledBack { failure }) = state(&rotator) else { panic!("{case}: {:?}", state(&rotator)) };
            assert_eq!(failure.text().contains(OF_ANOTHER), is_told_of, "{case}: {failure:?}");
            assert!(!root.path().join("ran").exists() && !root.path().join("back").exists(), "{case}");
        }
        let root = tempfile::tempdir().expect("directory");
        let (mut rotator, _lock) = renewing(root.path(), "touch ran", "touch back");
        rotator.renew(&order(), Ok(())).expect("ordered");
        let rotation = rotator.record.rotation.as_mut().expect("a rotation");
        rotation.repair = Some(RepairRecord { boot: platform::boot_id(), ended_at: None, proof: None });
        rotation.state = Phase::Committed { before: Before::NotServed };
        let refused = rotator.check_rollback().expect_err("renew.back knows nothing of it");
        assert_eq!(refused.reason, RefusalReason::KeystoreRefused, "{refused:?}");
    }

    /// Holds A12.
    #[tokio::test]
    async fn a_program_whose_entry_cannot_be_written_is_not_run() {
        let root = tempfile::tempdir().expect("directory");
        let (mut rotator, _lock) = renewing(root.path(), "touch ran", "touch back");
        rotator.renew(&order(), Ok(())).expect("ordered");
        block_journal(root.path());
        rotator.advance(|_| {}).await;
        let Some(Phase::RolledBack { failure }) = state(&rotator) else { panic!("{:?}", state(&rotator)) };
        assert_eq!(failure.reason, "journal_failed");
        assert!(!root.path().join("ran").exists() && !root.path().join("back").exists());
        unblock_journal(root.path());
        do_next_chore(&mut rotator).await;
        assert_on_disk(root.path(), &rotator);
    }

    /// Holds A12: after a crash nothing would tell that it was run, and it would be run a second time.
    #[tokio::test]
    async fn what_brings_back_is_run_once_the_journal_tells_of_it_and_not_before() {
        // Once the journal tells of its process: nothing is written while it is moved.
        let block =
            format!("until grep -q process {PATH}; do sleep 0.05; done; mv {PATH} aside && mkdir {PATH}; exit 3");
        for has_room_again in [false, true] {
            let root = tempfile::tempdir().expect("directory");
            let (mut rotator, _lock) = renewing(root.path(), &block, &format!("cp {PATH} told"));
            rotator.renew(&order(), Ok(())).expect("ordered");
            let told = root.path().join("told");
            let mend = async {
                let mut pauses = 0;
                while has_room_again && pauses < 600 && !root.path().join("aside").exists() {
                    sleep(Duration::from_millis(50)).await;
                    pauses += 1;
                }
                if has_room_again {
                    sleep(Duration::from_millis(300)).await;
                    unblock_journal(root.path());
                }
            };
            tokio::join!(rotator.advance(|_| {}), mend);
            let Some(Phase::RolledBack { failure }) = state(&rotator) else { panic!("{:?}", state(&rotator)) };
            assert!(failure.message.contains("exit status: 3"), "{failure:?}");
            let said = failure.then.clone().unwrap_or_default();
            assert_eq!((told.exists(), said.contains("journal")), (has_room_again, !has_room_again), "{failure:?}");
            if has_room_again {
                let entry =
                    Record::peek(&told, &rotator.agent.name).and_then(|record| record.rotation).expect("an entry");
                assert!(matches!(entry.state, Phase::Renewal { step: Renewal::Reverting { .. } }), "{:?}", entry.state);
            } else {
                unblock_journal(root.path());
                do_next_chore(&mut rotator).await;
            }
            assert_on_disk(root.path(), &rotator);
        }
    }
}
