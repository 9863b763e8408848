//! The password of its store that an agent keeps in its settings.

use std::path::Path;

use kagiban_agents::{Ini, PasswordIni};
use secrecy::SecretString;

use crate::platform::{self, FileError};

/// Nothing once the agent has taken it out of its settings; settings that are no INI file have none.
pub(super) fn read(settings: &Path, at: PasswordIni) -> Result<Option<SecretString>, FileError> {
    let limit = u64::try_from(kagiban_agents::MAX_INI_BYTES).unwrap_or(u64::MAX);
    let file = platform::read_regular(settings, limit)?;
    Ok(Ini::parse(&file.bytes).and_then(|ini| ini.value(at.section, at.key)).unwrap_or_default())
}
