//! The paths in an argument of a command: what an interpreter, a virtual machine or a loader of libraries is given to run.

use std::path::PathBuf;

/// Ends a path in an argument that says more than it, such as `C:\x\a.dll,Entry`.
const ENDS: [char; 21] =
    [',', ';', '"', '\'', ' ', '\t', '\n', '\r', '=', '|', '&', '<', '>', '(', ')', '[', ']', '{', '}', '!', '`'];
/// No part of a path at its end.
const TRIMMED: [char; 5] = ['"', '\'', ' ', ';', ','];
/// Paths that one argument may name, whatever their ends.
const MOST: usize = 256;

/// Why it is not known which paths an argument names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unjudged {
    /// More may be named than is looked at.
    TooMany,
    /// The command interpreter puts words together of it, such as `%NAME:~0,2%`, `C:^\x` or `!NAME!`, before it runs anything.
    PutTogether,
}

/// Who reads an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    Program,
    CommandInterpreter,
}

impl Reader {
    /// Whoever reads what stands behind this word.
    pub(super) fn behind(self, word: &str) -> Self {
        let name = word.rsplit(['\\', '/', ':']).next().unwrap_or_default().to_ascii_lowercase();
        if matches!(name.as_str(), "cmd" | "cmd.exe" | "%comspec%") { Self::CommandInterpreter } else { self }
    }
}

/// Absolute paths in an argument, wherever they begin: `C:\x`, `/c:C:\x`, `-File=C:\x`, `"C:\x" y`, `\\server\share\x`. Where one ends is
/// not known: of each, its possible ends, the shortest first. `variable` gives the value of one that stands between percent signs, as the
/// command interpreter reads it.
///
/// # Errors
/// See [`Unjudged`].
pub(super) fn paths(
    argument: &str,
    reader: Reader,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Vec<Vec<PathBuf>>, Unjudged> {
    let argument = expanded(argument, variable);
    if reader == Reader::CommandInterpreter && is_put_together(&argument) {
        return Err(Unjudged::PutTogether);
    }
    let mut found = Vec::new();
    let mut count = 0;
    for (start, _) in argument.char_indices().filter(|(start, _)| begins(&argument, *start)) {
        let rest = up_to_colon(&argument[start..]);
        let ends = rest.char_indices().filter(|(_, c)| ENDS.contains(c)).map(|(end, _)| end).chain([rest.len()]);
        let mut parts: Vec<_> = ends.map(|end| PathBuf::from(rest[..end].trim_end_matches(TRIMMED))).collect();
        parts.dedup();
        count += parts.len();
        if count > MOST {
            return Err(Unjudged::TooMany);
        }
        found.push(parts);
    }
    Ok(found)
}

/// No name has a colon in it but that of a drive, or of a device, which is refused as such. What follows one is a stream of the file
/// before it, which whoever may write the file may write, or is of another drive.
fn up_to_colon(text: &str) -> &str {
    if text.starts_with(r"\\?\") || text.starts_with(r"\\.\") {
        return text;
    }
    let of_drive = text.char_indices().nth(1).map_or(0, |(at, c)| at + c.len_utf8());
    let Some(colon) = text[of_drive..].find(':').map(|at| of_drive + at) else { return text };
    let letter = text[..colon].char_indices().next_back().map_or(colon, |(at, _)| at);
    &text[..if begins(text, letter) { letter } else { colon }]
}

/// A drive with a root, or a server, that nothing belongs to which stands before it.
fn begins(text: &str, start: usize) -> bool {
    let (before, after) = (&text[..start], &text[start..]);
    let mut here = after.chars();
    let (first, second, third, fourth) = (here.next(), here.next(), here.next(), here.next());
    let before_it = before.chars().next_back();
    let is_slash = |c: Option<char>| matches!(c, Some('\\' | '/'));
    let is_drive = first.is_some_and(|c| c.is_ascii_alphabetic()) && second == Some(':') && is_slash(third);
    // A switch of one letter, and a server
    let is_switch = matches!(before_it, Some('/' | '-')) && is_slash(fourth);
    is_drive && !is_switch && (before_it.is_none_or(|c| !c.is_alphanumeric()) || follows_switch(before, third))
        || first == Some('\\') && second == Some('\\') && !is_slash(third) && third.is_some() && !is_slash(before_it)
        || is_server(after) && before_it.is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '\\' | '/' | ':'))
}

/// Written with slashes, and with what it shares: `//` stands before the words of a script host (`//nologo`) too.
fn is_server(text: &str) -> bool {
    let server = text.strip_prefix("//").filter(|rest| !rest.starts_with(['/', '\\']));
    let word = server.and_then(|rest| rest.split([' ', '\t', '"', '\'']).next());
    word.is_some_and(|word| word.trim_end_matches(['/', '\\']).contains(['/', '\\']))
}

/// Whether a path may follow a switch that nothing parts from it, as in `/cC:\x`. What has several letters and a slash may be an address
/// of the web; no address has a backslash there.
fn follows_switch(before: &str, slash: Option<char>) -> bool {
    let word = before.rsplit([' ', '\t', '"', '\'']).next().unwrap_or_default();
    let letters = word.trim_start_matches(['/', '-']);
    letters.len() < word.len()
        && letters.chars().all(char::is_alphanumeric)
        && (slash == Some('\\') || letters.chars().count() == 1)
}

/// Whether the command interpreter makes something else of a text than stands there, once variables that are known have their values:
/// it takes `^` away, and knows variables and parts of them that nobody else does.
fn is_put_together(text: &str) -> bool {
    let mut after_percent = text.split('%').skip(1);
    text.contains(['^', '!']) || after_percent.any(|rest| !(rest.is_empty() || rest.starts_with([' ', '"', ','])))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn told(argument: &str) -> Vec<Vec<String>> {
        let variable = |name: &str| name.eq_ignore_ascii_case("ProgramData").then(|| r"C:\ProgramData".to_owned());
        let found = paths(argument, Reader::Program, variable).expect("not too many").into_iter();
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
            (r"& 'C:\x\a.ps1' -Url http://h", &[&[r"C:\x\a.ps1", r"C:\x\a.ps1' -Url", r"C:\x\a.ps1' -Url http"]]),
            (r"C:\x\a.txt:code", &[&[r"C:\x\a.txt"]]),
            (r"C:\x\a.txt::$DATA", &[&[r"C:\x\a.txt"]]),
            (r"C:\a.jarD:\b", &[&[r"C:\a.jarD"]]),
            (r"C:\a,D:\b", &[&[r"C:\a"], &[r"D:\b"]]),
            (r"&{C:\x\a.ps1}", &[&[r"C:\x\a.ps1", r"C:\x\a.ps1}"]]),
            ("C:\\x\\a.ps1\t-Force", &[&[r"C:\x\a.ps1", "C:\\x\\a.ps1\t-Force"]]),
            ("jar:file:C:/x/a.jar!/m", &[&["C:/x/a.jar", "C:/x/a.jar!/m"]]),
            (r"/cC:\x\stop.cmd", &[&[r"C:\x\stop.cmd"]]),
            ("-IC:/x", &[&["C:/x"]]),
            (r"-agentpathC:\x", &[&[r"C:\x"]]),
            ("-uhttp://h/x", &[]),
            (r"HKLM:\Software", &[]),
            (r"Cert:\LocalMachine", &[]),
            ("//server/share/x", &[&["//server/share/x"]]),
            ("-File=//server/share", &[&["//server/share"]]),
            ("C:/x//y/z", &[&["C:/x//y/z"]]),
            ("//nologo //B", &[]),
            ("http://server/share", &[]),
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
        assert_eq!(paths(&r"C:\x.jar;".repeat(1000), Reader::Program, |_| None), Err(Unjudged::TooMany));
    }

    /// Each of them runs a file that no path in the argument names.
    #[test]
    fn what_the_command_interpreter_puts_together_is_not_judged_by_its_parts() {
        let variable = |name: &str| name.eq_ignore_ascii_case("SystemDrive").then(|| "C:".to_owned());
        let of = |reader, argument: &str| paths(argument, reader, variable);
        for (argument, is_put_together) in [
            (r"%SystemDrive:~0,1%:\x\stop.exe", true),
            (r"%SystemDrive:C=D%\x\stop.exe", true),
            (r"C:^\x\stop.exe", true),
            (r"!SystemDrive!\x\stop.exe", true),
            (r"set D=C:&& call %D%\x\stop.exe", true),
            (r"for %d in (C) do %d:\x\stop.exe", true),
            (r"%CD%\stop.exe", true),
            (r"%%SystemDrive%%\x", true),
            (r"%SystemDrive%\x\stop.exe", false),
            (r"C:\x\stop.exe 100%", false),
            (r"C:\x\stop.exe 100% now", false),
            ("/c", false),
        ] {
            let told = of(Reader::CommandInterpreter, argument);
            assert_eq!(told == Err(Unjudged::PutTogether), is_put_together, "{argument}: {told:?}");
            // Nobody else puts anything together.
            of(Reader::Program, argument).expect(argument);
        }
        for (word, is_interpreter) in [
            ("cmd", true),
            ("CMD.EXE", true),
            (r"C:\Windows\System32\cmd.exe", true),
            ("%ComSpec%", true),
            (r"C:\x\mycmd.exe", false),
            ("stop.cmd", false),
            ("/c", false),
        ] {
            assert_eq!(Reader::Program.behind(word) == Reader::CommandInterpreter, is_interpreter, "{word}");
            assert_eq!(Reader::CommandInterpreter.behind(word), Reader::CommandInterpreter);
        }
    }
}
