//! What an agent's files say. Blocks on the file system.

use std::path::{Path, PathBuf};

use kagiban_agents::{Hardening, PasswordIni};
use kagiban_keystore::{Certificate, Limits, PasswordCheck};
use secrecy::SecretString;
use walkdir::WalkDir;

use crate::health::{JavaVersion, LeafMarks, StorePassword, Writers};
use crate::password_file;
use crate::platform::{self, FileError};
use crate::snapshot::{Label, Trouble};
use crate::sources::password_ini;

/// A Java has some 500 files, an agent with its logs some thousand.
const MAX_FILES: usize = 20_000;
/// The deepest path of a Java has six parts below it.
const MAX_DEPTH: usize = 16;
/// An agent has some thirty, each of which a program is asked about for a second.
const MAX_JARS: usize = 200;
/// The file `release` has some 1.5 KiB.
const MAX_RELEASE_BYTES: u64 = 64 * 1024;

/// Where an agent's things lie.
#[derive(Clone, Debug)]
pub(in crate::sources) struct AgentPaths {
    pub(in crate::sources) product: &'static Hardening,
    pub(in crate::sources) directory: PathBuf,
    pub(in crate::sources) keystore: PathBuf,
    pub(in crate::sources) alias: Option<String>,
    pub(in crate::sources) password_file: Option<PathBuf>,
    pub(in crate::sources) password_ini: Option<(PathBuf, PasswordIni)>,
    pub(in crate::sources) protected: &'static [&'static str],
    /// Besides the agent's own.
    pub(in crate::sources) command_directories: Vec<PathBuf>,
}

/// What the files say, each or why not.
#[derive(Debug)]
pub(super) struct Collected {
    pub(super) stored: Result<LeafMarks, Trouble>,
    pub(super) store_password: Result<StorePassword, Trouble>,
    pub(super) cacerts_open_by_default: Result<bool, Trouble>,
    pub(super) jre: Result<Writers, Trouble>,
    pub(super) install: Result<Writers, Trouble>,
    pub(super) command_files: Result<Writers, Trouble>,
    pub(super) java: Result<JavaVersion, Trouble>,
    pub(super) missing: Result<Vec<&'static str>, Trouble>,
    pub(super) left_behind: Result<Option<Label>, Trouble>,
    /// Those that the vendor has signed.
    pub(super) jars: Result<Vec<PathBuf>, Trouble>,
}

impl AgentPaths {
    pub(super) fn collect(&self) -> Collected {
        let jre = self.folder().join(self.product.jre);
        let (stored, store_password) = self.store();
        Collected {
            stored,
            store_password,
            cacerts_open_by_default: self.cacerts(&jre.join(self.product.cacerts)),
            jre: tree(&jre),
            install: self.install(),
            command_files: self.command_files(),
            java: java(&jre.join(self.product.release)),
            missing: self.missing(),
            left_behind: self.left_behind(),
            jars: self.jars(),
        }
    }

    /// The folder that it was installed into.
    fn folder(&self) -> &Path {
        self.directory.parent().unwrap_or(&self.directory)
    }

    fn store(&self) -> (Result<LeafMarks, Trouble>, Result<StorePassword, Trouble>) {
        let bytes = match read(&self.keystore) {
            Ok(bytes) => bytes,
            Err(trouble) => return (Err(trouble.clone()), Err(trouble)),
        };
        let default = SecretString::from(self.product.default_password);
        let told = match self.told_password() {
            Ok(told) => told,
            Err(trouble) => return (self.leaf(&bytes, None), Err(trouble)),
        };
        let verified = |password: &SecretString| check(&bytes, password) == Ok(PasswordCheck::Verified);
        let password = match &told {
            _ if verified(&default) => StorePassword::Default,
            Some(told) if verified(told) => StorePassword::Own,
            Some(_) => StorePassword::Mismatch,
            None => StorePassword::NotTold,
        };
        let opens = if password == StorePassword::Default { Some(&default) } else { told.as_ref() };
        (self.leaf(&bytes, opens), Ok(password))
    }

    /// From the agent's settings, or else from a password file of ours. Settings that cannot be read tell nothing.
    fn told_password(&self) -> Result<Option<SecretString>, Trouble> {
        let in_settings = match &self.password_ini {
            Some((path, ini)) => match password_ini::read(path, *ini) {
                Ok(found) => found,
                Err(FileError::NotFound { .. }) => None,
                Err(error) => return Err(Trouble::new(error.reason(), error)),
            },
            None => None,
        };
        match &self.password_file {
            Some(path) if in_settings.is_none() => {
                password_file::read(path).map(Some).map_err(|error| Trouble::new(error.reason(), error))
            }
            _ => Ok(in_settings),
        }
    }

    fn leaf(&self, bytes: &[u8], password: Option<&SecretString>) -> Result<LeafMarks, Trouble> {
        let store = kagiban_keystore::read(bytes, password, &Limits::default())
            .map_err(|error| Trouble::new(error.reason(), error))?;
        let leaf = match &self.alias {
            Some(alias) => store.key(alias).and_then(|entry| entry.leaf()),
            None => store.entries.iter().find_map(|entry| entry.leaf()),
        };
        leaf.map(marks).ok_or_else(|| Trouble::new("no_certificate", "the keystore has no certificate under its alias"))
    }

    /// A store without a password opens with every password, this one too.
    fn cacerts(&self, path: &Path) -> Result<bool, Trouble> {
        let bytes = read(path)?;
        match check(&bytes, &SecretString::from(self.product.default_password)) {
            Ok(PasswordCheck::Verified | PasswordCheck::NoneNeeded) => Ok(true),
            Ok(PasswordCheck::Wrong | PasswordCheck::NotGiven | PasswordCheck::Empty) | Err("bad_password") => {
                Ok(false)
            }
            Err(reason) => Err(Trouble::new(reason, format!("{}: cannot be read as a keystore", path.display()))),
        }
    }

    /// The folder itself, in which whoever may write can exchange what is below; and the agent's whole directory.
    fn install(&self) -> Result<Writers, Trouble> {
        let folder = resolved(self.folder())?;
        if platform::is_writable_by_others(&folder).map_err(|error| Trouble::new(error.reason(), error))? {
            return Ok(Writers::Others(Label::from_path(&folder)));
        }
        tree(&self.directory)
    }

    /// All folders of commands; the agent's own need not be there when others are configured.
    fn command_files(&self) -> Result<Writers, Trouble> {
        let own = tree(&self.directory.join(self.product.command_files));
        let own = Some(own).filter(|own| {
            self.command_directories.is_empty() || own.as_ref().map_or_else(|it| it.reason != "not_found", |_| true)
        });
        let all = own.into_iter().chain(self.command_directories.iter().map(|directory| tree(directory)));
        // The worst is what is said: what others may write, then what is not known.
        all.reduce(|worst, next| match (&worst, &next) {
            (Ok(Writers::Others(_)), _) => worst,
            (_, Ok(Writers::Others(_))) => next,
            (Err(_) | Ok(Writers::Unfinished), _) => worst,
            (Ok(Writers::Administrators), _) => next,
        })
        .unwrap_or(Ok(Writers::Administrators))
    }

    fn missing(&self) -> Result<Vec<&'static str>, Trouble> {
        // Where there is no agent, its files are not missing.
        resolved(&self.directory)?;
        let mut missing = Vec::new();
        for name in self.protected {
            match platform::identify(&self.directory.join(name)) {
                Ok(_) => {}
                Err(FileError::NotFound { .. }) => missing.push(*name),
                Err(error) => return Err(Trouble::new(error.reason(), error)),
            }
        }
        Ok(missing)
    }

    fn jars(&self) -> Result<Vec<PathBuf>, Trouble> {
        let directory = resolved(&self.directory)?;
        let mut jars = Vec::new();
        for pattern in self.product.signed_jars {
            let path = directory.join(pattern);
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let Some(end) = name.strip_prefix('*') else {
                jars.push(path);
                continue;
            };
            let folder = path.parent().unwrap_or(&directory);
            let failed = |source| {
                let error = FileError::from_io(folder, source);
                Trouble::new(error.reason(), error)
            };
            for entry in std::fs::read_dir(folder).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                if entry.file_name().to_string_lossy().ends_with(end) {
                    jars.push(entry.path());
                }
                if jars.len() > MAX_JARS {
                    return Err(Trouble::new(
                        "too_many_files",
                        format!("{}: more than {MAX_JARS} JARs", folder.display()),
                    ));
                }
            }
        }
        jars.sort();
        Ok(jars)
    }

    fn left_behind(&self) -> Result<Option<Label>, Trouble> {
        resolved(&self.directory)?;
        for folder in [self.directory.as_path(), self.folder()] {
            for name in self.product.left_behind {
                let path = folder.join(name);
                match platform::identify(&path) {
                    Ok(_) => return Ok(Some(Label::from_path(&path))),
                    Err(FileError::NotFound { .. }) => {}
                    Err(error) => return Err(Trouble::new(error.reason(), error)),
                }
            }
        }
        Ok(None)
    }
}

pub(super) fn marks(leaf: &Certificate) -> LeafMarks {
    LeafMarks {
        self_issued: leaf.is_self_issued(),
        key: leaf.key_algorithm().to_owned(),
        signature: leaf.signature_algorithm().to_owned(),
    }
}

fn java(release: &Path) -> Result<JavaVersion, Trouble> {
    let file = platform::read_regular(release, MAX_RELEASE_BYTES).map_err(|e| Trouble::new(e.reason(), e))?;
    let version = JavaVersion::in_release(&String::from_utf8_lossy(&file.bytes));
    version.ok_or_else(|| Trouble::new("no_version", format!("{}: names no JAVA_VERSION", release.display())))
}

/// Who may write something in a tree. Symbolic links in it are not followed: what they lead to is somebody else's tree.
fn tree(root: &Path) -> Result<Writers, Trouble> {
    let walk = WalkDir::new(resolved(root)?).max_depth(MAX_DEPTH);
    let (mut count, mut deep, mut unseen) = (0, false, None);
    for entry in walk {
        if count == MAX_FILES {
            return Ok(Writers::Unfinished);
        }
        count += 1;
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let path = error.path().unwrap_or(root).to_owned();
                let source = error.into_io_error().unwrap_or_else(|| std::io::Error::other("a loop"));
                unseen.get_or_insert(FileError::from_io(&path, source));
                continue;
            }
        };
        deep |= entry.depth() == MAX_DEPTH && entry.file_type().is_dir();
        match platform::is_writable_by_others(entry.path()) {
            Ok(true) => return Ok(Writers::Others(Label::from_path(entry.path()))),
            // A log that was rotated away meanwhile.
            Ok(false) | Err(FileError::NotFound { .. }) => {}
            Err(error) => {
                unseen.get_or_insert(error);
            }
        }
    }
    match unseen {
        Some(error) => Err(Trouble::new(error.reason(), error)),
        None if deep => Ok(Writers::Unfinished),
        None => Ok(Writers::Administrators),
    }
}

/// The directory that a path leads to: the root of a tree may be a link itself.
fn resolved(path: &Path) -> Result<PathBuf, Trouble> {
    let found = std::fs::canonicalize(path).map_err(|source| FileError::from_io(path, source));
    found.map_err(|error| Trouble::new(error.reason(), error))
}

fn read(path: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, Trouble> {
    let limit = u64::try_from(Limits::default().max_bytes).unwrap_or(u64::MAX);
    let file = platform::read_regular(path, limit).map_err(|error| Trouble::new(error.reason(), error))?;
    Ok(file.bytes)
}

/// What the store makes of a password, or the reason why it cannot be read.
fn check(bytes: &[u8], password: &SecretString) -> Result<PasswordCheck, &'static str> {
    let store = kagiban_keystore::read(bytes, Some(password), &Limits::default());
    store.map(|store| store.password).map_err(|error| error.reason())
}
