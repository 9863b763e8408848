//! The certificates that a server showed, as far as they can be read.

use kagiban_keystore::{Certificate, Fault, ReadError};
use rustls::pki_types::CertificateDer;

/// A chain in which a certificate that cannot be read hides no other.
#[derive(Clone, Debug, Default)]
pub struct ServedChain {
    /// Each with its place; that of the leaf is 0.
    certificates: Vec<(usize, Certificate)>,
    unread: Vec<(usize, ReadError)>,
}

impl ServedChain {
    pub(super) fn of(chain: &[CertificateDer<'_>]) -> Self {
        let mut served = Self::default();
        for (place, der) in chain.iter().enumerate() {
            match Certificate::observe(der) {
                Ok(certificate) => served.certificates.push((place, certificate)),
                Err(cause) => served.unread.push((place, cause)),
            }
        }
        served
    }

    /// Absent where it cannot be read, whatever stands behind it.
    pub fn leaf(&self) -> Option<&Certificate> {
        self.certificates.first().filter(|(place, _)| *place == 0).map(|(_, leaf)| leaf)
    }

    /// With the place of each in the chain, from 0.
    pub fn certificates(&self) -> &[(usize, Certificate)] {
        &self.certificates
    }

    /// What could not be read.
    pub fn faults(&self) -> Vec<Fault> {
        let fault = |(place, cause): &(usize, ReadError)| Fault {
            place: format!("certificate {} of the chain", place + 1),
            cause: cause.clone(),
        };
        self.unread.iter().map(fault).collect()
    }

    /// Why the first that cannot be read cannot.
    pub(super) fn detail(&self) -> String {
        self.unread.first().map(|(_, cause)| cause.of_part()).unwrap_or_default()
    }
}
