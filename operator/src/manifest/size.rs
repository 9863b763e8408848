//! How much a document holds once its aliases stand for what they name: a few hundred kilobytes may be gigabytes then.

use std::cell::Cell;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, EnumAccess, Error, IgnoredAny, MapAccess, SeqAccess, VariantAccess as _, Visitor};

/// Values of all documents of a file. One with ten thousand resources has half a million.
const MOST_VALUES: usize = 2_000_000;
/// Bytes of their texts: twice what a file may have.
const MOST_BYTES: usize = 64 << 20;

/// Counts what all documents hold, and keeps nothing of it. What is no YAML is for the reader to say.
pub(super) fn check(text: &str) -> Result<(), String> {
    let room = Room { values: Cell::new(MOST_VALUES), bytes: Cell::new(MOST_BYTES) };
    for document in serde_yaml::Deserializer::from_str(text) {
        if Count(&room).deserialize(document).is_err() {
            break;
        }
    }
    if room.is_left() {
        Ok(())
    } else {
        Err(format!("its aliases stand for more than {MOST_VALUES} values or {} MiB", MOST_BYTES >> 20))
    }
}

struct Room {
    values: Cell<usize>,
    bytes: Cell<usize>,
}

impl Room {
    fn take<E: Error>(&self, bytes: usize) -> Result<(), E> {
        self.values.set(self.values.get().saturating_sub(1));
        self.bytes.set(self.bytes.get().saturating_sub(bytes));
        if self.is_left() { Ok(()) } else { Err(E::custom("too large")) }
    }

    const fn is_left(&self) -> bool {
        self.values.get() > 0 && self.bytes.get() > 0
    }
}

#[derive(Clone, Copy)]
struct Count<'a>(&'a Room);

impl<'de> DeserializeSeed<'de> for Count<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Count<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.0.take(0)
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        self.0.take(0)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.0.take(0)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.0.take(0)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.0.take(0)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.0.take(0)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.0.take(text.len())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        self.0.take(0)?;
        while list.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.0.take(0)?;
        while map.next_key_seed(self)?.is_some() {
            map.next_value_seed(self)?;
        }
        Ok(())
    }

    /// A value with a tag.
    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<(), A::Error> {
        let (_, value) = tagged.variant::<IgnoredAny>()?;
        value.newtype_variant_seed(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holds B12: 260 KB of a pull request took seven gigabytes of whoever planned it.
    #[test]
    fn aliases_that_stand_for_more_than_a_fleet_are_refused_before_anything_is_built() {
        let uses: Vec<_> = (0..20_000).map(|index| format!("y{index}: *x\n")).collect();
        assert!(check(&format!("x: &x [{}]\n{}", "1,".repeat(20_000), uses.concat())).is_err());
        let words = format!("x: &x {}\n{}", "w".repeat(1 << 20), "? [*x, *x]\n: *x\n".repeat(50));
        assert!(check(&words).is_err());
        let nested = (1..8).fold("a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n".to_owned(), |text, level| {
            let before = format!("*a{},", level - 1).repeat(10);
            format!("{text}a{level}: &a{level} [{before}]\n")
        });
        // The reader itself gives these up
        assert!(check(&nested).is_err() || super::super::read(&nested).is_err());
        for fine in ["a: &a {b: c}\nd: *a\ne: [*a, !tag x, !tag {y: z}, 1.5, ~, true, -1]", "", "---\n---\n", "bad: ["]
        {
            assert_eq!(check(fine), Ok(()), "{fine}");
        }
    }
}
