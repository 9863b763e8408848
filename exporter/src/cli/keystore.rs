//! `keystore list`: what a store holds, without its owner's tools.

use std::io::{self, Write};

use kagiban_keystore::{Fault, Limits, ReadError};

use super::{ListArgs, Output, listing};
use crate::password_file::{self, PasswordFileError};
use crate::platform::{self, FileError};

/// Why a store was not listed.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    #[error("{0}")]
    File(#[from] FileError),
    #[error("password file {0}")]
    PasswordFile(String, &'static str),
    #[error("{file}: {cause}")]
    Store { file: String, cause: ReadError },
    #[error("{file}: {count} of its parts cannot be read and are not listed; the first is {first}")]
    Parts { file: String, count: usize, first: Fault },
    #[error("cannot print the listing: {0}")]
    Print(#[from] io::Error),
}

impl ListError {
    /// Stable, for scripts.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::File(error) => error.reason(),
            Self::PasswordFile(_, reason) => reason,
            Self::Store { cause, .. } | Self::Parts { first: Fault { cause, .. }, .. } => cause.reason(),
            Self::Print(_) => "print_failed",
        }
    }
}

impl From<PasswordFileError> for ListError {
    fn from(error: PasswordFileError) -> Self {
        Self::PasswordFile(error.to_string(), error.reason())
    }
}

/// Reads the store and prints it.
///
/// # Errors
/// See [`ListError`]. What can be read has been printed when parts of the store cannot, or when it has no certificate.
pub fn list(args: &ListArgs, out: &mut dyn Write) -> Result<(), ListError> {
    let password = args.password_file.as_deref().map(password_file::read).transpose()?;
    let limits = Limits::default();
    let file = platform::read_regular(&args.file, u64::try_from(limits.max_bytes).unwrap_or(u64::MAX))?;
    let name = || args.file.display().to_string();
    let unread = |cause| ListError::Store { file: name(), cause };
    let store = kagiban_keystore::read(&file.bytes, password.as_ref(), &limits).map_err(unread)?;
    match args.output {
        Output::Json => listing::json(&store, out)?,
        Output::Text => listing::text(&store, jiff::Timestamp::now(), out)?,
    }
    out.flush()?;
    store.check_has_certificate().map_err(unread)?;
    match store.faults.first() {
        Some(first) => Err(ListError::Parts { file: name(), count: store.faults.len(), first: first.clone() }),
        None => Ok(()),
    }
}
