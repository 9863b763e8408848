//! A memory with a bound that all namespaces share: what nobody has used for a while goes, and where there is no room, what the
//! namespace that takes the most has used longest ago. No namespace loses anything by what another one puts in, as long as it
//! takes no more than its equal part.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use crate::shares::Shares;

/// By namespace and by a key within it.
#[derive(Debug)]
pub(crate) struct Recent<V> {
    namespaces: HashMap<String, Namespace<V>>,
    shares: Shares,
    most: usize,
    kept: Duration,
    swept: Instant,
    /// Counts the uses, so that they have an order.
    uses: u64,
}

#[derive(Debug)]
struct Namespace<V> {
    entries: HashMap<String, Entry<V>>,
    /// The keys by their last use.
    by_use: BTreeMap<u64, String>,
}

#[derive(Debug)]
struct Entry<V> {
    used: Instant,
    number: u64,
    size: usize,
    value: V,
}

impl<V> Recent<V> {
    /// At most `most` in all sizes together, none of which was unused for much longer than `kept`.
    pub(crate) fn new(most: usize, kept: Duration) -> Self {
        let (namespaces, shares) = (HashMap::new(), Shares::default());
        Self { namespaces, shares, most, kept, swept: Instant::now(), uses: 0 }
    }

    pub(crate) fn get(&mut self, namespace: &str, key: &str) -> Option<&V> {
        self.sweep();
        self.uses += 1;
        let of_namespace = self.namespaces.get_mut(namespace)?;
        let entry = of_namespace.entries.get_mut(key)?;
        let name = of_namespace.by_use.remove(&entry.number)?;
        of_namespace.by_use.insert(self.uses, name);
        (entry.used, entry.number) = (Instant::now(), self.uses);
        Some(&entry.value)
    }

    /// Of the size of one: for what is counted.
    pub(crate) fn put(&mut self, namespace: &str, key: &str, value: V) {
        self.put_sized(namespace, key, value, 1);
    }

    /// What does not fit is not kept: what is larger than the whole room, or than what any other namespace takes, where this one has
    /// nothing to give up for it.
    pub(crate) fn put_sized(&mut self, namespace: &str, key: &str, value: V, size: usize) {
        self.sweep();
        self.remove(namespace, key);
        if size > self.most {
            return;
        }
        while self.shares.in_all() + size > self.most {
            let from = self.shares.largest_beside(namespace, size).unwrap_or(namespace).to_owned();
            if !self.lose_one(&from) {
                return;
            }
        }
        self.uses += 1;
        let of_namespace = self.namespaces.entry(namespace.to_owned()).or_default();
        of_namespace.by_use.insert(self.uses, key.to_owned());
        let entry = Entry { used: Instant::now(), number: self.uses, size, value };
        of_namespace.entries.insert(key.to_owned(), entry);
        self.shares.take(namespace, size);
    }

    /// What is there is of another size now, and is not kept if that does not fit.
    pub(crate) fn resize(&mut self, namespace: &str, key: &str, size: usize) {
        let entry = self.namespaces.get(namespace).and_then(|of_namespace| of_namespace.entries.get(key));
        if entry.is_some_and(|entry| entry.size != size)
            && let Some(value) = self.take(namespace, key)
        {
            self.put_sized(namespace, key, value, size);
        }
    }

    pub(crate) fn remove(&mut self, namespace: &str, key: &str) {
        drop(self.take(namespace, key));
    }

    fn take(&mut self, namespace: &str, key: &str) -> Option<V> {
        let of_namespace = self.namespaces.get_mut(namespace)?;
        let entry = of_namespace.entries.remove(key)?;
        of_namespace.by_use.remove(&entry.number);
        if of_namespace.entries.is_empty() {
            self.namespaces.remove(namespace);
        }
        self.shares.give_back(namespace, entry.size);
        Some(entry.value)
    }

    /// Forgets what the namespace has used longest ago, if it has anything.
    fn lose_one(&mut self, namespace: &str) -> bool {
        let oldest =
            self.namespaces.get(namespace).and_then(|of_namespace| of_namespace.by_use.values().next().cloned());
        if let Some(oldest) = &oldest {
            self.remove(namespace, oldest);
        }
        oldest.is_some()
    }

    /// Once in a while only: it looks at every namespace.
    fn sweep(&mut self) {
        if self.swept.elapsed() < self.kept {
            return;
        }
        self.swept = Instant::now();
        let unused = self.namespaces.iter().flat_map(|(namespace, of_namespace)| {
            let old = of_namespace.by_use.values().take_while(|key| {
                of_namespace.entries.get(*key).is_some_and(|entry| entry.used.elapsed() >= self.kept)
            });
            old.map(|key| (namespace.clone(), key.clone()))
        });
        for (namespace, key) in unused.collect::<Vec<_>>() {
            self.remove(&namespace, &key);
        }
    }
}

impl<V> Default for Namespace<V> {
    fn default() -> Self {
        Self { entries: HashMap::new(), by_use: BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEPT: Duration = Duration::from_secs(30);

    impl<V> Recent<V> {
        fn has(&self, namespace: &str, key: &str) -> bool {
            self.namespaces.get(namespace).is_some_and(|known| known.entries.contains_key(key))
        }

        fn size(&self, namespace: &str) -> usize {
            self.namespaces.get(namespace).map_or(0, |known| known.entries.values().map(|entry| entry.size).sum())
        }
    }

    /// Holds B14: what nobody names any more takes no memory, and nobody takes more than there is.
    #[tokio::test(start_paused = true)]
    async fn what_is_not_used_goes_and_a_full_memory_loses_what_was_used_longest_ago() {
        let mut recent = Recent::new(3, KEPT);
        for key in ["0", "1", "2"] {
            recent.put("fleet", key, key);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(recent.get("fleet", "0"), Some(&"0"), "used anew");
        recent.put("fleet", "3", "3");
        assert_eq!(["0", "1", "2", "3"].map(|key| recent.has("fleet", key)), [true, false, true, true]);
        tokio::time::advance(KEPT).await;
        recent.put("fleet", "4", "4");
        assert_eq!((recent.size("fleet"), recent.get("fleet", "4")), (1, Some(&"4")));
        recent.remove("fleet", "4");
        assert!(recent.namespaces.is_empty() && recent.shares.in_all() == 0);
    }

    /// Holds B14: 300 hosts of one namespace that refused their chains had another's chain forgotten and signed anew each time.
    #[tokio::test(start_paused = true)]
    async fn no_namespace_loses_its_few_by_the_many_of_another() {
        let mut recent = Recent::new(256, KEPT);
        recent.put("fleet", "ups-01", ());
        for round in 0..3 {
            for number in 0..300 {
                recent.put("noisy", &number.to_string(), ());
            }
            assert!(recent.get("fleet", "ups-01").is_some(), "round {round}");
        }
        assert_eq!(recent.size("noisy"), 255);
        for number in 0..300 {
            recent.put("fleet", &number.to_string(), ());
        }
        assert_eq!((recent.size("fleet"), recent.size("noisy")), (128, 128), "whoever comes later gets as much");
    }

    #[tokio::test]
    async fn what_is_larger_than_the_room_is_not_kept_and_takes_nothing_from_others() {
        let mut recent = Recent::new(10, KEPT);
        recent.put_sized("fleet", "a", (), 4);
        recent.put_sized("fleet", "b", (), 11);
        assert_eq!((recent.has("fleet", "a"), recent.has("fleet", "b")), (true, false));
        recent.put_sized("fleet", "a", (), 11);
        assert!(!recent.has("fleet", "a"), "what stood there before is not what was put");
        recent.put_sized("fleet", "a", (), 4);
        recent.put_sized("other", "a", (), 7);
        assert_eq!((recent.size("fleet"), recent.size("other")), (4, 0), "it would take more than anybody");
    }

    proptest! {
        /// Whatever is put: the bound holds, and who takes no more than an equal part of the room keeps all of it.
        #[test]
        fn a_namespace_within_its_part_loses_nothing(
            puts in proptest::collection::vec((0..4usize, 0..40usize, 1..4usize), 1..400), most in 12..60usize,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
            runtime.block_on(async {
                let (mut recent, mut model) = (Recent::new(most, KEPT), BTreeMap::new());
                for (namespace, key, size) in puts {
                    // Two that have few, beside two that have many
                    let key = (key % [2, 4, 40, 40][namespace]).to_string();
                    let namespace = namespace.to_string();
                    recent.put_sized(&namespace, &key, (), size);
                    model.insert((namespace, key), size);
                    prop_assert!(recent.shares.in_all() <= most);
                    let counted: usize = (0..4).map(|namespace| recent.size(&namespace.to_string())).sum();
                    prop_assert_eq!(counted, recent.shares.in_all());
                }
                for namespace in (0..4).map(|namespace| namespace.to_string()) {
                    let all: usize =
                        model.iter().filter(|((of, _), _)| *of == namespace).map(|(_, size)| size).sum();
                    // Never more than this at any time, since nothing was taken out: each key keeps the last of its sizes
                    let most_at_once: usize =
                        model.iter().filter(|((of, _), _)| *of == namespace).map(|_| 3).sum();
                    if most_at_once * 4 <= most {
                        prop_assert_eq!(recent.size(&namespace), all, "namespace {}", namespace);
                    }
                }
                Ok(())
            })?;
        }
    }
}
