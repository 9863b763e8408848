//! Where all of it goes, or nothing.

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

fn unwritten() -> &'static str {
    "it cannot be written; everything is as it was"
}
