//! What lies beside a program, and is loaded with it.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use super::exposure::check_unexposed;
use crate::file::FileError;

/// Files beside a program that are looked at. More lie in Windows' own directories alone.
const MOST_BESIDE: usize = 4096;

/// Whether nobody but administrators may change a program: its file, and what Windows loads from beside it before it looks elsewhere.
///
/// # Errors
/// As [`check_unexposed`].
pub fn check_unexposed_program(program: &Path) -> Result<(), FileError> {
    check_unexposed(program)?;
    let Some(directory) = program.parent() else { return Ok(()) };
    // Thousands lie there, which nobody but Windows may change.
    let directory = &std::path::absolute(directory).map_err(|error| FileError::from_io(directory, error))?;
    if std::env::var_os("SystemRoot").is_some_and(|system| is_of_windows(directory, Path::new(&system))) {
        return Ok(());
    }
    let failed = |error| FileError::from_io(directory, error);
    let beside = match directory.read_dir() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        beside => beside.map_err(failed)?,
    };
    for (count, entry) in beside.enumerate() {
        let entry = entry.map_err(failed)?;
        if count >= MOST_BESIDE {
            let words = format!(
                "more than {MOST_BESIDE} files lie beside the program, too many to look at: have it in a directory of its own"
            );
            return Err(failed(io::Error::other(words)));
        }
        if is_loaded(&entry.file_name()) {
            check_unexposed(&entry.path())?;
        }
    }
    Ok(())
}

/// Those in which programs of Windows lie. Others may write in some that are below it, such as its `Temp`.
fn is_of_windows(directory: &Path, system: &Path) -> bool {
    let lower = |path: &Path| PathBuf::from(path.to_string_lossy().to_lowercase());
    ["", "System32", "SysWOW64"].iter().any(|name| lower(directory) == lower(&system.join(name)))
}

/// Whether Windows or a virtual machine loads a file of this name where it lies beside a program.
fn is_loaded(name: &OsStr) -> bool {
    const ENDINGS: [&str; 22] = [
        ".dll",
        ".exe",
        ".com",
        ".bat",
        ".cmd",
        ".manifest",
        ".local",
        ".config",
        ".ocx",
        ".drv",
        ".cpl",
        ".jar",
        ".war",
        ".zip",
        // What a launcher reads: of .NET, of Java, of Python
        ".runtimeconfig.json",
        ".deps.json",
        ".vmoptions",
        ".l4j.ini",
        ".pyd",
        ".pth",
        "._pth",
        "pyvenv.cfg",
    ];
    let name = name.to_string_lossy().to_ascii_lowercase();
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_loaded_from_beside_a_program_is_known_by_its_ending() {
        for name in [
            "version.DLL",
            "own.exe.manifest",
            "own.exe.local",
            "a.jar",
            "own.runtimeconfig.JSON",
            "own.vmoptions",
            "python311._pth",
        ] {
            assert!(is_loaded(OsStr::new(name)), "{name}");
        }
        for name in ["readme.txt", "dll", "own.log", "own.json", "own.ini"] {
            assert!(!is_loaded(OsStr::new(name)), "{name}");
        }
    }
}
