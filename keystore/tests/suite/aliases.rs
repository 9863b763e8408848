//! An alias stands for the entry that Java loads under it, in stores that name their entries badly or not at all.

use crate::{
    java::{Seen, check, made, stores},
    merging::{Order, chain},
    pki::{Key, pki},
    reading::open,
};
use kagiban_keystore::{Certificate, EntryKind, Limits, ReadError, open_key};
use std::{collections::BTreeMap, process::Command};

/// RFC 7292: an attribute set, and what it stands beside.
#[derive(Clone, Copy, Default)]
struct Names<'a> {
    friendly_name: Option<&'a str>,
    local_key_id: Option<&'a [u8]>,
}

const NAMELESS: Names<'static> = Names { friendly_name: None, local_key_id: None };

fn named(name: &str) -> Names<'_> {
    Names { friendly_name: Some(name), local_key_id: None }
}

fn with_id(local_key_id: &[u8]) -> Names<'_> {
    Names { friendly_name: None, local_key_id: Some(local_key_id) }
}

fn named_with_id<'a>(name: &'a str, local_key_id: &'a [u8]) -> Names<'a> {
    Names { friendly_name: Some(name), local_key_id: Some(local_key_id) }
}

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let value = parts.concat();
    // Java takes the shortest form only.
    let digits = u32::try_from(value.len()).unwrap().to_be_bytes();
    let digits = &digits[digits.iter().take_while(|digit| **digit == 0).count().min(3)..];
    let length = match digits {
        [short] if *short < 0x80 => vec![*short],
        digits => [&[0x80 | u8::try_from(digits.len()).unwrap()], digits].concat(),
    };
    [&[tag], &length[..], &value].concat()
}

fn pkcs(arcs: &[u8]) -> Vec<u8> {
    der(6, &[&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01], arcs])
}

fn bag(kind: u8, value: &[u8], names: Names<'_>, is_trusted: bool) -> Vec<u8> {
    let attribute = |id: Vec<u8>, value: Vec<u8>| der(0x30, &[&id, &der(0x31, &[&value])]);
    let mut attributes = Vec::new();
    if let Some(name) = names.friendly_name {
        let utf16: Vec<u8> = name.encode_utf16().flat_map(u16::to_be_bytes).collect();
        attributes.push(attribute(pkcs(&[9, 20]), der(0x1E, &[&utf16])));
    }
    if let Some(id) = names.local_key_id {
        attributes.push(attribute(pkcs(&[9, 21]), der(4, &[id])));
    }
    if is_trusted {
        let id = der(6, &[&[0x60, 0x86, 0x48, 0x01, 0x86, 0xF9, 0x66, 0xAD, 0xCA, 0x7B, 0x01, 0x01]]);
        attributes.push(attribute(id, der(6, &[&[0x55, 0x1D, 0x25, 0x00]])));
    }
    attributes.sort();
    let attributes = if attributes.is_empty() { Vec::new() } else { der(0x31, &[&attributes.concat()]) };
    der(0x30, &[&pkcs(&[12, 10, 1, kind]), &der(0xA0, &[value]), &attributes])
}

/// A key sealed by openssl under `changeit`.
fn key(of: &str, names: Names<'_>) -> Vec<u8> {
    bag(2, &sealed(of), names, false)
}

fn sealed(of: &str) -> Vec<u8> {
    let done = Command::new("openssl")
        .args([
            "pkcs8",
            "-topk8",
            "-inform",
            "DER",
            "-outform",
            "DER",
            "-v2",
            "aes-256-cbc",
            "-passout",
            "pass:changeit",
        ])
        .args(["-in", &format!("{of}.p8")])
        .current_dir(stores())
        .output()
        .expect("these tests need openssl 3 on PATH: install openssl");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

fn certificate(certificate: &Certificate, names: Names<'_>) -> Vec<u8> {
    bag(3, &certificate_value(certificate), names, false)
}

fn trusted(certificate: &Certificate, names: Names<'_>) -> Vec<u8> {
    bag(3, &certificate_value(certificate), names, true)
}

fn certificate_value(certificate: &Certificate) -> Vec<u8> {
    let octets = der(4, &[certificate.der()]);
    der(0x30, &[&pkcs(&[9, 22, 1]), &der(0xA0, &[&octets])])
}

/// A PKCS#12 of these safes, each in the clear, without a MAC.
fn pkcs12(safes: &[&[Vec<u8>]]) -> Vec<u8> {
    let data = |content: &[u8]| der(0x30, &[&pkcs(&[7, 1]), &der(0xA0, &[&der(4, &[content])])]);
    let safes: Vec<u8> = safes.iter().flat_map(|bags| data(&der(0x30, &[&bags.concat()]))).collect();
    der(0x30, &[b"\x02\x01\x03", &data(&der(0x30, &[&safes]))])
}

fn java(store: &[u8]) -> BTreeMap<String, Seen> {
    check("PKCS12", store, "changeit")
}

/// Java sees the new key under `alias`, and all else as before.
fn assert_replaced(what: &str, old: &[u8], alias: &str) {
    let merged = Order { alias, ..Order::into(old) }.run().unwrap_or_else(|error| panic!("{what}: {error}"));
    let (mut before, mut after) = (java(old), java(&merged.bytes));
    before.remove(alias);
    let ours = after.remove(alias).unwrap_or_else(|| panic!("{what}: {after:?}"));
    assert_eq!((ours.key.as_str(), ours.chain), ("matches", chain(&pki().renewed)), "{what}");
    assert_eq!(after, before, "{what}");
}

fn assert_refused(what: &str, old: &[u8], alias: &str) {
    match (Order { alias, ..Order::into(old) }).run() {
        Ok(merged) => panic!("{what}: {:?}", merged.diff),
        Err(error) => assert_eq!(error.reason(), "would_lose_entry", "{what}: {error}"),
    }
}

struct Form {
    what: &'static str,
    store: Vec<u8>,
    /// Which aliases of keys can be given to a new one.
    replaced: &'static [&'static str],
    refused: &'static [&'static str],
}

fn forms() -> Vec<Form> {
    let pki = pki();
    let (leaf, other) = (&pki.leaf.certificate, &pki.other.certificate);
    let whole = |names: Names<'static>, of: &'static str, one: &Key| {
        let issuers = [certificate(&pki.ca, NAMELESS), certificate(&pki.root, NAMELESS)];
        [[key(of, names), certificate(&one.certificate, names)], issuers].concat()
    };
    let two = |one: Names<'static>, another: Names<'static>| {
        pkcs12(&[&whole(one, "leaf", &pki.leaf), &whole(another, "other", &pki.other)])
    };
    vec![
        Form {
            what: "one key without a name",
            store: pkcs12(&[&whole(with_id(b"a"), "leaf", &pki.leaf)]),
            replaced: &["1", "fresh"],
            refused: &[],
        },
        Form {
            what: "two keys without a name",
            store: two(with_id(b"a"), with_id(b"b")),
            replaced: &["1", "2", "3"],
            refused: &[],
        },
        Form {
            what: "two keys without a name, one without an id",
            store: two(NAMELESS, with_id(b"b")),
            replaced: &["1", "2", "fresh"],
            refused: &[],
        },
        Form {
            what: "two keys without names and ids, of which Java sees the first",
            store: two(NAMELESS, NAMELESS),
            replaced: &["1", "2"],
            refused: &[],
        },
        Form {
            what: "a key without a name and one that is called by its number",
            store: two(with_id(b"a"), named_with_id("1", b"b")),
            replaced: &["2"],
            refused: &["1"],
        },
        Form {
            what: "two keys of one name",
            store: two(named_with_id("web", b"a"), named_with_id("web", b"b")),
            replaced: &[],
            refused: &["web", "WEB"],
        },
        Form {
            what: "two keys whose names differ in case",
            store: two(named_with_id("web", b"a"), named_with_id("Web", b"b")),
            replaced: &[],
            refused: &["web", "Web"],
        },
        Form {
            what: "a key and a trusted certificate of one name",
            store: pkcs12(&[
                &whole(named_with_id("web", b"a"), "leaf", &pki.leaf),
                &[trusted(&pki.extra, named("WEB"))],
            ]),
            replaced: &["fresh"],
            refused: &["web"],
        },
        Form {
            what: "trusted certificates without a name before keys without a name",
            store: pkcs12(&[
                &[trusted(&pki.extra, NAMELESS), trusted(&pki.root, NAMELESS)],
                &whole(with_id(b"a"), "leaf", &pki.leaf),
            ]),
            replaced: &["3", "fresh"],
            refused: &["1", "2"],
        },
        Form {
            what: "a key and its certificate in another safe, without names and ids",
            store: pkcs12(&[
                &[key("leaf", NAMELESS)],
                &[certificate(leaf, NAMELESS), certificate(&pki.ca, NAMELESS), certificate(&pki.root, NAMELESS)],
            ]),
            replaced: &["1", "fresh"],
            refused: &[],
        },
        Form {
            what: "two certificates with the id of one key, of which Java takes the last",
            store: pkcs12(&[&[
                key("leaf", with_id(b"a")),
                certificate(other, with_id(b"a")),
                certificate(leaf, with_id(b"a")),
            ]]),
            replaced: &["1"],
            refused: &[],
        },
        Form {
            what: "a key that is not encrypted, which Java passes over, before one that is",
            store: pkcs12(&[&[bag(1, &pki.other.pkcs8, NAMELESS, false)], &whole(with_id(b"a"), "leaf", &pki.leaf)]),
            replaced: &["1", "fresh"],
            refused: &[],
        },
    ]
}

/// Holds R11: what Java would load is what is replaced, and everything else is as it was.
#[test]
fn java_finds_the_new_key_in_the_place_of_the_one_that_it_loaded_and_all_else_as_it_was() {
    for form in forms() {
        for alias in form.replaced {
            assert_replaced(form.what, &form.store, alias);
        }
        for alias in form.refused {
            assert_refused(form.what, &form.store, alias);
        }
    }
}

/// Holds R11.
#[test]
fn entries_are_listed_under_the_aliases_that_java_gives_them_with_the_leaf_that_java_loads() {
    for Form { what, store, .. } in forms() {
        let listed = open(&store, Some("changeit")).unwrap();
        for (alias, seen) in java(&store) {
            let entry = listed.entries.iter().rfind(|entry| entry.alias.to_lowercase() == alias);
            let entry = entry.unwrap_or_else(|| panic!("{what}: no {alias} in {:?}", listed.entries));
            let prints: Vec<_> = entry.chain.iter().map(|one| hex::encode(one.sha256())).collect();
            let kind = if entry.kind == EntryKind::Key { "key" } else { "trusted" };
            assert_eq!((kind, &prints), (seen.kind.as_str(), &seen.chain), "{what}: {alias}");
            if seen.key == "matches" {
                let leaf = open_key(&store, Some(&"changeit".into()), &alias, &Limits::default());
                assert_eq!(leaf.map(|leaf| hex::encode(leaf.sha256())).ok().as_ref(), seen.chain.first(), "{what}");
                assert_eq!(listed.key(&alias), Some(entry), "{what}");
            }
        }
    }
}

/// Holds R11: openssl writes no name unless it is told one.
#[test]
fn the_only_key_of_a_store_without_names_is_replaced_whoever_reads_it() {
    // Java passes over a key that is not encrypted; openssl takes it.
    let pki = pki();
    let unencrypted =
        pkcs12(&[&[bag(1, &pki.leaf.pkcs8, NAMELESS, false)], &[certificate(&pki.leaf.certificate, NAMELESS)]]);
    let merged = Order::into(&unencrypted).run().unwrap();
    let after = open(&merged.bytes, Some("changeit")).unwrap();
    let keys: Vec<_> = after.entries.iter().filter(|entry| entry.kind == EntryKind::Key).collect();
    assert_eq!((keys.len(), keys[0].leaf()), (1, Some(&pki.renewed.certificate)));
    assert_eq!(java(&merged.bytes)["securekey"].key, "matches");
}

/// Holds R11: a store of several rotations is no other than one of the first.
#[test]
fn a_nameless_key_can_be_replaced_again_and_again() {
    let mut store = forms().swap_remove(1).store;
    for _ in 0..3 {
        assert_replaced("again", &store, "2");
        store = Order { alias: "2", ..Order::into(&store) }.run().unwrap().bytes.to_vec();
    }
    assert_eq!(java(&store).len(), 2);
}

/// A JKS whose `from` is called `to`, with a digest that fits.
fn renamed(store: &[u8], from: &str, to: &str) -> Vec<u8> {
    let name = |name: &str| [&u16::try_from(name.len()).unwrap().to_be_bytes(), name.as_bytes()].concat();
    let (from, to) = (name(from), name(to));
    let at = store.windows(from.len()).position(|window| window == from).unwrap();
    let mut out = [&store[..at], &to, &store[at + from.len()..store.len() - 20]].concat();
    let password: Vec<u8> = "changeit".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let digested = [&password, &b"Mighty Aphrodite"[..], &out].concat();
    let sha1 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, &digested);
    out.extend_from_slice(sha1.as_ref());
    out
}

/// Holds R11: Java asks a JKS for an alias in lower case, and leaves those in the file as they are.
#[test]
fn a_jks_with_aliases_that_differ_in_case_loses_none_of_its_keys() {
    for (name, kind) in [("jks", "JKS"), ("jceks", "JCEKS")] {
        let old = renamed(&made(name), "other", "SecureKey");
        assert_eq!(open(&old, None).unwrap().key("SECUREKEY").unwrap().leaf(), Some(&pki().leaf.certificate));
        let merged = Order::into(&old).run().unwrap();
        assert_eq!(check(kind, &merged.bytes, "changeit")["securekey"].chain, chain(&pki().renewed));
        let after = open(&merged.bytes, None).unwrap();
        let kept = after.entries.iter().find(|entry| entry.alias == "SecureKey").unwrap();
        assert_eq!(kept.leaf(), Some(&pki().other.certificate));
        // Who asks for this one may mean either.
        let error = Order { alias: "SecureKey", ..Order::into(&old) }.run().unwrap_err();
        assert_eq!(error.reason(), "would_lose_entry", "{name}");
        // In a PKCS#12 only one of them could be found.
        let format = Some(kagiban_keystore::Format::Pkcs12);
        let error = Order { format, ..Order::into(&old) }.run().unwrap_err();
        assert_eq!(error.reason(), "would_lose_entry", "{name}");

        let twins = renamed(&made(name), "other", "securekey");
        let error = Order::into(&twins).run().unwrap_err();
        assert_eq!(error.reason(), "would_lose_entry", "{name}");
    }
}

/// Holds R11.
#[test]
fn an_alias_that_cannot_be_given_is_known_before_there_is_a_key_for_it() {
    let store = open(&forms().swap_remove(5).store, Some("changeit")).unwrap();
    assert_eq!(store.check_alias("web").unwrap_err().reason(), "would_lose_entry");
    assert_eq!(store.check_alias("").unwrap_err().reason(), "bad_alias");
    assert!(store.check_alias("fresh").is_ok());
    assert_eq!(open_key(&pkcs12(&[&[]]), None, "web", &Limits::default()), Err(ReadError::NoKey));
}

/// Java loads no such key, and a merge writes into no such safe: the new key would stand beside the old one.
#[test]
fn an_alias_of_a_key_in_a_safe_within_the_safe_is_refused_and_said_so() {
    let plain = std::fs::read(stores().join("other.p8")).unwrap();
    let nested = |names, depth| {
        let names_of = |at| if at == 0 { names } else { NAMELESS };
        let chain = pki().chain(&pki().other);
        let chain: Vec<_> = chain.iter().enumerate().map(|(at, one)| certificate(one, names_of(at))).collect();
        let inside = [bag(1, &plain, names, false), chain.concat()].concat();
        (0..depth).fold(inside, |inside, _| bag(6, &der(0x30, &[&inside]), NAMELESS, false))
    };
    for (names, depth) in [(named("securekey"), 1), (named("SecureKey"), 3)] {
        let old = pkcs12(&[&[nested(names, depth)]]);
        let early = open(&old, Some("changeit")).unwrap().check_alias("securekey").unwrap_err();
        assert_eq!(Order::into(&old).run().unwrap_err(), early);
        let said = early.to_string();
        assert!(said.contains("a safe within the safe") && !said.contains("report"), "{said}");
        assert_eq!(early.reason(), "would_lose_entry");
    }
    for (names, alias) in [(named("securekey"), "fresh"), (NAMELESS, "securekey")] {
        let old = pkcs12(&[&[nested(names, 1)]]);
        let merged = Order { alias, ..Order::into(&old) }.run().unwrap();
        assert_eq!(java(&merged.bytes).into_keys().collect::<Vec<_>>(), [alias]);
    }
}
