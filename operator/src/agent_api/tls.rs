//! The operator's own identity towards hosts: a client certificate, its key, and the CA that hosts chain to.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};

use super::AgentError;

/// A CA bundle in rollover holds two or three; more than this is not one.
const MAX_ROOTS: usize = 32;
/// What rustls-webpki follows, with the leaf.
const MAX_CHAIN: usize = 8;
/// Of each value: as many certificates of the largest kind as may stand in it, with the text that some tools leave between them.
const MAX_PEM_BYTES: usize = 64 * 1024;

/// Of the key in DER: RSA of 4096 bits has 2,400. One of 8192 costs 30 ms for each handshake, of which there are as many as a namespace
/// has resources.
const MAX_KEY_BYTES: usize = 2560;

/// Ready to shake hands with; prints nothing of its key.
#[derive(Clone)]
pub struct ClientIdentity {
    pub(super) config: Arc<ClientConfig>,
}

/// Why a Secret is no identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    #[error("it has no {0}: it must be of type kubernetes.io/tls with a ca.crt beside")]
    MissingKey(&'static str),
    #[error("its {0} cannot be read: it must be PEM")]
    Unreadable(&'static str),
    #[error("its {0} holds more than {1} certificates")]
    TooMany(&'static str, usize),
    #[error("its {0} is larger than {MAX_PEM_BYTES} bytes")]
    TooLarge(&'static str),
    #[error("its tls.key is larger than an RSA key of 4096 bits: take ECDSA, or a shorter one")]
    KeyTooLarge,
    #[error("its key does not belong to its certificate")]
    KeyMismatch,
}

impl std::fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientIdentity").finish_non_exhaustive()
    }
}

impl ClientIdentity {
    /// From the three PEM values of the Secret: `tls.crt`, `tls.key`, `ca.crt`.
    ///
    /// # Errors
    /// When one of them is not what it should be.
    pub fn from_pem(certificate: &[u8], key: &[u8], ca: &[u8]) -> Result<Self, IdentityError> {
        for (name, value) in [("tls.crt", certificate), ("tls.key", key), ("ca.crt", ca)] {
            if value.len() > MAX_PEM_BYTES {
                return Err(IdentityError::TooLarge(name));
            }
        }
        let chain = certificates("tls.crt", certificate, MAX_CHAIN)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| IdentityError::Unreadable("tls.key"))?;
        if key.secret_der().len() > MAX_KEY_BYTES {
            return Err(IdentityError::KeyTooLarge);
        }
        let mut roots = RootCertStore::empty();
        for root in certificates("ca.crt", ca, MAX_ROOTS)? {
            roots.add(root).map_err(|_| IdentityError::Unreadable("ca.crt"))?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| IdentityError::KeyMismatch)?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(|_| IdentityError::KeyMismatch)?;
        // Each call has a connection of its own, and looks at the host's certificate anew; a host's tickets, of up to 64 KiB
        // each, would be kept for nothing.
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config) })
    }
}

fn certificates(name: &'static str, pem: &[u8], most: usize) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let found = CertificateDer::pem_slice_iter(pem).take(most + 1).collect::<Result<Vec<_>, _>>();
    match found {
        Ok(found) if found.len() > most => Err(IdentityError::TooMany(name, most)),
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) | Err(_) => Err(IdentityError::Unreadable(name)),
    }
}

/// What went wrong in a handshake, without the times that rustls puts into its own text: a status must not change
/// from try to try.
pub(super) fn failure(error: &rustls::Error) -> AgentError {
    let not_the_host = |why: &str| AgentError::NotTheHost(why.to_owned());
    let broken = |why: &str| AgentError::Tls(why.to_owned());
    match error {
        rustls::Error::InvalidCertificate(why) => match why {
            CertificateError::UnknownIssuer => not_the_host("the host's certificate does not chain to ca.crt"),
            CertificateError::BadSignature => not_the_host("the host's certificate is not signed by its issuer"),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                not_the_host("the host's certificate is for another name")
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                not_the_host("the host's certificate is not for servers")
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                broken("the host's certificate has expired")
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                broken("the host's certificate is not valid yet")
            }
            _ => broken("the host's certificate was refused"),
        },
        // Of these the host says that nobody is to blame, or that it is itself
        rustls::Error::AlertReceived(AlertDescription::InternalError | AlertDescription::UserCanceled) => {
            broken("the host broke the handshake off")
        }
        rustls::Error::AlertReceived(alert) => {
            AgentError::Alert(format!("the host refused our certificate or our terms ({alert:?})"))
        }
        _ => broken("the host does not speak TLS as it should"),
    }
}

#[cfg(test)]
mod tests {
    use kagiban_crds::resource::BlockedBy;

    use super::*;

    /// Holds B9: a host that is somebody else, or that refuses us, is not one that is merely down.
    #[test]
    fn a_handshake_says_whether_the_host_is_another_or_refuses_us_or_is_broken() {
        let by = |error: rustls::Error| failure(&error).obstacle().by;
        for other in [
            CertificateError::UnknownIssuer,
            CertificateError::BadSignature,
            CertificateError::NotValidForName,
            CertificateError::InvalidPurpose,
        ] {
            assert_eq!(by(other.clone().into()), BlockedBy::WrongHost, "{other:?}");
        }
        for alert in
            [AlertDescription::UnknownCA, AlertDescription::CertificateRequired, AlertDescription::AccessDenied]
        {
            assert_eq!(by(rustls::Error::AlertReceived(alert)), BlockedBy::HostRefused, "{alert:?}");
        }
        assert_eq!(by(CertificateError::Expired.into()), BlockedBy::HostUnreachable);
        assert_eq!(by(rustls::Error::AlertReceived(AlertDescription::InternalError)), BlockedBy::HostUnreachable);
    }

    /// Holds B4: with an RSA key of 8192 bits each handshake of a namespace cost the operator 30 ms that others waited for.
    #[test]
    fn a_key_that_is_dear_to_sign_with_is_refused() {
        for (bits, is_taken) in [("2048", true), ("4096", true), ("8192", false)] {
            let made = std::process::Command::new("openssl")
                .args(["req", "-x509", "-nodes", "-subj", "/CN=c", "-days", "2", "-keyout", "-", "-newkey"])
                .arg(format!("rsa:{bits}"))
                .output()
                .expect("install openssl");
            assert!(made.status.success(), "{made:?}");
            let identity = ClientIdentity::from_pem(&made.stdout, &made.stdout, &made.stdout);
            let expected = if is_taken { None } else { Some(IdentityError::KeyTooLarge) };
            assert_eq!(identity.err(), expected, "{bits}");
        }
    }

    /// Holds B14: a host gave tickets that were kept, of the size of the client's certificate each.
    #[test]
    fn no_handshake_is_taken_up_again() {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(["host.example".to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("a certificate");
        let (pem, key_pem) = (certificate.pem(), key.serialize_pem());
        let ours = ClientIdentity::from_pem(pem.as_bytes(), key_pem.as_bytes(), pem.as_bytes()).expect("an identity");
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).expect("its own");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let server = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .map(Arc::new)
            .expect("a server");
        for _ in 0..2 {
            let name = "host.example".try_into().expect("a name");
            let mut ours = rustls::ClientConnection::new(ours.config.clone(), name).expect("a client");
            let mut host = rustls::ServerConnection::new(server.clone()).expect("a server");
            // The last round brings the tickets
            for _ in 0..4 {
                pass(&mut ours, &mut host);
                pass(&mut host, &mut ours);
            }
            assert_eq!(ours.handshake_kind(), Some(rustls::HandshakeKind::Full));
        }
    }

    fn pass<A, B>(from: &mut rustls::ConnectionCommon<A>, to: &mut rustls::ConnectionCommon<B>) {
        let mut wire = Vec::new();
        while from.wants_write() {
            from.write_tls(&mut wire).expect("into memory");
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            to.read_tls(&mut rest).expect("out of memory");
            to.process_new_packets().expect("sound");
        }
    }

    #[test]
    fn too_many_certificates_are_told_as_that() {
        let pem = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        let found = |count| certificates("ca.crt", pem.repeat(count).as_bytes(), MAX_ROOTS).map(|found| found.len());
        assert_eq!(found(MAX_ROOTS), Ok(MAX_ROOTS));
        assert_eq!(found(MAX_ROOTS + 1), Err(IdentityError::TooMany("ca.crt", MAX_ROOTS)));
        assert_eq!(found(0), Err(IdentityError::Unreadable("ca.crt")));
    }

    /// Holds B14: a Secret may hold a mebibyte, and the operator keeps what it makes of many.
    #[test]
    fn a_value_that_is_larger_than_any_should_be_is_not_parsed() {
        let large = vec![b'\n'; MAX_PEM_BYTES + 1];
        let read = |certificate: &[u8], key: &[u8], ca: &[u8]| ClientIdentity::from_pem(certificate, key, ca).err();
        assert_eq!(read(&large, b"", b""), Some(IdentityError::TooLarge("tls.crt")));
        assert_eq!(read(b"", &large, b""), Some(IdentityError::TooLarge("tls.key")));
        assert_eq!(read(b"", b"", &large), Some(IdentityError::TooLarge("ca.crt")));
    }
}
