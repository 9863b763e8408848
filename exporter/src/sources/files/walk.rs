//! From patterns to paths.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::config::{Exclusion, PathPattern};
use crate::snapshot::Trouble;

/// Deeper trees are a mistake or an attack; certificates lie a handful of directories deep.
const MAX_DEPTH: usize = 64;
/// Directory entries that one pattern may pass over: a pattern on `/` ends here, and the source says so.
const MAX_ENTRIES: usize = 200_000;

/// What the patterns lead to.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Sorted; `true` for a file that was named without a pattern and must be there.
    pub(super) paths: BTreeMap<PathBuf, bool>,
    /// The first thing that kept the search from being a whole one.
    pub(super) trouble: Option<Trouble>,
}

impl Found {
    fn trouble(&mut self, reason: &'static str, message: String) {
        self.trouble.get_or_insert_with(|| Trouble::new(reason, message));
    }
}

pub(super) fn find(patterns: &[PathPattern], exclude: &[Exclusion], max_files: usize) -> Found {
    let mut found = Found::default();
    for pattern in patterns {
        match pattern {
            PathPattern::Exact(path) => drop(found.paths.insert(path.clone(), true)),
            PathPattern::Glob { base, matcher, depth } => {
                let wanted = |path: &Path| matcher.is_match(path) && !exclude.iter().any(|e| e.matches(path));
                search(base, depth.unwrap_or(MAX_DEPTH), &wanted, max_files, &mut found);
            }
        }
    }
    found
}

fn search(base: &Path, depth: usize, wanted: &dyn Fn(&Path) -> bool, max_files: usize, found: &mut Found) {
    let walk = WalkDir::new(base).follow_links(true).max_depth(depth.min(MAX_DEPTH)).sort_by_file_name();
    for (passed, entry) in walk.into_iter().filter_entry(|entry| !is_bookkeeping(entry)).enumerate() {
        if passed == MAX_ENTRIES {
            let message = format!("{}: more than {MAX_ENTRIES} entries below; use a narrower pattern", base.display());
            return found.trouble("too_many_files", message);
        }
        match entry {
            Ok(entry) if entry.file_type().is_file() && wanted(entry.path()) => {
                if found.paths.len() >= max_files && !found.paths.contains_key(entry.path()) {
                    let message = format!("more than {max_files} files; use narrower patterns or raise maxFiles");
                    return found.trouble("too_many_files", message);
                }
                found.paths.entry(entry.into_path()).or_insert(false);
            }
            Ok(_) => {}
            Err(error) => note(&error, base, wanted, found),
        }
    }
}

/// Kubernetes keeps the generations of a mounted Secret in `..data` and `..2024_…`, and links to them from beside: the
/// files would be counted three times.
fn is_bookkeeping(entry: &DirEntry) -> bool {
    entry.depth() > 0 && entry.file_name().as_encoded_bytes().starts_with(b"..")
}

fn note(error: &walkdir::Error, base: &Path, wanted: &dyn Fn(&Path) -> bool, found: &mut Found) {
    let path = error.path().unwrap_or(base);
    if error.loop_ancestor().is_some() {
        // Everything in the loop has been seen on the way in.
        return;
    }
    if path != base && path.is_symlink() {
        // A link that leads nowhere, in a circle, or where we may not go, is a file that cannot be read: the others can.
        if wanted(path) {
            found.paths.insert(path.to_owned(), true);
        }
        return;
    }
    let kind = error.io_error().map(std::io::Error::kind);
    match kind {
        Some(std::io::ErrorKind::NotFound) if path == base => {
            found.trouble("not_found", format!("{}: no such directory", base.display()));
        }
        // It vanished while we looked.
        Some(std::io::ErrorKind::NotFound) => {}
        Some(std::io::ErrorKind::PermissionDenied) => {
            let message = format!("{}: permission denied; let this program's user search it", path.display());
            found.trouble("permission_denied", message);
        }
        _ => found.trouble("read_failed", error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a temporary directory");
        for file in files {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().expect("below the root")).expect("a directory");
            std::fs::write(path, "").expect("a file");
        }
        root
    }

    fn names(root: &Path, patterns: &[&str], max_files: usize) -> (Vec<String>, Option<&'static str>) {
        let parse = |p: &&str| PathPattern::parse(root.join(p).to_str().expect("UTF-8")).expect("a pattern");
        let patterns: Vec<_> = patterns.iter().map(parse).collect();
        let found = find(&patterns, &Exclusion::defaults(), max_files);
        let shown = |p: &PathBuf| p.strip_prefix(root).unwrap_or(p).display().to_string();
        (found.paths.keys().map(shown).collect(), found.trouble.map(|t| t.reason))
    }

    #[test]
    fn a_double_star_finds_files_at_every_depth_and_leaves_keys_out() {
        let root = tree(&["a.pem", "b/c.pem", "b/d/e.jks", "b/d/e.key"]);
        assert_eq!(
            names(root.path(), &["**/*"], 10),
            (vec!["a.pem".into(), "b/c.pem".into(), "b/d/e.jks".into()], None)
        );
    }

    #[test]
    fn the_generations_of_a_mounted_secret_are_not_counted_twice() {
        let root = tree(&["..2024/tls.crt"]);
        std::os::unix::fs::symlink("..2024", root.path().join("..data")).expect("a link");
        std::os::unix::fs::symlink("..data/tls.crt", root.path().join("tls.crt")).expect("a link");
        assert_eq!(names(root.path(), &["**/*"], 10), (vec!["tls.crt".into()], None));
    }

    #[test]
    fn a_loop_of_symlinks_ends() {
        let root = tree(&["a/b.pem"]);
        std::os::unix::fs::symlink("..", root.path().join("a/up")).expect("a link");
        assert_eq!(names(root.path(), &["**/*"], 10), (vec!["a/b.pem".into()], None));
    }

    #[test]
    fn a_link_that_leads_to_itself_is_one_file_that_cannot_be_read_and_not_a_failure_of_the_source() {
        let root = tree(&["a.pem"]);
        std::os::unix::fs::symlink("loop.pem", root.path().join("loop.pem")).expect("a link");
        assert_eq!(names(root.path(), &["**/*"], 10), (vec!["a.pem".into(), "loop.pem".into()], None));
        let reason = crate::platform::identify(&root.path().join("loop.pem")).map_err(|error| error.reason());
        assert_eq!(reason, Err("symlink_loop"));
    }

    #[test]
    fn a_link_that_leads_nowhere_is_a_file_that_is_missing() {
        let root = tree(&["a.pem"]);
        std::os::unix::fs::symlink("gone.pem", root.path().join("b.pem")).expect("a link");
        assert_eq!(names(root.path(), &["*.pem"], 10).0, ["a.pem", "b.pem"]);
    }

    #[test]
    fn too_many_files_and_a_missing_directory_are_said() {
        let root = tree(&["a", "b", "c"]);
        assert_eq!(names(root.path(), &["*"], 2), (vec!["a".into(), "b".into()], Some("too_many_files")));
        assert_eq!(names(root.path(), &["none/*"], 2), (vec![], Some("not_found")));
    }
}
