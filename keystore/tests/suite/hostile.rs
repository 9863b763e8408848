//! Damaged and hostile stores end in a classed error, soon.

use crate::{java::made, pki::pki, reading::open};
use kagiban_keystore::{Limits, PasswordCheck, ReadError, open_key, read, read_whole};
use proptest::prelude::*;
use secrecy::SecretString;
use std::time::{Duration, Instant};

/// What a refusal may cost, beyond reading the file.
const SOON: Duration = Duration::from_millis(10);

fn refused_soon(bytes: &[u8], password: Option<&str>) -> &'static str {
    // The best of three: the machine may be busy, the code may not.
    let attempts = (0..3).map(|_| {
        let start = Instant::now();
        let reason = open(bytes, password).expect_err("hostile").reason();
        (start.elapsed(), reason)
    });
    let (took, reason) = attempts.min().unwrap();
    assert!(took < SOON, "{reason} took {took:?}");
    reason
}

pub(crate) fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let value = parts.concat();
    let length = u32::try_from(value.len()).unwrap().to_be_bytes();
    [&[tag, 0x84], &length[..], &value].concat()
}

/// PKCS#12 around an `AuthenticatedSafe` and `MacData`.
pub(crate) fn pfx(safes: &[&[u8]], mac: &[u8]) -> Vec<u8> {
    const DATA: &[u8] = b"\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x01";
    let authenticated = der(0x30, safes);
    let content = der(0xA0, &[&der(0x04, &[&authenticated])]);
    der(0x30, &[b"\x02\x01\x03", &der(0x30, &[DATA, &content]), mac])
}

/// `MacData` with SHA-1.
fn mac(rounds: u32) -> Vec<u8> {
    let digest_info = der(0x30, &[b"\x30\x09\x06\x05\x2B\x0E\x03\x02\x1A\x05\x00", &der(0x04, &[&[0; 20]])]);
    der(0x30, &[&digest_info, &der(0x04, &[&[0; 8]]), &integer(rounds)])
}

fn integer(number: u32) -> Vec<u8> {
    der(0x02, &[&[0], &number.to_be_bytes()])
}

/// A safe encrypted with PBE-SHA1-3DES.
fn encrypted_safe(rounds: u32) -> Vec<u8> {
    let parameters = der(0x30, &[&der(0x04, &[&[0; 8]]), &integer(rounds)]);
    let algorithm = der(0x30, &[b"\x06\x0A\x2A\x86\x48\x86\xF7\x0D\x01\x0C\x01\x03", &parameters]);
    let info = der(0x30, &[b"\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x01", &algorithm, &der(0x80, &[&[0; 64]])]);
    let data = der(0x30, &[&integer(0), &info]);
    der(0x30, &[b"\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x06", &der(0xA0, &[&data])])
}

/// A safe that is not encrypted.
pub(crate) fn data_safe(bags: &[&[u8]]) -> Vec<u8> {
    let content = der(0xA0, &[&der(0x04, &[&der(0x30, bags)])]);
    der(0x30, &[b"\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x01", &content])
}

/// A bag of the kind that ends in `kind`, with a local key id.
pub(crate) fn bag(kind: u8, value: &[u8], id: &[u8]) -> Vec<u8> {
    let oid = [&b"\x06\x0B\x2A\x86\x48\x86\xF7\x0D\x01\x0C\x0A\x01"[..], &[kind]].concat();
    let local_key_id = b"\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x09\x15";
    let attribute = der(0x30, &[local_key_id, &der(0x31, &[&der(0x04, &[id])])]);
    let attributes = if id.is_empty() { Vec::new() } else { der(0x31, &[&attribute]) };
    der(0x30, &[&oid, &der(0xA0, &[value]), &attributes])
}

fn key_bag(id: &[u8]) -> Vec<u8> {
    bag(1, &der(0x30, &[]), id)
}

/// A key sealed with PBE-SHA1-3DES.
fn sealed_key_bag(rounds: u32) -> Vec<u8> {
    let parameters = der(0x30, &[&der(0x04, &[&[0; 8]]), &integer(rounds)]);
    let algorithm = der(0x30, &[b"\x06\x0A\x2A\x86\x48\x86\xF7\x0D\x01\x0C\x01\x03", &parameters]);
    bag(2, &der(0x30, &[&algorithm, &der(0x04, &[&[0; 64]])]), b"")
}

pub(crate) fn certificate_bag(certificate: &[u8], id: &[u8]) -> Vec<u8> {
    let content = der(0xA0, &[&der(0x04, &[certificate])]);
    bag(3, &der(0x30, &[b"\x06\x0A\x2A\x86\x48\x86\xF7\x0D\x01\x09\x16\x01", &content]), id)
}

#[test]
fn a_jks_that_promises_four_billion_certificates_is_refused() {
    let start = b"\xFE\xED\xFE\xED\0\0\0\x02\0\0\0\x01\0\0\0\x01\0\x01a\0\0\0\0\0\0\0\0";
    let chain = [&start[..], b"\0\0\0\0\xFF\xFF\xFF\xFF", &[0; 20]].concat();
    assert_eq!(chain.len(), 55);
    assert_eq!(refused_soon(&chain, None), "too_large");
    assert_eq!(refused_soon(&[&start[..], b"\xFF\xFF\xFF\xFF", &[0; 20]].concat(), None), "malformed");
    assert_eq!(refused_soon(b"\xFE\xED\xFE\xED\0\0\0\x02\xFF\xFF\xFF\xFF", None), "too_large");
    assert_eq!(refused_soon(b"\xCE\xCE\xCE\xCE\0\0\0\x02\0\0\x13\x88", None), "malformed");
}

#[test]
fn key_derivations_that_cost_too_much_are_refused_before_they_start() {
    for rounds in [1_000_001, 1_200_000, 6_000_000, i32::MAX.unsigned_abs(), u32::MAX] {
        assert_eq!(refused_soon(&pfx(&[], &mac(rounds)), Some("changeit")), "too_expensive");
        assert_eq!(refused_soon(&pfx(&[&encrypted_safe(rounds)], &[]), Some("changeit")), "too_expensive");
        assert_eq!(refused_soon(&pfx(&[&encrypted_safe(rounds)], &mac(1)), Some("changeit")), "too_expensive");
    }
    let many: Vec<Vec<u8>> = vec![encrypted_safe(900_000); 5];
    let many: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
    assert_eq!(refused_soon(&pfx(&many, &[]), Some("changeit")), "too_expensive");
    assert_eq!(refused_soon(&pfx(&[&encrypted_safe(0)], &[]), Some("changeit")), "malformed");
}

#[test]
fn a_sealed_key_that_is_too_dear_to_try_is_no_proof_of_a_wrong_password() {
    let store = |rounds| pfx(&[&data_safe(&[&sealed_key_bag(rounds)])], &[]);
    assert_eq!(refused_soon(&store(6_000_000), Some("changeit")), "too_expensive");
    assert_eq!(open(&store(6_000_000), None).unwrap().password, PasswordCheck::NotGiven);
    assert_eq!(open(&store(1), Some("changeit")).unwrap().password, PasswordCheck::Wrong);
}

#[test]
fn keys_that_share_one_long_chain_do_not_multiply_it_without_bound() {
    let (leaf, issuer) = (certificate_bag(pki().other.certificate.der(), b"id"), certificate_bag(pki().ca.der(), b""));
    let keys = key_bag(b"id").repeat(4_000);
    let many = pfx(&[&data_safe(&[&leaf, &issuer, &keys])], &[]);
    assert_eq!(open(&many, None).unwrap_err().reason(), "too_large");
    let keys = key_bag(b"id").repeat(400);
    assert!(open(&pfx(&[&data_safe(&[&leaf, &issuer, &keys])], &[]), None).is_ok());
}

#[test]
fn nesting_without_end_overflows_nothing() {
    for pattern in [&b"\x30\x80"[..], b"\x24\x80", b"\xA0\x80", b"\x30\x80\x02\x01\x03\x30\x80"] {
        refused_soon(&pattern.repeat(100_000), None);
        refused_soon(&[b"\x30\x80\x02\x01\x03", &pattern.repeat(100_000)[..]].concat(), Some("changeit"));
    }
    let long = [b"\x30\x80\x02\x01\x03", &b"\x04\x01a".repeat(1 << 20)[..], &[0, 0]].concat();
    assert_eq!(refused_soon(&long, None), "too_large");
    let mut nested = Vec::new();
    for _ in 0..1_000 {
        nested = der(0x30, &[&nested]);
    }
    refused_soon(&nested, None);
    refused_soon(&pfx(&[&nested], &[]), None);
}

#[test]
fn what_is_over_the_limits_is_refused_unread() {
    let limits = Limits { max_bytes: 100, ..Limits::default() };
    let error = read(pki().root.der(), None, &limits).unwrap_err();
    assert_eq!(error, ReadError::TooLarge { what: "the bytes of the file", limit: 100 });
    let limits = Limits { max_entries: 3, ..Limits::default() };
    for name in ["jks-trust", "jceks", "pkcs12"] {
        let refused = read_whole(&made(name), Some(&"changeit".into()), &limits).map_err(|error| error.reason());
        assert_eq!(refused.is_ok(), name == "jks-trust", "{name}");
    }
    let limits = Limits { max_alias: 4, ..Limits::default() };
    for name in ["jks", "jceks", "pkcs12"] {
        assert_eq!(
            read_whole(&made(name), Some(&"changeit".into()), &limits).unwrap_err().reason(),
            "too_large",
            "{name}"
        );
    }
    let limits = Limits { max_certificate: 100, ..Limits::default() };
    assert_eq!(read_whole(&made("jks"), None, &limits).unwrap_err().reason(), "too_large");
}

#[test]
fn serialized_secrets_that_nest_or_repeat_without_end_are_refused() {
    let start = b"\xCE\xCE\xCE\xCE\0\0\0\x02\0\0\0\x01\0\0\0\x03\0\x01a\0\0\0\0\0\0\0\0\xAC\xED\0\x05";
    let array = b"\x75\x72\0\x02[L\0\0\0\0\0\0\0\0\x02\0\0\x78\x70\xFF\xFF\xFF\xFF";
    for body in [
        &b"\x73"[..],
        b"\x72\0\0\0\0\0\0\0\0\0\0\x02\0\0",
        array,
        b"\x77\xFF",
        b"\x7C\xFF",
        b"\x71\0\x7E\0\0",
        b"\x7E\x70",
    ] {
        refused_soon(&[&start[..], &body.repeat(10_000)].concat(), None);
    }
    let nulls = b"\x70".repeat(3 << 20);
    let object_with_an_array = b"\x73\x72\0\x01A\0\0\0\0\0\0\0\0\x02\0\x01[\0\x01f\x74\0\x01x\x78\x70\
        \x75\x72\0\x02[L\0\0\0\0\0\0\0\0\x02\0\0\x78\x70\0\x7F\xF0\0";
    let reason = refused_soon(&[&start[..], object_with_an_array, &nulls].concat(), None);
    assert_eq!(reason, "too_large");
    let references = b"\x71\0\x7E\0\0".repeat(200_000);
    refused_soon(
        &[&start[..], b"\x75\x72\0\x02[L\0\0\0\0\0\0\0\0\x02\0\0\x78\x70\x0F\xFF\xFF\xFF", &references].concat(),
        None,
    );
}

/// Holds R7: what stands before the cut of a JKS is read, and the cut is said; nobody writes such a store anew.
#[test]
fn a_store_cut_short_anywhere_is_an_error_or_has_a_fault_and_is_never_rewritten() {
    for name in ["jks", "jceks", "pkcs12", "pkcs12-legacy", "pkcs12-macless", "pkcs12-passwordless"] {
        let bytes = made(name);
        for length in 0..bytes.len() {
            for password in [None, Some("changeit")] {
                let cut = &bytes[..length];
                let seen = open(cut, password);
                let is_told = seen.as_ref().map_or(true, |store| !store.faults.is_empty());
                assert!(is_told, "{name} cut to {length}");
                assert!(seen.is_err() || name.starts_with('j'), "{name} cut to {length}");
                assert!(!seen.is_ok_and(|store| store.password == PasswordCheck::Verified), "{name} cut to {length}");
                let whole = read_whole(cut, password.map(SecretString::from).as_ref(), &Limits::default());
                assert!(whole.is_err(), "{name} cut to {length}");
            }
        }
    }
}

#[test]
fn a_flipped_byte_in_a_jks_is_an_error_or_a_wrong_digest() {
    for name in ["jks", "jceks"] {
        let mut bytes = made(name);
        for at in 0..bytes.len() {
            for mask in [0x01, 0x80, 0xFF] {
                bytes[at] ^= mask;
                let check = open(&bytes, Some("changeit")).map(|store| store.password);
                assert_ne!(check, Ok(PasswordCheck::Verified), "{name}: byte {at} xor {mask:#x}");
                bytes[at] ^= mask;
            }
        }
    }
}

#[test]
fn a_flipped_byte_in_a_pkcs12_never_passes_for_verified() {
    for name in ["pkcs12", "pkcs12-legacy"] {
        let mut bytes = made(name);
        for at in (0..bytes.len()).step_by(61) {
            bytes[at] ^= 0x01;
            let check = open(&bytes, Some("changeit")).map(|store| store.password);
            assert_ne!(check, Ok(PasswordCheck::Verified), "{name}: byte {at}");
            bytes[at] ^= 0x01;
        }
    }
}

#[test]
fn no_flipped_byte_in_an_unencrypted_pkcs12_makes_the_reader_panic() {
    // Nothing is derived for the empty password, which would take minutes.
    let limits = Limits { max_total_iterations: 0, ..Limits::default() };
    for name in ["pkcs12-macless", "pkcs12-passwordless", "pkcs12"] {
        let mut bytes = made(name);
        for at in 0..bytes.len() {
            for mask in [0x01, 0x80, 0xFF] {
                bytes[at] ^= mask;
                let _ = read(&bytes, None, &limits);
                bytes[at] ^= mask;
            }
        }
    }
}

#[test]
fn a_flipped_byte_in_a_sealed_key_never_opens() {
    let limits = Limits::default();
    let mut bytes = made("jks");
    let oid = b"\x2B\x06\x01\x04\x01\x2A\x02\x11\x01\x01\x05\x00\x04\x82";
    let start = bytes.windows(oid.len()).position(|window| window == oid).unwrap() + oid.len();
    let length = usize::from(u16::from_be_bytes([bytes[start], bytes[start + 1]]));
    for at in start + 2..start + 2 + length {
        bytes[at] ^= 0x10;
        let opened = open_key(&bytes, Some(&"changeit".into()), "securekey", &limits);
        assert_eq!(opened, Err(ReadError::BadPassword), "byte {at}");
        bytes[at] ^= 0x10;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_bytes_behind_a_magic_number_make_a_reader_panic(
        magic in prop::sample::select(vec![
            &b"\xFE\xED\xFE\xED\0\0\0\x01\0\0\0\x02"[..],
            b"\xCE\xCE\xCE\xCE\0\0\0\x02\0\0\0\x01\0\0\0\x03\0\0\0\0\0\0\0\0\0\0\xAC\xED\0\x05",
            b"\x30\x80\x02\x01\x03",
            b"\x30\x82\x01\0\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x02",
            b"\x30\x82\x01\0\x30\x82",
        ]),
        rest in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let _ = open(&[magic, &rest].concat(), None);
        let _ = open(&[magic, &rest].concat(), Some("changeit"));
    }

    #[test]
    fn no_splice_of_a_real_jceks_makes_the_reader_panic(at in any::<prop::sample::Index>(), cut in 0_usize..64, put in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut bytes = made("jceks");
        let at = at.index(bytes.len());
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, put);
        let _ = open(&bytes, Some("changeit"));
    }
}

/// The same content in BER as streaming writers make it: indefinite lengths, octet strings in pieces.
fn streamed(mut bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let [tag, first, ..] = *bytes {
        let count = if first < 0x80 { 0 } else { usize::from(first & 0x7F) };
        let length = match count {
            0 => usize::from(first),
            _ => bytes[2..2 + count].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
        };
        let (element, rest) = bytes.split_at(2 + count + length);
        let value = &element[2 + count..];
        match tag {
            0x04 => {
                out.extend([0x24, 0x80]);
                value.chunks(100).for_each(|piece| out.extend(der(0x04, &[piece])));
                out.extend([0, 0]);
            }
            tag if tag & 0x20 != 0 => out.extend([&[tag, 0x80], &streamed(value)[..], &[0, 0]].concat()),
            _ => out.extend_from_slice(element),
        }
        bytes = rest;
    }
    out
}

#[test]
fn a_pkcs12_in_ber_of_indefinite_length_is_read_like_its_der() {
    for name in ["pkcs12", "pkcs12-macless"] {
        let bytes = made(name);
        let ber = streamed(&bytes);
        assert_eq!(ber[1], 0x80);
        assert_eq!(open(&ber, Some("changeit")), open(&bytes, Some("changeit")), "{name}");
    }
}

#[test]
fn certificates_with_absurd_contents_are_read_with_bounds() {
    let mut params = crate::pki::leaf_params("ups-01.example.com");
    params.subject_alt_names =
        (0..3_000).map(|at| rcgen::SanType::DnsName(format!("h{at}.example.com").try_into().unwrap())).collect();
    params
        .distinguished_name
        .push(rcgen::DnType::OrganizationName, "\0\n\"+,;<>\\ \u{202E}".repeat(100) + &"x".repeat(9_000));
    params.serial_number = Some(vec![0xFF; 20].into());
    params.not_before = rcgen::date_time_ymd(1900, 1, 1);
    params.not_after = rcgen::date_time_ymd(9999, 12, 31);
    let certificate = crate::pki::parsed(&params.self_signed(&crate::pki::ec_key()).unwrap());
    assert_eq!(certificate.dns_names().len(), 1_000);
    assert!(certificate.subject().len() < 4_200 && !certificate.subject().contains(['\0', '\n']));
    assert_eq!(certificate.subject_cn(), Some("ups-01.example.com"));
    assert_eq!(certificate.serial(), "ff".repeat(20));
    assert_eq!(certificate.not_before().to_string(), "1900-01-01T00:00:00Z");
    assert_eq!(certificate.not_after().to_string(), "9999-12-31T00:00:00Z");
}

#[test]
fn a_pkcs12_at_its_limits_stays_within_32_mib() {
    const CHILD: &str = "hostile::reads_the_file_named_in_the_environment";
    let limits = Limits::default();
    let bag = certificate_bag(pki().leaf.certificate.der(), b"");
    let count = (limits.max_bytes / bag.len()).min(limits.max_entries) - 1;
    let store = pfx(&[&data_safe(&[&bag.repeat(count)])], &[]);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &store).unwrap();
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", CHILD])
        .env("KAGIBAN_TEST_STORE", file.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    let peak: u64 = said.split("peak ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().parse().unwrap();
    assert!(peak < 32 << 10, "{peak} KiB for {} KiB", store.len() >> 10);
}

#[test]
#[ignore = "run by the test before it, in a process of its own"]
#[allow(clippy::print_stdout, reason = "its parent reads it")]
fn reads_the_file_named_in_the_environment() {
    let bytes = std::fs::read(std::env::var_os("KAGIBAN_TEST_STORE").unwrap()).unwrap();
    let store = open(&bytes, None).unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim().trim_end_matches(" kB");
    println!("peak {peak} KiB for {} entries", store.entries.len());
}
