//! How often it may be asked whether a password is in force. Whoever may ask may also replace the password; all the same nobody
//! tries a list of words here.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kagiban_crds::host_api::{Refusal, RefusalReason};
use tokio::time::Instant;

use crate::rotation::admission::refuse;

/// An operator asks once for each change of the Secret, and again when it was not answered.
const MOST: usize = 4;
const WITHIN: Duration = Duration::from_secs(60);

/// The questions about one agent that its files were opened for, whoever asked.
#[derive(Debug, Default)]
pub(super) struct Questions(Mutex<VecDeque<Instant>>);

impl Questions {
    /// # Errors
    /// A refusal when there were as many as a minute takes.
    pub(super) fn take(&self, now: Instant) -> Result<(), Refusal> {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while asked.pop_front_if(|at| now.duration_since(*at) >= WITHIN).is_some() {}
        if asked.len() >= MOST {
            let message = format!("a password is asked about {MOST} times a minute at most; ask again later");
            return Err(refuse(RefusalReason::Busy, message));
        }
        asked.push_back(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holds B11: a list of a thousand words takes four hours.
    #[test]
    fn a_password_is_asked_about_a_few_times_a_minute_however_often_somebody_tries() {
        let (questions, start) = (Questions::default(), Instant::now());
        let taken = (0..60 * 60).filter(|second| questions.take(start + Duration::from_secs(*second)).is_ok()).count();
        assert_eq!(taken, 60 * MOST);
    }
}
