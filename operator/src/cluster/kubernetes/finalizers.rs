//! The finalizers of an object, as many as anybody needs: whoever writes one of them writes the whole list, and anybody who may
//! write the object may put a megabyte there.

use std::fmt;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Objects have two or three.
const MOST: usize = 64;
/// Of all together. A name has some forty.
const MOST_BYTES: usize = 16 << 10;

/// None where there are more than are kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finalizers(pub(super) Option<Vec<String>>);

/// What is said of an object that has too many.
pub(super) const TOO_MANY: &str =
    "it has more finalizers than 64, or than 16 KiB: take away those that nobody needs, and it is looked at again";

impl Default for Finalizers {
    fn default() -> Self {
        Self(Some(Vec::new()))
    }
}

impl<'de> Deserialize<'de> for Finalizers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Read)
    }
}

struct Read;

impl<'de> Visitor<'de> for Read {
    type Value = Finalizers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of finalizers")
    }

    fn visit_unit<E>(self) -> Result<Finalizers, E> {
        Ok(Finalizers::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Finalizers, A::Error> {
        let (mut kept, mut bytes) = (Vec::new(), 0);
        while let Some(name) = names.next_element::<String>()? {
            bytes += name.len();
            if kept.len() == MOST || bytes > MOST_BYTES {
                while names.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(Finalizers(None));
            }
            kept.push(name);
        }
        Ok(Finalizers(Some(kept)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holds B14: thirty objects with a megabyte of finalizers each had the operator run out of memory.
    #[test]
    fn no_more_finalizers_are_kept_than_anybody_needs() {
        let read = |names: &[String]| {
            let text = serde_json::to_string(names).expect("JSON");
            serde_json::from_str::<Finalizers>(&text).expect("a list")
        };
        let few: Vec<_> = (0..MOST).map(|n| format!("example.com/{n}")).collect();
        assert_eq!(read(&few), Finalizers(Some(few.clone())));
        assert_eq!(read(&vec!["a".to_owned(); 300_000]), Finalizers(None));
        assert_eq!(read(&["x".repeat(MOST_BYTES + 1)]), Finalizers(None));
        assert_eq!(serde_json::from_str::<Finalizers>("null").expect("none"), Finalizers::default());
    }
}
