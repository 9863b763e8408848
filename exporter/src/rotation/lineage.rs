//! Which installation of the operator this host obeys: the one that its configuration names, or else the first that gave an order
//! with a name, or whom that one has given the host to.

use std::path::PathBuf;

use kagiban_crds::Lineage;
use serde::{Deserialize, Serialize};

use super::fences::{FenceError, read_small};
use crate::checksum;
use crate::platform;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Obeyed {
    lineage: Lineage,
}

/// The lineage in its file. Where that could not be read it may hold one: nothing is written there until it was read.
#[derive(Debug)]
pub(super) struct LineageFile {
    path: PathBuf,
    configured: Option<Lineage>,
    /// What the file says; none while it was not read.
    known: Option<Option<Lineage>>,
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
                Ok(obeyed) => self.known = Some(obeyed.map(|obeyed| obeyed.lineage)),
                Err(_) if self.configured.is_some() => {}
                Err(why) => return Err(FenceError::LineageUnread { path: self.path.clone(), why }),
            }
        }
        Ok(())
    }

    /// Whom this host obeys.
    pub(super) fn obeyed(&self) -> Option<Lineage> {
        self.configured.clone().or_else(|| self.known.clone().flatten())
    }

    /// Durable when it returns. A host that obeys another already goes on doing so.
    ///
    /// # Errors
    /// See [`FenceError`].
    pub(super) fn obey(&mut self, lineage: &Lineage) -> Result<(), FenceError> {
        let is_known = self.known.as_ref().is_some_and(|known| known.as_ref() == Some(lineage));
        if is_known || self.obeyed().is_some_and(|obeyed| obeyed != *lineage) {
            return Ok(());
        }
        self.write(lineage)
    }

    /// Durable when it returns. It obeys whoever is named and no other from then on.
    ///
    /// # Errors
    /// See [`FenceError`]; it obeys whom the file names then, as after a restart.
    pub(super) fn hand_over(&mut self, to: &Lineage) -> Result<(), FenceError> {
        self.read()?;
        match &self.configured {
            Some(configured) if configured != to => Err(FenceError::Configured(configured.clone())),
            _ if self.known.as_ref().is_some_and(|known| known.as_ref() == Some(to)) => Ok(()),
            _ => self.write(to),
        }
    }

    fn write(&mut self, lineage: &Lineage) -> Result<(), FenceError> {
        let obeyed = Obeyed { lineage: lineage.clone() };
        if let Err(error) = platform::replace(&self.path, &checksum::encode_for(&self.path, &obeyed)?, None) {
            // It may be there all the same, its directory not synced
            self.known = None;
            self.read()?;
            return Err(error.into());
        }
        tracing::info!(%lineage, "this host obeys the operator of this lineage from now on");
        self.known = Some(Some(obeyed.lineage));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lineage(name: &str) -> Lineage {
        name.parse().expect("a lineage")
    }

    #[test]
    fn a_host_obeys_the_first_that_speaks_until_its_configuration_names_another() {
        let root = tempfile::tempdir().expect("directory");
        let at = root.path().join("lineage.json");
        let mut file = LineageFile::at(at.clone());
        assert_eq!(file.obeyed(), None);
        file.obey(&lineage("tokyo")).expect("written");
        let mut again = LineageFile::at(at.clone());
        assert_eq!(again.obeyed(), Some(lineage("tokyo")));
        again.obey(&lineage("kobe")).expect("nothing is written");
        assert_eq!(LineageFile::at(at.clone()).obeyed(), Some(lineage("tokyo")), "the first stays");
        again.configure(Some(lineage("osaka")));
        assert_eq!(again.obeyed(), Some(lineage("osaka")));
        again.obey(&lineage("osaka")).expect("written");
        assert_eq!(LineageFile::at(at).obeyed(), Some(lineage("osaka")));
    }

    #[test]
    fn a_host_that_was_handed_over_obeys_the_other_for_good() {
        let root = tempfile::tempdir().expect("directory");
        let at = root.path().join("lineage.json");
        let (tokyo, osaka) = (lineage("tokyo"), lineage("osaka"));
        let mut file = LineageFile::at(at.clone());
        file.obey(&tokyo).expect("written");
        file.hand_over(&osaka).expect("written");
        file.obey(&tokyo).expect("nothing is written");
        for mut file in [file, LineageFile::at(at.clone())] {
            assert_eq!(file.obeyed(), Some(osaka.clone()));
            file.hand_over(&osaka).expect("it is so");
        }
        // Whoever may write the configuration decides.
        let mut file = LineageFile::at(at.clone());
        file.configure(Some(tokyo.clone()));
        let refused = file.hand_over(&lineage("kobe")).expect_err("the configuration says who");
        assert!(refused.to_string().contains("tokyo is written in hostApi.lineage"), "{refused}");
        assert_eq!((file.obeyed(), LineageFile::at(at.clone()).obeyed()), (Some(tokyo), Some(osaka)));
        // Of one that was given to nobody
        std::fs::remove_file(&at).expect("removed");
        LineageFile::at(at.clone()).hand_over(&lineage("kobe")).expect("written");
        assert_eq!(LineageFile::at(at).obeyed(), Some(lineage("kobe")));
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
        file.obey(&lineage("tokyo")).expect("mended");
    }
}
