//! The file that an agent keeps its certificate in: the proof of a renewal where nothing is served. It is read without a password, anew at
//! every look, and what its name led to at the last look says nothing of what it leads to now.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use kagiban_keystore::{Certificate, Format, Limits, ReadError, Store, sniff};
use tokio::time::Instant;

use crate::blocking::{Blocked, Turns, Work};
use crate::platform::{self, FileError, Links};

/// A file of some kilobytes.
const LOOK_DEADLINE: Duration = Duration::from_secs(5);

/// By file: where one hangs, one thread does, and no other agent waits for it.
static LOOKS: LazyLock<Turns<PathBuf>> = LazyLock::new(Turns::new);

/// Where an agent keeps its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafFile {
    pub path: PathBuf,
    /// Of its entry in a Java store; other formats have none.
    pub alias: Option<String>,
}

/// Why no leaf was seen in the file.
#[derive(Debug, thiserror::Error)]
pub enum LeafFileError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{}: {source}", path.display())]
    Unread { path: PathBuf, source: ReadError },
    #[error(
        "{}: a PKCS#12 is opened with a password, and none is used here; name a file that is read without one (DER, PEM, JKS or JCEKS), or \
         the endpoint",
        path.display()
    )]
    Sealed { path: PathBuf },
    #[error("{}: it has no entry {alias:?} with a certificate; correct verify.alias", path.display())]
    NoEntry { path: PathBuf, alias: String },
    #[error("{}: it has several entries with a certificate; name the agent's own in verify.alias", path.display())]
    Several { path: PathBuf },
    #[error("{}: it was not read: {source}", path.display())]
    Blocked { path: PathBuf, source: Blocked },
}

impl LeafFileError {
    /// Stable, for conditions and failure reasons.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::File(error) => error.reason(),
            Self::Unread { source, .. } => source.reason(),
            Self::Sealed { .. } => "password_needed",
            Self::NoEntry { .. } | Self::Several { .. } => "no_alias",
            Self::Blocked { source, .. } => source.reason(),
        }
    }

    /// Whether what was there is lost, whole or in part.
    pub(super) const fn is_damage(&self) -> bool {
        matches!(self, Self::File(FileError::NotFound { .. }) | Self::Unread { .. })
    }

    /// Whether the file itself shows so, and not this host's own want of something, or another program that has the file open alone.
    pub(super) const fn is_the_files(&self) -> bool {
        match self {
            Self::File(FileError::PermissionDenied { .. } | FileError::Read { .. }) | Self::Blocked { .. } => false,
            Self::File(
                FileError::NotFound { .. }
                | FileError::NotRegular { .. }
                | FileError::SymlinkLoop { .. }
                | FileError::UntrustedLink { .. }
                | FileError::LinkOnTheWay { .. }
                | FileError::HardLinked { .. }
                | FileError::ForeignOwner { .. }
                | FileError::Exposed(_)
                | FileError::TooLarge { .. },
            )
            | Self::Unread { .. }
            | Self::Sealed { .. }
            | Self::NoEntry { .. }
            | Self::Several { .. } => true,
        }
    }
}

/// One look.
///
/// # Errors
/// See [`LeafFileError`].
pub(super) async fn look(file: &LeafFile) -> Result<Certificate, LeafFileError> {
    let until = Instant::now() + LOOK_DEADLINE;
    let (key, read) = (file.path.clone(), file.clone());
    let looked = LOOKS.run(Work::LeafFiles, key, until, move || read_leaf(&read)).await;
    looked.unwrap_or_else(|source| Err(LeafFileError::Blocked { path: file.path.clone(), source }))
}

/// Blocks on the file's file system.
fn read_leaf(file: &LeafFile) -> Result<Certificate, LeafFileError> {
    let limits = Limits::default();
    let most = u64::try_from(limits.max_bytes).unwrap_or(u64::MAX);
    // Of whoever keeps it: another account that may write beside it could prove a renewal by a certificate of its own.
    let read = platform::read_held(&file.path, most, Links::OfAdministrators)?;
    leaf_in(&file.path, file.alias.as_deref(), &read.bytes, &limits)
}

fn leaf_in(path: &Path, alias: Option<&str>, bytes: &[u8], limits: &Limits) -> Result<Certificate, LeafFileError> {
    let unread = |source| LeafFileError::Unread { path: path.to_owned(), source };
    // Its key would be derived from the empty password at every look.
    if sniff(bytes) == Some(Format::Pkcs12) {
        return Err(LeafFileError::Sealed { path: path.to_owned() });
    }
    let store = kagiban_keystore::read(bytes, None, limits).map_err(unread)?;
    // Of a file that is half written, or damaged, what can be read may be another certificate than the agent's.
    if let Some(fault) = store.faults.first() {
        return Err(unread(fault.cause.clone()));
    }
    store.check_has_certificate().map_err(unread)?;
    chosen(path, alias, &store).cloned()
}

fn chosen<'a>(path: &Path, alias: Option<&str>, store: &'a Store) -> Result<&'a Certificate, LeafFileError> {
    let mut leaves = store.entries.iter().filter_map(|entry| Some((entry, entry.leaf()?)));
    let several = || LeafFileError::Several { path: path.to_owned() };
    match (store.format, alias) {
        // The leaf stands first.
        (Format::Pem | Format::Der, _) => leaves.next().map(|(_, leaf)| leaf).ok_or_else(several),
        (Format::Jks | Format::Jceks | Format::Pkcs12, Some(alias)) => {
            let named = leaves.find(|(entry, _)| entry.alias.eq_ignore_ascii_case(alias));
            let none = || LeafFileError::NoEntry { path: path.to_owned(), alias: alias.to_owned() };
            named.map(|(_, leaf)| leaf).ok_or_else(none)
        }
        (Format::Jks | Format::Jceks | Format::Pkcs12, None) | (Format::Pkcs7, _) => {
            let only = leaves.next().filter(|_| leaves.next().is_none());
            only.map(|(_, leaf)| leaf).ok_or_else(several)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn made(name: &str) -> rcgen::Certificate {
        rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate").cert
    }

    fn seen(alias: Option<&str>, bytes: &[u8]) -> Result<[u8; 32], &'static str> {
        let leaf = leaf_in(Path::new("OfcNTCer.dat"), alias, bytes, &Limits::default());
        leaf.map(|leaf| leaf.sha256()).map_err(|error| error.reason())
    }

    /// Seed 004 says what the file is called, and another article of the vendor that it can be opened as a certificate.
    #[test]
    fn a_leaf_is_read_whatever_way_its_file_is_written() {
        let made = made("console.example.com");
        let der = made.der().to_vec();
        let expected = Certificate::from_der(&der).expect("a certificate").sha256();
        let pem = made.pem();
        let with_mark = [&b"\xef\xbb\xbf"[..], pem.as_bytes()].concat();
        let in_utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain(pem.encode_utf16().flat_map(u16::to_le_bytes)).collect();
        for bytes in [der.as_slice(), pem.as_bytes(), &with_mark, &in_utf16, pem.replace('\n', "\r\n").as_bytes()] {
            assert_eq!(seen(None, bytes), Ok(expected));
            assert_eq!(seen(Some("securekey"), bytes), Ok(expected), "there are no aliases in it");
        }
    }

    /// The rest of a chain would be taken for a renewed leaf that ends later.
    #[test]
    fn a_file_that_is_half_written_shows_no_leaf() {
        let [leaf, issuer] = [made("console.example.com"), made("authority.example.com")];
        let whole = leaf.pem() + &issuer.pem();
        assert!(seen(None, whole.as_bytes()).is_ok());
        let damaged = whole.replacen("MII", "!!!", 1);
        assert_eq!(seen(None, damaged.as_bytes()), Err("malformed"));
        let der = leaf.der();
        for part in [&der[..0], &der[..1], &der[..der.len() / 2], &der[..der.len() - 1]] {
            assert!(seen(None, part).is_err(), "{} bytes", part.len());
        }
    }

    #[test]
    fn a_java_store_shows_the_entry_that_is_named_without_its_password() {
        let directory = tempfile::tempdir().expect("directory");
        let made = |store: &str, kind: &str, alias: &str| {
            let made = Command::new("keytool")
                .args([
                    "-genkeypair",
                    "-keyalg",
                    "RSA",
                    "-storepass",
                    "secret1",
                    "-keypass",
                    "secret1",
                    "-dname",
                    "CN=ups-01",
                ])
                .args(["-storetype", kind, "-alias", alias, "-keystore"])
                .arg(directory.path().join(store))
                .output()
                .expect("keytool is needed: install a JDK, for example openjdk-17-jdk-headless");
            assert!(made.status.success(), "{made:?}");
            std::fs::read(directory.path().join(store)).expect("it is there")
        };
        for kind in ["JKS", "JCEKS"] {
            let one = made(kind, kind, "securekey");
            let only = seen(None, &one);
            assert!(only.is_ok(), "{kind}: {only:?}");
            assert_eq!(seen(Some("SecureKey"), &one), only, "{kind}");
            assert_eq!(seen(Some("other"), &one), Err("no_alias"));
            let two = made(kind, kind, "other");
            assert_eq!((seen(None, &two), seen(Some("securekey"), &two)), (Err("no_alias"), only), "{kind}");
        }
        assert_eq!(seen(Some("securekey"), &made("p12", "PKCS12", "securekey")), Err("password_needed"));
    }

    #[tokio::test]
    async fn a_file_is_looked_at_anew_each_time_and_one_that_is_gone_shows_so_itself() {
        let directory = tempfile::tempdir().expect("directory");
        let file = LeafFile { path: directory.path().join("OfcNTCer.dat"), alias: None };
        let missing = look(&file).await.expect_err("it is not there");
        assert!(missing.is_the_files() && missing.reason() == "not_found", "{missing:?}");
        for _ in 0..2 {
            let made = made("console.example.com");
            std::fs::write(&file.path, made.der()).expect("written");
            let seen = look(&file).await.expect("a leaf");
            assert_eq!(seen.der(), made.der().as_ref());
        }
        std::fs::remove_file(&file.path).expect("removed");
        std::fs::create_dir(&file.path).expect("made");
        assert_eq!(look(&file).await.expect_err("no file").reason(), "not_regular");
    }

    /// Whoever may write beside an agent's files, and not to them, must not have a certificate of their own prove a renewal.
    #[tokio::test]
    async fn a_second_name_of_another_file_proves_nothing() {
        let directory = tempfile::tempdir().expect("directory");
        let file = LeafFile { path: directory.path().join("OfcNTCer.dat"), alias: None };
        let other = directory.path().join("another.dat");
        std::fs::write(&other, made("console.example.com").der()).expect("written");
        std::fs::hard_link(&other, &file.path).expect("linked");
        let refused = look(&file).await.expect_err("refused");
        assert!(refused.is_the_files(), "{refused}");
        assert_eq!(refused.reason(), "hard_linked");
    }
}
