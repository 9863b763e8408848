//! The log of a program that is run as a service: in a file, where administrators alone may exchange it.

use std::io;
use std::path::{Path, PathBuf};

use kagiban_files::{FileError, WriteError, create_private_directory};
use tracing::error;

use crate::log_file::LogFile;
use crate::program::ServiceProgram;
use crate::registration::RegistrationError;
use crate::system::{check_unexposed, service_directory};

/// Why there is no log file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OwnLogError {
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    #[error(transparent)]
    Exposed(#[from] FileError),
    #[error(transparent)]
    Directory(#[from] WriteError),
    #[error("cannot log to {}: {source}", path.display())]
    Open { path: PathBuf, source: io::Error },
}

/// Opens the file that the service logs to: the one that is named, or the usual one, whose directory nobody but administrators may enter.
///
/// # Errors
/// When it cannot be opened, or others could exchange it: the service would write and rename what they like.
pub(crate) fn open_own_log(program: &'static ServiceProgram, named: Option<&Path>) -> Result<LogFile, OwnLogError> {
    let path = match named {
        Some(path) => {
            check_unexposed(path)?;
            path.to_owned()
        }
        None => {
            let directory = service_directory(program)?;
            let logs = directory.join("logs");
            create_private_directory(&directory)?;
            create_private_directory(&logs)?;
            logs.join(format!("{}.log", program.name))
        }
    };
    LogFile::open(&path).map_err(|source| OwnLogError::Open { path, source })
}

/// A service has no stderr to write them to.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| error!("a bug of this program, please report it: {panic}")));
}
