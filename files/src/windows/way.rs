//! What a path says, before anything is opened: from which root it leads through which names. A name that Windows takes for something
//! else than a file of that name is refused: a device, a stream of a file, a name that it changes.

use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, Prefix};

use super::names::wide;

/// Devices, whatever their directory and whatever follows after a dot.
const DEVICES: [&str; 7] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"];
/// With a digit, one of those in superscript among them.
const NUMBERED_DEVICES: [&str; 2] = ["COM", "LPT"];
/// What a server offers beside directories: to open one of its pipes is to talk to a program.
const NOT_OF_FILES: [&str; 3] = ["PIPE", "MAILSLOT", "IPC$"];

/// Below it the kernel has what other machines offer.
const SERVERS: &str = r"\??\UNC\";

/// From a root of the kernel's names to a directory or a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) root: OsString,
    pub(super) names: Vec<OsString>,
}

impl Way {
    /// # Errors
    /// What the path is instead, in words.
    pub(super) fn of(path: &Path) -> Result<Self, &'static str> {
        // As it was written: Windows makes it a device's path, and takes dots and spaces away, when it is made absolute.
        for component in path.components() {
            if let Component::Normal(name) = component {
                check(name)?;
            }
        }
        let absolute = std::path::absolute(path).map_err(|_| "no path")?;
        let (mut root, mut names) = (None, Vec::new());
        for component in absolute.components() {
            match component {
                Component::Prefix(prefix) => root = Some(root_of(prefix.kind())?),
                Component::RootDir | Component::CurDir => {}
                Component::Normal(name) => names.push(check(name)?.to_owned()),
                Component::ParentDir => return Err("a path with dots that Windows leaves in it"),
            }
        }
        Ok(Self { root: root.ok_or("a path without a drive")?, names })
    }

    /// Whether it leads to what another machine offers, or what this one offers to others.
    pub(super) fn is_on_a_server(&self) -> bool {
        self.root.to_string_lossy().starts_with(SERVERS)
    }
}

fn root_of(prefix: Prefix<'_>) -> Result<OsString, &'static str> {
    match prefix {
        Prefix::Disk(letter) | Prefix::VerbatimDisk(letter) => {
            Ok(OsString::from(format!(r"\??\{}:\", char::from(letter))))
        }
        Prefix::UNC(server, share) | Prefix::VerbatimUNC(server, share) => {
            if NOT_OF_FILES.iter().any(|it| share.eq_ignore_ascii_case(it)) {
                return Err("a pipe");
            }
            // `.` and `?` are no servers but what this machine has as devices.
            check(server)?;
            check(share)?;
            let mut root = OsString::from(SERVERS);
            root.push(server);
            root.push(r"\");
            root.push(share);
            root.push(r"\");
            Ok(root)
        }
        // A volume that has no letter.
        Prefix::Verbatim(name) if name.to_string_lossy().to_ascii_uppercase().starts_with("VOLUME{") => {
            let mut root = OsString::from(r"\??\");
            root.push(check(name)?);
            root.push(r"\");
            Ok(root)
        }
        Prefix::Verbatim(_) | Prefix::DeviceNS(_) => Err("a device"),
    }
}

fn check(name: &OsStr) -> Result<&OsStr, &'static str> {
    let text = name.to_string_lossy();
    if text.contains(':') {
        return Err("an alternate data stream");
    }
    if wide(name).is_err() || text.contains(|it: char| it.is_control() || r#"<>"|?*"#.contains(it)) {
        return Err("a name that no file has");
    }
    if is_device(&text) {
        return Err("a device");
    }
    if text.ends_with(['.', ' ']) {
        return Err("a name that Windows changes, for it ends in a dot or a space");
    }
    Ok(name)
}

fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end_matches(' ').to_uppercase();
    let is_number = |rest: &str| matches!(rest.chars().collect::<Vec<_>>()[..], ['0'..='9' | '¹' | '²' | '³']);
    let is_numbered = NUMBERED_DEVICES.iter().filter_map(|device| stem.strip_prefix(device)).any(is_number);
    DEVICES.contains(&stem.as_str()) || is_numbered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_root_and_names() {
        for (path, root, names) in [
            (r"C:\a\b.key", r"\??\C:\", vec!["a", "b.key"]),
            (r"c:/a/../b", r"\??\C:\", vec!["b"]),
            (r"\\?\C:\a", r"\??\C:\", vec!["a"]),
            (r"\\server\share\a", r"\??\UNC\server\share\", vec!["a"]),
            (r"\\?\UNC\server\share\a", r"\??\UNC\server\share\", vec!["a"]),
            (r"\\?\Volume{0-1}\a", r"\??\Volume{0-1}\", vec!["a"]),
            (r"C:\", r"\??\C:\", vec![]),
            (r"C:\console.key", r"\??\C:\", vec!["console.key"]),
            (r"C:\com10", r"\??\C:\", vec!["com10"]),
        ] {
            let names = names.into_iter().map(OsString::from).collect();
            assert_eq!(Way::of(Path::new(path)), Ok(Way { root: root.into(), names }), "{path}");
        }
        assert!(Way::of(Path::new(r"a\b")).expect("relative").names.ends_with(&["a".into(), "b".into()]));
    }

    /// Holds A1.
    #[test]
    fn what_windows_takes_for_something_else_than_a_file_is_refused() {
        for (path, why) in [
            ("CON", "a device"),
            (r"C:\a\nul", "a device"),
            (r"C:\a\NUL.txt", "a device"),
            (r"C:\a\com1 .log", "a device"),
            ("C:\\a\\LPT\u{b9}", "a device"),
            (r"C:\aux\b", "a device"),
            (r"\\.\C:\a", "a device"),
            (r"\\.\pipe\a", "a device"),
            (r"\\?\GLOBALROOT\Device\a", "a device"),
            (r"\\server\pipe\a", "a pipe"),
            (r"\\server\IPC$\a", "a pipe"),
            (r"C:\a\tls.key:stream", "an alternate data stream"),
            (r"C:\a\tls.key::$DATA", "an alternate data stream"),
            (r"C:\a:b\tls.key", "an alternate data stream"),
            (r"C:\a\tls.key.", "a name that Windows changes, for it ends in a dot or a space"),
            (r"C:\a \tls.key", "a name that Windows changes, for it ends in a dot or a space"),
            (r"C:\a\*", "a name that no file has"),
            (r"\\?\C:\a\..\b", "a path with dots that Windows leaves in it"),
            (r"\\?\C:\a/b", "a name that no file has"),
        ] {
            assert_eq!(Way::of(Path::new(path)), Err(why), "{path}");
        }
    }
}
