//! Names what a file holds that is neither a keystore nor a certificate of ours, by its first bytes or its PEM label.

use std::fmt;

/// PKIX and key material without a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Content {
    Nothing,
    /// A keystore without entries.
    EmptyStore,
    /// A keystore with keys or secrets and no certificate.
    KeysAlone,
    PrivateKey,
    EncryptedKey,
    PublicKey,
    RevocationList,
    Request,
    /// A PKCS#7 that carries no certificate.
    EmptyBag,
    Parameters,
}

/// Formats that others write and that are not read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Foreign {
    Bcfks,
    /// BKS and UBER begin alike.
    Bks,
    WindowsStore,
    Pkcs7,
    OpenSsh,
    OpenPgp,
    Putty,
    Archive,
    Database,
    Html,
}

impl Content {
    const fn words(self) -> (&'static str, &'static str) {
        const ITS_CERTIFICATE: &str = "name the file with its certificate instead";
        match self {
            Self::Nothing => ("nothing, it is empty", "write it anew, or take it out of the paths"),
            Self::EmptyStore => ("a keystore without entries", "import a certificate, or take it out of the paths"),
            Self::KeysAlone => ("keys", "import the certificate that belongs to them, or take it out of the paths"),
            Self::PrivateKey => ("a private key", ITS_CERTIFICATE),
            Self::EncryptedKey => ("an encrypted private key", ITS_CERTIFICATE),
            Self::PublicKey => ("a public key", ITS_CERTIFICATE),
            Self::RevocationList => ("a revocation list (CRL)", "take it out of the paths"),
            Self::Request => ("a certificate request (CSR)", "name the certificate that was issued for it instead"),
            Self::EmptyBag => ("a PKCS#7", "export it anew with its certificates, or take it out of the paths"),
            Self::Parameters => ("key parameters", "take it out of the paths"),
        }
    }

    pub(crate) const fn what(self) -> &'static str {
        self.words().0
    }

    /// By a PEM label; `None` for one that is not known.
    pub(crate) fn of_label(label: &[u8]) -> Option<Self> {
        Some(match label {
            b"X509 CRL" => Self::RevocationList,
            b"CERTIFICATE REQUEST" | b"NEW CERTIFICATE REQUEST" => Self::Request,
            b"PUBLIC KEY" | b"RSA PUBLIC KEY" | b"SSH2 PUBLIC KEY" => Self::PublicKey,
            b"ENCRYPTED PRIVATE KEY" => Self::EncryptedKey,
            b"PRIVATE KEY" | b"RSA PRIVATE KEY" | b"EC PRIVATE KEY" | b"DSA PRIVATE KEY" => Self::PrivateKey,
            b"DH PARAMETERS" | b"EC PARAMETERS" | b"DSA PARAMETERS" | b"X9.42 DH PARAMETERS" => Self::Parameters,
            _ => return None,
        })
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, next) = self.words();
        let and = if *self == Self::Nothing { "" } else { " and no certificate" };
        write!(f, "the file holds {what}{and}; {next}")
    }
}

impl Foreign {
    const fn words(self) -> (&'static str, &'static str) {
        const CONVERT: &str = "convert it to PKCS#12 with keytool -importkeystore and Bouncy Castle's provider";
        match self {
            Self::Bcfks => ("a keystore of Bouncy Castle (BCFKS)", CONVERT),
            Self::Bks => ("a keystore of Bouncy Castle (BKS or UBER)", CONVERT),
            Self::WindowsStore => ("a serialized certificate store of Windows (SST)", "export it as PKCS#7 or PKCS#12"),
            Self::Pkcs7 => ("a PKCS#7 of another kind than SignedData", "export the certificates as .p7b or PEM"),
            Self::OpenSsh => ("a key of OpenSSH", "take it out of the paths, it has no expiry"),
            Self::OpenPgp => ("an OpenPGP file", "take it out of the paths"),
            Self::Putty => ("a key of PuTTY", "take it out of the paths, it has no expiry"),
            Self::Archive => ("an archive", "unpack it"),
            Self::Database => {
                ("an SQLite database, as NSS keeps its certificates", "export them with certutil or pk12util")
            }
            Self::Html => ("an HTML page", "download the certificate again, this is what the server said instead"),
        }
    }

    pub(crate) const fn what(self) -> &'static str {
        self.words().0
    }

    /// By its first bytes.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        const BY_START: [(&[u8], Foreign); 12] = [
            (b"\0\0\0\x01\0\0\0\x14", Foreign::Bks),
            (b"\0\0\0\x02\0\0\0\x14", Foreign::Bks),
            (b"\0\0\0\0CERT", Foreign::WindowsStore),
            (b"SQLite format 3\0", Foreign::Database),
            (b"PK\x03\x04", Foreign::Archive),
            (b"\x1F\x8B", Foreign::Archive),
            (b"PuTTY-User-Key-File-", Foreign::Putty),
            (b"ssh-", Foreign::OpenSsh),
            (b"ecdsa-sha2-", Foreign::OpenSsh),
            (b"-----BEGIN OPENSSH ", Foreign::OpenSsh),
            (b"-----BEGIN SSH2 ENCRYPTED ", Foreign::OpenSsh),
            (b"-----BEGIN PGP ", Foreign::OpenPgp),
        ];
        let by_start = BY_START.iter().find(|(start, _)| bytes.starts_with(start)).map(|(_, found)| *found);
        by_start.or_else(|| {
            let text = bytes.trim_ascii_start();
            let starts = |word: &[u8]| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
            (starts(b"<!doctype html") || starts(b"<html")).then_some(Self::Html)
        })
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, next) = self.words();
        write!(f, "the file is {what}, which is not read here; {next}")
    }
}
