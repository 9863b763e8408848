//! Which installation of the operator this host obeys: the one that its configuration names, or else the first that gave an order
//! with a name.

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
        let obeyed = Obeyed { lineage: lineage.clone() };
        platform::replace(&self.path, &checksum::encode_for(&self.path, &obeyed)?, None)?;
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
