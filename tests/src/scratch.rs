//! Directories for one run. What a run leaves is removed by the next one, so that the logs of a failure can be read.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, process};

use anyhow::{Context, Result};

/// The directory under the system's temporary one that everything of the tests lies in.
pub fn base() -> Result<PathBuf> {
    let base = env::temp_dir().join("kagiban-tests");
    private_directory(&base)?;
    Ok(base)
}

/// A new directory that only this user may enter: stores, keys and passwords lie in it.
pub fn directory(name: &str) -> Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let base = base()?;
    sweep(&base);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = base.join(format!("{}-{count}-{name}", process::id()));
    private_directory(&path)?;
    Ok(path)
}

fn private_directory(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot create {}", path.display()))
}

/// Removes what runs left whose process is gone.
fn sweep(base: &Path) {
    let entries = fs::read_dir(base).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|n| n.split('-').next()).and_then(|pid| pid.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            // Another run may be sweeping too.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
