//! What a pass says to the shutdown machine, and whose words they are.

use super::{Observation, Pass, SourceId, SourceKind, UpsSeen};
use crate::label::Label;
use crate::shutdown::{Origin, Silence, Word};

/// Who answers for the UPS is there and has lost it; in every other case it is we who have lost them.
pub const LINK_LOST: [&str; 3] = ["comm_lost", "data_stale", "driver_not_connected"];
/// Who answers for UPSes knows none of this name.
const GONE: &str = "unknown_ups";

/// The words of a pass. Of the `known` origins, those of this source that it does not speak of any more are gone.
pub(super) fn of<'a>(id: &SourceId, pass: &Pass, known: impl Iterator<Item = &'a Origin>) -> Vec<(Origin, Word)> {
    match &pass.observation {
        Observation::Upses(upses) => {
            let said: Vec<_> = upses.iter().filter(|seen| seen.feeds_host).map(|seen| of_ups(id, seen, pass)).collect();
            let gone = known.filter(|origin| is_of(origin, id) && said.iter().all(|(of, _)| of != *origin));
            let gone: Vec<_> = gone.map(|origin| (origin.clone(), Word::Gone)).collect();
            said.into_iter().chain(gone).collect()
        }
        // Evidence beside a trouble is what a second witness says.
        Observation::Host(evidence) if pass.trouble.is_none() || !evidence.is_empty() => {
            vec![(of_host(id), Word::Said(evidence.clone()))]
        }
        Observation::Host(_) => vec![(of_host(id), Word::Silent(Silence::Unreachable))],
        Observation::Nothing => {
            let silent = || Word::Silent(Silence::Unreachable);
            known.filter(|origin| is_of(origin, id)).map(|origin| (origin.clone(), silent())).collect()
        }
        Observation::Files(_) | Observation::Endpoint(_) | Observation::Health(_) => Vec::new(),
    }
}

/// Whether the origin speaks through the source.
pub(super) fn is_of(origin: &Origin, id: &SourceId) -> bool {
    match origin {
        Origin::Host { source } => id.kind == SourceKind::Host && *source == id.name,
        Origin::Ups { source, .. } => id.kind == SourceKind::Ups && *source == id.name,
    }
}

fn of_ups(id: &SourceId, seen: &UpsSeen, pass: &Pass) -> (Origin, Word) {
    let word = match &seen.outcome {
        Ok(reading) => Word::of(reading, pass.ended),
        Err(trouble) if LINK_LOST.contains(&trouble.reason) => Word::Silent(Silence::LinkLost),
        Err(trouble) if trouble.reason == GONE => Word::Gone,
        Err(_) => Word::Silent(Silence::Unreachable),
    };
    (Origin::Ups { source: id.name.clone(), ups: seen.ups.clone() }, word)
}

fn of_host(id: &SourceId) -> Origin {
    Origin::Host { source: Label::clone(&id.name) }
}
