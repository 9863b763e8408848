//! The fuzzer's seeds, and every input that ever broke a target, given to the targets by the ordinary build: what the fuzzer
//! found once is looked for in each run of the tests.

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kagiban_exporter::fuzzing::TARGETS;

/// The fuzzer's own, for an optimised build; nothing that is kept takes a tenth of it.
const DEADLINE: Duration = Duration::from_secs(5);

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz")
}

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().into_string().expect("a name in UTF-8")).collect()
}

#[test]
fn no_seed_and_nothing_that_once_broke_a_target_breaks_it() {
    for (target, read) in TARGETS {
        for directory in [fuzz().join("seeds").join(target), fuzz().join("regressions").join(target)] {
            for name in names(&directory) {
                let input = directory.join(name);
                let bytes = fs::read(&input).expect("an input is a file");
                let started = Instant::now();
                assert!(catch_unwind(|| read(&bytes)).is_ok(), "{} makes {target} panic", input.display());
                assert!(started.elapsed() < DEADLINE, "{} takes {:?}", input.display(), started.elapsed());
            }
        }
    }
}

#[test]
fn every_target_has_seeds_and_every_directory_a_target() {
    let targets: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&fuzz().join("seeds")), targets);
    assert!(names(&fuzz().join("regressions")).is_subset(&targets));
    for target in &targets {
        assert!(!names(&fuzz().join("seeds").join(target)).is_empty(), "{target} starts from nothing");
    }
}
