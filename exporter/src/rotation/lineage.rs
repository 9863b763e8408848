//! Which installation of the operator this host obeys: the one that its configuration names, or else the first that gave an order
//! with a name, or whom that one has given the host to.

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use kagiban_crds::{Epoch, Lineage};
use serde::{Deserialize, Serialize};

use super::fences::{FenceError, read_small};
use crate::checksum;
use crate::platform;

/// Of those obeyed before, as many as the file keeps. The epochs of one before them are forgotten.
const MAX_FORMER: usize = 8;
/// Two operators that give a host to each other for ever do so only as often as [`MAX_GIVEN_AWAY`] says within this time.
const GIVEN_AWAY_WITHIN: SignedDuration = SignedDuration::from_hours(24);
/// How often an installation may have given the host away, and be given it back. Once is a mistake that is put right.
const MAX_GIVEN_AWAY: usize = 1;

/// The contents of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Obeyed {
    lineage: Lineage,
    /// The highest that was accepted of it. Absent of the first that the host obeys: the fences tell it, as before there was this
    /// member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epoch: Option<Epoch>,
    /// The one that was obeyed last stands last, and each stands once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    former: Vec<FormerLineage>,
}

/// One that was obeyed before, and may be again.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FormerLineage {
    lineage: Lineage,
    /// The highest that was accepted of it.
    epoch: Epoch,
    /// When it gave the host away, the newest last: no more of them than are counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    given_away: Vec<Timestamp>,
}

/// The lineage in its file. Where that could not be read it may hold one: nothing is written there until it was read.
#[derive(Debug)]
pub(super) struct LineageFile {
    path: PathBuf,
    configured: Option<Lineage>,
    /// What the file says; none while it was not read.
    known: Option<Option<Obeyed>>,
    /// What was written last may be there and not be durable.
    is_unsynced: bool,
}

impl LineageFile {
    /// Reads the file; one that cannot be read is read again when it is asked for.
    pub(super) fn at(path: PathBuf) -> Self {
        let mut file = Self { path, configured: None, known: None, is_unsynced: false };
        let _ = file.read();
        file
    }

    /// What the configuration says counts before the file. Where nobody says, that is said in the log.
    pub(super) fn configure(&mut self, lineage: Option<Lineage>) {
        self.configured = lineage;
        if let Err(error) = self.read() {
            tracing::error!(%error, "which operator this host obeys is not known");
        }
    }

    /// # Errors
    /// When there is a file that cannot be read or understood, and the configuration does not say.
    pub(super) fn read(&mut self) -> Result<(), FenceError> {
        if self.known.is_none() {
            match read_small::<Obeyed>(&self.path) {
                Ok(obeyed) => self.known = Some(obeyed),
                Err(_) if self.configured.is_some() => {}
                Err(why) => return Err(FenceError::LineageUnread { path: self.path.clone(), why }),
            }
        }
        Ok(())
    }

    /// Whom this host obeys.
    pub(super) fn obeyed(&self) -> Option<&Lineage> {
        self.configured.as_ref().or_else(|| self.entry().map(|entry| &entry.lineage))
    }

    /// The highest epoch that was accepted of whom this host obeys; none where the fences tell it.
    pub(super) fn epoch(&self) -> Option<Epoch> {
        let (entry, obeyed) = (self.entry()?, self.obeyed()?);
        if entry.lineage == *obeyed { entry.epoch } else { Some(entry.epoch_of_former(obeyed)) }
    }

    /// Durable when it returns. A host that obeys another already goes on doing so. `fenced` is what the fences tell.
    ///
    /// # Errors
    /// See [`FenceError`].
    pub(super) fn obey(&mut self, lineage: &Lineage, fenced: Epoch) -> Result<(), FenceError> {
        self.write_again()?;
        let is_known = self.entry().is_some_and(|entry| entry.lineage == *lineage);
        if is_known || self.obeyed().is_some_and(|obeyed| obeyed != lineage) {
            return Ok(());
        }
        let next = match self.entry() {
            Some(entry) => entry.followed_by(lineage, fenced, None),
            None => Obeyed { lineage: lineage.clone(), epoch: None, former: Vec::new() },
        };
        self.write(next)
    }

    /// Durable when it returns. It obeys whoever is named and no other from then on, at the epochs of that one.
    ///
    /// # Errors
    /// See [`FenceError`]; it obeys whom the file names then, as after a restart.
    pub(super) fn hand_over(&mut self, to: &Lineage, fenced: Epoch) -> Result<(), FenceError> {
        if let Some(configured) = self.configured.as_ref().filter(|configured| *configured != to) {
            return Err(FenceError::Configured(configured.clone()));
        }
        self.write_again()?;
        let now = Timestamp::now();
        let next = match self.entry() {
            Some(entry) if entry.lineage == *to => return Ok(()),
            Some(entry) => {
                entry.check_given_away(to, now)?;
                entry.followed_by(to, fenced, Some(now))
            }
            None => Obeyed { lineage: to.clone(), epoch: Some(Epoch(0)), former: Vec::new() },
        };
        self.write(next)
    }

    /// Durable when it returns. Whether the epoch of whom the host obeys is kept here at all, and not by the fences.
    ///
    /// # Errors
    /// See [`FenceError`]; it may be the higher one all the same then, as after a restart.
    pub(super) fn raise(&mut self, to: Epoch, fenced: Epoch) -> Result<bool, FenceError> {
        self.write_again()?;
        let Some(epoch) = self.epoch() else { return Ok(false) };
        if let (true, Some(entry), Some(obeyed)) = (to > epoch, self.entry(), self.obeyed()) {
            let entry = if entry.lineage == *obeyed { entry.clone() } else { entry.followed_by(obeyed, fenced, None) };
            self.write(Obeyed { epoch: Some(to), ..entry })?;
        }
        Ok(true)
    }

    fn entry(&self) -> Option<&Obeyed> {
        self.known.as_ref()?.as_ref()
    }

    /// Nothing is answered by what a failed attempt has left and a power cut may take back.
    fn write_again(&mut self) -> Result<(), FenceError> {
        match self.entry().cloned() {
            Some(entry) if self.is_unsynced => self.write(entry),
            Some(_) | None => Ok(()),
        }
    }

    fn write(&mut self, next: Obeyed) -> Result<(), FenceError> {
        if let Err(error) = platform::replace(&self.path, &checksum::encode_for(&self.path, &next)?, None) {
            // It may be there all the same, its directory not synced
            (self.known, self.is_unsynced) = (None, true);
            self.read()?;
            return Err(error.into());
        }
        self.is_unsynced = false;
        if self.entry().is_none_or(|entry| entry.lineage != next.lineage) {
            let lineage = &next.lineage;
            tracing::info!(%lineage, "this host obeys the operator of this lineage from now on");
        }
        self.known = Some(Some(next));
        Ok(())
    }
}

impl Obeyed {
    /// Another one is obeyed from now on; what was accepted of it before is still refused. `given_away` is when, where it is this one
    /// that has given the host away.
    fn followed_by(&self, next: &Lineage, fenced: Epoch, given_away: Option<Timestamp>) -> Self {
        let mut former = self.former.clone();
        let at = former.iter().position(|former| former.lineage == self.lineage);
        let mut left = at.map_or_else(
            || FormerLineage { lineage: self.lineage.clone(), epoch: Epoch(0), given_away: Vec::new() },
            |at| former.remove(at),
        );
        left.epoch = left.epoch.max(self.epoch.unwrap_or(fenced));
        left.given_away.extend(given_away);
        left.given_away.drain(..left.given_away.len().saturating_sub(MAX_GIVEN_AWAY + 1));
        former.push(left);
        former.drain(..former.len().saturating_sub(MAX_FORMER));
        Self { lineage: next.clone(), epoch: Some(self.epoch_of_former(next)), former }
    }

    fn former(&self, lineage: &Lineage) -> Option<&FormerLineage> {
        self.former.iter().find(|former| former.lineage == *lineage)
    }

    fn epoch_of_former(&self, lineage: &Lineage) -> Epoch {
        self.former(lineage).map(|former| former.epoch).unwrap_or_default()
    }

    /// A time that is still to come was written by a clock that was ahead, and says nothing.
    fn check_given_away(&self, to: &Lineage, now: Timestamp) -> Result<(), FenceError> {
        let is_recent = |at: &&Timestamp| **at <= now && now.duration_since(**at) < GIVEN_AWAY_WITHIN;
        let given_away = self.former(to).map_or(&[][..], |former| &former.given_away);
        let recent: Vec<_> = given_away.iter().filter(is_recent).copied().collect();
        let Some(nth) = recent.len().checked_sub(MAX_GIVEN_AWAY + 1) else { return Ok(()) };
        let again_at = recent[nth].saturating_add(GIVEN_AWAY_WITHIN).unwrap_or(Timestamp::MAX);
        Err(FenceError::HandedBack { from: self.lineage.clone(), to: to.clone(), again_at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FENCED: Epoch = Epoch(5);

    fn lineage(name: &str) -> Lineage {
        name.parse().expect("a lineage")
    }

    #[test]
    fn a_host_obeys_the_first_that_speaks_until_its_configuration_names_another() {
        let root = tempfile::tempdir().expect("directory");
        let at = root.path().join("lineage.json");
        let mut file = LineageFile::at(at.clone());
        assert_eq!(file.obeyed(), None);
        file.obey(&lineage("tokyo"), FENCED).expect("written");
        let mut again = LineageFile::at(at.clone());
        assert_eq!(again.obeyed(), Some(&lineage("tokyo")));
        again.obey(&lineage("kobe"), FENCED).expect("nothing is written");
        assert_eq!(LineageFile::at(at.clone()).obeyed(), Some(&lineage("tokyo")), "the first stays");
        again.configure(Some(lineage("osaka")));
        assert_eq!(again.obeyed(), Some(&lineage("osaka")));
        again.obey(&lineage("osaka"), FENCED).expect("written");
        assert_eq!(LineageFile::at(at).obeyed(), Some(&lineage("osaka")));
    }

    #[test]
    fn a_host_that_was_handed_over_obeys_the_other_for_good() {
        let root = tempfile::tempdir().expect("directory");
        let at = root.path().join("lineage.json");
        let (tokyo, osaka) = (lineage("tokyo"), lineage("osaka"));
        let mut file = LineageFile::at(at.clone());
        file.obey(&tokyo, FENCED).expect("written");
        file.hand_over(&osaka, FENCED).expect("written");
        file.obey(&tokyo, FENCED).expect("nothing is written");
        for mut file in [file, LineageFile::at(at.clone())] {
            assert_eq!(file.obeyed(), Some(&osaka));
            file.hand_over(&osaka, FENCED).expect("it is so");
        }
        // Whoever may write the configuration decides.
        let mut file = LineageFile::at(at.clone());
        file.configure(Some(tokyo.clone()));
        let refused = file.hand_over(&lineage("kobe"), FENCED).expect_err("the configuration says who");
        assert!(refused.to_string().contains("tokyo is written in hostApi.lineage"), "{refused}");
        assert_eq!((file.obeyed(), LineageFile::at(at.clone()).obeyed()), (Some(&tokyo), Some(&osaka)));
        // Of one that was given to nobody
        std::fs::remove_file(&at).expect("removed");
        LineageFile::at(at.clone()).hand_over(&lineage("kobe"), FENCED).expect("written");
        assert_eq!(LineageFile::at(at).obeyed(), Some(&lineage("kobe")));
    }

    #[test]
    fn each_lineage_has_its_own_epoch_also_when_it_is_obeyed_again() {
        let root = tempfile::tempdir().expect("directory");
        let at = root.path().join("lineage.json");
        let (tokyo, osaka) = (lineage("tokyo"), lineage("osaka"));
        let again = || LineageFile::at(at.clone());
        again().obey(&tokyo, FENCED).expect("written");
        assert_eq!(again().epoch(), None, "of the first one the fences tell it");
        assert!(!again().raise(Epoch(6), FENCED).expect("nothing is written"));
        again().hand_over(&osaka, Epoch(6)).expect("written");
        assert_eq!(again().epoch(), Some(Epoch(0)), "it begins with its own");
        for (to, stands) in [(2, 2), (1, 2), (3, 3)] {
            assert!(again().raise(Epoch(to), Epoch(6)).expect("written"));
            assert_eq!(again().epoch(), Some(Epoch(stands)));
        }
        again().hand_over(&tokyo, Epoch(6)).expect("written");
        assert_eq!(again().epoch(), Some(Epoch(6)), "who was deposed then stays so");
        // Whoever may write the configuration decides, and it is the same then.
        let mut file = again();
        file.configure(Some(osaka.clone()));
        assert_eq!(file.epoch(), Some(Epoch(3)));
        assert!(file.raise(Epoch(4), Epoch(6)).expect("written"));
        assert_eq!((again().obeyed(), again().epoch()), (Some(&osaka), Some(Epoch(4))));
        file.configure(Some(lineage("kobe")));
        assert_eq!(file.epoch(), Some(Epoch(0)));
        file.obey(&lineage("kobe"), Epoch(6)).expect("written");
        assert_eq!((again().obeyed(), again().epoch()), (Some(&lineage("kobe")), Some(Epoch(0))));
    }

    #[test]
    fn a_file_from_before_it_kept_epochs_is_read_and_one_of_many_lineages_too() {
        let root = tempfile::tempdir().expect("directory");
        let at = root.path().join("lineage.json");
        std::fs::write(&at, "{\n  \"lineage\": \"tokyo\"\n}").expect("written");
        let mut file = LineageFile::at(at.clone());
        assert_eq!((file.obeyed(), file.epoch()), (Some(&lineage("tokyo")), None));
        for nth in 0..3 * MAX_FORMER {
            let longest = format!("{nth:0>63}");
            file.hand_over(&lineage(&longest), FENCED).expect("written");
            file.raise(Epoch(u64::MAX), FENCED).expect("written");
            assert_eq!(LineageFile::at(at.clone()).obeyed(), Some(&lineage(&longest)), "it is read again");
        }
        assert_eq!(file.entry().expect("an entry").former.len(), MAX_FORMER);
    }

    /// Two operators that are each told to give hosts to the other.
    #[test]
    fn a_host_is_not_handed_to_and_fro_for_ever() {
        let root = tempfile::tempdir().expect("directory");
        let at = root.path().join("lineage.json");
        let (tokyo, osaka) = (lineage("tokyo"), lineage("osaka"));
        let mut file = LineageFile::at(at);
        file.obey(&tokyo, FENCED).expect("written");
        for to in [&osaka, &tokyo, &osaka] {
            file.hand_over(to, FENCED).expect("a mistake is put right");
        }
        let refused = file.hand_over(&tokyo, FENCED).expect_err("it has given it away twice");
        assert!(matches!(refused, FenceError::HandedBack { .. }), "{refused}");
        assert_eq!(file.obeyed(), Some(&osaka));
        let entry = file.entry().expect("an entry").clone();
        let after = |hours| Timestamp::now() + SignedDuration::from_hours(hours);
        entry.check_given_away(&tokyo, after(23)).expect_err("within a day");
        entry.check_given_away(&tokyo, after(25)).expect("after a day");
        entry.check_given_away(&tokyo, after(-1)).expect("the clock was ahead when it was written");
        file.hand_over(&lineage("kobe"), FENCED).expect("another one takes it");
    }

    /// It was refused as if the lineage that the configuration had named had given the host away.
    #[test]
    fn what_the_configuration_has_changed_is_no_hand_over() {
        let root = tempfile::tempdir().expect("directory");
        let (tokyo, osaka) = (lineage("tokyo"), lineage("osaka"));
        let mut file = LineageFile::at(root.path().join("lineage.json"));
        for named in [&tokyo, &osaka, &tokyo, &osaka] {
            file.configure(Some(named.clone()));
            file.obey(named, FENCED).expect("written");
        }
        file.configure(None);
        file.hand_over(&tokyo, FENCED).expect("it has given nothing away");
    }

    /// Two that take a host from each other again and again took the epochs of all others out of the file.
    #[test]
    fn an_epoch_is_kept_however_often_two_others_follow_each_other() {
        let first = Obeyed { lineage: lineage("tokyo"), epoch: Some(Epoch(7)), former: Vec::new() };
        let mut obeyed = first.followed_by(&lineage("osaka"), FENCED, Some(Timestamp::now()));
        for _ in 0..3 * MAX_FORMER {
            for next in ["kobe", "osaka"] {
                obeyed = obeyed.followed_by(&lineage(next), FENCED, Some(Timestamp::now()));
            }
        }
        assert_eq!(obeyed.epoch_of_former(&lineage("tokyo")), Epoch(7));
        assert!(obeyed.former.iter().all(|former| former.given_away.len() <= MAX_GIVEN_AWAY + 1), "{obeyed:?}");
        assert_eq!(obeyed.former.len(), 3, "each stands once: {obeyed:?}");
    }

    /// A write whose directory was not synced is read again, and a power cut takes it back.
    #[test]
    fn what_a_failed_write_has_left_is_written_again_before_it_counts() {
        let root = tempfile::tempdir().expect("directory");
        let at = root.path().join("lineage.json");
        let (tokyo, osaka) = (lineage("tokyo"), lineage("osaka"));
        let mut file = LineageFile::at(at.clone());
        file.obey(&tokyo, FENCED).expect("written");
        file.hand_over(&osaka, FENCED).expect("written");
        file.raise(Epoch(3), FENCED).expect("written");
        let repeats: [fn(&mut LineageFile, &Lineage); 3] = [
            |file, osaka| file.obey(osaka, FENCED).expect("it is so"),
            |file, osaka| file.hand_over(osaka, FENCED).expect("it is so"),
            |file, _| assert!(file.raise(Epoch(3), FENCED).expect("it is so")),
        ];
        for repeat in repeats {
            file.is_unsynced = true;
            std::fs::remove_file(&at).expect("a power cut");
            repeat(&mut file, &osaka);
            let again = LineageFile::at(at.clone());
            assert_eq!((again.obeyed(), again.epoch()), (Some(&osaka), Some(Epoch(3))));
        }
    }

    #[test]
    fn a_damaged_file_is_not_taken_for_none_unless_the_configuration_says_who() {
        let root = tempfile::tempdir().expect("directory");
        let at = root.path().join("lineage.json");
        std::fs::write(&at, "{").expect("written");
        let mut file = LineageFile::at(at);
        file.read().expect_err("it is damaged");
        file.configure(Some(lineage("tokyo")));
        file.read().expect("it does not matter");
        file.obey(&lineage("tokyo"), FENCED).expect("mended");
    }
}
