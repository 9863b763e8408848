//! The paths in an argument of a command: what an interpreter, a virtual machine or a loader of libraries is given to run.

use std::ffi::OsStr;
use std::path::PathBuf;

/// Ends a path in an argument that says more than it, such as `C:\x\a.dll,Entry`.
const ENDS: [char; 12] = [',', ';', '"', '\'', ' ', '=', '|', '&', '<', '>', ')', '`'];
/// No part of a path at its end.
const TRIMMED: [char; 5] = ['"', '\'', ' ', ';', ','];
/// Paths that one argument may name, whatever their ends.
const MOST: usize = 256;

/// More may be named than is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany;

/// Absolute paths in an argument, wherever they begin: `C:\x`, `/c:C:\x`, `-File=C:\x`, `"C:\x" y`, `\\server\share\x`. Where one ends is
/// not known: of each, its possible ends, the shortest first. `variable` gives the value of one that stands between percent signs, as the
/// command interpreter reads it.
///
/// # Errors
/// See [`TooMany`].
pub(super) fn paths(argument: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Vec<Vec<PathBuf>>, TooMany> {
    let argument = expanded(argument, variable);
    let mut found = Vec::new();
    let mut count = 0;
    for (start, _) in argument.char_indices().filter(|(start, _)| begins(&argument, *start)) {
        let rest = up_to_colon(&argument[start..]);
        let ends = rest.char_indices().filter(|(_, c)| ENDS.contains(c)).map(|(end, _)| end).chain([rest.len()]);
        let mut parts: Vec<_> = ends.map(|end| PathBuf::from(rest[..end].trim_end_matches(TRIMMED))).collect();
        parts.dedup();
        count += parts.len();
        if count > MOST {
            return Err(TooMany);
        }
        found.push(parts);
    }
    Ok(found)
}

/// No name has a colon in it but that of a drive, or of a device, which is refused as such.
fn up_to_colon(text: &str) -> &str {
    if text.starts_with(r"\\?\") || text.starts_with(r"\\.\") {
        return text;
    }
    let of_drive = text.char_indices().nth(1).map_or(0, |(at, c)| at + c.len_utf8());
    let colon = text[of_drive..].find(':').map(|at| of_drive + at);
    // What stands before it is the letter of another drive
    colon.map_or(text, |colon| &text[..text[..colon].char_indices().next_back().map_or(0, |(at, _)| at)])
}

/// A drive with a root, or a server, that nothing belongs to which stands before it.
fn begins(text: &str, start: usize) -> bool {
    let before = text[..start].chars().next_back();
    let mut here = text[start..].chars();
    let (first, second, third, fourth) = (here.next(), here.next(), here.next(), here.next());
    let is_slash = |c: Option<char>| matches!(c, Some('\\' | '/'));
    let is_drive = first.is_some_and(|c| c.is_ascii_alphabetic()) && second == Some(':') && is_slash(third);
    let is_server = first == Some('\\') && second == Some('\\') && third.is_some_and(|c| !matches!(c, '\\' | '/'));
    // A switch of one letter, and a server
    let is_switch = matches!(before, Some('/' | '-')) && is_slash(fourth);
    is_drive && !is_switch && before.is_none_or(|c| !c.is_alphanumeric())
        || is_server && before.is_none_or(|c| !matches!(c, '\\' | '/'))
}

fn expanded(argument: &str, variable: impl Fn(&str) -> Option<String>) -> String {
    let mut parts = argument.split('%');
    let mut text = parts.next().unwrap_or_default().to_owned();
    let mut open = parts.next();
    while let Some(name) = open {
        let next = parts.next();
        match variable(name).filter(|_| !name.is_empty() && next.is_some()) {
            Some(value) => {
                text.push_str(&value);
                text.push_str(next.unwrap_or_default());
                open = parts.next();
            }
            None => {
                text.push('%');
                text.push_str(name);
                open = next;
            }
        }
    }
    text
}

/// Whether Windows or a virtual machine loads a file of this name where it lies beside a program.
pub(super) fn is_loaded(name: &OsStr) -> bool {
    const ENDINGS: [&str; 10] = ["dll", "exe", "com", "bat", "cmd", "manifest", "local", "config", "ocx", "jar"];
    let name = name.to_string_lossy();
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    ending.is_some_and(|ending| ENDINGS.iter().any(|it| it.eq_ignore_ascii_case(ending)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(argument: &str) -> Vec<Vec<String>> {
        let variable = |name: &str| name.eq_ignore_ascii_case("ProgramData").then(|| r"C:\ProgramData".to_owned());
        let found = paths(argument, variable).expect("not too many").into_iter();
        found.map(|parts| parts.iter().map(|it| it.display().to_string()).collect()).collect()
    }

    #[test]
    fn a_path_is_found_wherever_it_begins_with_each_of_its_ends() {
        for (argument, paths) in [
            ("/c", &[][..]),
            ("-jar", &[]),
            ("12:30", &[]),
            ("http://example.com/x", &[]),
            (r"C:\x\stop.exe", &[&[r"C:\x\stop.exe"][..]]),
            ("C:/x/stop.exe", &[&["C:/x/stop.exe"]]),
            (r"C:\x\a.dll,Entry", &[&[r"C:\x\a.dll", r"C:\x\a.dll,Entry"]]),
            (r"/c:C:\x", &[&[r"C:\x"]]),
            (r"-File=C:\x y", &[&[r"C:\x", r"C:\x y"]]),
            (r"-classpath=C:\a.jar;D:\b.jar", &[&[r"C:\a.jar"], &[r"D:\b.jar"]]),
            (r"C:\App\ctl.exe /stop", &[&[r"C:\App\ctl.exe", r"C:\App\ctl.exe /stop"]]),
            (r"C:\x\stop.cmd >NUL", &[&[r"C:\x\stop.cmd", r"C:\x\stop.cmd >NUL"]]),
            (r"& 'C:\x\a.ps1' -Url http://h", &[&[r"C:\x\a.ps1", r"C:\x\a.ps1' -Url", r"C:\x\a.ps1' -Url htt"]]),
            (r"\\server\share\x", &[&[r"\\server\share\x"]]),
            (r"/f:\\server\share\x", &[&[r"\\server\share\x"]]),
            (r"\\?\C:\x", &[&[r"\\?\C:\x"], &[r"C:\x"]]),
            (r"%ProgramData%\x\stop.cmd", &[&[r"C:\ProgramData\x\stop.cmd"]]),
            (r"%programdata%\x 100%", &[&[r"C:\ProgramData\x", r"C:\ProgramData\x 100%"]]),
            (r"%none%\x", &[]),
            ("100%", &[]),
        ] {
            assert_eq!(told(argument), paths, "{argument}");
        }
        assert_eq!(told(&r"C:\x.jar;".repeat(200)).len(), 200);
        assert_eq!(paths(&r"C:\x.jar;".repeat(1000), |_| None), Err(TooMany));
    }

    #[test]
    fn what_is_loaded_from_beside_a_program_is_known_by_its_ending() {
        for name in ["version.DLL", "own.exe.manifest", "own.exe.local", "a.jar"] {
            assert!(is_loaded(OsStr::new(name)), "{name}");
        }
        for name in ["readme.txt", "dll", "own.log"] {
            assert!(!is_loaded(OsStr::new(name)), "{name}");
        }
    }
}
