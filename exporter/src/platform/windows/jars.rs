//! The signatures of JARs.

use std::path::Path;
use std::time::Duration;

use crate::platform::{Ability, JarError, JarSeal, NotOnThisSystem};

/// Nobody is asked.
///
/// # Errors
/// Always.
#[expect(clippy::unused_async, reason = "the signature of the seam")]
pub async fn jar_seal(_: &Path, _: &Path, _: Duration) -> Result<JarSeal, JarError> {
    Err(NotOnThisSystem(Ability::JarSignatures).into())
}
