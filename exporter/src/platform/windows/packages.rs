//! Packages, of which Windows has none: a program says its version itself.

use crate::platform::{InstalledPackage, PackageError};

/// None, of whatever name.
///
/// # Errors
/// Never.
#[expect(clippy::unused_async, reason = "the signature of the seam")]
pub async fn installed_package(_: &str) -> Result<Option<InstalledPackage>, PackageError> {
    Ok(None)
}
