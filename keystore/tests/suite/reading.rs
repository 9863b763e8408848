//! What Java wrote, we read.

use crate::{java::made, pki::pki};
use kagiban_keystore::{
    Certificate, Entry, EntryKind, Format, Limits, PasswordCheck, Pkcs12Profile, ReadError, Store, open_key, read,
};
use secrecy::SecretString;

const UNICODE: &str = "pässwörd 鍵";

pub(crate) fn open(bytes: &[u8], password: Option<&str>) -> Result<Store, ReadError> {
    read(bytes, password.map(SecretString::from).as_ref(), &Limits::default())
}

fn entry<'s>(store: &'s Store, alias: &str) -> &'s Entry {
    let mut named = store.entries.iter().filter(|entry| entry.alias == alias);
    let found = named.next().unwrap_or_else(|| panic!("{alias} is not in {:?}", store.entries));
    assert!(named.next().is_none(), "{alias} is there twice");
    found
}

fn assert_both_keys_and(store: &Store, trusted: &str) {
    let pki = pki();
    for (alias, key) in [("securekey", &pki.leaf), ("other", &pki.other)] {
        let entry = entry(store, alias);
        assert_eq!((entry.kind, &entry.chain), (EntryKind::Key, &pki.chain(key)), "{alias}");
    }
    assert_eq!(entry(store, trusted).kind, EntryKind::Trusted);
    assert_eq!(entry(store, trusted).chain, std::slice::from_ref(&pki.extra));
}

#[test]
fn jks_and_jceks_are_read_without_a_password_and_checked_with_one() {
    for (name, format) in [("jks", Format::Jks), ("jceks", Format::Jceks)] {
        let bytes = made(name);
        for (password, check) in [
            (None, PasswordCheck::NotGiven),
            (Some("changeit"), PasswordCheck::Verified),
            (Some("wrong password"), PasswordCheck::Wrong),
            (Some(""), PasswordCheck::Wrong),
        ] {
            let store = open(&bytes, password).unwrap();
            assert_eq!((store.format, store.password), (format, check));
            assert_both_keys_and(&store, "schlüssel-鍵");
        }
    }
}

#[test]
fn a_jceks_secret_is_listed_without_hiding_what_stands_behind_it() {
    let store = open(&made("jceks"), None).unwrap();
    assert_eq!(store.entries.len(), 4);
    assert_eq!(entry(&store, "aes").kind, EntryKind::Secret);
}

#[test]
fn empty_and_non_ascii_passwords_are_verified_in_every_format() {
    for (name, password) in [
        ("jks-empty", ""),
        ("jceks-empty", ""),
        ("pkcs12-empty", ""),
        ("jks-unicode", UNICODE),
        ("jceks-unicode", UNICODE),
    ] {
        let store = open(&made(name), Some(password)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(store.password, PasswordCheck::Verified, "{name}");
        assert_eq!(entry(&store, "schlüssel-鍵").leaf(), Some(&pki().extra), "{name}");
    }
}

#[test]
fn a_key_password_of_its_own_hides_no_certificate_and_opens_the_key() {
    for name in ["jks-keypass", "jceks-keypass"] {
        let bytes = made(name);
        assert_eq!(open(&bytes, Some("changeit")).unwrap().password, PasswordCheck::Verified);
        let key = |password: &str| open_key(&bytes, Some(&password.into()), "SecureKey", &Limits::default());
        assert_eq!(key("changeit"), Err(ReadError::BadPassword), "{name}");
        assert_eq!(key("another-one"), Ok(pki().leaf.certificate.clone()), "{name}");
    }
}

#[test]
fn trust_only_stores_are_read() {
    for name in ["jks-trust", "jceks-trust", "pkcs12-trust"] {
        let store = open(&made(name), Some("changeit")).unwrap();
        assert_eq!(store.entries.len(), 2, "{name}");
        assert_eq!(entry(&store, "extra").kind, EntryKind::Trusted, "{name}");
        assert_eq!(entry(&store, "root").leaf(), Some(&pki().root), "{name}");
    }
}

#[test]
fn a_pkcs12_shows_both_keys_their_chains_the_trusted_entry_and_the_secret() {
    let store = open(&made("pkcs12"), Some("changeit")).unwrap();
    assert_eq!((store.password, store.profile), (PasswordCheck::Verified, Some(Pkcs12Profile::Modern)));
    assert_both_keys_and(&store, "schlüssel-鍵");
    assert_eq!(entry(&store, "aes").kind, EntryKind::Secret);
    assert_eq!(store.entries.len(), 4, "the chains' certificates are no entries of their own: {:?}", store.entries);
}

#[test]
fn a_legacy_pkcs12_is_read_and_known_as_legacy() {
    let store = open(&made("pkcs12-legacy"), Some("changeit")).unwrap();
    assert_eq!((store.password, store.profile), (PasswordCheck::Verified, Some(Pkcs12Profile::Legacy)));
    assert_both_keys_and(&store, "extra");
}

#[test]
fn an_encrypted_pkcs12_asks_for_its_password_and_refuses_a_wrong_one() {
    for name in ["pkcs12", "pkcs12-legacy", "pkcs12-hidden-macless"] {
        assert_eq!(open(&made(name), None).unwrap_err(), ReadError::PasswordNeeded, "{name}");
        assert_eq!(open(&made(name), Some("wrong password")).unwrap_err(), ReadError::BadPassword, "{name}");
    }
}

#[test]
fn a_pkcs12_without_mac_is_read_with_and_without_a_password() {
    let bytes = made("pkcs12-macless");
    for (password, check) in [
        (None, PasswordCheck::NotGiven),
        (Some("changeit"), PasswordCheck::Verified),
        (Some("wrong password"), PasswordCheck::Wrong),
    ] {
        let store = open(&bytes, password).unwrap();
        assert_eq!(store.password, check);
        assert_both_keys_and(&store, "extra");
    }
    assert_both_keys_and(&open(&made("pkcs12-hidden-macless"), Some("changeit")).unwrap(), "extra");
    for password in [None, Some("any at all")] {
        let store = open(&made("pkcs12-passwordless"), password).unwrap();
        assert_eq!(store.password, PasswordCheck::NoneNeeded);
        assert_eq!(entry(&store, "extra").kind, EntryKind::Trusted);
    }
}

#[test]
fn the_key_under_an_alias_opens_and_is_proven_to_be_its_certificates() {
    let pki = pki();
    for name in ["jks", "jceks", "pkcs12", "pkcs12-legacy", "pkcs12-macless"] {
        let bytes = made(name);
        let key = |alias| open_key(&bytes, Some(&"changeit".into()), alias, &Limits::default());
        assert_eq!(key("securekey"), Ok(pki.leaf.certificate.clone()), "{name}");
        assert_eq!(key("OTHER"), Ok(pki.other.certificate.clone()), "{name}");
        assert_eq!(key("nobody"), Err(ReadError::NoKey), "{name}");
    }
}

#[test]
fn the_system_trust_stores_are_read_whole() {
    // Debian keeps the same certificates in both; where there is no such system, the other tests say enough.
    let read_all = |path: &str| std::fs::read(path).ok().map(|bytes| open(&bytes, None).unwrap().entries.len());
    for path in ["/etc/ssl/certs/java/cacerts", "/etc/ssl/certs/ca-certificates.crt"] {
        assert!(read_all(path).is_none_or(|count| count > 50), "{path}");
    }
}

#[test]
fn a_certificate_tells_what_people_ask_of_it() {
    let pki = pki();
    let leaf: &Certificate = &pki.leaf.certificate;
    assert_eq!((leaf.subject(), leaf.issuer()), ("CN=ups-01.example.com", "CN=Test CA"));
    assert_eq!((leaf.subject_cn(), leaf.issuer_cn()), (Some("ups-01.example.com"), Some("Test CA")));
    assert_eq!(leaf.dns_names(), ["ups-01.example.com"]);
    assert_eq!(leaf.ip_addresses(), ["192.0.2.7".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!((leaf.key_algorithm(), leaf.signature_algorithm()), ("RSA-2048", "SHA256withECDSA"));
    assert_eq!(pki.other.certificate.key_algorithm(), "EC-P256");
    assert!(!leaf.is_ca() && !leaf.is_self_issued() && pki.root.is_ca() && pki.root.is_self_issued());
    assert!(leaf.not_before() < leaf.not_after());
    assert!(leaf.serial().bytes().all(|byte| byte.is_ascii_hexdigit()) && !leaf.serial().starts_with('0'));
    assert!(leaf.der().windows(leaf.spki_der().len()).any(|window| window == leaf.spki_der()));
}
