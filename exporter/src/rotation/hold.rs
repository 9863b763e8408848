//! A leaf that is looked for, and must then stay: pure.

use std::time::Duration;

use tokio::time::Instant;

/// Looks, from the first to the last. `T` tells one leaf that will do from another.
#[derive(Debug)]
pub(super) struct Hold<T> {
    deadline: Instant,
    hold_down: Duration,
    /// Which was seen last, and since when.
    held: Option<(T, Instant)>,
}

impl<T: Copy + PartialEq> Hold<T> {
    pub(super) const fn new(deadline: Instant, hold_down: Duration) -> Self {
        Self { deadline, hold_down, held: None }
    }

    /// What was seen to stay last.
    pub(super) fn last(&self) -> Option<T> {
        self.held.map(|(seen, _)| seen)
    }

    /// Whether the leaf that was seen has stayed for long enough, or none ever will; none while another look is needed. A leaf that is there
    /// at the deadline still gets its hold-down. One that comes and goes, or takes turns with another, does not start again.
    pub(super) fn after(&mut self, seen: Option<T>, now: Instant) -> Option<bool> {
        let is_over = now >= self.deadline;
        let since = match (self.held, seen) {
            (_, None) => {
                self.held = None;
                return is_over.then_some(false);
            }
            (Some((same, since)), Some(seen)) if same == seen => since,
            (Some(_), Some(_)) if is_over => return Some(false),
            (_, Some(seen)) => {
                self.held = Some((seen, now));
                now
            }
        };
        (now.duration_since(since) >= self.hold_down).then_some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second in which it ends, a look each second, and how.
    fn ended(looks: impl Iterator<Item = Option<u8>>) -> (u64, bool) {
        let began = Instant::now();
        let mut hold = Hold::new(began + Duration::from_secs(10), Duration::from_secs(3));
        for (second, look) in (0..).zip(looks.take(1000)) {
            if let Some(ended) = hold.after(look, began + Duration::from_secs(second)) {
                return (second, ended);
            }
        }
        panic!("it does not end")
    }

    #[test]
    fn a_look_for_a_leaf_ends_whatever_is_served() {
        assert_eq!(ended(std::iter::repeat(Some(1))), (3, true));
        // There at the deadline, it still gets its hold-down.
        assert_eq!(ended((0..).map(|second| (second >= 10).then_some(1))), (13, true));
        assert_eq!(ended(std::iter::repeat(None)), (10, false));
        // Processes that share the port, each with a leaf of its own.
        assert_eq!(ended((0_u8..=255).cycle().map(|second| Some(second % 2))), (10, false));
        let comes_and_goes = (0..).map(|second| (second % 2 == 0).then_some(1));
        assert_eq!(ended(comes_and_goes), (11, false));
    }
}
