//! The certificate authorities that are trusted, read from a file or from the system's own store.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kagiban_keystore::Limits;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::roots::{Anchors, Roots, RootsError};
use crate::from_files::{FileOrigin, of_file};
use crate::platform;

/// The largest bundles that systems ship are a quarter of a megabyte.
const MAX_BUNDLE_BYTES: u64 = 4 * 1024 * 1024;

/// A store tells of no change. To read one and to make a verifier of it takes milliseconds, too long for each of thousands of endpoints.
const READ_AGAIN_AFTER: Duration = Duration::from_mins(1);

/// Whom to trust.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Authorities {
    /// A PEM file.
    File(PathBuf),
    /// Those of the system's own store, where it keeps them in no file.
    SystemStore,
}

/// The certificates, and whom they vouch for.
#[derive(Clone, Debug)]
pub(crate) struct ReadAuthorities {
    pub(crate) certificates: Arc<[CertificateDer<'static>]>,
    pub(crate) anchors: Anchors,
}

/// What the system's store said when it was read last.
static SYSTEM_STORE: Mutex<Option<(Instant, ReadAuthorities)>> = Mutex::new(None);

impl Authorities {
    /// The configured file; without one, those of the system.
    pub(crate) fn of(ca_file: Option<&Path>, system: Option<&Self>) -> Option<Self> {
        ca_file.map(|path| Self::File(path.to_owned())).or_else(|| system.cloned())
    }

    /// What is made of them, and of which files. Blocks.
    ///
    /// # Errors
    /// When they cannot be read, or there are none at all.
    pub(crate) fn make<T>(&self, make: impl FnOnce(ReadAuthorities) -> T) -> Result<(T, FileOrigin), RootsError> {
        match self {
            Self::File(path) => of_file(path, |path| of_pem(path).map(make)),
            Self::SystemStore => Ok((make(of_system_store()?), FileOrigin::new())),
        }
    }
}

impl Roots {
    /// Reads every certificate of a PEM file as a trust anchor.
    ///
    /// # Errors
    /// When the file cannot be read, or holds none at all.
    pub fn from_file(path: &Path) -> Result<Self, RootsError> {
        Ok(of_pem(path)?.into())
    }
}

impl From<ReadAuthorities> for Roots {
    fn from(read: ReadAuthorities) -> Self {
        Self::of(read.anchors)
    }
}

/// Every certificate of a PEM file.
fn of_pem(path: &Path) -> Result<ReadAuthorities, RootsError> {
    let file = platform::read_regular(path, MAX_BUNDLE_BYTES)?;
    let certificates = CertificateDer::pem_slice_iter(&file.bytes).filter_map(Result::ok).collect();
    read(certificates).ok_or_else(|| RootsError::NoAuthority { path: path.to_owned() })
}

fn of_system_store() -> Result<ReadAuthorities, RootsError> {
    let known = SYSTEM_STORE.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some((at, known)) = known
        && at.elapsed() < READ_AGAIN_AFTER
    {
        return Ok(known);
    }
    let certificates = platform::system_authorities((&Limits::default()).into())?;
    let certificates = certificates.into_iter().map(CertificateDer::from).collect();
    let read = read(certificates).ok_or(RootsError::EmptyStore)?;
    *SYSTEM_STORE.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), read.clone()));
    Ok(read)
}

fn read(certificates: Vec<CertificateDer<'static>>) -> Option<ReadAuthorities> {
    let kept = certificates.clone().into();
    Some(ReadAuthorities { certificates: kept, anchors: Anchors::new(certificates)? })
}
