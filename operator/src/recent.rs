//! A memory with a bound: what nobody has used for a while goes, and where there is no room, what was used longest ago.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    entries: HashMap<K, Entry<V>>,
    most: usize,
    kept: Duration,
    swept: Instant,
}

#[derive(Debug)]
struct Entry<V> {
    used: Instant,
    value: V,
}

impl<K: Eq + Hash + Clone, V> Recent<K, V> {
    /// At most `most` entries, none of which was unused for much longer than `kept`.
    pub(crate) fn new(most: usize, kept: Duration) -> Self {
        Self { entries: HashMap::new(), most, kept, swept: Instant::now() }
    }

    pub(crate) fn get(&mut self, key: &K) -> Option<&V> {
        self.sweep();
        let entry = self.entries.get_mut(key)?;
        entry.used = Instant::now();
        Some(&entry.value)
    }

    pub(crate) fn put(&mut self, key: K, value: V) {
        self.sweep();
        if self.entries.len() >= self.most && !self.entries.contains_key(&key) {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone());
            oldest.and_then(|oldest| self.entries.remove(&oldest));
        }
        self.entries.insert(key, Entry { used: Instant::now(), value });
    }

    pub(crate) fn remove(&mut self, key: &K) {
        self.entries.remove(key);
    }

    /// Once in a while only: it looks at every entry.
    fn sweep(&mut self) {
        if self.swept.elapsed() >= self.kept {
            self.entries.retain(|_, entry| entry.used.elapsed() < self.kept);
            self.swept = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEPT: Duration = Duration::from_secs(30);

    /// Holds B14: what nobody names any more takes no memory, and nobody takes more than there is.
    #[tokio::test(start_paused = true)]
    async fn what_is_not_used_goes_and_a_full_memory_loses_what_was_used_longest_ago() {
        let mut recent = Recent::new(3, KEPT);
        for number in 0..3 {
            recent.put(number, number);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(recent.get(&0), Some(&0), "used anew");
        tokio::time::advance(Duration::from_secs(1)).await;
        recent.put(3, 3);
        assert_eq!([0, 1, 2, 3].map(|number| recent.entries.contains_key(&number)), [true, false, true, true]);
        tokio::time::advance(KEPT).await;
        recent.put(4, 4);
        assert_eq!((recent.entries.len(), recent.get(&4)), (1, Some(&4)));
    }
}
