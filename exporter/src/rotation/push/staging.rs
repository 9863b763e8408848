//! What the files shall hold next: the old store merged with the new key, and the password file that goes with it.
//! It is computed in memory; `Staging::write` puts it beside the files that are in use.

use std::path::Path;

use jiff::Timestamp;
use kagiban_agents::Ini;
use kagiban_crds::host_api::{KeystoreOrder, OnUnreadable};
use kagiban_crds::{AgentName, Generation, LeafSha256};
use kagiban_keystore::{self as keystore, Certificate, Format, KeyMaterial, Limits, Merge, Trusted, TrustedPlace};
use secrecy::SecretString;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use zeroize::Zeroizing;

mod error;

pub use error::StagingError;

use super::survey::{Files, MAX_STORE_BYTES, Survey, format, leaf_of};
use crate::platform::{self, Links, Surveyed};
use crate::rotation::agent::{Keystore, Push};
use crate::rotation::digest::Digest;
use crate::rotation::journal::{FileRole, FileSwap, OldFile};
use crate::rotation::state_directory::StateDirectory;

/// The set of files that is replaced together.
#[derive(Debug)]
pub(in crate::rotation) struct Staging {
    pub files: Vec<StagedFile>,
    pub previous: Option<LeafSha256>,
    /// Opens the new store.
    pub password: Option<SecretString>,
    /// What became of the CA's root, where the product's vendor has it put beside the key.
    trusted: Option<TrustedPlace>,
    /// Why the agent's copy of its INI file stays as it is, where it may tell another password.
    copy_left: Option<String>,
    leaf: LeafSha256,
}

/// One file of the set, its contents in memory.
pub(in crate::rotation) struct StagedFile {
    pub swap: FileSwap,
    pub new: Zeroizing<Vec<u8>>,
    /// What a rollback puts there.
    pub backup: Option<Zeroizing<Vec<u8>>>,
}

impl Survey {
    /// The next contents of every file in the set.
    ///
    /// # Errors
    /// See [`StagingError`].
    pub(in crate::rotation) fn stage(
        self,
        push: &Push,
        order: &KeystoreOrder,
        key: &KeyMaterial,
        place: &BackupPlace<'_>,
        now: Timestamp,
    ) -> Result<Staging, StagingError> {
        let leaf = key.chain.first().map(|leaf| LeafSha256::new(leaf.sha256())).ok_or(StagingError::OtherLeaf)?;
        let mut files = Vec::new();
        let mut trusted = None;
        match (&push.keystore, &self.files) {
            (Keystore::OneFile { path, .. }, Files::Store(surveyed)) => {
                let old = self.old_store();
                let merged = keystore::merge(
                    &Merge {
                        old,
                        old_passwords: &self.passwords,
                        new_password: self.passwords.first(),
                        alias: &self.alias,
                        key,
                        trusted: push
                            .ca_alias
                            .zip(root_of(&key.chain))
                            .map(|(alias, certificate)| Trusted { alias, certificate }),
                        format: format(self.format).or_else(|| old.is_none().then_some(Format::Pkcs12)),
                        profile: None,
                        on_unreadable: match order.on_unreadable {
                            OnUnreadable::Refuse => keystore::OnUnreadable::Refuse,
                            OnUnreadable::Replace => keystore::OnUnreadable::Replace,
                        },
                        now,
                    },
                    &Limits::default(),
                )?;
                trusted = merged.trusted;
                let holds = FileRole::Store { alias: self.alias.clone() };
                files.push(place.file(path, holds, merged.bytes, surveyed, 0)?);
            }
            (Keystore::PemPair { certificate, key: key_file }, Files::PemPair { certificate: old, key: old_key }) => {
                files.push(place.file(certificate, FileRole::Chain, chain_pem(&key.chain), old, 0)?);
                files.push(place.file(key_file, FileRole::Key, key_pem(&key.pkcs8), old_key, 1)?);
            }
            (Keystore::OneFile { .. }, Files::PemPair { .. }) | (Keystore::PemPair { .. }, Files::Store(_)) => {
                return Err(StagingError::OtherLeaf);
            }
        }
        if let Some((path, ini, contents)) = self.next_ini(push)? {
            let bytes = |ini: &Ini| Zeroizing::new(ini.bytes().to_vec());
            let file = place.file(path, FileRole::PasswordIni, bytes(&contents), &ini.file, files.len())?;
            files.push(file.restored_as(bytes(&self.ini_for_rollback(push, ini)?)));
        }
        let mut copy_left = None;
        match self.ini_copy {
            Some(Ok(copy)) => {
                let bytes = Zeroizing::new(copy.next.bytes().to_vec());
                files.push(place.file(&copy.path, FileRole::PasswordIni, bytes, &copy.file, files.len())?);
            }
            Some(Err(why)) => copy_left = Some(why),
            None => {}
        }
        let password = self.passwords.into_iter().next();
        Ok(Staging { files, previous: self.previous, password, trusted, copy_left, leaf })
    }
}

impl Staging {
    /// For the log of steps: where the CA's root went, and which copy was left. Empty where there is neither.
    pub(in crate::rotation) fn note(&self, push: &Push) -> String {
        let root = self.note_of_root(push);
        match &self.copy_left {
            None => root,
            Some(why) => {
                let between = if root.is_empty() { "" } else { "; " };
                format!("{root}{between}the agent's copy of its INI file stays as it is: {why}")
            }
        }
    }

    fn note_of_root(&self, push: &Push) -> String {
        match (&self.trusted, push.ca_alias) {
            (Some(TrustedPlace::Put { alias }), Some(usual)) if alias != usual => {
                format!("another entry is called {usual} and stays: the CA's root goes in beside it as {alias}")
            }
            (Some(TrustedPlace::Put { alias }), _) => format!("the CA's root goes in as {alias}"),
            (Some(TrustedPlace::There { alias }), _) => format!("the CA's root is there already, as {alias}"),
            (Some(TrustedPlace::Taken), Some(usual)) => {
                format!("the CA's root does not go in: other entries have the alias {usual}")
            }
            (Some(TrustedPlace::Taken), None) | (None, _) => String::new(),
        }
    }

    /// Writes every file of the set beside the one that it is to replace, with the owner and permissions that this one
    /// was surveyed with, and reads it back. Where a rollback takes another file than the old one, that is written too.
    ///
    /// # Errors
    /// See [`StagingError`].
    pub(in crate::rotation) fn write(&self) -> Result<(), StagingError> {
        for file in &self.files {
            let attributes = Some(&file.swap.attributes);
            platform::write_new(&file.swap.staged, &file.new, attributes)?;
            if let (Some(old), Some(bytes)) = (&file.swap.old, &file.backup)
                && old.backup_digest != old.digest
            {
                platform::write_new(&old.beside, bytes, attributes)?;
            }
        }
        self.check(|swap| &swap.staged)
    }

    /// Reads the set back, from where it waits or from where it belongs, as the agent would: the new password opens the
    /// key, the key is the new leaf's, and the same accounts as before may read it.
    ///
    /// # Errors
    /// See [`StagingError`].
    pub(in crate::rotation) fn check(&self, at: impl Fn(&FileSwap) -> &Path) -> Result<(), StagingError> {
        let limits = Limits::default();
        for file in &self.files {
            let held = platform::read_held(at(&file.swap), MAX_STORE_BYTES, Links::Refuse);
            let held = held.map_err(StagingError::ReadBack)?;
            if Digest::of(&held.bytes) != file.swap.new {
                return Err(StagingError::OtherLeaf);
            }
            if !held.attributes.is_same_access(&file.swap.attributes) {
                return Err(StagingError::OtherAccess { path: file.swap.path.clone() });
            }
            let leaf = match &file.swap.holds {
                FileRole::Store { alias } => keystore::open_key(&held.bytes, self.password.as_ref(), alias, &limits)
                    .map_err(StagingError::Staged)?,
                FileRole::Chain => {
                    let store = keystore::read_whole(&held.bytes, None, &limits).map_err(StagingError::Staged)?;
                    leaf_of(&store, None).cloned().ok_or(StagingError::OtherLeaf)?
                }
                FileRole::Key | FileRole::PasswordIni => continue,
            };
            if LeafSha256::new(leaf.sha256()) != self.leaf {
                return Err(StagingError::OtherLeaf);
            }
        }
        Ok(())
    }
}

/// Where the backups of one rotation go.
#[derive(Debug)]
pub(in crate::rotation) struct BackupPlace<'a> {
    pub state_directory: &'a StateDirectory,
    pub agent: &'a AgentName,
    pub generation: Generation,
}

impl BackupPlace<'_> {
    fn file(
        &self,
        path: &Path,
        holds: FileRole,
        new: Zeroizing<Vec<u8>>,
        surveyed: &Surveyed,
        number: usize,
    ) -> Result<StagedFile, StagingError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let backup = self.state_directory.backup(self.agent, self.generation).join(format!("{number}-{name}"));
        let beside = platform::temporary_beside(path)?;
        let old = surveyed.file.as_ref().map(|file| {
            let digest = Digest::of(&file.bytes);
            OldFile { digest, identity: file.identity, beside, backup, backup_digest: digest }
        });
        let swap = FileSwap {
            path: path.to_owned(),
            directory: Some(surveyed.directory),
            staged: platform::temporary_beside(path)?,
            new: Digest::of(&new),
            holds,
            attributes: surveyed.attributes.clone(),
            old,
            ready: None,
        };
        Ok(StagedFile { swap, new, backup: surveyed.file.as_ref().map(|file| file.bytes.clone()) })
    }
}

impl StagedFile {
    fn restored_as(mut self, bytes: Zeroizing<Vec<u8>>) -> Self {
        if let Some(old) = &mut self.swap.old {
            old.backup_digest = Digest::of(&bytes);
            self.backup = Some(bytes);
        }
        self
    }
}

/// What the chain ends in, where that is a CA that signed itself: the certificate that a person would import. One that a CA made of its
/// next key with its last bears the same name twice and is none.
fn root_of(chain: &[Certificate]) -> Option<&Certificate> {
    let (_, issuers) = chain.split_first()?;
    issuers.last().filter(|last| last.is_self_issued() && last.is_ca() && has_signed_itself(last))
}

fn has_signed_itself(certificate: &Certificate) -> bool {
    let parsed = X509Certificate::from_der(certificate.der());
    parsed.is_ok_and(|(_, parsed)| parsed.verify_signature(None).is_ok())
}

fn chain_pem(chain: &[Certificate]) -> Zeroizing<Vec<u8>> {
    let blocks = chain.iter().map(|certificate| keystore::pem_block("CERTIFICATE", certificate.der()));
    Zeroizing::new(blocks.flat_map(|block| block.as_bytes().to_vec()).collect())
}

fn key_pem(pkcs8: &[u8]) -> Zeroizing<Vec<u8>> {
    // The same memory goes on as bytes: no copy of a key is left behind.
    Zeroizing::new(std::mem::take(&mut *keystore::pem_block("PRIVATE KEY", pkcs8)).into_bytes())
}

impl std::fmt::Debug for StagedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StagedFile").field("swap", &self.swap).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    use super::*;

    #[test]
    fn a_ca_that_signed_itself_is_a_root_and_one_that_its_last_key_signed_under_the_same_name_is_none() {
        let params = || {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name.push(DnType::CommonName, "Fleet CA");
            params
        };
        let key = || KeyPair::generate().expect("a key");
        let (last, next) = (key(), key());
        let root = params().self_signed(&next).expect("signed");
        let rollover = params().signed_by(&next, &Issuer::new(params(), &last)).expect("signed");
        for (der, is_root) in [(root.der(), true), (rollover.der(), false)] {
            let read = || Certificate::from_der(der).expect("a certificate");
            assert!(read().is_self_issued() && read().is_ca());
            assert_eq!(root_of(&[read(), read()]).is_some(), is_root);
        }
    }
}
