//! `/run/systemd/shutdown/scheduled`: there while systemd-logind has a shutdown scheduled, and readable by everybody.

use std::path::Path;

use jiff::Timestamp;
use kagiban_files::{FileError, read_regular};

use crate::label::Label;
use crate::platform::shutdown::{Scheduled, ShutdownError, ShutdownKind, SystemShutdown};

/// Four short lines and the words for those who are logged in.
const MAX_BYTES: u64 = 64 * 1024;
/// Before the mode of one that is only announced.
const DRY: &str = "dry-";

/// No file is nothing scheduled.
///
/// # Errors
/// When the file is there and cannot be read or understood.
pub(super) fn read(path: &Path) -> Result<SystemShutdown, ShutdownError> {
    match read_regular(path, MAX_BYTES) {
        Ok(file) => parse(&file.bytes).ok_or_else(|| ShutdownError::Malformed(Label::from_path(path))),
        Err(FileError::NotFound { .. }) => Ok(SystemShutdown::default()),
        Err(error) => Err(error.into()),
    }
}

/// What systemd calls it, and when, in microseconds since 1970; none where that says that nothing is scheduled.
pub(super) fn scheduled(mode: &str, microseconds: u64) -> Option<Scheduled> {
    if mode.is_empty() || matches!(microseconds, 0 | u64::MAX) {
        return None;
    }
    let at = i64::try_from(microseconds).ok().and_then(|it| Timestamp::from_microsecond(it).ok())?;
    let (kind, dry_run) = mode.strip_prefix(DRY).map_or((mode, false), |mode| (mode, true));
    let kind = match kind {
        "poweroff" => ShutdownKind::Poweroff,
        "reboot" => ShutdownKind::Reboot,
        "halt" => ShutdownKind::Halt,
        "kexec" => ShutdownKind::Kexec,
        "soft-reboot" => ShutdownKind::SoftReboot,
        _ => ShutdownKind::Other,
    };
    Some(Scheduled { kind, at, dry_run })
}

/// A file without a time or a mode is not one of systemd's.
fn parse(bytes: &[u8]) -> Option<SystemShutdown> {
    let text = String::from_utf8_lossy(bytes);
    let value = |wanted: &str| {
        let mut pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.rfind(|(key, _)| *key == wanted).map(|(_, value)| value.trim())
    };
    let microseconds = value("USEC")?.parse().ok()?;
    let mut scheduled = scheduled(value("MODE")?, microseconds)?;
    scheduled.dry_run |= value("DRY_RUN") == Some("1");
    let message = value("WALL_MESSAGE").map(unescape).filter(|message| !message.is_empty());
    Some(SystemShutdown {
        scheduled: Some(scheduled),
        under_way: None,
        message: message.map(|message| Label::new(&message)),
    })
}

/// What systemd wrote with the escapes of C. An escape that is none stays as it is.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let (byte, length) = match (first, after) {
            (b'\\', [b'x', digits @ ..]) => number(digits, 2, 16).map_or((first, 1), |byte| (byte, 4)),
            (b'\\', [b'0'..=b'3', ..]) => number(after, 3, 8).map_or((first, 1), |byte| (byte, 4)),
            (b'\\', [letter, ..]) => plain(*letter).map_or((first, 1), |byte| (byte, 2)),
            _ => (first, 1),
        };
        bytes.push(byte);
        rest = &rest[length..];
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn number(digits: &[u8], length: usize, radix: u32) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits.get(..length)?).ok()?, radix).ok()
}

const fn plain(letter: u8) -> Option<u8> {
    Some(match letter {
        b'a' => 7,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b's' => b' ',
        b't' => b'\t',
        b'v' => 11,
        b'\\' | b'"' | b'\'' => letter,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    const AT: &str = "1787660444000000";

    fn seen(text: &str) -> Option<(ShutdownKind, i64, bool)> {
        parse(text.as_bytes())?.scheduled.map(|it| (it.kind, it.at.as_second(), it.dry_run))
    }

    #[test]
    fn a_file_of_systemd_is_read_whatever_its_age() {
        let at = 1_787_660_444;
        for (text, kind, dry_run) in [
            (format!("USEC={AT}\nWARN_WALL=1\nMODE=reboot\nUID=0\nTTY=pts/0\n"), ShutdownKind::Reboot, false),
            (format!("USEC={AT}\nWARN_WALL=0\nDRY_RUN=1\nMODE=poweroff\n"), ShutdownKind::Poweroff, true),
            (format!("USEC={AT}\nMODE=dry-halt\n"), ShutdownKind::Halt, true),
            (format!("USEC={AT}\r\nDRY_RUN=0\r\nMODE=kexec\r\n"), ShutdownKind::Kexec, false),
            (format!("USEC={AT}\nMODE=soft-reboot"), ShutdownKind::SoftReboot, false),
            (format!("USEC={AT}\nMODE=dance\n"), ShutdownKind::Other, false),
        ] {
            assert_eq!(seen(&text), Some((kind, at, dry_run)), "{text}");
        }
    }

    #[test]
    fn a_file_without_a_time_or_a_mode_is_not_understood() {
        for text in ["", "MODE=reboot\n", "USEC=1\n", "USEC=soon\nMODE=reboot\n", "USEC=-1\nMODE=reboot\n", "\u{0}"] {
            assert_eq!(seen(text), None, "{text:?}");
        }
        assert_eq!(seen(&format!("USEC={}\nMODE=reboot\n", u64::MAX)), None, "no time at all");
        assert_eq!(seen(&format!("USEC={}\nMODE=reboot\n", u64::MAX - 1)), None, "beyond every calendar");
    }

    #[test]
    fn the_words_for_users_come_through_and_cannot_break_a_line() {
        let text = format!("USEC={AT}\nMODE=reboot\nWALL_MESSAGE=UPS \\303\\251 \\x41\\tdown\\n\\q \\\n");
        let message = parse(text.as_bytes()).and_then(|it| it.message).expect("a message");
        assert!(message.as_str().starts_with("UPS é A\u{fffd}down\u{fffd}\\q \\~"), "{message}");
        let text = format!("USEC={AT}\nMODE=reboot\nWALL_MESSAGE=\n");
        assert_eq!(parse(text.as_bytes()).and_then(|it| it.message), None);
    }

    #[test]
    fn what_is_not_there_is_nothing_scheduled_and_what_is_no_file_is_an_error() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("scheduled");
        assert_eq!(read(&path).expect("nothing is scheduled"), SystemShutdown::default());
        assert_eq!(read(directory.path()).expect_err("a directory").reason(), "not_regular");
        std::fs::write(&path, vec![b'='; 70_000]).expect("it can be written");
        assert_eq!(read(&path).expect_err("too large").reason(), "too_large");
        std::fs::write(&path, "MODE=").expect("it can be written");
        assert_eq!(read(&path).expect_err("no time").reason(), "malformed");
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..400), text in r"(\\[x0-9a-z]{0,4}|[ -~]){0,40}") {
            let _ = parse(&bytes);
            proptest::prop_assert!(unescape(&text).len() <= text.len() * 3);
        }
    }
}
