//! PEM, DER, PKCS#7 and what consoles make of them.

use crate::{pki::pki, reading::open};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use kagiban_keystore::{Certificate, EntryKind, Format, Limits, PasswordCheck, read_whole, sniff};
use proptest::prelude::*;

pub(crate) fn block(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<&str> = body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn two_certificates() -> String {
    let pki = pki();
    block("CERTIFICATE", pki.leaf.certificate.der()) + &block("CERTIFICATE", pki.ca.der())
}

fn assert_leaf_and_ca(bytes: &[u8], format: Format) {
    assert_eq!(sniff(bytes), Some(format));
    let store = open(bytes, Some("any password at all")).unwrap();
    assert_eq!((store.format, store.password), (format, PasswordCheck::NoneNeeded));
    let found: Vec<Certificate> = store.entries.iter().map(|entry| entry.chain[0].clone()).collect();
    assert_eq!(found, [pki().leaf.certificate.clone(), pki().ca.clone()]);
    assert!(store.entries.iter().all(|entry| entry.alias.is_empty() && entry.kind == EntryKind::Certificate));
}

fn utf16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(unit).collect()
}

#[test]
fn pem_is_read_whatever_editor_saved_it() {
    let text = two_certificates();
    let crlf = text.replace('\n', "\r\n");
    assert_leaf_and_ca(text.as_bytes(), Format::Pem);
    assert_leaf_and_ca(crlf.as_bytes(), Format::Pem);
    assert_leaf_and_ca(text.replace('\n', "\r").as_bytes(), Format::Pem);
    assert_leaf_and_ca(format!("\u{FEFF}{crlf}").as_bytes(), Format::Pem);
    assert_leaf_and_ca(&utf16(&format!("\u{FEFF}{crlf}"), u16::to_le_bytes), Format::Pem);
    assert_leaf_and_ca(&utf16(&format!("\u{FEFF}{text}"), u16::to_be_bytes), Format::Pem);
    assert_leaf_and_ca(&utf16(&text, u16::to_le_bytes), Format::Pem);
    assert_leaf_and_ca(text.trim_end().as_bytes(), Format::Pem);
}

#[test]
fn what_is_no_certificate_is_passed_over() {
    let pki = pki();
    let text = [
        "Bag Attributes\n    friendlyName: \u{FFFD}\n".to_owned(),
        block("PRIVATE KEY", &pki.leaf.pkcs8),
        block("CERTIFICATE", pki.leaf.certificate.der()),
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n!!!!\n-----END RSA PRIVATE KEY-----\n".to_owned(),
        "-----BEGIN EC PARAMETERS-----\ncut short\n".to_owned(),
        block("X509 CERTIFICATE", pki.ca.der()),
        block("X509 CRL", b"whatever"),
    ];
    assert_leaf_and_ca(text.concat().as_bytes(), Format::Pem);
}

/// Holds R7: a damaged block is said, and its neighbour is read.
#[test]
fn a_damaged_certificate_block_is_a_fault_and_its_neighbour_is_read() {
    let (text, pki) = (two_certificates(), pki());
    let (leaf, ca) = (&pki.leaf.certificate, &pki.ca);
    for (damaged, left) in [
        (text.replacen("MII", "M!I", 1), ca),
        (text.replacen("MII", "MIA", 1), ca),
        (text[..text.len() - 40].to_owned(), leaf),
    ] {
        let store = open(damaged.as_bytes(), None).unwrap();
        let reasons: Vec<_> = store.faults.iter().map(|fault| fault.cause.reason()).collect();
        assert_eq!(reasons, ["malformed"]);
        assert_eq!(store.certificates().collect::<Vec<_>>(), [left]);
        assert_eq!(read_whole(damaged.as_bytes(), None, &Limits::default()).unwrap_err().reason(), "malformed");
    }
}

#[test]
fn a_pem_file_with_only_a_key_holds_no_certificate() {
    let text = block("PRIVATE KEY", &pki().leaf.pkcs8);
    assert_eq!(open(text.as_bytes(), None).unwrap_err().reason(), "no_certificate");
}

#[test]
fn a_der_file_holds_one_certificate_or_several_and_nothing_else() {
    let (leaf, ca) = (pki().leaf.certificate.der(), pki().ca.der());
    assert_leaf_and_ca(&[leaf, ca].concat(), Format::Der);
    assert_leaf_and_ca(&[leaf, ca, b"\r\n"].concat(), Format::Der);
    for (rest, faults) in [(&b"junk"[..], 1), (&leaf[..100], 1), (b"\0", 0), (&[0xFF; 512], 0), (b"\r\n\x1A", 0)] {
        let bytes = [leaf, rest].concat();
        let store = open(&bytes, None).unwrap();
        assert_eq!((store.certificates().count(), store.faults.len()), (1, faults), "{rest:?}");
        assert_eq!(read_whole(&bytes, None, &Limits::default()).unwrap_err().reason(), "malformed", "{rest:?}");
    }
}

#[test]
fn what_is_nothing_known_is_an_unsupported_format() {
    for bytes in [&b"hello"[..], &[0; 900], b"-----BEGIN nothing", b"0"] {
        assert_eq!(open(bytes, None).unwrap_err().reason(), "unsupported_format", "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_pem_reader_panic(text in "(-----(BEGIN|END) (CERTIFICATE|PRIVATE KEY|PKCS7)-----|[A-Za-z0-9+/=]{0,9}|[\r\n\0 é-]){0,40}") {
        let _ = open(text.as_bytes(), None);
        let _ = open(&utf16(&text, u16::to_le_bytes), None);
    }
}
