//! Where the password of a store comes from. It is read again when its file changes.

use std::path::{Path, PathBuf};

use kagiban_agents::PasswordIni;
use secrecy::SecretString;
use tracing::warn;

use crate::from_files::{CachedFile, of_file};
use crate::password_file;
use crate::platform::{self, HINTS};
use crate::snapshot::Trouble;
use crate::sources::password_ini;

/// Where the password of a rule's stores lies.
#[derive(Clone, Debug)]
pub(crate) enum PasswordSource {
    None,
    File(PathBuf),
    /// The settings of an agent, which may take the password out once it has read it: an absent file, or one without a
    /// password, is no fault.
    AgentIni {
        path: PathBuf,
        ini: PasswordIni,
    },
}

/// The password in hand, and which file it came from.
#[derive(Debug, Default)]
pub(super) struct Password {
    kept: CachedFile<Option<SecretString>>,
}

impl Password {
    pub(super) fn secret(&self) -> Option<&SecretString> {
        self.kept.last().and_then(Option::as_ref)
    }

    /// Reads the password if its file is not the one read before. Returns whether it may have changed.
    pub(super) fn refresh(&mut self, source: &PasswordSource) -> Result<bool, Trouble> {
        match source {
            PasswordSource::None => Ok(false),
            PasswordSource::File(path) => {
                self.refresh_from(path, |path| password_file::read(path).map(Some)).map_err(|error| {
                    Trouble::new("password_unreadable", format!("cannot read the password file: {error}"))
                })
            }
            PasswordSource::AgentIni { path, ini } => {
                let known = self.secret().is_some();
                Ok(self.refresh_from(path, |path| password_ini::read(path, *ini)).unwrap_or(known))
            }
        }
    }

    /// After an error there is no password: what the lost one opened must not be shown from memory.
    fn refresh_from<E: From<platform::FileError>>(
        &mut self,
        path: &Path,
        read: impl FnOnce(&Path) -> Result<Option<SecretString>, E>,
    ) -> Result<bool, E> {
        // Forgotten first, should reading fail.
        let mut kept = std::mem::take(&mut self.kept);
        let is_new = kept.refresh(|| of_file(path, read))?;
        self.kept = kept;
        if is_new && self.secret().is_some() && platform::is_readable_by_others(path) {
            warn!(path = %path.display(), "others can read this password; {}", HINTS.make_private);
        }
        Ok(is_new)
    }
}
