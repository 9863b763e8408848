//! One PowerChute directory: its keystore, under the names that its versions gave it.

use std::path::Path;

use secrecy::SecretString;

use super::files::{FileRule, PasswordSource, Paths};
use crate::platform::{self, FileError};

/// Serial Shutdown, and Business Edition before it.
const KEYSTORES: [&str; 2] = ["keystore", "commkey"];
const SETTINGS: &str = "pcssconfig.ini";
/// The settings of an agent are some kilobytes.
const MAX_SETTINGS: u64 = 1024 * 1024;

pub(super) fn rule(directory: &Path) -> FileRule {
    FileRule {
        paths: Paths::AnyOf(KEYSTORES.iter().map(|name| directory.join(name)).collect()),
        exclude: Vec::new(),
        password: PasswordSource::PowerChuteIni(directory.join(SETTINGS)),
        max_files: KEYSTORES.len(),
        distinct: true,
    }
}

/// The keystore password in the agent's settings, while the agent has not taken it out.
pub(super) fn store_password(settings: &Path) -> Result<Option<SecretString>, FileError> {
    let _ = platform::read_regular(settings, MAX_SETTINGS)?;
    Ok(None)
}
