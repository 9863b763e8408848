//! Where all of it goes, or nothing.

use std::path::Path;

use anyhow::Context as _;
use kagiban_files::{StagedDirectory, WriteError, remove, replace_guarded, write_new_guarded};

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

/// A file that nobody but we may read.
pub(super) struct SecretFile<'a> {
    pub(super) path: &'a Path,
    pub(super) bytes: &'a [u8],
    pub(super) target: Target,
}

/// They are the last that are written: both are there whole, or what was there before is. The issuer's is first, since it replaces
/// nothing and can be taken back.
pub(super) fn write_secrets(issuer: Option<SecretFile<'_>>, client: &SecretFile<'_>) -> anyhow::Result<()> {
    if let Some(issuer) = &issuer {
        issuer.write().with_context(unwritten)?;
    }
    let Err(error) = client.write() else { return Ok(()) };
    match issuer.map(|issuer| remove(issuer.path)) {
        Some(Err(left)) => Err(anyhow::Error::from(error).context(format!("it cannot be written, and {left}"))),
        Some(Ok(())) | None => Err(error).with_context(unwritten),
    }
}

impl SecretFile<'_> {
    fn write(&self) -> Result<(), WriteError> {
        match self.target {
            Target::Free => write_new_guarded(self.path, self.bytes),
            Target::Taken => replace_guarded(self.path, self.bytes),
        }
    }
}

fn unwritten() -> &'static str {
    "it cannot be written; everything is as it was"
}
