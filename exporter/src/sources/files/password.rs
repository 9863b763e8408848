//! Where the password of a store comes from. It is read again when its file changes.

use std::path::{Path, PathBuf};

use kagiban_agents::PasswordIni;
use secrecy::SecretString;
use tracing::warn;

use crate::password_file;
use crate::platform::{self, FileIdentity};
use crate::snapshot::Trouble;
use crate::sources::agent;

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
    pub(super) secret: Option<SecretString>,
    identity: Option<FileIdentity>,
}

impl Password {
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
                let known = self.secret.is_some();
                Ok(self.refresh_from(path, |path| agent::store_password(path, *ini)).unwrap_or(known))
            }
        }
    }

    /// After an error there is no password: what the lost one opened must not be shown from memory.
    fn refresh_from<E: From<platform::FileError>>(
        &mut self,
        path: &Path,
        read: impl FnOnce(&Path) -> Result<Option<SecretString>, E>,
    ) -> Result<bool, E> {
        let before = std::mem::take(self);
        let identity = platform::identify(path)?;
        if before.identity == Some(identity) {
            *self = before;
            return Ok(false);
        }
        *self = Self { secret: read(path)?, identity: Some(identity) };
        if self.secret.is_some() && platform::is_readable_by_others(path) {
            warn!(path = %path.display(), "others can read this password; set the mode of its file to 0600");
        }
        Ok(true)
    }
}
