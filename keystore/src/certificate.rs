//! An X.509 certificate, parsed once.

/// A certificate and what is read out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
}

impl Certificate {
    pub fn der(&self) -> &[u8] {
        &self.der
    }
}
