//! The paths in an argument of a command: what an interpreter, a virtual machine or a loader of libraries is given to run.

use std::ffi::OsStr;
use std::path::PathBuf;

/// Ends a path in an argument that says more than it, such as `C:\x\a.dll,Entry`.
const ENDS: [char; 12] = [',', ';', '"', '\'', ' ', '=', '|', '&', '<', '>', ')', '`'];
/// Of one argument. A longer list is a path of its own each time.
const MOST: usize = 64;

/// Where an argument may lead.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NamedPath {
    pub(super) path: PathBuf,
    /// It goes to the end of the argument; else it counts only where something is there.
    pub(super) is_whole: bool,
}

/// Absolute paths in an argument, wherever they begin: `C:\x`, `/c:C:\x`, `-File=C:\x`, `"C:\x" y`, `\\server\share\x`. `variable` gives
/// the value of one that stands between percent signs, as the command interpreter reads it.
pub(super) fn paths(argument: &str, variable: impl Fn(&str) -> Option<String>) -> Vec<NamedPath> {
    let argument = expanded(argument, variable);
    let mut found = Vec::new();
    for (start, _) in argument.char_indices().filter(|(start, _)| begins(&argument, *start)) {
        let rest = &argument[start..];
        let ends = rest.char_indices().filter(|(_, c)| ENDS.contains(c)).map(|(end, _)| end);
        let parts = ends.map(|end| (&rest[..end], false)).chain([(rest, true)]);
        let named = |(text, is_whole): (&str, bool)| NamedPath {
            path: PathBuf::from(text.trim_end_matches(['"', '\''])),
            is_whole,
        };
        found.extend(parts.map(named).take(MOST.saturating_sub(found.len())));
    }
    found
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
        || is_server && before.is_none_or(|c| !matches!(c, '\\' | '/' | ':') || c == ':' && !is_slash(third))
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

    fn told(argument: &str) -> Vec<String> {
        let variable = |name: &str| name.eq_ignore_ascii_case("ProgramData").then(|| r"C:\ProgramData".to_owned());
        let found = paths(argument, variable).into_iter();
        found.map(|it| format!("{}{}", it.path.display(), if it.is_whole { "" } else { " ?" })).collect()
    }

    #[test]
    fn a_path_is_found_wherever_it_begins_and_by_each_of_its_ends() {
        for (argument, paths) in [
            ("/c", &[][..]),
            ("-jar", &[]),
            ("12:30", &[]),
            ("http://example.com/x", &[]),
            (r"C:\x\stop.exe", &[r"C:\x\stop.exe"]),
            ("C:/x/stop.exe", &["C:/x/stop.exe"]),
            (r"C:\x\a.dll,Entry", &[r"C:\x\a.dll ?", r"C:\x\a.dll,Entry"]),
            (r"/c:C:\x", &[r"C:\x"]),
            (r"-File=C:\x y", &[r"C:\x ?", r"C:\x y"]),
            (r#""C:\x\y" z"#, &[r"C:\x\y ?", r"C:\x\y ?", "C:\\x\\y\" z"]),
            (r"-classpath=C:\a.jar;D:\b.jar", &[r"C:\a.jar ?", r"C:\a.jar;D:\b.jar", r"D:\b.jar"]),
            (r"\\server\share\x", &[r"\\server\share\x"]),
            (r"/f:\\server\share\x", &[r"\\server\share\x"]),
            (r"\\?\C:\x", &[r"\\?\C:\x", r"C:\x"]),
            (r"%ProgramData%\x\stop.cmd", &[r"C:\ProgramData\x\stop.cmd"]),
            (r"%programdata%\x 100%", &[r"C:\ProgramData\x ?", r"C:\ProgramData\x 100%"]),
            (r"%none%\x", &[]),
            ("100%", &[]),
        ] {
            assert_eq!(told(argument), paths, "{argument}");
        }
        assert_eq!(told(&r"C:\x,".repeat(1000)).len(), MOST);
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
