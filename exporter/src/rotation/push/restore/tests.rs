mod moves;
mod places;
mod steps;

use std::fs;

use super::*;
use crate::platform::testing::{TRUE, mode, open_to_a_group, set_mode, symlink, with_fixed, without_syncs};
use crate::platform::{Links, SurveyedFile, Swap, WriteError};
use crate::rotation::agent::{Agent, Keystore};
use crate::rotation::journal::OldFile;
use crate::rotation::push::survey::MAX_STORE_BYTES;

/// A pair whose names say what they hold, swapped as the executor does it.
struct Scene {
    root: tempfile::TempDir,
    push: Push,
    files: Vec<FileSwap>,
}

impl Scene {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("directory");
        let directory = root.path().display();
        let agent = format!(
            "{{name: web, product: tls-service, keystore: {{certificateFile: {directory}/tls.crt, keyFile: {directory}/tls.key}}, \
             endpoint: {{address: '127.0.0.1:9'}}, service: {{stop: {TRUE}, start: {TRUE}}}}}"
        );
        let agent = Agent::resolve(&serde_yaml::from_str(&agent).expect("yaml")).expect("agent");
        let push = agent.push().expect("a push").clone();
        fs::create_dir(root.path().join("backup")).expect("mkdir");
        let files = [("tls.crt", FileRole::Chain), ("tls.key", FileRole::Key)]
            .map(|(name, holds)| Self::file(root.path(), name, holds))
            .to_vec();
        Self { root, push, files }
    }

    /// Both files are new, and the old ones lie where the swap has put them.
    fn swapped() -> Self {
        let scene = Self::new();
        (0..2).for_each(|n| scene.swap(n).expect("swapped"));
        scene
    }

    fn file(root: &Path, name: &str, holds: FileRole) -> FileSwap {
        let path = root.join(name);
        let (old, new) = (format!("old {name}"), format!("new {name}"));
        let backup = root.join("backup").join(name);
        for old_at in [&path, &backup] {
            fs::write(old_at, &old).expect("write");
        }
        open_to_a_group(&path);
        let surveyed = platform::survey(&path, MAX_STORE_BYTES).expect("survey");
        let staged = platform::temporary_beside(&path).expect("name");
        platform::write_new(&staged, new.as_bytes(), Some(&surveyed.attributes)).expect("staged");
        let digest = Digest::of(old.as_bytes());
        let identity = surveyed.file.expect("a file").identity;
        let beside = platform::temporary_beside(&path).expect("name");
        let old = OldFile { digest, identity, beside, backup, backup_digest: digest };
        let (new, attributes) = (Digest::of(new.as_bytes()), surveyed.attributes);
        FileSwap { path, directory: None, staged, new, holds, attributes, old: Some(old), ready: None }
    }

    fn swap(&self, n: usize) -> Result<(), &'static str> {
        let file = &self.files[n];
        let (attributes, old) = (&file.attributes, file.old.as_ref());
        let swapped = platform::swap(&Swap {
            path: &file.path,
            staged: &file.staged,
            beside: None,
            sha256: file.new.as_bytes(),
            attributes,
            old: old.map(|old| SurveyedFile { identity: &old.identity, sha256: old.digest.as_bytes(), attributes }),
        });
        swapped.map_err(|error| error.reason())
    }

    /// Somebody edits a file between the last look and the change of names: nothing is changed then.
    fn refuses_to_restore_over(&self, edit: impl FnOnce(&Self)) {
        let restoration = self.restoration();
        let (files, moves) = restoration.prepare().expect("prepared");
        edit(self);
        let refused = carry_out(&files, &moves, platform::sync_directory_of).expect_err("changed");
        assert_eq!(refused.reason(), "changed_meanwhile");
    }

    fn restoration(&self) -> Restoration<'_> {
        Restoration { push: Some(&self.push), files: &self.files, new_leaf: None, copied: &[], new_password: None }
    }

    fn edit(&self, n: usize, contents: &str) {
        fs::write(&self.files[n].path, contents).expect("write");
    }

    fn contents(&self) -> Vec<String> {
        self.files.iter().map(|file| fs::read_to_string(&file.path).expect("read")).collect()
    }

    /// What lies beside the two files and the backup.
    fn litter(&self) -> usize {
        fs::read_dir(self.root.path()).expect("list").count() - 3
    }
}

const THEIR_KEY: &str = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
