//! Where all of it goes, or nothing.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use anyhow::Context as _;
use kagiban_files::{StagedDirectory, WriteError, replace_guarded, write_new_guarded};

/// Whether something else lies where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Free,
    /// It takes the place of what is there.
    Taken,
}

/// Directories that are written beside their places, and get their names together. What is dropped before it is kept leaves
/// everything as it was.
#[derive(Debug, Default)]
pub(super) struct Output(Vec<(StagedDirectory, Target)>);

impl Output {
    /// Writes it beside its place.
    pub(super) fn add(&mut self, path: &Path, files: &[(&'static str, &[u8])], target: Target) -> anyhow::Result<()> {
        let staged = StagedDirectory::write(path, files).with_context(unwritten)?;
        self.0.push((staged, target));
        Ok(())
    }

    pub(super) fn publish(&mut self) -> anyhow::Result<()> {
        for (directory, target) in &mut self.0 {
            match target {
                Target::Free => directory.publish(),
                Target::Taken => directory.replace(),
            }
            .with_context(unwritten)?;
        }
        Ok(())
    }

    /// Nothing is taken back any more. What of the replaced could not be removed is told.
    pub(super) fn keep(self) -> Vec<WriteError> {
        self.0.into_iter().filter_map(|(directory, _)| directory.keep().err()).collect()
    }
}

/// A file that nobody but we may read. It is the last that is written: it is there whole, or what was there before is.
pub(super) fn write_file(path: &Path, bytes: &[u8], target: Target) -> anyhow::Result<()> {
    match target {
        Target::Free => write_new_guarded(path, bytes),
        Target::Taken => replace_guarded(path, bytes),
    }
    .with_context(unwritten)
}

/// The standard output, for what must not be lost unsaid: `std::io::stdout` takes what goes to a descriptor that cannot be written
/// to for written.
#[derive(Debug)]
pub(super) struct StandardOutput(File);

impl StandardOutput {
    /// # Errors
    /// When it goes to `/dev/null`, which a closed one is by now: the runtime opens it there.
    pub(super) fn open() -> anyhow::Result<Self> {
        Self::over(std::io::stdout().as_fd())
    }

    fn over(descriptor: BorrowedFd<'_>) -> anyhow::Result<Self> {
        let context = "the standard output cannot be written to";
        let file = File::from(descriptor.try_clone_to_owned().context(context)?);
        let output = file.metadata().context(context)?;
        let is_null = fs::metadata("/dev/null").is_ok_and(|null| null.rdev() == output.rdev());
        anyhow::ensure!(
            !(output.file_type().is_char_device() && is_null),
            "the Secret would be lost: the standard output is closed, or goes to /dev/null; nothing was written"
        );
        Ok(Self(file))
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(bytes)
    }
}

fn unwritten() -> &'static str {
    "it cannot be written; everything is as it was"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_nowhere_is_no_standard_output() {
        let null = File::options().write(true).open("/dev/null").expect("a device");
        let refused = StandardOutput::over(null.as_fd()).expect_err("it goes nowhere").to_string();
        assert!(refused.contains("would be lost"), "{refused}");
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        StandardOutput::over(writer.as_fd()).expect("a pipe").write(b"text").expect("written");
        drop(writer);
        assert_eq!(std::io::read_to_string(&mut reader).expect("text"), "text");
        // `std::io::stdout` says of this that it was written.
        let mut unwritable = StandardOutput::over(reader.as_fd()).expect("a descriptor");
        assert!(unwritable.write(b"text").is_err());
    }
}
