//! Names of keys and signatures as users know them.

use crate::der;
use x509_parser::der_parser::oid::Oid;

/// 1.2.840.113549.1.1.1
const RSA: &str = "1.2.840.113549.1.1.1";
const DSA: &str = "1.2.840.10040.4.1";
const EC: &str = "1.2.840.10045.2.1";

/// A `SubjectPublicKeyInfo`, taken apart.
pub(super) struct PublicKey<'a> {
    algorithm: String,
    /// DER.
    parameters: &'a [u8],
    /// The content of the BIT STRING, without the count of its unused bits.
    pub(super) key: &'a [u8],
}

impl<'a> PublicKey<'a> {
    /// `spki` is the whole SEQUENCE.
    pub(super) fn parse(spki: &'a [u8]) -> Option<Self> {
        let mut fields = der::Reader::new(spki).expect(der::SEQUENCE).ok()?.inside();
        let mut algorithm = fields.expect(der::SEQUENCE).ok()?.inside();
        let id = algorithm.expect(der::OID).ok()?.value;
        let key = fields.expect(der::BIT_STRING).ok()?.value.get(1..)?;
        Some(Self { algorithm: dotted(id), parameters: algorithm.rest(), key })
    }

    /// `RSA-2048`, `EC-P256`, `Ed25519`, or the algorithm's dotted OID.
    pub(super) fn name(&self) -> String {
        match self.algorithm.as_str() {
            EC => self.curve(),
            "1.3.101.112" => "Ed25519".to_owned(),
            "1.3.101.113" => "Ed448".to_owned(),
            RSA => self.sized("RSA", self.key),
            // Its size is that of the prime, the first of its parameters.
            DSA => self.sized("DSA", self.parameters),
            _ => self.algorithm.clone(),
        }
    }

    /// The name with the bits of the first INTEGER of a SEQUENCE.
    fn sized(&self, name: &str, sequence: &[u8]) -> String {
        let first =
            der::Reader::new(sequence).expect(der::SEQUENCE).and_then(|found| found.inside().expect(der::INTEGER));
        first.map_or_else(|_| self.algorithm.clone(), |number| format!("{name}-{}", bits(number.value)))
    }

    fn curve(&self) -> String {
        let named = der::Reader::new(self.parameters).expect(der::OID).map(|oid| dotted(oid.value));
        match named.as_deref() {
            Ok("1.2.840.10045.3.1.7") => "EC-P256".to_owned(),
            Ok("1.3.132.0.34") => "EC-P384".to_owned(),
            Ok("1.3.132.0.35") => "EC-P521".to_owned(),
            Ok("1.3.132.0.10") => "EC-secp256k1".to_owned(),
            Ok(other) => format!("EC-{other}"),
            Err(_) => "EC".to_owned(),
        }
    }
}

fn bits(number: &[u8]) -> usize {
    let significant = number.iter().skip_while(|byte| **byte == 0);
    let length = significant.clone().count() * 8;
    let leading = significant.clone().next().map_or(0, |first| first.leading_zeros());
    length - usize::try_from(leading).unwrap_or(0)
}

fn dotted(oid: &[u8]) -> String {
    Oid::new(oid.into()).to_id_string()
}

/// `SHA256withRSA` as keytool names it, or the algorithm's dotted OID. `oid` is the content of the element.
pub(super) fn signature(oid: &[u8]) -> String {
    let dotted = dotted(oid);
    let name = match dotted.as_str() {
        "1.2.840.113549.1.1.4" => "MD5withRSA",
        "1.2.840.113549.1.1.5" => "SHA1withRSA",
        "1.2.840.113549.1.1.10" => "RSASSA-PSS",
        "1.2.840.113549.1.1.11" => "SHA256withRSA",
        "1.2.840.113549.1.1.12" => "SHA384withRSA",
        "1.2.840.113549.1.1.13" => "SHA512withRSA",
        "1.2.840.10040.4.3" => "SHA1withDSA",
        "2.16.840.1.101.3.4.3.2" => "SHA256withDSA",
        "1.2.840.10045.4.1" => "SHA1withECDSA",
        "1.2.840.10045.4.3.2" => "SHA256withECDSA",
        "1.2.840.10045.4.3.3" => "SHA384withECDSA",
        "1.2.840.10045.4.3.4" => "SHA512withECDSA",
        "1.3.101.112" => "Ed25519",
        "1.3.101.113" => "Ed448",
        _ => return dotted,
    };
    name.to_owned()
}
