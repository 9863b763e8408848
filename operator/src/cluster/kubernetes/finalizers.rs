//! The finalizers of an object, as many as anybody needs: whoever writes one of them writes the whole list, and anybody who may
//! write the object may put a megabyte there.

use serde::{Deserialize, Deserializer};

use crate::cluster::elements::each;

/// Objects have two or three.
const MOST: usize = 64;
/// Of all together. A name has some forty.
const MOST_BYTES: usize = 16 << 10;

/// None where there are more than are kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FinalizerList(pub(super) Option<Vec<String>>);

/// What is said of an object that has too many.
pub(super) const TOO_MANY: &str =
    "it has more finalizers than 64, or than 16 KiB: take away those that nobody needs, and it is looked at again";

impl<'de> Deserialize<'de> for FinalizerList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (mut kept, mut bytes) = (Some(Vec::new()), 0);
        each(deserializer, |name: String| {
            bytes += name.len();
            match &mut kept {
                Some(names) if names.len() < MOST && bytes <= MOST_BYTES => names.push(name),
                _ => kept = None,
            }
        })?;
        Ok(Self(kept))
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
            serde_json::from_str::<FinalizerList>(&text).expect("a list")
        };
        let few: Vec<_> = (0..MOST).map(|n| format!("example.com/{n}")).collect();
        assert_eq!(read(&few), FinalizerList(Some(few.clone())));
        assert_eq!(read(&vec!["a".to_owned(); 300_000]), FinalizerList(None));
        assert_eq!(read(&["x".repeat(MOST_BYTES + 1)]), FinalizerList(None));
    }
}
