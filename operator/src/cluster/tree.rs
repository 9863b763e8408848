//! A part of an object as a tree of values, of which no more is built than a part may have: a tree takes sixteen times its text.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Number, Value};

/// Values of one part. A spec or a status with all that it may have has some hundred.
const MOST_VALUES: usize = 4096;
/// Bytes of its texts and names. 32 names of 253 characters are the most that a spec has; a status has some KiB.
const MOST_BYTES: usize = 256 << 10;
/// Lists and objects in each other. A spec has four.
const DEEPEST: usize = 32;
/// Stands for a part that has more. It is none that can be read, and says why.
pub(super) const OVERSIZED: &str = "more than 4096 values, 256 KiB or 32 levels, which nobody reads";

/// A tree, or [`OVERSIZED`].
pub(super) struct Tree(pub(super) Value);

impl Default for Tree {
    fn default() -> Self {
        Self(Value::Null)
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let room = Room { values: Cell::new(MOST_VALUES), bytes: Cell::new(MOST_BYTES) };
        let tree = Branch { room: &room, depth: 0 }.deserialize(deserializer)?;
        Ok(Self(tree.unwrap_or_else(|| Value::String(OVERSIZED.to_owned()))))
    }
}

/// What is left of it.
struct Room {
    values: Cell<usize>,
    bytes: Cell<usize>,
}

impl Room {
    fn take(&self, bytes: usize) -> Option<()> {
        self.values.set(self.values.get().checked_sub(1)?);
        self.bytes.set(self.bytes.get().checked_sub(bytes)?);
        Some(())
    }
}

/// Gives nothing where there is no room; what is left of the text is passed over.
#[derive(Clone, Copy)]
struct Branch<'a> {
    room: &'a Room,
    depth: usize,
}

impl Branch<'_> {
    fn leaf(self, value: Value) -> Option<Value> {
        self.room.take(value.as_str().map_or(0, str::len))?;
        Some(value)
    }

    fn inner(self) -> Option<Self> {
        self.room.take(0)?;
        (self.depth < DEEPEST).then(|| Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Branch<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<Value>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Branch<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Option<Value>, E> {
        Ok(self.leaf(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Option<Value>, E> {
        Ok(self.leaf(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<Value>, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Option<Value>, E> {
        Ok(self.leaf(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Option<Value>, E> {
        Ok(self.leaf(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Option<Value>, E> {
        Ok(self.leaf(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Option<Value>, E> {
        Ok(self.leaf(Number::from_f64(value).map_or(Value::Null, Value::Number)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Option<Value>, E> {
        // Not copied where there is no room
        Ok(self.room.take(text.len()).map(|()| text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Option<Value>, A::Error> {
        if let Some(inner) = self.inner() {
            let mut values = Vec::new();
            loop {
                match list.next_element_seed(inner)? {
                    None => return Ok(Some(Value::Array(values))),
                    Some(Some(value)) => values.push(value),
                    Some(None) => break,
                }
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<Value>, A::Error> {
        if let Some(inner) = self.inner() {
            let mut fields = Map::new();
            loop {
                let Some(name) = map.next_key::<String>()? else { return Ok(Some(Value::Object(fields))) };
                match inner.room.take(name.len()) {
                    Some(()) => match map.next_value_seed(inner)? {
                        Some(value) => drop(fields.insert(name, value)),
                        None => break,
                    },
                    None => {
                        map.next_value::<IgnoredAny>()?;
                        break;
                    }
                }
            }
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Value {
        serde_json::from_str::<Tree>(text).expect("it is JSON").0
    }

    #[test]
    fn what_has_room_is_read_as_it_stands() {
        let value = json!({"a": [1, -1, 1.5, true, null, "x", {}, []], "b": {"c": {"d": "e"}}});
        assert_eq!(read(&value.to_string()), value);
        assert_eq!(serde_json::from_value::<Tree>(value.clone()).expect("it is JSON").0, value);
    }

    /// Holds B14: a page of nested rubbish took sixteen times its text, and one part that was nested deeply failed the whole list.
    #[test]
    fn of_rubbish_no_more_is_built_than_there_is_room_for_and_what_follows_is_read() {
        let oversized = Value::String(OVERSIZED.to_owned());
        let deep = |open: &str, close: &str, times: usize| format!("{}0{}", open.repeat(times), close.repeat(times));
        for rubbish in [
            deep("[", "]", DEEPEST + 1),
            deep("[", "]", 500_000),
            deep("{\"a\":", "}", 300_000),
            format!("[{}0]", "[],".repeat(500_000)),
            format!("[{}0]", "{\"a\":[]},".repeat(200_000)),
            format!("{{\"a\":{:?}}}", "x".repeat(1_500_000)),
            format!("{{{:?}:0}}", "x".repeat(1_500_000)),
            format!("{{{}\"z\":0}}", (0..100_000).map(|n| format!("\"{n}\":0,")).collect::<String>()),
        ] {
            let [first, second] =
                serde_json::from_str::<[Tree; 2]>(&format!("[{rubbish},7]")).expect("it is JSON to its end");
            assert_eq!((first.0, second.0), (oversized.clone(), json!(7)), "{rubbish:.40}");
        }
        assert_ne!(read(&deep("[", "]", DEEPEST)), oversized);
    }
}
