//! One small PKI for all tests: root, intermediate, two leaves with their keys, and a certificate that has nothing to do with them.

use kagiban_keystore::{Certificate, KeyMaterial};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256,
};
use std::sync::OnceLock;
use zeroize::Zeroizing;

pub(crate) struct Pki {
    pub(crate) root: Certificate,
    pub(crate) ca: Certificate,
    pub(crate) extra: Certificate,
    /// RSA, as agents have it.
    pub(crate) leaf: Key,
    /// P-256.
    pub(crate) other: Key,
    /// What a rotation brings: another RSA key, from the same intermediate.
    pub(crate) renewed: Key,
}

pub(crate) struct Key {
    pub(crate) certificate: Certificate,
    pub(crate) pkcs8: Vec<u8>,
}

impl Pki {
    pub(crate) fn chain(&self, key: &Key) -> Vec<Certificate> {
        vec![key.certificate.clone(), self.ca.clone(), self.root.clone()]
    }

    pub(crate) fn material(&self, key: &Key) -> KeyMaterial {
        KeyMaterial { pkcs8: Zeroizing::new(key.pkcs8.clone()), chain: self.chain(key) }
    }
}

pub(crate) fn pki() -> &'static Pki {
    static PKI: OnceLock<Pki> = OnceLock::new();
    PKI.get_or_init(|| {
        let (root_params, root_key) = (ca_params("Test Root"), ec_key());
        let root = parsed(&root_params.self_signed(&root_key).unwrap());
        let root_issuer = Issuer::new(root_params, root_key);
        let (ca_params, ca_key) = (ca_params("Test CA"), ec_key());
        let ca = parsed(&ca_params.signed_by(&ca_key, &root_issuer).unwrap());
        let issuer = Issuer::new(ca_params, ca_key);
        let extra_key = ec_key();
        let extra = parsed(&self::ca_params("Console CA").self_signed(&extra_key).unwrap());
        let leaf = |name: &str, key: KeyPair| {
            let certificate = parsed(&leaf_params(name).signed_by(&key, &issuer).unwrap());
            Key { certificate, pkcs8: key.serialize_der() }
        };
        Pki {
            leaf: leaf("ups-01.example.com", rsa_key()),
            other: leaf("other.example.com", ec_key()),
            renewed: leaf("ups-01.example.com", rsa_key()),
            root,
            ca,
            extra,
        }
    })
}

pub(crate) fn ec_key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

fn rsa_key() -> KeyPair {
    KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap()
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

pub(crate) fn leaf_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned(), "192.0.2.7".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

pub(crate) fn parsed(certificate: &rcgen::Certificate) -> Certificate {
    Certificate::from_der(certificate.der()).unwrap()
}
