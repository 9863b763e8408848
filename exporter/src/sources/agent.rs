//! One agent's directory: its keystore, and the password that the agent keeps beside it.

use std::path::Path;

use kagiban_agents::{Ini, PasswordIni};
use secrecy::SecretString;

use super::files::{FileRule, PasswordSource, Paths};
use crate::discovery::Installed;
use crate::platform::{self, FileError};

pub(super) fn rule(at: &Installed) -> FileRule {
    let facts = at.product.facts();
    FileRule {
        paths: Paths::AnyOf(facts.keystores.iter().map(|name| at.directory.join(name)).collect()),
        exclude: Vec::new(),
        password: facts
            .password_ini
            .map_or(PasswordSource::None, |ini| PasswordSource::AgentIni { path: at.directory.join(ini.file), ini }),
        max_files: facts.keystores.len(),
        distinct: true,
    }
}

/// The store's password, while the agent has not taken it out of its settings; settings that are no INI file have none.
pub(super) fn store_password(settings: &Path, at: PasswordIni) -> Result<Option<SecretString>, FileError> {
    let limit = u64::try_from(kagiban_agents::MAX_INI_BYTES).unwrap_or(u64::MAX);
    let file = platform::read_regular(settings, limit)?;
    Ok(Ini::parse(&file.bytes).and_then(|ini| ini.value(at.section, at.key)).unwrap_or_default())
}
