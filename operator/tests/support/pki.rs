//! One CA for mutual TLS, and one that signs leaves.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};

pub struct Authority {
    pub issuer: CertifiedIssuer<'static, KeyPair>,
    pub key_pem: String,
}

pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        Self::until(name, 4096)
    }

    /// Good until the first day of that year.
    pub fn until(name: &str, year: i32) -> Self {
        let key = KeyPair::generate().expect("a key");
        let key_pem = key.serialize_pem();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        Self { issuer: CertifiedIssuer::self_signed(params, key).expect("a CA"), key_pem }
    }

    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub fn server(&self) -> Pair {
        self.pair(ExtendedKeyUsagePurpose::ServerAuth, |params| {
            params.subject_alt_names.push(SanType::DnsName("ups-01.example.com".try_into().expect("a name")));
        })
    }

    pub fn client(&self) -> Pair {
        self.pair(ExtendedKeyUsagePurpose::ClientAuth, |_| {})
    }

    pub fn pair(&self, usage: ExtendedKeyUsagePurpose, change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("names");
        params.extended_key_usages = vec![usage];
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Pair { certificate, key: key.serialize_pem() }
    }
}
