//! Small values of the configuration, each parsed once.

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use globset::{Glob, GlobBuilder, GlobMatcher};
use serde::{Deserialize, Deserializer, de};

use crate::platform::NAMES_FOLD_CASE;
use crate::probe::Endpoint;

/// A span of time that is neither nothing nor forever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interval(Duration);

/// The label `source` of a rule: 1 to 128 printable characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceName(String);

/// A certificate store of the machine: 1 to 128 printable characters. What Windows would take for the name of another computer or
/// of a service is none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoreName(String);

/// An absolute path, or an absolute pattern.
#[derive(Clone, Debug)]
pub enum PathPattern {
    /// A file that must be there.
    Exact(PathBuf),
    /// Files that may be there, below a directory that must.
    Glob { base: PathBuf, matcher: GlobMatcher, depth: Option<usize> },
}

/// A pattern of files to leave out; matched against the whole path.
#[derive(Clone, Debug)]
pub struct Exclusion(GlobMatcher);

/// Why a value is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    #[error("{0:?} is not a duration from 1s to 24h; write it as `30s`, `5m` or `1h30m`")]
    Interval(String),
    #[error("{0:?} is not a name; use 1 to 128 printable characters")]
    Name(String),
    #[error("{0:?} is not the name of a certificate store; write it as in `Cert:\\LocalMachine`, as `MY`")]
    Store(String),
    #[error("{0:?} is not absolute; write the whole path")]
    Relative(String),
    #[error("{pattern:?} is not a pattern: {detail}")]
    Glob { pattern: String, detail: String },
}

/// The first name that stands twice, at its second place.
pub(super) fn first_twin<'a>(names: impl Iterator<Item = &'a str>) -> Option<(usize, &'a str)> {
    let mut seen = BTreeSet::new();
    names.enumerate().find(|(_, name)| !seen.insert(*name))
}

impl Interval {
    const SHORTEST: Duration = Duration::from_secs(1);
    /// What is looked at less than daily is not watched.
    const LONGEST: Duration = Duration::from_hours(24);

    pub(crate) const fn new(span: Duration) -> Self {
        Self(span)
    }

    pub const fn as_duration(self) -> Duration {
        self.0
    }

    fn parse(text: &str) -> Result<Self, ValueError> {
        let wrong = || ValueError::Interval(text.to_owned());
        let span: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
        let span = Duration::try_from(span).map_err(|_| wrong())?;
        if (Self::SHORTEST..=Self::LONGEST).contains(&span) { Ok(Self(span)) } else { Err(wrong()) }
    }
}

impl SourceName {
    const LONGEST: usize = 128;

    /// # Errors
    /// When it is empty, too long, or holds what cannot be printed.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let fits = !text.is_empty() && text.chars().count() <= Self::LONGEST && !text.chars().any(char::is_control);
        fits.then(|| Self(text.to_owned())).ok_or_else(|| ValueError::Name(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StoreName {
    /// # Errors
    /// When it is empty, too long, or holds what no such name does.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let fits = SourceName::parse(text).is_ok() && !text.contains(['\\', '/']);
        fits.then(|| Self(text.to_owned())).ok_or_else(|| ValueError::Store(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PathPattern {
    /// # Errors
    /// When it is relative, or no pattern.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let path = Path::new(text);
        if !path.is_absolute() {
            return Err(ValueError::Relative(text.to_owned()));
        }
        // A volume of Windows is named without wildcards, whatever it looks like.
        let volume = match path.components().next() {
            Some(Component::Prefix(volume)) => volume.as_os_str().to_str().unwrap_or_default(),
            _ => "",
        };
        let below_volume = text.get(volume.len()..).unwrap_or_default();
        let literal = |component: &Component<'_>| match component {
            Component::Prefix(_) => true,
            _ => !has_wildcard(&component.as_os_str().to_string_lossy()),
        };
        let base: PathBuf = path.components().take_while(literal).collect();
        if base == path.components().collect::<PathBuf>() {
            return Ok(Self::Exact(base));
        }
        let matcher = glob(&format!("{}{below_volume}", globset::escape(volume)))?.compile_matcher();
        let below = path.components().count() - base.components().count();
        let depth = (!below_volume.contains("**") && !below_volume.contains('{')).then_some(below);
        Ok(Self::Glob { base, matcher, depth })
    }

    /// Whether it leads to this file.
    pub fn is_of(&self, file: &Path) -> bool {
        match self {
            Self::Exact(path) => path == file,
            Self::Glob { matcher, .. } => matcher.is_match(file),
        }
    }
}

impl Exclusion {
    /// Keys and requests lie beside the certificates they belong to, and hold none.
    const DEFAULTS: [&'static str; 4] = ["**/*.key", "**/*.csr", "**/*.crl", "**/privkey*.pem"];

    pub(crate) fn defaults() -> Vec<Self> {
        Self::DEFAULTS.iter().filter_map(|pattern| Self::parse(pattern).ok()).collect()
    }

    fn parse(text: &str) -> Result<Self, ValueError> {
        Ok(Self(glob(text)?.compile_matcher()))
    }

    pub fn matches(&self, path: &Path) -> bool {
        self.0.is_match(path)
    }
}

fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

fn glob(text: &str) -> Result<Glob, ValueError> {
    let failed = |e: globset::Error| ValueError::Glob { pattern: text.to_owned(), detail: e.kind().to_string() };
    GlobBuilder::new(text).literal_separator(true).case_insensitive(NAMES_FOLD_CASE).build().map_err(failed)
}

/// Parses a text while the reader still stands on it, so that an error names the line of the value and its key; a
/// value that is read first and judged afterwards would be blamed on the whole entry.
pub(super) fn in_place<'de, D, T, E>(
    deserializer: D,
    expected: &'static str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    E: fmt::Display,
{
    deserializer.deserialize_str(InPlace { expected, parse, result: PhantomData })
}

struct InPlace<F, R> {
    expected: &'static str,
    parse: F,
    result: PhantomData<R>,
}

impl<T, E: fmt::Display, F: FnOnce(&str) -> Result<T, E>> de::Visitor<'_> for InPlace<F, Result<T, E>> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<X: de::Error>(self, text: &str) -> Result<T, X> {
        (self.parse)(text).map_err(X::custom)
    }
}

pub(super) fn absolute_path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    in_place(deserializer, "an absolute path", |text| {
        let path = PathBuf::from(text);
        if path.is_absolute() { Ok(Some(path)) } else { Err(ValueError::Relative(text.to_owned())) }
    })
}

pub(super) fn required_path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    absolute_path(deserializer)?.ok_or_else(|| de::Error::custom("an absolute path is needed"))
}

/// `host:port`, or `[v6]:port`.
pub(super) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    in_place(deserializer, "an address as host:port", |text| {
        let endpoint = Endpoint { address: text.to_owned(), server_name: None };
        endpoint.expected_name().map(|_| endpoint.address)
    })
}

impl<'de> Deserialize<'de> for Interval {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        in_place(deserializer, "a duration such as `30s`", Self::parse)
    }
}

impl<'de> Deserialize<'de> for SourceName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        in_place(deserializer, "a name", Self::parse)
    }
}

impl<'de> Deserialize<'de> for StoreName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        in_place(deserializer, "the name of a store", Self::parse)
    }
}

impl<'de> Deserialize<'de> for PathPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        in_place(deserializer, "an absolute path or pattern", Self::parse)
    }
}

impl<'de> Deserialize<'de> for Exclusion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        in_place(deserializer, "a pattern", Self::parse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::testing::native;

    #[test]
    fn a_duration_is_written_with_its_unit_and_bounded() {
        let seconds = |text: &str| Interval::parse(text).map(|i| i.as_duration().as_secs());
        assert_eq!(seconds("30s"), Ok(30));
        assert_eq!(seconds("5m"), Ok(300));
        assert_eq!(seconds("1h30m"), Ok(5400));
        for wrong in ["30", "", "0s", "-5s", "500ms", "25h", "999999999999999999h", "soon"] {
            assert!(seconds(wrong).is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn a_path_without_wildcards_is_a_file_that_must_be_there() {
        assert!(matches!(PathPattern::parse(&native("/etc/ssl/a.pem")), Ok(PathPattern::Exact(_))));
        assert!(PathPattern::parse("etc/ssl/a.pem").is_err());
        assert!(PathPattern::parse(&native("/etc/[")).is_err());
    }

    #[test]
    fn a_pattern_searches_below_its_literal_part_and_no_deeper_than_it_can_match() {
        let parsed = |text| match PathPattern::parse(&native(text)) {
            Ok(PathPattern::Glob { base, matcher, depth }) => (base, matcher, depth),
            other => panic!("{text}: {other:?}"),
        };
        let (base, matcher, depth) = parsed("/srv/certs/**/*");
        assert_eq!((base.as_path(), depth), (native("/srv/certs").as_ref(), None));
        assert!(matcher.is_match(native("/srv/certs/a.pem")) && matcher.is_match(native("/srv/certs/b/c/d.pem")));
        let (base, matcher, depth) = parsed("/srv/*/tls.crt");
        assert_eq!((base.as_path(), depth), (native("/srv").as_ref(), Some(2)));
        assert!(matcher.is_match(native("/srv/a/tls.crt")) && !matcher.is_match(native("/srv/a/b/tls.crt")));
    }

    #[test]
    fn keys_and_requests_are_left_out_by_default() {
        let excluded = |path: &str| Exclusion::defaults().iter().any(|e| e.matches(Path::new(path)));
        assert!(excluded("/srv/certs/a/tls.key") && excluded("/x.csr"));
        assert!(excluded("/etc/letsencrypt/live/ups-01/privkey.pem"));
        assert!(!excluded("/srv/certs/a/tls.crt"));
    }
}
