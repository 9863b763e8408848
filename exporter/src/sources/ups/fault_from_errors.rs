//! What the errors of other rooms are to a UPS source.

use crate::blocking::Blocked;
use crate::from_files::FilesUnavailable;
use crate::password_file::PasswordFileError;
use crate::platform::{FileError, StoreError};
use crate::probe::{ProbeError, RootsError};
use crate::ups::UpsFault;

impl From<&FileError> for UpsFault {
    fn from(error: &FileError) -> Self {
        match error {
            FileError::NotFound { .. } => Self::NotFound,
            FileError::PermissionDenied { .. } => Self::PermissionDenied,
            FileError::NotRegular { .. } => Self::NotRegular,
            FileError::SymlinkLoop { .. } => Self::SymlinkLoop,
            FileError::TooLarge { .. } => Self::TooLarge,
            // The last three are of files in an agent's directory, and none of these is.
            FileError::Read { .. }
            | FileError::UntrustedLink { .. }
            | FileError::LinkOnTheWay { .. }
            | FileError::HardLinked { .. }
            | FileError::ForeignOwner { .. }
            | FileError::Exposed(_) => Self::ReadFailed,
        }
    }
}

impl From<&PasswordFileError> for UpsFault {
    fn from(error: &PasswordFileError) -> Self {
        match error {
            PasswordFileError::File(error) => error.into(),
            PasswordFileError::Encoding { .. } => Self::BadEncoding,
        }
    }
}

/// Of a CA file that gave nobody to trust.
impl From<&RootsError> for UpsFault {
    fn from(error: &RootsError) -> Self {
        match error {
            RootsError::File(error) => error.into(),
            RootsError::Store(StoreError::NotFound { .. }) => Self::NotFound,
            RootsError::Store(StoreError::PermissionDenied { .. }) => Self::PermissionDenied,
            RootsError::Store(StoreError::TooLarge { .. }) => Self::TooLarge,
            RootsError::Store(StoreError::Read { .. } | StoreError::NotOnThisSystem(_)) => Self::ReadFailed,
            RootsError::NoAuthority { .. } | RootsError::EmptyStore => Self::Tls,
        }
    }
}

impl From<&Blocked> for UpsFault {
    fn from(blocked: &Blocked) -> Self {
        match blocked {
            Blocked::Busy { .. } => Self::Busy,
            Blocked::Timeout => Self::Timeout,
            Blocked::Panic => Self::Panic,
        }
    }
}

impl<E> From<&FilesUnavailable<E>> for UpsFault
where
    for<'a> Self: From<&'a E>,
{
    fn from(unread: &FilesUnavailable<E>) -> Self {
        match unread {
            FilesUnavailable::Blocked(blocked) => blocked.into(),
            FilesUnavailable::Failed(error) => (&**error).into(),
        }
    }
}

/// Of dialling: the rest is of a TLS handshake, which that does not begin.
impl From<&ProbeError> for UpsFault {
    fn from(error: &ProbeError) -> Self {
        match error {
            ProbeError::Dns { .. } => Self::Dns,
            ProbeError::Timeout { .. } => Self::Timeout,
            ProbeError::Busy { .. } => Self::Busy,
            ProbeError::Connect { .. }
            | ProbeError::Address { .. }
            | ProbeError::ServerName { .. }
            | ProbeError::TlsAlert { .. }
            | ProbeError::NotTls { .. }
            | ProbeError::Closed { .. }
            | ProbeError::Protocol { .. }
            | ProbeError::NoCertificate { .. }
            | ProbeError::Malformed { .. } => Self::Connect,
        }
    }
}
