//! Which installation of the operator this host obeys: the one that its configuration names, or else the first that gave an order
//! with a name, or whom that one has given the host to.

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use kagiban_crds::{Epoch, Lineage};
use serde::{Deserialize, Serialize};

use super::fences::{FenceError, read_small};
use crate::checksum;
use crate::platform;

/// Of those obeyed before, as many as the file keeps.
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
    /// The newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    former: Vec<FormerLineage>,
}

/// One that was obeyed before.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FormerLineage {
    lineage: Lineage,
    /// The highest that was accepted of it.
    epoch: Epoch,
    /// Until when.
    until: Timestamp,
}

/// The lineage in its file. Where that could not be read it may hold one: nothing is written there until it was read.
#[derive(Debug)]
pub(super) struct LineageFile {
    path: PathBuf,
    configured: Option<Lineage>,
    /// What the file says; none while it was not read.
    known: Option<Option<Obeyed>>,
}

impl LineageFile {
    /// Reads the file; one that cannot be read is read again when it is asked for.
    pub(super) fn at(path: PathBuf) -> Self {
        let mut file = Self { path, configured: None, known: None };
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
        let is_known = self.entry().is_some_and(|entry| entry.lineage == *lineage);
        if is_known || self.obeyed().is_some_and(|obeyed| obeyed != lineage) {
            return Ok(());
        }
        let next = match self.entry() {
            Some(entry) => entry.followed_by(lineage, fenced),
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
        let next = match self.entry() {
            Some(entry) if entry.lineage == *to => return Ok(()),
            Some(entry) => {
                entry.check_given_away(to, Timestamp::now())?;
                entry.followed_by(to, fenced)
            }
            None => Obeyed { lineage: to.clone(), epoch: Some(Epoch(0)), former: Vec::new() },
        };
        self.write(next)
    }

    /// Durable when it returns. Whether the epoch of whom the host obeys is kept here at all, and not by the fences.
    ///
    /// # Errors
    /// See [`FenceError`]; the old one still stands then.
    pub(super) fn raise(&mut self, to: Epoch, fenced: Epoch) -> Result<bool, FenceError> {
        let Some(epoch) = self.epoch() else { return Ok(false) };
        if let (true, Some(entry), Some(obeyed)) = (to > epoch, self.entry(), self.obeyed()) {
            let entry = if entry.lineage == *obeyed { entry.clone() } else { entry.followed_by(obeyed, fenced) };
            self.write(Obeyed { epoch: Some(to), ..entry })?;
        }
        Ok(true)
    }

    fn entry(&self) -> Option<&Obeyed> {
        self.known.as_ref()?.as_ref()
    }

    fn write(&mut self, next: Obeyed) -> Result<(), FenceError> {
        if let Err(error) = platform::replace(&self.path, &checksum::encode_for(&self.path, &next)?, None) {
            // It may be there all the same, its directory not synced
            self.known = None;
            self.read()?;
            return Err(error.into());
        }
        if self.entry().is_none_or(|entry| entry.lineage != next.lineage) {
            let lineage = &next.lineage;
            tracing::info!(%lineage, "this host obeys the operator of this lineage from now on");
        }
        self.known = Some(Some(next));
        Ok(())
    }
}

impl Obeyed {
    /// Another one is obeyed from now on; what was accepted of it before is still refused.
    fn followed_by(&self, next: &Lineage, fenced: Epoch) -> Self {
        let (lineage, epoch) = (self.lineage.clone(), self.epoch.unwrap_or(fenced));
        let mut former = self.former.clone();
        former.push(FormerLineage { lineage, epoch, until: Timestamp::now() });
        former.drain(..former.len().saturating_sub(MAX_FORMER));
        Self { lineage: next.clone(), epoch: Some(self.epoch_of_former(next)), former }
    }

    fn epoch_of_former(&self, lineage: &Lineage) -> Epoch {
        let former = self.former.iter().filter(|former| former.lineage == *lineage);
        former.map(|former| former.epoch).max().unwrap_or_default()
    }

    fn check_given_away(&self, to: &Lineage, now: Timestamp) -> Result<(), FenceError> {
        let is_recent = |until: Timestamp| now.duration_since(until).abs() < GIVEN_AWAY_WITHIN;
        let given_away = self.former.iter().filter(|former| former.lineage == *to && is_recent(former.until));
        let mut given_away: Vec<_> = given_away.map(|former| former.until).collect();
        given_away.sort_unstable();
        let Some(nth) = given_away.len().checked_sub(MAX_GIVEN_AWAY + 1) else { return Ok(()) };
        let again_at = given_away[nth].saturating_add(GIVEN_AWAY_WITHIN).unwrap_or(Timestamp::MAX);
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
        entry.check_given_away(&tokyo, after(-25)).expect("a clock that was ahead holds it up for no longer");
        file.hand_over(&lineage("kobe"), FENCED).expect("another one takes it");
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
