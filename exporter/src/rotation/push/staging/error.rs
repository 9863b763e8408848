//! Why the files of an agent cannot be rewritten.

use std::path::PathBuf;

use kagiban_agents::IniError;
use kagiban_keystore::{MergeError, ReadError};

use crate::password_file::PasswordFileError;
use crate::platform::{FileError, WriteError};

/// Why the files cannot be rewritten. `reason()` is stable; no message holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum StagingError {
    #[error("the old store cannot be read: {0}")]
    File(#[from] FileError),
    #[error("what was put there cannot be read back: {0}; see who else writes in the directory")]
    ReadBack(#[source] FileError),
    #[error("the old store cannot be replaced: {0}")]
    Write(#[from] WriteError),
    #[error("the agent's passwordFile: {0}")]
    PasswordFile(#[from] PasswordFileError),
    #[error("{file}: {source}")]
    Ini { file: &'static str, source: IniError },
    #[error("{file} is missing, and the agent does not start without it; repair its installation first")]
    IniMissing { file: &'static str },
    #[error("the store's password has fewer than {min} characters, which the agent refuses; choose a longer one")]
    PasswordTooShort { min: usize },
    // Nobody has documented in which encoding an agent reads its file: it would remember another password than the store's.
    #[error(
        "the store's password holds characters that the agent may not read from {file} as they are meant (printable ASCII works); choose another"
    )]
    PasswordNotAscii { file: &'static str },
    #[error("{}: its first line is empty; write the store's password there", path.display())]
    PasswordEmpty { path: PathBuf },
    #[error("{0}")]
    Merge(#[from] MergeError),
    #[error("the old store: {0}")]
    Old(ReadError),
    #[error(
        "what was staged does not open when it is read back: {0}; where no other program writes there, this is a fault of this \
         one: report it with its log"
    )]
    Staged(ReadError),
    #[error("the store at hand holds another leaf than the one that was staged")]
    OtherLeaf,
    #[error("the alias is not known: name it as keystore.alias in the host's configuration or in the resource")]
    NoAlias,
    #[error(
        "no known password opens the store, so the agent could not be told its old one if this were rolled back; put the store's \
         password into passwordFile, or repair the store first"
    )]
    NotRestorable,
    #[error(
        "{}: the new file would not be open to the same accounts as the old one; take away the directory's default access control list",
        path.display()
    )]
    OtherAccess { path: PathBuf },
    #[error("this agent's certificate and key are two PEM files, which have no alias, format or password")]
    PairOrder,
}

impl StagingError {
    pub fn reason(&self) -> &'static str {
        match self {
            Self::File(error) | Self::ReadBack(error) => error.reason(),
            Self::PasswordFile(error) => error.reason(),
            Self::Write(error) => error.reason(),
            Self::Ini { source, .. } => source.reason(),
            Self::IniMissing { .. } => "password_ini_missing",
            Self::PasswordTooShort { .. } => "password_too_short",
            Self::PasswordNotAscii { .. } => "password_not_ascii",
            Self::PasswordEmpty { .. } => "password_empty",
            Self::Merge(error) => error.reason(),
            Self::Old(error) | Self::Staged(error) => error.reason(),
            Self::OtherLeaf => "other_leaf",
            Self::NoAlias => "no_alias",
            Self::NotRestorable => "no_way_back",
            Self::OtherAccess { .. } => "other_access",
            Self::PairOrder => "pair_order",
        }
    }
}
