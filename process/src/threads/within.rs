//! Work that may hang in the system, on a thread of its own that nobody waits for longer than a deadline: it ends when the system
//! answers, or with this process.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Why there is no answer.
#[derive(Debug)]
pub enum Unanswered {
    NoThread,
    /// Whoever was asked may answer yet; nobody hears it.
    TimedOut,
}

/// `name` is the thread's.
///
/// # Errors
/// When there is no answer in time, or no thread.
pub fn within<T: Send + 'static>(
    name: &str,
    deadline: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Unanswered> {
    let (answer, answered) = mpsc::channel();
    let working = thread::Builder::new().name(name.to_owned()).spawn(move || _ = answer.send(work()));
    working.map_err(|_| Unanswered::NoThread)?;
    answered.recv_timeout(deadline).map_err(|_| Unanswered::TimedOut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_answer_is_not_waited_for() {
        assert!(matches!(within("answers", Duration::from_secs(60), || 7), Ok(7)));
        let hung = within("hangs", Duration::from_millis(20), || thread::sleep(Duration::from_secs(3)));
        assert!(matches!(hung, Err(Unanswered::TimedOut)), "{hung:?}");
    }
}
