//! Whether the files of an agent go together, judged by what they hold: for when no journal tells.

use kagiban_crds::LeafSha256;
use kagiban_keystore::{self as keystore, Certificate, Limits, ReadError};
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::agent::{Agent, Keystore};
use super::staging::StagingError;
use super::survey::{self, MAX_STORE_BYTES};
use crate::platform::{self, Links};

/// What the files say of themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The host's own passwords open the store, the key is the leaf's, and the agent is told the right password.
    Whole(LeafSha256),
    /// No password that the host knows opens the store. The agent may know it.
    Unknown { why: String },
    /// The agent cannot start on them.
    Broken { why: String },
}

/// Reads what is on disk; nothing is changed.
pub(super) fn judge(agent: &Agent) -> Verdict {
    match leaf(agent) {
        Ok(leaf) => Verdict::Whole(LeafSha256::new(leaf.sha256())),
        Err(Doubt::Locked(error)) => Verdict::Unknown { why: error.to_string() },
        Err(Doubt::Broken(error)) => Verdict::Broken { why: error.to_string() },
    }
}

/// Why the leaf was not found to go with its key.
enum Doubt {
    Locked(StagingError),
    Broken(StagingError),
}

impl From<StagingError> for Doubt {
    fn from(error: StagingError) -> Self {
        match error {
            // A password of ours that cannot be read says nothing of the agent's files.
            StagingError::PasswordFile(_) | StagingError::NoAlias => Self::Locked(error),
            StagingError::Old(ReadError::BadPassword | ReadError::PasswordNeeded) => Self::Locked(error),
            // Java may read what we do not.
            StagingError::Old(ReadError::TooExpensive { .. } | ReadError::TooLarge { .. }) => Self::Locked(error),
            error => Self::Broken(error),
        }
    }
}

fn leaf(agent: &Agent) -> Result<Certificate, Doubt> {
    let read = |path| platform::read_held(path, MAX_STORE_BYTES, Links::Refuse).map_err(StagingError::File);
    match &agent.keystore {
        Keystore::OneFile { path, .. } => {
            let bytes = read(path)?.bytes;
            let (passwords, told) = (survey::known_passwords(agent)?, survey::told_password(agent)?);
            open(&bytes, agent.alias.as_deref(), passwords, told)
        }
        Keystore::PemPair { certificate, key } => {
            let mut both = read(certificate)?.bytes;
            let key = read(key)?.bytes;
            let mut text = Zeroizing::new(Vec::with_capacity(both.len() + key.len() + 1));
            text.append(&mut both);
            text.push(b'\n');
            text.extend_from_slice(&key);
            let opened = keystore::open_key(&text, None, "", &Limits::default());
            opened.map_err(|error| Doubt::Broken(StagingError::Old(error)))
        }
    }
}

/// `told` is the password in the file that the agent reads: when there is one, no other counts.
fn open(
    bytes: &[u8],
    alias: Option<&str>,
    passwords: Vec<SecretString>,
    told: Option<SecretString>,
) -> Result<Certificate, Doubt> {
    let is_told = told.is_some();
    let candidates = told.map_or(passwords, |told| vec![told]);
    let alias = match alias {
        Some(alias) => alias.to_owned(),
        None => survey::only_alias(bytes, &candidates)?,
    };
    let mut last = ReadError::BadPassword;
    let mut attempts: Vec<_> = candidates.iter().map(Some).collect();
    if attempts.is_empty() {
        attempts.push(None);
    }
    for password in attempts {
        match keystore::open_key(bytes, password, &alias, &Limits::default()) {
            Ok(leaf) => return Ok(leaf),
            Err(error) => last = error,
        }
    }
    // A file tells the agent a password, and it is not the store's: one of the two is the other's leftover.
    if is_told && last == ReadError::BadPassword {
        return Err(Doubt::Broken(StagingError::Old(last)));
    }
    Err(StagingError::Old(last).into())
}
