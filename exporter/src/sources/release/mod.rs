//! Which release a part of a product is, by what its vendor's notice has it looked at: its package, or the version of its program.

mod file_version;

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::FutureExt;
use kagiban_agents::{Concern, Part, ReleaseMark};

use self::file_version::file_version;
use super::blocking::Blocking;
use super::schedule::panicked;
use crate::blocking::Work;
use crate::installation::Installed;
use crate::platform::{self, FileError, InstalledPackage};
use crate::snapshot::{Label, Observation, ReleaseSeen, Trouble};
use crate::trouble::one_of;

/// Every reason that a look can fail for.
pub(super) const REASONS: &[&str] = &[
    "busy",
    "failed",
    "lost",
    "malformed",
    "not_regular",
    "not_started",
    "panic",
    "permission_denied",
    "read_failed",
    "symlink_loop",
    "timeout",
    "too_large",
    "too_much_output",
];

/// A release changes when somebody installs one. A look that fails takes back what was seen, and with it an alert: the next comes soon.
pub(super) const INTERVAL: Duration = Duration::from_mins(5);
/// A program is read in milliseconds, unless the file system hangs.
const DEADLINE: Duration = Duration::from_secs(20);
/// Many times the size of any of the programs.
const MAX_PROGRAM: u64 = 64 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct ReleaseSource {
    agent: Option<Label>,
    at: Installed,
    part: &'static Part,
    mark: ReleaseMark,
    reader: Blocking<(), Result<Option<String>, Trouble>>,
}

/// What a part says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    version: Option<String>,
    installed_at: Option<i64>,
}

impl ReleaseSource {
    /// None of a part whose release nothing on this system says.
    pub(super) fn new(agent: Option<Label>, at: Installed) -> Option<Self> {
        let part = at.part()?;
        let mark = part.release_mark(platform::OS)?;
        Some(Self { agent, at, part, mark, reader: Blocking::new(Work::Files, DEADLINE) })
    }

    pub(super) async fn look(&mut self) -> (Observation, Option<Trouble>) {
        match AssertUnwindSafe(self.told()).catch_unwind().await {
            Ok(Ok(told)) => (Observation::Release(self.seen(told)), None),
            Ok(Err(trouble)) => (Observation::Nothing, Some(trouble)),
            Err(_) => (Observation::Nothing, Some(panicked("panic"))),
        }
    }

    async fn told(&mut self) -> Result<Told, Trouble> {
        match self.mark {
            ReleaseMark::Package(name) => {
                let package = platform::installed_package(name).await;
                let package = package.map_err(|error| Trouble::new(error.reason(), error))?;
                let told = |InstalledPackage { full_name, installed_at }| Told {
                    version: Some(full_name),
                    installed_at: Some(installed_at),
                };
                Ok(package.map(told).unwrap_or_default())
            }
            ReleaseMark::Program(name) => {
                let path = self.at.directory.join(name);
                let version = self.reader.run(|| (), move |()| version_of(&path)).await??;
                Ok(Told { version, installed_at: None })
            }
        }
    }

    fn seen(&self, Told { version, installed_at }: Told) -> ReleaseSeen {
        let notice = self.at.product.facts().notice.as_ref();
        let concern = notice
            .zip(version.as_deref())
            .and_then(|(notice, version)| Concern::of(notice, self.part, platform::OS, self.mark.mark(), version));
        ReleaseSeen {
            agent: self.agent.clone(),
            product: self.at.product,
            part: self.part.name,
            directory: Some(Label::from_path(&self.at.directory)),
            version: version.as_deref().map(Label::new),
            concern,
            installed_at,
            keystores: self.at.keystores().map(|path: PathBuf| Label::from_path(&path)).collect(),
        }
    }
}

/// Which release this is; none where that cannot be told, or not now.
pub(crate) async fn release_of(at: Installed) -> Option<ReleaseSeen> {
    let (observation, _) = ReleaseSource::new(None, at)?.look().await;
    if let Observation::Release(seen) = observation { Some(seen) } else { None }
}

/// None where there is no such program: its part is not installed.
fn version_of(path: &Path) -> Result<Option<String>, Trouble> {
    let read = match platform::read_regular(path, MAX_PROGRAM) {
        Ok(read) => read,
        Err(FileError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(Trouble::new(known(error.reason()), error)),
    };
    let version = file_version(&read.bytes);
    let none = || format!("{}: no program of Windows with a version; install the product again", path.display());
    version.map(Some).ok_or_else(|| Trouble::new("malformed", none()))
}

/// Those of a file that is replaced do not occur.
fn known(reason: &'static str) -> &'static str {
    one_of(REASONS, reason, "read_failed")
}

/// Any bytes in the place of a program.
#[doc(hidden)]
pub fn fuzz_program(bytes: &[u8]) {
    let _ = file_version(bytes);
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_program_says_its_version_and_one_that_is_not_there_is_no_fault() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("pbeagent.exe");
        assert_eq!(version_of(&path).expect("no fault"), None);
        fs::write(&path, file_version::tests::program([7, 0, 0, 119], false)).expect("a program");
        assert_eq!(version_of(&path).expect("a program").as_deref(), Some("7.0.0.119"));
        fs::write(&path, "MZ").expect("a file");
        assert_eq!(version_of(&path).expect_err("none").reason, "malformed");
        assert_eq!(version_of(directory.path()).expect_err("a directory").reason, "not_regular");
    }
}
