//! The one JVM of the suite: makes stores once, checks what we wrote.

use crate::{jvm::Jvm, pki::pki};
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Mutex, OnceLock},
};
use tempfile::TempDir;

/// What Java says an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) kind: String,
    /// SHA-256 in hex, leaf first.
    pub(crate) chain: Vec<String>,
    /// `matches`, `mismatch`, `alone` (without a certificate), `sealed`, `secret` or `-`.
    pub(crate) key: String,
}

/// The bytes of a store that Java made; the names are in `Keystores.java`.
pub(crate) fn made(name: &str) -> Vec<u8> {
    fs::read(stores().join(name)).unwrap_or_else(|error| panic!("store {name} was not made: {error}"))
}

/// Loads a store with Java and opens each key; by alias.
pub(crate) fn check(kind: &str, bytes: &[u8], password: &str) -> BTreeMap<String, Seen> {
    check_with(kind, bytes, password, password)
}

pub(crate) fn check_with(kind: &str, bytes: &[u8], password: &str, key_password: &str) -> BTreeMap<String, Seen> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    let path = file.path().to_str().unwrap();
    let lines = ask(&["check", kind, path, &hex::encode(password), &hex::encode(key_password)]);
    let entries = lines.iter().map(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        let alias = String::from_utf8(hex::decode(fields[1]).unwrap_or_else(|_| panic!("Java: {line}"))).unwrap();
        let chain = fields[2].split(',').filter(|one| !one.is_empty()).map(str::to_owned).collect();
        (alias, Seen { kind: fields[0].to_owned(), chain, key: fields[3].to_owned() })
    });
    entries.collect()
}

/// Runs keytool in the JVM; its output.
pub(crate) fn keytool(args: &[&str]) -> Vec<String> {
    ask(&[&["keytool"], args].concat())
}

/// A directory for stores that keytool makes.
pub(crate) fn stores() -> &'static Path {
    static STORES: OnceLock<TempDir> = OnceLock::new();
    STORES
        .get_or_init(|| {
            let dir = tempfile::tempdir().unwrap();
            let pki = pki();
            let put = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).unwrap();
            put("root.der", pki.root.der());
            put("ca.der", pki.ca.der());
            put("extra.der", pki.extra.der());
            put("leaf.der", pki.leaf.certificate.der());
            put("leaf.p8", &pki.leaf.pkcs8);
            put("other.der", pki.other.certificate.der());
            put("other.p8", &pki.other.pkcs8);
            let said = ask(&["make", dir.path().to_str().unwrap()]);
            assert!(said.is_empty(), "Java could not make the stores: {said:?}");
            dir
        })
        .path()
}

fn ask(order: &[&str]) -> Vec<String> {
    static JVM: OnceLock<Mutex<Jvm>> = OnceLock::new();
    JVM.get_or_init(|| Mutex::new(start())).lock().unwrap().ask(&order.join("\t"))
}

fn start() -> Jvm {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/Keystores.java");
    Jvm::start(&source, &["--add-exports", "java.base/sun.security.tools.keytool=ALL-UNNAMED", "-Duser.language=en"])
}
