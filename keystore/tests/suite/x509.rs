//! Certificates of any form, written field by field; nothing checks their signature.

/// One element, its length in as few bytes as DER wants.
pub(crate) fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let value = parts.concat();
    let length = value.len();
    let header = match length {
        0..0x80 => vec![tag, u8::try_from(length).unwrap()],
        0x80..0x100 => vec![tag, 0x81, u8::try_from(length).unwrap()],
        0x100..0x1_0000 => vec![tag, 0x82, u8::try_from(length >> 8).unwrap(), u8::try_from(length & 0xFF).unwrap()],
        _ => [&[tag, 0x84], &u32::try_from(length).unwrap().to_be_bytes()[..]].concat(),
    };
    [header, value].concat()
}

/// What goes into a certificate, as DER where it is a structure.
pub(crate) struct Form {
    /// The content of the INTEGER.
    pub(crate) serial: Vec<u8>,
    pub(crate) name: &'static str,
    /// Tag and text.
    pub(crate) not_before: (u8, &'static str),
    pub(crate) not_after: (u8, &'static str),
    /// OID content, and the content of the OCTET STRING.
    pub(crate) extensions: Vec<(&'static [u8], Vec<u8>)>,
}

pub(crate) const UTC: u8 = 0x17;
pub(crate) const GENERALIZED: u8 = 0x18;
pub(crate) const SAN: &[u8] = b"\x55\x1D\x11";
const ECDSA_WITH_SHA256: &[u8] = b"\x30\x0A\x06\x08\x2A\x86\x48\xCE\x3D\x04\x03\x02";

impl Default for Form {
    fn default() -> Self {
        let (not_before, not_after) = ((UTC, "250101000000Z"), (UTC, "350101000000Z"));
        Self { serial: vec![0x4D], name: "x.example.com", not_before, not_after, extensions: Vec::new() }
    }
}

impl Form {
    fn tbs(&self) -> Vec<u8> {
        der(0x30, &[&self.tbs_content()])
    }

    fn tbs_content(&self) -> Vec<u8> {
        let text = |(tag, text): (u8, &str)| der(tag, &[text.as_bytes()]);
        let attribute = der(0x30, &[b"\x06\x03\x55\x04\x03", &der(0x0C, &[self.name.as_bytes()])]);
        let name = der(0x30, &[&der(0x31, &[&attribute])]);
        let p256 = b"\x30\x13\x06\x07\x2A\x86\x48\xCE\x3D\x02\x01\x06\x08\x2A\x86\x48\xCE\x3D\x03\x01\x07";
        // The generator: a point that every parser takes.
        let point = hex::decode(
            "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
             4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
        );
        let spki = der(0x30, &[p256, &der(0x03, &[&[0], &point.unwrap()])]);
        let each = self.extensions.iter().map(|(id, value)| der(0x30, &[&der(0x06, &[id]), &der(0x04, &[value])]));
        let extensions = der(0xA3, &[&der(0x30, &[&each.collect::<Vec<_>>().concat()])]);
        let validity = der(0x30, &[&text(self.not_before), &text(self.not_after)]);
        let extensions = if self.extensions.is_empty() { Vec::new() } else { extensions };
        let serial = der(0x02, &[&self.serial]);
        [b"\xA0\x03\x02\x01\x02", &serial[..], ECDSA_WITH_SHA256, &name, &validity, &name, &spki, &extensions].concat()
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        der(0x30, &[&self.tbs(), ECDSA_WITH_SHA256, &Self::signature()])
    }

    /// The same certificate, its outermost length not told.
    pub(crate) fn ber(&self) -> Vec<u8> {
        [b"\x30\x80", &self.tbs()[..], ECDSA_WITH_SHA256, &Self::signature(), b"\0\0"].concat()
    }

    /// The same certificate, the length of what is signed not told.
    pub(crate) fn ber_within(&self) -> Vec<u8> {
        let tbs = [b"\x30\x80", &self.tbs_content()[..], b"\0\0"].concat();
        der(0x30, &[&tbs, ECDSA_WITH_SHA256, &Self::signature()])
    }

    fn signature() -> Vec<u8> {
        der(0x03, &[&[0], &der(0x30, &[b"\x02\x01\x01\x02\x01\x01"])])
    }
}

/// An alternative name.
pub(crate) fn dns(name: &str) -> Vec<u8> {
    der(0x82, &[name.as_bytes()])
}

pub(crate) fn names(names: &[&[u8]]) -> Vec<u8> {
    der(0x30, names)
}
