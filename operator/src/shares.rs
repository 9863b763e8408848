//! How much of a room that all namespaces share each of them takes: whoever takes the most makes room for the others.
//!
//! A namespace that takes no more than its equal part of the room is never asked to give anything up, whatever others do.

use std::collections::HashMap;

/// Counts in whatever unit the room is measured in: entries, or bytes.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    taken: HashMap<Box<str>, usize>,
    in_all: usize,
}

impl Shares {
    pub(crate) fn take(&mut self, namespace: &str, amount: usize) {
        self.in_all += amount;
        if let Some(taken) = self.taken.get_mut(namespace) {
            *taken += amount;
        } else if amount > 0 {
            self.taken.insert(namespace.into(), amount);
        }
    }

    /// Gives back what was taken before.
    pub(crate) fn give_back(&mut self, namespace: &str, amount: usize) {
        self.in_all -= amount;
        if let Some(taken) = self.taken.get_mut(namespace) {
            *taken -= amount;
            if *taken == 0 {
                self.taken.remove(namespace);
            }
        }
    }

    pub(crate) const fn in_all(&self) -> usize {
        self.in_all
    }

    /// Who has the most; by its name where two have as much, so that what is left out is the same at every look.
    pub(crate) fn largest(&self) -> Option<&str> {
        self.taken.iter().max_by_key(|(namespace, taken)| (**taken, *namespace)).map(|(largest, _)| &**largest)
    }

    /// Who has to give something up before this namespace may take so much more than it has: the one that has the most then, and
    /// this one rather than another that has as much. `None` where that is itself.
    pub(crate) fn largest_beside(&self, namespace: &str, more: usize) -> Option<&str> {
        let own = self.taken.get(namespace).copied().unwrap_or_default() + more;
        let others = self.taken.iter().filter(|(other, _)| ***other != *namespace);
        let (largest, most) = others.max_by_key(|(other, taken)| (**taken, *other))?;
        (*most > own).then_some(&**largest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_the_most_makes_room_and_who_asks_rather_than_another_that_has_as_much() {
        let mut shares = Shares::default();
        shares.take("a", 5);
        shares.take("b", 3);
        assert_eq!(shares.largest_beside("b", 1), Some("a"));
        assert_eq!(shares.largest_beside("b", 2), None, "it would have as much itself");
        assert_eq!(shares.largest_beside("a", 0), None);
        assert_eq!(shares.largest_beside("c", 1), Some("a"));
        shares.give_back("a", 5);
        assert_eq!((shares.largest_beside("c", 1), shares.in_all()), (Some("b"), 3));
    }
}
