//! Whether the kernel would run a program: what stands at its beginning, and what that needs.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use kagiban_files::{Exposure, FileError, FileRead, is_writable_by_others, read_regular};
use rustix::fs::{Access, AtFlags, CWD, accessat};

/// As much of a file as the kernel looks at to tell what it is.
const HEAD: usize = 256;
/// An interpreter may be a script itself; the kernel follows no more.
const MAX_INTERPRETERS: usize = 5;
/// As many links on the way to a file as the kernel follows.
const MAX_LINKS: usize = 40;
const STICKY: u32 = 0o1000;
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// The longest path.
const MAX_PATH: usize = 4096;
/// The longest table of segments that the kernel reads.
const MAX_SEGMENTS: usize = 65_536;
/// What else the kernel was told to run, and by what.
const REGISTERED: &str = "/proc/sys/fs/binfmt_misc";
/// One of them takes less than 2 KiB to tell, and a host has some dozen.
const MAX_REGISTERED_BYTES: u64 = 8192;
const MAX_REGISTERED: usize = 256;

/// What stands in the way, and why.
pub(super) type NotExecutable = (PathBuf, &'static str);

const NOT_FOUND: &str = "not found";
const CUT_OFF: &str = "it is cut off";
/// What Windows ends a line with is no end of a line to the kernel: it takes the carriage return for a part of the last word.
const CARRIAGE_RETURN: &str = "its first line ends in a carriage return, as on Windows, and names nothing that is there; save it with Unix line ends";
const SHELLS: [&str; 6] = ["sh", "bash", "dash", "ash", "ksh", "zsh"];

/// By the rules of `execvp`: a name without a slash is looked for in `PATH`, and what cannot be run is passed over.
pub(super) fn find(program: &str, path: &OsStr) -> Result<PathBuf, NotExecutable> {
    if program.contains('/') {
        let path = PathBuf::from(program);
        return can_be_run(&path).map_err(|why| (path.clone(), why)).map(|()| path);
    }
    let mut passed_over = None;
    // A name that is none is found nowhere.
    let directories = std::env::split_paths(path).filter(|_| !program.is_empty());
    for candidate in directories.map(|directory| directory.join(program)) {
        match can_be_run(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(NOT_FOUND) => {}
            Err(why) => passed_over = passed_over.or(Some((candidate, why))),
        }
    }
    Err(passed_over.unwrap_or_else(|| (PathBuf::from(program), "not found in any directory of PATH")))
}

/// The first of a command's parts, or of the directories above it, that somebody else than an administrator may write.
pub(super) fn exposed(argv: &[String], path: &OsStr) -> Option<FileError> {
    let (program, arguments) = argv.split_first()?;
    let program = find(program, path).ok()?;
    let is_shell = program.file_name().and_then(OsStr::to_str).is_some_and(|name| SHELLS.contains(&name));
    let script = arguments.first().map(Path::new).filter(|script| is_shell && script.is_absolute());
    [Some(program.as_path()), script].into_iter().flatten().find_map(|path| check_unexposed(path).err())
}

/// Whether nobody but root and this program's account may change what lies at a path, or exchange it. What cannot be looked at is not
/// accused.
///
/// # Errors
/// [`FileError::Exposed`].
pub fn check_unexposed(path: &Path) -> Result<(), FileError> {
    let Some(part) = exposed_at(path) else { return Ok(()) };
    let why = "may be written by others than root and the account of kagiban-exporter".to_owned();
    let fix = "`chown root` and `chmod go-w` it".to_owned();
    Err(Box::new(Exposure { path: path.to_owned(), part, why, fix }).into())
}

/// Reads a file that decides what is done; nothing is refused here for who may exchange it.
///
/// # Errors
/// See [`FileError`].
pub(in super::super) fn read_unexposed(path: &Path, limit: u64) -> Result<FileRead, FileError> {
    read_regular(path, limit)
}

/// The same of a program of ours, whose libraries are the system's.
///
/// # Errors
/// As [`check_unexposed`].
pub fn check_unexposed_program(path: &Path) -> Result<(), FileError> {
    check_unexposed(path)
}

/// The same of the directories above a path alone.
///
/// # Errors
/// As [`check_unexposed`].
pub(in super::super) fn check_way(path: &Path) -> Result<(), FileError> {
    path.parent().map_or(Ok(()), check_unexposed)
}

/// As it is named and, behind links, as it is: every directory on the way, and every link.
fn exposed_at(named: &Path) -> Option<PathBuf> {
    let is = named.canonicalize().ok()?;
    let mut way = named.to_owned();
    for _ in 0..MAX_LINKS {
        let parts: Vec<_> = way.ancestors().filter(|path| !path.as_os_str().is_empty()).collect();
        if let Some(exposed) = parts.iter().find(|path| is_exposed(path)) {
            return Some(exposed.to_path_buf());
        }
        // The first link on the way, as the kernel follows them.
        let Some((link, target)) = parts.iter().rev().find_map(|path| Some((path, path.read_link().ok()?))) else {
            break;
        };
        let rest = way.strip_prefix(link).unwrap_or(Path::new(""));
        let target = link.parent().unwrap_or(Path::new("/")).join(target);
        way = if rest.as_os_str().is_empty() { target } else { target.join(rest) };
    }
    is.ancestors().find(|path| is_exposed(path)).map(Path::to_owned)
}

/// In a sticky directory an entry is exchanged by the entry's owner, the directory's and administrators alone.
fn is_exposed(path: &Path) -> bool {
    let Ok(metadata) = path.symlink_metadata() else { return false };
    let is_sticky = |metadata: &fs::Metadata| metadata.is_dir() && metadata.mode() & STICKY != 0;
    let is_others = !is_administrators(metadata.uid());
    if is_sticky(&metadata) {
        return is_others;
    }
    if metadata.is_symlink() {
        let parent = path.parent().and_then(|parent| parent.metadata().ok());
        return is_others && parent.is_some_and(|parent| is_sticky(&parent) && parent.mode() & WRITABLE_BY_OTHERS != 0);
    }
    is_writable_by_others(path).unwrap_or(false)
}

fn is_administrators(account: u32) -> bool {
    account == 0 || account == rustix::process::geteuid().as_raw()
}

pub(super) fn can_be_run(path: &Path) -> Result<(), &'static str> {
    match path.metadata() {
        Ok(metadata) if !metadata.is_file() => return Err("not a regular file"),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(NOT_FOUND),
        Err(_) => return Err("cannot be looked at"),
    }
    accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS).map_err(|_| "not executable by this process")
}

/// Whether the kernel knows what to do with an executable file, and has what that takes. What cannot be read can be run all the
/// same, and is asked no more.
pub(super) fn check_format(program: &Path) -> Result<(), NotExecutable> {
    let mut program = program.to_owned();
    for _ in 0..=MAX_INTERPRETERS {
        let Ok(file) = File::open(&program) else { return Ok(()) };
        let mut head = Vec::new();
        if (&file).take(HEAD as u64).read_to_end(&mut head).is_err() {
            return Ok(());
        }
        let needed = match needed(&file, &head) {
            Ok(needed) => needed,
            Err(_) if is_registered(&program, &head) => return Ok(()),
            Err(why) => return Err((program, why)),
        };
        let (Needed::Loader(next) | Needed::Interpreter(next)) = &needed else { return Ok(()) };
        match can_be_run(next) {
            Err(NOT_FOUND) if ends_in_carriage_return(next.as_os_str()) => return Err((program, CARRIAGE_RETURN)),
            Err(why) => return Err((next.clone(), why)),
            Ok(()) if is_misread(next, &head) => return Err((program, CARRIAGE_RETURN)),
            Ok(()) => {}
        }
        let Needed::Interpreter(next) = needed else { return Ok(()) };
        program = next;
    }
    Err((program, "it is one interpreter more than the kernel follows"))
}

/// What a program needs beside itself.
#[derive(Debug, PartialEq, Eq)]
enum Needed {
    Nothing,
    /// Of a script.
    Interpreter(PathBuf),
    /// Of a binary that is linked dynamically.
    Loader(PathBuf),
}

fn needed(file: &File, head: &[u8]) -> Result<Needed, &'static str> {
    // Commands are run from the root directory.
    let at_root = |path: &OsStr| Path::new("/").join(path);
    if head.starts_with(b"#!") {
        return Ok(Needed::Interpreter(at_root(&interpreter(head)?)));
    }
    if head.starts_with(b"\x7fELF") {
        return Ok(loader(file, head)?.map_or(Needed::Nothing, |path| Needed::Loader(at_root(&path))));
    }
    if head.is_empty() {
        return Err("it is empty");
    }
    if [&b"\xef\xbb\xbf"[..], b"\xff\xfe", b"\xfe\xff"].iter().any(|mark| head.starts_with(mark)) {
        return Err("it begins with a byte order mark; its first bytes must be #!");
    }
    Err("its first line must name its interpreter, as #!/bin/sh does")
}

fn ends_in_carriage_return(word: &OsStr) -> bool {
    word.as_bytes().ends_with(b"\r")
}

/// Whether the interpreter, which is there, is known not to understand the carriage return at the end of its argument: to a shell
/// it is a part of an option or of a script's name, to `env` one of a program's.
fn is_misread(interpreter: &Path, head: &[u8]) -> bool {
    let line = without_blanks(first_line(head));
    let argument = without_blanks(line.splitn(2, is_blank).nth(1).unwrap_or_default());
    let name = interpreter.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let takes_name = name == "env" && !argument.starts_with(b"-");
    argument.ends_with(b"\r") && (takes_name || SHELLS.contains(&name))
}

const fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// As the kernel trims a first line: a carriage return stays.
fn without_blanks(line: &[u8]) -> &[u8] {
    let is_seen = |byte: &u8| !is_blank(byte);
    let (start, end) = (line.iter().position(is_seen), line.iter().rposition(is_seen));
    start.zip(end).map_or(&[], |(start, end)| &line[start..=end])
}

/// What follows `#!`.
fn first_line(head: &[u8]) -> &[u8] {
    let after = head.strip_prefix(b"#!").unwrap_or_default();
    after.split(|byte| matches!(byte, b'\n' | b'\0')).next().unwrap_or_default()
}

/// The path after `#!`.
fn interpreter(head: &[u8]) -> Result<OsString, &'static str> {
    let line = first_line(head);
    let start =
        line.iter().position(|byte| !matches!(byte, b' ' | b'\t')).ok_or("its first line names no interpreter")?;
    let name = line[start..].split(|byte| matches!(byte, b' ' | b'\t')).next().unwrap_or_default();
    if head.len() == HEAD && 2 + start + name.len() == HEAD {
        return Err("its first line is too long for the kernel");
    }
    Ok(OsStr::from_bytes(name).to_owned())
}

/// The machines whose binaries the kernel runs that runs this program, in the numbers of ELF: the 32-bit one too, which it may
/// have been built without. None are judged where that is not known here.
const fn machines() -> &'static [u16] {
    match std::env::consts::ARCH.as_bytes() {
        b"x86_64" | b"x86" => &[62, 3],
        b"aarch64" | b"arm" => &[183, 40],
        b"powerpc64" => &[21, 20],
        b"s390x" => &[22],
        b"riscv64" => &[243],
        b"loongarch64" => &[258],
        _ => &[],
    }
}

/// Where a segment's kind, offset and length in the file stand in its header, and how long that is.
struct Layout {
    table: Range<usize>,
    entry_size: Range<usize>,
    entries: Range<usize>,
    size: usize,
    offset: Range<usize>,
    length: Range<usize>,
}

const LAYOUT_32: Layout =
    Layout { table: 28..32, entry_size: 42..44, entries: 44..46, size: 32, offset: 4..8, length: 16..20 };
const LAYOUT_64: Layout =
    Layout { table: 32..40, entry_size: 54..56, entries: 56..58, size: 56, offset: 8..16, length: 32..40 };

const LOADED: u64 = 1;
const LOADER: u64 = 3;

/// The path of an ELF file's loader, if it wants one.
fn loader(file: &File, head: &[u8]) -> Result<Option<OsString>, &'static str> {
    let field = |range: Range<usize>| number(head, range).ok_or(CUT_OFF);
    let (kind, machine) = (field(16..18)?, field(18..20)?);
    let known = machines();
    if !known.is_empty() && !known.iter().any(|known| u64::from(*known) == machine) {
        return Err("it is built for another kind of machine");
    }
    let layout = if head[4] == 1 { LAYOUT_32 } else { LAYOUT_64 };
    let (table, entry_size, entries) = (field(layout.table)?, field(layout.entry_size)?, field(layout.entries)?);
    // An executable, or one that may lie anywhere.
    let entries = usize::try_from(entries).unwrap_or(usize::MAX);
    let length = entries.saturating_mul(layout.size);
    if !matches!(kind, 2 | 3) || entry_size != layout.size as u64 || !(1..=MAX_SEGMENTS).contains(&length) {
        return Err("it is no program");
    }
    let segments = read_at(file, table, length)?;
    let size = file.metadata().map_err(|_| "cannot be looked at")?.len();
    let mut path = None;
    for segment in segments.chunks_exact(layout.size) {
        let of = |range: &Range<usize>| number(segment, range.clone()).unwrap_or(u64::MAX);
        let (kind, offset, length) = (of(&(0..4)), of(&layout.offset), of(&layout.length));
        if matches!(kind, LOADED | LOADER) && offset.checked_add(length).is_none_or(|end| end > size) {
            return Err(CUT_OFF);
        }
        if kind == LOADER && path.is_none() {
            let length = usize::try_from(length).ok().filter(|length| (2..=MAX_PATH).contains(length));
            path = Some(read_at(file, offset, length.ok_or("it is no program")?)?);
        }
    }
    let ended = |path: Vec<u8>| OsStr::from_bytes(path.split(|byte| *byte == 0).next().unwrap_or_default()).to_owned();
    Ok(path.map(ended))
}

fn read_at(file: &File, offset: u64, length: usize) -> Result<Vec<u8>, &'static str> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, offset).map_err(|_| CUT_OFF).map(|()| bytes)
}

/// In this machine's byte order, as the kernel reads them: those of another machine name none that it knows.
fn number(bytes: &[u8], range: Range<usize>) -> Option<u64> {
    let field = bytes.get(range)?;
    match *field {
        [a, b] => Some(u16::from_ne_bytes([a, b]).into()),
        [a, b, c, d] => Some(u32::from_ne_bytes([a, b, c, d]).into()),
        _ => field.try_into().ok().map(u64::from_ne_bytes),
    }
}

/// Whether the kernel was told what runs such a file: an emulator, or the runtime of a language.
fn is_registered(program: &Path, head: &[u8]) -> bool {
    let Ok(entries) = fs::read_dir(REGISTERED) else { return false };
    entries.flatten().take(MAX_REGISTERED).any(|entry| {
        let told = read_regular(&entry.path(), MAX_REGISTERED_BYTES);
        told.is_ok_and(|told| covers(&String::from_utf8_lossy(&told.bytes), program, head))
    })
}

/// Whether an entry as `binfmt_misc` shows it covers a file.
fn covers(entry: &str, program: &Path, head: &[u8]) -> bool {
    let value = |key: &str| entry.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    if entry.lines().next() != Some("enabled") {
        return false;
    }
    if let Some(extension) = value("extension .") {
        return program.extension().is_some_and(|own| own == extension);
    }
    let offset = value("offset ").map_or(Some(0), |offset| offset.parse::<usize>().ok());
    let (Some(offset), Some(magic)) = (offset, value("magic ").and_then(bytes)) else { return false };
    let mask = value("mask ").map_or_else(|| Some(vec![u8::MAX; magic.len()]), bytes).unwrap_or_default();
    let Some(found) = head.get(offset..).and_then(|rest| rest.get(..magic.len())) else { return false };
    mask.len() == magic.len()
        && found.iter().zip(&magic).zip(&mask).all(|((found, magic), mask)| (found ^ magic) & mask == 0)
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let pairs = (0..hex.len()).step_by(2);
    pairs.map(|at| hex.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok())).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn put(directory: &Path, name: &str, bytes: &[u8]) -> PathBuf {
        let path = directory.join(name);
        fs::write(&path, bytes).expect("write");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
        path
    }

    fn told(path: &Path) -> &'static str {
        check_format(path).expect_err("not runnable").1
    }

    /// Holds A13: a shell would run some of these by itself; the kernel runs none.
    #[test]
    fn a_file_that_the_kernel_does_not_know_is_known_before_it_is_run() {
        let root = tempfile::tempdir().expect("directory");
        let long = format!("#!/{}\n", "x".repeat(HEAD));
        let files: [(&str, &[u8], &str); 8] = [
            ("plain", b"exit 0\n", "#!/bin/sh"),
            ("blank", b"\n#!/bin/sh\nexit 0\n", "#!/bin/sh"),
            ("empty", b"", "empty"),
            ("bom", b"\xef\xbb\xbf#!/bin/sh\nexit 0\n", "byte order mark"),
            ("utf-16", b"\xff\xfe#\0!\0", "byte order mark"),
            ("nobody", b"#! \t\nexit 0\n", "no interpreter"),
            ("half", b"#!", "no interpreter"),
            ("long", long.as_bytes(), "too long"),
        ];
        for (name, bytes, why) in files {
            let path = put(root.path(), name, bytes);
            assert!(told(&path).contains(why), "{name}: {}", told(&path));
            let run = std::process::Command::new(&path).status();
            assert!(run.is_err(), "the kernel agrees on {name}");
        }
    }

    /// Holds A13: `/bin/sh` is there, and "not found" would send its reader astray.
    #[test]
    fn a_script_with_the_line_ends_of_windows_is_told_as_such_where_it_cannot_run() {
        let root = tempfile::tempdir().expect("directory");
        for (line, runs) in [
            ("#!/bin/sh\r\n", false),
            ("#! /bin/sh \r\n", false),
            ("#!/bin/sh -e\r\n", false),
            ("#!/bin/sh\t-e\r \n", false),
            ("#!/usr/bin/env sh\r\n", false),
            ("#!/usr/bin/env -S sh -e\r\n", true),
            ("#!/bin/cat -\r\n", true),
            ("#!/bin/sh -e\n: \r\n", true),
        ] {
            let path = put(root.path(), "script", line.as_bytes());
            let judged = check_format(&path);
            let told = judged.as_ref().err().map(|(path, why)| (path.as_path(), why.contains("carriage return")));
            assert_eq!(told, (!runs).then_some((path.as_path(), true)), "{line:?}: {judged:?}");
            let run = std::process::Command::new(&path).output().is_ok_and(|output| output.status.success());
            assert!(!run || runs, "the system agrees on {line:?}");
        }
        // A file of that very name is there.
        let odd = put(root.path(), "odd\r", &fs::read("/bin/true").expect("a binary"));
        check_format(&put(root.path(), "script", format!("#!{}\n", odd.display()).as_bytes())).expect("it runs");
    }

    /// Holds A13.
    #[test]
    fn a_binary_of_another_machine_or_one_that_is_cut_off_is_known_before_it_is_run() {
        let root = tempfile::tempdir().expect("directory");
        let good = fs::read("/bin/true").expect("a binary");
        check_format(&put(root.path(), "good", &good)).expect("its loader is there");
        let changed = |at: usize, bytes: &[u8]| {
            let mut copy = good.clone();
            copy[at..at + bytes.len()].copy_from_slice(bytes);
            copy
        };
        let loader = good.windows(7).position(|window| window == b"/ld-lin").expect("a dynamic binary");
        for (name, bytes, why) in [
            ("machine", changed(18, &0xf3f3_u16.to_ne_bytes()), "another kind"),
            ("order", changed(18, &[good[19], good[18]]), "another kind"),
            ("object", changed(16, &1_u16.to_ne_bytes()), "no program"),
            ("headless", good[..40].to_vec(), "cut off"),
            ("cut", good[..good.len() / 2].to_vec(), "cut off"),
            ("loader", changed(loader, b"/no-lin"), "not found"),
        ] {
            let path = put(root.path(), name, &bytes);
            assert!(told(&path).contains(why), "{name}: {}", told(&path));
            let run = std::process::Command::new(&path).status();
            assert!(!run.is_ok_and(|status| status.success()), "the kernel agrees on {name}");
        }
    }

    #[test]
    fn as_many_interpreters_are_followed_as_the_kernel_follows() {
        let root = tempfile::tempdir().expect("directory");
        let mut path = PathBuf::from("/bin/true");
        for depth in 1..=MAX_INTERPRETERS + 1 {
            path = put(root.path(), &depth.to_string(), format!("#!{}\n", path.display()).as_bytes());
            let run = std::process::Command::new(&path).status();
            assert_eq!(check_format(&path).is_ok(), run.is_ok(), "{depth}");
        }
        assert!(told(&path).contains("more than the kernel follows"));
    }

    #[test]
    fn what_was_registered_with_the_kernel_is_taken() {
        let emulator = "enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: OCF\noffset 0\nmagic 7f454c460201\nmask fffffffffe00\n";
        let path = Path::new("/opt/agent/start.py");
        assert!(covers(emulator, path, b"\x7fELF\x02\x01\x01"));
        assert!(covers(emulator, path, b"\x7fELF\x03\x09\x01"), "by its mask");
        assert!(!covers(emulator, path, b"\x7fELF\x01\x01\x01"));
        assert!(!covers(emulator, path, b"\x7fELF"));
        assert!(!covers(&emulator.replacen("enabled", "disabled", 1), path, b"\x7fELF\x02\x01\x01"));
        let runtime = "enabled\ninterpreter /usr/bin/python3\nflags: \nextension .py\n";
        assert!(covers(runtime, path, b"import sys\n"));
        assert!(!covers(runtime, Path::new("/opt/agent/start.sh"), b"import sys\n"));
        assert!(!covers("enabled\n", path, b"import sys\n"), "its own switch");
    }

    /// What an account may exchange runs as root at the next rotation.
    #[test]
    fn a_command_on_whose_way_an_account_may_exchange_something_is_exposed() {
        const ACCOUNT: u32 = 4242;
        assert!(rustix::process::geteuid().is_root(), "this test gives files away: run it as root");
        let root = tempfile::tempdir().expect("directory");
        let root = root.path().canonicalize().expect("there");
        let directory = |name: &str, mode: u32, owner: u32| {
            let path = root.join(name);
            fs::create_dir(&path).expect("mkdir");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
            std::os::unix::fs::chown(&path, Some(owner), None).expect("chown");
            path
        };
        let link = |path: PathBuf, target: &Path, owner: u32| {
            std::os::unix::fs::symlink(target, &path).expect("link");
            std::os::unix::fs::lchown(&path, Some(owner), None).expect("chown");
            path
        };
        let [ours, open, sticky, theirs, shut] = [
            directory("ours", 0o755, 0),
            directory("open", 0o777, 0),
            directory("sticky", 0o1777, 0),
            directory("theirs", 0o1755, ACCOUNT),
            directory("shut", 0o1755, 0),
        ];
        let script = |directory: &Path| put(directory, "script", b"#!/bin/sh\n");
        let good = script(&ours);
        let given = put(&sticky, "given", b"#!/bin/sh\n");
        std::os::unix::fs::chown(&given, Some(ACCOUNT), None).expect("chown");
        let (ways, through) =
            (link(sticky.join("ways"), &ours, ACCOUNT), link(ours.join("through"), Path::new("../sticky/ways"), 0));
        for (named, exposed) in [
            (good.clone(), None),
            (script(&open), Some(&open)),
            (script(&sticky), None),
            (given.clone(), Some(&given)),
            (script(&theirs), Some(&theirs)),
            (script(&shut), None),
            (link(ours.join("good"), &good, 0), None),
            (link(sticky.join("good"), &good, 0), None),
            // Nobody exchanges it where only root writes.
            (link(ours.join("given"), &good, ACCOUNT), None),
            (link(shut.join("given"), &good, ACCOUNT), None),
            (ways.join("script"), Some(&ways)),
            (through.join("script"), Some(&ways)),
        ] {
            let found = exposed_at(&named);
            let same = |path: &Path| Some((path.symlink_metadata().ok()?.ino(), path.symlink_metadata().ok()?.dev()));
            assert_eq!(
                found.as_deref().and_then(same),
                exposed.and_then(|path| same(path)),
                "{}: {found:?}",
                named.display()
            );
        }
    }

    #[test]
    fn a_name_is_looked_for_in_every_directory_of_the_path() {
        let root = tempfile::tempdir().expect("directory");
        for (directory, mode) in [("first", 0o644), ("second", 0o755)] {
            fs::create_dir(root.path().join(directory)).expect("mkdir");
            let program = root.path().join(directory).join("ctl");
            fs::write(&program, "").expect("write");
            fs::set_permissions(&program, fs::Permissions::from_mode(mode)).expect("chmod");
        }
        let at = |name: &str| root.path().join(name);
        let both = std::env::join_paths([at("gone"), at("first"), at("second")]).expect("path");
        assert_eq!(find("ctl", &both), Ok(at("second/ctl")));
        assert_eq!(find("ctl", at("first").as_os_str()), Err((at("first/ctl"), "not executable by this process")));
    }
}
