//! A leaf that is looked for, and must then stay: pure.

use std::time::Duration;

use tokio::time::Instant;

/// How much longer than its deadline a look for a leaf may take while this host is kept from looking.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// What came of one look.
#[derive(Clone, Copy, Debug)]
pub(super) enum Look<T> {
    /// A leaf that will do.
    Served(T),
    /// Another one, or none.
    NotServed,
    /// This host was kept from looking, for want of a thread for example: that says nothing of what is served.
    NotTaken,
}

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
    /// at the deadline still gets its hold-down. One that comes and goes, or takes turns with another, does not start again. A look that
    /// was not taken ends nothing, unless no more were taken for [`PATIENCE`] after the time is over.
    pub(super) fn after(&mut self, look: Look<T>, now: Instant) -> Option<bool> {
        let is_over = now >= self.deadline;
        let since = match (self.held, look) {
            (_, Look::NotTaken) => return (now >= self.deadline + self.hold_down + PATIENCE).then_some(false),
            (_, Look::NotServed) => {
                self.held = None;
                return is_over.then_some(false);
            }
            (Some((same, since)), Look::Served(seen)) if same == seen => since,
            (Some(_), Look::Served(_)) if is_over => return Some(false),
            (_, Look::Served(seen)) => {
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
        ended_after(looks.map(|look| look.map_or(Look::NotServed, Look::Served)))
    }

    fn ended_after(looks: impl Iterator<Item = Look<u8>>) -> (u64, bool) {
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

    /// Holds A15, A17: while this host was kept from looking, a healthy service was taken for one that does not serve.
    #[test]
    fn a_look_that_was_not_taken_is_no_word_of_the_service() {
        let kept_from = |kept: std::ops::Range<u64>, last| {
            ended_after((0..).map(move |second| if kept.contains(&second) { Look::NotTaken } else { last }))
        };
        // In the hold-down, and over the deadline.
        assert_eq!(kept_from(1..3, Look::Served(1)), (3, true));
        assert_eq!(kept_from(0..15, Look::Served(1)), (18, true));
        assert_eq!(kept_from(0..15, Look::NotServed), (15, false));
        assert_eq!(kept_from(0..1000, Look::Served(1)), (10 + 3 + PATIENCE.as_secs(), false));
    }
}
