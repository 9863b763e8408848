//! What Java sees in a keystore: `keytool` makes it, lists it and opens its key.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::run;
use crate::tools;

/// Protects the copy that [`open_key`] has Java make.
const COPY_PASSWORD: &str = "copy-for-a-look";

/// Of the certificates that are found.
pub const DAYS_LEFT: u32 = 9;

/// A store's type, by `keytool`'s name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreType {
    Jks,
    Jceks,
    Pkcs12,
}

impl fmt::Display for StoreType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jks => "JKS",
            Self::Jceks => "JCEKS",
            Self::Pkcs12 => "PKCS12",
        })
    }
}

/// A store as `keytool -list -v` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// `JKS`, `JCEKS` or `PKCS12`.
    pub store_type: String,
    pub entries: BTreeMap<String, Listed>,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// `PrivateKeyEntry`, `trustedCertEntry` or `SecretKeyEntry`.
    pub kind: String,
    /// SHA-256 of each certificate, lower-case hexadecimal, leaf first.
    pub chain: Vec<String>,
}

/// A new RSA-2048 key with a self-signed certificate, as the notice's `keytool -genkey` makes it.
pub fn generate(store: &Path, kind: StoreType, password: &str, alias: &str, common_name: &str) -> Result<()> {
    generate_days_ago(0, DAYS_LEFT, store, kind, password, alias, common_name)
}

/// The same as it was made so many days ago, for so many days.
pub fn generate_days_ago(
    ago: u32,
    validity: u32,
    store: &Path,
    kind: StoreType,
    password: &str,
    alias: &str,
    common_name: &str,
) -> Result<()> {
    run(keytool(store, password)?
        .args(["-genkeypair", "-alias", alias, "-keyalg", "RSA", "-keysize", "2048", "-sigalg", "SHA512withRSA"])
        .args(["-startdate", &format!("-{ago}d"), "-validity", &validity.to_string()])
        .args(["-dname", &format!("CN={common_name}"), "-keypass", password])
        .args(["-storetype", &kind.to_string()]))?;
    Ok(())
}

/// Adds a trusted certificate.
pub fn trust(store: &Path, password: &str, alias: &str, certificate: &Path) -> Result<()> {
    run(keytool(store, password)?.args(["-importcert", "-noprompt", "-alias", alias, "-file"]).arg(certificate))?;
    Ok(())
}

pub fn list(store: &Path, password: &str) -> Result<Listing> {
    let text = run(keytool(store, password)?.args(["-list", "-v"]))?;
    parse_listing(&text).with_context(|| format!("keytool -list -v printed something else:\n{text}"))
}

/// Has Java decrypt the key under the alias, and returns it as unencrypted PKCS#8, DER, once it is shown to belong to the
/// leaf beside it.
pub fn open_key(store: &Path, password: &str, alias: &str, scratch: &Path) -> Result<Vec<u8>> {
    let copy = scratch.join("opened.p12");
    let _ = fs::remove_file(&copy);
    run(base_keytool()?
        .args(["-importkeystore", "-noprompt", "-srcalias", alias, "-srcstorepass", password])
        .args(["-deststoretype", "PKCS12", "-deststorepass", COPY_PASSWORD])
        .arg("-srckeystore")
        .arg(store)
        .arg("-destkeystore")
        .arg(&copy))?;
    let openssl = tools::openssl()?;
    let pem = scratch.join("opened.pem");
    let from_copy = format!("pass:{COPY_PASSWORD}");
    run(Command::new(&openssl)
        .args(["pkcs12", "-nodes", "-passin", &from_copy, "-in"])
        .arg(&copy)
        .arg("-out")
        .arg(&pem))?;
    let of_key = run(Command::new(&openssl).args(["pkey", "-pubout", "-in"]).arg(&pem))?;
    let of_leaf = run(Command::new(&openssl).args(["x509", "-noout", "-pubkey", "-in"]).arg(&pem))?;
    anyhow::ensure!(of_key == of_leaf, "the key under {alias} is not the leaf's");
    let der = scratch.join("opened.der");
    run(Command::new(&openssl)
        .args(["pkcs8", "-topk8", "-nocrypt", "-outform", "DER", "-in"])
        .arg(&pem)
        .arg("-out")
        .arg(&der))?;
    Ok(fs::read(der)?)
}

fn keytool(store: &Path, password: &str) -> Result<Command> {
    let mut command = base_keytool()?;
    command.args(["-storepass", password, "-keystore"]).arg(store);
    Ok(command)
}

fn base_keytool() -> Result<Command> {
    let program: PathBuf = tools::keytool()?;
    let mut command = Command::new(program);
    // What keytool prints is parsed: in English, whatever the machine speaks.
    command.args(["-J-Duser.language=en", "-J-Duser.country=US", "-J-XX:TieredStopAtLevel=1"]);
    Ok(command)
}

fn parse_listing(text: &str) -> Option<Listing> {
    let after = |line: &str, label: &str| line.trim().strip_prefix(label).map(|rest| rest.trim().to_owned());
    let store_type = text.lines().find_map(|line| after(line, "Keystore type:"))?.to_uppercase();
    let mut entries = BTreeMap::new();
    for block in text.split("Alias name:").skip(1) {
        let alias = block.lines().next()?.trim().to_owned();
        let kind = block.lines().find_map(|line| after(line, "Entry type:"))?;
        let digest = |line: &str| after(line, "SHA256:").map(|hex| hex.replace(':', "").to_lowercase());
        entries.insert(alias, Listed { kind, chain: block.lines().filter_map(digest).collect() });
    }
    Some(Listing { store_type, entries })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_read_with_its_chains_in_order() {
        let text = "Keystore type: jks\nKeystore provider: SUN\n\nAlias name: securekey\nCreation date: x\n\
            Entry type: PrivateKeyEntry\nCertificate chain length: 2\nCertificate[1]:\n\t SHA256: AA:01\nCertificate[2]:\n\
            \t SHA256: BB:02\n\nAlias name: root\nEntry type: trustedCertEntry\n\t SHA256: CC:03\n";
        let listing = parse_listing(text).expect("listing");
        assert_eq!(listing.store_type, "JKS");
        assert_eq!(listing.entries["securekey"].chain, ["aa01", "bb02"]);
        assert_eq!(listing.entries["root"], Listed { kind: "trustedCertEntry".into(), chain: vec!["cc03".into()] });
    }
}
