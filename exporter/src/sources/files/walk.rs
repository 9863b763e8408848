//! From patterns to paths.

use std::cmp::Ordering;
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
pub(in crate::sources) struct WalkedFiles {
    /// In the order of [`order`], each path once.
    pub(in crate::sources) places: Vec<CandidateFile>,
    /// The first thing that kept the search from being a whole one.
    pub(in crate::sources) trouble: Option<Trouble>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sources) struct CandidateFile {
    pub(in crate::sources) path: PathBuf,
    /// It was named without a pattern.
    pub(in crate::sources) must_exist: bool,
    /// Its directory has just shown it to be a regular file, and no link.
    pub(in crate::sources) is_listed: bool,
}

impl CandidateFile {
    pub(super) const fn named(path: PathBuf) -> Self {
        Self { path, must_exist: true, is_listed: false }
    }
}

impl WalkedFiles {
    fn trouble(&mut self, reason: &'static str, message: String) {
        self.trouble.get_or_insert_with(|| Trouble::new(reason, message));
    }

    fn holds(&self, path: &Path) -> bool {
        self.places.binary_search_by(|place| order(&place.path, path)).is_ok()
    }

    pub(super) fn take(&mut self, places: impl IntoIterator<Item = CandidateFile>) {
        self.places.extend(places);
        self.places.sort_by(|one, other| order(&one.path, &other.path));
        self.places.dedup_by(|later, kept| {
            let is_same = order(&later.path, &kept.path).is_eq();
            kept.must_exist |= is_same && later.must_exist;
            kept.is_listed |= is_same && later.is_listed;
            is_same
        });
    }
}

/// By bytes: of ten thousand files, comparing paths by their components costs as much as reading the certificates.
pub(super) fn order(one: &Path, other: &Path) -> Ordering {
    one.as_os_str().as_encoded_bytes().cmp(other.as_os_str().as_encoded_bytes())
}

/// Each place with what is known of it. Both lists are in the same order, so that one walk along them finds it.
pub(super) fn with_known<T>(places: Vec<CandidateFile>, known: Vec<(PathBuf, T)>) -> Vec<(CandidateFile, Option<T>)> {
    let mut known = known.into_iter().peekable();
    let known_of = |place: CandidateFile| {
        while known.next_if(|(path, _)| order(path, &place.path).is_lt()).is_some() {}
        let found = known.next_if(|(path, _)| order(path, &place.path).is_eq());
        (place, found.map(|(_, value)| value))
    };
    places.into_iter().map(known_of).collect()
}

pub(in crate::sources) fn find(patterns: &[PathPattern], exclude: &[Exclusion], max_files: usize) -> WalkedFiles {
    let mut found = WalkedFiles::default();
    for pattern in patterns {
        let places = match pattern {
            PathPattern::Exact(path) => vec![CandidateFile::named(path.clone())],
            PathPattern::Glob { base, matcher, depth } => {
                let wanted = |path: &Path| matcher.is_match(path) && !exclude.iter().any(|e| e.matches(path));
                search(base, depth.unwrap_or(MAX_DEPTH), &wanted, max_files, &mut found)
            }
        };
        found.take(places);
    }
    found
}

/// What one pattern leads to; `found` is what those before it led to.
fn search(
    base: &Path,
    depth: usize,
    wanted: &dyn Fn(&Path) -> bool,
    max_files: usize,
    found: &mut WalkedFiles,
) -> Vec<CandidateFile> {
    let mut places = Vec::new();
    let mut room = max_files.saturating_sub(found.places.len());
    let walk = WalkDir::new(base).follow_links(true).max_depth(depth.min(MAX_DEPTH));
    let walk = walk.sort_by(|one, other| order(one.path(), other.path()));
    for (passed, entry) in walk.into_iter().filter_entry(|entry| !is_bookkeeping(entry)).enumerate() {
        if passed == MAX_ENTRIES {
            let message = format!("{}: more than {MAX_ENTRIES} entries below; use a narrower pattern", base.display());
            found.trouble("too_many_files", message);
            break;
        }
        match entry {
            Ok(entry) if entry.file_type().is_file() && wanted(entry.path()) => {
                if !found.holds(entry.path()) {
                    if room == 0 {
                        let message = format!("more than {max_files} files; use narrower patterns or raise maxFiles");
                        found.trouble("too_many_files", message);
                        break;
                    }
                    room -= 1;
                }
                let is_listed = !entry.path_is_symlink();
                places.push(CandidateFile { path: entry.into_path(), must_exist: false, is_listed });
            }
            Ok(_) => {}
            Err(error) => places.extend(note(&error, base, wanted, found)),
        }
    }
    places
}

/// Kubernetes keeps the generations of a mounted Secret in `..data` and `..2024_…`, and links to them from beside: the
/// files would be counted three times.
fn is_bookkeeping(entry: &DirEntry) -> bool {
    entry.depth() > 0 && entry.file_name().as_encoded_bytes().starts_with(b"..")
}

fn note(
    error: &walkdir::Error,
    base: &Path,
    wanted: &dyn Fn(&Path) -> bool,
    found: &mut WalkedFiles,
) -> Option<CandidateFile> {
    let path = error.path().unwrap_or(base);
    if error.loop_ancestor().is_some() {
        // Everything in the loop has been seen on the way in.
        return None;
    }
    if path != base && path.is_symlink() {
        // A link that leads nowhere, in a circle, or where we may not go, is a file that cannot be read: the others can.
        return wanted(path).then(|| CandidateFile::named(path.to_owned()));
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
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::testing::symlink;

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
        let shown = |p: &PathBuf| p.strip_prefix(root).unwrap_or(p).display().to_string().replace('\\', "/");
        (found.places.iter().map(|place| shown(&place.path)).collect(), found.trouble.map(|t| t.reason))
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
        symlink("..2024", root.path().join("..data")).expect("a link");
        symlink("..data/tls.crt", root.path().join("tls.crt")).expect("a link");
        assert_eq!(names(root.path(), &["**/*"], 10), (vec!["tls.crt".into()], None));
    }

    #[test]
    fn a_file_that_several_patterns_lead_to_is_taken_once_and_must_be_there_where_one_names_it() {
        let root = tree(&["a.pem", "a/b.pem", "c.pem"]);
        let parse = |p: &&str| PathPattern::parse(&format!("{}/{p}", root.path().display())).expect("a pattern");
        let patterns: Vec<_> = ["**/*", "*.pem", ".//a.pem"].iter().map(parse).collect();
        let found = find(&patterns, &[], 3);
        let shown =
            |place: &CandidateFile| (place.path.strip_prefix(root.path()).expect("below").to_owned(), place.must_exist);
        let wanted = [("a.pem", true), ("a/b.pem", false), ("c.pem", false)].map(|(path, must)| (path.into(), must));
        assert_eq!(found.places.iter().map(shown).collect::<Vec<(PathBuf, bool)>>(), wanted);
        assert!(found.trouble.is_none(), "three files are no more than three, however often they are found");
    }

    #[test]
    fn what_is_known_of_a_file_is_found_again_whatever_came_or_went_beside_it() {
        let place = |path: &str| CandidateFile { path: path.into(), must_exist: false, is_listed: true };
        let known = ["/a", "/b", "/d", "/f"].map(|path| (PathBuf::from(path), path));
        let found = with_known(["/0", "/b", "/c", "/d", "/g"].map(place).into(), known.into());
        let found: Vec<_> = found.iter().map(|(place, known)| (place.path.to_str(), *known)).collect();
        let wanted = [("/0", None), ("/b", Some("/b")), ("/c", None), ("/d", Some("/d")), ("/g", None)];
        assert_eq!(found, wanted.map(|(path, known)| (Some(path), known)));
    }

    #[test]
    fn a_loop_of_symlinks_ends() {
        let root = tree(&["a/b.pem"]);
        symlink("..", root.path().join("a/up")).expect("a link");
        assert_eq!(names(root.path(), &["**/*"], 10), (vec!["a/b.pem".into()], None));
    }

    #[test]
    fn a_link_that_leads_to_itself_is_one_file_that_cannot_be_read_and_not_a_failure_of_the_source() {
        let root = tree(&["a.pem"]);
        symlink("loop.pem", root.path().join("loop.pem")).expect("a link");
        assert_eq!(names(root.path(), &["**/*"], 10), (vec!["a.pem".into(), "loop.pem".into()], None));
        let reason = crate::platform::identify(&root.path().join("loop.pem")).map_err(|error| error.reason());
        assert_eq!(reason, Err("symlink_loop"));
    }

    #[test]
    fn a_link_that_leads_nowhere_is_a_file_that_is_missing() {
        let root = tree(&["a.pem"]);
        symlink("gone.pem", root.path().join("b.pem")).expect("a link");
        assert_eq!(names(root.path(), &["*.pem"], 10).0, ["a.pem", "b.pem"]);
    }

    #[test]
    fn too_many_files_and_a_missing_directory_are_said() {
        let root = tree(&["a", "b", "c"]);
        assert_eq!(names(root.path(), &["*"], 2), (vec!["a".into(), "b".into()], Some("too_many_files")));
        assert_eq!(names(root.path(), &["none/*"], 2), (vec![], Some("not_found")));
    }
}
