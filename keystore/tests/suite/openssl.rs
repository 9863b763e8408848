//! What OpenSSL wrote, we read; what we wrote, OpenSSL reads.

use crate::{java::made, pki::pki, reading::open};
use kagiban_keystore::{
    Certificate, Format, Limits, Merge, OnUnreadable, PasswordCheck, Pkcs12Profile, ReadError, merge, open_key,
};
use std::{fs, path::Path, process::Command};
use tempfile::TempDir;

const UNICODE: &str = "pässwörd 鍵";

/// A directory with the leaf's key and certificates in PEM.
pub(crate) fn workplace() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let pki = pki();
    fs::write(dir.path().join("leaf.der"), pki.leaf.certificate.der()).unwrap();
    fs::write(dir.path().join("ca.der"), pki.ca.der()).unwrap();
    fs::write(dir.path().join("leaf.p8"), &pki.leaf.pkcs8).unwrap();
    openssl(dir.path(), "x509 -inform DER -in leaf.der -out leaf.pem");
    openssl(dir.path(), "x509 -inform DER -in ca.der -out ca.pem");
    openssl(dir.path(), "pkey -inform DER -in leaf.p8 -out key.pem");
    dir
}

pub(crate) fn openssl(dir: &Path, arguments: &str) -> Vec<u8> {
    let done = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(dir)
        .output()
        .expect("these tests need openssl 3 on PATH: install openssl");
    assert!(done.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

fn exported(arguments: &str, password: &str) -> Vec<u8> {
    let dir = workplace();
    fs::write(dir.path().join("password"), password).unwrap();
    // OpenSSL takes no empty line of a file for a password.
    let source = if password.is_empty() { "pass:" } else { "file:password" };
    let export = "pkcs12 -export -inkey key.pem -in leaf.pem -certfile ca.pem -name securekey -out out -passout";
    openssl(dir.path(), format!("{export} {source} {arguments}").trim_end());
    fs::read(dir.path().join("out")).unwrap()
}

fn leaf_and_ca() -> Vec<Certificate> {
    vec![pki().leaf.certificate.clone(), pki().ca.clone()]
}

#[test]
fn openssls_pkcs12_is_read_whatever_it_is_encrypted_with() {
    for (arguments, password, profile) in [
        ("", "changeit", Pkcs12Profile::Modern),
        ("", "", Pkcs12Profile::Modern),
        ("", UNICODE, Pkcs12Profile::Modern),
        ("-certpbe AES-128-CBC -keypbe AES-192-CBC -macalg sha512", UNICODE, Pkcs12Profile::Modern),
        ("-certpbe PBE-SHA1-3DES -keypbe PBE-SHA1-3DES -macalg sha1", UNICODE, Pkcs12Profile::Legacy),
        ("-certpbe PBE-SHA1-3DES -keypbe PBE-SHA1-3DES -macalg sha1", "", Pkcs12Profile::Legacy),
        ("-certpbe PBE-SHA1-2DES -keypbe PBE-SHA1-2DES -macalg sha384", "changeit", Pkcs12Profile::Legacy),
        ("-nomac", "changeit", Pkcs12Profile::Modern),
    ] {
        let bytes = exported(arguments, password);
        let store = open(&bytes, Some(password)).unwrap_or_else(|error| panic!("{arguments}: {error}"));
        assert_eq!((store.password, store.profile), (PasswordCheck::Verified, Some(profile)), "{arguments}");
        assert_eq!(store.entries.len(), 1, "{arguments}");
        assert_eq!(store.entries[0].chain, leaf_and_ca(), "{arguments}");
        let leaf = open_key(&bytes, Some(&password.into()), "securekey", &Limits::default());
        assert_eq!(leaf, Ok(pki().leaf.certificate.clone()), "{arguments}");
    }
}

#[test]
fn clear_certificates_of_a_pkcs12_are_listed_without_a_password_and_with_a_wrong_one() {
    let bytes = exported("-certpbe NONE", "changeit");
    for (password, check) in [
        (None, PasswordCheck::NotGiven),
        (Some("changeit"), PasswordCheck::Verified),
        (Some("wrong"), PasswordCheck::Wrong),
    ] {
        let store = open(&bytes, password).unwrap();
        assert_eq!((store.password, &store.entries[0].chain), (check, &leaf_and_ca()));
    }
    assert_eq!(open_key(&bytes, None, "securekey", &Limits::default()), Err(ReadError::PasswordNeeded));
}

#[test]
fn a_pkcs12_with_nothing_encrypted_needs_no_password() {
    let bytes = exported("-certpbe NONE -keypbe NONE -nomac", "");
    let store = open(&bytes, None).unwrap();
    assert_eq!((store.password, &store.entries[0].chain), (PasswordCheck::NoneNeeded, &leaf_and_ca()));
    assert!(open_key(&bytes, None, "securekey", &Limits::default()).is_ok());
}

/// Holds R13: `openssl pkcs12 -export` and Java's `store` take an empty password, with and without the terminator.
#[test]
fn without_a_password_the_empty_one_is_tried_and_the_result_says_so() {
    let sealed = [
        exported("", ""),
        exported("-nomac", ""),
        exported("-certpbe PBE-SHA1-3DES -keypbe PBE-SHA1-3DES -macalg sha1", ""),
        exported("-certpbe NONE", ""),
        made("pkcs12-empty"),
        made("jks-empty"),
        made("jceks-empty"),
    ];
    for (at, bytes) in sealed.iter().enumerate() {
        let store = open(bytes, None).unwrap_or_else(|error| panic!("{at}: {error}"));
        assert_eq!((store.password, store.password.as_str()), (PasswordCheck::Empty, "empty"), "{at}");
        let same = open(bytes, Some("")).unwrap();
        assert_eq!((same.password, same.entries), (PasswordCheck::Verified, store.entries), "{at}");
    }
    assert_eq!(open(&exported("", "changeit"), None).unwrap_err(), ReadError::PasswordNeeded);
    assert_eq!(open(&exported("-certpbe NONE", "changeit"), None).unwrap().password, PasswordCheck::NotGiven);
}

/// Holds R13: openssl reads all of these; what is not read here is called by its name.
#[test]
fn an_encryption_that_is_not_read_is_named() {
    for (algorithm, name) in [
        ("PBE-SHA1-RC4-128", "PBE-SHA1-RC4-128"),
        ("PBE-MD5-DES", "PBE-MD5-DES"),
        ("CAMELLIA-256-CBC", "CAMELLIA-256-CBC"),
        ("ARIA-128-CBC", "ARIA-128-CBC"),
    ] {
        let bytes = exported(&format!("-legacy -certpbe {algorithm}"), "changeit");
        for password in [Some("changeit"), None] {
            let error = open(&bytes, password).unwrap_err();
            assert_eq!(error, ReadError::UnsupportedAlgorithm(name.to_owned()));
            assert!(error.reason() == "unsupported_algorithm" && error.to_string().contains(name), "{error}");
        }
    }
    let sealed = exported("-legacy -certpbe NONE -keypbe PBE-MD5-DES", "changeit");
    assert_eq!(open(&sealed, Some("changeit")).unwrap().entries[0].chain, leaf_and_ca(), "its certificates are read");
    let error = open_key(&sealed, Some(&"changeit".into()), "securekey", &Limits::default());
    assert_eq!(error, Err(ReadError::UnsupportedAlgorithm("PBE-MD5-DES".to_owned())));
}

#[test]
fn pkcs7_is_read_bare_and_in_pem() {
    let dir = workplace();
    for (form, first) in [("PEM", b'-'), ("DER", b'0')] {
        let convert = format!("crl2pkcs7 -nocrl -certfile leaf.pem -certfile ca.pem -outform {form}");
        let bytes = openssl(dir.path(), &convert);
        assert_eq!(bytes[0], first);
        let store = open(&bytes, None).unwrap();
        assert_eq!((store.format, store.password), (Format::Pkcs7, PasswordCheck::NoneNeeded));
        let found: Vec<_> = store.entries.iter().map(|entry| entry.chain[0].clone()).collect();
        assert_eq!(found, leaf_and_ca());
    }
}

#[test]
fn a_trusted_certificate_block_is_read_without_its_trust() {
    let dir = workplace();
    let text = openssl(dir.path(), "x509 -in leaf.pem -trustout -addtrust serverAuth -setalias ours");
    assert_eq!(open(&text, None).unwrap().entries[0].chain, [pki().leaf.certificate.clone()]);
}

#[test]
fn openssl_opens_what_we_merged_with_a_password_that_java_could_not_use() {
    let old = exported("", UNICODE);
    let (password, key) = (UNICODE.into(), pki().material(&pki().renewed));
    for profile in [Pkcs12Profile::Modern, Pkcs12Profile::Legacy] {
        let merged = merge(
            &Merge {
                old: Some(&old),
                old_passwords: &[],
                new_password: Some(&password),
                alias: "securekey",
                key: &key,
                trusted: None,
                format: None,
                profile: Some(profile),
                on_unreadable: OnUnreadable::Refuse,
                now: jiff::Timestamp::UNIX_EPOCH,
            },
            &Limits::default(),
        );
        let dir = workplace();
        fs::write(dir.path().join("merged"), &*merged.unwrap().bytes).unwrap();
        fs::write(dir.path().join("password"), UNICODE).unwrap();
        openssl(dir.path(), "pkcs12 -in merged -passin file:password -nodes -out opened");
        let text = fs::read(dir.path().join("opened")).unwrap();
        assert_eq!(open_key(&text, None, "", &Limits::default()), Ok(pki().renewed.certificate.clone()));
    }
}
