//! A log in files of bounded size and number, for a program that nobody reads stderr of.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use kagiban_files::AppendedFile;

/// A week or more of what is logged at `info`.
const MAX_BYTES: u64 = 10 * 1024 * 1024;
/// Beside the one that is written: `.1` is the newest.
const KEPT: u32 = 4;

/// Written line by line. When it is full it is renamed, the oldest goes, and a new one is begun.
#[derive(Debug)]
pub(crate) struct LogFile {
    at: AppendedFile,
    file: File,
    bytes: u64,
    max_bytes: u64,
}

impl LogFile {
    /// Goes on with the file that is there. A new one is private to this program's account and administrators.
    ///
    /// # Errors
    /// When it cannot be made or written, or is no file of its own.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Self::of_size(path, MAX_BYTES)
    }

    fn of_size(path: &Path, max_bytes: u64) -> io::Result<Self> {
        let at = AppendedFile::find(path).map_err(|error| wrong(&error))?;
        let file = at.open().map_err(|error| wrong(&error))?;
        let bytes = file.metadata()?.len();
        Ok(Self { at, file, bytes, max_bytes })
    }

    /// A program that has a file open may keep it from being renamed. Then the newest name stays free, so that nothing older is lost by
    /// trying again.
    fn begin_anew(&mut self) -> io::Result<()> {
        if self.at.has(&nth(1))? {
            for number in (1..KEPT).rev() {
                match self.at.rename(&nth(number), &nth(number + 1)) {
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        self.at.rename("", &nth(1))?;
        self.file = self.at.open().map_err(|error| wrong(&error))?;
        self.bytes = 0;
        Ok(())
    }
}

impl Write for LogFile {
    /// One line. Where no new file can be begun the old one may become twice as large; then lines are refused.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        let after = self.bytes.saturating_add(length);
        if after > self.max_bytes && self.bytes > 0 {
            let begun = self.begin_anew();
            if after > self.max_bytes.saturating_mul(2) {
                begun?;
            }
        }
        self.file.write_all(line)?;
        self.bytes = self.bytes.saturating_add(length);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn wrong(error: &dyn std::error::Error) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, error.to_string())
}

/// What follows the name of the file.
fn nth(number: u32) -> String {
    format!(".{number}")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use kagiban_files::is_readable_by_others;

    use super::*;

    fn kept_at(path: &Path, number: u32) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(nth(number));
        name.into()
    }

    fn lines(path: &Path) -> Option<String> {
        fs::read_to_string(path).ok()
    }

    #[test]
    fn a_full_file_is_renamed_and_the_oldest_goes() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        let mut log = LogFile::of_size(&path, 10).expect("a file");
        for number in 0..8 {
            log.write_all(format!("line {number}\n").as_bytes()).expect("written");
        }
        assert_eq!(lines(&path).as_deref(), Some("line 7\n"));
        let kept: Vec<_> = (1..=KEPT + 1).map(|number| lines(&kept_at(&path, number))).collect();
        let expected = [6, 5, 4, 3].map(|number| Some(format!("line {number}\n")));
        assert_eq!(kept, [&expected[..], &[None]].concat());
    }

    #[test]
    fn the_file_that_is_there_is_gone_on_with_and_nobody_else_reads_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        for line in ["one\n", "two\n"] {
            LogFile::of_size(&path, 100).expect("a file").write_all(line.as_bytes()).expect("written");
        }
        assert_eq!(lines(&path).as_deref(), Some("one\ntwo\n"));
        assert!(!is_readable_by_others(&path));
        assert!(LogFile::open(directory.path()).is_err(), "a directory is no log");
    }

    #[test]
    fn a_line_that_is_larger_than_a_file_is_written_whole_and_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        let mut log = LogFile::of_size(&path, 4).expect("a file");
        log.write_all(b"longer than that\n").expect("written");
        log.write_all(b"next\n").expect("written");
        assert_eq!(lines(&kept_at(&path, 1)).as_deref(), Some("longer than that\n"));
    }

    /// Here a directory is in the way; on Windows it may be a program that reads one of them and does not let it be renamed.
    #[test]
    fn a_log_that_cannot_be_renamed_has_an_end_and_loses_nothing_older() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        (1..KEPT).for_each(|number| fs::write(kept_at(&path, number), number.to_string()).expect("written"));
        fs::create_dir_all(kept_at(&path, KEPT).join("in the way")).expect("a directory");
        let mut log = LogFile::of_size(&path, 10).expect("a file");
        let written = (0..9).take_while(|_| log.write_all(b"1234\n").is_ok()).count();
        assert_eq!(written, 4);
        assert_eq!(lines(&path).map(|text| text.len()), Some(20));
        let older = || (1..KEPT).map(|number| lines(&kept_at(&path, number)).unwrap_or_default()).collect::<Vec<_>>();
        assert_eq!(older(), ["1", "2", "3"]);
        fs::remove_dir_all(kept_at(&path, KEPT)).expect("away");
        log.write_all(b"1234\n").expect("written");
        assert_eq!(lines(&path).as_deref(), Some("1234\n"));
        assert_eq!(lines(&kept_at(&path, KEPT)).as_deref(), Some("3"));
    }
}
