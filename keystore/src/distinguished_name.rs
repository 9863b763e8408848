//! Writes X.501 names as RFC 4514 strings, for people and labels; never for comparison.

use std::fmt::Write as _;
use x509_parser::{
    der_parser::asn1_rs::{Any, Tag, ToDer as _},
    x509::X509Name,
};

/// Bytes of a rendered name, some more than the longest that people write; a hostile certificate could have 64 KiB.
const MAX_LENGTH: usize = 4 << 10;
/// 2.5.4.3, as it is encoded.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 3];

/// The name, most specific part first.
pub(crate) fn render(name: &X509Name<'_>) -> String {
    let mut parts: Vec<_> = name.iter_rdn().collect();
    parts.reverse();
    let mut out = String::new();
    for (at, part) in parts.into_iter().enumerate() {
        for (nth, attribute) in part.iter().enumerate() {
            if out.len() > MAX_LENGTH {
                return cut(out);
            }
            match (at, nth) {
                (0, 0) => {}
                (_, 0) => out.push(','),
                _ => out.push('+'),
            }
            match short_name(attribute.attr_type().as_bytes()) {
                Some(known) => out.push_str(known),
                None => out.push_str(&attribute.attr_type().to_id_string()),
            }
            out.push('=');
            match text(attribute.attr_value()) {
                Some(text) => escape(&text, &mut out),
                None => hex_value(attribute.attr_value(), &mut out),
            }
        }
    }
    cut(out)
}

/// The last common name, unescaped.
pub(crate) fn common_name(name: &X509Name<'_>) -> Option<String> {
    let last = name.iter_attributes().filter(|attribute| attribute.attr_type().as_bytes() == COMMON_NAME).last()?;
    text(last.attr_value()).map(cut)
}

fn cut(mut text: String) -> String {
    if text.len() > MAX_LENGTH {
        let end = (0..=MAX_LENGTH).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Of the content of an OID: its dotted form is only made where there is no name for it.
fn short_name(oid: &[u8]) -> Option<&'static str> {
    const DOMAIN_COMPONENT: &[u8] = &[0x09, 0x92, 0x26, 0x89, 0x93, 0xF2, 0x2C, 0x64, 1, 25];
    const USER_ID: &[u8] = &[0x09, 0x92, 0x26, 0x89, 0x93, 0xF2, 0x2C, 0x64, 1, 1];
    const EMAIL_ADDRESS: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 1];
    Some(match oid {
        COMMON_NAME => "CN",
        [0x55, 0x04, 4] => "SN",
        [0x55, 0x04, 5] => "serialNumber",
        [0x55, 0x04, 6] => "C",
        [0x55, 0x04, 7] => "L",
        [0x55, 0x04, 8] => "ST",
        [0x55, 0x04, 9] => "STREET",
        [0x55, 0x04, 10] => "O",
        [0x55, 0x04, 11] => "OU",
        [0x55, 0x04, 12] => "title",
        [0x55, 0x04, 42] => "GN",
        [0x55, 0x04, 97] => "organizationIdentifier",
        USER_ID => "UID",
        DOMAIN_COMPONENT => "DC",
        EMAIL_ADDRESS => "emailAddress",
        _ => return None,
    })
}

fn text(value: &Any<'_>) -> Option<String> {
    match value.tag() {
        Tag::Utf8String => String::from_utf8(value.data.to_vec()).ok(),
        Tag::PrintableString | Tag::Ia5String | Tag::NumericString | Tag::VisibleString if value.data.is_ascii() => {
            String::from_utf8(value.data.to_vec()).ok()
        }
        // Nobody writes real T.61: what is found in it is Latin-1.
        Tag::T61String => Some(value.data.iter().map(|byte| char::from(*byte)).collect()),
        Tag::BmpString if value.data.len().is_multiple_of(2) => {
            let units = value.data.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units).collect::<Result<_, _>>().ok()
        }
        Tag::UniversalString if value.data.len().is_multiple_of(4) => value
            .data
            .chunks_exact(4)
            .map(|four| char::from_u32(u32::from_be_bytes([four[0], four[1], four[2], four[3]])))
            .collect(),
        _ => None,
    }
}

fn escape(text: &str, out: &mut String) {
    let last = text.chars().count().saturating_sub(1);
    for (at, symbol) in text.chars().enumerate() {
        match symbol {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => out.extend(['\\', symbol]),
            '#' if at == 0 => out.push_str("\\#"),
            ' ' if at == 0 || at == last => out.push_str("\\ "),
            symbol if symbol.is_control() => {
                let mut bytes = [0; 4];
                for byte in symbol.encode_utf8(&mut bytes).bytes() {
                    // Writing to a String cannot fail.
                    let _ = write!(out, "\\{byte:02X}");
                }
            }
            symbol => out.push(symbol),
        }
        if out.len() > MAX_LENGTH {
            return;
        }
    }
}

fn hex_value(value: &Any<'_>, out: &mut String) {
    out.push('#');
    let der = value.to_der_vec().unwrap_or_default();
    out.push_str(&hex::encode(der.get(..der.len().min(MAX_LENGTH)).unwrap_or_default()));
}

#[cfg(test)]
mod tests {
    use crate::Certificate;
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair};

    fn subject(parts: &[(DnType, DnValue)]) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind.clone(), value.clone());
        }
        let key = KeyPair::generate().expect("a key");
        let der = params.self_signed(&key).expect("a certificate").der().to_vec();
        Certificate::from_der(&der).expect("a sound certificate").subject().to_owned()
    }

    #[test]
    fn the_most_specific_part_stands_first_and_special_characters_are_escaped() {
        let name = subject(&[
            (DnType::CountryName, DnValue::PrintableString("JP".try_into().expect("printable"))),
            (DnType::OrganizationName, DnValue::Utf8String("Lučić, \"Söhne\" + 鍵\n".to_owned())),
            (DnType::CommonName, DnValue::Utf8String(" #1\\ ".to_owned())),
        ]);
        assert_eq!(name, r#"CN=\ #1\\\ ,O=Lučić\, \"Söhne\" \+ 鍵\0A,C=JP"#);
    }

    #[test]
    fn attributes_have_the_names_that_openssl_and_keytool_give_them() {
        for (oid, name) in [
            (&[2, 5, 4, 3][..], "CN"),
            (&[2, 5, 4, 42], "GN"),
            (&[2, 5, 4, 97], "organizationIdentifier"),
            (&[0, 9, 2342, 19_200_300, 100, 1, 1], "UID"),
            (&[0, 9, 2342, 19_200_300, 100, 1, 25], "DC"),
            (&[1, 2, 840, 113_549, 1, 9, 1], "emailAddress"),
            (&[2, 5, 4, 98], "2.5.4.98"),
        ] {
            let value = DnValue::Utf8String("x".to_owned());
            assert_eq!(subject(&[(DnType::CustomDnType(oid.to_vec()), value)]), format!("{name}=x"));
        }
    }

    #[test]
    fn every_string_type_is_read_and_an_unknown_attribute_keeps_its_oid() {
        let name = subject(&[
            (DnType::CommonName, DnValue::BmpString("鍵番".try_into().expect("BMP"))),
            (DnType::OrganizationalUnitName, DnValue::TeletexString("T61".try_into().expect("T61"))),
            (DnType::LocalityName, DnValue::UniversalString("😀".try_into().expect("universal"))),
            (DnType::CustomDnType(vec![1, 2, 3]), DnValue::Utf8String("x".to_owned())),
        ]);
        assert_eq!(name, "1.2.3=x,L=😀,OU=T61,CN=鍵番");
    }
}
