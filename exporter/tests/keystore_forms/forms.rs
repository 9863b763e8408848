//! The forms: which certificates, in what, made by whom.

use std::fs;
use std::path::{Path, PathBuf};

use kagiban_keystore::{Certificate, Format, KeyMaterial, Limits, Merge, OnUnreadable, Pkcs12Profile, merge};
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::dice::Dice;
use super::facts::{Facts, by_openssl, openssl};
use super::java::Java;
use super::x509::{self, der};

const ODD: usize = 160;
const PASSWORDS: [&str; 3] = ["changeit", "p w-1~|", "a longer one 0123456789"];
/// Java takes it for JKS alone.
const UNICODE: &str = "pässwörd 鍵";
const ALIASES: [&str; 8] = ["securekey", "a", "Mixed Case", "schlüssel-鍵", "1", "with space", "x.y_z", "😀"];
/// By the names of Java's properties.
const ALGORITHMS: [[&str; 3]; 4] = [
    ["PBEWithHmacSHA256AndAES_256", "PBEWithHmacSHA256AndAES_256", "HmacPBESHA256"],
    ["PBEWithSHA1AndRC2_40", "PBEWithSHA1AndDESede", "HmacPBESHA1"],
    ["NONE", "PBEWithHmacSHA256AndAES_128", "NONE"],
    ["NONE", "PBEWithSHA1AndDESede", "HmacPBESHA1"],
];

/// The certificates that all forms are made of.
pub(crate) struct Pool {
    directory: PathBuf,
    key_pem: String,
    key_der: String,
    pub(crate) certificates: Vec<Pooled>,
}

pub(crate) struct Pooled {
    bytes: Vec<u8>,
    der: String,
    pem: String,
    pub(crate) facts: Facts,
    is_read_by_java: bool,
    is_der: bool,
}

/// A file, and how to ask others about it.
pub(crate) struct Form {
    pub(crate) what: String,
    pub(crate) path: String,
    /// Where its password lies.
    pub(crate) password: Option<PathBuf>,
    pub(crate) secret: String,
    pub(crate) java: ByJava,
    /// Arguments that have openssl print the certificates.
    pub(crate) openssl: Vec<String>,
    pub(crate) is_ordered: bool,
}

/// How Java is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ByJava {
    Store(&'static str),
    Certificates,
}

impl Pool {
    pub(crate) fn new(directory: &Path, dice: &mut Dice, java: &mut Java) -> Self {
        let path = |name: &str| directory.join(name).to_str().expect("UTF-8").to_owned();
        let (key_der, key_pem) = (path("key.der"), path("key.pem"));
        fs::write(&key_der, hex::decode(x509::KEY).expect("hex")).expect("it can be written");
        openssl(&["pkey", "-inform", "DER", "-in", &key_der, "-out", &key_pem]).expect("a sound key");
        for secret in PASSWORDS.iter().chain(&[UNICODE, ""]) {
            fs::write(password_file(directory, secret), secret).expect("it can be written");
        }
        let mut certificates = Vec::new();
        for number in 0..ODD {
            let bytes = x509::certificate(dice, number);
            let (der, pem) = (path(&format!("{number}.der")), path(&format!("{number}.pem")));
            fs::write(&der, &bytes).expect("it can be written");
            fs::write(&pem, block("CERTIFICATE", &bytes, "\n")).expect("it can be written");
            let facts =
                by_openssl(Path::new(&der)).unwrap_or_else(|| panic!("openssl does not read {}", hex::encode(&bytes)));
            let is_read_by_java = java.ask(&format!("read\t{der}")).is_some_and(|read| read.len() == 1);
            let is_der = bytes[1] != 0x80;
            certificates.push(Pooled { bytes, der, pem, facts, is_read_by_java, is_der });
        }
        Self { directory: directory.to_owned(), key_pem, key_der, certificates }
    }

    fn some<'a>(
        &'a self,
        dice: &mut Dice,
        least: usize,
        most: usize,
        wanted: impl Fn(&Pooled) -> bool,
    ) -> Vec<&'a Pooled> {
        let count = least + dice.below(most - least + 1);
        let fit: Vec<_> = self.certificates.iter().filter(|one| wanted(one)).collect();
        let mut taken: Vec<&Pooled> = Vec::new();
        while taken.len() < count {
            let one = dice.of(&fit);
            if taken.iter().all(|other| other.facts != one.facts) {
                taken.push(one);
            }
        }
        taken
    }

    /// Makes the file of one form; `None` where its maker refuses, as openssl refuses some certificates for its stores.
    pub(crate) fn make(&self, dice: &mut Dice, number: usize, java: &mut Java) -> Option<Form> {
        let path = self.directory.join(format!("form-{number}")).to_str()?.to_owned();
        match dice.below(10) {
            0..=3 => self.by_java(dice, path, java),
            4 | 5 => self.by_openssl(dice, path),
            6 => self.pkcs7(dice, path),
            7 => Some(self.der_file(dice, path)),
            8 => self.by_our_writer(dice, path),
            _ => Some(self.pem(dice, path)),
        }
    }

    /// Written once, before anybody reads it.
    fn password(&self, secret: &str) -> PathBuf {
        password_file(&self.directory, secret)
    }

    /// A PKCS#12 as openssl is asked about it.
    fn pkcs12(&self, what: String, path: String, secret: &str, java: ByJava) -> Form {
        let password = self.password(secret);
        let source = format!("file:{}", password.display());
        let arguments = ["pkcs12", "-legacy", "-in", &path, "-nomacver", "-nokeys", "-passin", &source];
        let openssl = arguments.map(str::to_owned).to_vec();
        Form { what, path, password: Some(password), secret: secret.to_owned(), java, openssl, is_ordered: false }
    }

    fn by_java(&self, dice: &mut Dice, path: String, java: &mut Java) -> Option<Form> {
        let kind = dice.of(&["JKS", "JCEKS", "PKCS12"]);
        let secret = if kind == "JKS" && dice.once_in(4) { UNICODE } else { dice.of(&PASSWORDS) };
        let [certificate, key, mac] = dice.of(&ALGORITHMS);
        let mut order = format!("make\t{kind}\t{certificate}\t{key}\t{mac}\t{path}\t{}", hex::encode(secret));
        let mut free: Vec<&str> = ALIASES.to_vec();
        for _ in 0..=dice.below(4) {
            let alias = hex::encode(free.remove(dice.below(free.len())));
            match dice.below(if kind == "JKS" { 4 } else { 5 }) {
                0 | 1 => {
                    // They are all self-issued, so that Java's PKCS#12 finds no longer chain again.
                    let most = if kind == "PKCS12" { 1 } else { 4 };
                    let chain = self.some(dice, 1, most, |one| one.is_read_by_java);
                    let chain: Vec<_> = chain.iter().map(|one| one.der.as_str()).collect();
                    order.push_str(&["\tk", &alias, &self.key_der, &chain.join(",")].join("|"));
                }
                2 | 3 => {
                    let one = self.some(dice, 1, 1, |one| one.is_read_by_java)[0];
                    order.push_str(&["\tt", &alias, &one.der].join("|"));
                }
                _ => order.push_str(&["\ts", &alias].join("|")),
            }
        }
        java.ask(&order)?;
        let what = format!("Java's {kind}");
        Some(match kind {
            "PKCS12" => self.pkcs12(what, path, secret, ByJava::Store(kind)),
            _ => Form {
                what,
                path,
                password: Some(self.password(secret)),
                secret: secret.to_owned(),
                java: ByJava::Store(kind),
                openssl: Vec::new(),
                is_ordered: false,
            },
        })
    }

    fn by_openssl(&self, dice: &mut Dice, path: String) -> Option<Form> {
        let secret = dice.of(&PASSWORDS);
        let leaf = self.some(dice, 1, 1, |_| true)[0];
        let others = self.some(dice, 1, 3, |one| one.facts != leaf.facts);
        let more: String = others.iter().map(|one| block("CERTIFICATE", &one.bytes, "\n")).collect();
        let bundle = format!("{path}.more");
        fs::write(&bundle, more).expect("it can be written");
        let source = format!("file:{}", self.password(secret).display());
        let mut arguments =
            vec!["pkcs12", "-export", "-legacy", "-iter", "500", "-out", &path, "-passout", &source, "-in", &leaf.pem];
        let has_key = !dice.once_in(4);
        if has_key {
            arguments.extend(["-inkey", &self.key_pem]);
        } else {
            arguments.push("-nokeys");
        }
        if dice.once_in(2) {
            arguments.extend(["-certfile", &bundle]);
        }
        if dice.once_in(2) {
            arguments.extend(["-name", dice.of(&["securekey", "Mixed Case", "a,b"])]);
        }
        for (option, values) in [
            ("-certpbe", &["AES-256-CBC", "PBE-SHA1-3DES", "NONE", "PBE-SHA1-RC2-40"][..]),
            ("-keypbe", &["AES-128-CBC", "PBE-SHA1-3DES"][..]),
            ("-macalg", &["sha1", "sha256", "sha512"][..]),
        ] {
            arguments.extend([option, dice.of(values)]);
        }
        if dice.once_in(6) {
            arguments.push("-nomac");
        }
        openssl(&arguments)?;
        Some(self.pkcs12(format!("openssl {}", arguments.join(" ")), path, secret, ByJava::Store("PKCS12")))
    }

    fn pkcs7(&self, dice: &mut Dice, path: String) -> Option<Form> {
        let some = self.some(dice, 1, 4, |_| true);
        let form = dice.of(&["PEM", "DER"]);
        let mut arguments = vec!["crl2pkcs7", "-nocrl", "-outform", form, "-out", &path];
        some.iter().for_each(|one| arguments.extend(["-certfile", &one.pem]));
        openssl(&arguments)?;
        let mut print = vec!["pkcs7", "-print_certs", "-inform", form, "-in", &path]
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>();
        if form == "PEM" && dice.once_in(3) {
            let label = dice.of(&["CERTIFICATE", "PKCS #7 SIGNED DATA", "CMS"]);
            let plain = format!("{path}.p7b");
            let text = fs::read_to_string(&path).ok()?;
            fs::write(&plain, &text).ok()?;
            fs::write(&path, text.replace(" PKCS7-", &format!(" {label}-"))).ok()?;
            // openssl goes by the label.
            print[5] = plain;
        }
        let what = format!("a PKCS#7 in {form}");
        let secret = String::new();
        Some(Form { what, path, password: None, secret, java: ByJava::Certificates, openssl: print, is_ordered: true })
    }

    fn der_file(&self, dice: &mut Dice, path: String) -> Form {
        let most = 1 + dice.below(3);
        let some = self.some(dice, 1, most, |one| most == 1 || one.is_read_by_java && one.is_der);
        let mut bytes: Vec<u8> = some.iter().flat_map(|one| one.bytes.clone()).collect();
        let padding: &[u8] = dice.of(&[&b""[..], b"", b"\r\n", b"\0\0\0\0"]);
        bytes.extend_from_slice(padding);
        fs::write(&path, bytes).expect("it can be written");
        let print = if some.len() == 1 { vec!["x509", "-inform", "DER", "-in", &path] } else { Vec::new() };
        let openssl = print.into_iter().map(str::to_owned).collect();
        let (what, secret) = (format!("DER of {} and {padding:?}", some.len()), String::new());
        Form { what, path, password: None, secret, java: ByJava::Certificates, openssl, is_ordered: true }
    }

    fn pem(&self, dice: &mut Dice, path: String) -> Form {
        let (end, label) =
            (dice.of(&["\n", "\r\n"]), dice.of(&["CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"]));
        let mut text = String::new();
        for one in self.some(dice, 1, 5, |_| true) {
            if dice.once_in(3) {
                text.push_str(&["subject=/CN=x", "Bag Attributes", "    friendlyName: ", ""].join(end));
            }
            text += &block(label, &one.bytes, end);
        }
        let has_key = dice.once_in(4);
        if has_key {
            text += &block("PRIVATE KEY", &hex::decode(x509::KEY).expect("hex"), end);
        }
        fs::write(&path, text).expect("it can be written");
        let openssl = ["storeutl", "-certs", &path].map(str::to_owned).to_vec();
        let (what, secret) = (format!("PEM of {label}, key {has_key}"), String::new());
        Form { what, path, password: None, secret, java: ByJava::Certificates, openssl, is_ordered: true }
    }

    /// A merge into nothing, or a PKCS#12 with safes in safes.
    fn by_our_writer(&self, dice: &mut Dice, path: String) -> Option<Form> {
        let secret = dice.of(&PASSWORDS);
        if dice.once_in(3) {
            let bags: Vec<Vec<u8>> =
                self.some(dice, 1, 3, |one| one.is_der).iter().map(|one| certificate_bag(&one.bytes)).collect();
            let flat = bags.concat();
            let nested = (0..dice.below(4)).fold(flat, |inner, _| bag(6, &der(0x30, &[&inner])));
            fs::write(&path, pfx(&nested)).ok()?;
            let form = self.pkcs12("nested safes".to_owned(), path, "", ByJava::Store("PKCS12"));
            let mut openssl = form.openssl;
            "pass:".clone_into(openssl.last_mut()?);
            return Some(Form { password: None, openssl, ..form });
        }
        let leaf = self.some(dice, 1, 1, |one| one.is_read_by_java && Certificate::from_der(&one.bytes).is_ok())[0];
        let chain = vec![Certificate::from_der(&leaf.bytes).ok()?];
        let key = KeyMaterial { pkcs8: Zeroizing::new(hex::decode(x509::KEY).ok()?), chain };
        let (format, kind) = dice.of(&[(Format::Jks, "JKS"), (Format::Jceks, "JCEKS"), (Format::Pkcs12, "PKCS12")]);
        let password = SecretString::from(secret);
        let merged = merge(
            &Merge {
                old: None,
                old_passwords: &[],
                new_password: Some(&password),
                alias: dice.of(&ALIASES),
                key: &key,
                trusted: None,
                format: Some(format),
                profile: Some(dice.of(&[Pkcs12Profile::Legacy, Pkcs12Profile::Modern])),
                on_unreadable: OnUnreadable::Refuse,
                now: jiff::Timestamp::UNIX_EPOCH,
            },
            &Limits::default(),
        );
        fs::write(&path, &*merged.ok()?.bytes).ok()?;
        let form = self.pkcs12(format!("our {kind}"), path, secret, ByJava::Store(kind));
        let openssl = if format == Format::Pkcs12 { form.openssl.clone() } else { Vec::new() };
        Some(Form { openssl, ..form })
    }
}

fn password_file(directory: &Path, secret: &str) -> PathBuf {
    directory.join(format!("password-{}", hex::encode(secret)))
}

fn block(label: &str, bytes: &[u8], end: &str) -> String {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(bytes);
    let lines: Vec<&str> = body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
    format!("-----BEGIN {label}-----{end}{}{end}-----END {label}-----{end}", lines.join(end))
}

fn bag(kind: u8, value: &[u8]) -> Vec<u8> {
    let id = [&b"\x06\x0B\x2A\x86\x48\x86\xF7\x0D\x01\x0C\x0A\x01"[..], &[kind]].concat();
    der(0x30, &[&id, &der(0xA0, &[value])])
}

fn certificate_bag(bytes: &[u8]) -> Vec<u8> {
    let octets = der(0xA0, &[&der(0x04, &[bytes])]);
    bag(3, &der(0x30, &[b"\x06\x0A\x2A\x86\x48\x86\xF7\x0D\x01\x09\x16\x01", &octets]))
}

/// With nothing encrypted and no MAC.
fn pfx(bags: &[u8]) -> Vec<u8> {
    let data = |content: &[u8]| {
        der(0x30, &[b"\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x01", &der(0xA0, &[&der(0x04, &[content])])])
    };
    let safes = der(0x30, &[&data(&der(0x30, &[bags]))]);
    der(0x30, &[b"\x02\x01\x03", &data(&safes)])
}
