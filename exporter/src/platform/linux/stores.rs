//! Certificate stores that are no files: Linux has none.

use super::super::{Ability, NotOnThisSystem, StoreError, StoreLimits, StoredCertificate};

/// # Errors
/// Always.
pub fn certificate_store(_store: &str, _limits: StoreLimits) -> Result<Vec<StoredCertificate>, StoreError> {
    Err(NotOnThisSystem(Ability::CertificateStores).into())
}
