//! Whether the agent does its work: asked before anything is stopped or run, and after the leaf was seen. What did not work before does not
//! count against a rotation; what did has to again.

use std::time::Duration;

use jiff::Timestamp;
use kagiban_crds::host_api::{FunctionSighting, FunctionState, RotationFunction};
use tokio::time::{Instant, sleep};

use super::agent::Procedure;
use super::failure::RotationFailure;
use super::hold::{Hold, Look, PATIENCE};
use super::journal::Rotation;
use super::machine::{Effect, Event, Phase};
use super::rotator::Rotator;
use super::trigger::renewal::Renewal;
use crate::blocking::Work;
use crate::sources::function::{LONGEST_TIMEOUT, Moment};

/// Of a step: the rotation goes on.
const NOT_WORKING_BEFORE: &str = "function_not_working_before";
const NOT_KNOWN_BEFORE: &str = "function_not_known_before";

impl Rotator {
    /// Asked once in a rotation. The answer is in the entry that is durable before anything is stopped or run.
    pub(super) async fn ask_function_before(&mut self) {
        if self.record.rotation.as_ref().is_none_or(|rotation| rotation.function.is_some()) {
            return;
        }
        let Some(before) = self.ask_function(Moment::Before, LONGEST_TIMEOUT).await else { return };
        if before.works() {
            self.record.function_worked_at = Some(before.at);
        }
        if let Some(rotation) = &mut self.record.rotation {
            rotation.function = Some(RotationFunction { before, after: None });
        }
    }

    /// Asks until the agent does its work, where it did before; else once, for what is told. Nothing is asked where it was not asked
    /// before, by an earlier program perhaps. No question goes on after the deadline, but for one that this host was kept from asking.
    ///
    /// # Errors
    /// `function_lost`.
    pub(super) async fn prove_function(&mut self) -> Result<(), RotationFailure> {
        let Some(before) = self.function().map(|function| function.before.works()) else { return Ok(()) };
        let began = Instant::now();
        let until = began + self.agent.verify.deadline;
        let mut hold = Hold::new(until, Duration::ZERO);
        let moment = match &self.agent.procedure {
            Procedure::Push(_) => Moment::After(self.record.last_restart),
            Procedure::Trigger(_) | Procedure::Repair(_) => Moment::Renewed(self.record.last_restart),
        };
        loop {
            // Past the deadline only a host that was kept from asking still asks.
            let end = if Instant::now() < until { until } else { until + PATIENCE };
            let at_most = end.saturating_duration_since(Instant::now());
            let Some(seen) = self.ask_function(moment, at_most).await else { return Ok(()) };
            self.note_function(&seen);
            if !before {
                return Ok(());
            }
            let look = match seen.state {
                FunctionState::Works => Look::Served(()),
                FunctionState::DoesNotWork => Look::NotServed,
                FunctionState::Unknown => Look::NotTaken,
            };
            match hold.after(look, Instant::now()) {
                None => sleep(self.agent.verify.interval).await,
                Some(true) => return Ok(()),
                Some(false) => return Err(lost(&seen, began.elapsed())),
            }
            if seen.state == FunctionState::DoesNotWork && Instant::now() >= until {
                return Err(lost(&seen, began.elapsed()));
            }
        }
    }

    async fn ask_function(&self, moment: Moment, at_most: Duration) -> Option<FunctionSighting> {
        let check = self.agent.function.as_ref()?;
        let answer = check.ask(&self.agent.name, moment, Work::RotationNames, at_most).await;
        Some(answer.sighting(Timestamp::now()))
    }

    fn function(&self) -> Option<&RotationFunction> {
        self.record.rotation.as_ref()?.function.as_ref()
    }

    fn note_function(&mut self, seen: &FunctionSighting) {
        if seen.works() {
            self.record.function_worked_at = Some(seen.at);
        }
        if let Some(function) = self.record.rotation.as_mut().and_then(|rotation| rotation.function.as_mut()) {
            function.after = Some(seen.clone());
        }
    }
}

/// Whether a rollback may end with this effect, the service being up.
pub(super) const fn ends_rollback(effect: Effect) -> bool {
    matches!(effect, Effect::VerifyOld | Effect::WatchOld | Effect::Drain | Effect::Settle)
}

fn lost(seen: &FunctionSighting, after: Duration) -> RotationFailure {
    let told = why(seen);
    let message = format!(
        "the agent did its work before, and was not seen to {} s after it was up with its certificate: {told}; see the agent's own log",
        after.as_secs()
    );
    RotationFailure::new("function_lost", message)
}

/// What a step says: beside its own note, what came of the questions that belong to it.
pub(super) fn noted(note: String, rotation: &Rotation, event: &Event) -> String {
    let told = rotation.function.as_ref().and_then(|RotationFunction { before, after }| match event {
        // It was told before the backup.
        Event::ClearedToRenew(_) if matches!(rotation.state, Phase::Renewal { step: Renewal::BackingUp { .. } }) => {
            None
        }
        Event::Cleared(_) | Event::ClearedToRenew(_) | Event::ClearedToBackUp(_) => match before.state {
            FunctionState::Works => None,
            FunctionState::DoesNotWork => Some(format!("{NOT_WORKING_BEFORE}: {}", why(before))),
            FunctionState::Unknown => Some(format!("{NOT_KNOWN_BEFORE}: {}", why(before))),
        },
        Event::Done if rotation.state.is_verifying() => after.as_ref().map(|after| match after.state {
            FunctionState::Works => "the agent does its work".to_owned(),
            FunctionState::DoesNotWork => format!("the agent does not do its work, as before: {}", why(after)),
            FunctionState::Unknown => format!("whether the agent does its work is not known: {}", why(after)),
        }),
        _ => None,
    });
    match told {
        None => note,
        Some(told) if note.is_empty() => told,
        Some(told) => format!("{note}; {told}"),
    }
}

fn why(seen: &FunctionSighting) -> &str {
    seen.failure.as_ref().map_or("no reason was told", |failure| &failure.message)
}
