//! The new key, made here, and the request for its certificate.

use kagiban_crds::host_api::{CertificateRequest, KeyRequest, MAX_SUBJECT_NAMES};
use kagiban_crds::{CertificateSubject, SubjectError, SubjectText};
use kagiban_keystore::pem_block;
use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair, PublicKeyData, RsaKeySize, SanType};
use zeroize::Zeroizing;

/// X.520's bound for a common name.
const MAX_COMMON_NAME: usize = 64;
/// RFC 1035's bound for a name.
const MAX_DNS_NAME: usize = 253;

/// A key that is in memory only.
pub(in crate::rotation) struct NewKey {
    pub pkcs8: Zeroizing<Vec<u8>>,
    /// DER of the public half.
    pub spki: Vec<u8>,
    /// PEM.
    pub csr: String,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(in crate::rotation) enum KeyError {
    #[error("the certificate names none, or more than {MAX_SUBJECT_NAMES}, DNS names and IP addresses")]
    Names,
    #[error("{0:?} is no DNS name")]
    DnsName(String),
    #[error("certificate.{0}")]
    Subject(#[from] SubjectError),
    #[error("the key or its certificate request could not be made: {0}")]
    Make(#[from] rcgen::Error),
}

/// Makes a key and a CSR with the names asked for. RSA takes up to a second of this thread.
///
/// # Errors
/// See [`KeyError`].
pub(in crate::rotation) fn make(request: &CertificateRequest) -> Result<NewKey, KeyError> {
    let mut params = params(request)?;
    params.distinguished_name = subject(&request.subject)?;
    if let Some(name) = request.dns_names.iter().find(|name| name.len() <= MAX_COMMON_NAME) {
        params.distinguished_name.push(DnType::CommonName, name.as_str());
    }
    let key = match request.key {
        KeyRequest::Rsa2048 => rsa(RsaKeySize::_2048),
        KeyRequest::Rsa3072 => rsa(RsaKeySize::_3072),
        KeyRequest::Rsa4096 => rsa(RsaKeySize::_4096),
        KeyRequest::EcdsaP256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
        KeyRequest::EcdsaP384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
    }?;
    let csr = pem_block("CERTIFICATE REQUEST", params.serialize_request(&key)?.der()).to_string();
    Ok(NewKey { pkcs8: Zeroizing::new(key.serialize_der()), spki: key.subject_public_key_info(), csr })
}

/// # Errors
/// When the names could not be put into a certificate.
pub(in crate::rotation) fn check(request: &CertificateRequest) -> Result<(), KeyError> {
    params(request).map(|_| ())
}

fn params(request: &CertificateRequest) -> Result<CertificateParams, KeyError> {
    let count = request.dns_names.len() + request.ip_addresses.len();
    if !(1..=MAX_SUBJECT_NAMES).contains(&count) {
        return Err(KeyError::Names);
    }
    request.subject.check()?;
    let mut params = CertificateParams::default();
    for name in &request.dns_names {
        if !is_dns_name(name) {
            return Err(KeyError::DnsName(name.chars().take(MAX_DNS_NAME).collect()));
        }
        params.subject_alt_names.push(SanType::DnsName(name.as_str().try_into()?));
    }
    params.subject_alt_names.extend(request.ip_addresses.iter().copied().map(SanType::IpAddress));
    Ok(params)
}

fn subject(asked: &CertificateSubject) -> Result<DistinguishedName, rcgen::Error> {
    let mut name = DistinguishedName::new();
    for (part, text) in asked.parts() {
        let value = match part.text() {
            SubjectText::Printable => DnValue::PrintableString(text.try_into()?),
            SubjectText::Utf8 => DnValue::Utf8String(text.to_owned()),
        };
        name.push(DnType::from_oid(part.oid()), value);
    }
    Ok(name)
}

fn rsa(size: RsaKeySize) -> Result<KeyPair, rcgen::Error> {
    KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size)
}

fn is_dns_name(name: &str) -> bool {
    let plain = name.strip_prefix("*.").unwrap_or(name);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= MAX_DNS_NAME && plain.split('.').all(label)
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewKey").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::{Command, Stdio};

    use x509_parser::certification_request::X509CertificationRequest;
    use x509_parser::prelude::FromDer;

    use super::*;

    fn request(names: &[&str]) -> CertificateRequest {
        let dns_names = names.iter().map(|&n| n.to_owned()).collect();
        CertificateRequest {
            dns_names,
            ip_addresses: vec![],
            subject: CertificateSubject::default(),
            key: KeyRequest::EcdsaP256,
        }
    }

    fn with_subject(json: &str) -> CertificateRequest {
        CertificateRequest {
            subject: serde_json::from_str(json).expect("a subject"),
            ..request(&["ups-01.example.com"])
        }
    }

    #[test]
    fn what_is_no_name_is_refused_before_a_key_is_made() {
        for names in [&[][..], &["a b"], &["a\nb"], &["-a"], &["a..b"], &["*.*.a"], &["a"; 65]] {
            assert!(check(&request(names)).is_err(), "{names:?}");
        }
        assert!(check(&request(&["*.example.com", "ups-01"])).is_ok());
        for subject in [r#"{"countries":["jp"]}"#, r#"{"organizations":["a\nb"]}"#, r#"{"provinces":["a","b"]}"#] {
            assert!(check(&with_subject(subject)).is_err(), "{subject}");
        }
    }

    #[test]
    fn the_subject_of_the_request_is_what_was_asked_for_and_then_the_name() {
        let subject = r#"{"organizationalUnits":["UPS"],"organizations":["Example 株式会社"],"localities":["Chuo"],
            "provinces":["Tokyo"],"countries":["JP"]}"#;
        let key = make(&with_subject(subject)).expect("key");
        let (_, pem) = x509_parser::pem::parse_x509_pem(key.csr.as_bytes()).expect("PEM");
        let (_, csr) = X509CertificationRequest::from_der(&pem.contents).expect("a request");
        let told = csr.certification_request_info.subject.to_string();
        assert_eq!(told, "C=JP, ST=Tokyo, L=Chuo, O=Example 株式会社, OU=UPS, CN=ups-01.example.com");
    }

    /// What `openssl ca` with its policy_match asks for: C, ST and O are the CA's own, in the CA's own encoding.
    #[test]
    fn a_ca_with_a_policy_signs_the_request_where_it_has_the_subject_and_refuses_it_where_it_has_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let openssl = |arguments: &[&str]| {
            let mut command = Command::new("openssl");
            let done = command.current_dir(directory.path()).args(arguments).stdin(Stdio::null()).output();
            done.expect("these tests need the program openssl: install the package openssl")
        };
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).expect("written");
        write("ca.cnf", CA_WITH_A_POLICY);
        write("index.txt", "");
        let subject = "/C=JP/ST=Tokyo/O=Example 株式会社/CN=Site CA";
        let made = openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-utf8",
            "-days",
            "30",
            "-subj",
            subject,
            "-keyout",
            "rootca.key",
            "-out",
            "rootca.crt",
        ]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let sign = |request: &CertificateRequest| {
            write("newpowerchute.csr", &make(request).expect("key").csr);
            openssl(&[
                "ca",
                "-batch",
                "-config",
                "ca.cnf",
                "-cert",
                "rootca.crt",
                "-keyfile",
                "rootca.key",
                "-out",
                "newpowerchute.crt",
                "-infiles",
                "newpowerchute.csr",
            ])
        };
        let policy = r#"{"countries":["JP"],"provinces":["Tokyo"],"organizations":["Example 株式会社"]}"#;
        let signed = sign(&with_subject(policy));
        assert!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
        for lacking in ["{}", r#"{"countries":["JP"],"provinces":["Tokyo"]}"#, &policy.replace("Example", "Other")] {
            assert!(!sign(&with_subject(lacking)).status.success(), "{lacking}");
        }
    }

    /// The policy is the one of OpenSSL's own openssl.cnf, which the vendor's handbook signs with.
    const CA_WITH_A_POLICY: &str = "
[ca]
default_ca = site
[site]
database = index.txt
new_certs_dir = .
rand_serial = yes
default_md = sha256
default_days = 30
policy = policy_match
unique_subject = no
[policy_match]
countryName = match
stateOrProvinceName = match
organizationName = match
organizationalUnitName = optional
commonName = supplied
emailAddress = optional
";

    #[test]
    fn the_request_names_what_was_asked_for_and_says_nothing_of_the_key() {
        let key = make(&request(&["ups-01.example.com"])).expect("key");
        assert!(key.csr.contains("BEGIN CERTIFICATE REQUEST"));
        assert!(!format!("{key:?}").contains("pkcs8"));
    }
}
