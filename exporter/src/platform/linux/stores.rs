//! Certificate stores that are no files: Linux has none.

use super::super::{Ability, NotOnThisSystem, StoreError, StoreLimits, StoredCertificate};

/// # Errors
/// Always: the system's authorities are in files.
pub fn system_authorities(_limits: StoreLimits) -> Result<Vec<Vec<u8>>, StoreError> {
    Err(NotOnThisSystem(Ability::CertificateStores).into())
}

/// # Errors
/// Always.
pub fn certificate_store(_store: &str, _limits: StoreLimits) -> Result<Vec<StoredCertificate>, StoreError> {
    Err(NotOnThisSystem(Ability::CertificateStores).into())
}
