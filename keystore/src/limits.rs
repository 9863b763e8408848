//! How much of a hostile store is looked at before it is refused.

use crate::{ReadError, der};

/// Bounds on what a reader takes in. The defaults leave an order of magnitude over what real stores need.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of the whole input. A system's CA bundle has 250 KiB, Java's `cacerts` 180 KiB. A PKCS#12 may be in memory three
    /// times over: as it came, decrypted, and cut into certificates.
    pub max_bytes: usize,
    /// Entries (or bags, or PEM blocks) in one store. The largest public trust store has under 500.
    pub max_entries: usize,
    /// Certificates in all chains together. In a PKCS#12 any number of keys may share one chain, so that a small file could
    /// otherwise stand for half a million certificates.
    pub max_certificates: usize,
    /// Bytes of an alias as it is stored. Real ones have under two hundred.
    pub max_alias: usize,
    /// Certificates in one chain. Real ones have two to five.
    pub max_chain: usize,
    /// Bytes of one certificate. Real ones have one to four KiB, post-quantum ones under 32.
    pub max_certificate: usize,
    /// Rounds of one key derivation. Java writes 10,000 to 200,000 and itself refuses more than 5,000,000.
    pub max_iterations: u64,
    /// Rounds of all derivations of one call: a store may ask for many dear ones.
    pub max_total_iterations: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: 4 << 20,
            max_entries: 5_000,
            max_certificates: 5_000,
            max_alias: 1_024,
            max_chain: 64,
            max_certificate: 64 << 10,
            max_iterations: 1_000_000,
            max_total_iterations: 4_000_000,
        }
    }
}

impl Limits {
    pub(crate) fn check_bytes(&self, length: usize) -> Result<(), ReadError> {
        within(length, self.max_bytes, "the bytes of the file")
    }

    pub(crate) fn check_entries(&self, count: usize) -> Result<(), ReadError> {
        within(count, self.max_entries, "the entries")
    }

    pub(crate) fn check_certificates(&self, count: usize) -> Result<(), ReadError> {
        within(count, self.max_certificates, "the certificates of all chains")
    }

    pub(crate) fn check_alias(&self, length: usize) -> Result<(), ReadError> {
        within(length, self.max_alias, "the bytes of an alias")
    }

    pub(crate) fn check_chain(&self, count: usize) -> Result<(), ReadError> {
        within(count, self.max_chain, "the certificates of a chain")
    }

    /// Of the certificate alone: what pads the place that it lies in is not looked at. Of one whose end cannot be told the
    /// whole counts.
    pub fn check_certificate(&self, bytes: &[u8]) -> Result<(), ReadError> {
        let element = der::Reader::new(bytes).element();
        let length = element.map_or(bytes.len(), |element| element.raw.len());
        within(length, self.max_certificate, "the bytes of a certificate")
    }

    /// Of one that is still in base64.
    pub(crate) fn check_certificate_length(&self, length: usize) -> Result<(), ReadError> {
        within(length, self.max_certificate, "the bytes of a certificate")
    }

    pub(crate) fn budget(&self) -> Budget {
        Budget { each: self.max_iterations, left: self.max_total_iterations }
    }
}

fn within(found: usize, limit: usize, what: &'static str) -> Result<(), ReadError> {
    if found > limit { Err(ReadError::TooLarge { what, limit }) } else { Ok(()) }
}

/// Key derivation rounds that one call may still spend.
#[derive(Debug)]
pub(crate) struct Budget {
    each: u64,
    left: u64,
}

impl Budget {
    /// Takes `iterations` out of the budget, before they are computed.
    pub(crate) fn spend(&mut self, iterations: u64) -> Result<(), ReadError> {
        if iterations > self.each {
            return Err(ReadError::TooExpensive { iterations, limit: self.each });
        }
        self.left =
            self.left.checked_sub(iterations).ok_or(ReadError::TooExpensive { iterations, limit: self.left })?;
        Ok(())
    }
}
