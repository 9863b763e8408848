//! CSRs and CAs as hosts and clusters really hold them, and as an attacker would.

use jiff::Timestamp;
use kagiban_crds::CertificateSubject;
use kagiban_crds::host_api::KeyRequest;
use kagiban_crds::resource::{CertificateSpec, KeyAlgorithm, PrivateKeySpec};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, GeneralSubtree, IsCa, KeyPair, KeyUsagePurpose,
    NameConstraints,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::{
    Authority, CsrKey, IssuerError, IssuerFacts, MAX_ISSUER_CERTIFICATES, chain_end, check, fitting, not_after,
};

fn spec() -> CertificateSpec {
    CertificateSpec {
        dns_names: vec!["ups-01.example.com".into(), "*.ups.example.com".into()],
        ip_addresses: vec!["192.0.2.7".into(), "2001:db8::7".into()],
        subject: CertificateSubject::default(),
        duration: "2160h".parse().expect("a duration"),
        renew_before: None,
        renew_before_percentage: None,
        private_key: PrivateKeySpec { algorithm: KeyAlgorithm::Ecdsa, size: Some(256), ..PrivateKeySpec::default() },
    }
}

fn authority(change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Fleet CA");
    params.distinguished_name.push(DnType::OrganizationName, "Example");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    change(&mut params);
    (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
}

/// A CA that another signed, and the first one's key.
fn two_cas(
    root: impl FnOnce(&mut CertificateParams),
    intermediate: impl FnOnce(&mut CertificateParams),
) -> (String, String) {
    let params = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params
    };
    let (root_key, key) = (KeyPair::generate().expect("a key"), KeyPair::generate().expect("a key"));
    let (mut above, mut below) = (params("Root"), params("Fleet CA"));
    root(&mut above);
    intermediate(&mut below);
    let signed = below.signed_by(&key, &rcgen::Issuer::from_params(&above, &root_key)).expect("a certificate").pem();
    (signed + &above.self_signed(&root_key).expect("a certificate").pem(), key.serialize_pem())
}

fn csr(key: &KeyPair, names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    CertificateParams::new(names).expect("names").serialize_request(key).expect("a CSR").pem().expect("PEM")
}

fn host_key() -> CsrKey {
    let key = KeyPair::generate().expect("a key");
    check(&csr(&key, &["ups-01.example.com"]), KeyRequest::EcdsaP256, &CertificateSubject::default())
        .expect("a good CSR")
}

fn refused(certificate: &str, key: &str) -> IssuerError {
    Authority::read(certificate.as_bytes(), key.as_bytes(), Timestamp::now()).expect_err("it is refused")
}

#[test]
fn a_leaf_says_what_the_spec_says_and_nothing_of_what_the_csr_wished() {
    let (certificate, key) = authority(|_| {});
    let now = Timestamp::now();
    let ca = Authority::read(certificate.as_bytes(), key.as_bytes(), now).expect("a CA");
    let wishful = KeyPair::generate().expect("a key");
    let wished = check(&csr(&wishful, &["bank.example.com"]), KeyRequest::EcdsaP256, &CertificateSubject::default())
        .expect("a good CSR");
    let issued = ca.sign(&wished, &spec(), now).expect("signed");

    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(issued.chain.as_bytes()).collect::<Result<_, _>>().expect("a chain");
    assert_eq!(chain.len(), 2, "leaf and CA");
    assert_eq!(chain.get(1), CertificateDer::from_pem_slice(certificate.as_bytes()).ok().as_ref());
    let (_, leaf) = X509Certificate::from_der(&chain[0]).expect("a certificate");
    let names = leaf.subject_alternative_name().expect("readable").expect("there").value.general_names.clone();
    assert_eq!(
        names,
        [
            GeneralName::DNSName("ups-01.example.com"),
            GeneralName::DNSName("*.ups.example.com"),
            GeneralName::IPAddress(&[192, 0, 2, 7]),
            GeneralName::IPAddress(&[0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]),
        ]
    );
    assert_eq!(leaf.subject().to_string(), "CN=ups-01.example.com");
    let constraints = leaf.basic_constraints().expect("readable").expect("there");
    assert!(constraints.critical && !constraints.value.ca);
    let usage = leaf.extended_key_usage().expect("readable").expect("there").value;
    assert!(usage.server_auth && !usage.client_auth && !usage.any);
    assert!(leaf.key_usage().expect("readable").expect("there").value.digital_signature());
    assert_eq!(leaf.public_key().raw, wished.spki());
    assert_eq!(leaf.raw_serial().len(), 16);
    assert_eq!(now.as_second() - leaf.validity().not_before.timestamp(), 300);
    assert_eq!(leaf.validity().not_after.timestamp() - now.as_second(), 2160 * 3600);
    let oids: Vec<String> = leaf.extensions().iter().map(|extension| extension.oid.to_id_string()).collect();
    for oid in ["2.5.29.14", "2.5.29.35"] {
        assert!(oids.iter().any(|o| o == oid), "{oid} is missing: {oids:?}");
    }
}

fn example() -> CertificateSubject {
    serde_json::from_value(serde_json::json!({
        "countries": ["JP"], "provinces": ["Tokyo"], "organizations": ["Example 株式会社"], "organizationalUnits": ["UPS"],
    }))
    .expect("a subject")
}

fn csr_with(parts: &[(DnType, &str)]) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    parts.iter().for_each(|(kind, text)| params.distinguished_name.push(kind.clone(), *text));
    params.serialize_request(&KeyPair::generate().expect("a key")).expect("a CSR").pem().expect("PEM")
}

/// What a host puts into its CSR is read by an issuer that is sent the CSR itself.
#[test]
fn a_csr_has_the_subject_that_was_asked_for_or_is_refused() {
    let whole = [
        (DnType::CountryName, "JP"),
        (DnType::StateOrProvinceName, "Tokyo"),
        (DnType::OrganizationName, "Example 株式会社"),
        (DnType::OrganizationalUnitName, "UPS"),
        (DnType::CommonName, "ups-01.example.com"),
    ];
    let judged = |parts: &[(DnType, &str)], asked: &CertificateSubject| {
        check(&csr_with(parts), KeyRequest::EcdsaP256, asked).map(|_| ()).map_err(|error| error.reason())
    };
    assert_eq!(judged(&whole, &example()), Ok(()));
    assert_eq!(judged(&whole[4..], &CertificateSubject::default()), Ok(()), "a name is no part of it");
    for (what, parts, asked) in [
        ("dropped, by an exporter that is too old", &whole[4..], example()),
        ("a part of it", &whole[1..], example()),
        ("more than was asked for", &whole[..], CertificateSubject::default()),
        ("another", &[(DnType::OrganizationName, "system:masters")][..], CertificateSubject::default()),
        (
            "of a kind that no spec asks for",
            &[(DnType::CustomDnType(vec![2, 5, 4, 5]), "1")][..],
            CertificateSubject::default(),
        ),
    ] {
        assert_eq!(judged(parts, &asked), Err("csr_subject"), "{what}");
    }
}

#[test]
fn a_leaf_has_the_subject_of_the_spec_and_one_with_another_is_not_taken_as_it_is() {
    let (certificate, key) = authority(|_| {});
    let now = Timestamp::now();
    let ca = Authority::read(certificate.as_bytes(), key.as_bytes(), now).expect("a CA");
    let with_subject = CertificateSpec { subject: example(), ..spec() };
    let chain = ca.sign(&host_key(), &with_subject, now).expect("signed").chain;
    let der = CertificateDer::from_pem_slice(chain.as_bytes()).expect("PEM");
    let (_, leaf) = X509Certificate::from_der(&der).expect("a certificate");
    assert_eq!(leaf.subject().to_string(), "C=JP, ST=Tokyo, O=Example 株式会社, OU=UPS, CN=ups-01.example.com");
    assert!(fitting(&chain, &with_subject, ca.facts()).is_some());
    assert!(fitting(&chain, &spec(), ca.facts()).is_none());
    let plain = ca.sign(&host_key(), &spec(), now).expect("signed").chain;
    assert!(fitting(&plain, &with_subject, ca.facts()).is_none());
}

/// Holds B17: a host's leaf had a serial of twenty thousand octets, and the status all of them.
#[test]
fn of_a_serial_that_no_certificate_may_have_the_beginning_is_told() {
    assert_eq!(super::serial_text(&[0, 0x8f, 1]), "8f01");
    assert_eq!(super::serial_text(&[0xab; 21]), "ab".repeat(21));
    assert_eq!(super::serial_text(&[0xab; 20_000]), format!("{}...", "ab".repeat(21)));
}

#[test]
fn two_leaves_never_share_a_serial() {
    let (certificate, key) = authority(|_| {});
    let ca = Authority::read(certificate.as_bytes(), key.as_bytes(), Timestamp::now()).expect("a CA");
    let host = host_key();
    let serial = || ca.sign(&host, &spec(), Timestamp::now()).expect("signed").leaf.serial;
    assert_ne!(serial(), serial());
}

#[test]
fn a_leaf_does_not_outlive_its_issuer() {
    let end = Timestamp::now().as_second() + 3600;
    let (certificate, key) = authority(|params| {
        params.not_after = x509_parser::time::ASN1Time::from_timestamp(end).expect("a time").to_datetime();
    });
    let ca = Authority::read(certificate.as_bytes(), key.as_bytes(), Timestamp::now()).expect("a CA");
    let issued = ca.sign(&host_key(), &spec(), Timestamp::now()).expect("signed");
    assert!(issued.shortened);
    assert_eq!(issued.leaf.not_after.as_second(), end);
}

/// Holds B6: an intermediate that outlives its root cannot give a leaf that does.
#[test]
fn the_earliest_end_of_the_whole_chain_counts() {
    let end = Timestamp::now().as_second() + 1800;
    let (chain, key) = two_cas(
        |params| params.not_after = x509_parser::time::ASN1Time::from_timestamp(end).expect("a time").to_datetime(),
        |_| {},
    );
    let facts = IssuerFacts::read(chain.as_bytes(), Timestamp::now()).expect("a CA");
    assert_eq!(facts.not_after.as_second(), end);
    let ca = Authority::read(chain.as_bytes(), key.as_bytes(), Timestamp::now()).expect("a CA");
    let issued = ca.sign(&host_key(), &spec(), Timestamp::now()).expect("signed");
    assert!(issued.shortened && issued.leaf.not_after.as_second() == end);
    let late = Timestamp::from_second(end).expect("a time");
    assert_eq!(IssuerFacts::read(chain.as_bytes(), late).map_err(|error| error.reason()), Err("not_valid"));
}

/// Holds B6: a client certificate or a chain without a well-defined end had no sample, as if it could not be read.
#[test]
fn an_end_beyond_every_timestamp_is_the_last_one() {
    let last = "9999-12-30T22:00:00Z".parse().ok();
    let (certificate, _) = authority(|params| params.not_after = rcgen::date_time_ymd(9999, 12, 31));
    let certificate = certificate.as_bytes();
    assert_eq!((not_after(certificate), chain_end(certificate)), (last, last));
    let facts = IssuerFacts::read(certificate, Timestamp::now()).expect("a CA");
    assert_eq!(Some(facts.not_after), last);
}

/// Holds B11: a CA that was only dated anew is the same CA, and another key under the same name is another.
#[test]
fn an_issuer_is_known_by_its_name_and_its_key() {
    let key = KeyPair::generate().expect("a key");
    let identity = |key: &KeyPair, name: &str, year: i32| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let pem = params.self_signed(key).expect("a certificate").pem();
        IssuerFacts::read(pem.as_bytes(), Timestamp::now()).expect("a CA").sha256
    };
    let first = identity(&key, "Fleet CA", 2040);
    assert_eq!(identity(&key, "Fleet CA", 2050), first);
    assert_ne!(identity(&key, "Another CA", 2040), first);
    assert_ne!(identity(&KeyPair::generate().expect("a key"), "Fleet CA", 2040), first);
}

/// Holds B17: a leaf outside the CA's name constraints was signed, and refused by every client.
#[test]
fn a_name_that_the_issuer_may_not_sign_is_refused_before_it_is_signed() {
    let constrained = |constraints: NameConstraints| {
        let (certificate, key) = authority(|params| params.name_constraints = Some(constraints));
        let ca = Authority::read(certificate.as_bytes(), key.as_bytes(), Timestamp::now()).expect("a CA");
        ca.sign(&host_key(), &spec(), Timestamp::now())
    };
    let dns = |name: &str| GeneralSubtree::DnsName(name.into());
    let both_networks = || {
        [
            CidrSubnet::from_addr_prefix([192, 0, 2, 0].into(), 24),
            CidrSubnet::from_addr_prefix("2001:db8::".parse().expect("an address"), 32),
        ]
        .map(GeneralSubtree::IpAddress)
    };
    let permitted = |permitted: Vec<GeneralSubtree>| {
        constrained(NameConstraints { permitted_subtrees: permitted, excluded_subtrees: Vec::new() })
    };
    let excluded = |excluded: Vec<GeneralSubtree>| {
        constrained(NameConstraints { permitted_subtrees: Vec::new(), excluded_subtrees: excluded })
    };
    let refused = |result: Result<super::Issued, IssuerError>| result.expect_err("it is refused").reason();

    assert!(permitted(vec![dns("example.com")]).is_ok(), "addresses are not constrained");
    assert!(permitted(both_networks().to_vec()).is_ok());
    assert_eq!(refused(permitted(vec![dns("example.org")])), "name_constraint");
    assert_eq!(refused(permitted(vec![dns("ups-01.example.com")])), "name_constraint", "the wildcard is outside");
    assert_eq!(refused(permitted(both_networks()[..1].to_vec())), "name_constraint", "the IPv6 address is outside");
    assert_eq!(refused(excluded(vec![dns("ups-01.example.com")])), "name_constraint");
    assert_eq!(refused(excluded(vec![dns("secret.ups.example.com")])), "name_constraint", "the wildcard covers it");
    assert!(excluded(vec![dns("example.org")]).is_ok());
}

/// Holds B17: a leaf of such a CA was signed, delivered and said to be served, and every client refused it.
#[test]
fn a_ca_of_which_clients_refuse_every_leaf_is_refused() {
    use rcgen::ExtendedKeyUsagePurpose::{Any, ClientAuth, ServerAuth};
    let usages = |usages: &[rcgen::ExtendedKeyUsagePurpose]| {
        let usages = usages.to_vec();
        authority(|params| params.extended_key_usages = usages)
    };
    let (certificate, key) = usages(&[ClientAuth]);
    assert_eq!(refused(&certificate, &key), IssuerError::NotForServers);
    let unknown = |critical: bool| {
        authority(|params| {
            let mut extension = rcgen::CustomExtension::from_oid_content(&[1, 2, 3, 4, 5], vec![5, 0]);
            extension.set_criticality(critical);
            params.custom_extensions.push(extension);
        })
    };
    let (certificate, key) = unknown(true);
    assert_eq!(refused(&certificate, &key), IssuerError::CriticalExtension("1.2.3.4.5".into()));
    for (certificate, key) in [usages(&[ServerAuth]), usages(&[ClientAuth, Any]), unknown(false)] {
        assert!(Authority::read(certificate.as_bytes(), key.as_bytes(), Timestamp::now()).is_ok());
    }
    let (certificate, key) = two_cas(|params| params.extended_key_usages = vec![ClientAuth], |_| {});
    assert_eq!(refused(&certificate, &key), IssuerError::NotForServers, "one above it counts too");
}

/// Holds B17: what was not in a chain was sent to hosts all the same, and its end counted.
#[test]
fn certificates_that_are_no_chain_are_refused() {
    let (certificate, key) = authority(|_| {});
    let (other, _) = authority(|_| {});
    assert_eq!(refused(&format!("{certificate}{other}"), &key), IssuerError::NotChain(1), "the same name, another key");
    let (chain, key) = two_cas(|_| {}, |_| {});
    assert!(IssuerFacts::read(chain.as_bytes(), Timestamp::now()).is_ok());
    assert_eq!(refused(&format!("{chain}{other}"), &key), IssuerError::NotChain(2));
    let (chain, key) = two_cas(|params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)), |_| {});
    assert_eq!(refused(&chain, &key), IssuerError::NotCa, "no CA may be below the root");
    let (chain, key) = two_cas(|params| params.is_ca = IsCa::ExplicitNoCa, |_| {});
    assert_eq!(refused(&chain, &key), IssuerError::NotCa);
}

/// Holds B17: the subject of a leaf is a name too.
#[test]
fn a_subject_that_the_issuer_may_not_sign_is_refused_before_it_is_signed() {
    let name = |parts: &[(DnType, &str)]| {
        let mut name = rcgen::DistinguishedName::new();
        parts.iter().for_each(|(kind, part)| name.push(kind.clone(), *part));
        GeneralSubtree::DirectoryName(name)
    };
    let corp = || name(&[(DnType::OrganizationName, "Corp")]);
    let host = || name(&[(DnType::CommonName, "UPS-01.example.com")]);
    let long = CertificateSpec { dns_names: vec![format!("{}.example.com", "a".repeat(60))], ..spec() };
    let named = |organization: &str| CertificateSpec {
        subject: CertificateSubject { organizations: vec![organization.to_owned()], ..CertificateSubject::default() },
        ..spec()
    };
    let subject = Some("subject_constraint");
    for (permitted, excluded, spec, expected) in [
        (vec![corp()], vec![], spec(), subject),
        (vec![corp(), host()], vec![], spec(), None),
        (vec![name(&[])], vec![], spec(), None),
        (vec![corp()], vec![], long.clone(), None),
        (vec![corp()], vec![], named("Corp"), None),
        (vec![corp()], vec![], named("corp"), None),
        (vec![corp()], vec![], named("Corporation"), subject),
        (vec![name(&[(DnType::CountryName, "JP")])], vec![], named("Corp"), subject),
        (vec![], vec![corp()], named("Corp"), subject),
        (vec![], vec![corp()], spec(), None),
        (vec![], vec![host()], spec(), subject),
        (vec![], vec![name(&[])], spec(), subject),
        (vec![], vec![name(&[])], long, None),
    ] {
        let constraints = NameConstraints { permitted_subtrees: permitted, excluded_subtrees: excluded };
        let (certificate, key) = authority(|params| params.name_constraints = Some(constraints));
        let ca = Authority::read(certificate.as_bytes(), key.as_bytes(), Timestamp::now()).expect("a CA");
        let signed = ca.sign(&host_key(), &spec, Timestamp::now());
        assert_eq!(signed.err().map(|error| error.reason()), expected, "{spec:?}");
    }
}

/// Holds B17: `HostRefused` was shown for what the operator itself refused.
#[test]
fn what_the_operator_refuses_is_not_said_to_be_refused_by_the_host() {
    use kagiban_crds::resource::BlockedBy;
    for (error, by) in [
        (IssuerError::BadCsr, BlockedBy::HostAnswerRefused),
        (IssuerError::CsrKey("RSA-2048"), BlockedBy::HostAnswerRefused),
        (IssuerError::CsrSubject, BlockedBy::HostAnswerRefused),
        (IssuerError::BadName("a_b".into()), BlockedBy::SpecInvalid),
        (IssuerError::NameConstraint("a.example".into()), BlockedBy::IssuerRefused),
        (IssuerError::SubjectConstraint("a.example".into()), BlockedBy::IssuerRefused),
        (IssuerError::NotForServers, BlockedBy::IssuerUnavailable),
        (IssuerError::NotChain(1), BlockedBy::IssuerUnavailable),
    ] {
        assert_eq!(error.blocked_by(), by, "{error}");
    }
    let address = crate::agent_api::AgentError::Address("https://[::::]".into());
    assert_eq!(address.obstacle().by, BlockedBy::SpecInvalid);
}

#[test]
fn an_issuer_that_must_not_sign_is_refused() {
    let (certificate, key) = authority(|params| params.is_ca = IsCa::ExplicitNoCa);
    assert_eq!(refused(&certificate, &key), IssuerError::NotCa);
    let (certificate, key) = authority(|params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature]);
    assert_eq!(refused(&certificate, &key), IssuerError::NotCa);
    let (certificate, key) = authority(|params| params.not_after = rcgen::date_time_ymd(2001, 1, 1));
    assert_eq!(refused(&certificate, &key).reason(), "not_valid");
    let (certificate, key) = authority(|params| params.not_before = rcgen::date_time_ymd(4000, 1, 1));
    assert_eq!(refused(&certificate, &key).reason(), "not_valid");
    let ((certificate, _), (_, key)) = (authority(|_| {}), authority(|_| {}));
    assert_eq!(refused(&certificate, &key), IssuerError::KeyMismatch);
    assert_eq!(refused("garbage", &key), IssuerError::Unreadable("tls.crt"));
    let most = certificate.repeat(MAX_ISSUER_CERTIFICATES);
    assert!(IssuerFacts::read(most.as_bytes(), Timestamp::now()).is_ok());
    assert_eq!(refused(&(most + &certificate), &key), IssuerError::TooMany("tls.crt"), "all of them can be read");
    assert_eq!(refused(&certificate, "garbage"), IssuerError::Unreadable("tls.key"));
}

/// Holds B17: "cannot be read: it must be PEM" was said of a key that can be read, and "is no chain" of one that is.
#[test]
fn a_key_that_cannot_be_used_is_called_by_its_name() {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).expect("a key");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).expect("a certificate").pem();
    let refused_p521 = refused(&certificate, &key.serialize_pem());
    assert_eq!(refused_p521, IssuerError::UnknownKey { number: 1, key: "P-521".into() });
    assert!(refused_p521.to_string().contains("a key (P-521) of a kind"), "{refused_p521}");
    let weak = include_str!("../../tests/support/weak_root.pem");
    assert_eq!(refused(weak, weak), IssuerError::WeakIssuer { number: 2, key: "RSA-1024".into() });
    let (certificate, _) = authority(|_| {});
    let encrypted = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
    assert_eq!(refused(&certificate, encrypted), IssuerError::UnusableKey);
}

/// Holds B17: OpenSSL finds no issuer for a CA whose authority key identifier is another's.
#[test]
fn a_ca_that_names_another_key_than_the_one_that_signed_it_is_refused() {
    let named = |content: &[u8]| {
        let content = content.to_vec();
        two_cas(
            |root| root.key_identifier_method = rcgen::KeyIdMethod::PreSpecified(vec![1, 2]),
            |ca| ca.custom_extensions.push(rcgen::CustomExtension::from_oid_content(&[2, 5, 29, 35], content)),
        )
    };
    let read = |content: &[u8]| IssuerFacts::read(named(content).0.as_bytes(), Timestamp::now()).err();
    assert_eq!(read(&[0x30, 4, 0x80, 2, 1, 2]), None);
    assert_eq!(read(&[0x30, 4, 0x80, 2, 1, 3]), Some(IssuerError::KeyIdentifier(1)));
    assert_eq!(read(&[0x30, 0]), None, "one that names none");
}

#[test]
fn a_key_that_was_not_asked_for_is_refused() {
    let p256 = KeyPair::generate().expect("a key");
    let request = csr(&p256, &["a.example.com"]);
    for other in [KeyRequest::EcdsaP384, KeyRequest::Rsa2048, KeyRequest::Rsa4096] {
        assert_eq!(
            check(&request, other, &CertificateSubject::default()).map_err(|e| e.reason()),
            Err("csr_key"),
            "{other:?}"
        );
    }
    let rsa = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("a key");
    assert!(check(&csr(&rsa, &["a.example.com"]), KeyRequest::Rsa2048, &CertificateSubject::default()).is_ok());
    assert_eq!(
        check(&csr(&rsa, &["a.example.com"]), KeyRequest::Rsa3072, &CertificateSubject::default())
            .map_err(|e| e.reason()),
        Err("csr_key")
    );
}

#[test]
fn no_byte_of_a_csr_can_be_changed_to_smuggle_in_another_key() {
    let key = KeyPair::generate().expect("a key");
    let pem = csr(&key, &["a.example.com"]);
    let der = rustls::pki_types::CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).expect("DER").to_vec();
    for position in 0..der.len() {
        let mut bad = der.clone();
        bad[position] ^= 0x01;
        let text = armoured(&bad);
        // The wrapping around what is signed has bits that mean nothing; the key never changes
        if let Ok(taken) = check(&text, KeyRequest::EcdsaP256, &CertificateSubject::default()) {
            assert_eq!(
                Ok(taken),
                check(&pem, KeyRequest::EcdsaP256, &CertificateSubject::default()),
                "byte {position}"
            );
        }
    }
    for length in 0..der.len() {
        assert!(
            check(&armoured(&der[..length]), KeyRequest::EcdsaP256, &CertificateSubject::default()).is_err(),
            "length {length}"
        );
    }
    assert!(check(&"A".repeat(1 << 20), KeyRequest::EcdsaP256, &CertificateSubject::default()).is_err());
}

#[test]
fn a_ca_says_nothing_of_its_key() {
    let (certificate, key) = authority(|_| {});
    let ca = Authority::read(certificate.as_bytes(), key.as_bytes(), Timestamp::now()).expect("a CA");
    let printed = format!("{ca:?}");
    let line = key.lines().nth(1).expect("PEM has lines");
    assert!(printed.len() < 80 && !printed.contains(line), "{printed}");
}

fn armoured(der: &[u8]) -> String {
    kagiban_keystore::pem_block("CERTIFICATE REQUEST", der).to_string()
}

/// Holds B14: a Secret may hold a mebibyte, and the operator keeps what it makes of many.
#[test]
fn a_value_that_is_larger_than_any_should_be_is_not_parsed() {
    let (certificate, key) = authority(|_| {});
    let padded = |pem: &str| format!("{}{pem}", "\n".repeat(super::MAX_PEM_BYTES));
    assert_eq!(refused(&padded(&certificate), &key), IssuerError::TooLarge("tls.crt"));
    assert_eq!(refused(&certificate, &padded(&key)), IssuerError::TooLarge("tls.key"));
}
