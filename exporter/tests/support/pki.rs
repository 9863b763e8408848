//! CAs and what they sign.

use kagiban_crds::LeafSha256;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use sha2::{Digest, Sha256};

/// The year of a certificate without a well-defined end (RFC 5280, 4.1.2.5).
pub const NO_END: i32 = 9999;

pub struct Authority {
    pub pem: String,
    pub der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

pub struct Identity {
    pub chain: String,
    pub key: String,
    pub der: Vec<u8>,
    pub key_der: Vec<u8>,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let (params, key) = Self::params(name);
        let certificate = params.self_signed(&key).unwrap();
        let (pem, der) = (certificate.pem(), certificate.der().to_vec());
        Self { pem, der, issuer: Issuer::new(params, key) }
    }

    /// A CA that this one has signed.
    pub fn issuing(&self, name: &str) -> Self {
        let (params, key) = Self::params(name);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let (pem, der) = (certificate.pem(), certificate.der().to_vec());
        Self { pem, der, issuer: Issuer::new(params, key) }
    }

    fn params(name: &str) -> (CertificateParams, KeyPair) {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params, KeyPair::generate().unwrap())
    }

    /// Signs what a CSR asks for, for a server, from now on for a day.
    pub fn sign(&self, csr: &str) -> (String, LeafSha256) {
        let mut request = CertificateSigningRequestParams::from_pem(csr).unwrap();
        request.params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        request.params.not_after = rcgen::date_time_ymd(2049, 1, 1);
        request.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf = request.signed_by(&self.issuer).unwrap();
        (leaf.pem() + &self.pem, fingerprint(leaf.der()))
    }

    pub fn issue(&self, name: &str, usage: ExtendedKeyUsagePurpose, last_year: i32) -> Identity {
        self.issue_for(vec![SanType::DnsName(name.try_into().unwrap())], name, usage, last_year)
    }

    fn issue_for(&self, names: Vec<SanType>, name: &str, usage: ExtendedKeyUsagePurpose, last_year: i32) -> Identity {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(last_year, 1, 1);
        if last_year == NO_END {
            let midnight = rcgen::date_time_ymd(NO_END, 12, 31);
            params.not_after =
                midnight.replace_hour(23).unwrap().replace_minute(59).unwrap().replace_second(59).unwrap();
        }
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        Identity {
            chain: leaf.pem() + &self.pem,
            key: key.serialize_pem(),
            der: leaf.der().to_vec(),
            key_der: key.serialize_der(),
        }
    }

    /// For a program that signs in this authority's name.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A client whose only name is a URI.
    pub fn client_with_uri(&self, uri: &str) -> Identity {
        let names = vec![SanType::URI(uri.try_into().unwrap())];
        self.issue_for(names, uri, ExtendedKeyUsagePurpose::ClientAuth, 2049)
    }

    pub fn server(&self, name: &str) -> Identity {
        self.issue(name, ExtendedKeyUsagePurpose::ServerAuth, 2049)
    }

    pub fn client(&self, name: &str) -> Identity {
        self.issue(name, ExtendedKeyUsagePurpose::ClientAuth, 2049)
    }
}

pub fn fingerprint(der: &[u8]) -> LeafSha256 {
    LeafSha256::new(Sha256::digest(der).into())
}
