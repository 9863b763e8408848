//! What a look declares, all files together, and where in a file something is wrong.

use std::collections::{BTreeMap, BTreeSet};

use super::contents::{Declared, Key, Problem};
use super::directory::{Directory, Look};
use crate::cluster::manifest::line;
use crate::cluster::standalone::admission::FieldError;

/// What is named once, by key; and what is named more than once, of which nobody can tell which is meant.
pub(super) fn declared<'a>(
    look: &'a Look,
    problems: &mut BTreeSet<Problem>,
) -> (BTreeMap<Key, (&'a str, &'a Declared)>, BTreeSet<Key>) {
    let (mut declared, mut twice) = (BTreeMap::<Key, (&str, &Declared)>::new(), BTreeSet::new());
    for (file, contents) in &look.files {
        for found in &contents.resources {
            if let Some((other, _)) = declared.insert(found.key.clone(), (file, found)) {
                problems.extend(named_twice(file, found.place.line, other, &found.key));
                twice.insert(found.key.clone());
            }
        }
    }
    declared.retain(|key, _| !twice.contains(key));
    (declared, twice)
}

/// Of both files: what either had named before stays as it was.
pub(super) fn named_twice(file: &str, line: Option<usize>, other: &str, (namespace, name): &Key) -> [Problem; 2] {
    let what = |other: &str| format!("{namespace}/{name} stands in {other} too: leave one of them");
    [
        Problem { file: file.to_owned(), line, what: what(other) },
        Problem { file: other.to_owned(), line: None, what: what(file) },
    ]
}

/// Each with the line of its field.
pub(super) fn located(
    directory: Option<&Directory>,
    file: &str,
    declared: &Declared,
    errors: &[FieldError],
) -> Vec<Problem> {
    let text = directory.and_then(|directory| directory.text(file));
    let (namespace, name) = &declared.key;
    let place = declared.place;
    let problem = |error: &FieldError| {
        let at = text.as_deref().and_then(|text| line(text, place.number, place.item, &error.path));
        let what = format!("{namespace}/{name}: {error}");
        Problem { file: file.to_owned(), line: at.or(place.line), what }
    };
    errors.iter().map(problem).collect()
}
