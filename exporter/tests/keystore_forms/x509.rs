//! Certificates of many forms, written field by field: what tools refuse to make and hosts have all the same. Nothing checks
//! their signature.

use super::dice::Dice;

/// The private key of every certificate here, PKCS#8: the number one, whose public half is the generator of P-256.
pub(crate) const KEY: &str = "3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420\
    0000000000000000000000000000000000000000000000000000000000000001";
const POINT: &str = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
    4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
const ECDSA_WITH_SHA256: &[u8] = b"\x30\x0A\x06\x08\x2A\x86\x48\xCE\x3D\x04\x03\x02";
const P256: &[u8] = b"\x30\x13\x06\x07\x2A\x86\x48\xCE\x3D\x02\x01\x06\x08\x2A\x86\x48\xCE\x3D\x03\x01\x07";
const UTC: u8 = 0x17;
const GENERALIZED: u8 = 0x18;

/// One element, its length in as few bytes as DER wants.
pub(crate) fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let value = parts.concat();
    let length = u32::try_from(value.len()).expect("short").to_be_bytes();
    let header = match length {
        [0, 0, 0, short @ 0..0x80] => vec![tag, short],
        [0, 0, 0, one] => vec![tag, 0x81, one],
        [0, 0, high, low] => vec![tag, 0x82, high, low],
        _ => [&[tag, 0x84], &length[..]].concat(),
    };
    [header, value].concat()
}

/// The next certificate of the dice: two with one name and serial number are rare.
pub(crate) fn certificate(dice: &mut Dice, number: usize) -> Vec<u8> {
    let serials: [&[u8]; 6] = [b"\x4D", b"\x00\xFF", b"\x80", b"\xB3", b"\xFF\x01", b"\x00"];
    let mut serial = dice.of(&serials).to_vec();
    if dice.once_in(2) {
        serial = (0..=dice.below(18)).map(|_| u8::try_from(dice.below(256)).expect("a byte")).collect();
        // DER has no needless first byte.
        serial.insert(0, dice.of(&[0x01, 0x7F, 0x81, 0xFE]));
    }
    let times = [
        (UTC, "500101000000Z"),
        (UTC, "691231235959Z"),
        (UTC, "240229120000Z"),
        (UTC, "491231235959Z"),
        (GENERALIZED, "19700101000000Z"),
        (GENERALIZED, "20500101000000Z"),
        (GENERALIZED, "21000228235959Z"),
        (GENERALIZED, "99991231235959Z"),
        (GENERALIZED, "99991231235900Z"),
    ];
    let (from, until) = (dice.of(&times), dice.of(&times));
    let common_name = format!("form {number}");
    let texts: [(u8, Vec<u8>); 4] = [
        (0x0C, format!("{common_name} 鍵, \"番\" + é").into_bytes()),
        (0x13, common_name.clone().into_bytes()),
        (0x16, format!("{common_name}@example.com").into_bytes()),
        (0x1E, common_name.encode_utf16().flat_map(u16::to_be_bytes).collect()),
    ];
    let (tag, text) = &texts[dice.below(texts.len())];
    let name = der(0x30, &[&der(0x31, &[&der(0x30, &[b"\x06\x03\x55\x04\x03", &der(*tag, &[text])])])]);
    let spki = der(0x30, &[P256, &der(0x03, &[&[0], &hex::decode(POINT).expect("hex")])]);
    let version: &[u8] = b"\xA0\x03\x02\x01\x02";
    let extensions = extensions(dice);
    let (version, extensions) = if dice.once_in(6) { (&[][..], Vec::new()) } else { (version, extensions) };
    let validity = der(0x30, &[&der(from.0, &[from.1.as_bytes()]), &der(until.0, &[until.1.as_bytes()])]);
    let serial = der(0x02, &[&serial]);
    let tbs = der(0x30, &[version, &serial, ECDSA_WITH_SHA256, &name, &validity, &name, &spki, &extensions]);
    let signature = der(0x03, &[&[0], &der(0x30, &[b"\x02\x01\x01\x02\x01\x01"])]);
    match dice.below(8) {
        0 => [b"\x30\x80", &tbs[..], ECDSA_WITH_SHA256, &signature, b"\0\0"].concat(),
        _ => der(0x30, &[&tbs, ECDSA_WITH_SHA256, &signature]),
    }
}

fn extensions(dice: &mut Dice) -> Vec<u8> {
    let extension = |id: &[u8], value: &[u8]| der(0x30, &[&der(0x06, &[id]), &der(0x04, &[value])]);
    let names = |value: &[u8]| extension(b"\x55\x1D\x11", value);
    let dns = der(0x82, &[b"a.example.com"]);
    let sound = names(&der(0x30, &[&dns, &der(0x87, &[&[192, 0, 2, 1]])]));
    let ca = extension(b"\x55\x1D\x13", b"\x30\x03\x01\x01\xFF");
    let each: Vec<u8> = match dice.below(8) {
        0 => return Vec::new(),
        1 => ca,
        2 => names(b"\x30\x10\x82\x01a"),
        3 => names(&dns),
        4 => [sound.clone(), sound].concat(),
        5 => extension(b"\x2A\x03\x04", b"anything"),
        6 => [ca, sound].concat(),
        _ => sound,
    };
    der(0xA3, &[&der(0x30, &[&each])])
}
