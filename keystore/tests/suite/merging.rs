//! What we merged, Java opens; and what was there before is there still.

use crate::{
    java::{check, check_with, keytool, made, stores},
    pki::{Key, pki},
    reading::open,
};
use jiff::Timestamp;
use kagiban_keystore::{
    Certificate, EntryKind, Format, KeyMaterial, Limits, Merge, MergeError, Merged, OnUnreadable, Pkcs12Profile,
    ReadError, Trusted, TrustedPlace, diff, merge, open_key,
};
use secrecy::SecretString;
use zeroize::Zeroizing;

const NEW: &str = "new-password";
const FORMATS: [(&str, &str); 3] = [("jks", "JKS"), ("jceks", "JCEKS"), ("pkcs12", "PKCS12")];

/// A merge of the renewed leaf under `securekey`, the password unchanged; tests change what they are about.
pub(crate) struct Order<'a> {
    pub(crate) old: Option<&'a [u8]>,
    pub(crate) old_passwords: &'a [&'a str],
    pub(crate) new_password: Option<&'a str>,
    pub(crate) alias: &'a str,
    pub(crate) key: KeyMaterial,
    pub(crate) format: Option<Format>,
    pub(crate) profile: Option<Pkcs12Profile>,
    pub(crate) on_unreadable: OnUnreadable,
    pub(crate) trusted: Option<Trusted<'a>>,
}

impl<'a> Order<'a> {
    pub(crate) fn into(old: &'a [u8]) -> Self {
        Self { old: Some(old), ..Self::anew() }
    }

    fn anew() -> Self {
        Self {
            old: None,
            old_passwords: &[],
            new_password: Some("changeit"),
            alias: "securekey",
            key: pki().material(&pki().renewed),
            format: None,
            profile: None,
            on_unreadable: OnUnreadable::Refuse,
            trusted: None,
        }
    }

    pub(crate) fn run(&self) -> Result<Merged, MergeError> {
        let old_passwords: Vec<SecretString> = self.old_passwords.iter().map(|one| (*one).into()).collect();
        let new_password = self.new_password.map(SecretString::from);
        let order = Merge {
            old: self.old,
            old_passwords: &old_passwords,
            new_password: new_password.as_ref(),
            alias: self.alias,
            key: &self.key,
            trusted: self.trusted,
            format: self.format,
            profile: self.profile,
            on_unreadable: self.on_unreadable,
            now: Timestamp::from_second(1_800_000_000).unwrap(),
        };
        merge(&order, &Limits::default())
    }
}

pub(crate) fn chain(key: &Key) -> Vec<String> {
    pki().chain(key).iter().map(|one| hex::encode(one.sha256())).collect()
}

/// Java sees the renewed key and chain under `securekey`.
fn assert_java_opens(kind: &str, bytes: &[u8], password: &str) {
    let seen = check(kind, bytes, password);
    let ours = seen.get("securekey").unwrap_or_else(|| panic!("{kind}: {seen:?}"));
    assert_eq!((ours.kind.as_str(), ours.key.as_str()), ("key", "matches"), "{kind}");
    assert_eq!(ours.chain, chain(&pki().renewed), "{kind}");
}

#[test]
fn java_opens_a_new_store_of_every_format_and_profile() {
    for (format, kind) in [(Format::Jks, "JKS"), (Format::Jceks, "JCEKS"), (Format::Pkcs12, "PKCS12")] {
        let merged = Order { format: Some(format), ..Order::anew() }.run().unwrap();
        assert_java_opens(kind, &merged.bytes, "changeit");
    }
    for profile in [Pkcs12Profile::Legacy, Pkcs12Profile::Modern] {
        let merged = Order { profile: Some(profile), ..Order::anew() }.run().unwrap();
        assert_eq!(open(&merged.bytes, Some("changeit")).unwrap().profile, Some(profile));
        assert_java_opens("PKCS12", &merged.bytes, "changeit");
    }
}

#[test]
fn java_opens_what_was_merged_and_finds_every_other_entry_as_it_was() {
    for (name, kind) in FORMATS {
        let old = made(name);
        let merged = Order::into(&old).run().unwrap();
        let (mut before, mut after) = (check(kind, &old, "changeit"), check(kind, &merged.bytes, "changeit"));
        assert_eq!(before.remove("securekey").unwrap().chain, chain(&pki().leaf));
        assert_eq!(after.remove("securekey").unwrap().chain, chain(&pki().renewed));
        assert_eq!(before, after, "{name}");
        assert_eq!(after["other"].key, "matches", "{name}");
        assert_java_opens(kind, &merged.bytes, "changeit");
    }
}

/// As the handbook of PowerChute ends: the CA's certificate as `root`, beside the key.
#[test]
fn java_trusts_what_is_to_be_trusted_besides_and_finds_every_other_entry_as_it_was() {
    let root = Trusted { alias: "root", certificate: &pki().root };
    for (name, kind) in FORMATS {
        let old = made(name);
        let merged = Order { trusted: Some(root), ..Order::into(&old) }.run().unwrap();
        assert_eq!(merged.trusted, Some(TrustedPlace::Put { alias: "root".to_owned() }), "{name}");
        let (mut before, mut after) = (check(kind, &old, "changeit"), check(kind, &merged.bytes, "changeit"));
        let put = after.remove("root").unwrap_or_else(|| panic!("{name}: {after:?}"));
        assert_eq!((put.kind.as_str(), put.chain), ("trusted", vec![hex::encode(pki().root.sha256())]), "{name}");
        assert_eq!(after.remove("securekey").unwrap().chain, chain(&pki().renewed), "{name}");
        before.remove("securekey").unwrap();
        assert_eq!(before, after, "{name}");

        // The next rotation finds it there.
        let again = Order { trusted: Some(root), ..Order::into(&merged.bytes) }.run().unwrap();
        assert_eq!(again.trusted, Some(TrustedPlace::There { alias: "root".to_owned() }), "{name}");
        assert!(again.diff.is_empty(), "{name}: {:?}", again.diff);
        assert_java_opens(kind, &again.bytes, "changeit");
        assert_eq!(check(kind, &again.bytes, "changeit").len(), after.len() + 2, "{name}");
    }
    for format in [Format::Jks, Format::Jceks, Format::Pkcs12] {
        let anew = Order { trusted: Some(root), format: Some(format), ..Order::anew() }.run().unwrap();
        let store = open(&anew.bytes, Some("changeit")).unwrap();
        assert!(
            store.entries.iter().any(|entry| entry.kind == EntryKind::Trusted && entry.alias == "root"),
            "{format}"
        );
        let other = if format == Format::Pkcs12 { Format::Jks } else { Format::Pkcs12 };
        let order = Order { trusted: Some(root), format: Some(other), ..Order::into(&anew.bytes) };
        assert_eq!(order.run().unwrap().trusted, Some(TrustedPlace::There { alias: "root".to_owned() }), "{format}");
    }
}

/// Holds rule 2: no trusted entry gives way, and no key.
#[test]
fn what_another_entry_is_called_stays_its_own_and_ours_goes_beside_it() {
    let (extra, root) = (&pki().extra, &pki().root);
    let beside = format!("root-{}", &hex::encode(root.sha256())[..8]);
    for format in [Format::Jks, Format::Jceks, Format::Pkcs12] {
        let theirs = Trusted { alias: "ROOT", certificate: extra };
        let old = Order { trusted: Some(theirs), format: Some(format), ..Order::anew() }.run().unwrap().bytes;
        let merged = Order { trusted: Some(Trusted { alias: "root", certificate: root }), ..Order::into(&old) };
        let merged = merged.run().unwrap();
        assert_eq!(merged.trusted, Some(TrustedPlace::Put { alias: beside.clone() }), "{format}");
        let store = open(&merged.bytes, Some("changeit")).unwrap();
        for (alias, certificate) in [("root", extra), (beside.as_str(), root)] {
            let found = store.entries.iter().find(|entry| entry.alias.eq_ignore_ascii_case(alias));
            assert_eq!(found.and_then(|entry| entry.leaf()), Some(certificate), "{format}, {alias}");
        }
        assert!(!merged.diff.drops_trusted() && merged.diff.changed.is_empty(), "{:?}", merged.diff);
        // A key is called as the certificate should be.
        let order = Order { alias: "root", format: Some(format), ..Order::anew() };
        let old = order.run().unwrap().bytes;
        let merged = Order { trusted: Some(Trusted { alias: "root", certificate: root }), ..Order::into(&old) };
        let merged = Order { alias: "securekey", ..merged }.run().unwrap();
        assert_eq!(merged.trusted, Some(TrustedPlace::Put { alias: beside.clone() }), "{format}");
        assert!(open(&merged.bytes, Some("changeit")).unwrap().key("root").is_some(), "{format}");
    }
    let pem = Order {
        trusted: Some(Trusted { alias: "root", certificate: root }),
        format: Some(Format::Pem),
        ..Order::anew()
    };
    assert_eq!(pem.run().unwrap().trusted, None, "it has no entries that are trusted by being there");
}

#[test]
fn a_new_password_opens_the_store_and_our_key() {
    for (name, kind) in FORMATS {
        let old = made(name);
        let order = Order { new_password: Some(NEW), old_passwords: &["changeit"], ..Order::into(&old) };
        let merged = order.run().unwrap();
        assert_java_opens(kind, &merged.bytes, NEW);
        let seen = check(kind, &merged.bytes, NEW);
        assert_eq!(seen.len(), check(kind, &old, "changeit").len(), "{name}");
        // JKS keys are sealed one by one and not ours to open; those of a PKCS#12 follow the store's password.
        let other = if name == "pkcs12" { "matches" } else { "sealed" };
        assert_eq!(seen["other"].key, other, "{name}");
        assert_eq!(
            check_with(kind, &merged.bytes, NEW, if name == "pkcs12" { NEW } else { "changeit" })["other"].key,
            "matches"
        );
    }
}

#[test]
fn the_secret_of_a_pkcs12_follows_a_new_password() {
    let old = made("pkcs12");
    let order = Order { new_password: Some(NEW), old_passwords: &["no", "changeit"], ..Order::into(&old) };
    assert_eq!(check("PKCS12", &order.run().unwrap().bytes, NEW)["aes"].key, "secret");
}

#[test]
fn a_jks_that_no_known_password_opens_keeps_its_entries_under_the_new_one() {
    for (name, kind) in &FORMATS[..2] {
        let old = made(name);
        let merged = Order { new_password: Some(NEW), ..Order::into(&old) }.run().unwrap();
        assert_java_opens(kind, &merged.bytes, NEW);
        assert_eq!(check_with(kind, &merged.bytes, NEW, "changeit")["other"].key, "matches", "{name}");
        assert_eq!(merged.diff.changed.len(), 1);
        assert!(merged.diff.added.is_empty() && merged.diff.removed.is_empty() && !merged.diff.drops_trusted());
    }
}

#[test]
fn other_entries_of_a_jks_are_kept_byte_for_byte() {
    for name in ["jks", "jceks", "jks-unicode", "jks-keypass"] {
        let old = made(name);
        let merged = Order { new_password: Some(NEW), ..Order::into(&old) }.run().unwrap();
        // What differs is one entry in one piece, and no alias of another entry lies in it.
        let (old, new) = (&old[12..old.len() - 20], &merged.bytes[12..merged.bytes.len() - 20]);
        let prefix = old.iter().zip(new).take_while(|(a, b)| a == b).count();
        let suffix = old[prefix..].iter().rev().zip(new[prefix..].iter().rev()).take_while(|(a, b)| a == b).count();
        let differs = String::from_utf8_lossy(&old[prefix..old.len() - suffix]);
        // With its length before it: three letters alone stand in a new key by chance.
        assert!(!["\0\u{5}other", "\0\u{3}aes", "schl"].iter().any(|alias| differs.contains(alias)), "{name}");
        assert!(String::from_utf8_lossy(old).contains("\0\u{5}other"), "{name}");
        assert!(prefix + suffix > 1_000, "{name}: the other entries are there");
    }
}

#[test]
fn a_pkcs12_that_cannot_be_opened_is_left_alone_unless_it_may_be_replaced() {
    let old = made("pkcs12");
    let refused = Order { new_password: Some(NEW), ..Order::into(&old) };
    let error = refused.run().unwrap_err();
    assert_eq!((error.reason(), error), ("store_unreadable", MergeError::StoreUnreadable(ReadError::BadPassword)));
    let replaced = Order { on_unreadable: OnUnreadable::Replace, ..refused }.run().unwrap();
    assert_eq!(check("PKCS12", &replaced.bytes, NEW).len(), 1);
    assert_java_opens("PKCS12", &replaced.bytes, NEW);
}

#[test]
fn a_damaged_store_is_left_alone_unless_it_may_be_replaced() {
    for (name, kind) in FORMATS {
        let whole = made(name);
        let old = &whole[..whole.len() / 2];
        let error = Order::into(old).run().unwrap_err();
        assert_eq!(error.reason(), "store_unreadable", "{name}");
        let replaced = Order { on_unreadable: OnUnreadable::Replace, ..Order::into(old) }.run().unwrap();
        assert_java_opens(kind, &replaced.bytes, "changeit");
    }
}

#[test]
fn the_profile_that_is_found_is_kept_and_another_can_be_asked_for() {
    for (name, found) in [("pkcs12", Pkcs12Profile::Modern), ("pkcs12-legacy", Pkcs12Profile::Legacy)] {
        let old = made(name);
        for asked in [None, Some(Pkcs12Profile::Legacy), Some(Pkcs12Profile::Modern)] {
            let merged = Order { profile: asked, ..Order::into(&old) }.run().unwrap();
            let written = open(&merged.bytes, Some("changeit")).unwrap().profile;
            assert_eq!(written, Some(asked.unwrap_or(found)), "{name}");
            assert_java_opens("PKCS12", &merged.bytes, "changeit");
            assert_eq!(check("PKCS12", &merged.bytes, "changeit")["other"].key, "matches");
        }
    }
}

#[test]
fn a_pkcs12_without_mac_stays_one_and_java_still_opens_it() {
    for name in ["pkcs12-macless", "pkcs12-hidden-macless"] {
        let old = made(name);
        let merged = Order::into(&old).run().unwrap();
        assert_java_opens("PKCS12", &merged.bytes, "changeit");
        let seen = check("PKCS12", &merged.bytes, "changeit");
        assert_eq!((seen.len(), seen["other"].key.as_str(), seen["extra"].kind.as_str()), (3, "matches", "trusted"));
        assert_eq!(open(&merged.bytes, None).is_ok(), name == "pkcs12-macless");
    }
}

#[test]
fn an_alias_in_another_case_is_replaced_in_place_and_gets_no_twin() {
    for (name, kind) in FORMATS {
        let old = made(name);
        let merged = Order { alias: "SecureKey", ..Order::into(&old) }.run().unwrap();
        assert_java_opens(kind, &merged.bytes, "changeit");
        assert_eq!(check(kind, &merged.bytes, "changeit").len(), check(kind, &old, "changeit").len(), "{name}");
    }
}

#[test]
fn a_new_alias_is_added_and_nothing_removed() {
    for (name, kind) in FORMATS {
        let old = made(name);
        let merged = Order { alias: "Fresh-鍵", ..Order::into(&old) }.run().unwrap();
        assert_eq!(
            (merged.diff.added.len(), merged.diff.removed.len(), merged.diff.changed.len()),
            (1, 0, 0),
            "{name}"
        );
        let (before, mut after) = (check(kind, &old, "changeit"), check(kind, &merged.bytes, "changeit"));
        let ours = after.remove("fresh-鍵").unwrap_or_else(|| panic!("{name}: {after:?}"));
        assert_eq!((ours.key.as_str(), before), ("matches", after));
    }
}

#[test]
fn merging_again_and_again_does_not_let_the_store_grow() {
    for (name, _) in FORMATS {
        let first = Order::into(&made(name)).run().unwrap().bytes;
        let mut again = first.clone();
        for _ in 0..3 {
            again = Order::into(&again).run().unwrap().bytes;
        }
        assert!(again.len().abs_diff(first.len()) < 32, "{name}: {} then {}", first.len(), again.len());
    }
}

#[test]
fn a_key_never_takes_the_place_of_a_trusted_entry_or_a_secret() {
    for (name, _) in FORMATS {
        for alias in ["SCHLÜSSEL-鍵", "aes"] {
            if (name, alias) == ("jks", "aes") {
                continue;
            }
            let error = Order { alias, ..Order::into(&made(name)) }.run().unwrap_err();
            assert_eq!(error.reason(), "would_lose_entry", "{name} {alias}");
        }
    }
}

#[test]
fn a_chain_that_would_change_anothers_is_refused() {
    // An intermediate with the name of the one in the other key's chain, but another key: Java finds issuers by name alone.
    let ca_key = crate::pki::ec_key();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "Test CA");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = crate::pki::parsed(&params.self_signed(&ca_key).unwrap());
    let key = crate::pki::ec_key();
    let issuer = rcgen::Issuer::new(params, ca_key);
    let leaf = crate::pki::parsed(&crate::pki::leaf_params("ups-01.example.com").signed_by(&key, &issuer).unwrap());
    let material = || KeyMaterial { pkcs8: Zeroizing::new(key.serialize_der()), chain: vec![leaf.clone(), ca.clone()] };

    let error = Order { key: material(), ..Order::into(&made("pkcs12")) }.run().unwrap_err();
    assert!(matches!(error, MergeError::WouldLoseEntry { alias, .. } if alias == "other"));
    // JKS writes the chain beside each key, so there is nothing to mix up.
    let merged = Order { key: material(), ..Order::into(&made("jks")) }.run().unwrap();
    assert_eq!(check("JKS", &merged.bytes, "changeit")["other"].chain, chain(&pki().other));
}

#[test]
fn a_key_that_is_not_the_leafs_is_refused() {
    let key = KeyMaterial { pkcs8: Zeroizing::new(pki().leaf.pkcs8.clone()), chain: pki().chain(&pki().renewed) };
    assert_eq!(Order { key, ..Order::anew() }.run().unwrap_err(), MergeError::BadKey(ReadError::KeyMismatch));
    let key = KeyMaterial { pkcs8: Zeroizing::new(pki().leaf.pkcs8.clone()), chain: Vec::new() };
    assert_eq!(Order { key, ..Order::anew() }.run().unwrap_err(), MergeError::BadKey(ReadError::NoCertificate));
}

#[test]
fn passwords_that_java_would_refuse_are_refused() {
    for format in [Format::Jks, Format::Jceks, Format::Pkcs12] {
        let reason = |new_password| {
            Order { format: Some(format), new_password, ..Order::anew() }.run().map_err(|error| error.reason())
        };
        assert_eq!(reason(Some("five5")).unwrap_err(), "password_too_short");
        assert_eq!(reason(None).unwrap_err(), "password_needed");
        match format {
            Format::Jks => assert_java_opens("JKS", &reason(Some("pässwörd")).unwrap().bytes, "pässwörd"),
            _ => assert_eq!(reason(Some("pässwörd")).unwrap_err(), "password_not_ascii"),
        }
    }
}

#[test]
fn der_and_pkcs7_hold_no_key() {
    for format in [Format::Der, Format::Pkcs7] {
        let error = Order { format: Some(format), ..Order::anew() }.run().unwrap_err();
        assert_eq!(error.reason(), "unsupported_format");
    }
}

#[test]
fn a_store_is_turned_into_another_format_with_all_its_entries_or_not_at_all() {
    let formats = [(Format::Jks, "JKS"), (Format::Jceks, "JCEKS"), (Format::Pkcs12, "PKCS12")];
    for from in ["jks", "pkcs12-legacy"] {
        let old = made(from);
        for (format, kind) in formats {
            let merged = Order { format: Some(format), ..Order::into(&old) }.run().unwrap();
            let seen = check(kind, &merged.bytes, "changeit");
            assert_eq!((seen.len(), seen["other"].key.as_str()), (3, "matches"), "{from} to {kind}: {seen:?}");
            assert_eq!(seen.values().filter(|entry| entry.kind == "trusted").count(), 1);
            assert_java_opens(kind, &merged.bytes, "changeit");
        }
    }
    let into_pkcs12 =
        |old: &[u8]| Order { format: Some(Format::Pkcs12), ..Order::into(old) }.run().unwrap_err().reason();
    assert_eq!(into_pkcs12(&made("jceks")), "would_lose_entry", "a secret");
    assert_eq!(into_pkcs12(&made("jks-keypass")), "would_lose_entry", "a key with a password of its own");
}

#[test]
fn keytool_lists_what_we_merged_and_we_read_what_keytool_made() {
    let path = stores().join("by-keytool");
    let path = path.to_str().unwrap();
    for kind in ["JKS", "JCEKS", "PKCS12"] {
        let _ = std::fs::remove_file(path);
        let store = ["-keystore", path, "-storetype", kind, "-storepass", "changeit"];
        let generate =
            ["-genkeypair", "-alias", "securekey", "-keyalg", "RSA", "-keysize", "2048", "-dname", "CN=a, O=b"];
        let key_password: &[&str] = if kind == "PKCS12" { &[] } else { &["-keypass", "changeit"] };
        keytool(&[&generate[..], &store, key_password].concat());
        let old = std::fs::read(path).unwrap();
        let before = open(&old, Some("changeit")).unwrap();
        assert_eq!((before.entries.len(), before.entries[0].kind), (1, EntryKind::Key));
        assert_eq!(before.entries[0].chain[0].subject(), "CN=a,O=b");

        std::fs::write(path, &*Order::into(&old).run().unwrap().bytes).unwrap();
        let listed = keytool(&[&["-list", "-v"], &store[..]].concat()).join("\n");
        assert!(listed.contains("securekey") && listed.contains("PrivateKeyEntry"), "{kind}: {listed}");
        assert!(listed.contains("Certificate chain length: 3"), "{kind}: {listed}");
        assert!(listed.contains("Jan 15"), "the creation date is the merge's: {listed}");
    }
}

#[test]
fn a_combined_pem_gets_the_new_key_and_chain_and_keeps_the_rest_of_its_text() {
    let pki = pki();
    let block = |label: &str, der: &[u8]| {
        use base64::Engine as _;
        let body = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    };
    let certificate = |one: &Certificate| block("CERTIFICATE", one.der());
    let old = [
        "# the console's CA, keep\n".to_owned(),
        certificate(&pki.extra),
        "# our leaf\n".to_owned(),
        certificate(&pki.leaf.certificate),
        certificate(&pki.ca),
        block("PRIVATE KEY", &pki.leaf.pkcs8),
        block("DH PARAMETERS", b"whatever"),
        "the end".to_owned(),
    ]
    .concat();
    let mut key = pki.material(&pki.renewed);
    key.chain.truncate(2);
    let merged = Order { new_password: None, key, ..Order::into(old.as_bytes()) }.run().unwrap();
    let text = String::from_utf8(merged.bytes.to_vec()).unwrap();
    assert!(text.starts_with("# the console's CA, keep\n") && text.ends_with("the end"));
    assert_eq!(text.matches("PRIVATE KEY").count(), 2, "one block");
    assert!(text.contains("DH PARAMETERS") && text.find("# our leaf") < text.find("PRIVATE KEY"));
    let leaves: Vec<_> =
        open(text.as_bytes(), None).unwrap().entries.into_iter().map(|entry| entry.chain[0].clone()).collect();
    assert_eq!(leaves, [pki.extra.clone(), pki.renewed.certificate.clone(), pki.ca.clone()]);
    assert_eq!(open_key(text.as_bytes(), None, "", &Limits::default()), Ok(pki.renewed.certificate.clone()));

    let sealed = Order { new_password: Some("changeit"), ..Order::into(text.as_bytes()) }.run().unwrap();
    assert_eq!(open_key(&sealed.bytes, None, "", &Limits::default()), Err(ReadError::PasswordNeeded));
    assert_eq!(
        open_key(&sealed.bytes, Some(&"changeit".into()), "", &Limits::default()),
        Ok(pki.renewed.certificate.clone())
    );
}

#[test]
fn nothing_secret_is_printed() {
    let key = pki().material(&pki().renewed);
    let order = Order { new_password: Some("canary-password"), ..Order::anew() };
    let merged = order.run().unwrap();
    let printed = format!("{key:?} {merged:?} {:?}", open(&merged.bytes, Some("canary-password")));
    assert!(!printed.contains("canary") && !printed.contains(&format!("{:?}", &key.pkcs8[..8])[1..20]), "{printed}");
}

/// A PKCS#12 with nothing encrypted, of our renewed key, with more bags in its clear safe.
fn with_bags(bags: &[&[u8]]) -> Vec<u8> {
    let der = |tag: u8, parts: &[&[u8]]| {
        let value = parts.concat();
        [&[tag, 0x83], &u32::try_from(value.len()).unwrap().to_be_bytes()[1..], &value].concat()
    };
    let data = |content: &[u8]| {
        let octets = der(0xA0, &[&der(0x04, &[content])]);
        der(0x30, &[b"\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x01", &octets])
    };
    let safe = data(&der(0x30, bags));
    der(0x30, &[b"\x02\x01\x03", &data(&der(0x30, &[&safe]))])
}

/// A bag of the given PKCS#12 type with that content.
fn bag(kind: u8, content: &[u8]) -> Vec<u8> {
    let id = [b"\x06\x0B\x2A\x86\x48\x86\xF7\x0D\x01\x0C\x0A\x01", &[kind][..]].concat();
    let value = [&[0xA0, u8::try_from(content.len()).unwrap()], content].concat();
    [&[0x30, u8::try_from(id.len() + value.len()).unwrap()], &id[..], &value].concat()
}

#[test]
fn bags_that_are_not_understood_are_kept_byte_for_byte() {
    let crl = bag(4, b"\x30\x03\x02\x01\x07");
    let nested = bag(6, &[&[0x30, u8::try_from(crl.len()).unwrap()], &crl[..]].concat());
    let unknown = bag(99, b"\x04\x05hello");
    let old = with_bags(&[&crl, &unknown, &nested]);
    let merged = Order::into(&old).run().unwrap();
    for bag in [crl, nested, unknown] {
        assert!(merged.bytes.windows(bag.len()).any(|window| window == bag));
    }
    assert_java_opens("PKCS12", &merged.bytes, "changeit");
}

#[test]
fn a_secret_of_an_unknown_kind_forbids_a_change_of_the_password() {
    let secret = bag(5, b"\x30\x0A\x06\x03\x2A\x03\x04\xA0\x03\x04\x01x");
    let error = Order::into(&with_bags(&[&secret])).run().unwrap_err();
    assert_eq!(error.reason(), "would_lose_entry");
}

/// Holds R8: nobody would open what lies in it any more.
#[test]
fn a_safe_with_a_key_in_it_forbids_a_change_of_the_password() {
    let key = bag(2, b"\x30\x05\x04\x03abc");
    let nested = |inside: &[u8]| bag(6, &[&[0x30, u8::try_from(inside.len()).unwrap()], inside].concat());
    for inside in [nested(&key), nested(&nested(&key))] {
        let error = Order::into(&with_bags(&[&inside])).run().unwrap_err();
        assert_eq!(error.reason(), "would_lose_entry");
        assert!(error.to_string().contains("a safe with keys or secrets in it"), "{error}");
    }
    assert!(Order::into(&with_bags(&[&nested(&bag(4, b"\x30\x03\x02\x01\x07"))])).run().is_ok());
}

#[test]
fn version_1_of_jks_is_read_and_stays_version_1() {
    let old = [&b"\xFE\xED\xFE\xED\0\0\0\x01\0\0\0\x01\0\0\0\x02\0\x05extra\0\0\0\0\0\0\0\0"[..], &{
        let der = pki().extra.der();
        [&u32::try_from(der.len()).unwrap().to_be_bytes(), der].concat()
    }]
    .concat();
    let old = [old, vec![0; 20]].concat();
    assert_eq!(open(&old, None).unwrap().entries[0].chain, std::slice::from_ref(&pki().extra));
    let merged = Order::into(&old).run().unwrap();
    assert_eq!(merged.bytes[4..8], [0, 0, 0, 1]);
    assert_java_opens("JKS", &merged.bytes, "changeit");
    assert_eq!(check("JKS", &merged.bytes, "changeit")["extra"].kind, "trusted");
}

#[test]
fn the_diff_tells_what_changed_and_whether_trust_was_dropped() {
    let (old, trust) = (open(&made("jks"), None).unwrap(), open(&made("jks-trust"), None).unwrap());
    let unchanged = diff(&old, &open(&made("jks"), None).unwrap());
    assert!(unchanged.is_empty() && !unchanged.drops_trusted() && unchanged.format.is_none());
    let rotated = Order::into(&made("jks")).run().unwrap().diff;
    let [change] = &rotated.changed[..] else { panic!("{rotated:?}") };
    assert_eq!(change.before.leaf_sha256, Some(pki().leaf.certificate.sha256()));
    assert_eq!(change.after.spki_sha256, Some(pki().renewed.certificate.spki_sha256()));
    let replaced = diff(&old, &trust);
    assert_eq!((replaced.added.len(), replaced.removed.len()), (2, 3));
    assert!(replaced.drops_trusted() && !diff(&trust, &old).is_empty());
    assert!(diff(&trust, &trust.clone()).is_empty());
}

#[test]
fn an_intermediate_that_another_chain_needs_stays_when_ours_no_longer_does() {
    let key = crate::pki::ec_key();
    let leaf = crate::pki::parsed(&crate::pki::leaf_params("ups-01.example.com").self_signed(&key).unwrap());
    let key = KeyMaterial { pkcs8: Zeroizing::new(key.serialize_der()), chain: vec![leaf.clone()] };
    let merged = Order { key, ..Order::into(&made("pkcs12")) }.run().unwrap();
    let seen = check("PKCS12", &merged.bytes, "changeit");
    assert_eq!(seen["other"].chain, chain(&pki().other));
    assert_eq!(seen["securekey"].chain, [hex::encode(leaf.sha256())]);
}

#[test]
fn an_old_intermediate_that_is_trusted_does_not_slip_into_a_new_chain_of_the_same_name() {
    // The store trusts the old CA; the new one has the same name and another key.
    let authority = || {
        let key = crate::pki::ec_key();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "Renewed CA");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        (crate::pki::parsed(&params.self_signed(&key).unwrap()), rcgen::Issuer::new(params, key))
    };
    let under = |(ca, issuer): &(Certificate, rcgen::Issuer<'_, rcgen::KeyPair>)| {
        let key = crate::pki::ec_key();
        let leaf = crate::pki::parsed(&crate::pki::leaf_params("ups-01.example.com").signed_by(&key, issuer).unwrap());
        KeyMaterial { pkcs8: Zeroizing::new(key.serialize_der()), chain: vec![leaf, ca.clone()] }
    };
    let (old_ca, new_ca) = (authority(), authority());
    let path = stores().join("same-name");
    let der = stores().join("same-name.der");
    std::fs::write(&der, old_ca.0.der()).unwrap();
    std::fs::write(&path, &*Order { key: under(&old_ca), ..Order::anew() }.run().unwrap().bytes).unwrap();
    let (path, der) = (path.to_str().unwrap(), der.to_str().unwrap());
    let store = ["-keystore", path, "-storetype", "PKCS12", "-storepass", "changeit", "-noprompt"];
    keytool(&[&["-importcert", "-alias", "console", "-file", der], &store[..]].concat());

    let old = std::fs::read(path).unwrap();
    let renewed = Order { key: under(&new_ca), ..Order::into(&old) }.run().unwrap();
    let seen = check("PKCS12", &renewed.bytes, "changeit");
    assert_eq!(seen["securekey"].chain[1], hex::encode(new_ca.0.sha256()));
    assert_eq!(
        (seen["console"].kind.as_str(), &seen["console"].chain[0]),
        ("trusted", &hex::encode(old_ca.0.sha256()))
    );
}
