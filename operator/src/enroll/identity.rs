//! A key of our own and its chain: as an issuer signs a host's CSR.

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use kagiban_crds::host_api::KeyRequest;
use kagiban_crds::resource::{CertificateSpec, GoDuration, KeyAlgorithm, PrivateKeySpec, SignedLeaf};
use kagiban_crds::{CertificateSubject, HostName};
use rcgen::{CertificateParams, KeyPair};
use zeroize::Zeroizing;

use crate::certificate::{self, Authority, IssuerError, Usage};
use crate::cli::SubjectName;

/// What a certificate is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    dns: Vec<String>,
    addresses: Vec<String>,
}

/// A private key and the certificates that say whose it is.
pub(super) struct Identity {
    /// PEM, the leaf first.
    pub(super) chain: String,
    /// PEM, PKCS#8.
    pub(super) key: Zeroizing<String>,
    pub(super) leaf: SignedLeaf,
    /// Whether the end of the CA made it shorter than was asked for.
    pub(super) shortened: bool,
}

impl Names {
    pub(super) fn of_host(host: &HostName, extra: &[SubjectName]) -> Self {
        let mut names = Self::default();
        match host.as_str().parse::<IpAddr>() {
            Ok(address) => names.add(&SubjectName::Address(address)),
            Err(_) => names.add(&SubjectName::Dns(host.as_str().to_owned())),
        }
        extra.iter().for_each(|name| names.add(name));
        names
    }

    pub(super) fn of_client(name: &HostName) -> Self {
        Self { dns: vec![name.as_str().to_owned()], addresses: Vec::new() }
    }

    fn add(&mut self, name: &SubjectName) {
        let (list, text) = match name {
            SubjectName::Dns(name) => (&mut self.dns, name.clone()),
            SubjectName::Address(address) => (&mut self.addresses, address.to_string()),
        };
        if !list.contains(&text) {
            list.push(text);
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &String> {
        self.dns.iter().chain(&self.addresses)
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<_> = self.all().map(String::as_str).collect();
        f.write_str(&all.join(", "))
    }
}

/// Makes a key (ECDSA P-256) and has it signed for these names.
///
/// # Errors
/// When the CA may not sign it, by its constraints or its extended key usage.
pub(super) fn issue(
    authority: &Authority,
    names: &Names,
    usage: Usage,
    duration: GoDuration,
    now: Timestamp,
) -> Result<Identity, IssuerError> {
    let key = Zeroizing::new(KeyPair::generate().map_err(|_| IssuerError::Signing)?);
    let request = CertificateParams::default().serialize_request(&*key).and_then(|csr| csr.pem());
    let csr = certificate::check(
        &request.map_err(|_| IssuerError::Signing)?,
        KeyRequest::EcdsaP256,
        &CertificateSubject::default(),
    )?;
    let spec = CertificateSpec {
        dns_names: names.dns.clone(),
        ip_addresses: names.addresses.clone(),
        subject: CertificateSubject::default(),
        duration,
        renew_before: None,
        renew_before_percentage: None,
        private_key: PrivateKeySpec { algorithm: KeyAlgorithm::Ecdsa, size: Some(256), ..PrivateKeySpec::default() },
    };
    let issued = authority.sign_for(usage, &csr, &spec, now)?;
    let key = certificate::private_key_pem(&key);
    Ok(Identity { chain: issued.chain, key, leaf: issued.leaf, shortened: issued.shortened })
}

#[cfg(test)]
pub(super) mod tests {
    use kagiban_keystore::pem_block;
    use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, NameConstraints};
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    use x509_parser::certificate::X509Certificate;
    use x509_parser::prelude::FromDer;

    use super::*;
    use crate::certificate::{BACKDATE, MadeAuthority};

    pub(in super::super) fn now() -> Timestamp {
        "2026-11-27T12:00:00Z".parse().expect("a time")
    }

    pub(in super::super) fn host() -> Names {
        Names::of_host(&"ups-01.example.com".parse().expect("a name"), &[])
    }

    pub(in super::super) fn ca() -> Authority {
        let made = MadeAuthority::new("Kagiban host API CA", now()).expect("a CA");
        Authority::read(made.certificate.as_bytes(), made.key.as_bytes(), now()).expect("a CA")
    }

    fn ca_with(change: impl FnOnce(&mut CertificateParams)) -> Authority {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        change(&mut params);
        let certificate = params.self_signed(&key).expect("a certificate");
        let pem = pem_block("CERTIFICATE", certificate.der());
        Authority::read(pem.as_bytes(), key.serialize_pem().as_bytes(), now()).expect("a CA")
    }

    fn year() -> GoDuration {
        GoDuration::from_hours(8760)
    }

    fn read<T>(identity: &Identity, look: impl FnOnce(&X509Certificate<'_>) -> T) -> T {
        let der = CertificateDer::from_pem_slice(identity.chain.as_bytes()).expect("PEM");
        look(&X509Certificate::from_der(&der).expect("a certificate").1)
    }

    #[test]
    fn a_certificate_is_for_its_side_alone_and_its_key_is_nobody_elses() {
        let ca = ca();
        let purposes = |usage| {
            let identity = issue(&ca, &host(), usage, year(), now()).expect("issued");
            assert!(KeyPair::from_pem(&identity.key).is_ok());
            read(&identity, |leaf| {
                let key = KeyPair::from_pem(&identity.key).expect("a key");
                assert_eq!(rcgen::PublicKeyData::subject_public_key_info(&key), leaf.public_key().raw);
                let usage = leaf.extended_key_usage().expect("readable").expect("there").value.clone();
                (usage.server_auth, usage.client_auth, usage.any)
            })
        };
        assert_eq!(purposes(Usage::Server), (true, false, false));
        assert_eq!(purposes(Usage::Client), (false, true, false));
    }

    #[test]
    fn it_begins_before_now_and_ends_with_its_ca_at_the_latest() {
        let identity = issue(&ca(), &host(), Usage::Server, year(), now()).expect("issued");
        let begins = read(&identity, |leaf| leaf.validity().not_before.timestamp());
        assert_eq!(begins, now().as_second() - i64::try_from(BACKDATE.as_secs()).expect("minutes"));
        assert_eq!((identity.leaf.not_after.to_string().as_str(), identity.shortened), ("2027-11-27T12:00:00Z", false));
        let identity = issue(&ca(), &host(), Usage::Server, GoDuration::from_hours(200_000), now()).expect("issued");
        let decade = MadeAuthority::new("Kagiban host API CA", now()).expect("a CA").not_after;
        assert_eq!((identity.leaf.not_after, identity.shortened), (decade, true));
    }

    #[test]
    fn an_address_is_certified_as_one_and_a_name_that_is_said_twice_stands_there_once() {
        let extra =
            ["192.0.2.7", "ups-01", "ups-01.example.com", "2001:db8::7"].map(|text| text.parse().expect("a name"));
        let names = Names::of_host(&"ups-01.example.com".parse().expect("a name"), &extra);
        assert_eq!(names.to_string(), "ups-01.example.com, ups-01, 192.0.2.7, 2001:db8::7");
        let names = Names::of_host(&"192.0.2.7".parse().expect("a name"), &[]);
        assert_eq!((names.dns.len(), names.addresses.as_slice()), (0, ["192.0.2.7".to_owned()].as_slice()));
        assert!(issue(&ca(), &names, Usage::Server, year(), now()).is_ok());
    }

    #[test]
    fn what_the_ca_may_not_sign_is_refused() {
        let constrained = ca_with(|params| {
            let permitted = vec![GeneralSubtree::DnsName("example.org".to_owned())];
            params.name_constraints =
                Some(NameConstraints { permitted_subtrees: permitted, excluded_subtrees: vec![] });
        });
        let error = issue(&constrained, &host(), Usage::Server, year(), now()).map(drop);
        assert_eq!(error, Err(IssuerError::NameConstraint("ups-01.example.com".to_owned())));
        let for_servers = ca_with(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
        assert!(issue(&for_servers, &host(), Usage::Server, year(), now()).is_ok());
        let error = issue(&for_servers, &host(), Usage::Client, year(), now()).map(drop);
        assert_eq!(error, Err(IssuerError::NotForClients));
    }
}
