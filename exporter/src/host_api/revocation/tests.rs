use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;

use super::*;

/// One key of a CA.
type Authority = Issuer<'static, KeyPair>;

/// What the file holds of one key.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Listed {
    Nothing,
    Clean,
    Revoked,
    /// An older list that revokes, and the newest, which does not.
    CleanAgain,
    /// An older list that does not revoke, and the newest, which does.
    RevokedSince,
}

const LISTED: [Listed; 5] = [Listed::Nothing, Listed::Clean, Listed::Revoked, Listed::CleanAgain, Listed::RevokedSince];

fn authority(name: &str) -> (CertificateParams, Authority) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.clone(), Issuer::new(params, KeyPair::generate().expect("a key")))
}

fn client(issuer: &Authority, serial: u64) -> CertificateDer<'static> {
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from(serial));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().expect("a key");
    params.signed_by(&key, issuer).expect("signed").der().clone()
}

fn list(issuer: &Authority, number: u64, revoked: Option<u64>) -> String {
    let day = date_time_ymd(2020, 1, u8::try_from(number).expect("a day of January"));
    let revoked = revoked.map(|serial| RevokedCertParams {
        serial_number: SerialNumber::from(serial),
        revocation_time: day,
        reason_code: None,
        invalidity_date: None,
    });
    let list = CertificateRevocationListParams {
        this_update: day,
        next_update: date_time_ymd(2049, 1, 1),
        crl_number: SerialNumber::from(number),
        issuing_distribution_point: None,
        revoked_certs: revoked.into_iter().collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    list.signed_by(issuer).expect("signed").pem().expect("PEM")
}

impl Listed {
    /// The lists of one key, with numbers of its own.
    fn write(self, issuer: &Authority, first: u64, serial: u64) -> String {
        let list = |number, revoked| list(issuer, number, revoked);
        match self {
            Self::Nothing => String::new(),
            Self::Clean => list(first, None),
            Self::Revoked => list(first, Some(serial)),
            Self::CleanAgain => list(first, Some(serial)) + &list(first + 1, None),
            Self::RevokedSince => list(first, None) + &list(first + 1, Some(serial)),
        }
    }

    fn lets_in(self) -> bool {
        matches!(self, Self::Clean | Self::CleanAgain)
    }
}

fn trusted(roots: &[CertificateDer<'static>]) -> Arc<RootCertStore> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots.iter().cloned());
    Arc::new(store)
}

fn verifier(roots: &Arc<RootCertStore>, lists: &str) -> Unrevoked {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let signed = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider).build().expect("roots");
    let revocations = Revocations::parse(lists.as_bytes(), roots, &algorithms).expect("lists");
    Unrevoked::new(signed, Arc::clone(roots), algorithms, revocations)
}

fn lets_in(verifier: &Unrevoked, leaf: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> bool {
    verifier.judge(leaf, intermediates, UnixTime::now()).is_ok()
}

/// Holds A18: a root and an issuing CA under it take new keys, each at its own time, and every list of every key is there
/// or not, or has changed since. Whoever chains through one pair of keys is judged by the lists of that pair.
#[test]
fn each_certificate_of_a_chain_is_judged_by_the_list_of_the_key_that_signed_it() {
    const CLIENT: u64 = 7;
    let (roots, issuing) = (["root"; 2].map(authority), ["issuing"; 2].map(authority));
    let anchors = roots.each_ref().map(|(params, ca)| params.self_signed(ca.key()).expect("signed").der().clone());
    let store = trusted(&anchors);
    // Each root has signed both keys of the issuing CA, under numbers of its own.
    let crossed = roots.each_ref().map(|(_, root)| {
        [0, 1].map(|key: usize| {
            let (mut params, ca) = (issuing[key].0.clone(), &issuing[key].1);
            params.serial_number = Some(SerialNumber::from(key as u64 + 1));
            params.signed_by(ca.key(), root).expect("signed").der().clone()
        })
    });
    let clients = issuing.each_ref().map(|(_, ca)| client(ca, CLIENT));
    let mut looked_at = 0;
    for at in 0..LISTED.len().pow(4) {
        let listed = |place: u32| LISTED[at / LISTED.len().pow(place) % LISTED.len()];
        let (of_roots, of_issuing) = ([listed(0), listed(1)], [listed(2), listed(3)]);
        // The first root's lists revoke the first key of the issuing CA, the second's the second.
        let lists: String = [
            of_issuing[0].write(&issuing[0].1, 20, CLIENT),
            of_roots[0].write(&roots[0].1, 1, 1),
            of_issuing[1].write(&issuing[1].1, 5, CLIENT),
            of_roots[1].write(&roots[1].1, 10, 2),
        ]
        .concat();
        if lists.is_empty() {
            continue;
        }
        let verifier = verifier(&store, &lists);
        for (root, key) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let of_root = of_roots[root];
            let expected =
                of_issuing[key].lets_in() && if root == key { of_root.lets_in() } else { of_root != Listed::Nothing };
            let is_in = lets_in(&verifier, &clients[key], std::slice::from_ref(&crossed[root][key]));
            assert_eq!(is_in, expected, "roots {of_roots:?}, issuing {of_issuing:?}, root {root}, key {key}");
            looked_at += 1;
        }
    }
    assert_eq!(looked_at, 4 * (5 * 5 * 5 * 5 - 1));
}

/// Holds A18: of two ways to a root one is closed, as where the old root has revoked what the new one has signed.
#[test]
fn a_client_with_two_ways_to_a_root_is_let_in_by_the_one_that_is_open_unless_it_is_revoked_itself() {
    let (roots, (params, issuing)) = (["root"; 2].map(authority), authority("issuing"));
    let anchors = roots.each_ref().map(|(params, ca)| params.self_signed(ca.key()).expect("signed").der().clone());
    let mut params = params;
    params.serial_number = Some(SerialNumber::from(1));
    let both = roots.each_ref().map(|(_, root)| params.signed_by(issuing.key(), root).expect("signed").der().clone());
    let (store, leaf) = (trusted(&anchors), client(&issuing, 7));
    for (revoked, expected) in [([false; 2], true), ([true, false], true), ([false, true], true), ([true; 2], false)] {
        for client_is_revoked in [false, true] {
            let of_root = |root: usize| list(&roots[root].1, 1, revoked[root].then_some(1));
            let lists = of_root(0) + &of_root(1) + &list(&issuing, 1, client_is_revoked.then_some(7));
            let is_in = lets_in(&verifier(&store, &lists), &leaf, &both);
            assert_eq!(is_in, expected && !client_is_revoked, "{revoked:?}, the client: {client_is_revoked}");
        }
    }
}

#[test]
fn a_list_that_another_key_signed_in_the_name_of_a_ca_says_nothing() {
    let ((params, root), (_, impostor)) = (authority("root"), authority("root"));
    let store = trusted(&[params.self_signed(root.key()).expect("signed").der().clone()]);
    let leaf = client(&root, 7);
    for (lists, expected) in [
        (list(&impostor, 1, None), Err(CertificateError::UnknownRevocationStatus)),
        (list(&impostor, 2, Some(7)) + &list(&root, 1, None), Ok(())),
        (list(&impostor, 2, None) + &list(&root, 1, Some(7)), Err(CertificateError::Revoked)),
    ] {
        let judged = verifier(&store, &lists).judge(&leaf, &[], UnixTime::now());
        assert_eq!(judged, expected.map_err(rustls::Error::InvalidCertificate));
    }
}
