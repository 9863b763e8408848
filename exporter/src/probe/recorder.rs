//! A certificate verifier that writes down what it is shown and lets the handshake go on.
//!
//! The server's signature over the handshake is checked all the same (`proven`): it proves that the server holds the key.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;

use crate::proven::JudgeServer;

/// Longer chains are cut: nobody serves them in earnest, and each certificate becomes time series.
pub(super) const MAX_CHAIN: usize = 16;

/// What the server showed until the handshake ended, one way or the other.
#[derive(Clone, Debug, Default)]
pub(super) struct RecordedHandshake {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key_proven: bool,
    pub(super) client_certificate_wanted: bool,
}

#[derive(Debug, Default)]
pub(super) struct Recorder {
    seen: Mutex<RecordedHandshake>,
}

impl Recorder {
    pub(super) fn seen(&self) -> RecordedHandshake {
        self.write(|seen| seen.clone())
    }

    fn write<T>(&self, change: impl FnOnce(&mut RecordedHandshake) -> T) -> T {
        change(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl JudgeServer for Arc<Recorder> {
    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let chain =
            std::iter::once(leaf).chain(intermediates).take(MAX_CHAIN).map(|c| c.clone().into_owned()).collect();
        self.write(|seen| seen.chain = chain);
        Ok(())
    }

    fn key_proven(&self) {
        self.write(|seen| seen.key_proven = true);
    }
}

/// Owns no certificate; that the server asks for one is worth knowing.
impl ResolvesClientCert for Recorder {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.write(|seen| seen.client_certificate_wanted = true);
        None
    }

    /// rustls only calls `resolve` when this says that there may be one.
    fn has_certs(&self) -> bool {
        true
    }
}
