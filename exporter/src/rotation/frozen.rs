//! What is done while nothing is asked for: a freeze is looked at again, a record that could not be written is written, a
//! chain that never came is given up, files that could not be removed are. Each is tried with a growing pause.

use std::time::Duration;

use kagiban_crds::LeafSha256;
use tokio::time::Instant;

use super::agent::Verify;
use super::backoff::Backoff;
use super::failure::RotationFailure;
use super::live;
use super::machine::{Event, Finding, FrozenFiles, Phase};
use super::push::coherence::{self, Coherence};
use super::push::survey;
use super::rotator::{Rotator, undecided};
use crate::platform::WriteError;

/// A service that was only slow answers within seconds of the freeze.
const FIRST_LOOK: Duration = Duration::from_secs(10);
/// Between two starts of a frozen agent that is down, at first.
const FIRST_START: Duration = Duration::from_secs(60);
/// A person who has mended something does not wait longer for it to be seen.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Between two looks for a request to thaw: a person waits for it.
const THAW_LOOK: Duration = Duration::from_secs(2);
/// A full disk may have room again soon.
const FIRST_RETRY: Duration = Duration::from_secs(1);

impl Rotator {
    /// When [`Rotator::do_chores`] has something to do next.
    pub fn next_chore(&self) -> Option<Instant> {
        let expiry = self.expires().map(|expires| self.chores.expiry.map_or(expires, |again| again.due()));
        let freeze = self.chores.freeze.filter(|_| self.is_frozen()).map(|freeze| freeze.due());
        let thaw = self.chores.thaw.filter(|_| self.is_frozen());
        let unsaved = self.saved_again_at();
        let tidying = self.chores.tidying.map(|tidying| tidying.due());
        [expiry, freeze, thaw, unsaved, tidying].into_iter().flatten().min()
    }

    /// Does what is due. `seen` is told of every state.
    pub async fn do_chores(&mut self, seen: impl FnMut(&Self)) {
        let now = Instant::now();
        self.give_up_chain(now);
        self.write_journal_again(now);
        self.look_after_freeze(now).await;
        self.advance(seen).await;
    }

    /// A rotation that has just frozen is looked at after a while; one that was found frozen, at once.
    pub(super) fn plan_chores(&mut self) {
        let now = Instant::now();
        if self.is_frozen() {
            self.chores.freeze.get_or_insert_with(|| Backoff::after_failure(FIRST_LOOK, LONGEST_PAUSE, now));
            self.chores.start.get_or_insert_with(|| Backoff::after_failure(FIRST_START, LONGEST_PAUSE, now));
            self.chores.thaw.get_or_insert(now + THAW_LOOK);
        } else {
            (self.chores.freeze, self.chores.start, self.chores.thaw) = (None, None, None);
            // What ended the freeze is durable: a crash now finds no freeze, and needs no request.
            if !self.is_unsaved() {
                self.drop_thaw_request();
            }
        }
    }

    /// For a freeze that an earlier run left.
    pub(super) fn look_at_freeze_at_once(&mut self) {
        if self.is_frozen() {
            let now = Instant::now();
            self.chores.freeze = Some(Backoff::at_once(FIRST_LOOK, LONGEST_PAUSE, now));
            self.chores.start = Some(Backoff::at_once(FIRST_START, LONGEST_PAUSE, now));
            self.chores.thaw = Some(now);
        }
    }

    fn give_up_chain(&mut self, now: Instant) {
        let due = self.expires().map(|expires| self.chores.expiry.map_or(expires, |again| again.due()));
        if due.is_none_or(|due| due > now) {
            return;
        }
        match (self.expire(), &mut self.chores.expiry) {
            (Ok(()), expiry) => *expiry = None,
            (Err(_), Some(again)) => again.failed(now),
            (Err(refusal), again @ None) => {
                *again = Some(Backoff::after_failure(FIRST_RETRY, LONGEST_PAUSE, now));
                let error = refusal.message;
                tracing::warn!(agent = %self.agent.name, error, "a rotation cannot be given up; it is tried again with growing pauses");
            }
        }
    }

    fn write_journal_again(&mut self, now: Instant) {
        if self.saved_again_at().is_some_and(|due| due <= now) {
            self.save_record();
        }
    }

    /// After each change of the record. The journal's state is told in the log when it changes, not at every attempt.
    pub(super) fn note_save(&mut self, failed: Option<&WriteError>) {
        self.host.note_undecided(&self.agent.name, undecided(&self.record));
        let now = Instant::now();
        match (failed, &mut self.chores.unsaved) {
            (None, None) => {}
            (None, again @ Some(_)) => {
                *again = None;
                tracing::info!(agent = %self.agent.name, "the journal can be written again");
            }
            // Some entries in a row are one failure: the disk had no time to recover.
            (Some(_), Some(again)) if again.due() <= now => again.failed(now),
            (Some(_), Some(_)) => {}
            (Some(error), again @ None) => {
                *again = Some(Backoff::after_failure(FIRST_RETRY, LONGEST_PAUSE, now));
                let reason = error.reason();
                tracing::error!(agent = %self.agent.name, reason, %error, "the journal cannot be written; it is tried again with growing pauses");
            }
        }
    }

    /// Whether the journal may say something else than the record in memory.
    pub(super) const fn is_unsaved(&self) -> bool {
        self.chores.unsaved.is_some()
    }

    /// When the record is written again; none while the journal says the same.
    pub(super) fn saved_again_at(&self) -> Option<Instant> {
        self.chores.unsaved.map(|unsaved| unsaved.due())
    }

    /// Told in the log when it changes. [`Rotator::advance`] tries again at the end of every chore.
    pub(super) fn note_untidy(&mut self, failed: Option<String>) {
        let now = Instant::now();
        match (&failed, &mut self.chores.tidying) {
            (None, tidying) => *tidying = None,
            (Some(_), Some(again)) if again.due() <= now => again.failed(now),
            (Some(_), Some(_)) => {}
            (Some(_), again @ None) => *again = Some(Backoff::after_failure(FIRST_RETRY, LONGEST_PAUSE, now)),
        }
        match &failed {
            failed if *failed == self.chores.untidy => {}
            Some(error) => {
                tracing::warn!(agent = %self.agent.name, error, "left-over files could not be removed; it is tried again with growing pauses");
            }
            None => tracing::info!(agent = %self.agent.name, "the left-over files are removed"),
        }
        self.chores.untidy = failed;
    }

    /// Nothing is left over of what goes on.
    pub(super) fn stop_tidying(&mut self) {
        self.chores.tidying = None;
    }

    async fn look_after_freeze(&mut self, now: Instant) {
        if !self.is_frozen() {
            return;
        }
        if self.chores.thaw.is_some_and(|thaw| thaw <= now) {
            self.chores.thaw = Some(now + THAW_LOOK);
            // A journal that cannot be written could not say that the freeze has ended.
            if !self.is_unsaved() && self.is_asked_to_thaw() && self.has_seen_stop_over().await {
                self.proceed(Event::Frozen(Finding::Thawed));
                return;
            }
        }
        if self.chores.freeze.is_none_or(|freeze| freeze.due() > now) {
            return;
        }
        let stop = self.host.stop.clone();
        let found = tokio::select! {
            found = self.find() => found,
            () = stop.cancelled() => return,
        };
        let mut started = false;
        match found {
            Ok(finding) => {
                tracing::info!(agent = %self.agent.name, finding = finding.note(), "a freeze may end");
                self.proceed(Event::Frozen(finding));
            }
            Err(why) => {
                tracing::debug!(agent = %self.agent.name, reason = why.reason, why = why.message, "still frozen");
                let is_over = self.has_drained();
                started = self.start_again().await;
                if is_over {
                    self.forget_stop();
                }
            }
        }
        let (now, is_frozen) = (Instant::now(), self.is_frozen());
        match self.chores.freeze.as_mut().filter(|_| is_frozen) {
            Some(freeze) if started => *freeze = Backoff::after_failure(FIRST_LOOK, LONGEST_PAUSE, now),
            Some(freeze) => freeze.failed(now),
            None => {}
        }
    }

    /// Whether a stop that was begun can end the service no more. One that it has ended is started now: nobody does after the
    /// freeze.
    async fn has_seen_stop_over(&mut self) -> bool {
        if self.may_still_end() {
            if !self.has_drained() {
                return false;
            }
            self.start_again().await;
            self.forget_stop();
        }
        true
    }

    /// Starts a service that is down, when that is due. What kept it from starting may be gone: a port that somebody else
    /// held, a command that failed. Whether it serves what is stored is seen at the next look.
    async fn start_again(&mut self) -> bool {
        if self.agent.service.start.is_none() {
            return false;
        }
        let is_over = self.may_still_end() && self.has_drained();
        if !is_over && self.chores.start.is_none_or(|start| start.due() > Instant::now()) {
            return false;
        }
        if !live::is_down(&self.agent.leaf_place).await || self.host.stop.is_cancelled() {
            return false;
        }
        let started = self.start("start_failed_while_frozen").await;
        match &started {
            Ok(()) => tracing::info!(agent = %self.agent.name, "a frozen agent was down, and was started"),
            Err(why) => {
                tracing::warn!(agent = %self.agent.name, error = why.message, "a frozen agent is down, and was not started");
            }
        }
        if let Some(start) = &mut self.chores.start {
            start.failed(Instant::now());
        }
        started.is_ok()
    }

    /// What may end the freeze. While the old files are not back, only the new ones that are proven, or the rollback,
    /// count: what a service holds in memory says nothing of a split set.
    async fn find(&mut self) -> Result<Finding, RotationFailure> {
        let Some(Phase::Frozen { standing, .. }) = self.record.rotation.as_ref().map(|rotation| &rotation.state) else {
            return Err(RotationFailure::new("not_frozen", "there is no freeze"));
        };
        let standing = *standing;
        self.see_whether_down().await;
        if self.may_still_end() && !self.has_drained() {
            return Err(RotationFailure::new("stop_goes_on", "a stop of the service that was begun may still end it"));
        }
        match standing {
            FrozenFiles::NewMustGo => {
                self.look_for_one_that_will_do().await?;
                Ok(Finding::OldServed)
            }
            FrozenFiles::Whole if self.agent.push().is_none() => {
                self.look_for_one_that_will_do().await?;
                Ok(Finding::OldServed)
            }
            FrozenFiles::Whole => {
                self.holds(&self.leaves_that_fit(self.old_leaves())?).await?;
                Ok(Finding::OldServed)
            }
            FrozenFiles::NewStands { .. } => {
                let unless_known =
                    if self.check_files().is_ok() { self.new_leaf().into_iter().collect() } else { self.old_leaves() };
                let fitting = self.leaves_that_fit(unless_known)?;
                self.holds(&fitting).await?;
                let is_new = self.new_leaf().is_some_and(|new| fitting.contains(&new));
                Ok(if is_new { Finding::NewServed } else { Finding::OldServed })
            }
            FrozenFiles::NotRestored { by_order, .. } => {
                if !by_order && self.new_is_proven().await {
                    return Ok(Finding::NewServed);
                }
                let Err(why) = self.restore_files() else { return Ok(Finding::Restored) };
                // What lies below a mount that is missing is not what the agent is to live on: its files come back with the mount,
                // and so does what is needed to make them whole.
                if self.restoration().check_mounted().is_err() {
                    return Err(why);
                }
                // What somebody else has put there since stays; a service that lives on it is in order.
                match coherence::judge(&self.agent) {
                    Coherence::Whole(leaf) if Some(leaf) != self.new_leaf() => {
                        self.holds(&[leaf]).await?;
                        Ok(Finding::OldServed)
                    }
                    // The agent was moved together with its new files; the journal has their former paths.
                    Coherence::Whole(leaf) if self.restoration().check_configured().is_err() => {
                        self.holds(&[leaf]).await?;
                        Ok(Finding::NewServed)
                    }
                    Coherence::Whole(_) | Coherence::Unknown { .. } | Coherence::Broken { .. } => Err(why),
                }
            }
        }
    }

    /// The leaf that the files hold; where the host knows no password for them, those that they are told to hold.
    fn leaves_that_fit(&self, told: Vec<LeafSha256>) -> Result<Vec<LeafSha256>, RotationFailure> {
        match coherence::judge(&self.agent) {
            Coherence::Whole(leaf) => Ok(vec![leaf]),
            Coherence::Unknown { .. } => {
                let stored = self.agent.push().and_then(|push| survey::stored_leaf(push).ok());
                let stored = stored.map(|leaf| LeafSha256::new(leaf.sha256()));
                Ok(stored.map_or(told, |stored| vec![stored]))
            }
            Coherence::Broken { why } => Err(RotationFailure::new("split_set", why)),
        }
    }

    async fn new_is_proven(&mut self) -> bool {
        let new = self.new_leaf();
        let stored = match coherence::judge(&self.agent) {
            Coherence::Whole(leaf) => Some(leaf),
            Coherence::Unknown { .. } | Coherence::Broken { .. } => None,
        };
        match new {
            Some(new) if stored == Some(new) && self.check_files().is_ok() => self.holds(&[new]).await.is_ok(),
            Some(_) | None => false,
        }
    }

    /// Whether one of `wanted` is served now, and for as long as the hold-down asks.
    async fn holds(&mut self, wanted: &[LeafSha256]) -> Result<(), RotationFailure> {
        let at_once = Verify { deadline: Duration::ZERO, ..self.agent.verify };
        self.verify(wanted, at_once).await
    }
}

#[cfg(test)]
mod tests {
    use kagiban_crds::host_api::{RotationState, StoreFormat};
    use kagiban_keystore::{self as keystore, Format, KeyMaterial, Limits, Merge};
    use secrecy::SecretString;
    use tokio::time::sleep_until;

    use super::super::agent::{Keystore, Procedure};
    use super::super::scene::{TRUE, block_journal, open, rotator, unblock_journal};
    use super::*;

    /// Holds A12: the end of a wait that cannot be written down is tried again with growing pauses, and ends when it can.
    #[tokio::test]
    async fn a_wait_whose_end_cannot_be_journalled_does_not_spin() {
        let root = tempfile::tempdir().expect("directory");
        let (mut rotator, _lock) = rotator(root.path(), TRUE);
        rotator.open(&open(), Ok(())).expect("opened");
        rotator.pending.as_mut().expect("pending").until = Instant::now();
        block_journal(root.path());

        let began = Instant::now();
        let mut attempts = 0;
        while began.elapsed() < Duration::from_millis(2500) {
            rotator.do_chores(|_| {}).await;
            attempts += 1;
            assert!(rotator.next_chore().is_some_and(|next| next > Instant::now()), "it spins");
            sleep_until(rotator.next_chore().expect("a chore").min(began + Duration::from_millis(2500))).await;
        }
        assert!((1..=3).contains(&attempts), "{attempts} attempts");
        assert_eq!(rotator.report().expect("rotation").state, RotationState::Keyed);

        unblock_journal(root.path());
        sleep_until(rotator.next_chore().expect("a chore")).await;
        rotator.do_chores(|_| {}).await;
        assert_eq!(rotator.report().expect("rotation").state, RotationState::RolledBack);
        assert!(rotator.next_chore().is_none());
    }

    /// Holds A7: the host knows no password for the store, so that only the journal tells which leaf it holds.
    #[test]
    fn the_leaf_of_a_store_that_cannot_be_opened_is_the_one_that_the_journal_tells_of() {
        let root = tempfile::tempdir().expect("directory");
        let (mut rotator, _lock) = rotator(root.path(), TRUE);
        let store = root.path().join("store.p12");
        let key = rcgen::KeyPair::generate().expect("a key");
        let parameters = rcgen::CertificateParams::new(vec!["ups-01.example.com".to_owned()]).expect("parameters");
        let certificate = parameters.self_signed(&key).expect("a certificate");
        let chain = vec![keystore::Certificate::from_der(certificate.der()).expect("whole")];
        let password = SecretString::from("not on this host");
        let material = KeyMaterial { pkcs8: key.serialize_der().into(), chain };
        let merge = Merge {
            old: None,
            old_passwords: &[],
            new_password: Some(&password),
            alias: "web",
            key: &material,
            trusted: None,
            format: Some(Format::Pkcs12),
            profile: None,
            on_unreadable: keystore::OnUnreadable::Refuse,
            now: jiff::Timestamp::now(),
        };
        let merged = keystore::merge(&merge, &Limits::default()).expect("merged");
        std::fs::write(&store, &*merged.bytes).expect("written");
        let Procedure::Push(push) = &mut rotator.agent.procedure else { panic!("a push") };
        push.keystore = Keystore::OneFile { path: store, format: StoreFormat::Auto };
        push.alias = Some("web".to_owned());
        let told = vec![LeafSha256::new([7; 32])];
        assert_eq!(rotator.leaves_that_fit(told.clone()).expect("told"), told);
        assert_eq!(rotator.leaves_that_fit(Vec::new()).expect("nothing is told"), Vec::new());
    }
}
