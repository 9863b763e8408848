//! What a reader that only looks makes of files that are not as they should be. Who writes refuses each of them.

use crate::{
    hostile::{bag, certificate_bag, data_safe, pfx},
    java::made,
    openssl::{openssl, workplace},
    pki::pki,
    reading::open,
    texts::block,
    x509::{Form, GENERALIZED, SAN, der, dns, names},
};
use kagiban_keystore::{
    Certificate, Defect, EntryKind, Format, Limits, Merge, OnUnreadable, ReadError, merge, read, read_whole, sniff,
};
use std::fs;

fn form(extensions: &[(&'static [u8], Vec<u8>)]) -> Form {
    Form { extensions: extensions.to_vec(), ..Form::default() }
}

/// The same with one byte of this certificate turned, so that it is none any more.
fn broken(mut store: Vec<u8>, certificate: &Certificate) -> Vec<u8> {
    let der = certificate.der();
    let at = store.windows(der.len()).position(|window| window == der).expect("it is in the clear");
    store[at + 4] ^= 0x01;
    store
}

fn assert_not_rewritten(store: &[u8]) {
    let (password, key) = ("changeit".into(), pki().material(&pki().renewed));
    let merged = merge(
        &Merge {
            old: Some(store),
            old_passwords: &[],
            new_password: Some(&password),
            alias: "securekey",
            key: &key,
            trusted: None,
            format: None,
            profile: None,
            on_unreadable: OnUnreadable::Refuse,
            now: jiff::Timestamp::UNIX_EPOCH,
        },
        &Limits::default(),
    );
    assert_eq!(merged.unwrap_err().reason(), "store_unreadable");
    assert!(read_whole(store, Some(&password), &Limits::default()).is_err());
}

/// What it is, its bytes, what is wrong with it, and the DNS names that can be read.
type Case<'a> = (&'a str, Vec<u8>, &'a [Defect], &'a [&'a str]);

/// Holds R7: dates and names as openssl prints them of the same bytes.
#[test]
fn an_optional_part_that_cannot_be_read_hides_no_date() {
    let sound = form(&[]);
    let [first, second] = ["a", "b"].map(|name| (SAN, names(&[&dns(name)])));
    let basic = (&b"\x55\x1D\x13"[..], b"\x30\x03\x01\x01\xFF".to_vec());
    let cases: [Case<'_>; 11] = [
        ("a name cut short", form(&[(SAN, b"\x30\x10\x82\x01a".to_vec())]).der(), &[Defect::AlternativeNames], &[]),
        ("names that are no list", form(&[(SAN, dns("a"))]).der(), &[Defect::AlternativeNames], &[]),
        (
            "a name that is no text",
            form(&[(SAN, names(&[&dns("a"), b"\x82\x01\xFF"]))]).der(),
            &[Defect::AlternativeNames],
            &["a"],
        ),
        ("an extension twice", form(&[first.clone(), second]).der(), &[Defect::DuplicateExtension], &["a", "b"]),
        (
            "another one twice",
            form(&[basic.clone(), first.clone(), basic]).der(),
            &[Defect::DuplicateExtension],
            &["a"],
        ),
        (
            "constraints cut short",
            form(&[(b"\x55\x1D\x13", b"\x30\x05".to_vec())]).der(),
            &[Defect::BasicConstraints],
            &[],
        ),
        ("BER", sound.ber(), &[Defect::NotDer], &[]),
        ("BER within DER", sound.ber_within(), &[Defect::NotDer], &[]),
        ("padding", [&sound.der()[..], &[0; 9]].concat(), &[Defect::TrailingBytes], &[]),
        ("bytes behind it", [&sound.der()[..], b"junk"].concat(), &[Defect::TrailingBytes], &[]),
        ("no serial number", Form { serial: Vec::new(), ..form(&[]) }.der(), &[Defect::Serial], &[]),
    ];
    for (what, bytes, defects, dns_names) in cases {
        let seen = Certificate::observe(&bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(
            (seen.defects(), seen.dns_names()),
            (defects, &dns_names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()[..]),
            "{what}"
        );
        assert_eq!(
            (seen.subject(), seen.not_after().to_string()),
            ("CN=x.example.com", "2035-01-01T00:00:00Z".to_owned()),
            "{what}"
        );
        assert_eq!(Certificate::from_der(&bytes).unwrap_err().reason(), "malformed", "{what}");
        if defects == [Defect::Serial] {
            continue;
        }
        let dir = workplace();
        let armoured = block("CERTIFICATE", &bytes);
        fs::write(dir.path().join("c"), &armoured).unwrap();
        let said = openssl(dir.path(), "x509 -in c -noout -enddate -fingerprint -sha256");
        let said = String::from_utf8_lossy(&said).replace(':', "").to_lowercase();
        assert!(said.contains("notafter=jan  1 000000 2035 gmt"), "{what}: {said}");
        assert!(said.contains(&hex::encode(seen.sha256())), "{what}: {said}");
        let store = open(armoured.as_bytes(), None).unwrap();
        assert_eq!((store.faults.len(), store.certificates().collect::<Vec<_>>()), (0, vec![&seen]), "{what}");
        assert_not_rewritten(armoured.as_bytes());
    }
    assert_eq!(Certificate::from_der(&sound.der()).map(|sound| sound.defects().len()), Ok(0));
}

#[test]
fn a_certificate_whose_dates_cannot_be_read_is_malformed() {
    let sound = Form::default().der();
    for bytes in [&sound[..sound.len() - 1], b"", b"\x30\x00", b"\x30\x03\x02\x01\x05"] {
        assert_eq!(Certificate::observe(bytes).unwrap_err().reason(), "malformed");
    }
    let undated = Form { not_after: (GENERALIZED, "20351301000000Z"), ..Form::default() };
    assert_eq!(Certificate::observe(&undated.der()).unwrap_err().reason(), "malformed");
}

/// Holds R9: what `openssl x509` prints of the same bytes.
#[test]
fn serial_numbers_and_dates_are_what_openssl_prints() {
    for (serial, not_after) in [
        (&b"\xB3"[..], "99991231235959Z"),
        (b"\xFF", "99991231235900Z"),
        (b"\x80\0", "20500101000000Z"),
        (b"\0\xFF", "19700101000000Z"),
        (b"\x81\x02\x03\x04\x05\x06\x07\x08\x09\x0A\x0B\x0C\x0D\x0E\x0F\x10\x11\x12\x13\x14", "20350101000000Z"),
    ] {
        let form = Form { serial: serial.to_vec(), not_after: (GENERALIZED, not_after), ..Form::default() };
        let dir = workplace();
        fs::write(dir.path().join("c"), form.der()).unwrap();
        let said = openssl(dir.path(), "x509 -inform DER -in c -noout -serial -enddate -dateopt iso_8601");
        let said = String::from_utf8(said).unwrap();
        let seen = Certificate::observe(&form.der()).unwrap();
        let shown = seen.not_after().to_string().replace('T', " ");
        let digits = seen.serial().trim_start_matches('-');
        let sign = if seen.serial().starts_with('-') { "-" } else { "" };
        // openssl shows whole bytes.
        let padded = if digits.len() % 2 == 1 { format!("0{digits}") } else { digits.to_owned() };
        assert_eq!(said, format!("serial={sign}{}\nnotAfter={shown}\n", padded.to_uppercase()));
    }
}

/// Holds R7.
#[test]
fn one_block_that_cannot_be_read_hides_no_other_and_is_named_by_its_line() {
    let pki = pki();
    let (leaf, ca) = (block("CERTIFICATE", pki.leaf.certificate.der()), block("CERTIFICATE", pki.ca.der()));
    let large = form(&[(SAN, names(&vec![&dns("a.example.com")[..]; 5_000]))]).der();
    assert!(large.len() > Limits::default().max_certificate);
    for (bad, reason) in [
        (block("CERTIFICATE", b"\x30\x03\x02\x01\x05"), "malformed"),
        (block("CERTIFICATE", &pki.root.der()[..100]), "malformed"),
        (block("CERTIFICATE", b"x"), "malformed"),
        ("-----BEGIN CERTIFICATE-----\nMII\n".to_owned(), "malformed"),
        (block("CERTIFICATE", &large), "too_large"),
        (block("PKCS7", b"\x30\x03\x02\x01\x05"), "malformed"),
        (block("CERTIFICATE", &pki.leaf.pkcs8), "no_certificate"),
    ] {
        let text = format!("# first\n{leaf}{bad}{ca}");
        let store = open(text.as_bytes(), None).unwrap();
        assert_eq!(store.certificates().collect::<Vec<_>>(), [&pki.leaf.certificate, &pki.ca], "{bad}");
        let [fault] = &store.faults[..] else { panic!("{:?}", store.faults) };
        assert_eq!(fault.cause.reason(), reason, "{bad}");
        let line = 2 + leaf.lines().count();
        assert!(fault.place.contains(&format!("line {line}")) && !fault.to_string().contains("backup"), "{fault}");
        assert!(read_whole(text.as_bytes(), None, &Limits::default()).is_err());
        assert_eq!(open(bad.as_bytes(), None).unwrap_err().reason(), reason, "alone it is what there is to say");
    }
}

/// Holds R7.
#[test]
fn one_entry_that_cannot_be_read_hides_no_other_in_any_keystore() {
    let pki = pki();
    for name in ["jks", "jceks", "pkcs12-macless"] {
        let bytes = made(name);
        let whole = open(&bytes, Some("changeit")).unwrap();
        let without_extra = broken(bytes.clone(), &pki.extra);
        let store = open(&without_extra, Some("changeit")).unwrap();
        assert_eq!(store.faults.len(), 1, "{name}: {:?}", store.faults);
        let kept: Vec<_> = whole.entries.iter().filter(|entry| entry.leaf() != Some(&pki.extra)).collect();
        assert_eq!(store.entries.iter().collect::<Vec<_>>(), kept, "{name}");
        assert_not_rewritten(&without_extra);
    }
    // A chain ends where a certificate cannot be read. What stands behind it is no leaf.
    let store = open(&broken(made("jks-keypass"), &pki.ca), None).unwrap();
    let keys: Vec<_> = store.entries.iter().filter(|entry| entry.kind == EntryKind::Key).collect();
    let faults: Vec<_> = store.faults.iter().map(|fault| fault.place.as_str()).collect();
    assert!(keys.iter().all(|key| !key.chain.is_empty()), "{store:?}");
    let [place] = faults[..] else { panic!("{faults:?}") };
    assert!(place.starts_with("certificate 2 of entry"), "{place}");
    assert!(store.entries.iter().any(|entry| entry.kind == EntryKind::Certificate && entry.leaf() == Some(&pki.root)));
}

/// Holds R7: with its own writer, for Java writes none of these.
#[test]
fn a_bag_that_cannot_be_read_is_named_and_the_others_are_read() {
    let good = certificate_bag(pki().ca.der(), b"");
    let name = |tag| {
        let value = der(0x31, &[&der(tag, &[b"\0a"])]);
        der(0x31, &[&der(0x30, &[b"\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x09\x14", &value])])
    };
    let [named, misnamed] = [0x1E, 0x0C].map(|tag| {
        let octets = der(0xA0, &[&der(0x04, &[pki().extra.der()])]);
        let value = der(0x30, &[b"\x06\x0A\x2A\x86\x48\x86\xF7\x0D\x01\x09\x16\x01", &octets]);
        der(0x30, &[b"\x06\x0B\x2A\x86\x48\x86\xF7\x0D\x01\x0C\x0A\x01\x03", &der(0xA0, &[&value]), &name(tag)])
    });
    for (bad, certificates, place) in [
        (certificate_bag(b"\x30\x03\x02\x01\x05", b""), 2, "bag 2 of safe 1"),
        (certificate_bag(&pki().root.der()[..200], b""), 2, "bag 2 of safe 1"),
        (b"\x02\x01\x05".to_vec(), 2, "bag 2 of safe 1"),
        (misnamed, 3, "the name of bag 2 of safe 1"),
    ] {
        let bytes = pfx(&[&data_safe(&[&good, &bad, &named])], &[]);
        let store = open(&bytes, None).unwrap();
        let places: Vec<_> = store.faults.iter().map(|fault| fault.place.as_str()).collect();
        assert_eq!((store.certificates().count(), &places[..]), (certificates, &[place][..]));
        assert!(store.entries.iter().any(|entry| entry.alias == "a"));
        assert_not_rewritten(&bytes);
    }
    // A safe for a recipient's key: `EnvelopedData`.
    let sealed = der(0x30, &[b"\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x03", &der(0xA0, &[&der(0x30, &[])])]);
    let bytes = pfx(&[&sealed, &data_safe(&[&good])], &[]);
    let store = open(&bytes, None).unwrap();
    assert_eq!((store.certificates().count(), store.faults[0].place.as_str()), (1, "safe 1"));
    assert_eq!(store.faults[0].cause.reason(), "unsupported_format");
    assert_not_rewritten(&bytes);
}

/// Holds R7: the limit is the certificate's, not its block's; without padding that large it still holds.
#[test]
fn a_small_certificate_padded_to_a_large_block_is_read_in_every_format() {
    let limit = Limits::default().max_certificate;
    let sound = form(&[]).der();
    let padded = [&sound[..], &vec![0xFF; 2 * limit]].concat();
    let jks = |certificate: &[u8]| {
        let length = u32::try_from(certificate.len()).unwrap().to_be_bytes();
        let entry = b"\0\0\0\x02\0\x01a\0\0\0\0\0\0\0\0\0\x05X.509";
        [b"\xFE\xED\xFE\xED\0\0\0\x02\0\0\0\x01", &entry[..], &length, certificate, &[0; 20]].concat()
    };
    for (format, bytes) in [
        ("der", padded.clone()),
        ("pem", block("CERTIFICATE", &padded).into_bytes()),
        ("pkcs12", pfx(&[&data_safe(&[&certificate_bag(&padded, b"")])], &[])),
        ("jks", jks(&padded)),
    ] {
        let store = open(&bytes, None).unwrap_or_else(|error| panic!("{format}: {error}"));
        let found: Vec<_> = store.certificates().collect();
        assert_eq!((found.len(), found[0].der()), (1, &sound[..]), "{format}");
        assert_eq!((found[0].defects(), store.faults.len()), (&[Defect::TrailingBytes][..], 0), "{format}");
    }
    let huge = form(&[(b"\x2A\x03\x04", vec![0; limit])]).der();
    for bytes in [huge.clone(), block("CERTIFICATE", &huge).into_bytes(), jks(&huge)] {
        assert_eq!(open(&bytes, None).unwrap_err().reason(), "too_large");
    }
}

/// Holds R7: every certificate says how long it is, so that one that is passed over hides nothing.
#[test]
fn a_chain_that_is_too_long_or_cut_short_hides_neither_its_first_certificates_nor_the_entries_behind_it() {
    let one = form(&[]).der();
    let certificate = [b"\0\x05X.509", &u32::try_from(one.len()).unwrap().to_be_bytes()[..], &one].concat();
    let key = |promised: u32, certificates: &[u8]| {
        let head = [b"\0\0\0\x01\0\x01a", &[0; 8][..], b"\0\0\0\0", &promised.to_be_bytes()].concat();
        [&head[..], certificates].concat()
    };
    let trusted = [b"\0\0\0\x02\0\x01b", &[0; 8][..], &certificate].concat();
    let store = |entries: &[&[u8]]| {
        let count = u32::try_from(entries.len()).unwrap().to_be_bytes();
        [b"\xFE\xED\xFE\xED\0\0\0\x02", &count[..], &entries.concat(), &[0; 20]].concat()
    };
    let told = |bytes: &[u8]| {
        let store = open(bytes, None).unwrap();
        let chains: Vec<_> = store.entries.iter().map(|entry| (entry.alias.clone(), entry.chain.len())).collect();
        let faults: Vec<_> = store.faults.iter().map(|fault| (fault.place.clone(), fault.cause.reason())).collect();
        (chains, faults)
    };
    let long = store(&[&key(70, &certificate.repeat(70)), &trusted]);
    let (chains, faults) = told(&long);
    assert_eq!(chains, [("a".to_owned(), 64), ("b".to_owned(), 1)]);
    assert_eq!(faults, [("certificates 65 to 70 of entry 1, \"a\"".to_owned(), "too_large")]);
    assert_not_rewritten(&long);

    let whole = store(&[&key(2, &certificate.repeat(2))]);
    let (chains, faults) = told(&whole[..whole.len() - 30]);
    assert_eq!(chains, [("a".to_owned(), 1)]);
    assert_eq!(faults, [("entry 1 of 1".to_owned(), "malformed")]);
}

/// Holds R7.
#[test]
fn a_safe_in_the_clear_that_cannot_be_read_hides_no_other() {
    let content_info = |content: &[u8]| {
        let content = der(0xA0, &[&der(0x04, &[content])]);
        der(0x30, &[b"\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x01", &content])
    };
    let good = data_safe(&[&certificate_bag(pki().ca.der(), b"")]);
    for (bad, place) in [
        (content_info(b"\x30\x80\x30\x05\x02"), "safe 2"),
        (b"\x30\x84\x7F\xFF\xFF\xFF\x02".to_vec(), "safe 2 and those behind it"),
    ] {
        let bytes = pfx(&[&good, &bad], &[]);
        let store = open(&bytes, None).unwrap();
        let places: Vec<_> = store.faults.iter().map(|fault| fault.place.as_str()).collect();
        assert_eq!((store.certificates().collect::<Vec<_>>(), &places[..]), (vec![&pki().ca], &[place][..]));
        assert_not_rewritten(&bytes);
    }
}

/// Holds R8: openssl counts the same.
#[test]
fn safes_within_safes_are_read() {
    let (leaf, ca) = (certificate_bag(pki().leaf.certificate.der(), b""), certificate_bag(pki().ca.der(), b""));
    let nest = |inside: &[&[u8]]| bag(6, &der(0x30, inside), b"");
    let nested = nest(&[&leaf, &nest(&[&ca])]);
    let bytes = pfx(&[&data_safe(&[&nested])], &[]);
    let store = open(&bytes, None).unwrap();
    assert_eq!((store.entries.len(), store.faults.len()), (2, 0), "{store:?}");
    assert_eq!(store.certificates().collect::<Vec<_>>(), [&pki().leaf.certificate, &pki().ca]);
    let dir = workplace();
    fs::write(dir.path().join("p12"), &bytes).unwrap();
    let said = openssl(dir.path(), "pkcs12 -in p12 -nomacver -passin pass: -nokeys");
    assert_eq!(String::from_utf8_lossy(&said).matches("BEGIN CERTIFICATE").count(), 2);

    let mut deep = ca.clone();
    for _ in 0..200 {
        deep = nest(&[&deep]);
    }
    let store = open(&pfx(&[&data_safe(&[&leaf, &deep])], &[]), None).unwrap();
    assert_eq!((store.certificates().count(), store.faults[0].cause.reason()), (1, "too_large"));
    let wide = nest(&[&ca.repeat(400)]).repeat(13);
    assert_eq!(open(&pfx(&[&data_safe(&[&wide])], &[]), None).unwrap_err().reason(), "too_large");
}

/// Holds R8.
#[test]
fn a_file_without_a_certificate_says_what_it_holds_in_every_format() {
    let key = bag(1, &pki().other.pkcs8, b"");
    let empty_jks = b"\xFE\xED\xFE\xED\0\0\0\x02\0\0\0\0";
    let digest = [0; 20];
    for (bytes, holds) in [
        (b"".to_vec(), "nothing"),
        (b" \r\n".to_vec(), "nothing"),
        (pfx(&[&data_safe(&[])], &[]), "without entries"),
        ([&empty_jks[..], &digest].concat(), "without entries"),
        ([b"\xCE\xCE\xCE\xCE\0\0\0\x02\0\0\0\0", &digest[..]].concat(), "without entries"),
        (pfx(&[&data_safe(&[&key])], &[]), "keys"),
        (block("PRIVATE KEY", &pki().other.pkcs8).into_bytes(), "a private key"),
        (pki().other.pkcs8.clone(), "a private key"),
    ] {
        let outcome = open(&bytes, None).and_then(|store| store.check_has_certificate());
        let error = outcome.unwrap_err();
        assert_eq!(error.reason(), "no_certificate", "{holds}");
        assert!(error.to_string().contains(holds) && !error.to_string().contains("damaged"), "{error}");
    }
}

/// Holds R10: made by the tool that users have, each in both of its encodings.
#[test]
fn what_is_no_certificate_is_named_for_what_it_is() {
    let dir = workplace();
    fs::write(dir.path().join("database"), "").unwrap();
    let config = "[ca]\ndefault_ca=c\n[c]\ndatabase=database\ndefault_md=sha256\ndefault_crl_days=9\n";
    fs::write(dir.path().join("config"), config).unwrap();
    openssl(dir.path(), "ecparam -name prime256v1 -genkey -noout -out ec.pem");
    openssl(dir.path(), "req -x509 -key ec.pem -subj /CN=ca -days 9 -out ec.crt");
    openssl(dir.path(), "ca -config config -gencrl -keyfile ec.pem -cert ec.crt -out crl.pem");
    for (command, holds) in [
        ("crl -in crl.pem -outform", "revocation list"),
        ("req -new -key key.pem -subj /CN=x -outform", "certificate request"),
        ("req -new -key ec.pem -subj /CN=x -outform", "certificate request"),
        ("pkey -in key.pem -pubout -outform", "public key"),
        ("rsa -in key.pem -RSAPublicKey_out -outform", "public key"),
        ("pkey -in ec.pem -pubout -outform", "public key"),
        ("pkey -in key.pem -traditional -outform", "private key"),
        ("ec -in ec.pem -outform", "private key"),
        ("pkcs8 -topk8 -nocrypt -in ec.pem -outform", "private key"),
        ("pkcs8 -topk8 -in ec.pem -passout pass:secret -outform", "encrypted private key"),
        ("pkcs8 -topk8 -v1 PBE-SHA1-3DES -in ec.pem -passout pass:secret -outform", "encrypted private key"),
    ] {
        for encoding in ["DER", "PEM"] {
            let bytes = openssl(dir.path(), &format!("{command} {encoding}"));
            let error = open(&bytes, None).unwrap_err();
            assert_eq!(error.reason(), "no_certificate", "{command} {encoding}: {error}");
            assert!(error.to_string().contains(holds), "{command} {encoding}: {error}");
        }
    }
    // A request of version 1 and a certificate of version 1 begin alike.
    let v1 = openssl(dir.path(), "x509 -in ec.crt -outform DER");
    assert_eq!(sniff(&v1), Some(Format::Der));
}

/// Holds R10: Bouncy Castle's stores by the structure that its documentation gives.
#[test]
fn a_keystore_of_another_kind_is_named() {
    let scheme = der(0x30, &[b"\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x05\x0D", &der(0x30, &[])]);
    let data = der(0x30, &[&scheme, &der(0x04, &[&[7; 300]])]);
    let mac = der(0x30, &[&scheme, &scheme, &der(0x04, &[&[7; 64]])]);
    let bks = [&b"\0\0\0\x02\0\0\0\x14"[..], &[7; 300]].concat();
    for (bytes, name) in [
        (der(0x30, &[&data, &mac]), "BCFKS"),
        (bks, "BKS"),
        (b"\0\0\0\0CERT\x01\0\0\0".to_vec(), "SST"),
        (der(0x30, &[b"\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x06", &der(0xA0, &[&der(0x30, &[])])]), "PKCS#7"),
        (b"<!DOCTYPE html><title>404</title>".to_vec(), "HTML"),
        (b"ssh-ed25519 AAAA".to_vec(), "OpenSSH"),
        (block("OPENSSH PRIVATE KEY", b"openssh-key-v1\0").into_bytes(), "OpenSSH"),
    ] {
        let error = open(&bytes, None).unwrap_err();
        assert_eq!(error.reason(), "unsupported_format", "{name}");
        assert!(error.to_string().contains(name) && !error.to_string().contains("damaged"), "{error}");
    }
}

/// Holds R10: some tools write a PKCS#7 under the label of a certificate, and Java's keytool under another one.
#[test]
fn a_block_is_read_for_what_it_holds_whatever_its_label_says() {
    let dir = workplace();
    let bag = openssl(dir.path(), "crl2pkcs7 -nocrl -certfile leaf.pem -certfile ca.pem -outform DER");
    let both = [&pki().leaf.certificate, &pki().ca];
    for label in ["CERTIFICATE", "PKCS7", "PKCS #7 SIGNED DATA", "CMS", "SOMETHING ELSE"] {
        let text = block(label, &bag);
        let store = open(text.as_bytes(), None).unwrap_or_else(|error| panic!("{label}: {error}"));
        assert_eq!(store.certificates().collect::<Vec<_>>(), both, "{label}");
        let format = if label == "SOMETHING ELSE" { Format::Pem } else { Format::Pkcs7 };
        assert_eq!(store.format, format, "{label}");
    }
    let text = block("PKCS7", pki().ca.der());
    assert_eq!(open(text.as_bytes(), None).unwrap().certificates().collect::<Vec<_>>(), [&pki().ca]);
    // OpenSSL counts what a block holds, not what surrounds it.
    let limits = Limits { max_entries: 1, ..Limits::default() };
    assert!(matches!(read(block("CERTIFICATE", &bag).as_bytes(), None, &limits), Err(ReadError::TooLarge { .. })));
}
