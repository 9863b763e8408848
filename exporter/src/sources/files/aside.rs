//! What lies beside certificates in their directories and is none: a pattern finds it, and nobody waits for it to become one.

use kagiban_keystore::{Content, Foreign, ReadError, to_utf8};

/// What a file recognisably is that holds no certificate, and is not a damaged one either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Aside {
    Empty,
    PrivateKey,
    PublicKey,
    Request,
    RevocationList,
    Text,
}

/// A text is read to its end; binary data shows itself in its first bytes.
const PRINTABLE_PERCENT: usize = 90;
/// What PEM writes around what may hold certificates; with less of it than both lines, the file is one that was cut.
const CERTIFICATE_MARKS: [&str; 6] = [
    "-----BEGIN CERT",
    "-----BEGIN TRUSTED",
    "-----BEGIN X509 CERT",
    "-----BEGIN PKCS7",
    "PKCS7-----",
    "CERTIFICATE-----",
];
/// Of a request, whose words are nearly the same.
const REQUEST_MARKS: [&str; 2] = ["-----BEGIN CERTIFICATE REQUEST", "CERTIFICATE REQUEST-----"];
/// A certificate in Base64, whose frame somebody has cut away, begins so: a SEQUENCE with a length of two bytes.
const BARE_BASE64: &str = "MII";

impl Aside {
    pub(super) const ALL: [Self; 6] =
        [Self::Empty, Self::PrivateKey, Self::PublicKey, Self::Request, Self::RevocationList, Self::Text];

    /// The label value `kind`.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::PrivateKey => "private_key",
            Self::PublicKey => "public_key",
            Self::Request => "certificate_request",
            Self::RevocationList => "revocation_list",
            Self::Text => "text",
        }
    }

    /// By its bytes, and why they could not be read as certificates. None for what may be a damaged store, and for a keystore
    /// that has no certificate: somebody expects one there.
    pub(super) fn of(bytes: &[u8], error: &ReadError) -> Option<Self> {
        let as_text = || is_plain_text(bytes).then_some(Self::Text);
        match error {
            ReadError::Holds(content) => match content {
                Content::Nothing => Some(Self::Empty),
                Content::PrivateKey | Content::EncryptedKey => Some(Self::PrivateKey),
                Content::PublicKey => Some(Self::PublicKey),
                Content::Request => Some(Self::Request),
                Content::RevocationList => Some(Self::RevocationList),
                Content::Parameters => as_text(),
                _ => None,
            },
            // A page that was saved in the place of a certificate is a download that failed.
            ReadError::Foreign(Foreign::Html) => None,
            ReadError::Foreign(Foreign::OpenSsh) if bytes.starts_with(b"-----") => Some(Self::PrivateKey),
            ReadError::Foreign(Foreign::OpenSsh) => Some(Self::PublicKey),
            ReadError::Foreign(Foreign::Putty) => Some(Self::PrivateKey),
            ReadError::Foreign(_) | ReadError::NoCertificate | ReadError::UnsupportedFormat(_) => as_text(),
            _ => None,
        }
    }
}

/// Whether people can read it, and nothing in it was ever a certificate.
fn is_plain_text(bytes: &[u8]) -> bool {
    let text = to_utf8(bytes);
    let text = String::from_utf8_lossy(&text);
    let is_control = |c: char| c.is_control() && !c.is_whitespace() && c != '\u{1b}';
    let (mut all, mut foreign) = (0_usize, 0_usize);
    for c in text.chars() {
        if is_control(c) {
            return false;
        }
        all += 1;
        // Of a text in an old encoding some letters cannot be read.
        foreign += usize::from(c == char::REPLACEMENT_CHARACTER);
    }
    let without_requests = REQUEST_MARKS.iter().fold(text.to_string(), |text, mark| text.replace(mark, ""));
    let was_certificate = CERTIFICATE_MARKS.iter().any(|mark| without_requests.contains(mark));
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=') || c.is_whitespace();
    let is_bare = text.trim_start().starts_with(BARE_BASE64) && text.chars().all(is_base64);
    (all - foreign) * 100 >= all * PRINTABLE_PERCENT && !was_certificate && !is_bare
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use kagiban_keystore::Limits;
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn aside(bytes: &[u8]) -> Option<Aside> {
        let read = kagiban_keystore::read(bytes, None, &Limits::default());
        let error = read.and_then(|store| store.check_has_certificate()).expect_err("there is no whole certificate");
        Aside::of(bytes, &error)
    }

    fn openssl(words: &str, directory: &std::path::Path) {
        let made = Command::new("openssl").args(words.split(' ')).current_dir(directory).output();
        let made = made.expect("openssl is needed: install it");
        assert!(made.status.success(), "openssl {words}: {made:?}");
    }

    #[test]
    fn what_users_keep_beside_certificates_is_told_apart_in_pem_and_der() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out k.pem", path);
        openssl("pkey -in k.pem -outform DER -out k.der", path);
        openssl("pkey -in k.pem -aes256 -passout pass:secret1 -out sealed.pem", path);
        openssl("pkey -in k.pem -pubout -out p.pem", path);
        openssl("pkey -in k.pem -pubout -outform DER -out p.der", path);
        openssl("req -new -key k.pem -subj /CN=a -out r.pem", path);
        openssl("req -in r.pem -outform DER -out r.der", path);
        openssl("req -x509 -new -key k.pem -subj /CN=a -out ca.pem", path);
        std::fs::write(path.join("index.txt"), "").expect("write");
        std::fs::write(path.join("ca.cnf"), "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ndefault_md=sha256\n")
            .expect("write");
        openssl("ca -config ca.cnf -gencrl -crldays 9 -keyfile k.pem -cert ca.pem -out c.pem", path);
        openssl("crl -in c.pem -outform DER -out c.der", path);
        openssl("ecparam -name prime256v1 -out params.pem", path);
        for (name, kind) in [
            ("k.pem", "private_key"),
            ("k.der", "private_key"),
            ("sealed.pem", "private_key"),
            ("p.pem", "public_key"),
            ("p.der", "public_key"),
            ("r.pem", "certificate_request"),
            ("r.der", "certificate_request"),
            ("c.pem", "revocation_list"),
            ("c.der", "revocation_list"),
            ("index.txt", "empty"),
            ("ca.cnf", "text"),
            ("params.pem", "text"),
        ] {
            let bytes = std::fs::read(path.join(name)).expect("read");
            assert_eq!(aside(&bytes).map(Aside::as_str), Some(kind), "{name}");
        }
    }

    #[test]
    fn texts_are_texts_in_every_encoding_and_what_may_be_damaged_stays_an_error() {
        let utf16: Vec<u8> =
            [0xFF, 0xFE].into_iter().chain("Readme".encode_utf16().flat_map(u16::to_le_bytes)).collect();
        for text in [
            &b"# How to renew\n\nAsk the CA.\n"[..],
            b"\xEF\xBB\xBFL\xC3\xB6schen\r\n",
            b"f\xFCr alle Server da\n",
            &utf16,
        ] {
            assert_eq!(aside(text), Some(Aside::Text), "{text:?}");
        }
        let key = KeyPair::generate().expect("a key");
        let certificate = CertificateParams::default().self_signed(&key).expect("a certificate");
        let (pem, der) = (certificate.pem(), certificate.der().to_vec());
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let damaged: [(&str, &[u8]); 7] = [
            ("without its end", &pem.as_bytes()[..200]),
            ("without its beginning", &pem.as_bytes()[40..]),
            ("cut in its first line", b"-----BEGIN CERT"),
            ("without its frame", body.as_bytes()),
            ("half a DER", &der[..der.len() / 2]),
            ("a page", b"<!DOCTYPE html><html>404</html>"),
            ("noise", b"\x00\x01\x02\x03 binary \x7f"),
        ];
        for (what, bytes) in damaged {
            assert_eq!(aside(bytes), None, "{what}");
        }
    }
}
