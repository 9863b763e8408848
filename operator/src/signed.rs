//! Chains that were signed and are not on their hosts yet: a delivery that fails is tried again with the same certificate.
//!
//! It may be forgotten: the CSR is then signed once more, and both serials stand in the status.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::issuer::Issued;

/// A chain is under 16 KiB, and few hosts wait for one at the same time.
const MAX_CHAINS: usize = 1024;

/// By the uid of the resource.
#[derive(Debug, Default)]
pub(crate) struct SignedChains(Mutex<HashMap<String, Waiting>>);

#[derive(Debug)]
struct Waiting {
    csr: String,
    issued: Issued,
}

impl SignedChains {
    pub(crate) fn issued_for(&self, uid: &str, csr: &str) -> Option<Issued> {
        let chains = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        chains.get(uid).filter(|waiting| waiting.csr == csr).map(|waiting| waiting.issued.clone())
    }

    pub(crate) fn remember(&self, uid: &str, csr: &str, issued: &Issued) {
        let mut chains = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if chains.len() >= MAX_CHAINS {
            chains.clear();
        }
        chains.insert(uid.to_owned(), Waiting { csr: csr.to_owned(), issued: issued.clone() });
    }

    pub(crate) fn forget(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}
