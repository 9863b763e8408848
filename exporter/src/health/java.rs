//! The version of a Java, old scheme and new.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};

/// `17.0.9` as 17, 0, 9, and `1.8.0_392` as 8, 0, 392. What follows a `+` or a `-` is no part of it.
#[derive(Clone, Debug)]
pub struct JavaVersion(Vec<u32>);

/// A version has four numbers, by rare vendors five.
const MAX_NUMBERS: usize = 6;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no Java version such as 17.0.9 or 1.8.0_392")]
pub struct NoVersion(String);

impl JavaVersion {
    /// Out of the file `release` of a Java.
    pub fn in_release(text: &str) -> Option<Self> {
        let value = text.lines().find_map(|line| line.trim().strip_prefix("JAVA_VERSION="))?;
        value.trim().trim_matches('"').parse().ok()
    }
}

impl FromStr for JavaVersion {
    type Err = NoVersion;

    fn from_str(text: &str) -> Result<Self, NoVersion> {
        let wrong = || NoVersion(text.chars().take(64).collect());
        let plain = text.split(['+', '-']).next().unwrap_or_default();
        let plain = plain.strip_prefix("1.").unwrap_or(plain);
        let numbers: Result<Vec<u32>, _> = plain.split(['.', '_']).take(MAX_NUMBERS).map(str::parse).collect();
        numbers.map(Self).map_err(|_| wrong())
    }
}

impl PartialEq for JavaVersion {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for JavaVersion {}

impl PartialOrd for JavaVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for JavaVersion {
    /// `17` is `17.0.0`.
    fn cmp(&self, other: &Self) -> Ordering {
        let number = |version: &Self, index: usize| version.0.get(index).copied().unwrap_or(0);
        let length = self.0.len().max(other.0.len());
        (0..length).map(|i| number(self, i).cmp(&number(other, i))).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
    }
}

impl fmt::Display for JavaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(u32::to_string).collect::<Vec<_>>().join("."))
    }
}

impl<'de> Deserialize<'de> for JavaVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

/// YAML takes `17` for a number, and `17.10` for 17.1: the one is fine, the other must stand in quotes.
struct Written;

impl de::Visitor<'_> for Written {
    type Value = JavaVersion;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a Java version in quotes, such as \"17.0.9\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<JavaVersion, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<JavaVersion, E> {
        number.to_string().parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> JavaVersion {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn versions_of_both_schemes_are_in_order() {
        let ascending = ["1.8.0_392", "8.0.400", "11", "11.0.21+9", "17.0.9", "17.0.10-ea", "21.0.0.1"];
        for pair in ascending.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{pair:?}");
        }
        assert_eq!(version("17"), version("17.0.0+35"));
        for wrong in ["", "seventeen", "17.", "17..1", "-1", "99999999999"] {
            assert!(wrong.parse::<JavaVersion>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_release_file_says_it() {
        let text =
            "IMPLEMENTOR=\"Eclipse Adoptium\"\r\nJAVA_VERSION=\"17.0.9\"\r\nJAVA_VERSION_DATE=\"2023-10-17\"\r\n";
        assert_eq!(JavaVersion::in_release(text), Some(version("17.0.9")));
        assert_eq!(JavaVersion::in_release("JAVA_VERSION=\"\"\n"), None);
        assert_eq!(JavaVersion::in_release(""), None);
    }
}
